"""The scorecard as a comment on a pull request: short Markdown, whatever the models said."""

from __future__ import annotations

from collections.abc import Iterator

from factory.report.advice import next_steps
from factory.report.answers import Entry, entries, telling
from factory.report.facts import BuildReport
from factory.report.gates import Gate, gates, reasons, sight, tools
from factory.report.markup import code, escape, inline, quote, table
from factory.report.record import flat
from factory.report.suites import suites
from factory.report.words import NOTHING, plural

LIMIT = 60_000
"""Characters; GitHub takes 65,536 in a comment."""

ANSWERS = 3
"""Questions shown, the most telling ones."""

LONGEST = 600
"""Characters of an answer."""

CELL = 200
"""Characters of a cell and of a sentence."""

ROWS = 60
"""Gates and lost items listed."""

SIGNS = {"PASS": "✅", "REGRESSION": "❌", "INCONCLUSIVE": "❔", "INVALID": "⚠️"}


def pull_request(report: BuildReport) -> str:
    """Verdict, reasons, gates, telling answers, and how to see it again; never above `LIMIT`."""
    report = report.cleaned()
    parts = [part for part in _parts(report) if part]
    text, left_out = "", False
    for part in parts:  # most important first
        if len(text) + len(part) > LIMIT - 100:
            left_out = True
        else:
            text += part + "\n\n"
    return text.rstrip() + ("\n\nSome parts were too long and left out.\n" if left_out else "\n")


def _parts(report: BuildReport) -> Iterator[str]:
    sign = SIGNS.get(report.verdict, "")
    yield f"## {sign} {inline(_cut(report.name))}: {inline(_cut(report.verdict))}"
    yield f"**{report.headline}**"
    yield escape(_cut(report.summary, LONGEST))
    yield _list(reasons(report))
    if steps := next_steps(report):
        yield "**What to do next**"
        yield _list([step.text for step in steps[:5]])
    yield from _gates(report)
    found = entries(report)
    yield from _lost(found)
    for entry in telling(found, ANSWERS):
        yield "\n\n".join(_entry(entry))
    yield from _reproduce(report)


def _gates(report: BuildReport) -> Iterator[str]:
    found = gates(report)
    if not found:
        return
    held = sum(gate.result == "held" for gate in found)
    idle = sum(gate.result == "not gated" for gate in found)
    rest = f", {idle} not gated" if idle else ""
    yield f"**{held} of {plural(len(found) - idle, 'gate')} held{rest}**"
    yield table(
        ["", "gate", "difference (interval)", "allowed loss", "n", "seen"],
        (_row(gate) for gate in found[:ROWS]),
    )
    if line := sight(report):
        yield escape(_cut(line, 3 * LONGEST))
    if broken := [tool for tool in tools(report) if tool.passed is False]:
        yield "**Instruments that failed**"
        yield _list([f"{tool.label}: {tool.seen}" for tool in broken])


def _row(gate: Gate) -> list[str]:
    seen = "" if gate.result == "held" and gate.difference else gate.seen
    cells = (
        gate.sign, gate.title, gate.difference or NOTHING, gate.allowed,
        NOTHING if gate.n is None else f"{gate.n:,}", seen or " ",
    )  # fmt: skip
    return [_cut(cell) for cell in cells]


def _lost(found: list[Entry]) -> Iterator[str]:
    lost = [(suite.title, entry) for suite in suites(found) for entry in suite.lost]
    if not lost:
        return
    rows = [
        [_cut(cell) for cell in (title, entry.ask, entry.expect, entry.text("tuned"))]
        for title, entry in lost[:ROWS]
    ]
    listed = table(["suite", "asked", "expected", "tuned model"], rows)
    yield (
        f"<details><summary>{plural(len(lost), 'item')} of the suites that the base with the persona's "
        f"prompt solves and the tuned model does not</summary>\n\n{listed}\n\n</details>"
    )


def _entry(entry: Entry) -> Iterator[str]:
    yield f"### {inline(_cut(entry.ask))}" + (f" ({entry.outcome})" if entry.outcome else "")
    if entry.expect:
        yield f"Expected: {inline(_cut(entry.expect))}"
    for card in entry.cards:
        marks = ", ".join(
            f"{ {True: '✓', False: '✗', None: mark.value}[mark.right] } {inline(mark.grader)}"
            for mark in card.marks
        )
        yield f"**{inline(card.label)}**" + (f" ({marks})" if marks else "")
        yield quote(_cut(card.text, LONGEST)) if card.text.strip() else "> *empty*"


def _reproduce(report: BuildReport) -> Iterator[str]:
    name = _cut(report.name)
    yield "**See it again**"
    yield "\n".join(
        f"- {what}: {code(command)}"
        for what, command in (
            ("build", f"factory build personas/{name}.yaml"),
            ("only judge", f"factory eval {name}"),
        )
    )
    facts = [f"base {report.base}", report.created]
    if digest := report.scorecard.get("model_digest"):
        facts.append(f"model {str(digest)[:16]}")
    facts += [f"{k} {v[:16]}" for k, v in flat(report.scorecard.get("comparable") or {})]
    yield inline(_cut(" · ".join(facts), 2 * LONGEST))


def _list(lines: list[str]) -> str:
    return "\n".join(f"- {inline(_cut(line, LONGEST))}" for line in lines)


def _cut(text: str, most: int = CELL) -> str:
    return text if len(text) <= most else text[: most - 1] + "…"
