"""Turns one row of any known format into a conversation, or says which field is wrong and how."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from factory.contracts import Message, Role

ALPACA = ("instruction", "output", "input", "system", "history")
"""Fields of the two-field format and its options."""

_ROLES: dict[str, Role] = {
    "system": "system", "developer": "system", "user": "user", "human": "user",
    "assistant": "assistant", "gpt": "assistant", "chatgpt": "assistant", "bot": "assistant",
    "model": "assistant",
}  # fmt: skip
_OTHER_NAMES = {
    "instruction": ("prompt", "question", "query", "user", "ask", "q", "problem", "text"),
    "output": ("response", "answer", "completion", "reply", "assistant", "a", "target", "solution"),
}
"""What other people call the two fields; for the hint only."""
_KINDS = {
    str: "text", bool: "true or false", int: "a number", float: "a number", list: "a list",
    dict: "an object",
}  # fmt: skip


class BadRow(Exception):
    """A row that cannot be read: a reason code, and what a person needs to mend it."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason
        self.detail = writable(detail)


@dataclass(frozen=True, slots=True)
class Conversation:
    """What a row says, and which of its fields were not looked at."""

    messages: list[Message]
    ignored: list[str] = field(default_factory=list)


def conversation(value: Any) -> Conversation:
    """Read one row, whatever its format: it is recognised by its fields.

    Raises:
        BadRow: `not_a_row`, `missing_field`, `unknown_field`, `wrong_type`, `unknown_role` or
            `broken_encoding`; the detail names the field, the nearest name and what was found.
    """
    if not isinstance(value, dict):
        raise BadRow("not_a_row", f"a row must be an object with fields, found {show(value)}")
    if "messages" in value:
        found = _from_turns(value, "messages")
    elif "conversations" in value:
        found = _from_turns(value, "conversations")
    else:
        found = _from_alpaca(value)
    for message in found.messages:
        try:
            message["content"].encode("utf-8")
        except UnicodeEncodeError as error:
            raise BadRow(
                "broken_encoding",
                f"half a surrogate pair at character {error.start + 1} ({message['role']} turn)",
            ) from error
    return found


def from_pair(
    instruction: str,
    output: str,
    *,
    material: str = "",
    system: str = "",
    history: Iterable[Sequence[str]] = (),
) -> list[Message]:
    """A conversation from the two-field format; `material` follows, a blank line apart."""
    messages: list[Message] = [{"role": "system", "content": system}] if system.strip() else []
    for earlier, answered in history:
        messages.append({"role": "user", "content": earlier})
        messages.append({"role": "assistant", "content": answered})
    asked = "\n\n".join(part for part in (instruction, material) if part.strip())
    messages.append({"role": "user", "content": asked})
    messages.append({"role": "assistant", "content": output})
    return messages


def show(value: Any) -> str:
    """A value as a person would recognise it, short, with its kind if it is not text."""
    text = str(value) if not isinstance(value, str) else f'"{value}"'
    text = writable(text).replace("\n", "\\n")
    text = text if len(text) <= 60 else text[:57] + "..."
    if isinstance(value, str):
        return text
    return "null" if value is None else f"{_KINDS.get(type(value), 'a value')}: {text}"


def writable(text: str) -> str:
    """Text with half surrogate pairs, which JSON can hold and a file cannot, shown as `?`."""
    return text.encode("utf-8", "replace").decode("utf-8")


def nearest(wanted: str, names: Iterable[str]) -> str | None:
    """The name that was probably meant to be `wanted`, if there is one."""
    by_case = {name.strip().lower(): name for name in names if name not in ALPACA}
    for known in (wanted, *_OTHER_NAMES.get(wanted, ())):
        if known in by_case:
            return by_case[known]
    close = difflib.get_close_matches(wanted, by_case, 1, 0.7)
    return by_case[close[0]] if close else None


# --- instruction / output ----------------------------------------------------------------------


def _from_alpaca(value: dict[str, Any]) -> Conversation:
    names = list(map(str, value))
    for wanted in ("instruction", "output"):
        if wanted not in value:
            close = nearest(wanted, names)
            meant = f"; did you mean {close!r} to be {wanted!r}?" if close else ""
            found = ", ".join(names[:8]) or "no fields"
            raise BadRow("missing_field", f"`{wanted}` is missing{meant} (found: {found})")
    ignored = [name for name in names if name not in ALPACA]
    for name in ignored:
        known = difflib.get_close_matches(name.strip().lower(), ALPACA, 1, 0.75)
        if known and known[0] not in value:
            raise BadRow("unknown_field", f"`{name}` is no field; did you mean `{known[0]}`?")
    messages = from_pair(
        _text(value, "instruction"),
        _text(value, "output"),
        material=_text(value, "input", optional=True),
        system=_text(value, "system", optional=True),
        history=_history(value.get("history")),
    )
    return Conversation(messages, ignored)


def _text(value: dict[str, Any], name: str, *, optional: bool = False) -> str:
    text = value.get(name)
    if text is None and optional:
        return ""
    if not isinstance(text, str):
        raise BadRow("wrong_type", f"`{name}` must be text, found {show(text)}")
    return text


def _history(pairs: Any) -> list[list[str]]:
    if pairs is None:
        return []
    right = isinstance(pairs, list) and all(
        isinstance(pair, list) and len(pair) == 2 and all(isinstance(side, str) for side in pair)
        for pair in pairs
    )
    if not right:
        wanted = "`history` must be a list of [user, assistant] pairs"
        raise BadRow("wrong_type", f"{wanted}, found {show(pairs)}")
    return list(pairs)


# --- messages and ShareGPT ---------------------------------------------------------------------


def _from_turns(value: dict[str, Any], key: str) -> Conversation:
    turns = value[key]
    if not isinstance(turns, list):
        raise BadRow("wrong_type", f"`{key}` must be a list of turns, found {show(turns)}")
    if not turns:
        raise BadRow("missing_field", f"`{key}` is empty")
    messages = [_turn(turn, f"{key}[{number}]") for number, turn in enumerate(turns)]
    system = _text(value, "system", optional=True)
    if system.strip():
        messages.insert(0, {"role": "system", "content": system})
    return Conversation(messages, [str(name) for name in value if name not in (key, "system")])


def _turn(turn: Any, where: str) -> Message:
    if not isinstance(turn, dict):
        raise BadRow("wrong_type", f"`{where}` must be an object, found {show(turn)}")
    names = ("from", "value") if "from" in turn or "value" in turn else ("role", "content")
    for wanted in names:
        if wanted not in turn:
            close = difflib.get_close_matches(wanted, map(str, turn), 1, 0.6)
            meant = f"; did you mean {close[0]!r} to be {wanted!r}?" if close else ""
            found = ", ".join(map(str, turn)) or "no fields"
            raise BadRow("missing_field", f"`{where}.{wanted}` is missing{meant} (found: {found})")
    who, said = turn[names[0]], turn[names[1]]
    role = _ROLES.get(who.strip().lower()) if isinstance(who, str) else None
    if role is None:
        close = difflib.get_close_matches(str(who).lower(), _ROLES, 1, 0.6)
        meant = f"; did you mean {close[0]!r}?" if close else ""
        allowed = "human, gpt, system" if names[0] == "from" else "user, assistant, system"
        raise BadRow(
            "unknown_role", f"`{where}.{names[0]}` is {show(who)}{meant} (allowed: {allowed})"
        )
    return {"role": role, "content": _said(said, f"{where}.{names[1]}")}


def _said(said: Any, where: str) -> str:
    """Text of a turn; the OpenAI list-of-parts form is joined if all its parts are text."""
    if isinstance(said, str):
        return said
    if isinstance(said, list) and all(
        isinstance(part, dict) and part.get("type") == "text" and isinstance(part.get("text"), str)
        for part in said
    ):
        return "\n".join(str(part["text"]) for part in said)
    raise BadRow("wrong_type", f"`{where}` must be text, found {show(said)}")
