"""The base as its own teacher: served by an engine here, and asked for no more than that bears."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from factory import plugins
from factory.base import resolve
from factory.contracts import Endpoint, Reply, Request
from factory.teachers.own import OwnTeacher
from tests.teachers.fault_server import Seen, serving


class Strict:
    """An engine that refuses, as vLLM does, to be asked for more tokens than its window has."""

    @staticmethod
    def available() -> str | None:
        return None

    @contextmanager
    def serve(
        self, model_dir: Path, *, model: str, max_model_len: int, options: dict[str, Any]
    ) -> Iterator[Endpoint]:
        async def refuse(seen: Seen) -> tuple[int, dict[str, str], bytes] | None:
            limits = [value for name, value in seen.body.items() if name.startswith("max_")]
            if limits and max(limits) <= max_model_len:
                return None
            words = f"max_tokens={limits} cannot be greater than max_model_len={max_model_len}."
            return 400, {}, json.dumps({"error": {"message": words}}).encode()

        with serving() as (server, url):
            server.special = refuse
            yield Endpoint(url, model)


@pytest.mark.parametrize("most", [40, 1_160, 20_000])
def test_no_more_tokens_are_asked_for_than_the_window_has(
    most: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(plugins, "load", lambda kind, name: Strict)
    asked = Request(({"role": "user", "content": "Name a bird."},), max_tokens=most)

    async def story() -> Reply:
        async with OwnTeacher(resolve("starter"), timeout=5.0) as teacher:
            return await teacher.reply(asked)

    assert asyncio.run(story()).text
