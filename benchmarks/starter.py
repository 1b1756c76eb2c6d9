"""The starter beside the first checkpoint: bits per byte, right answers, stops, repeats.

    python benchmarks/starter.py [--text FOLDER] [--starter FOLDER] [--first FOLDER] [--show] [--speed]

`--text` is the folder of the corpus, for the held-out Topical-Chat; `--first` is the first checkpoint,
by default taken from this repository's history. Prints every figure beside its bar; `--show` prints
the answers too, for reading; `--speed` adds the tokens per second of one stream through vLLM.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
FIRST = "5e15333"
"""The last revision that ships the first checkpoint."""


def first_checkpoint(folder: Path) -> Path:
    """Its folder, taken out of the repository's history."""
    packed = subprocess.run(
        ["git", "archive", FIRST, "factory/starter/weights"],
        cwd=ROOT,
        check=True,
        capture_output=True,
    )
    subprocess.run(["tar", "--extract", "--directory", folder], input=packed.stdout, check=True)
    return folder / "factory" / "starter" / "weights"


def speed(folder: Path, log: Path) -> float:
    """Tokens a second of one stream through vLLM, the first token left out; the best of three."""
    import httpx

    from serve.engines.vllm import VllmEngine

    body = {
        "model": "starter", "messages": [{"role": "user", "content": "Tell me a story."}],
        "max_tokens": 400, "ignore_eos": True, "stream": True, "temperature": 0,
    }  # fmt: skip
    found = []
    options = {"dtype": "float32", "log": log}
    with VllmEngine().serve(folder, model="starter", max_model_len=1024, options=options) as engine:
        transport = httpx.HTTPTransport(uds=str(engine.uds))
        with httpx.Client(transport=transport, headers=engine.headers, timeout=120) as client:
            for _ in range(3):
                with client.stream(
                    "POST", "http://engine/v1/chat/completions", json=body
                ) as stream:
                    times = [
                        time.perf_counter() for line in stream.iter_lines() if '"content"' in line
                    ]
                found.append((len(times) - 1) / (times[-1] - times[0]))
    return max(found)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--text", type=Path)
    parser.add_argument("--starter", type=Path)
    parser.add_argument("--first", type=Path)
    parser.add_argument("--show", action="store_true")
    parser.add_argument("--speed", action="store_true")
    options = parser.parse_args()
    os.environ |= {"HF_HUB_OFFLINE": "1", "GOMP_SPINCOUNT": "50000"}
    sys.path.insert(0, str(ROOT))
    from factory.base import resolve
    from factory.starter.exam import covered, not_covered, pairs, topical
    from factory.starter.score import answers, bits_per_byte

    talk = topical(options.text) if options.text else []
    with tempfile.TemporaryDirectory() as place:
        first = resolve(str(options.first or first_checkpoint(Path(place))))
        ours = resolve(str(options.starter) if options.starter else "starter")
        print(
            f"first checkpoint {first.parameters / 1e6:.1f}M, starter {ours.parameters / 1e6:.1f}M"
        )
        for name, chats, bar in (("everyday", pairs(), 0.75), ("Topical-Chat", talk, 0.85)):
            if not chats:
                print(f"bits per byte, {name}: needs --text")
                continue
            theirs, mine = bits_per_byte(first, chats), bits_per_byte(ours, chats)
            print(
                f"bits per byte, {len(chats)} held-out {name}: {theirs:.3f} -> {mine:.3f},"
                f" ratio {mine / theirs:.3f} (bar {bar})"
            )
        if options.speed:
            log = Path(place) / "vllm.log"
            print(f"one stream through vLLM: {speed(ours.folder, log):.0f} tokens/s (bar 150)")
        for label, questions, word, bar in (
            ("covered topics in new words", covered(), "right", 0.80),
            ("topics not covered", not_covered(), "modest", 0.50),
        ):
            for base in (first, ours):
                said = answers(base, questions)
                print(
                    f"{label}, {base.label}: {sum(a.right for a in said) / len(said):.0%} {word}"
                    f" (bar {bar:.0%}), {sum(a.stopped for a in said) / len(said):.0%} stop"
                    f" (bar 99%), {sum(a.repeats for a in said)} repeat (bar 0)"
                )
            if options.show:
                for answer in said:
                    mark = (
                        ""
                        if answer.right
                        else "   <- none of: " + ", ".join(answer.conversation.marks)
                    )
                    ask = [m for m in answer.conversation.messages if m["role"] == "user"][-1]
                    print(f"  > {ask['content']}\n    {answer.text}{mark}")


if __name__ == "__main__":
    main()
