"""`factory chat`: a scripted person talks over the real wire."""

from __future__ import annotations

import io
import os
import pty
import select
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from factory.errors import FactoryError, UsageError
from serve.chat import chat
from serve.listening import running
from tests.serve.canned import DONE, Canned, chunk, fronted
from tests.serve.conftest import MakeRelease, Serve

NOWHERE = "http://127.0.0.1:9"


@pytest.fixture(autouse=True)
def nothing_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever else listens on this machine, nothing does at the usual address."""
    monkeypatch.setattr("serve.chat.USUAL", NOWHERE)


def person(*lines: str, then: type[BaseException] = EOFError) -> Callable[[str], str]:
    """Reads these lines one after another, then leaves."""
    waiting: Iterator[str] = iter(lines)

    def read(_: str) -> str:
        for line in waiting:
            return line
        raise then

    return read


def talk(
    home: Path,
    read: Callable[[str], str] | None,
    url: str | None = None,
    key: str | None = None,
    ref: str = "brief",
    engine: str | None = None,
) -> str:
    written: list[str] = []
    engine = engine or ("echo" if url is None else "auto")
    chat(home, ref, url=url, key=key, engine=engine, read=read, write=written.append)
    return "".join(written)


def test_it_starts_the_release_itself_when_nothing_is_running(
    release: MakeRelease, factory_home: Path
) -> None:
    release()
    text = talk(factory_home, person("Hello there", "", "And you?", "/quit", "never said"))
    assert "brief@1: starting echo" in text
    assert "brief: echo: Hello there\n" in text
    assert "brief: echo: And you?\n" in text
    assert "never said" not in text


def test_it_uses_a_running_endpoint_and_its_key(
    release: MakeRelease, serve: Serve, factory_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    release()
    with serve("brief", key="k1") as url:
        monkeypatch.setattr("serve.chat.USUAL", url)
        assert "echo: Hello" in (text := talk(factory_home, person("Hello"), key="k1"))
        assert "starting" not in text
        text = talk(factory_home, person("Hello"), url=url, key="k1")
        assert "echo: Hello" in text
        assert "starting" not in text
        for named in (None, url):
            with pytest.raises(UsageError, match="wants a key"):
                talk(factory_home, person("Hello"), url=named)
            with pytest.raises(UsageError, match="refuses the key"):
                talk(factory_home, person("Hello"), url=named, key="another")


@contextmanager
def program(status: int, body: str) -> Iterator[str]:
    """A server of somebody else's, with one answer to everything."""

    async def answer(request: Request) -> Response:
        return Response(body, status)

    app = Starlette(routes=[Route("/{path:path}", answer)])
    with socket.create_server(("127.0.0.1", 0)) as door, running(app, door):
        yield f"http://127.0.0.1:{door.getsockname()[1]}"


@pytest.mark.parametrize(
    "status, body",
    [(401, '{"error": "Unauthorized"}'), (401, '{"error": {"code": "invalid_api_key"}}'),
     (200, "<html></html>"), (200, "[]"), (200, '{"id": "brief", "owned_by": "vllm"}')],
)  # fmt: skip
def test_another_program_at_the_usual_address_is_left_alone(
    status: int,
    body: str,
    release: MakeRelease,
    factory_home: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    release()
    with program(status, body) as url:
        monkeypatch.setattr("serve.chat.USUAL", url)
        text = talk(factory_home, person("Hello"))
    assert "brief@1: starting echo" in text and "echo: Hello" in text


def test_with_an_address_nothing_is_started_or_looked_at_here(
    release: MakeRelease, serve: Serve, factory_home: Path, tmp_path: Path
) -> None:
    with pytest.raises(FactoryError, match="no endpoint answers") as nobody:
        talk(factory_home, person("Hi"), url=NOWHERE)
    assert nobody.value.exit_code == 1 and "factory serve" in str(nobody.value.hint)
    with pytest.raises(UsageError, match="no address"):
        talk(factory_home, person("Hi"), url="nowhere")
    with pytest.raises(UsageError, match="an engine of its own"):
        talk(factory_home, person("Hi"), url=NOWHERE, engine="echo")
    release(verdict="REGRESSION")  # which no local start would serve
    with serve("brief", allow_ungated=True) as url:
        for ref in ("brief", "brief@1"):
            assert "echo: Hi" in talk(tmp_path, person("Hi"), url=f"{url}/v1/", ref=ref)
        for ref, known in (("other", "brief"), ("brief@2", "brief")):
            with pytest.raises(UsageError, match=r"endpoint serves another|not serve") as wrong:
                talk(factory_home, person("Hi"), url=url, ref=ref)
            assert (wrong.value.got, wrong.value.allowed) == (ref, known)


def test_a_script_s_lines_are_answered_without_prompts(
    release: MakeRelease,
    factory_home: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    release()
    monkeypatch.setattr("sys.stdin", io.StringIO("Hi\n"))
    assert "echo: Hi" in talk(factory_home, None)
    assert "you:" not in capsys.readouterr().out


def test_a_terminal_shows_each_piece_as_it_comes(tiny_llama: Path, factory_home: Path) -> None:
    slow = Canned([chunk("Slowly"), 60.0, chunk(" now"), chunk(reason="stop"), DONE])
    unset = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
    seat, terminal = pty.openpty()
    with fronted(slow, tiny_llama, factory_home) as front, subprocess.Popen(
        [sys.executable, "-m", "factory", "chat", "brief", "--url", front.url],
        stdin=terminal, stdout=terminal, stderr=terminal, env=unset,
    ) as process:  # fmt: skip
        os.close(terminal)
        os.write(seat, b"Hi\n")
        seen = b""
        try:
            while b"brief: Slowly" not in seen and select.select([seat], [], [], 20)[0]:
                seen += os.read(seat, 1000)
        finally:
            process.kill()
            os.close(seat)
    assert b"brief: Slowly" in seen, seen


@pytest.mark.parametrize("leave", [EOFError, KeyboardInterrupt])
def test_leaving_is_clean(
    leave: type[BaseException], release: MakeRelease, factory_home: Path
) -> None:
    release()
    assert talk(factory_home, person("Hi", then=leave)).endswith("echo: Hi\n\n")


def test_a_full_window_can_be_reset(release: MakeRelease, factory_home: Path) -> None:
    release(window=120)
    text = talk(factory_home, person("word " * 200, "/reset", "Hi"))
    assert "too long" in text
    assert "(a new conversation)" in text
    assert text.rstrip().endswith("echo: Hi")


def test_ungated_releases_do_not_talk(release: MakeRelease, factory_home: Path) -> None:
    release(verdict="REGRESSION")
    with pytest.raises(UsageError, match="not what passed") as caught:
        talk(factory_home, person("Hi"), ref="brief@1")
    assert "factory serve brief@1 --allow-ungated" in str(caught.value.hint)
