"""The judge against people: its errors are measured on picks, and taken out of its rates."""

from __future__ import annotations

import numpy as np
import pytest

from factory.suite.calibration import calibrate, interval
from factory.suite.picks import Choice, Pick
from factory.suite.scores import Scores


def style(preferred: dict[str, bool]) -> Scores:
    """A judge's preferences against the base: True for the tuned answer, False for a tie."""
    base = {item: [0.0 if tuned else 0.5] for item, tuned in preferred.items()}
    values = {"base": base, "tuned": {item: [0.5] for item in preferred}}
    return Scores("judge_style", "Voice (judge)", "voice", "higher", values)


def picked(choices: dict[str, Choice], against: str = "base") -> list[Pick]:
    return [Pick(i, i, against, 1, True, {"style": choice}) for i, choice in choices.items()]


def items(count: int) -> list[str]:
    return [f"q{n}" for n in range(count)]


def test_agreement_on_both_kinds_of_picks_decides_whether_a_judge_may_gate() -> None:
    people: dict[str, Choice] = {i: "tuned" if n < 12 else "tie" for n, i in enumerate(items(20))}
    judge = style({i: n < 10 or n == 19 for n, i in enumerate(items(20))})
    found = calibrate(picked(people), judge, "base")
    assert (found.sensitivity, found.specificity) == (10 / 12, 7 / 8)
    assert found.may_gate is True and found.judged == 11 / 20
    # (0.55 + 0.875 - 1) / (0.8333 + 0.875 - 1)
    assert found.corrected == pytest.approx(0.6)
    assert found.low is not None and found.high is not None
    assert 0 <= found.low < 0.6 < found.high <= 1


def test_a_judge_that_agrees_by_chance_may_not_gate() -> None:
    people: dict[str, Choice] = {i: "tuned" if n < 10 else "other" for n, i in enumerate(items(20))}
    judge = style({i: n % 2 == 0 for n, i in enumerate(items(20))})
    found = calibrate(picked(people), judge, "base")
    assert found.may_gate is False and found.corrected is None and found.judged == 0.5


def test_too_few_picks_of_one_kind_say_nothing() -> None:
    people: dict[str, Choice] = {i: "tuned" if n < 18 else "other" for n, i in enumerate(items(20))}
    found = calibrate(picked(people), style(dict.fromkeys(items(20), True)), "base")
    assert found.may_gate is None and (found.preferred, found.others) == (18, 2)


def test_picks_against_another_model_or_on_unjudged_questions_do_not_count() -> None:
    people: dict[str, Choice] = dict.fromkeys(items(9), "tuned")
    found = calibrate(picked(people, "brief@1"), style(dict.fromkeys(items(9), True)), "base")
    assert found.preferred == 0
    found = calibrate(picked(people), style(dict.fromkeys(items(4), True)), "base")
    assert found.preferred == 4


def test_only_the_judges_scores_are_calibrated() -> None:
    with pytest.raises(ValueError, match="accuracy"):
        calibrate([], Scores("accuracy", "", "content", "higher", {}), "base")


@pytest.mark.parametrize(("theta", "q0", "q1"), [(0.5, 0.8, 0.9), (0.9, 0.7, 0.9), (0.2, 0.9, 0.8)])
def test_the_interval_covers_the_true_rate_where_the_judged_rate_is_biased(
    theta: float, q0: float, q1: float
) -> None:
    chance = np.random.default_rng(7)
    p = theta * q1 + (1 - theta) * (1 - q0)
    n, m0, m1, runs = 200, 30, 30, 2000
    hits = 0
    for _ in range(runs):
        low, high = interval(
            chance.binomial(n, p) / n, chance.binomial(m0, q0) / m0, chance.binomial(m1, q1) / m1,
            n, m0, m1,
        )  # fmt: skip
        hits += low <= theta <= high
    assert 0.92 <= hits / runs <= 0.99
