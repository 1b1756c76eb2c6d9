"""What an operator counts: after a known sequence of calls the numbers add up, and say nothing private."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager, nullcontext
from pathlib import Path
from typing import Any

import httpx
import openai
import pytest
from prometheus_client.parser import text_string_to_metric_families

from factory.chat import ChatFormat
from factory.contracts import Message
from factory.errors import UsageError
from factory.releases import point
from serve.app import create_app
from serve.doorkeeper import Doorkeeper
from serve.engines.brain import Ask, Piece
from serve.engines.hosting import hosted
from serve.fleet import Fleet
from serve.launch import Launcher
from serve.listening import claim_port, running
from serve.metrics import counted, side_door
from serve.served import Served
from serve.startup import prepare, supervised
from serve.trace import Observer
from tests.serve.conftest import CANARY, ask, make_release, sdk
from tests.tiny import STARTER

SECRET = "periwinkle-message-4410"
"""A word that only the client's messages and the engine's answers have."""
KEY = "sk-orchid-key-9902"

CHAT = "/v1/chat/completions"


class Paced:
    """An engine that says three words; `slowly` says many; `tail` keeps it busy after the last word."""

    slow, tail = 0.05, 0.0

    def prompt_ids(self, messages: list[Message]) -> list[int]:
        return [1, 2, 3, 4, 5]

    def pieces(self, prompt_ids: list[int], ask: Ask) -> Iterator[Piece]:
        words = 200 if ask.messages[-1]["content"] == "slowly" else min(3, ask.max_tokens)
        for i in range(words):
            if words == 200:
                time.sleep(self.slow)
            yield Piece(f"{SECRET} ", [i], finish_reason="stop" if i == words - 1 else None)
        time.sleep(self.tail)


@contextmanager
def watched(
    root: Path,
    model_dir: Path,
    brain: Any = None,
    *,
    observers: Sequence[Observer] = (),
    key: str | None = None,
) -> Iterator[tuple[str, str]]:
    """An endpoint and its metrics; yields both URLs."""
    facts = make_release(root, model_dir).facts()
    with hosted(brain or Paced(), model="inner", max_model_len=10_000) as inner:
        served = Served.of(facts, gated=True, format=ChatFormat.load(model_dir))
        fleet, told = Fleet({"brief": (served, inner)}), []
        with (
            side_door(0) as side,
            claim_port("127.0.0.1", 0, keyed=False) as door,
            counted(fleet, side, told.append) as metrics,
            nullcontext([*metrics, *observers]) as everyone,
            running(create_app(fleet, Doorkeeper(operator=key), observers=everyone), door),
        ):
            yield f"http://127.0.0.1:{door.getsockname()[1]}", told[0].removeprefix("metrics: ")


def request(said: str = SECRET, **more: Any) -> dict[str, Any]:
    return {"model": "brief", "messages": ask(said), **more}


def read_until(url: str, word: str, **more: Any) -> None:
    """Stream until a word has come, then hang up."""
    with (
        httpx.Client(base_url=url) as client,
        client.stream("POST", CHAT, json=request(stream=True, **more)) as response,
    ):
        for line in response.iter_lines():
            if word in line:
                return


Samples = dict[tuple[str, frozenset[tuple[str, str]]], float]


def scrape(url: str) -> Samples:
    """Every sample, by name and labels."""
    text = httpx.get(url).text
    families = text_string_to_metric_families(text)
    return {
        (s.name.removeprefix("persona_factory_"), frozenset(s.labels.items())): s.value
        for family in families
        for s in family.samples
    }


def total(samples: Samples, name: str, **labels: str) -> float:
    """Sum over all samples that carry these labels."""
    wanted = labels.items()
    return sum(v for (n, have), v in samples.items() if n == name and wanted <= set(have))


def settled(url: str) -> Samples:
    """Once nothing is in flight."""
    for _ in range(100):
        samples = scrape(url)
        if not total(samples, "in_flight"):
            return samples
        time.sleep(0.05)
    raise AssertionError("something stays in flight")


def known_sequence(url: str) -> None:
    """3 whole answers, 2 streams, 1 left by its client, 5 refused; each message is secret."""
    with sdk(url) as client:
        for _ in range(3):
            client.chat.completions.create(**request())
        list(client.chat.completions.create(**request(stream=True)))
        asked = request(stream=True, stream_options={"include_usage": True})
        list(client.chat.completions.create(**asked))
        with pytest.raises(openai.BadRequestError):
            client.chat.completions.create(**request(temperature=9))
        with pytest.raises(openai.BadRequestError):
            client.chat.completions.create(**request(f"{SECRET} " * 600))
        with pytest.raises(openai.NotFoundError):
            client.chat.completions.create(**{**request(), "model": f"other-{SECRET}"})
    assert httpx.post(f"{url}{CHAT}", content=f'{{"{SECRET}'.encode()).status_code == 400
    assert httpx.get(f"{url}/v1/nothing").status_code == 404
    read_until(url, SECRET, messages=ask("slowly"))


def test_the_numbers_add_up(factory_home: Path, tiny_llama: Path) -> None:
    with watched(factory_home, tiny_llama) as (url, metrics):
        known_sequence(url)
        found = settled(metrics)
    assert total(found, "requests_total") == 11
    assert total(found, "requests_total", persona="brief", outcome="ok") == 5
    assert total(found, "requests_total", persona="brief", outcome="refused", status="4xx") == 1
    assert total(found, "requests_total", persona="brief", outcome="client_left") == 1
    assert total(found, "requests_total", persona="unknown", outcome="refused") == 4
    assert total(found, "requests_total", route=CHAT) == 10
    assert total(found, "requests_total", route="unknown") == 1
    assert total(found, "errors_total", code="context_length_exceeded", persona="brief") == 1
    assert total(found, "errors_total", code="model_not_found", persona="unknown") == 1
    assert total(found, "errors_total") == 5
    assert total(found, "request_seconds_count") == 6
    assert total(found, "gateway_seconds_count") == 6
    assert total(found, "time_to_first_token_seconds_count") == 3
    assert total(found, "time_per_output_token_seconds_count") == 2
    assert total(found, "prompt_tokens_total") == 5 * 5
    # The stream that was left is counted by its pieces: what was sent before we knew.
    assert 16 <= total(found, "completion_tokens_total") < 30
    assert total(found, "release_info", release="brief@1", verdict="PASS", gated="true") == 1
    assert total(found, "up", persona="brief", release="brief@1") == 1
    assert total(found, "last_token_age_seconds") < 60
    assert total(found, "process_open_fds") > 0


def test_a_client_that_has_its_answer_has_not_left(factory_home: Path, tiny_llama: Path) -> None:
    brain = Paced()
    brain.tail = 1.0
    with watched(factory_home, tiny_llama, brain) as (url, metrics):
        read_until(url, '"finish_reason":"stop"')  # before [DONE]
        found = settled(metrics)
    assert total(found, "requests_total") == 1
    assert total(found, "requests_total", outcome="ok", status="2xx") == 1


def test_streams_in_flight_are_seen_where_they_are(factory_home: Path, tiny_llama: Path) -> None:
    with (
        watched(factory_home, tiny_llama) as (url, metrics),
        httpx.Client(base_url=url) as client,
        client.stream("POST", CHAT, json=request("slowly", stream=True)) as first,
    ):
        lines = first.iter_lines()
        while SECRET not in next(lines):
            pass
        # This engine answers one at a time, so the second one waits.
        with client.stream("POST", CHAT, json=request("slowly", stream=True)) as second:
            waiting = second.iter_raw()
            next(waiting)  # its role; the engine sends it before the first word
            found = scrape(metrics)
            assert total(found, "in_flight", persona="brief", state="answering") == 1
            assert total(found, "in_flight", persona="brief", state="queued") == 1


def test_labels_do_not_grow_with_what_clients_write(factory_home: Path, tiny_llama: Path) -> None:
    with watched(factory_home, tiny_llama) as (url, metrics), httpx.Client(base_url=url) as client:
        client.get("/v1/models/0")
        client.post(CHAT, json={**request(), "model": "0"})
        client.get("/x/0")
        before = len(settled(metrics))
        for i in range(1, 40):
            client.get(f"/v1/models/{i}")
            client.post(CHAT, json={**request(), "model": f"m{i}"})
            client.get(f"/x/{i}")
        assert len(settled(metrics)) == before


def test_metrics_say_nothing_private(factory_home: Path, tiny_llama: Path) -> None:
    with watched(factory_home, tiny_llama, key=KEY) as (url, metrics), sdk(url, KEY) as client:
        list(client.chat.completions.create(**request(stream=True)))
        with pytest.raises(openai.NotFoundError):
            client.models.retrieve(f"{SECRET}")
        assert httpx.get(f"{url}/v1/models", headers={"x-api-key": "sk-wrong"}).status_code == 401
        text = httpx.get(metrics).text
    assert "brief@1" in text
    for private in (CANARY, SECRET, KEY, "sk-wrong", str(factory_home)):
        assert private not in text


def test_the_public_door_has_no_metrics_and_the_side_door_no_answers(
    factory_home: Path, tiny_llama: Path
) -> None:
    with watched(factory_home, tiny_llama) as (url, metrics):
        assert httpx.get(f"{url}/metrics").status_code == 404
        side = metrics.removesuffix("/metrics")
        assert '"choices"' not in httpx.post(f"{side}{CHAT}", json=request()).text
        assert side.startswith("http://127.0.0.1:")


def test_a_metrics_port_in_use_is_refused_with_the_option_that_chooses_another() -> None:
    with side_door(0) as taken:
        assert taken is not None
        with closing(taken):
            taken.listen()
            port = taken.getsockname()[1]
            with pytest.raises(UsageError) as caught, side_door(port):
                pass
    assert caught.value.hint is not None and f"--metrics-port {port + 1}" in caught.value.hint


def test_without_a_port_nothing_listens_and_nothing_is_counted() -> None:
    with side_door(None) as side, counted(Fleet({}), side, lambda _: None) as observers:
        assert side is None
        assert observers == []


def until(metrics: str, name: str, value: float, **labels: str) -> Samples:
    """Scrape until a sum has come to this value."""
    for _ in range(200):
        samples = scrape(metrics)
        if total(samples, name, **labels) == value:
            return samples
        time.sleep(0.05)
    raise AssertionError(f"{name} {labels} is {total(samples, name, **labels)}, not {value}")


def test_an_unloaded_engine_and_a_promotion_are_seen(factory_home: Path, tiny_llama: Path) -> None:
    make_release(factory_home, tiny_llama)
    admissions = prepare(factory_home, ["brief"], allow_ungated=False, announce=lambda _: None)
    launcher, told = Launcher(factory_home, "echo", lambda _: None), []
    with (
        side_door(0) as side,
        supervised(factory_home, ["brief"], admissions, launcher, idle=1.0) as keeper,
        claim_port("127.0.0.1", 0, keyed=False) as door,
        counted(keeper.fleet, side, told.append) as observers,
        running(create_app(keeper.fleet, Doorkeeper(), observers=observers, keeper=keeper), door),
    ):
        url = f"http://127.0.0.1:{door.getsockname()[1]}"
        metrics = told[0].removeprefix("metrics: ")
        until(metrics, "up", 0, persona="brief")
        assert httpx.post(f"{url}{CHAT}", json=request(), timeout=30).status_code == 200
        until(metrics, "up", 1, persona="brief", release="brief@1")
        make_release(factory_home, tiny_llama, number=2)
        point(factory_home, "brief", 2)
        found = until(metrics, "release_info", 1, release="brief@2")
        assert total(found, "release_info", persona="brief") == 1
        assert httpx.post(f"{url}{CHAT}", json=request(), timeout=30).status_code == 200
        found = until(metrics, "requests_total", 1, release="brief@2", outcome="ok")
        assert total(found, "requests_total", persona="brief", outcome="ok") == 2


@pytest.mark.parametrize(
    "engine", ["echo", "transformers", pytest.param("vllm", marks=pytest.mark.vllm)]
)
def test_the_command_shows_them_with_every_engine(engine: str, factory_home: Path) -> None:
    make_release(factory_home, STARTER, window=1024, max_tokens=16, sampling={"temperature": 0.0})
    command = ["-m", "factory", "serve", "brief", "--port", "0", "--metrics-port", "0"]
    with subprocess.Popen(
        [sys.executable, *command, "--engine", engine], stdout=subprocess.PIPE, text=True,
        stderr=subprocess.DEVNULL, env={**os.environ, "FACTORY_HOME": str(factory_home)},
    ) as process:  # fmt: skip
        try:
            assert process.stdout is not None
            said: dict[str, str] = {}
            for line in process.stdout:
                what, _, rest = line.partition(": ")
                said[what] = rest.split()[0] if rest.strip() else ""
                if {"ready", "metrics"} <= set(said):
                    break
            url, metrics = said["ready"].removesuffix("/v1"), said["metrics"]
            with sdk(url) as client:
                talk = {"model": "brief", "messages": ask("Tell me about tea, please.")}
                whole = client.chat.completions.create(**talk)
                list(client.chat.completions.create(**talk, stream=True))
                stream = client.chat.completions.create(**talk, stream=True)
                next(chunk for chunk in stream if chunk.choices[0].delta.content)
                stream.close()
            found = settled(metrics)
        finally:
            process.terminate()
            process.wait(60)
    assert whole.usage is not None
    assert total(found, "requests_total", persona="brief") == 3
    assert total(found, "requests_total", outcome="ok") >= 2
    assert total(found, "requests_total", outcome="error") == 0
    assert total(found, "time_to_first_token_seconds_count") == 2
    tokens = total(found, "completion_tokens_total") - 2 * whole.usage.completion_tokens
    assert 1 <= tokens <= whole.usage.completion_tokens
    assert total(found, "prompt_tokens_total") >= 2 * whole.usage.prompt_tokens
    assert total(found, "up", release="brief@1") == 1
    gated = "false" if engine == "echo" else "true"
    assert total(found, "release_info", gated=gated) == 1
    log = [
        json.loads(line) for line in (factory_home / "logs" / "serve.log").read_text().splitlines()
    ]
    assert len([line for line in log if line["event"] == "request"]) == 3
    assert CANARY not in json.dumps(log) and "about tea" not in json.dumps(log)
