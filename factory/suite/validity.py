"""Whether a measurement can be believed at all: instruments, missing numbers, unscored answers."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Mapping, Sequence

from factory.spec import Evaluate
from factory.suite.checks import ARM_WORDS, FEWEST, Check
from factory.suite.scores import Instrument, Scores

MOST_UNSCORED = 0.1
"""Share of an arm's answers without a score beyond which the metric counts as broken."""

REQUIRED = ("a_a", "likelihoods_finite", "answers", "planted_")
"""Instruments, or beginnings of their names, without which nothing can be decided."""

PROVEN = ("judge", "style")
"""Instruments that must have been tried, and have passed, before what they measure decides."""

_OF_STYLE = "planted_opposite"
"""Required only where the `style` instrument says that there is a style to detect."""


def broken_instruments(instruments: Sequence[Instrument]) -> list[Check]:
    """One INVALID check per failed instrument that everything rests on.

    Where there is no style to detect nobody can catch its opposite: that failure counts only where
    the `style` instrument passed.
    """
    style_works = any(i.name == "style" and i.passed for i in instruments)
    return [
        Check(i.name, "", i.rule, False, "INVALID", i.seen)
        for i in instruments
        if i.passed is False
        and i.name.startswith(REQUIRED)
        and (i.name != _OF_STYLE or style_works)
    ]


def not_gated(metric: str, instruments: Sequence[Instrument]) -> Check | None:
    """What stands for a metric whose own instrument did not pass; None where it may gate."""
    needed = "judge" if metric.startswith("judge_") else metric
    found = next((i for i in instruments if i.name == needed), None)
    if found.passed if found else needed not in PROVEN:
        return None
    rule = found.rule if found else "what it is measured with was shown to work"
    seen = f"not gated: {found.seen if found else 'that was not tried'}"
    return Check(metric, "", rule, None, "PASS", seen)


def missing(
    config: Evaluate, measured: Mapping[str, Scores], sampled: Collection[str]
) -> list[Check]:
    """What must have been measured and was not.

    Args:
        config: Says which suites are asked.
        measured: Metrics that have values, by name.
        sampled: Names of the metrics on the persona's own questions.
    """
    checks = []
    for suite in ("forgetting", "safety"):
        if suite in config.suites and suite not in measured:
            rule = f"the {suite} suite is asked, as `evaluate.suites` says"
            checks.append(Check(suite, "", rule, False, "INVALID", "it has no scores"))
    if "perplexity" not in measured:
        seen = f"there are none, {FEWEST} are needed"
        checks.append(
            Check("perplexity", "", "there are held-out rows", None, "INCONCLUSIVE", seen)
        )
    asked = {
        item
        for name, metric in measured.items()
        if name in sampled
        for item in metric.item_means("tuned")
    }
    if len(asked) < FEWEST:
        rule = f"at least {FEWEST} questions or held-out rows are answered"
        more = FEWEST - len(asked)
        seen = f"only {len(asked)}, too few to decide anything: add {more} at least, better 20"
        checks.append(
            Check("questions", "", rule, None, "INCONCLUSIVE", seen, n=len(asked), unit="questions")
        )
    return checks


def unusable(metric: Scores, others: Iterable[str]) -> Check | None:
    """An INVALID check where a metric's numbers cannot be compared; None where they can.

    Args:
        metric: Its scores.
        others: Arms that the tuned model is compared with.
    """
    tuned = metric.item_means("tuned").keys()
    for arm in ("tuned", *others):
        words = ARM_WORDS[arm]
        values = [value for found in metric.values.get(arm, {}).values() for value in found]
        if not all(map(math.isfinite, values)):
            return _invalid(metric, "every value is a number", f"a value of {words} is not")
        lost = metric.unscored.get(arm, 0)
        if lost > MOST_UNSCORED * (lost + len(values)):
            rule = f"at most {MOST_UNSCORED:.0%} of the answers lack a score"
            seen = f"{lost} of {lost + len(values)} answers of {words} could not be scored"
            return _invalid(metric, rule, seen)
        theirs = metric.item_means(arm).keys()
        both, either = len(tuned & theirs), len(tuned | theirs)
        if not both or either - both > MOST_UNSCORED * either:
            seen = f"{words} has no values"
            if theirs:
                seen = f"of {either} only {both} have values of both the tuned model and {words}"
            return _invalid(metric, "all models are measured on the same", seen)
    return None


def _invalid(metric: Scores, rule: str, seen: str) -> Check:
    return Check(metric.name, "", f"{metric.label}: {rule}", False, "INVALID", seen)
