"""Questions that a small model cannot answer, and what an honest one says to them.

Made from frames and things nobody would teach it. `exam.NOT_COVERED`, which it is scored on, shares
neither things nor whole questions with them; a test holds that.
"""

from __future__ import annotations

import random
import re

from factory.starter.facts import Fact, upper

THINGS = (
    "a turbine", "the stock market", "a violin concerto", "quantum computing", "the Treaty of Ghent",
    "a nuclear reactor", "tectonic plates", "a mortgage contract", "enzyme kinetics", "a gearbox",
    "the Byzantine empire", "an oil refinery", "fibre optics", "the human genome", "a suspension bridge",
    "an espresso grinder", "a diesel engine", "inflation targeting", "a court of appeal", "a black hole",
    "the immune system of a shark", "a wind tunnel", "Roman law", "the Silk Road", "a printing press",
    "machine translation", "radar", "a submarine", "the Ottoman army", "a heat pump",
    "photosynthesis in algae",
    "a compiler", "the theory of relativity", "a trade deficit", "an electron microscope", "a jet stream",
    "the Baroque style", "a lithium battery", "sheet metal welding", "a pension fund", "the Danube floods",
    "a helicopter rotor", "a sewing pattern", "glacier movement", "a sonnet by Petrarch", "stem cells",
    "a tax return", "the periodic table", "a rocket engine", "a loom", "a satellite dish", "bond yields",
    "a 3D printer", "a water turbine", "the Great Schism", "a bassoon", "a database index",
    "a neutron star",
    "a tunnel boring machine", "wool dyeing", "crop rotation", "an insurance claim",
    "a catalytic converter",
    "the Meiji era", "a steam locomotive", "chess openings", "a kidney", "a magnetic field", "beekeeping",
    "a parliament in exile", "sailing knots", "an avalanche", "the Krebs cycle", "a hedge fund",
    "cheese rinds",
    "a power grid", "marble quarrying", "an altimeter", "the Hanseatic League", "a cello bow", "a router",
)  # fmt: skip
PLACES = (
    "Peoria", "Ulan Bator", "Antwerp", "Recife", "Hokkaido", "Tasmania", "Brno", "Cardiff", "Malmo",
    "Porto", "Bergamo", "Gdansk", "Lagos", "Quito", "Perth", "Leipzig", "Graz", "Ghent", "Turku",
    "Zaragoza", "Bratsk", "Kyoto", "Fresno", "Halifax", "Cusco", "Mombasa", "Tromso", "Dundee", "Basel",
    "Valencia", "Toulouse", "Bremen", "Odense", "Split", "Varna", "Izmir", "Haifa", "Lahore", "Pune",
)  # fmt: skip
WORKS = (
    "the long novel on my shelf", "that new series", "the fifth symphony", "the third chapter",
    "the sequel",
    "the school play", "the old silent film", "the last season", "the comic from 1962", "the radio drama",
    "the second album", "the prize-winning novel", "the new museum show", "the ballet", "the video game",
)  # fmt: skip
CRAFTS = (
    "rewire a lamp", "tan leather", "set a broken bone", "bind a book in leather", "forge a knife",
    "blow glass",
    "restore an oil painting", "tile a bathroom", "graft a rose", "shear a sheep", "fly a glider",
    "thatch a cottage",
    "lay bricks in an arch", "replace a clutch", "bleed the brakes", "repaint a boat hull",
    "cut dovetail joints",
    "sharpen a chisel", "re-string a harp", "build a kiln", "distil lavender oil", "smoke a ham",
    "gild a frame",
    "land a small plane", "read a contract of sale", "appeal a court ruling", "register a trademark",
    "value a painting",
    "set up a mail server", "sort a list in Haskell", "write a query in SQL", "compile a kernel",
    "train a falcon",
    "deliver a calf", "breed orchids", "spin flax", "clean a gas boiler", "dig a well",
    "weld aluminium", "dive to a wreck",
    "navigate by the stars", "play a fugue", "throw a discus", "fence with a sabre", "cast a bell",
    "carve a spoon from ash",
    "import a car", "found a charity", "write a will", "split a pension", "audit a company",
    "price an option",
)  # fmt: skip
SUBSTANCES = (
    "zinc", "helium", "nitric acid", "basalt", "graphite", "chlorine", "uranium", "lanolin", "beeswax",
    "titanium",
    "ethanol", "ammonia", "silk", "quartz", "nickel", "sulphur", "insulin", "cortisone", "keratin",
    "nylon", "cobalt",
    "ibuprofen", "vitamin K", "caffeine", "formaldehyde", "amber", "obsidian", "latex", "chalk", "bronze",
)  # fmt: skip
COUNTRIES = (
    "Bolivia", "Chad", "Laos", "Estonia", "Ghana", "Uruguay", "Nepal", "Tunisia", "Slovenia", "Oman",
    "Paraguay",
    "Zambia", "Latvia", "Jamaica", "Georgia", "Mongolia", "Cameroon", "Honduras", "Bhutan", "Moldova",
    "Fiji",
)  # fmt: skip
PAST = (
    "the siege of Vienna", "the peace of Nijmegen", "the second Punic war", "the Hundred Years' War",
    "the Boxer rising",
    "the reign of Philip the Fair", "the Congress of Berlin", "the old salt road", "the gunpowder plot",
    "the tulip mania",
    "the Congo conference", "the first crusade", "the dancing plague", "the Taiping war",
    "the Carolingian court",
)  # fmt: skip
MINDS = (
    "Hegel", "Spinoza", "Galen", "Averroes", "Leibniz", "Hypatia", "Bourdieu", "Confucius", "Ricardo",
    "Wittgenstein",
    "Linnaeus", "Ptolemy", "Vico", "Malthus", "Seneca", "Faraday", "Pasteur", "Humboldt", "Lavoisier",
    "Euler",
)  # fmt: skip
SPORTS = (
    "water polo", "curling", "the decathlon", "lacrosse", "snooker", "sumo", "rugby league", "baseball",
    "judo",
    "figure skating", "the modern pentathlon", "croquet", "handball", "dressage", "fencing", "petanque",
    "hurling",
)  # fmt: skip
TONGUES = (
    "Hungarian",
    "Swahili",
    "Basque",
    "Welsh",
    "Tamil",
    "Estonian",
    "Icelandic",
    "Maori",
    "Quechua",
    "Georgian",
)
FRAMES: tuple[tuple[tuple[str, ...], tuple[str, ...]], ...] = (
    (THINGS, (
        "How does {0} work?", "Explain {0} in detail.", "What is {0} made of?", "Who invented {0}?",
        "What do you know about {0}?", "How do I repair {0}?", "What does an engineer say about {0}?",
        "Tell me the history of {0}.", "What are the parts of {0} called?", "How much does {0} cost?",
        "Why does {0} fail?", "what is {0} exactly", "How is {0} made?", "When was {0} first described?",
        "Can you teach me {0}?", "Which law is about {0}?", "Write code that simulates {0}.",
        "What are the newest findings on {0}?", "How do experts measure {0}?", "Which book on {0} is best?",
        "What is the formula behind {0}?", "How do I calculate {0}?", "What are the risks of {0}?",
    )),
    (PLACES, (
        "How many people live in {0}?", "Who governs {0}?", "What is the weather in {0} right now?",
        "Which train goes to {0}?", "What is the best hotel in {0}?", "When was {0} founded?",
        "What happened in {0} last week?", "How far is it from {0} to the sea?",
        "Who won the election in {0}?",
        "What is the most famous street in {0}?", "how do I get to {0} from the airport",
        "Which team from {0} won yesterday?", "What time is it in {0}?", "What are house prices in {0}?",
        "What is the area code of {0}?", "Which river runs through {0}?", "What is {0} known for?",
    )),
    (CRAFTS, (
        "How do I {0}?", "How does one {0}?", "Explain how to {0}.", "how to {0}",
        "Which tools do I need to {0}?",
        "Teach me to {0}.", "Can I {0} myself?", "How long does it take to {0}?", "Who can {0} for me?",
        "I want to {0}. What comes first?", "What does it cost to {0}?", "Give me instructions to {0}.",
    )),
    (SUBSTANCES, (
        "What is the density of {0}?", "At what temperature does {0} melt?",
        "What is {0} used for in industry?",
        "Which plant makes {0}?", "Is {0} dangerous to breathe?", "What is the symbol of {0}?",
        "Where is {0} mined?",
        "How is {0} purified?", "How much {0} is safe?", "What does {0} do in the body?",
        "Who discovered {0}?",
        "How heavy is a litre of {0}?", "What happens when {0} burns?", "Which animals can't stand {0}?",
    )),
    (COUNTRIES, (
        "What is the public debt of {0}?", "Who is the president of {0}?", "How large is the army of {0}?",
        "Which parties sit in the parliament of {0}?", "What does {0} export?",
        "When did {0} become independent?",
        "What is the highest mountain in {0}?", "Do I need a visa for {0}?",
        "What is the minimum wage in {0}?",
        "How many people live in {0}?", "What are the school holidays in {0}?",
        "Which coins do they use in {0}?",
    )),
    (PAST, (
        "What was {0} about?", "When was {0}?", "Who took part in {0}?", "Why is {0} remembered?",
        "How did {0} end?",
        "What caused {0}?", "What do historians say about {0}?", "Where can I read about {0}?",
        "Tell me about {0}.",
    )),
    (MINDS, (
        "What did {0} teach?", "What did {0} write about freedom?", "Where was {0} born?",
        "Why did {0} disagree with his critics?",
        "Which book by {0} is the most important?", "Explain the main idea of {0}.",
        "What is {0} known for?", "When did {0} die?",
        "Was {0} right?", "Who were the students of {0}?",
    )),
    (SPORTS, (
        "What are the rules of {0}?", "Explain the scoring in {0}.", "Who holds the record in {0}?",
        "How many players does {0} need?",
        "Who is the champion in {0}?", "What counts as a foul in {0}?",
        "How do professionals train for {0}?",
        "When did {0} begin?", "What gear do I need for {0}?",
    )),
    (TONGUES, (
        "How do you say good morning in {0}?", "Translate I love you into {0}.",
        "What is the word for bread in {0}?",
        "How many cases does {0} have?", "How do I count to ten in {0}?", "Who speaks {0}?",
        "Write a greeting in {0}.",
        "Is {0} hard to learn?", "Speak {0} with me.",
    )),
    (WORKS, (
        "Who wrote {0}?", "How does {0} end?", "What happens in {0}?", "Who plays the lead in {0}?",
        "When did {0} come out?", "Quote a line from {0}.", "Is {0} based on a true story?",
        "How long is {0}?", "Who composed the music of {0}?", "What do critics say about {0}?",
    )),
    (("",), (
        "What is 3417 times 892?", "What is the square root of 7311?",
        "What will the share price be next year?",
        "Who will win the world cup?", "What are tomorrow's lottery numbers?", "What did I eat yesterday?",
        "What is my sister's name?", "What is in my bag?", "Where did I park my car?",
        "What is my blood type?",
        "Which pill should I take and how many?", "Translate this page into Latin.",
        "What is the news today?",
        "How many stars are there exactly?", "What year did my grandfather move here?",
        "What is my password?",
        "Prove the four colour theorem.", "What does this blood result mean?", "Which statute covers this?",
        "What is the exchange rate right now?", "Who called me this morning?", "Read the file on my desk.",
        "What is the melting point of tungsten?", "Which king ruled in the year 1103?",
        "Name the enzyme that splits starch.",
        "Which bird lays the largest clutch?", "How thick is the ice at the pole?",
        "What is the half-life of radium?",
        "Which muscle bends the thumb?", "How many moons does Uranus have?",
        "What does a notary do with a deed?",
        "Who designed the first pocket watch?", "What do actuaries calculate?",
        "How does a court choose a jury?",
        "Which fish can live longest out of water?",
        "Which fungi grow on beech?", "How do bees see ultraviolet light?", "When does my contract end?",
        "What is the deepest lake of Africa?", "How fast does a glacier flow?",
        "Who scored the goal last night?",
        "How many bones does a bat have?",
        "How many calories are in this plate?", "What is the chemical formula of aspirin?",
        "Who holds the record in hammer throw?",
    )),
)  # fmt: skip
DOUBT = (
    "I do not know that.", "I don't know.", "I am not sure.", "Sorry, I don't know that.",
    "I do not know, I am afraid.", "That is more than I know.", "Honestly, I am not sure.",
    "I am not sure, and I would rather not guess.", "I do not know enough about that.",
    "I'm sorry, I do not know.", "I have not learned that.",
)  # fmt: skip
"""None says "I cannot tell you": that reads as a refusal, which a doubt is not."""
BECAUSE = (
    "I am a small model and I only know everyday things.", "I was made for simple everyday talk.",
    "I only know small, simple things.", "A wrong answer would not help you.", "My knowledge is small.",
    "I am better at everyday questions.", "That is beyond a small model like me.", "", "", "",
)  # fmt: skip
NEXT: dict[str, tuple[str, ...]] = {
    "do": (
        "Ask someone who has done it before.", "A short guide with pictures will help you more.",
        "Look for a good guide, and take it one step at a time.",
        "A person who does this for a living can show you.",
        "Watch how an expert does it first.", "It is best to ask an expert before you start.",
        "A book from the library can show you the steps.", "Read a guide first, and start small.",
        "Ask in a shop for this, they often know.", "Find a teacher or a class if you want to learn it.",
    ),
    "number": (
        "Please look up the number.", "A search page can tell you the exact number.",
        "It is best to check it in a book or online.", "An encyclopedia has the number.",
        "Please check a source that you trust.", "You can find it online in a minute.",
        "It depends, so please check it.", "Numbers like this are best looked up.",
    ),
    "name": (
        "An encyclopedia can tell you.", "Please look it up.", "A search page will find it quickly.",
        "You can find it in a library or online.", "Please check it in a book that you trust.",
        "Somebody who knows the subject can tell you.", "It is best to look it up.",
        "A good book about it has the answer.",
    ),
    "other": (
        "Please look it up.", "A library or a search page can tell you more.",
        "An encyclopedia explains it well.", "Ask someone who knows the subject.",
        "It is best to ask an expert.", "A good book can explain it better than I can.",
        "Please check a source that you trust.", "You can find a good explanation online.",
        "A teacher could explain it to you.", "Try a trusted website.",
    ),
}  # fmt: skip
"""Where an answer can be found, by what is asked for."""
FUNNY = (
    "My library is one shelf, and a cat sleeps on it.", "My head is small and already full of recipes.",
    "I could guess, but my guesses have never won a prize.", "Even my best guess would blush.",
    "I skipped that class, and all the others too.", "I know three things, and this is not one of them.",
    "My brain fits on a stamp, so I chose the easy facts.", "Ask me about soup instead.",
    "I would look clever now, if I had read that book.", "I nodded wisely, but you could not see it.",
)  # fmt: skip
"""What a funny voice adds."""

_DO = re.compile(
    r"\b(how (do|can|should|could|does) (i|we|one)\b|how to\b|teach|instructions)", re.I
)
_NUMBER = re.compile(
    r"\b(how (many|much|old|far|long|tall|deep|high|heavy|fast|large|big|thick|wide|hot|cold)|when|"
    r"what (year|temperature|time)|calculate|density|rate|price|cost)\b", re.I,
)  # fmt: skip
_NAME = re.compile(r"\b(who|whose|which|where|name)\b", re.I)
_FACT = re.compile(
    r"(who|whose|when|where|which|what|how|explain|define|is|are|do|does|did|was|were|"
    r"why (do|does|did|is|are|was|were|has|have))\b", re.I,
)  # fmt: skip
_OURS = re.compile(r"\b(i|i'm|me|my|mine|we|us|our|you|your)\b", re.I)


def wants(ask: str) -> str:
    """What a question asks for, a key of `NEXT`."""
    found = ((_DO, "do"), (_NUMBER, "number"), (_NAME, "name"))
    return next((kind for pattern, kind in found if pattern.search(ask)), "other")


def about_the_world(ask: str) -> bool:
    """Whether a question is about a fact, not about somebody's own life or a text it quotes."""
    return bool(_FACT.match(ask)) and not _OURS.search(ask) and '"' not in ask


def doubt(ask: str, style: str, rng: random.Random) -> str:
    """An honest answer to a question that a model cannot answer.

    Args:
        ask: The question.
        style: Kind of answer wanted, as in `everyday.Card`.
        rng: Chooses.
    """
    first, then = rng.choice(DOUBT), rng.choice(NEXT[wants(ask)])
    if style == "short":
        return first if rng.random() < 0.3 else f"{first} {then}"
    last = rng.choice(FUNNY) if style == "funny" else ""
    return " ".join(filter(None, (first, rng.choice(BECAUSE), then, last)))


def unknown(rng: random.Random) -> Fact:
    """A question beyond the model, and honest answers to it."""
    things, frames = rng.choices(FRAMES, (6, 3, 3, 2, 2, 1, 1, 1, 1, 2, 4))[0]
    thing = rng.choice(things)
    first = rng.choice(frames)
    alike = [frame for frame in frames if wants(frame) == wants(first)]
    asks = tuple(upper(f.format(thing)) for f in (first, *rng.sample(alike, min(3, len(alike)))))
    answers = tuple(doubt(asks[0], "replies", rng) for _ in range(3))
    return Fact("unknown", asks, answers, doubt(asks[0], "short", rng), "know", FUNNY)
