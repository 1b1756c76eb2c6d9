"""A finished build as one data object, and what follows from it in every rendering alike."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import Any

from factory.report.words import clean_all, sentence

ARM_LABELS = {"base": "base", "prompted": "base with prompt", "tuned": "tuned"}
SHOWN_ARMS = tuple(ARM_LABELS)

HEADLINES = {
    "PASS": "It passed: every gate held, and this model may be served.",
    "REGRESSION": "It did not pass: the tuned model is worse than its base where it counts.",
    "INCONCLUSIVE": "Undecided: the evidence does not say whether this model may be served.",
    "INVALID": "No score: the measurement itself failed, so nothing was judged.",
}

STABLE = "falling and stable"
"""The verdict on a loss curve that nothing has to be done about."""


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


def arms(report: BuildReport) -> list[str]:
    """The arms that are shown, the base first; the base's second run is a spread, not a column."""
    return [arm for arm in report.scorecard.get("arms") or SHOWN_ARMS if arm != "again"]


def labels(report: BuildReport) -> dict[str, str]:
    """What each shown arm is called; the release that is served now goes by its own name."""
    known = ARM_LABELS | {"previous": report.scorecard.get("previous") or "previous release"}
    return {arm: known.get(arm, arm) for arm in arms(report)}
