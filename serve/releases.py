"""Which release a public name points to, and whether it may be served (law 9)."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from factory.artifacts import MANIFEST, Manifest, Model, Release, hash_file, payload_digest
from factory.errors import FactoryError, UsageError
from factory.releases import known, named, none_yet, promoted


@dataclass(frozen=True, slots=True)
class Admission:
    """The outcome of looking at a release; `doubts` is empty if and only if it is gated."""

    release: Release
    doubts: tuple[str, ...]
    facts: dict[str, Any]
    """`release.json`, as it was when the files were looked at."""

    @property
    def ref(self) -> str:
        """NAME@N."""
        return f"{self.facts['name']}@{self.facts['number']}"

    @property
    def gated(self) -> bool:
        """Whether every file is the one that passed."""
        return not self.doubts


def find(root: Path, ref: str) -> Release:
    """The release that NAME (the promoted one) or NAME@N means.

    Its files are not looked at yet; `admit` does that.

    Args:
        root: `$FACTORY_HOME`.
        ref: What the user wrote.

    Raises:
        UsageError: If there is no such release, or none that may be promoted; names the nearest
            and those that exist.
    """
    name, _, number = ref.partition("@")
    there = named(root, ref)
    if "@" in ref and (not number.isdecimal() or int(number) not in there):
        raise UsageError(
            f"{name} has no such release",
            got=ref,
            allowed=", ".join(f"{name}@{n}" for n in there),
            hint=f"leave the number out to take the promoted one, {name}@{now}"
            if (now := promoted(root, name)) in there
            else f"the newest is {name}@{max(there)}",
        )
    if number:
        return _opened(root / "releases" / name / str(int(number)))
    now = promoted(root, name)
    if now is None:
        raise _unpromoted({name: there}, got=ref)
    if now not in there:
        raise UsageError(
            f"{name}@{now}, which is promoted, is gone",
            where=str(root / "releases" / name),
            got=ref,
            allowed=", ".join(f"{name}@{n}" for n in there),
            hint=f"`factory promote {name}@N` chooses another one",
        )
    return _opened(root / "releases" / name / str(now))


def every(root: Path) -> list[str]:
    """Every name that means a release.

    Raises:
        UsageError: If there is none.
    """
    there = known(root)
    names = [name for name in sorted(there) if promoted(root, name) is not None]
    if not there:
        raise none_yet(root)
    if not names:
        raise _unpromoted(there)
    return names


def _unpromoted(there: dict[str, list[int]], got: str | None = None) -> UsageError:
    return UsageError(
        f"no release of {', '.join(sorted(there))} is promoted: the evidence for each of them is"
        " inconclusive",
        got=got,
        allowed=", ".join(f"{name}@{n}" for name in sorted(there) for n in there[name]),
        hint="add questions or rows and build again; `evaluate: {inconclusive: warn}` accepts"
        " such releases",
    )


def _opened(path: Path) -> Release:
    try:
        manifest = Manifest.model_validate_json((path / MANIFEST).read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise FactoryError(
            "this release has no readable manifest",
            where=str(path / MANIFEST),
            hint="build again, or serve another release",
        ) from error
    return Release(path, manifest)


def admit(release: Release, *, allow_ungated: bool) -> Admission:
    """Read every file of a release and decide whether it may be served.

    What this process has read before is read again only if something was done to the file since.

    Args:
        release: From `find`.
        allow_ungated: Whether the operator wants it served whatever it is.

    Raises:
        UsageError: If it is not exactly what passed the gate and `allow_ungated` is off.
    """
    doubts = tuple(_altered(release)) or tuple(_unproven(release))
    if doubts and not allow_ungated:
        ref = f"{release.path.parent.name}@{release.number}"
        raise UsageError(
            f"{ref} is not what passed the gate",
            where=str(release.path),
            got="; ".join(doubts[:3]),
            allowed="the very files that were tested, with a PASS scorecard",
            hint="build again or take another release;"
            f" `factory serve {ref} --allow-ungated` serves it marked as such",
        )
    return Admission(release, doubts, release.facts())


def _altered(release: Release) -> list[str]:
    listed = release.manifest.files
    doubts = []
    for name, entry in listed.items():
        file = release.path / name
        if not file.is_file():
            doubts.append(f"{name} is missing")
        elif _content(file) != entry.sha256:
            doubts.append(f"the content of {name} was altered")
    found = {f.relative_to(release.path).as_posix() for f in release.path.rglob("*") if f.is_file()}
    doubts += [f"{name} was added" for name in sorted(found - set(listed) - {MANIFEST})]
    return doubts


def _content(file: Path) -> str:
    seen = file.stat()
    # Whoever alters a file can set its size and mtime as they were, but not its ctime.
    return _hashed(file, seen.st_ino, seen.st_size, seen.st_mtime_ns, seen.st_ctime_ns)


@lru_cache(1 << 12)
def _hashed(file: Path, *stamp: int) -> str:
    return hash_file(file)


def _unproven(release: Release) -> list[str]:
    """Whether the scorecard is a PASS for these weights; the digest is computed, not believed."""
    card, facts = release.card(), release.facts()
    weights = payload_digest(release.manifest.files, Model.payload)
    doubts = []
    accepted = card.get("verdict") == "INCONCLUSIVE" and facts.get("promotable")
    if card.get("verdict") != "PASS" and not accepted:
        doubts.append(f"its scorecard says {card.get('verdict')}")
    if not weights == facts.get("model_digest") == card.get("model_digest"):
        doubts.append("its scorecard is about other weights")
    return doubts
