"""The checks behind a verdict: what was required, what was seen, and how sure that is."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from factory.report.facts import ARM_LABELS, BuildReport, labels
from factory.report.words import NOTHING, amount, sentence, signed, spoken

Result = Literal["held", "failed", "undecided", "invalid", "not gated"]

SIGNS: dict[Result, str] = {
    "held": "✓", "failed": "✗", "undecided": "?", "invalid": "!", "not gated": NOTHING,
}  # fmt: skip

INSTRUMENTS = {
    "a_a": "The base against itself",
    "likelihoods_finite": "Every likelihood is a number",
    "answers": "Every answer is there",
    "language": "Languages told apart",
    "style": "Style scorer",
    "judge": "Language model as judge",
    "planted_shuffled": "Planted: answers to other questions",
    "planted_truncated": "Planted: cut-off, empty and looping answers",
    "planted_opposite": "Planted: answers without the persona",
    "planted_flipped": "Planted: wrong facts",
}
"""What each instrument is called for people."""

DECISIVE: dict[str, Result] = {
    "PASS": "not gated", "REGRESSION": "failed", "INCONCLUSIVE": "undecided", "INVALID": "invalid",
}  # fmt: skip
"""Which results a reader asks about first, by verdict."""


@dataclass(frozen=True, slots=True)
class Gate:
    """One condition of the verdict. Differences are tuned minus other; negative is worse."""

    name: str
    arm: str
    """What the tuned model was compared with; empty for an absolute limit."""
    label: str
    against: str
    """The arm's name for people."""
    rule: str
    seen: str
    result: Result
    n: int | None
    estimate: float | None
    low: float | None
    high: float | None
    margin: float | None
    """Loss that is allowed; None where the tuned model has to win."""
    detectable: float | None
    """Loss that a run of this size finds four times in five."""
    unit: str
    items: tuple[str, ...]
    """Items that broke."""

    @property
    def title(self) -> str:
        """`Accuracy against base`."""
        return f"{self.label} against {self.against}" if self.against else self.label

    @property
    def sign(self) -> str:
        """The result as one character."""
        return SIGNS[self.result]

    @property
    def interval(self) -> str:
        """`+12 (+3 to +21)`: difference and interval without the unit; empty if not measured."""
        if self.estimate is None:
            return ""
        text = signed(self.estimate, self.unit)
        if self.low is None or self.high is None or self.low == self.high:
            return text
        return f"{text} ({signed(self.low, self.unit)} to {signed(self.high, self.unit)})"

    @property
    def difference(self) -> str:
        """`+12 points (+3 to +21)`; empty if not measured."""
        if self.estimate is None:
            return ""
        rest = self.interval.partition(" ")[2]
        return f"{amount(self.estimate, self.unit, sign=True)} {rest}".rstrip()

    @property
    def blind(self) -> bool:
        """Whether a loss beyond the margin could have gone unseen."""
        return bool(self.margin and self.detectable and self.detectable > self.margin)

    @property
    def allowed(self) -> str:
        """The margin with its unit."""
        return amount(self.margin, self.unit)

    @property
    def visible(self) -> str:
        """The detectable loss with its unit."""
        return amount(self.detectable, self.unit)


@dataclass(frozen=True, slots=True)
class Tool:
    """One instrument, and whether it caught what was planted for it."""

    name: str
    label: str
    rule: str
    seen: str
    passed: bool | None

    @property
    def sign(self) -> str:
        """The result as one character."""
        return {True: "✓", False: "✗", None: NOTHING}[self.passed]

    @property
    def result(self) -> str:
        """The result in words."""
        return {True: "works", False: "failed", None: "not tried"}[self.passed]


def gates(report: BuildReport) -> list[Gate]:
    """The gates in the scorecard's order."""
    names = {m.get("name"): m.get("label") for m in report.scorecard.get("metrics") or []}
    arms = ARM_LABELS | labels(report)
    return [_gate(gate, names, arms) for gate in report.scorecard.get("gates") or []]


def _gate(gate: Mapping[str, Any], names: Mapping[Any, Any], arms: Mapping[str, str]) -> Gate:
    name, arm = gate.get("name", ""), gate.get("against") or ""
    label = names.get(name) or INSTRUMENTS.get(name) or _capital(spoken(name))
    numbers = {
        key: value if value is not None and math.isfinite(value) else None
        for key in ("estimate", "low", "high", "margin", "detectable")
        for value in (gate.get(key),)
    }
    return Gate(
        name=name,
        arm=arm,
        label=label,
        against=arms.get(arm, arm),
        rule=gate.get("rule", "").removeprefix(f"{label}: "),
        seen=gate.get("seen", ""),
        result=_result(gate.get("passed"), gate.get("verdict") or ""),
        n=gate.get("n") or None,
        unit=gate.get("unit") or "",
        items=tuple(gate.get("items") or ()),
        **numbers,
    )


def _result(passed: bool | None, verdict: str) -> Result:
    if verdict == "INVALID":
        return "invalid"
    if passed is None:
        return "not gated" if verdict == "PASS" else "undecided"
    return "held" if passed else "failed"


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]


def tools(report: BuildReport) -> list[Tool]:
    """The instruments in the scorecard's order."""
    return [
        Tool(
            name=item.get("name", ""),
            label=INSTRUMENTS.get(item.get("name", ""), _capital(spoken(item.get("name", "")))),
            rule=item.get("rule") or "",
            seen=item.get("seen") or "",
            passed=item.get("passed"),
        )
        for item in report.scorecard.get("instruments") or []
    ]


def reasons(report: BuildReport) -> list[str]:
    """Why the verdict is what it is: a plain sentence or two for every check that decided.

    What the summary says already is not said twice.
    """
    decisive = [
        gate
        for gate in gates(report)
        if gate.result == DECISIVE.get(report.verdict)
        and not (gate.seen and gate.seen.rstrip(".") in report.summary)
    ]
    told = {gate.name for gate in decisive}
    broken = [tool for tool in tools(report) if tool.passed is False and tool.name not in told]
    return [
        *(
            f"{sentence(tool.label)} {sentence(tool.seen)}"
            for tool in broken
            if report.verdict == "INVALID"
        ),
        *(_because(gate) for gate in decisive),
    ]


def _because(gate: Gate) -> str:
    if gate.result == "not gated":
        return f"{gate.title} did not decide. {sentence(gate.seen)}"
    required = f" Required: {gate.rule.rstrip('.')}." if gate.rule else ""
    return f"{gate.title}: {gate.seen.rstrip('.')}.{required}"


def sight(report: BuildReport) -> str:
    """The smallest losses that this run could have seen: what a PASS is worth."""
    seen: dict[str, Gate] = {}
    for gate in gates(report):
        if gate.detectable is not None and gate.margin is not None:
            known = seen.get(gate.label)
            if known is None or gate.detectable > (known.detectable or 0.0):
                seen[gate.label] = gate
    if not seen:
        return ""
    told = ", ".join(
        f"{label} {gate.visible}" + (f" (allowed {gate.allowed})" if gate.blind else "")
        for label, gate in seen.items()
    )
    return f"A loss of this size would have been seen four times in five: {told}."
