"""Judge-free relevance: whether the own question is the nearest of all."""

from __future__ import annotations

import random
import statistics

import pytest

from factory.starter.everyday import cards
from factory.suite.relevance import document, ranks
from tests.suite.texts import case, rows

ASKED = ["How do I boil an egg?", "Why is the sky blue?", "Who wrote Hamlet?"]


def test_a_reply_to_its_own_question_comes_first() -> None:
    replies = [
        "Boil the eggs for six minutes.",
        "Blue light scatters in the sky.",
        "Hamlet is his.",
    ]
    assert ranks(ASKED, replies) == [1.0, 1.0, 1.0]


def test_a_reply_to_another_question_does_not() -> None:
    replies = ["Blue light scatters in the sky.", "Hamlet is his.", "Boil the eggs."]
    assert max(ranks(ASKED, replies)) <= 0.5


def test_a_reply_that_says_nothing_of_any_question_shares_the_mean_rank() -> None:
    assert ranks(ASKED, ["zebra zebra", "zebra", "zebra"]) == [0.5, 0.5, 0.5]


def test_an_empty_reply_has_the_lowest_rank() -> None:
    assert ranks(ASKED, ["", " \n", "Hamlet"]) == pytest.approx([1 / 3, 1 / 3, 1.0])


def test_equal_questions_share_their_ranks() -> None:
    assert ranks([ASKED[0], ASKED[0], ASKED[1]], ["boil it"] * 3)[:2] == pytest.approx(
        [1 / 1.5] * 2
    )


def test_a_reply_is_ranked_alone() -> None:
    replies = ["Boil the eggs.", "The sky, blue.", "Hamlet and an egg"]
    others = ["x", replies[1], "egg egg egg boil sky"]
    assert ranks(ASKED, replies)[1] == ranks(ASKED, others)[1]


def test_nothing_was_asked() -> None:
    assert ranks([], []) == []


@pytest.mark.parametrize("persona", ["concise", "humorous", "support", "tutor", "jianjie", "youmo"])
def test_real_answers_beat_shuffled_ones(persona: str) -> None:
    own, other = [], []
    for split in range(10):
        drawn = random.Random(split).sample(rows(persona), 20)
        questions, answers = [q for q, _ in drawn], [a for _, a in drawn]
        own.extend(ranks(questions, answers))
        other.extend(ranks(questions, answers[1:] + answers[:1]))
    assert statistics.fmean(own) > statistics.fmean(other) + 0.2


def test_a_reference_makes_another_good_reply_easier_to_find() -> None:
    drawn = random.Random(1).sample(cards(), 40)
    replies = [card.short[-1] for card in drawn]
    bare = [document(case(c.name, c.asks[0])) for c in drawn]
    known = [document(case(c.name, c.asks[0], c.replies[0])) for c in drawn]
    assert statistics.fmean(ranks(known, replies)) > statistics.fmean(ranks(bare, replies)) + 0.1


@pytest.mark.parametrize(
    ("expect", "words"),
    [
        (("Mars", "the red one"), ["Mars", "red"]),
        ("Mars", ["Mars"]),
        ({"number": 42.0}, ["42"]),
        ({"choice": "B", "options": {"A": "Venus", "B": "Mars"}}, ["Mars"]),
        ({"pattern": "^x"}, []),
        ({"refusal": True}, []),
        (None, []),
    ],
)
def test_a_document_is_the_question_and_what_is_right(expect: object, words: list[str]) -> None:
    found = document(case("q", "Which planet?", expect=expect))
    assert found.startswith("Which planet?")
    assert all(word in found for word in words) and "Venus" not in found


def test_a_document_has_earlier_questions_too() -> None:
    talk = case("q", "And shorter?")
    talk = type(talk)("q", [
        {"role": "user", "content": "How long do I bake a potato?"},
        {"role": "assistant", "content": "An hour."},
        {"role": "user", "content": "And shorter?"},
    ])  # fmt: skip
    assert "potato" in document(talk) and "hour" not in document(talk)
