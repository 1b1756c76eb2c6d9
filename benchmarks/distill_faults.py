"""200 pairs from a server where 30% of the calls go wrong, in nineteen ways.

    python benchmarks/distill_faults.py [SEED ...]

Bars: exactly 200 accepted, no call paid twice (no request was answered a second time), no answer
lost (the ledger holds every answer that the server gave). Prints what was injected and rejected.
"""

from __future__ import annotations

import sqlite3
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

from distilling import at, distilled, written

from tests.teachers.fault_server import FAULTS, Plan, counts, process

COUNT, RATE = 200, 0.3


def kept(home: Path) -> int:
    """Answers in the ledger."""
    with sqlite3.connect(home / "factory.sqlite") as ledger:
        return int(ledger.execute("SELECT count(*) FROM calls WHERE state = 'ok'").fetchone()[0])


def measure(seed: int, folder: Path) -> bool:
    """One whole stage; whether all bars are kept."""
    started = time.monotonic()
    with process(Plan(rate=RATE, delay=0.05, seed=seed)) as url:
        pairs = distilled(folder, COUNT, at(url, timeout=1.5))
        seen = counts(url)
    accepted, report = len(written(pairs)), pairs.report()
    injected = Counter(seen["injected"])
    right = injected.pop("none", 0)
    lost = seen["different"] - kept(folder)
    print(
        f"seed {seed}: {accepted} accepted of {COUNT}; {seen['requests']} requests, of which"
        f" {injected.total()} went wrong in {len(injected)} of {len(FAULTS)} ways and {right} did"
        f" not; {seen['again']} paid twice; {lost} answers lost; {time.monotonic() - started:.0f} s"
    )
    print(f"  injected: {', '.join(f'{name} {n}' for name, n in sorted(injected.items()))}")
    print(f"  rejected: {', '.join(f'{name} {n}' for name, n in report['rejected'].items())}")
    return accepted == COUNT and not seen["again"] and not lost


def main() -> int:
    """One line per seed; exit code 1 if a bar is missed."""
    seeds = [int(text) for text in sys.argv[1:]] or [1, 2, 3]
    with tempfile.TemporaryDirectory() as folder:
        good = [measure(seed, Path(folder) / str(seed)) for seed in seeds]
    return int(not all(good))


if __name__ == "__main__":
    sys.exit(main())
