"""What a teacher is going to be asked: quotas, calls, tokens, money, time, and one example."""

from __future__ import annotations

import math
from collections.abc import Sequence

from rich.box import SIMPLE
from rich.console import Group
from rich.table import Table
from rich.text import Text

from factory.pairs import prompts
from factory.pairs.budget import likely_tokens
from factory.pairs.cells import Cell, describe
from factory.pairs.writing import ASKED_AT_ONCE, SPARE
from factory.report.words import duration, plural
from factory.spec import Spec

EXAMPLE_QUESTION = "How can I relax after a long day at work?"

SECONDS = 2.0
"""Assumed for one call: some 100 tokens at the pace of a cloud API. Nobody knows it before asking."""


def estimate(spec: Spec, prompt: str, cells: Sequence[Cell]) -> dict[str, float | None]:
    """Requests, tokens, US dollars and seconds if every answer is accepted at once.

    Money is None if the price is unknown; time is what the endpoint's pace makes of it, see `SECONDS`.
    """
    wanted = sum(cell.quota for cell in cells)
    writers = sum(math.ceil(cell.quota * SPARE / ASKED_AT_ONCE) for cell in cells)
    requests = writers + wanted * (2 if spec.distill.twins else 1)
    seeds = [likely_tokens(seed.instruction + seed.output) for seed in spec.seeds] or [0]
    shown = likely_tokens(prompt) + spec.distill.examples * sum(seeds) / len(seeds) + 100
    asked = writers * 225 + wanted * shown
    told = wanted * (60 + (90 if spec.distill.twins else 0)) + writers * ASKED_AT_ONCE * 20
    prices = spec.teacher.prices if spec.teacher else None
    usd = None
    if prices and prices.prompt is not None and prices.completion is not None:
        usd = (asked * prices.prompt + told * prices.completion) / 1e6
    at_once = spec.teacher.concurrency if spec.teacher else 1
    return {
        "requests": requests,
        "prompt_tokens": asked,
        "completion_tokens": told,
        "usd": usd,
        "seconds": math.ceil(requests / at_once) * SECONDS,
    }


SHOWN = ("register", "pairs", "train", "validation", "test", "short", "medium", "long")
"""Columns of the quotas that fit a terminal; the report has all."""


def teaching_plan(spec: Spec, prompt: str, cells: Sequence[Cell], done: bool) -> Group:
    """Quotas, calls, tokens, money, time, and one example of what is sent; for the terminal."""
    if done:
        pairs = plural(spec.distill.pairs, "pair")
        return Group(Text(f"{pairs} were written already and will be reused"))
    table = Table(title="pairs the teacher writes", title_justify="left", box=SIMPLE)
    for name in SHOWN:
        table.add_column(name, justify="left" if name == "register" else "right")
    for row in describe(cells):
        table.add_row(*(str(row[name]) for name in SHOWN))
    told = estimate(spec, prompt, cells)
    money = "unknown (set teacher.prices)" if told["usd"] is None else f"${told['usd']:.2f}"
    examples = prompts.choose_examples(spec.seeds, EXAMPLE_QUESTION, 0)[: spec.distill.examples]
    example = prompts.answer_request(
        EXAMPLE_QUESTION, cells[0], persona_prompt=prompt, examples=examples, sample=0
    )
    return Group(
        table,
        Text(
            f"about {told['requests']:.0f} requests, {told['prompt_tokens']:.0f} tokens of questions"
            f" and {told['completion_tokens']:.0f} of answers if nothing is rejected; cost {money};"
            f" {duration(told['seconds'] or 0)} if a call takes {SECONDS:.0f} s\n"
        ),
        Text("one request for an answer:"),
        *(Text(f"  [{m['role']}] {m['content']}") for m in example.messages),
    )
