"""The base model itself as the teacher, under the persona's prompt: no key and no network needed."""

from __future__ import annotations

import asyncio
import logging
from contextlib import AsyncExitStack, ExitStack
from dataclasses import replace
from typing import Any, Self

from factory import plugins
from factory.base import Base
from factory.contracts import Reply, Request
from factory.errors import EngineError
from factory.store import home
from factory.teachers.openai import OpenAITeacher
from factory.teaching import Teacher

ENGINES = ("vllm", "transformers")
"""Engines that may serve the base, the better first."""

_WINDOW = 4096
"""Longest window the base is served with, in tokens: a longer one takes memory that no pair needs."""


class OwnTeacher:
    """Serves the base with the best engine that is installed.

    The engine is started by the first question: a build that finds every answer in the ledger never
    loads a model.

    Args:
        base: The base model.
        timeout: Seconds to wait for one answer.
    """

    name = "self"
    facts: dict[str, Any] | None = None

    def __init__(self, base: Base, timeout: float) -> None:
        self.base = base
        self.timeout = timeout
        self._window = min(base.window, _WINDOW)
        self.endpoint = f"base model {base.name}"
        self.model = base.digest[:16]
        self._lock = asyncio.Lock()
        self._engine = ExitStack()
        self._client = AsyncExitStack()
        self._teacher: OpenAITeacher | None = None

    @classmethod
    def of(cls, section: Teacher, base: Base) -> Self:
        """See `factory.contracts.Teacher`."""
        return cls(base, section.timeout)

    async def __aenter__(self) -> Self:
        """Nothing is started yet."""
        return self

    async def __aexit__(self, *error: object) -> None:
        """Stop the engine, if it was started."""
        await self._client.aclose()
        await asyncio.to_thread(self._engine.close)
        self._teacher = None

    async def reply(self, request: Request) -> Reply:
        """Answer a conversation.

        Raises:
            EngineError: If no engine can serve the base.
            TeacherError: If the engine does not answer.
        """
        async with self._lock:
            if self._teacher is None:
                self._teacher = await self._start()
        # vLLM refuses to be asked for more than its window, however short the answer would be
        most = min(request.max_tokens, self._window)
        return await self._teacher.reply(replace(request, max_tokens=most))

    async def _start(self) -> OpenAITeacher:
        reasons = []
        for name in ENGINES:
            engine = plugins.load("engines", name)
            if reason := engine.available():
                reasons.append(f"{name}: {reason}")
                continue
            log = home() / "logs" / "teacher.log"
            log.parent.mkdir(parents=True, exist_ok=True)
            options = {"dtype": "auto", "log": log}
            served = engine().serve(
                self.base.folder,
                model="teacher",
                max_model_len=self._window,
                options=options,
            )
            logging.info("teacher: starting %s on %s", name, self.base.name)
            endpoint = await asyncio.to_thread(self._engine.enter_context, served)
            teacher = OpenAITeacher(
                endpoint.base_url,
                endpoint.model,
                None,
                timeout=self.timeout,
                headers=endpoint.headers,
                uds=endpoint.uds,
            )
            return await self._client.enter_async_context(teacher)
        raise EngineError(
            "no engine can serve the base model as a teacher",
            where="teacher.type",
            got="; ".join(reasons),
            hint="run `factory doctor`, or use a teacher of type openai",
        )
