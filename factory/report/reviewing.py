"""`factory review`: a person reads the pairs a teacher wrote, one by one, and decides."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from rich.console import Console
from rich.panel import Panel
from rich.text import Text

from factory.artifacts import Row, read_json, read_jsonl
from factory.errors import UsageError
from factory.pairs import review
from factory.report.runs import runs_of

HELP = "[a]ccept  [e]dit the answer  [d]rop  [s]kip  [q]uit"


def newest(home: Path, name: str) -> list[Row]:
    """The pairs that a teacher wrote for a persona's newest build.

    Raises:
        UsageError: If no build of this persona had a teacher.
    """
    for run in runs_of(home, name):
        for stage in read_json(run / "stages.json"):
            file = home / "store" / "distill" / stage["key"] / "rows.jsonl"
            if stage["name"] == "distill" and file.is_file():
                return [row for row in read_jsonl(file) if "side" in row]
    raise UsageError(
        f"no teacher has written pairs for {name!r} yet",
        where=str(home / "runs"),
        hint="add a `teacher` to the persona file and run `factory build --until distill`",
    )


def ask(
    home: Path,
    name: str,
    rows: Sequence[Row],
    console: Console,
    read: Callable[[str], str],
    again: bool = False,
) -> dict[str, int]:
    """Show every pair that is not decided yet, and keep each decision at once.

    Args:
        home: `$FACTORY_HOME`.
        name: The persona.
        rows: Its pairs.
        console: Where to show them.
        read: Asks a person for a line; EOFError ends the review like `q`.
        again: Show decided pairs too.

    Returns:
        How many were accepted, edited, dropped and skipped.
    """
    known = review.load(home, name)
    waiting = [row for row in rows if again or review.key(row) not in known]
    counts = {"accept": 0, "edit": 0, "drop": 0, "skip": 0}
    for number, row in enumerate(waiting, 1):
        question, answer = row["messages"][-2]["content"], row["messages"][-1]["content"]
        text = Text.assemble((question, "bold"), "\n\n", answer)
        console.print(Panel(text, title=f"{number} of {len(waiting)}", title_align="left"))
        try:
            choice = _choice(read)
            if choice == "q":
                break
            if choice == "s":
                counts["skip"] += 1
                continue
            decision = _decision(choice, read)
        except EOFError:
            break
        review.decide(home, name, row, decision)
        counts[decision["action"]] += 1
    return counts


def _choice(read: Callable[[str], str]) -> str:
    while (choice := read(f"{HELP} > ").strip().lower()[:1]) not in tuple("aedsq"):
        pass
    return choice


def _decision(choice: str, read: Callable[[str], str]) -> review.Decision:
    if choice == "e":
        answer = ""
        while not answer:
            answer = read("new answer > ").strip()
        return {"action": "edit", "answer": answer}
    return {"action": "accept" if choice == "a" else "drop"}
