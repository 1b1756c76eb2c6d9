"""Finds releases: the one a reference means, and the one that a public name points to.

`releases/<persona>/promoted.json` is the pointer: the release that answers under the name, and those that
did before it. It is replaced in one rename, so a running endpoint sees the old one or the new one. Before
anybody has promoted anything a name means its newest release that may be promoted.
"""

from __future__ import annotations

import difflib
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from factory.artifacts import MANIFEST, Release, read_json, write_json
from factory.errors import FactoryError, UsageError
from factory.store import disk_errors, lock

POINTER = "promoted.json"
REMEMBERED = 50
"""How many steps back a name can be rolled."""


def numbers(root: Path, name: str) -> list[int]:
    """Finished releases of a persona, oldest first."""
    found = (root / "releases" / name).glob(f"*/{MANIFEST}")
    return sorted(int(p.parent.name) for p in found if p.parent.name.isdecimal())


def known(root: Path) -> dict[str, list[int]]:
    """Finished releases: persona name to numbers."""
    found = {folder.name: numbers(root, folder.name) for folder in (root / "releases").glob("*")}
    return {name: there for name, there in found.items() if there}


def none_yet(root: Path, ref: str | None = None) -> UsageError:
    """The error where nothing was ever released."""
    return UsageError(
        "there are no releases yet",
        where=str(root / "releases"),
        got=ref,
        hint="build one first: `factory build FILE`",
    )


def named(root: Path, ref: str) -> list[int]:
    """Numbers of the finished releases of NAME, whatever follows after an `@`.

    Raises:
        UsageError: If there are none; names the nearest and those that exist.
    """
    name, there = ref.partition("@")[0], known(root)
    if not there:
        raise none_yet(root, ref)
    if name not in there:
        close = difflib.get_close_matches(name, there, 1, 0.5)
        raise UsageError(
            "there is no such release: none has this name",
            got=ref,
            allowed=", ".join(sorted(there)),
            hint=f"did you mean {close[0]}?" if close else "build it first: `factory build FILE`",
        )
    return there[name]


def name_of(root: Path, ref: str, what: str) -> str:
    """A persona's name, where no number may follow.

    Raises:
        UsageError: If it has no release, or a number follows; `what` says why not.
    """
    named(root, ref)
    name = ref.partition("@")[0]
    if name != ref:
        raise UsageError(what, got=ref, allowed=name, hint=f"leave the number out: {name}")
    return name


def release_of(root: Path, ref: str) -> Release:
    """NAME (the newest) or NAME@N.

    Raises:
        UsageError: If there is none; names those that exist.
    """
    name, _, number = ref.partition("@")
    folder, found = root / "releases" / name, named(root, ref)
    if number and not (number.isdecimal() and int(number) in found):
        raise UsageError(
            "there is no such release",
            where=str(folder),
            got=ref,
            allowed=", ".join(f"{name}@{n}" for n in found),
            hint="`factory show` lists what was built",
        )
    return Release.open(folder / (number or str(found[-1])))


def promoted(root: Path, name: str) -> int | None:
    """Number of the release that answers under a name; None if there is none.

    Raises:
        FactoryError: If the pointer cannot be read.
    """
    pointer = _pointer(root, name)
    if pointer is not None:
        return int(pointer["number"])
    ready = (n for n in reversed(numbers(root, name)) if promotable(root, name, n))
    return next(ready, None)


def promotable(root: Path, name: str, number: int) -> bool:
    """Whether its verdict was good enough to be served; what is wrong with a damaged one shows later."""
    try:
        facts = read_json(root / "releases" / name / str(number) / "release.json")
        return bool(facts.get("promotable"))
    except (OSError, ValueError):
        return True


def point(root: Path, name: str, number: int) -> int | None:
    """Let a name mean this release from now on; returns the number that it meant before.

    Raises:
        UsageError: If its verdict does not allow that.
        BusyError: If another process is moving the same name.
    """
    with _moving(root, name):
        if not promotable(root, name, number):
            raise UsageError(
                "this release may not be promoted: the evidence for it is inconclusive",
                got=f"{name}@{number}",
                hint="add questions or rows and build again; `evaluate: {inconclusive: warn}` accepts"
                " such releases",
            )
        before = promoted(root, name)
        pointer = _pointer(root, name)
        if before == number and pointer is not None:
            return before
        # Nobody promoted yet: the way back that the name had without a pointer stays open.
        history = pointer["history"] if pointer else _earlier(root, name, number)
        if before not in (None, number):
            history = [*history, before]
        _write(root, name, number, history)
        return before


def roll_back(root: Path, name: str) -> tuple[int, int]:
    """Let a name mean what it meant before; returns the numbers before and after.

    Raises:
        UsageError: If there is no such name, or no earlier release that it meant or could have meant.
        BusyError: If another process is moving the same name.
    """
    name_of(root, name, "a name goes back to what it meant before, whatever number that has")
    with _moving(root, name):
        now, pointer = promoted(root, name), _pointer(root, name)
        history = pointer["history"] if pointer else _earlier(root, name, now or 0)
        there = set(numbers(root, name))
        while history and history[-1] not in there:
            history.pop()  # removed by hand meanwhile
        if now is None or not history:
            raise UsageError(
                "there is no earlier release to go back to",
                got=f"{name}@{now}" if now is not None else name,
                hint="`factory show` lists what was built; `factory promote NAME@N` chooses one",
            )
        _write(root, name, history[-1], history[:-1])
        return now, history[-1]


def newest_promoted(root: Path, name: str, *, but: str) -> Release | None:
    """The release that answers under a name, or did before it, and has other weights than `but`.

    Args:
        root: `$FACTORY_HOME`.
        name: The persona's.
        but: Digest of weights; a release with them is passed over for the one before it.
    """
    now = promoted(root, name)
    if now is None:
        return None
    candidates = [*reversed(remembered(root, name)), now, *reversed(_earlier(root, name, now))]
    there = set(numbers(root, name))
    for number in dict.fromkeys(n for n in candidates if n in there):
        release = Release.open(root / "releases" / name / str(number))
        if release.facts()["model_digest"] != but:
            return release
    return None


def remembered(root: Path, name: str) -> list[int]:
    """What the pointer holds, the present number last; the releases themselves may be gone.

    Raises:
        FactoryError: If the pointer cannot be read.
    """
    pointer = _pointer(root, name)
    return [*pointer["history"], pointer["number"]] if pointer else []


def _moving(root: Path, name: str) -> Any:
    return lock(
        root / "locks" / f"{name}.promote.lock",
        f"{name!r} is already being promoted or rolled back",
    )


def _pointer(root: Path, name: str) -> dict[str, Any] | None:
    file = root / "releases" / name / POINTER
    try:
        found = read_json(file)
        return {"number": int(found["number"]), "history": [int(n) for n in found["history"]]}
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise FactoryError(
            "the file that says which release is served cannot be read",
            where=str(file),
            got=f"{type(error).__name__}: {error}"[:200],
            hint=f"remove it, then `factory promote {name}@N`",
        ) from error


def _earlier(root: Path, name: str, number: int) -> list[int]:
    """Releases before this one that the name could have meant, oldest first."""
    return [n for n in numbers(root, name) if n < number and promotable(root, name, n)]


def _write(root: Path, name: str, number: int, history: list[int]) -> None:
    file = root / "releases" / name / POINTER
    with disk_errors(file):
        write_json(
            file,
            {
                "number": number,
                "history": history[-REMEMBERED:],
                "moved": datetime.now(UTC).isoformat(timespec="seconds"),
            },
        )
