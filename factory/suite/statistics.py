"""Tests and intervals that hold for ten to twenty questions; the question is the unit, never the answer.

scipy is imported where it is used, because the command line must load without it; and of it the
distributions alone (`scipy.special`), which load in a third of the time of `scipy.stats`.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Sequence
from functools import cache
from typing import Any, NamedTuple

MOST_EXACT = 32
"""Differences up to which the sign-flip test counts every pattern of signs."""

DRAWS = 20_000
"""Random patterns of signs beyond that."""

_NODES = 64
"""Of the Gauss-Legendre sum that stands for the integral over a Dirichlet posterior: four digits for
margins above 0."""


class NonInferiority(NamedTuple):
    """The mean of paired differences (negative is worse) with its one-sided bounds."""

    mean: float
    low: float
    """Lower bound: the true mean is above it with confidence 1 - alpha."""
    high: float
    """Upper bound, with the same confidence."""
    detectable: float
    """Loss that a run with this spread shows with a power of 0.8."""
    shown: bool
    """Whether the lower bound is inside the margin."""


def sign_test(wins: int, losses: int) -> float:
    """Exact one-sided sign test (Conover 1999): p of so many wins by chance; ties are left out.

    sum_{j >= wins} C(wins + losses, j) / 2^(wins + losses).
    """
    return _binomial_tail(wins, wins + losses)


def mcnemar(broken: int, mended: int) -> float:
    """Exact one-sided McNemar test (McNemar 1947) of harm on paired binary items.

    Args:
        broken: Items that the other arm passes and this one fails (b).
        mended: The reverse (c).

    Returns:
        sum_{j >= b} C(b + c, j) / 2^(b + c).
    """
    return _binomial_tail(broken, broken + mended)


def _binomial_tail(hits: int, tries: int) -> float:
    if not tries:
        return 1.0
    from scipy.special import bdtrc

    return float(bdtrc(hits - 1, tries, 0.5))


def harm_probability(both: int, broken: int, mended: int, neither: int, margin: float) -> float:
    """Probability that the share passed fell by more than a margin, for paired binary items.

    The pair model of arXiv 2503.01747: (both, broken, mended, neither) + 1/4 are the parameters of a
    Dirichlet posterior; this is P(p_broken - p_mended > margin).
    """
    return _harm(both, broken, mended, neither)(margin)


def binary_bounds(
    both: int, broken: int, mended: int, neither: int, alpha: float
) -> tuple[float, float]:
    """One-sided bounds of the change of the share passed under the pair model of `harm_probability`.

    Returns:
        Low and high, each passed with probability alpha; to a tenth of a percentage point.
    """
    from scipy.optimize import brentq

    harm = _harm(both, broken, mended, neither)

    def bound(tail: float) -> float:
        return -float(brentq(lambda loss: harm(loss) - tail, -1.0, 1.0, xtol=5e-4))

    return bound(alpha), bound(1 - alpha)


def _harm(both: int, broken: int, mended: int, neither: int) -> Callable[[float], float]:
    """Probability of a loss by its margin: given p_mended, p_broken is a Beta of what is left."""
    from scipy.special import betainc, betaincinv

    fell, rose, same = broken + 0.25, mended + 0.25, both + neither + 0.5
    nodes, weights = _quadrature()
    share = betaincinv(rose, fell + same, nodes)

    def beyond(margin: float) -> float:
        needed = ((margin + share) / (1 - share)).clip(0.0, 1.0)
        return float(1 - betainc(fell, same, needed) @ weights)

    return beyond


@cache
def _quadrature() -> tuple[Any, Any]:
    from numpy.polynomial.legendre import leggauss

    nodes, weights = leggauss(_NODES)
    return (nodes + 1) / 2, weights / 2


def non_inferiority(differences: Sequence[float], margin: float, alpha: float) -> NonInferiority:
    """Paired non-inferiority with Student's t (Wellek 2010).

    Args:
        differences: One per question, this arm minus the other; negative is worse. At least two.
        margin: Largest acceptable loss, in the same unit.
        alpha: Error of each one-sided bound.

    Returns:
        mean(d) -+ t(1 - alpha, n - 1) * sd(d) / sqrt(n). Without any spread both bounds are the mean.
    """
    from scipy.special import stdtrit

    n, mean, sd = len(differences), statistics.fmean(differences), statistics.stdev(differences)
    reach = float(stdtrit(n - 1, 1 - alpha)) * sd / math.sqrt(n)
    seen = detectable(sd, n, alpha)
    return NonInferiority(mean, mean - reach, mean + reach, seen, mean - reach > -margin)


def sign_flip(differences: Sequence[float], *, random_seed: int = 0) -> float:
    """Sign-flip permutation test (Fisher 1935), one-sided: p of a mean this high by chance.

    Exact up to 32 differences, else 20,000 random patterns with add-one (Phipson and Smyth 2010).
    Every pattern's sum is a sum of the first half's and one of the second half's, so that sorting one
    half counts all 2^n patterns; `scipy.stats.permutation_test` gives the same p-value and
    walks through them one by one.
    """
    import numpy as np

    values = np.abs(np.array([value for value in differences if value], dtype=float))
    if not values.size:
        return 1.0
    # Sums that are equal on paper may differ in the last bits.
    observed = math.fsum(differences) - 1e-9 * float(values.sum())
    if values.size > MOST_EXACT:
        signs = np.random.default_rng(random_seed).choice((-1.0, 1.0), (DRAWS, values.size))
        return (1 + int((signs @ values >= observed).sum())) / (1 + DRAWS)
    first, second = np.zeros(1), np.zeros(1)
    for value in values[::2]:
        first = np.concatenate((first + value, first - value))
    for value in values[1::2]:
        second = np.concatenate((second + value, second - value))
    first.sort()
    reached = first.size - np.searchsorted(first, observed - second)
    return math.ldexp(float(reached.sum()), -int(values.size))


def holm(p_values: Sequence[float]) -> list[float]:
    """Holm's adjusted p-values (Holm 1979), in the given order; each is at most 1."""
    adjusted = [1.0] * len(p_values)
    reached = 0.0
    for rank, index in enumerate(sorted(range(len(p_values)), key=p_values.__getitem__)):
        reached = max(reached, min(1.0, (len(p_values) - rank) * p_values[index]))
        adjusted[index] = reached
    return adjusted


def jeffreys(passed: int, n: int, alpha: float = 0.05) -> tuple[float, float]:
    """Two-sided Jeffreys interval of a share (Brown, Cai and DasGupta 2001).

    Quantiles alpha / 2 and 1 - alpha / 2 of Beta(passed + 1/2, n - passed + 1/2); 0 and 1 themselves
    are inside where they were seen.
    """
    from scipy.special import betaincinv

    shape = (passed + 0.5, n - passed + 0.5)
    low = float(betaincinv(*shape, alpha / 2)) if passed else 0.0
    return low, float(betaincinv(*shape, 1 - alpha / 2)) if passed < n else 1.0


def upper_bound_without_failure(n: int, alpha: float = 0.05) -> float:
    """Share of failures still possible after none in n tries, one-sided: 1 - alpha^(1/n)."""
    return float(1.0 - alpha ** (1 / n)) if n else 1.0


def detectable(sd: float, n: int, alpha: float, power: float = 0.8) -> float:
    """Smallest mean difference that n pairs with this spread show with this power.

    (t(1 - alpha, n - 1) + z(power)) * sd / sqrt(n), for at least two pairs.
    """
    from scipy.special import ndtri, stdtrit

    return float(stdtrit(n - 1, 1 - alpha) + ndtri(power)) * sd / math.sqrt(n)


def pairs_needed(alpha: float) -> int:
    """Fewest pairs with which a sign or sign-flip test can reach alpha: 2^-n must not exceed it."""
    return math.ceil(-math.log2(alpha))
