"""The base model a persona is tuned from: found, checked and described without torch.

Bad bases are refused here, from file names and headers alone, before anything is spent: pickled
weights, code from the model folder, no tokenizer, no chat template.
"""

from __future__ import annotations

import difflib
import importlib.util
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from math import prod
from pathlib import Path
from typing import Any

from factory.artifacts import hash_file, hash_json, read_json, write_json
from factory.chat import ChatFormat
from factory.errors import UsageError
from factory.spec import Serve
from factory.weights import safetensors_header, weight_files

STARTER = Path(__file__).resolve().parent / "starter" / "weights"
"""The small chat model that ships, so that the first build needs no network."""

HUB_ID = re.compile(r"^\w[\w.-]*/[\w.-]+(@[\w./-]+)?$")
SMALL_FILES = ["*.json", "*.jinja", "*.model", "*.txt"]
WEIGHTS = ["*.safetensors"]

SAMPLING = ("temperature", "top_p", "top_k", "min_p", "repetition_penalty")
"""Settings of `generation_config.json` that decide how answers are drawn."""


@dataclass(frozen=True)
class Base:
    """A base model on disk."""

    name: str
    """As the persona file calls it."""
    folder: Path
    revision: str | None
    """Commit on the hub, if it came from there."""

    @property
    def label(self) -> str:
        """The name without folders, for titles and file names."""
        return Path(self.name).name

    @cached_property
    def config(self) -> dict[str, Any]:
        """`config.json`; for nested configs, the text model's part."""
        whole = read_json(self.folder / "config.json")
        return {**whole, **whole["text_config"]} if "text_config" in whole else whole

    @cached_property
    def generation(self) -> dict[str, Any]:
        """`generation_config.json`, or an empty dict."""
        file = self.folder / "generation_config.json"
        return read_json(file) if file.is_file() else {}

    def sampling(self, serve: Serve) -> dict[str, float]:
        """How a persona on this base is served: the base's own settings, then the persona file's."""
        own = {k: self.generation[k] for k in SAMPLING if self.generation.get(k) is not None}
        chosen = {"temperature": serve.temperature, "top_p": serve.top_p}
        return {**own, **{k: v for k, v in chosen.items() if v is not None}}

    @cached_property
    def format(self) -> ChatFormat:
        """How this base writes conversations."""
        return ChatFormat.load(self.folder, self.name)

    @property
    def window(self) -> int:
        """Longest conversation, in tokens."""
        return int(self.config.get("max_position_embeddings") or 2048)

    @property
    def hidden_size(self) -> int:
        """Width of the residual stream."""
        return int(self.config["hidden_size"])

    @cached_property
    def headers(self) -> dict[str, dict[str, Any]]:
        """Name to dtype and shape of every tensor, from the safetensors headers."""
        found: dict[str, dict[str, Any]] = {}
        for file in weight_files(self.folder):
            found.update(safetensors_header(file))
        return found

    @property
    def parameters(self) -> int:
        """Number of weights."""
        return sum(prod(entry["shape"]) for entry in self.headers.values())

    @property
    def dtype(self) -> str:
        """What an engine is told to run the merged model in, when it is proven and when it is served.

        fp32 where that costs little; else `auto`: as it is stored, or what the machine has instead.
        """
        return "float32" if self.parameters <= 1e9 else "auto"

    @property
    def disk_needed(self) -> int:
        """Bytes a build writes: the merged model, checkpoints with optimizer state, papers."""
        return self.parameters * (4 if self.parameters <= 1e9 else 2) + self.parameters // 2 + 2**28

    @property
    def stop_ids(self) -> list[int]:
        """Every token id that ends an answer: the base's own and the template's turn end."""
        own = self.generation.get("eos_token_id", self.config.get("eos_token_id"))
        ids = own if isinstance(own, list) else [own] if own is not None else []
        return sorted({*ids, self.format.stop_id})

    @cached_property
    def digest(self) -> str:
        """Hash of everything that decides what this base computes."""
        memo = _Memo()
        files = [*sorted(self.folder.glob("*.json")), *sorted(self.folder.glob("*.safetensors"))]
        digests = {file.name: memo.hash(file) for file in files}
        memo.save()
        return hash_json({"files": digests, "template": self.format.template_sha256})


class _Memo:
    """Remembers hashes of large files by path, size and time, so that a rebuild stays instant."""

    def __init__(self) -> None:
        from factory.store import home

        self.file = home() / "hashes.json"
        try:
            self.known: dict[str, str] = read_json(self.file)
        except (OSError, ValueError):
            self.known = {}
        self.changed = False

    def hash(self, file: Path) -> str:
        info = file.stat()
        key = f"{file.resolve()}|{info.st_size}|{info.st_mtime_ns}"
        if key not in self.known:
            self.known[key] = hash_file(file)
            self.changed = True
        return self.known[key]

    def save(self) -> None:
        if not self.changed:
            return
        from factory.store import disk_errors

        with disk_errors(self.file):
            write_json(self.file, self.known)


def resolve(name: str, *, beside: Path | None = None, weights: bool = True) -> Base:
    """Find a base model and refuse what cannot be tuned safely.

    Args:
        name: `starter`, a folder, or a hub id, optionally with `@revision`.
        beside: Folder that relative paths are relative to, besides the current one.
        weights: Whether the weights must be there; without, only small files are downloaded.

    Raises:
        UsageError: With the reason and the next step.
    """
    if name == "starter":
        base = Base(name, STARTER, None)
    elif (folder := _local(name, beside)) is not None:
        base = Base(name, folder, None)
    elif HUB_ID.match(name):
        base = _download(name, weights)
    else:
        raise UsageError(
            "no such base model",
            where="base",
            got=name,
            allowed="starter, a local model folder, or a hub id such as Qwen/Qwen2.5-0.5B-Instruct",
            hint=_nearest(name),
        )
    _inspect(base, weights)
    return base


def place(base: Base, root: Path) -> str | None:
    """Where a base that is a folder of the user's own lies, seen from `root`; None for all others."""
    if base.name == "starter" or base.revision:
        return None
    return os.path.relpath(base.folder, root)


def tuned_from(facts: Mapping[str, Any], root: Path) -> Base:
    """The base of a release: in the place or at the commit that it was built from, else by its name.

    A name may be relative to the persona file, which is not at hand when a release is judged or
    served, and a model on the hub may have got newer commits.

    Args:
        facts: `base` of its `release.json`; the digest is not looked at.
        root: `$FACTORY_HOME`.

    Raises:
        UsageError: As `resolve`.
    """
    folder = root / facts["place"] if facts.get("place") else None
    if folder and folder.is_dir():
        return resolve(str(folder))
    if facts["revision"]:
        return resolve(f"{facts['name'].partition('@')[0]}@{facts['revision']}")
    return resolve(facts["name"])


def _local(name: str, beside: Path | None) -> Path | None:
    for folder in (Path(os.path.expanduser(name)), (beside or Path()) / name):
        if folder.is_dir():
            return folder.resolve()
    return None


def _nearest(name: str) -> str:
    if difflib.get_close_matches(name, ["starter"], 1, 0.5):
        return "did you mean starter?"
    return (
        "a hub id begins with its owner, and a folder must exist here or beside the persona file;"
        " `base: starter` needs no download"
    )


def _download(name: str, weights: bool) -> Base:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import GatedRepoError, RepositoryNotFoundError

    repo, _, revision = name.partition("@")
    patterns = SMALL_FILES + (WEIGHTS if weights else [])
    try:
        folder = Path(snapshot_download(repo, revision=revision or None, allow_patterns=patterns))
    except GatedRepoError as error:
        raise UsageError(
            "this base is gated on the hub",
            where="base",
            got=name,
            hint="accept its licence on its page and set HF_TOKEN in the environment",
        ) from error
    except RepositoryNotFoundError as error:
        raise UsageError(
            "the hub has no such model, or it is private",
            where="base",
            got=name,
            hint="check the spelling; for a private model set HF_TOKEN in the environment",
        ) from error
    except Exception as error:  # every transport failure the client library can raise
        raise UsageError(
            "this base could not be downloaded",
            where="base",
            got=f"{name} ({type(error).__name__})",
            allowed="a model in the local hub cache, a local folder, or a reachable hub",
            hint="check the network, download it elsewhere and give its folder, or use `base: starter`",
        ) from error
    return Base(name, folder, folder.name)


def _inspect(base: Base, weights: bool) -> None:
    folder = base.folder
    if not (folder / "config.json").is_file():
        raise UsageError(
            "this folder is not a model: it has no config.json",
            where=str(folder),
            got=", ".join(sorted(p.name for p in folder.iterdir()))[:200] or "an empty folder",
            hint="give the folder that holds config.json, tokenizer.json and model.safetensors",
        )
    _refuse_unreadable_config(base)
    _refuse_remote_code(base)
    if not weights:
        _ = base.format
        return
    if not weight_files(folder):
        pickles = sorted(p.name for p in [*folder.glob("*.bin"), *folder.glob("*.pt")])
        raise UsageError(
            "this base has pickled weights, which can run code when loaded"
            if pickles
            else "this base has no weights",
            where=str(folder),
            got=", ".join(pickles) or "no *.safetensors file",
            allowed="*.safetensors",
            hint="use a revision of the model that has safetensors, or convert it once in a sandbox",
        )
    _ = base.format  # a base without tokenizer or template is refused now


def _refuse_unreadable_config(base: Base) -> None:
    where = str(base.folder / "config.json")
    try:
        config = base.config
    except (ValueError, TypeError, AttributeError) as error:
        raise UsageError(
            "this base's configuration cannot be read",
            where=where,
            got=str(error),
            allowed="a JSON object",
            hint="download it again",
        ) from error
    if "quantization_config" in config:
        raise UsageError(
            "this base's weights are quantised already; an adapter cannot be merged into them",
            where=where,
            got=f"quantization_config: {config['quantization_config'].get('quant_method', '?')}",
            allowed="weights in fp32, bf16 or fp16",
            hint="give the original model; with `tune.precision: qlora` it is quantised for training",
        )
    if missing := [key for key in ("hidden_size", "model_type") if key not in config]:
        raise UsageError(
            "this base's configuration lacks what is needed to tune it",
            where=where,
            got=f"no {', '.join(missing)}",
            allowed="a decoder-only chat model in the usual layout of transformers",
            hint="choose another base",
        )


def _refuse_remote_code(base: Base) -> None:
    if "auto_map" not in base.config:
        return
    kind = str(base.config.get("model_type", "")).replace("-", "_")
    found = importlib.util.find_spec("transformers")
    roots = list(found.submodule_search_locations or []) if found else []
    if kind and any((Path(root) / "models" / kind).is_dir() for root in roots):
        return  # the library has this architecture itself; the folder's code is never run
    raise UsageError(
        "this base needs code from its own folder, which is never run",
        where=f"{base.folder}/config.json",
        got=f"auto_map, model_type {base.config.get('model_type')!r}",
        allowed="architectures that transformers has built in",
        hint="choose another base, or a newer transformers that knows this one",
    )
