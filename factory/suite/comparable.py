"""Whether two models' answers may be compared at all: what was asked, of which base, and how."""

from __future__ import annotations

import importlib.metadata
from collections.abc import Mapping
from typing import Any

from factory.artifacts import hash_json
from factory.base import Base
from factory.spec import Evaluate
from factory.suite import items
from factory.suite.material import Material, fingerprint


def keys(
    asked: Material,
    base: Base,
    sampling: Mapping[str, float],
    config: Evaluate,
    language: str,
) -> dict[str, Any]:
    """Everything that must be equal before the answers of two runs say anything about each other.

    What scores them is not among it: a record's answers are scored with the new ones.
    """
    return {
        "questions": fingerprint(asked.cases)[:16],
        "suites": {name: items.version(name, language)[:16] for name in config.suites},
        "rows": hash_json([list(row["messages"]) for row in asked.held_out])[:16],
        "base": base.digest[:16],
        "template": base.format.template_sha256[:16],
        "sampling": {**sampling, "max_new_tokens": config.max_new_tokens},
        "engine": f"transformers {importlib.metadata.version('transformers')}",
    }


def differences(one: Mapping[str, Any], other: Mapping[str, Any]) -> list[str]:
    """Names of the keys that differ, with both values; empty if they may be compared."""
    names = [*one, *(name for name in other if name not in one)]
    return [
        f"{name}: {_plain(one.get(name))} against {_plain(other.get(name))}"
        for name in names
        if one.get(name) != other.get(name)
    ]


def _plain(value: Any) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{k} {v}" for k, v in value.items())
    return "nothing" if value is None else str(value)
