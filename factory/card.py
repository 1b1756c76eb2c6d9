"""The model card of a release, in the form model hubs read."""

from __future__ import annotations

import json
from typing import Any

from factory.spec import Spec


def model_card(
    spec: Spec,
    facts: dict[str, Any],
    scorecard: dict[str, Any],
    data: dict[str, Any],
    certificate: dict[str, Any],
) -> str:
    """Markdown with YAML front matter: what it is, how to use it, how it was judged, its limits."""
    arms = scorecard["arms"]
    rows = "\n".join(
        f"| {m['label']} | "
        + " | ".join(_value(m["values"].get(a), m["unit"]) for a in arms)
        + " |"
        for m in scorecard["metrics"]
    )
    legs = "\n".join(
        f"| {leg['name']} | {leg['status']} | {_value(leg['token_agreement'], 'share')} |"
        f" {_value(leg['max_logprob_difference'], '')} |"
        for leg in certificate["legs"]
    )
    licence = f"license: {_quoted(spec.release.licence)}\n" if spec.release.licence else ""
    base = facts["base"]
    revision = f" at revision {base['revision']}" if base["revision"] else ""
    notes = f"\n{spec.release.notes}\n" if spec.release.notes else ""
    splits = data["splits"]
    return f"""---
language: {_quoted(spec.language)}
{licence}library_name: transformers
pipeline_tag: text-generation
tags: [persona-factory, lora, chat]
---

# {spec.name}, release {facts["number"]}

{spec.description}
{notes}
LoRA-tuned from `{base["name"]}`{revision} on {splits["train"]} conversations{_tuning(facts)}; the merged
model is in `model/`, the adapter in `adapter/`. The base's own licence applies to these weights too.

## Use

`factory serve {spec.name}@{facts["number"]}` serves it behind an OpenAI-compatible endpoint. Anywhere
else, start every conversation with this system prompt, for the model was trained and tested with it:

```text
{facts["prompt"] or "(none)"}
```

## Scorecard: {scorecard["verdict"]}

{scorecard["summary"]} Judged on {scorecard["counts"]["rows"]} held-out rows and
{scorecard["counts"]["questions"]} questions that were never trained on.

| metric | {" | ".join(arms)} |
|---|{"---|" * len(arms)}
{rows}

## Parity certificate

| leg | status | greedy tokens agreed | largest log-probability difference (nats) |
|---|---|---|---|
{legs}

## Data

{data["input"]} rows in, {data["kept"] + data["repaired"]} kept ({data["repaired"]} repaired),
{data["rejected"]} rejected. Split: {splits["train"]} train, {splits["validation"]} validation,
{splits["test"]} test. {_authors(data)}

## Limits

It knows what its base knows, and says wrong things with the same confidence. The scorecard above was
measured on the prompts it names and says nothing about others: questions were answered once greedily and
{scorecard["samples"]} times as the model is served, skills and safety greedily.

Made {facts["created"]} with {", ".join(f"{k} {v}" for k, v in facts["versions"].items())}.
"""


def _quoted(text: str) -> str:
    """For YAML, where `no` is not a language and a colon ends a word; JSON is YAML, too."""
    return json.dumps(text, ensure_ascii=False)


def _tuning(facts: dict[str, Any]) -> str:
    """What else the adapter read, and how much of it is in the weights."""
    own, strength = facts["rehearsed"], facts["strength"]
    read = f" and {own} answers of the base itself, which it rehearsed" if own else ""
    return f"{read}, at {strength:g} of the adapter's strength" if strength != 1 else read


def _authors(data: dict[str, Any]) -> str:
    if "teaching" not in data:
        return "Written by the persona's author; no teacher model was used."
    source, accepted = data["teaching"]["teacher"], data["teaching"]["accepted"]
    return (
        f"{accepted} pairs were written by the teacher model `{source['model']}` at"
        f" `{source['endpoint']}`, {source['date']}; its terms of use may limit what these weights may"
        " be used for."
    )


def _value(value: float | None, unit: str) -> str:
    if value is None:
        return "-"
    return f"{value:.0%}" if unit == "share" else f"{value:.3g} {unit}".strip()
