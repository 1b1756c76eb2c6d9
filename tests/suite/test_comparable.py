"""Scorecards are compared only if everything that was asked, and how, is the same; else it is named."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from factory.artifacts import Row
from factory.base import Base
from factory.questions import Question
from factory.spec import Evaluate
from factory.suite.comparable import differences, keys
from factory.suite.material import material

ROWS: list[Row] = [
    {
        "id": f"rows.jsonl:{n}",
        "messages": [
            {"role": "user", "content": f"What about {n}?"},
            {"role": "assistant", "content": f"About {n} I know this."},
        ],
    }
    for n in range(6)
]
QUESTIONS = [Question(ask="How many days are in a week?", expect="seven")]


def found(base: Base, **changed: Any) -> dict[str, Any]:
    """The keys of an evaluation that differs from the usual one in what is named."""
    given: dict[str, Any] = {
        "questions": QUESTIONS,
        "rows": ROWS,
        "sampling": {"temperature": 0.7},
        "config": Evaluate(),
        "language": "en",
    } | changed
    config = given["config"]
    asked = material(
        given["questions"], given["rows"], [], ROWS,
        language=given["language"], suites=config.suites,
    )  # fmt: skip
    return keys(asked, base, given["sampling"], config, given["language"])


def longer_answers() -> Evaluate:
    return Evaluate(max_new_tokens=64)


def reworded() -> list[Row]:
    rows = copy.deepcopy(ROWS)
    rows[0]["messages"][1]["content"] = "About 0 I know that."
    return rows


CHANGES: dict[str, tuple[str, Callable[[], dict[str, Any]]]] = {
    "another question": ("questions", lambda: {"questions": [Question(ask="And in a month?")]}),
    "another expectation": (
        "questions",
        lambda: {"questions": [QUESTIONS[0].model_copy(update={"expect": "eight"})]},
    ),
    "another held-out answer": ("rows", lambda: {"rows": reworded()}),
    "a suite less": ("suites", lambda: {"config": Evaluate(suites=("safety", "switch", "hold"))}),
    "another language": ("suites", lambda: {"language": "zh"}),
    "another temperature": ("sampling", lambda: {"sampling": {"temperature": 0.2}}),
    "longer answers": ("sampling", lambda: {"config": longer_answers()}),
}


@pytest.mark.parametrize("change", CHANGES)
def test_each_change_is_named_and_nothing_else(change: str, tiny_llama: Path) -> None:
    base = Base("tiny", tiny_llama, None)
    name, changed = CHANGES[change]
    different = differences(found(base), found(base, **changed()))
    assert [text.partition(":")[0] for text in different] == [name]


def test_another_base_and_template_are_named(tiny_llama: Path, tiny_qwen2: Path) -> None:
    different = differences(
        found(Base("one", tiny_llama, None)), found(Base("other", tiny_qwen2, None))
    )
    assert [text.partition(":")[0] for text in different] == ["base", "template"]


def test_what_does_not_decide_a_score_makes_no_difference(tiny_llama: Path, tmp_path: Path) -> None:
    one = Base("one", tiny_llama, None)
    (tmp_path / "moved").symlink_to(tiny_llama)
    other = Base("another name", tmp_path / "moved", None)
    margins = Evaluate(inconclusive="warn", samples=8)
    assert differences(found(one), found(other, config=margins)) == []


def test_both_values_are_shown_also_of_a_key_that_one_lacks() -> None:
    assert differences({"base": "aa", "rows": "r"}, {"base": "bb", "rows": "r", "engine": "e"}) == [
        "base: aa against bb",
        "engine: nothing against e",
    ]
    (text,) = differences({"sampling": {"temperature": 0.7, "top_p": 1}}, {"sampling": {}})
    assert "temperature 0.7, top_p 1" in text
