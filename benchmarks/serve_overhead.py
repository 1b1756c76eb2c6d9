"""What a gateway adds to its engine: ours and LiteLLM's proxy beside the engine alone, in one run.

    python benchmarks/serve_overhead.py [--engine paced|vllm] [--litellm FOLDER/bin/litellm]

The gateway that is asked has core 0 for itself, engine and load share core 1; the three take turns. `paced`
is an engine without a model that takes 5 ms for a token, and 21 ms when 64 answers run at once. `vllm` is a
real one with the shipped starter. A forwarder that does nothing but pass on bytes shows what standing in
between costs anybody on this machine. LiteLLM lives in an environment of its own (`pip install
'litellm[proxy]'`);
without it our figures are printed alone.

Bars: time to the first word p50 at most 2 ms more, p99 at most 10 ms more, with 1 and 64 streams; at least
0.97 of the tokens a second; at most a fifth of what LiteLLM adds.
"""

from __future__ import annotations

import argparse
import shutil
import sys
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from load import Load
from serving import (
    PATH,
    direct,
    engine,
    forwarder,
    gateway,
    litellm,
    load,
    question,
    share,
    vllm,
)

BAR_P50, BAR_P99, BAR_TOKENS, BAR_PEER = 2.0, 10.0, 0.97, 0.2
QUESTION = "How do I keep basil alive on a window sill?"


@dataclass
class Measured:
    """What was seen of one target."""

    first: list[float] = field(default_factory=list)
    events: int = 0
    seconds: float = 0.0
    failed: int = 0

    @property
    def p50(self) -> float:
        """Of the time to the first word, in ms."""
        return share(self.first, 0.5)

    @property
    def p99(self) -> float:
        """Of the time to the first word, in ms."""
        return share(self.first, 0.99)

    @property
    def rate(self) -> float:
        """Events a second."""
        return self.events / self.seconds


def measure(targets: dict[str, Load], wanted: dict[str, Any], rounds: int) -> dict[str, Measured]:
    """Load the targets in turn, so that a slow minute is everybody's."""
    found = {name: Measured() for name in targets}
    for number in range(rounds + 1):
        for name, target in targets.items():
            warming = number == 0
            seen = load(replace(target, **{**wanted, "seconds": 2} if warming else wanted))
            if not warming:
                one = found[name]
                one.first += seen.first
                one.events += seen.events
                one.seconds += seen.seconds
                one.failed += seen.failed
    return found


def report(streams: int, found: dict[str, Measured]) -> bool:
    """Print what was seen with so many streams; whether our bars are kept."""
    alone, ours, peer = found["direct"], found["gateway"], found.get("litellm")
    print(
        f"{streams} streams, {len(ours.first)} answers; p50 and p99 of the time to the first word"
    )
    print(
        f"  engine alone  {alone.p50:.2f} and {alone.p99:.2f} ms; {alone.rate:.0f} tokens a second"
    )
    passed = found["forwarder"]
    print(
        f"  bytes only    {passed.p50 - alone.p50:+.2f} and {passed.p99 - alone.p99:+.2f} ms;"
        f" {passed.rate / alone.rate:.3f} of the tokens"
    )
    p50, p99, rate = ours.p50 - alone.p50, ours.p99 - alone.p99, ours.rate / alone.rate
    bars = f"bars {BAR_P50:.0f}, {BAR_P99:.0f}, {BAR_TOKENS}"
    print(f"  our gateway   {p50:+.2f} and {p99:+.2f} ms; {rate:.3f} of the tokens ({bars})")
    good = p50 <= BAR_P50 and p99 <= BAR_P99 and rate >= BAR_TOKENS and not ours.failed
    if peer is not None:
        their50, their99 = peer.p50 - alone.p50, peer.p99 - alone.p99
        theirs = f"{their50:+.2f} and {their99:+.2f} ms; {peer.rate / alone.rate:.3f} of the tokens"
        print(f"  LiteLLM       {theirs}; {peer.failed} failed")
        print(f"  overhead      {p50 / their50:.2f} of LiteLLM's (bar {BAR_PEER})")
        good &= p50 <= BAR_PEER * their50
    return good


def main() -> int:
    """Print all figures; 1 if a bar is missed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--engine", choices=["paced", "vllm"], default="paced")
    parser.add_argument("--litellm", type=Path, default=shutil.which("litellm"))
    parser.add_argument("--seconds", type=float, default=5)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    with ExitStack() as stack:
        behind = vllm() if options.engine == "vllm" else engine("paced")
        endpoint, _ = stack.enter_context(behind)
        body = question(QUESTION, stream=True, temperature=0)
        port = urlsplit(endpoint.base_url).port or 0
        alone = Load(PATH, direct(body), port=port, headers=endpoint.headers)
        targets = {
            "direct": alone,
            "forwarder": replace(alone, port=stack.enter_context(forwarder(endpoint))),
            "gateway": Load(PATH, body, port=stack.enter_context(gateway(endpoint))[0]),
        }
        if options.litellm:
            theirs = stack.enter_context(litellm(options.litellm, endpoint))
            targets["litellm"] = Load(PATH, body, port=theirs)
        else:
            print("LiteLLM is not installed: name it with --litellm FOLDER/bin/litellm")
        good = True
        for streams, tokens in ((1, 32), (64, 64)):
            those = {
                name: replace(target, body={**target.body, "max_tokens": tokens})
                for name, target in targets.items()
            }
            wanted = {"connections": streams, "spread": 1.3, "seconds": options.seconds}
            good &= report(streams, measure(those, wanted, options.rounds))
    return int(not good)


if __name__ == "__main__":
    sys.exit(main())
