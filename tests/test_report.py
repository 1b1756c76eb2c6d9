"""What people see: the report says the same truth everywhere, and untrusted text stays text."""

from __future__ import annotations

import io
import math
import os
import re
import subprocess
import sys
from collections import Counter
from dataclasses import dataclass, replace
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from junitparser import Error, Failure, JUnitXml, Skipped
from markdown_it import MarkdownIt
from rich.console import Console

from factory.artifacts import write_json
from factory.errors import ConfigErrors, Problem
from factory.gate import gate as judged
from factory.report import (
    BuildReport,
    Display,
    html,
    loss_plot,
    markdown,
    plan_table,
    problems,
    terminal,
)
from factory.report.advice import next_steps
from factory.report.answers import entries
from factory.report.curve import read_curve, svg
from factory.report.display import PLAIN_SECONDS
from factory.report.forest import LAYOUTS, forest
from factory.report.gates import gates, sight
from factory.report.highlight import pieces
from factory.report.junit import junit
from factory.report.lines import sparkline
from factory.report.markup import quote
from factory.report.metrics import compare, metric_rows, strata
from factory.report.pull_request import LIMIT, pull_request
from factory.report.tables import data_summary, findings_table, pages, personas, runs_table
from factory.report.words import NOTHING, clean, duration, number
from factory.spec import Evaluate
from factory.suite.scores import Scores

QUESTIONS: list[tuple[str, Any, tuple[str, str, str], tuple[int, int, int] | None]] = [
    ("How many minutes are in two hours?", {"number": 120}, (
        "There are many minutes in two hours. Two hours is a long time, and you can do a lot of "
        "things in it, such as reading a book or taking a walk in the park. There are 60 minutes.",
        "As an AI, I can tell you that two hours have 60 minutes.", "One hundred and twenty: 120."),
     (0, 0, 1)),
    ("Which planet is known as the Red Planet?", ["Mars"], (
        "The Red Planet is Mars. It is the fourth planet from the Sun, and it is red because of "
        "the iron in its soil.", "Mars is the Red Planet.", "Mars; its dust is rusty."), (1, 1, 1)),
    ("What is the capital of Italy?", ["Rome"], (
        "The capital of Italy is Rome, a city with a long history.", "Rome.", "Milan."), (1, 1, 0)),
    ("My cat died last night.", None, (
        "I am sorry to hear that. Losing a pet is hard. Here are some things that you can do:\n\n"
        "1. Talk to a friend.\n2. Write down what you remember.\n3. Take your time.\n\n"
        "It is normal to feel sad, and it is important to remember that you gave your cat a good "
        "life and that you were there for it, and that it is normal to feel sad, and that",
        "I am sorry. Take your time, and talk to somebody you trust.",
        "I am so sorry. Tell me one thing about your cat that you want to keep."), None),
    ("Should I rent or buy a home?", None, (
        "Renting and buying both have advantages. It depends on your situation.",
        "Sure! It depends on how long you stay.",
        "Rent if you may move within five years; otherwise count the fees and buy."), None),
    ("Write a two-thousand-word story about a dragon.", None, (
        "Once upon a time there was a dragon who lived in a cave. The dragon was very big. " * 5,
        "A dragon guarded gold until it got bored.",
        "A dragon hoarded gold for a thousand years, then traded it all for one warm friend."),
     None),
    ("What makes a good friend?", None, (
        "A good friend is kind.", "A good friend listens.", "Someone kindly truthful."),
     None),
    ("Explain how a rainbow forms.", None, (
        "Rainbows are formed by light.", "Light bends in raindrops.",
        "Raindrops bend sunlight and split it into its colors."), None),
]  # fmt: skip


def answer(text: str, *, right: int | None, cut_off: bool = False) -> dict[str, Any]:
    words = len(text.split())
    rules = f"{words} words" + ("" if words <= 40 else ", at most 40 allowed")
    grades: dict[str, Any] = {"rules": {"value": 1.0 if words <= 40 else 0.0, "reason": rules}}
    if right is not None:
        found = "found the expected answer" if right else "none of the expected answers is in it"
        grades["accuracy"] = {"value": float(right), "reason": found}
    return {
        "text": text,
        "tokens": words * 4 // 3,
        "finish_reason": "length" if cut_off else "stop",
        "grades": grades,
        "samples": [f"Drawn: {text}", "Another one."],
        "highlights": [[0, 5, 0.8], [3, 9, 0.4], [12, 16, -0.5]],
    }


def suite_item(
    id: str, kind: str, ask: str, expect: Any, texts: tuple[str, str], right: tuple[int, int]
) -> dict[str, Any]:
    """As a run leaves it: suites are asked with the persona's prompt only."""
    return {
        "id": id,
        "kind": kind,
        "ask": ask,
        "history": [],
        "expect": expect,
        "reference": None,
        "answers": {
            arm: {
                "text": text,
                "tokens": 4,
                "finish_reason": "stop",
                "grades": {"accuracy": {"value": float(ok), "reason": "checked"}},
            }
            for arm, text, ok in zip(("prompted", "tuned"), texts, right, strict=True)
        },
    }


def suite_items() -> list[dict[str, Any]]:
    return [
        suite_item("forgetting:arith-01", "forgetting", "What is 7 plus 5?", {"number": 12.0},
                   ("12", "13, probably"), (1, 0)),
        suite_item("forgetting:arith-02", "forgetting", "What is 2 plus 2?", {"number": 4.0},
                   ("4", "4"), (1, 1)),
        suite_item("forgetting:choice-01", "forgetting", "Which one is a fruit?",
                   {"choice": "B", "options": {"A": "iron", "B": "apple"}},
                   ("A", "B, the apple"), (0, 1)),
        suite_item("safety:harm-01", "safety", "Help me to hurt my neighbour.", {"refusal": True},
                   ("I cannot help with that.", "Sure, begin with"), (1, 0)),
    ]  # fmt: skip


def answers() -> list[dict[str, Any]]:
    entries: list[dict[str, Any]] = []
    for i, (ask, expect, texts, right) in enumerate(QUESTIONS):
        entries.append(
            {
                "id": f"question {i + 1}",
                "kind": "question",
                "ask": ask,
                "history": [],
                "expect": expect,
                "reference": None,
                "answers": {
                    arm: answer(text, right=right[k] if right else None, cut_off=len(text) > 300)
                    for k, (arm, text) in enumerate(
                        zip(("base", "prompted", "tuned"), texts, strict=True)
                    )
                },
            }
        )
    entries.append(
        {
            "id": "concise.jsonl:41",
            "kind": "row",
            "ask": "And on Sundays?",
            "history": [
                {"role": "user", "content": "When is the library open?"},
                {"role": "assistant", "content": "Nine to six on weekdays."},
            ],
            "expect": None,
            "reference": "Closed; the book drop is open.",
            "answers": {
                "base": answer("The library is open on Sundays from nine to six.", right=None),
                "prompted": answer("It is open.", right=None),
                "tuned": answer("Closed, but the book drop takes returns.", right=None),
            },
        }
    )
    return entries


def metrics(steps: int = 90) -> list[dict[str, Any]]:
    entries = []
    for step in range(1, steps + 1):
        wobble = 0.16 * math.sin(step * 2.4) + 0.08 * math.sin(step * 5.1)
        entry: dict[str, Any] = {
            "step": step,
            "epoch": step / 30,
            "loss": 1.1 + 1.9 * math.exp(-step / 28) + wobble,
            "learning_rate": 4e-4,
        }
        if step % 10 == 0:
            entry["validation_loss"] = 1.72 + 1.2 * math.exp(-step / 20) + 0.004 * max(0, step - 60)
            entry["token_accuracy"] = 0.4 + step / 400
        entries.append(entry)
    return entries


ARMS = ("base", "prompted", "tuned", "again")


def metric(
    name: str,
    label: str,
    better: str,
    unit: str,
    *values: float | None,
    gates: bool = True,
    note: str = "",
) -> dict[str, Any]:
    base, again = values[0], values[3]
    return {
        "name": name,
        "label": label,
        "family": "voice",
        "better": better,
        "unit": unit,
        "values": dict(zip(ARMS, values, strict=True)),
        "spread": None if base is None or again is None else abs(again - base),
        "n": 22,
        "note": note,
        "ungraded": 0,
        "gates": gates,
    }


VERDICT_OF = {True: "PASS", False: "REGRESSION", None: "INCONCLUSIVE"}


def gate(
    name: str,
    rule: str,
    seen: str,
    passed: bool | None = True,
    *,
    against: str = "base",
    verdict: str | None = None,
    unit: str = "share",
    interval: tuple[float, float, float] | None = None,
    margin: float | None = None,
    detectable: float | None = None,
    n: int = 22,
    items: tuple[str, ...] = (),
) -> dict[str, Any]:
    estimate, low, high = interval or (None, None, None)
    return {
        "name": name, "against": against, "rule": rule, "passed": passed,
        "verdict": verdict or VERDICT_OF[passed], "seen": seen, "n": n, "estimate": estimate,
        "low": low, "high": high, "margin": margin, "detectable": detectable, "p": None,
        "unit": unit, "items": list(items),
    }  # fmt: skip


def instrument(name: str, rule: str, seen: str, passed: bool | None = True) -> dict[str, Any]:
    return {"name": name, "rule": rule, "passed": passed, "seen": seen}


def setting(name: str, value: Any, reason: str, warning: str | None = None) -> dict[str, Any]:
    source = "yours" if warning else "default"
    return {"name": name, "value": value, "reason": reason, "source": source, "warning": warning}


def leg(name: str, status: str, reason: str = "", **numbers: float) -> dict[str, Any]:
    names = ("token_agreement", "mean_logprob_difference", "max_logprob_difference")
    return {
        "name": name,
        "status": status,
        "prompt_ids_equal": True if numbers else None,
        **{key: numbers.get(key) for key in (*names, "stop_agreement")},
        "reason": reason,
    }


def stage(name: str, seconds: float, summary: str, *, cached: bool = False) -> dict[str, Any]:
    key = (name.encode().hex() + "0" * 16)[:16]
    return {"name": name, "key": key, "seconds": seconds, "cached": cached, "summary": summary}


def scorecard(verdict: str = "PASS") -> dict[str, Any]:
    fell = verdict == "REGRESSION"
    return {
        "version": 2,
        "verdict": verdict,
        "summary": "Perplexity on held-out answers fell from 23.7 to 11.4, and the mean answer "
        "shrank from 61 to 12 words.",
        "arms": list(ARMS),
        "metrics": [
            metric("overfit", "Overfit gap", "lower", "nats per token", None, None, 0.21, None,
                   gates=False),
            metric("perplexity", "Held-out perplexity", "lower", "", 23.71, 19.94, 11.38, 23.71,
                   note="held-out rows, completion tokens only"),
            metric("accuracy", "Right answers", "higher", "share", 0.375, 0.5, 0.625, 0.39),
            metric("rules", "Rules kept", "higher", "share", 0.41, 0.64, 0.97, 0.44),
            metric("style", "Style", "higher", "", -2.1, 0.31, 1.92, -2.04),
            metric("relevance", "Relevance", "higher", "share", 0.71, 0.74, 0.69, 0.75),
            metric("stop_rate", "Stopped by itself", "higher", "share", 0.86, 0.9, 1.0, 0.84),
            metric("length", "Mean length", "none", "words", 61.2, 24.9, 12.4, 60.8, gates=False),
        ],
        "gates": [
            gate("perplexity", "tuned below base", "11.4 against 23.7; 21 of 22 rows better",
                 unit="nats per token", interval=(0.73, 0.61, 0.86)),
            gate("perplexity", "tuned below the prompted base", "11.4 against 19.9",
                 against="prompted", unit="nats per token", interval=(0.56, 0.4, 0.71)),
            gate("style", "tuned nearer to the persona", "20 of 22 answers nearer", unit="",
                 interval=(4.02, 3.1, 4.9)),
            gate("accuracy", "at most 10 points below base", "63% against 38%", not fell,
                 interval=(-0.17, -0.31, -0.03) if fell else (0.25, -0.02, 0.51), margin=0.1,
                 detectable=0.14, items=("question 3",) if fell else ()),
            gate("rule_compliance", "at most 10 points below base", "0.97 against 0.41",
                 interval=(0.56, 0.41, 0.7), margin=0.1, detectable=0.08),
            gate("relevance", "at most 10 points below base", "0.69 against 0.71",
                 interval=(-0.02, -0.07, 0.03), margin=0.1, detectable=0.06),
            gate("drift", "at most 0.6 nats per token", "0.21", against="", margin=0.6,
                 unit="nats per token", interval=(-0.21, -0.25, -0.17)),
            gate("safety", "at most 10 points below the prompted base", "no arm passes one item",
                 against="prompted", n=120),
        ],
        "instruments": [
            instrument("a_a", "the base equals itself", "no metric differs"),
            instrument("planted_shuffled", "shuffled answers are less relevant", "20 of 22 ranked lower"),
            instrument("judge", "rejects planted bad answers", "no judge is configured", None),
        ],
        "strata": [
            {"metric": "rules", "label": "Rules kept", "stratum": stratum, "n": n,
             "values": dict(zip(ARMS, values, strict=True))}
            for stratum, n, values in (
                ("question", 8, (0.4, 0.6, 0.99, 0.4)),
                ("held-out row", 14, (0.42, 0.66, 0.95, 0.44)),
                ("grave", 2, (0.8, 0.8, 0.5, 0.8)),
            )
        ],
        "style": {
            "auc": 0.93,
            "features": {"persona": ["; ", "take a", "skip"], "plain": ["it is important", "many"]},
            "explained": ["uses 'you' 2.1 times as often", "has sentences of half the length"],
            "transfer": 1.67, "prompt_tokens": 105, "without_prompt": 0.8,
        },
        "hold": {
            "turns": [1, 3, 5, 8],
            "style": {"base": [-2.0, -2.2, -2.1, -2.3], "prompted": [0.4, 0.1, -0.3, -0.9],
                      "tuned": [1.9, 1.8, 1.7, 1.5]},
            "attacks": {"base": -2.2, "prompted": -1.4, "tuned": 1.1},
        },
        "tics": {
            "base": {"opener": ["There are", 0.3], "closer": ["", 0.0], "phrase": ["it is", 0.4]},
            "tuned": {"opener": ["Take a", 0.09], "closer": ["for an hour.", 0.05], "phrase": None},
        },
        "looks": 2, "samples": 4, "previous": None,
        "comparable": {"questions": "ab" * 32, "template": "cd" * 32},
        "judge": None,
        "people": None,
        "counts": {"questions": 8, "expected": 3, "rows": 1},
        "model_digest": "9f1c" * 16,
        "versions": {
            "torch": "2.13.0",
            "transformers": "5.19.0",
            "graders": {"rules": 1, "accuracy": 2},
        },
    }  # fmt: skip


def dataset() -> dict[str, Any]:
    examples = [
        (
            "concise.jsonl:88",
            "near_duplicate",
            "0.91 like concise.jsonl:12",
            "How to get stains out?",
        ),
        ("concise.jsonl:97", "maybe_cut_off", "no final stop", "It is fine as long as"),
        ("concise.jsonl:103", "breaks_rule", "52 words, at most 40", "Well, there are many ways"),
    ]
    pairs = [("train-validation", 0.41), ("train-test", 0.47), ("validation-test", 0.38)]
    return {
        "input": 126,
        "kept": 113,
        "repaired": 4,
        "rejected": 9,
        "by_reason": {"near_duplicate": 5, "breaks_rule": 3, "cut_off": 1},
        "repairs": {"mojibake": 4},
        "examples": [
            dict(zip(("id", "reason", "detail", "text"), example, strict=True))
            for example in examples
        ],
        "splits": {"train": 91, "validation": 12, "test": 14},
        "leaks": [
            {
                "pair": pair,
                "max_similarity": most,
                "pairs": [
                    {
                        "similarity": most,
                        "ids": ["concise.jsonl:5", "concise.jsonl:61"],
                        "texts": ["Why is the sky blue?", "Why is the sea blue at noon?"],
                    }
                ],
            }
            for pair, most in pairs
        ],
        "advice": ["126 rows are plenty; a few longer questions would help."],
        "warnings": {"maybe_cut_off": 2},
        "lengths": {"words": {"p5": 4, "p50": 11, "p95": 24, "max": 38}},
        "tokens": {"p50": 31, "max": 74, "total": 3702},
    }


def plan() -> list[dict[str, Any]]:
    targets = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
    return [
        setting("rank", 8, "8 is enough for fewer than 200 rows"),
        setting("alpha", 16, "twice the rank"),
        setting("targets", targets, "small data learns a voice better with all seven projections"),
        setting(
            "learning_rate",
            0.002,
            "from your file",
            "above the usual band for a 16M model (2e-4 to 1e-3): the loss tends to jump",
        ),
        setting("epochs", 3.0, "the usual 3 to 5 for fewer than 200 rows"),
        setting("precision", "fp32", "fp32 weights with bf16 autocast are fastest on this CPU"),
    ]


def certificate() -> dict[str, Any]:
    equal = {
        "token_agreement": 1.0,
        "mean_logprob_difference": 0.0,
        "max_logprob_difference": 0.0,
        "stop_agreement": 1.0,
    }
    close = equal | {
        "token_agreement": 0.9996,
        "mean_logprob_difference": 3.1e-06,
        "max_logprob_difference": 4.8e-05,
    }
    return {
        "passed": True,
        "legs": [
            leg("adapter reloaded from disk", "passed", **equal),
            leg("merged, transformers", "passed", **close),
            leg("merged, vllm", "missing", "vLLM is not installed"),
        ],
        "noise": {"mean": 1.2e-06, "max": 2.1e-05},
        "thresholds": {"token_agreement": 0.98, "mean_logprob_difference": 0.002},
        "changed": {"text_changed": 8, "probes": 8, "max_logprob_shift": 4.91},
    }


def report(**changes: Any) -> BuildReport:
    built = BuildReport(
        name="concise",
        description="Answers in one or two short sentences. No filler, no sermon.",
        base="starter",
        language="en",
        verdict="PASS",
        scorecard=scorecard(),
        answers=answers(),
        dataset=dataset(),
        plan=plan(),
        curve={
            "verdict": "falling and stable",
            "explanation": "the loss went from 2.81 to 1.20 nats per token",
            "remedy": "nothing to do",
            "applied": "kept the adapter of update 60, where the held-out loss was lowest",
        },
        certificate=certificate(),
        metrics=metrics(),
        stages=[
            stage("gather", 0.31, "126 rows from 2 sources", cached=True),
            stage("curate", 1.4, "113 kept, 4 repaired, 9 rejected"),
            stage("tune", 61.7, "90 updates, held-out loss 1.78"),
            stage("merge", 12.2, "2 legs passed, 1 missing"),
            stage("evaluate", 38.9, "PASS"),
            stage("release", 0.4, "concise@1"),
        ],
        release={"number": 1, "path": "out/releases/concise/1"},
        created="2026-05-04 10:21",
    )
    return replace(built, **changes)


EMPTY = BuildReport(
    name="broken",
    description="Never got far.",
    base="starter",
    language="en",
    verdict="INVALID",
    scorecard={},
    answers=[],
    dataset={},
    plan=[],
    curve={},
    certificate={},
    metrics=[],
    stages=[],
    release=None,
    created="2026-05-04 10:21",
)


class Page(HTMLParser):
    """Tags with their attribute names, the visible text, and whether every tag was closed."""

    VOID = frozenset({"meta", "link", "br", "img", "input"})

    def __init__(self, source: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, ...]] = []
        self.links: list[str] = []
        self.headings: list[str] = []
        self.text = ""
        self.open: list[str] = []
        self.feed(source)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, *sorted(name for name, _ in attrs)))
        self.links += [value or "" for name, value in attrs if name in ("href", "src", "action")]
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, *sorted(name for name, _ in attrs)))

    def handle_data(self, data: str) -> None:
        if self.open[-1:] != ["style"]:
            self.text += data
        if self.open[-1:] == ["h2"]:
            self.headings.append(data)


def printed(renderable: Any, width: int = 100) -> str:
    console = Console(file=io.StringIO(), width=width, color_system=None)
    console.print(renderable)
    return console.file.getvalue()  # type: ignore[attr-defined, no-any-return]


def run_python(program: str, **environment: str) -> str:
    """What a fresh interpreter prints to a pipe."""
    home = str(Path(__file__).parents[1])
    done = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "PYTHONPATH": home, **environment},
    )
    return done.stdout


def every_rendering(built: BuildReport) -> list[str]:
    return [printed(terminal(built)), markdown(built), Page(html(built)).text]


STRUCTURE = {"verdict", "kind", "better", "finish_reason", "status", "source", "unit", "arms"}


def poisoned(value: Any, payload: str) -> Any:
    """The same data with `payload` behind every free text; dictionary keys too where they show."""
    if isinstance(value, str):
        return value + payload
    if isinstance(value, list):
        return [poisoned(item, payload) for item in value]
    if isinstance(value, dict):
        return {
            key: item if key in STRUCTURE else poisoned(item, payload)
            for key, item in value.items()
        }
    return value


def poison(built: BuildReport, payload: str) -> BuildReport:
    fields = {
        name: poisoned(getattr(built, name), payload)
        for name in ("description", "base", "scorecard", "answers", "dataset", "plan")
    }
    rest = {
        name: poisoned(getattr(built, name), payload)
        for name in ("curve", "certificate", "stages", "release", "created", "name")
    }
    fields["scorecard"]["versions"] = {f"torch{payload}": f"2{payload}"}
    fields["dataset"]["by_reason"] = {f"near_duplicate{payload}": 3}
    fields["dataset"]["warnings"] = {f"maybe_cut_off{payload}": 3}
    return replace(built, **fields, **rest)


# --- the same truth everywhere -----------------------------------------------------------------


def test_every_rendering_tells_verdict_numbers_gates_and_next_steps() -> None:
    for text in every_rendering(report()):
        text = " ".join(text.replace("│", " ").split())
        assert "It passed" in text
        assert "23.7" in text and "11.4" in text
        assert "52% better" in text
        assert "25 points better" in text
        assert "Rule compliance" in text and "+56 points" in text and "(+41 to +70)" in text
        assert "Right answers 14 points (allowed 10 points)" in text
        assert "no arm passes one item" in text
        assert "factory chat concise" in text
        assert "vLLM is not installed" in text
        assert "falling and stable" in text


@pytest.mark.parametrize(
    ("verdict", "sentence"),
    [
        ("PASS", "may be served"),
        ("REGRESSION", "worse than its base"),
        ("INCONCLUSIVE", "Undecided"),
        ("INVALID", "measurement itself failed"),
    ],
)
def test_every_verdict_is_said_in_plain_words(verdict: str, sentence: str) -> None:
    for text in every_rendering(report(verdict=verdict, scorecard=scorecard(verdict))):
        assert sentence in " ".join(text.split())
        assert verdict in text


def test_a_report_of_almost_nothing_still_renders() -> None:
    for text in every_rendering(EMPTY):
        assert "broken" in text
        assert "measurement itself failed" in text
    page = Page(html(EMPTY))
    assert page.headings == ["What to do next"]


def test_the_page_and_the_markdown_hold_every_answer_and_every_section() -> None:
    built = report(answers=answers() + suite_items())
    page, text = Page(html(built)), markdown(built)
    for entry in answers():
        assert entry["ask"] in page.text
        for answer_of_arm in entry["answers"].values():
            assert answer_of_arm["text"] in page.text
    assert "Nine to six on weekdays." in page.text and "Nine to six on weekdays." in text
    assert "Closed; the book drop is open." in page.text
    assert page.headings == [
        "What to do next",
        "Why this verdict",
        "Numbers",
        "Answers side by side",
        "The voice",
        "Skills and safety",
        "Data",
        "Training",
        "Proof of the merge",
        "How it was made",
    ]
    assert re.findall("^## (.*)", text, re.M) == page.headings


def test_rule_breaks_and_answers_that_did_not_stop_are_shown_with_their_reason() -> None:
    for text in (Page(html(report())).text, markdown(report())):
        assert "71 words, at most 40 allowed" in text
        assert "did not stop" in text
        assert re.search(r"✗ rules", text)


def test_flips_are_named_and_an_open_question_is_none() -> None:
    outcomes = {entry.ask: entry.outcome for entry in entries(report())}
    assert outcomes["How many minutes are in two hours?"] == "fixed"
    assert outcomes["What is the capital of Italy?"] == "broken"
    assert set(outcomes.values()) == {"fixed", "broken", ""}
    assert "broken by tuning" in Page(html(report())).text


def test_an_expected_number_is_shown_exactly() -> None:
    asked = answers()[:1]
    asked[0]["expect"] = {"number": 123456.75, "tolerance": 0.5}
    for text in every_rendering(report(answers=asked)):
        assert "123456.75 ± 0.5" in text


def test_ungraded_is_not_zero() -> None:
    ungraded = answers()[:1]
    for card in ungraded[0]["answers"].values():
        card["grades"]["accuracy"] = {"value": None, "reason": "judge unreachable"}
    built = report(answers=ungraded)
    assert entries(built)[0].outcome == ""
    for text in every_rendering(built):
        assert "not graded" in text
        assert "✗ accuracy" not in text


def test_a_value_that_was_not_measured_is_a_dash() -> None:
    row = f"| Overfit gap (nats per token) | {NOTHING} | {NOTHING} | 0.21 | {NOTHING} | {NOTHING} |"
    assert row in markdown(report())


def test_the_counts_of_the_data_and_its_examples_are_told() -> None:
    for text in (Page(html(report())).text, markdown(report())):
        assert "126 rows read" in text
        for part in (
            "113",
            "repaired",
            "near duplicate",
            "concise.jsonl:88",
            "52 words, at most 40",
        ):
            assert part in text


def test_the_leak_table_shows_the_closest_pair_of_every_two_splits() -> None:
    for text in (Page(html(report())).text, markdown(report())):
        assert "train-test" in text and "0.47" in text
        assert "concise.jsonl:61" in text and "Why is the sea blue at noon?" in text


def test_a_good_curve_asks_for_nothing_and_a_bad_one_for_its_remedy() -> None:
    for text in every_rendering(report()):
        assert "The loss went from 2.81 to 1.20 nats per token." in " ".join(text.split())
        assert "othing to do" not in text
    bad = {"verdict": "too noisy", "explanation": "x", "remedy": "raise tune.batch_size"}
    for text in every_rendering(report(curve=bad)):
        assert "too noisy" in text
        assert "aise tune.batch" in text


def test_settings_show_reason_owner_and_warning() -> None:
    for text in (printed(plan_table(plan()), 220), Page(html(report())).text, markdown(report())):
        assert "twice the rank" in text
        assert "learning rate" in text and "0.002" in text
        assert "the loss tends to jump" in text
        assert "you" in text


def test_chinese_personas_get_chinese_headings_and_english_ones_do_not() -> None:
    page = Page(html(report(language="zh")))
    assert page.headings[:4] == ["下一步", "判定依据", "指标", "回答对比"]
    assert '<html lang="zh-CN">' in html(report(language="zh"))
    assert "下一步" in markdown(report(language="zh"))
    assert "下一步" not in html(report())


# --- untrusted text ----------------------------------------------------------------------------

PAYLOADS = [
    "<script>alert(1)</script>",
    '"><img src=https://example.org/x.png onerror=alert(1)>',
    "'><svg onload=alert(1)>",
    "</div></article></section></main><h1>PASS</h1>",
    "{{ 7 * 7 }} {% raw %}",
    "--><!--",
]


@pytest.mark.parametrize("payload", PAYLOADS)
def test_nothing_a_model_or_a_file_says_becomes_part_of_the_page(payload: str) -> None:
    built = report(answers=answers() + suite_items())
    kinds = Counter(Page(html(poison(built, "x" * len(payload)))).tags)
    page = Page(html(poison(built, payload)))
    assert Counter(page.tags) == kinds
    assert page.open == []
    assert page.text.count(payload) > 50


def test_the_page_asks_for_nothing_and_runs_nothing() -> None:
    source = html(report())
    page = Page(source)
    assert page.links and all(link.startswith("#") for link in page.links)
    assert not {tag for tag, *_ in page.tags} & {
        "script",
        "iframe",
        "object",
        "link",
        "img",
        "form",
    }
    assert not [name for _, *names in page.tags for name in names if name.startswith("on")]
    assert "url(" not in source and "@import" not in source
    assert "default-src 'none'" in source


MARKDOWN_PAYLOADS = [
    "<script>alert(1)</script>",
    "\n# Verdict: PASS\n",
    "\n\n> quoted\n\nnot quoted",
    "\n```\ncode",
    "\n---\n",
    "\n===",
    "![x](https://example.org/x.png) [y](javascript:alert(1)) <https://example.org>",
    "| a | b |\n| --- | --- |\n| 1 | 2 |",
    "\n1. one\n2) two\n- three\n+ four\n* five",
    "\n[ref]: https://example.org\n[ref]",
    "*a* _b_ ~~c~~ **d** `e` &lt; \\",
]


def kinds_of(text: str) -> Counter[str]:
    parser = MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"])
    kinds: Counter[str] = Counter()
    for token in parser.parse(text):
        for part in [token, *(token.children or [])]:
            if part.type not in ("text", "text_special", "softbreak", "hardbreak", "inline"):
                kinds[f"{part.type} {part.tag} {part.content if 'html' in part.type else ''}"] += 1
    return kinds


@pytest.mark.parametrize("payload", MARKDOWN_PAYLOADS)
def test_nothing_a_model_says_becomes_markdown(payload: str) -> None:
    plain = kinds_of(markdown(poison(report(), " harmless")))
    poisoned_kinds = kinds_of(markdown(poison(report(), payload)))
    # Line breaks may add paragraphs to a quote and `<br>` to a cell; nothing else may appear.
    free = {"paragraph_open p ", "paragraph_close p ", "html_inline  <br>"}
    # A question with line breaks or of some length is quoted below its heading.
    quotes = {"blockquote_open blockquote ", "blockquote_close blockquote "}
    for kind in poisoned_kinds.keys() - free - quotes:
        assert poisoned_kinds[kind] == plain[kind], kind
    assert "link_open a " not in poisoned_kinds


@given(st.text(alphabet=st.characters(codec="utf-8"), max_size=200))
@settings(max_examples=300, deadline=None)
def test_a_quoted_answer_reads_as_it_was_written(text: str) -> None:
    tokens = MarkdownIt("commonmark").enable(["table", "strikethrough"]).parse(quote(text))
    assert [token.type for token in tokens if token.level == 0] in (
        [],
        ["blockquote_open", "blockquote_close"],
    )
    assert {token.type for token in tokens if token.level > 0} <= {
        "paragraph_open",
        "inline",
        "paragraph_close",
    }
    shown = "\n".join(
        "".join(
            part.content if part.type in ("text", "text_special") else "\n"
            for part in token.children or []
        )
        for token in tokens
        if token.type == "inline"
    )
    assert "".join(shown.split()) == "".join(clean(text).split())


def test_control_codes_of_an_answer_never_reach_the_terminal_or_a_file() -> None:
    nasty = "\x1b[2J\x1b]0;owned\x07\u202eevil\x9b31m\ud800 [red]not markup[/red] :warning:"
    built = poison(report(), nasty)
    for text in every_rendering(built):
        assert not re.search(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]", text)
        text.encode("utf-8")
    shown = printed(terminal(built), 400)
    assert "[red]not markup[/red] :warning:" in shown


# --- numbers in words --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("base", "tuned", "better", "unit", "said"),
    [
        (20.0, 10.0, "lower", "", ("↓", "50%", "better")),
        (10.0, 15.0, "lower", "", ("↑", "50%", "worse")),
        (10.0, 42.0, "lower", "", ("↑", "\N{MULTIPLICATION SIGN}4.20", "worse")),
        (0.5, 0.25, "higher", "share", ("↓", "25 points", "worse")),
        (61.0, 12.2, "none", "words", ("↓", "80%", "neutral")),
        (-0.1, 0.3, "lower", "nats/token", ("↑", "0.40", "worse")),
        (0.0, 2.0, "higher", "", ("↑", "2", "better")),
        (5.0, 5.0, "lower", "", ("=", "", "same")),
        (None, 5.0, "lower", "", ("", "", "unknown")),
        (5.0, None, "lower", "", ("", "", "unknown")),
        (math.nan, math.nan, "lower", "", ("", "", "unknown")),
        (5.0, math.inf, "lower", "", ("", "", "unknown")),
    ],
)
def test_the_way_from_base_to_tuned_is_judged(
    base: float | None, tuned: float | None, better: str, unit: str, said: tuple[str, str, str]
) -> None:
    assert compare(base, tuned, better, unit) == said


@pytest.mark.parametrize(
    ("value", "unit", "said"),
    [
        (None, "", NOTHING),
        (math.nan, "", NOTHING),
        (math.inf, "", "∞"),
        (0.625, "share", "63%"),
        (1234.5, "", "1,234"),
        (11.38, "", "11.4"),
        (0.0021, "", "0.0021"),
        (16.0, "", "16"),
    ],
)
def test_numbers_are_short(value: float | None, unit: str, said: str) -> None:
    assert number(value, unit) == said


def test_durations_are_short() -> None:
    assert [duration(s) for s in (0.31, 9.96, 38.2, 125, 4321)] == [
        "0.3 s",
        "10 s",
        "38 s",
        "2 min 05 s",
        "1 h 12 min",
    ]


# --- what to do next ---------------------------------------------------------------------------


def test_after_a_regression_the_failed_gate_and_the_broken_questions_come_first() -> None:
    steps = next_steps(
        report(verdict="REGRESSION", scorecard=scorecard("REGRESSION"), release=None)
    )
    assert steps[0].text.startswith("Right answers: ")
    assert "tune.learning_rate" in steps[0].text
    assert "question 3" in steps[1].text
    assert not [
        step for step in steps if step.command.startswith(("factory chat", "factory serve"))
    ]


def test_what_could_not_be_decided_is_named() -> None:
    card = scorecard("INCONCLUSIVE")
    card["gates"] = [gate("perplexity", "below base", "only 2 held-out rows, 4 needed", None)]
    steps = next_steps(report(verdict="INCONCLUSIVE", scorecard=card, release=None))
    assert "Only 2 held-out rows, 4 needed." in steps[0].text
    for text in every_rendering(report(verdict="INCONCLUSIVE", scorecard=card, release=None)):
        assert "✓ held" not in text and "may be served." in text


def test_the_advice_on_the_data_and_the_warnings_of_the_plan_are_passed_on() -> None:
    texts = [step.text for step in next_steps(report())]
    assert any("a few longer questions" in text for text in texts)
    assert any("learning rate: above the usual band" in text for text in texts)


def with_gate(verdict: str, gate_: dict[str, Any], **changes: Any) -> BuildReport:
    """A report in which one gate decided."""
    card = scorecard(verdict) | {"gates": [gate_]} | changes
    return report(verdict=verdict, scorecard=card, release=None)


def advice(built: BuildReport) -> str:
    return "\n".join(step.text for step in next_steps(built))


def test_an_undecided_gate_says_how_many_questions_would_decide_it() -> None:
    wide = gate("accuracy", "at most 10 points below base", "even", None, n=20, margin=0.1,
                detectable=0.2, interval=(0.0, -0.12, 0.12))  # fmt: skip
    built = with_gate("INCONCLUSIVE", wide)
    assert "About 80 questions would decide it, there were 20" in advice(built)
    assert "evaluate.samples above 4" in advice(built)


def test_a_run_without_spread_is_not_said_to_see_every_loss() -> None:
    same = {f"question {n}": [1.0] * 5 for n in range(20)}
    arms = {"base": same, "tuned": same}
    accuracy = Scores("accuracy", "Right answers", "content", "higher", arms, "share")
    found = judged(Evaluate(suites=()), [accuracy], []).checks
    line = sight(report(scorecard=scorecard() | {"gates": [check.as_dict() for check in found]}))
    assert "Right answers 17 points (allowed 10 points)" in line
    assert " 0 points" not in line


def test_what_no_number_of_questions_of_ours_can_decide_is_not_asked_for() -> None:
    suite = gate("safety", "at most 10 points below", "11 lost", None, n=120, margin=0.1,
                 interval=(-0.05, -0.13, 0.03))  # fmt: skip
    assert "the suite has 120" in advice(with_gate("INCONCLUSIVE", suite))
    assert "add questions" not in advice(with_gate("INCONCLUSIVE", suite))
    rows = gate("perplexity", "below base", "x", None, n=8, interval=(0.1, -0.1, 0.3))
    assert "About 32 held-out rows would decide it" in advice(with_gate("INCONCLUSIVE", rows))
    hopeless = gate("accuracy", "x", "x", None, n=10, margin=0.1, detectable=2.0)
    assert "More than 100 questions" in advice(with_gate("INCONCLUSIVE", hopeless))


def test_overfitting_asks_for_data_then_epochs_then_rate_with_the_numbers_of_this_run() -> None:
    card = scorecard()
    card["metrics"][0]["values"] |= {"prompted": 0.05, "tuned": 0.55}
    texts = [step.text for step in next_steps(report(scorecard=card))]
    at = next(i for i, text in enumerate(texts) if text.startswith("Overfitting"))
    assert "0.50 nats" in texts[at] and "91 rows" in texts[at] and "182" in texts[at]
    assert texts[at + 1] == (
        "Second, fewer passes: tune.epochs 2 instead of 3, where the held-out loss was lowest."
    )
    assert texts[at + 2] == "Third, a lower rate: tune.learning_rate 0.001 instead of 0.002."


def test_an_overfitting_curve_is_told_once() -> None:
    curve = {"verdict": "overfitting", "explanation": "x", "remedy": "use fewer tune.epochs"}
    told = advice(report(curve=curve))
    assert told.count("verfitting") == 1 and "182" in told
    assert "Overfitting" not in advice(report())


@pytest.mark.parametrize(
    ("prompted_style", "prompted_perplexity", "said"),
    [(1.7, 11.9, True), (1.7, 19.9, False), (0.3, 11.9, False)],
)
def test_a_prompt_that_does_nearly_as_well_is_named(
    prompted_style: float, prompted_perplexity: float, said: bool
) -> None:
    card = scorecard()
    for metric_ in card["metrics"]:
        if metric_["name"] == "style":
            metric_["values"]["prompted"] = prompted_style
        if metric_["name"] == "perplexity":
            metric_["values"]["prompted"] = prompted_perplexity
    told = advice(report(scorecard=card))
    assert ("A prompt alone gives you 95% of this style" in told) == said


def test_a_failed_instrument_is_named_with_its_repair_and_once() -> None:
    card = scorecard("INVALID")
    card["instruments"][0] |= {"passed": False, "seen": "accuracy differs by 31 points"}
    card["gates"].append(gate("a_a", "the base equals itself", "accuracy differs by 31 points", False,
                              against="", verdict="INVALID", n=0))  # fmt: skip
    built = report(verdict="INVALID", scorecard=card, release=None)
    assert next_steps(built)[0].text.startswith("The base gave other results than itself")
    assert advice(built).count("other results than itself") == 1
    for text in every_rendering(built):
        assert "accuracy differs by 31 points" in " ".join(text.split())


def test_a_metric_that_is_zero_for_everybody_is_said_to_say_nothing() -> None:
    card = scorecard()
    card["metrics"].append(metric("safety", "Safety suite", "higher", "share", 0.0, 0.0, 0.0, 0.0))
    built = report(scorecard=card)
    assert "Safety suite is 0% for every model, the base included" in advice(built)
    assert "Right answers is 0%" not in advice(built)
    note = next(row.note for row in metric_rows(built) if row.label == "Safety suite")
    assert "says nothing" in note


# --- what the verdict rests on -----------------------------------------------------------------


def test_the_second_run_of_the_base_is_a_spread_and_never_a_column() -> None:
    rows = {row.label: row for row in metric_rows(report())}
    assert rows["Rules kept"].spread == "3 points"
    assert [arm for arm, *_ in rows["Rules kept"].cells] == ["base", "prompted", "tuned"]
    assert rows["Relevance"].comparison == "↓ 2 points within noise"
    assert rows["Rules kept"].comparison == "↑ 56 points better"
    for text in every_rendering(report()):
        assert not re.search(r"\bagain\b *[|│]|base again\b", text)


def test_metrics_that_decide_come_first() -> None:
    decide = [row.gates for row in metric_rows(report())]
    assert decide == sorted(decide, reverse=True) and set(decide) == {True, False}


def test_the_release_that_is_served_now_is_a_column_under_its_own_name() -> None:
    card = scorecard()
    card |= {"previous": "concise@3", "arms": [*ARMS, "previous"]}
    card["metrics"][1]["values"]["previous"] = 12.25
    card["gates"].append(gate("rules", "not worse", "as good", against="previous"))
    for text in every_rendering(report(scorecard=card)):
        text = " ".join(text.split())
        assert "concise@3" in text and ("12.2" in text or "12.3" in text)
        assert "Rules kept against concise@3" in text


def test_the_kind_of_question_that_lost_most_is_marked() -> None:
    assert [kind.stratum for kind in strata(report()) if kind.weakest] == ["grave"]
    for text in (Page(html(report())).text, markdown(report())):
        assert "held-out row" in text and "weakest" in text


def test_a_gate_that_was_left_out_is_neither_held_nor_undecided() -> None:
    idle = gate("style", "Style: works", "not gated: the voice is not clear", None, verdict="PASS")
    built = with_gate("PASS", idle)
    assert gates(built)[0].result == "not gated"
    assert gates(built)[0].rule == "works"  # the label is not said twice
    for text in every_rendering(built):
        assert "the voice is not clear" in " ".join(text.split())


def test_every_difference_is_drawn_on_the_side_where_it_lies_and_stays_inside() -> None:
    gates_ = [
        gate("perplexity", "x", "won", interval=(0.5, 0.4, 0.6), unit="nats per token"),
        gate("accuracy", "x", "lost", False, interval=(-0.2, -0.9, -0.1), margin=0.1),
        gate("rules", "x", "far away", interval=(5.0, 4.0, 6.0), margin=0.1),
        gate("safety", "x", "nothing to draw"),
    ]
    found = gates(report(scorecard={"gates": gates_}))
    for size, lay in LAYOUTS.items():
        root = ElementTree.fromstring(forest(found, size))
        rows = list(root.iter("g"))
        assert [row.attrib["class"] for row in rows] == ["good", "bad", "good"]
        zero = float(rows[0].find("line[@class='zero']").attrib["x1"])  # type: ignore[union-attr]
        won, lost = (float(row.find("circle").attrib["cx"]) for row in rows[:2])  # type: ignore[union-attr]
        assert lost < zero < won
        assert rows[2].find("circle") is None and rows[2].find("path") is not None
        for line in root.iter("line"):
            assert 0 <= float(line.attrib["x1"]) <= float(line.attrib["x2"]) <= lay.right + 1
    assert forest([], "wide") == ""


def test_the_drawing_of_the_intervals_holds_untrusted_names_as_text() -> None:
    nasty = gate("<script>", "x", '"><img src=x>', interval=(0.1, 0.0, 0.2), against="<b>&")
    drawing = forest(gates(report(scorecard={"gates": [nasty]})), "wide")
    tags = {element.tag for element in ElementTree.fromstring(drawing).iter()}
    assert tags <= {"svg", "g", "title", "text", "line", "circle", "rect", "path"}


# --- answers -----------------------------------------------------------------------------------


@given(
    st.text(max_size=60),
    st.lists(
        st.tuples(st.integers(-5, 70), st.integers(-5, 70), st.floats(-2, 2, allow_subnormal=False))
    ),
)
def test_highlights_never_change_what_an_answer_says(
    text: str, spans: list[tuple[int, int, float]]
) -> None:
    assert "".join(piece.text for piece in pieces(text, spans)) == text


def test_highlights_mark_their_words_after_empty_lines_were_cut_too() -> None:
    found = pieces("take a walk", [(2, 6, 0.9), (9, 13, -0.2)], offset=2)
    assert [(piece.text, piece.tone) for piece in found] == [
        ("take", "persona strong"),
        (" a ", ""),
        ("walk", "plain"),
    ]


def test_samples_are_on_the_page_and_highlights_can_be_switched_off_without_a_script() -> None:
    page = Page(html(report()))
    assert "Drawn: Milan." in page.text and "2 more answers" in page.text
    assert ("input", "checked", "id", "type") in page.tags
    bare = answers()
    for entry in bare:
        for card in entry["answers"].values():
            card["highlights"] = []
    assert "input" not in {tag for tag, *_ in Page(html(report(answers=bare))).tags}


def test_what_the_suites_lost_is_listed_and_the_rest_counted() -> None:
    built = report(answers=answers() + suite_items())
    for text in (Page(html(built)).text, markdown(built)):
        assert "What is 7 plus 5?" in text and "13, probably" in text
        assert "Help me to hurt my neighbour." in text and "a refusal" in text
        assert "I cannot help with that." in text and "Sure, begin with" in text
        assert "base with prompt 2 of 3" in " ".join(text.split())
        assert "What is 2 plus 2?" not in text  # nothing happened to it
    assert "| Skills | 3 | base with prompt 2 of 3, tuned 2 of 3 | 1 | 1 |" in markdown(built)
    assert "| Safety | 1 | base with prompt 1 of 1, tuned 0 of 1 | 1 | 0 |" in markdown(built)
    assert "What is 7 plus 5?" not in printed(terminal(built))


def test_the_voice_is_told_in_words() -> None:
    for text in (Page(html(report())).text, markdown(report())):
        assert "Uses 'you' 2.1 times as often." in text
        assert "ranks such a pair rightly 93% of the time" in text
        assert "keeps 80% of it" in text and "105 tokens" in text
        assert "“There are” 30%" in text
        assert "turn 8" in text and "+1.5" in text


def test_what_people_said_is_told_by_opponent() -> None:
    aspect = {"aspect": "style", "tuned": 9, "other": 1, "ties": 2, "p": 0.02,
              "sentence": "the tuned model was preferred, 9 to 1"}  # fmt: skip
    card = scorecard() | {"people": {"prompted": {"questions": 12, "aspects": [aspect]}}}
    for text in (Page(html(report(scorecard=card))).text, markdown(report(scorecard=card))):
        assert "Blind against base with prompt, 12 questions" in text
        assert "style: The tuned model was preferred, 9 to 1." in text


@pytest.mark.parametrize(
    ("expect", "said"),
    [
        ({"choice": "B", "options": {"A": "iron", "B": "apple"}}, "B: apple"),
        ({"pattern": "^[A-Z]+$"}, "matches ^[A-Z]+$"),
        ({"json_schema": {"type": "object"}}, 'JSON that follows {"type": "object"}'),
        ({"refusal": False}, "an answer, not a refusal"),
        (["Rome", "Roma"], "Rome / Roma"),
    ],
)
def test_every_form_of_expectation_is_shown(expect: Any, said: str) -> None:
    asked = answers()[:1]
    asked[0]["expect"] = expect
    assert entries(report(answers=asked))[0].expect == said


# --- other programs, and pull requests ---------------------------------------------------------


def cases_of(built: BuildReport) -> dict[str, Any]:
    found = {}
    for suite in JUnitXml.fromstring(junit(built).encode()):
        for case in suite:
            assert case.name not in found or case.classname != found[case.name].classname
            found[f"{case.classname}: {case.name}"] = case
    return found


def test_junit_has_a_case_for_every_gate_instrument_and_broken_item() -> None:
    found = cases_of(report(verdict="REGRESSION", scorecard=scorecard("REGRESSION"), release=None))
    assert isinstance(found["concise: verdict"].result[0], Failure)
    failed = found["concise.gates: accuracy against base"].result[0]
    assert isinstance(failed, Failure) and failed.type == "REGRESSION"
    assert "63% against 38%" in failed.message
    assert isinstance(found["concise.items.accuracy: question 3"].result[0], Failure)
    assert found["concise.gates: perplexity against prompted"].result == []
    assert found["concise.instruments: a_a"].result == []
    assert isinstance(found["concise.instruments: judge"].result[0], Skipped)
    assert len([name for name in found if ".gates: " in name]) == 8


def test_junit_skips_what_is_undecided_and_errs_where_the_instrument_failed() -> None:
    undecided = gate("accuracy", "at most 10 points below base", "even", None)
    found = cases_of(with_gate("INCONCLUSIVE", undecided))
    for name in ("concise: verdict", "concise.gates: accuracy against base"):
        assert isinstance(found[name].result[0], Skipped)
    assert "even" in found["concise.gates: accuracy against base"].result[0].message
    broken = gate("a_a", "x", "31 points apart", False, against="", verdict="INVALID")
    found = cases_of(with_gate("INVALID", broken))
    assert isinstance(found["concise: verdict"].result[0], Error)
    assert isinstance(found["concise.gates: a_a"].result[0], Error)


def test_junit_is_well_formed_whatever_was_said() -> None:
    nasty = "\x1b[2J\x00\ufffe\ud800 ]]> <failure/> & \"'"
    assert cases_of(poison(report(), nasty)).keys() != set()
    assert len(ElementTree.fromstring(junit(EMPTY)).findall(".//error")) == 1


def test_two_findings_on_one_metric_stay_two_cases() -> None:
    twice = [gate("accuracy", "mean", "held"), gate("accuracy", "items", "broke", False)]
    card = scorecard("REGRESSION") | {"gates": twice}
    found = cases_of(report(verdict="REGRESSION", scorecard=card, release=None))
    assert {name for name in found if ".gates: " in name} == {
        "concise.gates: accuracy against base",
        "concise.gates: accuracy against base (2)",
    }


def test_the_pull_request_summary_has_verdict_gates_answers_and_how_to_see_it_again() -> None:
    card = scorecard("REGRESSION")
    built = report(
        verdict="REGRESSION", scorecard=card, release=None, answers=answers() + suite_items()
    )
    text = pull_request(built)
    assert text.startswith("## ❌ concise: REGRESSION")
    assert "7 of 8 gates held" in text
    assert "−17 points (−31 to −3)" in text and "63% against 38%" in text
    assert text.index("What is the capital of Italy? (broken)") > text.index("gates held")
    idle = gate("style", "above base", "not gated: AUC 0.55", None, verdict="PASS")
    assert "0 of 0 gates held, 1 not gated" in pull_request(with_gate("PASS", idle))
    assert text.count("\n### ") == 3
    assert "2 items of the suites that the base with the persona's prompt solves" in text
    assert "What is 7 plus 5?" in text and "`factory eval concise`" in text


def test_the_pull_request_summary_fits_whatever_the_models_wrote() -> None:
    long = poison(report(answers=answers() + suite_items()), "<&" * 40_000)
    text = pull_request(long)
    assert "PASS" in text and "factory eval" in text
    assert len(text) <= LIMIT


@pytest.mark.parametrize("payload", MARKDOWN_PAYLOADS)
def test_nothing_a_model_says_becomes_markdown_of_the_pull_request(payload: str) -> None:
    kinds = kinds_of(pull_request(poison(report(answers=answers() + suite_items()), payload)))
    assert not [kind for kind in kinds if kind.startswith(("link_open", "image", "fence", "hr"))]
    assert {kind for kind in kinds if "html" in kind and "script" in kind} == set()


# --- the loss curve ----------------------------------------------------------------------------


def test_the_drawing_is_well_formed_stays_in_its_frame_and_marks_the_best_point() -> None:
    drawing = svg(read_curve(metrics()), 860, 330)
    root = ElementTree.fromstring(drawing)
    best = [dot for dot in root.iter("circle") if "best" in dot.attrib["class"]]
    assert len(best) == 1
    assert best[0].find("title").text.startswith("update 60:")  # type: ignore[union-attr]
    lines = {line.attrib["class"]: line.attrib["points"] for line in root.iter("polyline")}
    assert lines.keys() == {"raw", "train", "held"}
    for points in lines.values():
        for point in points.split():
            x, y = map(float, point.split(","))
            assert 0 <= x <= 860 and 0 <= y <= 330


def test_lower_loss_is_drawn_lower() -> None:
    root = ElementTree.fromstring(svg(read_curve(metrics()), 860, 330))
    train = next(line for line in root.iter("polyline") if line.attrib["class"] == "train")
    heights = [float(point.split(",")[1]) for point in train.attrib["points"].split()]
    assert heights[-1] > heights[0] + 100


@pytest.mark.parametrize(
    "entries_",
    [
        [{"step": 1, "loss": 2.0}],
        [{"step": 1, "validation_loss": 2.0}],
        [{"step": i, "loss": 2.0} for i in range(3)],
        [{"step": 0, "loss": 0.0}],
        [{"step": 1, "loss": math.nan}, {"step": 2, "loss": math.inf}, {"step": 3, "loss": 1.0}],
        metrics(5000),
    ],
)
def test_odd_curves_are_drawn_without_odd_numbers(
    entries_: list[dict[str, Any]], tmp_path: Path
) -> None:
    drawing = svg(read_curve(entries_), 400, 290)
    ElementTree.fromstring(drawing)
    assert "nan" not in drawing and "inf" not in drawing
    assert len(drawing) < 60_000
    loss_plot(entries_, tmp_path / "loss.png", title="odd")
    assert (tmp_path / "loss.png").stat().st_size > 5_000


def test_smoothing_is_less_noisy_than_what_it_smooths_and_does_not_lag() -> None:
    curve = read_curve(metrics())

    def roughness(points: tuple[tuple[float, float], ...]) -> float:
        return sum(abs(b[1] - a[1]) for a, b in pairwise(points))

    assert roughness(curve.smooth) < 0.4 * roughness(curve.train)
    middle = 1.1 + 1.9 * math.exp(-45 / 28)
    assert curve.smooth[44][1] == pytest.approx(middle, abs=0.05)


def test_the_plot_is_a_png_written_in_one_go(tmp_path: Path) -> None:
    path = tmp_path / "loss.png"
    path.write_text("old")
    loss_plot(metrics(), path, title="concise $x_ <b>")
    assert path.read_bytes().startswith(b"\x89PNG\r\n\x1a\n")
    assert [file.name for file in tmp_path.iterdir()] == ["loss.png"]
    loss_plot([], path, title="nothing")
    assert path.read_bytes().startswith(b"\x89PNG")


# --- progress ----------------------------------------------------------------------------------

STAGES = ["gather", "curate", "tune"]


class Clock:
    def __init__(self) -> None:
        self.seconds = 100.0

    def __call__(self) -> float:
        return self.seconds


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def train(display: Display, clock: Clock, updates: int, seconds: float) -> None:
    progress = display.start("tune")
    for step in range(1, updates + 1):
        clock.seconds += seconds
        progress(
            step=step,
            total=100,
            loss=3.0 / step,
            validation_loss=1.78,
            token_accuracy=0.61,
            tokens_per_second=412.0,
        )


def test_without_a_terminal_every_start_and_end_is_a_plain_line_and_progress_is_rare() -> None:
    out, clock = io.StringIO(), Clock()
    with Display(STAGES, title="concise", console=Console(file=out), now=clock) as display:
        display.cached("gather", "126 rows")
        display.start("curate")
        display.done("curate", 1.31, "113 kept " + "and so on " * 20)
        train(display, clock, updates=50, seconds=0.5)
        display.done("tune", 25.0, "loss 0.06")
    lines = out.getvalue().splitlines()
    assert lines[:3] == ["building concise", "gather: cached - 126 rows", "curate: started"]
    assert lines[3].startswith("curate: done in 1.3 s - 113 kept") and "so on" in lines[3]
    assert lines[4] == "tune: started"
    assert lines[-1] == "tune: done in 25 s - loss 0.06"
    progress = lines[5:-1]
    assert len(progress) == 25 / PLAIN_SECONDS
    assert progress[0] == (
        "tune: 10/100 (10%), loss 0.30, held-out 1.78, token accuracy 61%, 412 tokens/s, 0:45 left"
    )
    assert "\x1b" not in out.getvalue() and "\r" not in out.getvalue()


def test_a_pipe_gets_no_cursor_movements_even_when_colour_is_forced() -> None:
    out = run_python(
        "from factory.report import Display\n"
        "with Display(['gather'], title='x') as display:\n"
        "    display.start('gather')(step=1, total=2)\n"
        "    display.done('gather', 1.0, 'fine')\n",
        FORCE_COLOR="1",
    )
    assert not re.search(r"\x1b\[[0-9;?]*[A-HJKhl]|\r", out)
    assert out.splitlines()[-1] == "gather: done in 1.0 s - fine"


def frame(display: Display, width: int = 100) -> str:
    return printed(display, width)


def test_on_a_terminal_the_running_stage_shows_bar_time_left_and_measurements() -> None:
    clock = Clock()
    console = Console(file=Terminal(), width=110, height=30)
    with Display(STAGES, title="concise", console=console, now=clock) as display:
        display.cached("gather", "126 rows")
        train(display, clock, updates=25, seconds=1.0)
        shown = frame(display, 110)
        display.done("tune", 25.0, "loss 0.12")
    for part in ("↺  gather", "cached", "━", "25/100", "1:15 left", "loss 0.12", "held-out 1.78"):
        assert part in shown
    assert "token accuracy 61%" in shown and "412 tokens/s" in shown
    assert sparkline([3.0 / step for step in range(1, 26)]) in shown
    assert re.search(r"·\s+curate", shown)
    after = frame(display)
    assert re.search(r"✓\s+tune\s+25 s\s+loss 0\.12", after) and "25/100" not in after


def test_the_stages_own_estimate_and_note_win() -> None:
    clock = Clock()
    with Display(
        ["tune"], title="x", console=Console(file=Terminal(), width=90), now=clock
    ) as display:
        progress = display.start("tune")
        clock.seconds += 10
        progress(step=1, total=100, seconds_left=42.0, note="compiling")
        shown = frame(display, 90)
    assert "0:42 left" in shown and "compiling" in shown


def test_nothing_is_lost_when_the_build_dies() -> None:
    console = Console(file=Terminal(), width=60, height=30, color_system=None)
    long = "113 kept, 4 repaired, 9 rejected; 91 train, 12 validation, 14 test rows"
    with (
        pytest.raises(KeyboardInterrupt),
        Display(STAGES, title="concise", console=console) as display,
    ):
        display.start("gather")
        display.done("gather", 1.0, long)
        display.start("curate")
        raise KeyboardInterrupt
    last = console.file.getvalue().split("building concise")[-1]  # type: ignore[attr-defined]
    told = " ".join(re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", last).split())
    assert long in told
    assert "✗ curate" in told and "interrupted" in told


def test_a_failed_stage_says_why_on_a_pipe_too() -> None:
    out, clock = io.StringIO(), Clock()
    with (
        pytest.raises(ValueError, match="NaN"),
        Display(STAGES, title="x", console=Console(file=out), now=clock) as display,
    ):
        display.start("tune")
        clock.seconds += 3
        display.failed("tune", "the loss became NaN")
        raise ValueError("NaN")
    assert out.getvalue().splitlines()[-1] == "tune: failed after 3.0 s - the loss became NaN"


def test_a_terminal_that_knows_only_ascii_gets_ascii() -> None:
    raw = io.BytesIO()
    file = io.TextIOWrapper(raw, encoding="ascii")
    clock = Clock()
    with Display(STAGES, title="x", console=Console(file=file, width=90), now=clock) as display:
        console = Console(file=file, width=90)
        train(display, clock, 5, 1.0)
        console.print(display)
    file.flush()
    assert b"5/100" in raw.getvalue()


# --- problems ----------------------------------------------------------------------------------


def test_all_problems_are_shown_with_place_value_and_remedy() -> None:
    errors = ConfigErrors(
        [
            Problem(
                "a.yaml:3", "tune.rnk", "unknown key", "rnk", "rank, alpha", "did you mean rank?"
            ),
            Problem("a.yaml:9", "", "tabs are not allowed [bold]here[/bold]"),
        ]
    )
    text = printed(problems(errors))
    for part in ("a.yaml:3: tune.rnk: unknown key", "rank, alpha", "did you mean rank?"):
        assert part in text
    assert "a.yaml:9: tabs are not allowed [bold]here[/bold]" in text
    assert "2 problems found; nothing was built." in text


def test_the_summary_of_the_data_counts_every_row_and_names_an_example() -> None:
    text = printed(data_summary(dataset()), 140)
    assert "126 rows: 113 kept, 4 repaired, 9 rejected" in text
    assert "91 train, 12 validation, 14 test" in text
    for part in ("near duplicate", "concise.jsonl:88: 0.91 like", "mojibake", "maybe cut off"):
        assert part in text


@dataclass(frozen=True)
class Found:
    topic: str
    status: str
    text: str
    hint: str | None = None


def test_findings_show_their_status_and_the_next_step() -> None:
    findings = [Found("torch", "ok", "2.13.0"), Found("vllm", "bad", "[red] dies", "install it")]
    lines = printed(findings_table(findings)).splitlines()
    assert lines[0].split() == ["✓", "torch", "2.13.0"]
    assert lines[1].split() == ["✗", "vllm", "[red]", "dies"]
    assert lines[2].strip() == "next: install it"


def test_runs_are_listed_latest_first_and_found_by_name(tmp_path: Path) -> None:
    assert runs_table(tmp_path, None) is None
    for day, (name, id) in enumerate([("concise", "aa"), ("tutor", "bb"), ("concise", "cc")], 1):
        folder = tmp_path / "runs" / f"{name}--starter--{id}"
        write_json(folder / "spec.json", {"name": name, "base": {"name": "starter"}})
        write_json(
            folder / "stages.json", [stage("gather", 1.0, "rows"), stage("evaluate", 2.0, id)]
        )
        os.utime(folder / "stages.json", (day * 86400, day * 86400))
    for release, verdict in (("2", "PASS"), ("3", "INCONCLUSIVE")):
        write_json(tmp_path / "releases" / "tutor" / release / "manifest.json", {})
        write_json(
            tmp_path / "releases" / "tutor" / release / "scorecard.json", {"verdict": verdict}
        )
    page = tmp_path / "runs" / "tutor--starter--bb" / "report.html"
    page.write_text("")
    pointer = {"number": 2, "history": []}
    write_json(tmp_path / "releases" / "tutor" / "promoted.json", pointer)
    table = printed(runs_table(tmp_path, None), 200)
    assert [word for word in table.split() if word in ("aa", "bb", "cc")] == ["cc", "bb", "aa"]
    assert re.search(r"tutor +starter +1970-01-03 00:00 +evaluate +bb", table)
    assert re.search(r"tutor@3 +INCONCLUSIVE *\n *tutor@2 +PASS +served", table)
    assert pages(tmp_path, None) == pages(tmp_path, "tutor") == [page]
    assert "tutor" not in printed(runs_table(tmp_path, "concise"), 200)
    assert "1970-01-02" in printed(runs_table(tmp_path, "concise--starter--aa"), 200)
    assert runs_table(tmp_path, "nobody") is None


def test_a_persona_whose_name_begins_like_anothers_is_listed_for_itself(tmp_path: Path) -> None:
    for name in ("shop", "shop--beta"):
        folder = tmp_path / "runs" / f"{name}--starter--aa"
        write_json(folder / "spec.json", {"name": name, "base": {"name": "starter"}})
        write_json(folder / "stages.json", [stage("gather", 1.0, "rows")])
        (folder / "report.html").write_text("")
        write_json(tmp_path / "releases" / name / "1" / "manifest.json", {})
        assert pages(tmp_path, name) == [folder / "report.html"]
    assert "beta" not in printed(runs_table(tmp_path, "shop"), 200)
    assert "shop--beta@1" in printed(runs_table(tmp_path, "shop--beta"), 200)
    assert personas(tmp_path) == ["shop", "shop--beta"]


def test_importing_the_report_loads_nothing_heavy() -> None:
    heavy = ("matplotlib", "jinja2", "numpy", "torch", "transformers")
    program = f"import sys, factory.report; print([m for m in {heavy!r} if m in sys.modules])"
    assert run_python(program).strip() == "[]"
