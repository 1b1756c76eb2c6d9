"""The trained model as the folder that ships."""

from __future__ import annotations

import shutil
from pathlib import Path

from factory.artifacts import write_json


def export(weights: Path, tokenizer: Path, folder: Path) -> Path:
    """Write weights in bf16, tokenizer, template and generation defaults; returns the folder."""
    import torch
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(weights, dtype=torch.bfloat16)
    folder.mkdir(parents=True, exist_ok=True)
    model.save_pretrained(folder)
    for file in tokenizer.iterdir():
        shutil.copyfile(file, folder / file.name)
    write_json(
        folder / "generation_config.json",
        {
            "bos_token_id": 1,
            "eos_token_id": 4,
            "pad_token_id": 2,
            "do_sample": True,
            "temperature": 0.4,  # a small model loses the thread sooner than a large one
            "top_p": 0.9,
        },
    )
    return folder
