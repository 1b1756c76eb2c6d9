"""Harmless changes (other seed, one epoch fewer, other rank) beside the healthy model, five seeds each.

    python benchmarks/gate_harmless.py [--folder FOLDER] [--show] [--first SEED]

Bar: REGRESSION in at most 1 of 15.
"""

from __future__ import annotations

import sys
from collections import Counter

from gate_models import Models
from gate_trials import options, say, verdict


def main() -> int:
    """Print every verdict and the counts; exit code 1 if the bar is missed."""
    given = options(__doc__)
    models = Models(given.folder, given.persona)
    counts: Counter[str] = Counter()
    for seed in range(given.first, given.first + 5):
        healthy = models.tuned("healthy", seed)
        for kind, make in models.harmless(seed):
            found = verdict(models, f"harmless {kind} {seed}", make, healthy, seed)
            say(f"{kind}, seed {seed}", found, given.show)
            counts[found["verdict"]] += 1
    print(f"of {counts.total()} harmless changes: {dict(counts)}; bar: REGRESSION at most 1 of 15")
    return int(counts["REGRESSION"] > 1)


if __name__ == "__main__":
    sys.exit(main())
