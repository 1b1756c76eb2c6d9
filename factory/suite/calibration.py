"""How far the judge agrees with people, and what its rates are once its errors are taken out."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist

from factory.suite.picks import ASPECTS, Pick
from factory.suite.scores import Scores

USEFUL = 1.2
"""Sensitivity and specificity together above which a judge may gate (1 is guessing)."""
ENOUGH = 3
"""Picks of either kind under which nothing is said of the judge."""


@dataclass(frozen=True, slots=True)
class Calibration:
    """The judge against people, on the event that the tuned answer is preferred."""

    sensitivity: float | None
    """Share of the picks for the tuned model in which the judge said the same (q1)."""
    specificity: float | None
    """Share of the other picks, ties included, in which it did not (q0)."""
    preferred: int
    """Picks for the tuned model."""
    others: int
    may_gate: bool | None
    """None where there are too few picks to tell."""
    judged: float | None
    """Share of all questions in which the judge preferred the tuned model, as it is."""
    corrected: float | None = None
    """The same without the judge's errors."""
    low: float | None = None
    high: float | None = None
    """95% interval of `corrected`."""


def calibrate(picks: Sequence[Pick], scores: Scores, against: str) -> Calibration:
    """Compare the judge with people on the same answers.

    Args:
        picks: On the answers that were judged (see `picks.matching`).
        scores: `judge_relevance`, `judge_accuracy` or `judge_style`.
        against: The arm that the tuned model was compared with.

    Raises:
        ValueError: If these are no scores of the judge's.
    """
    aspect = next((a for a in ASPECTS if scores.name == f"judge_{a}"), None)
    if aspect is None:
        raise ValueError(f"{scores.name} is no score of the judge's")
    says = {item: mine > theirs for item, mine, theirs in scores.paired("tuned", against)}
    human = {
        pick.id: pick.choices[aspect] == "tuned"
        for pick in picks
        if pick.against == against and aspect in pick.choices and pick.id in says
    }
    hits = [says[item] for item, tuned in human.items() if tuned]
    passes = [not says[item] for item, tuned in human.items() if not tuned]
    rate = sum(says.values()) / len(says) if says else None
    q1 = sum(hits) / len(hits) if hits else None
    q0 = sum(passes) / len(passes) if passes else None
    if q0 is None or q1 is None or rate is None or min(len(hits), len(passes)) < ENOUGH:
        return Calibration(q1, q0, len(hits), len(passes), None, rate)
    if q0 + q1 <= USEFUL:
        return Calibration(q1, q0, len(hits), len(passes), False, rate)
    low, high = interval(rate, q0, q1, len(says), len(passes), len(hits))
    return Calibration(
        q1,
        q0,
        len(hits),
        len(passes),
        True,
        rate,
        _clip((rate + q0 - 1) / (q0 + q1 - 1)),
        low,
        high,
    )


def interval(
    p: float, q0: float, q1: float, n: int, m0: int, m1: int, alpha: float = 0.05
) -> tuple[float, float]:
    """Interval of a judged rate that was corrected for the judge's errors (arXiv 2511.21140, app. C).

    Lang and Reiczigel's interval for a prevalence whose test's errors are estimated, too: rates are
    smoothed (by z^2/2 of z^2 for `p`, by 1 of 2 for `q0` and `q1`), the estimate is shifted, and
    the variances of all three add up.

    Args:
        p: Judged rate over `n` items.
        q0: Specificity, over `m0` items.
        q1: Sensitivity, over `m1` items.
        n: Items judged.
        m0: Items that people said no to.
        m1: Items that people said yes to.
        alpha: Chance of a miss.

    Raises:
        ValueError: If the judge is no better than guessing after smoothing.
    """
    z = NormalDist().inv_cdf(1 - alpha / 2)
    p, q0, q1 = (n * p + z**2 / 2) / (n + z**2), (m0 * q0 + 1) / (m0 + 2), (m1 * q1 + 1) / (m1 + 2)
    better = q0 + q1 - 1
    if better <= 0:
        raise ValueError("a judge that guesses cannot be corrected")
    of_p, of_q0, of_q1 = (
        p * (1 - p) / (n + z**2), q0 * (1 - q0) / (m0 + 2), q1 * (1 - q1) / (m1 + 2),
    )  # fmt: skip
    rate = (p + q0 - 1) / better
    shift = 2 * z**2 * (rate * of_q1 - (1 - rate) * of_q0)
    half = z * math.sqrt(of_p + (1 - rate) ** 2 * of_q0 + rate**2 * of_q1) / better
    return _clip(rate + shift - half), _clip(rate + shift + half)


def _clip(share: float) -> float:
    return min(1.0, max(0.0, share))
