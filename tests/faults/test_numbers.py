"""Numbers that are none, models that are too big, devices that are not there."""

from __future__ import annotations

import pytest
import torch

SGD = ("optimizer=sgd", "train.checkpoint_every=1")
DIVERGING = {  # words, what is said, and the step of the last checkpoint
    "the loss": (("optimizer.lr=1e30",), "epoch 1, step 2, lr 1e+30; the step was not taken", 1),
    "at once": (("model.init.name=constant", "model.init.value=1e38"), "step 1, lr 0.1; the step was not taken", None),
    "the weights": (("optimizer.lr=1e30", "optimizer.weight_decay=1e30"), "weights no longer finite at step 1", None),
}


@pytest.mark.parametrize(("words", "what", "step"), DIVERGING.values(), ids=DIVERGING)
def test_a_run_that_diverges_says_so_and_keeps_what_is_finite(room, train, resume, words, what, step):
    for again in (lambda: train(*SGD, *words), resume):
        failed = again()
        assert failed.code == 1
        message, hint = failed.err.splitlines()
        assert message.startswith("error: diverged: ")
        assert message.endswith(what)
        assert hint.startswith("hint: try a smaller optimizer.lr")
        assert room.result()["status"] == "diverged"
        assert room.newest_step() == step
    for commit in room.commits():
        model = torch.load(commit.with_suffix(".pt"), weights_only=True)["model"]
        assert all(tensor.isfinite().all() for tensor in model.values())


def test_a_model_too_big_for_memory_is_told_with_a_hint(room, train):
    failed = train("dataset.resize=1", "model.hidden=[1000000,1000000]", "model.dropout=[0.5]")  # 4 MB, then 4 TB
    assert failed.code in (1, 2)
    message, hint = failed.err.splitlines()
    assert "out of memory with train.batch_size=32: " in message
    assert hint.startswith("hint: try train.batch_size=16, ")
    assert "a smaller model" in hint
    assert train().code == 0


@pytest.mark.parametrize("name", ["cuda", "mps"])
def test_a_device_that_is_not_there_is_refused(room, train, name):
    refused = train(f"device={name}", fault="import torch; torch.cuda.is_available = lambda: False")
    assert refused.code == 2
    message, hint = refused.err.splitlines()
    assert message.startswith(f"error: device={name}: {name} is not available (torch {torch.__version__}); have: cpu")
    assert "device=auto" in hint
    assert not room.commits()
