"""What the short commands print: a plan, problems, data, findings, finished runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol

from rich import box
from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from factory.artifacts import read_json
from factory.errors import ConfigErrors, Problem
from factory.releases import numbers, promoted
from factory.report.fate import closest, fates, groups, sizes
from factory.report.record import settings
from factory.report.runs import runs
from factory.report.words import NOTHING, clean, clean_all, plural


def plan_table(entries: Sequence[Mapping[str, Any]]) -> RenderableType:
    """Every hyperparameter with its value, who chose it and why; warnings below their row.

    Args:
        entries: `{"name", "value", "reason", "source": "default" or "yours", "warning"}`.
    """
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("setting", no_wrap=True)
    table.add_column("value", overflow="fold")
    table.add_column("from", no_wrap=True)
    table.add_column("why", overflow="fold")
    for setting in settings(clean_all(entries)):
        table.add_row(
            Text(setting.name),
            Text(setting.value, "bold"),
            Text("you", "cyan") if setting.yours else Text("default", "dim"),
            Text(setting.reason),
        )
        if setting.warning:
            table.add_row("", "", Text("warning", "yellow"), Text(setting.warning, "yellow"))
    return table


def problems(errors: ConfigErrors) -> RenderableType:
    """All problems of a persona file, in file order, each with what would be right."""
    parts: list[RenderableType] = []
    for problem in errors.problems:
        parts += [_head(problem), _details(problem), Text()]
    return Group(*parts, Text(f"{errors.what}; nothing was built.", "bold red"))


def _head(problem: Problem) -> Text:
    text = Text.assemble((clean(problem.where), "bold"), ": ")
    if problem.field:
        text.append(clean(problem.field), "cyan").append(": ")
    return text.append(clean(problem.what))


def _details(problem: Problem) -> RenderableType:
    grid = Table.grid(padding=(0, 1))
    grid.add_column(style="dim", no_wrap=True)
    grid.add_column(overflow="fold")
    for label, value, style in (
        ("got", problem.got, "red"),
        ("allowed", problem.allowed, "green"),
        ("next", problem.hint, ""),
    ):
        if value:
            grid.add_row(f"{label}:", Text(clean(value), style))
    return Padding(grid, (0, 0, 0, 2))


def data_summary(report: Mapping[str, Any]) -> RenderableType:
    """What became of the input rows, with one example for each reason.

    Args:
        report: `report.json` of the dataset.
    """
    data = clean_all(report)
    counts = ", ".join(f"{count:,} {fate}" for fate, count in fates(data))
    splits = ", ".join(f"{count:,} {name}" for name, count in (data.get("splits") or {}).items())
    told = [f"{plural(int(data.get('input') or 0), 'row')}: {counts}", f"split: {splits}"]
    if found := closest(data):
        told.append("most alike: " + ", ".join(f"{x.pair} {x.similarity}" for x in found))
    parts: list[RenderableType] = [Text(line) for line in [*told, *sizes(data)]]
    for group in groups(data):
        table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
        table.add_column(group.title)
        table.add_column("rows", justify="right")
        table.add_column("for example", overflow="fold", style="dim")
        for reason in group.reasons:
            first = next(iter(reason.examples), None)
            words = f"{first.id}: {first.detail or first.text}" if first else ""
            table.add_row(Text(reason.label), str(reason.count), Text(words))
        parts.append(table)
    return Group(*parts)


class Finding(Protocol):
    """One thing that was looked at; `status` is ok, warn or bad."""

    @property
    def topic(self) -> str:
        """What was looked at."""
        ...

    @property
    def status(self) -> str:
        """ok, warn or bad."""
        ...

    @property
    def text(self) -> str:
        """What was found."""
        ...

    @property
    def hint(self) -> str | None:
        """What to do about it."""
        ...


def findings_table(findings: Sequence[Finding]) -> RenderableType:
    """What the doctor found, each with the next step where there is one."""
    marks = {"ok": Text("✓", "green"), "warn": Text("!", "yellow"), "bad": Text("✗", "red")}
    table = Table.grid(padding=(0, 2, 0, 0))
    table.add_column(width=1)
    table.add_column(no_wrap=True, style="bold")
    table.add_column(overflow="fold")
    for finding in findings:
        text = Text(clean(finding.text))
        if finding.hint:
            text.append(f"\nnext: {clean(finding.hint)}", "cyan")
        table.add_row(marks[finding.status], Text(clean(finding.topic)), text)
    return table


def keys_table(keys: Sequence[Mapping[str, str]]) -> RenderableType:
    """Keys of the endpoint, one a row; the columns are what is known about them."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for column in keys[0]:
        table.add_column(column, overflow="fold")
    for key in keys:
        table.add_row(*(Text(clean(value) or NOTHING) for value in key.values()))
    return table


def personas(root: Path) -> list[str]:
    """Names for which something was built below `$FACTORY_HOME`."""
    return sorted(set(runs(root).values()))


def runs_table(root: Path, name: str | None) -> RenderableType | None:
    """Every run below `$FACTORY_HOME`, the latest first, and the releases that came of them.

    Args:
        root: `$FACTORY_HOME`.
        name: Only runs of this persona, or the run of this folder name.

    Returns:
        None if there is no such run.
    """
    found = _found(root, name)
    if not found:
        return None
    table = _table("persona", "base", "built", "last stage", "result")
    for folder in found:
        table.add_row(*map(Text, _run(folder)))
    releases = [
        row for persona in dict.fromkeys(found.values()) for row in _releases(root, persona)
    ]
    if not releases:
        return table
    made = _table("release", "verdict", "")
    for row in releases:
        made.add_row(*map(Text, row))
    return Group(table, made)


def pages(root: Path, name: str | None) -> list[Path]:
    """The reports of the same runs, the latest first."""
    found = [folder / "report.html" for folder in _found(root, name)]
    return [page for page in found if page.is_file()]


def _found(root: Path, name: str | None) -> dict[Path, str]:
    return {
        folder: persona
        for folder, persona in runs(root).items()
        if name in (None, folder.name, persona)
    }


def _table(*columns: str) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for column in columns:
        table.add_column(column)
    return table


def _run(folder: Path) -> list[str]:
    built = (folder / "stages.json").stat().st_mtime
    spec, stages = (
        clean_all(read_json(folder / "spec.json")),
        clean_all(read_json(folder / "stages.json")),
    )
    return [
        spec["name"],
        spec["base"]["name"],
        datetime.fromtimestamp(built, UTC).strftime("%Y-%m-%d %H:%M"),
        stages[-1]["name"] if stages else NOTHING,
        stages[-1]["summary"] if stages else NOTHING,
    ]


def _releases(root: Path, name: str) -> list[list[str]]:
    """The newest first: NAME@N, its verdict, and whether the name means it."""
    now = promoted(root, name)
    rows = []
    for number in reversed(numbers(root, name)):
        card = root / "releases" / name / str(number) / "scorecard.json"
        verdict = read_json(card).get("verdict") if card.is_file() else None
        rows.append([f"{name}@{number}", verdict or NOTHING, "served" if number == now else ""])
    return rows
