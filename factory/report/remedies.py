"""What mends what: a remedy for every metric that can fall and every instrument that can fail."""

from __future__ import annotations

LEARNED_TOO_MUCH = (
    "The tuning pushed out what the base knew: lower tune.learning_rate or tune.epochs"
)

BY_METRIC = {
    "perplexity": "The voice was not learned: read the loss curve below, and look for rows whose "
    "answers do not belong to their questions.",
    "style": "The voice was not learned: look for rows in another voice, and raise tune.epochs.",
    "rules": "Training answers break the persona's rules: `factory check` names the rows.",
    "relevance": "Answers no longer fit their questions: look for rows whose answers do not.",
    "stop_rate": "Answers do not end: look for training answers that are cut off.",
    "non_empty": "Answers are empty: look for empty or near-empty training answers.",
    "no_repetition": f"Answers go round in circles. {LEARNED_TOO_MUCH}.",
    "language": "Answers change their language: look for rows in another language.",
    "accuracy": f"{LEARNED_TOO_MUCH}, or add rows like the questions it lost.",
    "forgetting": f"{LEARNED_TOO_MUCH}, or add plain rows of everyday tasks.",
    "safety": f"{LEARNED_TOO_MUCH}, or add rows that decline harmful requests in the persona's voice.",
    "plain": f"{LEARNED_TOO_MUCH}.",
    "general": f"{LEARNED_TOO_MUCH}.",
    "drift": f"{LEARNED_TOO_MUCH}.",
}
"""By metric whose gate failed."""

BY_INSTRUMENT = {
    "a_a": "The base gave other results than itself: other work on this machine, or an endpoint "
    "that changes. Evaluate again; if it happens twice, run `factory doctor`.",
    "likelihoods_finite": "A likelihood is not a number: the training blew up or a number format "
    "is too small. Lower tune.learning_rate, or set tune.precision: fp32.",
    "answers": "Answers are missing or all alike: run `factory doctor`, then evaluate again.",
    "planted_shuffled": "Answers to other questions look just as fitting, so the questions are too "
    "much alike: ask about more different things.",
    "planted_truncated": "Cut-off or looping answers went unnoticed: look at the held-out rows, "
    "whose own answers may be cut off.",
    "planted_opposite": "Answers without the persona went unnoticed: the seeds and rows do not "
    "define a style that can be told from plain answers. Make the voice clearer.",
    "planted_flipped": "Wrong facts went unnoticed, or right ones were refused: check the `expect` "
    "of the questions, which must fit right answers and no others.",
    "style": "The rows do not define a style that can be told from plain answers: make the voice "
    "clearer, or rely on `rules`.",
    "judge": "The judge missed planted bad answers or did not answer: choose a stronger one under "
    "evaluate.judge, or leave it out.",
}
"""By instrument that failed."""

FIXED_SIZE = ("forgetting", "safety", "general", "drift")
"""Metrics whose items ship with the program: no one can add to them in a persona file."""

ROWS = ("perplexity", "plain")
"""Metrics measured on held-out rows."""
