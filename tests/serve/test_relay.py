"""Streams that go wrong, stay silent, or lose their client; the engine is scripted, the sockets are real."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import openai
import pytest

import serve.relay
from factory.chat import ChatFormat
from factory.contracts import Message
from serve.app import create_app
from serve.doorkeeper import Doorkeeper
from serve.engines.brain import Ask, Piece
from serve.engines.hosting import hosted
from serve.fleet import Fleet
from serve.listening import claim_port, running
from serve.served import Served
from tests.serve.conftest import ask, make_release, sdk


class Script:
    """An engine that says words at a pace, may fail at one, and counts what it has said.

    Its first answer is the health check's and is one word long.
    """

    def __init__(self, words: int, pause: float = 0.0, fail_at: int | None = None) -> None:
        self.words, self.pause, self.fail_at = words, pause, fail_at
        self.said = 0

    def prompt_ids(self, messages: list[Message]) -> list[int]:
        return [1]

    def pieces(self, prompt_ids: list[int], ask: Ask) -> Iterator[Piece]:
        if ask.max_tokens == 1:
            yield Piece("ok", [1], finish_reason="length")
            return
        for i in range(self.words):
            time.sleep(self.pause)
            if i == self.fail_at:
                raise RuntimeError("the engine fell over at /secret/path")
            self.said += 1
            yield Piece(f"{i} ", [i], finish_reason="stop" if i == self.words - 1 else None)


@contextmanager
def scripted(script: Script, model_dir: Path, root: Path) -> Iterator[str]:
    facts = make_release(root, model_dir).facts()
    with hosted(script, model="inner", max_model_len=10_000) as inner:
        served = Served.of(facts, gated=True, format=ChatFormat.load(model_dir))
        with (
            claim_port("127.0.0.1", 0, keyed=False) as door,
            running(create_app(Fleet({"brief": (served, inner)}), Doorkeeper()), door),
        ):
            yield f"http://127.0.0.1:{door.getsockname()[1]}"


def request(**more: Any) -> dict[str, Any]:
    return {"model": "brief", "messages": ask("Hi"), **more}


def test_an_engine_that_breaks_off_is_an_error_the_sdk_raises(
    tiny_llama: Path, factory_home: Path
) -> None:
    with scripted(Script(9, fail_at=3), tiny_llama, factory_home) as url, sdk(url) as client:
        heard = ""
        with pytest.raises(openai.APIError) as caught:
            for chunk in client.chat.completions.create(**request(stream=True)):
                heard += chunk.choices[0].delta.content or ""
        assert heard == "0 1 2 "
        assert caught.value.code == "engine_error"
        raw = httpx.post(f"{url}/v1/chat/completions", json=request(stream=True)).text
        assert raw.endswith("data: [DONE]\n\n")
        assert "secret" not in raw
        whole = httpx.post(f"{url}/v1/chat/completions", json=request())
        assert whole.status_code == 502
        assert whole.json()["error"]["code"] == "engine_error"
        assert "secret" not in whole.text


@pytest.mark.parametrize("stream", [True, False])
def test_a_client_that_leaves_stops_the_engine(
    stream: bool, tiny_llama: Path, factory_home: Path
) -> None:
    script = Script(400, pause=0.02)
    with scripted(script, tiny_llama, factory_home) as url:
        with httpx.Client(base_url=url) as client:
            if stream:
                with client.stream("POST", "/v1/chat/completions", json=request(stream=True)) as r:
                    for _ in r.iter_raw():  # the role comes before the engine's first word
                        if script.said:
                            break
            else:
                with pytest.raises(httpx.ReadTimeout):
                    client.post("/v1/chat/completions", json=request(), timeout=0.5)
        time.sleep(1.0)
        stopped_at = script.said
        assert 0 < stopped_at < 100
        time.sleep(0.3)
        assert script.said == stopped_at
        # The engine is free again: one at a time, and this one gets its turn.
        script.words = 3
        answer = httpx.post(f"{url}/v1/chat/completions", json=request())
        assert answer.json()["choices"][0]["message"]["content"] == "0 1 2 "


def test_answers_are_made_one_at_a_time(tiny_llama: Path, factory_home: Path) -> None:
    script = Script(10, pause=0.02)
    with scripted(script, tiny_llama, factory_home) as url:
        found: list[str] = []

        def one() -> None:
            answer = httpx.post(f"{url}/v1/chat/completions", json=request(), timeout=30).json()
            found.append(answer["choices"][0]["message"]["content"])

        threads = [threading.Thread(target=one) for _ in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert found == ["0 1 2 3 4 5 6 7 8 9 "] * 3


def test_silence_is_filled_with_comments(
    tiny_llama: Path, factory_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(serve.relay, "KEEP_ALIVE", 0.1)
    with scripted(Script(2, pause=0.4), tiny_llama, factory_home) as url, sdk(url) as client:
        raw = httpx.post(f"{url}/v1/chat/completions", json=request(stream=True)).text
        assert raw.count(": waiting\n\n") >= 3
        assert "event:" not in raw and "\nid:" not in raw
        chunks = list(client.chat.completions.create(**request(stream=True)))
        assert "".join(c.choices[0].delta.content or "" for c in chunks) == "0 1 "


def test_a_dead_engine_is_503_and_not_ready(tiny_llama: Path, factory_home: Path) -> None:
    facts = make_release(factory_home, tiny_llama).facts()
    with hosted(Script(2), model="inner", max_model_len=100) as inner:
        pass
    served = Served.of(facts, gated=True, format=ChatFormat.load(tiny_llama))
    with (
        claim_port("127.0.0.1", 0, keyed=False) as door,
        running(create_app(Fleet({"brief": (served, inner)}), Doorkeeper()), door),
    ):
        url = f"http://127.0.0.1:{door.getsockname()[1]}"
        assert httpx.get(f"{url}/healthz").status_code == 200
        assert httpx.get(f"{url}/readyz").status_code == 503
        assert [m["id"] for m in httpx.get(f"{url}/v1/models").json()["data"]] == ["brief"]
        for stream in (True, False):
            response = httpx.post(f"{url}/v1/chat/completions", json=request(stream=stream))
            assert response.status_code == 503
            assert response.json()["error"]["code"] == "engine_unavailable"
            assert int(response.headers["retry-after"]) <= 10


@pytest.mark.parametrize("stream", [True, False])
def test_an_engine_that_is_at_a_long_answer_is_ready_for_as_long_as_that_may_take(
    stream: bool, tiny_llama: Path, factory_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("serve.fleet.RECENT", 1.0)
    monkeypatch.setattr("serve.fleet.PATIENCE", 0.2)
    if stream:  # its words are heard as they come
        monkeypatch.setattr("serve.fleet.AT_WORK", 1.0)
    script = Script(60, pause=0.05)
    with scripted(script, tiny_llama, factory_home) as url, ThreadPoolExecutor(1) as pool:
        path, body = f"{url}/v1/chat/completions", request(stream=stream)
        answer = pool.submit(httpx.post, path, json=body, timeout=30)
        ready = []
        while script.said < 40:
            ready.append(httpx.get(f"{url}/readyz").status_code)
            time.sleep(0.05)
        assert set(ready) == {200}
        if not stream:
            monkeypatch.setattr("serve.fleet.AT_WORK", 1.0)
            assert httpx.get(f"{url}/readyz").status_code == 503
        assert answer.result().status_code == 200
        assert httpx.get(f"{url}/readyz").status_code == 200


def test_an_answer_in_flight_is_finished_at_shutdown(tiny_llama: Path, factory_home: Path) -> None:
    begun = threading.Event()
    heard: list[str] = []

    def listen(url: str) -> None:
        with sdk(url) as client:
            for chunk in client.chat.completions.create(**request(stream=True)):
                heard.append(chunk.choices[0].delta.content or "")
                begun.set()

    with scripted(Script(30, pause=0.02), tiny_llama, factory_home) as url:
        thread = threading.Thread(target=listen, args=(url,))
        thread.start()
        assert begun.wait(10)
    thread.join()
    assert "".join(heard).split() == [str(i) for i in range(30)]
