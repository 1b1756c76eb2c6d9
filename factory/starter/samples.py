"""Fifty conversations with a starter, sampled as it is served and not selected, for its card.

python -m factory.starter.samples [FOLDER]
"""

from __future__ import annotations

import random
import sys
from collections.abc import Iterator

import torch

from factory.base import Base, resolve
from factory.contracts import Message
from factory.model.device import load_model
from factory.starter.conversations import held_out_phrasings, held_out_topics
from factory.starter.exam import not_covered

SEED = 50
FOLLOW_UPS = ("Why?", "Tell me more.", "Make it shorter.", "Thanks!")


def first_questions() -> list[Message]:
    """Fifty questions: thirty of covered topics in new words, ten of held-out topics, ten of neither."""
    rng = random.Random(SEED)
    chosen = [
        *rng.sample(held_out_phrasings(), 30),
        *rng.sample(held_out_topics(), 10),
        *rng.sample(not_covered(), 10),
    ]
    rng.shuffle(chosen)
    return [conversation.messages[0] for conversation in chosen]


def sample(base: Base, messages: list[Message], seed: int) -> str:
    """One answer under the model's own generation defaults."""
    model = load_model(base.folder, torch.float32)
    torch.manual_seed(seed)
    prompt = torch.tensor([base.format.prompt_ids(messages)])
    out = model.generate(prompt, attention_mask=torch.ones_like(prompt), max_new_tokens=120)
    ids = [t for t in out[0, prompt.shape[1] :].tolist() if t not in base.stop_ids]
    return base.format.tokenizer.decode(ids, skip_special_tokens=True)


def conversations(base: Base) -> Iterator[list[Message]]:
    """The fifty; every fifth has a second question."""
    rng = random.Random(SEED)
    for number, question in enumerate(first_questions()):
        talk: list[Message] = [question]
        asks = [None, rng.choice(FOLLOW_UPS)] if number % 5 == 4 else [None]
        for ask in asks:
            if ask:
                talk.append({"role": "user", "content": ask})
            talk.append({"role": "assistant", "content": sample(base, talk, SEED + number)})
        yield talk


def main() -> None:
    """Print them as Markdown."""
    base = resolve(sys.argv[1] if len(sys.argv) > 1 else "starter")
    for talk in conversations(base):
        for message in talk:
            mark = "**" if message["role"] == "user" else ""
            print(f"{mark}{message['content'].strip()}{mark}  ")
        print()


if __name__ == "__main__":
    main()
