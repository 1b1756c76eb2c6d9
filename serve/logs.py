"""The endpoint's log: JSON lines, one for every request, without anything that anybody said.

Bodies, prompts and keys are never given to a logger. Of an exception only its type and the places in
the code are written, because its message may quote what it failed on.
"""

from __future__ import annotations

import json
import logging
import os
import sys
import time
import traceback
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from logging.handlers import RotatingFileHandler
from pathlib import Path
from typing import Any

from factory.store import disk_errors
from serve.trace import Trace

log = logging.getLogger("serve")

SIZE = 32 << 20
"""Bytes of a log file before the next one is begun."""
KEPT = 5
"""Older files that are kept beside it."""
SHOWN = 6
"""Innermost calls that are written of an exception."""


class RequestLog:
    """An observer that writes one line when a request has ended."""

    def began(self, trace: Trace, headers: Mapping[str, str]) -> None:
        """Nothing is written yet."""

    def ended(self, trace: Trace) -> None:
        """Write what became of it."""
        if not log.isEnabledFor(logging.INFO):
            return
        record = logging.LogRecord("serve", logging.INFO, "", 0, "request", None, None)
        record.fields = _fields(trace)
        log.handle(record)


def _fields(trace: Trace) -> dict[str, Any]:
    served, ttft = trace.served, trace.ttft
    found = {
        "request_id": trace.id,
        "method": trace.method,
        "path": trace.path[:200],
        "status": trace.status,
        "outcome": trace.outcome,
        "code": trace.code,
        "persona": served.name if served else None,
        "release": served.ref if served else None,
        "ungated": trace.ungated or None,
        "client": trace.client,
        "prompt_tokens": trace.prompt_tokens or None,
        "completion_tokens": trace.completion_tokens or None,
        "ms": round(1000 * trace.seconds, 2),
        "ttft_ms": None if ttft is None else round(1000 * ttft, 2),
    }
    return {name: value for name, value in found.items() if value is not None}


_encode = json.JSONEncoder(separators=(",", ":")).encode
"""In ASCII, because some readers take U+2028 for the end of a line."""


class _Json(logging.Formatter):
    """One JSON object on one line: time, level, event, then what is known about it."""

    def format(self, record: logging.LogRecord) -> str:
        when = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created))
        line = {
            "time": f"{when}.{int(record.msecs):03}Z",
            "level": record.levelname.lower(),
            "event": record.getMessage(),
            **getattr(record, "fields", {}),
        }
        if "request_id" in record.__dict__:
            line["request_id"] = record.__dict__["request_id"]
        if record.exc_info and record.exc_info[0] is not None:
            line["error"] = record.exc_info[0].__name__
            line["at"] = _places(record.exc_info)
        return _encode(line)


def _places(info: Any) -> list[str]:
    """Where an exception came from: module files and lines, innermost last."""
    calls = traceback.extract_tb(info[2])[-SHOWN:]
    return [f"{Path(c.filename).parent.name}/{Path(c.filename).name}:{c.lineno}" for c in calls]


class _File(RotatingFileHandler):
    """A log that cannot be written must not end an answer: the operator is told once."""

    told = False

    def shouldRollover(self, record: logging.LogRecord) -> bool:
        """Whether it has grown; the original formats every line a second time to find out."""
        return self.stream is not None and os.fstat(self.stream.fileno()).st_size >= self.maxBytes

    def handleError(self, record: logging.LogRecord) -> None:
        if not self.told:
            self.told = True
            reason = type(sys.exc_info()[1]).__name__
            sys.stderr.write(f"warning: the log cannot be written ({reason}); serving goes on\n")


@contextmanager
def log_file(root: Path) -> Iterator[None]:
    """Write the endpoint's log to `$FACTORY_HOME/logs/serve.log`; old files are `serve.log.1` to `.5`.

    Raises:
        FactoryError: If the disk is full or read-only.
    """
    file = root / "logs" / "serve.log"
    with disk_errors(file):
        file.parent.mkdir(parents=True, exist_ok=True)
        handler = _File(file, maxBytes=SIZE, backupCount=KEPT, encoding="utf-8")
    handler.setFormatter(_Json())
    before = log.level
    log.addHandler(handler)
    log.setLevel(logging.INFO)
    try:
        yield
    finally:
        log.setLevel(before)
        log.removeHandler(handler)
        with suppress(OSError):  # the disk has filled up; the last lines are lost
            handler.close()


def engine_words(found: Any) -> str:
    """What of an engine's error may be logged: type and code; its message may quote the client.

    Args:
        found: The body of its response, or the parsed error.
    """
    if isinstance(found, bytes):
        try:
            found = json.loads(found)
        except ValueError:
            return f"{len(found)} bytes that are not JSON"
    if isinstance(found, dict) and isinstance(found.get("error"), dict):
        found = found["error"]
    if not isinstance(found, dict):
        return type(found).__name__
    told = (f"{name}={str(found[name])[:60]}" for name in ("type", "code") if found.get(name))
    return " ".join(told) or "no reason"
