"""A client's messages, brought into the one form that personas were trained on, and what that changed.

Clients send content as parts, several system messages, a developer role, tool traffic of another
model, two user messages in a row. A chat template wants system, user, assistant, user, ...
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from factory.chat import ChatFormat, FormatError
from factory.contracts import Message, Role
from factory.persona import inject
from serve.protocol import ApiError, ChatMessage, TextPart

ROLES: dict[str, Role] = {
    "system": "system",
    "developer": "system",
    "user": "user",
    "assistant": "assistant",
}
"""Roles that are kept; tool and function messages are another model's and are dropped."""


@dataclass(frozen=True, slots=True)
class Conversation:
    """What the engine is asked."""

    messages: list[Message]
    length: int
    """Tokens of the prompt; or a bound that is `plenty` or less, see `conversation`."""
    changed: tuple[str, ...]
    """What is not as the client sent it, in short codes; see `conversation`."""


def conversation(
    messages: Sequence[ChatMessage],
    *,
    prompt: str,
    client_system: Literal["append", "ignore", "reject"],
    format: ChatFormat,
    plenty: int = 0,
) -> Conversation:
    """The persona's prompt, then the client's turns.

    For a plain alternating conversation this is `inject(prompt, messages)`, the very function that
    training and evaluation used, and nothing is `changed`. Otherwise that says: `developer-as-system`,
    `system-merged`, `system-moved` to the front, `system-ignored`, `system-folded` into the user's
    turn; `tool-dropped`, `name-dropped`, `empty-dropped`; `parts-joined`; `merged-user`,
    `merged-assistant`; `assistant-first-dropped` where the template takes no such turn; and
    `control-token-broken` where a text would have ended its own turn and begun another's.

    Args:
        messages: The client's.
        prompt: The persona's; may be empty.
        client_system: What happens to system messages of the client's.
        format: The base's; what it cannot read is refused here and never reaches an engine.
        plenty: So many tokens leave room for the whole answer: a prompt that is surely shorter is not
            counted token by token.

    Raises:
        ApiError: If a message is not text, no user has spoken, a system message is not welcome, or
            the template refuses the conversation.
    """
    kept = [(i, message) for i, message in enumerate(messages) if message.role in ROLES]
    said = [_plain(message, i) for i, message in kept]
    plain = [_harmless(message, format) for message in said]
    own_system = any(_is_system(m) for m in plain)
    if client_system == "reject" and own_system:
        raise ApiError(
            400,
            "this persona does not take system messages",
            code="system_message_not_allowed",
            param="messages",
        )
    if not any(m["role"] == "user" for m in plain):
        raise ApiError(
            400, "there is no user message to answer", code="invalid_value", param="messages"
        )
    policy: Literal["append", "ignore"] = "append" if client_system == "append" else "ignore"
    changed = _changes(messages, plain, policy)
    changed += ["control-token-broken"] if plain != said else []
    turns, merged = _merge(inject(prompt, plain, client_system=policy))
    changed += merged
    if own_system and policy == "append" and not format.takes_system:
        changed.append("system-folded")
    start = int(turns[0]["role"] == "system")
    length = _length(turns, format, plenty)
    if turns[start]["role"] == "assistant" and (length is None or not format.takes_system):
        del turns[start]  # without a system role the prompt would be folded into it
        changed.append("assistant-first-dropped")
        length = _length(turns, format, plenty)
    if length is None:
        roles = ", ".join(m["role"] for m in turns)[:120]
        raise ApiError(
            400,
            f"this persona cannot read a conversation of this form: {roles}",
            code="invalid_value",
            param="messages",
        )
    return Conversation(list(format.accepted(turns)), length, tuple(dict.fromkeys(changed)))


def _length(messages: Sequence[Message], format: ChatFormat, plenty: int) -> int | None:
    """Tokens of the prompt; None if the template refuses the conversation."""
    try:
        return format.prompt_length(messages, plenty)
    except FormatError:
        return None


def _changes(
    messages: Sequence[ChatMessage], plain: Sequence[Message], policy: Literal["append", "ignore"]
) -> list[str]:
    """What is lost or moved before turns are merged."""
    found = []
    systems = [i for i, m in enumerate(plain) if _is_system(m)]
    if systems and policy == "ignore":
        found.append("system-ignored")
    elif systems:
        if any(m.role == "developer" for m in messages):
            found.append("developer-as-system")
        if len(systems) > 1:
            found.append("system-merged")
        if any(m["role"] != "system" for m in plain[: systems[-1]]):
            found.append("system-moved")
    if any(m.role not in ROLES or m.tool_calls for m in messages):
        found.append("tool-dropped")
    if any(m.name for m in messages):
        found.append("name-dropped")
    if any(m["role"] == "system" and not _is_system(m) for m in plain) or any(
        m["role"] == "assistant" and not m["content"] for m in plain
    ):
        found.append("empty-dropped")
    if any(isinstance(m.content, list) and len(m.content) > 1 for m in messages):
        found.append("parts-joined")
    return found


def _is_system(message: Message) -> bool:
    return message["role"] == "system" and bool(message["content"].strip())


def _plain(message: ChatMessage, index: int) -> Message:
    content = message.content
    if content is None:
        text = ""
    elif isinstance(content, str):
        text = content
    else:
        for k, part in enumerate(content):
            if not isinstance(part, TextPart):
                raise ApiError(
                    400,
                    f"this persona reads text only, not {part.type[:40]!r}",
                    code="unsupported_content",
                    param=f"messages.{index}.content.{k}",
                )
        text = "\n".join(part.text for part in content if isinstance(part, TextPart))
    return {"role": ROLES[message.role], "content": text}


def _harmless(message: Message, format: ChatFormat) -> Message:
    """A message whose text cannot be read as the format's own tokens: a space parts them."""
    content = message["content"]
    if format.controls is None or not format.controls.search(content):
        return message
    parted = format.controls.sub(lambda found: f"{found[0][0]} {found[0][1:]}", content)
    return {"role": message["role"], "content": parted}


def _merge(messages: Sequence[Message]) -> tuple[list[Message], list[str]]:
    """Join neighbours of the same role; an assistant's empty turn (a tool call) is no turn."""
    merged: list[Message] = []
    changed = []
    for message in messages:
        role = message["role"]
        if role == "assistant" and not message["content"]:
            continue
        if merged and merged[-1]["role"] == role:
            joined = f"{merged[-1]['content']}\n\n{message['content']}"
            merged[-1] = {"role": role, "content": joined}
            changed.append(f"merged-{role}")
        else:
            merged.append(message)
    return merged, changed
