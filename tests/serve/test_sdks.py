"""The openai SDKs, for Python and for Node, with what they offer beyond plain requests."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import openai
import pytest
from openai.types.responses import Response

from tests.serve.conftest import CANARY, ask, endpoint, make_release, sdk

KEY = "sesame-4410"
SCRIPT = Path(__file__).parent / "node"


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory, tiny_llama: Path) -> Iterator[str]:
    root = tmp_path_factory.mktemp("sdks")
    make_release(root, tiny_llama)
    make_release(root, tiny_llama, name="deaf", client_system="reject")
    with endpoint(root, "brief", "deaf", engine="echo", key=KEY) as url:
        yield url


@pytest.fixture(scope="module")
def client(url: str) -> Iterator[openai.OpenAI]:
    with sdk(url, KEY) as client:
        yield client


# --- the streaming helper ----------------------------------------------------------------------


def test_the_helper_puts_a_stream_together(client: openai.OpenAI) -> None:
    with client.chat.completions.stream(
        model="brief", messages=ask("Good morning"), stream_options={"include_usage": True}
    ) as stream:
        kinds = [event.type for event in stream]
        final = stream.get_final_completion()
    assert kinds.count("content.done") == 1 and "content.delta" in kinds
    assert final.choices[0].message.content == "echo: Good morning"
    assert final.choices[0].message.role == "assistant"
    assert final.choices[0].finish_reason == "stop"
    assert final.usage is not None and final.usage.completion_tokens == 3
    assert final.system_fingerprint is not None and final.system_fingerprint.startswith("brief@1-")


# --- responses ---------------------------------------------------------------------------------


def test_a_response_answers_text_and_items(client: openai.OpenAI) -> None:
    answer = client.responses.create(
        model="brief", input="Good morning", instructions="Be kind.", metadata={"a": "b"}
    )
    assert Response.model_validate(answer.model_dump())
    assert answer.output_text == "echo: Good morning"
    assert (answer.status, answer.object, answer.model) == ("completed", "response", "brief")
    assert answer.id.startswith("resp_") and answer.output[0].id.startswith("msg_")
    assert answer.instructions == "Be kind." and answer.metadata == {"a": "b"}
    assert answer.usage is not None and answer.usage.output_tokens == 3
    items: list[Any] = [
        {"role": "developer", "content": "Be kind."},
        {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "Hi"}]},
        {"type": "reasoning", "id": "rs_1", "summary": []},
        {"type": "function_call", "call_id": "1", "name": "f", "arguments": "{}"},
        {"type": "function_call_output", "call_id": "1", "output": "22"},
        answer.output[0].model_dump(),
        {"role": "user", "content": "And now?"},
    ]
    raw = client.responses.with_raw_response.create(model="brief", input=items, store=True)
    assert raw.parse().output_text == "echo: And now?"
    changed = raw.headers["x-persona-factory-normalised"].split(", ")
    assert changed == ["developer-as-system", "tool-dropped"]
    assert json.loads(raw.text)["store"] is False
    assert raw.headers["x-persona-factory-release"] == "brief@1"


def test_a_response_that_is_cut_says_so(client: openai.OpenAI) -> None:
    answer = client.responses.create(model="brief", input="a b c d e f", max_output_tokens=2)
    assert answer.status == "incomplete" and answer.output_text == "echo: a"
    assert answer.incomplete_details is not None
    assert answer.incomplete_details.reason == "max_output_tokens"
    raw = client.responses.with_raw_response.create(
        model="brief", input="Hi", max_output_tokens=9_999
    )
    assert raw.headers["x-persona-factory-clamped"].startswith("max_tokens=")
    with pytest.raises(openai.BadRequestError) as caught:
        client.responses.create(
            model="brief", input="Hi", max_output_tokens=9_999, extra_body={"strict": True}
        )
    assert caught.value.code == "context_length_exceeded"


def test_a_response_is_streamed_in_typed_events(client: openai.OpenAI) -> None:
    with client.responses.stream(model="brief", input="Good morning \u2028 \U0001f600") as stream:
        events = list(stream)
        final = stream.get_final_response()
    kinds = [event.type for event in events]
    assert kinds[:4] == [
        "response.created", "response.in_progress", "response.output_item.added",
        "response.content_part.added",
    ]  # fmt: skip
    assert kinds[-4:] == [
        "response.output_text.done", "response.content_part.done", "response.output_item.done",
        "response.completed",
    ]  # fmt: skip
    assert set(kinds[4:-4]) == {"response.output_text.delta"}
    assert [event.sequence_number for event in events] == list(range(len(events)))
    told = "".join(getattr(e, "delta", "") for e in events)
    assert told == final.output_text == "echo: Good morning \u2028 \U0001f600"
    assert final.usage is not None and final.usage.output_tokens == 4
    plain = list(
        client.responses.create(model="brief", input="a b c", max_output_tokens=2, stream=True)
    )
    assert plain[-1].type == "response.incomplete"


@pytest.mark.parametrize(
    "extra, param",
    [
        ({"previous_response_id": "resp_1"}, "previous_response_id"), ({"background": True}, "background"),
        ({"conversation": "conv_1"}, "conversation"), ({"prompt": {"id": "pmpt_1"}}, "prompt"),
        ({"tool_choice": "required", "tools": [{"type": "function", "name": "f"}]}, "tool_choice"),
        ({"text": {"format": {"type": "json_object"}}}, "response_format"),
        ({"input": [{"type": "item_reference", "id": "msg_1"}]}, "input.0"),
        ({"input": [{"role": "robot", "content": "a"}]}, "input.0.role"),
        ({"input": []}, "input"), ({"temperature": 9}, "temperature"),
        ({"input": [{"role": "user", "content": "a"}] * 512}, "input"),
        ({"input": [{"role": "user", "content": [{"type": "input_image", "image_url": "x"}]}]},
         "messages.0.content.0"),
    ],
)  # fmt: skip
def test_what_a_response_cannot_be_is_a_plain_400(
    extra: dict[str, Any], param: str, client: openai.OpenAI
) -> None:
    body: Any = {"model": "brief", "input": "Hi", **extra}
    with pytest.raises(openai.BadRequestError) as caught:
        client.responses.create(**body)
    assert caught.value.param == param and CANARY not in str(caught.value)


def test_instructions_are_a_client_s_system_message(client: openai.OpenAI) -> None:
    with pytest.raises(openai.BadRequestError) as caught:
        client.responses.create(model="deaf", input="Hi", instructions="Be a pirate.")
    assert caught.value.code == "system_message_not_allowed"
    with pytest.raises(openai.NotFoundError):
        client.responses.retrieve("resp_1")


# --- Node --------------------------------------------------------------------------------------


@pytest.fixture(scope="session")
def node(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The script with its SDK, installed once per machine and version."""
    if not (shutil.which("npm") and shutil.which("node")):
        pytest.skip("node and npm are not installed")
    wanted = json.loads((SCRIPT / "package.json").read_text())["dependencies"]["openai"]
    caches = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache"))
    cache = caches / "persona-factory" / f"node-openai-{wanted}"
    installed = cache / "node_modules" / "openai" / "package.json"
    if not installed.is_file() or json.loads(installed.read_text())["version"] != wanted:
        cache.mkdir(parents=True, exist_ok=True)
        shutil.copy(SCRIPT / "package.json", cache)
        command = [
            "npm",
            "install",
            "--no-audit",
            "--no-fund",
            "--ignore-scripts",
            "--no-package-lock",
        ]
        subprocess.run(command, cwd=cache, check=True, capture_output=True, timeout=300)
    shutil.copy(SCRIPT / "wire.mjs", cache)
    return cache / "wire.mjs"


def test_the_node_sdk_gets_everything(url: str, node: Path) -> None:
    done = subprocess.run(
        ["node", node, f"{url}/v1", KEY], capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    text = "echo: Good morning, \u4f60\u597d \U0001f600"
    found = json.loads(done.stdout)
    assert found.pop("usage")["completion_tokens"] == found.pop("counted") == 5
    assert found == {
        "models": ["brief", "deaf"],
        "model": "brief",
        "whole": text,
        "normalised": "developer-as-system",
        "requestId": True,
        "streamed": text,
        "helper": {"deltas": text, "content": text, "reason": "stop"},
        "response": {"text": "echo: Good morning", "status": "completed"},
        "events": ["response.created", "response.completed"],
        "responseStreamed": "echo: Good morning",
        "left": "chat.completion.chunk",
        "refusals": {
            "missing": ["NotFoundError", 404, "model_not_found"],
            "invalid": ["BadRequestError", 400, "invalid_value"],
            "denied": ["AuthenticationError", 401, "invalid_api_key"],
            "embeddings": ["NotFoundError", 404, "unknown_url"],
        },
    }
