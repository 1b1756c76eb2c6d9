"""`factory promote` and `rollback`: a name moves only after a PASS against what it means now."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from factory.artifacts import Model, Release, hash_folder, payload_digest
from factory.releases import point, promoted
from factory.store import Stage, commit
from tests.personas import NOTHING_TO_LOSE, write_persona
from tests.test_evaluation import command


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory, tiny_llama: Path) -> Path:
    """A `$FACTORY_HOME` with one release of `brief`."""
    home = tmp_path_factory.mktemp("built")
    file = write_persona(tmp_path_factory.mktemp("persona"), tiny_llama, evaluate=NOTHING_TO_LOSE)
    done = command(home, "build", file)
    assert done.returncode == 0, done.stdout + done.stderr
    return home


def another(home: Path, number: int, weights: Path | None = None) -> None:
    """Release 1 again under another number, with other weights if any are given."""
    folder = home / "releases" / "brief"
    partial, final = folder / f"{number}.partial", folder / str(number)
    shutil.copytree(folder / "1", partial, ignore=shutil.ignore_patterns("manifest.json"))
    if weights is not None:
        for file in weights.glob("*.safetensors"):
            shutil.copyfile(file, partial / "model" / file.name)
    facts = json.loads((partial / "release.json").read_text("utf-8"))
    digest = payload_digest(hash_folder(partial), Model.payload)
    (partial / "release.json").write_text(
        json.dumps(facts | {"number": number, "model_digest": digest})
    )
    stage = Stage("release", version=1, makes=Release, run=lambda: {})
    commit(stage, f"key{number}", partial, final, inputs={}, stats={}, seconds=0.1)


def test_a_name_moves_after_a_pass_and_only_then(built: Path, tiny_llama: Path) -> None:
    done = command(built, "promote", "brief@1")
    assert done.returncode == 0 and "brief means brief@1 now" in done.stdout, done.stderr

    another(built, 2, weights=tiny_llama)  # the base in the place of the tuned model
    done = command(built, "promote", "brief@2")
    assert done.returncode == 10, done.stdout + done.stderr
    assert "REGRESSION" in done.stderr and "Traceback" not in done.stderr
    assert promoted(built, "brief") == 1

    another(built, 3)
    done = command(built, "promote", "brief")  # its newest
    assert done.returncode == 0, done.stdout + done.stderr
    assert "brief means brief@3 now, before it brief@1\n" in done.stdout
    assert "a running endpoint notices" in done.stdout
    assert promoted(built, "brief") == 3

    done = command(built, "rollback", "brief")
    assert done.returncode == 0 and "brief means brief@1 again" in done.stdout, done.stderr
    assert "a running endpoint notices" in done.stdout
    assert promoted(built, "brief") == 1
    done = command(built, "rollback", "brief")
    assert done.returncode == 2 and "no earlier release" in done.stderr


def test_what_is_served_may_have_been_removed_by_hand(built: Path, tmp_path: Path) -> None:
    home = tmp_path / "home"
    shutil.copytree(built, home)
    another(home, 7)
    point(home, "brief", 1)
    shutil.rmtree(home / "releases" / "brief" / "1")
    done = command(home, "promote", "brief@7")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "brief means brief@7 now" in done.stdout
    assert promoted(home, "brief") == 7


def test_a_release_that_is_not_there_is_one_clear_error(built: Path) -> None:
    done = command(built, "promote", "brief@77")
    assert done.returncode == 2 and "brief@1" in done.stderr and "Traceback" not in done.stderr
