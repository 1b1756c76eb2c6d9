"""The log: one line for every request, with its id and its end, and nothing that anybody said."""

from __future__ import annotations

import json
import logging
import os
import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

import serve.logs
from factory.contracts import Message
from serve.engines.brain import Ask, Piece
from serve.logs import engine_words, log_file
from tests.serve.conftest import CANARY, sdk
from tests.serve.test_metrics import (
    CHAT,
    KEY,
    SECRET,
    Paced,
    known_sequence,
    request,
    watched,
)

HEX = re.compile(r"[0-9a-f]{32}")


class Failing(Paced):
    """An engine whose error quotes the client."""

    def pieces(self, prompt_ids: list[int], ask: Ask) -> Iterator[Piece]:
        if ask.max_tokens > 1:
            yield Piece("word ", [1])
            raise RuntimeError(f"cannot say {ask.messages[-1]['content']} at /secret/path")
        yield Piece("ok", [1], finish_reason="length")


class Refusing(Paced):
    """An engine that refuses a prompt and quotes it."""

    def prompt_ids(self, messages: list[Message]) -> list[int]:
        if SECRET in messages[-1]["content"]:
            raise ValueError(f"bad prompt: {messages}")
        return [1]


def lines(
    root: Path, event: str | None = "request", count: int | None = None
) -> list[dict[str, Any]]:
    """What was logged; waits a little for lines that are about to come."""
    for _ in range(100):
        text = (root / "logs" / "serve.log").read_text("utf-8")
        found = [json.loads(line) for line in text.splitlines()]
        found = [line for line in found if event is None or line["event"] == event]
        if count is None or len(found) >= count:
            return found
        time.sleep(0.05)
    return found


def test_one_line_for_every_request_and_nothing_that_anybody_said(
    factory_home: Path, tiny_llama: Path
) -> None:
    with log_file(factory_home), watched(factory_home, tiny_llama) as (url, _):
        known_sequence(url)
        found = lines(factory_home, count=11)
    assert [line["status"] for line in found] == [200] * 5 + [400, 400, 404, 400, 404, 200]
    outcomes = [line["outcome"] for line in found]
    assert outcomes == ["ok"] * 5 + ["refused"] * 5 + ["client_left"]
    assert len({line["request_id"] for line in found}) == 11
    whole, stream = found[0], found[3]
    assert whole["method"] == "POST" and whole["path"] == CHAT
    assert whole["persona"] == "brief" and whole["release"] == "brief@1"
    assert whole["prompt_tokens"] == 5 and whole["completion_tokens"] == 3
    assert 0 < stream["ttft_ms"] <= stream["ms"] and "ttft_ms" not in whole
    assert found[6]["code"] == "context_length_exceeded" and found[6]["persona"] == "brief"
    assert found[7]["code"] == "model_not_found" and "persona" not in found[7]
    assert found[-1]["completion_tokens"] >= 1
    assert all(re.fullmatch(r"\d{4}-\d\d-\d\dT[\d:.]+Z", line["time"]) for line in found)
    text = (factory_home / "logs" / "serve.log").read_text("utf-8")
    for private in (CANARY, SECRET):
        assert private not in text


@pytest.mark.parametrize("stream", [True, False])
def test_an_engine_that_fails_is_logged_with_a_reason_and_without_its_words(
    stream: bool, factory_home: Path, tiny_llama: Path
) -> None:
    with log_file(factory_home), watched(factory_home, tiny_llama, Failing()) as (url, _):
        answer = httpx.post(f"{url}{CHAT}", json=request(stream=stream))
        (line,) = lines(factory_home, count=1)
    assert line["outcome"] == "error" and line["code"] == "engine_error"
    assert line["status"] == (200 if stream else 502)
    assert line["request_id"] == answer.headers["x-request-id"]
    everything = lines(factory_home, event=None)
    failed = next(one for one in everything if one["event"] == "generation failed")
    assert failed["error"] == "RuntimeError"
    assert failed["at"][-1].startswith("serve/test_logs.py:")
    assert any(one["level"] == "error" and "the engine" in one["event"] for one in everything)
    text = (factory_home / "logs" / "serve.log").read_text("utf-8")
    assert SECRET not in text and "/secret/path" not in text and "Traceback" not in text


def test_an_engine_that_refuses_is_not_quoted(factory_home: Path, tiny_llama: Path) -> None:
    with log_file(factory_home), watched(factory_home, tiny_llama, Refusing()) as (url, _):
        assert httpx.post(f"{url}{CHAT}", json=request()).status_code == 400
        lines(factory_home, count=1)
    everything = lines(factory_home, event=None)
    assert any("the engine answered 400" in one["event"] for one in everything)
    text = (factory_home / "logs" / "serve.log").read_text("utf-8")
    assert SECRET not in text and CANARY not in text


def test_a_key_is_named_by_its_id_and_never_shown(factory_home: Path, tiny_llama: Path) -> None:
    with log_file(factory_home), watched(factory_home, tiny_llama, key=KEY) as (url, _):
        with sdk(url, KEY) as client:
            client.chat.completions.create(**request())
        wrong = httpx.get(f"{url}/v1/models", headers={"authorization": "Bearer sk-wrong-7"})
        found = lines(factory_home, count=2)
    assert wrong.status_code == 401
    assert found[0]["client"] and found[1]["code"] == "invalid_api_key"
    text = (factory_home / "logs" / "serve.log").read_text("utf-8")
    assert KEY not in text and "sk-wrong-7" not in text


def test_request_ids_match_everywhere(factory_home: Path, tiny_llama: Path) -> None:
    own = "client.id_0-9"
    with log_file(factory_home), watched(factory_home, tiny_llama) as (url, _):
        responses = [
            httpx.get(f"{url}/healthz", headers={"x-request-id": own}),
            httpx.get(f"{url}/nowhere"),
            httpx.post(f"{url}/v1/models"),
            httpx.post(f"{url}{CHAT}", content=b"{"),
            httpx.post(f"{url}{CHAT}", json=request(stream=True)),
            httpx.options(
                f"{url}{CHAT}",
                headers={
                    "origin": "http://localhost:3000",
                    "access-control-request-method": "POST",
                },
            ),
        ]
        with sdk(url) as client:
            by_sdk = client.chat.completions.with_raw_response.create(**request())
            models = client.models.list()
        ids = [r.headers["x-request-id"] for r in responses]
        ids += [by_sdk.headers["x-request-id"], str(models._request_id)]
        logged = [line["request_id"] for line in lines(factory_home, count=8)]
    assert [r.status_code for r in responses] == [200, 404, 405, 400, 200, 200]
    assert ids[0] == own
    assert all(HEX.fullmatch(one) for one in ids[1:])
    assert logged == ids


@pytest.mark.parametrize(
    "given", ["", "x" * 65, "a b", 'a"b', "a%0ab", "<script>", "a,b", "..\\x", "\u00e9"]
)
def test_an_id_that_is_no_plain_token_is_replaced(
    given: str, factory_home: Path, tiny_llama: Path
) -> None:
    with watched(factory_home, tiny_llama) as (url, _):
        response = httpx.get(f"{url}/healthz", headers={"x-request-id": given.encode("latin-1")})
    assert HEX.fullmatch(response.headers["x-request-id"])


def timing(response: httpx.Response) -> dict[str, float]:
    parts = (part.split(";dur=") for part in response.headers["server-timing"].split(", "))
    return {name: float(value) for name, value in parts}


def test_server_timing_says_where_the_time_went(factory_home: Path, tiny_llama: Path) -> None:
    brain = Paced()
    brain.tail = 0.3
    with watched(factory_home, tiny_llama, brain) as (url, _):
        whole = timing(httpx.post(f"{url}{CHAT}", json=request()))
        stream = timing(httpx.post(f"{url}{CHAT}", json=request(stream=True)))
        other = timing(httpx.get(f"{url}/nowhere"))
    assert list(whole) == ["queue", "prepare", "engine", "total"]
    assert whole["engine"] >= 300
    assert whole["total"] == pytest.approx(sum(whole.values()) - whole["total"], abs=0.05)
    assert list(stream) == list(whole)
    assert list(other) == ["total"]


def test_a_log_is_begun_anew_when_it_has_grown(
    factory_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(serve.logs, "SIZE", 2000)
    with log_file(factory_home):
        for i in range(200):
            logging.getLogger("serve").info("line %d", i)
    files = sorted(p.name for p in (factory_home / "logs").iterdir())
    assert files == ["serve.log", *(f"serve.log.{n}" for n in range(1, 6))]
    assert all(p.stat().st_size < 2100 for p in (factory_home / "logs").iterdir())
    assert lines(factory_home, event=None)[-1]["event"] == "line 199"


def test_a_log_that_cannot_be_written_ends_no_answer(
    factory_home: Path,
    tiny_llama: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    with log_file(factory_home), watched(factory_home, tiny_llama) as (url, _):
        (handler,) = logging.getLogger("serve").handlers
        assert isinstance(handler, logging.FileHandler)
        full = os.fdopen(os.open("/dev/full", os.O_WRONLY), "w")  # a disk without room
        before = handler.setStream(full)
        assert before is not None
        before.close()
        for _ in range(3):
            assert httpx.post(f"{url}{CHAT}", json=request()).status_code == 200
    assert capsys.readouterr().err.count("the log cannot be written (OSError)") == 1


def test_a_line_is_one_line_whatever_the_path_is(factory_home: Path, tiny_llama: Path) -> None:
    with log_file(factory_home), watched(factory_home, tiny_llama) as (url, _):
        httpx.get(f"{url}/a%0A%7B%22event%22:%22request%22%7D%0A%E2%80%A8b")
        httpx.get(f"{url}/{'long' * 200}")
        found = lines(factory_home, count=2)
    assert len(found) == 2
    assert "\n" in found[0]["path"] and len(found[1]["path"]) == 200


@pytest.mark.parametrize(
    "found, words",
    [
        (b'{"error": {"message": "secret", "type": "BadRequestError", "code": 400}}',
         "type=BadRequestError code=400"),
        ({"message": "secret", "type": "server_error"}, "type=server_error"),
        (b"secret <html>", "13 bytes that are not JSON"),
        (b'["secret"]', "list"),
        ({"message": "secret"}, "no reason"),
    ],
)  # fmt: skip
def test_of_an_engine_s_words_only_type_and_code_are_kept(found: Any, words: str) -> None:
    assert engine_words(found) == words
