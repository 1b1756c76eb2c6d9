"""The starter's recipe: what it teaches is right, what it holds out stays out, and it resumes exactly."""

from __future__ import annotations

import json
import lzma
import random
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import chain, cycle, islice, pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from tokenizers import Tokenizer
from transformers import LlamaForCausalLM

from factory.artifacts import hash_file, read_json, read_jsonl
from factory.base import resolve
from factory.chat import ChatFormat
from factory.contracts import Message
from factory.graders.refusals import refuses
from factory.load import load
from factory.starter import (
    attention,
    corpus,
    exam,
    followups,
    modest,
    rewording,
    singles,
    steering,
    train,
    unsafe,
)
from factory.starter.conversations import (
    FACTS,
    SERIOUS,
    everyday,
    held_out_phrasings,
    held_out_topics,
    openings,
)
from factory.starter.data import OPENING, Source, prepare, together
from factory.starter.everyday import HELD_OUT, cards, problems
from factory.starter.exam import covered, not_covered
from factory.starter.exercises import arithmetic, calendar, half, unit
from factory.starter.export import export
from factory.starter.muon import Muon
from factory.starter.phrasing import plain
from factory.starter.score import Answer, answers, bits_per_byte
from factory.starter.tables import from_table, quiz
from factory.suite import items


def quiet(**_: Any) -> None:
    pass


def first(messages: Sequence[Message], role: str) -> str:
    return next(m["content"] for m in messages if m["role"] == role)


def test_every_card_keeps_the_form() -> None:
    every = cards()
    assert [problem for card in every for problem in problems(card)] == []
    assert len({card.name for card in every}) == len(every) > 500


def asked(seed: int, count: int) -> Iterator[str]:
    for conversation in islice(
        chain.from_iterable(zip(everyday(seed), openings(seed), strict=True)), count
    ):
        for message in conversation.messages:
            if message["role"] == "user":
                yield plain(message["content"])


def test_what_is_held_out_is_never_trained_on() -> None:
    trained = set(asked(1, 30_000))
    held = [*held_out_phrasings(), *held_out_topics()]
    asks = {plain(c.messages[0]["content"]) for c in held}
    assert len(asks) > 900
    assert asks & trained == set()


def test_the_same_seed_gives_the_same_conversations() -> None:
    one, two, other = (list(islice(everyday(seed), 50)) for seed in (4, 4, 5))
    assert one == two != other


def test_facts_can_be_told_and_checked() -> None:
    for fact in [*from_table(random.Random(1)), *quiz()]:
        assert "{" not in "".join([*fact.asks, *fact.answers, fact.short])
        assert any(fact.mark in answer.lower() for answer in fact.answers), fact


@pytest.mark.parametrize("make", [arithmetic, half, unit, calendar])
def test_every_answer_of_an_exercise_holds_its_result(make: Any) -> None:
    rng = random.Random(2)
    for _ in range(200):
        fact = make(rng)
        assert all(fact.mark in answer.lower() for answer in [*fact.answers, fact.short])


def test_a_quiz_question_has_one_answer_and_none_is_a_personas() -> None:
    asks = [plain(ask) for fact in quiz() for ask in fact.asks]
    assert len(set(asks)) == len(asks) > 700
    personas = [load(file) for file in sorted(Path("personas").glob("*.yaml"))]
    assert not {plain(q.ask) for spec in personas for q in spec.questions} & set(asks)
    for fact in quiz():
        assert fact.mark in fact.short.lower() and fact.mark in fact.answers[0].lower(), fact


def test_a_fact_behind_a_humorous_prompt_is_told_before_the_joke() -> None:
    told = [c for c in islice(openings(3), 6000) if c.messages[0]["role"] == "system"]
    asked = {plain(ask): card for card in cards() if card.topic in FACTS for ask in card.asks}
    said = [
        (asked[plain(c.messages[1]["content"])], c.messages[2]["content"])
        for c in told
        if plain(c.messages[1]["content"]) in asked
    ]
    joked = [
        any(text.startswith(reply) for reply in card.replies)
        for card, text in said
        if any(text.endswith(joke) for joke in card.funny)
    ]
    assert len(joked) > 50 and sum(joked) > 0.6 * len(joked)


def test_a_quiz_answer_behind_a_humorous_prompt_has_its_joke_after_the_fact() -> None:
    of_joke = {joke: fact for fact in quiz() for joke in fact.funny}
    joked = 0
    for c in islice(openings(3), 12_000):
        answer = c.messages[-1]["content"]
        for joke in [joke for joke in of_joke if answer.endswith(joke)]:
            assert any(answer == f"{told} {joke}" for told in of_joke[joke].answers)
            assert c.messages[0]["role"] == "system"
            joked += 1
    assert joked > 100


def test_what_is_grave_or_refused_is_not_joked_about_behind_a_prompt() -> None:
    jokes = {joke for card in cards() if card.topic in SERIOUS for joke in card.funny}
    plainly = {text for card in cards() if card.topic in SERIOUS for text in card.replies}
    answers = [
        c.messages[2]["content"]
        for c in islice(everyday(5), 20_000)
        if c.messages[0]["role"] == "system" and len(c.messages) == 3
    ]
    assert not jokes & set(answers)
    assert sum(answer in plainly for answer in answers) > 50


@pytest.mark.parametrize("style", ["replies", "short", "funny", "long"])
def test_what_harms_is_refused_in_every_voice(style: str) -> None:
    rng = random.Random(2)
    said = {
        unsafe.refusal(harm, style, rng, written=written)
        for harm in unsafe.harms()
        for written in (False, True)
        for _ in range(40)
    }
    assert len(said) > 300
    assert not [text for text in said if not refuses(text)]


def test_what_only_sounds_harmful_is_answered() -> None:
    assert all(harm.harmless for harm in unsafe.harms())
    told = [entry for harm in unsafe.harms() for entry in harm.harmless]
    assert len(told) > 40
    for asks, answer in told:
        assert len(asks) > 2 and not refuses(answer), answer


def test_no_question_that_is_to_be_refused_is_one_that_personas_are_judged_on() -> None:
    asks = {
        plain(frame.format(thing)) for _, frames, thing in unsafe.things() for frame in frames
    } | {plain(ask) for harm in unsafe.harms() for asks, _ in harm.harmless for ask in asks}
    assert len(asks) > 9000
    suite = [case.messages[0]["content"] for case in items.suite("safety", "en")]
    personas = [load(file) for file in sorted(Path("personas").glob("*.yaml"))]
    held_out = [c.messages[0]["content"] for c in [*held_out_phrasings(), *held_out_topics()]]
    judged = {*suite, *held_out, *(q.ask for spec in personas for q in spec.questions)}
    assert not asks & {plain(ask) for ask in judged}


@pytest.mark.parametrize("style", ["replies", "short", "funny"])
@pytest.mark.parametrize(
    ("ask", "kind"),
    [
        ("How do I tune a harp?", "do"),
        ("How heavy is a harp?", "number"),
        ("Who built the first harp?", "name"),
        ("Why does a harp go out of tune?", "other"),
    ],
)
def test_a_doubt_is_honest_and_says_where_to_look(style: str, ask: str, kind: str) -> None:
    assert modest.wants(ask) == kind
    rng = random.Random(1)
    said = {modest.doubt(ask, style, rng) for _ in range(200)}
    assert all(text.startswith(modest.DOUBT) for text in said)
    assert not [text for text in said if refuses(text)]  # it must not pass for a refusal
    assert sum(any(word in text.lower() for word in exam.MODEST) for text in said) > 0.9 * len(said)


def test_questions_about_the_world_that_are_asked_once_are_doubted_less_behind_a_prompt() -> None:
    every = singles.singles()
    world = {item.ask for item in every if modest.about_the_world(item.ask)}
    assert 0.3 < len(world) / len(every) < 0.5
    rng = random.Random(1)
    doubted: dict[bool, list[bool]] = {False: [], True: []}
    for item in every:
        if item.ask in world:
            told = singles.asked(item, rng)
            behind = told[0]["role"] == "system" and told[0]["content"] not in steering.PLAIN
            doubted[behind].append(first(told, "assistant").startswith(modest.DOUBT))
    shares = {behind: sum(among) / len(among) for behind, among in doubted.items()}
    assert 0.65 < shares[False] < 0.85 and 0.1 < shares[True] < 0.3
    own = "Should I lend money to my cousin?"
    assert not modest.about_the_world(own)


def test_arithmetic_is_right() -> None:
    rng = random.Random(3)
    for _ in range(300):
        fact = arithmetic(rng)
        left, sign, right = fact.asks[1].split()
        exact = {"+": int(left) + int(right), "-": int(left) - int(right),
                 "*": int(left) * int(right), "/": int(left) / int(right)}  # fmt: skip
        assert float(fact.mark) == exact[sign]


def test_singles_keep_the_form_and_share_no_question_with_the_exam_or_a_persona() -> None:
    asks = [plain(item.ask) for item in singles.singles()]
    assert len(set(asks)) == len(asks) > 20_000
    for item in singles.singles():
        assert 1 < len(item.replies.split()) <= 70 and 0 < len(item.short.split()) <= 20, item
    personas = [load(file) for file in sorted(Path("personas").glob("*.yaml"))]
    kept_apart = {
        *(plain(c.messages[0]["content"]) for c in [*held_out_phrasings(), *held_out_topics()]),
        *map(plain, exam.NOT_COVERED),
        *(plain(q.ask) for spec in personas for q in spec.questions),
    }
    assert not kept_apart & set(asks)


def test_a_shorter_answer_is_how_the_one_before_it_begins() -> None:
    wishes = {plain(ask) for ask in followups.ASKS["shorter"]}
    found = []
    for told in islice(everyday(5), 3000):
        for answer, ask, shorter in zip(
            told.messages, told.messages[1:], told.messages[2:], strict=False
        ):
            if answer["role"] == "assistant" and plain(ask["content"]) in wishes:
                found.append((answer["content"], shorter["content"]))
    cut = [(long, short) for long, short in found if short not in followups.SHORTEST]
    assert len(found) > 60 and len(cut) > len(found) / 2
    assert all(long.startswith(short) and short != long for long, short in cut)


def test_some_singles_are_never_trained_on() -> None:
    held_out = {plain(item.ask) for item in singles.singles() if item.held_out}
    seen = {plain(first(m, "user")) for m in singles.passes(singles.singles(), 2, 1)}
    assert 0.02 < len(held_out) / len(singles.singles()) < 0.06
    assert not held_out & seen


def test_the_rate_climbs_stays_and_falls_to_the_end() -> None:
    recipe = train.Recipe(updates=1000)
    rates = [train.rate_at(recipe, step) for step in range(1000)]
    assert rates[0] < 0.05 and max(rates) == 1.0 == rates[100]
    assert all(a >= b for a, b in pairwise(rates[100:])) and 0.01 < rates[-1] < 0.03


@pytest.mark.parametrize("arithmetic", [torch.float32, torch.bfloat16])
def test_muon_moves_matrices_as_torchs_does(arithmetic: torch.dtype) -> None:
    torch.manual_seed(1)
    ours = [torch.nn.Parameter(torch.randn(s)) for s in [(16, 64), (64, 16), (32, 32), (16, 64)]]
    theirs = [torch.nn.Parameter(p.detach().clone()) for p in ours]
    one = Muon(ours, lr=0.1, weight_decay=0.1, arithmetic=arithmetic)
    other = torch.optim.Muon(theirs, lr=0.1, weight_decay=0.1, adjust_lr_fn="match_rms_adamw")
    for _ in range(3):
        before = [p.detach().clone() for p in ours]
        for a, b in zip(ours, theirs, strict=True):
            a.grad = torch.randn_like(a)
            b.grad = a.grad.clone()
        one.step()
        other.step()
        for was, a, b in zip(before, ours, theirs, strict=True):
            assert (a - b).norm() < 0.05 * (a - was).norm()


def test_the_exam_is_fixed_and_of_its_size() -> None:
    assert len(covered()) == 100 and len(not_covered()) == 40
    assert covered() == covered()


def test_what_the_exam_calls_not_covered_is_not_trained_on() -> None:
    for things, frames in modest.FRAMES:
        for thing in things:
            bare = thing.removeprefix("a ").removeprefix("an ").removeprefix("the ").lower()
            assert not [q for q in exam.NOT_COVERED if bare and bare in q.lower()]
            assert not {frame.format(thing) for frame in frames} & set(exam.NOT_COVERED)


def test_a_reworded_question_is_one_of_the_same_card_or_its_subject() -> None:
    asks = {c.name: {plain(ask) for ask in c.asks[:-HELD_OUT]} for c in cards()}
    rng = random.Random(4)
    for _ in range(100):
        request, answer = (m["content"] for m in rewording.reword(cards(), rng))
        meant = [c for c in cards() if any(ask in plain(request) for ask in asks[c.name])]
        assert any(answer == rewording.subject(c) or plain(answer) in asks[c.name] for c in meant)


@pytest.mark.parametrize(
    ("text", "repeats"),
    [
        ("Go for a walk. Then sleep.", False),
        ("I like it. I like it. I like it.", True),
        ("one two three four and one two three four and one two three four", True),
        ("", False),
    ],
)
def test_repeating_answers_are_found(text: str, repeats: bool) -> None:
    assert Answer(not_covered()[0], text, True).repeats == repeats


def pack(file: Path, rows: list[dict[str, Any]]) -> None:
    with lzma.open(file, "wt", encoding="utf-8") as stream:
        stream.writelines(json.dumps(row) + "\n" for row in rows)


@pytest.fixture(scope="module")
def text(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny corpus in the form of the large one."""
    folder = tmp_path_factory.mktemp("corpus")
    told = [card.long[0] for card in cards()]
    book = "\n\n".join(" ".join(told[k : k + 3]) for k in range(0, len(told), 3))
    pack(folder / "books.jsonl.xz", [{"author": "a", "title": "t", "text": book}])
    rows = [
        {"source": source, "language": "en", "turns": [card.asks[0], card.replies[0]] * 2}
        for card, source in zip(cards(), cycle(("topical-chat", "classic-books")), strict=False)
    ]
    pack(folder / "dialogues.jsonl.xz", [*rows, {**rows[0], "language": "zh"}])
    return folder


@pytest.fixture(scope="module")
def tokens(text: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tokens")
    found = prepare(
        folder,
        text,
        book_characters=200_000,
        conversations=300,
        times=1,
        progress=quiet,
        pieces=900,
    )
    assert all(count > 2000 for count in found.values())
    return folder


def test_an_opening_ends_after_the_first_words_of_its_answer_or_with_it(tokens: Path) -> None:
    ids, answer, starts = (
        np.load(tokens / f"openings.{kind}.npy") for kind in ("ids", "answer", "starts")
    )
    found, whole = 0, 0
    for begin, end in pairwise([*starts, len(ids)]):
        assert ids[begin] == attention.BEGIN
        cuts = [begin, *(begin + np.flatnonzero(ids[begin:end] == attention.BESIDE)), end]
        for one, following in list(pairwise(cuts))[len(cuts) > 2 :]:  # the prompt holds no answer
            told = answer[one:following].tolist()
            first = told.index(1)
            ended = ids[following - 1] == train.LAST_CONTROL
            assert all(told[first:]) and (ended or len(told) - first == OPENING)
            found, whole = found + 1, whole + (ended and len(told) - first > OPENING)
    assert found == 300
    assert 0.1 < whole / found < 0.5
    assert len(starts) < 200  # most stand behind the same prompt


def test_held_out_dialogues_are_not_among_the_trained(text: Path) -> None:
    held = [m for _, m in corpus.dialogues(text, held_out=True)]
    trained = [m for _, m in corpus.dialogues(text)]
    assert held and len(trained) > 10 * len(held)
    assert not [m for m in held if m in trained]


def test_the_tokenizer_gives_back_what_it_was_given(tokens: Path) -> None:
    import sentencepiece

    tokenizer = Tokenizer.from_file(str(tokens / "tokenizer" / "tokenizer.json"))
    pieces = sentencepiece.SentencePieceProcessor(str(tokens / "tokenizer" / "tokenizer.model"))
    for sample in ("Hello  there, friend!\n\nHow are you?", " a\tb", "Ünïcödé 你好 🙂", "1,234.5"):
        ids = tokenizer.encode(sample, add_special_tokens=False).ids
        assert tokenizer.decode(ids) == sample
        assert ids == pieces.encode(sample)
    assert ChatFormat.load(tokens / "tokenizer").preflight() == []


RECIPE = train.Recipe(size=train.Size(64, 2, 128), updates=40, rows=8, width=64)


@pytest.mark.parametrize("tokens", [1, 40, attention.SHORT, attention.SHORT + 8])
def test_training_s_attention_is_the_library_s(tokens: int) -> None:
    model: Any = train.build(train.Size(64, 2, 128), 300)
    ids = torch.randint(0, 300, (2, tokens), generator=torch.Generator().manual_seed(1))
    found = []
    for name in ("sdpa", attention.NAME):
        model.set_attn_implementation(name)
        model.zero_grad()
        ids[:, 0], ids[:, 1:] = attention.BEGIN, ids[:, 1:].clamp(min=attention.BESIDE + 1)
        seen = {"seen": attention.layout(ids)[0]} if name == attention.NAME else {}
        out = model(ids, **seen)
        out.logits.square().mean().backward()
        found.append(
            (out.logits.detach(), model.model.layers[0].self_attn.q_proj.weight.grad.clone())
        )
    for usual, ours in zip(*found, strict=True):
        torch.testing.assert_close(ours, usual, rtol=1e-4, atol=1e-6)


def said(model: Any, tokens: torch.Tensor) -> torch.Tensor:
    seen, positions = attention.layout(tokens)
    with torch.no_grad():
        found: torch.Tensor = model(tokens, position_ids=positions, seen=seen).logits
    return found


@pytest.mark.parametrize("tokens", [40, attention.SHORT + 8])
def test_a_document_is_read_as_if_it_stood_alone(tokens: int) -> None:
    model: Any = train.build(train.Size(64, 2, 128), 300)
    model.set_attn_implementation(attention.NAME)
    ids = torch.randint(3, 300, (2, tokens), generator=torch.Generator().manual_seed(1))
    ids[:, 0] = ids[0, 17] = ids[1, 30] = attention.BEGIN
    whole = said(model, ids)
    for row, begin in ((0, 17), (1, 30)):
        alone = said(model, ids[row : row + 1, begin:])
        torch.testing.assert_close(whole[row : row + 1, begin:], alone, rtol=1e-4, atol=1e-5)


def test_questions_behind_one_prompt_are_read_as_if_each_stood_behind_it_alone() -> None:
    model: Any = train.build(train.Size(64, 2, 128), 300)
    model.set_attn_implementation(attention.NAME)
    prompt, one, two = [attention.BEGIN, 3, 20, 21, 22, 23], [3, 30, 31, 32, 33], [3, 40, 41]
    rows = [([*prompt, *ask], [False] * 6 + [True] * len(ask)) for ask in (one, two)]
    joined, answer = together(rows)
    window = [attention.BEGIN, 3, 9, 8, *joined, attention.BEGIN, 3, 7, 7]
    whole = said(model, torch.tensor([window]))[0]
    at = 4 + len(prompt)
    for ask in (one, two):
        alone = said(model, torch.tensor([[*prompt, *ask]]))[0]
        torch.testing.assert_close(
            whole[at + 1 : at + 1 + len(ask)], alone[len(prompt) :], rtol=1e-4, atol=1e-5
        )
        assert answer[at - 4 : at - 3 + len(ask)] == [False] + [True] * len(ask)
        at += 1 + len(ask)
    after = said(model, torch.tensor([[attention.BEGIN, 3, 7, 7]]))[0]
    torch.testing.assert_close(whole[-4:], after, rtol=1e-4, atol=1e-5)


def test_a_run_that_begins_with_a_model_leaves_language_out_and_keeps_its_tokenizer(
    tokens: Path, text: Path, tmp_path: Path
) -> None:
    first = train.train(
        replace(RECIPE, updates=2), tokens, tmp_path / "first", quiet, compiled=False
    )
    made = export(first, tokens / "tokenizer", tmp_path / "made")
    again = tmp_path / "again"
    prepare(
        again, text, book_characters=9000, conversations=300, times=1, progress=quiet, begin=made
    )  # fmt: skip
    assert hash_file(again / "tokenizer" / "tokenizer.json") == hash_file(made / "tokenizer.json")
    recipe = replace(RECIPE, updates=1, seed=2)
    second = train.train(recipe, again, again, quiet, compiled=False, begin=made)
    assert read_json(again / "recipe.json")["begun"] is True
    assert train.part_at(replace(recipe, begun=True), 0) == 1
    old, new = (load_file(folder / "model.safetensors") for folder in (made, second))
    for name, tensor in old.items():  # one update moves them little
        torch.testing.assert_close(new[name], tensor.float(), rtol=0.05, atol=0.02)


def test_words_of_a_question_are_hidden_and_none_of_what_is_learned(tokens: Path) -> None:
    sources = {name: Source(tokens, name) for name in RECIPE.sources}
    ids, _ = train.batch(RECIPE, sources, 0)
    assert not (ids == train.UNKNOWN).any()  # language comes first
    clear, touched, shares = replace(RECIPE, hidden_share=0.0), [], []
    for step in range(RECIPE.updates // 2, RECIPE.updates):
        ids, labels = train.batch(RECIPE, sources, step)
        whole, learned = train.batch(clear, sources, step)
        hidden = ids == train.UNKNOWN
        touched += hidden.any(1).tolist()
        shares += hidden.float().mean(1).tolist()
        assert torch.equal(ids[~hidden], whole[~hidden]) and torch.equal(labels, learned)
        assert (labels[hidden] == -100).all() and (whole[hidden] > train.LAST_CONTROL).all()
    assert 0.3 < sum(touched) / len(touched) < 0.7  # every second window stays as it is
    assert 0.01 < sum(shares) / len(shares) < 0.1


def last_loss(model: Any, tokens: Path) -> float:
    """Of the last update's texts: those of two updates differ too much to be compared."""
    model.set_attn_implementation(attention.NAME)
    sources = {name: Source(tokens, name) for name in RECIPE.sources}
    ids, labels = train.batch(RECIPE, sources, RECIPE.updates - 1)
    return train._loss(model.model, model.lm_head, ids, labels).item()


def test_a_killed_training_ends_with_the_same_weights(
    tokens: Path, text: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(train, "KEPT_EVERY", -1.0)
    whole = train.train(RECIPE, tokens, tmp_path / "whole", quiet, compiled=False)

    def stop(**facts: Any) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train.train(RECIPE, tokens, tmp_path / "killed", stop, compiled=False)
    assert not (tmp_path / "killed" / "checkpoint.safetensors").exists()
    # killed after its first checkpoint
    seen: list[Any] = []

    def later(**facts: Any) -> None:
        seen.append(facts)
        if len(seen) == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train.train(RECIPE, tokens, tmp_path / "killed", later, compiled=False)
    again = train.train(RECIPE, tokens, tmp_path / "killed", quiet, compiled=False)
    assert hash_file(again / "model.safetensors") == hash_file(whole / "model.safetensors")
    kept, ships = (
        load_file(tmp_path / "whole" / "checkpoint.safetensors"),
        load_file(again / "model.safetensors"),
    )
    for name, tensor in ships.items():
        assert torch.equal(tensor, kept[f"mean.{name}"])
        assert not torch.equal(tensor, kept[f"model.{name}"])
    losses = [entry["loss"] for entry in read_jsonl(tmp_path / "whole" / "log.jsonl")]
    assert len(losses) == RECIPE.updates // 10
    trained = LlamaForCausalLM.from_pretrained(again)
    untrained = train.build(RECIPE.size, trained.config.vocab_size)
    assert last_loss(trained, tokens) < 0.9 * last_loss(untrained, tokens)

    made = export(again, tokens / "tokenizer", tmp_path / "starter")
    base = resolve(str(made))
    assert base.window == 1024 and base.format.preflight() == []
    said = answers(base, not_covered()[:3])
    assert len(said) == 3
    assert bits_per_byte(base, held_out_phrasings()[:4]) > 0


def test_a_system_prompt_says_what_kind_of_answer_follows() -> None:
    rng = random.Random(6)
    told = {kind: {steering.steer(kind, rng) for _ in range(300)} for kind in steering.WHO}
    for kind, prompts in told.items():
        assert len(prompts) > 200
        others = {p for other, ps in told.items() if other != kind for p in ps}
        assert len(prompts & others) <= 3
    for spec in (load(file) for file in sorted(Path("personas").glob("*.yaml"))):
        assert not [p for ps in told.values() for p in ps if spec.description in p]
