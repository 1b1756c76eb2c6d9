"""The training text as token ids on disk: one array for each source, made once."""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain, groupby, islice
from pathlib import Path

import numpy as np
import numpy.typing as npt

from factory.artifacts import read_json, write_json
from factory.chat import ChatFormat
from factory.contracts import Message, Progress
from factory.starter import attention, corpus, tokenizer
from factory.starter.conversations import everyday, openings
from factory.starter.singles import passes, singles

Ids = npt.NDArray[np.uint16]
BOOKS = 12_000_000
"""Characters of the books that are read without a GPU."""
CONVERSATIONS = 200_000
"""Everyday conversations, and as many openings, that are written without a GPU."""
OPENING = 10
"""Tokens of an answer that an opening shows."""
WHOLE = 0.3
"""Share of the openings that show the whole answer after all: a joke comes late and must hold to its end."""
SINGLES = 4
"""Times a question that is asked once is written, each time as somebody else would type it."""


class Source:
    """Token ids of many documents end to end, which of them a trained answer holds, and where each begins."""

    def __init__(self, folder: Path, name: str) -> None:
        """Opens, without reading, what `write` wrote."""
        self.ids: Ids = np.load(folder / f"{name}.ids.npy", mmap_mode="r")
        self.answer: npt.NDArray[np.uint8] = np.load(folder / f"{name}.answer.npy", mmap_mode="r")
        self.starts: npt.NDArray[np.int64] = np.load(folder / f"{name}.starts.npy", mmap_mode="r")

    def windows(
        self, generator: np.random.Generator, count: int, width: int
    ) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.uint8]]:
        """Ids and answer marks, each [count, width], of windows that begin where a document does."""
        latest = np.searchsorted(self.starts, len(self.ids) - width, side="right")
        at = self.starts[generator.integers(0, latest, count)]
        index = at[:, None] + np.arange(width)[None, :]
        return self.ids[index].astype(np.int64), self.answer[index]


def write(folder: Path, name: str, documents: Iterable[tuple[list[int], list[bool]]]) -> int:
    """Write one source; returns its tokens."""
    ids: list[npt.NDArray[np.uint16]] = []
    marks: list[npt.NDArray[np.uint8]] = []
    starts, at = [], 0
    for tokens, answer in documents:
        ids.append(np.array(tokens, np.uint16))
        marks.append(np.array(answer, np.uint8))
        starts.append(at)
        at += len(tokens)
    np.save(folder / f"{name}.ids.npy", np.concatenate(ids))
    np.save(folder / f"{name}.answer.npy", np.concatenate(marks))
    np.save(folder / f"{name}.starts.npy", np.array(starts, np.int64))
    return at


def together(rows: Sequence[tuple[list[int], list[bool]]]) -> tuple[list[int], list[bool]]:
    """Documents that begin with the same system prompt as one, as `attention.layout` reads it."""
    ids, answer = rows[0]
    end = ids.index(ids[1], 2)  # where the second message begins
    joined, marks = ids[:end], answer[:end]
    for ids, answer in rows:
        joined += [attention.BESIDE, *ids[end:]]
        marks += [False, *answer[end:]]
    return joined, marks


def _prompt(messages: Sequence[Message]) -> str:
    return messages[0]["content"] if messages[0]["role"] == "system" else ""


def prepare(
    folder: Path,
    text: Path,
    *,
    book_characters: int,
    conversations: int,
    times: int = SINGLES,
    progress: Progress,
    pieces: int = tokenizer.PIECES,
    begin: Path | None = None,
) -> dict[str, int]:
    """Train the tokenizer and write every source as ids; does nothing where that was done.

    Args:
        folder: Working folder; gets `tokenizer/` and the sources.
        text: Folder of the corpus.
        book_characters: How much of the books to take.
        conversations: How many everyday conversations to write, and how many openings.
        times: How often every single question is written.
        progress: Told what is done.
        pieces: Size of the vocabulary.
        begin: Folder of a model whose tokenizer is taken instead of a new one.

    Returns:
        Tokens of each source.
    """
    done = folder / "tokens.json"
    if done.is_file():
        return dict(read_json(done))
    if begin:
        tokenizer.take(begin, folder / "tokenizer")
    else:
        progress(note="training the tokenizer")
        tokenizer.train(_sample(text), folder / "tokenizer", pieces)
    form = ChatFormat.load(folder / "tokenizer")

    def plain(texts: Iterable[str]) -> Iterator[tuple[list[int], list[bool]]]:
        for piece in texts:
            ids = [1, *form.encode(piece)]
            yield ids, [True] * len(ids)

    def talk(wanted: bool) -> Iterator[tuple[list[int], list[bool]]]:
        for source, messages in corpus.dialogues(text):
            if (source == "classic-books") == wanted:
                row = form.example(messages)
                yield row.input_ids, [True] * len(row.input_ids)

    def own(told: Iterable[Sequence[Message]]) -> Iterator[tuple[list[int], list[bool]]]:
        for messages in told:
            row = form.example(messages)
            yield row.input_ids, [bool(on) for on in row.loss_mask]

    def opened(told: Iterable[Sequence[Message]]) -> Iterator[tuple[list[int], list[bool]]]:
        rng = random.Random(1)
        for prompt, alike in groupby(told, _prompt):
            rows = []
            whole = rng.random() < WHOLE
            for ids, answer in own(alike):
                end = len(ids) if whole else answer.index(True) + OPENING
                rows.append((ids[:end], answer[:end]))
            yield from [together(rows)] if prompt else rows

    found = {}
    for name, documents in {
        "everyday": own(c.messages for c in islice(everyday(1), conversations)),
        "openings": opened(c.messages for c in islice(openings(1), conversations)),
        "singles": own(passes(singles(), times, 1)),
        "talk": talk(False),
        "booktalk": talk(True),
        "books": plain(corpus.books(text, book_characters)),
    }.items():
        progress(note=f"tokenising {name}")
        found[name] = write(folder, name, documents)
    write_json(done, found)
    return found


def _sample(text: Path) -> Iterator[str]:
    """What the tokenizer learns its pieces from: mostly everyday language."""
    for conversation in islice(everyday(2), 20_000):
        yield from (m["content"] for m in conversation.messages)
    for _, messages in corpus.dialogues(text):
        yield from (m["content"] for m in messages)
    yield from chain.from_iterable(piece.split("\n") for piece in corpus.books(text, 3_000_000))
