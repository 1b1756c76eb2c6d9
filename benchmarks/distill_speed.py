"""200 calls and 200 pairs against a local server that answers after a second, 16 at a time.

    python benchmarks/distill_speed.py

Prints wall time beside the ideal (calls by 16, a second each; bar: 0.9) and processor time per call
(bar: 3 ms); the server is a process of its own. The pairs go through the whole stage, so their
figures contain planning, checks and the rounds that make up for what was rejected. What a process
loads once (libraries, the model that tells languages apart) is loaded before the clock starts.
"""

from __future__ import annotations

import asyncio
import math
import resource
import sys
import tempfile
import time
from pathlib import Path

from distilling import at, distilled, quiet, written

from factory.contracts import Message, Request
from factory.pairs.budget import Budget, Prices
from factory.pairs.calls import Caller
from factory.pairs.ledger import Ledger
from factory.rows.language import mismatch
from factory.stages import distill, gather  # noqa: F401
from factory.teachers.openai import OpenAITeacher
from tests.teachers.fault_server import Plan, counts, process

COUNT, AT_ONCE, SECONDS = 200, 16, 1.0
BAR_WALL, BAR_CPU = 0.9, 3.0
PROMPT = "You are a plain assistant, and you answer in a few short sentences. " * 20


def processor() -> float:
    """Seconds this process has computed."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def request(number: int) -> Request:
    """A question of usual size."""
    messages: tuple[Message, ...] = (
        {"role": "system", "content": PROMPT},
        {"role": "user", "content": f"What is the {number}th thing to know about kettles?"},
    )
    return Request(messages, max_tokens=200, seed=number)


async def calls(url: str, file: Path, count: int) -> tuple[float, float]:
    """Wall seconds of so many calls, and their processor seconds."""
    with Ledger(file) as ledger:
        async with OpenAITeacher(f"{url}/v1", "m") as teacher:
            caller = Caller(
                teacher,
                ledger,
                Budget(max_usd=1e6, prices=Prices(1.0, 1.0)),
                concurrency=AT_ONCE,
                template_version=1,
                progress=quiet,
            )
            computed, started = processor(), time.monotonic()
            await asyncio.gather(*[caller.ask(request(number)) for number in range(count)])
            return time.monotonic() - started, processor() - computed


def report(what: str, sent: int, wall: float, ideal: float, computed: float) -> bool:
    """Print one line; whether both bars are kept."""
    share, each = ideal / wall, computed / sent * 1000
    print(
        f"{what}: {sent} calls, {wall:.1f} s, ideal {ideal:.1f} s: {share:.2f} (bar {BAR_WALL});"
        f" {each:.2f} ms of processor time a call (bar {BAR_CPU:.0f})"
    )
    return share >= BAR_WALL and each <= BAR_CPU


def main() -> int:
    """Print both lines; exit code 1 if a bar is missed."""
    with tempfile.TemporaryDirectory() as folder:
        with process(Plan(delay=SECONDS)) as url:
            wall, computed = asyncio.run(calls(url, Path(folder) / "ledger.sqlite", COUNT))
            ideal = math.ceil(COUNT / AT_ONCE) * SECONDS
            good = report("calls alone", COUNT, wall, ideal, computed)
        with process(Plan(delay=SECONDS)) as url:
            mismatch("What is loaded once is loaded here.", "en")
            computed, started = processor(), time.monotonic()
            pairs = distilled(Path(folder) / "home", COUNT, at(url))
            wall, computed = time.monotonic() - started, processor() - computed
            sent = counts(url)["requests"]
            good &= report(f"{len(written(pairs))} pairs", sent, wall, sent / AT_ONCE, computed)
    return int(not good)


if __name__ == "__main__":
    sys.exit(main())
