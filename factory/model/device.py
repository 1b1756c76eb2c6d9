"""Where and in what arithmetic a model runs."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import torch
from huggingface_hub.utils.tqdm import disable_progress_bars
from transformers import AutoModelForCausalLM, AutoTokenizer
from transformers.utils.logging import disable_progress_bar

from factory.base import Base
from factory.errors import TrainingError, UsageError
from factory.memory import EXACT, SMALL

T = TypeVar("T")


def device() -> torch.device:
    """The GPU of this process, else the CPU."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def scoring_dtype(parameters: int) -> torch.dtype:
    """fp32 wherever it is cheap, for log-likelihoods in bf16 are noisy; bf16 for large models on GPU."""
    return torch.bfloat16 if torch.cuda.is_available() and parameters > EXACT else torch.float32


def training_dtype(parameters: int, precision: str) -> torch.dtype:
    """What a base's weights are held in while an adapter is trained on them."""
    if precision == "qlora":
        return torch.bfloat16
    # bf16 on a CPU means fp32 weights under autocast: bf16 weights train slower there.
    if precision == "fp32" or parameters <= SMALL or device().type == "cpu":
        return torch.float32
    return torch.float16 if precision == "fp16" else torch.bfloat16


def load_model(folder: Path, dtype: torch.dtype, **options: Any) -> Any:
    """A causal language model from safetensors, in evaluation mode, on the device.

    Raises:
        UsageError: If transformers does not know the architecture or the weights do not match it.
    """
    disable_progress_bar()  # these would tear the display apart
    disable_progress_bars()
    try:
        model: Any = AutoModelForCausalLM.from_pretrained(
            folder, dtype=dtype, trust_remote_code=False, use_safetensors=True, **options
        )
    except (ValueError, KeyError, OSError, RuntimeError) as error:
        raise UsageError(
            "transformers cannot load this model",
            where=str(folder),
            got=str(error).strip().splitlines()[0][:300]
            if str(error).strip()
            else type(error).__name__,
            allowed="a causal chat model whose architecture transformers has built in",
            hint="choose another base; `factory doctor` shows the installed version",
        ) from error
    if "quantization_config" not in options:
        model = model.to(device())
    return model.eval()


def load_tokenizer(folder: Path) -> Any:
    """The tokenizer as transformers builds it."""
    return AutoTokenizer.from_pretrained(folder, trust_remote_code=False)


TOKENIZER_PROBES = (
    "Hello  there, friend!\n\nHow are you?",
    "  leading spaces and a tab\t.",
    "Numbers 1,234.5 and 你好,世界。 Ünïcödé 🙂",
    "don't [INST] <|im_start|> </s> stop",
)


def prove_tokenizer(base: Base) -> None:
    """Compare transformers' ids with the tokenizer file's own, on texts that show differences.

    Some tokenizer classes rebuild parts of `tokenizer.json` and lose spaces
    (huggingface/transformers#45488); what was trained would then not be what is served.

    Raises:
        UsageError: With the first text that differs.
    """
    tokenizer = load_tokenizer(base.folder)
    tokenizer.chat_template = base.format.template
    for text in TOKENIZER_PROBES:
        if tokenizer.encode(text, add_special_tokens=False) != base.format.encode(text):
            raise UsageError(
                "transformers reads this base's tokenizer differently from its own tokenizer.json",
                where=base.name,
                got=f"different ids for {text!r}",
                hint="set tokenizer_class to PreTrainedTokenizerFast in tokenizer_config.json",
            )
        history = [{"role": "user", "content": text}]
        theirs = tokenizer.apply_chat_template(
            history, add_generation_prompt=True, return_dict=False
        )
        if list(theirs) != base.format.prompt_ids(history):  # type: ignore[arg-type]
            raise UsageError(
                "transformers renders this base's chat template differently",
                where=base.name,
                got=f"different prompt ids for {text!r}",
                hint="please report this base; its template uses something we do not render",
            )


def free_memory() -> None:
    """Give back what deleted models held: their reference cycles, then the GPU's cache."""
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


def _ran_out(error: BaseException) -> bool:
    """Whether memory ran out; the CPU's allocator says it with a plain RuntimeError."""
    ours = isinstance(error, torch.OutOfMemoryError | MemoryError)
    return ours or (type(error) is RuntimeError and "allocate memory" in str(error))


def _first_line(error: BaseException) -> str:
    return str(error).partition("\n")[0] or "out of memory"


@contextmanager
def room_after_training() -> Iterator[None]:
    """Say what to do where the whole base does not fit once training is done.

    Raises:
        TrainingError: If memory runs out inside.
    """
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        if not _ran_out(error):
            raise
        raise TrainingError(
            "out of memory after training, with the whole base in the precision of the merge",
            got=_first_line(error),
            hint="free some memory and build again, for the training is kept; or choose a smaller base",
        ) from error


def with_ladder(attempt: Callable[[int, bool], T], batch: int, note: Callable[[str], None]) -> T:
    """Try a batch; out of memory, halve it, and at one row trade time for memory, then give up.

    The effective batch never changes: what is halved per step is made up by accumulation.

    Args:
        attempt: Called with rows per step and whether to recompute activations.
        batch: The effective batch, and the first try.
        note: Told about every step down.

    Raises:
        TrainingError: If even one row at a time does not fit.
    """
    rows, recompute = batch, False
    while True:
        try:
            return attempt(rows, recompute)
        except (MemoryError, RuntimeError) as error:
            if not _ran_out(error):
                raise
            reason = _first_line(error)
        free_memory()
        if rows > 1:
            rows = next(size for size in range(rows // 2, 0, -1) if batch % size == 0)
            note(f"out of memory: {rows} rows per step, the effective batch stays {batch}")
        elif not recompute:
            recompute = True
            note("out of memory: activations are recomputed, which is slower")
        else:
            raise TrainingError(
                "out of memory with one row at a time",
                got=reason,
                hint="choose a smaller base, shorten the rows, or set `tune.precision: qlora` on a GPU",
            )
