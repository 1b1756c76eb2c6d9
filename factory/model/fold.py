"""Folding an adapter into its base, as a standard Hugging Face folder."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import Any

import torch
from peft import PeftModel
from transformers import GenerationConfig

from factory.artifacts import write_json, write_text
from factory.base import Base
from factory.errors import TrainingError
from factory.memory import EXACT
from factory.model.device import load_model

FP32_UP_TO = 1_000_000_000
"""Up to this many weights the merged model is stored in fp32: rounding to 16 bit is then avoidable
noise, and 4 GB are not much. Larger models keep the base's own precision."""

WEIGHT_DTYPES = {"F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16}
"""Names in safetensors headers of what weights are stored in."""

TOKENIZER_FILES = (
    "tokenizer.json", "tokenizer.model", "special_tokens_map.json", "added_tokens.json",
    "vocab.json", "merges.txt", "spiece.model",
)  # fmt: skip


def stored_dtype(base: Base) -> torch.dtype:
    """The precision the merged model is stored in."""
    if base.parameters <= FP32_UP_TO:
        return torch.float32
    found = {entry["dtype"] for entry in base.headers.values()}
    return torch.float16 if found == {"F16"} else torch.bfloat16


def exact_dtype(base: Base) -> torch.dtype:
    """The precision to compute the fold and the reference in: fp32 where memory allows it."""
    return torch.float32 if base.parameters <= EXACT else stored_dtype(base)


def starts_alike(dtype: torch.dtype, base: Base) -> bool:
    """Whether a base loaded in this precision has the very weights that the merge starts from.

    bf16 rounds what is stored in fp16 or fp32; what an adapter on rounded weights says is then not
    what the merged model says.
    """
    if dtype == exact_dtype(base):
        return True
    stored = {WEIGHT_DTYPES.get(entry["dtype"], dtype) for entry in base.headers.values()}
    return all(torch.promote_types(dtype, one) == dtype for one in stored)


def load_adapter(base: Base, adapter: Path, dtype: torch.dtype) -> Any:
    """The base with the adapter from disk on it, unmerged."""
    model = PeftModel.from_pretrained(load_model(base.folder, dtype), str(adapter))
    return model.eval()


def fold(base: Base, adapter: Path, out: Path) -> None:
    """Write the merged model with tokenizer, template and generation config intact.

    The fold is computed in fp32 (in the stored precision for models above 3e9 weights) and rounded
    once. The template written is the pinned one, so that every engine renders what was trained.

    Raises:
        TrainingError: If the merged weights hold NaN or lost or gained a tensor.
    """
    dtype = stored_dtype(base)
    merged = (
        load_adapter(base, adapter, exact_dtype(base)).merge_and_unload(safe_merge=True).to(dtype)
    )
    broken = [n for n, p in merged.named_parameters() if not torch.isfinite(p).all()]
    if broken:
        raise TrainingError("the merged model holds NaN or infinite weights", where=broken[0])
    merged.generation_config = GenerationConfig()  # an odd one would be refused; ours follows below
    merged.save_pretrained(str(out), safe_serialization=True)
    copy_tokenizer(base, out)
    write_json(out / "generation_config.json", {**base.generation, "eos_token_id": base.stop_ids})
    written = Base(base.name, out, None).headers
    # A causal model leaves parts of some bases out on purpose: towers for images, heads that predict
    # several tokens. It names them by patterns; inv_freq is a buffer, not a weight.
    left_out = re.compile(
        "|".join([*(merged._keys_to_ignore_on_load_unexpected or ()), "inv_freq$"])
    )
    expected = {name for name in base.headers if not left_out.search(name)}
    if missing := expected - set(written) - {"lm_head.weight"}:
        raise TrainingError("the merged model lost a tensor of the base", got=sorted(missing)[0])
    if base.config.get("tie_word_embeddings") and "lm_head.weight" in written:
        raise TrainingError("the merged model's tied embeddings came untied")


def copy_tokenizer(base: Base, out: Path) -> None:
    """The base's tokenizer files byte for byte, with the pinned template in its own file."""
    for name in TOKENIZER_FILES:
        if (base.folder / name).is_file():
            shutil.copyfile(base.folder / name, out / name)
    file = base.folder / "tokenizer_config.json"
    config = json.loads(file.read_text("utf-8")) if file.is_file() else {}
    config.pop("chat_template", None)  # one owner: the file beside it
    write_json(out / "tokenizer_config.json", config)
    write_text(out / "chat_template.jinja", base.format.template)
