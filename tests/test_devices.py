from __future__ import annotations

import pytest
import torch

from d2lrun import devices
from d2lrun.errors import Refused


def machine(monkeypatch, *, cuda, mps):
    """What torch says of a machine with or without these devices."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: cuda)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: mps)


@pytest.mark.parametrize(
    "cuda, mps, have",
    [(False, False, ["cpu"]), (True, False, ["cuda", "cpu"]), (False, True, ["mps", "cpu"])],
)
def test_auto_is_the_first_available(monkeypatch, cuda, mps, have):
    machine(monkeypatch, cuda=cuda, mps=mps)
    assert devices.available() == have
    assert devices.resolve("auto") == torch.device(have[0])


@pytest.mark.parametrize("name", ["cpu", "cuda", "mps"])
def test_a_named_device_is_taken_at_its_word(monkeypatch, name):
    machine(monkeypatch, cuda=True, mps=True)
    assert devices.resolve(name) == torch.device(name)


@pytest.mark.parametrize("name", ["cuda", "mps"])
def test_a_device_that_is_not_there_is_refused_by_name(monkeypatch, name):
    machine(monkeypatch, cuda=False, mps=False)
    with pytest.raises(Refused) as caught:
        devices.resolve(name)
    message = f"device={name}: {name} is not available (torch {torch.__version__}); have: cpu"
    assert (str(caught.value), caught.value.code) == (message, 2)
    assert "device=auto" in caught.value.hint


def test_threads(monkeypatch):
    before = torch.get_num_threads()
    try:
        devices.set_threads(3)
        assert torch.get_num_threads() == 3
        devices.set_threads(None)
        assert torch.get_num_threads() == 3
    finally:
        torch.set_num_threads(before)


def test_the_generator_goes_on_from_where_it_was_kept():
    torch.manual_seed(0)
    torch.rand(3)
    state = devices.rng_state(torch.device("cpu"))
    expected = torch.rand(5)
    torch.manual_seed(9)
    devices.set_rng_state(state)
    assert torch.equal(torch.rand(5), expected)
