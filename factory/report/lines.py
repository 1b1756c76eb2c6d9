"""One stage of a running build: its state, what it said so far, and both in words."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Literal

from factory.report.words import clean, clock, duration, number

SPARK = "▁▂▃▄▅▆▇█"
SPARK_WIDTH = 20

Fact = float | int | str | None
State = Literal["waiting", "running", "done", "cached", "failed"]


@dataclass(slots=True)
class Line:
    """What is known about one stage; times are seconds of a monotonic clock."""

    name: str
    state: State = "waiting"
    started: float = 0.0
    seconds: float | None = None
    """Wall time of a stage that ended."""
    summary: str = ""
    facts: dict[str, Fact] = field(default_factory=dict)
    """The latest value of everything the stage reported."""
    losses: list[float] = field(default_factory=list)

    def begin(self, now: float) -> None:
        """The stage starts to work."""
        self.state, self.started, self.facts, self.losses = "running", now, {}, []

    def learn(self, facts: dict[str, Fact]) -> None:
        """Take note of what the stage reports."""
        # A new dict each time: the thread that redraws may be reading the old one.
        self.facts = self.facts | facts
        if isinstance(loss := facts.get("loss"), float | int):
            self.losses.append(float(loss))

    def took(self, now: float) -> str:
        """Time spent, or `cached`; empty for a stage that did not start."""
        if self.state == "running":
            return duration(now - self.started)
        if self.state == "cached":
            return "cached"
        return "" if self.seconds is None else duration(self.seconds)

    @property
    def note(self) -> str:
        """What the stage says in its own words, on one line."""
        return " ".join(clean(self.facts.get("note") or "").split())

    @property
    def steps(self) -> tuple[int, int] | None:
        """Steps done and steps in all, if both are known."""
        step, total = self.facts.get("step"), self.facts.get("total")
        if isinstance(step, int) and isinstance(total, int) and total > 0:
            return step, total
        return None

    def seconds_left(self, now: float) -> float | None:
        """The stage's own estimate, else one from the steps so far."""
        if isinstance(left := self.facts.get("seconds_left"), float | int):
            return float(left)
        elapsed = now - self.started
        # The first moments tell nothing about the rest.
        if self.steps and 0 < self.steps[0] <= self.steps[1] and elapsed > 1:
            step, total = self.steps
            return elapsed * (total - step) / step
        return None

    def measurements(self) -> list[str]:
        """The measurements among the facts, in words."""
        kinds = (
            ("loss", "loss {}", ""),
            ("validation_loss", "held-out {}", ""),
            ("token_accuracy", "token accuracy {}", "share"),
            ("tokens_per_second", "{} tokens/s", ""),
        )
        return [
            words.format(number(float(value), unit))
            for name, words, unit in kinds
            if isinstance(value := self.facts.get(name), float | int)
        ]

    def told(self, now: float) -> str:
        """Everything known, in one plain line."""
        parts = []
        if self.steps:
            step, total = self.steps
            parts.append(f"{step}/{total} ({100 * step / total:.0f}%)")
        parts += self.measurements()
        if (left := self.seconds_left(now)) is not None:
            parts.append(f"{clock(left)} left")
        if self.note:
            parts.append(self.note)
        return ", ".join(parts) or f"{self.took(now)} so far"


def sparkline(values: Sequence[float]) -> str:
    """The course of some values in one line of at most `SPARK_WIDTH` characters."""
    finite = [value for value in values if abs(value) < float("inf")]
    if len(finite) < 2:
        return ""
    width = min(SPARK_WIDTH, len(finite))
    edges = [len(finite) * i // width for i in range(width + 1)]
    means = [sum(finite[a:b]) / (b - a) for a, b in pairwise(edges)]
    low, high = min(means), max(means)
    scale = (len(SPARK) - 1) / (high - low) if high > low else 0.0
    return "".join(SPARK[round((mean - low) * scale)] for mean in means)
