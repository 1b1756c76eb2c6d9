"""What the serve benchmarks share: an engine, our gateway and a load, each in a process of its own.

What is measured has core 0 for itself; engine and load share core 1. Every process ends with its parent,
and nothing but this machine is ever asked.
"""

from __future__ import annotations

import asyncio
import json
import os
import secrets
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import AsyncGenerator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))  # for the releases that the tests make

from load import Load, Seen  # noqa: E402

from factory.contracts import Endpoint, Message  # noqa: E402
from serve.engines.brain import Ask, Piece  # noqa: E402

STARTER = ROOT / "factory" / "starter" / "weights"
PERSONA, INNER = "brief", "inner"
SYSTEM = "Answer in one short sentence, in plain words."
MEASURED_CORE, OTHER_CORE = 0, 1
WINDOW = 1024
PATH = "/v1/chat/completions"
STEP, EACH = 0.005, 0.00025
"""Seconds of an engine's step, and what each answer that runs beside makes it longer: 5 ms a token
alone, 21 ms at 64, about what one GPU does with a small model."""
LEAVING = "leaving "
"""How a question begins whose asker will not wait: the engine says when it began and when it noticed."""


class Paced:
    """An engine's brain that waits before each word as a GPU would; any number of answers at once."""

    running = 0

    def prompt_ids(self, messages: list[Message]) -> list[int]:
        """One id for each word."""
        return [0] * sum(len(message["content"].split()) for message in messages)

    def text_ids(self, text: str) -> list[int]:
        """One id for each word."""
        return [0] * len(text.split())

    async def pieces(self, prompt_ids: list[int], ask: Ask) -> AsyncGenerator[Piece]:
        """As many words as were asked for."""
        loop = asyncio.get_running_loop()
        due, said = loop.time(), 0
        leaving = bool(ask.messages) and ask.messages[-1]["content"].startswith(LEAVING)
        self.running += 1
        try:
            if leaving:
                _announce({"began": time.monotonic()})
            while said < ask.max_tokens:
                due += STEP + EACH * self.running
                await asyncio.sleep(due - loop.time())
                said += 1
                last = said == ask.max_tokens
                yield Piece(f"word{said} ", [said], finish_reason="length" if last else None)
        finally:
            self.running -= 1
            if leaving:
                _announce({"noticed": time.monotonic()})


def question(text: str, **more: Any) -> dict[str, Any]:
    """A client's request to a gateway."""
    return {"model": PERSONA, "messages": [{"role": "user", "content": text}], **more}


def direct(body: dict[str, Any]) -> dict[str, Any]:
    """The same request, as the engine itself would be asked."""
    messages = [{"role": "system", "content": SYSTEM}, *body["messages"]]
    return {**body, "model": INNER, "messages": messages}


@contextmanager
def process(command: Sequence[object], core: int, **options: Any) -> Iterator[Any]:
    """A child on one core for the length of the block."""
    child = subprocess.Popen(
        [str(part) for part in command],
        stdin=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: os.sched_setaffinity(0, {core}),
        **options,
    )
    try:
        yield child
    finally:
        child.terminate()
        try:
            child.wait(20)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()


@contextmanager
def _own(role: str, given: str, core: int) -> Iterator[tuple[Any, dict[str, Any]]]:
    command = [sys.executable, __file__, role, given]
    with process(command, core, stdout=subprocess.PIPE) as child:
        yield child, json.loads(child.stdout.readline())


@contextmanager
def engine(kind: str) -> Iterator[tuple[Endpoint, Any]]:
    """`echo` on a Unix socket, or `paced` on a port, where other gateways can reach it, too.

    Yields:
        Where it is, and its process.
    """
    with _own("engine", kind, OTHER_CORE) as (child, said):
        yield _endpoint(said), child


@contextmanager
def vllm() -> Iterator[tuple[Endpoint, Any]]:
    """A real vLLM on a port, with the shipped starter."""
    import httpx

    from serve.engines import vllm
    from serve.listening import claim_port

    with claim_port("127.0.0.1", 0, keyed=False) as door:
        port = str(door.getsockname()[1])
    key, options = secrets.token_urlsafe(24), {"dtype": "float32"}
    flags = vllm._flags(STARTER, INNER, WINDOW, Path("unused"), options, on_cpu=True)
    at = flags.index("--uds")
    flags[at : at + 2] = ["--host", "127.0.0.1", "--port", port]
    command = [sys.executable, "-m", "serve.engines.vllm_launch", *flags]
    log = tempfile.TemporaryFile()  # noqa: SIM115
    environment = vllm._environment(key, 1)
    with process(command, OTHER_CORE, env=environment, stdout=log, stderr=log) as child:
        headers = {"authorization": f"Bearer {key}"}
        _wait(lambda: httpx.get(f"http://127.0.0.1:{port}/health").status_code == 200, child, 300)
        yield Endpoint(f"http://127.0.0.1:{port}", INNER, None, headers), child


@contextmanager
def gateway(endpoint: Endpoint) -> Iterator[tuple[int, int]]:
    """Ours, in front of an engine; yields its port and process id."""
    given = json.dumps(asdict(endpoint), default=str)
    with _own("gateway", given, MEASURED_CORE) as (child, said):
        yield said["port"], child.pid


@contextmanager
def forwarder(endpoint: Endpoint) -> Iterator[int]:
    """The least that can stand there: passes on bytes and knows nothing; yields its port."""
    given = json.dumps(asdict(endpoint), default=str)
    with _own("forwarder", given, MEASURED_CORE) as (_, said):
        yield said["port"]


@contextmanager
def litellm(command: Path, endpoint: Endpoint) -> Iterator[int]:
    """LiteLLM's proxy in front of the same engine; yields its port."""
    import httpx

    from serve.listening import claim_port

    with claim_port("127.0.0.1", 0, keyed=False) as door:
        port = door.getsockname()[1]
    key = endpoint.headers["authorization"].removeprefix("Bearer ")
    inner = {"model": f"openai/{INNER}", "api_base": f"{endpoint.base_url}/v1", "api_key": key}
    config = {"model_list": [{"model_name": PERSONA, "litellm_params": inner}]}
    own = {
        "LITELLM_LOCAL_MODEL_COST_MAP": "True",  # asks nobody
        "LITELLM_MODE": "PRODUCTION",
        "LITELLM_DANGEROUSLY_PERMIT_WEAK_OR_UNSET_MASTER_KEY": "true",  # ours has no key here, either
    }
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "config.yaml")
        file.write_text(json.dumps(config))
        given = ["--config", file, "--host", "127.0.0.1", "--port", port, "--telemetry", "False"]
        log = Path(folder, "log").open("wb")  # noqa: SIM115
        options = {"env": {**os.environ, **own}, "cwd": folder, "stdout": log, "stderr": log}
        with process([command, *given], MEASURED_CORE, **options) as child:
            alive = f"http://127.0.0.1:{port}/health/liveliness"
            _wait(lambda: httpx.get(alive, timeout=5).status_code == 200, child, 180)
            yield port


def _wait(ready: Any, child: Any, seconds: float) -> None:
    import httpx

    end = time.monotonic() + seconds
    while time.monotonic() < end and child.poll() is None:
        try:
            if ready():
                return
        except httpx.HTTPError:
            pass
        time.sleep(0.5)
    raise SystemExit(f"{child.args[0]} did not start")


def load(wanted: Load, core: int = OTHER_CORE) -> Seen:
    """Run a load in a process of its own."""
    command = [sys.executable, str(Path(__file__).with_name("load.py")), "-"]
    given = json.dumps({**asdict(wanted), "core": core})
    done = subprocess.run(command, input=given, capture_output=True, text=True, check=True)
    return Seen(**json.loads(done.stdout))


def processor(pid: int) -> float:
    """Seconds that a process has computed."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def share(values: Sequence[float], part: float) -> float:
    """A quantile."""
    return sorted(values)[min(int(part * len(values)), len(values) - 1)]


def _endpoint(said: dict[str, Any]) -> Endpoint:
    uds = Path(said["uds"]) if said["uds"] else None
    return Endpoint(said["base_url"], said["model"], uds, said["headers"])


def _end_with_parent() -> None:
    def watch() -> None:
        sys.stdin.read()
        os._exit(0)

    threading.Thread(target=watch, daemon=True).start()


def _announce(said: Any) -> None:
    print(json.dumps(said, default=str), flush=True)


def _engine(kind: str) -> None:
    from serve.engines.echo import Echo
    from serve.engines.hosting import hosted
    from serve.engines.wire import engine_app
    from serve.listening import claim_port, running

    if kind == "echo":
        with hosted(Echo(), model=INNER, max_model_len=4096) as endpoint:
            _announce(asdict(endpoint))
            threading.Event().wait()
    key = secrets.token_urlsafe(24)
    app = engine_app(Paced(), model=INNER, max_model_len=4096, key=key)
    with claim_port("127.0.0.1", 0, keyed=False) as door, running(app, door):
        url, headers = (
            f"http://127.0.0.1:{door.getsockname()[1]}",
            {"authorization": f"Bearer {key}"},
        )
        _announce(asdict(Endpoint(url, INNER, None, headers)))
        threading.Event().wait()


def _gateway(endpoint: Endpoint) -> None:
    from factory.chat import ChatFormat
    from serve.app import create_app
    from serve.doorkeeper import Doorkeeper
    from serve.fleet import Fleet
    from serve.listening import claim_port, run
    from serve.logs import log_file
    from serve.served import Served
    from tests.serve.conftest import make_release

    facts: dict[str, Any] = {"name": PERSONA, "prompt": SYSTEM, "window": WINDOW, "max_tokens": 256}
    with (
        tempfile.TemporaryDirectory() as folder,
        log_file(Path(folder)),
        claim_port("127.0.0.1", 0, keyed=False) as door,
    ):
        release = make_release(Path(folder), STARTER, **facts)
        served = Served.of(release.facts(), gated=True, format=ChatFormat.load(STARTER))
        door.listen()
        _announce({"port": door.getsockname()[1]})
        run(create_app(Fleet({PERSONA: (served, endpoint)}), Doorkeeper()), door)


class _End(asyncio.Protocol):
    """One end of a forwarded connection: what it receives, the other end sends."""

    def __init__(self) -> None:
        self.other: asyncio.Future[asyncio.Transport] = asyncio.Future()

    def connection_made(self, transport: Any) -> None:
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        if self.other.done():
            self.other.result().write(data)
        else:
            self.other.add_done_callback(lambda other: other.result().write(data))

    def connection_lost(self, error: Exception | None) -> None:
        if self.other.done():
            self.other.result().close()


def _forwarder(endpoint: Endpoint) -> None:
    import uvloop

    port = urlsplit(endpoint.base_url).port or 80

    class Client(_End):
        def connection_made(self, transport: Any) -> None:
            super().connection_made(transport)
            self.joining = asyncio.ensure_future(self._join())

        async def _join(self) -> None:
            loop = asyncio.get_running_loop()
            other, end = await loop.create_connection(_End, "127.0.0.1", port)
            end.other.set_result(self.transport)
            self.other.set_result(other)

    async def forever() -> None:
        server = await asyncio.get_running_loop().create_server(Client, "127.0.0.1", 0)
        _announce({"port": server.sockets[0].getsockname()[1]})
        await server.serve_forever()

    uvloop.run(forever())


def main(arguments: Sequence[str]) -> None:
    """Be one of the processes; nothing without arguments."""
    if not arguments:
        return
    _end_with_parent()
    role, given = arguments
    if role == "engine":
        _engine(given)
    elif role == "forwarder":
        _forwarder(_endpoint(json.loads(given)))
    else:
        _gateway(_endpoint(json.loads(given)))


if __name__ == "__main__":
    main(sys.argv[1:])
