"""Golden probes: an engine is ready when it reads and answers a release's prompts as they were recorded."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import httpx

from factory.chat import ChatFormat
from factory.contracts import Endpoint, Message
from factory.errors import EngineError

PATH = "/v1/chat/completions"

COMPARED = 4
"""Greedy tokens of a probe that must come out as released; further on, another machine's rounding
may decide a tie differently."""

OPENINGS = ("Hello", "Tell me about tea.", "What should I do today?")

FELT = 1e-3
"""Nats by which an adapter must move a log-probability to count as loaded; two runs of the same engine
on fp32 weights were at most 5e-6 apart."""


def replay(endpoint: Endpoint, facts: Mapping[str, Any], format: ChatFormat) -> None:
    """Ask the release's probes again.

    Every prompt must tokenise to the same ids. The first greedy tokens must agree on at least half
    of the probes: a tie that other hardware breaks differently is not taken for other weights. A
    probe whose whole answer came out as recorded must end where the recorded one did.

    Raises:
        EngineError: With the numbers.
    """
    agreed = 0
    for probe in facts["probes"]:
        messages = list(format.accepted(probe["messages"]))
        found = _greedy(endpoint, messages, max_tokens=len(probe["token_ids"]) + 1)
        prompt_ids = found.get("prompt_token_ids") or []
        if prompt_ids != probe["prompt_ids"]:
            raise EngineError(
                "the engine reads a conversation differently than the model was trained to",
                got=_difference(prompt_ids, probe["prompt_ids"]),
                allowed="the prompt ids recorded in release.json",
                hint="run `factory doctor`: tokenizer or template handling differs in this version",
            )
        choice, recorded = found["choices"][0], probe["token_ids"]
        ids = choice.get("token_ids") or []
        agreed += ids[:COMPARED] == recorded[:COMPARED]
        ends = probe.get("stopped") and ids[: len(recorded)] == recorded
        if ends and choice["finish_reason"] != "stop":
            raise EngineError(
                "the engine does not stop where the released model did",
                got=f"{choice['finish_reason']!r} after {len(ids)} tokens",
                allowed=f"a stop after {len(recorded)}",
                hint="run `factory doctor`: the stop token is handled differently in this version",
            )
    if 2 * agreed < len(facts["probes"]):
        raise EngineError(
            "the engine does not answer as the released model did",
            got=f"{agreed} of {len(facts['probes'])} probes begin with the recorded tokens",
            allowed="at least half of them",
            hint="run `factory doctor`, or choose another engine with --engine",
        )


Words = list[dict[str, float]]
"""Log-probabilities, in nats, of the likeliest first tokens of answers to `OPENINGS`."""


def first_words(endpoint: Endpoint) -> Words:
    """What a model is about to say first."""
    found = []
    for opening in OPENINGS:
        messages: list[Message] = [{"role": "user", "content": opening}]
        answer = _greedy(endpoint, messages, max_tokens=1, logprobs=True, top_logprobs=5)
        told = answer["choices"][0]["logprobs"]["content"][0]["top_logprobs"]
        found.append({entry["token"]: entry["logprob"] for entry in told})
    return found


def differs(adapted: Endpoint, base: Words) -> None:
    """Prove that an adapter changes what the base says: some engines load one and serve the base.

    Args:
        adapted: The engine under the adapter's name.
        base: What the base said when nothing else was running. Asked amid other adapters' streams,
            vLLM 0.32 on a CPU was seen to answer for the base with one of them.

    Raises:
        EngineError: If no first log-probability moves.
    """
    moved = max(map(_distance, first_words(adapted), base))
    if moved < FELT:
        raise EngineError(
            "the adapter is loaded and changes nothing: the engine serves the base",
            got=f"log-probabilities at most {moved:.1e} nats from the base's",
            allowed=f"at least {FELT}",
            hint="serve this persona alone, from its merged weights",
        )


def _distance(one: Mapping[str, float], other: Mapping[str, float]) -> float:
    """Largest difference, in nats, between the likeliest first tokens; infinite if they are others."""
    return max((abs(one[t] - other[t]) for t in one.keys() & other.keys()), default=float("inf"))


def _greedy(endpoint: Endpoint, messages: Sequence[Message], **options: Any) -> Any:
    transport = httpx.HTTPTransport(uds=str(endpoint.uds) if endpoint.uds else None)
    body = {
        "model": endpoint.model,
        "messages": messages,
        "temperature": 0,
        "top_p": 1,
        "repetition_penalty": 1.0,
        "return_token_ids": True,
        **options,
    }
    with httpx.Client(
        transport=transport, base_url=endpoint.base_url, headers=endpoint.headers, timeout=300
    ) as client:
        try:
            response = client.post(PATH, json=body)
            response.raise_for_status()
            return response.json()
        except (httpx.HTTPError, ValueError) as error:
            raise EngineError("the engine did not answer a probe", got=str(error)) from error


def _difference(got: Sequence[int], expected: Sequence[int]) -> str:
    pairs = enumerate(zip(got, expected, strict=False))
    at = next((i for i, (a, b) in pairs if a != b), min(len(got), len(expected)))
    return (
        f"{len(got)} ids, from position {at}: {list(got[at : at + 4])};"
        f" recorded: {len(expected)} ids, {list(expected[at : at + 4])}"
    )
