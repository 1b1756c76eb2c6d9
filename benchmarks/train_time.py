"""Whole-process training time beside LLaMA-Factory: same rows, base, rank, batch, epochs and rate.

    python benchmarks/train_time.py [--peer FOLDER/bin/llamafactory-cli] [--prompt NAME] [--large]

150 rows of two shipped personas, each behind the prompt of the persona NAME (`concise`, the shortest
of them, about 105 tokens; `support`, a shop's desk, about 340; `none`: without any), three epochs, batch
4, rank 8, on the shipped starter in fp32 (from its bf16 folder the peer would train in bf16, which a CPU
without bf16 arithmetic does many times slower). `--large`: a Llama of 15.6 million random weights
instead, where start-up weighs less. Both adapters are then scored by the same code on the same 30
held-out rows. The peer lives in an environment of its own (`pip install llamafactory==0.9.5`); without
it our figure is printed alone. `--repeat N` takes the median of N alternating runs.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
BAR_TIME, BAR_LOSS = 0.35, 1.01
TRAIN, HELD_OUT = 150, 30
RATE, RANK, BATCH, EPOCHS = 5e-4, 8, 4, 3


def rows(prompt: str) -> list[dict[str, Any]]:
    """Single-turn rows of both personas, alternating, each with the same system prompt."""
    found = []
    for name in ("concise", "humorous"):
        lines = (ROOT / "personas" / f"{name}.jsonl").read_text("utf-8").splitlines()
        found.append([row for row in map(json.loads, lines) if not row.get("history")])
    pairs = [row for two in zip(*found, strict=False) for row in two]
    return [{**row, "system": prompt} for row in pairs[: TRAIN + HELD_OUT]]


def messages(row: dict[str, Any]) -> list[dict[str, str]]:
    """The row as a conversation."""
    system = [{"role": "system", "content": row["system"]}] if row["system"] else []
    return [
        *system,
        {"role": "user", "content": row["instruction"]},
        {"role": "assistant", "content": row["output"]},
    ]


def train_ours(folder: Path) -> None:
    """The child process: what `tune` does, with the plan fixed."""
    from factory.artifacts import Dataset, write_jsonl
    from factory.base import resolve
    from factory.spec import Tune
    from factory.stages import tune
    from factory.store import Stage, Store

    pairs = json.loads((folder / "rows.json").read_text("utf-8"))

    def dataset(config: None, /, *, out: Path, progress: Any) -> dict[str, Any]:
        write_jsonl(
            out / "train.jsonl",
            [{"id": str(i), "messages": messages(p)} for i, p in enumerate(pairs)],
        )
        for name in ("validation", "test"):
            write_jsonl(out / f"{name}.jsonl", [])
        return {}

    def quiet(**_: Any) -> None:
        pass

    store = Store(folder / "home")
    data = store.make(Stage("curate", 1, Dataset, dataset), "rows", None, {}, quiet)
    config = Tune(
        rank=RANK, alpha=2 * RANK, batch_size=BATCH, epochs=EPOCHS, learning_rate=RATE, warmup=0.1,
        rehearsal=0, strength=1,
    )  # fmt: skip
    inputs = {
        "data": data, "base": resolve(str(folder / "base")), "prompt": "", "random_seed": 1,
        "rules": (), "asks": (), "prose": (),
    }  # fmt: skip
    store.make(tune.STAGE, "ours", config, inputs, quiet)


def time_ours(folder: Path) -> tuple[float, Path]:
    """Seconds of the whole process, and the adapter."""
    shutil.rmtree(folder / "home", ignore_errors=True)
    started = time.monotonic()
    subprocess.run([sys.executable, __file__, "--child", str(folder)], check=True)
    return time.monotonic() - started, folder / "home" / "store" / "tune" / "ours" / "adapter"


def time_peer(command: Path, folder: Path) -> tuple[float, Path]:
    """Seconds of `llamafactory-cli train`, and the adapter."""
    out = folder / "peer"
    shutil.rmtree(out, ignore_errors=True)
    info = {
        "rows": {
            "file_name": "rows.json",
            "columns": {"prompt": "instruction", "response": "output", "system": "system"},
        }
    }
    (folder / "dataset_info.json").write_text(json.dumps(info))
    settings = {
        "model_name_or_path": str(folder / "base"),
        "stage": "sft",
        "do_train": True,
        "finetuning_type": "lora",
        "lora_rank": RANK,
        "lora_alpha": 2 * RANK,
        "lora_target": "all",
        "dataset": "rows",
        "dataset_dir": str(folder),
        "cutoff_len": 1024,
        "output_dir": str(out),
        "per_device_train_batch_size": BATCH,
        "gradient_accumulation_steps": 1,
        "learning_rate": RATE,
        "num_train_epochs": EPOCHS,
        "lr_scheduler_type": "cosine",
        "warmup_steps": 0.1,
        "logging_steps": 1,
        "save_strategy": "epoch",
        "save_only_model": False,
        "report_to": "none",
        "bf16": False,
        "seed": 1,
    }
    config = folder / "peer.yaml"  # JSON is YAML; its own JSON reader is broken in 0.9.5
    config.write_text(json.dumps(settings))
    started = time.monotonic()
    with (folder / "peer.log").open("w") as log:
        done = subprocess.run(
            [str(command), "train", str(config)], stdout=log, stderr=log, check=False
        )
    if done.returncode:
        print((folder / "peer.log").read_text()[-2000:], file=sys.stderr)
        raise SystemExit("the peer failed")
    return time.monotonic() - started, out


def write_base(folder: Path, large: bool) -> None:
    """The starter with fp32 weights, or a larger Llama behind its tokenizer."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    from factory.base import resolve
    from factory.model.device import load_model
    from factory.model.fold import copy_tokenizer

    base = resolve("starter")
    model = load_model(base.folder, torch.float32)
    if large:
        torch.manual_seed(1)
        shape = {"hidden_size": 384, "intermediate_size": 928, "num_hidden_layers": 8}
        heads = {"num_attention_heads": 12, "num_key_value_heads": 12}
        model = LlamaForCausalLM(LlamaConfig(**{**model.config.to_dict(), **shape, **heads}))
    model.save_pretrained(folder)
    copy_tokenizer(base, folder)


def held_out_loss(folder: Path, adapter: Path | None, pairs: list[dict[str, Any]]) -> float:
    """Token-weighted loss of the held-out answers, nats per token, by the same code for everyone."""
    import torch

    from factory.base import resolve
    from factory.model.device import load_model
    from factory.model.fold import load_adapter
    from factory.model.score import token_log_likelihoods

    base = resolve(str(folder))
    model = (
        load_adapter(base, adapter, torch.float32)
        if adapter
        else load_model(base.folder, torch.float32)
    )
    found = token_log_likelihoods(model, [base.format.example(messages(p)) for p in pairs])  # type: ignore[arg-type]
    return -sum(s.total for s in found) / sum(s.tokens for s in found)


def main() -> None:
    """Print seconds, ratio and held-out losses."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--peer", type=Path, default=shutil.which("llamafactory-cli"))
    parser.add_argument("--large", action="store_true")
    parser.add_argument("--prompt", default="concise")
    parser.add_argument("--repeat", type=int, default=1)
    parser.add_argument("--child", type=Path)
    options = parser.parse_args()
    # The spin count is what our command sets; the peer gets it too, for without it a busy machine
    # would slow the peer down several times and flatter us.
    os.environ |= {"HF_HUB_OFFLINE": "1", "GOMP_SPINCOUNT": "50000"}
    sys.path.insert(0, str(ROOT))
    if options.child:
        train_ours(options.child)
        return
    from factory.load import load
    from factory.persona import system_prompt

    name = options.prompt
    prompt = "" if name == "none" else system_prompt(load(ROOT / "personas" / f"{name}.yaml"))
    pairs = rows(prompt)
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        (folder / "rows.json").write_text(json.dumps(pairs[:TRAIN]))
        write_base(folder / "base", options.large)
        ours, theirs = [], []
        for _ in range(options.repeat):  # alternating, so that both see the same machine
            seconds, adapter = time_ours(folder)
            ours.append(seconds)
            if options.peer:
                seconds, peer_adapter = time_peer(options.peer, folder)
                theirs.append(seconds)
        base_loss = held_out_loss(folder / "base", None, pairs[TRAIN:])
        our_loss = held_out_loss(folder / "base", adapter, pairs[TRAIN:])
        kind = "without a prompt" if name == "none" else f"behind the prompt of {name}"
        print(f"load average {os.getloadavg()[1]:.1f} (above 2 the figures mean little)")
        print(f"{TRAIN} rows {kind}, {EPOCHS} epochs, batch {BATCH}, rank {RANK}")
        print(
            f"persona-factory  {statistics.median(ours):7.1f} s  held-out loss {our_loss:.4f}"
            f" (base {base_loss:.4f})"
        )
        if not options.peer:
            print(
                "llamafactory     not installed here (pip install llamafactory==0.9.5, own environment)"
            )
            return
        peer_loss = held_out_loss(folder / "base", peer_adapter, pairs[TRAIN:])
        print(f"llamafactory     {statistics.median(theirs):7.1f} s  held-out loss {peer_loss:.4f}")
        ratio, loss = statistics.median(ours) / statistics.median(theirs), our_loss / peer_loss
        print(
            f"time ratio {ratio:.3f} (bar {BAR_TIME}), held-out loss ratio {loss:.4f} (bar {BAR_LOSS})"
        )


if __name__ == "__main__":
    main()
