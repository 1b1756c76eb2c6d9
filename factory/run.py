"""One run of the story for one persona: finds or makes each artifact, shows it, and keeps the record.

`$FACTORY_HOME/runs/<persona>--<base>--<id>/` holds what a person looks at: `spec.json` (resolved),
`stages.json`, `logs/attempt_<n>/build.log`, `report.md`, `report.html`.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from factory.artifacts import Artifact, Release, hash_json, write_json
from factory.base import Base
from factory.releases import remembered
from factory.report.display import Display
from factory.report.words import spoken
from factory.spec import Spec
from factory.store import Stage, Store, canonical, disk_errors, lock
from factory.teachers.keeping import kept

A = TypeVar("A", bound=Artifact)


class Reached(Exception):
    """The stage that `--until` names is done."""


@dataclass
class Run:
    """Hands artifacts from stage to stage.

    Args:
        store: Where artifacts live.
        spec: The persona.
        base: Its base model.
        display: What the user watches.
        until: Stage after which to stop, or None.
    """

    store: Store
    spec: Spec
    base: Base
    display: Display
    until: str | None = None
    made: dict[str, Artifact] = field(default_factory=dict)
    stages: list[dict[str, Any]] = field(default_factory=list)

    @property
    def folder(self) -> Path:
        """The run's folder; the same persona file on the same base always has the same one."""
        base = re.sub(r"[^\w.-]+", "-", self.base.label).strip("-").lower()
        identity = hash_json({"spec": canonical(self.spec), "base": self.base.digest})[:8]
        return self.store.root / "runs" / f"{self.spec.name}--{base}--{identity}"

    @contextmanager
    def open(self) -> Iterator[Run]:
        """Hold the persona's lock, write the resolved spec, and log to a folder of this attempt."""
        with (
            disk_errors(self.store.root),
            lock(
                self.store.root / "locks" / f"{self.spec.name}.lock",
                f"persona {self.spec.name!r} is already being built",
            ),
        ):
            logs = self.folder / "logs"
            logs.mkdir(parents=True, exist_ok=True)
            numbers = [int(p.name.rpartition("_")[2]) for p in logs.glob("attempt_*")]
            attempt = logs / f"attempt_{max(numbers, default=0) + 1}"
            attempt.mkdir()
            pinned = {
                **kept(self.spec),
                "base": {
                    "name": self.base.name,
                    "revision": self.base.revision,
                    "digest": self.base.digest,
                },
            }
            write_json(self.folder / "spec.json", pinned)
            with _logging_to(attempt / "build.log"):
                yield self

    def do(self, stage: Stage[A], config: Any, /, **inputs: Any) -> A:
        """The stage's artifact: found in the store, continued, or made."""
        key = self.store.key(stage, config, inputs)
        return self._do(
            stage,
            key,
            lambda: self.store.find(stage, key),
            lambda progress: self.store.make(stage, key, config, inputs, progress),
        )

    def publish(self, stage: Stage[Release], config: Any, /, **inputs: Any) -> Release:
        """Like `do`, for the numbered folder of a release."""
        key = self.store.key(stage, config, inputs)
        folder = self.store.root / "releases" / self.spec.name
        used = remembered(self.store.root, self.spec.name)  # their folders may be gone
        return self._do(
            stage,
            key,
            lambda: self.store.published(stage, key, folder),
            lambda progress: self.store.publish(
                stage, key, config, inputs, progress, folder=folder, used=used
            ),
        )

    def _do(
        self,
        stage: Stage[A],
        key: str,
        find: Callable[[], A | None],
        make: Callable[[Any], A],
    ) -> A:
        artifact = find()
        cached = artifact is not None
        if artifact is None:
            logging.info("%s %s: started", stage.name, key)
            try:
                artifact = make(self.display.start(stage.name))
            except Exception as error:
                self.display.failed(
                    stage.name, (str(error).splitlines() or [type(error).__name__])[0]
                )
                logging.exception("%s %s: failed", stage.name, key)
                raise
        summary = summarise(artifact)
        if cached:
            self.display.cached(stage.name, summary)
        else:
            self.display.done(stage.name, artifact.manifest.seconds, summary)
        logging.info("%s %s: %s %s", stage.name, key, "cached" if cached else "made", summary)
        self.made[stage.name] = artifact
        self.stages.append(
            {
                "name": stage.name,
                "key": key,
                "seconds": artifact.manifest.seconds,
                "cached": cached,
                "summary": summary,
            }
        )
        write_json(self.folder / "stages.json", self.stages)
        if stage.name == self.until:
            raise Reached(stage.name)
        return artifact


def summarise(artifact: Artifact) -> str:
    """A stage's result in one line, from the numbers in its manifest."""
    stats = artifact.manifest.stats
    match artifact.manifest.stage:
        case "gather":
            lost = f", {stats['rejected']} unreadable" if stats.get("rejected") else ""
            return f"{stats['rows']} rows{lost}"
        case "distill":
            calls = stats["calls"]
            cost = "cost unknown" if calls["usd"] is None else f"${calls['usd']:.2f}"
            why = ", ".join(f"{spoken(code)} {count}" for code, count in stats["reasons"].items())
            return (
                f"{stats['accepted']} of {stats['wanted']} pairs accepted, {stats['dropped']}"
                f" rejected{f' ({why})' if why else ''}; {calls['requests']} requests, {cost}"
            )
        case "curate":
            splits = ", ".join(f"{stats[name]} {name}" for name in ("train", "validation", "test"))
            return f"{splits}; {stats['repaired']} repaired, {stats['rejected']} rejected"
        case "tune":
            held = stats["validation_loss"]
            watched = f", held-out {held:.3f}" if held is not None else ""
            return (
                f"{stats['updates']} updates, loss {stats['loss']:.3f}{watched}, {stats['curve']}"
            )
        case "merge":
            absent = f", missing: {', '.join(stats['missing'])}" if stats["missing"] else ""
            return f"{stats['legs']} parity legs passed{absent}"
        case "evaluate":
            return f"{stats['verdict']}: {stats['summary']}"
        case "release":
            return f"release {stats['number']}"
        case other:
            return other


@contextmanager
def _logging_to(file: Path) -> Iterator[None]:
    root = logging.getLogger()
    handler = logging.FileHandler(file, encoding="utf-8")
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    # It would write down whole addresses, with the keys that some carry.
    handler.addFilter(lambda record: record.name != "httpx")
    before = root.handlers[:], root.level
    root.handlers = [handler]
    root.setLevel(logging.INFO)
    logging.captureWarnings(True)
    try:
        yield
    finally:
        logging.captureWarnings(False)
        root.handlers, level = before
        root.setLevel(level)
        handler.close()
