"""The three protocols a plugin author reads: Teacher, Grader, Engine. Imports nothing of ours.

A plugin is a class in any installed package, named by an entry point in the group
`persona_factory.teachers`, `persona_factory.graders` or `persona_factory.engines`.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, NotRequired, Protocol, Self

from typing_extensions import TypedDict  # pydantic needs this one below Python 3.12

Role = Literal["system", "user", "assistant"]


class Message(TypedDict):
    """One turn of a conversation, as in the OpenAI chat API."""

    role: Role
    content: str


class Progress(Protocol):
    """What a stage calls to say how far it is; facts with known names get a column of their own.

    Known facts: `step` and `total` (counts), `note` (text), `loss` and `validation_loss`
    (nats per token), `token_accuracy` (0 to 1), `tokens_per_second`, `seconds_left`.
    """

    def __call__(self, **facts: float | int | str | None) -> None:
        """Tell what is known now; facts that are not named keep their last value."""
        ...


class NumberExpect(TypedDict):
    """An expected number: `number`, and how far off (absolute) an answer may be."""

    number: float
    tolerance: NotRequired[float]


class ChoiceExpect(TypedDict):
    """An expected option: its letter, and the text of every option by letter."""

    choice: str
    options: dict[str, str]


class PatternExpect(TypedDict):
    """A regular expression that must be found in the answer (any case, `.` matches newlines)."""

    pattern: str


class SchemaExpect(TypedDict):
    """A JSON Schema that the answer, one JSON value and nothing else, must satisfy."""

    json_schema: dict[str, Any]


class RefusalExpect(TypedDict):
    """Whether the answer must be a refusal (`True`) or must not be one (`False`)."""

    refusal: bool


Expect = Sequence[str] | NumberExpect | ChoiceExpect | PatternExpect | SchemaExpect | RefusalExpect
"""What is right: accepted texts, or one of the closed forms."""


@dataclass(frozen=True, slots=True)
class Case:
    """One thing a model is asked, as graders see it."""

    id: str
    messages: Sequence[Message]
    """The conversation up to and including the user's question, without the persona prompt."""
    expect: Expect | None = None
    """What is right; None for an open question."""
    suite: str = "persona"
    """`persona` (its questions and held-out rows), or the suite it comes from."""
    stratum: str = "question"
    """Its kind within the suite, for the table of strata."""
    reference: str | None = None
    """A good answer, where one is known."""


@dataclass(frozen=True, slots=True)
class Reply:
    """What a model answered."""

    text: str
    """Empty only where the length limit cut it off before it began."""
    finish_reason: Literal["stop", "length"]
    token_count: int
    prompt_tokens: int | None = None
    """Tokens of the question, where the endpoint tells."""
    reasoning: str = ""
    """Thoughts that were kept apart from the answer."""


@dataclass(frozen=True, slots=True)
class Grade:
    """A grader's opinion of one reply: a value in [0, 1] and the reason a person can check."""

    value: float
    reason: str


class GradingError(Exception):
    """The grader could not grade. Ungraded is not zero (law 8)."""


class Grader(Protocol):
    """Grades one reply to one case.

    `name` is the metric's name in the scorecard. Bump `version` whenever the meaning of a grade
    changes: it is part of the scorecard's comparability.
    """

    name: str
    version: int

    def applies(self, case: Case) -> bool:
        """Whether this grader has anything to say about this case."""
        ...

    def grade(self, case: Case, reply: Reply) -> Grade:
        """Grade a reply. Raises GradingError if it cannot be graded."""
        ...


@dataclass(frozen=True, slots=True)
class Request:
    """What a teacher is asked once; everything in it is part of the ledger's key."""

    messages: tuple[Message, ...]
    max_tokens: int
    """Longest answer, in tokens."""
    temperature: float = 1.0
    seed: int | None = None
    schema: dict[str, Any] | None = None
    """JSON Schema the answer should follow; None for plain text."""
    sample: int = 0
    """Which of several answers to the same question this is."""


class TeacherError(Exception):
    """A teacher did not answer.

    Args:
        kind: `rate_limit`; `overloaded` (5xx, time-outs, dropped, empty or unreadable answers), which
            is worth another try; `refused` (the endpoint will not take this request); `fatal` (bad
            key, unknown model, wrong address), which no other try would mend.
        message: The endpoint's own words.
        retry_after: Seconds the endpoint asked to wait.
    """

    def __init__(
        self,
        kind: Literal["rate_limit", "overloaded", "refused", "fatal"],
        message: str,
        retry_after: float | None = None,
    ) -> None:
        super().__init__(message)
        self.kind = kind
        self.message = message
        self.retry_after = retry_after


class Teacher(Protocol):
    """A language model that writes training pairs.

    An asynchronous context manager: its connections are open inside the block only. The class has a
    class method `of(section, base)` that makes it from the persona file's `teacher` section and, where
    the teacher is the base model itself, the base; it raises UsageError for what is wrong or missing.
    """

    name: str
    """The plugin's name."""
    endpoint: str
    """What answers, without secrets: part of the ledger's key and of the model card."""
    model: str

    async def reply(self, request: Request) -> Reply:
        """Answer a conversation. Raises TeacherError."""
        ...

    async def __aenter__(self) -> Self:
        """Open connections."""
        ...

    async def __aexit__(self, *error: object) -> None:
        """Close them."""
        ...


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A healthy OpenAI-compatible endpoint: it has generated at least one token."""

    base_url: str
    """URL without the `/v1`; the host is a placeholder when `uds` is set."""
    model: str
    """The engine-internal model name."""
    uds: Path | None = None
    """The Unix socket to connect to, if any."""
    headers: dict[str, str] = field(default_factory=dict)
    """Headers every request must carry (the engine's own key)."""
    health: str = "/health"
    """Path that answers 200 while the endpoint is well."""


class Engine(Protocol):
    """Serves one model folder behind an OpenAI-compatible endpoint.

    A context manager: healthy on enter, gone on exit. Raises EngineError when it cannot start.
    """

    name: str

    @staticmethod
    def available() -> str | None:
        """None if the engine can run here, else the reason why it cannot."""
        ...

    def serve(
        self, model_dir: Path, *, model: str, max_model_len: int, options: dict[str, Any]
    ) -> AbstractContextManager[Endpoint]:
        """Load `model_dir` (a Hugging Face folder) and serve it as `model`.

        Args:
            model_dir: Merged model folder.
            model: Name the endpoint knows it by, `persona@digest`.
            max_model_len: Context window in tokens.
            options: `{"dtype": "float32"|"bfloat16"|"auto", "log": Path}`.
        """
        ...
