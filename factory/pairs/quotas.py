"""Shares out whole numbers: exact totals, and names dealt in turn."""

from __future__ import annotations

import math
import random
from collections.abc import Iterator, Mapping, Sequence


def largest_remainder(total: int, shares: Mapping[str, float]) -> dict[str, int]:
    """Whole numbers in the proportion of the shares that add up to exactly `total`."""
    whole = math.fsum(shares.values())
    exact = {name: total * share / whole for name, share in shares.items()}
    found = {name: math.floor(value + 1e-9) for name, value in exact.items()}
    # the sort is stable: of equal remainders the first named wins
    by_remainder = sorted(exact, key=lambda name: found[name] - exact[name])
    for name in by_remainder[: total - sum(found.values())]:
        found[name] += 1
    return found


class Rotation:
    """Deals names in turn, in the proportion of whole-number weights, as evenly as possible."""

    def __init__(self, weights: Mapping[str, int]) -> None:
        self.weights = {name: weight for name, weight in weights.items() if weight}
        self.credit = dict.fromkeys(self.weights, 0)

    def next(self, among: Sequence[str] = ()) -> str:
        """The name whose turn it is, of those given or of all; a name passed over comes later."""
        for name, weight in self.weights.items():
            self.credit[name] += weight
        chosen = max(among or self.weights, key=lambda name: self.credit[name])
        self.credit[chosen] -= sum(self.weights.values())
        return chosen


def shuffled(names: Sequence[str], seed: str) -> list[str]:
    """The names in an order that depends on the seed only."""
    mixed = list(names)
    random.Random(seed).shuffle(mixed)
    return mixed


def turns(names: Sequence[str], seed: str) -> Iterator[str]:
    """All names in a new order, again and again."""
    dealer = random.Random(seed)
    while True:
        mixed = list(names)
        dealer.shuffle(mixed)
        yield from mixed
