"""A model that is asked and that reads: behind a prompt, loaded only for what is not known yet."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from factory.base import Base
from factory.chat import Example, FormatError
from factory.contracts import Message, Reply
from factory.errors import UsageError
from factory.examples import plain
from factory.model.sampling import Sampling
from factory.persona import inject
from factory.suite.cache import Cache
from factory.suite.scores import Likelihood

PART = 128
"""Answers or texts after which what was found is kept: a kill costs no more than that."""

Tick = Callable[[int], None]


class _Weights:
    """Loads a model when it is first needed; torch comes with it."""

    def __init__(self, base: Base) -> None:
        self.base = base
        self._model: Any = None

    def model(self) -> Any:
        from factory.model.device import load_model, scoring_dtype

        if self._model is None:
            self._model = load_model(self.base.folder, scoring_dtype(self.base.parameters))
        return self._model

    def free(self) -> None:
        from factory.model.device import free_memory

        if self._model is not None:
            self._model = None
            free_memory()


class Subject:
    """One model behind one prompt.

    Args:
        base: Folder with weights, tokenizer and template.
        prompt: System prompt of every conversation; empty for none.
        cache: Where answers and likelihoods are kept, if anywhere.
        digest: Hash of the weights.
    """

    def __init__(self, base: Base, prompt: str, cache: Cache | None, digest: str) -> None:
        self.base = base
        self.prompt = prompt
        self._cache = cache
        self._digest = digest
        self._weights = _Weights(base)

    def behind(self, prompt: str) -> Subject:
        """The same model behind another prompt; it is loaded once for both."""
        other = Subject(self.base, prompt, self._cache, self._digest)
        other._weights = self._weights
        return other

    def close(self) -> None:
        """Free the model's memory; it is loaded again if it is asked once more."""
        self._weights.free()

    # --- answers -------------------------------------------------------------------------------

    def answers(
        self,
        conversations: Sequence[Sequence[Message]],
        seeds: Sequence[Sequence[int]],
        sampling: Sampling,
        tick: Tick | None = None,
    ) -> list[list[Reply]]:
        """One reply for every seed of every conversation.

        Args:
            conversations: Each up to a user's turn, without the prompt.
            seeds: For each conversation, one for every reply.
            sampling: How answers are drawn.
            tick: Called with the number of replies since the last call.

        Raises:
            UsageError: If a conversation leaves no room for an answer.
        """
        prompts = [self._prompt(messages) for messages in conversations]
        stops = self.base.stop_ids
        shared = {"model": self._digest, "sampling": asdict(sampling), "stops": stops}
        asked = {
            Cache.key(**shared, prompt=prompt, seed=seed): (prompt, seed)
            for prompt, own in zip(prompts, seeds, strict=True)
            for seed in own
        }

        def answer(keys: Sequence[str]) -> list[Any]:
            from factory.model.sample import draw

            drawn = draw(
                self._weights.model(),
                [asked[key][0] for key in keys],
                seeds=[asked[key][1] for key in keys],
                sampling=sampling,
                stop_ids=stops,
                window=self.base.window,
                tick=_increments(tick),
            )
            return [[one.token_ids, one.stopped] for one in drawn]

        known = self._found(list(asked), answer, tick)
        return [
            [
                self._reply(prompt, *known[Cache.key(**shared, prompt=prompt, seed=seed)])
                for seed in own
            ]
            for prompt, own in zip(prompts, seeds, strict=True)
        ]

    def fits(self, messages: Sequence[Message]) -> bool:
        """Whether a conversation leaves room for an answer."""
        return len(self._ids(messages)) < self.base.window

    def reads(self, row: Sequence[Message]) -> bool:
        """Whether `likelihoods` takes a conversation: it fits, and its answers are written unchanged.

        What a model said may hold what a template strips, such as the end of a thought.
        """
        try:
            self._example(row)
        except UsageError:
            return False
        return True

    def _ids(self, messages: Sequence[Message]) -> list[int]:
        return self.base.format.prompt_ids(inject(self.prompt, messages))

    def _prompt(self, messages: Sequence[Message]) -> list[int]:
        ids = self._ids(messages)
        if len(ids) >= self.base.window:
            raise self._too_long("a conversation leaves no room for an answer", ids, messages)
        return ids

    def _reply(self, prompt: Sequence[int], ids: list[int], stopped: bool) -> Reply:
        text = self.base.format.tokenizer.decode(ids, skip_special_tokens=True)
        return Reply(text.strip(), "stop" if stopped else "length", len(ids), len(prompt))

    # --- likelihoods ---------------------------------------------------------------------------

    def likelihoods(self, rows: Sequence[Sequence[Message]]) -> list[Likelihood]:
        """Of the assistant's turns of every conversation, as they are trained; the last one ends it.

        Raises:
            FormatError: If a row breaks a property of the chat format.
            UsageError: If a row is longer than the window.
        """
        examples = [self._example(row) for row in rows]
        spoken = [[m["content"] for m in row if m["role"] == "assistant"] for row in rows]
        # Some templates allow only the last turn to be trained.
        texts = ["".join(s[-e.trained_turns :]) for s, e in zip(spoken, examples, strict=True)]
        return self._score(examples, texts)

    def _example(self, row: Sequence[Message]) -> Example:
        try:
            example = self.base.format.example(inject(self.prompt, row))
        except FormatError as error:
            error.where = f"{row[0]['content'][:60]!r} on base {self.base.label}"
            raise
        if len(example.input_ids) > self.base.window:
            raise self._too_long("a conversation is too long", example.input_ids, row)
        return example

    def text_likelihoods(self, texts: Sequence[str]) -> list[Likelihood]:
        """Of plain texts without any template, behind the token the tokenizer begins texts with.

        Without such a token the text's own first one has nothing before it and is not scored.

        Raises:
            UsageError: If a text is longer than the window, or too short to be scored.
        """
        return self._score([self._plain(text) for text in texts], texts)

    def _plain(self, text: str) -> Example:
        example = plain(self.base, text)
        said: list[Message] = [{"role": "user", "content": text}]
        if len(example.input_ids) > self.base.window:
            raise self._too_long("a text is too long", example.input_ids, said)
        if len(example.input_ids) < 2:
            raise UsageError(
                "a text is too short to be scored", where=self.base.label, got=repr(text)
            )
        return example

    def _score(self, examples: Sequence[Example], texts: Sequence[str]) -> list[Likelihood]:
        keys = [
            Cache.key(model=self._digest, ids=example.input_ids, mask=example.loss_mask)
            for example in examples
        ]
        asked = dict(zip(keys, examples, strict=True))

        def read(keys: Sequence[str]) -> list[Any]:
            from factory.model.score import token_log_likelihoods

            scored = token_log_likelihoods(self._weights.model(), [asked[key] for key in keys])
            return [[score.total, score.tokens] for score in scored]

        known = self._found(list(asked), read)
        return [
            Likelihood(-known[key][0], known[key][1], len(text.encode("utf-8")))
            for key, text in zip(keys, texts, strict=True)
        ]

    # --- both ----------------------------------------------------------------------------------

    def _found(
        self,
        keys: Sequence[str],
        measure: Callable[[Sequence[str]], list[Any]],
        tick: Tick | None = None,
    ) -> Mapping[str, Any]:
        """What is known of all keys; what is not is measured and kept part by part."""
        known = self._cache.get_many(keys) if self._cache else {}
        if tick and known:
            tick(len(known))
        missing = [key for key in keys if key not in known]
        for start in range(0, len(missing), PART):
            part = missing[start : start + PART]
            new = dict(zip(part, measure(part), strict=True))
            if self._cache:
                self._cache.put_many(new)
            known |= new
        return known

    def _too_long(self, what: str, ids: Sequence[int], messages: Sequence[Message]) -> UsageError:
        return UsageError(
            what,
            where=f"base {self.base.label}",
            got=f"{len(ids)} tokens: {messages[-1]['content'][:60]!r}",
            allowed=f"{self.base.window} tokens, the persona's prompt included",
            hint="shorten it or the persona's prompt, or choose a base with a longer window",
        )


def _increments(tick: Tick | None) -> Tick | None:
    """From a count of all that is done to a count of what is new."""
    if tick is None:
        return None
    before = 0

    def ticked(count: int) -> None:
        nonlocal before
        tick(count - before)
        before = count

    return ticked
