"""Generation token by token, with transformers' own cache and samplers."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import torch
from tokenizers.decoders import DecodeStream
from transformers import (
    AutoModelForCausalLM,
    AutoTokenizer,
    LogitsProcessorList,
    MinPLogitsWarper,
    RepetitionPenaltyLogitsProcessor,
    TemperatureLogitsWarper,
    TopKLogitsWarper,
    TopPLogitsWarper,
)
from transformers.utils import logging

from factory.contracts import Message
from serve.engines.brain import Ask, Piece


class Generator:
    """One model with its tokenizer.

    Args:
        model: A causal language model in eval mode.
        tokenizer: Its fast tokenizer, with a chat template.
    """

    def __init__(self, model: Any, tokenizer: Any) -> None:
        self.model = model
        self.tokenizer = tokenizer
        eos = model.generation_config.eos_token_id
        ids = eos if isinstance(eos, list) else [eos]
        self.stop_ids = {i for i in [*ids, tokenizer.eos_token_id] if i is not None}

    @classmethod
    def load(cls, folder: Path, dtype: str) -> Generator:
        """From a Hugging Face folder, onto a GPU if there is one.

        Args:
            folder: Model and tokenizer.
            dtype: `float32`, `bfloat16` or `auto`.
        """
        logging.disable_progress_bar()
        device = "cuda" if torch.cuda.is_available() else "cpu"
        model: Any = AutoModelForCausalLM.from_pretrained(
            folder, dtype=dtype, local_files_only=True, use_safetensors=True
        )
        tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
        return cls(model.eval().to(device), tokenizer)

    def prompt_ids(self, messages: list[Message]) -> list[int]:
        """Ids of the generation prompt, by the folder's own template."""
        try:
            ids = self.tokenizer.apply_chat_template(
                messages, add_generation_prompt=True, return_dict=False
            )
        except Exception as error:  # templates raise whatever they like
            raise ValueError(f"the chat template refuses: {error}") from error
        return list(ids)

    def text_ids(self, text: str) -> list[int]:
        """Ids of a text to go on with, begun as this tokenizer begins texts."""
        return list(self.tokenizer(text)["input_ids"])

    def pieces(self, prompt_ids: list[int], ask: Ask) -> Iterator[Piece]:
        """See `serve.engines.brain.Brain`; the stop token is counted but has no text."""
        sampler = _Sampler(ask, self.model.device)
        decoder = _Decoder(self.tokenizer.backend_tokenizer, prompt_ids)
        done: list[int] = []
        fresh, cache = prompt_ids, None
        for count in range(1, ask.max_tokens + 1):
            logits, cache = self._forward(fresh, cache)
            token = sampler.choose(prompt_ids, done, logits)
            logprobs = [self._entry(logits, token, ask.top_logprobs)] if ask.logprobs else []
            done.append(token)
            fresh = [token]
            if token in self.stop_ids:
                yield Piece("", [token], logprobs, "stop")
                return
            text = decoder.step(token)
            reason: Literal["length"] | None = "length" if count == ask.max_tokens else None
            yield Piece(text, [token], logprobs, reason)

    @torch.inference_mode()
    def _forward(self, fresh: list[int], cache: Any) -> tuple[torch.Tensor, Any]:
        ids = torch.tensor([fresh], device=self.model.device)
        out = self.model(input_ids=ids, past_key_values=cache, use_cache=True, logits_to_keep=1)
        return out.logits[:, -1].float(), out.past_key_values

    def _entry(self, logits: torch.Tensor, token: int, top: int) -> dict[str, Any]:
        """Log-probabilities before temperature and penalties, as vLLM has them."""
        scores = logits[0].log_softmax(-1)
        best = scores.topk(top).indices.tolist() if top else []
        return {
            **self._named(scores, token),
            "top_logprobs": [self._named(scores, i) for i in best],
        }

    def _named(self, scores: torch.Tensor, token: int) -> dict[str, Any]:
        text = self.tokenizer.decode([token])
        return {"token": text, "logprob": scores[token].item(), "bytes": list(text.encode())}


class _Decoder:
    """Text of one token after the other; a character that takes several comes with its last."""

    def __init__(self, tokenizer: Any, prompt_ids: list[int]) -> None:
        self.tokenizer = tokenizer
        self.stream = DecodeStream(ids=prompt_ids, skip_special_tokens=True)

    def step(self, token: int) -> str:
        try:
            return self.stream.step(self.tokenizer, token) or ""
        except Exception as error:  # the library raises bare Exception
            if "Invalid prefix" not in str(error):
                raise
            # A model may say bytes that are no character; as in vLLM, reading begins anew behind them.
            self.stream = DecodeStream(skip_special_tokens=True)
            return self.stream.step(self.tokenizer, token) or ""


class _Sampler:
    """Chooses the next token: penalties, then the most probable or a seeded draw."""

    def __init__(self, ask: Ask, device: torch.device) -> None:
        self.ask = ask
        self.random = torch.Generator(device)
        if ask.seed is not None:
            self.random.manual_seed(ask.seed % 2**63)
        else:
            self.random.seed()
        self.repetition = (
            RepetitionPenaltyLogitsProcessor(ask.repetition_penalty)
            if ask.repetition_penalty != 1.0
            else None
        )
        self.warpers: Any = LogitsProcessorList([TemperatureLogitsWarper(ask.temperature or 1.0)])
        if ask.min_p > 0:
            self.warpers.append(MinPLogitsWarper(ask.min_p))
        if ask.top_k > 0:
            self.warpers.append(TopKLogitsWarper(ask.top_k))
        if ask.top_p < 1:
            self.warpers.append(TopPLogitsWarper(ask.top_p))

    @torch.inference_mode()
    def choose(self, prompt_ids: list[int], done: list[int], logits: torch.Tensor) -> int:
        """The next token, from logits of shape (1, vocabulary)."""
        scores = logits.clone()
        if self.repetition is not None:
            seen = torch.tensor([prompt_ids + done], device=scores.device)
            scores = self.repetition(seen, scores)
        if done and (self.ask.presence_penalty or self.ask.frequency_penalty):
            counts = torch.bincount(
                torch.tensor(done, device=scores.device), minlength=scores.shape[-1]
            )
            scores -= self.ask.frequency_penalty * counts
            scores -= self.ask.presence_penalty * (counts > 0)
        if self.ask.temperature == 0:
            return int(scores.argmax())
        ids = torch.tensor([done], dtype=torch.long, device=scores.device)
        probabilities = self.warpers(ids, scores).softmax(-1)
        return int(torch.multinomial(probabilities, 1, generator=self.random))
