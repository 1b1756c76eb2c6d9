"""The endpoint over a real port, with the real openai SDK as its client and the echo engine behind it."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import openai
import pytest

from tests.serve.conftest import CANARY, MakeRelease, Serve, ask, endpoint, make_release, sdk

KEY = "sesame-4410"


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory, tiny_llama: Path) -> Iterator[str]:
    """One endpoint with two personas and no key."""
    root = tmp_path_factory.mktemp("served")
    make_release(root, tiny_llama, name="brief")
    make_release(root, tiny_llama, name="brief", number=2)
    make_release(root, tiny_llama, name="long", max_tokens=300)
    with endpoint(root, "brief", "long", engine="echo") as url:
        yield url


@pytest.fixture(scope="module")
def client(url: str) -> Iterator[openai.OpenAI]:
    with sdk(url) as client:
        yield client


def test_the_sdk_gets_an_answer(client: openai.OpenAI) -> None:
    answer = client.chat.completions.create(model="brief", messages=ask("Good morning, you"))
    assert answer.choices[0].message.content == "echo: Good morning, you"
    assert answer.choices[0].message.role == "assistant"
    assert answer.choices[0].finish_reason == "stop"
    assert answer.model == "brief"
    assert answer.usage is not None
    assert answer.usage.completion_tokens == 4
    assert answer.usage.total_tokens == answer.usage.prompt_tokens + 4


@pytest.mark.parametrize(
    "text", ["Good morning", "two  spaces\n\nand lines ", "\u2028 \x85 \u4f60\u597d \U0001f600"]
)
def test_a_stream_adds_up_to_the_whole_answer(client: openai.OpenAI, text: str) -> None:
    whole = client.chat.completions.create(model="brief", messages=ask(text))
    stream = client.chat.completions.create(model="brief", messages=ask(text), stream=True)
    chunks = list(stream)
    parts = [c.choices[0].delta.content or "" for c in chunks]
    assert "".join(parts) == whole.choices[0].message.content == f"echo: {text}"
    assert [c.choices[0].delta.role for c in chunks if c.choices[0].delta.role] == ["assistant"]
    assert [c.choices[0].finish_reason for c in chunks][-1] == "stop"
    assert sum(c.choices[0].finish_reason is not None for c in chunks) == 1
    assert len({(c.id, c.created, c.model, c.object) for c in chunks}) == 1
    assert chunks[0].model == "brief"


@pytest.mark.parametrize("options, expected", [({"include_usage": True}, 1), ({}, 0), (None, 0)])
def test_usage_comes_last_and_only_when_asked_for(
    client: openai.OpenAI, options: Any, expected: int
) -> None:
    stream = client.chat.completions.create(
        model="brief", messages=ask("Good morning"), stream=True, stream_options=options
    )
    chunks = list(stream)
    counted = [c for c in chunks if c.usage]
    assert len(counted) == expected
    if expected:
        assert chunks[-1] is counted[0]
        assert chunks[-1].choices == []
        assert chunks[-1].usage is not None and chunks[-1].usage.completion_tokens == 3


def test_stream_options_without_stream_are_harmless(url: str) -> None:
    body = {"model": "brief", "messages": ask("Hi"), "stream_options": {"include_usage": True}}
    response = httpx.post(f"{url}/v1/chat/completions", json=body)
    assert response.status_code == 200
    assert response.json()["object"] == "chat.completion"


def test_a_stream_looks_like_what_chat_uis_parse(url: str) -> None:
    body = {"model": "brief", "messages": ask("Hi"), "stream": True}
    response = httpx.post(f"{url}/v1/chat/completions", json=body)
    assert response.headers["content-type"].split(";")[0] == "text/event-stream"
    assert response.headers["cache-control"] == "no-cache"
    assert response.headers["x-accel-buffering"] == "no"
    assert "content-length" not in response.headers
    events = response.content.decode().split("\n\n")
    assert events[-2:] == ["data: [DONE]", ""]
    assert all(event.startswith("data: {") for event in events[:-2])


def test_models_are_listed_for_every_kind_of_ui(url: str, client: openai.OpenAI) -> None:
    assert [m.id for m in client.models.list()] == ["brief", "long"]
    assert client.models.retrieve("brief").created == 1767323045
    for path in ("/v1/models", "/models", "//v1//models/", "/v1/models/"):
        listed = httpx.get(url + path).json()
        assert listed["object"] == "list"
        card = listed["data"][0]
        assert card["id"] == card["name"] == "brief"
        assert card["max_model_len"] == card["context_length"] == 512
        assert card["description"] == "Answers in one short sentence."
        assert card["architecture"]["input_modalities"] == ["text"]
        assert None not in card.values()


def test_a_model_can_be_pinned_to_its_release(client: openai.OpenAI) -> None:
    response = client.chat.completions.with_raw_response.create(model="brief@2", messages=ask("Hi"))
    assert response.headers["x-persona-factory-release"] == "brief@2"
    with pytest.raises(openai.NotFoundError):
        client.chat.completions.create(model="brief@1", messages=ask("Hi"))


def test_an_unknown_model_is_named_with_the_known_ones(client: openai.OpenAI) -> None:
    with pytest.raises(openai.NotFoundError) as caught:
        client.chat.completions.create(model="breif", messages=ask("Hi"))
    assert caught.value.code == "model_not_found"
    assert caught.value.param == "model"
    assert "brief, long" in caught.value.message
    assert caught.value.request_id
    with pytest.raises(openai.NotFoundError) as caught:
        client.models.retrieve("some/folder/model")
    assert caught.value.code == "model_not_found"


OK = {"model": "brief", "messages": [{"role": "user", "content": "Hi"}]}


@pytest.mark.parametrize(
    "method, path, body, status, code, param",
    [
        ("GET", "/v1/nothing", None, 404, "unknown_url", None),
        ("POST", "/v1/embeddings", {"input": "x"}, 404, "unknown_url", None),
        ("POST", "/v1/completions", {"prompt": "x"}, 400, "invalid_value", "model"),
        ("POST", "/v1/completions", {"model": "brief", "prompt": "x"}, 403, "completions_not_enabled", "model"),
        ("POST", "/v1/responses", {"model": "brief"}, 400, "invalid_value", "input"),
        ("POST", "/tokenize", {"prompt": "x"}, 404, "unknown_url", None),
        ("GET", "/v1/chat/completions", None, 405, "method_not_allowed", None),
        ("DELETE", "/v1/models", None, 405, "method_not_allowed", None),
        ("POST", "/v1/chat/completions", "{not json", 400, "invalid_json", None),
        ("POST", "/v1/chat/completions", {"messages": []}, 400, "invalid_value", "model"),
        ("POST", "/v1/chat/completions", {**OK, "messages": []}, 400, "invalid_value", "messages"),
        ("POST", "/v1/chat/completions", {**OK, "temperature": 9}, 400, "invalid_value", "temperature"),
        ("POST", "/v1/chat/completions", {**OK, "n": 2}, 400, "unsupported_value", "n"),
        ("POST", "/v1/chat/completions", {**OK, "stop": list("abcdefghi")}, 400, "invalid_value", "stop"),
        ("POST", "/v1/chat/completions", {**OK, "tool_choice": "required"}, 400,
         "unsupported_parameter", "tool_choice"),
        ("POST", "/v1/chat/completions", {**OK, "response_format": {"type": "json_object"}}, 400,
         "unsupported_parameter", "response_format"),
        ("POST", "/v1/chat/completions",
         {**OK, "messages": [{"role": "robot", "content": "x"}]}, 400, "invalid_value", "messages.0.role"),
        ("POST", "/v1/chat/completions",
         {**OK, "messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {}}]}]},
         400, "unsupported_content", "messages.0.content.0"),
        ("POST", "/v1/chat/completions",
         {**OK, "messages": [{"role": "system", "content": "x"}]}, 400, "invalid_value", "messages"),
        ("POST", "/v1/chat/completions",
         {**OK, "messages": [{"role": "user", "content": "word " * 3000}]}, 400,
         "context_length_exceeded", "messages"),
        ("POST", "/v1/chat/completions", {**OK, "padding": "x" * (1 << 20)}, 413, "request_too_large", None),
    ],
)  # fmt: skip
def test_every_error_has_the_envelope(
    url: str, method: str, path: str, body: Any, status: int, code: str, param: str | None
) -> None:
    content = {"content": body} if isinstance(body, str) else {"json": body}
    origin = {"origin": "http://localhost:3000"}
    response = httpx.request(method, url + path, headers=origin, **content)
    assert response.status_code == status
    error = response.json()["error"]
    assert set(error) == {"message", "type", "param", "code"}
    assert (error["code"], error["param"]) == (code, param)
    assert error["message"] and error["type"] == "invalid_request_error"
    assert response.headers["x-request-id"]
    assert response.headers["access-control-allow-origin"] == "http://localhost:3000"
    assert CANARY not in response.text


@pytest.mark.parametrize(
    "extra",
    [
        {
            "stop": None,
            "seed": 3,
            "user": "u",
            "logit_bias": {"5": 1},
            "tools": [{"type": "function"}],
        },
        {"tool_choice": None, "tools": None, "response_format": None, "stream_options": None},
        {"top_k": 3, "chat_template": "{{ 'x' }}", "add_generation_prompt": False, "echo": True},
        {
            "presence_penalty": 0.5,
            "frequency_penalty": 0.5,
            "repetition_penalty": 1.1,
            "top_p": 0.5,
        },
        {"unheard_of": {"deeply": ["nested"]}, "stream": None, "max_tokens": None, "n": None},
    ],
)
def test_unknown_and_null_fields_do_no_harm(url: str, extra: dict[str, Any]) -> None:
    response = httpx.post(f"{url}/v1/chat/completions", json={**OK, **extra})
    assert response.status_code == 200, response.text
    assert response.json()["choices"][0]["message"]["content"] == "echo: Hi"


def test_limits_are_clamped_and_told(url: str) -> None:
    body = {**OK, "max_tokens": 100_000, "logprobs": True, "top_logprobs": 20}
    response = httpx.post(f"{url}/v1/chat/completions", json=body)
    told = dict(
        part.split("=") for part in response.headers["x-persona-factory-clamped"].split(", ")
    )
    assert told["top_logprobs"] == "5"
    assert 300 < int(told["max_tokens"]) < 512  # the window less the persona's prompt
    unclamped = httpx.post(f"{url}/v1/chat/completions", json={**OK, "max_tokens": 100})
    assert "x-persona-factory-clamped" not in unclamped.headers


@pytest.mark.parametrize("field", ["max_tokens", "max_completion_tokens"])
def test_length_limits_hold(client: openai.OpenAI, field: str) -> None:
    limit: dict[str, Any] = {field: 2}
    answer = client.chat.completions.create(model="brief", messages=ask("a b c d"), **limit)
    assert answer.choices[0].message.content == "echo: a"
    assert answer.choices[0].finish_reason == "length"


def test_the_persona_s_own_length_limit_is_the_default(client: openai.OpenAI) -> None:
    text = " ".join(map(str, range(60)))
    short = client.chat.completions.create(model="brief", messages=ask(text))
    long = client.chat.completions.create(model="long", messages=ask(text))
    assert short.choices[0].finish_reason == "length"
    assert long.choices[0].message.content == f"echo: {text}"


def test_stop_strings_end_the_answer_whole_and_streamed(client: openai.OpenAI) -> None:
    options: dict[str, Any] = {"model": "long", "messages": ask("one two three"), "stop": ["wo th"]}
    whole = client.chat.completions.create(**options)
    streamed = client.chat.completions.create(**options, stream=True)
    text = "".join(c.choices[0].delta.content or "" for c in streamed)
    assert whole.choices[0].message.content == text == "echo: one t"
    assert whole.choices[0].finish_reason == "stop"


# --- keys and browsers -------------------------------------------------------------------------


def test_a_key_is_needed_where_one_is_set(release: MakeRelease, serve: Serve) -> None:
    release()
    with serve("brief", key=KEY) as url, sdk(url, KEY) as client:
        assert client.chat.completions.create(model="brief", messages=ask("Hi")).choices
        accepted: list[Any] = [{"authorization": f"bearer  {KEY}"}, {"x-api-key": KEY}]
        for headers in accepted:
            assert httpx.get(f"{url}/v1/models", headers=headers).status_code == 200
        wrong: list[Any] = [
            {},
            {"authorization": "Bearer wrong"},
            {"authorization": f"Basic {KEY}"},
            {"x-api-key": KEY[:-1]},
            {"x-api-key": "s\u00e9same".encode()},
        ]
        for headers in wrong:
            refused = httpx.get(f"{url}/v1/models", headers=headers)
            assert refused.status_code == 401
            assert refused.json()["error"]["code"] == "invalid_api_key"
        with sdk(url, "wrong") as stranger, pytest.raises(openai.AuthenticationError):
            stranger.chat.completions.create(model="brief", messages=ask("Hi"))
        bypass = httpx.get(f"{url}/v1/models", headers={"host": "x/?"})
        assert bypass.status_code == 401
        for path in ("/healthz", "/readyz"):
            assert httpx.get(url + path).status_code == 200


def test_with_a_key_any_page_may_ask_and_preflight_needs_none(
    release: MakeRelease, serve: Serve
) -> None:
    release()
    preflight = {
        "origin": "https://ui.example",
        "access-control-request-method": "POST",
        "access-control-request-headers": "authorization, content-type, x-stainless-lang",
    }
    with serve("brief", key=KEY) as url:
        allowed = httpx.options(f"{url}/v1/chat/completions", headers=preflight)
        assert allowed.status_code == 200
        assert "x-stainless-lang" in allowed.headers["access-control-allow-headers"]
        refused = httpx.post(f"{url}/v1/chat/completions", headers={"origin": "https://ui.example"})
        assert refused.status_code == 401
        assert refused.headers["access-control-allow-origin"] == "*"


@pytest.mark.parametrize(
    "headers",
    [{"origin": "https://evil.example"}, {"origin": "null"}, {"origin": "http://localhost.evil.example"},
     {"host": "evil.example:8000"}, {"host": "evil.example", "origin": "http://localhost:3000"},
     {"host": "127.0.0.1.evil.example"}, {"host": "10.0.0.1:8000"}, {"host": "[::2]:8000"}, {"host": "["}],
)  # fmt: skip
def test_without_a_key_nothing_is_done_for_pages_from_elsewhere(
    headers: dict[str, str], url: str
) -> None:
    text = {**headers, "content-type": "text/plain"}  # for which a browser asks nobody first
    for response in (
        httpx.get(f"{url}/v1/models", headers=headers),
        httpx.post(f"{url}/v1/chat/completions", headers=text, content=json.dumps(OK)),
        httpx.post(f"{url}/responses", headers=text, json={"model": "brief", "input": "Hi"}),
    ):
        assert response.status_code == 403
        error = response.json()["error"]
        assert set(error) == {"message", "type", "param", "code"} and error["code"] == "not_local"
        assert "factory keys create" in error["message"]
        allowed = response.headers.get("access-control-allow-origin")
        assert allowed in (None, "http://localhost:3000")
    assert httpx.get(f"{url}/healthz", headers=headers).status_code == 200


@pytest.mark.parametrize(
    "host", ["localhost", "LOCALHOST:8000", "127.0.0.1:9", "127.8.8.8", "[::1]:8000"]
)
@pytest.mark.parametrize(
    "origin", [None, "http://localhost:8080", "https://[::1]", "app://obsidian.md"]
)
def test_without_a_key_what_runs_on_this_machine_may_ask(
    host: str, origin: str | None, url: str
) -> None:
    headers = {"host": host, **({"origin": origin} if origin else {})}
    response = httpx.post(f"{url}/v1/chat/completions", headers=headers, json=OK)
    assert response.status_code == 200
    assert response.headers.get("access-control-allow-origin") == origin


def test_with_a_key_the_endpoint_may_have_any_name(release: MakeRelease, serve: Serve) -> None:
    release()
    with serve("brief", key=KEY) as url:
        elsewhere = {"host": "endpoint:8000", "origin": "https://ui.example", "x-api-key": KEY}
        answer = httpx.post(f"{url}/v1/chat/completions", headers=elsewhere, json=OK)
        assert answer.status_code == 200


def test_a_path_that_is_none_is_not_found(url: str) -> None:
    address = httpx.URL(url)
    with socket.create_connection((address.host, address.port or 0), timeout=20) as client:
        client.sendall(b"OPTIONS * HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n")
        head, _, body = b"".join(iter(lambda: client.recv(4096), b"")).partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 404 ")
    assert json.loads(body)["error"]["code"] == "unknown_url"


# --- what must not get out ---------------------------------------------------------------------


def test_the_system_prompt_has_no_way_out(url: str) -> None:
    leaky = {
        **OK,
        "echo": True,
        "prompt_logprobs": 5,
        "return_prompt_text": True,
        "return_token_ids": True,
        "return_tokens_as_token_ids": True,
        "include_stop_str_in_output": True,
        "continue_final_message": True,
        "logprobs": True,
        "stream_options": {"include_usage": True, "continuous_usage_stats": True},
    }
    for stream in (False, True):
        response = httpx.post(f"{url}/v1/chat/completions", json={**leaky, "stream": stream})
        assert response.status_code == 200
        assert CANARY not in response.text
        for name in ("token_ids", "prompt_logprobs", "prompt_text", '"model":"brief@'):
            assert name not in response.text
    for path in ("/v1/models", "/v1/models/brief", "/healthz", "/readyz", "/openapi.json", "/docs"):
        assert CANARY not in httpx.get(url + path).text


def test_a_stand_in_s_answers_are_marked_ungated(url: str) -> None:
    answer = httpx.post(f"{url}/v1/chat/completions", json=OK)
    assert answer.headers["x-persona-factory-ungated"] == "true"
