"""Chat templates as text: found in a model folder, pinned, and compiled in a sandbox."""

from __future__ import annotations

import json
import re
from datetime import datetime
from pathlib import Path
from typing import Any

from jinja2 import TemplateError, nodes
from jinja2.ext import Extension, loopcontrols
from jinja2.parser import Parser
from jinja2.sandbox import ImmutableSandboxedEnvironment

PINNED_DATE = datetime(2024, 7, 26)
"""The date a template sees; the default in Llama 3.1's own template."""


class _GenerationTag(Extension):
    """Renders `{% generation %}...{% endgeneration %}` as its body: our mask does not need it."""

    tags = {"generation"}  # noqa: RUF012  (jinja2 declares it so)

    def parse(self, parser: Parser) -> list[nodes.Node]:
        next(parser.stream)
        return parser.parse_statements(("name:endgeneration",), drop_needle=True)


def _raise(message: str) -> None:
    raise TemplateError(message)


def _tojson(value: Any, indent: int | None = None, **_: Any) -> str:
    return json.dumps(value, ensure_ascii=False, indent=indent)


def environment() -> ImmutableSandboxedEnvironment:
    """A sandbox with the same switches as transformers' chat templates, so that both render alike."""
    sandbox = ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=[_GenerationTag, loopcontrols]
    )
    sandbox.filters["tojson"] = _tojson
    sandbox.globals["raise_exception"] = _raise
    sandbox.globals["strftime_now"] = PINNED_DATE.strftime
    return sandbox


def pin(template: str) -> str:
    """The template with dates frozen at PINNED_DATE and thinking switched off.

    Idempotent, and a no-op for templates that know neither.
    """
    template = re.sub(
        r"strftime_now\(\s*(['\"])(.*?)\1\s*\)",
        lambda call: json.dumps(PINNED_DATE.strftime(call.group(2))),
        template,
    )
    switch = "{%- set enable_thinking = false %}"
    if "enable_thinking" in template and not template.startswith(switch):
        template = switch + template
    return template


def read_template(folder: Path) -> str | None:
    """The chat template of a model folder as shipped, or None."""
    file = folder / "chat_template.jinja"
    if file.is_file():
        return file.read_text("utf-8")
    config = folder / "tokenizer_config.json"
    if not config.is_file():
        return None
    found = json.loads(config.read_text("utf-8")).get("chat_template")
    if isinstance(found, list):  # several named templates: the one for plain chat
        named = {entry["name"]: entry["template"] for entry in found}
        found = named.get("default")
    return found if isinstance(found, str) else None
