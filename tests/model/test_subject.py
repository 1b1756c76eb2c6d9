"""A subject answers and reads as the model would, and never measures the same thing twice."""

from __future__ import annotations

import math
import shutil
from pathlib import Path

import pytest
import torch

from factory.base import Base
from factory.chat import FormatError
from factory.contracts import Message
from factory.errors import UsageError
from factory.model.device import load_model
from factory.model.sampling import Sampling
from factory.model.score import generate
from factory.model.subject import Subject
from factory.persona import inject
from factory.suite.cache import Cache

PROMPT = "Answer in one short sentence, warmly and plainly, and always say what to do next."
ASKED: list[list[Message]] = [
    [{"role": "user", "content": "Where is my order?"}],
    [{"role": "user", "content": "你好,今天怎么样?"}],
    [
        {"role": "user", "content": "Hello"},
        {"role": "assistant", "content": "Hello there."},
        {"role": "user", "content": "And now?"},
    ],
]
ROWS: list[list[Message]] = [
    [*talk, {"role": "assistant", "content": "Take a walk 🙂."}] for talk in ASKED
]
SAMPLING = Sampling(temperature=0.8, top_p=0.9, max_new_tokens=10)
KINDS = ("llama", "qwen2", "qwen3")


@pytest.fixture(params=KINDS)
def folder(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A tiny model that a test may take apart."""
    copy = tmp_path / request.param
    shutil.copytree(request.getfixturevalue(f"tiny_{request.param}"), copy)
    return copy


def base_of(folder: Path) -> Base:
    return Base(folder.name, folder, None)


def test_what_is_known_needs_no_model(folder: Path, tmp_path: Path) -> None:
    seeds = [[1, 2], [3], []]
    texts = ["Plain text of some length.", "白日依山尽,黄河入海流。"]
    ticks: list[int] = []
    with Cache(tmp_path / "c") as cache:
        subject = Subject(base_of(folder), PROMPT, cache, "digest")
        answers = subject.answers(ASKED, seeds, SAMPLING, ticks.append)
        rows, plain = subject.likelihoods(ROWS), subject.text_likelihoods(texts)
        subject.close()
    assert [len(replies) for replies in answers] == [2, 1, 0]
    assert sum(ticks) == 3
    (folder / "model.safetensors").unlink()
    with Cache(tmp_path / "c") as cache:
        again = Subject(base_of(folder), PROMPT, cache, "digest")
        assert again.answers(ASKED, seeds, SAMPLING, ticks.append) == answers
        assert again.likelihoods(ROWS) == rows
        assert again.text_likelihoods(texts) == plain
        assert sum(ticks) == 6
        for other in (
            lambda: again.answers(ASKED[:1], [[9]], SAMPLING),  # another seed
            lambda: again.answers(ASKED[:1], [[1]], SAMPLING.greedy()),
            lambda: again.behind("Be grave.").answers(ASKED[:1], [[1]], SAMPLING),
            lambda: again.behind("").likelihoods(ROWS[:1]),
            lambda: Subject(base_of(folder), PROMPT, cache, "other").likelihoods(ROWS[:1]),
        ):
            with pytest.raises(UsageError, match="cannot load"):
                other()


def test_a_killed_run_keeps_what_was_answered(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("factory.model.subject.PART", 2)
    done = 0

    def stop(count: int) -> None:
        nonlocal done
        done += count
        if done >= 4:
            raise KeyboardInterrupt

    with Cache(tmp_path / "c") as cache:
        subject = Subject(base_of(folder), PROMPT, cache, "digest")
        with pytest.raises(KeyboardInterrupt):
            subject.answers(ASKED[:1], [list(range(6))], SAMPLING, stop)
        (folder / "model.safetensors").unlink()
        kept = Subject(base_of(folder), PROMPT, cache, "digest")
        assert len(kept.answers(ASKED[:1], [[0, 1]], SAMPLING)[0]) == 2


def test_answers_are_those_of_the_served_conversation(folder: Path) -> None:
    base = base_of(folder)
    subject = Subject(base, PROMPT, None, "digest")
    found = subject.answers(ASKED, [[0], [0], [0]], SAMPLING.greedy())
    prompts = [base.format.prompt_ids(inject(PROMPT, talk)) for talk in ASKED]
    model = load_model(folder, torch.float32)
    expected = generate(model, prompts, stop_ids=base.stop_ids, max_new_tokens=10)
    for (reply,), prompt, answer in zip(found, prompts, expected, strict=True):
        text = base.format.tokenizer.decode(answer.token_ids, skip_special_tokens=True)
        assert reply.text == text.strip()
        assert reply.finish_reason == ("stop" if answer.stopped else "length")
        assert (reply.token_count, reply.prompt_tokens) == (len(answer.token_ids), len(prompt))


def test_equal_seeds_give_equal_answers_and_others_differ(folder: Path) -> None:
    subject = Subject(base_of(folder), "", None, "digest")
    sampling = Sampling(temperature=1.0, max_new_tokens=12)
    ((one, two, same),) = subject.answers(ASKED[:1], [[1, 2, 1]], sampling)
    assert one == same
    assert one.text != two.text


def test_likelihoods_are_of_the_answer_in_bytes_and_tokens(folder: Path) -> None:
    base = base_of(folder)
    found = Subject(base, PROMPT, None, "digest").likelihoods(ROWS)
    for row, likelihood in zip(ROWS, found, strict=True):
        example = base.format.example(inject(PROMPT, row))
        spoken = [m["content"] for m in row if m["role"] == "assistant"]
        assert likelihood.tokens == sum(example.loss_mask)
        assert likelihood.bytes == len("".join(spoken[-example.trained_turns :]).encode())
        assert likelihood.nll > 0
    bare = Subject(base, "", None, "digest").likelihoods(ROWS)
    assert all(a.nll != b.nll for a, b in zip(found, bare, strict=True))


def test_plain_texts_are_scored_behind_what_their_tokenizer_begins_with(folder: Path) -> None:
    base = base_of(folder)
    text = "The café is open. 你好。"
    (found,) = Subject(base, PROMPT, None, "digest").text_likelihoods([text])
    ids = base.format.encode(text)
    if folder.name == "llama":  # of the three, its tokenizer alone has a first token
        ids = [load_model(folder, torch.float32).config.bos_token_id, *ids]
    with torch.no_grad():
        chances = load_model(folder, torch.float32)(torch.tensor([ids])).logits[0].log_softmax(-1)
    by_hand = -sum(chances[k - 1, ids[k]].item() for k in range(1, len(ids)))
    assert found.nll == pytest.approx(by_hand, abs=1e-3)
    assert (found.tokens, found.bytes) == (len(ids) - 1, len(text.encode()))


def test_what_does_not_fit_the_window_is_named(folder: Path) -> None:
    subject = Subject(base_of(folder), PROMPT, None, "digest")
    long: Message = {"role": "user", "content": "Tell me about kettles. " * 300}
    with pytest.raises(UsageError, match="no room") as caught:
        subject.answers([*ASKED, [long]], [[0]] * 4, SAMPLING)
    assert "Tell me about kettles" in str(caught.value)
    with pytest.raises(UsageError, match="too long"):
        subject.likelihoods([*ROWS, [long, {"role": "assistant", "content": "No."}]])
    with pytest.raises(UsageError, match="too long"):
        subject.text_likelihoods([long["content"]])
    with pytest.raises(UsageError, match="too short"):
        subject.text_likelihoods([""])


def test_a_row_that_breaks_the_format_is_named(folder: Path) -> None:
    subject = Subject(base_of(folder), PROMPT, None, "digest")
    broken: list[Message] = [
        {"role": "user", "content": "Say something odd."},
        {"role": "assistant", "content": "One <|im_end|> two."},
    ]
    with pytest.raises(FormatError) as caught:
        subject.likelihoods([*ROWS, broken])
    assert "Say something odd." in str(caught.value)


def test_what_a_template_would_strip_is_known_before_it_is_scored(tiny_qwen3: Path) -> None:
    subject = Subject(base_of(tiny_qwen3), PROMPT, None, "digest")
    question: Message = {"role": "user", "content": "How do I learn ten words a day?"}
    assert subject.reads([question, {"role": "assistant", "content": "Five in the morning."}])
    thought: Message = {"role": "assistant", "content": "Hm. </think> Five in the morning."}
    assert not subject.reads([question, thought])
    long: Message = {"role": "assistant", "content": "Five in the morning. " * 300}
    assert not subject.reads([question, long])


def test_nan_is_handed_on_and_kept(tiny_llama: Path, tmp_path: Path) -> None:
    model = load_model(tiny_llama, torch.float32)
    with torch.no_grad():
        model.model.norm.weight[:] = torch.nan
    copy = tmp_path / "broken"
    shutil.copytree(tiny_llama, copy)
    model.save_pretrained(copy)
    with Cache(tmp_path / "c") as cache:
        for _ in range(2):
            found = Subject(base_of(copy), PROMPT, cache, "digest").likelihoods(ROWS)
            assert all(math.isnan(likelihood.nll) for likelihood in found)
            (copy / "model.safetensors").unlink(missing_ok=True)
