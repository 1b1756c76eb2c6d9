"""What was measured is found again: after kills, beside other processes, and never from a damaged file."""

from __future__ import annotations

import math
import multiprocessing
import os
import signal
import sqlite3
import time
from pathlib import Path

import pytest

from factory.errors import FactoryError
from factory.suite import cache as module
from factory.suite.cache import Cache


def test_values_come_back_as_they_were(tmp_path: Path) -> None:
    values = {
        "answer": [[3, 4, 5], True],
        "text": {"text": "a 'quote', \u0000, 你好 🙂, \ud800", "none": None},
        "number": -12.345678901234567,
    }
    with Cache(tmp_path / "new" / "cache.sqlite") as cache:
        assert cache.get_many(values) == {}
        cache.put_many({**values, "broken": math.nan})
    with Cache(tmp_path / "new" / "cache.sqlite") as cache:
        found = cache.get_many(["answer", "text", "other", "number", "answer", "broken"])
        assert math.isnan(found.pop("broken"))
        assert found == values
        assert cache.get_many([]) == {}


def test_a_key_is_everything_that_was_asked() -> None:
    one = Cache.key(model="m", ids=[1, 2], seed=3)
    assert one == Cache.key(seed=3, ids=[1, 2], model="m")
    others = [
        Cache.key(model="n", ids=[1, 2], seed=3),
        Cache.key(model="m", ids=[1, 23], seed=3),
        Cache.key(model="m", ids=[12], seed=3),
        Cache.key(model="m", ids=[1, 2], seed=4),
    ]
    assert len({one, *others}) == 5


def test_many_values_at_once(tmp_path: Path) -> None:
    values = {f"k{n}": n for n in range(40_000)}
    with Cache(tmp_path / "c") as cache:
        cache.put_many(values)
        assert cache.get_many(values) == values


def test_the_oldest_go_when_there_are_too_many(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "KEPT", 10)
    with Cache(tmp_path / "c") as cache:
        for n in range(25):
            cache.put_many({f"k{n}": n})
            cache.put_many({f"k{n}": n})  # known, so it pushes nothing out
        assert cache.get_many(f"k{n}" for n in range(25)) == {f"k{n}": n for n in range(15, 25)}
        cache.put_many({"k0": 0})  # measured again
        assert cache.get_many(["k0", "k15", "k16"]) == {"k0": 0, "k16": 16}


@pytest.mark.parametrize("damage", ["text", "zeros", "page"])
def test_a_damaged_file_is_set_aside(tmp_path: Path, damage: str) -> None:
    file = tmp_path / "c.sqlite"
    values = {f"k{n}": "x" * 500 for n in range(200)}
    with Cache(file) as cache:
        cache.put_many(values)
    whole = bytearray(file.read_bytes())
    if damage == "text":
        whole[:] = b"this is no database\n" * 400
    elif damage == "zeros":
        whole[:100] = bytes(100)
    else:  # the head is whole: found out only by looking something up
        whole[4096:] = b"\xff" * (len(whole) - 4096)
    file.write_bytes(whole)
    with Cache(file) as cache:
        assert cache.get_many(values) == {}
        cache.put_many({"new": 1})
        assert cache.get_many(["new"]) == {"new": 1}
        assert cache.note is not None
        assert "c.sqlite.damaged-1" in cache.note
    assert (tmp_path / "c.sqlite.damaged-1").read_bytes() == bytes(whole)
    with Cache(file) as cache:
        assert cache.get_many(["new"]) == {"new": 1}
        assert cache.note is None


def test_a_process_that_still_had_the_damaged_file_takes_the_new_one(tmp_path: Path) -> None:
    file = tmp_path / "c.sqlite"
    with Cache(file) as first:
        first.put_many({f"k{n}": "x" * 500 for n in range(200)})
    whole = bytearray(file.read_bytes())
    whole[4096:] = b"\xff" * (len(whole) - 4096)
    file.write_bytes(whole)
    one, other = Cache(file), Cache(file)
    with one:
        one.put_many({"new": 1})
        with other:
            other.put_many({"newer": 2})
            assert other.get_many(["new", "newer"]) == {"new": 1, "newer": 2}
    assert len(list(tmp_path.glob("*.damaged-?"))) == 1


def test_what_is_no_damage_is_told_and_nothing_is_moved(tmp_path: Path) -> None:
    file = tmp_path / "c.sqlite"
    with Cache(file) as cache:
        cache.put_many({"a": 1})
    connection = sqlite3.connect(file)
    connection.execute("PRAGMA user_version = 99")
    connection.close()
    with pytest.raises(FactoryError, match="later release"), Cache(file):
        pass
    (tmp_path / "folder").mkdir()
    with pytest.raises(FactoryError, match="cannot be written"), Cache(tmp_path / "folder"):
        pass
    assert list(tmp_path.glob("*damaged*")) == []


def _write(file: Path, name: str, count: int) -> None:
    with Cache(file) as cache:
        for n in range(count):
            cache.put_many({f"{name}{n}": n, f"shared{n}": n})


def _write_for_ever(file: Path) -> None:
    with Cache(file) as cache:
        for n in range(1_000_000):
            cache.put_many({f"a{n}": n, f"b{n}": n})


def test_processes_write_at_the_same_time(tmp_path: Path) -> None:
    file, spawn = tmp_path / "c", multiprocessing.get_context("spawn")
    workers = [spawn.Process(target=_write, args=(file, name, 60)) for name in "xyz"]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert [worker.exitcode for worker in workers] == [0, 0, 0]
    expected = {f"{name}{n}": n for name in ("x", "y", "z", "shared") for n in range(60)}
    with Cache(file) as cache:
        assert cache.get_many(expected) == expected


def test_a_kill_keeps_every_finished_write_whole(tmp_path: Path) -> None:
    file = tmp_path / "c"
    worker = multiprocessing.get_context("spawn").Process(target=_write_for_ever, args=(file,))
    worker.start()
    names = [f"{letter}{n}" for n in range(200) for letter in "ab"]
    with Cache(file) as cache:
        give_up = time.monotonic() + 60
        while len(cache.get_many(names)) < 40 and time.monotonic() < give_up:
            time.sleep(0.01)
    assert worker.pid is not None
    os.kill(worker.pid, signal.SIGKILL)
    worker.join()
    with Cache(file) as cache:
        found = cache.get_many(names)
        assert len(found) >= 40
        assert {k[1:] for k in found if k[0] == "a"} == {k[1:] for k in found if k[0] == "b"}
        cache.put_many({"after": 1})
        assert cache.get_many(["after"]) == {"after": 1}
        assert cache.note is None
