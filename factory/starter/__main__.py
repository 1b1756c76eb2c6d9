"""Make the starter model from text: `python -m factory.starter --text FOLDER --out FOLDER`.

Goes on where it was stopped. On a GPU it takes more of the books, a larger batch and more updates.
"""

from __future__ import annotations

import argparse
import time
from dataclasses import replace
from pathlib import Path

from factory.starter.data import BOOKS, CONVERSATIONS, prepare
from factory.starter.export import export
from factory.starter.train import Recipe, Size, train


def show(**facts: float | int | str | None) -> None:
    """One line for each fact, with the time."""
    print(time.strftime("%H:%M:%S"), *(f"{k} {v}" for k, v in facts.items()), flush=True)


def main() -> None:
    """Prepare the text, train, export."""
    import torch

    gpu = torch.cuda.is_available()
    parser = argparse.ArgumentParser(prog="python -m factory.starter", description=__doc__)
    parser.add_argument("--text", type=Path, required=True, help="folder of the corpus files")
    parser.add_argument("--out", type=Path, required=True, help="working folder, kept between runs")
    parser.add_argument("--updates", type=int, default=30_000 if gpu else Recipe().updates)
    parser.add_argument("--rows", type=int, default=64 if gpu else Recipe().rows)
    parser.add_argument("--hidden", type=int, default=Size().hidden)
    parser.add_argument("--layers", type=int, default=Size().layers)
    parser.add_argument("--intermediate", type=int, default=Size().intermediate)
    parser.add_argument("--rate", type=float, default=Recipe().rate)
    parser.add_argument("--books", type=int, default=60_000_000 if gpu else BOOKS)
    parser.add_argument("--conversations", type=int, default=400_000 if gpu else CONVERSATIONS)
    parser.add_argument(
        "--begin", type=Path, help="a starter whose weights and tokenizer to go on from"
    )
    parser.add_argument("--no-compile", action="store_true")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    tokens = prepare(
        options.out,
        options.text,
        book_characters=options.books,
        conversations=options.conversations,
        progress=show,
        begin=options.begin,
    )
    show(**tokens)
    recipe = replace(
        Recipe(),
        size=Size(options.hidden, options.layers, options.intermediate),
        updates=options.updates,
        rows=options.rows,
        rate=options.rate,
    )
    weights = train(
        recipe,
        options.out,
        options.out,
        show,
        compiled=not options.no_compile,
        begin=options.begin,
    )
    show(note=f"wrote {export(weights, options.out / 'tokenizer', options.out / 'starter')}")


if __name__ == "__main__":
    main()
