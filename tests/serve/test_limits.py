"""How much a client may ask for: counted exactly, given back at the end, and told in OpenAI's words."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import openai
import pytest
from hypothesis import given
from hypothesis import strategies as st

from factory.chat import ChatFormat
from factory.contracts import Message
from serve.app import create_app
from serve.doorkeeper import Doorkeeper
from serve.engines.brain import Ask, Piece
from serve.engines.hosting import hosted
from serve.fleet import Fleet
from serve.heads import MAX_HEAD
from serve.limits import MINUTE, Limiter, Limits
from serve.listening import claim_port, running
from serve.protocol import ApiError
from serve.served import Served
from tests.serve.conftest import MakeRelease, Serve, ask, sdk

CHAT = "/v1/chat/completions"
HI = {"model": "brief", "messages": ask("Hi")}


class Clock:
    """Time that passes when a test says so."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def test_a_bucket_gives_what_it_holds_and_then_what_flows_in() -> None:
    clock = Clock()
    limiter, limits = Limiter(clock), Limits(requests=60)
    left = []
    for _ in range(60):
        ticket = limiter.enter("a", limits, estimate=0)
        left.append(int(ticket.headers["x-ratelimit-remaining-requests"]))
        ticket.close(0)
    assert left == list(range(59, -1, -1))
    with pytest.raises(ApiError) as caught:
        limiter.enter("a", limits, estimate=0)
    assert (caught.value.status, caught.value.code) == (429, "rate_limit_exceeded")
    assert caught.value.headers["retry-after"] == "1"
    assert caught.value.headers["x-ratelimit-reset-requests"] == "1m0s"
    limiter.enter("b", limits, estimate=0)  # another key has its own
    clock.now += 0.9
    with pytest.raises(ApiError):
        limiter.enter("a", limits, estimate=0)
    clock.now += 0.1  # a refusal cost nothing, so what was promised holds
    limiter.enter("a", limits, estimate=0)


@given(
    st.integers(1, 500),
    st.lists(st.tuples(st.floats(0, 90), st.integers(0, 700), st.integers(0, 900)), max_size=40),
)
def test_tokens_never_exceed_what_was_allowed_and_retry_after_is_true(
    limit: int, calls: list[tuple[float, int, int]]
) -> None:
    clock = Clock()
    limiter, limits = Limiter(clock), Limits(tokens=limit)
    began, used, last = clock.now, 0, 0
    for pause, estimate, real in calls:
        clock.now += pause
        try:
            ticket = limiter.enter("a", limits, estimate=estimate)
        except ApiError as refused:
            clock.now += int(refused.headers["retry-after"])
            ticket = limiter.enter("a", limits, estimate=estimate)  # now it is let in
        # Whatever was used before this call has been paid for.
        assert used <= limit * (1 + (clock.now - began) / MINUTE) + 1e-3
        ticket.close(real)
        used, last = used + real, real
    assert last <= used


def test_what_was_not_used_is_given_back_and_what_was_is_owed() -> None:
    clock = Clock()
    limiter, limits = Limiter(clock), Limits(tokens=100)

    def left() -> int:
        ticket = limiter.enter("a", limits, estimate=0)
        ticket.close(0)
        return int(ticket.headers["x-ratelimit-remaining-tokens"])

    ticket = limiter.enter("a", limits, estimate=80)
    assert ticket.headers["x-ratelimit-remaining-tokens"] == "20"
    ticket.close(30)
    assert left() == 70
    limiter.enter("a", limits, estimate=10).close(170)  # 100 more than there were
    with pytest.raises(ApiError) as caught:
        limiter.enter("a", limits, estimate=0)
    assert caught.value.headers["retry-after"] == "61"  # the debt, and one token
    assert caught.value.headers["x-ratelimit-remaining-tokens"] == "0"
    clock.now += 120
    assert left() == 100


def test_a_prompt_larger_than_the_limit_waits_for_a_full_bucket_and_is_not_shut_out() -> None:
    clock = Clock()
    limiter, limits = Limiter(clock), Limits(tokens=100)
    limiter.enter("a", limits, estimate=5000).close(5000)
    with pytest.raises(ApiError) as caught:
        limiter.enter("a", limits, estimate=1)
    assert (
        int(caught.value.headers["retry-after"]) == 2941
    )  # 4,900 owed and 1 wanted, at 100 a minute


def test_answers_at_once_are_counted_and_a_place_comes_back() -> None:
    limiter, limits = Limiter(Clock()), Limits(streams=2)
    first, _ = (limiter.enter("a", limits, estimate=0) for _ in range(2))
    with pytest.raises(ApiError, match="2 answers at once") as caught:
        limiter.enter("a", limits, estimate=0)
    assert caught.value.headers["retry-after"] == "1"
    first.close(0)
    limiter.enter("a", limits, estimate=0)


def test_memory_does_not_grow_with_the_number_of_keys() -> None:
    clock = Clock()
    limiter, limits = Limiter(clock), Limits(requests=10, tokens=1000)
    for i in range(20_000):
        limiter.enter(f"key-{i}", limits, estimate=5).close(7)
        clock.now += 0.1
    assert len(limiter) <= 1300  # who called in the last two minutes
    kept = limiter.enter("debtor", limits, estimate=0)
    kept.close(100_000)
    clock.now += 600
    with pytest.raises(ApiError):  # a debt is not forgotten
        limiter.enter("debtor", limits, estimate=0)


def test_a_key_s_own_limits_win_over_the_endpoint_s() -> None:
    own = Limits(requests=5).or_else(Limits(requests=60, tokens=1000))
    assert own == Limits(requests=5, tokens=1000)


# --- over HTTP ---------------------------------------------------------------------------------


def test_every_answer_says_what_is_left_in_openai_s_words(
    release: MakeRelease, serve: Serve
) -> None:
    release()
    with serve("brief", rates=Limits(requests=120, tokens=6000)) as url:
        answer = httpx.post(url + CHAT, json=HI)
        assert answer.status_code == 200
        said = {k: v for k, v in answer.headers.items() if k.startswith("x-ratelimit-")}
        assert said.pop("x-ratelimit-limit-requests") == "120"
        assert said.pop("x-ratelimit-limit-tokens") == "6000"
        assert said.pop("x-ratelimit-remaining-requests") == "119"
        assert said.pop("x-ratelimit-reset-requests") == "500ms"
        guess = answer.request.headers["content-length"]
        assert int(said.pop("x-ratelimit-remaining-tokens")) == 6000 - int(guess) // 4
        assert said.pop("x-ratelimit-reset-tokens").endswith("ms")
        assert not said
        refused = httpx.post(url + CHAT, content="{")  # a bad request counts, and says so, too
        assert refused.status_code == 400
        assert refused.headers["x-ratelimit-limit-requests"] == "120"
        listed = httpx.get(f"{url}/v1/models", headers={"origin": "http://localhost:3000"})
        assert "x-ratelimit-limit-requests" not in listed.headers  # only answers are metered
        assert "x-ratelimit-remaining-tokens" in listed.headers["access-control-expose-headers"]


def test_the_sdk_waits_as_long_as_it_is_told_and_then_succeeds(
    release: MakeRelease, serve: Serve
) -> None:
    release()
    with serve("brief", rates=Limits(requests=60)) as url, sdk(url) as client:
        create: Any = client.with_options(max_retries=1).chat.completions.with_raw_response.create
        for _ in range(200):  # at most one a second comes back while these are made
            answer = create(model="brief", messages=ask("Hi"))
            assert answer.status_code == 200
            if answer.retries_taken:
                break
        assert answer.retries_taken == 1
        with pytest.raises(openai.RateLimitError) as caught:
            for _ in range(200):
                client.chat.completions.create(model="brief", messages=ask("Hi"))
        assert caught.value.code == "rate_limit_exceeded"
        assert caught.value.type == "rate_limit_error"  # type: ignore[attr-defined]
        assert "60 requests a minute" in caught.value.message
        assert caught.value.response.headers["retry-after"] == "1"


@pytest.mark.parametrize("stream", [False, True])
def test_the_engine_s_own_count_is_what_a_call_costs(
    release: MakeRelease, serve: Serve, stream: bool
) -> None:
    release(max_tokens=300)
    with serve("brief", rates=Limits(tokens=60)) as url, sdk(url) as client:
        talk = ask(" ".join(map(str, range(60))))
        more: Any = {"stream": True, "stream_options": {"include_usage": True}} if stream else {}
        answer: Any = client.chat.completions.create(model="brief", messages=talk, **more)
        total = (list(answer)[-1] if stream else answer).usage.total_tokens
        assert total > 120
        refused = httpx.post(url + CHAT, json=HI)
        assert refused.status_code == 429
        next_one = int(refused.request.headers["content-length"]) // 4
        owed = total - 60 + next_one  # one a second flows back, and a test takes some
        assert owed - 20 <= int(refused.headers["retry-after"]) <= owed


def test_a_refused_request_costs_no_tokens(release: MakeRelease, serve: Serve) -> None:
    release()
    with serve("brief", rates=Limits(tokens=100)) as url:
        for _ in range(20):
            refused = httpx.post(url + CHAT, json={"model": "nobody", "messages": ask("x" * 200)})
            assert refused.status_code == 404
        assert int(refused.headers["x-ratelimit-limit-tokens"]) == 100


# --- places come back --------------------------------------------------------------------------


class Waiting:
    """An engine that says one word, then waits until it may end."""

    def __init__(self) -> None:
        self.go_on = threading.Event()

    def prompt_ids(self, messages: list[Message]) -> list[int]:
        return [1, 2, 3]

    def pieces(self, prompt_ids: list[int], ask: Ask) -> Iterator[Piece]:
        yield Piece("word ", [1])
        if ask.messages[-1]["content"] == "fail":
            raise RuntimeError("the engine fails")
        self.go_on.wait(30)
        yield Piece("end", [2], finish_reason="stop")


@contextmanager
def waiting(made: Any, model_dir: Path, **limits: int) -> Iterator[tuple[str, Waiting]]:
    """An endpoint over such an engine; its first answer, the health check's, is over at once."""
    engine = Waiting()
    engine.go_on.set()
    served = Served.of(made.facts(), gated=True, format=ChatFormat.load(model_dir))
    with hosted(engine, model="m", max_model_len=512) as inner:
        engine.go_on.clear()
        app = create_app(Fleet({"brief": (served, inner)}), Doorkeeper(defaults=Limits(**limits)))
        try:
            with claim_port("127.0.0.1", 0, keyed=False) as door, running(app, door):
                yield f"http://127.0.0.1:{door.getsockname()[1]}", engine
                engine.go_on.set()
        finally:
            engine.go_on.set()


def eventually(url: str, status: int) -> httpx.Response:
    """Ask until the answer has this status: places come back a moment after the last byte."""
    for _ in range(100):
        with httpx.stream("POST", url + CHAT, json={**HI, "stream": True}) as found:
            if found.status_code == status:
                return found
        threading.Event().wait(0.05)
    raise AssertionError(f"never {status}")


def test_a_client_that_leaves_a_stream_gives_its_place_back(
    release: MakeRelease, tiny_llama: Path
) -> None:
    with waiting(release(), tiny_llama, streams=1) as (url, _):
        with httpx.stream("POST", url + CHAT, json={**HI, "stream": True}) as held:
            assert held.status_code == 200
            refused = httpx.post(url + CHAT, json=HI)
            assert refused.status_code == 429
            assert refused.json()["error"]["code"] == "rate_limit_exceeded"
            assert refused.headers["retry-after"] == "1"
        eventually(url, 200)


def test_a_client_that_leaves_before_its_answer_gives_its_place_back(
    release: MakeRelease, tiny_llama: Path
) -> None:
    with waiting(release(), tiny_llama, streams=1) as (url, _):
        with pytest.raises(httpx.ReadTimeout):
            httpx.post(url + CHAT, json=HI, timeout=httpx.Timeout(20, read=0.5))
        eventually(url, 200)


@pytest.mark.parametrize("stream", [True, False])
def test_answers_that_fail_give_their_places_back(
    release: MakeRelease, tiny_llama: Path, stream: bool
) -> None:
    with waiting(release(), tiny_llama, streams=1) as (url, _):
        broken = {"model": "brief", "messages": ask("fail"), "stream": stream}
        for content in (json.dumps(broken), '{"model": "nobody"}', "{", "x" * (2 << 20)):
            failed = httpx.post(url + CHAT, content=content)
            assert failed.status_code != 429
        eventually(url, 200)


# --- giant heads -------------------------------------------------------------------------------


def exchange(url: str, *parts: bytes) -> bytes:
    """Send raw bytes and read until the server hangs up."""
    host, port = httpx.URL(url).netloc.decode().split(":")
    with socket.create_connection((host, int(port)), timeout=20) as raw:
        try:
            for part in parts:
                raw.sendall(part)
        except OSError:
            pass  # refused before everything was sent
        heard = b""
        try:
            while block := raw.recv(65536):
                heard += block
        except ConnectionResetError:
            pass
        return heard


@pytest.mark.parametrize(
    "head",
    [
        [b"x-big: " + b"a" * (MAX_HEAD + 1) + b"\r\n\r\n"],
        [b"x-big: " + b"a" * 200_000 + b"\r\n\r\n"],
        [b"x-%d: y\r\n" % i for i in range(9000)],
        [b"x-never-ends: ", *[b"a" * 10_000] * 30],
    ],
)
def test_giant_headers_are_refused_in_the_envelope(
    release: MakeRelease, serve: Serve, head: list[bytes]
) -> None:
    release()
    with serve("brief") as url:
        heard = exchange(url, b"GET /v1/models HTTP/1.1\r\nhost: x\r\n", *head)
        # Of much more than the limit a reset may overtake the answer.
        assert heard or sum(map(len, head)) > 2 * MAX_HEAD
        if heard:
            assert heard.startswith(b"HTTP/1.1 431 ")
            error = json.loads(heard.partition(b"\r\n\r\n")[2])["error"]
            assert set(error) == {"message", "type", "param", "code"}
            assert error["code"] == "headers_too_large"
        assert httpx.get(f"{url}/v1/models").status_code == 200


def test_large_but_honest_headers_and_long_paths_are_read(
    release: MakeRelease, serve: Serve
) -> None:
    release()
    with serve("brief") as url, httpx.Client() as client:
        for _ in range(3):  # on one connection: the count begins anew
            headers = {"cookie": "a" * 20_000}
            assert client.get(f"{url}/v1/models", headers=headers).status_code == 200
        assert client.get(f"{url}/v1/{'a' * 40_000}").status_code == 431


def test_what_is_no_http_is_refused_in_the_envelope(release: MakeRelease, serve: Serve) -> None:
    release()
    with serve("brief") as url:
        heard = exchange(url, b"\x16\x03\x01 this is TLS\r\n\r\n")
        assert heard.startswith(b"HTTP/1.1 400 ")
        assert json.loads(heard.partition(b"\r\n\r\n")[2])["error"]["code"] == "invalid_request"
