"""A finished build as one data object, and what follows from it in every rendering alike."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields, replace
from typing import Any, Literal

from factory.report.words import NOTHING, clean_all, number, sentence, spoken, with_unit

ARM_LABELS = {"base": "base", "prompted": "base with prompt", "tuned": "tuned"}

HEADLINES = {
    "PASS": "It passed: every gate held, and this model may be served.",
    "REGRESSION": "It did not pass: the tuned model is worse than its base where it counts.",
    "INCONCLUSIVE": "Undecided: the evidence does not say whether this model may be served.",
    "INVALID": "No score: the measurement itself failed, so nothing was judged.",
}

STABLE = "falling and stable"
"""The verdict on a loss curve that nothing has to be done about."""

Judgement = Literal["better", "worse", "same", "neutral", "unknown"]


@dataclass(frozen=True, slots=True)
class BuildReport:
    """Everything a report is made from; the dictionaries are the artifacts' own JSON."""

    name: str
    description: str
    base: str
    language: str
    verdict: str
    """PASS, REGRESSION, INCONCLUSIVE or INVALID."""
    scorecard: dict[str, Any]
    """`scorecard.json`. A metric whose unit is `share` is between 0 and 1."""
    answers: list[dict[str, Any]]
    """`answers.jsonl`: one entry per question or row, with the answers of every arm."""
    dataset: dict[str, Any]
    """`report.json` of the dataset."""
    plan: list[dict[str, Any]]
    """One entry per hyperparameter: name, value, reason, source, warning."""
    curve: dict[str, Any]
    """Verdict on the loss curve: verdict, explanation, remedy, applied."""
    certificate: dict[str, Any]
    """The parity certificate."""
    metrics: list[dict[str, Any]]
    """`metrics.jsonl`."""
    stages: list[dict[str, Any]]
    """name, key, seconds, cached, summary."""
    release: dict[str, Any] | None
    """number and path; None if nothing was released."""
    created: str
    """Date and time of the report, as it is to be shown."""

    def cleaned(self) -> BuildReport:
        """The same report without control codes in any text; renderings start from this."""
        return replace(self, **{x.name: clean_all(getattr(self, x.name)) for x in fields(self)})

    @property
    def headline(self) -> str:
        """The verdict as one plain sentence."""
        return HEADLINES.get(self.verdict, "No verdict.")

    @property
    def summary(self) -> str:
        """The scorecard's own sentence about its numbers."""
        return str(self.scorecard.get("summary") or "")


@dataclass(frozen=True, slots=True)
class CurveWords:
    """What is said about the loss curve; every part may be empty."""

    verdict: str
    explanation: str
    applied: str
    remedy: str
    """Empty for a curve that needs none."""


def curve_words(report: BuildReport) -> CurveWords:
    """The verdict on the loss curve in sentences."""
    told = {key: sentence(str(report.curve.get(key) or "")) for key in ("explanation", "applied")}
    verdict = str(report.curve.get("verdict") or "")
    remedy = "" if verdict == STABLE else sentence(str(report.curve.get("remedy") or ""))
    return CurveWords(verdict, remedy=remedy, **told)


@dataclass(frozen=True, slots=True)
class MetricRow:
    """One metric over all arms, and how the tuned model compares with the base."""

    label: str
    cells: tuple[tuple[str, str, float], ...]
    """`(arm, text, share)`: share is the value relative to the largest of the row, 0 to 1."""
    arrow: str
    change: str
    judgement: Judgement
    n: str
    note: str

    def text(self, arm: str) -> str:
        """The value of one arm as text."""
        return next((text for name, text, _ in self.cells if name == arm), NOTHING)

    @property
    def comparison(self) -> str:
        """`↓ 41% better`, `same`, or nothing where there is nothing to compare."""
        word = self.judgement if self.judgement in ("better", "worse", "same") else ""
        return " ".join(part for part in (self.arrow, self.change, word) if part)


@dataclass(frozen=True, slots=True)
class Gate:
    """One condition of the verdict: what was required and what was seen."""

    name: str
    rule: str
    seen: str
    passed: bool | None


def arms(report: BuildReport) -> list[str]:
    """The arms that were compared, the base first."""
    return list(report.scorecard.get("arms") or ARM_LABELS)


def metric_rows(report: BuildReport) -> list[MetricRow]:
    """The metrics in the scorecard's order."""
    names = arms(report)
    return [_metric_row(metric, names) for metric in report.scorecard.get("metrics") or []]


def _metric_row(metric: dict[str, Any], names: list[str]) -> MetricRow:
    values, unit = metric.get("values") or {}, metric.get("unit") or ""
    sizes = {arm: abs(v) for arm, v in values.items() if v is not None and math.isfinite(v)}
    largest = max(sizes.values(), default=0.0) or 1.0
    arrow, change, judgement = compare(
        values.get("base"), values.get("tuned"), metric.get("better", "none"), unit
    )
    return MetricRow(
        label=metric.get("label") or metric.get("name", ""),
        cells=tuple(
            (arm, with_unit(values.get(arm), unit), sizes.get(arm, 0.0) / largest) for arm in names
        ),
        arrow=arrow,
        change=change,
        judgement=judgement,
        n=f"{metric['n']:,}" if metric.get("n") is not None else NOTHING,
        note=metric.get("note") or "",
    )


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
        change = f"{100 * gap:.0f} points"
    elif base <= 0 or tuned <= 0:
        change = number(gap)
    elif tuned >= 3 * base:
        change = f"\N{MULTIPLICATION SIGN}{number(tuned / base)}"
    else:
        change = f"{100 * gap / base:.0f}%"
    if better not in ("lower", "higher"):
        return arrow, change, "neutral"
    return arrow, change, "better" if (tuned < base) == (better == "lower") else "worse"


def gates(report: BuildReport) -> list[Gate]:
    """The gates in the scorecard's order."""
    return [
        Gate(
            name=spoken(gate.get("name", "")),
            rule=gate.get("rule", ""),
            seen=gate.get("seen", ""),
            passed=gate.get("passed"),
        )
        for gate in report.scorecard.get("gates") or []
    ]
