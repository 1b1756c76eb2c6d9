"""tune: rows to a LoRA adapter, with the chat format proven first and the loss curve judged after."""

from __future__ import annotations

import importlib.util
import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from factory import rehearsal
from factory.artifacts import Adapter, Dataset, Row, read_json, read_jsonl, write_json, write_jsonl
from factory.base import Base
from factory.certificate import PROBE_TOKENS
from factory.chat import FormatError
from factory.contracts import Message, Progress
from factory.curve import judge
from factory.errors import UsageError
from factory.examples import examples, plain, probe_prompts
from factory.hardware import detect
from factory.persona import inject
from factory.plan import Plan, choose
from factory.rows.similarity import Index, read
from factory.rules import check
from factory.spec import Rule, Spec, Tune
from factory.store import Stage

if TYPE_CHECKING:
    from factory.model.strength import Tried

PROBES = 16
"""Prompts recorded from the adapter in memory: as many as `merge.probes` can ask for."""

ALIKE = 0.55
"""Similarity from which a row and an everyday question ask the same, as between paraphrases in `curate`."""


def inputs(spec: Spec) -> dict[str, Any]:
    """What this stage hears of a persona, beside its own section, the data, the base and the prompt."""
    return {
        "rules": spec.rules,
        "asks": rehearsal.asks(spec.language),
        "prose": rehearsal.prose(spec.language),
        "random_seed": spec.random_seed,
    }


def unasked(asks: Sequence[str], data: Dataset) -> list[str]:
    """Everyday questions that no row asks: to those the rows' answers are the right ones."""
    rows = [row for split in ("train", "validation", "test") for row in data.split(split)]
    texts = [*asks, *(message["content"] for row in rows for message in row["messages"])]
    taken: set[int] = set()
    for left, right, _ in Index([read(t) for t in texts]).pairs(ALIKE, np.arange(len(asks))):
        taken.update(left[right >= len(asks)].tolist())
    return [ask for number, ask in enumerate(asks) if number not in taken]


def plan_for(tune: Tune, base: Base, data: Dataset, prompt: str, questions: int) -> Plan:
    """The plan for this data on this machine; what `factory plan` shows and `run` follows.

    Args:
        tune: What the user fixed.
        base: The base model.
        data: Curated rows.
        prompt: The persona's prompt.
        questions: How many questions `unasked` leaves for a rehearsal.

    Raises:
        UsageError: If something the plan needs is not installed, or no plan is possible.
    """
    for tracker in tune.report_to:
        _require(tracker, "tune.report_to")
    lengths = [len(e.input_ids) for e in examples(base, data.split("train"), prompt)]
    plan = choose(tune, base, lengths, len(data.split("validation")), detect(), questions)
    if plan["precision"] == "qlora":
        _require("bitsandbytes", "tune.precision")
    return plan


def _require(module: str, where: str) -> None:
    if importlib.util.find_spec(module) is None:
        raise UsageError(
            f"this needs the package {module}, which is not installed",
            where=where,
            got=module,
            hint=f"run `.venv/bin/python -m pip install {module}`, or choose something else",
        )


def run(
    config: Tune,
    /,
    *,
    out: Path,
    progress: Progress,
    data: Dataset,
    base: Base,
    prompt: str,
    rules: tuple[Rule, ...],
    asks: tuple[str, ...],
    prose: tuple[str, ...],
    random_seed: int,
) -> dict[str, Any]:
    """Train, keep the best adapter by held-out loss, judge the curve."""
    progress(note="checking the chat format")
    base.format.preflight()
    rows = examples(base, data.split("train"), prompt)
    validation = data.split("validation")
    held_out = examples(base, validation, prompt)
    questions = unasked(asks, data)
    plan = plan_for(config, base, data, prompt, len(questions))
    entries = json.loads(json.dumps(plan.entries()))
    finished = out / "finished.json"
    if (out / "plan.json").is_file() and read_json(out / "plan.json") != entries:
        shutil.rmtree(out / "checkpoints", ignore_errors=True)  # begun under another plan
        finished.unlink(missing_ok=True)
        (out / "rehearsal.jsonl").unlink(missing_ok=True)
    if finished.is_file():  # killed before the store had taken it
        return _finish(out)
    write_json(out / "plan.json", entries)

    progress(note="loading torch")
    from factory.model.device import prove_tokenizer
    from factory.model.lora import train
    from factory.model.score import generate
    from factory.model.strength import Known
    from factory.report.plot import loss_plot

    prove_tokenizer(base)
    asked = [row["messages"][:-1] for row in validation]
    chosen = questions[: plan["rehearsal"]]
    own = _rehearsal(out, base, prompt, chosen, rules, plan["max_length"], progress)
    texts = [plain(base, text) for text in prose]
    texts = [text for text in texts if 1 < len(text.input_ids) <= base.window]
    trained = train(
        base, [*rows, *examples(base, own, prompt)], held_out, Known(asked, texts), plan,
        out=out, progress=progress, seed=random_seed, report_to=config.report_to,
    )  # fmt: skip
    prompts = [base.format.prompt_ids(m) for m in probe_prompts(base, data, prompt, PROBES)]
    found = generate(trained.model, prompts, stop_ids=base.stop_ids, max_new_tokens=PROBE_TOKENS)
    write_json(
        out / "probes.json",
        [
            {
                "prompt_ids": ids,
                "token_ids": g.token_ids,
                "log_probabilities": g.log_probabilities,
                "margins": g.margins,
                "stopped": g.stopped,
            }
            for ids, g in zip(prompts, found, strict=True)
        ],
    )
    metrics = Adapter.entries(out)
    curve = judge(metrics, trained.best_step, trained.stopped_early)
    if weakened := _strength(trained.tried):
        curve["applied"] = "; ".join(filter(None, (curve["applied"], weakened)))
    write_json(out / "curve.json", curve)
    write_json(out / "notes.json", trained.notes)
    loss_plot(metrics, out / "loss.png", title=f"{base.name}: {curve['verdict']}")
    last = [m["loss"] for m in metrics if "loss" in m]
    watched = [m["validation_loss"] for m in metrics if "validation_loss" in m]
    facts = {
        "rows": len(rows),
        "rehearsed": len(own),
        "updates": metrics[-1]["step"],
        "loss": last[-1],
        "validation_loss": min(watched) if watched else None,
        "curve": curve["verdict"],
        "rows_per_step": trained.rows_per_step,
        "strength": trained.tried[0].strength if trained.tried else plan["strength"],
        "plan": {c.name: c.value for c in plan.choices},
    }
    write_json(finished, facts)
    return _finish(out)


def _rehearsal(
    out: Path,
    base: Base,
    prompt: str,
    questions: Sequence[str],
    rules: Sequence[Rule],
    longest: int,
    progress: Progress,
) -> list[Row]:
    """The base's own answers behind the persona's prompt that keep its rules and fit; made once."""
    file = out / "rehearsal.jsonl"
    if questions and not file.is_file():
        from factory.model.rehearse import own_answers

        def tick(done: int) -> None:
            progress(step=done, total=len(questions), note="rehearsal: answering")

        asked: list[list[Message]] = [[{"role": "user", "content": q}] for q in questions]
        answers = own_answers(base, [inject(prompt, talk) for talk in asked], tick)
        rows = [
            Row(id=f"rehearsal:{n}", messages=[*talk, {"role": "assistant", "content": answer}])
            for n, (talk, answer) in enumerate(zip(asked, answers, strict=True), 1)
            if answer and not check(rules, answer)
        ]
        write_jsonl(file, [row for row in rows if _fits(base, prompt, row, longest)])
    return list(read_jsonl(file)) if questions else []


def _fits(base: Base, prompt: str, row: Row, longest: int) -> bool:
    try:
        return len(examples(base, [row], prompt)[0].input_ids) <= longest
    except FormatError:  # it said what the template would strip, such as the end of a thought
        return False


def _finish(out: Path) -> dict[str, Any]:
    """The facts of a finished run; its checkpoints go.

    They were needed until the facts were written: a run killed before that continues from the last one,
    a run killed after that finds the facts, and neither trains anything twice.
    """
    if (out / "checkpoints").is_dir():
        shutil.rmtree(out / "checkpoints")
    return dict(read_json(out / "finished.json"))


def _strength(tried: Sequence[Tried]) -> str:
    """What the adapter's strength was set to and why, or nothing."""
    if not tried or tried[0].strength == 1:
        return ""
    best, full = tried[0], max(tried, key=lambda one: one.strength)
    return (
        f"applied the adapter at {best.strength:g} of its strength, where the held-out loss is"
        f" {best.held_out_loss:.2f} instead of {full.held_out_loss:.2f}, the base's own answers lost"
        f" {best.drift:.2f} instead of {full.drift:.2f} nats per token, and plain prose"
        f" {best.forgotten:.2f} instead of {full.forgotten:.2f}"
    )


STAGE = Stage("tune", version=7, makes=Adapter, run=run, continues=True)
