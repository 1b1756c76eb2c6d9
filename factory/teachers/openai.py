"""Any OpenAI-compatible endpoint as the teacher: a cloud API, vLLM, Ollama, llama.cpp, our own."""

from __future__ import annotations

import difflib
import json
import os
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any, NoReturn, Self

import httpx

from factory.base import Base
from factory.contracts import Reply, Request, TeacherError
from factory.errors import UsageError
from factory.teachers import answer, dialect
from factory.teachers.address import CHAT, NOT_STORED, address, header
from factory.teachers.answer import Refusal
from factory.teachers.dialect import Dialect
from factory.teachers.line import Line
from factory.teaching import Teacher

DEFAULT_URL = "https://api.openai.com/v1"
DEFAULT_VARIABLE = "OPENAI_API_KEY"

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
        bearer = {"authorization": f"Bearer {self._key}"} if self._key else {}
        self._line = Line(self._address, {**bearer, **(headers or {})}, timeout, uds)
        self._answered = False
        self.model = model
        self.endpoint = self._address.shown
        self.facts: dict[str, Any] | None = remembered
        """What was learned of the endpoint: its path, its dialect, and what that has proven."""

    @classmethod
    def of(cls, section: Teacher, base: Base | None) -> Self:
        """See `factory.contracts.Teacher`."""
        if not section.model:
            raise UsageError(
                "this teacher needs the name of a model",
                where="teacher.model",
                allowed="a name that the endpoint knows, e.g. from its /v1/models",
                hint="add `model` to the `teacher` section",
            )
        url = section.base_url or DEFAULT_URL
        if NOT_STORED in url:
            raise UsageError(
                "the login in this teacher's address is not kept with a release",
                where="teacher.base_url",
                got=url,
                hint="use `teacher.api_key_variable` in the persona file instead, and build again",
            )
        host = address(url).host  # before the key, which may be missing where a plan is made
        # The key of one service is not shown to another unless that was asked for.
        variable = section.api_key_variable
        if variable is None and host == httpx.URL(DEFAULT_URL).host:
            variable = DEFAULT_VARIABLE
        key = os.environ.get(variable) if variable else None
        if variable and not key:
            raise UsageError(
                "this teacher needs a key",
                where="teacher.api_key_variable",
                got=f"the environment variable {variable} is not set",
                hint=f"export {variable}=...; a local server at"
                " `teacher.base_url`, or `type: self`, needs none",
            )
        return cls(url, section.model, key, timeout=section.timeout)

    async def __aenter__(self) -> Self:
        """Connections are opened as they are needed."""
        await self._line.__aenter__()
        return self

    async def __aexit__(self, *error: object) -> None:
        """Close them all."""
        await self._line.__aexit__(*error)

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
            url = self._address.at(path + CHAT)
            response = await self._line.send("POST", url, content, answered=self._answered)
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
            url = self._address.at(path + "/models")
            response = await self._line.send("GET", url, answered=True)
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
