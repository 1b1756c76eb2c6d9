"""Small persona files for tests: real rows, real formats, quick to build."""

from __future__ import annotations

import json
from pathlib import Path

HERE = Path(__file__).resolve().parent.parent / "personas"

NOTHING_TO_LOSE = """{suites: [forgetting], max_new_tokens: 16,
  margins: {drift: 99, form: 1, forgetting: 1}}"""
"""The gate of a model with random weights: what it would hold against a tune says nothing here."""


def rows(name: str = "concise", count: int = 48) -> list[dict[str, object]]:
    """The first rows of a shipped persona."""
    lines = (HERE / f"{name}.jsonl").read_text("utf-8").splitlines()
    return [json.loads(line) for line in lines[:count]]


def write_persona(
    folder: Path,
    base: Path | str,
    *,
    name: str = "brief",
    count: int = 48,
    tune: str = "{learning_rate: 0.01, epochs: 4}",
    evaluate: str = NOTHING_TO_LOSE,
    extra: str = "",
) -> Path:
    """A persona file with its data beside it; `tune`, `evaluate` and `extra` are YAML.

    A model with random weights learns at rates that would ruin a real one. vLLM has tests of its
    own, so the certificate does without its leg.
    """
    folder.mkdir(parents=True, exist_ok=True)
    data = "".join(json.dumps(row) + "\n" for row in rows(count=count))
    (folder / "rows.jsonl").write_text(data, "utf-8")
    file = folder / f"{name}.yaml"
    file.write_text(
        f"""name: {name}
description: Answers in a few words.
base: {base}
voice: [short, plain]
rules:
  - {{max_words: 300}}
seeds:
  - instruction: Tea or coffee?
    output: Tea, if it is late.
data: [rows.jsonl]
questions:
  - ask: How many days are in a week?
    expect: {{number: 7}}
  - ask: What is snow made of?
    expect: [ice, water]
  - ask: What should I read next?
tune: {tune}
merge: {{engines: []}}
evaluate: {evaluate}
{extra}""",
        "utf-8",
    )
    return file
