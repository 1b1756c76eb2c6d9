"""What the endpoint goes through: a soak, a fuzz, schemathesis, and an engine that is killed under load.

    python benchmarks/serve_hardship.py [soak] [fuzz] [schema] [kill] [--requests 20000] [--cases 50000]
                                        [--schemathesis PATH]

All four by default. `soak`: requests on the echo engine, 5% malformed, 5% by clients that hang up; no 5xx,
and memory, handles and tasks end where they were. `fuzz`: JSON bodies and raw HTTP heads made from a seed.
`schema`: schemathesis over our OpenAPI document, valid and invalid input (it lives in an environment of its
own). `kill`: SIGKILL for a vLLM under load; clients see clean errors, and it comes back by itself.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

GOOD = {
    "model": "brief",
    "messages": [{"role": "user", "content": "Tell me about tea."}],
    "max_tokens": 8,
}
SECRETS = ("heliotrope-canary-7731", "Traceback", 'File "/', str(ROOT))
"""What no answer may hold."""


# --- an endpoint in a process of its own ---------------------------------------------------------


def be_endpoint(engine: str) -> None:
    """Serve a release of a tiny model; on SIGUSR1 print memory, handles and tasks."""
    os.environ |= {"HF_HUB_OFFLINE": "1", "TRANSFORMERS_VERBOSITY": "error"}
    from serve.app import create_app
    from tests.serve import conftest
    from tests.tiny import tiny_base

    with tempfile.TemporaryDirectory() as place:
        os.environ["FACTORY_HOME"] = place
        model = tiny_base("llama", Path(place) / "base")
        conftest.make_release(Path(place), model, completions=True)
        with conftest.endpoint(Path(place), "brief", engine=engine, announce=lambda _: None) as url:
            document = json.dumps(_app_document(create_app))
            print(json.dumps({"url": url, "openapi": document}), flush=True)
            for _ in sys.stdin:
                print(json.dumps(_facts()), flush=True)


def _app_document(create_app: Any) -> Any:
    from serve.doorkeeper import Doorkeeper
    from serve.fleet import Fleet

    return create_app(Fleet({}), Doorkeeper()).openapi()


def _facts() -> dict[str, int]:
    import gc

    gc.collect()
    status = Path("/proc/self/status").read_text()
    found = re.search(r"VmRSS:\s+(\d+)", status)
    tasks = sum(isinstance(o, asyncio.Task) and not o.done() for o in gc.get_objects())
    return {
        "kib": int(found[1]) if found else 0,
        "handles": len(os.listdir("/proc/self/fd")),
        "tasks": tasks,
    }


class Endpoint:
    """The other end of `be_endpoint`."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process
        assert process.stdout
        said = json.loads(next(line for line in process.stdout if line.startswith('{"url"')))
        self.url, self.openapi = said["url"], said["openapi"]
        self.port = int(self.url.rpartition(":")[2])

    def facts(self) -> dict[str, int]:
        """Memory in KiB, file handles, tasks."""
        assert self.process.stdin and self.process.stdout
        self.process.stdin.write("\n")
        self.process.stdin.flush()
        return dict(json.loads(self.process.stdout.readline()))


@contextmanager
def endpoint(engine: str = "echo") -> Iterator[Endpoint]:
    """For the length of the block."""
    with subprocess.Popen(
        [sys.executable, __file__, "--be", engine],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
    ) as process:  # fmt: skip
        try:
            yield Endpoint(process)
        finally:
            assert process.stdin
            process.stdin.close()
            process.wait(60)


# --- soak ----------------------------------------------------------------------------------------


async def _send(port: int, raw: bytes, *, hang_up: bool = False) -> tuple[int, bytes]:
    """One request on a connection of its own: status (0 if there is none) and everything that came."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(raw)
        await writer.drain()
        if hang_up:
            await asyncio.sleep(random.random() * 0.01)
            return -1, b""
        if raw.endswith(b"\0cut"):
            writer.write_eof()
        async with asyncio.timeout(30):
            answer = await reader.read()
        found = re.match(rb"HTTP/1\.1 (\d+)", answer)
        return int(found[1]) if found else 0, answer
    finally:
        writer.close()


def _post(body: bytes, path: str = "/v1/chat/completions", head: str = "") -> bytes:
    return (
        f"POST {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n"
        f"content-type: application/json\r\n"
        f"{head}content-length: {len(body)}\r\n\r\n"
    ).encode() + body


MALFORMED = (b"", b"{", b"[]", b"null", b'{"model": 3}', b'{"model": "brief", "messages": []}',
             b'{"model": "no", "messages": [{"role": "user", "content": "x"}]}', b"\xff\xfe")  # fmt: skip


def soak(requests: int) -> bool:
    """Print what came back and what stayed behind; whether the bars were reached."""
    rng = random.Random(1)

    async def run(port: int, count: int) -> Counter[int]:
        seen: Counter[int] = Counter()
        left = iter(range(count))

        async def client() -> None:
            for _ in left:
                kind = rng.random()
                if kind < 0.05:
                    status, _ = await _send(port, _post(rng.choice(MALFORMED)))
                else:
                    body = GOOD | {"stream": rng.random() < 0.5}
                    status, answer = await _send(
                        port, _post(json.dumps(body).encode()), hang_up=kind < 0.10
                    )
                    if status == 200 and b"echo:" not in answer:
                        status = -2
                seen[status] += 1

        await asyncio.gather(*(client() for _ in range(32)))
        return seen

    with endpoint() as served:
        asyncio.run(run(served.port, 1000))  # pools and caches are filled
        before = served.facts()
        began = time.monotonic()
        seen = asyncio.run(run(served.port, requests))
        seconds = time.monotonic() - began
        time.sleep(6)  # idle connections to the engine close after 4 s
        after = served.facts()
    bad = sum(n for status, n in seen.items() if status >= 500 or status in (0, -2))
    print(
        f"soak: {requests} requests in {seconds:.0f} s: {seen[200]} answered, {seen[-1]} hung up,"
        f" {sum(n for s, n in seen.items() if 400 <= s < 500)} refused, {bad} 5xx or broken (bar 0)"
    )
    print(
        f"  memory {before['kib'] / 1024:.0f} -> {after['kib'] / 1024:.0f} MiB,"
        f" handles {before['handles']} -> {after['handles']}, tasks {before['tasks']} -> {after['tasks']}"
    )
    grew = after["kib"] > before["kib"] * 1.1 + 8192
    return (
        not bad
        and not grew
        and after["handles"] <= before["handles"] + 4
        and (after["tasks"] <= before["tasks"] + 2)
    )


# --- fuzz ----------------------------------------------------------------------------------------

KEYS = ("model", "messages", "stream", "max_tokens", "max_completion_tokens", "stop", "n", "seed", "user",
        "temperature", "top_p", "logprobs", "top_logprobs", "logit_bias", "tools", "tool_choice",
        "response_format", "stream_options", "input", "instructions", "prompt", "echo", "chat_template",
        "return_token_ids", "prompt_logprobs", "min_tokens", "strict", "content", "role", "type")  # fmt: skip
VALUES: tuple[Any, ...] = (
          None, True, False, 0, -1, 1, 2**63, -(2**70), 1e308, 0.5, "", "brief", "x" * 3000, "\0", "\ud800",
          "🙂", "<|im_start|>system\n", "{{ 7*7 }}", [], {}, [[]], [None], {"type": "text"},
          "NaN")  # fmt: skip
PATHS = ("/v1/chat/completions", "/v1/completions", "/v1/responses", "/v1/models", "/v1/models/brief",
         "//v1//models/", "/", "/healthz", "/readyz", "/v1/embeddings", "/v1/models/../../etc/passwd",
         "/%00", "/v1/models/%ff", "/metrics", "/openapi.json")  # fmt: skip


def _value(rng: random.Random, depth: int = 0) -> Any:
    kind = rng.random()
    if depth < 4 and kind < 0.25:
        return {rng.choice(KEYS): _value(rng, depth + 1) for _ in range(rng.randint(0, 4))}
    if depth < 4 and kind < 0.4:
        return [_value(rng, depth + 1) for _ in range(rng.randint(0, 4))]
    return rng.choice(VALUES)


def _case(rng: random.Random) -> bytes:
    kind = rng.random()
    if kind < 0.6:  # a good request with some of its fields exchanged
        body: Any = json.loads(json.dumps(GOOD | {"input": "Hi", "prompt": "Hi"}))
        for _ in range(rng.randint(1, 4)):
            body[rng.choice(KEYS)] = _value(rng)
        if rng.random() < 0.4:
            body["messages"] = [{"role": "user", "content": "x"}, _value(rng)]
        text = json.dumps(body, ensure_ascii=rng.random() < 0.5).encode("utf-8", "surrogatepass")
        if rng.random() < 0.1:
            at = rng.randrange(len(text))
            text = text[:at] + bytes([rng.randrange(256)]) + text[at + 1 :]
        return _post(text, rng.choice(PATHS[:3]))
    if kind < 0.75:
        return _post(json.dumps(_value(rng)).encode(), rng.choice(PATHS))
    names = ("authorization", "x-api-key", "x-request-id", "host", "origin", "content-type", "accept",
             "content-length", "transfer-encoding", "traceparent", "x-stainless-lang", "cookie",
             "access-control-request-method", "expect", "x-persona-factory-strict")  # fmt: skip
    head = "".join(f"{rng.choice(names)}: {_head_value(rng)}\r\n" for _ in range(rng.randint(0, 6)))
    method = rng.choice(
        ("GET", "POST", "OPTIONS", "HEAD", "PUT", "DELETE", "PATCH", "TRACE", "G\0T")
    )
    whole = f"{method} {rng.choice(PATHS)} HTTP/1.1\r\nconnection: close\r\nhost: localhost\r\n{head}\r\n"
    return whole.encode("utf-8", "surrogatepass") + rng.randbytes(rng.choice((0, 0, 40))) + b"\0cut"


def _head_value(rng: random.Random) -> str:
    return rng.choice(
        ("", "x", "Bearer", "Bearer x", "0", "-1", "99999999999999999999", "chunked", "gzip, chunked",
         "é", "\t", "a" * 5000, "x/?", "00-" + "a" * 32 + "-" + "b" * 16 + "-01", "null", "*",
         "application/xml", "100-continue", "\x01", "true")
    )  # fmt: skip


def fuzz(cases: int) -> bool:
    """Print what was wrong with the answers; whether nothing was."""
    rng = random.Random(7)
    wrong: list[str] = []
    seen: Counter[int] = Counter()

    async def run(port: int) -> None:
        left = iter(range(cases))

        async def client() -> None:
            for _ in left:
                raw = _case(rng)
                try:
                    status, answer = await _send(port, raw)
                except (OSError, TimeoutError) as error:
                    status, answer = (0, b"") if isinstance(error, OSError) else (-3, b"")
                seen[status] += 1
                if (reason := _objection(raw, status, answer)) is not None:
                    wrong.append(f"{reason}: {raw[:160]!r} -> {answer[-200:]!r}")

        await asyncio.gather(*(client() for _ in range(32)))

    with endpoint() as served:
        asyncio.run(run(served.port))
        alive = asyncio.run(_send(served.port, _post(json.dumps(GOOD).encode())))[0]
    print(f"fuzz: {cases} cases: {dict(sorted(seen.items()))}; {len(wrong)} objections (bar 0)")
    for line in wrong[:5]:
        print(f"  {line}")
    return not wrong and alive == 200


def _objection(raw: bytes, status: int, answer: bytes) -> str | None:
    if status == -3:
        return "no answer in 30 s"
    if status >= 500:
        return f"status {status}"
    for secret in SECRETS:
        if secret.encode() in answer:
            return f"{secret!r} shows"
    head, _, body = answer.partition(b"\r\n\r\n")
    if status >= 400 and not raw.startswith(b"HEAD") and b"text/plain" not in head:
        try:
            keys = set(json.loads(body)["error"])
        except (ValueError, KeyError, TypeError):
            return "an error without its envelope"
        if keys != {"message", "type", "param", "code"}:
            return "an envelope with other keys"
    return None


# --- schemathesis, kill ---------------------------------------------------------------------------


def schema(command: str | None) -> bool:
    """Run schemathesis over our own OpenAPI document."""
    if command is None:
        print("schema: schemathesis is not installed (name it with --schemathesis); skipped")
        return True
    with endpoint() as served, tempfile.TemporaryDirectory() as place:
        file = Path(place) / "openapi.json"
        file.write_text(served.openapi)
        done = subprocess.run(
            [command, "run", str(file), "--url", served.url, "--mode", "all", "--seed", "1",
             "--max-examples", "150", "--workers", "1", "--no-color",
             "--checks", "not_a_server_error,status_code_conformance,content_type_conformance,"
             "response_schema_conformance"],
            capture_output=True, text=True, cwd=place,
        )  # fmt: skip
    tail = [line for line in done.stdout.splitlines() if line.strip()][-14:]
    print(f"schema: schemathesis ended with {done.returncode} (bar 0)")
    for line in tail:
        print(f"  {line}")
    if done.returncode and os.environ.get("SHOW"):
        print(done.stdout[-6000:])
    return done.returncode == 0


def kill() -> bool:
    """Kill a vLLM under load, once, and wait until it answers again."""
    import httpx

    with endpoint("vllm") as served:
        seen: list[tuple[float, int, str]] = []
        over = threading.Event()

        def keep_asking() -> None:
            while not over.is_set():
                try:
                    response = httpx.post(
                        f"{served.url}/v1/chat/completions", json=GOOD | {"ignore": 1}, timeout=60
                    )
                    clean = response.status_code == 200 or set(response.json()["error"]) == {
                        "message", "type", "param", "code",
                    }  # fmt: skip
                    seen.append(
                        (time.monotonic(), response.status_code, "" if clean else response.text)
                    )
                except (httpx.HTTPError, ValueError, KeyError) as error:
                    seen.append((time.monotonic(), 0, repr(error)))
                time.sleep(0.02)

        askers = [threading.Thread(target=keep_asking) for _ in range(8)]
        for asker in askers:
            asker.start()
        time.sleep(5)
        struck = time.monotonic()
        for pid in _descendants(served.process.pid):
            os.kill(pid, signal.SIGKILL)
        while not any(t > struck + 2 and status == 200 for t, status, _ in seen[-40:]):
            time.sleep(0.1)
            if time.monotonic() - struck > 300:
                break
        back = next((t - struck for t, s, _ in seen if t > struck + 2 and s == 200), float("inf"))
        over.set()
        for asker in askers:
            asker.join()
    codes = Counter(status for t, status, _ in seen if t > struck)
    dirty = [text for _, _, text in seen if text]
    print(
        f"kill: vLLM killed under 8 clients: answers after it {dict(codes)}, {len(dirty)} unclean (bar 0);"
        f" back after {back:.0f} s without a hand"
    )
    return not dirty and back < 300


def _descendants(parent: int) -> list[int]:
    """Process ids of the vLLM servers below a process."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            above = int(stat.read_text().rpartition(")")[2].split()[1])
            command = stat.with_name("cmdline").read_text()
        except OSError:
            continue
        if above == parent and "vllm_launch" in command:
            found.append(int(stat.parent.name))
    return found


def main() -> None:
    """Run what was named."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("which", nargs="*", default=["soak", "fuzz", "schema", "kill"])
    parser.add_argument("--requests", type=int, default=20_000)
    parser.add_argument("--cases", type=int, default=50_000)
    parser.add_argument("--schemathesis", default=shutil.which("schemathesis"))
    parser.add_argument("--be", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.be:
        be_endpoint(options.be)
        return
    runs = {
        "soak": lambda: soak(options.requests),
        "fuzz": lambda: fuzz(options.cases),
        "schema": lambda: schema(options.schemathesis),
        "kill": kill,
    }
    good = [runs[name]() for name in options.which]
    raise SystemExit(not all(good))


if __name__ == "__main__":
    main()
