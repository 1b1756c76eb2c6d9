"""`factory compare`: blind, one key a question, every pick kept at once and tied to what was said."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from factory.artifacts import write_json, write_jsonl
from factory.errors import UsageError
from factory.report.comparing import compare, newest, people
from factory.suite import picks
from factory.suite.picks import Pick


def entry(number: int, kind: str = "question", **answers: str) -> dict[str, Any]:
    said = {"base": f"Plain {number}.", "tuned": f"Voiced {number}.", **answers}
    return {
        "id": f"q{number}",
        "kind": kind,
        "ask": f"Question {number}?",
        "history": [],
        "answers": {arm: {"text": text} for arm, text in said.items()},
    }


ENTRIES = [entry(n) for n in range(1, 9)]


def evaluated(home: Path, entries: list[dict[str, Any]] = ENTRIES, name: str = "brief") -> None:
    run = home / "runs" / f"{name}--starter--1"
    write_json(
        run / "stages.json", [{"name": "tune", "key": "t"}, {"name": "evaluate", "key": "e"}]
    )
    spec = {"name": name, "description": "Says little.", "voice": ["short", "dry"]}
    write_json(run / "spec.json", spec)
    write_jsonl(home / "store" / "evaluate" / "e" / "answers.jsonl", entries)


class Person:
    """Reads the screen and answers by what stands there, or types what it was told to."""

    def __init__(self, decide: Callable[[str, str, str], str]) -> None:
        self.screen = io.StringIO()
        self.decide = decide
        self.console = Console(file=self.screen, width=90)
        self.asked: list[str] = []

    def read(self, prompt: str) -> str:
        self.asked.append(prompt)
        shown = self.screen.getvalue().rpartition("╭")[2]
        first, second = ([*re.findall(r"(?:Plain|Voiced) \d+|\(says nothing\)", shown), "", ""])[:2]
        return self.decide(prompt, first, second)


def typing(*keys: str) -> Person:
    waiting = iter(keys)

    def decide(*_: str) -> str:
        try:
            return next(waiting)
        except StopIteration:
            raise EOFError from None

    return Person(decide)


def prefers(word: str) -> Person:
    return Person(lambda _, first, second: "a" if first.startswith(word) else "b")


def session(home: Path, person: Person, **options: Any) -> tuple[list[Pick], str]:
    found = compare(home, newest(home, "brief", "base"), person.console, person.read, **options)
    return found, person.screen.getvalue()


def test_a_person_who_knows_the_voice_finds_it_in_whatever_order(tmp_path: Path) -> None:
    evaluated(tmp_path)
    found, shown = session(tmp_path, prefers("Voiced"), seed=5)
    assert {p.tuned_first for p in found} == {True, False}
    result = picks.result(found, "style")
    assert (result.tuned, result.other, result.ties) == (8, 0, 0)
    assert result.p == pytest.approx(2 * 0.5**8) and result.winner == "tuned"
    assert "Says little. Voice: short, dry." in shown
    assert (
        "style: the tuned model was preferred, 8 to 0; chance gives that in 0.8% of cases" in shown
    )
    assert picks.load(tmp_path, "brief") == found


def test_a_person_who_prefers_the_other_is_heard_too(tmp_path: Path) -> None:
    evaluated(tmp_path)
    found, shown = session(tmp_path, prefers("Plain"))
    assert picks.result(found, "relevance").winner == "other"
    assert "relevance: base was preferred, 0 to 8" in shown


def test_whose_answer_is_whose_is_not_told_before_the_end(tmp_path: Path) -> None:
    evaluated(tmp_path)
    seen: list[str] = []

    def decide(prompt: str, first: str, second: str) -> str:
        seen.append(person.screen.getvalue() + prompt)
        return "a"

    person = Person(decide)
    _, shown = session(tmp_path, person)
    assert len(seen) == 24
    assert not re.search(r"tuned|base|q1", seen[-1])
    assert re.search(r"the tuned model was q1: [AB]", shown)


def test_quitting_keeps_what_is_there_and_tells_nothing_of_the_half_decided(tmp_path: Path) -> None:
    evaluated(tmp_path)
    found, shown = session(tmp_path, typing("a", "b", "t", "a", "q"), seed=3)
    assert [len(p.choices) for p in found] == [3, 1]
    assert "q1" in shown and "q2" not in shown
    assert "1 of 8 questions are judged; the same command goes on" in shown
    person = typing("t", "t")
    found, shown = session(tmp_path, person)
    assert "Question 2?" in shown and "Question 1?" not in shown
    assert "more right" in person.asked[0]  # the aspect where it was left
    assert [len(p.choices) for p in found] == [3, 3]
    assert {p.seed for p in found} == {3}  # A is still A


def test_one_key_goes_back_over_the_question_before(tmp_path: Path) -> None:
    evaluated(tmp_path)
    found, _ = session(tmp_path, typing("a", "a", "a", "u", "u", "t", "t", "q"))
    assert list(found[0].choices.values())[1:] == ["tie", "tie"]
    assert found[0].choices["relevance"] != "tie"
    found, _ = session(tmp_path, typing("u", "q"))  # nothing lies before the first one
    assert len(found) == 1


def test_what_is_undone_is_not_kept(tmp_path: Path) -> None:
    evaluated(tmp_path)
    session(tmp_path, typing("a", "a", "u", "q"))
    assert [list(p.choices) for p in picks.load(tmp_path, "brief")] == [["relevance"]]


def test_other_keys_are_asked_again(tmp_path: Path) -> None:
    evaluated(tmp_path)
    found, _ = session(tmp_path, typing("", "x", "TIE", "q"))
    assert found[0].choices == {"relevance": "tie"}


def test_another_answer_does_not_inherit_a_pick(tmp_path: Path) -> None:
    evaluated(tmp_path)
    session(tmp_path, prefers("Voiced"))
    rebuilt = [entry(1, tuned="Voiced 1, anew."), *ENTRIES[1:]]
    evaluated(tmp_path, rebuilt)
    pairs = newest(tmp_path, "brief", "base").pairs
    assert [p.id for p in picks.matching(picks.load(tmp_path, "brief"), pairs)] == [
        f"q{n}" for n in range(2, 9)
    ]
    _, shown = session(tmp_path, prefers("Plain"))
    assert "Question 1?" in shown and "Question 2?" not in shown
    assert "7 to 1" in shown


def test_only_so_many_are_asked_and_equal_answers_never(tmp_path: Path) -> None:
    evaluated(tmp_path, [entry(1, tuned="Plain 1."), *ENTRIES[1:], entry(9, "safety")])
    found, shown = session(tmp_path, prefers("Voiced"), count=3)
    assert [p.id for p in found] == ["q2", "q3", "q4"]
    assert "1 of 8 answers are the same on both sides" in shown
    found, _ = session(tmp_path, prefers("Voiced"), count=15)
    assert [p.id for p in found] == [f"q{n}" for n in range(2, 9)]


def test_an_older_release_is_compared_by_what_was_asked(tmp_path: Path) -> None:
    evaluated(tmp_path)
    old = [entry(n, tuned=f"Older {n}.") for n in (3, 2)]
    old.append({**entry(4, tuned="x"), "history": [{"role": "user", "content": "Hello."}]})
    write_jsonl(tmp_path / "releases" / "brief" / "1" / "answers.jsonl", old)
    pairs = newest(tmp_path, "brief", "brief@1").pairs
    assert [(p.id, p.other) for p in pairs] == [("q2", "Older 2."), ("q3", "Older 3.")]


def test_what_cannot_be_compared_is_said(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="not evaluated yet"):
        newest(tmp_path, "brief", "base")
    evaluated(tmp_path)
    with pytest.raises(UsageError) as caught:
        newest(tmp_path, "brief", "previous")
    assert caught.value.allowed and caught.value.allowed.startswith("base")
    assert "served when the newest build was evaluated" in str(caught.value)
    assert "factory promote brief@N" in str(caught.value)
    with pytest.raises(UsageError, match="only its name") as caught:
        newest(tmp_path, "brief@2", "base")
    assert caught.value.allowed == "brief"
    write_json(tmp_path / "releases" / "brief" / "1" / "manifest.json", {})
    with pytest.raises(UsageError, match="not evaluated yet") as caught:
        newest(tmp_path, "breif", "base")
    assert caught.value.hint == "did you mean brief?"
    for wrong in ("brief@7", "@1", "../brief@1", "brief@x"):
        with pytest.raises(UsageError, match="no such release"):
            newest(tmp_path, "brief", wrong)


def test_another_personas_answers_are_not_compared(tmp_path: Path) -> None:
    evaluated(tmp_path, name="brief--beta")
    with pytest.raises(UsageError, match="not evaluated yet"):
        newest(tmp_path, "brief", "base")
    assert len(newest(tmp_path, "brief--beta", "base").pairs) == len(ENTRIES)


def test_a_models_words_cannot_paint_the_screen(tmp_path: Path) -> None:
    evaluated(tmp_path, [entry(1, tuned="\x1b[2J[bold]hi[/bold]")])
    _, shown = session(tmp_path, typing("q"))
    assert "\x1b" not in shown and "[bold]hi" in shown


def counted(tuned: int, other: int, ties: int = 0) -> picks.Result:
    choices = ["tuned"] * tuned + ["other"] * other + ["tie"] * ties
    said = [Pick(str(n), str(n), "base", 1, True, {"style": c}) for n, c in enumerate(choices)]  # type: ignore[dict-item]
    return picks.result(said, "style")


@pytest.mark.parametrize(
    ("decided", "needed"), [(5, None), (6, 6), (8, 8), (10, 9), (12, 10), (15, 12), (20, 15)]
)
def test_how_many_one_way_it_takes(decided: int, needed: int | None) -> None:
    assert counted(decided, 0).needed == needed
    if needed:
        assert counted(needed, decided - needed).winner == "tuned"
        assert counted(decided - needed, needed).winner == "other"
        assert counted(needed - 1, decided - needed + 1).winner is None


def test_what_the_picks_mean_is_said_for_their_number() -> None:
    assert "12 of 15 one way would have told" in counted(9, 6).sentence("base")
    assert "with fewer than 6 decided" in counted(5, 0, 10).sentence("base")
    assert "nothing can be said" in counted(0, 0, 4).sentence("base")
    assert counted(0, 0).sentence("base") == "not asked" and counted(0, 0).p is None


def test_a_report_gets_what_people_said_of_exactly_its_answers(tmp_path: Path) -> None:
    evaluated(tmp_path)
    assert people(tmp_path, "brief", ENTRIES) == {}
    session(tmp_path, prefers("Voiced"))
    old = tmp_path / "releases" / "brief" / "1"
    write_jsonl(old / "answers.jsonl", [entry(n, tuned=f"Plain {n}, older.") for n in (3, 2)])
    person = prefers("Plain")
    compare(tmp_path, newest(tmp_path, "brief", "brief@1"), person.console, person.read)
    said = json.loads(json.dumps(people(tmp_path, "brief", ENTRIES)))
    assert said["base"]["questions"] == 8 and said["base"]["aspects"][2]["tuned"] == 8
    assert said["brief@1"]["questions"] == 2 and said["brief@1"]["aspects"][2]["other"] == 2

    rebuilt = [entry(1, tuned="Voiced 1, anew."), *ENTRIES[1:]]
    assert people(tmp_path, "brief", rebuilt)["base"]["questions"] == 7
    (old / "answers.jsonl").unlink()  # a release that was removed cannot be told of
    assert list(people(tmp_path, "brief", ENTRIES)) == ["base"]


def test_a_report_tells_nothing_of_a_question_that_is_half_decided(tmp_path: Path) -> None:
    evaluated(tmp_path)
    session(tmp_path, typing("a", "b", "t", "a", "q"))
    assert people(tmp_path, "brief", ENTRIES)["base"]["questions"] == 1
