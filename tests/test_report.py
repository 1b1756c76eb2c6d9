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
from markdown_it import MarkdownIt
from rich.console import Console

from factory.artifacts import write_json
from factory.errors import ConfigErrors, Problem
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
from factory.report.facts import compare
from factory.report.lines import sparkline
from factory.report.markup import quote
from factory.report.tables import data_summary, findings_table, runs_table
from factory.report.words import NOTHING, clean, duration, number

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
    }


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


def metric(name: str, label: str, better: str, unit: str, *values: float | None) -> dict[str, Any]:
    return {
        "name": name,
        "label": label,
        "better": better,
        "unit": unit,
        "values": dict(zip(("base", "prompted", "tuned"), values, strict=True)),
        "n": 22,
        "note": "held-out rows, completion tokens only" if name == "perplexity" else "",
    }


def gate(name: str, rule: str, seen: str, passed: bool | None = True) -> dict[str, Any]:
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
    return {
        "version": 1,
        "verdict": verdict,
        "summary": "Perplexity on held-out answers fell from 23.7 to 11.4, and the mean answer "
        "shrank from 61 to 12 words.",
        "arms": ["base", "prompted", "tuned"],
        "metrics": [
            metric("perplexity", "perplexity", "lower", "", 23.71, 19.94, 11.38),
            metric("accuracy", "right answers", "higher", "share", 0.375, 0.5, 0.625),
            metric("rules", "rules kept", "higher", "share", 0.41, 0.64, 0.97),
            metric("length", "mean length", "none", "words", 61.2, 24.9, 12.4),
            metric("stop_rate", "stopped by itself", "higher", "share", 0.86, 0.9, 1.0),
            metric("overfit", "overfit gap", "lower", "nats/token", None, None, 0.21),
        ],
        "gates": [
            gate("perplexity", "tuned below base", "11.4 against 23.7"),
            gate("accuracy", "at most 0.15 below base", "0.625 against 0.375", verdict == "PASS"),
            gate("rule_compliance", "at most 0.05 below base", "0.97 against 0.41"),
            gate("overfit_gap", "at most 0.6 nats per token", "0.21"),
        ],
        "counts": {"questions": 8, "expected": 3, "rows": 1},
        "model_digest": "9f1c" * 16,
        "versions": {
            "torch": "2.13.0",
            "transformers": "5.19.0",
            "graders": {"rules": 1, "accuracy": 2},
        },
    }


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
        assert "It passed" in text
        assert "23.7" in text and "11.4" in text
        assert "52% better" in text
        assert "25 points better" in text
        assert "rule compliance" in text and "0.97 against 0.41" in text
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
    page, text = Page(html(report())), markdown(report())
    for entry in answers():
        assert entry["ask"] in page.text
        for answer_of_arm in entry["answers"].values():
            assert answer_of_arm["text"] in page.text
    assert "Nine to six on weekdays." in page.text and "Nine to six on weekdays." in text
    assert "Closed; the book drop is open." in page.text
    assert page.headings == [
        "What to do next",
        "Numbers",
        "Answers side by side",
        "Data",
        "Training",
        "Proof of the merge",
        "How it was made",
    ]
    assert re.findall("^## (.*)", text, re.M) == [
        "What to do next",
        "Numbers",
        "Gates",
        *page.headings[2:],
    ]


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
    row = f"| overfit gap | {NOTHING} | {NOTHING} | 0.21 nats/token | {NOTHING} |"
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
    assert page.headings[:3] == ["下一步", "指标", "回答对比"]
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
    kinds = Counter(Page(html(poison(report(), " harmless"))).tags)
    page = Page(html(poison(report(), payload)))
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
    assert "at most 0.15 below base" in steps[0].text
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
    write_json(tmp_path / "releases" / "tutor" / "2" / "manifest.json", {})
    table = printed(runs_table(tmp_path, None), 200)
    assert [word for word in table.split() if word in ("aa", "bb", "cc")] == ["cc", "bb", "aa"]
    assert re.search(r"tutor +starter +1970-01-03 00:00 +evaluate +bb +2 ", table)
    assert "tutor" not in printed(runs_table(tmp_path, "concise"), 200)
    assert "1970-01-02" in printed(runs_table(tmp_path, "concise--starter--aa"), 200)
    assert runs_table(tmp_path, "nobody") is None


def test_importing_the_report_loads_nothing_heavy() -> None:
    heavy = ("matplotlib", "jinja2", "numpy", "torch", "transformers")
    program = f"import sys, factory.report; print([m for m in {heavy!r} if m in sys.modules])"
    assert run_python(program).strip() == "[]"
