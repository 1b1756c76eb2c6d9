"""curate: clean rows, split by lineage, and a ledger of what happened to every input row."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import IO, Any

from factory.artifacts import Dataset, Pairs, Row, Rows, write_json, write_jsonl
from factory.contracts import Message, Progress
from factory.pairs.review import Decisions, applied
from factory.questions import Question
from factory.rows import account
from factory.rows.examine import Base, Entry, Examiner
from factory.rows.repair import mend
from factory.spec import Curate, Rule
from factory.store import Stage

_REPORT_EVERY = 200
_STATS = ("input", "kept", "repaired", "rejected", "by_reason", "warnings")
"""Parts of the report that go into the manifest."""
_MAYBE_CUT_OFF = "maybe_cut_off"


class _Spool:
    """Mended conversations and their plain twins on disk, so that memory does not grow with the data."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file

    def add(self, messages: Sequence[Message], twin: str | None) -> int:
        place = self._file.seek(0, 2)
        self._file.write(json.dumps([messages, twin], ensure_ascii=False).encode() + b"\n")
        return place

    def both(self, entry: Entry) -> tuple[list[Message], str | None]:
        self._file.seek(entry.place)
        messages, twin = json.loads(self._file.readline())
        return messages, twin

    def messages(self, entry: Entry) -> list[Message]:
        return self.both(entry)[0]

    def answer(self, entry: Entry) -> str:
        return self.messages(entry)[-1]["content"]

    def text(self, entry: Entry) -> str:
        return " → ".join(message["content"] for message in self.messages(entry))


def run(
    config: Curate,
    /,
    *,
    out: Path,
    progress: Progress,
    rows: Rows,
    language: str,
    rules: tuple[Rule, ...],
    questions: tuple[Question, ...],
    prompt: str,
    base: Base,
    random_seed: int,
    review: Decisions,
) -> dict[str, Any]:
    """Check, mend, de-duplicate and split the gathered rows.

    Args:
        config: The persona file's `curate` section.
        out: Folder to write to.
        progress: Called with `step`, `total` and `note`.
        rows: What gather read.
        language: Two-letter code of the answers.
        rules: The persona's rules.
        questions: Held-out questions; rows too close to one are rejected.
        prompt: The persona's system prompt.
        base: The base model a row must fit.
        random_seed: Seed of the split.
        review: What a person decided on single rows.

    Raises:
        UsageError: If no row is left.
        FactoryError: If the counts do not add up, which would be a mistake in this module.
    """
    from factory.rows.twins import reject_leaks, reject_repeats

    total = rows.manifest.stats["rows"]
    unread = [
        (Entry(item["id"], reason=item["reason"], detail=item["detail"]), item["text"])
        for item in rows.rejected()
    ]
    examiner = Examiner(config, language, rules, prompt, base)
    with tempfile.TemporaryFile(dir=out) as file:
        spool = _Spool(file)
        entries = []
        for row, dropped in applied(rows.rows(), review):
            entry, messages = examiner.look(row)
            if dropped:
                entry.reject("dropped_by_hand", "a person dropped it in `factory review`")
            entry.place = spool.add(messages, _twin(row, messages))
            entries.append(entry)
            if len(entries) % _REPORT_EVERY == 0:
                progress(step=len(entries), total=total, note="checking rows")
        progress(step=len(entries), total=total, note="comparing rows")
        reject_leaks(_kept(entries), [question.ask for question in questions])
        reject_repeats(_kept(entries), config.near_duplicate, spool.answer)
        kept = _kept(entries)
        everything = [*entries, *(entry for entry, _ in unread)]
        if not kept:
            raise account.nothing_left(everything)
        _warn_unfinished(kept)
        leaks, notes = _split(config, kept, spool, questions, random_seed)
        for name in ("train", "validation", "test"):
            chosen = (entry for entry in kept if entry.split == name)
            write_jsonl(out / f"{name}.jsonl", (_row(entry, spool) for entry in chosen))
        write_jsonl(out / "ledger.jsonl", [account.ledger_line(entry) for entry in everything])
        report = account.report(everything, expected=total + rows.manifest.stats["rejected"])
        report["examples"] = account.examples(
            unread,
            [(entry, spool.text(entry)) for entry in account.worth_showing(entries)],
        )
    if isinstance(rows, Pairs):
        report["teaching"] = rows.report()
    report["leaks"] = leaks
    report["advice"] = [*account.advice(report), *notes]
    write_json(out / "report.json", report)
    progress(step=total, total=total)
    return {**{name: report[name] for name in _STATS}, **report["splits"]}


def _kept(entries: Iterable[Entry]) -> list[Entry]:
    return [entry for entry in entries if entry.reason is None]


def _row(entry: Entry, spool: _Spool) -> Row:
    messages, twin = spool.both(entry)
    row: Row = {"id": entry.id, "messages": messages}
    if entry.side:
        row["side"] = entry.side
    if twin:
        row["twin"] = twin
    if entry.repairs:
        row["repairs"] = entry.repairs
    if entry.warnings:
        row["warnings"] = sorted(entry.warnings)
    return row


def _twin(row: Row, mended: Sequence[Message]) -> str | None:
    """The row's plain twin, mended; None if it is lost, or if it answers what is now another text."""
    asked, asks = ([m["content"] for m in said[:-1]] for said in (row["messages"], mended))
    fixed = mend(row.get("twin", ""))
    return fixed.text if asked == asks and not fixed.lost else None


def _warn_unfinished(kept: Sequence[Entry]) -> None:
    """Mark answers without a final stop, if nearly all others have one."""
    unfinished = [entry for entry in kept if entry.unfinished]
    if len(kept) >= 20 and len(unfinished) <= 0.1 * len(kept):
        for entry in unfinished:
            entry.warnings[_MAYBE_CUT_OFF] = "no final stop, unlike the other answers"


def _split(
    config: Curate,
    kept: Sequence[Entry],
    spool: _Spool,
    questions: tuple[Question, ...],
    random_seed: int,
) -> tuple[list[dict[str, Any]], list[str]]:
    """Write the split into every entry; returns the leak table and advice."""
    from factory.rows.leaks import leak_table
    from factory.rows.split import by_lineage

    dealt = by_lineage(
        [entry.ask for entry in kept],
        (spool.messages(entry) for entry in kept),
        lineage=config.lineage,
        shares=(config.validation, config.test),
        random_seed=random_seed,
        fixed=[entry.side for entry in kept],
    )
    for entry, name in zip(kept, dealt.names, strict=True):
        entry.split = name
    texts = [(entry.id, entry.ask, str(entry.split)) for entry in kept]
    texts += [(f"question {n}", q.ask, "questions") for n, q in enumerate(questions, 1)]
    table = leak_table(texts, splits=config.lineage, questions=config.near_duplicate)
    return table, dealt.advice


STAGE = Stage("curate", version=4, makes=Dataset, run=run)
