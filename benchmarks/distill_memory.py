"""Memory of distillation: 500, 5,000 and 20,000 pairs from the echo teacher, each in a process of its own.

    python benchmarks/distill_memory.py [COUNT ...]

Bar: flat, apart from the pairs themselves, which are compared with each new one and so stay in memory.
"""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from distilling import distilled, written

COUNTS = (500, 5_000, 20_000)


def one(count: int) -> None:
    """Distil in this process and print what it took."""
    started = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        pairs = written(distilled(Path(folder) / "home", count, "{type: echo}"))
    text = sum(len(m["content"].encode()) for row in pairs for m in row["messages"])
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    found = {"accepted": len(pairs), "peak": peak, "text": text / 2**20}
    print(json.dumps(found | {"seconds": time.monotonic() - started}))


def main(counts: list[int]) -> None:
    """A line for each size."""
    for count in counts:
        command = [sys.executable, __file__, "--one", str(count)]
        said = subprocess.run(command, check=True, capture_output=True, text=True).stdout
        found = json.loads(said.splitlines()[-1])
        print(
            f"{count:6} pairs wanted, {found['accepted']} accepted, {found['text']:.1f} MiB of text:"
            f" peak {found['peak']:.0f} MiB, {found['seconds']:.0f} s",
            flush=True,
        )


if __name__ == "__main__":
    if sys.argv[1:2] == ["--one"]:
        one(int(sys.argv[2]))
    else:
        main([int(count) for count in sys.argv[1:]] or list(COUNTS))
