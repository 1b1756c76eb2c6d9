"""What a reply shares word for word with the training replies."""

from __future__ import annotations

import difflib
import time

import pytest

from factory.suite.memorisation import overlap
from tests.suite.texts import rows, usual

TRAINED = [
    "Take a short walk, then put the phone away for an hour and read something dull.",
    "Begin with eggs; they forgive a lot and you can eat your mistakes.",
]


def test_a_recited_reply_is_found_whole() -> None:
    found = overlap(TRAINED[1], TRAINED)
    assert (found.run, found.containment, found.nearest) == (13, 1.0, 1)


def test_case_and_punctuation_hide_nothing() -> None:
    assert overlap("BEGIN with eggs - they forgive a lot, and you can eat!", TRAINED).run == 11


def test_another_reply_shares_little() -> None:
    found = overlap("Put the kettle on and wait for a lot of steam.", TRAINED)
    assert found.run == 2 and found.containment == 0.0


def test_containment_counts_the_nearest_reply_only() -> None:
    half = "Take a short walk, then put the phone " + "begin with eggs they forgive a lot and you"
    found = overlap(half, TRAINED)
    assert found.nearest == 1 and found.run == 9
    assert found.containment == pytest.approx(2 / 10)


def test_a_short_reply_is_compared_as_a_whole() -> None:
    assert overlap("Put the phone away.", TRAINED).containment == 1.0
    assert overlap("Put the kettle away.", TRAINED).containment == 0.0


@pytest.mark.parametrize(("text", "training"), [("", TRAINED), ("...", TRAINED), ("walk", [])])
def test_nothing_shares_nothing(text: str, training: list[str]) -> None:
    found = overlap(text, training)
    assert (found.run, found.containment, found.nearest) == (0, 0.0, None)


def test_chinese_is_compared_by_characters() -> None:
    answers = [answer for _, answer in rows("youmo")]
    recited = overlap(answers[3], answers)
    assert recited.containment == 1.0 and recited.nearest == 3
    assert overlap("我今天去公园散步，看见一只猫。", answers).containment == 0.0


def test_the_longest_run_is_that_of_a_slow_search() -> None:
    answers = [answer for _, answer in rows("tutor")][:12]
    plain = [answer.lower().replace(",", "").replace(".", "").split() for answer in answers]
    reply = "now think of dealing out money and how many groups of 7 you would take away from it"
    words = reply.split()
    slow = max(
        difflib.SequenceMatcher(None, words, other, autojunk=False)
        .find_longest_match(0, len(words), 0, len(other))
        .size
        for other in plain
    )
    assert overlap(reply, [" ".join(other) for other in plain]).run == slow > 1


def test_thirty_replies_against_two_hundred_rows_take_no_time() -> None:
    training = [answer for name in ("tutor", "support") for _, answer in rows(name)][:200]
    started = time.process_time()
    for reply in [*training[:15], *usual()[:15]]:
        overlap(reply, training)
    assert time.process_time() - started < 3
