"""What a person should do after reading a report, most pressing first."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

from factory.report.answers import entries
from factory.report.facts import STABLE, BuildReport, curve_words
from factory.report.gates import Gate, gates, tools
from factory.report.metrics import silent
from factory.report.remedies import BY_INSTRUMENT, BY_METRIC, FIXED_SIZE, ROWS
from factory.report.training import overfitted, prompt_alone
from factory.report.words import plural, sentence, spoken

MOST = 8
"""Items named in one sentence; the lists below the answers have all."""


FAR = 10
"""Times the items of a run beyond which an exact number of items that are wanted is idle."""


@dataclass(frozen=True, slots=True)
class Step:
    """One thing to do; `command` can be typed as it is."""

    text: str
    command: str = ""


def next_steps(report: BuildReport) -> list[Step]:
    """What the verdict, the training, the numbers, the data and the proof ask for."""
    texts = [
        *_curve(report),
        *prompt_alone(report),
        *_says_nothing(report),
        *(report.dataset.get("advice") or []),
        *(
            f"{spoken(entry['name'])}: {entry['warning']}"
            for entry in report.plan
            if entry.get("warning")
        ),
    ]
    missing = [leg for leg in report.certificate.get("legs") or [] if leg["status"] == "missing"]
    return [
        *_by_verdict(report),
        *map(Step, texts),
        *(
            Step(
                f"The proof has no “{leg['name']}” leg: {leg.get('reason') or ''}".rstrip(": "),
                "factory doctor",
            )
            for leg in missing
        ),
    ]


def _by_verdict(report: BuildReport) -> Iterator[Step]:
    match report.verdict:
        case "PASS":
            yield Step("Talk to it.", f"factory chat {report.name}")
            yield Step(
                "Put it behind an OpenAI-compatible endpoint.", f"factory serve {report.name}"
            )
        case "REGRESSION":
            yield from map(Step, _mend(report))
            yield Step("Mend the data or the settings, then build again.")
        case "INCONCLUSIVE":
            yield from map(Step, _decide(report))
            yield Step("Then build again; what did not change is reused.")
        case _:
            yield from map(Step, _repair(report))
            yield Step("Repair what broke the measurement, then build again.", "factory doctor")


def _mend(report: BuildReport) -> Iterator[str]:
    """Failed gates with the same remedy make one step; then the items that broke."""
    failed: dict[str, list[str]] = {}
    for gate in gates(report):
        if gate.result == "failed" and (remedy := BY_METRIC.get(gate.name)):
            found = failed.setdefault(remedy, [])
            if gate.label not in found:
                found.append(gate.label)
    for remedy, labels in failed.items():
        yield f"{', '.join(labels)}: {remedy[0].lower()}{remedy[1:]}"
    if broken := _broken(report):
        yield (
            f"Read the answers that held before and fail now: {_listed(broken)}. "
            "Add rows like these questions, with right answers."
        )


def _broken(report: BuildReport) -> list[str]:
    """Questions of the persona that broke; what the suites lost is listed with the suites."""
    named = [
        item
        for gate in gates(report)
        if gate.result == "failed" and gate.name not in FIXED_SIZE
        for item in gate.items
    ]
    seen = [entry.id for entry in entries(report) if entry.own and entry.outcome == "broken"]
    return list(dict.fromkeys([*named, *seen]))


def _listed(items: list[str]) -> str:
    more = f" and {len(items) - MOST} more" if len(items) > MOST else ""
    return ", ".join(items[:MOST]) + more


def _decide(report: BuildReport) -> Iterator[str]:
    samples = report.scorecard.get("samples")
    for gate in gates(report):
        if gate.result == "undecided":
            needed = _needed(gate, samples) or sentence(gate.seen)
            yield f"{gate.title} could not be decided. {needed}"


def _needed(gate: Gate, samples: int | None) -> str:
    """What would decide a gate; empty if its numbers do not tell."""
    wanted = _items_needed(gate)
    if wanted is None or not gate.n:
        return ""
    if wanted <= gate.n and gate.items:
        return f"Look at the answers to {_listed(list(gate.items))}, which may be broken."
    if wanted <= gate.n:
        return (
            f"Its {plural(gate.n, 'item')} are enough to see a loss that matters; "
            "the result lies on the edge of what is allowed, so look at the answers themselves."
        )
    far = FAR * gate.n
    about = f"About {wanted:,}" if wanted <= far else f"More than {far:,}"
    if gate.name in FIXED_SIZE:
        return (
            f"{about} items would be needed and the suite has {gate.n}: "
            "a model that changes less there decides it. Lower tune.learning_rate or tune.epochs."
        )
    if gate.name in ROWS:
        return (
            f"{about} held-out rows would decide it, there are {gate.n}: add rows to the "
            "data, so that more are held out."
        )
    more = f", or raise evaluate.samples above {samples}" if samples else ""
    return f"{about} questions would decide it, there were {gate.n}: add questions{more}."


def _items_needed(gate: Gate) -> int | None:
    """Items at which this run's noise would decide: intervals shrink with the root of n."""
    if not gate.n:
        return None
    if gate.margin and gate.detectable:
        return math.ceil(gate.n * (gate.detectable / gate.margin) ** 2)
    if gate.estimate is None or gate.low is None:
        return None
    # The interval must end above the margin, or above zero where the model has to win.
    room = gate.estimate + (gate.margin or 0.0)
    return math.ceil(gate.n * ((gate.estimate - gate.low) / room) ** 2) if room > 0 else None


def _repair(report: BuildReport) -> Iterator[str]:
    broken = [tool for tool in tools(report) if tool.passed is False]
    for tool in broken:
        yield BY_INSTRUMENT.get(tool.name, f"{sentence(tool.label)} {sentence(tool.seen)}")
    for gate in gates(report):
        if gate.result == "invalid" and gate.name not in {tool.name for tool in broken}:
            yield f"{gate.title}: {sentence(gate.seen)}"


def _curve(report: BuildReport) -> Iterator[str]:
    remedies = list(overfitted(report))
    yield from remedies
    curve = curve_words(report)
    if curve.remedy and curve.verdict != STABLE and not remedies:
        yield f"The loss curve is {curve.verdict}. {curve.remedy}"


def _says_nothing(report: BuildReport) -> Iterator[str]:
    """Metrics that no arm scores on: they can neither fall nor rise, and must not look like a pass."""
    shown = ("base", "prompted", "tuned", "previous")
    for metric in report.scorecard.get("metrics") or []:
        values = [(metric.get("values") or {}).get(arm) for arm in shown]
        if metric.get("gates") and silent(
            metric.get("better", ""), metric.get("unit") or "", values
        ):
            yield (
                f"{metric.get('label') or metric['name']} is 0% for every model, the base included: "
                "it says nothing about the tuning. A stronger base would make it count."
            )
