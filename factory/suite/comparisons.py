"""One metric, the tuned model against another arm: the tests, and what they found in plain words."""

from __future__ import annotations

import statistics as means
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

from factory.suite import statistics
from factory.suite.checks import (
    ALPHA,
    ARM_WORDS,
    FEWEST,
    PASSED,
    Check,
    Verdict,
    amount,
    bound,
    level,
    signed,
)
from factory.suite.scores import Scores

ABOVE = 2.0
"""Margins above blind chance from which a score is taken for more than chance and echoed words."""

_SAME = 1e-4
"""Nats per token that the order within a batch may change in a likelihood."""

_EQUAL = 1e-9
"""Differences of equal changes by rounding."""


@dataclass(frozen=True, slots=True)
class Draft:
    """A check that only the adjustment for all checks together can turn into a regression."""

    check: Check
    harm: float | None = None
    """p of being worse by chance, adjusted for both looks; None where it can never reach ALPHA."""
    large: bool = False
    """Whether the loss is large enough for a regression."""
    firm: bool = False
    """Whether a large and significant loss is a regression even if it is inside the margin."""
    unsure: str = ""
    """What to add to what was seen where the check stays undecided."""


@dataclass(frozen=True)
class Comparison:
    """What a test needs to know.

    Args:
        metric: The scores.
        against: The other arm.
        alpha: Error of this look.
        noun: What was asked, in the plural.
        margin: Largest acceptable loss; 0 where the tuned model must be better.
        large: Share of the margin from which a significant loss is a regression.
    """

    metric: Scores
    against: str
    alpha: float
    noun: str
    margin: float = 0.0
    large: float = 0.5

    @cached_property
    def pairs(self) -> list[tuple[str, float, float]]:
        """Items with the mean of the tuned model and of the other arm."""
        return self.metric.paired("tuned", self.against)

    def differences(self) -> list[float]:
        """Tuned minus other by item; negative is worse."""
        sign = -1.0 if self.metric.better == "lower" else 1.0
        return [sign * (tuned - other) for _, tuned, other in self.pairs]

    def check(self, verdict: Verdict, rule: str, seen: str, **figures: Any) -> Check:
        """A check of this comparison."""
        named = {"name": self.metric.name, "against": self.against, "unit": self.metric.unit}
        figures = {"n": len(self.pairs), **named, **figures}
        return Check(rule=rule, passed=PASSED[verdict], verdict=verdict, seen=seen, **figures)

    def scaled(self, p: float) -> float:
        """A p-value as if this look were the only one (Bonferroni for both looks)."""
        return min(1.0, p * ALPHA / self.alpha)

    def levels(self) -> str:
        """`tuned 72%, the base model 75%, over 20 questions`."""
        unit = self.metric.unit
        tuned = level(means.fmean(value for _, value, _ in self.pairs), unit)
        other = level(means.fmean(value for _, _, value in self.pairs), unit)
        named = f"tuned {tuned}, {ARM_WORDS[self.against]} {other}"
        return f"{named}{'' if unit == 'share' else f' {unit}'.rstrip()}, over {self.count()}"

    def count(self) -> str:
        """`20 questions`."""
        return f"{len(self.pairs)} {self.noun}"


def must_fall(given: Comparison) -> Draft:
    """Deterministic and required: the tuned model is better (sign-flip permutation of the mean)."""
    changes = given.differences()
    rule = f"{given.metric.label}: better than {ARM_WORDS[given.against]} (exact test, p at most {ALPHA})"
    if few := _few(given, rule):
        return few
    shown = statistics.non_inferiority(changes, 0.0, given.alpha)
    p = statistics.sign_flip(changes)
    seen = f"{given.levels()}; {_better(changes)} of {len(changes)} better, p = {p:.2g}"
    figures = {"estimate": shown.mean, "low": shown.low, "high": shown.high, "p": p}
    if max(map(abs, changes)) < _SAME:
        same = f"no different from {ARM_WORDS[given.against]} on any of {given.count()}"
        return Draft(given.check("REGRESSION", rule, same, **figures))
    check = given.check("PASS" if p <= given.alpha else "INCONCLUSIVE", rule, seen, **figures)
    return Draft(check, _harm(given, changes), large=True)


def must_win(given: Comparison) -> Draft:
    """Sampled and required: the tuned model is better on most questions (exact sign test)."""
    changes = given.differences()
    rule = (
        f"{given.metric.label}: above {ARM_WORDS[given.against]} on most {given.noun} (sign test)"
    )
    if few := _few(given, rule):
        return few
    wins, losses = _better(changes), sum(change < 0 for change in changes)
    shown = statistics.non_inferiority(changes, 0.0, given.alpha)
    p = given.scaled(statistics.sign_test(wins, losses))
    seen = f"{given.levels()}; above on {wins}, below on {losses}, p = {p:.2g}"
    figures = {"estimate": shown.mean, "low": shown.low, "high": shown.high, "p": p}
    check = given.check("PASS" if p <= ALPHA else "INCONCLUSIVE", rule, seen, **figures)
    harm = given.scaled(statistics.sign_test(losses, wins)) if wins + losses >= FEWEST else None
    return Draft(check, harm, large=True)


def not_worse(given: Comparison) -> Draft:
    """The tuned model's mean is at most a margin below the other's (Student's t, one-sided)."""
    changes, unit = given.differences(), given.metric.unit
    rule = f"{given.metric.label}: at most {amount(given.margin, unit)} worse than {ARM_WORDS[given.against]}"
    if len(changes) < FEWEST:
        seen = f"not gated: only {given.count()}, {FEWEST} are needed"
        return Draft(replace(given.check("PASS", rule, seen, margin=given.margin), passed=None))
    if _silent(given):
        seen = f"says nothing: neither model passes any of {given.count()}"
        return Draft(given.check("PASS", rule, seen, margin=given.margin))
    other = means.fmean(value for _, _, value in given.pairs)
    if given.metric.unit == "share" and other <= given.margin:
        seen = (
            f"says nothing: {ARM_WORDS[given.against]} passes {level(other, unit)}, so there is no"
            " more than the margin to lose"
        )
        return Draft(given.check("PASS", rule, seen, margin=given.margin))
    if given.metric.chance is not None and other < given.metric.chance + ABOVE * given.margin:
        seen = (
            f"says nothing: {ARM_WORDS[given.against]} has {level(other, unit)} and blind chance"
            f" {level(given.metric.chance, unit)}, so there is hardly anything to lose"
        )
        return Draft(given.check("PASS", rule, seen, margin=given.margin))
    shown = statistics.non_inferiority(changes, given.margin, given.alpha)
    seen = f"{given.levels()}: {signed(shown.mean, unit)}"
    if shown.low < shown.mean:
        seen += f", {bound(shown.low, unit)} with {100 * (1 - given.alpha):.3g}% confidence"
    smallest = amount(shown.detectable, unit)
    unsure = (
        f"; this run could not have shown a loss of less than {smallest}"
        if shown.detectable > given.margin
        else ""
    )
    check = given.check(
        "PASS" if shown.shown else "INCONCLUSIVE", rule, seen, margin=given.margin,
        estimate=shown.mean, low=shown.low, high=shown.high,
        detectable=_detectable(given, changes, shown),
    )  # fmt: skip
    large = shown.mean <= -given.margin * given.large
    return Draft(check, _harm(given, changes), large, unsure=unsure)


def _detectable(
    given: Comparison, changes: Sequence[float], shown: statistics.NonInferiority
) -> float | None:
    """The smallest loss that would have been seen.

    Where all questions change alike their spread is 0, and says nothing of those that were not asked: of
    shares what is known is how many could still lose all, of anything else nothing.
    """
    if max(changes) - min(changes) > _EQUAL:
        return shown.detectable
    if given.metric.unit != "share":
        return None
    return statistics.upper_bound_without_failure(len(changes), given.alpha)


def passes(given: Comparison) -> Draft:
    """Items answered once, right or wrong: McNemar's exact test and the Dirichlet pair model."""
    rule = (
        f"{given.metric.label}: at most {amount(given.margin, 'share')} fewer passed than by"
        f" {ARM_WORDS[given.against]}"
    )
    right = [(tuned >= 0.5, other >= 0.5) for _, tuned, other in given.pairs]
    n = len(right)
    if n < FEWEST:
        seen = f"not gated: only {given.count()}, {FEWEST} are needed"
        return Draft(replace(given.check("PASS", rule, seen, margin=given.margin), passed=None))
    both, neither = right.count((True, True)), right.count((False, False))
    broken, mended = right.count((False, True)), right.count((True, False))
    if neither == n:
        seen = f"says nothing: neither model passes any of {given.count()}"
        return Draft(given.check("PASS", rule, seen, margin=given.margin))
    risk = statistics.harm_probability(both, broken, mended, neither, given.margin)
    low, high = statistics.binary_bounds(both, broken, mended, neither, given.alpha)
    likely = statistics.jeffreys(both + mended, n)
    seen = (
        f"{given.levels()} (tuned is likely between {likely[0]:.0%} and {likely[1]:.0%});"
        f" {broken} lost, {mended} gained; chance of a loss beyond the margin {risk:.1%}"
    )
    if not broken:
        most = statistics.upper_bound_without_failure(n, given.alpha)
        seen += f"; with none lost, up to {most:.1%} could still be"
    lost = tuple(item for item, tuned, other in given.pairs if tuned < 0.5 <= other)
    check = given.check(
        "PASS" if risk <= given.alpha else "INCONCLUSIVE", rule, seen, margin=given.margin,
        estimate=(mended - broken) / n, low=low, high=high, items=lost,
    )  # fmt: skip
    harm = given.scaled(statistics.mcnemar(broken, mended)) if broken + mended >= FEWEST else None
    return Draft(check, harm, (broken - mended) / n >= given.margin / 2, firm=True)


def within_budget(given: Comparison) -> Draft:
    """Deterministic, of the tuned model alone: its mean stays within the margin."""
    values = list(given.metric.item_means("tuned").values())
    unit, mean = given.metric.unit, means.fmean(values)
    rule = f"{given.metric.label}: at most {amount(given.margin, unit)}"
    seen = f"{amount(mean, unit)} over {len(values)} {given.noun}"
    if given.margin / 2 < mean <= given.margin:
        seen += ", more than half of what is allowed"
    figures: dict[str, Any] = {"n": len(values), "estimate": -mean, "margin": given.margin}
    if len(values) > 1:
        shown = statistics.non_inferiority([-value for value in values], given.margin, given.alpha)
        figures |= {"low": shown.low, "high": shown.high}
    verdict: Verdict = "PASS" if mean <= given.margin else "REGRESSION"
    return Draft(given.check(verdict, rule, seen, **figures))


def _few(given: Comparison, rule: str) -> Draft | None:
    needed = statistics.pairs_needed(given.alpha)
    if len(given.pairs) >= needed:
        return None
    return Draft(given.check("INCONCLUSIVE", rule, f"only {given.count()}, {needed} are needed"))


def _silent(given: Comparison) -> bool:
    return given.metric.unit == "share" and not any(a or b for _, a, b in given.pairs)


def _better(changes: Sequence[float]) -> int:
    return sum(change > 0 for change in changes)


def _harm(given: Comparison, changes: Sequence[float]) -> float | None:
    if sum(change != 0 for change in changes) < FEWEST:
        return None  # can never reach ALPHA, so it costs the other checks nothing (Tarone 1990)
    return given.scaled(statistics.sign_flip([-change for change in changes]))
