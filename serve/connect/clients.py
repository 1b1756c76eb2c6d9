"""The clients that can be connected, and their settings: one template each in this folder."""

from __future__ import annotations

import difflib
import json
import shlex
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from factory.errors import UsageError
from serve.connect.endpoint import ask

CLIENTS = {
    "open-webui": "environment variables; the same in its Admin Panel",
    "librechat": "librechat.yaml",
    "lobechat": "environment variables; the same in its settings",
    "sillytavern": "what to choose in API Connections",
    "continue": "config.yaml of the editor extension",
    "chatbox": "what to enter as a model provider",
    "chat-ui": ".env.local of Hugging Face's chat-ui",
    "anythingllm": "environment variables; the same in its settings",
    "python": "a script with the openai package",
    "node": "a script that needs nothing but Node",
    "curl": "a shell command",
}
"""Name, which is its template's too, and what is printed for it."""

HIDDEN = "YOUR_FACTORY_API_KEY"
"""Stands for the key wherever the key itself was not asked for."""
NO_KEY = "none"
"""What clients that insist on a key are given for an endpoint that needs none."""

# Nothing here is HTML: values are quoted by the filter of the language they stand in.
_environment = Environment(
    loader=FileSystemLoader(Path(__file__).parent),
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
    autoescape=False,
)
_environment.filters["quoted"] = lambda value: json.dumps(value, ensure_ascii=False)
_environment.filters["shell"] = shlex.quote


def known(client: str) -> str:
    """The name of a client, unchanged.

    Raises:
        UsageError: If there is none of this name; with the nearest.
    """
    if client not in CLIENTS:
        close = difflib.get_close_matches(client, CLIENTS, 1, 0.5)
        raise UsageError(
            "no such client",
            got=client,
            allowed=", ".join(CLIENTS),
            hint=f"did you mean {close[0]}?"
            if close
            else "whatever speaks the OpenAI API takes the address and key that `curl` shows",
        )
    return client


def settings(client: str, *, url: str, persona: str | None, key: str | None, show_key: bool) -> str:
    """What to enter into a client, for the personas that the endpoint serves right now.

    Args:
        client: One of `CLIENTS`.
        url: Where the endpoint runs.
        persona: The one to begin with; the first if None.
        key: The endpoint's key, or None.
        show_key: Whether the key may be printed.

    Raises:
        UsageError: For an unknown client or persona, a URL that is none, a missing or wrong key.
        FactoryError: If no endpoint answers there.
    """
    template = _environment.get_template(f"{known(client)}.j2")
    endpoint = ask(url, key)
    shown = (key if show_key and key else HIDDEN) if endpoint.keyed else NO_KEY
    return template.render(
        url=endpoint.url,
        local=endpoint.local,
        personas=endpoint.personas,
        persona=endpoint.persona(persona),
        keyed=endpoint.keyed,
        key=shown,
    ).rstrip()
