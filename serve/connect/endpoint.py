"""What a running endpoint says about itself: who can be talked to, and whether it wants a key."""

from __future__ import annotations

from dataclasses import dataclass

import httpx
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from factory.errors import FactoryError, UsageError
from serve.listening import is_loopback

PATIENCE = 5
"""Seconds to wait for the list of models, which a healthy endpoint has in memory."""
ANSWER_SHARE = 4
"""One part in this many of a window goes to the answer, the rest to the conversation before it."""
LONGEST_ANSWER = 1024


class Persona(BaseModel):
    """A model of `GET /v1/models`, as far as clients are told about it."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    name: str = Field(alias="id", min_length=1)
    window: int = Field(alias="context_length", gt=0)
    """Context window in tokens, conversation and answer together."""

    @property
    def answer(self) -> int:
        """Tokens for an answer, where a client must be told a number."""
        return max(1, min(LONGEST_ANSWER, self.window // ANSWER_SHARE))


class _Models(BaseModel):
    data: list[Persona] = Field(min_length=1)


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A running endpoint."""

    url: str
    """Base URL with `/v1`, without a slash at the end."""
    personas: tuple[Persona, ...]
    keyed: bool
    """Whether it refuses requests without a key."""

    @property
    def local(self) -> bool:
        """Whether the URL means this machine and nothing else."""
        return is_loopback(httpx.URL(self.url).host)

    def persona(self, name: str | None) -> Persona:
        """The one of this name; the first if no name is given.

        Raises:
            UsageError: If it is not served here.
        """
        known = {one.name: one for one in self.personas}
        if name is None:
            return self.personas[0]
        if name not in known:
            raise UsageError(
                "the endpoint does not serve this persona",
                where=self.url,
                got=name,
                allowed=", ".join(known),
            )
        return known[name]


def ask(url: str, key: str | None) -> Endpoint:
    """Ask the endpoint for its models, first without a key and then, if that is refused, with it.

    Args:
        url: Where it runs, with or without `/v1`.
        key: Its key, or None.

    Raises:
        UsageError: If the URL is none, or the key is missing or wrong.
        FactoryError: If nothing answers there, or something else does.
    """
    base = url.rstrip("/").removesuffix("/v1").rstrip("/") + "/v1"
    response = _models(base, None)
    keyed = response.status_code in (401, 403)
    if keyed and key:
        response = _models(base, key)
    if response.status_code in (401, 403):
        raise refusal(base, key)
    try:
        found = _Models.model_validate_json(response.raise_for_status().content)
    except (httpx.HTTPStatusError, ValidationError) as error:
        raise FactoryError(
            "what answers here is not a Persona Factory endpoint, or it serves nothing",
            where=f"{base}/models",
            got=f"HTTP {response.status_code}",
            allowed="a list of models with their context_length",
            hint="name the address of the endpoint with --url",
        ) from error
    return Endpoint(base, tuple(found.data), keyed)


def refusal(where: str, key: str | None) -> UsageError:
    """The error where an endpoint of ours lets nobody in with this key, or without one."""
    return UsageError(
        "the endpoint refuses the key in FACTORY_API_KEY" if key else "the endpoint wants a key",
        where=where,
        hint="set the environment variable FACTORY_API_KEY to one that it accepts",
    )


def ask_for(url: str, ref: str, key: str | None) -> Endpoint:
    """Ask the endpoint for one release, as `ask` does for all.

    Args:
        url: Where it runs, with or without `/v1`.
        ref: NAME or NAME@N.
        key: Its key, or None.

    Raises:
        UsageError: As `ask`, or if it does not serve this release.
        FactoryError: As `ask`.
    """
    endpoint = ask(url, key)
    name = endpoint.persona(ref.partition("@")[0]).name
    if _models(endpoint.url, key if endpoint.keyed else None, ref).status_code != httpx.codes.OK:
        raise UsageError(
            "the endpoint serves another release of this persona",
            where=endpoint.url,
            got=ref,
            allowed=name,
            hint="leave the number out to take the one that it serves",
        )
    return endpoint


def _models(base: str, key: str | None, ref: str = "") -> httpx.Response:
    try:
        target = httpx.URL(f"{base}/models/{ref}".rstrip("/"))
        return httpx.get(
            target,
            headers={"authorization": f"Bearer {key}"} if key else {},
            timeout=PATIENCE,
            trust_env=not is_loopback(target.host),  # no proxy between us and ourselves
        )
    except (httpx.InvalidURL, httpx.UnsupportedProtocol) as error:
        raise UsageError(
            "this is no address of an endpoint",
            where="--url",
            got=base.removesuffix("/v1"),
            allowed="a URL such as http://127.0.0.1:8000",
        ) from error
    except httpx.HTTPError as error:
        raise FactoryError(
            "no endpoint answers here",
            where=base,
            got=type(error).__name__,
            hint="start it with `factory serve`, or name another address with --url",
        ) from error
