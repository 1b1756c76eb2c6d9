"""How fast log-likelihoods come, beside the loop that scores one row at a time.

Both read the rows of a persona behind its system prompt, on the starter in fp32. The loop is the one
found in most evaluation scripts: one forward pass for every row, logits and log-softmax of every
position. Tokens are those of whole rows, prompt included. The values of both must agree.

    python benchmarks/likelihood_speed.py [PERSONA.yaml]

Bar: 3 times the loop's tokens per second, the median of three runs.
"""

from __future__ import annotations

import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

BAR = 3.0
RUNS = 3
AGREE = 1e-4
"""Nats by which a row's two values may differ."""

ROWS = 48
"""Rows at most: enough for a steady figure, few enough for a laptop."""

PERSONA = Path(__file__).resolve().parents[1] / "personas" / "support.yaml"


def examples(file: Path) -> tuple[Any, list[Any], int]:
    """The starter, its rows of a persona as ids and mask, and the length of the persona's prompt."""
    from factory.artifacts import Row
    from factory.base import resolve
    from factory.examples import examples
    from factory.load import load
    from factory.persona import system_prompt
    from factory.stages import gather
    from factory.store import Store

    spec = load(file)
    base = resolve("starter")
    prompt = system_prompt(spec)
    with tempfile.TemporaryDirectory() as folder:
        files = [gather.data_file(name, file.parent) for name in spec.data]
        inputs = {"name": spec.name, "seeds": spec.seeds, "files": files}
        rows: list[Row] = list(
            Store(Path(folder)).make(gather.STAGE, "bench", None, inputs, lambda **_: None).rows()
        )
    return base, examples(base, rows[:ROWS], prompt), len(base.format.encode(prompt))


def loop(model: Any, rows: Sequence[Any]) -> list[float]:
    """One row at a time, everything computed."""
    import torch

    found = []
    with torch.no_grad():
        for row in rows:
            ids = torch.tensor([row.input_ids])
            chances = model(input_ids=ids).logits[0].float().log_softmax(-1)
            on = torch.tensor(row.loss_mask[1:], dtype=torch.bool)
            picked = chances[:-1].gather(-1, ids[0, 1:, None])[:, 0]
            found.append(picked[on].double().sum().item())
    return found


def ours(model: Any, rows: Sequence[Any]) -> list[float]:
    """As the evaluation does it."""
    from factory.model.score import token_log_likelihoods

    return [score.total for score in token_log_likelihoods(model, rows)]


def seconds(score: Callable[[], list[float]]) -> tuple[float, list[float]]:
    """Wall time of one run, and what it found."""
    started = time.perf_counter()
    found = score()
    return time.perf_counter() - started, found


def main() -> int:
    """Print the figures; 1 if the bar is missed or the values differ."""
    # As the command sets it: threads that wait for one another leave the cores to others.
    os.environ |= {"HF_HUB_OFFLINE": "1", "GOMP_SPINCOUNT": "50000"}
    import torch

    from factory.model.device import load_model

    file = Path(sys.argv[1]) if len(sys.argv) > 1 else PERSONA
    base, rows, prompt_tokens = examples(file)
    model = load_model(base.folder, torch.float32).to("cpu")
    loop(model, rows[:3])  # warm
    ours(model, rows[:3])
    slow, fast, apart = [], [], 0.0
    for _ in range(RUNS):  # in turns, so that a busy machine is busy for both
        took, theirs = seconds(lambda: loop(model, rows))
        slow.append(took)
        took, own = seconds(lambda: ours(model, rows))
        fast.append(took)
        apart = max(apart, *(abs(a - b) for a, b in zip(theirs, own, strict=True)))
    tokens = sum(len(row.input_ids) for row in rows)
    before, after = (tokens / statistics.median(times) for times in (slow, fast))
    ratio = after / before
    print(
        f"{file.stem}: {len(rows)} rows, {tokens} tokens, a prompt of {prompt_tokens};"
        f" {torch.get_num_threads()} threads"
    )
    print(f"one row at a time   {before:8.0f} tokens/s")
    print(f"token_log_likelihoods {after:6.0f} tokens/s")
    print(f"ratio {ratio:.1f} (bar {BAR:.0f}); rows differ by at most {apart:.1e} nats")
    return int(ratio < BAR or apart > AGREE)


if __name__ == "__main__":
    sys.exit(main())
