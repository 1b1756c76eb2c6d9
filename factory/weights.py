"""Safetensors files of a model folder: which ones there are, and what their headers say."""

from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import Any

from factory.artifacts import read_json
from factory.errors import UsageError


def weight_files(folder: Path) -> list[Path]:
    """The safetensors files transformers would load from a model folder.

    Raises:
        UsageError: If the index names a file that is not there.
    """
    index = folder / "model.safetensors.index.json"
    if index.is_file():
        named = sorted(set(read_json(index)["weight_map"].values()))
        for name in named:
            if not (folder / name).is_file():
                raise UsageError(
                    "a part of this base's weights is missing",
                    where=str(folder),
                    got=f"no {name}",
                    allowed=f"{len(named)} files named by {index.name}",
                    hint="download it again",
                )
        return [folder / name for name in named]
    if (folder / "model.safetensors").is_file():
        return [folder / "model.safetensors"]
    return sorted(f for f in folder.glob("*.safetensors") if not f.name.startswith("adapter_"))


def safetensors_header(file: Path) -> dict[str, dict[str, Any]]:
    """Tensor names, dtypes and shapes of one file; no tensor is read.

    Raises:
        UsageError: If the file is not safetensors or is cut off.
    """
    try:
        with file.open("rb") as stream:
            (length,) = struct.unpack("<Q", stream.read(8))
            header: dict[str, dict[str, Any]] = json.loads(stream.read(length))
    except (struct.error, ValueError, MemoryError, OverflowError) as error:
        raise UsageError(
            "this is not a readable safetensors file",
            where=str(file),
            got=f"{file.stat().st_size} bytes",
            hint="download it again",
        ) from error
    header.pop("__metadata__", None)
    end = max((entry["data_offsets"][1] for entry in header.values()), default=0)
    if file.stat().st_size < 8 + length + end:
        raise UsageError(
            "this weights file is cut off",
            where=str(file),
            got=f"{file.stat().st_size} bytes",
            allowed=f"{8 + length + end} bytes",
            hint="download it again",
        )
    return header
