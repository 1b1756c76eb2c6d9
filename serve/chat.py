"""A conversation in the terminal, over the same endpoint that chat UIs use."""

from __future__ import annotations

import secrets
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import httpx

from factory.errors import FactoryError, UsageError
from serve.connect.endpoint import ask_for, refusal
from serve.engines.upstream import GATEWAY
from serve.listening import claim_port, is_loopback, running, stoppable

USUAL = "http://127.0.0.1:8000"
"""Where `factory serve` listens unless told otherwise."""

HELP = "/reset starts over, /quit ends (so does Ctrl-C)"

Read = Callable[[str], str]
Write = Callable[[str], object]
SHOW: Write = partial(print, end="", flush=True)
"""Standard output; a terminal would else keep a piece until its line is full."""


def chat(
    root: Path,
    ref: str,
    *,
    url: str | None,
    key: str | None,
    engine: str,
    read: Read | None = None,
    write: Write = SHOW,
) -> None:
    """Talk to a release until the user has had enough.

    An address that was named is used, or nothing is. Without one, an endpoint that runs at the usual
    address is used if it serves the release; else the release is served for the length of the
    conversation, and nobody else can reach it.

    Args:
        root: `$FACTORY_HOME`.
        ref: NAME or NAME@N.
        url: Where the endpoint runs; None for the usual address, or none at all.
        key: Its key, or None.
        engine: Plug-in to use if none is running, or `auto`.
        read: Asks for a line, given a prompt; raises EOFError at the end. None for standard input.
        write: Prints text as it comes.

    Raises:
        UsageError: If there is no such release, it did not pass, or a running endpoint refuses the
            key.
        FactoryError: If nothing answers at `url`, an engine fails, or the endpoint breaks off.
    """
    read = read or _line
    if url is not None and engine != "auto":
        raise UsageError(
            "an endpoint that is named has an engine of its own",
            where="--engine",
            got=engine,
            hint="leave out --engine, or --url",
        )
    if url is not None:
        found = ask_for(url, ref, key)
        converse(found.url.removesuffix("/v1"), ref, key, read=read, write=write)
        return
    if _serves(USUAL, ref, key):
        converse(USUAL, ref, key, read=read, write=write)
        return
    with _own_endpoint(root, ref, engine, write) as (own_url, own_key):
        converse(own_url, ref, own_key, read=read, write=write)


def _line(prompt: str) -> str:
    return input(prompt if sys.stdin.isatty() else "")  # nobody reads the prompts of a script


def _serves(url: str, ref: str, key: str | None) -> bool:
    """Whether an endpoint of ours serves a release there; it is a usual port, and others use it, too.

    Raises:
        UsageError: If one of ours refuses the key, or wants one.
    """
    headers = {"authorization": f"Bearer {key}"} if key else {}
    try:
        response = httpx.get(f"{url}/v1/models/{ref}", headers=headers, timeout=3, trust_env=False)
    except httpx.HTTPError:
        return False
    refused = response.status_code == 401 and "server-timing" in response.headers
    if refused and _said(response, "error", "code") == "invalid_api_key":
        raise refusal(url, key)
    return response.status_code == 200 and _said(response, "owned_by") == GATEWAY


def _said(response: httpx.Response, *path: str) -> Any:
    """What a JSON body says there; None if nothing, or if it is no JSON."""
    try:
        found = response.json()
    except ValueError:
        return None
    for name in path:
        found = found.get(name) if isinstance(found, dict) else None
    return found


@contextmanager
def _own_endpoint(root: Path, ref: str, engine: str, write: Write) -> Iterator[tuple[str, str]]:
    from serve.app import create_app
    from serve.doorkeeper import Doorkeeper
    from serve.launch import Launcher
    from serve.logs import log_file
    from serve.startup import prepare, supervised

    key = secrets.token_urlsafe(24)

    def announce(line: str) -> None:
        write(f"{line}\n")

    with stoppable(), log_file(root):
        releases = prepare(root, [ref], allow_ungated=False, announce=announce)
        with (
            supervised(root, [ref], releases, Launcher(root, engine, announce)) as keeper,
            claim_port("127.0.0.1", 0, keyed=True) as door,
            running(create_app(keeper.fleet, Doorkeeper(operator=key), keeper=keeper), door),
        ):
            yield f"http://127.0.0.1:{door.getsockname()[1]}", key


def converse(url: str, model: str, key: str | None, *, read: Read, write: Write) -> None:
    """The loop: read a line, stream the answer; the conversation so far goes along every time."""
    from openai import APIError, DefaultHttpxClient, OpenAI

    write(f"{model}: {HELP}\n")
    messages: list[Any] = []
    local = is_loopback(httpx.URL(url).host)
    with OpenAI(
        base_url=f"{url}/v1",
        api_key=key or "none",
        max_retries=0,
        http_client=DefaultHttpxClient(trust_env=not local),  # no proxy between us and ourselves
    ) as client:
        while True:
            try:
                said = read("\nyou: ").strip()
                if said == "/quit":
                    return
                if said == "/reset":
                    messages.clear()
                    write("(a new conversation)\n")
                if not said or said.startswith("/"):
                    continue
                messages.append({"role": "user", "content": said})
                write(f"{model}: ")
                answer = _stream(client, model, messages, write)
                messages.append({"role": "assistant", "content": answer})
            except (EOFError, KeyboardInterrupt):
                write("\n")
                return
            except APIError as error:
                if error.code != "context_length_exceeded":
                    raise FactoryError(
                        "the endpoint failed", where=url, got=error.message
                    ) from error
                messages.pop()
                write("(the conversation is too long for this model; /reset starts over)\n")


def _stream(client: Any, model: str, messages: list[Any], write: Write) -> str:
    parts = []
    with client.chat.completions.create(model=model, messages=messages, stream=True) as stream:
        for chunk in stream:
            if chunk.choices and (text := chunk.choices[0].delta.content):
                parts.append(text)
                write(text)
    write("\n")
    return "".join(parts)
