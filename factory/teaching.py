"""The persona file's `teacher` and `distill` sections: who writes more pairs, and which."""

from __future__ import annotations

from pydantic import Field, model_validator

from factory.section import TRANSPORT, Section, Text


class Shares(Section):
    """How the pairs a teacher writes are shared out over registers; the shares add up to 1."""

    normal: float = Field(default=0.70, ge=0, le=1)
    """Everyday questions, in full voice."""
    grave: float = Field(default=0.10, ge=0, le=1)
    """Grief, illness, law: the voice steps back."""
    safety: float = Field(default=0.0, ge=0, le=1)
    """Dangerous asks that are declined kindly."""
    format: float = Field(default=0.10, ge=0, le=1)
    """Answers bound to a format, such as a list or JSON."""
    identity: float = Field(default=0.05, ge=0, le=1)
    """Who are you?"""
    break_character: float = Field(default=0.05, ge=0, le=1)
    """Attempts to talk the persona out of its voice."""
    other_language: float = Field(default=0.0, ge=0, le=1)
    """Questions in another language than the persona's."""

    @model_validator(mode="after")
    def validate_sum(self) -> Shares:
        """The shares are parts of one whole."""
        total = sum(getattr(self, name) for name in type(self).model_fields)
        if abs(total - 1) > 1e-6:
            raise ValueError(f"the shares add up to {total:g}, not to 1")
        return self


class Distill(Section):
    """Pairs that a teacher writes from the seeds; done only if there is a `teacher`."""

    pairs: int = Field(default=120, ge=1, le=20_000)
    """Pairs to be accepted; 50 to 200 teach a voice."""
    domain: Text = "everyday questions that people ask a friendly assistant"
    """What people come with, in neutral words; all that the writer of questions is told."""
    topics: tuple[Text, ...] = ()
    """Subjects to ask about; left out: some sixty everyday ones. Each belongs to one split only."""
    shares: Shares = Shares()
    """How the pairs are shared out over registers."""
    candidates: int = Field(default=4, ge=1, le=50)
    """Answers that may be asked for each pair that is wanted, before the shortfall is reported."""
    examples: int = Field(default=3, ge=0, le=8)
    """Seeds shown with each question; other ones for every answer."""
    twins: bool = True
    """Whether each question is also answered without the persona, to compare with."""
    temperature: float = Field(default=0.9, ge=0, le=2)
    """How varied the teacher writes."""
    max_tokens: int | None = Field(default=None, ge=16, le=32_768)
    """Longest reply in tokens, thoughts included; left out: three for each word an answer may have."""


class Budget(Section):
    """Ceilings, kept before a call is sent; what was paid for is kept in any case."""

    usd: float | None = Field(default=None, gt=0)
    """Most money, in US dollars; needs `prices`."""
    tokens: int | None = Field(default=None, gt=0)
    """Most tokens, questions and answers together."""
    requests: int | None = Field(default=None, gt=0)
    """Most requests."""


class Prices(Section):
    """What the endpoint charges; left out: unknown, which is never taken for free."""

    prompt: float | None = Field(default=None, ge=0)
    """US dollars per million tokens of questions."""
    completion: float | None = Field(default=None, ge=0)
    """US dollars per million tokens of answers."""


class Teacher(Section):
    """The language model that writes the pairs."""

    type: str
    """Plug-in: `openai` (any OpenAI-compatible endpoint), `self` (the base model), `echo` (a toy)."""
    base_url: str | None = Field(default=None, json_schema_extra=TRANSPORT)
    """Address of the endpoint, e.g. http://127.0.0.1:11434/v1; left out: OpenAI's own."""
    model: str | None = None
    """The endpoint's name of the model."""
    api_key_variable: Text | None = Field(default=None, json_schema_extra=TRANSPORT)
    """Environment variable that holds the key; left out: OPENAI_API_KEY, for OpenAI's own address."""
    concurrency: int = Field(default=8, ge=1, le=256, json_schema_extra=TRANSPORT)
    """Most requests at the same time."""
    timeout: float = Field(default=120.0, gt=0, json_schema_extra=TRANSPORT)
    """Seconds to wait for one answer."""
    budget: Budget = Field(default=Budget(), json_schema_extra=TRANSPORT)
    """Ceilings for one build."""
    prices: Prices = Field(default=Prices(), json_schema_extra=TRANSPORT)
    """What the endpoint charges."""
