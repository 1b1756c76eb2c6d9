"""Hyperparameters: chosen from data and hardware, overridable, and explained."""

from __future__ import annotations

from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import pytest

from factory.errors import UsageError
from factory.hardware import GIB, Gpu, Hardware
from factory.plan import PROJECTIONS, choose, rate_prior
from factory.spec import Tune

LAPTOP = Hardware(2, 8 * GIB, frozenset({"avx2"}), ())
SERVER = Hardware(16, 64 * GIB, frozenset({"avx2", "avx512f", "avx512_bf16"}), ())
CONSUMER = Hardware(8, 32 * GIB, frozenset({"avx2"}), (Gpu("RTX 4070", 12 * GIB, (8, 9)),))
SIXTEEN = Hardware(8, 32 * GIB, frozenset({"avx2"}), (Gpu("RTX 4080", 16 * GIB, (8, 9)),))
BIG = Hardware(8, 64 * GIB, frozenset(), (Gpu("A100", 80 * GIB, (8, 0)),))
OLD = Hardware(8, 32 * GIB, frozenset({"avx2"}), (Gpu("T4", 16 * GIB, (7, 5)),))


@dataclass
class Described:
    """A base model by its numbers alone: choosing needs no weights."""

    billions: float
    hidden_size: int
    layers: int
    model_type: str = "llama"
    dtype: str = "BF16"
    window: int = 4096
    linears: tuple[str, ...] = tuple(f"x.{name}" for name in PROJECTIONS)
    config: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.config = {"model_type": self.model_type, "num_hidden_layers": self.layers}

    @property
    def parameters(self) -> int:
        return int(self.billions * 1e9)

    @property
    def headers(self) -> dict[str, dict[str, Any]]:
        named = {
            f"model.layers.0.{name}.weight": {"dtype": self.dtype, "shape": [4, 4]}
            for name in self.linears
        }
        return named | {"lm_head.weight": {"dtype": self.dtype, "shape": [4, 4]}}


TINY = Described(0.007, 256, 7)
SEVEN = Described(7.0, 4096, 32)
HUGE = Described(70.0, 8192, 80)


AUTO = Tune()


def plan(tune: Tune = AUTO, base: Any = TINY, rows: int = 100, hardware: Hardware = LAPTOP) -> Any:
    return choose(tune, base, [60] * rows, 12, hardware)


def test_updates_are_chosen_first_and_epochs_follow() -> None:
    for rows in (40, 80, 100, 150, 200):
        chosen = plan(rows=rows)
        assert 3 <= chosen["epochs"] <= 8
        assert 60 <= chosen.updates <= 135
    assert plan(rows=40)["batch_size"] == 4
    assert plan(rows=100)["batch_size"] == 8


def test_the_rate_follows_the_size_law() -> None:
    # tinker-cookbook's prior for an 8B Llama: 2.9e-4 at batch 128, 7e-5 at batch 8, 1.1e-4 when short
    assert rate_prior(Described(8.0, 4096, 32), 8)[0] == pytest.approx(1.1e-4, rel=0.1)
    assert rate_prior(Described(4.0, 2560, 36, "qwen3"), 8)[0] == pytest.approx(1.8e-4, rel=0.1)
    assert rate_prior(TINY, 8)[0] > rate_prior(SEVEN, 8)[0]


def test_every_choice_has_a_reason_and_says_whose_it_is() -> None:
    chosen = plan(Tune(rank=8))
    assert all(choice.reason for choice in chosen.choices)
    assert {c.name for c in chosen.choices if c.source == "yours"} == {"rank"}
    assert chosen["rank"] == 8
    assert chosen["alpha"] == 16


@pytest.mark.parametrize(
    ("tune", "name", "warning"),
    [
        (Tune(rank=256), "rank", "more memory"),
        (Tune(rank=2), "rank", "too little room"),
        (Tune(learning_rate=0.05), "learning_rate", "unstable"),
        (Tune(learning_rate=1e-6), "learning_rate", "hardly moves"),
        (Tune(epochs=30), "epochs", "memorises"),
        (Tune(epochs=1), "epochs", "barely trained"),
        (Tune(batch_size=64), "batch_size", "fewer updates"),
    ],
)
def test_unusual_values_are_allowed_with_a_warning(tune: Tune, name: str, warning: str) -> None:
    chosen = plan(tune)
    assert chosen[name] == getattr(tune, name)
    assert warning in next(c.warning for c in chosen.choices if c.name == name)


def test_usual_values_draw_no_warning() -> None:
    chosen = plan(Tune(rank=8, epochs=4, batch_size=4))
    assert [c.warning for c in chosen.choices if c.warning] == []


@pytest.mark.parametrize(
    ("base", "hardware", "precision"),
    [
        (TINY, LAPTOP, "fp32"),
        (TINY, SERVER, "bf16"),
        (SEVEN, Hardware(8, 64 * GIB, frozenset(), (Gpu("A100", 80 * GIB, (8, 0)),)), "bf16"),
        (SEVEN, SIXTEEN, "qlora"),
        (TINY, OLD, "fp16"),
    ],
)
def test_precision_follows_the_hardware(base: Any, hardware: Hardware, precision: str) -> None:
    assert plan(base=base, hardware=hardware)["precision"] == precision


def test_a_base_that_fits_nowhere_is_refused_with_the_numbers() -> None:
    with pytest.raises(UsageError) as caught:
        plan(base=HUGE, hardware=CONSUMER)
    assert "70.00B" in str(caught.value)
    assert "12.0 GiB" in str(caught.value)


@pytest.mark.parametrize("tune", [AUTO, Tune(precision="qlora")])
def test_4_bits_do_not_help_where_the_whole_base_cannot_be_judged(tune: Tune) -> None:
    with pytest.raises(UsageError, match="does not fit") as caught:
        plan(tune, SEVEN, hardware=CONSUMER)
    assert "GiB for merging and judging" in str(caught.value)


def test_memory_is_that_of_the_hungriest_stage() -> None:
    eight = Hardware(8, 32 * GIB, frozenset({"avx2"}), (Gpu("RTX 4060", 8 * GIB, (8, 9)),))
    with pytest.raises(UsageError, match="does not fit"):  # trained in bf16, but merged in fp32
        plan(base=Described(2.6, 2304, 26), hardware=eight)
    assert plan(base=Described(1.5, 1536, 28), hardware=CONSUMER).memory > 4 * 1.5e9
    # the starter is never the problem, and its figure says so
    assert plan().memory < 0.5 * GIB


def test_more_gpus_are_not_faster_for_one_is_used() -> None:
    many = Hardware(8, 32 * GIB, frozenset({"avx2"}), CONSUMER.gpus * 8)
    assert plan(hardware=many).seconds == plan(hardware=CONSUMER).seconds


def test_a_target_that_is_no_layer_is_refused_with_the_layers() -> None:
    for name in ("query_key_value", "lm_head"):
        with pytest.raises(UsageError) as caught:
            plan(Tune(targets=(name,)))
        assert "q_proj" in str(caught.value)


def test_lm_head_is_never_adapted() -> None:
    assert set(plan()["targets"]) == set(PROJECTIONS)


def test_experts_in_one_tensor_are_named_too() -> None:
    base = Described(7.0, 4096, 32)
    stacked = {"model.layers.0.mlp.experts.down_proj": {"dtype": "BF16", "shape": [8, 4, 4]}}
    whole = SimpleNamespace(
        headers=base.headers | stacked, parameters=base.parameters, hidden_size=4096, window=4096,
        config=base.config,
    )  # fmt: skip
    target = next(c for c in plan(base=whole, hardware=BIG).choices if c.name == "targets")
    assert set(target.value) == set(PROJECTIONS)
    assert target.reason.endswith(": stacked experts")


@pytest.mark.parametrize(
    "kind",
    ["llama", "qwen2", "qwen3", "phi", "phi3", "glm4", "lfm2", "mpt", "starcoder2", "falcon"],
)
def test_every_linear_layer_of_a_block_is_adapted(kind: str) -> None:
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    layers = {"layer_types": ["conv", "full_attention"]} if kind == "lfm2" else {}
    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(
            AutoConfig.for_model(kind, num_hidden_layers=2, n_layers=2, **layers)
        )
    linears = {n for n, module in model.named_modules() if isinstance(module, torch.nn.Linear)}
    weights = {n: {"dtype": "BF16", "shape": list(w.shape)} for n, w in model.state_dict().items()}
    base = SimpleNamespace(
        headers=weights, parameters=500_000_000, hidden_size=1024, window=4096,
        config={"model_type": kind, "num_hidden_layers": 2},
    )  # fmt: skip
    target = next(c for c in plan(base=base).choices if c.name == "targets")
    assert set(target.value) == {name.rpartition(".")[2] for name in linears} - {"lm_head"}
    assert target.reason == "all linear layers learn more than attention alone"


def linears_of(*names: str) -> tuple[set[str], str]:
    chosen = plan(base=Described(7.0, 4096, 32, linears=names), hardware=BIG)
    target = next(c for c in chosen.choices if c.name == "targets")
    return set(target.value), target.reason


def test_layers_that_are_not_adapted_are_named() -> None:
    attention = [f"self_attn.{name}" for name in ("q_proj", "k_proj", "v_proj", "o_proj")]
    experts = [f"mlp.experts.0.{name}" for name in ("w1", "w2", "w3")]
    found, reason = linears_of(*attention, *experts, "mlp.gate")
    assert found == {"q_proj", "k_proj", "v_proj", "o_proj"}
    assert "all" not in reason and reason.endswith(": gate, w1, w2, w3")


def test_a_mamba_mixer_is_adapted_without_what_its_kernel_reads_itself() -> None:
    found, reason = linears_of("mamba.in_proj", "mamba.out_proj", "feed_forward.up_proj")
    assert found == {"in_proj", "up_proj"}
    assert reason.endswith(": out_proj")


def test_an_image_tower_is_no_part_of_what_is_tuned() -> None:
    found, reason = linears_of("mlp.up_proj", "vision_tower.layers.0.mlp.fc1", "visual.1.attn.qkv")
    assert found == {"up_proj"}
    assert reason == "all linear layers learn more than attention alone"


def test_nothing_to_train_on_is_an_error() -> None:
    with pytest.raises(UsageError, match="no row is left"):
        plan(rows=0)


def test_more_data_takes_longer_and_longer_rows_more_memory() -> None:
    short = choose(Tune(), TINY, [60] * 100, 12, LAPTOP)
    long = choose(Tune(), TINY, [600] * 100, 12, LAPTOP)
    assert long.seconds > short.seconds
    assert long.memory > short.memory
    assert long["max_length"] >= 600


def rehearsing(wanted: int | None = None, base: Any = TINY, questions: int = 128) -> Any:
    return choose(Tune(rehearsal=wanted), base, [60] * 100, 12, LAPTOP, questions)


def test_a_tiny_base_rehearses_a_row_for_each_row_and_a_larger_one_none() -> None:
    assert rehearsing()["rehearsal"] == 100
    assert rehearsing(questions=40)["rehearsal"] == 40
    assert rehearsing(questions=0)["rehearsal"] == 0  # a language without texts
    assert rehearsing(base=Described(0.5, 896, 24))["rehearsal"] == 0
    assert rehearsing(30)["rehearsal"] == 30


def test_a_rehearsal_does_not_multiply_the_updates() -> None:
    assert rehearsing()["epochs"] < rehearsing(0)["epochs"]
    assert 60 <= rehearsing().updates <= 135


def test_more_is_rehearsed_than_can_be_asked() -> None:
    with pytest.raises(UsageError, match="not so many questions") as caught:
        rehearsing(41, questions=40)
    assert caught.value.where == "tune.rehearsal"
