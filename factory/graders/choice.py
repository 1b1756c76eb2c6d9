"""Reads which option an answer to a multiple-choice question settles on."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Mapping

from factory.graders.closed import mentions

_DRESS = re.compile(r"[*`$]|\\(?:boxed|text(?:bf)?|mathrm)|[{}]|(?<!\w)_+|_+(?!\w)")
_OPEN = r"[(\[\"'“‘]*"
_AND = r"\s*(?:,\s*(?:and|or|nor)?|and|or|nor|&|/|、|和|或|与|及|跟)\s*"

_LEAD = re.compile(
    r"(?:\b(?:answer|choice|option|pick|choose|chose|select|letter|go with|going with|therefore|thus"
    r"|hence|so|but|actually|wait|no|rather|sorry|correction|correct|right one|it's|it is|it must be"
    r"|leaves|say)\b|答案|应选|选择|选项|所以|因此|因而|而是|应该是|应为|应当是|还是|正确的?是|选)"
    r"[\s:,.。=\-–—>]*(?:(?:is|would be|should be|must be|the answer is|it's|it is|option|answer|为|是"
    rf"|选项|选)[\s:]*)*{_OPEN}$",
    re.I,
)
"""Words right before a letter that make it the chosen one."""
_VERDICT = re.compile(
    r"^[)\].:'\"”’]*[^.;!?。\n]{0,40}?\s*(?:(?:is|was|would be|must be|seems|looks)"
    r" (?:(?:the|clearly|most) )*(?:correct|right|best|true|answer|one)\b|[✓✔✅]|才?是?(?:正确|对)的)",
    re.I,
)
"""Words right after a letter that make it the chosen one."""
_OUT_BEFORE = re.compile(
    r"(?:\b(?:not|isn't|aren't|wasn't|never|neither|nor|rule[sd]? out|ruling out|eliminat\w+"
    r"|exclud\w+|rather than|instead of|than|except|unlike|dismiss)"
    r"|不是|不选|并非|而非|排除|不会是|不可能是|除了)"
    rf"\s*(?:(?:options?|answers?|choices?|the|both|either|选项)\s*)*{_OPEN}$",
    re.I,
)
_OUT_AFTER = re.compile(
    r"^[)\].:'\"”’\-–—]*\s*(?:(?:is|are|was|were|looks?|seems?|sounds?|would be|can be|clearly|also|both"
    r"|obviously|all|just|也|都|是|显然|肯定|就)\s*)*"
    r"(?:wrong|incorrect|false|not\b(?!\W*(?-i:[A-Z])\b)|no\b|out\b|ruled out|eliminated|isn't|aren't"
    r"|can't|cannot|doesn't|does not|don't|do not|tempting"
    r"|[✗✘❌×]|错|不对|不正确|不是|不行|排除|有误|不会|不能)",
    re.I,
)
_GOES_ON = re.compile(
    r" (?!(?:is|was|are|and|or|but|because|since|as|for|would|must|seems|looks|can't|cannot|isn't"
    r"|doesn't|fits)\b)[A-Za-z]"
)
"""What follows "A" or "I" where it is an article or a pronoun."""


def chosen(text: str, options: Mapping[str, str]) -> str | None:
    """The letter of the option an answer settles on, or None if it does not.

    What is said of a letter decides ("the answer is B", "so B", "C is right", a letter at the very
    beginning), the last such word first; then the last letter that stands alone. Letters that are
    ruled out ("A is wrong", "not A but") and a mere copy of the whole list do not count. Without a
    letter, the text of an option does if no other option's is mentioned.

    Args:
        text: An answer.
        options: Text of every option by its letter.
    """
    # the persona file may call them a, b, c; answers say A, B, C all the same
    names = {key.upper(): key for key in options}
    found = _settled(text, {key.upper(): said for key, said in options.items()})
    return names[found] if found else None


def _settled(text: str, options: Mapping[str, str]) -> str | None:
    plain = unicodedata.normalize("NFKC", text).replace("\u2019", "'")
    plain = _copied(options).sub("\n", _DRESS.sub("", plain)).strip()
    stated: list[str] = []
    named: list[str] = []
    for letter, before, after in _letters(plain, options):
        if not _ruled_out(before, after, options[letter], _any_of(options)):
            named.append(letter)
            if not re.search(r"\w", before) or _LEAD.search(before) or _VERDICT.match(after):
                stated.append(letter)
    lettered = stated or named
    return lettered[-1] if lettered else _by_text(plain, options)


def _letters(plain: str, options: Mapping[str, str]) -> Iterator[tuple[str, str, str]]:
    """Letters that stand alone, with 80 characters before and after.

    A lower-case letter counts in brackets only, or as the whole answer.
    """
    keys = {key.casefold(): key for key in options}
    small = "|".join(map(re.escape, keys))
    lone = re.compile(
        rf"(?<![A-Za-z0-9])(?P<plain>{_any_of(options)})(?![A-Za-z0-9]|['-]\w)"
        rf"|(?<=[(\[])(?P<inside>{small})(?=[)\]])|\A\W*(?P<whole>{small})(?=\W*\Z)"
    )
    for match in lone.finditer(plain):
        letter = keys[str(match[match.lastgroup or 0]).casefold()]
        after = plain[match.end() : match.end() + 80]
        if match[0] not in ("A", "I") or not _GOES_ON.match(after):
            yield letter, plain[max(0, match.start() - 80) : match.start()], after


def _ruled_out(before: str, after: str, option: str, letters: str) -> bool:
    # "A and B are wrong", "neither A nor B": what is said of one is said of all
    alone = rf"[(\[]?(?:{letters})[)\]]?"
    first = re.sub(rf"(?:(?<!\w){alone}{_AND})+{_OPEN}$", "", before)
    last = re.sub(rf"^[)\]]?(?:{_AND}{alone}(?!\w))+", "", after)
    last = re.sub(rf"^[)\].:\s]*{re.escape(option)}\b", "", last, flags=re.I)
    return bool(_OUT_BEFORE.search(first) or _OUT_AFTER.match(last))


def _copied(options: Mapping[str, str]) -> re.Pattern[str]:
    """All options with their letters, in order, as the question shows them."""
    entries = (
        rf"[-*•\s(\[]{{0,6}}{re.escape(key)}[)\].:、,\s]{{1,4}}{re.escape(said)}[\s.,;，；、。/|]{{0,4}}"
        for key, said in options.items()
    )
    # counted, for a long run of blanks or dashes must not be tried from each of its characters
    return re.compile("".join(entries), re.I)


def _any_of(options: Mapping[str, str]) -> str:
    return "|".join(re.escape(key) for key in options)


def _by_text(plain: str, options: Mapping[str, str]) -> str | None:
    """The one option whose text is mentioned; a text within a longer one that is mentioned is not."""
    found = [key for key, said in options.items() if mentions(plain, said)]
    apart = [
        key
        for key in found
        if not any(
            options[key] != options[other] and options[key].casefold() in options[other].casefold()
            for other in found
        )
    ]
    return apart[0] if len(apart) == 1 else None
