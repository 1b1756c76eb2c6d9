"""One requirement of the gate, and what was found, in data and in plain words."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

Verdict = Literal["PASS", "REGRESSION", "INCONCLUSIVE", "INVALID"]

ALPHA = 0.05
"""Chance of a wrong verdict, over both looks at sampled answers and over all checks."""

FEWEST = 5
"""Questions below which nothing can be significant (2^-4 > ALPHA), so that nothing is tested."""

ARM_WORDS = {
    "tuned": "the tuned model",
    "base": "the base model",
    "prompted": "the prompted base model",
    "previous": "the release served now",
}


@dataclass(frozen=True, slots=True)
class Check:
    """One requirement, and what was found; differences are negative where the tuned model is worse."""

    name: str
    """The metric."""
    against: str
    """The arm it was compared with; empty for what is required of the tuned model alone."""
    rule: str
    passed: bool | None
    """None: undecided, or not gated."""
    verdict: Verdict
    seen: str
    n: int = 0
    estimate: float | None = None
    low: float | None = None
    high: float | None = None
    margin: float | None = None
    detectable: float | None = None
    p: float | None = None
    """By chance: of being worse, or of being better where the tuned model must be better and was not
    found worse. Adjusted for both looks, and that of being worse for all checks (Holm)."""
    unit: str = ""
    items: tuple[str, ...] = ()
    """What broke, or may have; empty where the check passed."""

    def as_dict(self) -> dict[str, Any]:
        """Plain data for the scorecard."""
        return {**asdict(self), "items": list(self.items)}

    def decided(self, verdict: Verdict, seen: str) -> Check:
        """The same check with another verdict."""
        return replace(self, verdict=verdict, passed=PASSED[verdict], seen=seen)


PASSED: dict[Verdict, bool | None] = {
    "PASS": True,
    "REGRESSION": False,
    "INCONCLUSIVE": None,
    "INVALID": False,
}


def level(value: float, unit: str) -> str:
    """A value without its unit, as people read it: `72%`, `2.31`."""
    return f"{value:.0%}" if unit == "share" else f"{value:.2f}"


def amount(value: float, unit: str) -> str:
    """The size of a difference: `3 percentage points`, `0.12 nats per token`."""
    if unit == "share":
        points = f"{100 * value:.1f}".removesuffix(".0")
        return f"{points} percentage point{'' if points == '1' else 's'}"
    return f"{value:.2f} {unit}".strip()


def signed(change: float, unit: str) -> str:
    """A difference in words; negative is worse."""
    if _nothing(change, unit):
        return "no difference"
    return f"{amount(abs(change), unit)} {'worse' if change < 0 else 'better'}"


def bound(low: float, unit: str) -> str:
    """A lower bound of a difference in words: `at most 3 percentage points worse`."""
    if _nothing(low, unit):
        return "no worse"
    return f"at {'most' if low < 0 else 'least'} {signed(low, unit)}"


def _nothing(change: float, unit: str) -> bool:
    return abs(change) < (0.0005 if unit == "share" else 0.005)
