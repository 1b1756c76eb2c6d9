"""The gate on a model beside itself, 20 times with other random numbers.

    python benchmarks/gate_same.py [--folder FOLDER] [--show] [--first RUN]

Bars: REGRESSION in at most 5%, PASS in at least 70% after the escalation. The same with simulated
scores, 200 times: `gate_simulated.py`.
"""

from __future__ import annotations

import sys
from collections import Counter

from gate_models import Models
from gate_trials import options, say, verdict

RUNS = 20


def main() -> int:
    """Print every verdict and the counts; exit code 1 if a bar is missed."""
    given = options(__doc__)
    models = Models(given.folder, given.persona)
    counts: Counter[str] = Counter()
    healthy = models.tuned("healthy", 1)
    for run in range(given.first, given.first + RUNS):
        found = verdict(models, f"same {run}", lambda: healthy, healthy, 1000 + run)
        say(f"run {run}", found, given.show)
        counts[found["verdict"]] += 1
    print(f"of {RUNS} runs of a model beside itself: {dict(counts)}; bars: at most 1, at least 14")
    return int(counts["REGRESSION"] > RUNS * 0.05 or counts["PASS"] < RUNS * 0.7)


if __name__ == "__main__":
    sys.exit(main())
