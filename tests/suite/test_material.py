"""Which training rows an evaluation looks at again."""

from __future__ import annotations

from itertools import pairwise

import pytest

from factory.artifacts import Row
from factory.suite.material import RECITED, TRAINED, material


def rows(count: int) -> list[Row]:
    messages = [{"role": "user", "content": "Tea?"}, {"role": "assistant", "content": "Tea."}]
    return [{"id": str(n), "messages": messages} for n in range(count)]  # type: ignore[typeddict-item]


@pytest.mark.parametrize("count", [0, 1, 65, TRAINED - 1, TRAINED + 1, 3 * TRAINED])
def test_as_many_training_rows_as_there_may_be_are_looked_at_again(count: int) -> None:
    found = material([], [], [], rows(count), language="en", suites=())
    for looked_at, most in ((found.train, TRAINED), (found.trained, RECITED)):
        assert len(looked_at) == min(count, most)
    places = [int(row["id"]) for row in found.train]
    gaps = {b - a for a, b in pairwise(places)}
    assert len(places) == len(set(places)) and max(gaps, default=1) - min(gaps, default=1) <= 1
