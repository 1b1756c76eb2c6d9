"""The parity certificate catches every way in which a served model can differ from the trained one."""

from __future__ import annotations

from dataclasses import replace

from factory.certificate import Answer, Noise, changed, compare, differences, missing, noise

QUIET = Noise(0.0001, 0.001)


def answer(tokens: list[int], *, margin: float = 5.0, stopped: bool = True) -> Answer:
    count = len(tokens) + stopped
    return Answer([1, 2, 3], tokens, [-0.5] * count, stopped, [margin] * count)


REFERENCE = [answer([10, 11, 12, 13]), answer([20, 21, 22, 23, 24])]


def test_the_same_model_passes() -> None:
    leg = compare("same", REFERENCE, REFERENCE, QUIET)
    assert (leg.status, leg.token_agreement, leg.max_logprob_difference) == ("passed", 1.0, 0.0)


def test_other_prompt_ids_fail() -> None:
    other = [replace(a, prompt_ids=[1, 2, 2, 3]) for a in REFERENCE]
    leg = compare("template", REFERENCE, other, QUIET)
    assert leg.status == "failed"
    assert "prompt ids" in leg.reason


def test_other_words_fail() -> None:
    other = [answer([10, 99, 98, 97]), REFERENCE[1]]
    leg = compare("words", REFERENCE, other, QUIET)
    assert leg.status == "failed"
    assert "greedy tokens agree" in leg.reason


def test_a_tie_may_fall_either_way() -> None:
    close = [answer([10, 11, 12, 13], margin=0.0005), REFERENCE[1]]
    other = [answer([10, 99, 98, 97]), REFERENCE[1]]
    assert compare("tie", close, other, QUIET).status == "passed"


def test_an_answer_that_does_not_stop_fails() -> None:
    endless = [answer([10, 11, 12, 13, 14, 15], stopped=False), REFERENCE[1]]
    leg = compare("stop", REFERENCE, endless, QUIET)
    assert leg.status == "failed"
    assert "end for the same reason" in leg.reason


def test_the_same_words_with_other_confidence_fail() -> None:
    other = [
        replace(a, log_probabilities=[x - 0.3 for x in a.log_probabilities]) for a in REFERENCE
    ]
    leg = compare("drift", REFERENCE, other, QUIET)
    assert leg.status == "failed"
    assert "0.3000" in leg.reason


def test_thresholds_grow_with_the_measured_noise() -> None:
    other = [
        replace(a, log_probabilities=[x - 0.3 for x in a.log_probabilities]) for a in REFERENCE
    ]
    assert compare("noisy", REFERENCE, other, noise(REFERENCE, other)).status == "passed"


def test_a_missing_leg_is_said_and_not_counted_as_passed() -> None:
    assert missing("vllm", "not installed").status == "missing"


def test_the_base_in_disguise_is_found_out() -> None:
    assert changed(REFERENCE, REFERENCE, QUIET)[0] is False
    other = [answer([10, 99, 98, 97]), REFERENCE[1]]
    proven, numbers = changed(REFERENCE, other, QUIET)
    assert proven
    assert numbers["text_changed"] == 1


def test_differences_are_counted_only_where_the_words_agree() -> None:
    other = [answer([10, 99, 98, 97]), REFERENCE[1]]
    assert len(differences(REFERENCE, other)) == 1 + 6
