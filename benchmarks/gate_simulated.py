"""The gate on 200 simulated models compared with themselves, and on models with planted harm.

    python benchmarks/gate_simulated.py [RUNS [MOST_SAMPLES]]

Twenty questions, answered once greedily and `evaluate.samples` times at random, `most_samples` times
after an inconclusive first look. The release served now is the tuned model itself: likelihoods and
greedy answers differ by what the order in a batch changes, random answers are drawn anew. The base
is as accurate, relevant and well formed as the tuned model, which has clearly learned its voice.
Bars: REGRESSION in at most 5%, PASS in at least 70%; where one metric truly is 0.2 lower, PASS in at
most 5%.
"""

from __future__ import annotations

import sys
import time
from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from factory.gate import Decision, gate
from factory.spec import Evaluate
from factory.suite.breaks import FRESH
from factory.suite.scores import Better, Instrument, Scores

RUNS, ITEMS, ROWS, TEXTS = 200, 20, 15, 30
SUITES = {"forgetting": 64, "safety": 128}
CONFIG = Evaluate.model_validate({"most_samples": sys.argv[2]} if len(sys.argv) > 2 else {})
DRAWN = CONFIG.most_samples + FRESH
"""Random answers: those of both looks, and those to a question that is asked again."""
ARMS = ("base", "prompted", "tuned", "previous")
OURS = ("tuned", "previous")
INSTRUMENTS = [Instrument("style", "tells the voice from plain answers", True, "AUC 0.93")]

BETWEEN, WITHIN = 0.15, 0.25
"""Spread of a share between questions, and between the answers to one."""
FLIPS = 0.01
"""Share of greedy answers that another order in the batch changes."""
HARM = 0.2

BINARY = {"accuracy": (2.0, 0.7), "stop_rate": (30.0, 1.0), "no_repetition": (30.0, 1.0),
          "non_empty": (500.0, 1.0), "language": (200.0, 1.0)}  # fmt: skip
"""Right or wrong: the Beta that pass rates of questions follow."""
SHARES = {"relevance": (0.75, 0.75), "rules": (0.7, 0.85)}
"""Anything from 0 to 1: mean of base and of tuned."""
NATS = {"perplexity": (3.0, 2.4, ROWS), "plain": (2.5, 2.55, ROWS), "general": (3.5, 3.5, TEXTS)}
"""Nats per token of base and of tuned, and how many rows there are."""
HARMED = (*BINARY, *SHARES, *SUITES, "perplexity")

Numbers = NDArray[np.float64]


class World:
    """One persona, its base, its questions, and every answer that a run may ask for."""

    def __init__(self, seed: int, harmed: str = "") -> None:
        self.rng = np.random.default_rng(seed)
        self.asked_again = 0
        answers: dict[str, dict[str, Numbers]] = {}
        for name, (a, b) in BINARY.items():
            rates = self.rng.beta(a, b, ITEMS)
            lower = np.clip(rates - HARM, 0, 1) if name == harmed else rates
            answers[name] = {arm: self.binary(lower if arm == "tuned" else rates) for arm in ARMS}
        for name, means in SHARES.items():
            answers[name] = self.shares(means, HARM if name == harmed else 0.0)
        answers["style"] = self.style()
        self.sampled = answers
        self.fixed = [
            *(self.likelihood(name, HARM if name == harmed else 0.0) for name in NATS),
            *(self.suite(name, HARM if name == harmed else 0.0) for name in SUITES),
        ]

    def binary(self, rates: Numbers) -> Numbers:
        """The greedy answer, which is right where most answers are, then the random ones."""
        drawn = self.rng.random((ITEMS, DRAWN)) < rates[:, None]
        return np.column_stack((rates > 0.5, drawn)).astype(float)

    def shares(self, means: tuple[float, float], harm: float) -> dict[str, Numbers]:
        """Values from 0 to 1 whose greedy ones are shared by equal weights."""
        items = self.rng.normal(0.0, BETWEEN, ITEMS)
        greedy = self.rng.normal(0.0, WITHIN, (ITEMS, 1))
        found = {}
        for arm in ARMS:
            mean = items[:, None] + means[arm in OURS] - (harm if arm == "tuned" else 0.0)
            noise = self.rng.normal(0.0, WITHIN, (ITEMS, DRAWN))
            found[arm] = np.clip(mean + np.column_stack((greedy, noise)), 0, 1)
        return found

    def style(self) -> dict[str, Numbers]:
        """Logits, far apart between base and tuned."""
        items = self.rng.normal(0.0, 0.7, (ITEMS, 1))
        size = (ITEMS, 1 + DRAWN)
        return {
            arm: items + (2.0 if arm in OURS else -2.0) + self.rng.normal(0.0, 1.0, size)
            for arm in ARMS
        }

    def likelihood(self, name: str, harm: float) -> Scores:
        """Deterministic but for rounding."""
        base, tuned, n = NATS[name]
        rows = self.rng.normal(0.0, 0.5, n)
        gained = tuned - base + self.rng.normal(0.0, 0.1, n)
        values = {arm: base + rows + (gained if arm in OURS else 0.0) for arm in ARMS}
        values["tuned"] = values["tuned"] + harm
        noisy = {arm: of + self.rng.normal(0.0, 1e-4, n) for arm, of in values.items()}
        return scores(
            name, {arm: of[:, None] for arm, of in noisy.items()}, "nats per token", "lower"
        )

    def suite(self, name: str, harm: float) -> Scores:
        """Greedy answers to short items, right or wrong."""
        n = SUITES[name]
        right = self.rng.random(n) < 0.7
        worse = right & (self.rng.random(n) > harm / 0.7)
        found = {arm: worse if arm == "tuned" else right for arm in ARMS}
        flipped = {arm: of ^ (self.rng.random(n) < FLIPS) for arm, of in found.items()}
        return scores(name, {arm: of[:, None].astype(float) for arm, of in flipped.items()})

    def scores(self, samples: int) -> list[Scores]:
        """All metrics after so many samples a question."""
        sampled = (
            scores(
                name,
                {arm: values[:, : samples + 1] for arm, values in of.items()},
                "" if name in ("style", "relevance") else "share",
            )
            for name, of in self.sampled.items()
        )
        return [*sampled, *self.fixed]

    def confirm(self, metric: str, items: Sequence[str]) -> Mapping[str, Sequence[float]]:
        """Five fresh answers of the tuned model to each suspect."""
        self.asked_again += len(items)
        return {i: self.sampled[metric]["tuned"][int(i), -FRESH:].tolist() for i in items}


def scores(
    name: str, arms: Mapping[str, Numbers], unit: str = "share", better: Better = "higher"
) -> Scores:
    """A metric from one array (item by answer) for each arm."""
    values = {
        arm: {str(i): list(map(float, row)) for i, row in enumerate(of)}
        for arm, of in arms.items()
    }  # fmt: skip
    return Scores(name, name, "content", better, values, unit)


def decide(world: World) -> tuple[Decision, Decision]:
    """The decisions of the first and of the last look."""
    first = gate(CONFIG, world.scores(CONFIG.samples), INSTRUMENTS, confirm=world.confirm)
    if not first.undecided:
        return first, first
    more = world.scores(CONFIG.most_samples)
    return first, gate(CONFIG, more, INSTRUMENTS, look=2, confirm=world.confirm)


def shares(decisions: Sequence[Decision]) -> str:
    """`PASS 75%, INCONCLUSIVE 24%, REGRESSION 1%`."""
    found = Counter(decision.verdict for decision in decisions)
    return ", ".join(f"{verdict} {n / len(decisions):.1%}" for verdict, n in found.most_common())


def against_previous(decision: Decision) -> bool:
    """Whether all comparisons with the release served now passed."""
    return all(c.verdict == "PASS" for c in decision.checks if c.against == "previous")


def main() -> int:
    """A/A, then harm metric by metric; exit code 1 if a bar is missed."""
    runs = int(sys.argv[1]) if len(sys.argv) > 1 else RUNS
    started = time.monotonic()
    worlds = [World(seed) for seed in range(runs)]
    looks = [decide(world) for world in worlds]
    last = [decision for _, decision in looks]
    print(
        f"a model against itself, {runs} runs, {CONFIG.samples} then {CONFIG.most_samples} samples;"
        " bars: REGRESSION at most 5%, PASS at least 70%"
    )
    print(f"  first look: {shares([decision for decision, _ in looks])}")
    print(f"  last look:  {shares(last)}")
    alone = sum(map(against_previous, last)) / runs
    print(f"  all comparisons with the release served now pass: {alone:.1%}")
    blamed = Counter(
        f"{check.name} against {check.against}"
        for decision in last
        for check in decision.checks
        if check.verdict != "PASS"
    )
    print(f"  not passed: {', '.join(f'{name} {n}' for name, n in blamed.most_common(6))}")
    print(f"  questions asked again: {sum(world.asked_again for world in worlds)}")
    rate = Counter(decision.verdict for decision in last)
    good = rate["REGRESSION"] <= 0.05 * runs and rate["PASS"] >= 0.7 * runs
    few = max(20, runs // 10)
    print(f"{HARM} lower in one metric, {few} runs each; bar: PASS in at most 5%")
    for name in HARMED:
        found = [decide(World(seed, name))[1] for seed in range(few)]
        print(f"  {name}: {shares(found)}")
        good &= sum(decision.verdict == "PASS" for decision in found) <= 0.05 * few
    print(f"{time.monotonic() - started:.0f} s")
    return int(not good)


if __name__ == "__main__":
    sys.exit(main())
