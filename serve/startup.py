"""From release names to personas being served: admit, start engines, replay the golden probes."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import httpx

from factory import plugins
from factory.chat import ChatFormat
from factory.contracts import Endpoint, Engine
from factory.errors import EngineError, UsageError
from serve.proxy import PATH
from serve.releases import Admission, admit, find
from serve.served import Served

log = logging.getLogger("serve")

COMPARED = 4
"""Greedy tokens of a probe that must come out as released; further on, another machine's rounding
may decide a tie differently."""


def prepare(
    root: Path, refs: Sequence[str], *, allow_ungated: bool, announce: Callable[[str], None]
) -> list[Admission]:
    """Find and admit every release; nothing is loaded.

    Raises:
        UsageError: If a name is unknown or given twice.
        FactoryError: If a release is not what passed the gate.
    """
    releases = [find(root, ref) for ref in refs]
    names = [release.path.parent.name for release in releases]
    if twice := next((name for name in names if names.count(name) > 1), None):
        raise UsageError(
            "one release of a persona at a time",
            got=" ".join(ref for ref in refs if ref.partition("@")[0] == twice),
            hint=f"choose one of them: {twice}@N",
        )
    admissions = [admit(release, allow_ungated=allow_ungated) for release in releases]
    for name, admission in zip(names, admissions, strict=True):
        for doubt in admission.doubts:
            log.warning("%s is served ungated: %s", name, doubt)
            announce(f"warning: {name} is served ungated: {doubt}")
    return admissions


@contextmanager
def started(
    root: Path,
    admissions: Sequence[Admission],
    *,
    engine: str,
    announce: Callable[[str], None],
) -> Iterator[dict[str, tuple[Served, Endpoint]]]:
    """Run an engine for every release; all of them are gone on exit.

    Raises:
        UsageError: If the engine is unknown.
        EngineError: If one cannot run here, does not start, or does not reproduce the probes.
    """
    with ExitStack() as stack:
        running: dict[str, tuple[Served, Endpoint]] = {}
        for admission in admissions:
            release, facts = admission.release, admission.release.facts()
            runner = choose(engine if engine != "auto" else facts.get("engine", "auto"))
            ref = f"{facts['name']}@{facts['number']}"
            announce(f"{ref}: starting {runner.name}")
            endpoint = stack.enter_context(
                runner.serve(
                    release.weights,
                    model=f"{facts['name']}@{facts['model_digest'][:12]}",
                    max_model_len=facts["window"],
                    options={
                        "dtype": facts["dtype"],
                        "log": root / "logs" / f"serve-{ref}-{runner.name}.log",
                        "eager": False,
                        "memory_share": 1 / len(admissions),
                    },
                )
            )
            format = ChatFormat.load(release.weights, where=ref)
            genuine = getattr(runner, "answers_from_weights", True)
            if genuine:
                replay(endpoint, facts, format)
            else:
                announce(f"warning: {runner.name} is a stand-in; its answers are not {ref}'s")
            gated = admission.gated and genuine
            running[facts["name"]] = (Served.of(facts, gated=gated, format=format), endpoint)
        yield running


def choose(name: str) -> Engine:
    """The engine of this name; for `auto`, vLLM where it can run, else transformers.

    Raises:
        UsageError: If no such plug-in is installed.
        EngineError: If it cannot run here; says why.
    """
    if name == "auto":
        vllm: Engine = plugins.load("engines", "vllm")()
        return vllm if vllm.available() is None else choose("transformers")
    engine: Engine = plugins.load("engines", name)()
    if (reason := engine.available()) is not None:
        raise EngineError(
            f"the engine {name!r} cannot run here",
            got=reason,
            hint="run `factory doctor`, or choose another with --engine",
        )
    return engine


def replay(endpoint: Endpoint, facts: Mapping[str, Any], format: ChatFormat) -> None:
    """Ask the release's probes again: this engine must read and answer them as they were recorded.

    Every prompt must tokenise to the same ids. The first greedy tokens must agree on at least half
    of the probes: a tie that other hardware breaks differently is not taken for other weights.

    Raises:
        EngineError: With the numbers.
    """
    agreed = 0
    for probe in facts["probes"]:
        messages = probe["messages"]
        messages = list(format.accepted(messages))
        prompt_ids, token_ids = _greedy(endpoint, messages, len(probe["token_ids"]) + 1)
        if prompt_ids != probe["prompt_ids"]:
            raise EngineError(
                "the engine reads a conversation differently than the model was trained to",
                got=_difference(prompt_ids, probe["prompt_ids"]),
                allowed="the prompt ids recorded in release.json",
                hint="run `factory doctor`: tokenizer or template handling differs in this version",
            )
        expected = probe["token_ids"][:COMPARED]
        agreed += token_ids[: len(expected)] == expected
    if 2 * agreed < len(facts["probes"]):
        raise EngineError(
            "the engine does not answer as the released model did",
            got=f"{agreed} of {len(facts['probes'])} probes begin with the recorded tokens",
            allowed="at least half of them",
            hint="run `factory doctor`, or choose another engine with --engine",
        )


def _greedy(endpoint: Endpoint, messages: Any, count: int) -> tuple[list[int], list[int]]:
    transport = httpx.HTTPTransport(uds=str(endpoint.uds) if endpoint.uds else None)
    body = {
        "model": endpoint.model,
        "messages": messages,
        "temperature": 0,
        "top_p": 1,
        "repetition_penalty": 1.0,
        "max_tokens": count,
        "return_token_ids": True,
    }
    with httpx.Client(
        transport=transport, base_url=endpoint.base_url, headers=endpoint.headers, timeout=300
    ) as client:
        try:
            response = client.post(PATH, json=body)
            response.raise_for_status()
        except httpx.HTTPError as error:
            raise EngineError("the engine did not answer a probe", got=str(error)) from error
    found = response.json()
    return found.get("prompt_token_ids") or [], found["choices"][0].get("token_ids") or []


def _difference(got: Sequence[int], expected: Sequence[int]) -> str:
    pairs = enumerate(zip(got, expected, strict=False))
    at = next((i for i, (a, b) in pairs if a != b), min(len(got), len(expected)))
    return (
        f"{len(got)} ids, from position {at}: {list(got[at : at + 4])};"
        f" recorded: {len(expected)} ids, {list(expected[at : at + 4])}"
    )
