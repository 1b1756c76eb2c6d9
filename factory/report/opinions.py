"""What a language model and people said about the answers, in sentences."""

from __future__ import annotations

from collections.abc import Iterator

from factory.report.facts import ARM_LABELS, BuildReport, labels
from factory.report.record import flat
from factory.report.words import plural, sentence, spoken


def opinions(report: BuildReport) -> list[tuple[str, list[str]]]:
    """`(who, what was said)`; only those who were asked."""
    found = (("Language model as judge", _judge(report)), ("People", _people(report)))
    return [(who, lines) for who, said in found if (lines := list(said))]


def _judge(report: BuildReport) -> Iterator[str]:
    for name, value in flat(report.scorecard.get("judge") or {}):
        yield f"{name}: {value}"


def _people(report: BuildReport) -> Iterator[str]:
    """Blind picks, by what the tuned model was put beside."""
    names = ARM_LABELS | labels(report)
    for against, said in (report.scorecard.get("people") or {}).items():
        yield f"Blind against {names.get(against, against)}, {plural(said['questions'], 'question')}:"
        for aspect in said["aspects"]:
            yield f"{spoken(aspect['aspect'])}: {sentence(aspect['sentence'])}"
