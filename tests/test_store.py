"""The store: equal inputs are equal work, a kill loses nothing, and two builders never collide."""

from __future__ import annotations

import errno
import json
import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel, Field

from factory.artifacts import Artifact, read_jsonl, write_json
from factory.errors import BusyError, FactoryError
from factory.store import Stage, Store, canonical, require_disk


class Note(Artifact):
    """A folder with one payload file and one log."""

    __slots__ = ()
    payload = ("note.json",)


def quiet(**_: Any) -> None:
    """Progress that nobody watches."""


def stage(run: Any, *, continues: bool = False) -> Stage[Note]:
    return Stage("note", 1, Note, run, continues=continues)


def write(config: Any, /, *, out: Path, progress: Any, text: str = "hello") -> dict[str, Any]:
    write_json(out / "note.json", {"text": text})
    (out / "log.txt").write_text(os.urandom(8).hex())
    return {"length": len(text)}


def make(store: Store, one: Stage[Note], config: Any = None, **inputs: Any) -> Note:
    key = store.key(one, config, inputs)
    return store.find(one, key) or store.make(one, key, config, inputs, quiet)


def test_equal_inputs_are_found_and_different_ones_are_made(tmp_path: Path) -> None:
    store = Store(tmp_path)
    first = make(store, stage(write), text="a")
    assert make(store, stage(write), text="a").manifest.recorded == first.manifest.recorded
    assert make(store, stage(write), text="b").path != first.path


def test_the_digest_ignores_files_that_are_not_payload(tmp_path: Path) -> None:
    first = make(Store(tmp_path / "one"), stage(write), text="a")
    second = make(Store(tmp_path / "two"), stage(write), text="a")
    assert first.digest == second.digest
    assert first.manifest.files["log.txt"] != second.manifest.files["log.txt"]


def test_a_later_stage_depends_on_content_and_not_on_what_made_it(tmp_path: Path) -> None:
    store = Store(tmp_path)
    one = make(store, stage(write), {"whitespace": 1}, text="a")
    two = make(store, stage(write), {"whitespace": 2}, text="a")
    assert one.path != two.path
    assert store.key(stage(write), None, {"rows": one}) == store.key(
        stage(write), None, {"rows": two}
    )


def test_transport_fields_do_not_change_the_key() -> None:
    class Config(BaseModel):
        rank: int = 8
        tracker: str = Field(default="none", json_schema_extra={"hashed": False})

    assert canonical(Config(tracker="x")) == canonical(Config())
    assert canonical(Config(rank=9)) != canonical(Config())


def test_a_failed_stage_leaves_no_artifact(tmp_path: Path) -> None:
    def fail(config: Any, /, *, out: Path, progress: Any) -> dict[str, Any]:
        write_json(out / "note.json", {})
        raise RuntimeError("half way")

    store = Store(tmp_path)
    key = store.key(stage(fail), None, {})
    with pytest.raises(RuntimeError, match="half way"):
        store.make(stage(fail), key, None, {}, quiet)
    assert store.find(stage(fail), key) is None


@pytest.mark.parametrize(("continues", "expected"), [(True, 2), (False, 1)])
def test_only_a_stage_that_continues_sees_what_was_left(
    tmp_path: Path, continues: bool, expected: int
) -> None:
    def half(config: Any, /, *, out: Path, progress: Any) -> dict[str, Any]:
        seen = sum(1 for _ in out.iterdir()) + 1
        (out / f"part{seen}").write_text("x")
        if not (tmp_path / "go").exists():
            (tmp_path / "go").touch()
            raise RuntimeError
        write_json(out / "note.json", {"seen": seen})
        return {"seen": seen}

    one = stage(half, continues=continues)
    store = Store(tmp_path / "home")
    with pytest.raises(RuntimeError):
        make(store, one)
    assert make(store, one).manifest.stats["seen"] == expected


def test_a_killed_builder_frees_its_lock_and_a_running_one_is_named(tmp_path: Path) -> None:
    script = textwrap.dedent(
        """
        import sys, time
        from pathlib import Path
        from factory.store import lock
        with lock(Path(sys.argv[1]), "persona 'x'"):
            print("held", flush=True)
            time.sleep(60)
        """
    )
    file = tmp_path / "x.lock"
    child = subprocess.Popen([sys.executable, "-c", script, str(file)], stdout=subprocess.PIPE)
    try:
        assert child.stdout is not None
        assert child.stdout.readline() == b"held\n"
        from factory.store import lock

        with pytest.raises(BusyError) as caught, lock(file, "persona 'x'"):
            pass
        assert str(child.pid) in str(caught.value)
    finally:
        child.send_signal(signal.SIGKILL)
        child.wait()
        child.stdout.close()
    with lock(file, "persona 'x'"):
        assert file.read_text() == str(os.getpid())


@pytest.mark.parametrize(
    ("number", "what"),
    [
        (errno.ENOSPC, "the disk is full"),
        (errno.EROFS, "cannot write here"),
        (errno.EACCES, "cannot write here"),
    ],
)
def test_disk_trouble_is_one_clear_error(tmp_path: Path, number: int, what: str) -> None:
    def trouble(config: Any, /, *, out: Path, progress: Any) -> dict[str, Any]:
        raise OSError(number, os.strerror(number), str(out / "weights"))

    with pytest.raises(FactoryError, match=what) as caught:
        make(Store(tmp_path), stage(trouble))
    assert "weights" in str(caught.value)
    assert caught.value.hint


def test_an_altered_file_is_noticed(tmp_path: Path) -> None:
    made = make(Store(tmp_path), stage(write), text="a")
    file = made.path / "note.json"
    file.write_text(file.read_text().replace('"a"', '"z"'))
    with pytest.raises(FactoryError, match="altered"):
        made.verify()
    file.write_text("{}")
    with pytest.raises(FactoryError, match="altered"):
        Note.open(made.path)


def test_a_torn_last_line_is_owed_again(tmp_path: Path) -> None:
    file = tmp_path / "rows.jsonl"
    file.write_text('{"a": 1}\n{"a": 2}\n{"a": ')
    assert [row["a"] for row in read_jsonl(file)] == [1, 2]


def test_releases_are_numbered_and_what_was_built_last_is_newest(tmp_path: Path) -> None:
    def release(
        config: Any, /, *, out: Path, progress: Any, number: int, text: str
    ) -> dict[str, Any]:
        write_json(out / "note.json", {"text": text})
        return {"number": number}

    store, folder = Store(tmp_path), tmp_path / "releases" / "x"
    one = Stage("release", 1, Note, release)

    def publish(text: str) -> Note:
        inputs = {"text": text}
        key = store.key(one, None, inputs)
        return store.published(one, key, folder) or store.publish(
            one, key, None, inputs, quiet, folder=folder, used=[]
        )

    assert [publish("a").path.name, publish("b").path.name, publish("a").path.name] == [
        "1",
        "2",
        "3",
    ]
    assert json.loads((folder / "2" / "note.json").read_text()) == {"text": "b"}


def test_a_build_that_would_not_fit_is_refused_before_it_begins(tmp_path: Path) -> None:
    require_disk(tmp_path / "not" / "yet", 1)
    with pytest.raises(FactoryError, match="not enough disk space") as caught:
        require_disk(tmp_path / "not" / "yet", 2**60)
    assert "GiB free" in str(caught.value)
