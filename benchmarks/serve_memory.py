"""Memory of personas that share one vLLM, beside an engine for each.

    python benchmarks/serve_memory.py [--home out] [NAME NAME ...]

Serves promoted releases below `--home` (by default `concise` and `humorous`, built before) through the same
parts as `factory serve`, asks each once, and adds up the proportional set size of the engines' processes.
"""

from __future__ import annotations

import argparse
import os
import re
import sys
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))


def proportional_mib(parent: int) -> tuple[int, float]:
    """Processes of vLLM below a process, and their memory in MiB; what they share counts once."""
    parents = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            parents[int(stat.parent.name)] = int(stat.read_text().rpartition(")")[2].split()[1])
        except OSError:
            continue
    found, total = 0, 0.0
    for pid in parents:
        above = pid
        while above not in (0, 1, parent):
            above = parents.get(above, 0)
        if above != parent or pid == parent:
            continue
        try:
            rolled = Path(f"/proc/{pid}/smaps_rollup").read_text()
        except OSError:
            continue
        if size := re.search(r"^Pss:\s+(\d+) kB", rolled, re.MULTILINE):
            found, total = found + 1, total + int(size[1]) / 1024
    return found, total


def served(home: Path, names: Sequence[str]) -> tuple[int, float]:
    """Processes and MiB of the engines while these names are served by one endpoint."""
    import httpx

    from tests.serve.conftest import endpoint

    with endpoint(home, *names, engine="vllm", announce=lambda line: print(f"  {line}")) as url:
        for name in names:
            body = {
                "model": name,
                "messages": [{"role": "user", "content": "How do I sleep better?"}],
            }
            answer = httpx.post(f"{url}/v1/chat/completions", json=body, timeout=120)
            answer.raise_for_status()
            print(f"  {name}: {answer.json()['choices'][0]['message']['content']}")
        return proportional_mib(os.getpid())


def main() -> None:
    """Print both and the ratio."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", default=["concise", "humorous"])
    parser.add_argument("--home", type=Path, default=ROOT / "out")
    options = parser.parse_args()
    os.environ |= {"HF_HUB_OFFLINE": "1", "FACTORY_HOME": str(options.home)}
    processes, together = served(options.home, options.names)
    alone = [served(options.home, [name]) for name in options.names]
    apart = sum(mib for _, mib in alone)
    print(
        f"{len(options.names)} personas in one engine: {together:.0f} MiB in {processes} processes;"
        f" in one each: {apart:.0f} MiB in {sum(count for count, _ in alone)}; {together / apart:.2f}"
    )


if __name__ == "__main__":
    main()
