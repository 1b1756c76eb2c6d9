"""A client's messages, brought into the one form that personas were trained on.

Clients send content as parts, several system messages, a developer role, tool traffic of another
model, two user messages in a row. A chat template wants system, user, assistant, user, ...
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

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


def conversation(
    messages: Sequence[ChatMessage],
    *,
    prompt: str,
    client_system: Literal["append", "ignore", "reject"],
) -> list[Message]:
    """What the engine is asked: the persona's prompt, then the client's turns.

    For a plain alternating conversation this is `inject(prompt, messages)`, the very function that
    training and evaluation used.

    Raises:
        ApiError: If a message is not text, no user has spoken, or a system message is not welcome.
    """
    plain = [_plain(message, i) for i, message in enumerate(messages) if message.role in ROLES]
    if client_system == "reject" and any(_is_system(m) for m in plain):
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
    return _merge(inject(prompt, plain, client_system=policy))


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


def _merge(messages: Sequence[Message]) -> list[Message]:
    """Join neighbours of the same role; an assistant's empty turn (a tool call) is no turn."""
    merged: list[Message] = []
    for message in messages:
        if message["role"] == "assistant" and not message["content"]:
            continue
        if merged and merged[-1]["role"] == message["role"]:
            joined = f"{merged[-1]['content']}\n\n{message['content']}"
            merged[-1] = {"role": message["role"], "content": joined}
        else:
            merged.append(message)
    return merged
