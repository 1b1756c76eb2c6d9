"""Live numbers of a training run: to `metrics.jsonl` and to whoever watches."""

from __future__ import annotations

import json
import math
import time
from pathlib import Path
from typing import Any

from transformers import TrainerCallback

from factory.artifacts import read_jsonl, write_jsonl
from factory.contracts import Progress
from factory.errors import TrainingError


class Metrics(TrainerCallback):
    """Writes every logged number to `metrics.jsonl` and tells the display."""

    def __init__(self, file: Path, progress: Progress) -> None:
        self.file = file
        self.progress = progress
        self.entries: list[dict[str, Any]] = []
        self.clock = time.monotonic()
        self.tokens = 0.0

    def read(self) -> None:
        """Take up what an earlier attempt has logged."""
        self.entries = list(read_jsonl(self.file)) if self.file.is_file() else []

    def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Start the clock; drop what was logged after the checkpoint a run resumes from."""
        # A resumed run forgets what a killed one logged after its last checkpoint: it is done again.
        self.read()
        self.entries = [entry for entry in self.entries if entry["step"] <= state.global_step]
        write_jsonl(self.file, self.entries)
        self.clock = time.monotonic()
        self.started = (self.clock, state.global_step)
        self.tokens = float(state.num_input_tokens_seen or 0)
        self.progress(note="training", step=state.global_step, total=state.max_steps)

    def on_log(
        self, args: Any, state: Any, control: Any, logs: dict[str, Any] | None = None, **_: Any
    ) -> None:
        """Write one entry; raise TrainingError if the loss is no longer a number."""
        logs = {key: float(value) for key, value in (logs or {}).items() if _numeric(value)}
        entry: dict[str, Any] = {"step": state.global_step, "epoch": round(state.epoch or 0.0, 4)}
        if "loss" in logs:
            if not math.isfinite(logs["loss"]):
                raise TrainingError(
                    f"the loss became {logs['loss']} at update {state.global_step}",
                    hint="lower tune.learning_rate, or use tune.precision: fp32",
                )
            now = time.monotonic()
            tokens = logs.get("num_tokens", self.tokens)
            entry |= {
                "loss": round(logs["loss"], 5),
                "token_accuracy": round(logs.get("mean_token_accuracy", 0.0), 4),
                "learning_rate": logs.get("learning_rate"),
                "gradient_norm": round(logs.get("grad_norm", 0.0), 4),
                "tokens_per_second": round((tokens - self.tokens) / max(now - self.clock, 1e-6), 1),
            }
            self.clock, self.tokens = now, tokens
        elif "eval_loss" in logs:
            if not math.isfinite(logs["eval_loss"]):
                raise TrainingError(
                    f"the held-out loss became {logs['eval_loss']} at update {state.global_step}",
                    hint="lower tune.learning_rate, or use tune.precision: fp32",
                )
            entry["validation_loss"] = round(logs["eval_loss"], 5)
        else:
            return
        self.entries.append(entry)
        with self.file.open("a", encoding="utf-8") as file:
            file.write(json.dumps(entry) + "\n")
        began, first = self.started
        done = max(state.global_step - first, 1)
        left = (time.monotonic() - began) / done * (state.max_steps - state.global_step)
        shown = {
            k: v
            for k, v in entry.items()
            if k not in ("epoch", "step", "learning_rate", "gradient_norm")
        }
        self.progress(step=state.global_step, total=state.max_steps, seconds_left=left, **shown)


def _numeric(value: Any) -> bool:
    try:
        float(value)
    except (TypeError, ValueError):
        return False
    return True
