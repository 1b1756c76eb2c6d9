"""Deals rows to train, validation and test by lineage: rows of one idea stay together."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from factory.contracts import Message
from factory.rows.similarity import Index, Numbers, read
from factory.rows.words import count_words, tokens

SPLITS = ("train", "validation", "test")

_FEW = 30
"""Rows from which validation and test get at least `_LEAST` each."""
_LEAST = 4
_TURN_WORDS = 4
"""Words a turn inside a conversation needs to count as a question of its own."""
_ANSWER_WORDS = 5
"""Words from which two rows with one answer are taken for one idea in two wordings."""
_LADDER = (0.65, 0.75, 0.85, 0.95)
"""Stricter meanings of "alike", tried when the configured one leaves too little to hold out."""


@dataclass(frozen=True, slots=True)
class Dealt:
    """The split of every row, and what the user should know about it."""

    names: list[str]
    advice: list[str]


class Lineage:
    """Groups of rows that descend from one idea; joined pair by pair, in blocks.

    Args:
        count: Number of rows, each a group of its own at first.
    """

    def __init__(self, count: int) -> None:
        self.label: Numbers = np.arange(count)

    def join(self, left: Numbers, right: Numbers) -> None:
        """Put row `left[k]` and row `right[k]` in one group, for every k."""
        from scipy.sparse import coo_matrix
        from scipy.sparse.csgraph import connected_components

        one, other = self.label[left], self.label[right]
        apart = one != other
        if not apart.any():
            return
        count = len(self.label)
        edges = coo_matrix(
            (np.ones(int(apart.sum()), np.int8), (one[apart], other[apart])), (count, count)
        )
        _, group = connected_components(edges, directed=False)
        self.label = group[self.label]

    def groups(self) -> list[Numbers]:
        """The rows of every group, ascending; groups by their first row."""
        order = np.argsort(self.label, kind="stable")
        starts = np.flatnonzero(np.diff(self.label[order])) + 1
        return sorted(np.split(order, starts), key=lambda rows: int(rows[0]))


def by_lineage(
    asks: Sequence[str],
    conversations: Iterable[Sequence[Message]],
    *,
    lineage: float,
    shares: tuple[float, float],
    random_seed: int,
    fixed: Sequence[str | None] | None = None,
) -> Dealt:
    """Split rows so that near-duplicates and paraphrases never straddle.

    Rows belong together if their questions are alike, if a turn inside one is like a turn or
    question of the other (histories that grew from one another), or if their answers are the same.

    Args:
        asks: What each row is about.
        conversations: The conversation of each row; read once, in order.
        lineage: Similarity from which two rows belong together.
        shares: Shares of validation and test.
        random_seed: Another seed gives another split.
        fixed: The split of rows that were written for one; rows like them go where they go.
    """
    count = len(asks)
    fixed = fixed or [None] * count
    owners = list(range(count))
    texts = list(asks)
    answers: dict[str, list[int]] = {}
    for row, messages in enumerate(conversations):
        turns = [m["content"] for m in messages if m["role"] == "user"]
        for turn in turns if len(turns) > 1 else []:
            if count_words(turn) >= _TURN_WORDS:
                owners.append(row)
                texts.append(turn)
        if count_words(messages[-1]["content"]) >= _ANSWER_WORDS:
            said = hashlib.sha256(" ".join(tokens(messages[-1]["content"])).encode()).hexdigest()
            answers.setdefault(said, []).append(row)
    index = Index([read(text) for text in texts])
    want = targets(count, *shares)
    for threshold in (lineage, *(step for step in _LADDER if step > lineage)):
        groups = _groups(index, np.array(owners), count, answers, threshold)
        names = deal(groups, asks, want, random_seed, fixed)
        if names:
            return Dealt(names, _advice(groups, count, threshold, lineage))
    single = [np.array([row]) for row in range(count)]
    names = deal(single, asks, want, random_seed, fixed) or [side or "train" for side in fixed]
    return Dealt(names, _advice(single, count, 1.0, lineage))


def _groups(
    index: Index, owners: Numbers, count: int, answers: dict[str, list[int]], threshold: float
) -> list[Numbers]:
    found = Lineage(count)
    for rows in answers.values():
        # an answer that many rows share is a stock phrase, not a sign of one idea
        if 1 < len(rows) <= max(_LEAST, count // 20):
            found.join(np.array(rows[:-1]), np.array(rows[1:]))
    for left, right, _ in index.pairs(threshold):
        found.join(owners[left], owners[right])
    return found.groups()


def _advice(groups: Sequence[Numbers], count: int, used: float, lineage: float) -> list[str]:
    advice = []
    if used > lineage:
        advice.append(
            f"So many questions are alike that rows were grouped from a similarity of {used:.2f}, "
            f"not {lineage:.2f}; held-out figures will look better than they are. Vary the "
            "questions."
        )
    largest = max(map(len, groups))
    if count >= 20 and largest > count / 4:
        advice.append(
            f"{largest} of {count} rows ask variants of one question; they all went to train."
        )
    return advice


def targets(count: int, validation: float, test: float) -> tuple[int, int]:
    """How many rows validation and test should get, each at least a few where there are enough."""
    if count < 2:
        return 0, 0
    if count < 10:
        return (1 if count > 2 and validation else 0), 1
    least = _LEAST if count >= _FEW else 1
    return (max(least, round(validation * count)) if validation else 0), max(
        least, round(test * count)
    )


def deal(
    groups: Sequence[Numbers],
    keys: Sequence[str],
    want: tuple[int, int],
    random_seed: int,
    fixed: Sequence[str | None],
) -> list[str] | None:
    """Deal whole groups to the splits.

    Groups are dealt in an order that depends on the seed and on the text of their first row, so
    that an edit elsewhere moves as few rows as possible. A group too large for a held-out split
    goes to train.

    Args:
        groups: Rows of every group.
        keys: A text per row that identifies it.
        want: Rows wanted for validation and test.
        random_seed: Another seed gives another split.
        fixed: The split a row was written for, if any. Its whole group goes there; a group in which
            two splits meet goes to train, where it can give nothing away.

    Returns:
        The split of every row; None if the groups are too few or too large to hold out enough.
    """
    dealt = ["train"] * len(keys)
    free = []
    for rows in groups:
        sides = {fixed[row] for row in rows} - {None}
        for row in rows if sides else ():
            dealt[row] = str(*sides) if len(sides) == 1 else "train"
        if not sides:
            free.append(rows)
    waiting = sorted(
        free, key=lambda rows: hashlib.sha256(f"{random_seed}|{keys[rows[0]]}".encode()).digest()
    )
    for name, wanted in (("test", want[1]), ("validation", want[0])):
        taken = dealt.count(name)
        later = []
        for rows in waiting:
            room = wanted - taken
            # a group may overshoot a little, but never make up more than half of a split
            fits = len(rows) <= max(1, wanted // 2) and len(rows) <= room + max(0, wanted // 8)
            if room > 0 and fits:
                taken += len(rows)
                for row in rows:
                    dealt[row] = name
            else:
                later.append(rows)
        waiting = later
        if taken < min(wanted, max(_LEAST, (wanted + 1) // 2)):
            return None
    return dealt if "train" in dealt else None
