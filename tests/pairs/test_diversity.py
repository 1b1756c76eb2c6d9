"""diversity: the figures tell a varied set from a repetitive one, whatever its length."""

from __future__ import annotations

import json
import random
from pathlib import Path

import pytest

from factory.pairs.diversity import compression, distinct, figures, nearest, self_repetition

PERSONAS = Path(__file__).resolve().parents[2] / "personas"
RATES = ("compression", "distinct_1", "distinct_2", "self_repetition")


def pairs(name: str = "humorous") -> list[tuple[str, str, str]]:
    lines = (PERSONAS / f"{name}.jsonl").read_text("utf-8").splitlines()
    return [(row["instruction"], row["output"], "normal") for row in map(json.loads, lines)]


def answers(name: str = "humorous") -> list[str]:
    return [answer for _, answer, _ in pairs(name)]


def stale(texts: list[str]) -> list[str]:
    """The same answers, with one teacher's favourite sentences in them."""
    return [
        f"Think of an old garden hose. {text} Every grand journey has one step." for text in texts
    ]


@pytest.mark.parametrize("name", ["humorous", "youmo", "support"])
def test_a_repetitive_set_shows_in_every_figure(name: str) -> None:
    good = figures(pairs(name))
    bad = figures(
        [(q, a, r) for (q, _, r), a in zip(pairs(name), stale(answers(name)), strict=True)]
    )
    assert bad["compression"] > good["compression"] + 0.1
    assert bad["distinct_2"] < good["distinct_2"]
    assert bad["self_repetition"] == 1.0 > good["self_repetition"]
    assert bad["openers"][0]["text"].startswith("think of an")
    assert bad["openers"][0]["count"] == len(pairs(name))
    assert good["openers"][0]["share"] < 0.05
    assert bad["closers"][0]["share"] == 1.0


@pytest.mark.parametrize("measure", [compression, lambda texts: distinct(texts, 1)])
def test_a_longer_set_is_no_less_varied(measure: object) -> None:
    assert callable(measure)
    texts = answers()
    random.Random(5).shuffle(texts)
    half, whole = measure(texts[: len(texts) // 2]), measure(texts)
    assert abs(half - whole) < 0.06 * whole


def test_self_repetition_needs_two_others() -> None:
    texts = [
        "the velvet hammer sings at noon",
        "a velvet hammer sings at dawn",
        "nothing of it here",
    ]
    assert self_repetition(texts) == 0.0
    assert self_repetition([*texts, "my velvet hammer sings at night"]) == 0.75


def test_figures_are_plain_numbers_for_any_set() -> None:
    assert figures([]) == {"pairs": 0}
    for some in ([("Why?", "Yes.", "normal")], [("?", "!", "grave")] * 2, pairs()):
        found = figures(some)
        assert json.loads(json.dumps(found)) == found
        assert all(isinstance(found[name], float) for name in RATES)
        assert found["pairs"] == len(some)
        assert len(found["openers"]) <= 5


def test_the_most_alike_questions_come_first() -> None:
    questions = [question for question, _, _ in pairs()]
    planted = [f"{questions[7].rstrip('?.!')} please?", *questions]
    found = nearest(planted)
    assert len(found) == 10
    assert set(found[0]["texts"]) == {planted[0][:80], questions[7][:80]}
    values = [pair["similarity"] for pair in found]
    assert values == sorted(values, reverse=True)


def test_private_data_is_not_shown() -> None:
    shown = nearest(["Is anna.smith@corp.com yours?", "Is anna.smith@corp.com his?"])
    assert "anna" not in json.dumps(shown)


def test_lengths_are_counted_by_register() -> None:
    made = [("?", "word " * count, register) for register, count in
            (("normal", 1), ("normal", 15), ("normal", 16), ("grave", 60), ("grave", 500))]  # fmt: skip
    assert figures(made)["lengths"] == {
        "normal": {"1-15": 2, "16-30": 1, "31-60": 0, "61-120": 0, "over 120": 0},
        "grave": {"1-15": 0, "16-30": 0, "31-60": 1, "61-120": 0, "over 120": 1},
    }
