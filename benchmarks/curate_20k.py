"""Times gather and curate on 5,000 and 20,000 rows: under a minute on two cores, memory flat.

    python benchmarks/curate_20k.py [ROWS ...]

Rows are synthetic English pairs of many topics, with duplicates, near-duplicates, contradictions
and spoiled rows planted among them. Each size runs in a process of its own, so that the peak memory
is its own; the last column says how many of the planted rows were met, and how many good ones were
taken for bad.
"""

from __future__ import annotations

import argparse
import json
import random
import resource
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

BAR_SECONDS = 60


def listed(text: str, mark: str) -> list[str]:
    """The parts of a text between marks."""
    return text.split(mark)


VERBS = listed(
    "clean fix paint store carry choose sell build repair measure wash cut fold lift plant water "
    "sharpen polish cook freeze dry pack label sort hang move draw sew glue weigh heat cool wrap "
    "open lock test rent borrow lend photograph replace",
    " ",
)
NOUNS = listed(
    "kettle bicycle curtain shelf lamp carpet window garden tent violin camera sofa ladder fence "
    "jacket blanket mirror clock radio candle basket bottle guitar piano knife pan oven drawer "
    "pillow mattress umbrella suitcase puzzle kite boat canoe engine mower rake shovel hammer "
    "drill screw hinge door roof gutter chimney stove sink faucet pipe hose bucket sponge towel",
    " ",
)
ADJECTIVES = listed(
    "old wooden heavy tiny broken cheap silver round narrow wet dusty noisy soft bright empty tall "
    "short antique plastic foreign woollen rusty hollow flat loose stiff sticky warm frozen spare",
    " ",
)
PLACES = listed(
    "in a small kitchen|before the winter|without a car|for my grandmother|on a balcony|at night|"
    "during a move|in the garage|after a storm|with two children|on a tight budget|by myself|"
    "in the rain|for a school fair|at the lake|before the guests come|in an attic|on a train|"
    "next to a busy road|with one hand",
    "|",
)
ASKS = listed(
    "How do I {verb} a {adjective} {noun} {place}?|What should I know to {verb} the {noun} of a "
    "{adjective} {other} {place}?|Is it a mistake to {verb} {adjective} {noun}s {place}?|My "
    "{adjective} {noun} fell on the {other} {place}. Can I still {verb} it?|Who can {verb} a "
    "{noun} and a {adjective} {other} {place}?|Explain why people {verb} a {noun} {place}, even a "
    "{adjective} {other}.",
    "|",
)
ANSWERS = listed(
    "Start with the {noun}, because the {other} can wait. {Verb} it slowly and keep a {adjective} "
    "cloth near.|First {verb} one corner and see what the {noun} does. If it holds, do the rest of "
    "the {adjective} {other}.|Ask a friend to hold the {other} while you {verb} the {noun}. It is "
    "{adjective} work, but it takes only ten minutes.|Leave the {noun} alone until it is dry. Then "
    "{verb} it and put the {adjective} {other} back where it was.",
    "|",
)


def fill(template: str, chance: random.Random) -> str:
    """One sentence from a template."""
    verb = chance.choice(VERBS)
    noun, other = chance.sample(NOUNS, 2)
    return template.format(
        verb=verb,
        Verb=verb.capitalize(),
        noun=noun,
        other=other,
        adjective=chance.choice(ADJECTIVES),
        place=chance.choice(PLACES),
    )


def synthetic(count: int) -> tuple[list[dict[str, str]], list[str]]:
    """Rows, and what was planted in each (an empty text for a good row)."""
    chance = random.Random(count)
    rows: list[dict[str, str]] = []
    planted: list[str] = []
    while len(rows) < count:
        row = {
            "instruction": fill(chance.choice(ASKS), chance),
            "output": fill(chance.choice(ANSWERS), chance),
        }
        kind = chance.choices(
            ["", "duplicate", "near_duplicate", "contradiction", "mojibake", "boilerplate"],
            [85, 4, 5, 2, 2, 2],
        )[0]
        if kind in ("duplicate", "near_duplicate", "contradiction") and len(rows) < 100:
            kind = ""
        twin = chance.choice(rows) if rows else row
        if kind == "duplicate":
            row = dict(twin)
        elif kind == "near_duplicate":
            row = {
                "instruction": f"Please tell me: {twin['instruction']}",
                "output": twin["output"],
            }
        elif kind == "contradiction":
            row["instruction"] = twin["instruction"].replace("?", " ?")
        elif kind == "mojibake":
            row["output"] = row["output"].replace(".", " \u00e2\u20ac\u201d good.", 1)
        elif kind == "boilerplate":
            row["output"] = "As an AI language model, " + row["output"]
        planted.append(kind)
        rows.append(row)
    return rows, planted


def measure(count: int) -> dict[str, Any]:
    """Gather and curate so many rows in this process."""
    from factory.artifacts import read_jsonl
    from factory.base import resolve
    from factory.questions import Question
    from factory.spec import Curate
    from factory.stages import curate, gather
    from factory.store import Store

    def quiet(**_: Any) -> None:
        pass

    rows, planted = synthetic(count)
    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder) / "rows.jsonl"
        data.write_text("".join(json.dumps(row) + "\n" for row in rows))
        del rows
        base = resolve("starter")
        store = Store(Path(folder) / "out")
        started = time.monotonic()
        files = [gather.data_file(data.name, data.parent)]
        gathered = store.make(
            gather.STAGE, "g", None, {"name": "bench", "seeds": (), "files": files}, quiet
        )
        middle = time.monotonic()
        inputs = {
            "rows": gathered,
            "language": "en",
            "rules": (),
            "questions": (Question(ask="Which planet is known as the red planet?"),),
            "prompt": "Answer in two short sentences.",
            "base": base,
            "random_seed": 17,
            "review": {},
        }
        dataset = store.make(curate.STAGE, "c", Curate(), inputs, quiet)
        ended = time.monotonic()
        report = dataset.report()
        ledger = list(read_jsonl(dataset.path / "ledger.jsonl"))
    met = [kind for kind, line in zip(planted, ledger, strict=True) if line["outcome"] != "kept"]
    found, sown = Counter(met), Counter(planted)
    return {
        "rows": count,
        "gather": middle - started,
        "curate": ended - middle,
        "megabytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        "report": report,
        "planted": {kind or "good": (found[kind], n) for kind, n in sown.items()},
    }


def main() -> int:
    """Print one line per size; exit code 1 if the bar is missed."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else None)
    parser.add_argument("rows", nargs="*", type=int, default=[5_000, 20_000])
    parser.add_argument("--one", action="store_true", help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.one:
        print(json.dumps(measure(chosen.rows[0])))
        return 0
    print(f"{'rows':>7} {'gather':>8} {'curate':>8} {'total':>8} {'peak memory':>12}  split; found")
    slowest = 0.0
    for count in chosen.rows:
        done = subprocess.run(
            [sys.executable, __file__, "--one", str(count)], stdout=subprocess.PIPE, check=True
        )
        result = json.loads(done.stdout)
        total = result["gather"] + result["curate"]
        slowest = max(slowest, total)
        found = ", ".join(f"{kind} {a}/{b}" for kind, (a, b) in sorted(result["planted"].items()))
        splits = "/".join(str(n) for n in result["report"]["splits"].values())
        print(
            f"{count:>7} {result['gather']:>6.1f} s {result['curate']:>6.1f} s {total:>6.1f} s"
            f" {result['megabytes']:>9.0f} MB  {splits}; {found}"
        )
        for leak in result["report"]["leaks"]:
            print(f"{'':>7} most alike across {leak['pair']}: {leak['max_similarity']:.3f}")
    print(f"bar: {BAR_SECONDS} s; slowest: {slowest:.1f} s")
    return int(slowest > BAR_SECONDS)


if __name__ == "__main__":
    sys.exit(main())
