"""Looks at one row at a time: mends its text, then keeps it or says why not."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

from factory.artifacts import Row
from factory.chat import FormatError
from factory.contracts import Message
from factory.persona import inject
from factory.rows import checks, private
from factory.rows.language import NAMES, about_language, mismatch
from factory.rows.repair import mend
from factory.rows.words import count_words, tokens
from factory.rules import check
from factory.spec import Curate, Rule


class Format(Protocol):
    """The part of a chat format that is needed here."""

    @property
    def controls(self) -> re.Pattern[str] | None:
        """Finds what is read as a control token; None if nothing is."""
        ...

    def token_count(self, messages: Sequence[Message]) -> int:
        """Length of a rendered conversation in tokens."""
        ...

    def example(self, messages: Sequence[Message]) -> object:
        """The conversation as it is trained on; raises FormatError if it cannot be."""
        ...


class Base(Protocol):
    """The part of a base model that is needed here."""

    @property
    def window(self) -> int:
        """Longest conversation in tokens."""
        ...

    @property
    def format(self) -> Format:
        """How it writes conversations."""
        ...

    @property
    def digest(self) -> str:
        """Hash of everything that decides what it computes."""
        ...


@dataclass(slots=True)
class Entry:
    """What is known of one input row; its text is kept elsewhere."""

    id: str
    ask: str = ""
    """What the row is about, for comparison: all user turns."""
    system: str = ""
    """Its own system text; rows with another one are never repeats of each other."""
    reason: str | None = None
    """Why it is rejected; None if it is not."""
    detail: str = ""
    repairs: list[str] = field(default_factory=list)
    warnings: dict[str, str] = field(default_factory=dict)
    """Reason code to detail of what is only warned of."""
    words: int = 0
    """Words of the last answer."""
    tokens: int = 0
    """Tokens of the whole conversation, persona prompt included."""
    unfinished: bool = False
    """Whether the last answer has no final stop."""
    split: str | None = None
    side: str | None = None
    """The split it was written for, if it was."""
    place: int = 0
    """Where its conversation is in the spool."""

    def reject(self, reason: str, detail: str) -> None:
        """Give the row up for this reason; the first reason stands."""
        if self.reason is None:
            self.reason, self.detail = reason, detail


class Examiner:
    """Checks rows that need no other row to be judged, and rows that are equal to an earlier one.

    Args:
        config: The persona file's `curate` section.
        language: Two-letter code of the answers.
        rules: The persona's rules.
        prompt: The persona's system prompt; counts towards the length.
        base: The base model whose window and chat format a row must fit.
    """

    def __init__(
        self, config: Curate, language: str, rules: Sequence[Rule], prompt: str, base: Base
    ) -> None:
        self.config = config
        self.language = language
        self.rules = rules
        self.prompt = prompt
        self.base = base
        self._own: frozenset[str] = frozenset()
        self._seen: dict[bytes, str] = {}

    def look(self, row: Row) -> tuple[Entry, list[Message]]:
        """Mend and check a row; returns what was found and the mended conversation."""
        entry = Entry(row["id"], repairs=list(row.get("repairs", [])), side=row.get("side"))
        messages = self._mended(entry, row["messages"])
        wrong = checks.turns(messages)
        if wrong:
            entry.reject("bad_turns", wrong)
        blank = checks.empty(messages)
        if blank:
            entry.reject("empty_text", blank)
        if entry.reason is None:
            self._check_controls(entry, messages)
            self._check_answers(entry, messages, seed=":seed " in row["id"])
            self._check_private(entry, messages)
            self._measure(entry, messages)
            self._check_repeated(entry, messages)
        return entry, messages

    def _mended(self, entry: Entry, messages: Sequence[Message]) -> list[Message]:
        mended: list[Message] = []
        for number, message in enumerate(messages, 1):
            fixed = mend(message["content"])
            if fixed.lost:
                entry.reject(fixed.lost, f"turn {number} ({message['role']}): {fixed.detail}")
            entry.repairs += [code for code in fixed.repairs if code not in entry.repairs]
            mended.append({"role": message["role"], "content": fixed.text})
        return mended

    def _check_controls(self, entry: Entry, messages: Sequence[Message]) -> None:
        for number, message in enumerate(messages, 1):
            token = checks.control_token(message["content"], self.base.format.controls)
            if token:
                place = f"turn {number} ({message['role']})"
                entry.reject("control_token", f"{place}: {token} is no text to the base model")

    def _check_answers(self, entry: Entry, messages: Sequence[Message], *, seed: bool) -> None:
        answers = [m["content"] for m in messages if m["role"] == "assistant"]
        if seed:
            for answer in answers:
                self._own |= checks.canned(answer)
        for answer in answers:
            habit = checks.boilerplate(answer, self._own)
            if habit:
                entry.reject("boilerplate", habit)
            torn = checks.cut_off(answer)
            if torn:
                entry.reject("cut_off", torn)
        self._check_language(entry, messages, "\n".join(answers))
        for answer in answers:
            breaks = check(self.rules, answer)
            if breaks and self.config.rule_breaks == "reject":
                entry.reject("rule_break", "; ".join(breaks))
            elif breaks:
                entry.warnings["rule_break"] = "; ".join(breaks)

    def _check_language(self, entry: Entry, messages: Sequence[Message], answers: str) -> None:
        if not self.config.language_check or about_language(messages):
            return
        other = mismatch(answers, self.language)
        if other:
            wanted = NAMES.get(self.language, self.language)
            entry.reject("wrong_language", f"looks like {NAMES.get(other, other)}, not {wanted}")

    def _check_private(self, entry: Entry, messages: Sequence[Message]) -> None:
        kinds = private.find("\n\n".join(message["content"] for message in messages))
        if kinds and self.config.personal_data == "reject":
            entry.reject("personal_data", ", ".join(kinds))
        elif kinds:
            entry.warnings["personal_data"] = ", ".join(kinds)

    def _measure(self, entry: Entry, messages: Sequence[Message]) -> None:
        answer = messages[-1]["content"]
        entry.words = count_words(answer)
        entry.unfinished = checks.unfinished(answer)
        spoken = inject(self.prompt, messages)
        entry.tokens = self.base.format.token_count(spoken)
        if entry.tokens > self.base.window:
            room = f"the base model's window is {self.base.window}"
            entry.reject("too_long", f"{entry.tokens} tokens; {room}")
        if entry.reason is None:
            try:
                self.base.format.example(spoken)
            except FormatError as error:  # one row that cannot be trained is no reason to stop
                entry.reject("chat_format", f"{error.what}: {error.got}")

    def _check_repeated(self, entry: Entry, messages: Sequence[Message]) -> None:
        entry.ask = "\n".join(m["content"] for m in messages if m["role"] == "user")
        entry.system = "".join(m["content"] for m in messages if m["role"] == "system")
        if entry.reason is not None:
            return
        said = [f"{message['role']} {' '.join(tokens(message['content']))}" for message in messages]
        key = hashlib.blake2b("\n".join(said).encode(), digest_size=16).digest()
        first = self._seen.setdefault(key, entry.id)
        if first != entry.id:
            entry.reject("duplicate", f"the same as {first}")
