"""The address of an endpoint and the key to it, as people paste them, checked before anything is sent."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass

import httpx

from factory.errors import UsageError

CHAT = "/chat/completions"

NOT_STORED = "not-stored"
"""What stands in a stored address where a login or parameters were."""

_PUBLIC = ("api-version",)
"""Parameters that are no secret, and without which an endpoint may not answer."""


@dataclass(frozen=True, slots=True)
class Address:
    """Where an endpoint is."""

    url: httpx.URL
    """Without user, query and fragment, so that it may be shown and stored."""
    query: httpx.QueryParams
    """Sent with every request (`?api-version=...`)."""
    auth: httpx.BasicAuth | None
    """From `user:password@` in front of the host."""

    @property
    def host(self) -> str:
        """The host's name."""
        return self.url.host

    @property
    def shown(self) -> str:
        """For people, the ledger's key and the model card."""
        return str(self.url).rstrip("/")

    def paths(self, known: str | None) -> list[str]:
        """The path with and without `/v1`, the likelier first.

        Args:
            known: The one that worked before.
        """
        given = self.url.path.rstrip("/")
        other = given.removesuffix("/v1") if given.endswith("/v1") else f"{given}/v1"
        paths = [given, other] if given else [other, given]
        return sorted(paths, key=lambda path: path != known)

    def at(self, path: str) -> str:
        """The whole address of a path."""
        return str(self.url.copy_with(path=path or "/"))


def address(text: str) -> Address:
    """Read a base address: without a scheme, with or without `/v1`, or that of the chat endpoint.

    Raises:
        UsageError: If it is none.
    """
    plain = text.strip()
    if "://" not in plain:
        host = plain.partition("/")[0].rpartition("@")[2].partition(":")[0]
        plain = f"{'http' if is_loopback(host) else 'https'}://{plain}"
    try:
        url = httpx.URL(plain)
        if url.scheme not in ("http", "https") or not url.host:
            raise httpx.InvalidURL("it needs http:// or https:// and a host")
    except httpx.InvalidURL as error:
        raise UsageError(
            "this is not the address of an endpoint",
            where="teacher.base_url",
            got=text,
            allowed="an address such as http://127.0.0.1:8000/v1",
            hint=str(error),
        ) from error
    path = url.path.rstrip("/")
    for end in (CHAT, "/completions", "/models"):
        path = path.removesuffix(end)
    auth = httpx.BasicAuth(url.username, url.password) if url.userinfo else None
    bare = url.copy_with(path=path or "/", query=None, fragment=None, userinfo=b"")
    return Address(bare, url.params, auth)


def stored(text: str) -> str:
    """An address as a file may hold it; `NOT_STORED` stands where a secret was or may have been."""
    try:
        found = address(text)
    except UsageError:
        return NOT_STORED  # a plug-in may know what it means, and what in it is secret
    query = {name: found.query[name] for name in _PUBLIC if name in found.query}
    if len(query) < len(found.query):
        query[NOT_STORED] = ""
    login = NOT_STORED.encode() if found.auth else b""
    return str(found.url.copy_with(userinfo=login, params=query or None)).rstrip("/")


def header(key: str | None) -> str | None:
    """A key as a header can carry it; blanks around it come from copying.

    Raises:
        UsageError: If no header can.
    """
    key = (key or "").strip()
    if not key.isascii() or not key.isprintable():
        raise UsageError(
            "this key holds characters that no key has",
            where="teacher.api_key_variable",
            got=f"{len(key)} characters, not all of them plain ASCII",
            hint="copy the key again, without quotes or line breaks",
        )
    return key or None


def is_loopback(host: str) -> bool:
    """Whether a host is this machine."""
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
