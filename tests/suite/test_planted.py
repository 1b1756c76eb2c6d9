"""Planted defects: noticed by instruments that work, reported where they do not."""

from __future__ import annotations

import random

import pytest

from factory.contracts import Case, Grade, GradingError, Reply
from factory.graders.accuracy import Accuracy
from factory.suite.planted import detectable, flipped, opposite, planted, shuffled, truncated
from factory.suite.scores import Instrument
from factory.suite.style import StyleScorer
from tests.suite.texts import case, rows, usual

PLAIN = usual()
CLOSED = [
    case("mars", "Which planet is red?", expect=("Mars",)),
    case("legs", "How many legs has a spider?", expect=("eight", "8")),
    case("rome", "What is the capital of Italy?", expect=("Rome",)),
    case("sum", "What is 15 plus 27?", expect={"number": 42.0}),
    case("pi", "What is pi?", expect={"number": 3.142, "tolerance": 0.01}),
    case("big", "How many?", expect={"number": 1000000.0}),
    case("pick", "A cat or B dog?", expect={"choice": "B", "options": {"A": "cat", "B": "dog"}}),
    case("json", "As JSON?", '{"a": 1}', {"json_schema": {"type": "object", "required": ["a"]}}),
    case("form", "Name a code.", "AB-12", {"pattern": "^[A-Z]{2}-[0-9]{2}$"}),
]


def known(persona: str, *, seed: int = 3) -> list[Case]:
    found = rows(persona)
    random.Random(seed).shuffle(found)
    return [case(f"row {n}", ask, answer) for n, (ask, answer) in enumerate(found)]


def scorer_of(cases: list[Case]) -> StyleScorer:
    return StyleScorer.fit([c.reference or "" for c in cases], PLAIN[: len(cases)], random_seed=1)


def tried(
    cases: list[Case], *, language: str = "en", language_check: bool = True
) -> dict[str, Instrument]:
    """Every instrument on rows alone."""
    grader = Accuracy((), language)
    found = planted(cases, {}, None, grader, language, 1, language_check=language_check)
    return {one.name: one for one in found}


class Broken:
    """A checker that says the same to everything."""

    name, version = "accuracy", 1

    def __init__(self, value: float | None) -> None:
        self.value = value

    def applies(self, case: Case) -> bool:
        return True

    def grade(self, case: Case, reply: Reply) -> Grade:
        if self.value is None:
            raise GradingError("cannot")
        return Grade(self.value, "")


def test_a_sound_persona_passes_every_check() -> None:
    cases = known("tutor")
    held_out, trained = cases[:14], cases[14:]
    found = planted(
        [*CLOSED, *held_out],
        {c.id: PLAIN[60 + n] for n, c in enumerate(held_out)},
        scorer_of(trained),
        Accuracy((), "en"),
        "en",
        3,
        trained,
    )
    assert [(one.name, one.passed) for one in found] == [
        ("planted_shuffled", True),
        ("planted_truncated", True),
        ("language", True),
        ("style", True),
        ("planted_opposite", True),
        ("planted_flipped", True),
    ]
    assert all(isinstance(one, Instrument) and one.seen and one.rule for one in found)


def test_nothing_to_try_with_is_no_failure() -> None:
    found = planted([], {}, None, Accuracy((), "en"), "en", 1)
    assert [one.passed for one in found if one.name != "language"] == [None] * 5


@pytest.mark.parametrize("persona", ["concise", "humorous", "support", "tutor", "jianjie", "youmo"])
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_a_shuffle_is_noticed_in_every_shipped_persona(persona: str, seed: int) -> None:
    assert shuffled(known(persona, seed=seed)[:60], seed).passed


def test_answers_that_fit_no_question_better_are_not_told_from_shuffled_ones() -> None:
    same = [
        case(c.id, c.messages[0]["content"], "That is a fine thing.") for c in known("tutor")[:20]
    ]
    found = shuffled(same, 1)
    assert found.passed is False and "shuffled" in found.seen


def test_answers_that_are_shuffled_already_do_not_pass() -> None:
    rowed = known("tutor")[:30]
    wrong = [
        case(c.id, c.messages[0]["content"], other.reference)
        for c, other in zip(rowed, rowed[1:] + rowed[:1], strict=True)
    ]
    assert shuffled(wrong, 1).passed is False


def test_seven_answers_are_too_few_to_shuffle() -> None:
    found = shuffled(known("tutor")[:7], 1)
    assert found.passed is None and "7 good answers" in found.seen


def test_a_few_answers_that_hardly_repeat_their_questions_prove_nothing() -> None:
    cases = [case(f"q{n}", f"Question of kind {n}?", "A plain reply.") for n in range(12)]
    cases[0] = case("q0", "Where is the zebra?", "The zebra sleeps.")
    assert shuffled(cases, 1).passed is None


def test_an_accepted_text_is_no_good_answer_to_shuffle() -> None:
    words = [case(f"q{n}", "Which planet?", "Mars", ("Mars",)) for n in range(20)]
    assert planted(words, {}, None, Accuracy((), "en"), "en", 1)[0].passed is None


@pytest.mark.parametrize(("persona", "language"), [("concise", "en"), ("youmo", "zh")])
def test_spoilt_answers_are_noticed(persona: str, language: str) -> None:
    good = [answer for _, answer in rows(persona)]
    assert truncated(good, language).passed
    assert truncated(["Yes.", "Eight."], "en").passed
    assert truncated([], language).passed is None


def test_good_answers_that_look_spoilt_are_told() -> None:
    found = truncated(["well well well well well well"] * 10, "en")
    assert found.passed is False and "10 of 10 good answers" in found.seen
    assert truncated([answer for _, answer in rows("youmo")], "en").passed is False


def test_another_language_is_planted_only_where_it_can_be_told() -> None:
    found = truncated(["Bon dia, com estàs avui?", "Prefereixo el te si ja és tard."], "ca")
    assert found.passed is True and "another language" not in found.rule
    untold = tried([], language="ca")["language"]
    assert untold.passed is None and "cannot be told" in untold.seen
    assert tried([], language="de")["language"].passed is True


def test_rows_that_may_be_in_another_language_are_not_taken_for_spoilt() -> None:
    answers = [answer for _, answer in rows("youmo")[:20]]
    asked, plain = (
        [case(f"row {n}", f"{ask} {n}?", answer) for n, answer in enumerate(answers)]
        for ask in ("How do I translate sentence", "What about sentence")
    )
    assert tried(asked)["planted_truncated"].passed is True
    assert tried(plain)["planted_truncated"].passed is False
    unchecked = tried(plain, language_check=False)
    assert unchecked["planted_truncated"].passed is True
    assert unchecked["language"].passed is None
    assert "curate.language_check" in unchecked["language"].seen


def test_a_style_that_is_none_is_said_to_be_none() -> None:
    texts = PLAIN[:80]
    random.Random(3).shuffle(texts)
    scorer = StyleScorer.fit(texts[:40], texts[40:], random_seed=1)
    found = detectable(scorer)
    assert found.passed is False
    assert "your seeds do not define a detectable style" in found.seen
    assert opposite([("a", "b")] * 9, scorer).passed is None


def test_plain_answers_in_the_personas_place_are_noticed() -> None:
    cases = known("tutor")
    scorer = scorer_of(cases[20:])
    pairs = [(c.reference or "", PLAIN[100 + n]) for n, c in enumerate(cases[:15])]
    assert opposite(pairs, scorer).passed is True
    assert opposite([(plain, mine) for mine, plain in pairs], scorer).passed is False
    assert opposite([(mine, mine) for mine, _ in pairs], scorer).passed is False
    assert opposite(pairs[:4], scorer).passed is None
    assert opposite(pairs[:1] * 6 + [pairs[0][::-1]] * 3, scorer).passed is None  # type: ignore[list-item]


def test_right_answers_are_accepted_and_wrong_ones_rejected() -> None:
    found = flipped(CLOSED, Accuracy((), "en"))
    assert found.passed is True and found.seen == "9 of 9 wrong answers rejected"


def test_a_pattern_that_an_empty_phrase_fits_has_no_wrong_answer() -> None:
    forbidding = [
        case("calm", "?", expect={"pattern": "^(?!.*sorry)"}),
        case("brief", "?", expect={"pattern": "^.{1,200}$"}),
    ]
    found = flipped([*CLOSED[:3], *forbidding], Accuracy((), "en"))
    assert found.passed is True and found.seen == "3 of 3 wrong answers rejected"


@pytest.mark.parametrize("sign", ["*", "_", "`", "$", "{", "}", "\\", "**"])
def test_a_question_whose_answer_is_a_sign_invalidates_nothing(sign: str) -> None:
    found = flipped([*CLOSED, case("sign", "?", expect=(sign,))], Accuracy((), "en"))
    assert found.passed is True, found.seen


def test_numbers_are_read_where_a_comma_is_the_point() -> None:
    cases = [case("pi", "?", expect={"number": 3.142}), case("half", "?", expect={"number": 0.5})]
    assert flipped(cases, Accuracy((), "de")).passed is True


@pytest.mark.parametrize("number", [0.0, -5.0, 1e-7, 0.1, 2.5e9, 1e12, 6.02e23])
def test_any_number_can_be_planted(number: float) -> None:
    assert flipped([case("n", "?", expect={"number": number})], Accuracy((), "en")).passed is True


def test_a_checker_that_accepts_everything_fails() -> None:
    found = flipped(CLOSED, Broken(1.0))
    assert found.passed is False and "0 of 9" in found.seen


@pytest.mark.parametrize("value", [0.0, None])
def test_a_checker_that_accepts_nothing_fails_and_names_the_questions(value: float | None) -> None:
    found = flipped(CLOSED, Broken(value))
    assert found.passed is False and "mars" in found.seen


def test_open_questions_alone_try_no_checker() -> None:
    assert flipped([case("q", "How are you?")], Accuracy((), "en")).passed is None


def test_a_wrong_answer_never_contains_the_right_one() -> None:
    cases = [
        case("a", "?", expect=("New York",)),
        case("b", "?", expect=("New York City", "York")),
        case("c", "?", expect=("Oslo",)),
    ]
    assert flipped(cases, Accuracy((), "en")).seen == "3 of 3 wrong answers rejected"
