"""What clients send becomes what the persona was trained on."""

from __future__ import annotations

from typing import Any

import pytest

from factory.persona import inject
from serve.conversation import conversation
from serve.protocol import ApiError, ChatMessage

PROMPT = "Be brief."


def turns(*pairs: tuple[str, Any]) -> list[ChatMessage]:
    return [ChatMessage.model_validate({"role": role, "content": text}) for role, text in pairs]


def roles_and_texts(messages: list[ChatMessage], policy: Any = "append") -> list[tuple[str, str]]:
    made = conversation(messages, prompt=PROMPT, client_system=policy)
    return [(m["role"], m["content"]) for m in made]


def test_a_plain_conversation_is_exactly_what_training_injects() -> None:
    plain: Any = [
        {"role": "user", "content": "Hi"},
        {"role": "assistant", "content": "Hello."},
        {"role": "user", "content": " And now?\n"},
    ]
    sent = [ChatMessage.model_validate(message) for message in plain]
    assert conversation(sent, prompt=PROMPT, client_system="append") == inject(PROMPT, plain)


@pytest.mark.parametrize(
    "sent, made",
    [
        ([("user", [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}])],
         [("system", PROMPT), ("user", "a\nb")]),
        ([("developer", "Dev."), ("user", "Hi")],
         [("system", f"{PROMPT}\n\nDev."), ("user", "Hi")]),
        ([("system", "One."), ("user", "Hi"), ("system", "Two."), ("user", "there")],
         [("system", f"{PROMPT}\n\nOne.\n\nTwo."), ("user", "Hi\n\nthere")]),
        ([("system", ""), ("user", "Hi")],
         [("system", PROMPT), ("user", "Hi")]),
        ([("user", "Hi"), ("assistant", None), ("tool", "22 degrees"), ("user", "So?")],
         [("system", PROMPT), ("user", "Hi\n\nSo?")]),
        ([("user", "Hi"), ("assistant", "a"), ("assistant", "b"), ("user", "c")],
         [("system", PROMPT), ("user", "Hi"), ("assistant", "a\n\nb"), ("user", "c")]),
    ],
)  # fmt: skip
def test_what_uis_send_is_brought_into_form(sent: Any, made: Any) -> None:
    assert roles_and_texts(turns(*sent)) == made


def test_a_client_s_system_message_is_kept_dropped_or_refused() -> None:
    sent = turns(("system", "Talk like a pirate."), ("user", "Hi"))
    assert roles_and_texts(sent, "append")[0] == ("system", f"{PROMPT}\n\nTalk like a pirate.")
    assert roles_and_texts(sent, "ignore")[0] == ("system", PROMPT)
    with pytest.raises(ApiError) as caught:
        roles_and_texts(sent, "reject")
    assert (caught.value.status, caught.value.code) == (400, "system_message_not_allowed")
    assert roles_and_texts(turns(("system", " "), ("user", "Hi")), "reject")[0][1] == PROMPT
