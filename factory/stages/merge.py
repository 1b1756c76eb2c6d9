"""merge: the adapter folded into its base, with a certificate that nothing changed on the way."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from factory import plugins
from factory.artifacts import Adapter, Dataset, Model, write_json
from factory.base import Base
from factory.certificate import PROBE_TOKENS, Answer, Leg, Noise, changed, compare, missing, noise
from factory.contracts import Endpoint, Message, Progress
from factory.errors import EngineError, InstrumentInvalid
from factory.examples import probe_prompts
from factory.spec import Merge
from factory.store import Stage


def availability(engines: Sequence[str]) -> dict[str, str | None]:
    """Why each engine cannot run here, or None; part of the key, so that a leg is not missed twice."""
    return {name: plugins.load("engines", name).available() for name in engines}


def run(
    config: Merge,
    /,
    *,
    out: Path,
    progress: Progress,
    adapter: Adapter,
    data: Dataset,
    base: Base,
    prompt: str,
    engines: dict[str, str | None],
) -> dict[str, Any]:
    """Merge, then hold every way to run the model to the adapter as it was in memory.

    Raises:
        InstrumentInvalid: If a leg differs or the tuned model cannot be told from its base; the
            message has the numbers.
    """
    progress(note="loading torch")
    from factory.model.device import free_memory, load_model
    from factory.model.fold import exact_dtype, fold, load_adapter, stored_dtype
    from factory.model.score import generate

    probes = adapter.probes()[: config.probes]
    reference = [Answer(**probe) for probe in probes]
    prompts = [probe["prompt_ids"] for probe in probes]
    conversations = probe_prompts(base, data, prompt, config.probes)

    def answers(model: Any, ids: Sequence[list[int]], batch: int = 8) -> list[Answer]:
        found = generate(
            model, ids, stop_ids=base.stop_ids, max_new_tokens=PROBE_TOKENS, batch=batch
        )
        return [
            Answer(list(i), g.token_ids, g.log_probabilities, g.stopped, g.margins)
            for i, g in zip(ids, found, strict=True)
        ]

    progress(note="folding the adapter into the base")
    free_memory()  # what training left
    fold(base, adapter.weights, out / "model")
    free_memory()
    merged_base = Base(base.name, out / "model", None)

    progress(note="adapter reloaded from disk")
    exact = exact_dtype(base)
    reloaded = load_adapter(base, adapter.weights, exact)
    own = answers(reloaded, prompts)
    measured = noise(own, answers(reloaded, prompts, batch=1))
    if stored_dtype(base) != exact:  # rounding the weights once is part of what storing means
        rounded = noise(own, answers(reloaded.to(stored_dtype(base)), prompts))
        measured = Noise(max(measured.mean, rounded.mean), max(measured.max, rounded.max))
        reloaded = reloaded.to(exact)
    legs = [compare("adapter reloaded", reference, own, measured)]
    with reloaded.disable_adapter():
        proven, change = changed(own, answers(reloaded, prompts), measured)
    del reloaded
    free_memory()

    progress(note="merged model in transformers")
    merged = load_model(out / "model", stored_dtype(base))
    rendered = [merged_base.format.prompt_ids(m) for m in conversations]
    legs.append(compare("merged, transformers", reference, answers(merged, rendered), measured))
    del merged
    free_memory()  # the engine wants it

    for name, reason in engines.items():
        if reason is not None:
            legs.append(missing(f"merged, {name}", reason))
            continue
        progress(note=f"merged model in {name}: starting")
        legs.append(_engine_leg(name, out, base, conversations, reference, measured, progress))

    passed = proven and all(leg.status != "failed" for leg in legs)
    certificate = {
        "passed": passed,
        "legs": [asdict(leg) for leg in legs],
        "noise": asdict(measured),
        "thresholds": measured.thresholds,
        "changed": change,
    }
    write_json(out / "certificate.json", certificate)
    if not proven:
        raise InstrumentInvalid(
            "the tuned model cannot be told from its base",
            got=f"same answers on {change['probes']} probes, log-probabilities at most"
            f" {change['max_logprob_shift']:.4f} apart",
            allowed="another answer, or a shift above the noise",
            hint="raise tune.learning_rate or tune.epochs",
        )
    if not passed:
        raise InstrumentInvalid(
            "the merged model is not the model that was trained",
            where=str(out / "certificate.json"),
            got="; ".join(f"{leg.name}: {leg.reason}" for leg in legs if leg.status == "failed"),
            hint="run `factory doctor`; if versions are fine, please report this base",
        )
    proofs = sum(leg.status == "passed" for leg in legs)
    return {"legs": proofs, "missing": [leg.name for leg in legs if leg.status == "missing"]}


def _engine_leg(
    name: str,
    out: Path,
    base: Base,
    conversations: Sequence[Sequence[Message]],
    reference: Sequence[Answer],
    measured: Noise,
    progress: Progress,
) -> Leg:
    longest = max(len(a.prompt_ids) for a in reference) + PROBE_TOKENS
    window = min(base.window, max(256, longest + 16))
    options = {"dtype": base.dtype, "log": out / f"{name}.log"}
    engine = plugins.load("engines", name)()
    with engine.serve(
        out / "model", model="probe", max_model_len=window, options=options
    ) as endpoint:
        progress(note=f"merged model in {name}: answering")
        found = [
            _ask(endpoint, base.format.accepted(messages), base.stop_ids)
            for messages in conversations
        ]
    return compare(f"merged, {name}", reference, found, measured)


def _ask(endpoint: Endpoint, messages: Sequence[Message], stop_ids: Sequence[int]) -> Answer:
    import httpx

    transport = httpx.HTTPTransport(uds=str(endpoint.uds)) if endpoint.uds else None
    with httpx.Client(transport=transport, base_url=endpoint.base_url, timeout=120) as client:
        try:
            response = client.post(
                "/v1/chat/completions",
                headers=endpoint.headers,
                json={
                    "model": endpoint.model,
                    "messages": list(messages),
                    "temperature": 0,
                    "top_p": 1,
                    "repetition_penalty": 1.0,
                    "max_tokens": PROBE_TOKENS,
                    "logprobs": True,
                    "top_logprobs": 1,
                    "return_token_ids": True,
                },
            )
        except httpx.HTTPError as error:
            raise EngineError("the engine stopped answering", got=str(error)) from error
    if response.status_code != 200:
        raise EngineError("the engine refused a probe", got=response.text[:300])
    body = response.json()
    choice = body["choices"][0]
    prompt_ids = body.get("prompt_token_ids") or choice.get("prompt_token_ids") or []
    tokens = list(choice["token_ids"])
    if tokens and tokens[-1] in stop_ids:
        tokens.pop()
    return Answer(
        prompt_ids,
        tokens,
        [entry["logprob"] for entry in choice["logprobs"]["content"]],
        choice["finish_reason"] == "stop",
    )


STAGE = Stage("merge", version=1, makes=Model, run=run)
