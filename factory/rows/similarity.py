"""How alike two texts are, and which of thousands are, exactly and without comparing every pair.

Similarity is the weighted share of words two texts have in common (a Dice coefficient): words that
carry the subject weigh most, function words least; Chinese is compared by characters and by pairs
of characters. It depends on the two texts only, never on the rest of the data.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from factory.rows.words import BIGRAM, FUNCTION, decides, is_cjk, negations, tokens, weight

SWAPPED = 0.8
"""Highest likeness of two questions that differ in a word that matters ("capital of France"
and "capital of Spain"), in a number, in a negation, or in the order of such words."""

_ENOUGH = 2.5
"""Size under which a question is too general to be recognised inside another text."""
_INSIDE = 0.8
"""Share of a question that another text must have to be asking it."""
_STRETCH = 4
"""Length of the stretches of a text that are searched for a question, in lengths of the question:
in a long document, words that are far apart meet by chance."""
_CELLS = 2_000_000
"""Pairs looked at in one block; bounds the memory, whatever the number of texts."""

_DENSE_ROWS = 50_000
_SLACK = 1e-5
"""Rounding of 32-bit sums."""

Numbers = NDArray[np.int64]
Shares = NDArray[np.float32]
Pairs = tuple[Numbers, Numbers, Shares]


@dataclass(frozen=True, slots=True)
class Read:
    """A text as it is compared: its words in order, and what each distinct feature weighs."""

    words: list[str]
    features: dict[str, float]

    @property
    def size(self) -> float:
        """Sum of the weights."""
        return sum(self.features.values())


def read(text: str) -> Read:
    """Take a text apart for comparison."""
    return _read(tokens(text))


def _read(words: list[str]) -> Read:
    features = {word: weight(word) for word in words}
    for left, right in pairwise(words):
        if is_cjk(left) and is_cjk(right):
            plain = (features[left] == FUNCTION) + (features[right] == FUNCTION)
            if plain < 2:
                features[left + right] = FUNCTION if plain else BIGRAM
    return Read(words, features)


def similarity(a: Read, b: Read) -> float:
    """Weighted Dice coefficient, 0 (nothing in common) to 1 (the same words)."""
    total = a.size + b.size
    if not total:
        return 0.0
    return round(2 * _shared(a, b) / total, 6)


def _shared(a: Read, b: Read) -> float:
    return sum(a.features[word] for word in a.features.keys() & b.features.keys())


def likeness(a: Read, b: Read) -> float:
    """Similarity, at most SWAPPED where the two ask for different things."""
    value = similarity(a, b)
    return min(value, SWAPPED) if value > SWAPPED and differ(a, b) else value


def differ(a: Read, b: Read) -> bool:
    """Whether two texts differ in a word that matters, a number, a negation, or the order of such.

    However long they are: the same document with another question after it is another question.
    """
    if negations(a.words) % 2 != negations(b.words) % 2:
        return True
    left, right = _keys(a), _keys(b)
    shared = left.keys() & right.keys()
    in_order = [word for word in left if word in shared] == [w for w in right if w in shared]
    return not in_order or swapped(a, b)


def swapped(a: Read, b: Read) -> bool:
    """Whether each of two texts has a word that matters, or a number, where the other has its own.

    Words only one of them has are no swap ("relax" and "relax quickly"), nor is one typing slip.
    """
    left, right = _keys(a).keys() - _keys(b).keys(), _keys(b).keys() - _keys(a).keys()
    slips = [(x, y) for x in left for y in right if _slip(x, y)]
    return bool(left - {x for x, _ in slips}) and bool(right - {y for _, y in slips})


def agree(a: Read, b: Read) -> bool:
    """Whether two answers to one question say the same: alike, with equal numbers and yes or no."""
    if similarity(a, b) < 0.5:
        return False
    numbers = [{w for w in t.words if w[0].isdigit()} for t in (a, b)]
    verdicts = [{w for w in t.words[:1] if w in ("yes", "no", "是", "不", "对")} for t in (a, b)]
    return (
        numbers[0] == numbers[1]
        and (verdicts[0] == verdicts[1] or not all(verdicts))
        and negations(a.words) % 2 == negations(b.words) % 2
    )


def same_words(a: Read, b: Read) -> bool:
    """Whether two questions have the same words that matter."""
    return _keys(a).keys() == _keys(b).keys()


def contains(longer: Read, shorter: Read) -> bool:
    """Whether some stretch of a text asks what a question asks: its main words in their order."""
    size, step = shorter.size, len(shorter.words)
    if size < _ENOUGH or _shared(longer, shorter) < _INSIDE * size:
        return False
    keys = _keys(shorter)
    rest = max(0, len(longer.words) - _STRETCH * step)
    for start in range(0, rest + step, step):
        stretch = longer.words[start : start + _STRETCH * step]
        words = iter(stretch)
        in_order = all(key in words for key in keys)
        if in_order and _shared(_read(stretch), shorter) >= _INSIDE * size:
            return True
    return False


def _keys(text: Read) -> dict[str, None]:
    """Words that decide what is asked, in order of their first appearance."""
    return dict.fromkeys(word for word in text.words if decides(word))


def _slip(left: str, right: str) -> bool:
    """Whether two long words differ by one typing slip."""
    if min(len(left), len(right)) < 6 or left[0] != right[0] or not (left + right).isalpha():
        return False
    from rapidfuzz.distance import DamerauLevenshtein

    return DamerauLevenshtein.distance(left, right, score_cutoff=1) <= 1


class Index:
    """Finds every pair of alike texts among many.

    A word that fewer than one text in 20 has goes through a sparse product, so only texts that
    share such a word meet. Frequent words are added for those that met, and decide alone only among
    texts made mostly of them. The result is exact; memory is bounded by `_CELLS`.
    """

    def __init__(self, texts: Sequence[Read]) -> None:
        from scipy.sparse import csr_matrix

        vocabulary: dict[str, int] = {}
        columns: list[int] = []
        weights: list[float] = []
        ends = [0]
        for text in texts:
            for word, value in text.features.items():
                columns.append(vocabulary.setdefault(word, len(vocabulary)))
                weights.append(value)
            ends.append(len(columns))
        shape = (len(texts), max(1, len(vocabulary)))
        # square roots, so that the product of two rows sums the weights they share
        roots = np.sqrt(np.array(weights, np.float32))
        matrix = csr_matrix((roots, np.array(columns, np.int64), np.array(ends, np.int64)), shape)
        counts = np.bincount(matrix.indices, minlength=shape[1])
        common = counts > max(64, len(texts) // 20)
        self.count = len(texts)
        self.size = np.asarray(matrix.power(2).sum(axis=1)).ravel()
        self._rare = matrix[:, ~common]
        self._rare_columns = self._rare.T.tocsr()
        self._dense: NDArray[np.float32] = matrix[:, common].toarray()
        self._common_size = np.square(self._dense).sum(axis=1)
        self._cost = self._rare.astype(bool).astype(np.int64) @ counts[~common] + 1

    def pairs(self, threshold: float, rows: Numbers | None = None) -> Iterator[Pairs]:
        """All pairs (row, other, similarity) with similarity at or above the threshold.

        Args:
            threshold: Above 0, at most 1.
            rows: Texts to find the like of, ascending; all of them if left out.

        Yields:
            Blocks of pairs, ordered by row and then by other. A pair whose two texts are both in
            `rows` comes twice, once in each direction.
        """
        rows = np.arange(self.count) if rows is None else rows
        # a pair with no rare word in common needs at least this much of frequent ones on both sides
        mostly = self._common_size >= threshold / (2 - threshold) * self.size - _SLACK
        mostly &= self._common_size > 0
        dense = np.flatnonzero(mostly)
        cost = np.cumsum(self._cost[rows] + np.where(mostly[rows], len(dense), 0))
        start = 0
        while start < len(rows):
            done = cost[start - 1] if start else 0
            end = max(start + 1, int(np.searchsorted(cost, done + _CELLS)))
            block = rows[start:end]
            yield _joined(
                self.count,
                self._sharing_rare(block, threshold),
                self._sharing_frequent(block[mostly[block]], dense, threshold),
            )
            start = end

    def _sharing_rare(self, block: Numbers, threshold: float) -> Pairs:
        met = (self._rare[block] @ self._rare_columns).tocoo()
        left, right, value = block[met.row], met.col.astype(np.int64), met.data
        need = threshold / 2 * (self.size[left] + self.size[right]) - _SLACK
        at_most = value + np.minimum(self._common_size[left], self._common_size[right])
        keep = (at_most >= need) & (left != right)
        left, right, value = left[keep], right[keep], value[keep]
        for part in range(0, len(left), _DENSE_ROWS):
            span = slice(part, part + _DENSE_ROWS)
            both = self._dense[left[span]] * self._dense[right[span]]
            value[span] += both.sum(axis=1)
        return self._alike(left, right, value, threshold)

    def _sharing_frequent(self, block: Numbers, dense: Numbers, threshold: float) -> Pairs:
        shared = self._dense[block] @ self._dense[dense].T
        need = threshold / 2 * (self.size[block][:, None] + self.size[dense][None, :]) - _SLACK
        at, other = np.nonzero(shared >= need)
        left, right, value = block[at], dense[other], shared[at, other]
        apart = left != right
        return self._alike(left[apart], right[apart], value[apart], threshold)

    def _alike(self, left: Numbers, right: Numbers, shared: Shares, threshold: float) -> Pairs:
        value = 2 * shared / np.maximum(self.size[left] + self.size[right], _SLACK)
        keep = value >= threshold - _SLACK
        return left[keep], right[keep], value[keep]


def _joined(count: int, rare: Pairs, frequent: Pairs) -> Pairs:
    """Both lists as one without repeats; the first list wins, for it counts all shared words."""
    left = np.concatenate([rare[0], frequent[0]])
    right = np.concatenate([rare[1], frequent[1]])
    value = np.concatenate([rare[2], frequent[2]])
    _, first = np.unique(left * count + right, return_index=True)
    return left[first], right[first], value[first]
