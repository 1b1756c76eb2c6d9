"""Training the starter from scratch, on a GPU or two CPU cores, and going on where it was killed."""

from __future__ import annotations

import json
import time
from contextlib import nullcontext
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from transformers import LlamaConfig, LlamaForCausalLM

from factory.artifacts import write_json
from factory.chat import ChatFormat
from factory.contracts import Progress
from factory.starter.data import Source

MIXTURE: tuple[dict[str, float], dict[str, float]] = (
    {"everyday": 0.40, "talk": 0.25, "booktalk": 0.15, "books": 0.20},
    {"everyday": 0.72, "talk": 0.22, "booktalk": 0.04, "books": 0.02},
)
"""Share of each source in the windows of the first part of the updates, and of the second."""
KEPT_EVERY = 100.0
"""Seconds between checkpoints."""


@dataclass(frozen=True, slots=True)
class Size:
    """Shape of the model; heads are 32 wide, which vLLM's CPU attention takes."""

    hidden: int = 256
    layers: int = 8
    intermediate: int = 704


@dataclass(frozen=True, slots=True)
class Recipe:
    """Everything that decides the weights, beside the text."""

    size: Size = Size()
    updates: int = 2400
    rows: int = 16
    """Windows of an update."""
    width: int = 256
    """Tokens of a window."""
    rate: float = 2e-3
    first_part: float = 0.45
    """Share of the updates in which every token counts; then the everyday answers alone do."""
    seed: int = 1


def build(size: Size, pieces: int) -> LlamaForCausalLM:
    """A model with random weights and a vocabulary of so many pieces."""
    return LlamaForCausalLM(
        LlamaConfig(
            vocab_size=pieces,
            hidden_size=size.hidden,
            intermediate_size=size.intermediate,
            num_hidden_layers=size.layers,
            num_attention_heads=size.hidden // 32,
            num_key_value_heads=size.hidden // 32,
            head_dim=32,
            max_position_embeddings=1024,
            tie_word_embeddings=True,
            bos_token_id=1,
            eos_token_id=4,
            pad_token_id=2,
        )
    )


def rate_at(recipe: Recipe, step: int) -> float:
    """Learning rate: linear warm-up over 4%, flat, then linear to a fiftieth over the second part."""
    warm = max(1, round(recipe.updates * 0.04))
    if step < warm:
        return recipe.rate * (step + 1) / warm
    turn = round(recipe.updates * recipe.first_part)
    left = (recipe.updates - step) / (recipe.updates - turn)
    return recipe.rate * max(0.02, min(1.0, left))


def batch(
    recipe: Recipe, sources: dict[str, Source], step: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """Inputs and labels of one update, each [rows, width]; the same for the same step."""
    generator = np.random.default_rng((recipe.seed, step))
    second = step >= recipe.updates * recipe.first_part
    shares = MIXTURE[second]
    chosen = generator.choice(len(shares), recipe.rows, p=list(shares.values()))
    ids, marks = [], []
    for k, name in enumerate(shares):
        count = int((chosen == k).sum())
        if not count:
            continue
        window, answer = sources[name].windows(generator, count, recipe.width)
        ids.append(window)
        marks.append(answer if second else np.ones_like(answer))
    tokens = torch.from_numpy(np.concatenate(ids))
    wanted = torch.from_numpy(np.concatenate(marks)).bool()
    return tokens, tokens.masked_fill(~wanted, -100)


def _optimizer(model: torch.nn.Module, recipe: Recipe) -> torch.optim.AdamW:
    matrices = [p for p in model.parameters() if p.ndim > 1]
    rest = [p for p in model.parameters() if p.ndim <= 1]
    groups = [{"params": matrices, "weight_decay": 0.1}, {"params": rest, "weight_decay": 0.0}]
    return torch.optim.AdamW(groups, lr=recipe.rate, betas=(0.9, 0.95), fused=True)


def _save(folder: Path, model: Any, optimizer: torch.optim.AdamW, step: int) -> None:
    tensors = {f"model.{name}": p.detach().cpu() for name, p in model.named_parameters()}
    for name, parameter in model.named_parameters():
        for key, value in optimizer.state[parameter].items():
            tensors[f"{key}.{name}"] = value.detach().cpu()
    partial = folder / "checkpoint.partial"
    save_file(tensors, partial, metadata={"step": str(step)})
    partial.replace(folder / "checkpoint.safetensors")


def _resume(folder: Path, model: Any, optimizer: torch.optim.AdamW) -> int:
    file = folder / "checkpoint.safetensors"
    if not file.is_file():
        return 0
    tensors = load_file(file)
    keys = {name.partition(".")[0] for name in tensors} - {"model"}
    for name, parameter in model.named_parameters():
        parameter.data.copy_(tensors[f"model.{name}"])
        optimizer.state[parameter] = {
            key: tensors[f"{key}.{name}"].to(parameter.device if key != "step" else "cpu")
            for key in keys
        }
    return int(tensors["step." + next(n for n, _ in model.named_parameters())].item())


def train(
    recipe: Recipe, text: Path, out: Path, progress: Progress, *, compiled: bool = True
) -> Path:
    """Train, and write the model as a Hugging Face folder; goes on after a kill.

    Args:
        recipe: Shape, length and rate.
        text: Folder that `factory.starter.data.prepare` filled.
        out: Working folder: checkpoint, `log.jsonl`, and `model/` at the end.
        progress: Told about losses and speed.
        compiled: Whether to compile the model, which pays after a minute or two.

    Returns:
        The model's folder, weights in fp32.
    """
    out.mkdir(parents=True, exist_ok=True)
    where = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    torch.manual_seed(recipe.seed)
    torch.set_float32_matmul_precision("high")
    pieces = ChatFormat.load(text / "tokenizer").tokenizer.get_vocab_size()
    model: Any = build(recipe.size, pieces)
    model.to(where).train()
    optimizer = _optimizer(model, recipe)
    begin = _resume(out, model, optimizer)
    write_json(out / "recipe.json", asdict(recipe))
    sources = {name: Source(text, name) for name in MIXTURE[0]}
    run: Any = torch.compile(model) if compiled else model
    autocast = torch.autocast("cuda", torch.bfloat16) if where.type == "cuda" else nullcontext()
    started = kept = time.monotonic()
    with (out / "log.jsonl").open("a", encoding="utf-8") as log:
        for step in range(begin, recipe.updates):
            for group in optimizer.param_groups:
                group["lr"] = rate_at(recipe, step)
            tokens, labels = (t.to(where, non_blocking=True) for t in batch(recipe, sources, step))
            with autocast:
                loss = run(input_ids=tokens, labels=labels, use_cache=False).loss
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            optimizer.zero_grad()
            if step % 10 == 9:
                now = time.monotonic()
                speed = (step + 1 - begin) * recipe.rows * recipe.width / (now - started)
                entry = {
                    "step": step + 1,
                    "loss": round(loss.item(), 4),
                    "tokens_per_second": round(speed),
                }
                log.write(json.dumps(entry) + "\n")
                log.flush()
                progress(done=step + 1, total=recipe.updates, **entry)
                if now - kept > KEPT_EVERY:
                    _save(out, model, optimizer, step + 1)
                    kept = now
    _save(out, model, optimizer, recipe.updates)
    model.save_pretrained(out / "model")
    return out / "model"
