"""The swap drill: 16 streams go on and on while a name is promoted and rolled back ten times.

    python benchmarks/serve_swap.py [--engine transformers|vllm] [--streams 16] [--swaps 10]

Two releases of one persona with different weights take turns behind a live endpoint. Every stream asks the
same question greedily, again and again, so that each release has exactly one right answer: a stream has
failed if it is not a 200, is truncated if it ends without a finish reason and `[DONE]`, and is mixed if its
text is not the whole answer of the release that its header names. With `vllm` a second persona on the same
base makes the releases adapters in one engine.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import sys
import tempfile
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))
TOKENS = 48
BODY = {
    "model": "one",
    "messages": [{"role": "user", "content": "Tell me about tea."}],
    "temperature": 0,
    "max_tokens": TOKENS,
    "stream": True,
}


@dataclass
class Tally:
    """What became of the streams."""

    failed: list[str] = field(default_factory=list)
    truncated: int = 0
    answers: dict[str, Counter[str]] = field(default_factory=dict)
    """Texts by the release that the header names."""

    @property
    def mixed(self) -> int:
        """Answers that are not their release's one answer."""
        return sum(sum(texts.values()) - max(texts.values()) for texts in self.answers.values())


async def _stream(session: Any, url: str, tally: Tally, over: threading.Event) -> None:
    while not over.is_set():
        try:
            async with session.post(f"{url}/v1/chat/completions", json=BODY) as response:
                raw = (await response.read()).decode()
                if response.status != 200:
                    tally.failed.append(f"{response.status}: {raw[:100]}")
                    continue
                release = response.headers["x-persona-factory-release"]
        except Exception as error:
            tally.failed.append(f"{type(error).__name__}: {error}")
            continue
        chunks = [json.loads(x[6:]) for x in raw.split("\n") if x.startswith("data: {")]
        if any("error" in c for c in chunks):
            tally.failed.append(raw[-200:])
            continue
        reasons = [c["choices"][0]["finish_reason"] for c in chunks if c["choices"]]
        if not raw.endswith("data: [DONE]\n\n") or not reasons or reasons[-1] is None:
            tally.truncated += 1
            continue
        text = "".join(
            c["choices"][0]["delta"].get("content") or "" for c in chunks if c["choices"]
        )
        tally.answers.setdefault(release, Counter())[text] += 1


def _ask_all(url: str, count: int, tally: Tally, over: threading.Event) -> None:
    import aiohttp

    async def run() -> None:
        limit = aiohttp.TCPConnector(limit=0)
        async with aiohttp.ClientSession(
            connector=limit, timeout=aiohttp.ClientTimeout(300)
        ) as session:
            await asyncio.gather(*(_stream(session, url, tally, over) for _ in range(count)))

    asyncio.run(run())


def main() -> None:
    """Print the counts."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--engine", default="transformers", choices=["transformers", "vllm"])
    parser.add_argument("--streams", type=int, default=16)
    parser.add_argument("--swaps", type=int, default=10)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        os.environ |= {
            "FACTORY_HOME": place,
            "HF_HUB_OFFLINE": "1",
            "TRANSFORMERS_VERBOSITY": "error",
        }
        from factory.releases import point, promoted, roll_back
        from tests.serve.conftest import endpoint
        from tests.serve.test_sharing import released
        from tests.tiny import tiny_base

        root = Path(place)
        base = tiny_base("llama", root / "base")
        for number, seed in ((1, 1), (2, 2)):
            (folder := root / f"made{number}").mkdir()
            released(root, base, folder, "one", seed, number=number)
        names = ["one"]
        if options.engine == "vllm":
            released(root, base, root / "made1", "two", 7)
            names.append("two")
        point(root, "one", 1)
        tally, over, told = Tally(), threading.Event(), list[str]()
        with endpoint(root, *names, engine=options.engine, announce=told.append) as url:
            asking = threading.Thread(target=_ask_all, args=(url, options.streams, tally, over))
            asking.start()
            began, took = time.monotonic(), []
            for k in range(options.swaps):
                time.sleep(1)
                swapped = time.monotonic()
                if k % 2:
                    roll_back(root, "one")
                else:
                    point(root, "one", 3 - (promoted(root, "one") or 1))
                wanted = f"one@{promoted(root, 'one')} answers now"
                while sum(wanted in line for line in told) <= k // 2:
                    time.sleep(0.02)
                took.append(time.monotonic() - swapped)
            time.sleep(1)
            over.set()
            asking.join()
            seconds = time.monotonic() - began
    done = {release: sum(texts.values()) for release, texts in sorted(tally.answers.items())}
    print(
        f"{options.engine}: {options.streams} streams through {options.swaps} swaps in {seconds:.0f} s:"
    )
    print("  " + ", ".join(f"{count} answers of {release}" for release, count in done.items()))
    print(
        f"  a swap takes {min(took):.1f} to {max(took):.1f} s from the command to the first new answer"
    )
    print(
        f"  {len(tally.failed)} failed, {tally.truncated} truncated, {tally.mixed} mixed (bar 0, 0, 0)"
    )
    for line in tally.failed[:3]:
        print(f"    {line}")
    alike = len({texts.most_common(1)[0][0] for texts in tally.answers.values()}) < 2
    if alike:
        print("  both releases say the same, so this proved nothing")
    raise SystemExit(bool(alike or tally.failed or tally.truncated or tally.mixed))


if __name__ == "__main__":
    main()
