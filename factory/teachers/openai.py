"""Any OpenAI-compatible endpoint as the teacher: a cloud API, vLLM, Ollama, llama.cpp, our own."""

from __future__ import annotations

import asyncio
import difflib
import json
import os
from collections.abc import Mapping
from contextlib import AsyncExitStack
from dataclasses import asdict
from pathlib import Path
from typing import Any, NoReturn, Self

import httpx

from factory.base import Base
from factory.contracts import Reply, Request, TeacherError
from factory.errors import UsageError
from factory.teachers import answer, dialect
from factory.teachers.address import CHAT, address, header, is_loopback
from factory.teachers.answer import Refusal
from factory.teachers.dialect import Dialect
from factory.teaching import Teacher

DEFAULT_URL = "https://api.openai.com/v1"

_CONNECT = 15.0
"""Seconds for a connection; a host that takes longer is taken for unreachable."""
_MODELS_SHOWN = 12
_WAYS = 8
"""Ways of writing one request that are tried, at most."""


class OpenAITeacher:
    """Asks an endpoint, and learns from its refusals how it wants to be asked.

    Args:
        base_url: With or without `/v1`; a pasted `.../chat/completions` will do, too.
        model: The endpoint's name of the model.
        key: Sent as a bearer token; never stored, nor part of a message.
        timeout: Seconds for one whole answer.
        headers: More headers of every request; as secret as the key.
        uds: Unix socket to connect to, in the place of the host.
        remembered: `facts` of an earlier run.

    Raises:
        UsageError: If the address or the key cannot be one.
    """

    name = "openai"

    def __init__(
        self,
        base_url: str,
        model: str,
        key: str | None = None,
        *,
        timeout: float = 120.0,
        headers: Mapping[str, str] | None = None,
        uds: Path | None = None,
        remembered: dict[str, Any] | None = None,
    ) -> None:
        self._address = address(base_url)
        self._key = header(key)
        self._timeout = timeout
        self._headers = dict(headers or {})
        self._uds = uds
        self._answered = False
        self._clients: AsyncExitStack | None = None
        self._idle: list[httpx.AsyncClient] = []
        self.model = model
        self.endpoint = self._address.shown
        self.facts: dict[str, Any] | None = remembered
        """What was learned of the endpoint: its path, its dialect, and what that has proven."""

    @classmethod
    def of(cls, section: Teacher, base: Base) -> Self:
        """See `factory.contracts.Teacher`."""
        if not section.model:
            raise UsageError(
                "this teacher needs the name of a model",
                where="teacher.model",
                allowed="a name that the endpoint knows, e.g. from its /v1/models",
                hint="add `model` to the `teacher` section",
            )
        url = section.base_url or DEFAULT_URL
        # The key of one service is not shown to another unless that was asked for.
        chosen = "api_key_variable" in section.model_fields_set
        needed = chosen or address(url).host == httpx.URL(DEFAULT_URL).host
        key = os.environ.get(section.api_key_variable) if needed else None
        if needed and not key:
            raise UsageError(
                "this teacher needs a key",
                where="teacher.api_key_variable",
                got=f"the environment variable {section.api_key_variable} is not set",
                hint=f"export {section.api_key_variable}=...; a local server at"
                " `teacher.base_url`, or `type: self`, needs none",
            )
        return cls(url, section.model, key, timeout=section.timeout)

    async def __aenter__(self) -> Self:
        """Connections are opened as they are needed."""
        self._clients = AsyncExitStack()
        self._certificates = httpx.create_ssl_context()
        return self

    async def __aexit__(self, *error: object) -> None:
        """Close them all."""
        if self._clients is not None:
            self._idle.clear()
            await self._clients.aclose()
            self._clients = None

    async def reply(self, request: Request) -> Reply:
        """Answer a conversation.

        Raises:
            TeacherError: If the endpoint does not answer.
        """
        try:
            seen = await self._ask(request)
            if isinstance(seen, Refusal):
                await self._refuse(seen)
            return answer.reply(seen, request)
        except TeacherError as error:
            if self._key and self._key in error.message:
                error.message = error.message.replace(self._key, "[key]")
                error.args = (error.message,)
            raise

    async def _ask(self, request: Request) -> bytes | Refusal:
        """Ask in the best way the endpoint is known to understand, then in humbler ones."""
        written, tried = self._dialect(), set[str]()
        first: Refusal | None = None
        for _ in range(_WAYS):
            seen = await self._post(written.body(self.model, request))
            if not isinstance(seen, Refusal):
                self._learn(written, request)
                return seen
            if not seen.mendable:
                return seen
            first = first or seen
            if not tried and self._dialect() != written:
                written = self._dialect()  # another call has learned meanwhile
                continue
            words = f"{seen.param} {seen.words}"
            if seen.about_model and not dialect.speaks_of(words):
                return seen
            step = dialect.humbler(written, request, words, proven=self._proven(), tried=tried)
            if step is None:
                break
            written = step[0]
            tried.add(step[1])
        return first or seen

    def _dialect(self) -> Dialect:
        return Dialect(**(self.facts or {}).get("dialect", {}))

    def _proven(self) -> frozenset[str]:
        return frozenset((self.facts or {}).get("proven", ()))

    def _learn(self, written: Dialect, request: Request) -> None:
        """Remember a way of writing that was understood."""
        self._answered = True
        known = self._proven()
        proven = known.union(written.features(request))
        if proven != known or written != self._dialect():
            learned = {"dialect": asdict(written), "proven": sorted(proven)}
            self.facts = {**(self.facts or {}), **learned}

    async def _post(self, body: dict[str, Any]) -> bytes | Refusal:
        """Send a request to the address; to its other form, if there is nothing at the first."""
        content = json.dumps(body).encode()
        known = (self.facts or {}).get("path")
        paths = self._address.paths(known)
        for path in paths:
            response = await self._send("POST", self._address.at(path + CHAT), content)
            if _is_elsewhere(response) and not self._answered:
                continue
            if path != known:
                self.facts = {**(self.facts or {}), "path": path}
            if response.status_code == 200:
                return response.content
            return answer.refusal(response.status_code, response.headers, response.content)
        seen = answer.refusal(response.status_code, response.headers, response.content)
        places = " nor at ".join(self._address.at(path + CHAT) for path in paths)
        moved = response.headers.get("location")
        words = f"it points to {moved}" if moved else seen.words[:120]
        raise TeacherError("fatal", f"no chat endpoint at {places} ({seen.status}: {words})")

    def _client(self) -> httpx.AsyncClient:
        """A client for one connection.

        A pool looks at all its connections at every request, which would take most of a call's time.
        """
        headers = {"user-agent": "persona-factory", "content-type": "application/json"}
        if self._key:
            headers["authorization"] = f"Bearer {self._key}"
        limits = httpx.Limits(max_connections=1, max_keepalive_connections=1, keepalive_expiry=60)
        socket = str(self._uds) if self._uds else None
        return httpx.AsyncClient(
            transport=httpx.AsyncHTTPTransport(uds=socket, limits=limits) if socket else None,
            limits=limits,
            verify=self._certificates,
            headers={**headers, **self._headers},
            params=self._address.query,
            auth=self._address.auth,
            timeout=httpx.Timeout(self._timeout, connect=min(_CONNECT, self._timeout), pool=None),
            # A proxy is for the world outside, whatever the environment says.
            trust_env=not (socket or is_loopback(self._address.host)),
        )

    async def _send(self, method: str, url: str, content: bytes | None = None) -> httpx.Response:
        if self._clients is None:
            raise RuntimeError("the teacher is asked outside its block")
        if self._idle:
            client = self._idle.pop()
        else:
            client = await self._clients.enter_async_context(self._client())
        try:
            # A server that drips keeps every single read in time.
            async with asyncio.timeout(self._timeout):
                return await client.request(method, url, content=content)
        except (httpx.ConnectError, httpx.ConnectTimeout, httpx.ProxyError) as error:
            words = f"cannot reach {url}: {_cause(error)}"
            raise TeacherError("overloaded" if self._answered else "fatal", words) from error
        except (httpx.TimeoutException, TimeoutError) as error:
            words = f"no answer within {self._timeout:g} s"
            raise TeacherError("overloaded", words) from error
        except httpx.RequestError as error:
            words = f"the connection broke off: {_cause(error)}"
            raise TeacherError("overloaded", words) from error
        finally:
            self._idle.append(client)

    async def _refuse(self, seen: Refusal) -> NoReturn:
        """Raise what a refusal means."""
        words = f"{seen.words} ({seen.status})" if seen.words else f"status {seen.status}"
        if seen.about_model:
            words = f"the endpoint has no model {self.model!r}: {words}{await self._offers()}"
        elif seen.status == 401 and self._key:
            words = f"the key was not accepted: {words}"
        elif seen.status == 401:
            words = f"a key is needed: {words}; name its variable in `teacher.api_key_variable`"
        raise TeacherError(seen.kind, words, seen.retry_after)

    async def _offers(self) -> str:
        """Models that the endpoint says it has, the most similar first."""
        path = self._address.paths((self.facts or {}).get("path"))[0]
        try:
            response = await self._send("GET", self._address.at(path + "/models"))
            found = [str(entry["id"]) for entry in response.json()["data"]]
        except (TeacherError, ValueError, KeyError, TypeError):
            return ""
        close = difflib.get_close_matches(self.model, found, 3, 0.4)
        names = [*close, *(name for name in sorted(found) if name not in close)]
        more = f" and {len(names) - _MODELS_SHOWN} more" if len(names) > _MODELS_SHOWN else ""
        return f"; it offers {', '.join(names[:_MODELS_SHOWN])}{more}" if names else ""


def _is_elsewhere(response: httpx.Response) -> bool:
    """Whether this address is no chat endpoint; an unknown model is told in JSON, by its name."""
    if response.is_redirect or response.status_code == 405:
        return True
    if response.status_code == 404:
        return not answer.refusal(404, response.headers, response.content).about_model
    page = response.headers.get("content-type", "").startswith("text/html")
    return response.status_code == 200 and page


def _cause(error: BaseException) -> str:
    """What the system said, below the wrappings."""
    words = str(error)
    while (inner := error.__cause__ or error.__context__) is not None:
        error = inner
        words = str(error) or words
    return words or type(error).__name__
