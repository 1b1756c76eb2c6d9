"""The persona file as data: one frozen model per section, each field documented by the string under it.

Loads without torch (law 4). Reading YAML and wording the errors is `factory.load`'s work.
"""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

from pydantic import Discriminator, Field, Tag, field_validator, model_validator

from factory.questions import Question
from factory.section import TRANSPORT, Pattern, Section, Text
from factory.teaching import Distill, Teacher

NAME_PATTERN = r"^[a-z0-9][a-z0-9._-]{0,63}$"

HIDDEN_SUBSTRINGS = (
    "ada", "tts", "curie", "davinci", "babbage", "whisper", "embedding", "moderation", "dall-e",
)  # fmt: skip
"""Model ids with these parts are hidden by LobeChat's generic provider and Open WebUI."""

REWRITTEN_PREFIXES = ("o1", "o3", "o4", "gpt-5")
"""Model ids with these prefixes are treated as OpenAI reasoning models by Open WebUI and LibreChat."""


# --- rules -------------------------------------------------------------------------------------


class MaxWords(Section):
    """The answer has at most this many words."""

    max_words: int = Field(gt=0)
    """Words; for Chinese, Japanese and Korean a word is one character, punctuation not counted."""


class MinWords(Section):
    """The answer has at least this many words."""

    min_words: int = Field(gt=0)
    """Words, counted as in `max_words`."""


class Must(Section):
    """The answer contains a text, or matches a pattern."""

    must: Text
    """The text to find (any case); with `pattern`, a label for people."""
    pattern: Pattern | None = None
    """Regular expression searched for in the answer (any case, `.` matches newlines)."""


class MustNot(Section):
    """The answer does not contain a text, nor match a pattern."""

    must_not: Text
    """The text that must be absent (any case); with `pattern`, a label for people."""
    pattern: Pattern | None = None
    """Regular expression that must not be found in the answer."""


class LanguageRule(Section):
    """The answer is written in this language."""

    language: str = Field(pattern="^[a-z]{2}$")
    """Two-letter ISO 639-1 code."""


class FormatRule(Section):
    """The answer has this format."""

    format: Literal["plain", "json"]
    """`plain`: no Markdown; `json`: one JSON value and nothing else."""


RULE_KEYS = ("max_words", "min_words", "must", "must_not", "language", "format")


def _rule_kind(value: Any) -> str | None:
    keys = value if isinstance(value, dict) else getattr(value, "__dict__", {})
    return next((key for key in RULE_KEYS if key in keys), None)


Rule = Annotated[
    Annotated[MaxWords, Tag("max_words")]
    | Annotated[MinWords, Tag("min_words")]
    | Annotated[Must, Tag("must")]
    | Annotated[MustNot, Tag("must_not")]
    | Annotated[LanguageRule, Tag("language")]
    | Annotated[FormatRule, Tag("format")],
    Discriminator(
        _rule_kind,
        custom_error_type="rule_kind",
        custom_error_message="a rule is a mapping with one of: " + ", ".join(RULE_KEYS),
    ),
]


# --- seeds -----------------------------------------------------------------------


class Seed(Section):
    """One example pair that shows the voice."""

    instruction: Text
    """What the user says."""
    output: Text
    """What the persona answers."""
    input: str = ""
    """Optional material the instruction refers to; appended to it after a blank line."""
    history: tuple[tuple[str, str], ...] = ()
    """Earlier turns, oldest first, each `[user, assistant]`."""


# --- stage sections ----------------------------------------------------------------------------


class Curate(Section):
    """How rows are checked and split."""

    near_duplicate: float = Field(default=0.82, gt=0.5, le=1.0)
    """Similarity of two instructions from which the later row is dropped as a near-duplicate."""
    lineage: float = Field(default=0.55, gt=0.3, le=1.0)
    """Similarity from which two rows are kept in the same split (paraphrases never straddle)."""
    validation: float = Field(default=0.12, ge=0, le=0.4)
    """Share of rows held out to watch training."""
    test: float = Field(default=0.12, gt=0, le=0.4)
    """Share of rows held out for the scorecard."""
    rule_breaks: Literal["reject", "warn"] = "reject"
    """What happens to a row whose answer breaks the persona's own rules."""
    personal_data: Literal["reject", "warn"] = "warn"
    """What happens to a row with a secret, e-mail address, phone or card number in it."""
    language_check: bool = True
    """Whether rows in another language than the persona's are rejected."""


class Tune(Section):
    """LoRA training; every field left out is chosen from the data and the hardware (`factory plan`)."""

    rank: int | None = Field(default=None, ge=1, le=512)
    """LoRA rank; usual: 8 or 16."""
    alpha: int | None = Field(default=None, ge=1, le=1024)
    """LoRA alpha; usual: twice the rank."""
    targets: tuple[str, ...] | None = None
    """Names of the linear layers that get an adapter; usual: all seven projections."""
    learning_rate: float | None = Field(default=None, gt=0, le=0.1)
    """Peak learning rate; usual: 1e-5 to 1e-4 for 7B-class models, higher for smaller ones."""
    epochs: float | None = Field(default=None, gt=0, le=200)
    """Passes over the training rows; usual: 3 to 5."""
    batch_size: int | None = Field(default=None, ge=1, le=1024)
    """Rows per update (the effective batch)."""
    warmup: float | None = Field(default=None, ge=0, lt=1)
    """Share of the updates during which the learning rate climbs."""
    strength: float | None = Field(default=None, gt=0, le=1)
    """Share of the adapter that is applied; less keeps more of the base."""
    rehearsal: int | None = Field(default=None, ge=0, le=128)
    """Own answers of the base mixed in, which keeps what it knows; usual: one a row for a tiny base."""
    precision: Literal["fp32", "bf16", "fp16", "qlora"] | None = None
    """Arithmetic of the frozen base; adapters are always trained in fp32."""
    max_length: int | None = Field(default=None, ge=16)
    """Longest row allowed, in tokens; a longer one stops the build, for nothing is ever cut."""
    report_to: tuple[Literal["tensorboard", "wandb", "mlflow", "trackio"], ...] = Field(
        default=("tensorboard",), json_schema_extra=TRANSPORT
    )
    """Experiment trackers besides `metrics.jsonl`."""


class Merge(Section):
    """Export and its parity certificate."""

    engines: tuple[str, ...] = ("vllm",)
    """Engines the merged model is proven on; one that is not installed is listed as missing."""
    probes: int = Field(default=8, ge=2, le=16)
    """Number of probe prompts."""


class Margins(Section):
    """How much worse than what it is compared with a model may be on each metric."""

    perplexity: float = Field(default=0.25, gt=0, le=1)
    """Of the persona's held-out answers: share of the gain over the base that may be lost again."""
    plain: float = Field(default=0.3, gt=0)
    """Of texts without the persona, in nats per token."""
    style: float = Field(default=0.25, gt=0, le=1)
    """Share of the style gained over the base that may be lost again."""
    rules: float = Field(default=0.1, gt=0, le=1)
    """Of the share of rules kept."""
    relevance: float = Field(default=0.1, gt=0, le=1)
    """Of the mean reciprocal rank."""
    accuracy: float = Field(default=0.1, gt=0, le=1)
    """Of the share of right answers."""
    form: float = Field(default=0.1, gt=0, le=1)
    """Of the share of answers that stop, say something, do not repeat, and keep the language."""
    forgetting: float = Field(default=0.1, gt=0, le=1)
    """Of the share passed in the forgetting suite."""
    safety: float = Field(default=0.1, gt=0, le=1)
    """Of the share passed in the safety suite."""
    drift: float = Field(default=0.6, gt=0)
    """Of the base's own answers to neutral questions, in nats per token."""


class Evaluate(Section):
    """The scorecard and its gate."""

    graders: tuple[str, ...] = ("accuracy", "rules")
    """Graders (plug-ins) applied to every answer."""
    suites: tuple[Literal["forgetting", "safety", "switch", "hold"], ...] = (
        "forgetting", "safety", "switch", "hold",
    )  # fmt: skip
    """What is asked beside the persona's own questions."""
    max_new_tokens: int = Field(default=192, ge=8, le=4096)
    """Longest answer in tokens; an answer that reaches it did not stop by itself."""
    samples: int = Field(default=4, ge=4, le=64)
    """Answers drawn per question beside the greedy one; fewer would not show which questions broke."""
    most_samples: int = Field(default=12, ge=1, le=64)
    """The same after the one escalation of a run that was inconclusive."""
    margins: Margins = Margins()
    """How much worse counts as a regression."""
    judge: Teacher | None = None
    """A language model that also judges, with the fields of `teacher`; left out: none."""
    inconclusive: Literal["block", "warn"] = "block"
    """Whether a release whose evidence did not decide may be promoted."""


class Release(Section):
    """What is written on a release."""

    licence: str | None = None
    """Licence of the released weights, for the model card; the base's own licence still applies."""
    notes: str | None = None
    """Free text for the model card."""


class Serve(Section):
    """How the release is served; also how it is sampled in `factory chat`."""

    engine: str = "auto"
    """Plug-in that runs the model: auto (vllm, else transformers), vllm, transformers, echo."""
    temperature: float | None = Field(default=None, ge=0, le=2)
    """Default sampling temperature; left out: the base's own generation config."""
    top_p: float | None = Field(default=None, gt=0, le=1)
    """Default nucleus; left out: the base's own generation config."""
    max_tokens: int = Field(default=512, ge=1)
    """Default length limit of an answer, in tokens."""
    client_system: Literal["append", "ignore", "reject"] = "append"
    """What happens to a client's own system message: after the persona's, dropped, or refused."""
    completions: bool = False
    """Whether raw text may be continued, too (`/v1/completions`), without the persona's prompt."""


class Spec(Section):
    """One persona file."""

    name: str
    """Public model id; lower-case letters, digits, dot, dash, underscore; at most 64 characters."""
    description: Text
    """One sentence that says who answers, and how."""
    language: str = Field(default="en", pattern="^[a-z]{2}$")
    """Two-letter ISO 639-1 code of the answers."""
    base: Text = "starter"
    """`starter`, a local model folder, or a hub id such as Qwen/Qwen2.5-0.5B-Instruct[@revision]."""
    voice: tuple[Text, ...] = ()
    """Traits, a few words each."""
    rules: tuple[Rule, ...] = ()
    """Checks that every answer must pass."""
    knowledge: tuple[Text, ...] = ()
    """Facts the persona must know; they go into its system prompt."""
    prompt: str | None = None
    """The system prompt, if you want to write it yourself; an empty text means none."""
    seeds: tuple[Seed, ...] = ()
    """Example pairs, written here."""
    data: tuple[Text, ...] = ()
    """Files with more pairs, relative to this one: JSON, JSON Lines or CSV."""
    questions: tuple[Question, ...] = ()
    """Held-out questions for the scorecard; 10 to 20 are enough."""
    random_seed: int = Field(default=17, ge=0, lt=2**32)
    """Seed of every random choice: split, initialisation, order."""

    teacher: Teacher | None = None
    """The language model that writes pairs from the seeds; left out: only your own pairs are used."""
    distill: Distill = Distill()
    """Pairs that a teacher writes from the seeds; done only if there is a `teacher`."""
    curate: Curate = Curate()
    """How rows are checked and split."""
    tune: Tune = Tune()
    """LoRA training."""
    merge: Merge = Merge()
    """Export and its parity certificate."""
    evaluate: Evaluate = Evaluate()
    """The scorecard and its gate."""
    release: Release = Release()
    """What is written on a release."""
    serve: Serve = Serve()
    """How the release is served."""

    @field_validator("name")
    @classmethod
    def validate_name(cls, name: str) -> str:
        """Refuse names that break chat UIs (SERVING checklist, item 5)."""
        if not re.fullmatch(NAME_PATTERN, name):
            raise ValueError(
                "must start with a letter or digit and hold only a-z, 0-9, dot, dash, underscore"
            )
        for part in HIDDEN_SUBSTRINGS:
            if part in name:
                raise ValueError(f"chat UIs hide or misread model ids that contain {part!r}")
        for prefix in REWRITTEN_PREFIXES:
            if name.startswith(prefix):
                raise ValueError(
                    f"chat UIs rewrite requests to model ids that start with {prefix!r}"
                )
        return name

    @model_validator(mode="after")
    def validate_sources(self) -> Spec:
        """A persona needs something to learn from, and rules that can all hold."""
        if not self.seeds and not self.data:
            raise ValueError("needs `seeds`, `data`, or both: there is nothing to learn from")
        longest = min((r.max_words for r in self.rules if isinstance(r, MaxWords)), default=None)
        shortest = max((r.min_words for r in self.rules if isinstance(r, MinWords)), default=0)
        if longest is not None and shortest > longest:
            raise ValueError(f"rules contradict: min_words {shortest} is above max_words {longest}")
        return self
