"""The report as one Markdown document."""

from __future__ import annotations

from collections.abc import Iterator

from factory.report.advice import next_steps
from factory.report.answers import Card, Entry, Mark, entries
from factory.report.evidence import decided, numbers, skills, spoken_voice, why
from factory.report.facts import BuildReport, curve_words
from factory.report.fate import Reason, closest, fates, groups, sizes
from factory.report.markup import code, escape, inline, quote, table
from factory.report.record import flat, legs, proof_notes, settings, stage_rows
from factory.report.teaching import summary
from factory.report.words import heading, plural

LONGEST_TITLE = 100
"""A longer question is quoted below its heading."""


def markdown(report: BuildReport) -> str:
    """The whole report; everything a model or a data file wrote is inert in it."""
    report = report.cleaned()
    found = entries(report)
    made = f"Base {inline(report.base)} · {inline(report.created)}"
    parts = [
        f"# {inline(report.name)}: {inline(report.verdict)}",
        f"**{report.headline}**",
        escape(report.summary),
        why(report),
        escape(report.description),
        made + (f" · release {inline(report.release['number'])}" if report.release else ""),
        *_next(report),
        *decided(report),
        *numbers(report),
        *_answers(report, found),
        *spoken_voice(report),
        *skills(report, found),
        *_data(report),
        *_training(report),
        *_proof(report),
        *_record(report),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def _title(report: BuildReport, title: str) -> str:
    return f"## {heading(title, report.language)}"


def _list(lines: list[str]) -> str:
    return "\n".join(f"- {line}" for line in lines)


def _next(report: BuildReport) -> Iterator[str]:
    yield _title(report, "What to do next")
    yield _list(
        [
            inline(step.text) + (f" {code(step.command)}" if step.command else "")
            for step in next_steps(report)
        ]
    )


def _answers(report: BuildReport, found: list[Entry]) -> Iterator[str]:
    own = [entry for entry in found if entry.own]
    if own:
        yield _title(report, "Answers side by side")
    for entry in own:
        yield from _entry(entry)


def _entry(entry: Entry) -> Iterator[str]:
    ask = " ".join(entry.ask.split())
    whole = len(ask) <= LONGEST_TITLE
    title = ask if whole else ask[:LONGEST_TITLE] + " ..."
    yield f"### {inline(title)}" + (f" ({entry.outcome})" if entry.outcome else "")
    for role, text in entry.history:
        yield f"Earlier, {inline(role)}:"
        yield quote(text)
    if not whole or "\n" in entry.ask:
        yield quote(entry.ask)
    if entry.expect:
        yield f"Expected: {inline(entry.expect)}"
    if entry.reference:
        yield "Written answer:"
        yield quote(entry.reference)
    for card in entry.cards:
        yield f"**{inline(card.label)}** ({_facts(card)})"
        yield quote(card.text) if card.text.strip() else "> *empty*"


def _facts(card: Card) -> str:
    parts = [plural(card.tokens, "token")]
    if card.cut_off:
        parts.append("did not stop by itself")
    return "; ".join([*parts, *map(_judged, card.marks)])


def _judged(mark: Mark) -> str:
    sign = {True: "✓", False: "✗", None: mark.value}[mark.right]
    return f"{sign} {inline(mark.grader)}" + (f": {inline(mark.reason)}" if mark.reason else "")


def _data(report: BuildReport) -> Iterator[str]:
    data = report.dataset
    if not data:
        return
    yield _title(report, "Data")
    ended = ", ".join(f"{count:,} {fate}" for fate, count in fates(data))
    split = ", ".join(f"{name} {count}" for name, count in flat(data.get("splits") or {}))
    yield f"{plural(int(data.get('input') or 0), 'row')} read: {ended}. Split: {inline(split)}."
    yield " ".join(sizes(data))
    if teaching := data.get("teaching"):
        yield " ".join(inline(line) for line in summary(teaching))
    for group in groups(data):
        yield f"**{group.title}**"
        yield table(
            ["found", "rows", "for example"],
            ([reason.label, reason.count, _examples(reason)] for reason in group.reasons),
        )
    if found := closest(data):
        yield "**The most alike rows of different splits**"
        yield table(
            ["splits", "similarity", "rows"],
            (
                [x.pair, x.similarity, "\n".join(f"{id}: {text}" for id, text in x.rows)]
                for x in found
            ),
        )


def _examples(reason: Reason) -> str:
    return "\n".join(
        " | ".join(part for part in (x.id, x.detail, " ".join(x.text.split())) if part)
        for x in reason.examples
    )


def _training(report: BuildReport) -> Iterator[str]:
    if not report.curve and not report.plan:
        return
    yield _title(report, "Training")
    if report.curve:
        curve = curve_words(report)
        told = inline(" ".join((curve.explanation, curve.applied, curve.remedy)))
        yield f"**Loss curve: {inline(curve.verdict)}.** {told}"
    if rows := settings(report.plan):
        yield table(
            ["setting", "value", "from", "why", "warning"],
            ([s.name, s.value, "you" if s.yours else "default", s.reason, s.warning] for s in rows),
        )


def _proof(report: BuildReport) -> Iterator[str]:
    if not report.certificate:
        return
    yield _title(report, "Proof of the merge")
    yield table(
        ["leg", "result", "prompt ids", "tokens", "mean difference", "largest", "stops", "remark"],
        (
            [x.name, x.status, x.prompt_ids, x.tokens, x.mean_difference, x.max_difference,
             x.stops, x.reason]
            for x in legs(report.certificate)
        ),
    )  # fmt: skip
    yield _list([inline(note) for note in proof_notes(report.certificate)])


def _record(report: BuildReport) -> Iterator[str]:
    yield _title(report, "How it was made")
    yield table(
        ["stage", "time", "result", "key"],
        ([step.name, step.took, step.summary, step.key] for step in stage_rows(report)),
    )
    if versions := flat(report.scorecard.get("versions") or {}):
        yield inline(" · ".join(f"{name} {value}" for name, value in versions))
    if digest := report.scorecard.get("model_digest"):
        yield f"Model digest {code(digest)}"
    if same := flat(report.scorecard.get("comparable") or {}):
        yield inline("Comparable with scorecards of: " + ", ".join(f"{k} {v}" for k, v in same))
