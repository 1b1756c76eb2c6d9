"""What a Prometheus server sees of the endpoint, on a port of its own that is not the public door.

Labels come from what is served, never from what a client wrote: a model nobody has counts under
`unknown`, and so does a path that is none of ours.
"""

from __future__ import annotations

import socket
import time
from collections import Counter as Count
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Histogram,
    ProcessCollector,
    disable_created_metrics,
    make_asgi_app,
)
from prometheus_client.core import GaugeMetricFamily, InfoMetricFamily
from prometheus_client.metrics_core import Metric

from serve.fleet import Fleet
from serve.listening import claim_port, listen, running
from serve.trace import Trace

# One more series for each counter and histogram, which nobody asks for.
disable_created_metrics()  # type: ignore[no-untyped-call]

UNKNOWN = "unknown"
WHOSE = ("persona", "release")

SECONDS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300)
"""Bucket bounds of whole answers and of the time to the first token."""
TOKEN_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1)
"""Bucket bounds of the time per token."""
GATEWAY_SECONDS = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5)
"""Bucket bounds of our own share."""


@dataclass(frozen=True, slots=True)
class _Series:
    """The metrics of one release; looked up once, because looking up is what costs."""

    first_token: Histogram
    per_token: Histogram
    seconds: Histogram
    gateway: Histogram
    tokens_in: Counter
    tokens_out: Counter


class Metrics:
    """An observer that counts, and the registry that shows it.

    Args:
        fleet: What is being served.
    """

    def __init__(self, fleet: Fleet) -> None:
        self.fleet = fleet
        self.registry = CollectorRegistry()
        self.live: set[Trace] = set()
        self._series: dict[tuple[str, str], _Series] = {}

        def histogram(name: str, help: str, buckets: tuple[float, ...]) -> Histogram:
            return Histogram(
                f"persona_factory_{name}", help, WHOSE, buckets=buckets, registry=self.registry
            )

        def counter(name: str, help: str, *labels: str) -> Counter:
            return Counter(
                f"persona_factory_{name}", help, (*WHOSE, *labels), registry=self.registry
            )

        self._requests = counter(
            "requests", "Requests that have ended.", "route", "status", "outcome"
        )
        self._errors = counter(
            "errors", "Requests that were refused or failed, by error code.", "code"
        )
        self._first_token = histogram(
            "time_to_first_token_seconds", "From arrival to the first token; streams only.", SECONDS
        )
        self._per_token = histogram(
            "time_per_output_token_seconds",
            "Mean time of a token after the first; finished streams only.",
            TOKEN_SECONDS,
        )
        self._seconds = histogram(
            "request_seconds",
            "From arrival to the end; requests that an engine was asked.",
            SECONDS,
        )
        self._gateway = histogram(
            "gateway_seconds", "From arrival until the engine is asked.", GATEWAY_SECONDS
        )
        self._tokens_in = counter(
            "prompt_tokens", "Tokens that were read, persona prompt included."
        )
        self._tokens_out = counter("completion_tokens", "Tokens that were written.")
        self.registry.register(_Now(self))
        ProcessCollector(registry=self.registry)

    def began(self, trace: Trace, headers: Mapping[str, str]) -> None:
        """It is in flight now."""
        self.live.add(trace)

    def ended(self, trace: Trace) -> None:
        """Count it."""
        self.live.discard(trace)
        whose = _whose(trace)
        status = f"{trace.status // 100}xx" if trace.status else "none"
        self._requests.labels(*whose, trace.route or UNKNOWN, status, trace.outcome).inc()
        if trace.code is not None:
            self._errors.labels(*whose, trace.code).inc()
        if trace.sent is None or trace.served is None:
            return
        series = self._series.get(whose) or self._new(whose)
        series.seconds.observe(trace.seconds)
        series.gateway.observe(trace.sent - trace.received)
        series.tokens_in.inc(trace.prompt_tokens)
        series.tokens_out.inc(trace.completion_tokens)
        if (ttft := trace.ttft) is not None:
            series.first_token.observe(ttft)
        if (per_token := trace.per_token) is not None:
            series.per_token.observe(per_token)

    def _new(self, whose: tuple[str, str]) -> _Series:
        series = self._series[whose] = _Series(
            self._first_token.labels(*whose),
            self._per_token.labels(*whose),
            self._seconds.labels(*whose),
            self._gateway.labels(*whose),
            self._tokens_in.labels(*whose),
            self._tokens_out.labels(*whose),
        )
        return series


class _Now:
    """What is true at the moment of a scrape: in flight, up, and which release answers."""

    def __init__(self, metrics: Metrics) -> None:
        self.metrics = metrics

    def collect(self) -> Iterator[Metric]:
        """See `prometheus_client.registry.Collector`."""
        flight = GaugeMetricFamily(
            "persona_factory_in_flight",
            "Requests now, by what they wait for: our own work (preparing), the engine's first"
            " token (queued), or its end (answering).",
            labels=(*WHOSE, "state"),
        )
        live = list(self.metrics.live)
        counts = Count((*_whose(trace), _state(trace)) for trace in live)
        for labels, count in counts.items():
            flight.add_metric(labels, count)
        yield flight
        up = GaugeMetricFamily(
            "persona_factory_up",
            "1 if an engine answers for the release now; 0 if it failed or is unloaded.",
            labels=WHOSE,
        )
        idle = GaugeMetricFamily(
            "persona_factory_last_token_age_seconds",
            "Since the release's engine last generated.",
            labels=WHOSE,
        )
        info = InfoMetricFamily(
            "persona_factory_release",
            "The release that answers under a name.",
            labels=("persona",),
        )
        for post in list(self.metrics.fleet.posts.values()):
            served, seat = post.served, post.seat
            whose = (served.name, served.ref)
            up.add_metric(whose, float(seat is not None and seat.client is not None))
            if seat is not None:
                idle.add_metric(whose, time.monotonic() - seat.generated)
            facts = {
                "release": served.ref,
                "verdict": served.verdict,
                "gated": str(served.gated).lower(),
            }
            info.add_metric((served.name,), facts)
        yield from (up, idle, info)


def _whose(trace: Trace) -> tuple[str, str]:
    served = trace.served
    return (served.name, served.ref) if served is not None else (UNKNOWN, UNKNOWN)


def _state(trace: Trace) -> str:
    if trace.sent is None:
        return "preparing"
    return "queued" if trace.first is None else "answering"


@contextmanager
def side_door(port: int | None) -> Iterator[socket.socket | None]:
    """A bound socket that only this machine reaches; None without a port.

    Raises:
        UsageError: If the port is taken.
    """
    if port is None:
        yield None
        return
    with claim_port("127.0.0.1", port, keyed=False, option="--metrics-port") as door:
        yield door


@contextmanager
def counted(
    fleet: Fleet, door: socket.socket | None, announce: Callable[[str], None]
) -> Iterator[list[Metrics]]:
    """Count, and show `/metrics` behind a side door, for the length of the block.

    Args:
        fleet: What is being served.
        door: From `side_door`; None to count nothing.
        announce: Told where.
    """
    if door is None:
        yield []
        return
    metrics = Metrics(fleet)
    listen(door, "--metrics-port")
    with running(make_asgi_app(metrics.registry), door):
        announce(f"metrics: http://127.0.0.1:{door.getsockname()[1]}/metrics")
        yield [metrics]
