"""The gate: from measured arms to PASS, REGRESSION, INCONCLUSIVE or INVALID, with reasons.

This first form compares means against margins; exact tests and intervals belong to the full suite.
"""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from factory.spec import Evaluate

Arm = Literal["base", "prompted", "tuned"]
ARMS: tuple[Arm, ...] = ("base", "prompted", "tuned")
"""Base; base with the persona's prompt; tuned, as it will be served."""

Verdict = Literal["PASS", "REGRESSION", "INCONCLUSIVE", "INVALID"]

MIN_ROWS = 4
"""Held-out rows below which a perplexity decides nothing."""

MAX_UNGRADED = 0.1
"""Share of ungraded answers from which the instrument counts as broken."""


@dataclass(frozen=True, slots=True)
class Metric:
    """One measured quantity, by arm; None where it could not be measured."""

    name: str
    label: str
    better: Literal["lower", "higher", "none"]
    values: dict[Arm, float | None]
    n: int
    """Items measured per arm."""
    unit: str = ""
    note: str = ""
    ungraded: int = 0
    """Answers without a grade, over all arms."""

    def as_dict(self) -> dict[str, Any]:
        """Plain data for the scorecard."""
        return {
            "name": self.name,
            "label": self.label,
            "better": self.better,
            "unit": self.unit,
            "values": dict(self.values),
            "n": self.n,
            "note": self.note,
        }


@dataclass(frozen=True, slots=True)
class _Check:
    name: str
    rule: str
    passed: bool | None
    seen: str
    outcome: Verdict = "REGRESSION"
    """What a failed or impossible check means."""


def gate(
    config: Evaluate, metrics: Sequence[Metric], held_out: dict[Arm, list[float]]
) -> tuple[Verdict, str, list[dict[str, Any]]]:
    """Decide.

    Args:
        config: Margins.
        metrics: What was measured.
        held_out: Loss of every held-out row by arm, nats per token.

    Returns:
        The verdict, one sentence for people, and every check with rule and finding.
    """
    by_name = {metric.name: metric for metric in metrics}
    checks = [_perplexity(by_name["perplexity"], held_out)]
    for name, margin in (("accuracy", config.accuracy_margin), ("rules", config.rules_margin)):
        if name in by_name and by_name[name].n:
            checks.append(_not_worse(by_name[name], margin))
    checks.append(_stops(by_name["stop_rate"], config.min_stop_rate))
    verdict: Verdict = "PASS"
    for outcome in ("INVALID", "REGRESSION", "INCONCLUSIVE"):
        if any(not check.passed and check.outcome == outcome for check in checks):
            verdict = outcome
            break
    wrong = [check for check in checks if not check.passed and check.outcome == verdict]
    summary = (
        f"The tuned model passed all {len(checks)} checks."
        if verdict == "PASS"
        else "; ".join(f"{check.name}: {check.seen}" for check in wrong)
    )
    return (
        verdict,
        summary,
        [{"name": c.name, "rule": c.rule, "passed": c.passed, "seen": c.seen} for c in checks],
    )


def _perplexity(metric: Metric, held_out: dict[Arm, list[float]]) -> _Check:
    rule = "the tuned model's held-out perplexity is below the base's, with and without the prompt"
    base, prompted, tuned = (metric.values[arm] for arm in ARMS)
    if base is None or prompted is None or tuned is None:
        return _Check("perplexity", rule, None, "there are no held-out rows", "INCONCLUSIVE")
    better = sum(t < p for t, p in zip(held_out["tuned"], held_out["prompted"], strict=True))
    seen = (
        f"base {base:.1f}, prompted {prompted:.1f}, tuned {tuned:.1f};"
        f" {better} of {metric.n} rows better"
    )
    if not all(map(_finite, (v for arm in ARMS for v in held_out[arm]))):
        return _Check("perplexity", rule, None, "a likelihood is not a number", "INVALID")
    if metric.n < MIN_ROWS:
        few = f"only {metric.n} held-out rows, {MIN_ROWS} needed ({seen})"
        return _Check("perplexity", rule, None, few, "INCONCLUSIVE")
    return _Check("perplexity", rule, tuned < min(base, prompted), seen)


def _finite(value: float) -> bool:
    return value == value and abs(value) != float("inf")


def _not_worse(metric: Metric, margin: float) -> _Check:
    rule = f"at most {margin:.0%} below the better of base and prompted base"
    if metric.ungraded > MAX_UNGRADED * metric.n * len(ARMS):
        seen = f"{metric.ungraded} of {metric.n * len(ARMS)} answers could not be graded"
        return _Check(metric.name, rule, None, seen, "INVALID")
    tuned = metric.values["tuned"]
    others = [v for v in (metric.values["base"], metric.values["prompted"]) if v is not None]
    if tuned is None or not others:
        return _Check(metric.name, rule, None, "nothing could be graded", "INVALID")
    if metric.name == "accuracy" and tuned == max(others) == 0.0:
        return _Check(
            metric.name, rule, True, "no arm answered one right, so this check says nothing"
        )
    seen = f"tuned {tuned:.0%}, base {statistics.fmean(others[:1]):.0%}, prompted {others[-1]:.0%}"
    return _Check(metric.name, rule, tuned >= max(others) - margin - 1e-9, seen)


def _stops(metric: Metric, wanted: float) -> _Check:
    tuned, base = metric.values["tuned"], metric.values["base"]
    if tuned is None or base is None:
        return _Check("stop_rate", "answers end by themselves", None, "no answers", "INCONCLUSIVE")
    needed = min(wanted, base)
    rule = f"at least {needed:.0%} of the answers end by themselves"
    return _Check("stop_rate", rule, tuned >= needed - 1e-9, f"tuned {tuned:.0%}, base {base:.0%}")
