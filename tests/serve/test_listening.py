"""The front door: refused before anything is loaded, and closed in order."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import httpx
import pytest

from factory.errors import UsageError
from serve.app import serve as run_server
from serve.listening import claim_port, is_loopback, listen
from tests.serve.conftest import MakeRelease, ask, sdk


def test_a_port_in_use_is_refused_with_its_owner_before_anything_else(factory_home: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(UsageError) as caught:  # there is not even a release to load
            run_server(
                factory_home, ["brief"], host="127.0.0.1", port=port, key=None, engine="echo",
                allow_ungated=False, announce=lambda _: None,
            )  # fmt: skip
    assert caught.value.where == f"127.0.0.1:{port}"
    assert f"(process {os.getpid()})" in str(caught.value.got)
    assert caught.value.hint is not None and f"--port {port + 1}" in caught.value.hint


def test_a_port_is_claimed_while_nobody_listens_yet() -> None:
    with claim_port("127.0.0.1", 0, keyed=False) as door:
        port = door.getsockname()[1]
        with (
            pytest.raises(UsageError, match="in use") as caught,
            claim_port("127.0.0.1", port, keyed=False),
        ):
            pass
        assert "does not listen yet" in str(caught.value.got)
        listen(door)
        with socket.create_connection(("127.0.0.1", port), timeout=5):
            pass


def test_a_port_that_was_taken_after_all_is_refused_alike() -> None:
    with claim_port("127.0.0.1", 0, keyed=False) as door, socket.socket() as thief:
        for one in (door, thief):
            one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        thief.bind(door.getsockname())
        thief.listen()
        with pytest.raises(UsageError, match="in use") as caught:
            listen(door, "--metrics-port")
    assert caught.value.hint is not None and "--metrics-port" in caught.value.hint


def test_a_port_is_free_again_while_connections_of_the_last_run_still_close() -> None:
    port = 0
    for _ in range(3):
        with claim_port("127.0.0.1", port, keyed=False) as door:
            listen(door)
            port = door.getsockname()[1]
            with socket.create_connection(("127.0.0.1", port), timeout=5) as client:
                door.accept()[0].close()  # who closes first keeps the connection for a minute
                assert client.recv(1) == b""


def test_a_full_disk_behind_its_output_ends_no_answers(
    release: MakeRelease, factory_home: Path
) -> None:
    release()
    with claim_port("127.0.0.1", 0, keyed=False) as door:
        port = door.getsockname()[1]
    with Path("/dev/full").open("w") as full, subprocess.Popen(
        [sys.executable, "-m", "factory", "serve", "--engine", "echo", "--port", str(port)],
        stdout=full, stderr=subprocess.PIPE, text=True,
    ) as process:  # fmt: skip
        try:
            while process.poll() is None:
                try:
                    if httpx.get(f"http://127.0.0.1:{port}/readyz").status_code == 200:
                        break
                except httpx.ConnectError:
                    time.sleep(0.1)
            assert process.poll() is None, process.stderr and process.stderr.read()
            with sdk(f"http://127.0.0.1:{port}") as client:
                assert client.chat.completions.create(model="brief", messages=ask("Hi")).choices
        finally:
            process.kill()


@pytest.mark.parametrize(
    "options",
    [["--port", "99999"], ["--port", "-5"], ["--metrics-port", "65536"],
     ["--port", "8950", "--metrics-port", "8950"]],
)  # fmt: skip
def test_a_port_that_cannot_be_is_refused_before_anything_else(
    options: list[str], factory_home: Path
) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "factory", "serve", *options], capture_output=True, text=True,
        check=False, timeout=120, env={**os.environ, "COLUMNS": "200"},
    )  # fmt: skip
    assert done.returncode == 2
    assert options[-2] in done.stderr and "releases" not in done.stderr
    assert "or equal to" in done.stderr or "a port each" in done.stderr


@pytest.mark.parametrize(
    "host, key, warned",
    [("0.0.0.0", "short", True), ("0.0.0.0", "long enough to be safe", False),
     ("127.0.0.1", "short", False)],
)  # fmt: skip
def test_a_key_that_can_be_guessed_is_warned_of_where_others_can_try(
    host: str, key: str, warned: bool, factory_home: Path
) -> None:
    said: list[str] = []
    with pytest.raises(UsageError, match="no releases"):
        run_server(
            factory_home, [], host=host, port=0, key=key, engine="echo", allow_ungated=False,
            announce=said.append,
        )  # fmt: skip
    assert any("FACTORY_API_KEY" in line for line in said) is warned
    assert not any(key in line for line in said)


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "10.0.0.1", "example.org"])
def test_an_open_door_needs_a_key(host: str) -> None:
    with pytest.raises(UsageError) as caught, claim_port(host, 0, keyed=False):
        pass
    assert caught.value.hint is not None and "FACTORY_API_KEY" in caught.value.hint


def test_an_open_door_with_a_key_is_opened() -> None:
    with claim_port("0.0.0.0", 0, keyed=True) as door:
        assert door.getsockname()[1] > 0


@pytest.mark.parametrize(
    "host, local",
    [("localhost", True), ("127.0.0.1", True), ("127.9.9.9", True), ("::1", True),
     ("0.0.0.0", False), ("192.168.1.4", False), ("localhost.evil.example", False)],
)  # fmt: skip
def test_loopback_is_what_only_this_machine_reaches(host: str, local: bool) -> None:
    assert is_loopback(host) is local


SERVE = """
import signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)  # background jobs inherit it ignored
from pathlib import Path
from serve.app import serve
serve(Path(sys.argv[1]), ["brief"], host="127.0.0.1", port=0, key=None, engine=sys.argv[2],
      allow_ungated=False, announce=lambda line: print(line, flush=True))
"""


@pytest.mark.parametrize("number, code", [(signal.SIGTERM, 0), (signal.SIGINT, -signal.SIGINT)])
def test_a_signal_ends_it_cleanly(
    number: signal.Signals, code: int, release: MakeRelease, factory_home: Path
) -> None:
    release()
    with subprocess.Popen(
        [sys.executable, "-c", SERVE, str(factory_home), "echo"], stdout=subprocess.PIPE, text=True,
        stderr=subprocess.DEVNULL,
    ) as process:  # fmt: skip
        assert process.stdout is not None
        try:
            ready = next(line for line in process.stdout if line.startswith("ready: "))
            url = ready.split()[1].removesuffix("/v1")
            with sdk(url) as client:
                answer = client.chat.completions.create(model="brief", messages=ask("Hi"))
                assert answer.choices[0].message.content == "echo: Hi"
            process.send_signal(number)
            assert process.wait(20) == code
        finally:
            process.kill()
    with pytest.raises(httpx.ConnectError):
        httpx.get(f"{url}/healthz")
    log = (factory_home / "logs" / "serve.log").read_text()
    (line,) = (one for one in map(json.loads, log.splitlines()) if one["event"] == "request")
    assert line["path"] == "/v1/chat/completions" and line["status"] == 200
    assert line["ungated"] is True  # an echo is not the tested model
    assert "Hi" not in log


def test_22_what_was_begun_is_finished_and_what_is_new_is_turned_away(
    release: MakeRelease, factory_home: Path
) -> None:
    release()
    body = {"model": "brief", "messages": ask("Tell me more."), "max_tokens": 400, "stream": True}
    with subprocess.Popen(
        [sys.executable, "-c", SERVE, str(factory_home), "transformers"], stdout=subprocess.PIPE,
        text=True, stderr=subprocess.DEVNULL,
    ) as process:  # fmt: skip
        assert process.stdout is not None
        try:
            ready = next(line for line in process.stdout if line.startswith("ready: "))
            url = ready.split()[1].removesuffix("/v1")
            with (
                httpx.Client(base_url=url, timeout=60) as kept,
                httpx.Client(base_url=url) as other,
            ):
                assert kept.get("/readyz").status_code == other.get("/readyz").status_code == 200
                with other.stream("POST", "/v1/chat/completions", json=body, timeout=60) as stream:
                    lines = stream.iter_lines()
                    begun = [next(lines) for _ in range(4)]
                    process.send_signal(signal.SIGTERM)
                    while (response := kept.get("/readyz")).status_code == 200:
                        pass
                    assert response.status_code == 503
                    assert response.json()["error"]["code"] == "shutting_down"
                    assert int(response.headers["retry-after"]) > 0
                    chunks = [x for x in [*begun, *lines] if x.startswith("data: ")]
            assert chunks[-1] == "data: [DONE]"
            last = json.loads(chunks[-2].removeprefix("data: "))
            assert last["choices"][0]["finish_reason"] in ("stop", "length")
            assert process.wait(30) == 0
        finally:
            process.kill()
