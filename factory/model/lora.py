"""LoRA training with TRL's SFTTrainer and PEFT, on rows that `factory.chat` has tokenised and masked."""

from __future__ import annotations

import json
import math
import os
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
import trl.trainer.utils
from datasets import Dataset
from peft import LoraConfig, prepare_model_for_kbit_training, set_peft_model_state_dict
from safetensors.torch import load_file
from transformers import EarlyStoppingCallback, PrinterCallback, set_seed
from trl import SFTConfig, SFTTrainer

from factory.artifacts import read_json, write_json
from factory.base import Base
from factory.chat import Example
from factory.contracts import Progress
from factory.errors import TrainingError
from factory.model.batches import labels_of, layout_for
from factory.model.device import (
    device,
    free_memory,
    load_model,
    load_tokenizer,
    room_after_training,
    training_dtype,
    with_ladder,
)
from factory.model.fold import exact_dtype, load_adapter, starts_alike
from factory.model.metrics import Metrics
from factory.model.score import token_log_likelihoods
from factory.model.strength import Known, Tried, settle
from factory.plan import Plan

# Without Triton TRL puts every position through the output layer, lest a compiler see changing shapes.
# Nothing is compiled here, and most positions are the prompt's: only those inside the loss are needed.
trl.trainer.utils._use_triton = lambda device: True

PATIENCE = 2
"""Epochs without a lower held-out loss after which training stops."""


@dataclass(frozen=True, slots=True)
class Trained:
    """What training hands back."""

    model: Any
    """PEFT model in evaluation mode, best adapter loaded."""
    best_step: int
    stopped_early: bool
    rows_per_step: int
    notes: list[str]
    tried: list[Tried] = field(default_factory=list)
    """Strengths of the adapter, the applied one first; none if it was set or nothing is held out."""


class _Trainer(SFTTrainer):
    """SFTTrainer whose held-out loss is a mean over tokens, and which counts tokens as processed."""

    held_out: Sequence[Example] = ()

    def compute_loss(self, model: Any, inputs: Any, *rest: Any, **more: Any) -> Any:
        before = self._total_train_tokens
        loss = super().compute_loss(model, inputs, *rest, **more)  # type: ignore[no-untyped-call]
        if model.training:  # TRL would sum our two-dimensional mask
            self._total_train_tokens = before + inputs["input_ids"].numel()
            self._metrics["train"]["num_tokens"] = [self._total_train_tokens]
        return loss

    def floating_point_ops(self, inputs: Any) -> int:
        return 0  # counting parameters anew in every update takes longer than a small step

    def evaluate(self, *_: Any, **__: Any) -> dict[str, float]:
        scores = token_log_likelihoods(self.model, self.held_out, batch=8)
        loss = -sum(s.total for s in scores) / sum(s.tokens for s in scores)
        metrics = {"eval_loss": loss}
        self.log(metrics)
        self.control = self.callback_handler.on_evaluate(
            self.args, self.state, self.control, metrics
        )
        return metrics


def train(
    base: Base,
    rows: Sequence[Example],
    held_out: Sequence[Example],
    known: Known,
    plan: Plan,
    *,
    out: Path,
    progress: Progress,
    seed: int,
    report_to: Sequence[str],
) -> Trained:
    """Train an adapter, or go on where a killed run stopped.

    Args:
        base: The base model.
        rows: Training rows.
        held_out: Rows that choose the best checkpoint and the adapter's strength, and stop an
            overfitting run; may be empty.
        known: What the base must not lose.
        plan: Resolved hyperparameters.
        out: Folder for `checkpoints/`, `metrics.jsonl`, `trackers/` and the final `adapter/`.
        progress: Told about every logged update.
        seed: Seed of initialisation, order and dropout.
        report_to: Experiment trackers.

    Raises:
        TrainingError: On NaN, no trainable token, an adapter that did not change, or out of memory.
    """
    if not any(any(row.loss_mask) for row in rows):
        raise TrainingError(
            "no row has a token inside the loss", hint="check the answers in the data"
        )
    notes: list[str] = []

    def attempt(rows_per_step: int, recompute: bool) -> Trained:
        return _run(
            base, rows, held_out, plan, rows_per_step, recompute, notes,
            out=out, progress=progress, seed=seed, report_to=report_to,
        )  # fmt: skip

    def note(text: str) -> None:
        notes.append(text)
        progress(note=text)

    trained = with_ladder(attempt, plan["batch_size"], note)
    if _approximates(base, plan["precision"]):
        trained = replace(trained, model=None)  # what is judged and served stands on the base's own
    free_memory()  # the trainer's, and the approximate base's
    with room_after_training():  # not on the ladder, where no step down would make any
        model = trained.model or load_adapter(base, out / "adapter", exact_dtype(base))
        progress(note="choosing the adapter's strength")
        tried = settle(model.eval(), base, held_out, known, plan["strength"])
        _save(model, out / "adapter", base)  # before the cast, for adapters are kept in fp32
        model = model.to(exact_dtype(base))  # in the precision the merge is computed in
    return replace(trained, model=model, tried=tried)


def _run(
    base: Base,
    rows: Sequence[Example],
    held_out: Sequence[Example],
    plan: Plan,
    rows_per_step: int,
    recompute: bool,
    notes: list[str],
    *,
    out: Path,
    progress: Progress,
    seed: int,
    report_to: Sequence[str],
) -> Trained:
    set_seed(seed)
    os.environ["TENSORBOARD_LOGGING_DIR"] = str(out / "trackers")  # transformers 5 has no other way
    model = _load(base, plan["precision"])
    dataset = _dataset(rows)
    trainer = _Trainer(
        model=model,
        data_collator=layout_for(model, dataset),
        args=_arguments(plan, rows_per_step, recompute, bool(held_out), out, seed, report_to),
        train_dataset=dataset,
        eval_dataset=_dataset(held_out) if held_out else None,
        processing_class=load_tokenizer(base.folder),
        peft_config=_lora(plan, len(rows)),
        callbacks=[
            metrics := Metrics(out / "metrics.jsonl", progress),
            *([EarlyStoppingCallback(PATIENCE)] if held_out else []),
        ],
    )
    trainer.remove_callback(PrinterCallback)  # it prints every log line over the display
    trainer.held_out = held_out
    adapted: Any = trainer.model
    trainable = [p for p in adapted.parameters() if p.requires_grad]
    for parameter in trainable:  # TRL casts the adapters of quantised bases to bf16
        parameter.data = parameter.data.float()
    if not trainable or any(p.dtype != torch.float32 for p in trainable):
        raise TrainingError(
            "the adapter is not trained in fp32", got=str({p.dtype for p in trainable})
        )
    checkpoint = last_checkpoint(out / "checkpoints")
    if checkpoint and (finished := _finished(checkpoint)):
        best_step, early = finished
        weights = checkpoint.with_name(f"checkpoint-{best_step}") / "adapter_model.safetensors"
        set_peft_model_state_dict(adapted, load_file(weights))
        metrics.read()
    else:
        trainer.train(resume_from_checkpoint=str(checkpoint) if checkpoint else None)
        best_step = trainer.state.best_global_step or trainer.state.global_step
        early = trainer.state.global_step < trainer.state.max_steps
    if not metrics.entries:
        raise TrainingError("training ended without a single update", hint="raise tune.epochs")
    _prove_changed(adapted)
    if _approximates(base, plan["precision"]):  # comes back on the base's own weights
        _save(adapted, out / "adapter", base)
    # Without the trainer's autocast.
    adapted = trainer.accelerator.unwrap_model(adapted, keep_fp32_wrapper=False)
    return Trained(adapted, best_step, early, rows_per_step, notes)


def _finished(checkpoint: Path) -> tuple[int, bool] | None:
    """Best step and whether it stopped early, if the run that wrote this checkpoint was at its end."""
    state = json.loads((checkpoint / "trainer_state.json").read_text("utf-8"))
    control = state["stateful_callbacks"].get("TrainerControl", {}).get("args", {})
    early = bool(control.get("should_training_stop")) and state["global_step"] < state["max_steps"]
    if not early and state["global_step"] < state["max_steps"]:
        return None
    return state["best_global_step"] or state["global_step"], early


def _approximates(base: Base, precision: str) -> bool:
    """Whether training stands on other weights than the merge: quantised, or rounded on loading."""
    dtype = training_dtype(base.parameters, precision)
    return precision == "qlora" or not starts_alike(dtype, base)


def _load(base: Base, precision: str) -> Any:
    dtype = training_dtype(base.parameters, precision)
    if precision != "qlora":
        return load_model(base.folder, dtype)
    from transformers import BitsAndBytesConfig

    quantization = BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=dtype,
    )
    model = load_model(base.folder, dtype, quantization_config=quantization)
    return prepare_model_for_kbit_training(model, use_gradient_checkpointing=False)


def _lora(plan: Plan, rows: int) -> LoraConfig:
    return LoraConfig(
        r=plan["rank"],
        lora_alpha=plan["alpha"],
        lora_dropout=0.05 if rows < 100 else 0.0,
        target_modules=list(plan["targets"]),
        task_type="CAUSAL_LM",
    )


def _arguments(
    plan: Plan,
    rows_per_step: int,
    recompute: bool,
    watched: bool,
    out: Path,
    seed: int,
    report_to: Sequence[str],
) -> SFTConfig:
    precision = plan["precision"]
    arguments = SFTConfig(
        output_dir=str(out / "checkpoints"),
        learning_rate=plan["learning_rate"],
        num_train_epochs=plan["epochs"],
        per_device_train_batch_size=rows_per_step,
        gradient_accumulation_steps=plan["batch_size"] // rows_per_step,
        gradient_checkpointing=recompute,
        lr_scheduler_type="cosine",
        warmup_steps=plan["warmup"],
        bf16=precision in ("bf16", "qlora"),
        fp16=precision == "fp16",
        use_cpu=device().type == "cpu",
        dataloader_pin_memory=device().type != "cpu",
        logging_steps=1,
        eval_strategy="epoch" if watched else "no",
        save_strategy="epoch",
        save_total_limit=2,
        load_best_model_at_end=watched,
        restore_callback_states_from_checkpoint=True,  # else early stopping forgets its patience
        logging_nan_inf_filter=False,  # it would log a NaN loss as zero
        metric_for_best_model="eval_loss" if watched else None,
        greater_is_better=False if watched else None,
        max_length=None,  # rows that are too long were rejected by curate; nothing is ever cut
        packing=False,
        dataset_kwargs={"skip_prepare_dataset": True},
        seed=seed,
        data_seed=seed,
        report_to=list(report_to) or "none",
        disable_tqdm=True,
        log_level="error",
    )
    arguments._n_gpu = min(arguments.n_gpu, 1)  # rows laid end to end cannot be split over several
    return arguments


def _dataset(rows: Sequence[Example]) -> Dataset:
    return Dataset.from_list(
        [{"input_ids": row.input_ids, "labels": labels_of(row)} for row in rows]
    )


def last_checkpoint(folder: Path) -> Path | None:
    """The newest checkpoint that was written completely, or None; torn ones are removed."""
    found = sorted(
        (f for f in folder.glob("checkpoint-*") if f.name.rpartition("-")[2].isdigit()),
        key=lambda f: int(f.name.rpartition("-")[2]),
    )
    for checkpoint in reversed(found):
        try:  # the trainer writes this file last
            json.loads((checkpoint / "trainer_state.json").read_text("utf-8"))
        except (OSError, ValueError):
            shutil.rmtree(checkpoint)
            continue
        return checkpoint
    return None


def _prove_changed(model: Any) -> None:
    # LoRA starts with B = 0, so an adapter whose every B is still 0 is the base in disguise.
    moved = 0.0
    for name, parameter in model.named_parameters():
        if "lora_B" in name:
            largest = parameter.detach().abs().max().item()
            if not math.isfinite(largest):
                raise TrainingError(
                    "the adapter holds NaN or infinite weights",
                    where=name,
                    hint="lower tune.learning_rate",
                )
            moved = max(moved, largest)
    if moved == 0.0:
        raise TrainingError("training left the adapter at zero", hint="raise tune.learning_rate")


def _save(model: Any, folder: Path, base: Base) -> None:
    partial = folder.with_name(folder.name + ".writing")
    shutil.rmtree(partial, ignore_errors=True)
    model.save_pretrained(str(partial), safe_serialization=True)
    # PEFT writes a set in no order and the path of this machine: equal adapters must be equal files.
    config = read_json(partial / "adapter_config.json")
    config |= {
        "target_modules": sorted(config["target_modules"]),
        "base_model_name_or_path": base.name,
    }
    write_json(partial / "adapter_config.json", config)
    (partial / "README.md").unlink(missing_ok=True)  # PEFT's stub; the release has its own card
    shutil.rmtree(folder, ignore_errors=True)
    partial.replace(folder)
