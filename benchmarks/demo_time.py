"""`make demo` from a fresh clone in a fresh environment: seconds of the install and of the build.

    python benchmarks/demo_time.py

Bars on a bare 2-core machine: 8 minutes in all, of which the build 3. The download cache of pip is not
used, so the figure contains the downloads of whatever index this machine installs from.
"""

from __future__ import annotations

import os
import subprocess
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
BAR_ALL, BAR_BUILD = 480.0, 180.0


def main() -> None:
    """Clone, `make install`, `make demo`, `make install` again."""
    with tempfile.TemporaryDirectory() as folder:
        clone = Path(folder) / "clone"
        subprocess.run(["git", "clone", "-q", str(ROOT), str(clone)], check=True)
        quiet = ("PYTHONPATH", "VIRTUAL_ENV", "FACTORY_HOME")
        environment = {k: v for k, v in os.environ.items() if k not in quiet}
        environment |= {"PIP_NO_CACHE_DIR": "1", "HF_HUB_OFFLINE": "1"}
        seconds = []
        for target in ("install", "demo", "install"):
            started = time.monotonic()
            subprocess.run(["make", target], cwd=clone, env=environment, check=True)
            seconds.append(time.monotonic() - started)
        print(
            f"install {seconds[0]:.0f} s, build {seconds[1]:.0f} s (bar {BAR_BUILD:.0f}),", end=" "
        )
        print(f"together {sum(seconds[:2]):.0f} s (bar {BAR_ALL:.0f})")
        print(f"a second install: {seconds[2]:.2f} s")


if __name__ == "__main__":
    main()
