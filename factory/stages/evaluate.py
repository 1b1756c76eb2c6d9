"""evaluate: base, base with the persona's prompt, and tuned, side by side on what none was trained on."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from factory import plugins
from factory.artifacts import Dataset, Model, Row, Scorecard, write_json, write_jsonl
from factory.base import Base
from factory.chat import ChatFormat
from factory.contracts import Case, Grader, GradingError, Message, NumberExpect, Progress, Reply
from factory.examples import examples
from factory.gate import ARMS, Arm, Metric, gate
from factory.persona import inject
from factory.rules import count_words
from factory.spec import Evaluate, MaxWords, NumberExpected, Question, Rule
from factory.store import Stage

ANSWERED = 20
"""Held-out rows are answered too until this many prompts are reached."""


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
) -> dict[str, Any]:
    """Measure the three arms and let the gate decide; the verdict is data, never an exception."""
    test = data.split("test")
    cases = _cases(questions, test)
    loaded_graders: list[Grader] = [plugins.load("graders", g)(rules, language) for g in graders]

    progress(note="loading torch")
    from factory.model.device import load_model, scoring_dtype
    from factory.model.score import generate, reply, token_log_likelihoods

    dtype = scoring_dtype(base.parameters)
    prompts = {"base": "", "prompted": prompt, "tuned": prompt}
    held_out = {arm: examples(base, test, prompts[arm]) for arm in ARMS}
    trained = examples(base, data.split("train"), prompt)
    total = len(ARMS) * len(cases)
    done = 0
    perplexity: dict[Arm, float | None] = {}
    trained_nll: dict[Arm, float] = {}
    held_nll: dict[Arm, list[float]] = {}
    replies: dict[Arm, list[Reply]] = {}
    for folder, arms in ((base.folder, ARMS[:2]), (model.weights, ARMS[2:])):
        loaded = load_model(folder, dtype)
        for arm in arms:
            progress(step=done, total=total, note=f"{arm}: perplexity")
            scored = token_log_likelihoods(loaded, held_out[arm])
            held_nll[arm] = [-s.total / s.tokens for s in scored]
            tokens = sum(s.tokens for s in scored)
            mean = -sum(s.total for s in scored) / tokens if tokens else None
            perplexity[arm] = math.exp(mean) if mean is not None else None
            if arm != "base" and trained:
                seen = token_log_likelihoods(loaded, trained)
                trained_nll[arm] = -sum(s.total for s in seen) / sum(s.tokens for s in seen)

            def tick(finished: int, arm: Arm = arm, before: int = done) -> None:
                progress(step=before + finished, total=total, note=f"{arm}: answering")

            found = generate(
                loaded,
                [base.format.prompt_ids(inject(prompts[arm], case.messages)) for case in cases],
                stop_ids=base.stop_ids,
                max_new_tokens=config.max_new_tokens,
                tick=tick,
            )
            replies[arm] = [reply(g, _decoder(base.format)) for g in found]
            done += len(cases)
        del loaded

    grades = {
        arm: [_grade(loaded_graders, case, r) for case, r in zip(cases, replies[arm], strict=True)]
        for arm in ARMS
    }
    metrics = [
        Metric("perplexity", "Held-out perplexity", "lower", perplexity, len(test),
               note="of the held-out answers' tokens alone; same rows, same template"),
        *(_graded(grader, grades) for grader in loaded_graders),
        _length(replies, rules),
        _stops(replies),
        _gap(perplexity, trained_nll, len(test)),
    ]  # fmt: skip
    verdict, summary, gates = gate(config, metrics, held_nll)
    write_jsonl(
        out / "answers.jsonl",
        [_side_by_side(i, case, questions, test, replies, grades) for i, case in enumerate(cases)],
    )
    write_json(
        out / "scorecard.json",
        {
            "version": 1,
            "verdict": verdict,
            "summary": summary,
            "arms": list(ARMS),
            "metrics": [metric.as_dict() for metric in metrics],
            "gates": gates,
            "counts": {
                "questions": len(questions),
                "expected": sum(q.expect is not None for q in questions),
                "rows": len(test),
            },
            "graders": graders,
            "model_digest": model.digest,
            "template_sha256": base.format.template_sha256,
        },
    )
    return {"verdict": verdict, "summary": summary}


def _cases(questions: Sequence[Question], test: Sequence[Row]) -> list[Case]:
    asked = [
        Case(f"question {i}", [{"role": "user", "content": q.ask}], _expected(q))
        for i, q in enumerate(questions, 1)
    ]
    rows = test[: max(0, ANSWERED - len(asked))]
    return [*asked, *(Case(row["id"], row["messages"][:-1]) for row in rows)]


def _expected(question: Question) -> Sequence[str] | NumberExpect | None:
    match question.expect:
        case NumberExpected(number=number, tolerance=tolerance):
            return {"number": number, "tolerance": tolerance}
        case str(text):
            return (text,)
        case other:
            return other


def _decoder(format: ChatFormat) -> Any:
    return lambda ids: format.tokenizer.decode(ids, skip_special_tokens=True)


def _grade(graders: Sequence[Grader], case: Case, reply: Reply) -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = {}
    for grader in graders:
        if not grader.applies(case):
            continue
        try:
            grade = grader.grade(case, reply)
            found[grader.name] = {"value": grade.value, "reason": grade.reason}
        except GradingError as error:  # ungraded is not zero (law 8)
            found[grader.name] = {"value": None, "reason": f"not graded: {error}"}
    return found


def _graded(grader: Grader, grades: dict[Arm, list[dict[str, dict[str, Any]]]]) -> Metric:
    values: dict[Arm, float | None] = {}
    ungraded = count = 0
    for arm in ARMS:
        given = [g[grader.name]["value"] for g in grades[arm] if grader.name in g]
        known = [v for v in given if v is not None]
        values[arm] = statistics.fmean(known) if known else None
        ungraded += len(given) - len(known)
        count = len(given)
    note = f"{ungraded} answers could not be graded and are left out" if ungraded else ""
    label = {"accuracy": "Accuracy", "rules": "Rules kept"}.get(grader.name, grader.name)
    return Metric(grader.name, label, "higher", values, count, "share", note, ungraded)


def _length(replies: dict[Arm, list[Reply]], rules: Sequence[Rule]) -> Metric:
    values: dict[Arm, float | None] = {
        arm: statistics.fmean(count_words(r.text) for r in replies[arm]) if replies[arm] else None
        for arm in ARMS
    }
    brief = any(isinstance(rule, MaxWords) for rule in rules)
    return Metric(
        "length", "Mean answer length", "lower" if brief else "none", values,
        len(replies["tuned"]), "words",
    )  # fmt: skip


def _stops(replies: dict[Arm, list[Reply]]) -> Metric:
    values: dict[Arm, float | None] = {
        arm: statistics.fmean(r.finish_reason == "stop" for r in replies[arm])
        if replies[arm]
        else None
        for arm in ARMS
    }
    return Metric("stop_rate", "Stops by itself", "higher", values, len(replies["tuned"]), "share")


def _gap(perplexity: dict[Arm, float | None], trained: dict[Arm, float], rows: int) -> Metric:
    """Held-out minus training loss; what tuning added to the gap is overfitting."""
    values: dict[Arm, float | None] = {"base": None}
    for arm in ARMS[1:]:
        held = perplexity[arm]
        values[arm] = math.log(held) - trained[arm] if held and arm in trained else None
    before, after = values["prompted"], values["tuned"]
    note = ""
    if before is not None and after is not None:
        added = after - before
        note = f"tuning added {added:.2f} nats per token"
        if added > 0.3:
            note += (
                ": part of the training rows was memorised (above 0.3); the held-out rows decide"
            )
    return Metric("overfit", "Train to held-out gap", "none", values, rows, "nats per token", note)


def _side_by_side(
    index: int,
    case: Case,
    questions: Sequence[Question],
    test: Sequence[Row],
    replies: dict[Arm, list[Reply]],
    grades: dict[Arm, list[dict[str, dict[str, Any]]]],
) -> dict[str, Any]:
    asked = index < len(questions)
    history: Sequence[Message] = case.messages[:-1]
    return {
        "id": case.id,
        "kind": "question" if asked else "row",
        "ask": case.messages[-1]["content"],
        "history": list(history),
        "expect": list(case.expect) if isinstance(case.expect, tuple | list) else case.expect,
        "reference": None if asked else test[index - len(questions)]["messages"][-1]["content"],
        "answers": {
            arm: {
                "text": replies[arm][index].text,
                "tokens": replies[arm][index].token_count,
                "finish_reason": replies[arm][index].finish_reason,
                "grades": grades[arm][index],
            }
            for arm in ARMS
        },
    }


STAGE = Stage("evaluate", version=1, makes=Scorecard, run=run)
