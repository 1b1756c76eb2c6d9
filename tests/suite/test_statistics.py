"""The tests and intervals agree with published tables, with scipy, and with what chance really does."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import binom, false_discovery_control, permutation_test

from factory.suite import statistics as stats

NEEDED = {5: 5, 6: 6, 7: 7, 8: 7, 9: 8, 10: 9, 12: 10, 14: 11, 15: 12, 16: 12, 18: 13, 20: 15}
"""Wins needed among so many questions that differ, one-sided, alpha 0.05."""


@pytest.mark.parametrize(("n", "wins"), NEEDED.items())
def test_sign_test_needs_the_wins_of_the_published_table(n: int, wins: int) -> None:
    assert stats.sign_test(wins, n - wins) <= 0.05 < stats.sign_test(wins - 1, n - wins + 1)


def test_four_questions_can_never_show_anything_and_no_difference_is_no_evidence() -> None:
    assert stats.sign_test(4, 0) == 0.0625
    assert stats.sign_test(0, 0) == stats.mcnemar(0, 0) == stats.sign_flip([0.0] * 9) == 1.0
    assert stats.pairs_needed(0.05) == 5
    assert stats.pairs_needed(0.025) == 6


def test_mcnemar_looks_at_harm_only() -> None:
    assert stats.mcnemar(8, 1) == pytest.approx(10 / 2**9)
    assert stats.mcnemar(1, 8) > 0.99


@pytest.mark.parametrize(
    ("counts", "risk"),
    [((17, 0, 0, 3), 0.01), ((15, 2, 0, 3), 0.41), ((12, 5, 0, 3), 0.94)],
)
def test_pair_model_gives_the_published_risk(counts: tuple[int, ...], risk: float) -> None:
    both, broken, mended, neither = counts
    found = stats.harm_probability(both, broken, mended, neither, 0.10)
    assert found == pytest.approx(risk, abs=0.01)


def test_pair_model_agrees_with_random_draws() -> None:
    draws = np.random.default_rng(1).dirichlet((40.25, 9.25, 3.25, 12.25), 200_000)
    loss = draws[:, 1] - draws[:, 2]
    for margin in (-0.05, 0.0, 0.1, 0.2):
        expected = float((loss > margin).mean())
        assert stats.harm_probability(40, 9, 3, 12, margin) == pytest.approx(expected, abs=0.004)
    low, high = stats.binary_bounds(40, 9, 3, 12, 0.05)
    assert (low, high) == pytest.approx(-np.quantile(loss, [0.95, 0.05]), abs=0.003)


def test_bounds_of_the_mean_hold_as_often_as_they_say() -> None:
    drawn = np.random.default_rng(2).normal(0.3, 1.0, (3000, 12))
    found = [stats.non_inferiority(list(map(float, row)), 0.5, 0.05) for row in drawn]
    assert np.mean([one.low > 0.3 for one in found]) == pytest.approx(0.05, abs=0.015)
    assert np.mean([one.high < 0.3 for one in found]) == pytest.approx(0.05, abs=0.015)
    assert all(one.shown == (one.low > -0.5) for one in found)


def test_without_spread_the_mean_is_certain() -> None:
    same = stats.non_inferiority([0.0] * 8, 0.1, 0.05)
    assert (same.mean, same.low, same.high, same.detectable) == (0, 0, 0, 0)
    assert same.shown
    assert not stats.non_inferiority([-0.2] * 8, 0.1, 0.05).shown


@pytest.mark.parametrize("n", [2, 5, 12])
def test_sign_flip_is_scipys_exact_test(n: int) -> None:
    # Rounded: equal sums, as shares of a few answers give them, must count as equal.
    values = np.random.default_rng(n).normal(0.3, 1.0, n).round(1)
    theirs = permutation_test(
        (values,), np.mean, permutation_type="samples", alternative="greater", n_resamples=np.inf
    )
    assert stats.sign_flip(list(map(float, values))) == pytest.approx(float(theirs.pvalue))


def test_sign_flip_of_many_values_is_seeded_close_to_exact_and_never_zero() -> None:
    rng = np.random.default_rng(3)
    values = list(map(float, rng.normal(0.25, 1.0, stats.MOST_EXACT)))
    drawn = stats.sign_flip([*values, 1e-12])
    assert drawn == stats.sign_flip([*values, 1e-12])
    assert drawn == pytest.approx(stats.sign_flip(values), abs=0.01)
    assert stats.sign_flip([1.0] * 60) == pytest.approx(1 / 20_001)


def test_sign_flip_of_noise_is_right_as_often_as_it_says() -> None:
    drawn = np.random.default_rng(4).normal(0.0, 1.0, (2000, 10))
    hits = [stats.sign_flip(list(map(float, row))) <= 0.05 for row in drawn]
    assert np.mean(hits) == pytest.approx(0.05, abs=0.015)


def test_holm_keeps_order_and_is_stricter_than_no_adjustment() -> None:
    assert stats.holm([0.04, 0.01, 0.03]) == pytest.approx([0.06, 0.03, 0.06])
    assert stats.holm([0.9, 0.8]) == [1.0, 1.0]
    assert stats.holm([]) == []
    ps = [0.001, 0.2, 0.02, 0.6]
    assert all(a >= b for a, b in zip(stats.holm(ps), false_discovery_control(ps), strict=True))


@pytest.mark.parametrize(
    ("n", "share"), [(10, 0.26), (20, 0.14), (40, 0.072), (59, 0.05), (100, 0.03)]
)
def test_no_failure_among_few_still_allows_many(n: int, share: float) -> None:
    assert stats.upper_bound_without_failure(n) == pytest.approx(share, abs=0.005)


def test_interval_of_a_share_covers_as_often_as_it_says() -> None:
    n, shares = 20, np.linspace(0.005, 0.995, 100)
    found = np.array([stats.jeffreys(passed, n) for passed in range(n + 1)])
    inside = (found[:, :1] <= shares) & (shares <= found[:, 1:])
    chances = binom.pmf(np.arange(n + 1)[:, None], n, shares)
    assert float((inside * chances).sum(0).mean()) == pytest.approx(0.95, abs=0.01)
    assert stats.jeffreys(0, n)[0] == 0.0
    assert stats.jeffreys(n, n)[1] == 1.0


def test_a_run_shows_what_it_calls_detectable_in_four_of_five_runs() -> None:
    size = stats.detectable(1.0, 15, 0.05)
    drawn = np.random.default_rng(5).normal(-size, 1.0, (3000, 15))
    shown = [stats.non_inferiority(list(map(float, row)), 0.1, 0.05).high < 0 for row in drawn]
    assert np.mean(shown) == pytest.approx(0.8, abs=0.04)
