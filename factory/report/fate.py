"""What became of the input rows: counts, reasons, sizes, and how alike the splits are."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from factory.report.words import number, spoken

Fate = Literal["rejected", "repaired", "noted"]

_GROUPS: tuple[tuple[Fate, str, str], ...] = (
    ("rejected", "by_reason", "Why rows were rejected"),
    ("repaired", "repairs", "What was repaired"),
    ("noted", "warnings", "What to look at in the kept rows"),
)


@dataclass(frozen=True, slots=True)
class Example:
    """One input row with what was found in it."""

    id: str
    detail: str
    text: str


@dataclass(frozen=True, slots=True)
class Reason:
    """One thing found in the rows, how often, and some of them."""

    label: str
    count: int
    share: float
    """Relative to the most frequent reason of any group, 0 to 1."""
    examples: tuple[Example, ...]


@dataclass(frozen=True, slots=True)
class Group:
    """The reasons that had the same consequence."""

    fate: Fate
    title: str
    reasons: tuple[Reason, ...]


@dataclass(frozen=True, slots=True)
class Closest:
    """Two splits, and the pair of rows in them that is most alike."""

    pair: str
    similarity: str
    rows: tuple[tuple[str, str], ...]
    """`(id, text)` of the two rows; empty if they are not known."""


def fates(dataset: Mapping[str, Any]) -> list[tuple[str, int]]:
    """How many input rows ended as kept, repaired and rejected."""
    return [(fate, int(dataset.get(fate) or 0)) for fate in ("kept", "repaired", "rejected")]


def groups(dataset: Mapping[str, Any]) -> list[Group]:
    """What was found in the rows, by consequence, most frequent first."""
    most = max(
        (count for _, source, _ in _GROUPS for count in (dataset.get(source) or {}).values()),
        default=0,
    )
    return [
        Group(
            fate,
            title,
            tuple(
                Reason(spoken(code), count, count / (most or 1), _examples(dataset, code))
                for code, count in sorted(counts.items(), key=lambda item: -item[1])
            ),
        )
        for fate, source, title in _GROUPS
        if (counts := dataset.get(source))
    ]


def _examples(dataset: Mapping[str, Any], code: str) -> tuple[Example, ...]:
    return tuple(
        Example(item.get("id", ""), item.get("detail") or "", item.get("text") or "")
        for item in dataset.get("examples") or []
        if item.get("reason") == code
    )


def closest(dataset: Mapping[str, Any]) -> list[Closest]:
    """The leak table: for every two splits, how alike their most alike rows are."""
    return [
        Closest(spoken(leak.get("pair", "")), number(leak.get("max_similarity")), _rows(leak))
        for leak in dataset.get("leaks") or []
    ]


def _rows(leak: Mapping[str, Any]) -> tuple[tuple[str, str], ...]:
    alike = leak.get("pairs") or leak.get("worst")
    if not alike:
        return ()
    worst = alike[0]
    return tuple(zip(worst["ids"], worst["texts"], strict=True))


def sizes(dataset: Mapping[str, Any]) -> list[str]:
    """How long the kept rows are, in words and in tokens; empty if it was not measured."""
    told = []
    if words := (dataset.get("lengths") or {}).get("words"):
        told.append(
            f"Half of the answers have up to {words['p50']} words, 95% up to {words['p95']}, "
            f"the longest {words['max']}."
        )
    if tokens := dataset.get("tokens"):
        told.append(
            f"Half of the rows have up to {tokens['p50']} tokens, the longest {tokens['max']}; "
            f"{tokens['total']:,} in all."
        )
    return told
