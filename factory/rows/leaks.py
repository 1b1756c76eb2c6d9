"""Measures how alike the rows of different splits, and the held-out questions, are."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from factory.rows.private import mask
from factory.rows.similarity import Index, Numbers, likeness, read, similarity
from factory.rows.split import SPLITS

_SHOWN = 100
"""Characters of a text in the table."""
_WORST, _WORST_SHOWN = 20, 3
"""Pairs looked at closely, and shown, for each two parts."""


def leak_table(
    texts: Sequence[tuple[str, str, str]], *, splits: float, questions: float
) -> list[dict[str, Any]]:
    """For every two parts, how alike their most alike texts are: the proof that nothing straddles.

    Args:
        texts: Id, text and part of every row and question; the parts are the splits and
            `questions`.
        splits: Similarity two rows of different splits should stay under.
        questions: Likeness a row and a held-out question should stay under.

    Returns:
        For every two parts that have texts `{"pair", "max_similarity", "limit", "pairs", "worst"}`:
        `worst` holds the most alike pairs and `pairs` those of them at or above the limit, each as
        `{"similarity", "ids", "texts"}`.
    """
    reads = [read(text) for _, text, _ in texts]
    index = Index(reads)
    parts = np.array([part for _, _, part in texts])
    present = [name for name in (*SPLITS, "questions") if (parts == name).any()]
    table = []
    for at, other in enumerate(present):
        limit, measure = (questions, likeness) if other == "questions" else (splits, similarity)
        for one in present[:at]:
            found = _worst(index, parts == one, np.flatnonzero(parts == other))
            worst = [(_shown(texts[i], texts[j], value), i, j) for value, i, j in found]
            table.append(
                {
                    "pair": f"{one}-{other}",
                    "max_similarity": round(found[0][0], 3) if found else 0.0,
                    "limit": limit,
                    "pairs": [
                        shown for shown, i, j in worst if measure(reads[i], reads[j]) >= limit
                    ],
                    "worst": [shown for shown, _, _ in worst[:_WORST_SHOWN]],
                }
            )
    return table


def _shown(one: tuple[str, str, str], other: tuple[str, str, str], value: float) -> dict[str, Any]:
    return {
        "similarity": round(value, 3),
        "ids": [one[0], other[0]],
        "texts": [mask(one[1])[:_SHOWN], mask(other[1])[:_SHOWN]],
    }


def _worst(index: Index, among: NDArray[np.bool_], rows: Numbers) -> list[tuple[float, int, int]]:
    """The most alike pairs of a text in `among` (a mask) and one of `rows`."""
    worst: list[tuple[float, int, int]] = []
    # few pairs are very alike: look among those first, and lower only if there are none
    for threshold in (0.5, 0.25, 0.02):
        for right, left, value in index.pairs(threshold, rows):
            across = np.flatnonzero(among[left])
            top = across[np.argsort(-value[across], kind="stable")[:_WORST]]
            worst += [(float(value[k]), int(left[k]), int(right[k])) for k in top]
            worst = sorted(worst, key=lambda pair: (-pair[0], pair[1], pair[2]))[:_WORST]
        if worst:
            break
    return worst
