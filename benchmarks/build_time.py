"""Builds the four English personas in a row, builds them again, then edits one seed.

    python benchmarks/build_time.py

Prints seconds per persona and stage (bars: the first build under 180 s, an unchanged build at most
1.5 s, torch imported once), and which stages an edited seed makes run again.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PERSONAS = ("concise", "humorous", "support", "tutor")
BAR_BUILD, BAR_AGAIN = 180.0, 1.5


def factory(*arguments: str) -> tuple[float, str]:
    """Seconds and output of one command, whole process."""
    started = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "factory", *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode not in (0, 10, 11):
        raise SystemExit(done.stdout + done.stderr[-2000:])
    imports = len(re.findall(r"\|\s+torch$", done.stderr, re.MULTILINE))
    return time.monotonic() - started, f"torch imported {imports} times"


def stages(home: Path, name: str) -> list[dict[str, object]]:
    """The stages of a persona's newest run."""
    newest = max(home.glob(f"runs/{name}--*/stages.json"), key=lambda f: f.stat().st_mtime_ns)
    found: list[dict[str, object]] = json.loads(newest.read_text())
    return found


def main() -> None:
    """Print the tables."""
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder) / "home"
        os.environ |= {"FACTORY_HOME": str(home), "HF_HUB_OFFLINE": "1"}
        files = [f"personas/{name}.yaml" for name in PERSONAS]
        seconds, imports = factory("build", *files)
        print(f"four personas in one process: {seconds:.0f} s, {imports}")
        for name in PERSONAS:
            made = stages(home, name)
            parts = ", ".join(f"{s['name']} {s['seconds']:.0f}" for s in made)
            total = sum(float(str(s["seconds"])) for s in made)
            verdict = next(
                str(s["summary"]).partition(":")[0] for s in made if s["name"] == "evaluate"
            )
            print(f"  {name:9} {total:6.1f} s  {verdict}  ({parts}; bar {BAR_BUILD:.0f})")
        factory("build", files[0])  # byte code and caches
        again = sorted(factory("build", files[0])[0] for _ in range(5))
        print(f"nothing changed: median {again[2]:.2f} s, worst {again[4]:.2f} s (bar {BAR_AGAIN})")
        edited = ROOT / "personas" / ".edited.yaml"
        text = (ROOT / files[0]).read_text("utf-8").replace("Take a short walk", "Take a long walk")
        try:
            edited.write_text(text, "utf-8")
            factory("build", str(edited))
        finally:
            edited.unlink()
        ran = [str(s["name"]) for s in stages(home, PERSONAS[0]) if not s["cached"]]
        print(f"one seed edited: {', '.join(ran)} ran again")


if __name__ == "__main__":
    main()
