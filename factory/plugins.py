"""Entry-point lookup: the only way a name in a persona file becomes code (law 13)."""

from __future__ import annotations

from importlib.metadata import EntryPoint, entry_points
from typing import Any, Literal

from factory.errors import UsageError

Kind = Literal["teachers", "graders", "engines"]


def names(kind: Kind) -> dict[str, EntryPoint]:
    """Installed plugins of one kind, by name; nothing is imported."""
    return {point.name: point for point in entry_points(group=f"persona_factory.{kind}")}


def load(kind: Kind, name: str) -> Any:
    """Import the plugin class called `name`.

    Raises:
        UsageError: If no installed package provides it, or it fails to import.
    """
    found = names(kind)
    if name not in found:
        raise UsageError(
            f"no {kind.removesuffix('s')} of this name is installed",
            got=name,
            allowed=", ".join(sorted(found)) or "none installed",
            hint="install the package that provides it, or run `factory plugins`",
        )
    try:
        return found[name].load()
    except ImportError as error:
        raise UsageError(
            f"the {kind.removesuffix('s')} {name!r} could not be imported",
            got=str(error),
            hint="run `factory doctor`",
        ) from error
