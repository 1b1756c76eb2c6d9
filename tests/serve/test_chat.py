"""`factory chat`: a scripted person talks over the real wire."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from factory.errors import UsageError
from serve.chat import chat
from tests.serve.conftest import MakeRelease, Serve

NOWHERE = "http://127.0.0.1:9"


def person(*lines: str, then: type[BaseException] = EOFError) -> Callable[[str], str]:
    """Reads these lines one after another, then leaves."""
    waiting: Iterator[str] = iter(lines)

    def read(_: str) -> str:
        for line in waiting:
            return line
        raise then

    return read


def talk(home: Path, read: Callable[[str], str], url: str = NOWHERE, key: str | None = None) -> str:
    written: list[str] = []
    chat(home, "brief", url=url, key=key, engine="echo", read=read, write=written.append)
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
    release: MakeRelease, serve: Serve, factory_home: Path
) -> None:
    release()
    with serve("brief", key="k1") as url:
        text = talk(factory_home, person("Hello"), url=url, key="k1")
        assert "echo: Hello" in text
        assert "starting" not in text
        with pytest.raises(UsageError, match="wants a key"):
            talk(factory_home, person("Hello"), url=url)


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
    from factory.errors import FactoryError

    release(verdict="REGRESSION")
    with pytest.raises(FactoryError, match="not what passed"):
        talk(factory_home, person("Hi"))
