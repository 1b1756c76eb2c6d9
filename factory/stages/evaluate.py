"""evaluate: base, base with the persona's prompt, and tuned, side by side on what none was trained on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from factory import plugins
from factory.artifacts import Dataset, Model, Release, Scorecard, write_json, write_jsonl
from factory.base import Base
from factory.contracts import Grader, Progress
from factory.questions import Question
from factory.spec import Evaluate, Rule
from factory.store import Stage, home
from factory.suite.cache import Cache
from factory.suite.material import material

LEDGER = "factory.sqlite"
CACHE = "measured.sqlite"
"""Answers and likelihoods by content, in `$FACTORY_HOME`: nothing is measured twice."""


def versions(graders: Sequence[str]) -> dict[str, int]:
    """Each grader's version; part of the key, so that a new meaning is a new scorecard."""
    return {name: plugins.load("graders", name).version for name in graders}


def run(
    config: Evaluate,
    /,
    *,
    out: Path,
    progress: Progress,
    model: Model,
    data: Dataset,
    base: Base,
    prompt: str,
    rules: tuple[Rule, ...],
    language: str,
    questions: tuple[Question, ...],
    graders: dict[str, int],
    sampling: Mapping[str, float],
    previous: Release | None,
    description: str,
    voice: tuple[str, ...],
    random_seed: int,
    language_check: bool,
) -> dict[str, Any]:
    """Measure every arm and let the gate decide; the verdict is data, never an exception.

    Args:
        config: The persona file's `evaluate` section.
        out: Folder to write to.
        progress: Told how far it is.
        model: The tuned model, as it will be served.
        data: The splits.
        base: The base model.
        prompt: The persona's system prompt.
        rules: The persona's rules.
        language: Two-letter code of the answers.
        questions: Held-out questions.
        graders: Names and versions of the graders.
        sampling: How the model will be served.
        previous: The release that is served now, if it has other weights.
        description: Of the persona; for a judge.
        voice: Its traits; for a judge.
        random_seed: Seed of every draw.
        language_check: Whether the rows had to be in the persona's language (`curate`).
    """
    asked = material(
        questions, data.split("test"), data.split("validation"), data.split("train"),
        language=language, suites=config.suites,
    )  # fmt: skip
    plugged: list[Grader] = [plugins.load("graders", g)(rules, language) for g in graders]
    progress(note="loading torch")
    from factory.model.examine import Local, Persona, examine

    with Cache(home() / CACHE) as cache:
        card, answers, _ = examine(
            config,
            asked,
            Persona(
                prompt, description, voice, rules, language, sampling, random_seed, language_check
            ),
            base=base,
            candidate=Local("tuned", model.weights, model.digest, prompt),
            previous=None if previous is None else Local.of(previous),
            graders=plugged,
            ledger=home() / LEDGER,
            cache=cache,
            progress=progress,
        )
    card["model_digest"] = model.digest
    card["template_sha256"] = base.format.template_sha256
    card["graders"] = graders
    card["counts"] = {
        "questions": len(questions),
        "expected": sum(q.expect is not None for q in questions),
        "rows": len(asked.held_out),
        "suites": len(asked.suites),
    }
    write_jsonl(out / "answers.jsonl", answers)
    write_json(out / "scorecard.json", card)
    return {"verdict": card["verdict"], "summary": card["summary"]}


STAGE = Stage("evaluate", version=5, makes=Scorecard, run=run)
