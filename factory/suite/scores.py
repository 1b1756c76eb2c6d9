"""What was measured: answers of every arm, and one metric's values for every item and arm."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from factory.contracts import Reply

ARMS = ("base", "prompted", "tuned", "again", "previous")
"""Base; base with the persona's prompt; tuned, as it will be served; base once more with other random
numbers and in another order (A/A); the release that is served now, where there is one."""

Family = Literal["voice", "content", "likelihood", "form", "forgetting", "safety"]
Better = Literal["higher", "lower", "none"]


@dataclass(frozen=True, slots=True)
class Answers:
    """What one arm said to one case."""

    greedy: Reply
    """The most likely answer: for display, and for suites that draw no samples."""
    samples: tuple[Reply, ...] = ()
    """Drawn at the serving temperature."""

    @property
    def all(self) -> tuple[Reply, ...]:
        """The greedy answer, then the samples."""
        return (self.greedy, *self.samples)


@dataclass(frozen=True, slots=True)
class Likelihood:
    """How likely one arm finds a given answer."""

    nll: float
    """Negative log-likelihood of the answer's tokens, in nats, summed."""
    tokens: int
    bytes: int
    """UTF-8 bytes of the answer."""

    @property
    def per_token(self) -> float:
        """Nats per token."""
        return self.nll / self.tokens


@dataclass(slots=True)
class Measured:
    """What was found out about one arm."""

    answers: dict[str, Answers] = field(default_factory=dict)
    """By case."""
    likelihoods: dict[str, dict[str, Likelihood]] = field(default_factory=dict)
    """Set of texts -> item. `held_out`, `train`: the persona's answers; `twin`: plain answers to the
    held-out questions, all three behind the arm's prompt; `plain`: those without any prompt;
    `neutral`: the base's own answers to everyday questions; `general`: texts; `refusals`."""
    turns: dict[str, list[Reply]] = field(default_factory=dict)
    """Script -> answer of every turn."""


@dataclass(frozen=True, slots=True)
class Scores:
    """One metric: for every arm and item the value of each of its answers.

    A metric that is deterministic has one value per item. Answers that could not be scored have no
    value and are counted (law 8).
    """

    name: str
    label: str
    family: Family
    better: Better
    values: Mapping[str, Mapping[str, Sequence[float]]]
    """Arm -> item -> values."""
    unit: str = ""
    """`share`, `nats per token`, `words`, or empty."""
    note: str = ""
    unscored: Mapping[str, int] = field(default_factory=dict)
    """Arm -> answers without a score."""
    strata: Mapping[str, str] = field(default_factory=dict)
    """Item -> stratum, where the metric is shown by stratum."""

    chance: float | None = None
    """What blind chance would score, where that is not 0."""

    def item_means(self, arm: str) -> dict[str, float]:
        """Mean over the answers to each item that has any value."""
        given = self.values.get(arm, {})
        return {item: statistics.fmean(found) for item, found in given.items() if found}

    def mean(self, arm: str) -> float | None:
        """Mean over items; every item counts the same. None without values."""
        found = self.item_means(arm).values()
        return statistics.fmean(found) if found else None

    def paired(self, arm: str, other: str) -> list[tuple[str, float, float]]:
        """Items both arms have a value for: (item, mean of `arm`, mean of `other`), in order."""
        mine, theirs = self.item_means(arm), self.item_means(other)
        return [(item, mine[item], theirs[item]) for item in mine if item in theirs]


@dataclass(frozen=True, slots=True)
class Instrument:
    """Whether something we measure with works, shown on planted defects."""

    name: str
    rule: str
    passed: bool | None
    """None where it could not be tried: then what it measures does not gate."""
    seen: str
