"""How few bits a byte of Topical-Chat the starter can need: it goes on with hardly anything else to read.

    python benchmarks/starter_talk.py --text FOLDER --out FOLDER

`--text` is the folder of the corpus. For each length of such a run, and for the first checkpoint, prints the
bits per byte of conversations that were trained on beside those that were held out. About half an
hour on two cores; what is in `--out` already is not trained again.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
UPDATES = (100, 300, 900)


def main() -> None:
    """Print a line for each model."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--text", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    os.environ |= {"HF_HUB_OFFLINE": "1", "GOMP_SPINCOUNT": "50000"}
    sys.path[:0] = [str(ROOT), str(ROOT / "benchmarks")]
    from starter import first_checkpoint

    from factory.base import resolve
    from factory.starter.__main__ import show
    from factory.starter.data import BOOKS, prepare
    from factory.starter.exam import topical
    from factory.starter.export import export
    from factory.starter.score import bits_per_byte
    from factory.starter.train import PARTS, Recipe, train

    tokens = options.out / "tokens"
    tokens.mkdir(parents=True, exist_ok=True)
    begin = resolve("starter")
    sizes = prepare(
        tokens, options.text, book_characters=BOOKS, conversations=1000, times=1,
        progress=show, begin=begin.folder,
    )  # fmt: skip
    chat = {"talk": 0.7, "booktalk": 0.1, "books": 0.2}
    recipe = replace(
        Recipe(),
        rows=32,
        width=192,  # a piece of Topical-Chat fits
        rate=2e-3,
        parts=tuple(replace(part, answers=False, mixture=chat) for part in PARTS),
    )
    found = []
    for updates in UPDATES:
        out = options.out / str(updates)
        if not (out / "starter").is_dir():
            goes_on = replace(recipe, updates=updates)
            weights = train(goes_on, tokens, out, show, begin=begin.folder)
            export(weights, tokens / "tokenizer", out / "starter")
        passes = updates * recipe.rows * recipe.width * chat["talk"] / sizes["talk"]
        name = f"{updates} updates, {passes:.1f} passes over the dialogues"
        found.append((name, resolve(str(out / "starter"))))
    with tempfile.TemporaryDirectory() as place:
        first = resolve(str(first_checkpoint(Path(place))))
        trained_on = topical(options.text, held_out=False)[::20]
        held_out = topical(options.text)
        bits = {}
        for name, base in (("first checkpoint", first), ("starter", begin), *found):
            bits[name] = bits_per_byte(base, held_out)
            print(
                f"{name}: {bits_per_byte(base, trained_on):.3f} bits per byte trained on,"
                f" {bits[name]:.3f} held out"
            )
        print(f"the bar: {0.85 * bits['first checkpoint']:.3f}")


if __name__ == "__main__":
    main()
