"""Starts engines and proves that they answer as the releases did: one release, or several on one base.

One release is served from its merged weights. Several on the same base share an engine that holds the base
once and one adapter for each; each keeps its own name, `persona@digest`, so that a swap never reloads a name.
"""

from __future__ import annotations

import logging
import socket
import threading
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from factory import plugins
from factory.artifacts import read_json
from factory.base import tuned_from
from factory.chat import ChatFormat
from factory.contracts import Endpoint, Engine
from factory.errors import EngineError, FactoryError
from factory.hardware import GIB
from serve.probes import Words, differs, first_words, replay
from serve.releases import Admission
from serve.served import Served

log = logging.getLogger("serve")

OVERHEAD = 1.5 * GIB
"""What an engine takes beside weights and cache: libraries and buffers, seen with vLLM on a CPU."""

RANKS = (8, 16, 32, 64, 128, 256)
"""Adapter ranks that vLLM can be told to make room for."""


@dataclass(slots=True)
class Group:
    """One running engine and the releases it answers for."""

    engine: Engine
    endpoint: Endpoint
    """Of the one release, or of the shared base."""
    need: float
    """Bytes of memory it is taken to need."""
    base: str | None = None
    """Digest of the base whose adapters it takes; None for merged weights."""
    rank: int = 0
    """Largest adapter rank it has room for."""
    says: Words = field(default_factory=list)
    """What the shared base says by itself."""
    missed: int = 0
    """Looks in a row at which it did not answer."""
    _stack: ExitStack = field(default_factory=ExitStack)

    def takes(self, admission: Admission) -> bool:
        """Whether this release's adapter can join while the engine runs."""
        return bool(
            self.base is not None
            and self.base == admission.facts["base"]["digest"]
            and _rank(admission) <= self.rank
        )

    def ended(self) -> bool:
        """Whether nobody listens on the engine's socket any more; always False for a remote one."""
        if self.endpoint.uds is None:
            return False
        with socket.socket(socket.AF_UNIX) as knock:
            knock.setblocking(False)  # a hung engine's full queue must not hang us
            try:
                knock.connect(str(self.endpoint.uds))
            except BlockingIOError:  # its queue is full: it is there
                return False
            except OSError:
                return True
        return False

    def end(self) -> None:
        """Stop the engine; returns when it is gone."""
        self._stack.close()


@dataclass(frozen=True, slots=True)
class Launcher:
    """Starts engines. Its methods take seconds to minutes and may run in any thread.

    Args:
        root: `$FACTORY_HOME`.
        engine: Plug-in name, `auto`, or the URL of an OpenAI-compatible server (`URL#MODEL`).
        announce: Called with lines for the operator.
    """

    root: Path
    engine: str
    announce: Callable[[str], None]
    stopping: threading.Event = field(default_factory=threading.Event)
    """Set when the endpoint ends: an engine that is being started then gives up."""

    def launch(
        self, admissions: Sequence[Admission], share: float = 1.0
    ) -> tuple[Group, dict[str, tuple[Served, Endpoint]]]:
        """Start an engine for these releases, all on one base if they are several.

        Args:
            admissions: What it shall answer for.
            share: Its part of the memory that engines may use on a GPU.

        Returns:
            The engine, and release facts with the endpoint of each, by NAME@N.

        Raises:
            UsageError: If the engine is unknown.
            EngineError: If it cannot run here, does not start, or does not reproduce the probes.
        """
        if len(admissions) > 1:
            return self._shared(admissions, share)
        admission = admissions[0]
        facts = admission.facts
        engine = self._chosen(facts)
        self.announce(f"{admission.ref}: starting {engine.name}")
        with ExitStack() as stack:
            endpoint = stack.enter_context(
                engine.serve(
                    admission.release.weights,
                    model=_inner(admission),
                    max_model_len=facts["window"],
                    options=self._options(facts, admission.ref, engine, share),
                )
            )
            group = Group(engine, endpoint, self.need([admission]))
            served = _proven(engine, endpoint, admission, self.announce)
            group._stack = stack.pop_all()
        return group, {admission.ref: (served, endpoint)}

    def join(self, group: Group, admission: Admission) -> tuple[Served, Endpoint]:
        """Load one more adapter into a shared engine that runs.

        Raises:
            EngineError: If it is refused, does not reproduce the probes, or changes nothing.
        """
        engine: Any = group.engine
        endpoint = replace(group.endpoint, model=_inner(admission))
        engine.load_adapter(group.endpoint, endpoint.model, admission.release.path / "adapter")
        try:
            served = _proven(group.engine, endpoint, admission, self.announce)
            differs(endpoint, group.says)
        except BaseException:
            engine.unload_adapter(group.endpoint, endpoint.model)
            raise
        return served, endpoint

    def leave(self, group: Group, admission: Admission) -> None:
        """Take a release out of a shared engine that nobody asks for it any more."""
        engine: Any = group.engine
        if group.base is not None:
            engine.unload_adapter(group.endpoint, _inner(admission))

    def groups(self, admissions: Sequence[Admission]) -> list[list[Admission]]:
        """Which releases go into one engine: those on the same base, where the engine takes adapters.

        A base that nobody else is on is not looked for: it may have to be fetched, and merged weights
        do without it.
        """
        on = Counter(a.facts["base"]["digest"] for a in admissions if self._takes_adapters(a))
        found: dict[tuple[str, str], list[Admission]] = {}
        for admission in admissions:
            digest = admission.facts["base"]["digest"]
            shares = on[digest] > 1 and self._takes_adapters(admission) and self._shares(admission)
            found.setdefault((digest, "" if shares else admission.ref), []).append(admission)
        return list(found.values())

    def facts(self, admission: Admission) -> Served:
        """What a release says, before its engine runs."""
        genuine = getattr(self._chosen(admission.facts), "answers_from_weights", True)
        format = ChatFormat.load(admission.release.weights, where=admission.ref)
        return Served.of(admission.facts, gated=admission.gated and genuine, format=format)

    def need(self, admissions: Sequence[Admission]) -> float:
        """Bytes of memory an engine for these releases is taken to need: weights, cache, the process."""
        first = admissions[0]
        files = list(first.release.weights.glob("*.safetensors"))
        adapters = [
            f for a in admissions for f in (a.release.path / "adapter").glob("*.safetensors")
        ]
        weights = sum(f.stat().st_size for f in files)
        return weights + sum(f.stat().st_size for f in adapters) + GIB + OVERHEAD

    def fills(self, admission: Admission) -> bool:
        """Whether its engine takes the whole device, so that no other can start beside it."""
        return bool(getattr(self._chosen(admission.facts), "fills_device", False))

    def _takes_adapters(self, admission: Admission) -> bool:
        return bool(getattr(self._chosen(admission.facts), "takes_adapters", False))

    def _shares(self, admission: Admission) -> bool:
        base = admission.facts["base"]
        try:
            if _rank(admission) > RANKS[-1]:
                return False
            if tuned_from(base, self.root).digest == base["digest"]:
                return True
            why = "its base is not the one it was tuned from"
        except FactoryError as error:
            why = error.what
        except (OSError, ValueError) as error:
            why = str(error)  # its folder is gone or damaged, which must not stop the others
        log.warning("%s has an engine of its own: %s", admission.ref, why)
        return False

    def _chosen(self, facts: dict[str, Any]) -> Engine:
        return choose(self.engine if self.engine != "auto" else facts.get("engine", "auto"))

    def _options(
        self, facts: dict[str, Any], label: str, engine: Engine, share: float
    ) -> dict[str, Any]:
        return {
            "dtype": facts["dtype"],
            "log": self.root / "logs" / f"serve-{label}-{engine.name}.log",
            "eager": False,
            "memory_share": share,
            "stopping": self.stopping,
        }

    def _shared(
        self, admissions: Sequence[Admission], share: float
    ) -> tuple[Group, dict[str, tuple[Served, Endpoint]]]:
        facts = admissions[0].facts
        engine = self._chosen(facts)
        base = tuned_from(facts["base"], self.root)
        names = ", ".join(a.ref for a in admissions)
        self.announce(f"{names}: starting one {engine.name} with {base.label} and their adapters")
        rank = next(r for r in RANKS if r >= max(map(_rank, admissions)))
        options = self._options(facts, f"{base.label}-shared", engine, share)
        with ExitStack() as stack:
            endpoint = stack.enter_context(
                engine.serve(
                    base.folder,
                    model=f"base@{base.digest[:12]}",
                    max_model_len=facts["window"],
                    options=options | {"adapter_rank": rank, "adapters": 2 * len(admissions)},
                )
            )
            group = Group(engine, endpoint, self.need(admissions), base=base.digest, rank=rank)
            group.says = first_words(endpoint)
            running = {a.ref: self.join(group, a) for a in admissions}
            group._stack = stack.pop_all()
        return group, running


def choose(name: str) -> Engine:
    """The engine of this name; for `auto`, vLLM where it can run, else transformers.

    Raises:
        UsageError: If no such plug-in is installed.
        EngineError: If it cannot run here; says why.
    """
    if name.startswith(("http://", "https://")):
        from serve.engines.upstream import UpstreamEngine

        remote: Engine = UpstreamEngine(name)
        return remote
    if name == "auto":
        vllm: Engine = plugins.load("engines", "vllm")()
        return vllm if vllm.available() is None else choose("transformers")
    if name not in (known := ["auto", *sorted(plugins.names("engines"))]):
        server = ", or a server: http://HOST:PORT[#MODEL]"
        raise plugins.unknown("engines", name, known, more=server)
    engine: Engine = plugins.load("engines", name)()
    if (reason := engine.available()) is not None:
        raise EngineError(
            f"the engine {name!r} cannot run here",
            got=reason,
            hint="run `factory doctor`, or choose another with --engine",
        )
    return engine


def _inner(admission: Admission) -> str:
    """The engine's own name for a release: another release never has it, whatever it shares."""
    return f"{admission.facts['name']}@{admission.release.digest[:12]}"


def _rank(admission: Admission) -> int:
    return int(read_json(admission.release.path / "adapter" / "adapter_config.json").get("r", 0))


def _proven(
    engine: Engine, endpoint: Endpoint, admission: Admission, announce: Callable[[str], None]
) -> Served:
    """The release as this engine serves it, after its probes came out as recorded."""
    facts = admission.facts
    format = ChatFormat.load(admission.release.weights, where=admission.ref)
    genuine = getattr(engine, "answers_from_weights", True)
    if genuine:
        getattr(engine, "prove", replay)(endpoint, facts, format)
    else:
        announce(f"warning: {engine.name} is a stand-in; its answers are not {admission.ref}'s")
    served = Served.of(facts, gated=admission.gated and genuine, format=format)
    if getattr(engine, "prompts_itself", False):  # another gateway behind this one
        served = replace(served, prompt="", sampling={})
    return served
