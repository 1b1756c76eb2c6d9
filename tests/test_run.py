"""The record of a run: what a person finds in its folder, and what must not be there."""

from __future__ import annotations

import logging
import shutil
from pathlib import Path
from typing import Any

import pytest

from factory.artifacts import Release, write_json
from factory.base import resolve
from factory.load import load
from factory.releases import point
from factory.report import Display
from factory.run import Run
from factory.store import Stage, Store
from tests.personas import write_persona


def test_a_run_keeps_its_persona_and_its_log_without_logins(tmp_path: Path) -> None:
    login = "https://user:word-8451@host/v1?key=word-8451"
    teacher = f"teacher: {{type: openai, model: m, base_url: '{login}'}}"
    spec = load(write_persona(tmp_path / "p", "starter", extra=teacher))
    run = Run(Store(tmp_path / "home"), spec, resolve("starter"), Display([], title="brief"))
    with run.open():
        logging.info("tune: started")
        logging.getLogger("httpx").info("HTTP Request: POST %s", login)
    assert "host/v1" in (run.folder / "spec.json").read_text("utf-8")
    (log,) = run.folder.glob("logs/*/build.log")
    assert "tune: started" in log.read_text("utf-8")
    files = [p for p in run.folder.rglob("*") if p.is_file()]
    assert not [p for p in files if "word-8451" in p.read_text("utf-8")]


@pytest.mark.parametrize("promoted", [(1, 2), (2, 1)], ids=["means", "meant before"])
def test_a_number_that_a_name_means_or_meant_is_never_given_to_another_release(
    promoted: tuple[int, int], tmp_path: Path
) -> None:
    def released(config: None, /, *, out: Path, text: str, number: int, **_: Any) -> dict[str, Any]:
        write_json(out / "release.json", {"text": text, "promotable": True})
        return {"number": number}

    home, stage = tmp_path / "home", Stage("release", 1, Release, released)
    spec = load(write_persona(tmp_path / "p", "starter"))
    run = Run(Store(home), spec, resolve("starter"), Display(["release"], title="brief"))
    with run.open():
        assert [run.publish(stage, None, text=text).number for text in ("a", "b")] == [1, 2]
        for number in promoted:
            point(home, "brief", number)
        shutil.rmtree(home / "releases" / "brief" / "2")  # by hand
        assert run.publish(stage, None, text="c").number == 3
