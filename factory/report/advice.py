"""What a person should do after reading a report, most pressing first."""

from __future__ import annotations

from dataclasses import dataclass

from factory.report.answers import entries
from factory.report.facts import BuildReport, curve_words, gates
from factory.report.words import sentence, spoken


@dataclass(frozen=True, slots=True)
class Step:
    """One thing to do; `command` can be typed as it is."""

    text: str
    command: str = ""


def next_steps(report: BuildReport) -> list[Step]:
    """What the verdict, the curve, the data and the proof ask for."""
    steps = [*_by_verdict(report)]
    curve = curve_words(report)
    if curve.remedy:
        steps.append(Step(f"The loss curve is {curve.verdict}. {curve.remedy}"))
    steps += [Step(advice) for advice in report.dataset.get("advice") or []]
    steps += [
        Step(f"{spoken(entry['name'])}: {entry['warning']}")
        for entry in report.plan
        if entry.get("warning")
    ]
    missing = [leg for leg in report.certificate.get("legs") or [] if leg["status"] == "missing"]
    steps += [
        Step(
            f"The proof has no “{leg['name']}” leg: {leg.get('reason') or ''}".rstrip(": "),
            "factory doctor",
        )
        for leg in missing
    ]
    return steps


def _by_verdict(report: BuildReport) -> list[Step]:
    failed = [gate for gate in gates(report) if gate.passed is False]
    undecided = [
        Step(f"Gate “{gate.name}” could not be decided. {sentence(gate.seen)}")
        for gate in gates(report)
        if gate.passed is None
    ]
    match report.verdict:
        case "PASS":
            return [
                Step("Talk to it.", f"factory chat {report.name}"),
                Step(
                    "Put it behind an OpenAI-compatible endpoint.", f"factory serve {report.name}"
                ),
            ]
        case "REGRESSION":
            return [
                *(
                    Step(f"Gate “{gate.name}” failed. Required: {gate.rule}. Seen: {gate.seen}.")
                    for gate in failed
                ),
                *_broken(report),
                Step("Mend the data or the settings, then build again."),
            ]
        case "INCONCLUSIVE":
            return [
                *undecided,
                Step(
                    "More evidence decides: add rows to the data, so that more are held out, or "
                    "questions with expected answers, then build again."
                ),
            ]
        case _:
            return [
                *undecided,
                Step("Look for what broke the measurement, then build again.", "factory doctor"),
            ]


def _broken(report: BuildReport) -> list[Step]:
    broken = [entry.id for entry in entries(report) if entry.outcome == "broken"]
    if not broken:
        return []
    return [
        Step(
            f"Read the answers that were right before and are wrong now: {', '.join(broken)}. "
            "Add rows like these questions, with right answers."
        )
    ]
