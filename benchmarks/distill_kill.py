"""Kills a distillation at 25 random moments with SIGKILL, each time starting it again.

    python benchmarks/distill_kill.py

Bars: the pairs are those of a run that was left alone, byte for byte; no more calls are repeated
than were in flight when the kills came. A run that ends before the next kill is checked, and another
one begins.
"""

from __future__ import annotations

import random
import sqlite3
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from distilling import at, distilled

from tests.teachers.fault_server import Plan, counts, process

COUNT, KILLS, DELAY = 200, 25, 0.3
LATEST = 4.0
"""Seconds after its start when a run is killed at the latest."""


def start(home: Path, url: str) -> subprocess.Popen[bytes]:
    """A distillation in a process of its own."""
    return subprocess.Popen([sys.executable, __file__, str(home), url])


def rows(home: Path) -> bytes:
    """The pairs that were written."""
    (file,) = home.glob("store/distill/*/rows.jsonl")
    return file.read_bytes()


def in_flight(home: Path) -> int:
    """Calls that were sent and not answered when the process ended."""
    file = home / "factory.sqlite"
    if not file.is_file():
        return 0
    with sqlite3.connect(file) as ledger:
        if not ledger.execute("SELECT 1 FROM sqlite_master WHERE name = 'calls'").fetchone():
            return 0
        found = ledger.execute("SELECT count(*) FROM calls WHERE state = 'in_flight'")
        return int(found.fetchone()[0])


def wait(running: subprocess.Popen[bytes], seconds: float | None = None) -> bool:
    """Whether a run ended by itself in this time.

    Raises:
        SystemExit: If it failed.
    """
    try:
        code = running.wait(seconds)
    except subprocess.TimeoutExpired:
        return False
    if code:
        raise SystemExit(f"a run ended with code {code}")
    return True


def main() -> int:
    """Print the counts; exit code 1 if a bar is missed."""
    chance, kills, flying, again, equal = random.Random(1), 0, 0, 0, 0
    with tempfile.TemporaryDirectory() as folder:
        with process(Plan(delay=DELAY)) as url:
            started = time.monotonic()
            wait(start(Path(folder) / "whole", url))
            print(
                f"left alone: {counts(url)['requests']} calls, {time.monotonic() - started:.0f} s"
            )
        whole = rows(Path(folder) / "whole")
        stories = 0
        while kills < KILLS:
            stories += 1
            home = Path(folder) / f"killed{stories}"
            with process(Plan(delay=DELAY)) as url:
                while True:
                    running = start(home, url)
                    left = kills < KILLS
                    if wait(running, chance.uniform(0, LATEST) if left else None):
                        break
                    running.kill()
                    running.wait()
                    kills += 1
                    flying += in_flight(home)
                time.sleep(2 * DELAY)
                again += counts(url)["again"]
            equal += rows(home) == whole
    print(
        f"{kills} kills in {stories} runs: {equal} of {stories} ended with the same {COUNT} pairs;"
        f" {again} calls repeated, {flying} were in flight"
    )
    return int(equal < stories or again > flying)


if __name__ == "__main__":
    if len(sys.argv) == 3:
        distilled(Path(sys.argv[1]), COUNT, at(sys.argv[2]))
        sys.exit(0)
    sys.exit(main())
