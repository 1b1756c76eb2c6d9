"""The fallback engine with a tiny real model, held to what transformers itself generates."""

from __future__ import annotations

import gc
import shutil
import weakref
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from factory import plugins
from factory.chat import ChatFormat
from factory.contracts import Endpoint
from factory.errors import EngineError
from serve.engines.door import client as engine_client
from serve.engines.generation import Generator
from tests.serve.conftest import PROMPT, golden

MESSAGES: list[Any] = [
    {"role": "system", "content": PROMPT},
    {"role": "user", "content": "What is \u4e2d\u6587 in   English?\n\nBriefly, \U0001f600."},
    {"role": "assistant", "content": " Chinese."},
    {"role": "user", "content": "Thank you"},
]


@pytest.fixture(scope="module", params=["tiny_llama", "tiny_qwen2", "tiny_qwen3"])
def folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model as releases have it: with the pinned template."""
    found = tmp_path_factory.mktemp("pinned") / "model"
    shutil.copytree(request.getfixturevalue(request.param), found)
    (found / "chat_template.jinja").write_text(ChatFormat.load(found).template, "utf-8")
    return found


@pytest.fixture(scope="module")
def endpoint(folder: Path) -> Iterator[Endpoint]:
    engine = plugins.load("engines", "transformers")()
    assert engine.available() is None
    with engine.serve(
        folder, model="tiny@1", max_model_len=512, options={"dtype": "float32"}
    ) as endpoint:
        yield endpoint


def post(endpoint: Endpoint, **body: Any) -> Any:
    with engine_client(endpoint) as http:
        sent = {"model": endpoint.model, "messages": MESSAGES, "max_tokens": 8, **body}
        response = http.post("/v1/chat/completions", json=sent)
    assert response.status_code == 200, response.text
    return response.json()


def test_prompts_are_read_as_the_chat_format_writes_them(endpoint: Endpoint, folder: Path) -> None:
    chat = ChatFormat.load(folder)
    for messages in (MESSAGES, MESSAGES[1:2], MESSAGES[:2]):
        found = post(endpoint, messages=messages, return_token_ids=True, temperature=0)
        assert found["prompt_token_ids"] == chat.prompt_ids(messages)
        assert found["usage"]["prompt_tokens"] == len(found["prompt_token_ids"])


def test_greedy_answers_are_transformers_own(endpoint: Endpoint, folder: Path) -> None:
    for probe in golden(folder, PROMPT):
        found = post(
            endpoint,
            messages=probe["messages"],
            temperature=0,
            max_tokens=12,
            return_token_ids=True,
        )
        tokens = found["choices"][0]["token_ids"]
        stopped = found["choices"][0]["finish_reason"] == "stop"
        assert (tokens[:-1] if stopped else tokens) == probe["token_ids"]


def test_log_probabilities_are_the_models(endpoint: Endpoint, folder: Path) -> None:
    import torch
    from transformers import AutoModelForCausalLM

    found = post(
        endpoint, temperature=0, logprobs=True, top_logprobs=3, return_token_ids=True, max_tokens=5
    )
    prompt, tokens = found["prompt_token_ids"], found["choices"][0]["token_ids"]
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    with torch.inference_mode():
        scores = model(torch.tensor([prompt + tokens])).logits[0].log_softmax(-1)
    entries = found["choices"][0]["logprobs"]["content"]
    assert len(entries) == len(tokens)
    for i, (token, entry) in enumerate(zip(tokens, entries, strict=True)):
        expected = scores[len(prompt) - 1 + i]
        assert entry["logprob"] == pytest.approx(expected[token].item(), abs=1e-4)
        best = [e["logprob"] for e in entry["top_logprobs"]]
        assert best == pytest.approx(expected.topk(3).values.tolist(), abs=1e-4)


def test_a_seed_repeats_a_draw_and_another_changes_it(endpoint: Endpoint) -> None:
    def draw(seed: int) -> str:
        found = post(endpoint, seed=seed, temperature=1.5, max_tokens=16)
        text: str = found["choices"][0]["message"]["content"]
        return text

    assert draw(1) == draw(1)
    assert len({draw(seed) for seed in range(4)}) > 1


def test_sampling_limits_narrow_the_choice(endpoint: Endpoint) -> None:
    greedy = post(endpoint, temperature=0, max_tokens=12)["choices"][0]["message"]
    for narrow in ({"top_k": 1}, {"top_p": 1e-6}, {"min_p": 1.0}, {"temperature": 1e-4}):
        found = post(endpoint, **{"temperature": 2.0, "seed": 5, "max_tokens": 12, **narrow})
        assert found["choices"][0]["message"] == greedy, narrow


def test_penalties_break_repetition(endpoint: Endpoint) -> None:
    def kinds(**penalty: float) -> int:
        found = post(endpoint, temperature=0, max_tokens=40, return_token_ids=True, **penalty)
        tokens = found["choices"][0]["token_ids"]
        return len(set(tokens)) - len(tokens)  # 0 if nothing is repeated

    for penalty in (
        {"presence_penalty": 2.0},
        {"frequency_penalty": 2.0},
        {"repetition_penalty": 2.0},
    ):
        assert kinds(**penalty) >= kinds()
    assert kinds(frequency_penalty=100.0) == 0


def test_a_stream_adds_up_to_the_whole(endpoint: Endpoint) -> None:
    import json

    body = {"temperature": 0, "max_tokens": 30, "logprobs": True, "return_token_ids": True}
    whole = post(endpoint, **body)
    with engine_client(endpoint) as http:
        sent = {"model": "x", "messages": MESSAGES, "stream": True, **body}
        lines = http.post("/v1/chat/completions", json=sent).text.split("\n\n")
    chunks = [json.loads(line.removeprefix("data: ")) for line in lines[:-2]]
    choices = [chunk["choices"][0] for chunk in chunks]
    choice = whole["choices"][0]
    assert lines[-2] == "data: [DONE]"
    assert "".join(c["delta"].get("content") or "" for c in choices) == choice["message"]["content"]
    assert [t for c in choices for t in c["token_ids"]] == choice["token_ids"]
    assert chunks[0]["prompt_token_ids"] == whole["prompt_token_ids"]
    assert choices[-1]["finish_reason"] == choice["finish_reason"]


def test_bytes_that_are_no_character_end_no_answer(endpoint: Endpoint) -> None:
    """Random weights say them often."""
    for seed in range(40):
        post(endpoint, seed=seed, max_tokens=12, temperature=2, min_p=0.0)


def test_the_window_is_a_hard_limit(endpoint: Endpoint) -> None:
    long = [{"role": "user", "content": "word " * 90}]
    found = post(endpoint, messages=long, max_tokens=5000, temperature=0)
    assert found["usage"]["total_tokens"] <= 512
    with engine_client(endpoint) as http:
        body = {"messages": [{"role": "user", "content": "word " * 2000}]}
        assert http.post("/v1/chat/completions", json=body).status_code == 400


def test_the_engine_s_door_is_private(endpoint: Endpoint) -> None:
    assert endpoint.uds is not None
    assert endpoint.uds.parent.stat().st_mode & 0o077 == 0
    assert len(str(endpoint.uds)) < 108
    with httpx.Client(transport=httpx.HTTPTransport(uds=str(endpoint.uds))) as stranger:
        refused = stranger.post("http://x/v1/chat/completions", json={"messages": MESSAGES})
    assert refused.status_code == 401


def test_a_folder_that_is_no_model_is_one_clear_error(tmp_path: Path) -> None:
    engine = plugins.load("engines", "transformers")()
    with (
        pytest.raises(EngineError, match="cannot load this model"),
        engine.serve(tmp_path, model="x", max_model_len=64, options={}),
    ):
        pass


def test_the_memory_of_a_model_is_free_when_its_engine_has_ended(
    tiny_llama: Path, monkeypatch: pytest.MonkeyPatch, set_aside: Callable[[], None]
) -> None:
    kept: list[weakref.ref[Any]] = []
    load = Generator.load

    def loaded(folder: Path, dtype: str) -> Generator:
        brain = load(folder, dtype)
        kept.append(weakref.ref(brain.model))
        return brain

    monkeypatch.setattr(Generator, "load", loaded)
    engine = plugins.load("engines", "transformers")()
    with engine.serve(tiny_llama, model="x", max_model_len=512, options={}):
        set_aside()
    gc.collect()
    assert [one() for one in kept] == [None]
