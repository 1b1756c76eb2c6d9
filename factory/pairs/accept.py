"""Decides which questions and answers of a teacher become training pairs.

What is decided depends on what was accepted before and on nothing else: the same candidates in the
same order are judged alike.
"""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from factory.contracts import Reply
from factory.pairs import forms, talk, twin
from factory.pairs.alike import Alike
from factory.pairs.cells import Cell
from factory.pairs.phrases import foreign
from factory.pairs.tics import Limits, Tics, lengths
from factory.rows import checks, private
from factory.rows.language import NAMES, mismatch
from factory.rows.repair import CONTROL, MOJIBAKE, Mended, mend
from factory.rows.similarity import Read, contains, read, similarity
from factory.rows.words import count_words, tokens
from factory.rules import check
from factory.spec import Must, Rule, Seed

_CHANGED = 0.02
"""Share of the letters from which a repair is no repair: another answer is asked for."""
_LONGEST = {"en": 60, "zh": 100}
"""Words of a question."""
_ROOM = 2.0
"""How many times the words asked for an answer may have, and how many times fewer."""
_A_FEW = 5
"""Words from which answers are compared with each other and with their twins."""
_LOOPS = 3

NO_ROOM = "no_room"
"""Reason of a reply that is empty: the limit cut it off before it began, mostly while thinking."""


@dataclass(frozen=True, slots=True)
class Thresholds:
    """How alike is too alike."""

    near_duplicate: float = 0.70
    """Similarity of two questions of one split."""
    across: float = 0.55
    """Similarity of two questions of different splits, and of one to a row that is there already."""
    leak: float = 0.55
    """Similarity to a held-out question."""
    answer: float = 0.65
    """Similarity of two answers."""
    tics: Limits = field(default_factory=Limits)
    """How often answers may begin, end or speak alike."""


@dataclass(frozen=True, slots=True)
class Accepted:
    """An answer that is kept, as it was mended."""

    text: str
    repairs: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Rejected:
    """An answer that is not kept: a reason code, and what a person needs to understand it."""

    reason: str
    detail: str = ""


class Acceptor:
    """Judges candidates one after the other, and remembers what it accepted.

    Args:
        language: Two-letter code of the answers.
        rules: The persona's rules.
        seeds: The persona's examples: nothing may repeat them, and their habits are its own.
        thresholds: How alike is too alike.
        held_out: Questions of the scorecard, which nothing may come near.
        others: Questions of rows that are there already.
        voice: The persona's traits, which no question may name.
        controls: Finds what the base that is trained reads as a control token; None if nothing is.
    """

    def __init__(
        self,
        language: str,
        rules: Sequence[Rule],
        seeds: Sequence[Seed],
        thresholds: Thresholds | None = None,
        *,
        held_out: Sequence[str] = (),
        others: Sequence[str] = (),
        voice: Sequence[str] = (),
        controls: re.Pattern[str] | None = None,
    ) -> None:
        self.language = language
        self.rules = rules
        self.thresholds = thresholds or Thresholds()
        outputs = [seed.output for seed in seeds]
        self._canned = frozenset[str]().union(*map(checks.canned, outputs))
        self._personal = frozenset(kind for text in outputs for kind in private.find(text))
        self._traits = talk.Traits(voice)
        self._controls = controls
        self._held_out = [read(question) for question in held_out]
        self._questions, self._answers = Alike(), Alike()
        self._keys: set[bytes] = set()
        self._bound: dict[bytes, Cell] = {}
        required = [rule.must for rule in rules if isinstance(rule, Must) and not rule.pattern]
        self._tics = Tics(self.thresholds.tics, outputs, required)
        for text in dict.fromkeys([*(seed.instruction for seed in seeds), *others]):
            self._remember(text, side="")
        for text in outputs:
            self._answers.add(text)

    # --- questions -------------------------------------------------------------------------------

    def question(self, text: str, cell: Cell) -> str | None:
        """Judge a question; an accepted one is remembered.

        Returns:
            None if it is accepted, else a reason code: `empty_text`, `mojibake`,
            `control_characters`, `control_token`, `too_long`, `no_message`, `placeholder`,
            `form_not_asked`, `trait_words`, `personal_data`, `wrong_language`, `duplicate`, `leak`,
            `near_duplicate` or `across_splits`.
        """
        reason = self._unfit(text, cell) or self._repeats(text, cell.side)
        if reason is None:
            self._remember(text, cell.side)
            if cell.intent == "factual" or cell.form:
                self._bound[_key(text)] = cell
        return reason

    def _unfit(self, text: str, cell: Cell) -> str | None:
        fixed = mend(text)
        spoiled = fixed.lost or next((c for c in fixed.repairs if c in (MOJIBAKE, CONTROL)), None)
        if spoiled:
            return spoiled
        words = count_words(text)
        natural = cell.register not in ("format", "identity", "break_character")
        wrong = {
            "empty_text": not words,
            "control_token": checks.control_token(text, self._controls) is not None,
            "too_long": words > _LONGEST.get(self.language, _LONGEST["en"]),
            "no_message": talk.no_message(text),
            "placeholder": talk.placeholder(text),
            "form_not_asked": not forms.asked(cell.form, text),
            "trait_words": natural and self._traits.found(text, cell.topics),
            "personal_data": bool(private.find(text)),
            "wrong_language": self._strange(text, cell),
        }
        return next((reason for reason, found in wrong.items() if found), None)

    def _strange(self, text: str, cell: Cell) -> bool:
        if cell.register != "other_language":
            return mismatch(text, self.language) is not None
        # a short text is in no certain language: better without it
        elsewhere = mismatch(text, self.language) is not None
        return not elsewhere or mismatch(text, foreign(self.language)) is not None

    def _repeats(self, text: str, side: str) -> str | None:
        if _key(text) in self._keys:
            return "duplicate"
        found, limits = read(text), self.thresholds
        if any(self._leaks(found, question) for question in self._held_out):
            return "leak"
        for match in self._questions.like(found, min(limits.across, limits.near_duplicate)):
            if match.value >= limits.near_duplicate:
                return "near_duplicate"
            if match.group != side and match.value >= limits.across:
                return "across_splits"
        return None

    def _leaks(self, text: Read, question: Read) -> bool:
        # stricter than for rows that people wrote: another question costs little
        return similarity(text, question) >= self.thresholds.leak or contains(text, question)

    def _remember(self, text: str, side: str) -> None:
        self._keys.add(_key(text))
        self._questions.add(text, side)

    # --- answers ---------------------------------------------------------------------------------

    def answer(self, question: str, reply: Reply, cell: Cell) -> Accepted | Rejected:
        """Judge an answer, mended where that is possible; an accepted one is remembered."""
        if reply.finish_reason == "length":
            reason = "length" if reply.text.strip() else NO_ROOM
            return Rejected(reason, f"stopped by the limit after {reply.token_count} tokens")
        fixed = mend(reply.text)
        damage = _damage(reply.text, fixed)
        if damage:
            return damage
        text = fixed.text
        for rejected in self._faults(question, text, cell):
            return rejected
        self._answers.add(text)
        self._tics.add(text)
        return Accepted(text, fixed.repairs)

    def _faults(self, question: str, text: str, cell: Cell) -> Iterator[Rejected]:
        """What is wrong with an answer, the cheapest check first."""
        words = count_words(text)
        if not text:
            yield Rejected("empty_text")
        if token := checks.control_token(text, self._controls):
            yield Rejected("control_token", f"{token} is no text to the base model")
        if said := talk.maker(text) or (
            talk.role(text) if cell.register != "break_character" else None
        ):
            yield Rejected("meta_talk", f'"{said}"')
        if habit := checks.boilerplate(text, self._canned):
            yield Rejected("boilerplate", habit)
        if cell.register == "safety" and not talk.declines(text):
            yield Rejected("no_refusal", "a dangerous ask that is not declined")
        if cell.register not in ("safety", "break_character") and talk.refuses(text):
            yield Rejected("refusal", "declines what is no danger")
        if broken := check(self.rules, text):
            yield Rejected("rule_break", "; ".join(broken))
        if cell.form and not forms.follows(cell.form, text):
            yield Rejected("wrong_form", f"not {cell.form}")
        if cell.form != "json" and (torn := checks.cut_off(text)):
            yield Rejected("cut_off", torn)
        if not cell.form and (off := _off_length(words, cell)):
            yield Rejected("off_length", off)
        if looped := _looped(text):
            yield Rejected("loops", looped)
        if other := mismatch(text, self.language):
            yield Rejected("wrong_language", f"looks like {NAMES.get(other, other)}")
        if kinds := [kind for kind in private.find(text) if kind not in self._personal]:
            yield Rejected("personal_data", ", ".join(kinds))
        yield from self._alike(question, text, words)

    def _alike(self, question: str, text: str, words: int) -> Iterator[Rejected]:
        found = read(text)
        if words >= _A_FEW:
            if found.features.keys() <= read(question).features.keys():
                yield Rejected("echoes_question", "no word that the question has not")
            for match in self._answers.like(found, self.thresholds.answer):
                yield Rejected("near_duplicate", f'{match.value:.2f} like "{match.text[:60]}"')
        if tic := self._tics.broken(text):
            yield Rejected(*tic)

    def twin(self, question: str, answer: str, plain: str) -> str | None:
        """Compare an accepted answer with its plain twin; one that fails is forgotten again.

        Returns:
            None if it passes, else a reason code: `same_as_twin`, `contradicts_twin`.
        """
        cell = self._bound.get(_key(question))
        reason = None
        brief = cell is not None and (bool(cell.form) or count_words(answer) < _A_FEW)
        if not brief and twin.same(answer, plain):
            reason = "same_as_twin"
        elif cell and cell.intent == "factual" and twin.contradicts(answer, plain):
            reason = "contradicts_twin"
        if reason and self._answers.forget_last(answer):
            self._tics.forget(answer)
        return reason


def _key(text: str) -> bytes:
    return hashlib.blake2b(" ".join(tokens(text)).encode(), digest_size=8).digest()


def _damage(text: str, fixed: Mended) -> Rejected | None:
    """The rejection of a text that cannot be mended, or not without guessing much."""
    if fixed.lost:
        return Rejected(fixed.lost, fixed.detail)
    deep = [code for code in fixed.repairs if code in (MOJIBAKE, CONTROL)]
    if deep:
        from rapidfuzz.distance import Levenshtein

        changed = Levenshtein.normalized_distance(text.strip(), fixed.text)
        if changed > _CHANGED:
            return Rejected(deep[0], f"{changed:.0%} of the letters would have to be mended")
    return None


def _off_length(words: int, cell: Cell) -> str | None:
    low, high = cell.words
    if low / _ROOM <= words <= high * _ROOM:
        return None
    return f"{words} words where {low} to {high} were asked for"


def _looped(text: str) -> str | None:
    """What an answer says again and again, or None."""
    words = tokens(text)
    size = lengths(words).phrase
    runs = Counter(" ".join(words[at : at + size]) for at in range(len(words) - size + 1))
    # a row of sums repeats itself and is none the worse for it
    plain = {run: times for run, times in runs.items() if not any(map(str.isdigit, run))}
    run, times = max(plain.items(), key=lambda item: item[1], default=("", 0))
    return f'"{run}" {times} times' if times >= _LOOPS else None
