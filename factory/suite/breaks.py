"""Hard breaks: questions that another model always gets right and the tuned model now gets wrong.

A mean over questions does not see a rare one that breaks (a nominal 95% interval covers such harm in
64% of runs with ten questions), so each question is also looked at alone.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from factory.suite.checks import ARM_WORDS, Check
from factory.suite.scores import Scores

Confirm = Callable[[str, Sequence[str]], Mapping[str, Sequence[float]]]
"""Asks the tuned model again: metric and items to FRESH new values for each item."""

FEWEST_ANSWERS = 5
"""Answers of the other model, all of them right, from which an item counts as one it always passes."""

FAILED = 0.6
"""Share of the tuned model's answers that fail where an item is suspect: 3 of 5."""

FRESH = 5
"""Answers asked for again."""

CONFIRMED = 0.75
"""Share of all its answers, those that made it suspect and the fresh ones, that must fail: 8 of 10.
Simulated with 20 questions (pass rates Beta(2, 0.7)) and 5 answers, a model compared with itself as
base and as previous release shows such a break in 0.4% of runs, against 5.6% where 3 of the 5 fresh
answers are enough; an item that now passes one time in ten is still caught in 93%, against 98%."""


def suspects(metric: Scores, against: str) -> list[str]:
    """Items that the other arm passes every time and the tuned model mostly fails."""
    theirs, ours = metric.values.get(against, {}), metric.values.get("tuned", {})
    return [
        item
        for item, values in theirs.items()
        if len(values) >= FEWEST_ANSWERS
        and not _failures(values)
        and ours.get(item)
        and _failures(ours[item]) >= FAILED * len(ours[item]) - 1e-9
    ]


def confirmed(
    check: Check,
    metric: Scores,
    items: Sequence[str],
    fresh: Mapping[str, Sequence[float]],
) -> Check:
    """The check with what came out of its suspects.

    Args:
        check: Of the metric against one arm.
        metric: Its scores.
        items: That comparison's suspects.
        fresh: New values by item; an item that has too few of them stays undecided.
    """
    if not items:
        return check
    other = ARM_WORDS[check.against]
    unsure = [item for item in items if len(fresh.get(item, ())) < FRESH]
    answers = {i: [*metric.values["tuned"][i], *fresh[i]] for i in items if i not in unsure}
    broken = [i for i, found in answers.items() if _failures(found) >= CONFIRMED * len(found)]
    if broken:
        seen = f"{check.seen}; broken where {other} never failed: {', '.join(broken)}"
        return replace(check.decided("REGRESSION", seen), items=(*check.items, *broken))
    if unsure and check.verdict != "REGRESSION":
        seen = f"{check.seen}; perhaps broken where {other} never failed: {', '.join(unsure)}"
        return replace(check.decided("INCONCLUSIVE", seen), items=(*check.items, *unsure))
    return check


def _failures(values: Sequence[float]) -> int:
    return sum(value < 1 - 1e-9 for value in values)
