"""cells: exactly as many pairs as asked for, in the shares asked for, and no topic on two sides."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter

from factory.errors import UsageError
from factory.load import load
from factory.pairs import forms
from factory.pairs.cells import (
    DEFAULT_SHARES,
    LENGTHS,
    REGISTERS,
    SIDES,
    Cell,
    describe,
    plan,
    word_bands,
)
from factory.pairs.quotas import largest_remainder
from factory.pairs.topics import topics_of
from factory.rules import check
from factory.spec import Rule, Seed

RULES: TypeAdapter[tuple[Rule, ...]] = TypeAdapter(tuple[Rule, ...])
PERSONAS = Path(__file__).resolve().parents[2] / "personas"
BRIEF = Seed(instruction="Tea or coffee?", output="Coffee to wake up, tea to slow down.")


def planned(pairs: int = 120, **changed: Any) -> list[Cell]:
    given: dict[str, Any] = {"language": "en", "seeds": (), "rules": ()}
    return plan(pairs, **{**given, **changed})


def rules(*written: dict[str, Any]) -> tuple[Rule, ...]:
    return RULES.validate_python(written)


def quota(cells: list[Cell], **wanted: str) -> int:
    return sum(
        cell.quota
        for cell in cells
        if all(getattr(cell, field) == value for field, value in wanted.items())
    )


@pytest.mark.parametrize("language", ["en", "zh", "de"])
@pytest.mark.parametrize("pairs", [1, 2, 3, 9, 10, 31, 50, 119, 120, 200, 2000])
def test_quotas_add_up_exactly(pairs: int, language: str) -> None:
    cells = planned(pairs, language=language)
    assert quota(cells) == pairs
    assert all(cell.quota > 0 for cell in cells), "cells without a quota vanish"
    assert len({cell.id for cell in cells}) == len(cells)


@given(
    st.integers(1, 500),
    st.lists(st.integers(0, 9), min_size=7, max_size=7).filter(any),
    st.tuples(st.sampled_from([0.0, 0.1, 0.4]), st.sampled_from([0.01, 0.12, 0.4])),
)
def test_quotas_add_up_whatever_the_shares(
    pairs: int, weights: list[int], held_out: tuple[float, float]
) -> None:
    shares = dict(zip(REGISTERS, (weight / sum(weights) for weight in weights), strict=True))
    cells = planned(pairs, shares=shares, held_out=held_out)
    assert quota(cells) == pairs
    for name, share in shares.items():
        assert abs(quota(cells, register=name) - share * pairs) < 1


@given(st.integers(0, 1000), st.dictionaries(st.text(max_size=3), st.floats(0.001, 9), min_size=1))
def test_largest_remainder_is_exact_and_fair(total: int, shares: dict[str, float]) -> None:
    found = largest_remainder(total, shares)
    whole = sum(shares.values())
    assert sum(found.values()) == total
    assert all(
        abs(found[name] - total * share / whole) < 1 + 1e-6 for name, share in shares.items()
    )


def test_the_default_shares_are_met() -> None:
    cells = planned(120)
    assert {name: quota(cells, register=name) for name in REGISTERS} == {
        "normal": 84, "grave": 12, "safety": 0, "format": 12, "identity": 6, "break_character": 6,
        "other_language": 0,
    }  # fmt: skip
    assert {side: quota(cells, side=side) for side in SIDES} == {
        "train": 92, "validation": 14, "test": 14,
    }  # fmt: skip
    normal = [cell for cell in cells if cell.register == "normal"]
    intents = {cell.intent: quota(normal, intent=cell.intent) for cell in normal}
    assert set(intents.values()) == {14}
    held_out = {cell.intent for cell in normal if cell.side == "test"}
    assert held_out == set(intents), "even a small test side has every intent"


@pytest.mark.parametrize("language", ["en", "zh"])
@pytest.mark.parametrize("own", [(), ("kettles", "grinders", "mugs", "boards")])
def test_a_topic_is_on_one_side_only(language: str, own: tuple[str, ...]) -> None:
    shares = dict.fromkeys(REGISTERS, 1 / 7)
    cells = planned(300, language=language, topics=own, shares=shares)
    sides: dict[str, set[str]] = {}
    for cell in cells:
        assert cell.topics
        for topic in cell.topics:
            sides.setdefault(topic, set()).add(cell.side)
    assert all(len(found) == 1 for found in sides.values())
    assert {side for found in sides.values() for side in found} == set(SIDES)
    if own:
        everyday = {t for c in cells if c.register in ("normal", "format") for t in c.topics}
        assert everyday == set(own)


def test_built_in_topics_are_many_and_no_topic_stands_in_two_lists() -> None:
    for language in ("en", "zh"):
        lists = [topics_of(name, language) for name in (*REGISTERS[:3], *REGISTERS[4:6])]
        everything = [topic for found in lists for topic in found]
        assert len(everything) == len(set(everything))
        assert len(lists[0]) >= 60
        assert min(map(len, lists)) >= 12


def test_a_plan_depends_on_the_seed_and_on_nothing_else() -> None:
    assert planned() == planned()
    assert planned() != planned(random_seed=18)
    assert quota(planned(random_seed=18), register="grave") == 12


@pytest.mark.parametrize(
    ("language", "written", "bands"),
    [
        ("en", [], {"short": (1, 15), "medium": (16, 60), "long": (61, 150)}),
        ("zh", [], {"short": (1, 25), "medium": (26, 100), "long": (101, 220)}),
        ("en", [{"max_words": 40}], {"short": (1, 15), "medium": (16, 40)}),
        ("en", [{"max_words": 80}], {"short": (1, 15), "medium": (16, 60), "long": (61, 80)}),
        ("en", [{"max_words": 10}], {"short": (1, 10)}),
        ("en", [{"max_words": 18}], {"short": (1, 18)}),
        ("en", [{"min_words": 12}, {"max_words": 70}], {"medium": (12, 70)}),
        ("en", [{"min_words": 20}], {"medium": (20, 60), "long": (61, 150)}),
        ("en", [{"min_words": 100}], {"long": (100, 200)}),
        ("en", [{"max_words": 90}, {"max_words": 30}], {"short": (1, 15), "medium": (16, 30)}),
    ],
)  # fmt: skip
def test_answers_are_planned_within_the_rules(
    language: str, written: list[dict[str, Any]], bands: dict[str, tuple[int, int]]
) -> None:
    assert word_bands(rules(*written), language) == bands
    cells = planned(200, language=language, rules=rules(*written))
    assert {(cell.length, cell.words) for cell in cells} == set(bands.items())


def test_lengths_are_dealt_as_those_of_the_seeds() -> None:
    even, brief = planned(120), planned(120, seeds=[BRIEF] * 10)
    assert all(quota(even, length=length) >= 30 for length in LENGTHS)
    assert quota(brief, length="short") > 100
    assert quota(brief, length="medium") > 0, "the others do not vanish"


@pytest.mark.parametrize(
    ("written", "found"),
    [
        ([], set(forms._SAMPLES)),
        ([{"format": "plain"}], set(forms._SAMPLES) - {"bullets", "table"}),
        ([{"format": "json"}], {"json"}),
        ([{"must": "a stop", "pattern": r"[.!?]\s*$"}], {"sentence", "numbered"}),
        ([{"must": "a question", "pattern": r"\?\s*$"}], {"sentence"}),
        ([{"must": "please"}, {"max_words": 40}], set(forms._SAMPLES)),
    ],
)
def test_forms_are_those_that_can_keep_the_rules(
    written: list[dict[str, Any]], found: set[str]
) -> None:
    assert set(forms.fitting(rules(*written))) == found
    shaped = planned(200, rules=rules(*written))
    assert {cell.form for cell in shaped if cell.register == "format"} == found
    assert {cell.form for cell in shaped if cell.register != "format"} == {""}


@pytest.mark.parametrize(
    "question",
    [
        "Put the three teas in a table.",
        "Zeig mir die drei Sorten als Preistabelle.",
        "Ponme los tres en una tabla.",
        "Mostre isso em uma tabela.",
        "Fais-en un tableau.",
        "Fammi una tabella.",
        "Zet het in een tabel.",
        "Dej to do tabulky.",
        "Покажи в виде таблицы.",
        "اعرضها في جدول.",
        "用表格列出来。",
        "표로 보여 줘.",
    ],
)
def test_a_table_is_asked_for_in_many_languages(question: str) -> None:
    assert forms.asked("table", question)
    assert not forms.asked("table", "Which tea is cheapest?")


@pytest.mark.parametrize(
    ("form", "bad"),
    [
        ("sentence", "Tea is warm. Coffee is strong."),
        ("sentence", "茶是热的。咖啡很浓。"),
        ("numbered", "Fill the pot and heat it."),
        ("commas", "bread and butter"),
        ("lines", "bread, butter, honey"),
        ("labels", "Green tea\nThree dollars"),
        ("json", 'Here it is: {"name": "tea"}'),
        ("json", '"tea"'),
        ("bullets", "bread\nbutter"),
        ("table", "what | price"),
    ],
)
def test_an_answer_has_its_form_or_not(form: str, bad: str) -> None:
    assert forms.follows(form, forms._SAMPLES[form])
    assert not forms.follows(form, bad)


@pytest.mark.parametrize(
    ("changed", "where", "got"),
    [
        ({"pairs": 0}, "distill.pairs", "0"),
        ({"shares": {"normal": 0.7}}, "distill.shares", "normal: 0.7"),
        ({"shares": {"normal": 0.9, "grave": 0.2}}, "distill.shares", "grave: 0.2"),
        ({"shares": {"normal": 1.5, "grave": -0.5}}, "distill.shares", "grave: -0.5"),
        ({"shares": {"normal": 0.5, "angry": 0.5}}, "distill.shares", "angry"),
        ({"topics": ["kettles", "mugs"]}, "distill.topics", "kettles, mugs"),
        ({"topics": ["mugs", "Mugs ", "kettles"]}, "distill.topics", "kettles"),
        ({"held_out": (0.6, 0.4)}, "curate", "0.6 and 0.4"),
    ],
)
def test_impossible_quotas_are_said_with_every_field(
    changed: dict[str, Any], where: str, got: str
) -> None:
    with pytest.raises(UsageError) as caught:
        planned(**changed)
    error = caught.value
    assert where in str(error.where)
    assert got in str(error.got)
    assert error.allowed and error.hint
    assert len(str(error).splitlines()) == 4


def test_two_topics_are_enough_where_there_are_two_sides() -> None:
    cells = planned(40, topics=["kettles", "mugs"], held_out=(0.0, 0.12))
    assert quota(cells, side="validation") == 0
    assert quota(cells) == 40


def test_the_table_adds_up() -> None:
    cells = planned(120)
    *registers, total = describe(cells)
    assert [row["register"] for row in registers] == [
        name.replace("_", " ") for name, share in DEFAULT_SHARES.items() if share
    ]
    assert total["pairs"] == 120
    for name, value in total.items():
        if name != "register":
            assert value == sum(int(row[name]) for row in registers)
    for names in (SIDES, LENGTHS):
        assert sum(int(total[name]) for name in names) == 120


@pytest.mark.parametrize("file", sorted(PERSONAS.glob("*.yaml")), ids=lambda file: file.stem)
def test_shipped_personas_can_be_planned(file: Path) -> None:
    spec = load(file, [])
    cells = plan(120, language=spec.language, seeds=spec.seeds, rules=spec.rules)
    assert quota(cells) == 120
    bound = [rule for rule in spec.rules if rule.__class__.__name__ in ("MaxWords", "MinWords")]
    for cell in cells:
        for words in cell.words:
            assert check(bound, "word " * words) == []
