"""What Hydra's syntax for several values means to a search."""

from __future__ import annotations

import pytest

from d2lrun.errors import Refused
from d2lrun.sweeps.space import Choices, Numbers, space_of


@pytest.mark.parametrize(
    "text, wanted",
    [
        ("k=interval(1e-3,1)", Numbers(1e-3, 1.0, log=True)),  # 1 : 1000
        ("k=interval(0.01,1)", Numbers(0.01, 1.0, log=True)),  # 1 : 100 is wide
        ("k=interval(0.1,1)", Numbers(0.1, 1.0, log=False)),
        ("k=interval(0,1000)", Numbers(0.0, 1000.0, log=False)),  # 0 has no logarithm
        ("k=tag(log,interval(0.1,1))", Numbers(0.1, 1.0, log=True)),
        ("k=tag(linear,interval(1e-3,1))", Numbers(1e-3, 1.0, log=False)),
        ("k=int(interval(1,900))", Numbers(1, 900, log=False, step=1)),
        ("k=tag(log,int(interval(1,900)))", Numbers(1, 900, log=True, step=1)),
        ("k=range(1,9)", Numbers(1, 8, log=False, step=1)),  # Hydra's range ends before its end
        ("k=range(1,9,3)", Numbers(1, 7, log=False, step=3)),
        ("k=range(9,1,-2)", Numbers(3, 9, log=False, step=2)),
        ("k=tag(log,range(1,9))", Numbers(1, 8, log=True, step=1)),
        ("k=range(0,1,0.25)", Choices(("0.0", "0.25", "0.5", "0.75"))),
        ("k=0.1,0.5", Choices(("0.1", "0.5"))),
        ("k=choice([128],[256,128])", Choices(("[128]", "[256,128]"))),
        ("model=glob(lenet*)", Choices(("lenet", "lenet-bn"))),
    ],
)
def test_a_word_names_what_is_chosen_from(text, wanted):
    assert list(space_of([text], None).values()) == [wanted]


@pytest.mark.parametrize(
    "text, complaint",
    [
        ("k=interval(1,1)", "nothing between its ends"),
        ("k=interval(2,1)", "nothing between its ends"),
        ("k=tag(log,interval(0,1))", "a log scale begins above 0"),
        ("k=tag(log,range(0,9))", "a log scale begins above 0"),
        ("k=tag(log,range(1,9,2))", "a log scale begins above 0 and has no steps"),
        ("k=tag(logarithmic,interval(1,2))", "wanted the tag log or linear"),
        ("k=range(9,1)", "no value in it"),
    ],
)
def test_what_names_nothing_is_refused(text, complaint):
    with pytest.raises(Refused, match=complaint) as refusal:
        space_of([text], None)
    assert text in str(refusal.value)
    assert refusal.value.hint


def test_keys_stay_in_the_order_in_which_they_were_typed():
    assert list(space_of(["b=1,2", "a=interval(0,1)", "c=range(1,3)"], None)) == ["b", "a", "c"]


@pytest.mark.parametrize("numbers", [Numbers(1e-3, 1.0, log=True), Numbers(1, 7, log=False, step=3)])
def test_optuna_draws_between_the_ends(numbers):
    found = numbers.distribution()
    assert (found.low, found.high, found.log, found.step) == (numbers.low, numbers.high, numbers.log, numbers.step)


def test_a_choice_is_drawn_as_it_is_typed():
    assert Choices(("[128]", "[256,128]")).distribution().choices == ("[128]", "[256,128]")
