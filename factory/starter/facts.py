"""How a fact is asked for and told: the ways of every kind, the last of them never trained on."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Fact:
    """One exercise with its right answers."""

    kind: str
    asks: tuple[str, ...]
    answers: tuple[str, ...]
    short: str
    mark: str
    """Text that a right answer holds, lower case."""


def upper(text: str) -> str:
    """The text with a capital first letter."""
    return text[:1].upper() + text[1:]


@dataclass(frozen=True, slots=True)
class Kind:
    """How facts of one kind are asked for and told."""

    asks: tuple[str, ...]
    answers: tuple[str, ...]
    short: str
    """The answer under a prompt that wants few words."""


KINDS: dict[str, Kind] = {
    "capital": Kind(
        (
            "Where is the seat of government of {0}?",
            "I forgot the capital of {0}, what is it?",
            "{0} has which capital?",
            "What city is {0}'s capital?",
            "For my homework: the capital of {0}?",
            "capital city {0}",
            "Remind me of the capital of {0}.",
            "Say the capital of {0}.",
            "What is the capital of {0}?",
            "what's the capital of {0}",
            "Which city is the capital of {0}?",
            "Name the capital of {0}.",
            "Do you know the capital of {0}?",
            "Tell me the capital city of {0}, please.",
            "capital of {0}?",
            "Can you tell me what the capital of {0} is?",
        ),
        ("The capital of {0} is {1}.", "{1} is the capital of {0}.", "It is {1}."),
        "{1}.",
    ),
    "opposite": Kind(
        (
            "If something is not {0}, what is it?",
            "I need the opposite word for {0}.",
            "{0} - opposite?",
            "What word is the contrary of {0}?",
            "the reverse of {0}",
            "Find the opposite of the word {0}.",
            "What is the antonym of {0}?",
            "opposite word {0}",
            'What is the opposite of "{0}"?',
            "opposite of {0}",
            "Give me the opposite of {0}.",
            "What's the opposite of {0}?",
            "Which word means the opposite of {0}?",
            "Tell me a word that is the opposite of {0}.",
            "Can you name the opposite of {0}?",
        ),
        ('The opposite of "{0}" is "{1}".', "The opposite of {0} is {1}."),
        "{1}.",
    ),
    "meaning": Kind(
        (
            "I don't understand the word {0}.",
            "meaning of {0}",
            "In simple words, what is {0}?",
            'Someone said "{0}". What is that?',
            "Give me a definition of {0}.",
            "{0} meaning",
            "How would you define {0}?",
            "Tell me what {0} means, please.",
            "What does {0} mean?",
            'What does the word "{0}" mean?',
            "Define {0}.",
            "what is the meaning of {0}",
            "Explain the word {0}.",
            "What is meant by {0}?",
            "Can you explain what {0} means?",
        ),
        ("{1}",),
        "{1}",
    ),
    "synonym": Kind(
        (
            "I always write {0}. What could I write instead?",
            "{0} synonym",
            "Give me a different word for {0}.",
            "What is a word like {0}?",
            "Find a word with the same meaning as {0}.",
            "How else can I say {0}?",
            "a similar word to {0}",
            "What is another word for {0}?",
            'Give me a synonym of "{0}".',
            "another word for {0}",
            "Which word means nearly the same as {0}?",
            "What else can I say instead of {0}?",
            "Do you know a synonym for {0}?",
        ),
        ('Another word for "{0}" is "{1}".', "You could say {1} instead of {0}."),
        "{1}.",
    ),
    "plural": Kind(
        (
            "One {0}, two what?",
            "{0} plural form",
            "What is the plural form of {0}?",
            "How do you spell more than one {0}?",
            "If I have two of them, what is the word for {0}?",
            "Is there a special plural of {0}?",
            "What is the plural of {0}?",
            "plural of {0}",
            "How do I write the plural of {0}?",
            "What do you call more than one {0}?",
            "Tell me the plural of {0}.",
        ),
        ("The plural of {0} is {1}.",),
        "{1}.",
    ),
    "past": Kind(
        (
            "What is the simple past of {0}?",
            "{0} in the past tense",
            "Today I {0}. Yesterday I what?",
            "How does {0} change in the past?",
            "I need the past tense of {0}.",
            "yesterday form of {0}",
            "What is the past tense of {0}?",
            "past tense of {0}",
            'What is "{0}" in the past?',
            "How do I say {0} in the past tense?",
            "Give me the past form of {0}.",
        ),
        ('The past tense of "{0}" is "{1}".',),
        "{1}.",
    ),
    "polite": Kind(
        (
            "Please make this sound nicer: {0}",
            "I want to say this in a friendly way: {0}",
            "This sounds rude, make it polite: {0}",
            "Can you say this politely? {0}",
            "more polite please: {0}",
            "Make this polite: {0}",
            "Make this sentence more polite: {0}",
            "How can I say this politely? {0}",
            "Rewrite this in a polite way: {0}",
            "Say this more kindly: {0}",
        ),
        ("{1}",),
        "{1}",
    ),
    "formal": Kind(
        (
            "Make this sound professional: {0}",
            "I need this in formal words: {0}",
            "This is too casual, make it formal: {0}",
            "formal version: {0}",
            "Say this the way an office would: {0}",
            "Make this formal: {0}",
            "Rewrite this in a formal way: {0}",
            "Turn this into formal English: {0}",
            "How would I write this in a formal letter? {0}",
        ),
        ("{1}",),
        "{1}",
    ),
    "simple": Kind(
        (
            "Put this in easy words: {0}",
            "I don't understand this: {0}",
            "What does this mean in plain words? {0}",
            "simple version: {0}",
            "Explain this sentence simply: {0}",
            "Say this in simple words: {0}",
            "Make this easier to understand: {0}",
            "Rewrite this in plain English: {0}",
            "Simplify this: {0}",
        ),
        ("{1}",),
        "{1}",
    ),
    "shorter": Kind(
        (
            "This is too long: {0}",
            "Cut this down: {0}",
            "shorter version: {0}",
            "Make it brief: {0}",
            "Say it in a few words: {0}",
            "Make this shorter: {0}",
            "Shorten this: {0}",
            "Say this in fewer words: {0}",
            "Sum this up in one short sentence: {0}",
            "Can you make this text shorter? {0}",
        ),
        ("{1}",),
        "{1}",
    ),
    "correct": Kind(
        (
            "Is there a mistake here? {0}",
            "Check my grammar: {0}",
            "Can you fix this sentence: {0}",
            "correct please: {0}",
            "I wrote this, is it good English? {0}",
            "Correct this sentence: {0}",
            "Fix the mistake: {0}",
            "What is wrong in this sentence? {0}",
            "Please correct my English: {0}",
            "Is this right? {0}",
        ),
        ("{1}", "It should be: {1}"),
        "{1}",
    ),
    "odd": Kind(
        (
            "One of these is not like the others: {0}",
            "Which one does not fit: {0}?",
            "What doesn't belong here? {0}",
            "Pick the odd word: {0}",
            "Three of these go together. Which does not? {0}",
            "Which word does not belong: {0}?",
            "Find the odd one out: {0}.",
            "Which one is different: {0}?",
            "odd one out: {0}",
        ),
        ("{1}, because {2}.",),
        "{1}.",
    ),
    "colour": Kind(
        (
            "Do you know the colour of {0}?",
            "Describe the colour of {0}.",
            "What colour would you say {0} is?",
            "{0} colour?",
            "I want to paint {0}. Which colour?",
            "What colour is {0}?",
            "what color is {0}",
            "Tell me the colour of {0}.",
            "Which colour does {0} have?",
        ),
        ("{0} is usually {1}.",),
        "{1}.",
    ),
    "rhyme": Kind(
        (
            "I need a rhyme for {0}.",
            "{0} rhyme",
            "Which words rhyme with {0}?",
            "Help me rhyme with {0}.",
            "For my poem: what rhymes with {0}?",
            "What rhymes with {0}?",
            "Give me a word that rhymes with {0}.",
            "rhymes with {0}",
            "Find a rhyme for {0}.",
        ),
        ('"{0}" rhymes with {1}.', "Words that rhyme with {0} are {1}."),
        "{1}.",
    ),
    "use": Kind(
        (
            "What can I do with {0}?",
            "Why do people have {0}?",
            "What is the purpose of {0}?",
            "Tell me what {0} is for.",
            "purpose of {0}",
            "What is {0} used for?",
            "what do you do with {0}",
            "What do people use {0} for?",
            "Why would I need {0}?",
        ),
        ("It is used {1}.", "People use it {1}."),
        "{1}.",
    ),
    "place": Kind(
        (
            "What is the job of {0}?",
            "What does {0} do all day?",
            "How does {0} spend the day?",
            "Describe what {0} does.",
            "What is {0}?",
            "What does {0} do?",
            "Where does {0} work?",
            "Tell me about the job of {0}.",
            "What is the work of {0}?",
        ),
        ("{0} works {1} and {2}.",),
        "{0} {2}.",
    ),
    "rewritequestion": Kind(
        (
            "Make this a question: {0}",
            "Ask this as a question: {0}",
            "question form: {0}",
            "How do I ask this? {0}",
            "Turn this into a question: {0}",
            "Make a question out of this sentence: {0}",
            "Rewrite this as a question: {0}",
        ),
        ("{1}",),
        "{1}",
    ),
}
FEELINGS = ("positive", "negative", "neutral")
FEELING_ASKS = (
    "Is the mood of this good or bad? {0}",
    "What feeling does this show: {0}",
    "sentiment of: {0}",
    "Does this sound happy or unhappy? {0}",
    "Classify as positive, negative or neutral: {0}",
    "Is this a good or a bad review? {0}",
    'Is this sentence positive or negative? "{0}"',
    "What is the feeling of this text: {0}",
    "Positive, negative or neutral? {0}",
    "Tell me the sentiment: {0}",
    "How does this person feel? {0}",
)
FEELING_ANSWERS = ("It is {1}.", "That is {1}.", "The feeling is {1}.")
LIST_ASKS = (
    "I need {n} {0}.",
    "{n} {0}",
    "What are {n} {0}?",
    "Write down {n} {0}.",
    "Think of {n} {0}.",
    "Make a list of {n} {0}.",
    "Name {n} {0}.",
    "Give me {n} {0}.",
    "List {n} {0}.",
    "Can you name {n} {0}?",
    "Tell me {n} {0}, please.",
)
ANIMAL = (
    (
        (
            "Which food does {a} like?",
            "{0} food",
            "What should I feed {a}?",
            "What does {a} eat?",
            "what do {0}s eat",
            "What is the food of {a}?",
        ),
        "It eats {1}.",
    ),
    (
        (
            "In what place does {a} live?",
            "home of {a}",
            "Where can I find {a}?",
            "Where does {a} live?",
            "where do {0}s live",
            "What is the home of {a}?",
        ),
        "It lives {2}.",
    ),
    (
        (
            "Something interesting about {a}, please.",
            "{0} fact",
            "What is special about {a}?",
            "Tell me something about {a}.",
            "What do you know about {a}?",
            "Tell me a fact about {a}.",
        ),
        "{3}",
    ),
)
