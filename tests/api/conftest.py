"""What the tests of the interface from Python share."""

from __future__ import annotations

import signal

import pytest
import torch

import d2lrun as d2l
from d2lrun.disk import weights

SHORT = ["model=softmax", "device=cpu", "train.epochs=2", "run.pictures=false"]


@pytest.fixture(autouse=True)
def own_folder(tmp_path, monkeypatch):
    """Each test has a working directory of its own."""
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def short(own_images):
    """The overrides of a run of two epochs on few images."""
    return [*SHORT, *own_images]


@pytest.fixture(scope="session")
def trained(tmp_path_factory, own_images):
    """A finished run of ``short``."""
    return d2l.train(*SHORT, *own_images, run__dir=str(tmp_path_factory.mktemp("trained") / "run"))


@pytest.fixture(scope="session")
def bits():
    """``bits(run)``: the weights of a run by name."""

    def read(run) -> dict[str, torch.Tensor]:
        return weights.read(run.directory / "model.safetensors")

    return read


@pytest.fixture
def interrupts():
    """SIGINT raises KeyboardInterrupt, as in any Python; a shell may have started the tests without it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.fixture
def interrupted(interrupts, at_step):
    """``interrupted(…)``: Ctrl-C in the third step of ``train(…)``; the exception."""

    def train(*words, **settings):
        with at_step(3, lambda: signal.raise_signal(signal.SIGINT)), pytest.raises(KeyboardInterrupt) as stopped:
            d2l.train(*words, **settings)
        return stopped

    return train
