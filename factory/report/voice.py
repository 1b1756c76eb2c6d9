"""The persona's voice in words: what marks it, how long it lasts, and its tics."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from factory.report.facts import BuildReport, labels
from factory.report.words import NOTHING, number, sentence

TICS = {"opener": "begins with", "closer": "ends with", "phrase": "says"}


@dataclass(frozen=True, slots=True)
class Table:
    """A small table: first column a name, the others numbers as text."""

    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


def style_words(report: BuildReport) -> list[str]:
    """What the style scorer learned and how far the model went, one sentence each."""
    style = report.scorecard.get("style")
    return list(_style_words(style)) if style else []


def _style_words(style: Mapping[str, Any]) -> Iterator[str]:
    if (auc := style.get("auc")) is not None:
        yield (
            "A small classifier learned from the training rows to tell answers in this voice from "
            f"plain ones. On answers it had not seen it ranks such a pair rightly {number(auc, 'share')} "
            "of the time (50% is guessing)."
        )
    for fact in style.get("explained") or []:
        yield sentence(fact)
    if (transfer := style.get("transfer")) is not None:
        yield (
            f"Tuning moves the voice {number(transfer)} times as far from the base as the system "
            "prompt alone does."
        )
    if (kept := style.get("without_prompt")) is not None:
        tokens = style.get("prompt_tokens")
        saved = f", which would save {tokens} tokens a request" if tokens else ""
        yield f"Without its system prompt the tuned model keeps {number(kept, 'share')} of it{saved}."


def features(report: BuildReport) -> list[tuple[str, list[str]]]:
    """The most telling pieces of text on either side."""
    found = (report.scorecard.get("style") or {}).get("features") or {}
    names = (("persona", "typical of the persona"), ("plain", "typical of plain answers"))
    return [(title, [str(x) for x in found[side]]) for side, title in names if found.get(side)]


def hold(report: BuildReport) -> Table | None:
    """The style over the turns of a conversation, and when told to drop it."""
    held = report.scorecard.get("hold")
    if not held:
        return None
    style, attacks = held.get("style") or {}, held.get("attacks") or {}
    turns = held.get("turns") or []
    return Table(
        head=("", *(f"turn {turn}" for turn in turns), "told to stop"),
        rows=tuple(
            (label, *map(_level, style.get(arm) or [None] * len(turns)), _level(attacks.get(arm)))
            for arm, label in labels(report).items()
            if arm in style or arm in attacks
        ),
    )  # fmt: skip


def _level(value: float | None) -> str:
    # One sign and one decimal for all, so that a row can be read at a glance.
    return (
        NOTHING
        if value is None or value != value
        else f"{value:+.1f}".replace("-", "\N{MINUS SIGN}")
    )


def tics(report: BuildReport) -> Table | None:
    """The most common beginning, ending and phrase of every arm, with the share of its answers."""
    found, names = report.scorecard.get("tics") or {}, labels(report)
    shown = [arm for arm in names if arm in found]
    if not shown:
        return None
    return Table(
        head=("", *(names[arm] for arm in shown)),
        rows=tuple(
            (title, *(_tic(found[arm].get(kind)) for arm in shown)) for kind, title in TICS.items()
        ),
    )


def _tic(tic: Any) -> str:
    if not tic or not tic[0]:
        return NOTHING
    text, share = tic
    return f"\N{LEFT DOUBLE QUOTATION MARK}{text}\N{RIGHT DOUBLE QUOTATION MARK} {number(share, 'share')}"
