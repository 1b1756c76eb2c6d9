"""How long `factory --help` takes, and that it imports no torch.

Bar: 0.25 s, the median of ten runs. Python's own bare start is printed beside it, because it is the
part nobody can save.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import time
from pathlib import Path

BAR = 0.25
RUNS = 10
HEAVY = ("torch", "transformers", "trl", "peft", "accelerate", "datasets", "vllm")


def seconds(command: list[str]) -> list[float]:
    """Wall time of each run, after one that warms the disk cache."""
    times = []
    for _ in range(RUNS + 1):
        started = time.perf_counter()
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        times.append(time.perf_counter() - started)
    return times[1:]


def imported() -> list[str]:
    """Which heavy libraries `factory --help` imports."""
    code = (
        "import sys; from factory.cli import main\n"
        "sys.argv = ['factory', '--help']\n"
        "try: main()\n"
        f"except SystemExit: print(*(n for n in {HEAVY!r} if n in sys.modules), file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    return done.stderr.split()


def main() -> int:
    """Print the figures; 1 if the bar is missed."""
    factory = Path(sys.executable).with_name("factory")
    if not factory.exists():
        print(f"no `factory` beside {sys.executable}: run this with .venv/bin/python")
        return 1
    help_times = seconds([str(factory), "--help"])
    bare_times = seconds([sys.executable, "-c", ""])
    found = imported()
    median = statistics.median(help_times)
    print(f"factory --help   median {median:.3f} s, fastest {min(help_times):.3f} s  (bar {BAR} s)")
    print(
        f"bare python      median {statistics.median(bare_times):.3f} s,"
        f" fastest {min(bare_times):.3f} s"
    )
    print(f"heavy imports    {', '.join(found) or 'none'}")
    return int(median > BAR or bool(found))


if __name__ == "__main__":
    sys.exit(main())
