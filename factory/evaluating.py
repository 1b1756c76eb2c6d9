"""What `factory eval` and `factory compare` do: put the pieces together, write, print."""

from __future__ import annotations

import time
from collections.abc import Mapping
from datetime import UTC, datetime
from itertools import count as counting
from pathlib import Path
from tempfile import TemporaryFile

from factory.commands import VERDICTS, console, short
from factory.errors import FactoryError, UsageError


def evaluate(
    ref: str,
    against: str,
    model: str | None,
    bless: Path | None,
    written: Mapping[str, Path | None],
) -> None:
    """Gate a release again; the exit code is the verdict.

    What is written is written before anything is printed, for a reader may leave (`| head`).
    """
    from factory.artifacts import write_json, write_text
    from factory.evaluation import bless as write_record
    from factory.evaluation import evaluate, may_bless
    from factory.report import Display, html, markdown, terminal
    from factory.report.junit import junit
    from factory.report.pull_request import pull_request
    from factory.store import home

    if bless is not None:
        may_bless(bless)
    _writable({**written, "bless": bless})
    begun = time.monotonic()
    display = Display(
        ["evaluate"], title=f"{ref} against {against}", doing="evaluating", console=console
    )
    with display:
        progress = display.start("evaluate")
        try:
            report, record = evaluate(
                home(), ref, against=against, model=model, keep=bless is not None, progress=progress
            )
        except FactoryError as error:
            display.failed("evaluate", error.what)
            raise
        display.done("evaluate", time.monotonic() - begun, f"{report.verdict}: {report.summary}")
    folder = _folder(home() / "evaluations", report.name)
    write_text(folder / "report.md", markdown(report))
    write_text(folder / "report.html", html(report))
    forms = {
        "json": lambda file: write_json(file, report.scorecard),
        "junit": lambda file: write_text(file, junit(report)),
        "markdown": lambda file: write_text(file, pull_request(report)),
    }
    for form, file in written.items():
        if file is not None:
            forms[form](file)
    if bless is not None and record is not None:
        write_record(bless, record)
    console.print(terminal(report))
    if bless is not None:
        console.print(f"record: {short(bless)}", markup=False, soft_wrap=True)
    page = short(folder / "report.html")
    card = report.scorecard
    verdict = f"{card['judged']} against {card['against']}: {report.verdict}"
    if report.verdict != "PASS":
        raise VERDICTS[report.verdict](verdict, got=report.summary, hint=f"read {page}")
    console.print(f"report: {page}", markup=False, soft_wrap=True)
    console.print(verdict, markup=False, soft_wrap=True)


def _writable(files: Mapping[str, Path | None]) -> None:
    """Refuse files that could not be written, before minutes are spent on what they should hold."""
    taken: dict[Path, str] = {}
    for option, file in files.items():
        if file is None:
            continue
        wrong = f"--{taken[file.resolve()]} is the same file" if file.resolve() in taken else ""
        taken[file.resolve()] = option
        try:
            if file.is_dir():
                wrong = "it is a folder"
            else:
                file.parent.mkdir(parents=True, exist_ok=True)
                TemporaryFile(dir=file.parent).close()
        except OSError as error:
            wrong = error.strerror or type(error).__name__
        if wrong:
            raise UsageError(
                "this file cannot be written; nothing was measured",
                where=f"--{option}",
                got=f"{file}: {wrong}",
                allowed="a file of its own, in a folder that can be written",
            )


def _folder(parent: Path, name: str) -> Path:
    """A new folder for one evaluation, made at once, so that no other one takes it."""
    parent.mkdir(parents=True, exist_ok=True)
    stem = f"{name}--{datetime.now(UTC):%Y-%m-%d-%H%M%S-UTC}"
    for number in counting(1):
        folder = parent / (stem if number == 1 else f"{stem}-{number}")
        try:
            folder.mkdir()
        except FileExistsError:
            continue
        return folder
    raise AssertionError("numbers do not end")


def compare(name: str, against: str, count: int) -> None:
    """Have a person judge answers blind, side by side; picks are kept and shown in the next report."""
    from factory.report.comparing import compare, newest
    from factory.store import home

    compare(home(), newest(home(), name, against), console, input, count=count)
