"""Every network killed by SIGKILL amid its training and continued: the bits are those of an uninterrupted run.

The arguments are the smallest that leave every kind of layer in its place; real processes, as in the fault tests.
"""

from __future__ import annotations

import shutil

import pytest

from d2lrun.config.tables import MODELS
from tests.faults.conftest import Forks, Room

SMALL = {
    "softmax": [],
    "linear": ["optimizer=adam"],
    "mlp": ["model.hidden=[16,16,16]", "model.dropout=[0.5]", "model.share=true"],
    "lenet": [],
    "lenet-bn": [],
    "alexnet": ["dataset.resize=65"],
    "vgg": ["dataset.resize=32", "model.ratio=16"],
    "nin": ["dataset.resize=67"],
    "googlenet": ["dataset.resize=32", "model.batch_norm=true"],
    "resnet": ["dataset.resize=32"],
    "densenet": ["dataset.resize=29", "model.growth=4", "model.blocks=[2,1,1,1]"],
    "torchvision": ["dataset.resize=32", "model.arch=mobilenet_v3_small"],
    "rnn": ["model.hidden=8", "model.layers=2", "model.dropout=0.5", "model.embedding=8", "model.tied=true"],
    "gru": ["model.hidden=8", "model.impl=scratch"],
    "lstm": ["model.hidden=8", "model.layers=2", "model.dropout=0.5"],
    "bag-of-words": [],
    "textcnn": ["model.embedding=8", "model.channels=8"],
    "nadaraya-watson": [],
    "transformer": ["model.width=16", "model.layers=1", "model.heads=2", "model.feedforward=16", "model.context=16"],
    "seq2seq": ["model.hidden=8", "model.embedding=8", "model.attention=additive"],
}
UNINTERRUPTED = {"ngram"}  # counts once and has no step amid which it could be killed
TEXT = {name for name in SMALL if "text" in MODELS[name].inputs}
SENTENCES = {name for name in SMALL if MODELS[name].inputs == ("sentences",)}
TABLE = {name for name in SMALL if MODELS[name].inputs[0] == "table"}
TRAINING = ["train.epochs=1", "train.batch_size=8", "train.limit_batches=4", "train.checkpoint_every=2"]
KILL = "at('d2lrun.training.fit:train_batch', 3, lambda: send('SIGKILL'))"  # behind the third of four steps


@pytest.fixture(scope="module")
def forks():
    with Forks("d2lrun.models.vision") as process:  # torchvision
        yield process


@pytest.fixture
def rooms(tmp_path):
    """Two folders, for the run that is killed and for the other; they do not stay: they may hold 500 MB."""
    for name in ("killed", "whole"):
        (tmp_path / name).mkdir()
    yield Room(tmp_path / "killed"), Room(tmp_path / "whole")
    shutil.rmtree(tmp_path)


def test_every_network_is_killed():
    assert set(SMALL) | UNINTERRUPTED == set(MODELS)
    assert len(SMALL) == 20


@pytest.mark.parametrize("name", SMALL)
def test_a_killed_network_continues_to_the_same_bits(name, forks, rooms, stripes_folder, own_texts):
    words = [f"model={name}", *SMALL[name], *TRAINING, "optimizer.lr=0.01", "device=cpu", "device.threads=1"]
    if name in TEXT:  # the hidden state goes from batch to batch, and so from process to process
        words += ["dataset=pydoc", "dataset.max_tokens=2000", "dataset.steps=8", "run.dir=run"]
    elif name in SENTENCES:
        words += ["dataset=labelled-text", *own_texts, "run.dir=run"]
    elif name == "seq2seq":
        words += ["dataset=arithmetic", "dataset.n_train=200", "dataset.n_test=20", "run.dir=run"]
    elif name in TABLE:
        made = "kernel" if name == "nadaraya-watson" else "linear"
        words += [f"dataset={made}", "dataset.n_train=40", "run.dir=run"]
    else:
        words += ["dataset.verify=false", f"dataset.dir={stripes_folder}", "run.dir=run"]
    killed, whole = rooms
    assert forks(killed, words, KILL, compose=True).code == -9
    assert not (killed.run / "result.json").exists()
    resumed = forks(killed, ["resume", "run"])
    assert (resumed.code, resumed.err) == (0, "")
    assert "resuming at epoch 1, step 2\n" in resumed.out
    assert forks(whole, words, compose=True).code == 0
    assert ("test_loss" in whole.result()["metrics"]) == (name not in TEXT)
    killed.assert_same_bits(whole)
