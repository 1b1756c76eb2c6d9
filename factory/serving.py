"""What the commands around the endpoint do; the only module of the factory that knows the server."""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import suppress

from rich.console import Console

from factory.commands import console

FOLLOWS = (
    "\na running endpoint notices within seconds and switches once that release has started and"
    " reproduced its probes"
)
"""Where a name has moved: how soon that is seen."""


def serve(
    names: Sequence[str],
    host: str,
    port: int,
    engine: str,
    allow_ungated: bool,
    metrics_port: int | None,
    limits: tuple[int | None, int | None, int | None],
    memory: float | None,
    idle: float | None,
) -> None:
    """Serve until stopped."""
    from factory.store import home
    from serve.app import serve
    from serve.limits import Limits

    serve(
        home(), list(names), host=host, port=port, key=os.environ.get("FACTORY_API_KEY"),
        engine=engine, allow_ungated=allow_ungated, metrics_port=metrics_port,
        limits=Limits(*limits), memory=memory, idle=idle, announce=_announce,
    )  # fmt: skip


def _announce(line: str) -> None:
    # A terminal that was closed or a full disk is no reason to stop answering.
    with suppress(OSError):
        console.print(line, markup=False)


def chat(name: str, url: str | None, engine: str) -> None:
    """Talk to a running endpoint; without a named one, start one for the length of the conversation."""
    from factory.store import home
    from serve.chat import chat

    chat(home(), name, url=url, key=os.environ.get("FACTORY_API_KEY"), engine=engine)


def promote(ref: str) -> None:
    """Gate a release against the one that is served now; then let the name mean it."""
    from factory.errors import Inconclusive
    from factory.evaluating import evaluate
    from factory.releases import numbers, point, promotable, promoted, release_of
    from factory.store import home

    name = ref.partition("@")[0]
    number = release_of(home(), ref).number
    now = promoted(home(), name)
    if now not in (None, number) and promotable(home(), name, number):
        there = now in numbers(home(), name)  # else it was removed by hand
        try:
            evaluate(f"{name}@{number}", f"{name}@{now}" if there else "promoted", None, None, {})
        except Inconclusive as error:
            if not _accepts_doubt(name, number):
                raise
            console.print(f"warning: {error.what}, which its persona file accepts", markup=False)
    point(home(), name, number)
    was = f", before it {name}@{now}" if now not in (None, number) else ""
    console.print(f"{name} means {name}@{number} now{was}{FOLLOWS}", markup=False)


def _accepts_doubt(name: str, number: int) -> bool:
    from factory.artifacts import read_json
    from factory.store import home

    persona = read_json(home() / "releases" / name / str(number) / "persona.json")
    return bool(persona["evaluate"]["inconclusive"] == "warn")


def rollback(name: str) -> None:
    """Let a name mean what it meant before; that release was gated when it was promoted."""
    from factory.releases import roll_back
    from factory.store import home

    before, now = roll_back(home(), name)
    console.print(
        f"{name} means {name}@{now} again, no longer {name}@{before}{FOLLOWS}", markup=False
    )


def create_key(
    label: str,
    personas: Sequence[str],
    expires: str | None,
    rpm: int | None,
    tpm: int | None,
    streams: int | None,
) -> None:
    """Print a new key alone on stdout, so that a script can take it; what it is for goes to stderr."""
    from factory.releases import name_of
    from factory.store import home
    from serve.keys import Keyring, lifetime
    from serve.limits import Limits

    for name in personas:
        name_of(home(), name, "a key is for a persona, whichever of its releases answers")
    text, key = Keyring(home()).create(
        label,
        personas=personas,
        lifetime=lifetime(expires) if expires else None,
        limits=Limits(rpm, tpm, streams),
    )
    told = Console(stderr=True, highlight=False)
    print(text)
    told.print(
        f"key {key.id}; it is shown this once, and from now on the endpoint needs a key, also from"
        " this machine",
        markup=False,
    )


def list_keys() -> None:
    """A table of all keys ever made."""
    from factory.report.tables import keys_table
    from factory.store import home
    from serve.keys import Keyring

    ring = Keyring(home())
    found = ring.stored()
    if not found:
        console.print("no keys yet; `factory keys create` makes one", markup=False)
        return
    console.print(keys_table([key.facts(ring.now()) for key in found]))


def revoke_key(ref: str) -> None:
    """End a key."""
    from factory.store import home
    from serve.keys import Keyring

    ring = Keyring(home())
    key = ring.revoke(ref)
    console.print(f"revoked {key.id} {key.label}".rstrip(), markup=False)
    if not any(other.state(ring.now()) == "active" for other in ring.stored()):
        console.print(
            "no usable key is left; an endpoint that is running wants one until it is started again",
            markup=False,
        )


def connect(client: str | None, url: str, persona: str | None, show_key: bool) -> None:
    """Print a client's settings as they are, so that they can be piped into a file; or the clients."""
    from serve.connect.clients import CLIENTS, settings

    if client is None:
        width = max(map(len, CLIENTS))
        print("\n".join(f"{name:{width}}  {what}" for name, what in CLIENTS.items()))
        return
    key = os.environ.get("FACTORY_API_KEY")
    print(settings(client, url=url, persona=persona, key=key, show_key=show_key))
