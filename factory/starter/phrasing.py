"""The same question as other people would type it: other words, fewer words, a greeting, no capitals."""

from __future__ import annotations

import random
import re
from collections.abc import Set

SAME = (
    "tips|advice|ideas|suggestions|hints", "tired|exhausted|worn out|sleepy|drained",
    "quickly|fast", "help|assist", "begin|start", "big|large|huge", "small|little|tiny",
    "sad|unhappy|down|low|blue", "happy|glad|cheerful", "angry|mad|furious|cross",
    "afraid|scared|frightened", "worried|anxious|nervous", "stressed|under pressure|overwhelmed",
    "hard|difficult|tough", "easy|simple", "nice|good|pleasant", "bad|poor|awful|terrible",
    "buy|get|purchase", "cook|make|prepare", "dinner|supper|the evening meal", "meal|dish",
    "film|movie", "films|movies", "book|novel", "trip|journey|travel", "holiday|vacation",
    "present|gift", "presents|gifts", "friend|mate|buddy", "friends|mates", "boss|manager",
    "job|work|position", "child|kid", "children|kids", "mum|mother|mom", "dad|father",
    "house|home|place", "flat|apartment", "money|cash", "cheap|inexpensive|low cost",
    "expensive|costly|pricey", "order|purchase", "parcel|package|delivery", "refund|money back",
    "return|send back", "broken|damaged|faulty", "shop|store", "price|cost", "talk|speak|chat",
    "tell|inform", "explain|describe", "show|tell", "learn|study", "exam|test", "exams|tests",
    "remember|memorise|keep in mind", "forget|lose track of", "sleep|rest", "wake up|get up",
    "angry|annoyed|upset", "clean|tidy", "dirty|messy", "wash|clean", "fix|repair|mend",
    "funny|amusing|witty", "joke|gag", "story|tale", "poem|verse", "song|tune", "great|wonderful",
    "beautiful|pretty|lovely", "clever|smart|bright", "stupid|silly|dumb", "sick|ill|unwell",
    "doctor|physician", "headache|pain in my head", "healthy|good for me", "fit|in shape",
    "exercise|work out|train", "walk|stroll", "run|jog", "relax|unwind|calm down|switch off",
    "bored|with nothing to do", "lonely|alone|on my own", "often|a lot|all the time",
    "always|all the time", "never|not ever", "many|a lot of|lots of", "need|want|would like",
    "want|would like|wish", "like|enjoy|love", "hate|can't stand|dislike", "think|believe",
    "should I|ought I to|do I have to", "can I|could I|may I", "how do I|how can I|how should I|how to",
    "what is|what's|whats", "what are|what're", "I am|I'm|im", "I have|I've|I got", "do not|don't",
    "cannot|can't|cant", "can't|cannot|am unable to|am not able to", "doesn't|does not",
    "isn't|is not", "it is|it's|its", "there is|there's", "you are|you're", "want to|wanna|would like to",
    "going to|gonna|about to", "give me|show me|I need|I'd like|let me have", "tell me|let me know|say",
    "please|kindly", "today|this day", "tonight|this evening", "tomorrow|the day after",
    "before|ahead of", "after|following", "because|since|as", "a lot|much|very much",
    "very|really|so|quite", "maybe|perhaps", "someone|somebody|a person", "something|some thing",
    "people|folks|others", "way|method|trick", "best|top|ideal", "favourite|favorite|preferred",
    "colour|color", "way to|method to|trick to", "reason|cause", "problem|trouble|issue",
    "mistake|error", "answer|reply", "question|query", "word|term", "mean|stand for",
    "keep|stay|remain", "stop|quit|give up", "try|attempt", "hurts|is sore|aches", "cold|chilly|freezing",
    "hot|warm|boiling", "rain|wet weather", "garden|yard", "plant|flower", "plants|flowers",
    "phone|mobile|cell phone", "computer|laptop|PC", "password|login code", "email|mail|message",
    "letter|note", "meeting|call", "colleague|coworker|workmate", "colleagues|coworkers",
    "called|known as|named", "which|what", "biggest|largest", "smallest|tiniest", "make|produce|give",
    "in the world|on earth|of the world", "alive|living|from dying", "name the|what is the|say the",
    "argument|fight|row|quarrel", "sorry|apology", "thanks|thank you|cheers", "bye|goodbye|see you",
)  # fmt: skip
"""Words that may stand for one another in a question; grammar may suffer, as it does in chats."""

BEFORE = (
    "Hi, ", "Hello! ", "Hey, ", "Hi there. ", "Please: ", "Quick question: ", "I have a question. ",
    "So, ", "Hmm, ", "Ok, ", "Well, ", "One more thing: ", "Could you help? ", "Excuse me, ",
    "I was wondering: ", "Tell me, ", "Just asking: ", "Sorry to bother you. ", "Dear assistant, ",
)  # fmt: skip
AFTER = (
    " Thanks!", " Please.", " Any ideas?", " What do you think?", " Please help.", " thx", " Thank you.",
    " I would like to know.", " Just curious.", " Can you help me?", " ?", "!", "??", " :)",
    " I really need to know.", " Help me out.", " Be honest.",
)  # fmt: skip
SMALL = frozenset((
    "a", "an", "the", "do", "does", "is", "are", "am", "to", "of", "for", "my", "me", "i", "you", "it", "in",
    "on", "at", "please", "can", "could", "would", "should", "some", "any", "that", "this", "really", "very",
    "just", "so", "with", "be",
))  # fmt: skip
"""Words that people leave out when they type in a hurry."""

_OTHERS: dict[str, list[str]] = {}
for _group in SAME:
    _words = _group.split("|")
    for _word in _words:
        _OTHERS.setdefault(_word.lower(), []).extend(w for w in _words if w != _word)
_FINDER = re.compile(
    r"\b(" + "|".join(sorted(map(re.escape, _OTHERS), key=len, reverse=True)) + r")\b", re.I
)


def _other_words(ask: str, rng: random.Random) -> str:
    def other(found: re.Match[str]) -> str:
        if rng.random() < 0.5:
            return found[0]
        word = rng.choice(_OTHERS[found[0].lower()])
        return word[:1].upper() + word[1:] if found[0][:1].isupper() else word

    return _FINDER.sub(other, ask)


def _fewer_words(ask: str, rng: random.Random) -> str:
    words = ask.split()
    kept = [w for w in words if w.lower().strip(",.?!") not in SMALL or rng.random() < 0.5]
    return " ".join(kept if len(kept) > 1 else words)


def _slip(ask: str, rng: random.Random) -> str:
    """One letter doubled, dropped or exchanged with the next, inside a longer word."""
    places = [k for k in range(1, len(ask) - 2) if ask[k - 1 : k + 2].isalpha()]
    if len(ask) < 12 or not places:
        return ask
    k = rng.choice(places)
    ways = (ask[:k] + ask[k] + ask[k:], ask[:k] + ask[k + 1 :],
            ask[:k] + ask[k + 1] + ask[k] + ask[k + 2 :])  # fmt: skip
    return rng.choice(ways)


def plain(ask: str) -> str:
    """A question without case and punctuation, for comparison."""
    return " ".join(re.findall(r"\w+", ask.lower()))


def rephrase_except(ask: str, rng: random.Random, never: Set[str]) -> str:
    """`rephrase`, but not so that a question comes up by chance that must not; `never` holds those, plain."""
    other = rephrase(ask, rng)
    return ask if plain(other) in never else other


def rephrase(ask: str, rng: random.Random) -> str:
    """The question, one time in two as it stands, else as somebody else would put it."""
    if rng.random() < 0.5:
        if rng.random() < 0.6:
            ask = _other_words(ask, rng)
        if rng.random() < 0.3:
            ask = _fewer_words(ask, rng)
        if rng.random() < 0.2:
            ask = _slip(ask, rng)
        if rng.random() < 0.2:
            ask = rng.choice(BEFORE) + ask
        if rng.random() < 0.2:
            ask += rng.choice(AFTER)
    return typed(ask, rng)


def typed(ask: str, rng: random.Random) -> str:
    """The same words with the capitals and full stops that people leave out."""
    if rng.random() < 0.15:
        ask = ask.lower()
    if rng.random() < 0.15:
        ask = ask.rstrip(".?!")
    return ask
