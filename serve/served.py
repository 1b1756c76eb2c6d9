"""One persona as it is served: what its release says."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from factory.chat import ChatFormat


@dataclass(frozen=True, slots=True)
class Served:
    """Release facts; which engine runs it is the fleet's business."""

    name: str
    """Public model id."""
    number: int
    description: str
    prompt: str
    """The persona's system prompt; never leaves the process except towards the engine."""
    window: int
    """Context window in tokens, prompt and answer together."""
    sampling: Mapping[str, float]
    """Defaults for what a client leaves out."""
    max_tokens: int
    """Default length limit of an answer, in tokens."""
    client_system: Literal["append", "ignore", "reject"]
    completions: bool
    """Whether `/v1/completions` may continue raw text, without the persona's prompt."""
    digest: str
    """SHA-256 over the weights' files."""
    created: int
    """When it was released, in seconds since 1970."""
    gated: bool
    """Whether answers come from weights that passed the gate."""
    verdict: str
    """The gate's: PASS, or INCONCLUSIVE where the persona file accepts it."""
    format: ChatFormat

    @property
    def ref(self) -> str:
        """NAME@N."""
        return f"{self.name}@{self.number}"

    @property
    def fingerprint(self) -> str:
        """What `system_fingerprint` says: the release and the first digits of its weights' digest."""
        return f"{self.ref}-{self.digest[:12]}"

    @property
    def headers(self) -> dict[str, str]:
        """What every response about this persona says."""
        marked = {} if self.gated else {"x-persona-factory-ungated": "true"}
        said = {"x-persona-factory-release": self.ref, "x-persona-factory-verdict": self.verdict}
        return {**said, **marked}

    @classmethod
    def of(cls, facts: Mapping[str, Any], *, gated: bool, format: ChatFormat) -> Served:
        """From a release's `release.json`.

        Args:
            facts: The parsed file.
            gated: Whether its weights passed and are what answers.
            format: Its chat format.
        """
        return cls(
            name=facts["name"],
            number=facts["number"],
            description=facts["description"],
            prompt=facts["prompt"],
            window=facts["window"],
            sampling=facts["sampling"],
            max_tokens=facts["max_tokens"],
            client_system=facts["client_system"],
            completions=facts.get("completions", False),
            digest=facts["model_digest"],
            created=int(datetime.fromisoformat(facts["created"]).timestamp()),
            gated=gated,
            verdict=facts["verdict"],
            format=format,
        )
