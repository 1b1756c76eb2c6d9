"""Ten kinds of broken models, three seeds each, beside the healthy model of the same seed.

    python benchmarks/gate_planted.py [--folder FOLDER] [--show] [--first SEED]

Bars: PASS in none; REGRESSION or INVALID in at least 28 of 30. Trains on the starter; about an hour on
two cores the first time.
"""

from __future__ import annotations

import sys
from collections import Counter

from gate_models import Models
from gate_trials import options, say, verdict


def main() -> int:
    """Print every verdict and the counts; exit code 1 if a bar is missed."""
    given = options(__doc__)
    models = Models(given.folder, given.persona)
    counts: Counter[str] = Counter()
    for seed in range(given.first, given.first + 3):
        healthy = models.tuned("healthy", seed)
        for kind, make in models.planted(seed):
            found = verdict(models, f"planted {kind} {seed}", make, healthy, seed)
            say(f"{kind}, seed {seed}", found, given.show)
            counts[found["verdict"]] += 1
    caught = counts["REGRESSION"] + counts["INVALID"]
    print(
        f"of {counts.total()} planted regressions: {dict(counts)}; caught {caught} (bar 28 of 30)"
    )
    return int(counts["PASS"] > 0 or caught < 28)


if __name__ == "__main__":
    sys.exit(main())
