"""Training the starter from scratch, on a GPU or two CPU cores, and going on where it was killed."""

from __future__ import annotations

import json
import time
from contextlib import nullcontext
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch.nn import functional
from transformers import LlamaConfig, LlamaForCausalLM

from factory import hardware
from factory.artifacts import write_json
from factory.chat import ChatFormat
from factory.contracts import Progress
from factory.starter import attention
from factory.starter.data import Source
from factory.starter.muon import Muon


@dataclass(frozen=True, slots=True)
class Part:
    """A stretch of the updates."""

    until: float
    """Share of all updates at its end."""
    rate: float
    """Learning rate at its end, as a share of the highest; on a straight line until there."""
    answers: bool
    """Whether answers alone count, or every token."""
    mixture: dict[str, float]
    """Share of each source in the windows."""


PARTS = (
    Part(
        0.15, 1.0, False,
        {"everyday": 0.32, "openings": 0.22, "talk": 0.26, "booktalk": 0.12, "books": 0.08},
    ),
    Part(0.55, 0.6, True, {"everyday": 0.30, "openings": 0.48, "singles": 0.16, "talk": 0.06}),
    Part(1.0, 0.02, True, {"everyday": 0.34, "openings": 0.36, "singles": 0.24, "talk": 0.06}),
)  # fmt: skip
"""Language first, then answers: which card a question is about, and that not every one is about one."""
UNKNOWN = 0
"""Id of the token that stands where a word is hidden."""
LAST_CONTROL = 4
"""The last id that is not text."""
WARM = 0.04
"""Share of the updates in which the rate climbs."""
KEPT_EVERY = 100.0
"""Seconds between checkpoints."""


@dataclass(frozen=True, slots=True)
class Size:
    """Shape of the model; heads are 32 wide, which vLLM's CPU attention takes."""

    hidden: int = 256
    layers: int = 6
    intermediate: int = 704


@dataclass(frozen=True, slots=True)
class Recipe:
    """Everything that decides the weights, beside the text."""

    size: Size = Size()
    updates: int = 8000
    rows: int = 48
    """Windows of an update."""
    width: int = 128
    """Tokens of a window."""
    long_every: int = 4
    """One update in so many reads windows four times as long, and a quarter as many."""
    rate: float = 3e-3
    """Highest learning rate of the layers' matrices."""
    embedding_rate: float = 1e-2
    """Highest learning rate of embeddings and norms."""
    hidden_share: float = 0.1
    """Share of a question's tokens that every second window hides once answers alone count: an answer
    that hangs on one word misses the same question in other words. Source: word dropout, arXiv 1511.06349."""
    averaging: float = 0.998
    """Share of the mean of the weights that an update keeps; the mean is what ships, for it lies flatter
    than any one state. Source: arXiv 1803.05407, with an exponential mean."""
    seed: int = 1
    parts: tuple[Part, ...] = PARTS
    """What is read when, and at which rate."""
    begun: bool = False
    """Whether it goes on from a model, which knows language: the first part is left out; `train` sets it."""

    @property
    def sources(self) -> tuple[str, ...]:
        """Names of the sources that any part reads."""
        return tuple(dict.fromkeys(name for part in self.parts for name in part.mixture))


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


def done_at(recipe: Recipe, step: int) -> float:
    """Share of the parts that is behind an update."""
    begin = recipe.parts[0].until if recipe.begun else 0.0
    return begin + (1 - begin) * step / recipe.updates


def part_at(recipe: Recipe, step: int) -> int:
    """Which of the parts an update belongs to."""
    done = done_at(recipe, step)
    return next(k for k, part in enumerate(recipe.parts) if done < part.until)


def rate_at(recipe: Recipe, step: int) -> float:
    """Learning rate of an update as a share of the highest: it climbs, stays, and falls from part to part."""
    ends, rates = [part.until for part in recipe.parts], [part.rate for part in recipe.parts]
    climbing = (step + 1) / (WARM * recipe.updates)
    return min(climbing, float(np.interp(done_at(recipe, step), [0.0, *ends], [1.0, *rates])))


def shape_at(recipe: Recipe, step: int) -> tuple[int, int]:
    """Rows and tokens of a row at an update: mostly short windows, sometimes long ones."""
    if step % recipe.long_every == recipe.long_every - 1:
        return max(1, recipe.rows // 4), recipe.width * 4
    return recipe.rows, recipe.width


def batch(
    recipe: Recipe, sources: dict[str, Source], step: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """Inputs and labels of one update, each [rows, width]; the same for the same step."""
    generator = np.random.default_rng((recipe.seed, step))
    rows, width = shape_at(recipe, step)
    part = recipe.parts[part_at(recipe, step)]
    shares = part.mixture
    chosen = generator.choice(len(shares), rows, p=list(shares.values()))
    ids, marks = [], []
    for k, name in enumerate(shares):
        count = int((chosen == k).sum())
        if not count:
            continue
        window, answer = sources[name].windows(generator, count, width)
        ids.append(window)
        marks.append(answer if part.answers else np.ones_like(answer))
    tokens, learned = torch.from_numpy(np.concatenate(ids)), np.concatenate(marks) != 0
    if part.answers:
        hidden = generator.random(tokens.shape) < recipe.hidden_share
        hidden &= generator.random((len(tokens), 1)) < 0.5
        hidden &= ~learned
        tokens[torch.from_numpy(hidden) & (tokens > LAST_CONTROL)] = UNKNOWN
    wanted = torch.from_numpy(learned) & (tokens != attention.BESIDE)
    return tokens, tokens.masked_fill(~wanted, -100)


def _optimizers(model: torch.nn.Module, recipe: Recipe) -> list[torch.optim.Optimizer]:
    """Muon for the layers' matrices, AdamW for embeddings and norms.

    Embeddings of rare words get few updates and need larger ones.
    """
    where = next(model.parameters()).device
    arithmetic = torch.bfloat16 if _fast_bf16(where) else torch.float32
    named = list(model.named_parameters())
    hidden = [p for name, p in named if p.ndim == 2 and "embed" not in name]
    rest = [p for name, p in named if p.ndim != 2 or "embed" in name]
    return [
        Muon(hidden, lr=recipe.rate, weight_decay=0.1, arithmetic=arithmetic),
        torch.optim.AdamW(
            rest, lr=recipe.embedding_rate, betas=(0.9, 0.95), weight_decay=0.0, fused=True
        ),
    ]


@torch.no_grad()
def _average(recipe: Recipe, mean: list[torch.Tensor], model: Any, step: int) -> None:
    """Move the mean towards the weights: at first fast, for it begins with what was not trained yet."""
    kept = min(recipe.averaging, (step + 1) / (step + 10))
    torch._foreach_lerp_(mean, list(model.parameters()), 1 - kept)


def _save(
    folder: Path,
    model: Any,
    mean: list[torch.Tensor],
    optimizers: list[torch.optim.Optimizer],
    step: int,
) -> None:
    tensors: dict[str, torch.Tensor] = {}
    for averaged, (name, parameter) in zip(mean, model.named_parameters(), strict=True):
        tensors |= {f"model.{name}": parameter.detach().cpu(), f"mean.{name}": averaged.cpu()}
        for optimizer in optimizers:
            for key, value in optimizer.state.get(parameter, {}).items():
                tensors[f"{key}.{name}"] = value.detach().cpu()
    partial = folder / "checkpoint.partial"
    save_file(tensors, partial, metadata={"step": str(step)})
    partial.replace(folder / "checkpoint.safetensors")


def _resume(
    folder: Path, model: Any, mean: list[torch.Tensor], optimizers: list[torch.optim.Optimizer]
) -> int:
    file = folder / "checkpoint.safetensors"
    if not file.is_file():
        return 0
    with safe_open(file, "pt") as opened:
        step = int(opened.metadata()["step"])
    tensors = load_file(file)
    owner = {p: o for o in optimizers for group in o.param_groups for p in group["params"]}
    for averaged, (name, parameter) in zip(mean, model.named_parameters(), strict=True):
        averaged.copy_(tensors[f"mean.{name}"])
        parameter.data.copy_(tensors[f"model.{name}"])
        owner[parameter].state[parameter] = {
            key: tensors[f"{key}.{name}"].to(parameter.device if key != "step" else "cpu")
            for key in ("step", "exp_avg", "exp_avg_sq", "momentum_buffer")
            if f"{key}.{name}" in tensors
        }
    return step


def _loss(body: Any, head: torch.nn.Module, tokens: torch.Tensor, labels: torch.Tensor) -> Any:
    """Mean cross-entropy in nats; the output layer is computed only where the loss looks."""
    seen, positions = attention.layout(tokens)
    found = body(input_ids=tokens, position_ids=positions, use_cache=False, seen=seen)
    hidden = found.last_hidden_state[:, :-1]
    following = labels[:, 1:]
    wanted = following != -100
    return functional.cross_entropy(head(hidden[wanted]).float(), following[wanted])


def _fast_bf16(where: torch.device) -> bool:
    return where.type == "cuda" or hardware.detect().fast_bf16


def _arithmetic(where: torch.device) -> Any:
    """bf16 where the hardware multiplies it faster, else fp32; weights are fp32 either way."""
    return torch.autocast(where.type, torch.bfloat16) if _fast_bf16(where) else nullcontext()


def train(
    recipe: Recipe,
    text: Path,
    out: Path,
    progress: Progress,
    *,
    compiled: bool = True,
    begin: Path | None = None,
) -> Path:
    """Train, and write the model as a Hugging Face folder; goes on after a kill.

    Args:
        recipe: Shape, length and rate.
        text: Folder that `factory.starter.data.prepare` filled.
        out: Working folder: checkpoint, `log.jsonl`, and `model/` at the end.
        progress: Told about losses and speed.
        compiled: Whether to compile the model, which pays after a minute or two.
        begin: Model of the same shape and tokenizer whose weights it begins with; random ones without.

    Returns:
        The model's folder, weights in fp32.
    """
    out.mkdir(parents=True, exist_ok=True)
    recipe = replace(recipe, begun=begin is not None)
    where = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    torch.manual_seed(recipe.seed)
    torch.set_float32_matmul_precision("high")
    pieces = ChatFormat.load(text / "tokenizer").tokenizer.get_vocab_size()
    model: Any = build(recipe.size, pieces)
    if begin:
        model.load_state_dict(LlamaForCausalLM.from_pretrained(begin).state_dict())
    model.set_attn_implementation(attention.NAME)
    model.to(where).train()
    optimizers = _optimizers(model, recipe)
    rates = [[group["lr"] for group in o.param_groups] for o in optimizers]
    mean = [p.detach().clone() for p in model.parameters()]
    behind = _resume(out, model, mean, optimizers)
    write_json(out / "recipe.json", asdict(recipe))
    sources = {name: Source(text, name) for name in recipe.sources}
    body: Any = torch.compile(model.model, dynamic=False) if compiled else model.model
    arithmetic = _arithmetic(where)
    started = kept = time.monotonic()
    with (out / "log.jsonl").open("a", encoding="utf-8") as log:
        for step in range(behind, recipe.updates):
            share = rate_at(recipe, step)
            for optimizer, highest in zip(optimizers, rates, strict=True):
                for group, rate in zip(optimizer.param_groups, highest, strict=True):
                    group["lr"] = rate * share
            tokens, labels = (t.to(where, non_blocking=True) for t in batch(recipe, sources, step))
            with arithmetic:
                loss = _loss(body, model.lm_head, tokens, labels)
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            for optimizer in optimizers:
                optimizer.step()
                optimizer.zero_grad()
            _average(recipe, mean, model, step)
            if step % 10 == 9:
                now = time.monotonic()
                speed = (step + 1 - behind) * recipe.rows * recipe.width / (now - started)
                entry = {
                    "step": step + 1,
                    "loss": round(loss.item(), 4),
                    "tokens_per_second": round(speed),
                }
                log.write(json.dumps(entry) + "\n")
                log.flush()
                progress(done=step + 1, total=recipe.updates, **entry)
                if now - kept > KEPT_EVERY:
                    _save(out, model, mean, optimizers, step + 1)
                    kept = now
    _save(out, model, mean, optimizers, recipe.updates)
    for averaged, parameter in zip(mean, model.parameters(), strict=True):
        parameter.data.copy_(averaged)
    model.save_pretrained(out / "model")
    return out / "model"
