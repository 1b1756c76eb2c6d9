"""The one owner of the chat format: messages in, token ids and loss mask out (law 7).

Renders the base model's own template and tokenises with its own `tokenizer.json`, without torch or
transformers, so that `factory check` can prove the format before anything is spent. That the result
equals what transformers and vLLM make of the same request is proven again at intake and after merge.

The template is pinned when loaded: dates are frozen and thinking is switched off, because a prompt
that differs between training and serving is the commonest way to lose a tuned voice.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from jinja2 import TemplateError
from tokenizers import Tokenizer

from factory.contracts import Message
from factory.errors import UsageError
from factory.template import environment, pin, read_template

SPECIAL_KEYS = (
    "bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Example:
    """One training row.

    `input_ids` and `loss_mask` have the same length; the mask is 1 on the assistant's tokens and
    its stop token, 0 elsewhere.
    """

    input_ids: list[int]
    loss_mask: list[int]
    trained_turns: int
    """Assistant turns inside the loss."""


class FormatError(UsageError):
    """The base's chat template breaks a property that training depends on."""


class ChatFormat:
    """Renders and tokenises conversations for one base model.

    Args:
        template: Jinja chat template; pinned here.
        tokenizer: The base's fast tokenizer.
        special: Template variables such as `bos_token`.
        where: What error messages name as the place, usually the base's name.
    """

    def __init__(
        self, template: str, tokenizer: Tokenizer, special: dict[str, str], where: str
    ) -> None:
        self.template = pin(template)
        self.tokenizer = tokenizer
        self.special = special
        self.where = where
        try:
            self._compiled = environment().from_string(self.template)
        except TemplateError as error:
            raise FormatError(
                "the chat template does not compile",
                where=where,
                got=str(error),
                hint="mend chat_template.jinja in the base folder, or choose another base",
            ) from error

    @classmethod
    def load(cls, folder: Path, where: str | None = None) -> ChatFormat:
        """Read template and tokenizer from a model folder.

        Raises:
            UsageError: If either is missing or unreadable.
        """
        where = where or str(folder)
        file = folder / "tokenizer.json"
        if not file.is_file():
            raise UsageError(
                "this base has no tokenizer.json",
                where=where,
                got=", ".join(sorted(p.name for p in folder.iterdir()))[:200] or "an empty folder",
                hint="save it once with AutoTokenizer.from_pretrained(...).save_pretrained(FOLDER)",
            )
        template = read_template(folder)
        if template is None:
            raise UsageError(
                "this base has no chat template, so it is not a chat model",
                where=where,
                allowed="chat_template.jinja, or chat_template in tokenizer_config.json",
                hint="choose the instruct or chat variant of this base",
            )
        try:
            tokenizer = Tokenizer.from_file(str(file))
        except Exception as error:  # the library raises bare Exception
            raise UsageError(
                "tokenizer.json cannot be read", where=str(file), got=str(error)
            ) from error
        tokenizer.no_padding()
        tokenizer.no_truncation()
        config_file = folder / "tokenizer_config.json"
        config = json.loads(config_file.read_text("utf-8")) if config_file.is_file() else {}
        special = {}
        for key in SPECIAL_KEYS:
            value = config.get(key)
            if isinstance(value, dict):
                value = value.get("content")
            if isinstance(value, str):
                special[key] = value
        return cls(template, tokenizer, special, where)

    @property
    def digest(self) -> str:
        """SHA-256 of the pinned template and the tokenizer: what decides the ids."""
        text = self.template + "\0" + self.tokenizer.to_str()
        return hashlib.sha256(text.encode("utf-8")).hexdigest()

    @property
    def template_sha256(self) -> str:
        """SHA-256 of the pinned template."""
        return hashlib.sha256(self.template.encode("utf-8")).hexdigest()

    # --- rendering -----------------------------------------------------------------------------

    def render(self, messages: Sequence[Message], *, generation: bool = False) -> str:
        """The conversation as text; with `generation`, up to where the assistant begins to write.

        Raises:
            FormatError: If the template refuses the conversation.
        """
        return self._render(self.accepted(messages), generation)

    def accepted(self, messages: Sequence[Message]) -> Sequence[Message]:
        """The conversation as this template takes it: system text folded where it has no such role."""
        return messages if self.takes_system else fold_system(messages)

    def _render(self, messages: Sequence[Message], generation: bool) -> str:
        try:
            return self._compiled.render(
                messages=messages, add_generation_prompt=generation, tools=None, **self.special
            )
        except (TemplateError, TypeError, ValueError, KeyError, AttributeError) as error:
            raise FormatError(
                "the chat template cannot render this conversation",
                where=self.where,
                got=f"{type(error).__name__}: {error} (roles: {', '.join(m['role'] for m in messages)})",
                hint="choose another base, or mend its chat_template.jinja",
            ) from error

    @cached_property
    def takes_system(self) -> bool:
        """Whether the template accepts a system message and shows it; else it is folded."""
        probe: list[Message] = [
            {"role": "system", "content": "sentinel-system"},
            {"role": "user", "content": "sentinel-user"},
        ]
        try:
            text = self._render(probe, True)
        except FormatError:
            return False
        return "sentinel-system" in text and "sentinel-user" in text

    def encode(self, text: str) -> list[int]:
        """Token ids of rendered text; nothing is added, for the template wrote it all."""
        return list(self.tokenizer.encode(text, add_special_tokens=False).ids)

    def prompt_ids(self, messages: Sequence[Message]) -> list[int]:
        """Ids of the generation prompt of a history."""
        return self.encode(self.render(messages, generation=True))

    def prompt_length(self, messages: Sequence[Message], plenty: int = 0) -> int:
        """Tokens of the generation prompt of a history, exact wherever it matters.

        A token is at least a byte. Where even so many would be within `plenty`, their number is the answer:
        counting takes most of the time that preparing a short request takes.
        """
        text = self.render(messages, generation=True)
        most = len(text.encode("utf-8"))
        return most if most <= plenty else len(self.encode(text))

    def token_count(self, messages: Sequence[Message]) -> int:
        """Length of a whole conversation, in tokens."""
        return len(self.encode(self.render(messages)))

    # --- training rows -------------------------------------------------------------------------

    @cached_property
    def controls(self) -> re.Pattern[str] | None:
        """Finds what is read as a control token wherever it stands, such as `<|im_end|>`; None if nothing is.

        Added tokens that are neither special nor the template's are ordinary text, such as runs of spaces.
        """
        added = self.tokenizer.get_added_tokens_decoder().values()
        found = [t.content for t in added if t.special or t.content in self.template]
        longest_first = sorted(filter(str.strip, found), key=len, reverse=True)
        return re.compile("|".join(map(re.escape, longest_first))) if longest_first else None

    @cached_property
    def added_ids(self) -> frozenset[int]:
        """Ids of the tokens that text never spells: special ones, and markers such as <|im_end|>.

        Not every tokenizer flags its turn markers as special, so all added tokens count.
        """
        added = json.loads(self.tokenizer.to_str()).get("added_tokens") or []
        return frozenset(token["id"] for token in added)

    @cached_property
    def stop_id(self) -> int:
        """Id of the token that ends an assistant turn.

        Raises:
            FormatError: If the template ends the turn with no token of its own: a model trained on it
                could never learn to stop.
        """
        history: list[Message] = [{"role": "user", "content": "Hello"}]
        turn: Message = {"role": "assistant", "content": "sentinel"}
        rest = self._completion(history, turn).partition("sentinel")[2]
        for token in self.encode(rest):
            if token in self.added_ids:
                return token
        raise FormatError(
            "the chat template ends an assistant turn without a token of its own",
            where=self.where,
            got=repr(rest[:40]),
            allowed="a stop token such as <|im_end|> or </s> after every assistant turn",
            hint="a model tuned on this template would never stop; choose another base",
        )

    def _completion(self, history: Sequence[Message], turn: Message) -> str:
        prompt = self.render(history, generation=True)
        full = self.render([*history, turn])
        if not full.startswith(prompt):
            at = next(
                (i for i, (a, b) in enumerate(zip(prompt, full, strict=False)) if a != b),
                min(len(prompt), len(full)),
            )
            raise FormatError(
                "the generation prompt is not the beginning of the training row",
                where=self.where,
                got=f"prompt has {prompt[at : at + 24]!r} where the row has {full[at : at + 24]!r}",
                hint="the model would be served something it was not trained on; choose another base",
            )
        return full[len(prompt) :]

    def example(self, messages: Sequence[Message]) -> Example:
        """Ids and loss mask of a conversation that ends with an assistant turn.

        Every assistant turn is in the loss if each turn's prompt is a prefix of the whole;
        otherwise (templates that rewrite earlier turns) only the last one is.

        Raises:
            FormatError: If a property of law 7 does not hold for this conversation.
        """
        full = self.render(messages)
        ids = self.encode(full)
        turns = [i for i, m in enumerate(messages) if m["role"] == "assistant"]
        prompts = [self.render(messages[:i], generation=True) for i in turns]
        if not all(full.startswith(prompt) for prompt in prompts):
            turns, prompts = turns[-1:], prompts[-1:]
            self._completion(messages[:-1], messages[-1])  # raises with the first difference
        mask = [0] * len(ids)
        for i, prompt in zip(turns, prompts, strict=True):
            start, stop = self._span(ids, self.encode(prompt), messages[i]["content"])
            mask[start:stop] = [1] * (stop - start)
        # What follows the last stop token (a line break, say) is never generated, so never read.
        end = max(k for k, on in enumerate(mask) if on) + 1
        return Example(ids[:end], mask[:end], len(turns))

    def _span(self, ids: list[int], prompt: list[int], content: str) -> tuple[int, int]:
        start = len(prompt)
        if ids[:start] != prompt:
            raise FormatError(
                "the answer's first letters fuse with the prompt's last token",
                where=self.where,
                got=repr(content[:40]),
                hint="remove leading white space or symbols from this answer",
            )
        try:
            stop = ids.index(self.stop_id, start) + 1
        except ValueError:
            raise FormatError(
                "the turn has no stop token", where=self.where, got=repr(content[-40:])
            ) from None
        decoded = self.tokenizer.decode(ids[start : stop - 1], skip_special_tokens=False)
        if decoded.strip() != content.strip():
            raise FormatError(
                "the tokens in the loss do not decode to the answer",
                where=self.where,
                got=f"{decoded.strip()[:60]!r} for {content.strip()[:60]!r}",
                hint="the answer holds a special token or a character the tokenizer cannot spell",
            )
        return start, stop

    # --- preflight -----------------------------------------------------------------------------

    def preflight(self) -> list[str]:
        """Prove the properties of law 7 on probe conversations, before anything is spent.

        Returns:
            Notes for the user: what this base's template does differently.

        Raises:
            FormatError: If a property does not hold.
        """
        notes = []
        _ = self.stop_id  # refused first: a model that never learns to stop is the worst outcome
        if not self.takes_system:
            notes.append(
                "the template has no system role: the persona's prompt goes into the first user turn"
            )
        first: list[Message] = [
            {"role": "system", "content": "Short answers."},
            {"role": "user", "content": "Why is the sky blue?"},
            {"role": "assistant", "content": "Air scatters blue light most."},
        ]
        second: list[Message] = [
            *first,
            {"role": "user", "content": "And at dusk?"},
            {"role": "assistant", "content": "The light's path is longer, so red is left."},
        ]
        for conversation in (first[1:], first, second):
            self.example(conversation)
        if self.example(second).trained_turns < 2:
            notes.append(
                "the template rewrites earlier turns: only the last answer of a dialogue is trained"
            )
        if "enable_thinking" in self.template:
            notes.append("thinking is switched off in the template, for training and for serving")
        return notes


def fold_system(messages: Sequence[Message]) -> list[Message]:
    """Move system text into the first user turn, for templates without a system role."""
    system = "\n\n".join(m["content"] for m in messages if m["role"] == "system")
    rest: list[Message] = [m for m in messages if m["role"] != "system"]
    if system and rest:
        rest[0] = {**rest[0], "content": f"{system}\n\n{rest[0]['content']}"}
    return rest
