"""The scorecard as JUnit XML, which every build server can show."""

from __future__ import annotations

import re
from collections import Counter
from typing import TYPE_CHECKING, Literal

from factory.report.facts import BuildReport
from factory.report.gates import Gate, Result, Tool, gates, tools

if TYPE_CHECKING:
    from junitparser import TestCase

# XML 1.0 has no way to write these, not even escaped.
_NOT_XML = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")

Outcome = Literal["passed", "skipped", "failure", "error"]

_VERDICTS: dict[str, Outcome] = {
    "PASS": "passed", "REGRESSION": "failure", "INCONCLUSIVE": "skipped",
}  # fmt: skip
_GATES: dict[Result, Outcome] = {
    "held": "passed", "failed": "failure", "undecided": "skipped", "invalid": "error",
    "not gated": "skipped",
}  # fmt: skip
_TYPES: dict[Result, str] = {
    "failed": "REGRESSION", "undecided": "INCONCLUSIVE", "invalid": "INVALID",
}  # fmt: skip


def junit(report: BuildReport) -> str:
    """One test case for the verdict, for every gate and instrument, and for every broken item.

    REGRESSION is a failure, INCONCLUSIVE is skipped with its reason, INVALID is an error.

    Returns:
        A whole XML document.
    """
    from junitparser import JUnitXml, TestSuite

    report = report.cleaned()
    persona, found = _xml(report.name), gates(report)
    verdict = _case(
        persona,
        "verdict",
        _VERDICTS.get(report.verdict, "error"),
        report.verdict,
        report.summary,
    )
    groups = (
        ("verdict", [verdict]),
        ("gates", [_gate(persona, gate) for gate in found]),
        ("items", [case for gate in found for case in _items(persona, gate)]),
        ("instruments", [_tool(persona, tool, report.verdict) for tool in tools(report)]),
    )
    document = JUnitXml(persona)
    for name, cases in groups:
        if cases:
            suite = TestSuite(f"{persona}.{name}")
            suite.add_testcases(_named_apart(cases))
            document.add_testsuite(suite)
    xml: bytes = document.tostring()  # type: ignore[no-untyped-call]
    return xml.decode("utf-8")


def _named_apart(cases: list[TestCase]) -> list[TestCase]:
    """Number the cases that share a name: a mean and a list of broken items of one metric do."""
    seen: Counter[str] = Counter()
    for case in cases:
        seen[f"{case.classname} {case.name}"] += 1
        count = seen[f"{case.classname} {case.name}"]
        case.name = case.name if count == 1 else f"{case.name} ({count})"
    return cases


def _gate(persona: str, gate: Gate) -> TestCase:
    about = "; ".join(part for part in (gate.seen, f"required: {gate.rule}") if part)
    # The arm, not the release it stands for: the same gate keeps its name over the releases.
    name = f"{gate.name} against {gate.arm}" if gate.arm else gate.name
    return _case(
        f"{persona}.gates", name, _GATES[gate.result], _TYPES.get(gate.result, gate.result), about
    )


def _items(persona: str, gate: Gate) -> list[TestCase]:
    if gate.result not in ("failed", "undecided"):
        return []
    against = gate.against or "the base"
    return [
        _case(
            f"{persona}.items.{gate.name}", item, _GATES[gate.result], _TYPES[gate.result],
            f"{against} passes this item on {gate.label}, the tuned model fails it",
        )
        for item in gate.items
    ]  # fmt: skip


def _tool(persona: str, tool: Tool, verdict: str) -> TestCase:
    # An instrument that failed spoils the verdict only where the gate says so; elsewhere what it
    # measures was left out of the gate.
    failed: Outcome = "error" if verdict == "INVALID" else "skipped"
    outcome: Outcome = "passed" if tool.passed else failed if tool.passed is False else "skipped"
    kind = "INVALID" if outcome == "error" else tool.result
    return _case(f"{persona}.instruments", tool.name, outcome, kind, tool.seen)


def _case(group: str, name: str, outcome: Outcome, kind: str, message: str) -> TestCase:
    from junitparser import Error, Failure, Skipped, TestCase

    case = TestCase(_xml(name), classname=_xml(group))
    results = {"failure": Failure, "error": Error, "skipped": Skipped}
    if outcome in results:
        case.result = [results[outcome](_xml(message), _xml(kind))]
    return case


def _xml(text: str) -> str:
    return _NOT_XML.sub("\ufffd", text)
