"""How many small calls a second our gateway answers on one core, with the echo engine behind it.

    python benchmarks/serve_small_calls.py [--seconds 3] [--rounds 5]

The gateway has a core for itself; the echo engine and 32 connections that ask again at once share another.
Nothing is streamed. Bar: 1,500 a second, the median of the rounds.
"""

from __future__ import annotations

import argparse
import statistics
import sys

from load import Load
from serving import PATH, direct, engine, gateway, load, processor, question, share

BAR = 1500
CONNECTIONS = 32


def main() -> int:
    """Print the figures; 1 if the bar is missed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=3)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    body = question("Good morning, how are you?", max_tokens=16)
    common = {"connections": CONNECTIONS, "seconds": options.seconds}
    with engine("echo") as (endpoint, _), gateway(endpoint) as (port, pid):
        here = Load(PATH, body, port=port, **common)
        there = Load(PATH, direct(body), uds=str(endpoint.uds), headers=endpoint.headers, **common)
        load(here)  # warms both
        alone = load(there, core=0)
        rates, times, computed, failed = [], [], 0.0, 0
        for _ in range(options.rounds):
            before = processor(pid)
            seen = load(here)
            computed += processor(pid) - before
            rates.append(len(seen.whole) / seen.seconds)
            times += seen.whole
            failed += seen.failed
    median = statistics.median(rates)
    print(f"gateway      {median:.0f} calls a second, best round {max(rates):.0f} (bar {BAR})")
    print(
        f"             {1e6 * computed / len(times):.0f} us of processor time a call; {failed} failed"
    )
    print(
        f"             p50 {share(times, 0.5):.1f} ms, p99 {share(times, 0.99):.1f} ms at {CONNECTIONS}"
    )
    print(f"echo engine  {len(alone.whole) / alone.seconds:.0f} calls a second without a gateway")
    return int(median < BAR or failed > 0)


if __name__ == "__main__":
    sys.exit(main())
