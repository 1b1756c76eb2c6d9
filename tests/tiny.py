"""Tiny real chat models, built from config in under a second: what tests tune, merge and serve.

Each kind has what makes its family hard, so that nothing passes here and fails on a real model:
`llama` a SentencePiece-style tokenizer and tied embeddings; `qwen2` a default system prompt, biases
and untied embeddings; `qwen3` a thinking switch, thoughts stripped from earlier turns and tied
embeddings. The qwen kinds pad the embedding beyond the tokenizer, as the real ones do.

The weights are random: a tiny model knows nothing, and what it says before tuning is noise.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

Kind = Literal["llama", "qwen2", "qwen3"]
KINDS: tuple[Kind, ...] = ("llama", "qwen2", "qwen3")

ROOT = Path(__file__).resolve().parents[1]
STARTER = ROOT / "factory" / "starter" / "weights"
WINDOW = 512

_SHAPE: dict[str, Any] = {
    "hidden_size": 64,
    "intermediate_size": 128,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "head_dim": 32,  # the smallest head that vLLM's CPU attention takes
    "max_position_embeddings": WINDOW,
    # Wider than the usual 0.02, so that greedy choices are clear and not decided by rounding.
    "initializer_range": 0.1,
    "dtype": "float32",
}

_QWEN_SPLIT = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*"
    r"|\s*[\r\n]+|\s+(?!\S)|\s+"
)

_QWEN2_TEMPLATE = """\
{%- if messages[0]['role'] == 'system' %}
    {{- '<|im_start|>system\\n' + messages[0]['content'] + '<|im_end|>\\n' }}
{%- else %}
    {{- '<|im_start|>system\\nYou are Qwen, created by Alibaba Cloud. You are a helpful assistant.<|im_end|>\\n' }}
{%- endif %}
{%- for message in messages %}
    {%- if message.role == 'user' or message.role == 'assistant' or (message.role == 'system' and not loop.first) %}
        {{- '<|im_start|>' + message.role + '\\n' + message.content + '<|im_end|>' + '\\n' }}
    {%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|im_start|>assistant\\n' }}
{%- endif %}
"""

_QWEN3_TEMPLATE = """\
{%- if messages[0].role == 'system' %}
    {{- '<|im_start|>system\\n' + messages[0].content + '<|im_end|>\\n' }}
{%- endif %}
{%- set ns = namespace(last_query_index=messages|length - 1) %}
{%- for message in messages %}
    {%- if message.role == 'user' %}
        {%- set ns.last_query_index = loop.index0 %}
    {%- endif %}
{%- endfor %}
{%- for message in messages %}
    {%- if message.role == 'user' or (message.role == 'system' and not loop.first) %}
        {{- '<|im_start|>' + message.role + '\\n' + message.content + '<|im_end|>' + '\\n' }}
    {%- elif message.role == 'assistant' %}
        {%- set content = message.content %}
        {%- set reasoning_content = '' %}
        {%- if message.reasoning_content is string %}
            {%- set reasoning_content = message.reasoning_content %}
        {%- elif '</think>' in content %}
            {%- set reasoning_content = content.split('</think>')[0].rstrip('\\n').split('<think>')[-1].lstrip('\\n') %}
            {%- set content = content.split('</think>')[-1].lstrip('\\n') %}
        {%- endif %}
        {%- if loop.index0 > ns.last_query_index and (loop.last or reasoning_content) %}
            {{- '<|im_start|>assistant\\n<think>\\n' + reasoning_content.strip('\\n') + '\\n</think>\\n\\n' + content.lstrip('\\n') }}
        {%- else %}
            {{- '<|im_start|>assistant\\n' + content }}
        {%- endif %}
        {{- '<|im_end|>\\n' }}
    {%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|im_start|>assistant\\n' }}
    {%- if enable_thinking is defined and enable_thinking is false %}
        {{- '<think>\\n\\n</think>\\n\\n' }}
    {%- endif %}
{%- endif %}
"""


def tiny_base(kind: Kind, folder: Path, seed: int = 0) -> Path:
    """Write a tiny chat model of one family.

    Args:
        kind: The family.
        folder: Where to; made if it is missing.
        seed: Of the random weights.

    Returns:
        `folder`, a standard Hugging Face model folder: config, generation config, tokenizer,
        chat template and fp32 safetensors.
    """
    folder.mkdir(parents=True, exist_ok=True)
    if kind == "llama":
        _llama_tokenizer(folder)
    else:
        _qwen_tokenizer(kind, folder)
    _weights(kind, folder, seed)
    return folder


def _weights(kind: Kind, folder: Path, seed: int) -> None:
    import torch
    from tokenizers import Tokenizer
    from transformers import (
        AutoModelForCausalLM,
        GenerationConfig,
        LlamaConfig,
        PreTrainedConfig,
        Qwen2Config,
        Qwen3Config,
    )

    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    size = tokenizer.get_vocab_size()
    end = tokenizer.token_to_id("<|im_end|>")
    pad = tokenizer.token_to_id("</s>" if kind == "llama" else "<|endoftext|>")
    config: PreTrainedConfig
    match kind:
        case "llama":
            config = LlamaConfig(
                **_SHAPE, vocab_size=size, tie_word_embeddings=True, num_key_value_heads=2
            )
            config.bos_token_id = tokenizer.token_to_id("<s>")
        case "qwen2":
            shape = {key: value for key, value in _SHAPE.items() if key != "head_dim"}
            config = Qwen2Config(
                **shape, vocab_size=_padded(size), tie_word_embeddings=False, num_key_value_heads=1
            )
        case "qwen3":
            config = Qwen3Config(
                **_SHAPE, vocab_size=_padded(size), tie_word_embeddings=True, num_key_value_heads=1
            )
    config.eos_token_id, config.pad_token_id = end, pad
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = AutoModelForCausalLM.from_config(config, dtype=torch.float32)
    model.generation_config = GenerationConfig(
        bos_token_id=config.bos_token_id,
        eos_token_id=end if kind == "llama" else [end, pad],
        pad_token_id=pad,
        do_sample=True,
        temperature=0.7,
        top_p=0.8,
    )
    model.save_pretrained(folder)


def _padded(size: int) -> int:
    return -(-size // 64) * 64


def _llama_tokenizer(folder: Path) -> None:
    for name in ("tokenizer.json", "tokenizer.model", "chat_template.jinja"):
        shutil.copyfile(STARTER / name, folder / name)
    settings = json.loads((STARTER / "tokenizer_config.json").read_text("utf-8"))
    _write_json(folder / "tokenizer_config.json", {**settings, "model_max_length": WINDOW})


def _qwen_tokenizer(kind: Kind, folder: Path) -> None:
    from tokenizers import (
        AddedToken,
        Regex,
        Tokenizer,
        decoders,
        models,
        normalizers,
        pre_tokenizers,
        trainers,
    )

    tokenizer = Tokenizer(models.BPE())
    tokenizer.normalizer = normalizers.NFC()
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(_QWEN_SPLIT), behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=800,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(_texts(), trainer)
    specials = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
    tokenizer.add_special_tokens([AddedToken(word, special=True) for word in specials])
    if kind == "qwen3":
        tokenizer.add_tokens([AddedToken(word) for word in ("<think>", "</think>")])
    tokenizer.save(str(folder / "tokenizer.json"))
    template = _QWEN3_TEMPLATE if kind == "qwen3" else _QWEN2_TEMPLATE
    (folder / "chat_template.jinja").write_text(template, "utf-8")
    _write_json(
        folder / "tokenizer_config.json",
        {
            "tokenizer_class": "Qwen2Tokenizer",
            "add_prefix_space": False,
            "bos_token": None,
            "eos_token": "<|im_end|>",
            "pad_token": "<|endoftext|>",
            "unk_token": None,
            "errors": "replace",
            "split_special_tokens": False,
            "clean_up_tokenization_spaces": False,
            "model_max_length": WINDOW,
        },
    )


def _texts() -> Iterator[str]:
    """A few hundred lines of the personas that ship, English and Chinese."""
    for file in sorted((ROOT / "personas").glob("*.jsonl")):
        for line in file.read_text("utf-8").splitlines()[:60]:
            row = json.loads(line)
            yield f"{row.get('instruction', '')}\n{row.get('output', '')}"


def _write_json(path: Path, value: Any) -> None:
    path.write_text(json.dumps(value, indent=2, ensure_ascii=False) + "\n", "utf-8")
