"""What is wrong with a measurement is said by the instrument it concerns, and by no other."""

from __future__ import annotations

import math

import pytest

from factory.contracts import Reply
from factory.suite.scores import Answers, Instrument, Likelihood, Measured, Scores
from factory.suite.sound import sound
from tests.suite.texts import case

CASES = [case(f"question {n}", f"What about {n}?") for n in range(8)]
DIFFERENT = [f"About {n} I know this." for n in range(8)]


def arm(texts: list[str], nll: float = 12.5) -> Measured:
    answers = {c.id: Answers(Reply(text, "stop", 9)) for c, text in zip(CASES, texts, strict=True)}
    return Measured(answers, {"held_out": {"row 1": Likelihood(nll, 5, 20)}})


def scores(again: list[float], base: list[float], *, label: str = "Style") -> Scores:
    values = {
        name: {f"item {n}": [value] for n, value in enumerate(found)}
        for name, found in (("again", again), ("base", base))
    }
    return Scores(label.lower(), label, "voice", "higher", values)


def instruments(
    tuned: Measured | None = None,
    previous: Measured | None = None,
    metrics: tuple[Scores, ...] = (),
) -> dict[str, Instrument]:
    measured = {"base": arm(DIFFERENT), "tuned": tuned or arm(DIFFERENT)}
    if previous:
        measured["previous"] = previous
    return {one.name: one for one in sound(CASES, measured, metrics)}


def passed(found: dict[str, Instrument]) -> dict[str, bool | None]:
    return {name: one.passed for name, one in found.items()}


def test_a_clean_measurement_passes() -> None:
    values = [0.1 * n for n in range(20)]
    # As far to either side: noise.
    noisy = [value + 0.3 * (-1) ** n for n, value in enumerate(values)]
    found = instruments(metrics=(scores(noisy, values),))
    assert passed(found) == {"likelihoods_finite": True, "answers": True, "a_a": True}


@pytest.mark.parametrize("broken", [math.nan, math.inf])
def test_a_likelihood_that_is_no_number_is_found_and_named(broken: float) -> None:
    found = instruments(arm(DIFFERENT, broken))
    assert passed(found) == {"likelihoods_finite": False, "answers": True, "a_a": None}
    assert found["likelihoods_finite"].seen == "1 are not, the first: tuned on held_out row 1"


@pytest.mark.parametrize("blank", ["", " \n"])
def test_a_model_that_says_nothing_at_all_is_found(blank: str) -> None:
    found = instruments(arm([blank] * 8))
    assert passed(found) == {"likelihoods_finite": True, "answers": False, "a_a": None}
    assert found["answers"].seen == "every answer of tuned is empty"
    # some empty answers are the model's own doing, and a metric's business
    assert instruments(arm([blank] * 7 + ["Yes."]))["answers"].passed


def test_one_answer_to_everything_is_found_and_shown() -> None:
    found = instruments(arm(["I am a teapot."] * 8))
    assert found["answers"].passed is False
    assert found["answers"].seen == 'tuned answers "I am a teapot." to all 8 questions'
    assert instruments(arm(["I am a teapot."] * 7 + ["I am not."]))["answers"].passed


def test_the_release_served_now_is_looked_at_too() -> None:
    found = instruments(previous=arm([""] * 8))
    assert found["answers"].passed is False
    assert "previous" in found["answers"].seen


def test_two_questions_may_have_the_same_answer() -> None:
    measured = {"tuned": arm(["Yes."] * 8)}
    found = {one.name: one for one in sound(CASES[:2], measured, [])}
    assert found["answers"].passed


def test_a_base_that_differs_from_itself_is_found_and_the_metric_named() -> None:
    values = [0.1 * n for n in range(20)]
    moved = [value + 1 for value in values]
    quiet = scores(values, values, label="Relevance")
    found = instruments(metrics=(quiet, scores(moved, values)))
    assert found["a_a"].passed is False
    assert "style" in found["a_a"].seen
    # whichever way it moved
    assert instruments(metrics=(quiet, scores(values, moved)))["a_a"].passed is False


def test_a_few_items_cannot_show_that_the_base_is_quiet() -> None:
    found = instruments(metrics=(scores([1.0] * 4, [0.0] * 4),))
    assert found["a_a"].passed is None
    assert found["a_a"].seen == "too few items"
