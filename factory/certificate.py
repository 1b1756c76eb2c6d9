"""The parity certificate: is the model that will be served the model that was trained?

Every leg answers the same probe prompts greedily and is compared with the adapter as it was in
memory right after training. Thresholds come from running the reference model twice.
"""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

PROBE_TOKENS = 24
"""Length of a probe's greedy answer, in tokens."""

MIN_AGREEMENT = 0.98
"""Share of greedy tokens that must agree, ties aside."""

FLOOR_MEAN, FLOOR_MAX = 0.001, 0.01
"""Smallest thresholds on the difference of log-probabilities, in nats. Kernels of two engines in fp32
were measured 0.000005 apart at most; a rounding to 16 bit is in the measured noise and not in here."""

NOISE_FACTOR = 3.0
"""A leg may differ three times as much as the reference differs from itself."""


@dataclass(frozen=True, slots=True)
class Answer:
    """One probe's greedy answer by one leg; log-probabilities include the stop token's."""

    prompt_ids: list[int]
    token_ids: list[int]
    log_probabilities: list[float]
    stopped: bool
    margins: list[float] | None = None


@dataclass(frozen=True, slots=True)
class Noise:
    """How much the reference differs from itself, in nats."""

    mean: float
    max: float

    @property
    def thresholds(self) -> dict[str, float]:
        """What a leg may differ by."""
        return {
            "mean": max(FLOOR_MEAN, NOISE_FACTOR * self.mean),
            "max": max(FLOOR_MAX, NOISE_FACTOR * self.max),
            "token_agreement": MIN_AGREEMENT,
        }


@dataclass(frozen=True, slots=True)
class Leg:
    """One way to run the model, compared with the reference."""

    name: str
    status: Literal["passed", "failed", "missing"]
    prompt_ids_equal: bool | None
    token_agreement: float | None
    mean_logprob_difference: float | None
    max_logprob_difference: float | None
    stop_agreement: float | None
    reason: str


def differences(reference: Sequence[Answer], other: Sequence[Answer]) -> list[float]:
    """Absolute differences of log-probabilities, up to where the greedy tokens part."""
    found = []
    for a, b in zip(reference, other, strict=True):
        shared = _shared(a, b)
        pairs = zip(a.log_probabilities[:shared], b.log_probabilities[:shared], strict=False)
        found += [abs(x - y) for x, y in pairs]
    return found


def noise(reference: Sequence[Answer], again: Sequence[Answer]) -> Noise:
    """The reference against its own second run."""
    found = differences(reference, again) or [0.0]
    return Noise(statistics.fmean(found), max(found))


def missing(name: str, reason: str) -> Leg:
    """A leg that could not run here."""
    return Leg(name, "missing", None, None, None, None, None, reason)


def compare(name: str, reference: Sequence[Answer], other: Sequence[Answer], noise: Noise) -> Leg:
    """Hold one leg to the reference.

    A greedy token may differ only where the reference's own runner-up was closer than the largest
    difference allowed: rounding decides such ties, not weights. From there on nothing is compared.
    """
    limits = noise.thresholds
    prompts = all(a.prompt_ids == b.prompt_ids for a, b in zip(reference, other, strict=True))
    agreed = compared = stops = judged = 0
    for a, b in zip(reference, other, strict=True):
        shared = _shared(a, b)
        whole = a.token_ids == b.token_ids and a.stopped == b.stopped
        tie = not whole and a.margins is not None and _tie(a, shared, limits["max"])
        agreed += shared
        compared += shared if whole or tie else max(len(a.log_probabilities), shared + 1)
        if not tie:
            judged += 1
            stops += a.stopped == b.stopped
    apart = differences(reference, other) or [float("inf")]
    leg = Leg(
        name,
        "passed",
        prompts,
        agreed / max(compared, 1),
        statistics.fmean(apart),
        max(apart),
        stops / judged if judged else 1.0,
        "",
    )
    wrong = _wrong(leg, limits)
    return Leg(**{**asdict(leg), "status": "failed", "reason": "; ".join(wrong)}) if wrong else leg


def _wrong(leg: Leg, limits: dict[str, float]) -> list[str]:
    assert leg.token_agreement is not None and leg.stop_agreement is not None
    assert leg.mean_logprob_difference is not None and leg.max_logprob_difference is not None
    found = []
    if not leg.prompt_ids_equal:
        found.append("the same request gives other prompt ids")
    if leg.token_agreement < limits["token_agreement"]:
        found.append(
            f"{leg.token_agreement:.3f} of the greedy tokens agree, {MIN_AGREEMENT} needed"
        )
    if leg.mean_logprob_difference > limits["mean"]:
        found.append(
            f"log-probabilities differ by {leg.mean_logprob_difference:.4f} on average,"
            f" {limits['mean']:.4f} allowed"
        )
    if leg.max_logprob_difference > limits["max"]:
        found.append(
            f"log-probabilities differ by up to {leg.max_logprob_difference:.4f},"
            f" {limits['max']:.4f} allowed"
        )
    if leg.stop_agreement < 1.0:
        found.append(f"{leg.stop_agreement:.2f} of the answers end for the same reason, all must")
    return found


def _shared(a: Answer, b: Answer) -> int:
    """Positions with the same prefix of tokens, the first differing choice excluded."""
    first, second = _choices(a), _choices(b)
    for k, (x, y) in enumerate(zip(first, second, strict=False)):
        if x != y:
            return k
    return min(len(first), len(second))


def _choices(answer: Answer) -> list[int | None]:
    """Every greedy decision; None stands for having stopped."""
    return [*answer.token_ids, *([None] if answer.stopped else [])]


def _tie(reference: Answer, at: int, threshold: float) -> bool:
    assert reference.margins is not None
    return at < len(reference.margins) and reference.margins[at] <= 2 * threshold


def changed(
    tuned: Sequence[Answer], base: Sequence[Answer], noise: Noise
) -> tuple[bool, dict[str, Any]]:
    """Whether the tuned model is provably not the base: other words, or other log-probabilities."""
    texts = sum(a.token_ids != b.token_ids for a, b in zip(tuned, base, strict=True))
    shift = max(differences(tuned, base) or [0.0])
    proven = texts > 0 or shift > noise.thresholds["max"]
    return proven, {"text_changed": texts, "probes": len(tuned), "max_logprob_shift": shift}
