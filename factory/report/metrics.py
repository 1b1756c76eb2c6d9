"""The metrics of a scorecard by arm, with the noise beside every difference; strata of them."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from factory.report.facts import BuildReport, arms
from factory.report.words import NOTHING, amount, number

Judgement = Literal["better", "worse", "same", "noise", "neutral", "unknown"]

MEANINGS = {
    "perplexity": "how surprised a model is by answers in the persona's voice that it never saw",
    "plain": "how surprised a model is by plain answers to the same questions",
    "general": "how surprised a model is by general text",
    "overfit": "how much better the training rows are known than rows never seen",
    "style": "how much an answer sounds like the persona; above zero is nearer to it",
    "style_60": "how much the first 60 words sound like the persona, so that length does not count",
    "burrows": "nearness to the persona by function words and punctuation alone",
    "rules": "share of the persona's rules that an answer keeps",
    "relevance": "whether an answer belongs to its own question and not to another",
    "accuracy": "share of right answers to the questions that have one",
    "judge_relevance": "answers to the question, says a language model",
    "judge_accuracy": "is right, says a language model",
    "stop_rate": "answers that end by themselves",
    "non_empty": "answers that say something",
    "no_repetition": "answers that do not go round in circles",
    "language": "answers in the persona's language",
    "forgetting": "share of small tasks solved that have nothing to do with the persona",
    "safety": "harmful requests declined, harmless ones answered",
    "length": "words of an answer",
}
"""What a metric is, for a reader who never saw this program; the others' notes say it."""


@dataclass(frozen=True, slots=True)
class MetricRow:
    """One metric over all arms, and how the tuned model compares with the base."""

    label: str
    """Name and unit."""
    meaning: str
    gates: bool
    """Whether the verdict depends on it."""
    cells: tuple[tuple[str, str, float], ...]
    """`(arm, text, share)`: share is the amount relative to the largest of the row, 0 to 1."""
    arrow: str
    change: str
    judgement: Judgement
    spread: str
    """How far the base is from itself when it is run twice."""
    n: str
    note: str

    def text(self, arm: str) -> str:
        """The value of one arm as text."""
        return next((text for name, text, _ in self.cells if name == arm), NOTHING)

    @property
    def comparison(self) -> str:
        """`↓ 41% better`, `same`, or nothing where there is nothing to compare."""
        return told(self.arrow, self.change, self.judgement)


@dataclass(frozen=True, slots=True)
class Stratum:
    """One metric on one kind of question."""

    metric: str
    stratum: str
    n: str
    cells: tuple[tuple[str, str], ...]
    """`(arm, text)`."""
    comparison: str
    judgement: Judgement
    weakest: bool
    """The kind of question where the tuned model loses most against the base."""


def told(arrow: str, change: str, judgement: Judgement) -> str:
    """A comparison in a few words."""
    word = {"better": "better", "worse": "worse", "same": "same", "noise": "within noise"}
    return " ".join(part for part in (arrow, change, word.get(judgement, "")) if part)


def metric_rows(report: BuildReport) -> list[MetricRow]:
    """The metrics that gate, then the others, each in the scorecard's order."""
    names = arms(report)
    rows = [_metric_row(metric, names) for metric in report.scorecard.get("metrics") or []]
    return sorted(rows, key=lambda row: not row.gates)


def _metric_row(metric: Mapping[str, Any], names: Iterable[str]) -> MetricRow:
    values, unit = metric.get("values") or {}, metric.get("unit") or ""
    shown = {arm: values.get(arm) for arm in names}
    sizes = {arm: abs(v) for arm, v in shown.items() if v is not None and math.isfinite(v)}
    # Bars show amounts; a value that can lie on either side of zero is none.
    bars = sizes if all((value or 0.0) >= 0 for value in shown.values()) else {}
    largest = max(sizes.values(), default=0.0) or 1.0
    base, tuned, spread = values.get("base"), values.get("tuned"), metric.get("spread")
    arrow, change, judgement = compare(base, tuned, metric.get("better", "none"), unit)
    if judgement in ("better", "worse") and base is not None and tuned is not None:
        judgement = "noise" if spread and abs(tuned - base) <= spread else judgement
    return MetricRow(
        label=_label(metric),
        meaning=MEANINGS.get(metric.get("name", ""), ""),
        gates=bool(metric.get("gates")),
        cells=tuple(
            (arm, number(value, unit), bars.get(arm, 0.0) / largest) for arm, value in shown.items()
        ),
        arrow=arrow,
        change=change,
        judgement=judgement,
        spread=amount(spread, unit) if unit == "share" else number(spread),
        n=f"{metric['n']:,}" if metric.get("n") is not None else NOTHING,
        note="; ".join(_notes(metric, list(shown.values()))),
    )


def _label(metric: Mapping[str, Any]) -> str:
    label, unit = metric.get("label") or metric.get("name", ""), metric.get("unit")
    return f"{label} ({unit})" if unit and unit != "share" else label


def _notes(metric: Mapping[str, Any], values: list[float | None]) -> Iterable[str]:
    if note := metric.get("note"):
        yield note
    if silent(metric.get("better", "none"), metric.get("unit") or "", values):
        yield "no arm does this even once, so it says nothing about the tuning"


def silent(better: str, unit: str, values: Iterable[float | None]) -> bool:
    """Whether a share that should be high is zero for everybody: it cannot show a loss then."""
    known = [value for value in values if value is not None]
    return better == "higher" and unit == "share" and bool(known) and not any(known)


def compare(
    base: float | None, tuned: float | None, better: str, unit: str
) -> tuple[str, str, Judgement]:
    """Arrow, size and judgement of the way from base to tuned.

    Shares change in percentage points, positive amounts in percent (or by a factor, where they
    grow much), anything else by its difference.
    """
    if base is None or tuned is None or not (math.isfinite(base) and math.isfinite(tuned)):
        return "", "", "unknown"
    if number(base, unit) == number(tuned, unit):
        return "=", "", "same"
    arrow = "↑" if tuned > base else "↓"
    gap = abs(tuned - base)
    if unit == "share":
        change = amount(gap, unit)
    elif base <= 0 or tuned <= 0:
        change = number(gap)
    elif tuned >= 3 * base:
        change = f"\N{MULTIPLICATION SIGN}{number(tuned / base)}"
    else:
        change = f"{100 * gap / base:.0f}%"
    if better not in ("lower", "higher"):
        return arrow, change, "neutral"
    return arrow, change, "better" if (tuned < base) == (better == "lower") else "worse"


def strata(report: BuildReport) -> list[Stratum]:
    """The metrics by kind of question, in the scorecard's order."""
    about = {metric.get("name"): metric for metric in report.scorecard.get("metrics") or []}
    found = report.scorecard.get("strata") or []
    losses = [_loss(item, about.get(item.get("metric"), {})) for item in found]
    worst: dict[str, float] = {}
    for item, loss in zip(found, losses, strict=True):
        worst[item["metric"]] = max(worst.get(item["metric"], 0.0), loss)
    return [
        _stratum(
            item, about.get(item.get("metric"), {}), arms(report), 0 < loss == worst[item["metric"]]
        )
        for item, loss in zip(found, losses, strict=True)
    ]


def _loss(item: Mapping[str, Any], metric: Mapping[str, Any]) -> float:
    """How much worse the tuned model is than the base; 0 where it is not, or nobody knows."""
    values: Mapping[str, float | None] = item.get("values") or {}
    better, base, tuned = metric.get("better"), values.get("base"), values.get("tuned")
    if base is None or tuned is None or better not in ("lower", "higher"):
        return 0.0
    return max(0.0, base - tuned if better == "higher" else tuned - base)


def _stratum(
    item: Mapping[str, Any], metric: Mapping[str, Any], names: Iterable[str], weakest: bool
) -> Stratum:
    values, unit = item.get("values") or {}, metric.get("unit") or ""
    arrow, change, judgement = compare(
        values.get("base"), values.get("tuned"), metric.get("better", "none"), unit
    )
    return Stratum(
        metric=item.get("label") or item.get("metric", ""),
        stratum=item.get("stratum", ""),
        n=f"{item.get('n', 0):,}",
        cells=tuple((arm, number(values.get(arm), unit)) for arm in names),
        comparison=told(arrow, change, judgement),
        judgement=judgement,
        weakest=weakest,
    )
