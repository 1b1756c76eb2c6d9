"""Hyperparameters chosen from the data and the hardware, each with its reason (no torch).

Rules and their evidence: learning rate after the size law of thinking-machines-lab/tinker-cookbook
(`5e-4 * (2000 / hidden)^p` at batch 128, square-root batch scaling, short-run factor 1.5), updates
first and epochs from them, adapters on all linear layers (arXiv 2405.09673), rank 16 because at a
fixed learning rate rank hardly matters (same cookbook).
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from factory.base import Base
from factory.errors import UsageError
from factory.hardware import GIB, Hardware
from factory.memory import SMALL, finishing, training
from factory.spec import Tune

PROJECTIONS = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")
"""The seven linear layers of a Llama-like block; never lm_head (TRL's fused loss and vLLM refuse it)."""

FURTHER_LINEARS = (
    # attention: Phi-3, MPT, Falcon and GPT-2 in one piece; DeepSeek; outputs of LFM2, Phi, StarCoder2
    *("qkv_proj", "Wqkv", "query_key_value", "c_attn"),
    *("q_a_proj", "q_b_proj", "kv_a_proj_with_mqa", "kv_b_proj"),
    *("out_proj", "dense", "c_proj"),
    # in attention's place: LFM2 and Mamba, Qwen3-Next, Qwen3.5
    *("in_proj", "in_proj_qkvz", "in_proj_qkv", "in_proj_z"),
    # MLPs: Phi-3 and GLM-4, LFM2, those without a gate, Granite's
    *("gate_up_proj", "w1", "w2", "w3"),
    *("fc1", "fc2", "fc_in", "fc_out", "c_fc", "dense_h_to_4h", "dense_4h_to_h"),
    *("input_linear", "output_linear"),
)
"""What other families in transformers call theirs. Routers, gates, convolutions and embeddings are
not among them, for a nudge there changes more than a voice."""

TOWERS = re.compile(r"vision|visual|audio")
"""Parts of a base that read no text."""

SIZE_EXPONENT = {"qwen2": 0.0775, "qwen3": 0.0775}
"""tinker-cookbook's exponent of the hidden size; 0.781 (its value for Llama) for all others."""

SHORT_RUN = 1.5
"""LoRA wants about 15 instead of 10 times the full fine-tuning rate in runs of some 100 updates."""

RATE_BAND = (5e-5, 1e-3)
"""Learning rates are never chosen outside; measured on a 7M and confirmed by the law for 14B."""

CPU_FLOPS_PER_CORE = {"amx_bf16": 1.5e11, "avx512_bf16": 6e10, "avx512f": 4e10, "avx2": 2.5e10}
"""Sustained multiply-add FLOP/s of a training step, per core; measured orders of magnitude."""

FORGETFUL = 100e6
"""Weights below which a base forgets what it knows within a hundred updates, measured at 6M: the own
answers it rehearses meanwhile keep more of it (SA-SFT, arXiv 2602.20162)."""

GPU_FLOPS = 4e13
"""Sustained FLOP/s of LoRA steps on one data-centre GPU at small batch; an order of magnitude."""


@dataclass(frozen=True, slots=True)
class Choice:
    """One decision and why."""

    name: str
    value: Any
    reason: str
    source: str = "default"
    """`default` or `yours`."""
    warning: str | None = None
    """What tends to happen at this value, if it is unusual."""


@dataclass(frozen=True, slots=True)
class Plan:
    """Everything `tune` needs to know; all values resolved."""

    choices: tuple[Choice, ...]
    updates: int
    seconds: float
    """Predicted training time."""
    memory: int
    """Predicted peak memory of training, merging and judging, bytes."""

    def __getitem__(self, name: str) -> Any:
        return next(c.value for c in self.choices if c.name == name)

    def entries(self) -> list[dict[str, Any]]:
        """The choices as plain data, for reports."""
        return [asdict(c) for c in self.choices]


def choose(
    tune: Tune,
    base: Base,
    lengths: Sequence[int],
    validation_rows: int,
    hardware: Hardware,
    questions: int = 0,
) -> Plan:
    """Resolve every hyperparameter.

    Args:
        tune: What the user fixed.
        base: The base model.
        lengths: Tokens of every training row.
        validation_rows: Rows that watch for overfitting.
        hardware: Where it will run.
        questions: Everyday questions there are for a rehearsal, in the persona's language.

    Raises:
        UsageError: If there is no row to train on, a target is not a layer of this base, or the
            model cannot be trained, merged and judged in the memory there is.
    """
    rows = len(lengths)
    if rows == 0:
        raise UsageError(
            "no row is left to train on",
            where="data",
            hint="run `factory check` to see why rows were rejected",
        )
    picked: dict[str, Choice] = {}

    def pick(name: str, value: Any, reason: str, warning: str | None = None) -> Any:
        own = getattr(tune, name)
        source = "yours" if own is not None else "default"
        value = own if own is not None else value
        if own is not None:
            reason = "set in the persona file"
        picked[name] = Choice(name, value, reason, source, warning if own is not None else None)
        return value

    big = base.parameters >= 14e9
    rank = pick(
        "rank",
        8 if big else 16,
        "large models need no more" if big else "rank hardly matters at a fixed learning rate",
        _band("rank", tune.rank, 8, 64, "too little room to learn", "more memory, no better"),
    )
    pick(
        "alpha",
        2 * rank,
        "twice the rank, so that the step size does not depend on the rank",
        _band(
            "alpha",
            tune.alpha,
            rank,
            4 * rank,
            "small steps: learns little",
            "large steps: forgets",
        ),
    )
    names = linear_names(base)
    for name in tune.targets or ():
        if name not in names or name == "lm_head":
            raise UsageError(
                "this base has no such layer to adapt",
                where="tune.targets",
                got=name,
                allowed=", ".join(sorted(names)),
            )
    pick("targets", *_targets(base))

    small = base.parameters < FORGETFUL
    rehearsal = pick(
        "rehearsal",
        min(rows, questions) if small else 0,
        "a base this small forgets less while it rehearses its own answers, a row of each for each row"
        if small and questions
        else "there are no questions for a rehearsal in this language"
        if small
        else "a base of this size keeps what it knows",
    )
    if rehearsal > questions:
        raise UsageError(
            "there are not so many questions for a rehearsal in the persona's language",
            where="tune.rehearsal",
            got=rehearsal,
            allowed=f"at most {questions}",
        )

    batch = pick(
        "batch_size",
        4 if rows < 80 else 8,
        "small batches suit LoRA and small data",
        _band("batch_size", tune.batch_size, 1, 32, "", "fewer updates: often under-trained"),
    )
    per_epoch = math.ceil((rows + rehearsal) / batch)
    wanted = min(max(round(0.75 * rows), 60), 120)
    epochs = pick(
        "epochs",
        float(min(max(round(wanted / per_epoch), 3), 8)),
        f"about {wanted} updates are wanted for {rows} rows, 3 to 8 passes are sound",
        _band("epochs", tune.epochs, 2, 10, "barely trained", "memorises; watch the held-out loss"),
    )
    updates = max(1, math.ceil(per_epoch * epochs))
    rate, law = rate_prior(base, batch)
    low, high = rate / 5, rate * 3
    pick(
        "learning_rate",
        rate,
        law,
        _band(
            "learning_rate", tune.learning_rate, low, high, "hardly moves", "unstable or forgets"
        ),
    )
    pick("warmup", 0.1, "a tenth of the updates, then down to zero along a cosine")
    pick(
        "strength", "auto", "after training: as held-out rows want and the base's own answers allow"
    )
    longest = max(lengths)
    length = pick(
        "max_length",
        min(base.window, -(-longest // 16) * 16),
        f"the longest training row has {longest} tokens; nothing is cut",
    )
    if length > base.window:
        raise UsageError(
            "max_length is above the base's window",
            where="tune.max_length",
            got=length,
            allowed=f"at most {base.window}",
        )
    if length < longest:
        raise UsageError(
            "a row is longer than max_length, and rows are never cut",
            where="tune.max_length",
            got=length,
            allowed=f"at least {longest}, the longest row",
            hint="leave max_length out, or shorten the longest rows",
        )
    precision = pick("precision", *_precision(base, hardware, batch, longest))
    if precision in ("fp16", "qlora") and not hardware.gpus:
        raise UsageError(
            "this precision needs an NVIDIA GPU",
            where="tune.precision",
            got=precision,
            allowed="fp32, or bf16 where the CPU has bf16 arithmetic",
        )
    needs = {
        f"training in {precision}": training(base, precision, batch, longest, hardware),
        "merging and judging": finishing(hardware, base),
    }
    what, memory = max(needs.items(), key=lambda need: need[1])
    if memory > hardware.budget:
        raise UsageError(
            "this base does not fit",
            where="base",
            got=f"{base.parameters / 1e9:.2f}B weights need about {memory / GIB:.1f} GiB for {what}",
            allowed=f"{hardware.budget / GIB:.1f} GiB ({hardware})",
            hint="choose a smaller base, or a machine with more memory",
        )
    tokens = sum(lengths) * (1 + rehearsal / rows) * epochs
    seconds = 5 + 4 * base.parameters * tokens / _flops(hardware) + 0.05 * updates
    return Plan(tuple(picked.values()), updates, seconds, memory)


def _band(
    name: str, value: float | None, low: float, high: float, below: str, above: str
) -> str | None:
    if value is None or low <= value <= high:
        return None
    side, what = ("below", below) if value < low else ("above", above)
    return f"{name} {value:g} is {side} the usual {low:g} to {high:g}: {what}"


def rate_prior(base: Base, batch: int) -> tuple[float, str]:
    """Learning rate by model width and batch, two significant digits, and the reason in words."""
    exponent = SIZE_EXPONENT.get(str(base.config.get("model_type")), 0.781)
    rate = 5e-4 * (2000 / base.hidden_size) ** exponent * math.sqrt(batch / 128) * SHORT_RUN
    rate = min(max(rate, RATE_BAND[0]), RATE_BAND[1])
    rate = float(f"{rate:.1e}")
    return (
        rate,
        f"size law for width {base.hidden_size} at batch {batch}; LoRA wants 10-15x the full rate",
    )


def linear_names(base: Base) -> set[str]:
    """Last names of the two-dimensional weights inside the text model's blocks, e.g. `q_proj`."""
    return {path[-1] for path in _linears(base)}


def _linears(base: Base) -> Iterator[list[str]]:
    """Paths of these weights, without `weight`."""
    for name, entry in base.headers.items():
        *path, kind = name.split(".")
        inside = any(part.isdigit() for part in path) and not TOWERS.search(name)
        if kind == "weight" and len(entry["shape"]) == 2 and inside:
            yield path


def _targets(base: Base) -> tuple[tuple[str, ...], str]:
    """The layers to adapt, and why these; all there are where none has a name that is known."""
    names = linear_names(base)
    apart = {path[-1] for path in _linears(base) if _stands_apart(path)}
    found = [name for name in PROJECTIONS if name in names]
    found += [name for name in FURTHER_LINEARS if name in names - apart]
    found = found or sorted(names)
    left = sorted(names.difference(found))
    stacked = (name for name, entry in base.headers.items() if len(entry["shape"]) == 3)
    if any("conv" not in name and not TOWERS.search(name) for name in stacked):
        left.append("stacked experts")
    if left:
        reason = f"linear layers of attention and MLP; left as they are: {', '.join(left)}"
    else:
        reason = "all linear layers learn more than attention alone"
    return tuple(found), reason


def _stands_apart(path: Sequence[str]) -> bool:
    """Whether an adapter does not reach this layer.

    transformers stacks experts into one weight, and a Mamba mixer's kernel reads the weight of its
    output layer past an adapter, so that PEFT refuses some of them.
    """
    return "experts" in path or (path[-1] == "out_proj" and path[-2] in ("mamba", "mixer"))


def _precision(base: Base, hardware: Hardware, batch: int, longest: int) -> tuple[str, str]:
    if not hardware.gpus:
        if hardware.fast_bf16:
            return "bf16", "this CPU multiplies bf16 in hardware; weights stay fp32"
        return "fp32", "this CPU has no fast bf16 arithmetic, so bf16 would only be slower"
    half, reason = "bf16", "halves the memory at no loss"
    if hardware.gpus[0].capability < (8, 0):
        half, reason = "fp16", "this GPU has no bf16 arithmetic"
    elif base.parameters <= SMALL:
        reason = "small model: fp32 weights with bf16 arithmetic lose nothing"
    if training(base, half, batch, longest, hardware) <= hardware.budget:
        return half, reason
    return "qlora", "training fits this GPU only in 4 bits; merging and judging need 16 bit"


def _flops(hardware: Hardware) -> float:
    if hardware.gpus:
        return GPU_FLOPS
    flag = next((f for f in CPU_FLOPS_PER_CORE if f in hardware.flags), "avx2")
    return CPU_FLOPS_PER_CORE[flag] * hardware.cores
