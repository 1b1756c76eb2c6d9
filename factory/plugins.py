"""Entry-point lookup: the only way a name in a persona file becomes code (law 13)."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from importlib.metadata import EntryPoint, entry_points
from typing import Any, Literal

from factory.errors import UsageError

Kind = Literal["teachers", "graders", "engines"]


def names(kind: Kind) -> dict[str, EntryPoint]:
    """Installed plugins of one kind, by name; nothing is imported."""
    return {point.name: point for point in entry_points(group=f"persona_factory.{kind}")}


def find(kind: Kind, name: str, where: str | None = None) -> EntryPoint:
    """The plugin called `name`; nothing is imported.

    Raises:
        UsageError: If no installed package provides it.
    """
    found = names(kind)
    if name not in found:
        raise unknown(kind, name, sorted(found), where)
    return found[name]


def unknown(
    kind: Kind, name: str, known: Sequence[str], where: str | None = None, more: str = ""
) -> UsageError:
    """The error for a name that is none of those known; `more` says what else would be taken."""
    close = difflib.get_close_matches(name, known, 1)
    return UsageError(
        f"no {kind.removesuffix('s')} of this name is installed",
        where=where,
        got=name,
        allowed=(", ".join(known) or "none installed") + more,
        hint=f"did you mean {close[0]}?" if close else "install the package that provides it",
    )


def load(kind: Kind, name: str) -> Any:
    """Import the plugin class called `name`.

    Raises:
        UsageError: If no installed package provides it, or it fails to import.
    """
    point = find(kind, name)
    try:
        return point.load()
    except ImportError as error:
        raise UsageError(
            f"the {kind.removesuffix('s')} {name!r} could not be imported",
            got=str(error),
            hint="run `factory doctor`",
        ) from error
