"""Finds releases: the one a reference means, and the one that is served now."""

from __future__ import annotations

from pathlib import Path

from factory.artifacts import MANIFEST, Release
from factory.errors import UsageError


def release_of(root: Path, ref: str) -> Release:
    """NAME (the newest) or NAME@N.

    Raises:
        UsageError: If there is none; names those that exist.
    """
    name, _, number = ref.partition("@")
    folder = root / "releases" / name
    numbers = sorted(int(p.parent.name) for p in folder.glob("[0-9]*/manifest.json"))
    if not numbers or (number and not (number.isdecimal() and int(number) in numbers)):
        raise UsageError(
            "there is no such release",
            where=str(folder),
            got=ref,
            allowed=", ".join(f"{name}@{n}" for n in numbers) or "none of this name is there yet",
            hint="`factory show` lists what was built",
        )
    return Release.open(folder / (number or str(numbers[-1])))


def newest_promoted(root: Path, name: str, *, but: str) -> Release | None:
    """The release that is served under a name now, unless it has the very weights `but`.

    Args:
        root: `$FACTORY_HOME`.
        name: The persona's.
        but: Digest of weights; a release with them is passed over for the one before it.
    """
    folder = root / "releases" / name
    numbers = [int(p.parent.name) for p in folder.glob(f"*/{MANIFEST}") if p.parent.name.isdigit()]
    for number in sorted(numbers, reverse=True):
        release = Release.open(folder / str(number))
        facts = release.facts()
        if facts["promotable"] and facts["model_digest"] != but:
            return release
    return None
