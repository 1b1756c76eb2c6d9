"""The typed folders that stages hand to each other, and the manifest that makes a folder an artifact.

An artifact is complete if and only if its `manifest.json` exists. Its `digest` covers the payload
files only, so that a log or a plot with a time stamp in it never makes a later stage run again.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path
from typing import Any, ClassVar, NotRequired, Self, TypedDict

from pydantic import BaseModel, ConfigDict

from factory.contracts import Message
from factory.errors import FactoryError

MANIFEST = "manifest.json"


class FileEntry(BaseModel):
    """One file of an artifact: size in bytes and SHA-256 of its content."""

    model_config = ConfigDict(frozen=True)
    size: int
    sha256: str


class Manifest(BaseModel):
    """What an artifact is and everything that made it."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    stage: str
    version: int
    key: str
    """Hash of stage, version and inputs; the folder's name."""
    digest: str
    """Hash of the payload files; what later stages depend on."""
    inputs: dict[str, Any]
    """Every input: artifacts by digest, values as they are."""
    stats: dict[str, Any]
    """Numbers the stage wants to show."""
    files: dict[str, FileEntry]
    seconds: float
    """Wall time of the run that finished it."""
    recorded: dict[str, Any]
    """Library versions, code revision, hardware, date: recorded, never hashed."""


class Row(TypedDict):
    """One training conversation, ending with an assistant turn."""

    id: str
    """`file:line`, or `persona:seed N`."""
    messages: list[Message]
    repairs: NotRequired[list[str]]
    """Reason codes of what was mended."""
    warnings: NotRequired[list[str]]
    side: NotRequired[str]
    """The split this row was written for, before anything was written."""
    twin: NotRequired[str]
    """The same question answered without the persona."""
    source: NotRequired[dict[str, str]]
    """Which teacher wrote it, where, with which model, and when."""


class Rejected(TypedDict):
    """One input row that was not kept, and why."""

    id: str
    reason: str
    """A reason code, e.g. `near_duplicate`."""
    detail: str
    """What a person needs to find and mend it."""
    text: str
    """The beginning of the row as it was read."""


@dataclass(frozen=True, slots=True)
class Artifact:
    """A finished folder. Subclasses name their payload and give typed access to it."""

    path: Path
    manifest: Manifest

    payload: ClassVar[tuple[str, ...]] = ("*",)
    """Patterns of the files that count for the digest."""

    @property
    def digest(self) -> str:
        """Content hash of the payload, 64 hex digits."""
        return self.manifest.digest

    @classmethod
    def open(cls, path: Path) -> Self:
        """Open a finished folder.

        Raises:
            FactoryError: If the folder has no readable manifest or a file is missing or resized.
        """
        try:
            manifest = Manifest.model_validate_json((path / MANIFEST).read_text("utf-8"))
        except (OSError, ValueError) as error:
            raise FactoryError("this artifact has no readable manifest", where=str(path)) from error
        for name, entry in manifest.files.items():
            file = path / name
            if not file.is_file() or file.stat().st_size != entry.size:
                raise FactoryError(
                    "a file of this artifact is missing or was altered",
                    where=str(file),
                    hint=f"remove the folder {path} and build again",
                )
        return cls(path, manifest)

    def verify(self) -> None:
        """Read every file and compare it with the manifest.

        Raises:
            FactoryError: Naming the first file that differs.
        """
        for name, entry in self.manifest.files.items():
            if hash_file(self.path / name) != entry.sha256:
                raise FactoryError(
                    "this file is not the one that was tested: its content was altered",
                    where=str(self.path / name),
                    got=f"sha256 {hash_file(self.path / name)[:16]}...",
                    allowed=f"sha256 {entry.sha256[:16]}...",
                    hint="build again, or serve another release",
                )


class Rows(Artifact):
    """gather: every readable row of every source, and what could not be read."""

    __slots__ = ()
    payload = ("rows.jsonl", "rejected.jsonl")

    def rows(self) -> Iterator[Row]:
        """All rows in source order."""
        return read_jsonl(self.path / "rows.jsonl")

    def rejected(self) -> Iterator[Rejected]:
        """Rows that could not be read."""
        return read_jsonl(self.path / "rejected.jsonl")


class Pairs(Rows):
    """distill: the gathered rows, then those a teacher wrote, and an account of every candidate."""

    __slots__ = ()

    def report(self) -> dict[str, Any]:
        """Quotas and how they were filled, rejections by reason, diversity, calls and cost."""
        return dict(read_json(self.path / "report.json"))


class Dataset(Artifact):
    """curate: clean rows, split by lineage, and the ledger of what happened to every input row."""

    __slots__ = ()
    payload = ("train.jsonl", "validation.jsonl", "test.jsonl")

    def split(self, name: str) -> list[Row]:
        """The rows of `train`, `validation` or `test`."""
        return list(read_jsonl(self.path / f"{name}.jsonl"))

    def report(self) -> dict[str, Any]:
        """Counts by reason, examples, leak table, length histogram, advice."""
        return dict(read_json(self.path / "report.json"))


class Adapter(Artifact):
    """tune: a PEFT LoRA adapter, its metrics, and the verdict on its loss curve."""

    __slots__ = ()
    payload = ("adapter/adapter_model.safetensors", "adapter/adapter_config.json")

    @property
    def weights(self) -> Path:
        """Folder in standard PEFT form."""
        return self.path / "adapter"

    @staticmethod
    def entries(path: Path) -> list[dict[str, Any]]:
        """The metrics below a folder: one entry per logged update or held-out check."""
        return list(read_jsonl(path / "metrics.jsonl"))

    def metrics(self) -> list[dict[str, Any]]:
        """One entry per logged update: step, epoch, loss, ... or validation_loss."""
        return self.entries(self.path)

    def plan(self) -> list[dict[str, Any]]:
        """The hyperparameters, each with value, reason, source and warning."""
        return list(read_json(self.path / "plan.json"))

    def curve(self) -> dict[str, Any]:
        """The verdict on the loss curve."""
        return dict(read_json(self.path / "curve.json"))

    def probes(self) -> list[dict[str, Any]]:
        """What the adapter answered in memory, right after training."""
        return list(read_json(self.path / "probes.json"))


class Model(Artifact):
    """merge: the merged model as a Hugging Face folder, and its parity certificate."""

    __slots__ = ()
    payload = ("model/*",)

    @property
    def weights(self) -> Path:
        """Standard Hugging Face folder."""
        return self.path / "model"

    def certificate(self) -> dict[str, Any]:
        """The parity certificate."""
        return dict(read_json(self.path / "certificate.json"))


class Scorecard(Artifact):
    """evaluate: base against tuned, and the verdict."""

    __slots__ = ()
    payload = ("scorecard.json", "answers.jsonl")

    def card(self) -> dict[str, Any]:
        """The scorecard: verdict, reasons, metrics by arm."""
        return dict(read_json(self.path / "scorecard.json"))

    def answers(self) -> list[dict[str, Any]]:
        """One entry per question: the answers of every arm side by side."""
        return list(read_jsonl(self.path / "answers.jsonl"))


class Release(Artifact):
    """release: everything needed to serve or audit one persona, immutable and numbered."""

    __slots__ = ()
    payload = ("*",)

    @property
    def number(self) -> int:
        """The release's number, from 1."""
        return int(self.path.name)

    @property
    def weights(self) -> Path:
        """The merged model, a standard Hugging Face folder."""
        return self.path / "model"

    def facts(self) -> dict[str, Any]:
        """`release.json`: name, number, digests, system prompt, sampling, window."""
        return dict(read_json(self.path / "release.json"))

    def card(self) -> dict[str, Any]:
        """The scorecard this release passed with."""
        return dict(read_json(self.path / "scorecard.json"))


# --- files -------------------------------------------------------------------------------------


def hash_file(path: Path) -> str:
    """SHA-256 of a file, hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def hash_json(value: Any) -> str:
    """SHA-256 of the canonical JSON of a value, hex."""
    text = json.dumps(value, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    return hashlib.sha256(text.encode("utf-8")).hexdigest()


def hash_folder(path: Path) -> dict[str, FileEntry]:
    """Every file below a folder (manifest excepted), by its path with forward slashes."""
    return {
        file.relative_to(path).as_posix(): FileEntry(
            size=file.stat().st_size, sha256=hash_file(file)
        )
        for file in sorted(path.rglob("*"))
        if file.is_file() and file.name != MANIFEST
    }


def payload_digest(files: dict[str, FileEntry], patterns: tuple[str, ...]) -> str:
    """The digest of the files that match any of the patterns."""
    return hash_json(
        {
            name: entry.sha256
            for name, entry in files.items()
            if any(fnmatch(name, pattern) for pattern in patterns)
        }
    )


def read_json(path: Path) -> Any:
    """Parse a JSON file."""
    return json.loads(path.read_text("utf-8"))


def read_jsonl(path: Path) -> Iterator[Any]:
    """Parse JSON Lines; a torn last line (no newline) is ignored, for it is owed again (law 6)."""
    with path.open(encoding="utf-8") as file:
        for line in file:
            if line.endswith("\n"):
                yield json.loads(line)


def write_text(path: Path, text: str) -> None:
    """Write a file atomically: a reader sees the old content or the new, never a part."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f"{path.name}.{os.getpid()}.partial")
    try:
        partial.write_text(text, "utf-8")
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)  # there only if it could not take the old one's place


def write_json(path: Path, value: Any) -> None:
    """Write readable JSON atomically."""
    write_text(path, json.dumps(value, indent=2, ensure_ascii=False) + "\n")


def write_jsonl(path: Path, rows: Iterator[Any] | list[Any]) -> None:
    """Write JSON Lines atomically."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(path.name + ".partial")
    with partial.open("w", encoding="utf-8") as file:
        for row in rows:
            file.write(json.dumps(row, ensure_ascii=False) + "\n")
    partial.replace(path)
