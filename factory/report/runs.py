"""Finds the runs below `$FACTORY_HOME`, and whose they are."""

from __future__ import annotations

from pathlib import Path

from factory.artifacts import read_json


def runs(home: Path) -> dict[Path, str]:
    """The folder of every run that made something, the latest first, with its persona's name.

    The record says whose a run is. A folder's name does not, for `shop--beta--1a` may be the persona
    `shop` on the base `beta` or the persona `shop--beta`.
    """
    records = sorted(home.glob("runs/*/stages.json"), key=lambda f: f.stat().st_mtime_ns)
    return {f.parent: read_json(f.with_name("spec.json"))["name"] for f in reversed(records)}


def runs_of(home: Path, name: str) -> list[Path]:
    """The folders of a persona's runs, the latest first."""
    return [folder for folder, persona in runs(home).items() if persona == name]
