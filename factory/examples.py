"""Rows of a dataset as one base model sees them: with the persona's prompt, as token ids."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice

from factory.artifacts import Dataset, Row
from factory.base import Base
from factory.certificate import PROBE_TOKENS
from factory.chat import Example, FormatError
from factory.contracts import Message
from factory.persona import inject


def examples(base: Base, rows: Sequence[Row], prompt: str) -> list[Example]:
    """Training rows with the persona's prompt in front, exactly as they will be served.

    Raises:
        FormatError: If a row breaks a property of the chat format; names the row.
    """
    found = []
    for row in rows:
        try:
            found.append(base.format.example(inject(prompt, row["messages"])))
        except FormatError as error:
            error.where = f"{row['id']} on base {base.label}"
            raise
    return found


def plain(base: Base, text: str) -> Example:
    """A text without any template, behind the token the tokenizer begins texts with; all of it is scored.

    Without such a token the text's own first one has nothing before it and is not scored.
    """
    ids = base.format.encode(text)
    begun = list(base.format.tokenizer.encode(text).ids)
    ids = begun if begun[1:] == ids else ids
    return Example(ids, [0] + [1] * (len(ids) - 1), 0)


def probe_prompts(base: Base, data: Dataset, prompt: str, count: int) -> list[list[Message]]:
    """Conversations up to a user's question, from rows that were not trained on where there are any."""
    rows = [*data.split("test"), *data.split("validation"), *data.split("train")]
    found = (inject(prompt, row["messages"][:-1]) for row in rows)
    room = base.window - 2 * PROBE_TOKENS
    return list(islice((m for m in found if len(base.format.prompt_ids(m)) <= room), count))
