"""`factory review`: decisions are kept one by one, and only undecided pairs are shown."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

import pytest
from rich.console import Console

from factory.artifacts import Row, write_json, write_jsonl
from factory.errors import UsageError
from factory.pairs import review
from factory.report.reviewing import ask, newest


def row(number: int) -> Row:
    return {
        "id": f"distill:x#{number}",
        "messages": [
            {"role": "user", "content": f"Question {number}?"},
            {"role": "assistant", "content": f"Answer {number}."},
        ],
        "side": "train",
    }


ROWS = [row(n) for n in range(1, 6)]


def typed(*lines: str) -> Callable[[str], str]:
    waiting = iter(lines)

    def read(_: str) -> str:
        try:
            return next(waiting)
        except StopIteration:
            raise EOFError from None

    return read


def session(home: Path, *lines: str, again: bool = False) -> tuple[dict[str, int], str]:
    shown = io.StringIO()
    counts = ask(home, "brief", ROWS, Console(file=shown, width=80), typed(*lines), again)
    return counts, shown.getvalue()


def test_decisions_are_kept_and_a_review_is_taken_up_where_it_was_left(tmp_path: Path) -> None:
    counts, _ = session(tmp_path, "a", "d", "e", "", "Better.", "q")
    assert counts == {"accept": 1, "edit": 1, "drop": 1, "skip": 0}
    counts, shown = session(tmp_path, "s")
    assert counts["skip"] == 1
    assert "Question 4?" in shown and "Question 1?" not in shown
    kept = {r["id"]: r["messages"][-1]["content"]
            for r, dropped in review.applied(ROWS, review.load(tmp_path, "brief"))
            if not dropped}  # fmt: skip
    assert kept["distill:x#3"] == "Better." and kept["distill:x#1"] == "Answer 1."
    assert "distill:x#2" not in kept and len(kept) == 4


def test_what_is_no_choice_is_asked_again(tmp_path: Path) -> None:
    counts, _ = session(tmp_path, "?", "x", "a")
    assert counts["accept"] == 1


def test_decided_pairs_can_be_looked_at_again(tmp_path: Path) -> None:
    session(tmp_path, "d", "q")
    counts, shown = session(tmp_path, "a", "q", again=True)
    assert "Question 1?" in shown and counts["accept"] == 1
    assert not [r for r, dropped in review.applied(ROWS, review.load(tmp_path, "brief")) if dropped]


def distilled(home: Path, name: str, rows: list[Row]) -> None:
    run = home / "runs" / f"{name}--starter--1"
    write_json(run / "spec.json", {"name": name})
    write_json(
        run / "stages.json", [{"name": "gather", "key": "g"}, {"name": "distill", "key": "k"}]
    )
    seed: Row = {"id": f"{name}:seed 1", "messages": ROWS[0]["messages"]}
    write_jsonl(home / "store" / "distill" / "k" / "rows.jsonl", [seed, *rows])


def test_the_newest_run_with_a_teacher_is_reviewed(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no teacher has written"):
        newest(tmp_path, "brief")
    distilled(tmp_path, "brief", ROWS)
    assert newest(tmp_path, "brief") == ROWS


def test_another_personas_pairs_are_not_reviewed(tmp_path: Path) -> None:
    distilled(tmp_path, "brief--beta", ROWS)
    with pytest.raises(UsageError, match="no teacher has written"):
        newest(tmp_path, "brief")
    assert newest(tmp_path, "brief--beta") == ROWS
