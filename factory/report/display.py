"""The progress of `factory build`: a live table on a terminal, plain lines everywhere else."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Self

from rich.console import Console, ConsoleOptions, RenderResult
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

from factory.contracts import Progress
from factory.report.lines import Fact, Line, State, sparkline
from factory.report.words import clean, clock, duration

PLAIN_SECONDS = 5.0
"""Least time between two progress lines of one stage when there is no terminal."""

REFRESHES = 8
"""Redraws per second on a terminal."""

_MARKS: dict[State, tuple[str, str, str]] = {
    "waiting": ("·", ".", "dim"),
    "running": ("▸", ">", "cyan"),
    "done": ("✓", "+", "green"),
    "cached": ("↺", "=", "blue"),
    "failed": ("✗", "x", "red"),
}
"""Mark, mark where only ASCII can be shown, colour."""


class Display:
    """Shows how far a build is; a context manager.

    On a terminal one table is redrawn in place; in a pipe or a CI log every start, end and now and
    then a line of progress is printed, without control codes. What was finished stays on the
    screen however the block is left.

    Args:
        stages: Names of all stages, in order.
        title: What it is about.
        doing: What is done to it.
        console: Where to show it; standard output if left out.
        now: Monotonic clock in seconds.
    """

    def __init__(
        self,
        stages: Sequence[str],
        *,
        title: str,
        doing: str = "building",
        console: Console | None = None,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self.console = console or Console()
        self.title, self.doing = clean(title), doing
        self._now = now
        self._begun = self._spoken = now()
        self._lines = {name: Line(name) for name in stages}
        self._spinner = Spinner("dots", style="cyan")
        self._over = False
        # FORCE_COLOR makes rich take a CI log for a terminal; colours are fine there, cursor
        # movements are not, so the file itself has to be one as well.
        live = self.console.is_interactive and self.console.file.isatty()
        self._live = (
            Live(self, console=self.console, refresh_per_second=REFRESHES) if live else None
        )

    def __enter__(self) -> Self:
        self._begun = self._now()
        if self._live:
            self._live.start()
        else:
            self._say(f"{self.doing} {self.title}")
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for line in self._lines.values():
            if line.state == "running":
                self.failed(line.name, "interrupted" if kind is KeyboardInterrupt else "stopped")
        self._over = True
        if self._live:
            self._live.stop()

    def cached(self, stage: str, summary: str) -> None:
        """The stage's result was found in the store."""
        self._finish(stage, "cached", None, summary)

    def start(self, stage: str) -> Progress:
        """The stage begins; call what is returned to say how far it is."""
        line = self._lines[stage]
        self._spoken = self._now()
        line.begin(self._spoken)
        if not self._live:
            self._say(f"{stage}: started")

        def progress(**facts: Fact) -> None:
            line.learn(facts)
            if not self._live and self._now() - self._spoken >= PLAIN_SECONDS:
                self._spoken = self._now()
                self._say(f"{stage}: {line.told(self._spoken)}")

        return progress

    def done(self, stage: str, seconds: float, summary: str) -> None:
        """The stage was worked on to its end, `seconds` of wall time."""
        self._finish(stage, "done", seconds, summary)

    def failed(self, stage: str, reason: str) -> None:
        """The stage ended without a result."""
        line = self._lines[stage]
        seconds = self._now() - line.started if line.state == "running" else None
        self._finish(stage, "failed", seconds, reason)

    def _finish(self, stage: str, state: State, seconds: float | None, summary: str) -> None:
        line = self._lines[stage]
        line.state, line.seconds, line.summary = state, seconds, " ".join(clean(summary).split())
        if self._live:
            self._live.refresh()
            return
        words: str = state
        if seconds is not None:
            words += f" {'after' if state == 'failed' else 'in'} {duration(seconds)}"
        self._say(f"{stage}: {words}" + (f" - {line.summary}" if line.summary else ""))

    def _say(self, text: str) -> None:
        self.console.print(Text(text), soft_wrap=True)

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """One frame of the live table."""
        now = self._now()
        lines = self._lines.values()
        name = max((len(line.name) for line in lines), default=0)
        took = max((len(line.took(now)) for line in lines), default=0)
        room = max(20, options.max_width - name - took - 7)
        table = Table.grid(padding=(0, 2, 0, 0))
        table.add_column(width=1)
        table.add_column(width=name)
        table.add_column(width=took, justify="right")
        # Wrapped lines would make the table jump while it is redrawn; the last frame may wrap.
        table.add_column(
            width=room, no_wrap=not self._over, overflow="fold" if self._over else "ellipsis"
        )
        for line in lines:
            self._add(table, line, room, options.ascii_only)
        yield Text.assemble(
            f"{self.doing} ", (self.title, "bold"), (f"  {duration(now - self._begun)}", "dim")
        )
        yield table

    def _add(self, table: Table, line: Line, room: int, ascii_only: bool) -> None:
        mark, plain, style = _MARKS[line.state]
        symbol = Text(plain if ascii_only else mark, style)
        name = Text(line.name, "dim" if line.state == "waiting" else "bold")
        took = Text(line.took(self._now()), "dim")
        if line.state != "running":
            words = Text(line.summary, "red" if line.state == "failed" else "")
            table.add_row(symbol, name, took, words)
            return
        table.add_row(symbol if ascii_only else self._spinner, name, took, self._bar(line, room))
        if numbers := line.measurements():
            words = Text("  ".join(numbers), no_wrap=False, overflow="fold")
            if not ascii_only:
                words.append(f"  {sparkline(line.losses)}", "cyan")
            table.add_row("", "", "", words)

    def _bar(self, line: Line, room: int) -> Table | Text:
        if line.steps is None:
            return Text(line.note, "dim")
        step, total = line.steps
        words = Text(f"{step}/{total}")
        if (left := line.seconds_left(self._now())) is not None:
            words.append(f"  {clock(left)} left", "cyan")
        if line.note:
            words.append(f"  {line.note}", "dim")
        width = max(8, min(30, room - 30))
        grid = Table.grid(padding=(0, 2, 0, 0))
        grid.add_column(width=width)
        grid.add_column(no_wrap=True, overflow="ellipsis")
        grid.add_row(ProgressBar(total=total, completed=step, width=width), words)
        return grid
