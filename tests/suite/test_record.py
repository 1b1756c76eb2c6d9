"""A record is plain data from which the same record is read, or it is refused in plain words."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from factory.artifacts import write_json
from factory.contracts import Reply
from factory.errors import UsageError
from factory.evaluation import read_record
from factory.suite.material import Material, material
from factory.suite.record import Record
from factory.suite.scores import Answers, Likelihood, Measured
from tests.suite.texts import case

ASKED = [case("question 1", "Tea or coffee?"), case("question 2", "Why?", expect=("because",))]
KEYS = {"questions": "ab", "sampling": {"temperature": 0.7}}


def nothing_else() -> Material:
    return material([], [], [], [], language="en", suites=())


def record() -> Record:
    said = Answers(Reply("Tea.", "stop", 2), (Reply("Téa, or", "length", 3, 11, "Hm."),))
    found = Measured(
        {one.id: said for one in ASKED},
        {"held_out": {"row": Likelihood(1.5, 2, 4)}, "train": {"trained": Likelihood(1.0, 1, 1)}},
        {"script": [said.greedy]},
    )
    return Record.of("brief@1", KEYS, ASKED, nothing_else(), found)


def test_what_was_written_is_read_again(tmp_path: Path) -> None:
    write_json(tmp_path / "record.json", record().as_dict())
    found = read_record(tmp_path / "record.json", KEYS)
    assert found == record()
    assert found.measured.answers["question 2"].samples[0].text == "Téa, or"
    assert set(found.measured.likelihoods) == {"held_out"}  # training rows may be others next time


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"measured": None}, "measured: "),
        ({"measured": {"answers": {}}}, "no answers to question 1, question 2"),
        ({"keys": {**KEYS, "questions": "cd"}}, "questions: cd against ab"),
    ],
)
def test_a_record_that_cannot_be_compared_says_why(
    change: dict[str, object], said: str, tmp_path: Path
) -> None:
    file = tmp_path / "record.json"
    file.write_text(json.dumps({**record().as_dict(), **change}))
    with pytest.raises(UsageError) as caught:
        read_record(file, KEYS)
    assert said in str(caught.value)


def test_only_spare_cases_that_were_asked_in_the_same_words_are_shared() -> None:
    reworded = case("question 2", "Why not?", expect=("because",))
    asked = replace(nothing_else(), spare=(*ASKED, case("question 3", "When?"), reworded))
    assert record().shared(asked).spare == tuple(ASKED)
