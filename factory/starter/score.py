"""How good a starter is: bits per byte, answers that are right, that stop, and that do not repeat."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import torch

from factory.base import Base
from factory.model.device import load_model
from factory.model.score import generate, token_log_likelihoods
from factory.starter.conversations import Conversation

ANSWER_TOKENS = 160


@dataclass(frozen=True, slots=True)
class Answer:
    """What a model said, greedily, to one conversation's last question."""

    conversation: Conversation
    text: str
    stopped: bool

    @property
    def right(self) -> bool:
        """Whether it holds one of the words that a right answer holds."""
        low = self.text.lower()
        return any(mark in low for mark in self.conversation.marks)

    @property
    def repeats(self) -> bool:
        """Whether any four words in a row come three times, or any sentence twice."""
        words = self.text.lower().split()
        fours = Counter(tuple(words[k : k + 4]) for k in range(len(words) - 3))
        sentences = Counter(s.strip() for s in self.text.lower().split(".") if len(s.split()) > 2)
        return max(fours.values(), default=0) > 2 or max(sentences.values(), default=0) > 1


def bits_per_byte(base: Base, conversations: Sequence[Conversation]) -> float:
    """Bits the model needs for one byte of the answers, given what comes before them.

    Unlike perplexity it compares models with different tokenizers.
    """
    model = load_model(base.folder, torch.float32)
    rows = [base.format.example(c.messages) for c in conversations]
    nats = -sum(score.total for score in token_log_likelihoods(model, rows, batch=16))
    size = sum(
        len(m["content"].encode())
        for c in conversations
        for m in c.messages
        if m["role"] == "assistant"
    )
    return nats / math.log(2) / size


def answers(base: Base, conversations: Sequence[Conversation]) -> list[Answer]:
    """Greedy answers to every conversation's last question; its own answer is not shown."""
    model = load_model(base.folder, torch.float32)
    prompts = [
        base.format.prompt_ids(
            [*c.messages[:-1]] if c.messages[-1]["role"] == "assistant" else c.messages
        )
        for c in conversations
    ]
    found = generate(model, prompts, stop_ids=base.stop_ids, max_new_tokens=ANSWER_TOKENS, batch=16)
    return [
        Answer(c, base.format.tokenizer.decode(g.token_ids, skip_special_tokens=True), g.stopped)
        for c, g in zip(conversations, found, strict=True)
    ]
