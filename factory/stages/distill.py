"""distill: from the seeds to exactly the pairs that were asked for, written by a teacher."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any

from factory import plugins
from factory.artifacts import Pairs, Row, Rows, write_json, write_jsonl
from factory.base import Base
from factory.contracts import Progress
from factory.errors import UsageError
from factory.pairs import cells, diversity, prompts
from factory.pairs.accept import NO_ROOM, Acceptor
from factory.pairs.budget import Budget, Prices
from factory.pairs.calls import Caller
from factory.pairs.cells import Cell
from factory.pairs.ledger import Ledger
from factory.pairs.writing import MORE_ROOM, Account, Pair, Writer
from factory.questions import Question
from factory.spec import Rule, Seed, Spec
from factory.store import Stage, home
from factory.teaching import Distill, Teacher

LEDGER = "factory.sqlite"


def inputs(spec: Spec, base: Base) -> dict[str, Any]:
    """What `run` needs of a persona, beside the gathered rows."""
    controls = base.format.controls
    return {
        "teacher": spec.teacher,
        # Only a teacher that is the base model depends on it.
        "base": base if spec.teacher and spec.teacher.type == "self" else None,
        "controls": controls.pattern if controls else None,
        "seeds": spec.seeds,
        "language": spec.language,
        "rules": spec.rules,
        "voice": spec.voice,
        "questions": spec.questions,
        "held_out": [spec.curate.validation, spec.curate.test],
        "random_seed": spec.random_seed,
    }


def plan(config: Distill, given: Mapping[str, Any]) -> list[Cell]:
    """What will be asked for, from `inputs`; nothing is sent.

    Raises:
        UsageError: If the quotas cannot be met.
    """
    return cells.plan(
        config.pairs,
        language=given["language"],
        seeds=given["seeds"],
        rules=given["rules"],
        topics=config.topics,
        shares=config.shares.model_dump(),
        held_out=(given["held_out"][0], given["held_out"][1]),
        random_seed=given["random_seed"],
    )


def checks(spec: Spec, base: Base) -> list[Callable[[], object]]:
    """Everything that can be wrong before the first paid token.

    Returns:
        Calls that know nothing of each other, so that a mistake hides no other; each raises a
        UsageError with the field that is wrong.
    """
    if spec.teacher is None:
        return []
    return [
        partial(_require_seeds, spec),
        lambda: plan(spec.distill, inputs(spec, base)),
        partial(_budget, spec.teacher),
        partial(_teacher, spec.teacher, base),
    ]


def _require_seeds(spec: Spec) -> None:
    if not spec.seeds:
        raise UsageError(
            "a teacher needs seeds to learn the voice from",
            where="seeds",
            got="none",
            allowed="3 to 20 example pairs",
            hint="add seeds, or remove `teacher` and bring the pairs in `data`",
        )


def _teacher(section: Teacher, base: Base | None) -> Any:
    plugins.find("teachers", section.type, "teacher.type")
    return plugins.load("teachers", section.type).of(section, base)


def _budget(section: Teacher) -> Budget:
    limits = section.budget
    return Budget(
        max_usd=limits.usd,
        max_tokens=limits.tokens,
        max_requests=limits.requests,
        prices=Prices(section.prices.prompt, section.prices.completion),
    )


def run(
    config: Distill,
    /,
    *,
    out: Path,
    progress: Progress,
    rows: Rows,
    prompt: str,
    teacher: Teacher,
    base: Base | None,
    controls: str | None,
    seeds: tuple[Seed, ...],
    language: str,
    rules: tuple[Rule, ...],
    voice: tuple[str, ...],
    questions: tuple[Question, ...],
    held_out: list[float],
    random_seed: int,
) -> dict[str, Any]:
    """Write the pairs of the plan behind the gathered rows.

    Args:
        config: The persona file's `distill` section.
        out: Folder to write to.
        progress: Called with `step` (accepted pairs), `total` and `note`.
        rows: What gather read.
        prompt: The persona's system prompt.
        teacher: The persona file's `teacher` section.
        base: The base model, where the teacher is of type `self`.
        controls: Regular expression that finds what the base that is trained reads as a control
            token; None if nothing is.
        seeds: Example pairs of the persona file.
        language: Two-letter code of the answers.
        rules: The persona's rules.
        voice: The persona's traits, which no question may name.
        questions: Held-out questions, which nothing may come near.
        held_out: Shares of validation and test.
        random_seed: Seed of the plan.

    Raises:
        UsageError: If the teacher cannot be asked, or nothing at all was accepted.
        FactoryError: If a ceiling was reached; what was paid for is kept.
    """
    writes = _teacher(teacher, base)
    wanted = plan(
        config,
        {
            "language": language, "seeds": seeds, "rules": rules, "held_out": held_out,
            "random_seed": random_seed,
        },
    )  # fmt: skip
    own = [
        " ".join(m["content"] for m in row["messages"] if m["role"] == "user")
        for row in rows.rows()
    ]
    acceptor = Acceptor(
        language=language,
        rules=rules,
        seeds=seeds,
        held_out=[question.ask for question in questions],
        others=own,
        voice=voice,
        controls=re.compile(controls) if controls else None,
    )
    kept: list[Pair] = []
    with ExitStack() as stack:
        candidates = stack.enter_context((out / "candidates.jsonl").open("w", encoding="utf-8"))
        ledger = stack.enter_context(Ledger(home() / LEDGER))

        def note(cell: Cell, text: str, reason: str, detail: str) -> None:
            line = {"cell": cell.id, "question": text, "reason": reason, "detail": detail}
            candidates.write(json.dumps(line, ensure_ascii=False) + "\n")

        caller = Caller(
            writes,
            ledger,
            _budget(teacher),
            concurrency=teacher.concurrency,
            template_version=prompts.VERSION,
            progress=progress,
        )
        writer = Writer(
            caller, acceptor, config, prompt, seeds, language, kept.append, note, progress
        )
        progress(step=0, total=config.pairs, note=f"asking {writes.endpoint}")
        account = asyncio.run(_write(writes, writer, wanted))
        spent = caller.spent()
    _require(account, out)
    source = {"teacher": writes.name, "endpoint": writes.endpoint, "model": writes.model}
    write_jsonl(out / "rows.jsonl", _rows(rows, kept))
    write_jsonl(out / "rejected.jsonl", list(rows.rejected()))
    write_jsonl(out / "sources.jsonl", [{"id": p.id, **source, "date": p.date} for p in kept])
    figures = diversity.figures([(p.question, p.answer, p.cell.register) for p in kept])
    report = {
        "wanted": config.pairs,
        "accepted": account.accepted,
        "rejected": dict(account.rejected.most_common()),
        "quotas": [
            {
                "cell": w.cell.id, "register": w.cell.register, "length": w.cell.length,
                "intent": w.cell.intent, "side": w.cell.side, "wanted": w.cell.quota,
                "accepted": w.accepted, "tried": w.tried,
            }
            for w in account.works
        ],
        "shortfall": account.shortfall,
        "twins_lost": account.twins_lost,
        "diversity": figures,
        "teacher": {**source, "date": max(pair.date for pair in kept)},
        "calls": {
            "requests": spent.requests, "prompt_tokens": spent.prompt_tokens,
            "completion_tokens": spent.completion_tokens, "usd": spent.usd,
        },
    }  # fmt: skip
    write_json(out / "report.json", report)
    return {
        "rows": rows.manifest.stats["rows"] + len(kept),
        "rejected": rows.manifest.stats["rejected"],
        "wanted": config.pairs,
        "accepted": account.accepted,
        "dropped": account.rejected.total(),
        "reasons": dict(account.rejected.most_common(3)),
        "teacher": report["teacher"],
        "calls": report["calls"],
    }


async def _write(teacher: Any, writer: Writer, plan: Sequence[Cell]) -> Account:
    async with teacher:
        return await writer.write(plan)


def _require(account: Account, out: Path) -> None:
    if account.accepted:
        return
    reasons = ", ".join(f"{count} {reason}" for reason, count in account.rejected.most_common(5))
    raise UsageError(
        "not one pair of the teacher's was accepted",
        where="teacher",
        got=reasons or "no questions at all",
        hint=MORE_ROOM
        if account.rejected[NO_ROOM]
        else f"read {out / 'candidates.jsonl'}; a stronger model, or looser rules, may help",
    )


def _rows(gathered: Rows, kept: Sequence[Pair]) -> Iterator[Row]:
    yield from gathered.rows()
    for pair in kept:
        row: Row = {
            "id": pair.id,
            "messages": [
                {"role": "user", "content": pair.question},
                {"role": "assistant", "content": pair.answer},
            ],
            "side": pair.cell.side,
        }
        if pair.twin is not None:
            row["twin"] = pair.twin
        yield row


STAGE = Stage("distill", version=4, makes=Pairs, run=run, continues=True)
