"""Rows of a dataset as one base model sees them: with the persona's prompt, as token ids."""

from __future__ import annotations

from collections.abc import Sequence

from factory.artifacts import Dataset, Row
from factory.base import Base
from factory.chat import Example
from factory.contracts import Message
from factory.persona import inject


def examples(base: Base, rows: Sequence[Row], prompt: str) -> list[Example]:
    """Training rows with the persona's prompt in front, exactly as they will be served."""
    return [base.format.example(inject(prompt, row["messages"])) for row in rows]


def probe_prompts(data: Dataset, prompt: str, count: int) -> list[list[Message]]:
    """Conversations up to a user's question, from rows that were not trained on where there are any."""
    rows = [*data.split("test"), *data.split("validation"), *data.split("train")][:count]
    return [inject(prompt, row["messages"][:-1]) for row in rows]
