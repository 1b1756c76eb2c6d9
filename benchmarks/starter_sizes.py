"""Which size of starter learns most in the same few minutes: each goes through the whole recipe.

    python benchmarks/starter_sizes.py --text FOLDER --out FOLDER

`--text` is the folder of the corpus. The updates of a size are as many as take about as long as those of
the others on two cores. What is there already is not trained again.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SIZES = ((192, 6, 512, 410), (256, 6, 704, 300), (320, 7, 896, 190))
"""Hidden size, layers, intermediate size, updates."""


def train(size: tuple[int, int, int, int], text: Path, tokens: Path, out: Path) -> Path:
    """The exported model of a size; its text is that of all others."""
    hidden, layers, intermediate, updates = size
    out.mkdir(parents=True, exist_ok=True)
    for file in tokens.iterdir():
        if not (out / file.name).exists():
            (out / file.name).symlink_to(file.resolve())
    if not (out / "starter").is_dir():
        started = time.monotonic()
        shape = ["--hidden", hidden, "--layers", layers, "--intermediate", intermediate]
        command = [sys.executable, "-m", "factory.starter", "--text", text, "--out", out]
        subprocess.run([str(p) for p in (*command, *shape, "--updates", updates)], check=True)
        (out / "seconds").write_text(f"{time.monotonic() - started:.0f}")
    return out / "starter"


def main() -> None:
    """Print a line for each size."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--text", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    os.environ |= {"HF_HUB_OFFLINE": "1", "GOMP_SPINCOUNT": "50000"}
    sys.path.insert(0, str(ROOT))
    from factory.base import resolve
    from factory.starter.__main__ import show
    from factory.starter.data import BOOKS, CONVERSATIONS, prepare
    from factory.starter.exam import covered, pairs, topical
    from factory.starter.score import answers, bits_per_byte

    tokens = options.out / "tokens"
    tokens.mkdir(parents=True, exist_ok=True)
    prepare(tokens, options.text, book_characters=BOOKS, conversations=CONVERSATIONS, progress=show)
    everyday, talk = pairs(), topical(options.text)
    for size in SIZES:
        out = options.out / f"{size[0]}x{size[1]}"
        base = resolve(str(train(size, options.text.resolve(), tokens, out)))
        said = answers(base, covered())
        print(
            f"{size[0]}x{size[1]}x{size[2]}, {base.parameters / 1e6:.1f}M weights, {size[3]} updates:"
            f" {(out / 'seconds').read_text()} s, bits per byte {bits_per_byte(base, everyday):.3f} everyday,"
            f" {bits_per_byte(base, talk):.3f} Topical-Chat, {sum(a.right for a in said)}% right"
        )


if __name__ == "__main__":
    main()
