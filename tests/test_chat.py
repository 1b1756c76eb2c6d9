"""The chat format: law 7's properties, on the shipped base and on templates of other families."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer

from factory.base import STARTER
from factory.chat import ChatFormat, FormatError
from factory.contracts import Message
from factory.template import pin

CHATML = (
    "{% for m in messages %}<|im_start|> {{ m.role }}\n{{ m.content }}<|im_end|> \n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|> assistant\n{% endif %}"
)
LLAMA2 = (
    "{% if messages[0].role == 'system' %}{% set sys = '<<SYS>>' + messages[0].content + '<</SYS>> ' %}"
    "{% set messages = messages[1:] %}{% else %}{% set sys = '' %}{% endif %}"
    "{% for m in messages %}{% if m.role == 'user' %}{{ bos_token }}[INST] "
    "{{ (sys if loop.first else '') + m.content }} [/INST]{% else %} {{ m.content.strip() }} {{ eos_token }}{% endif %}{% endfor %}"
)
NO_SYSTEM = (
    "{% if messages[0].role == 'system' %}{{ raise_exception('System role not supported') }}{% endif %}"
    + CHATML
)
DROPS_SYSTEM = "{% for m in messages %}{% if m.role != 'system' %}" + (
    "<|im_start|> {{ m.role }}\n{{ m.content }}<|im_end|> \n{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|> assistant\n{% endif %}"
)
THINKING = (
    "{% for m in messages %}<|im_start|> {{ m.role }}\n"
    "{% if m.role == 'assistant' and loop.last %}<think>\n\n</think>\n\n{% endif %}"
    "{{ m.content }}<|im_end|> \n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|> assistant\n"
    "{% if enable_thinking is defined and enable_thinking is false %}<think>\n\n</think>\n\n{% endif %}{% endif %}"
)
DATED = "Today: {{ strftime_now('%d %b %Y') }}\n" + CHATML
GENERATION_TAG = (
    "{% for m in messages %}<|im_start|> {{ m.role }}\n{% generation %}{{ m.content }}<|im_end|>"
    "{% endgeneration %} \n{% endfor %}{% if add_generation_prompt %}<|im_start|> assistant\n{% endif %}"
)
NEVER_STOPS = "{% for m in messages %}{{ m.role }}: {{ m.content }}\n{% endfor %}{% if add_generation_prompt %}assistant: {% endif %}"
PROMPT_DIFFERS = CHATML.replace(
    "<|im_start|> assistant\n{% endif %}", "<|im_start|> bot\n{% endif %}"
)

FAMILIES = {
    "chatml": CHATML,
    "llama2": LLAMA2,
    "no system": NO_SYSTEM,
    "drops system": DROPS_SYSTEM,
    "thinking": THINKING,
    "dated": DATED,
    "generation tag": GENERATION_TAG,
}


def formatted(template: str) -> ChatFormat:
    tokenizer = Tokenizer.from_file(str(STARTER / "tokenizer.json"))
    return ChatFormat(template, tokenizer, {"bos_token": "<s>", "eos_token": "</s>"}, "test")


def dialogue() -> list[Message]:
    return [
        {"role": "system", "content": "Short answers."},
        {"role": "user", "content": "Tea or coffee?"},
        {"role": "assistant", "content": "Tea."},
        {"role": "user", "content": "Why?"},
        {"role": "assistant", "content": "It keeps longer warm than a promise."},
    ]


@pytest.mark.parametrize("name", FAMILIES)
def test_prompt_of_a_training_row_is_the_generation_prompt(name: str) -> None:
    chat = formatted(FAMILIES[name])
    row = chat.example(dialogue())
    prompt = chat.prompt_ids(dialogue()[:-1])
    assert row.input_ids[: len(prompt)] == prompt


@pytest.mark.parametrize("name", FAMILIES)
def test_loss_covers_the_answer_and_the_stop_token_and_nothing_else(name: str) -> None:
    chat = formatted(FAMILIES[name])
    row = chat.example(dialogue())
    start = len(chat.prompt_ids(dialogue()[:-1]))
    last = [i for i, on in zip(row.input_ids, row.loss_mask, strict=True) if on][
        -(len(row.input_ids) - start) :
    ]
    assert last[-1] == chat.stop_id
    decoded = chat.tokenizer.decode(last[:-1], skip_special_tokens=False)
    assert decoded.strip() == "It keeps longer warm than a promise."
    asked = chat.tokenizer.decode(
        [i for i, on in zip(row.input_ids, row.loss_mask, strict=True) if on]
    )
    assert "Why" not in asked
    assert "Short answers" not in asked


@pytest.mark.parametrize("name", FAMILIES)
def test_the_persona_prompt_reaches_the_model_whatever_the_template_does(name: str) -> None:
    assert "Short answers." in formatted(FAMILIES[name]).render(dialogue(), generation=True)


def test_every_turn_is_trained_unless_the_template_rewrites_earlier_ones() -> None:
    assert formatted(CHATML).example(dialogue()).trained_turns == 2
    assert formatted(THINKING).example(dialogue()).trained_turns == 1


def test_dates_are_pinned_and_pinning_twice_changes_nothing() -> None:
    chat = formatted(DATED)
    assert "26 Jul 2024" in chat.render(dialogue())
    assert pin(chat.template) == chat.template
    assert pin(pin(THINKING)) == pin(THINKING)


def test_a_template_that_never_ends_a_turn_is_refused() -> None:
    with pytest.raises(FormatError, match="token of its own"):
        formatted(NEVER_STOPS).preflight()


def test_a_generation_prompt_that_differs_from_the_row_is_refused_with_the_difference() -> None:
    with pytest.raises(FormatError) as caught:
        formatted(PROMPT_DIFFERS).preflight()
    assert "bot" in str(caught.value)
    assert "assistant" in str(caught.value)


def test_a_template_that_does_not_compile_is_refused_with_the_reason() -> None:
    with pytest.raises(FormatError, match="does not compile"):
        formatted("{% for m in messages %}{{ m.content }")


def test_notes_say_what_a_template_does_differently() -> None:
    assert any("no system role" in note for note in formatted(NO_SYSTEM).preflight())
    assert any("only the last answer" in note for note in formatted(THINKING).preflight())
    assert formatted(CHATML).preflight() == []


def test_an_answer_with_a_turn_marker_in_it_is_refused() -> None:
    row = [*dialogue()[:1], {"role": "user", "content": "Hi"}]
    with pytest.raises(FormatError, match="do not decode"):
        formatted(CHATML).example([*row, {"role": "assistant", "content": "No<|im_end|> more"}])  # type: ignore[list-item]


@settings(max_examples=60, deadline=None)
@given(
    turns=st.lists(
        st.tuples(
            st.text(
                st.characters(codec="utf-8", exclude_characters="<|>", exclude_categories=("C",)),
                min_size=1,
                max_size=40,
            ),
            st.from_regex(r"[A-Za-z][A-Za-z ,.?']{0,40}[a-z.]", fullmatch=True),
        ),
        min_size=1,
        max_size=3,
    )
)
def test_the_shipped_base_keeps_its_promises_for_any_dialogue(turns: list[tuple[str, str]]) -> None:
    chat = ChatFormat.load(STARTER)
    messages: list[Message] = []
    for user, assistant in turns:
        messages.append({"role": "user", "content": user})
        prompt = chat.prompt_ids(messages)
        messages.append({"role": "assistant", "content": assistant})
        row = chat.example(messages)
        assert row.input_ids[: len(prompt)] == prompt
        assert row.input_ids[-1] == chat.stop_id
    assert row.trained_turns == len(turns)
