"""Plans what is to be written: how many pairs of which kind, about what, and for which split.

Everything is decided here, before any call. A topic belongs to one split only, so that no test
question descends from the same idea as a training question.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import cycle, islice

from factory.errors import UsageError
from factory.pairs import forms
from factory.pairs.quotas import Rotation, largest_remainder, shuffled, turns
from factory.pairs.topics import topics_of
from factory.rows.split import targets
from factory.rows.words import count_words
from factory.spec import MaxWords, MinWords, Rule, Seed

DEFAULT_SHARES = {
    "normal": 0.70, "grave": 0.10, "safety": 0.0, "format": 0.10, "identity": 0.05,
    "break_character": 0.05, "other_language": 0.0,
}  # fmt: skip
"""How the pairs are shared out over registers."""

REGISTERS = tuple(DEFAULT_SHARES)
SIDES = ("train", "validation", "test")
LENGTHS = ("short", "medium", "long")
INTENTS = ("explain", "advise", "instruct", "create", "small_talk", "factual")

_INTENTS = {
    "grave": ("explain", "advise", "create", "small_talk"),
    "safety": ("explain", "advise", "instruct"),
    "format": ("explain", "advise", "instruct", "create"),
    "identity": ("explain", "small_talk", "factual"),
    "break_character": ("instruct", "create", "small_talk"),
}
"""What people want in the special registers; in the others they want anything."""

_NEVER_LONG = ("factual", "small_talk")
_BANDS = {"en": ((1, 15), (16, 60), (61, 150)), "zh": ((1, 25), (26, 100), (101, 220))}
"""Words of a short, medium and long answer; a Chinese word is a character here."""
_NARROW = 15
"""A band left with fewer words than this by the rules is joined to its neighbour."""
_SPARE_TOPICS = 4
"""Least topics of a cell, so that not every question of a small one is about the same."""


@dataclass(frozen=True, slots=True)
class Cell:
    """A kind of pair, and how many of it are wanted."""

    id: str
    intent: str
    length: str
    register: str
    side: str
    quota: int
    topics: tuple[str, ...] = ()
    """What the questions are about; a topic is on one side only."""
    words: tuple[int, int] = (1, 60)
    """Least and most words of the answer."""
    form: str = ""
    """Form of the answer, in the register `format`."""
    language: str = "en"
    """Two-letter code of the answers."""


def plan(
    pairs: int,
    *,
    language: str,
    seeds: Sequence[Seed],
    rules: Sequence[Rule],
    topics: Sequence[str] = (),
    shares: Mapping[str, float] | None = None,
    held_out: tuple[float, float] = (0.12, 0.12),
    random_seed: int = 17,
) -> list[Cell]:
    """Share out the pairs over registers, intents, lengths and splits.

    Args:
        pairs: How many are wanted.
        language: Two-letter code of the answers.
        seeds: Example pairs; lengths are dealt as theirs are, with some of every other.
        rules: The persona's rules; answers are planned no longer and no shorter than they allow.
        topics: Everyday subjects; built-in ones if left out.
        shares: Share of each register, adding up to 1.
        held_out: Shares of validation and test.
        random_seed: Another seed deals topics, intents and forms otherwise.

    Returns:
        Cells with a quota above 0; the quotas add up to `pairs`.

    Raises:
        UsageError: If that is impossible, with the field that is wrong.
    """
    shares = DEFAULT_SHARES if shares is None else shares
    own = tuple({topic.strip().casefold(): topic.strip() for topic in topics}.values())
    _check(pairs, shares, held_out)
    of_register = largest_remainder(pairs, {name: shares.get(name, 0.0) for name in REGISTERS})
    validation, test = targets(pairs, *held_out)
    of_side = {"train": pairs - validation - test, "validation": validation, "test": test}
    used = [side for side in SIDES if of_side[side] > 0]
    if own and len(own) < len(used):
        raise UsageError(
            "there are fewer topics than splits, and a topic belongs to one split only",
            where="distill.topics",
            got=", ".join(own),
            allowed=f"at least {len(used)} topics ({', '.join(used)})",
            hint="add topics, or remove them all to use the built-in ones",
        )
    counts = _count(of_register, of_side, language, seeds, rules, random_seed)
    pools = {
        register: _pools(topics_of(register, language, own), of_side, random_seed)
        for register, count in of_register.items()
        if count
    }
    bands = word_bands(rules, language)
    return list(_cells(counts, pools, bands, language))


def _check(pairs: int, shares: Mapping[str, float], held_out: tuple[float, float]) -> None:
    if pairs < 1:
        raise UsageError(
            "there is nothing to write",
            where="distill.pairs",
            got=pairs,
            allowed="a whole number from 1",
            hint="50 to 200 pairs usually make a voice stick",
        )
    unknown = [name for name in shares if name not in REGISTERS]
    negative = [f"{name}: {share:g}" for name, share in shares.items() if not 0 <= share <= 1]
    if unknown or negative:
        raise UsageError(
            "a share is not possible" if negative else "there is no such register",
            where="distill.shares",
            got=", ".join(negative or unknown),
            allowed=f"0 to 1 for each of {', '.join(REGISTERS)}",
            hint="correct or remove it",
        )
    total = math.fsum(shares.values())
    if abs(total - 1) > 1e-6:
        raise UsageError(
            f"the shares add up to {total:g}",
            where="distill.shares",
            got=", ".join(f"{name}: {share:g}" for name, share in shares.items()),
            allowed="shares that add up to 1",
            hint=f"{'take' if total > 1 else 'give'} {abs(total - 1):g}"
            f" {'from' if total > 1 else 'to'} normal",
        )
    if min(held_out) < 0 or sum(held_out) >= 1:
        raise UsageError(
            "the held-out shares leave nothing to train on",
            where="curate.validation and curate.test",
            got=f"{held_out[0]:g} and {held_out[1]:g}",
            allowed="shares from 0 that add up to less than 1",
            hint="0.12 each is usual",
        )


def word_bands(rules: Sequence[Rule], language: str) -> dict[str, tuple[int, int]]:
    """Least and most words of each length that the rules leave room for."""
    bands = _BANDS.get(language, _BANDS["en"])
    least = max((rule.min_words for rule in rules if isinstance(rule, MinWords)), default=1)
    most = min((rule.max_words for rule in rules if isinstance(rule, MaxWords)), default=0)
    # a persona that must write more than our longest band gets a band of its own
    most = most or max(bands[-1][1], 2 * least)
    ends = [band[1] for band in bands[:-1]] + [max(most, least)]
    found: list[tuple[str, int, int]] = []
    start = least
    for name, end in zip(LENGTHS, ends, strict=True):
        end = min(end, most)
        if end >= start:
            found.append((name, start, end))
            start = end + 1
    while len(found) > 1:
        at = min(range(len(found)), key=lambda k: found[k][2] - found[k][1])
        if found[at][2] - found[at][1] + 1 >= _NARROW:
            break
        other = at - 1 if at else 1
        low, high = min(at, other), max(at, other)
        joined = (found[other][0], found[low][1], found[high][2])
        found[low : high + 1] = [joined]
    return {name: (low, high) for name, low, high in found}


_Key = tuple[str, str, str, str, str]


def _count(
    of_register: Mapping[str, int],
    of_side: Mapping[str, int],
    language: str,
    seeds: Sequence[Seed],
    rules: Sequence[Rule],
    random_seed: int,
) -> Counter[_Key]:
    """Pairs by register, side, intent, length and form."""
    bands = word_bands(rules, language)
    sides = Rotation(of_side)
    lengths = Rotation(_length_weights(bands, seeds))
    shape = cycle(shuffled(forms.fitting(rules), f"{random_seed}|forms"))
    counts: Counter[_Key] = Counter()
    for register, count in of_register.items():
        intents = turns(_INTENTS.get(register, INTENTS), f"{random_seed}|{register}")
        dealt = Counter(sides.next() for _ in range(count))
        # side by side, so that even a few test pairs have different intents
        for side in SIDES:
            for _ in range(dealt[side]):
                intent = next(intents)
                compact = register == "format" or intent in _NEVER_LONG
                among = [name for name in bands if not (compact and name == "long")]
                length = lengths.next(among)
                form = next(shape) if register == "format" else ""
                counts[register, side, intent, length, form] += 1
    return counts


def _length_weights(bands: Mapping[str, tuple[int, int]], seeds: Sequence[Seed]) -> dict[str, int]:
    weights = dict.fromkeys(bands, 1)
    for seed in seeds:
        words = count_words(seed.output)
        # a seed outside the rules counts for the band it is nearest to
        near = min(bands, key=lambda n: max(bands[n][0] - words, words - bands[n][1], 0))
        weights[near] += 2
    return weights


def _pools(
    topics: Sequence[str], of_side: Mapping[str, int], random_seed: int
) -> dict[str, list[str]]:
    """Deal the topics to the sides: each at least one, and in proportion."""
    used = {side: float(count) for side, count in of_side.items() if count}
    sizes = largest_remainder(len(topics) - len(used), used)
    waiting = iter(shuffled(topics, f"{random_seed}|topics"))
    return {side: list(islice(waiting, sizes[side] + 1)) for side in used}


def _cells(
    counts: Mapping[_Key, int],
    pools: Mapping[str, Mapping[str, Sequence[str]]],
    bands: Mapping[str, tuple[int, int]],
    language: str,
) -> Iterator[Cell]:
    start: Counter[tuple[str, str]] = Counter()
    for (register, side, intent, length, form), quota in counts.items():
        pool = pools[register][side]
        first = start[register, side]
        many = min(len(pool), max(_SPARE_TOPICS, 2 * quota))
        start[register, side] += quota
        yield Cell(
            id="-".join([f"{register}.{form}" if form else register, intent, length, side]),
            intent=intent,
            length=length,
            register=register,
            side=side,
            quota=quota,
            topics=tuple(pool[(first + k) % len(pool)] for k in range(many)),
            words=bands[length],
            form=form,
            language=language,
        )


def describe(cells: Sequence[Cell]) -> list[dict[str, str | int]]:
    """One table row per register and one for all: pairs, then how they are shared out."""
    rows: list[dict[str, str | int]] = []
    names = [name for name in REGISTERS if any(cell.register == name for cell in cells)]
    for name in [*names, "total"]:
        chosen = [cell for cell in cells if name in (cell.register, "total")]
        row: dict[str, str | int] = {
            "register": name.replace("_", " "),
            "pairs": sum(cell.quota for cell in chosen),
        }
        for field, values in (("side", SIDES), ("length", LENGTHS), ("intent", INTENTS)):
            for value in values:
                quota = sum(cell.quota for cell in chosen if getattr(cell, field) == value)
                row[value.replace("_", " ")] = quota
        rows.append(row)
    return rows
