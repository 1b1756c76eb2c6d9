"""The report in the terminal: some answers, the numbers, and the verdict last, where the eye is."""

from __future__ import annotations

from collections.abc import Iterator

from rich import box
from rich.console import Group, RenderableType
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from factory.report.advice import next_steps
from factory.report.answers import Card, Entry, Mark, entries, telling
from factory.report.facts import BuildReport, arms, curve_words, labels
from factory.report.gates import Result, gates, reasons, sight, tools
from factory.report.metrics import metric_rows
from factory.report.words import NOTHING, plural

SHOWN = 5
"""Questions shown in the terminal; all of them are in the files."""

LONGEST = 280
"""Characters of an answer shown in the terminal."""

VERDICT_STYLES = {"PASS": "green", "REGRESSION": "red", "INCONCLUSIVE": "yellow"}
_JUDGEMENT_STYLES = {"better": "green", "worse": "red"}
_RESULT_STYLES: dict[Result, str] = {
    "held": "green", "failed": "red", "undecided": "yellow", "invalid": "magenta",
    "not gated": "dim",
}  # fmt: skip


def terminal(report: BuildReport) -> RenderableType:
    """Answers side by side, numbers, gates, verdict and next steps, for a rich console."""
    report = report.cleaned()
    parts: list[RenderableType] = []
    found = entries(report)
    chosen = telling(found, SHOWN)
    for entry in chosen:
        parts += [_question(entry), _side_by_side(entry), Text()]
    own = sum(entry.own for entry in found)
    if own > len(chosen):
        parts += [
            Text(f"{len(chosen)} of {own} shown; all are in the report files.", "dim"),
            Text(),
        ]
    if report.scorecard.get("metrics"):
        parts.append(_metrics(report))
    if report.scorecard.get("gates"):
        parts.append(_gates(report))
    if found_broken := _broken_tools(report):
        parts.append(found_broken)
    return Group(*parts, _verdict(report))


def _question(entry: Entry) -> Text:
    text = Text(" ".join(entry.ask.split()), "bold")
    if entry.expect:
        text.append(f"  expected: {entry.expect}", "not bold dim")
    if entry.outcome:
        text.append(
            f"  {entry.outcome}", "not bold green" if entry.outcome == "fixed" else "not bold red"
        )
    return text


def _side_by_side(entry: Entry) -> Table:
    table = Table(box=box.ROUNDED, expand=True, border_style="dim", show_lines=False)
    for card in entry.cards:
        table.add_column(Text(card.label), ratio=1, overflow="fold", header_style=_arm_style(card))
    table.add_row(*(_answer(card) for card in entry.cards))
    return table


def _arm_style(card: Card) -> str:
    return "bold cyan" if card.arm == "tuned" else "dim"


def _answer(card: Card) -> Text:
    text = Text(card.text if len(card.text) <= LONGEST else card.text[:LONGEST] + " ...")
    if not card.text.strip():
        text = Text("(empty)", "dim")
    for mark in card.marks:
        text.append("\n").append(_judged(mark))
    if card.cut_off:
        text.append(f"\ndid not stop after {plural(card.tokens, 'token')}", "yellow")
    return text


def _judged(mark: Mark) -> Text:
    sign, style = {True: ("✓", "green"), False: ("✗", "red"), None: (mark.value, "yellow")}[
        mark.right
    ]
    words = f"{sign} {mark.grader}"
    if mark.right is not True and mark.reason:
        words += f": {' '.join(mark.reason.split())}"
    return Text(words, style)


def _metrics(report: BuildReport) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("metric")
    for label in labels(report).values():
        table.add_column(Text(label), justify="right")
    table.add_column("tuned against base")
    table.add_column("noise", justify="right", style="dim")
    table.add_column("n", justify="right", style="dim")
    for row in metric_rows(report):
        table.add_row(
            Text(row.label),
            *(Text(row.text(arm)) for arm in arms(report)),
            Text(row.comparison, _JUDGEMENT_STYLES.get(row.judgement, "")),
            Text(row.spread),
            row.n,
            style="" if row.gates else "dim",
        )
    return table


def _gates(report: BuildReport) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("")
    table.add_column("gate")
    table.add_column("difference (interval)")
    table.add_column("allowed loss", justify="right")
    table.add_column("n", justify="right", style="dim")
    for gate in gates(report):
        table.add_row(
            Text(gate.sign, _RESULT_STYLES[gate.result]),
            Text(gate.title),
            # A gate without a difference says in its own words what it saw.
            Text(gate.difference or gate.seen, _RESULT_STYLES[gate.result]),
            Text(gate.allowed),
            NOTHING if gate.n is None else f"{gate.n:,}",
        )
    return table


def _broken_tools(report: BuildReport) -> Table | None:
    broken = [tool for tool in tools(report) if tool.passed is not True]
    if not broken:
        return None
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("")
    table.add_column("instrument")
    table.add_column("seen")
    for tool in broken:
        style = "red" if tool.passed is False else "dim"
        table.add_row(Text(tool.sign, style), Text(tool.label), Text(tool.seen))
    return table


def _verdict(report: BuildReport) -> Panel:
    style = VERDICT_STYLES.get(report.verdict, "magenta")
    text = Text(report.headline, f"bold {style}")
    for line in _told(report):
        text.append(f"\n{line}", "not bold default")
    steps = next_steps(report)
    if steps:
        text.append("\n")
    for step in steps:
        text.append("\n→ ").append(step.text, "not bold default")
        if step.command:
            text.append(f"  {step.command}", "bold default")
    title = Text(f" {report.name}: {report.verdict} ", f"bold {style}")
    return Panel(text, title=title, title_align="left", border_style=style, padding=(1, 2))


def _told(report: BuildReport) -> Iterator[str]:
    if report.summary:
        yield report.summary
    yield from reasons(report)
    if line := sight(report):
        yield line
    curve = curve_words(report)
    if curve.verdict:
        yield f"Loss curve: {curve.verdict}. {curve.explanation}".rstrip()
    if report.release:
        yield f"Release {report.release['number']} is in {report.release['path']}"
