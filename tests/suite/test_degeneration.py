"""Replies that are none: loops, nothing at all, another language, no end; and habits of a set."""

from __future__ import annotations

import pytest

from factory.contracts import Reply
from factory.starter.everyday import cards
from factory.suite.degeneration import flags, repeats, tics
from tests.suite.texts import rows

LOOPS = [
    "the the the",
    "I think that the the the the the the the the the the the the",
    "I can help. I can help. I can help.",
    "To bake a cake, mix it well and mix it well and mix it well and mix it well and mix it",
    "Take a walk in the park today. Eat well. Take a walk in the park today. Rest. "
    "Take a walk in the park today.",
    "好的好的好的好的好的好的",
    "我觉得你可以试试看，我觉得你可以试试看，我觉得你可以试试看，",
    "a b c d " * 10,
    "!" * 40,
    "\U0001f389" * 40,
    "- walk the dog\n" * 4,
]
FINE = [
    "",
    "Yes.",
    "Ha ha ha ha ha! That one is good.",
    "哈哈哈哈哈哈哈哈哈哈，笑死我了",
    "No, no, no. Do not do that; call a doctor.",
    "It was a very, very, very long day and I am glad that it is over.",
    "\U0001f389\U0001f389\U0001f389 Happy birthday!",
    "Wow!!!",
    "| a | b |\n|---|---|\n| 1 | 2 |\n| 3 | 4 |",
    "- eggs\n- milk\n- bread\n- salt",
    "One\n" + "-" * 40 + "\nTwo",
    "Try again. Try again. You will get there in the end, as most people do.",
]


@pytest.mark.parametrize("text", LOOPS)
def test_a_loop_is_noticed(text: str) -> None:
    assert repeats(text)


@pytest.mark.parametrize("text", FINE)
def test_emphasis_lists_and_laughter_are_no_loop(text: str) -> None:
    assert not repeats(text)


def test_good_answers_do_not_repeat_themselves() -> None:
    texts = [a for name in ("concise", "humorous", "support", "tutor", "jianjie", "youmo")
             for _, a in rows(name)]  # fmt: skip
    texts += [text for card in cards()[:300] for text in (*card.replies, *card.short, *card.long)]
    assert len(texts) > 1500
    assert sum(map(repeats, texts)) <= 1


def test_a_good_answer_said_four_times_repeats_itself() -> None:
    for name in ("concise", "jianjie", "tutor"):
        assert all(repeats(" ".join([answer] * 4)) for _, answer in rows(name)[:30])


def test_a_long_text_is_read_in_no_time() -> None:
    assert not repeats(" ".join(f"w{n}" for n in range(5000)))


def test_every_flag_says_one_thing() -> None:
    good = {"stop_rate": 1.0, "non_empty": 1.0, "no_repetition": 1.0, "language": 1.0}
    fine = "Take a walk before you go to bed tonight."
    assert flags(Reply(fine, "stop", 9), "en") == good
    assert flags(Reply(fine, "length", 9), "en") == good | {"stop_rate": 0.0}
    assert flags(Reply(" \n\u200b", "stop", 0), "en") == good | {"non_empty": 0.0}
    assert flags(Reply("...", "stop", 1), "en") == good | {"non_empty": 0.0}
    assert flags(Reply("so so so so so so", "stop", 6), "en") == good | {"no_repetition": 0.0}
    assert flags(Reply("睡觉前出去散散步，把手机放在一边。", "stop", 9), "en") == good | {
        "language": 0.0
    }
    assert flags(Reply(fine, "stop", 9), "zh") == good | {"language": 0.0}


@pytest.mark.parametrize("text", ["ok", "42", "\U0001f600", "好"])
def test_a_short_reply_says_something_in_any_language(text: str) -> None:
    found = flags(Reply(text, "stop", 1), "zh")
    assert found["non_empty"] == found["language"] == 1.0


def test_the_commonest_habits_are_told_as_they_were_written() -> None:
    replies = [
        f"Great question, friend! Item {n} is number {n}. Hope this helps you" for n in "abcd"
    ]
    replies += ["Take eggs.", "Go to sleep early tonight."]
    found = {tic.kind: tic for tic in tics(replies)}
    assert found["opener"].text == "great question friend"
    assert found["closer"].text == "hope this helps you"
    assert found["opener"].share == found["closer"].share == pytest.approx(4 / 6)
    assert found["phrase"].share == pytest.approx(4 / 6)


def test_a_phrase_counts_once_a_reply() -> None:
    replies = ["warm tea with honey and warm tea with honey", "cold soup for dinner tonight"]
    phrase = next(tic for tic in tics(replies) if tic.kind == "phrase")
    assert phrase.share == 0.5


def test_habits_of_nothing() -> None:
    assert tics([]) == [] and tics(["", "  "]) == []


def test_chinese_habits_are_longer_runs_of_characters() -> None:
    found = tics(
        ["这个问题问得好，先喝水。", "这个问题问得好，再睡觉。", "去散步吧，今天天气不错。"]
    )
    assert found[0].text == "这 个 问 题 问" and found[0].share == pytest.approx(2 / 3)
