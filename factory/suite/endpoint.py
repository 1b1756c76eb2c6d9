"""A model behind an OpenAI-compatible endpoint, asked like one on this machine."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeVar
from urllib.parse import urlsplit

from factory.contracts import Message, Reply
from factory.errors import FactoryError, UsageError

Read = TypeVar("Read")

KEY_VARIABLE = "FACTORY_API_KEY"
"""Environment variable with the endpoint's key."""

AT_ONCE = 4
"""Requests in flight."""

PATIENCE = 120.0
"""Seconds to wait for one answer."""


class Drawn(Protocol):
    """How answers are drawn."""

    @property
    def temperature(self) -> float:
        """0 for the most likely answer."""
        ...

    @property
    def max_new_tokens(self) -> int:
        """Longest answer."""
        ...


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where a model answers."""

    url: str
    """With or without `/v1`."""
    model: str | None = None
    """The endpoint's name of it; left out: the only one it lists."""

    @property
    def label(self) -> str:
        """What it is called in reports."""
        return f"{self.url}#{self.model}" if self.model else self.url

    @classmethod
    def parse(cls, text: str, where: str | None = None) -> Endpoint:
        """`URL` or `URL#MODEL`.

        Raises:
            UsageError: If the address has no host, or a port that is none.
        """
        url, _, model = text.partition("#")
        try:
            parts = urlsplit(url)
            sound = bool(parts.hostname) and parts.port != 0 and not re.search(r"\s", url)
        except ValueError:
            sound = False
        if not sound:
            raise UsageError(
                "this is no address",
                where=where,
                got=text,
                allowed="http://HOST:PORT or https://HOST, then #MODEL",
            )
        return cls(url.rstrip("/"), model or None)

    def check(self) -> None:
        """Have it answer with one token, before anything is measured.

        Raises:
            FactoryError: If it cannot be reached, refuses, or has no such model.
        """
        subject = EndpointSubject(self)
        try:
            subject.answers([[{"role": "user", "content": "Hello"}]], [[0]], _OneToken(), _untold)
        finally:
            subject.close()


@dataclass(frozen=True, slots=True)
class _OneToken:
    temperature: float = 0.0
    max_new_tokens: int = 1


def _untold(_: int) -> None:
    """Nobody waits for one token."""


@dataclass(slots=True)
class EndpointSubject:
    """Asks an endpoint; its persona's prompt is the endpoint's own business.

    Sampling is left to the endpoint, as it serves; only greedy answers name a temperature. An
    endpoint that changes its model in mid-run is an error, for the answers would belong to two. No
    answer is kept: what an address says today is nothing it must say tomorrow.
    """

    endpoint: Endpoint
    _client: Any = field(default=None, init=False)
    _model: str = field(default="", init=False)
    _seen: dict[str, str] = field(default_factory=dict, init=False)

    def answers(
        self,
        conversations: Sequence[Sequence[Message]],
        seeds: Sequence[Sequence[int]],
        sampling: Drawn,
        tick: Callable[[int], None],
    ) -> list[list[Reply]]:
        """One reply for every seed of every conversation.

        Raises:
            FactoryError: If the endpoint cannot be reached, refuses, or changes its model.
        """
        self._open()
        asked = [(c, s) for c, own in zip(conversations, seeds, strict=True) for s in own]
        with ThreadPoolExecutor(AT_ONCE) as pool:
            replies = []
            for reply in pool.map(lambda one: self._ask(one[0], one[1], sampling), asked):
                replies.append(reply)
                tick(1)
        found = iter(replies)
        return [[next(found) for _ in own] for own in seeds]

    def fits(self, messages: Sequence[Message]) -> bool:
        """Whether a conversation leaves room for an answer, as far as an address can tell: yes."""
        return True

    def close(self) -> None:
        """Close the connections."""
        if self._client is not None:
            self._client.close()
            self._client = None

    def _open(self) -> None:
        if self._client is not None:
            return
        from openai import OpenAI

        url = self.endpoint.url
        base = url if url.endswith("/v1") else f"{url}/v1"
        self._client = OpenAI(
            base_url=base, api_key=os.environ.get(KEY_VARIABLE) or "none", timeout=PATIENCE,
            max_retries=2,
        )  # fmt: skip
        self._model = self.endpoint.model or self._only_model()

    def _only_model(self) -> str:
        names = self._call(lambda: [str(model.id) for model in self._client.models.list().data])
        if len(names) != 1:
            raise UsageError(
                "this endpoint serves several models" if names else "this endpoint lists no model",
                where=self.endpoint.url,
                got=", ".join(names[:10]) or "none",
                hint=f"name one: {self.endpoint.url}#MODEL",
            )
        return names[0]

    def _ask(self, messages: Sequence[Message], seed: int, sampling: Drawn) -> Reply:
        extra: Mapping[str, Any] = {"temperature": 0} if sampling.temperature == 0 else {}

        def read() -> tuple[Reply, str, str]:
            done = self._client.chat.completions.create(
                model=self._model, messages=list(messages), seed=seed % 2**31,
                max_tokens=sampling.max_new_tokens, **extra,
            )  # fmt: skip
            choice = done.choices[0]
            text = (choice.message.content or "").strip()
            tokens = done.usage.completion_tokens if done.usage else 0
            stopped = choice.finish_reason != "length"
            reply = Reply(text, "stop" if stopped else "length", tokens)
            return reply, done.model, done.system_fingerprint or ""

        reply, model, fingerprint = self._call(read)
        self._same("model", model)
        self._same("system_fingerprint", fingerprint)
        return reply

    def _same(self, what: str, value: str) -> None:
        if self._seen.setdefault(what, value) != value:
            raise FactoryError(
                f"this endpoint changed its {what} in the middle of the evaluation",
                where=self.endpoint.url,
                got=f"{self._seen[what]}, then {value}",
                hint="evaluate again when nothing is being deployed",
            )

    def _refused(self, status: int, message: str) -> FactoryError:
        """What an endpoint's refusal means for who asked, and the next step."""
        url = self.endpoint.url
        if status == 401 and not os.environ.get(KEY_VARIABLE):
            # What it says of the key is about the placeholder that the SDK had to send.
            return UsageError(
                "the endpoint answered 401: it wants a key, and none was given",
                where=url,
                hint=f"put one into the environment as {KEY_VARIABLE}; `factory keys create` makes one",
            )
        if status == 401:
            return UsageError(
                f"the endpoint answered 401: it does not take the key in {KEY_VARIABLE}",
                where=url,
                got=message,
                hint=f"put another one into {KEY_VARIABLE}; `factory keys list` shows its keys",
            )
        if status == 404 and self._model:
            names = self._names()
            return UsageError(
                f"the endpoint answered 404: it has no model {self._model!r}",
                where=url,
                got=message,
                allowed=", ".join(names[:10]),
                hint=f"name a model: {url}#{names[0] if names else 'MODEL'}",
            )
        return FactoryError(f"the endpoint answered {status}", where=url, got=message)

    def _names(self) -> list[str]:
        """The models it lists; none if it does not say."""
        from openai import OpenAIError

        try:
            return [str(model.id) for model in self._client.models.list().data]
        except (OpenAIError, AttributeError, TypeError, ValueError):
            return []

    def _call(self, read: Callable[[], Read]) -> Read:
        from openai import APIStatusError, OpenAIError

        try:
            return read()
        except APIStatusError as error:
            raise self._refused(error.status_code, str(error.message)[:300]) from error
        except OpenAIError as error:
            raise FactoryError(
                "the endpoint cannot be reached",
                where=self.endpoint.url,
                got=str(error)[:300] or type(error).__name__,
                hint="is it running? `factory serve NAME` starts one",
            ) from error
        except (AttributeError, IndexError, KeyError, TypeError, ValueError) as error:
            # The SDK hands on whatever a 200 carried: a login page, other JSON, no choice.
            raise FactoryError(
                "what answers there is no OpenAI-compatible endpoint",
                where=self.endpoint.url,
                got=str(error)[:300] or type(error).__name__,
                hint="give the address that chat clients use, with or without /v1",
            ) from error
