"""A model behind an address is asked as it serves, and its troubles are clear errors, never scores."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest

from factory.contracts import Message
from factory.errors import FactoryError, UsageError
from factory.model.sampling import Sampling
from factory.suite.endpoint import KEY_VARIABLE, Endpoint, EndpointSubject
from tests.teachers.fault_server import FaultServer, Seen, serving

ASKED: list[list[Message]] = [[{"role": "user", "content": f"Question {n}"}] for n in range(6)]
SAMPLED = Sampling(temperature=0.7, top_p=0.9, max_new_tokens=32)

Answer = tuple[int, dict[str, str], bytes]


@dataclass
class Model:
    """What the server says; a test changes what it is about."""

    listed: tuple[str, ...] = ("brief",)
    named: list[str] = field(default_factory=lambda: ["brief"])
    """Model of each answer in turn; the last one stays."""
    fingerprint: str | None = None
    finish_reason: str = "stop"
    refusal: Answer | None = None
    """In the place of every answer."""
    missing: str = ""
    """A model that is not there."""

    async def __call__(self, seen: Seen) -> Answer | None:
        if self.refusal:
            return self.refusal
        if seen.path.endswith("/models"):
            listed = [{"id": name, "object": "model"} for name in self.listed]
            return 200, {}, json.dumps({"object": "list", "data": listed}).encode()
        if seen.body["model"] == self.missing:
            return 404, {}, b'{"error": {"message": "there is no such model"}}'
        asked = seen.body["messages"][-1]["content"]
        await asyncio.sleep(0.02 if asked.endswith("0") else 0)  # the first one comes last
        named = self.named.pop(0) if len(self.named) > 1 else self.named[0]
        body = {
            "object": "chat.completion",
            "model": named,
            "system_fingerprint": self.fingerprint,
            "choices": [
                {
                    "index": 0,
                    "finish_reason": self.finish_reason,
                    "message": {"role": "assistant", "content": f" To {asked} {seen.body['seed']}"},
                }
            ],
            "usage": {"prompt_tokens": 3, "completion_tokens": 7, "total_tokens": 10},
        }
        return 200, {}, json.dumps(body).encode()


@pytest.fixture
def model() -> Model:
    return Model()


@pytest.fixture
def server(model: Model) -> Iterator[tuple[FaultServer, str]]:
    with serving() as (server, url):
        server.special = model
        yield server, url


def ask(url: str, count: int = 6, sampling: Sampling = SAMPLED) -> list[str]:
    subject = EndpointSubject(Endpoint.parse(url))
    try:
        found = subject.answers(ASKED[:count], [[1]] * count, sampling, lambda _: None)
    finally:
        subject.close()
    return [reply.text for (reply,) in found]


def posts(server: FaultServer) -> list[dict[str, Any]]:
    return [seen.body for seen in server.seen if seen.method == "POST"]


def test_every_seed_of_every_conversation_is_answered_in_order(
    server: tuple[FaultServer, str],
) -> None:
    ticks: list[int] = []
    subject = EndpointSubject(Endpoint.parse(server[1]))
    found = subject.answers(ASKED[:3], [[1, 2], [], [3]], SAMPLED, ticks.append)
    subject.close()
    assert [[reply.text for reply in own] for own in found] == [
        ["To Question 0 1", "To Question 0 2"], [], ["To Question 2 3"],
    ]  # fmt: skip
    assert found[0][0].token_count == 7
    assert found[0][0].finish_reason == "stop"
    assert sum(ticks) == 3


def test_it_is_asked_as_it_serves_and_greedily_where_that_is_meant(
    server: tuple[FaultServer, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(KEY_VARIABLE, "sk-of-the-test")
    ask(server[1], 1)
    ask(server[1], 1, SAMPLED.greedy())
    drawn, greedy = posts(server[0])
    assert drawn["messages"] == ASKED[0]  # the persona's prompt is added there
    assert drawn["max_tokens"] == 32
    assert drawn["model"] == "brief"
    assert not {"temperature", "top_p"} & set(drawn)
    assert greedy["temperature"] == 0
    assert {seen.headers["authorization"] for seen in server[0].seen} == {"Bearer sk-of-the-test"}


def test_an_answer_that_was_cut_off_says_so(model: Model, server: tuple[FaultServer, str]) -> None:
    model.finish_reason = "length"
    subject = EndpointSubject(Endpoint.parse(server[1]))
    ((reply,),) = subject.answers(ASKED[:1], [[1]], SAMPLED, lambda _: None)
    subject.close()
    assert reply.finish_reason == "length"


@pytest.mark.parametrize("ending", ["", "/", "/v1", "/v1/"])
def test_an_address_may_be_written_in_several_ways(
    server: tuple[FaultServer, str], ending: str
) -> None:
    assert ask(server[1] + ending, 1) == ["To Question 0 1"]


def test_among_several_models_one_must_be_named(
    model: Model, server: tuple[FaultServer, str]
) -> None:
    model.listed = ("brief", "tutor")
    with pytest.raises(UsageError, match="several models") as caught:
        ask(server[1])
    assert "brief, tutor" in str(caught.value)
    assert f"{server[1]}#MODEL" in str(caught.value)
    assert posts(server[0]) == []
    ask(f"{server[1]}#tutor", 1)
    assert posts(server[0])[0]["model"] == "tutor"
    model.listed = ()
    with pytest.raises(UsageError, match="lists no model"):
        ask(server[1])


@pytest.mark.parametrize("what", ["model", "system_fingerprint"])
def test_a_model_that_changes_in_mid_run_is_an_error(
    model: Model, server: tuple[FaultServer, str], what: str
) -> None:
    subject = EndpointSubject(Endpoint.parse(f"{server[1]}#brief"))
    model.fingerprint = "fp-1"
    subject.answers(ASKED[:2], [[1]] * 2, SAMPLED, lambda _: None)
    if what == "model":
        model.named = ["brief-v2"]
    else:
        model.fingerprint = "fp-2"
    with pytest.raises(FactoryError, match="in the middle of the evaluation") as caught:
        subject.answers(ASKED[2:], [[1]] * 4, SAMPLED, lambda _: None)
    subject.close()
    told = {"model": "brief, then brief-v2", "system_fingerprint": "fp-1, then fp-2"}[what]
    assert told in str(caught.value)


def test_a_wrong_key_names_the_variable_and_a_missing_one_is_not_called_wrong(
    model: Model, server: tuple[FaultServer, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    model.refusal = (401, {}, b'{"error": {"message": "Incorrect API key provided"}}')
    monkeypatch.delenv(KEY_VARIABLE, raising=False)
    with pytest.raises(UsageError, match="wants a key, and none was given") as caught:
        Endpoint.parse(server[1]).check()
    assert "Incorrect" not in str(caught.value)
    assert KEY_VARIABLE in str(caught.value)
    monkeypatch.setenv(KEY_VARIABLE, "sk-wrong")
    with pytest.raises(UsageError, match="answered 401") as caught:
        ask(server[1])
    assert "Incorrect API key" in str(caught.value)
    assert KEY_VARIABLE in str(caught.value)


def test_a_check_asks_for_one_token_and_an_unknown_model_is_told_which_there_are(
    model: Model, server: tuple[FaultServer, str]
) -> None:
    Endpoint.parse(server[1]).check()
    assert [body["max_tokens"] for body in posts(server[0])] == [1]
    model.missing = "tutor"
    with pytest.raises(UsageError, match="no model 'tutor'") as caught:
        Endpoint.parse(f"{server[1]}#tutor").check()
    assert caught.value.allowed == "brief"
    assert caught.value.hint == f"name a model: {server[1]}#brief"


@pytest.mark.parametrize("text", ["http://", "http://host:99999", "http://two words"])
def test_what_is_no_address_is_said_at_once(text: str) -> None:
    with pytest.raises(UsageError, match="no address"):
        Endpoint.parse(text)


def test_an_address_where_nobody_listens_is_one_clear_error() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}"
    with pytest.raises(FactoryError, match="cannot be reached") as caught:
        ask(url)
    assert url in str(caught.value)


@pytest.mark.parametrize(
    "answer",
    [
        (200, {"content-type": "text/html"}, b"<html>Welcome to the router</html>"),
        (200, {}, b"not json"),
        (200, {}, b'{"status": "fine"}'),
        (200, {}, b'{"model": "brief", "choices": []}'),
    ],
    ids=["page", "no-json", "other-json", "no-choice"],
)
@pytest.mark.parametrize("named", ["", "#brief"])
def test_what_is_no_such_endpoint_is_one_clear_error(
    model: Model, server: tuple[FaultServer, str], answer: Answer, named: str
) -> None:
    model.refusal = answer
    with pytest.raises(FactoryError) as caught:
        ask(server[1] + named)
    assert server[1] in str(caught.value)
