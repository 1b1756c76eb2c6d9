"""release: an immutable, numbered folder with everything needed to serve or audit one persona."""

from __future__ import annotations

import os
import shutil
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from factory.artifacts import Adapter, Dataset, Model, Release, Scorecard, write_json, write_text
from factory.base import Base, place
from factory.card import model_card
from factory.contracts import Progress
from factory.errors import InstrumentInvalid
from factory.examples import probe_prompts
from factory.spec import Release as ReleaseConfig
from factory.spec import Spec
from factory.store import Stage, home
from factory.teachers.keeping import kept

SPLITS = ("train", "validation", "test")
"""The rows travel with the release, so that it can be judged again anywhere."""

RELEASED = ("PASS", "INCONCLUSIVE")
"""Verdicts that make a release; what the second kind may be used for, `promotable` says."""


def run(
    config: ReleaseConfig,
    /,
    *,
    out: Path,
    progress: Progress,
    number: int,
    spec: Spec,
    prompt: str,
    base: Base,
    data: Dataset,
    adapter: Adapter,
    model: Model,
    scorecard: Scorecard,
) -> dict[str, Any]:
    """Link weights and papers into one folder.

    Raises:
        InstrumentInvalid: If the scorecard is of other weights, or neither PASS nor INCONCLUSIVE
            (law 9).
    """
    card = scorecard.card()
    if card["verdict"] not in RELEASED or card["model_digest"] != model.digest:
        raise InstrumentInvalid(
            "only a model that passed is released",
            got=f"verdict {card['verdict']} for weights {card['model_digest'][:12]}",
            allowed=f"PASS for weights {model.digest[:12]}",
        )
    model.verify()
    adapter.verify()
    _link(model.weights, out / "model")
    _link(adapter.weights, out / "adapter")
    for source, name in (
        (scorecard.path / "scorecard.json", "scorecard.json"),
        (scorecard.path / "answers.jsonl", "answers.jsonl"),
        (model.path / "certificate.json", "certificate.json"),
        (adapter.path / "plan.json", "plan.json"),
        (adapter.path / "metrics.jsonl", "metrics.jsonl"),
        (adapter.path / "curve.json", "curve.json"),
        (adapter.path / "loss.png", "loss.png"),
        (data.path / "report.json", "data.json"),
        *((data.path / f"{name}.jsonl", f"evaluation/{name}.jsonl") for name in SPLITS),
    ):
        _place(source, out / name)
    write_json(out / "persona.json", kept(spec))
    facts = {
        "name": spec.name,
        "number": number,
        "description": spec.description,
        "language": spec.language,
        "base": {
            "name": base.name,
            "place": place(base, home()),
            "revision": base.revision,
            "digest": base.digest,
        },
        "prompt": prompt,
        "window": base.window,
        "sampling": base.sampling(spec.serve),
        "max_tokens": spec.serve.max_tokens,
        "client_system": spec.serve.client_system,
        "completions": spec.serve.completions,
        "engine": spec.serve.engine,
        "verdict": card["verdict"],
        "promotable": card["verdict"] == "PASS" or spec.evaluate.inconclusive == "warn",
        "model_digest": model.digest,
        "adapter_digest": adapter.digest,
        "rehearsed": adapter.manifest.stats["rehearsed"],
        "strength": adapter.manifest.stats["strength"],
        "template_sha256": base.format.template_sha256,
        "eos_token_ids": base.stop_ids,
        "dtype": base.dtype,
        "probes": _probes(adapter, base, data, prompt),
        "versions": model.manifest.recorded["versions"],
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
    }
    write_json(out / "release.json", facts)
    write_text(out / "README.md", model_card(spec, facts, card, data.report(), model.certificate()))
    return {"number": number}


def _probes(adapter: Adapter, base: Base, data: Dataset, prompt: str) -> list[dict[str, Any]]:
    conversations = probe_prompts(base, data, prompt, 2)
    return [
        {
            "messages": messages,
            "prompt_ids": p["prompt_ids"],
            "token_ids": p["token_ids"],
            "stopped": p["stopped"],
        }
        for messages, p in zip(conversations, adapter.probes(), strict=False)
    ]


def _place(source: Path, target: Path) -> None:
    """Hard-link where the file system can, copy where it cannot."""
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)


def _link(source: Path, target: Path) -> None:
    for file in sorted(source.rglob("*")):
        if file.is_file():
            _place(file, target / file.relative_to(source))


STAGE = Stage("release", version=5, makes=Release, run=run)
