"""What was paid for stays known: across kills, across processes, without secrets, however many calls."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sqlite3
import subprocess
import sys
import threading
import tracemalloc
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from factory.contracts import Message, Reply, Request
from factory.errors import FactoryError
from factory.pairs.ledger import Ledger, Spent, key

QUESTION: tuple[Message, ...] = ({"role": "user", "content": "Why is the sky blue? 为什么"},)
REQUEST = Request(QUESTION, max_tokens=50, seed=3, schema={"type": "array"})
REPLY = Reply("Because of the air. 因为空气", "stop", 7, 11, "thoughts")


def call(ledger: Ledger, name: str, cost: float | None = 0.5) -> None:
    ledger.begin(name, endpoint="http://here/v1", model="m", request=REQUEST)
    ledger.done(name, REPLY, cost)


def test_an_answer_is_found_again_whole(tmp_path: Path) -> None:
    with Ledger(tmp_path / "new" / "ledger.sqlite") as ledger:
        assert ledger.find("a") is None
        call(ledger, "a")
        assert ledger.find("a") == REPLY
    with Ledger(tmp_path / "new" / "ledger.sqlite") as ledger:
        assert ledger.find("a") == REPLY
        assert ledger.find("b") is None
        assert (ledger.date("a") or "")[:2] == "20"
        assert ledger.date("b") is None


@pytest.mark.parametrize(
    "other",
    [
        {"messages": ({"role": "user", "content": "Why?"},)},
        {"max_tokens": 51},
        {"temperature": 0.9},
        {"seed": None},
        {"schema": None},
        {"sample": 1},
    ],
)
def test_every_part_of_a_request_makes_another_key(other: dict[str, object]) -> None:
    same = key("e", "m", REQUEST, 1)
    assert same == key("e", "m", replace(REQUEST), 1)
    assert key("e", "m", replace(REQUEST, **other), 1) != same  # type: ignore[arg-type]


def test_endpoint_model_and_template_make_another_key() -> None:
    keys = {
        key(endpoint, model, REQUEST, template)
        for endpoint in "ab"
        for model in "cd"
        for template in (1, 2)
    }
    assert len(keys) == 8


def test_a_call_in_flight_or_failed_is_no_answer(tmp_path: Path) -> None:
    with Ledger(tmp_path / "l") as ledger:
        ledger.begin("a", endpoint="e", model="m", request=REQUEST)
        assert ledger.find("a") is None
        ledger.failed("a", "overloaded", "the server's words")
        assert ledger.find("a") is None
        call(ledger, "a")
        assert ledger.find("a") == REPLY
        assert ledger.spent(["a"]) == Spent(2, 11, 7, 0.5)


def test_spent_counts_the_given_calls_only_and_unknown_is_not_zero(tmp_path: Path) -> None:
    with Ledger(tmp_path / "l") as ledger:
        call(ledger, "a")
        call(ledger, "b")
        call(ledger, "c", None)
        ledger.begin("d", endpoint="e", model="m", request=REQUEST)
        ledger.failed("d", "overloaded", "only thoughts", REPLY, 0.25)
        assert ledger.spent(["a", "b", "never asked"]) == Spent(2, 22, 14, 1.0)
        assert ledger.spent(["a", "c"]) == Spent(2, 22, 14, None)
        assert ledger.spent(["d"]) == Spent(1, 11, 7, 0.25)
        assert ledger.spent([]) == Spent(0, 0, 0, 0.0)
        assert ledger.spent().requests == 4
        many = [f"x{number}" for number in range(1_200)]
        for name in many:
            call(ledger, name)
        assert ledger.spent(many) == Spent(1_200, 13_200, 8_400, 600.0)


def test_facts_of_an_endpoint_are_remembered(tmp_path: Path) -> None:
    with Ledger(tmp_path / "l") as ledger:
        assert ledger.facts("e") is None
        ledger.remember("e", {"seed": True})
        ledger.remember("e", {"seed": False})
    with Ledger(tmp_path / "l") as ledger:
        assert ledger.facts("e") == {"seed": False}


def test_halves_of_characters_do_not_stop_the_ledger(tmp_path: Path) -> None:
    odd = Reply("cut \ud83d here", "stop", 3)
    with Ledger(tmp_path / "l") as ledger:
        ledger.begin("a", endpoint="e", model="m", request=REQUEST)
        ledger.done("a", odd, None)
        assert ledger.find("a") == odd


def write(file: Path, name: str, count: int) -> None:
    with Ledger(file) as ledger:
        for number in range(count):
            call(ledger, f"{name}{number}")


def test_processes_share_one_file(tmp_path: Path) -> None:
    file = tmp_path / "l"
    spawn = multiprocessing.get_context("spawn")
    workers = [spawn.Process(target=write, args=(file, name, 150)) for name in "abc"]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(60)
    assert [worker.exitcode for worker in workers] == [0, 0, 0]
    with Ledger(file) as ledger:
        assert ledger.spent().requests == 450


def test_many_may_begin_the_file_at_the_same_moment(tmp_path: Path) -> None:
    for number in range(5):
        file, together = tmp_path / str(number), threading.Barrier(8)

        def begin(name: str, file: Path = file, together: threading.Barrier = together) -> None:
            together.wait(10)
            write(file, name, 1)

        with ThreadPoolExecutor(8) as threads:
            list(threads.map(begin, "abcdefgh"))
        with Ledger(file) as ledger:
            assert ledger.spent().requests == 8


KILLED = """
import os, signal, sys
from pathlib import Path
from factory.contracts import Reply, Request
from factory.pairs.ledger import Ledger
with Ledger(Path(sys.argv[1])) as ledger:
    request = Request(({"role": "user", "content": "?"},), max_tokens=5)
    for name in "abc":
        ledger.begin(name, endpoint="e", model="m", request=request)
        if name != "c":
            ledger.done(name, Reply(name, "stop", 1, 1), 0.1)
    os.kill(os.getpid(), signal.SIGKILL)
"""


def test_a_kill_costs_only_the_call_in_flight(tmp_path: Path) -> None:
    file = tmp_path / "l"
    done = subprocess.run([sys.executable, "-c", KILLED, str(file)], check=False)
    assert done.returncode == -signal.SIGKILL
    with Ledger(file) as ledger:
        assert [bool(ledger.find(name)) for name in "abc"] == [True, True, False]
        assert ledger.spent().requests == 3


def test_memory_stays_flat(tmp_path: Path) -> None:
    def calls(numbers: range) -> None:
        for number in numbers:
            call(ledger, str(number))
            ledger.find(str(number))

    with Ledger(tmp_path / "l") as ledger:
        calls(range(2_500))  # Python itself keeps some 2,000 tuples for later
        tracemalloc.start()
        try:
            calls(range(2_500, 3_500))
            grown, _ = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
    assert grown < 50_000


def test_files_that_cannot_be_ledgers_are_clear_errors(tmp_path: Path) -> None:
    text = tmp_path / "text"
    text.write_text("this is a text file, and it is longer than a hundred characters " * 20)
    newer = tmp_path / "newer"
    with sqlite3.connect(newer) as database:
        database.execute("PRAGMA user_version = 99")
    database.close()
    for file, words in [
        (text, "cannot be read"),
        (newer, "a later release"),
        (tmp_path, "cannot be written"),
        (text / "below", "cannot be written"),
    ]:
        with pytest.raises(FactoryError, match=words) as caught, Ledger(file):
            pass
        assert caught.value.hint
    assert os.listdir(tmp_path)  # nothing was removed
