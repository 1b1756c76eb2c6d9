"""The scorecard as plain data: what reports, releases and other programs read."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from typing import Any

from factory.contracts import Case, Grader, Reply
from factory.gate import Decision, gates, spread
from factory.suite.degeneration import tics
from factory.suite.material import Material
from factory.suite.panel import Panel
from factory.suite.scores import Answers, Instrument, Likelihood, Measured, Scores
from factory.suite.scoring import grade_of

SCHEMA = 2
"""Version of the scorecard's form."""


def scorecard(
    decision: Decision,
    material: Material,
    asked: Sequence[Case],
    measured: Mapping[str, Measured],
    scores: Sequence[Scores],
    instruments: Sequence[Instrument],
    panel: Panel,
    *,
    prompt_tokens: int,
    unprompted: Sequence[str],
) -> dict[str, Any]:
    """Everything but who was compared and with which settings.

    Args:
        decision: The gate's.
        material: What was asked and read.
        asked: The persona's cases that were asked.
        measured: Arm -> what was found.
        scores: Every metric.
        instruments: Whether what was measured with works.
        panel: What scored.
        prompt_tokens: Length of the persona's system prompt.
        unprompted: What the tuned model answers to the persona's cases without it.
    """
    return {
        "version": SCHEMA,
        "verdict": decision.verdict,
        "summary": decision.summary,
        "arms": list(measured),
        "metrics": [metric_entry(one, measured, gates(one.name)) for one in scores],
        "gates": [check.as_dict() for check in decision.checks],
        "instruments": instrument_entries(instruments),
        "strata": strata(scores, list(measured)),
        "style": style_entry(panel, scores, prompt_tokens, unprompted),
        "hold": panel.hold(material, measured),
        "tics": {
            arm: {
                tic.kind: [tic.text, tic.share]
                for tic in tics([found.answers[c.id].greedy.text for c in asked])
            }
            for arm, found in measured.items()
            if arm != "again"
        },
    }


def style_entry(
    panel: Panel, scores: Sequence[Scores], prompt_tokens: int, unprompted: Sequence[str]
) -> dict[str, Any] | None:
    """What the voice is, in plain words, and how much of it a prompt alone gives."""
    if panel.style is None or panel.burrows is None:
        return None
    style = next((one for one in scores if one.name == "style"), None)
    base, prompted, tuned = (
        style.mean(arm) if style else None for arm in ("base", "prompted", "tuned")
    )
    transfer = without = None
    if base is not None and prompted is not None and tuned is not None and prompted > base:
        transfer = (tuned - base) / (prompted - base)
    if base is not None and tuned is not None and tuned > base and unprompted:
        without = (statistics.fmean(panel.style.score(unprompted)) - base) / (tuned - base)
    return {
        "auc": panel.style.auc,
        "features": panel.style.features(12),
        "explained": panel.burrows.explain(6),
        "transfer": transfer,
        "prompt_tokens": prompt_tokens,
        "without_prompt": without,
    }


def answers(
    measured: Mapping[str, Measured], material: Material, asked: Sequence[Case], panel: Panel
) -> list[dict[str, Any]]:
    """Every case of the persona and the suites, with the answers of all arms."""
    given = {arm: found.answers for arm, found in measured.items()}
    highlight = panel.style.weights if panel.style else None
    return [
        side_by_side(case, given, panel.graders, highlight if case.suite == "persona" else None)
        for case in (*asked, *material.suites)
    ]


def metric_entry(scores: Scores, measured: Mapping[str, Measured], gates: bool) -> dict[str, Any]:
    """One metric: its mean by arm, and how far two runs of the same model were apart.

    Perplexity is shown as such, over all tokens of a set; the gate looks at nats per token and row.
    """
    arms = [arm for arm in measured if scores.values.get(arm)]
    values: dict[str, float | None] = {arm: _finite(scores.mean(arm)) for arm in arms}
    unit, note = scores.unit, scores.note
    if scores.name == "perplexity":
        texts = {arm: measured[arm].likelihoods.get("held_out", {}) for arm in arms}
        values = {arm: _finite(perplexity(found)) for arm, found in texts.items()}
        unit = ""
        bits = {arm: bits_per_byte(found) for arm, found in texts.items()}
        note += "; bits per byte: " + ", ".join(
            f"{arm} {value:.3f}" for arm, value in bits.items() if value is not None
        )
    values.pop("again", None)
    count = len(scores.item_means("tuned")) or len(scores.item_means("base"))
    missing = sum(scores.unscored.values())
    if missing:
        note = "; ".join(filter(None, [note, f"{missing} answers could not be scored, left out"]))
    return {
        "name": scores.name, "label": scores.label, "family": scores.family,
        "better": scores.better, "unit": unit, "values": values, "spread": spread(scores), "n": count,
        "note": note, "ungraded": missing, "gates": gates,
    }  # fmt: skip


def perplexity(found: Mapping[str, Likelihood]) -> float | None:
    """Exponential of the mean negative log-likelihood over all tokens of a set."""
    tokens = sum(one.tokens for one in found.values())
    return math.exp(min(sum(one.nll for one in found.values()) / tokens, 700)) if tokens else None


def bits_per_byte(found: Mapping[str, Likelihood]) -> float | None:
    """Negative log-likelihood of a set over its UTF-8 bytes, in bits: compares over tokenizers."""
    size = sum(one.bytes for one in found.values())
    return sum(one.nll for one in found.values()) / math.log(2) / size if size else None


def _finite(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None


def strata(scores: Sequence[Scores], arms: Sequence[str]) -> list[dict[str, Any]]:
    """Metrics by stratum, where a metric has more than one."""
    found = []
    for one in scores:
        kinds = sorted(
            {one.strata[i] for arm in arms for i in one.item_means(arm) if i in one.strata}
        )
        if len(kinds) < 2:
            continue
        for kind in kinds:
            by_arm = {
                arm: [v for i, v in one.item_means(arm).items() if one.strata.get(i) == kind]
                for arm in arms
                if arm != "again"
            }
            found.append(
                {
                    "metric": one.name, "label": one.label, "stratum": kind,
                    "n": max(map(len, by_arm.values())),
                    "values": {a: statistics.fmean(v) for a, v in by_arm.items() if v},
                }
            )  # fmt: skip
    return found


def instrument_entries(instruments: Sequence[Instrument]) -> list[dict[str, Any]]:
    """Instruments as plain data."""
    return [
        {"name": i.name, "rule": i.rule, "passed": i.passed, "seen": i.seen} for i in instruments
    ]


def side_by_side(
    case: Case,
    answers: Mapping[str, Mapping[str, Answers]],
    graders: Sequence[Grader],
    highlight: Any,
) -> dict[str, Any]:
    """One case with the answers of all arms.

    Args:
        case: What was asked.
        answers: Arm -> case -> answers.
        graders: Whose opinions are shown; of the greedy answer.
        highlight: `text -> spans` that are typical of the voice, or None.
    """

    def entry(found: Answers) -> dict[str, Any]:
        reply = found.greedy
        return {
            "text": reply.text,
            "tokens": reply.token_count,
            "finish_reason": reply.finish_reason,
            "grades": _grades(graders, case, reply),
            "samples": [sample.text for sample in found.samples],
            "highlights": highlight(reply.text) if highlight else [],
        }

    kind = {"row": "row"}.get(case.stratum, "question") if case.suite == "persona" else case.suite
    return {
        "id": case.id,
        "kind": kind,
        "stratum": case.stratum,
        "ask": case.messages[-1]["content"],
        "history": list(case.messages[:-1]),
        "expect": list(case.expect) if isinstance(case.expect, tuple | list) else case.expect,
        "reference": case.reference if kind == "row" else None,
        "answers": {
            arm: entry(found[case.id])
            for arm, found in answers.items()
            if arm != "again" and case.id in found
        },
    }


def _grades(graders: Sequence[Grader], case: Case, reply: Reply) -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = {}
    for grader in graders:
        if not grader.applies(case):
            continue
        grade = grade_of(grader, case, reply)
        found[grader.name] = (
            {"value": grade.value, "reason": grade.reason}
            if grade
            else {"value": None, "reason": "not graded"}
        )
    return found
