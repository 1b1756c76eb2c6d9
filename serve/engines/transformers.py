"""The fallback engine: the same contract with transformers alone, in this process."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from factory.contracts import Endpoint
from factory.errors import EngineError

if TYPE_CHECKING:
    from serve.engines.generation import Generator


class TransformersEngine:
    """Runs the model with transformers, one answer at a time."""

    name = "transformers"

    @staticmethod
    def available() -> str | None:
        """None if torch and transformers are installed."""
        for module in ("torch", "transformers"):
            if importlib.util.find_spec(module) is None:
                return f"{module} is not installed"
        return None

    @contextmanager
    def serve(
        self, model_dir: Path, *, model: str, max_model_len: int, options: dict[str, Any]
    ) -> Iterator[Endpoint]:
        """See `factory.contracts.Engine`.

        Raises:
            EngineError: If the folder cannot be loaded.
        """
        import torch

        from serve.engines.hosting import hosted

        try:
            # Not kept under a name here: `hosted` lets go of it at the end.
            with hosted(
                _loaded(model_dir, options.get("dtype", "auto")),
                model=model,
                max_model_len=max_model_len,
            ) as endpoint:
                yield endpoint
        finally:
            torch.cuda.empty_cache()  # PyTorch keeps what the model took; without a GPU it has nothing


def _loaded(model_dir: Path, dtype: str) -> Generator:
    from serve.engines.generation import Generator

    try:
        return Generator.load(model_dir, dtype)
    except (OSError, ValueError, RuntimeError, ImportError) as error:
        raise EngineError(
            "transformers cannot load this model",
            where=str(model_dir),
            got=f"{type(error).__name__}: {str(error)[:300]}",
            hint="run `factory doctor`",
        ) from error
