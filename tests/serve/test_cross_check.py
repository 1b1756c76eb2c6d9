"""The evaluation's numbers are those of the engine that serves: transformers and vLLM agree."""

from __future__ import annotations

import math
import statistics
from pathlib import Path

import httpx
import pytest

from factory.artifacts import read_jsonl
from factory.base import Base
from factory.contracts import Message
from factory.model.sampling import Sampling
from factory.model.subject import Subject
from factory.rules import count_words
from factory.suite.sound import LOUD
from factory.suite.statistics import sign_flip
from serve.engines.door import client
from serve.engines.vllm import VllmEngine
from tests.tiny import ROOT, STARTER

PROMPT = "Answer in one short sentence."
SAMPLES = 5


@pytest.mark.vllm
def test_transformers_and_vllm_measure_the_same(tmp_path: Path) -> None:
    base = Base("starter", STARTER, None)
    local = Subject(base, PROMPT, None, base.digest)
    rows: list[list[Message]] = [
        [
            {"role": "user", "content": row["instruction"]},
            {"role": "assistant", "content": row["output"]},
        ]
        for row in list(read_jsonl(ROOT / "personas" / "concise.jsonl"))[:12]
    ]
    options = {"dtype": "float32", "log": tmp_path / "vllm.log"}
    with (
        VllmEngine().serve(STARTER, model="m", max_model_len=1024, options=options) as endpoint,
        client(endpoint) as http,
    ):
        for row, known in zip(rows, local.likelihoods(rows), strict=True):
            system: Message = {"role": "system", "content": PROMPT}
            example = base.format.example([system, *row])
            told = http.post(
                "/v1/completions",
                json={
                    "model": "m", "prompt": example.input_ids, "max_tokens": 1,
                    "prompt_logprobs": 0, "temperature": 0,
                },
                timeout=60,
            ).json()["choices"][0]["prompt_logprobs"]  # fmt: skip
            nll = -sum(
                told[k][str(token)]["logprob"]
                for k, token in enumerate(example.input_ids)
                if example.loss_mask[k]
            )
            assert math.isclose(nll, known.nll, abs_tol=0.002 * known.tokens)
        asked = [[row[0]] for row in rows]
        seeds = [[100 * k + n for n in range(SAMPLES)] for k in range(len(rows))]
        sampling = Sampling.of(base.generation, 60)
        drawn = [
            [_told(http, row, seed, sampling) for seed in own]
            for row, own in zip(asked, seeds, strict=True)
        ]
    mine = local.answers(asked, seeds, sampling, lambda _: None)
    lengths = [
        statistics.fmean(map(count_words, theirs))
        - statistics.fmean(count_words(reply.text) for reply in ours)
        for theirs, ours in zip(drawn, mine, strict=True)
    ]
    # two-sided, at the level at which the base is held to itself in every evaluation
    assert 2 * min(sign_flip(lengths), sign_flip([-x for x in lengths])) > LOUD


def _told(http: httpx.Client, asked: list[Message], seed: int, sampling: Sampling) -> str:
    """One answer of vLLM, drawn as the gateway draws it."""
    system: Message = {"role": "system", "content": PROMPT}
    body = {
        "model": "m", "messages": [system, *asked], "seed": seed,
        "max_tokens": sampling.max_new_tokens, "temperature": sampling.temperature,
        "top_p": sampling.top_p, "repetition_penalty": sampling.repetition_penalty,
    }  # fmt: skip
    answer = http.post("/v1/chat/completions", json=body).json()
    return str(answer["choices"][0]["message"]["content"])
