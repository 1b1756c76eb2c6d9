"""Releases made of a tiny real model, and endpoints that serve them."""

from __future__ import annotations

import gc
import json
import shutil
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import pytest
from openai import OpenAI

from factory.artifacts import Model, Release, hash_folder, payload_digest
from factory.chat import ChatFormat
from factory.store import Stage, commit
from serve.app import create_app
from serve.doorkeeper import Doorkeeper
from serve.keys import Keyring
from serve.launch import Launcher
from serve.limits import UNLIMITED, Limits
from serve.listening import claim_port, running
from serve.startup import prepare, supervised

CANARY = "heliotrope-canary-7731"
"""A word that only the system prompt has."""

PROMPT = f"Answer in one short sentence. The pass phrase is {CANARY}."
WINDOW = 512

MakeRelease = Callable[..., Release]
Serve = Callable[..., AbstractContextManager[str]]


def golden(model_dir: Path, prompt: str) -> list[dict[str, Any]]:
    """Probes, answered by transformers' own greedy generation."""
    import torch
    from transformers import AutoModelForCausalLM

    model: Any = AutoModelForCausalLM.from_pretrained(model_dir, dtype=torch.float32)
    chat = ChatFormat.load(model_dir)
    probes = []
    for question in ("Why is the sky blue?", "Tea or coffee?"):
        messages: list[Any] = [
            {"role": "system", "content": prompt},
            {"role": "user", "content": question},
        ]
        ids = chat.prompt_ids(messages)
        out = model.generate(
            torch.tensor([ids]),
            attention_mask=torch.ones(1, len(ids), dtype=torch.long),
            max_new_tokens=12,
            do_sample=False,
            temperature=None,
            top_p=None,
            repetition_penalty=1.0,
            pad_token_id=chat.stop_id,
            eos_token_id=chat.stop_id,
        )
        answer = out[0, len(ids) :].tolist()
        if answer[-1] == chat.stop_id:
            answer.pop()
        probes.append({"messages": messages, "prompt_ids": ids, "token_ids": answer})
    return probes


def make_release(
    root: Path,
    model_dir: Path,
    *,
    number: int = 1,
    verdict: str = "PASS",
    card_digest: str | None = None,
    adapter: Path | None = None,
    **facts: Any,
) -> Release:
    """Write `releases/<name>/<number>` the way the release stage does; `facts` override release.json."""
    name = facts.setdefault("name", "brief")
    final = root / "releases" / name / str(number)
    partial = final.with_name(f"{number}.partial")
    shutil.copytree(model_dir, partial / "model")
    if adapter is None:
        (partial / "adapter").mkdir()
        (partial / "adapter" / "adapter_config.json").write_text("{}")
    else:
        shutil.copytree(adapter, partial / "adapter")
    digest = payload_digest(hash_folder(partial), Model.payload)
    base_facts = {
        "number": number,
        "description": "Answers in one short sentence.",
        "language": "en",
        "base": {"name": "tiny", "revision": None, "digest": "0"},
        "prompt": PROMPT,
        "window": WINDOW,
        "sampling": {},
        "max_tokens": 24,
        "client_system": "append",
        "engine": "auto",
        "model_digest": digest,
        "verdict": verdict,
        "promotable": verdict != "INCONCLUSIVE",
        "template_sha256": ChatFormat.load(model_dir).template_sha256,
        "created": "2026-01-02T03:04:05+00:00",
        "eos_token_ids": [ChatFormat.load(model_dir).stop_id],
        "dtype": "float32",
        "probes": [],
    }
    written = {**base_facts, **facts}
    card = {"verdict": verdict, "model_digest": card_digest or digest}
    (partial / "release.json").write_text(json.dumps(written))
    (partial / "scorecard.json").write_text(json.dumps(card))
    (partial / "persona.json").write_text("{}")
    stage = Stage("release", version=1, makes=Release, run=lambda: {})
    commit(stage, f"key{number}", partial, final, inputs={}, stats={}, seconds=0.1)
    return Release.open(final)


@pytest.fixture
def release(factory_home: Path, tiny_llama: Path) -> MakeRelease:
    """Makes releases of the tiny Llama in this test's `$FACTORY_HOME`."""

    def make(**facts: Any) -> Release:
        return make_release(factory_home, tiny_llama, **facts)

    return make


@contextmanager
def endpoint(
    root: Path,
    *refs: str,
    engine: str,
    key: str | None = None,
    rates: Limits = UNLIMITED,
    allow_ungated: bool = False,
    announce: Callable[[str], None] = lambda _: None,
    **limits: Any,
) -> Iterator[str]:
    """Serve releases from a thread, through the same parts as `factory serve`; yields the URL."""
    admissions = prepare(root, refs, allow_ungated=allow_ungated, announce=announce)
    launcher = Launcher(root, engine, announce)
    doorkeeper = Doorkeeper(Keyring(root), operator=key, defaults=rates)
    with (
        supervised(
            root, refs, admissions, launcher, allow_ungated=allow_ungated, **limits
        ) as keeper,
        claim_port("127.0.0.1", 0, keyed=doorkeeper.locked) as door,
        running(create_app(keeper.fleet, doorkeeper, keeper=keeper), door),
    ):
        yield f"http://127.0.0.1:{door.getsockname()[1]}"


@pytest.fixture
def serve(factory_home: Path) -> Serve:
    """Serves releases of this test's `$FACTORY_HOME`."""

    def run(*refs: str, engine: str = "echo", **options: Any) -> AbstractContextManager[str]:
        return endpoint(factory_home, *refs, engine=engine, **options)

    return run


@pytest.fixture
def set_aside() -> Iterator[Callable[[], None]]:
    """Sets aside what is loaded, as a running endpoint does: the garbage collector looks at it no more."""

    def freeze() -> None:
        gc.collect()
        gc.freeze()

    yield freeze
    gc.unfreeze()


@contextmanager
def sdk(url: str, key: str = "none") -> Iterator[OpenAI]:
    """The real client."""
    with OpenAI(base_url=f"{url}/v1", api_key=key, max_retries=0, timeout=60) as client:
        yield client


def ask(text: str) -> list[Any]:
    """A conversation of one question."""
    return [{"role": "user", "content": text}]
