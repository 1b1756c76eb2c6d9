"""The starter's tokenizer: SentencePiece BPE with byte fallback, and its chat template."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterable
from pathlib import Path

from factory.artifacts import write_json, write_text

PIECES = 6144
FILES = ("tokenizer.model", "tokenizer.json", "tokenizer_config.json", "chat_template.jinja")
TURN, END = "<|im_start|>", "<|im_end|>"
TEMPLATE = (
    "{{ bos_token }}{% for m in messages %}"
    "{{ '<|im_start|>' + m['role'] + '\\n' + m['content'] + '<|im_end|>\\n' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"
)
"""ChatML with a system role, behind one `<s>`."""


def train(texts: Iterable[str], folder: Path, pieces: int = PIECES) -> None:
    """Train SentencePiece and write `tokenizer.model`, `tokenizer.json`, its config and the template.

    Args:
        texts: Sample of everything the model will read.
        folder: Where the files go.
        pieces: Size of the vocabulary.
    """
    import sentencepiece

    folder.mkdir(parents=True, exist_ok=True)
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(texts),
        model_prefix=str(folder / "tokenizer"),
        model_type="bpe",
        vocab_size=pieces,
        byte_fallback=True,
        character_coverage=0.9999,
        normalization_rule_name="identity",
        remove_extra_whitespaces=False,
        add_dummy_prefix=False,
        split_digits=True,
        user_defined_symbols=[TURN, END],
        unk_id=0,
        bos_id=1,
        eos_id=2,
        minloglevel=2,
        num_threads=2,
    )
    (folder / "tokenizer.vocab").unlink()
    _write_fast(folder)


def take(model: Path, folder: Path) -> None:
    """Copy the tokenizer's files, and no others, out of a model's folder."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in FILES:
        shutil.copyfile(model / name, folder / name)


def _write_fast(folder: Path) -> None:
    """`tokenizer.json`: the same pieces for the tokenizers library."""
    import sentencepiece
    from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, processors

    processor = sentencepiece.SentencePieceProcessor(str(folder / "tokenizer.model"))
    vocabulary = {processor.id_to_piece(k): k for k in range(processor.get_piece_size())}
    tokenizer = Tokenizer(
        models.BPE(
            vocabulary, _merges(vocabulary), byte_fallback=True, fuse_unk=True, unk_token="<unk>"
        )
    )
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="never", split=False)
    tokenizer.decoder = decoders.Sequence(
        [decoders.Replace("\u2581", " "), decoders.ByteFallback(), decoders.Fuse()]
    )
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A", pair="<s> $A <s> $B", special_tokens=[("<s>", 1)]
    )
    tokenizer.add_special_tokens(
        [AddedToken(text, normalized=False) for text in ("<unk>", "<s>", "</s>", TURN, END)]
    )
    write_text(
        folder / "tokenizer.json", json.dumps(json.loads(tokenizer.to_str()), ensure_ascii=False)
    )
    write_text(folder / "chat_template.jinja", TEMPLATE)
    write_json(
        folder / "tokenizer_config.json",
        {
            "tokenizer_class": "PreTrainedTokenizerFast",
            "bos_token": "<s>",
            "eos_token": END,
            "pad_token": "</s>",
            "unk_token": "<unk>",
            "clean_up_tokenization_spaces": False,
            "model_max_length": 1024,
        },
    )


def _merges(vocabulary: dict[str, int]) -> list[tuple[str, str]]:
    """Every way to build a piece from two others, in the order in which the pieces were found."""
    found = []
    for piece, rank in vocabulary.items():
        ways = [
            (vocabulary[piece[:k]], vocabulary[piece[k:]], piece[:k], piece[k:])
            for k in range(1, len(piece))
            if piece[:k] in vocabulary and piece[k:] in vocabulary
        ]
        if not piece.startswith("<"):
            found += [(rank, left, right, a, b) for left, right, a, b in ways]
    return [(a, b) for *_, a, b in sorted(found)]
