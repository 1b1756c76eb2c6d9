"""A whole evaluation of `concise` on the starter: 20 questions, three arms and A/A, nothing cached.

    python benchmarks/evaluate_time.py [--folder FOLDER]

Bar: 90 s on two cores, from the start of the process. Trains the healthy model first, if it is not in
the folder; that is not counted.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

from gate_models import Models
from gate_trials import options

BAR = 90.0
SCRIPT = """
import sys
from pathlib import Path
from gate_models import Models
from gate_trials import verdict
models = Models(Path(sys.argv[1]))
(models.store.root / "measured.sqlite").unlink(missing_ok=True)
found = verdict(models, sys.argv[2], lambda: models.tuned("healthy", 1), None, 1)
print(found["verdict"], "after look", found["looks"])
"""


def main() -> int:
    """Print the seconds; exit code 1 if the bar is missed."""
    given = options(__doc__)
    folder: Path = given.folder
    Models(folder).tuned("healthy", 1)
    name = "timed"
    (folder / "verdicts" / f"{name}.json").unlink(missing_ok=True)
    started = time.monotonic()
    here = Path(__file__).resolve().parent
    subprocess.run(
        [sys.executable, "-c", SCRIPT, str(folder.resolve()), name],
        check=True, cwd=here, env=os.environ | {"FACTORY_HOME": str(folder.resolve())},
    )  # fmt: skip
    seconds = time.monotonic() - started
    print(f"whole evaluation: {seconds:.0f} s (bar {BAR:.0f} s)")
    return int(seconds > BAR)


if __name__ == "__main__":
    sys.exit(main())
