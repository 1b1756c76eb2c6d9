"""From release names to personas being served."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from factory.errors import UsageError
from serve.launch import Launcher
from serve.releases import Admission, admit, find
from serve.supervise import Supervisor

log = logging.getLogger("serve")


def prepare(
    root: Path, refs: Sequence[str], *, allow_ungated: bool, announce: Callable[[str], None]
) -> list[Admission]:
    """Find and admit every release; nothing is loaded.

    Raises:
        UsageError: If a name is unknown or given twice, or a release is not what passed the gate.
    """
    releases = [find(root, ref) for ref in refs]
    names = [release.path.parent.name for release in releases]
    if twice := next((name for name in names if names.count(name) > 1), None):
        raise UsageError(
            "one release of a persona at a time",
            got=" ".join(ref for ref in refs if ref.partition("@")[0] == twice),
            hint=f"choose one of them: {twice}@N",
        )
    admissions = [admit(release, allow_ungated=allow_ungated) for release in releases]
    for name, admission in zip(names, admissions, strict=True):
        for doubt in admission.doubts:
            log.warning("%s is served ungated: %s", name, doubt)
            announce(f"warning: {name} is served ungated: {doubt}")
    return admissions


@contextmanager
def supervised(
    root: Path,
    refs: Sequence[str],
    admissions: Sequence[Admission],
    launcher: Launcher,
    **limits: Any,
) -> Iterator[Supervisor]:
    """Run an engine for every release; all engines are gone on exit.

    Args:
        root: `$FACTORY_HOME`.
        refs: NAME or NAME@N of each release.
        admissions: What `prepare` found for them.
        launcher: Starts engines.
        limits: More arguments of `Supervisor`.

    Raises:
        UsageError: If the engine is unknown.
        EngineError: If one cannot run here, does not start, or does not reproduce the probes.
    """
    supervisor = Supervisor(root, launcher, **limits)
    try:
        supervisor.start(refs, admissions)
        yield supervisor
    finally:
        supervisor.end()
