"""The two built-in graders, on the formats in which models really answer."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter

from factory.contracts import Case, Grade, GradingError, Reply
from factory.graders.accuracy import Accuracy
from factory.graders.rules import Rules
from factory.spec import Rule

RULES: TypeAdapter[list[Rule]] = TypeAdapter(list[Rule])


def case(expect: Any) -> Case:
    return Case("q1", [{"role": "user", "content": "?"}], expect)


def graded(expect: Any, text: str, language: str = "en") -> Grade:
    return Accuracy((), language).grade(case(expect), Reply(text, "stop", 1))


def right(expect: Any, text: str, language: str = "en") -> bool:
    value = graded(expect, text, language).value
    assert value in (0.0, 1.0)
    return value == 1.0


# --- accuracy: text ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("MARS!", "Mars"),
        ("It is **Mars**.", "Mars"),
        ("_Mars_", "mars"),
        ("“Mars” it is", "mars"),
        ("\uff2d\uff21\uff32\uff33", "Mars"),
        ("\\boxed{\\text{Mars}}", "Mars"),
        ("**O**xygen", "oxygen"),
        ("oxy\u200bgen", "oxygen"),
        ("H₂O", "H2O"),
        ("New\n  York", "New York"),
        ("São Paulo", "Sao Paulo"),
        ("Rome's fine", "Rome"),
        ("isn't it: it isn’t", "isn’t"),
        ("C++, I think", "C++"),
        ("Eight, or 8.", "8"),
        ("$8", "8"),
        ("答案是木星呢", "木星"),
        ("答案是Mars呢", "Mars"),
        ("Not Venus. Mars.", "Mars"),
        ("Not Mars, no... well, Mars it is.", "Mars"),
        ("<think>Is it Venus?</think>Mars", "Mars"),
    ],
)
def test_the_expected_text_is_found_however_it_is_dressed(text: str, wanted: str) -> None:
    assert right([wanted], text)


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("", "Mars"),
        ("Marsh", "Mars"),
        ("honeycombs", "honeycomb"),
        ("It has 18.", "8"),
        ("8.5", "8"),
        ("8,500", "8"),
        ("1,008", "8"),
        ("-8", "8"),
        ("It is not Mars.", "Mars"),
        ("It isn’t the Mars we know.", "Mars"),
        ("不是木星，是土星。", "木星"),
        ("<think>Mars?</think>Venus", "Mars"),
        ("がく", "か"),
    ],
)
def test_a_part_of_a_word_or_a_denied_one_is_not_the_answer(text: str, wanted: str) -> None:
    assert not right([wanted], text)


def test_any_of_several_accepted_texts_is_enough_and_the_reason_names_it() -> None:
    assert graded(["eight", "8"], "A spider has 8 legs.") == Grade(1.0, 'says "8"')
    assert graded(["eight", "8"], "Six.").reason == 'does not say "eight" or "8"'


# --- accuracy: numbers -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("120", 120),
        ("120.", 120),
        ("It is **120** minutes.", 120),
        ("120min", 120),
        ("$1,000", 1000),
        ("1 000 dollars", 1000),
        ("1\u202f000", 1000),
        ("1'000", 1000),
        ("1,234,567.89", 1234567.89),
        ("$1{,}200$", 1200),
        ("\\boxed{42}", 42),
        ("12.5%", 12.5),
        (".5", 0.5),
        ("about 1½", 1.5),
        ("-5 degrees", -5),
        ("\u22125", -5),
        ("minus 5", -5),
        ("10-4", 4),
        ("10 - 4 = 6", 6),
        ("6.02e23", 6.02e23),
        ("2 million", 2_000_000),
        ("\uff14\uff12", 42),
        ("(30)", 30),
        ("First 2, then 3, so 5.", 5),
        ("1,2,3", 3),
        ("1. Add 7.\n2. The sum is 9.\n3. Done.", 9),
        ("120. That is two hours.", 120),
        ("It is 30 [1].", 30),
        ("It is 42, which is the only one.", 42),
        ("It is 42, not 41.", 42),
        ("<think>41?</think> 42", 42),
        ("twelve", 12),
        ("One", 1),
        ("twenty-one", 21),
        ("one hundred and twenty", 120),
        ("Two thousand five hundred, and that is the one.", 2500),
        ("two point five", 2.5),
        ("minus five", -5),
        ("two dozen", 24),
    ],
)
def test_the_last_number_is_read_in_english(text: str, number: float) -> None:
    assert right({"number": number}, text)
    assert not right({"number": 2 * number + 1}, text)


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("答案是二十四。", 24),
        ("每人一百三十五", 135),
        ("二百七", 270),
        ("两千零五", 2005),
        ("一万二", 12_000),
        ("一亿三千万", 130_000_000),
        ("1.2万", 12_000),
        ("二〇二四年", 2024),
        ("三点五", 3.5),
        ("一百零五", 105),
        ("十", 10),
        ("24小时", 24),
        ("是二十四小时，一天就这么长。", 24),
    ],
)
def test_the_last_number_is_read_in_chinese(text: str, number: float) -> None:
    assert right({"number": number}, text, "zh")


@pytest.mark.parametrize(
    ("text", "language", "number"),
    [
        ("1.000", "de", 1000),
        ("1.000,50", "de", 1000.5),
        ("3,5", "de", 3.5),
        ("1 234 567", "fr", 1_234_567),
        ("1.000", "en", 1.0),
        ("1,000.50", "de", 1000.5),
    ],
)
def test_the_language_decides_what_a_comma_means(text: str, language: str, number: float) -> None:
    assert right({"number": number}, text, language)


@pytest.mark.parametrize("text", ["", "no idea", "H2O", "thousands of people", "someone else"])
def test_an_answer_without_a_number_is_wrong_not_ungraded(text: str) -> None:
    assert graded({"number": 2}, text) == Grade(0.0, "no number; expected 2")


def test_tolerance_is_the_largest_difference_that_is_right() -> None:
    assert right({"number": 3.14159, "tolerance": 0.01}, "3.14")
    assert right({"number": 10.0, "tolerance": 0.5}, "10.5")
    assert not right({"number": 10.0, "tolerance": 0.5}, "10.6")
    assert graded({"number": 42}, "41").reason == "last number is 41, expected 42"


@given(st.integers(0, 10**15), st.sampled_from(["en", "de", "fr", "zh"]))
def test_grouped_digits_are_read_in_every_language(number: int, language: str) -> None:
    mark = {"en": ",", "de": ".", "fr": " ", "zh": ","}[language]
    assert right({"number": number}, f"So {number:,}!".replace(",", mark), language)


@given(st.floats(allow_nan=False, allow_infinity=False, min_value=-1e9, max_value=1e9))
def test_any_decimal_number_is_read_back(number: float) -> None:
    shown = f"{number:.6f}"
    assert math.isclose(float(shown), number, abs_tol=1e-6)
    assert right({"number": number, "tolerance": 1e-6}, f"It is {shown}.")


@given(st.text())
def test_no_text_breaks_the_grader(text: str) -> None:
    for language in ("en", "de", "zh"):
        right({"number": 7}, text, language)
    right([text or "x"], text)


def test_an_open_question_is_not_graded() -> None:
    grader = Accuracy((), "en")
    assert not grader.applies(case(None)) and grader.applies(case(["x"]))
    with pytest.raises(GradingError):
        grader.grade(case(None), Reply("x", "stop", 1))


# --- rules -------------------------------------------------------------------------------------


def test_the_share_of_kept_rules_is_the_grade() -> None:
    rules = RULES.validate_python([{"max_words": 3}, {"must_not": "sure"}, {"must": "."}])
    grader = Rules(rules, "en")
    assert grader.grade(case(None), Reply("Take a walk.", "stop", 4)) == Grade(
        1.0, "all 3 rules kept"
    )
    worse = grader.grade(case(None), Reply("Sure, take a walk", "length", 4))
    assert worse.value == 0
    assert worse.reason == '4 words, at most 3 allowed; "sure" is not allowed; "." is missing'
    half = grader.grade(case(["x"]), Reply("Sure.", "stop", 1))
    assert half.value == pytest.approx(2 / 3)


def test_without_rules_nothing_is_graded() -> None:
    grader = Rules((), "en")
    assert not grader.applies(case(None))
    with pytest.raises(GradingError):
        grader.grade(case(None), Reply("x", "stop", 1))
