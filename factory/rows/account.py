"""Accounts for every input row: the ledger, the report with its examples, and advice."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

from factory.errors import FactoryError, UsageError
from factory.rows.examine import Entry
from factory.rows.private import mask

_EXAMPLES = 3
"""Examples shown for each reason."""
_SHOWN = 160
"""Characters of an example."""
_FEW, _MANY = 50, 200
"""Rows that usually make a voice stick; outside there is advice, never an error."""
_SHARES = {"p5": 0.05, "p50": 0.5, "p95": 0.95, "max": 1.0}


def outcome(entry: Entry) -> str:
    """What became of a row: `kept`, `repaired` or `rejected`."""
    if entry.reason is not None:
        return "rejected"
    return "repaired" if entry.repairs else "kept"


def ledger_line(entry: Entry) -> dict[str, Any]:
    """What became of a row and why, for ledger.jsonl."""
    warned = "; ".join(f"{code}: {detail}" for code, detail in entry.warnings.items())
    return {
        "id": entry.id,
        "outcome": outcome(entry),
        "reason": entry.reason or ", ".join(entry.repairs) or None,
        "detail": mask(entry.detail or warned),
        "split": entry.split,
    }


def report(everything: Sequence[Entry], expected: int) -> dict[str, Any]:
    """Counts by outcome and reason, splits, lengths in words and tokens.

    Args:
        everything: Every input row, at least one of them kept.
        expected: How many rows gather counted.

    Raises:
        FactoryError: If a row was lost or counted twice.
    """
    kept = [entry for entry in everything if entry.reason is None]
    outcomes = Counter(outcome(entry) for entry in everything)
    by_reason = Counter(entry.reason for entry in everything if entry.reason is not None)
    splits = Counter(entry.split for entry in kept)
    words, tokens = sorted(e.words for e in kept), sorted(e.tokens for e in kept)
    if not (
        len(everything) == expected == outcomes.total()
        and by_reason.total() == outcomes["rejected"]
        and splits["train"] + splits["validation"] + splits["test"] == len(kept)
    ):
        raise FactoryError(
            "the counts of rows do not add up",
            got=f"{expected} rows in, {dict(outcomes)}, reasons {dict(by_reason)}, {dict(splits)}",
            hint="this is a mistake in the factory: please report it with these numbers",
        )
    return {
        "input": expected,
        "kept": outcomes["kept"],
        "repaired": outcomes["repaired"],
        "rejected": outcomes["rejected"],
        "by_reason": dict(by_reason.most_common()),
        "repairs": dict(Counter(code for e in kept for code in e.repairs).most_common()),
        "warnings": dict(Counter(code for e in kept for code in e.warnings).most_common()),
        "splits": {name: splits[name] for name in ("train", "validation", "test")},
        "lengths": {"words": {name: _at(words, share) for name, share in _SHARES.items()}},
        "tokens": {"p50": _at(tokens, 0.5), "max": tokens[-1], "total": sum(tokens)},
    }


def _at(ordered: Sequence[int], share: float) -> int:
    return ordered[round(share * (len(ordered) - 1))]


def worth_showing(entries: Sequence[Entry]) -> Iterator[Entry]:
    """The first few rows of every reason and warning."""
    seen = Counter[str]()
    for entry in entries:
        codes = [entry.reason] if entry.reason else [*entry.warnings]
        if any(seen[code] < _EXAMPLES for code in codes):
            yield entry
        seen.update(codes)


def examples(*sources: Sequence[tuple[Entry, str]]) -> list[dict[str, str]]:
    """A few rows for every reason, with private data masked."""
    shown = Counter[str]()
    found = []
    for entry, text in (pair for source in sources for pair in source):
        noted = {entry.reason: entry.detail} if entry.reason else entry.warnings
        for reason, detail in noted.items():
            shown[reason] += 1
            if shown[reason] <= _EXAMPLES:
                masked = {"detail": mask(detail), "text": mask(text)[:_SHOWN]}
                found.append({"id": entry.id, "reason": reason, **masked})
    return found


def advice(facts: dict[str, Any]) -> list[str]:
    """What a person may want to do about the data; none of it stops the build."""
    rows = facts["kept"] + facts["repaired"]
    said = []
    if rows < _FEW:
        said.append(
            f"Only {rows} rows are left; {_FEW} to {_MANY} varied pairs usually make a voice "
            "stick. Add more."
        )
    if rows > _MANY:
        said.append(
            f"{rows} rows are more than a voice needs; {_FEW} to {_MANY} of the best usually do as "
            "well and train faster."
        )
    if facts["rejected"] > 0.2 * facts["input"]:
        reason = next(iter(facts["by_reason"]))
        said.append(
            f"{facts['rejected']} of {facts['input']} rows were rejected, most for `{reason}`; "
            "ledger.jsonl lists them with file and line."
        )
    if not facts["splits"]["test"] or not facts["splits"]["validation"]:
        said.append("There are too few rows to hold any out; no figure will tell if it learned.")
    return said


def nothing_left(everything: Sequence[Entry]) -> UsageError:
    """The error for data of which no row could be kept."""
    reasons = Counter(str(entry.reason) for entry in everything).most_common(5)
    first = next((entry for entry in everything if entry.reason == reasons[0][0]), None)
    return UsageError(
        "no row of the data can be used",
        where=first.id if first else None,
        got=", ".join(f"{count} {reason}" for reason, count in reasons),
        hint=f"{mask(first.detail)}; mend the rows, or relax `curate`" if first else None,
    )
