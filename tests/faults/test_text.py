"""Faults of language models: a stop amid an epoch, whose hidden state must be carried on, and damaged files."""

from __future__ import annotations

import io
import json

import pytest
import torch
from safetensors.torch import load_file

from d2lrun.disk.files import sha256
from tests.bits import same_bits, timeless

STEP = "d2lrun.training.fit:train_batch"
TEXT = "the cat sat on a mat and saw how nine dogs ran over the old hills\n"
MODELS = ("rnn", "gru", "lstm")
BATCHES = 5  # of an epoch


@pytest.fixture(scope="session")
def words(tmp_path_factory):
    """3 epochs of 5 steps, a checkpoint every 2, a sample after each epoch; the state is carried on."""
    file = tmp_path_factory.mktemp("text") / "en.txt"
    file.write_text(TEXT * 5, encoding="utf-8")
    return [
        *("dataset=text", f"dataset.path=[{file}]", "dataset.steps=15", "dataset.sampling=sequential"),
        *("train.epochs=3", "train.batch_size=4", "train.checkpoint_every=2", "train.sample_every=1"),
        *("device=cpu", "device.threads=1", "run.dir=run"),
    ]


def small(model):
    return [f"model={model}"] + ([] if model == "ngram" else ["model.hidden=8", "model.layers=2", "model.dropout=0.5"])


def came_to(run):
    """The weights, the metrics without times, and the samples."""
    rows = [json.loads(line) for line in (run / "metrics.jsonl").read_text("utf-8").splitlines()]
    return load_file(run / "model.safetensors"), timeless(rows), (run / "samples.txt").read_text("utf-8")


def assert_same(run, whole):
    (weights, metrics, samples), (wanted, rows, texts) = came_to(run), came_to(whole)
    assert metrics == rows
    assert same_bits(weights, wanted)
    assert samples == texts


@pytest.fixture(scope="session")
def wholes():
    """By model: the run that nothing happened to."""
    return {}


@pytest.fixture
def write(forks, room, words, wholes, tmp_path_factory):
    """``write(MODEL, fault=…)`` trains; ``write.whole(MODEL)`` is the run without a fault."""

    def write(model, *more, fault=""):
        return forks(room, [*small(model), *words, *more], fault, compose=True)

    def whole(model):
        if model not in wholes:
            assert write(model).code == 0
            wholes[model] = room.run.rename(tmp_path_factory.mktemp("whole") / model)
        return wholes[model]

    write.whole = whole
    return write


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("name", ["SIGINT", "SIGKILL"])
def test_a_run_stopped_amid_an_epoch_continues_with_the_state_it_carried(room, write, resume, model, name):
    whole = write.whole(model)
    stopped = write(model, fault=f"at({STEP!r}, {BATCHES + 4 - (name == 'SIGINT')}, lambda: send({name!r}))")
    assert stopped.code == (130 if name == "SIGINT" else -9)
    assert room.newest_step() == BATCHES + 3
    continued = resume()
    assert (continued.code, continued.err) == (0, "")
    assert f"resuming at epoch 2, step {BATCHES + 3}\n" in continued.out
    assert_same(room.run, whole)


@pytest.mark.parametrize("model", ["rnn", "ngram"])
@pytest.mark.parametrize("when", ["before", "after"])
def test_no_epoch_is_twice_in_the_samples(room, write, resume, model, when):
    """Killed between a sample and the checkpoint behind it; and as the last picture is drawn."""
    whole = write.whole(model)
    assert (
        write(
            model, fault=f"at('d2lrun.tasks.language_model.view:write_samples', 1, lambda: send('SIGKILL'), {when!r})"
        ).code
        == -9
    )
    assert resume(fault="at('d2lrun.runs.run:draw', 1, lambda: send('SIGKILL'))").code == -9
    assert resume().code == 0
    assert_same(room.run, whole)


GARBLED = {"not UTF-8": b"\xff\xfe\n" * 9, "cut": b"epoch 1: ca", "empty": b"", "gone": None}


@pytest.mark.parametrize("content", GARBLED.values(), ids=GARBLED)
def test_samples_are_those_of_the_checkpoint(room, write, resume, content):
    whole = write.whole("rnn")
    assert write("rnn", fault=f"at({STEP!r}, {2 * BATCHES + 3}, lambda: send('SIGKILL'))").code == -9
    file = room.run / "samples.txt"
    file.unlink() if content is None else file.write_bytes(content)
    continued = resume()
    assert (continued.code, continued.err) == (0, "")
    assert_same(room.run, whole)


def as_earlier_versions_wrote(run):
    """Take the samples out of every checkpoint."""
    for commit in run.glob("checkpoints/*.json"):
        state = torch.load(commit.with_suffix(".pt"), weights_only=True)
        assert state.pop("samples")
        data = io.BytesIO()
        torch.save(state, data)
        content = data.getvalue()
        commit.with_suffix(".pt").write_bytes(content)
        facts = json.loads(commit.read_text("utf-8")) | {"size": len(content), "sha256": sha256(content)}
        commit.write_text(json.dumps(facts), encoding="utf-8")


@pytest.mark.parametrize("tail", ["", "epoch 3: too far\n", "epoch 2: \ud800\xff\nno epoch\n"])
def test_a_checkpoint_of_an_earlier_version_keeps_the_samples_that_can_be_read(room, write, resume, tail):
    whole = write.whole("rnn")
    assert write("rnn", fault=f"at({STEP!r}, {2 * BATCHES + 3}, lambda: send('SIGKILL'))").code == -9
    as_earlier_versions_wrote(room.run)
    file = room.run / "samples.txt"
    kept = file.read_text("utf-8").splitlines(keepends=True)[: 1 if tail.startswith("epoch 2") else 2]
    file.write_bytes(("".join(kept) + tail).encode("utf-8", "surrogatepass"))
    continued = resume()
    assert (continued.code, continued.err) == (0, "")
    if tail.startswith("epoch 2"):
        assert (room.run / "samples.txt").read_text("utf-8").splitlines()[1] == "epoch 2: \ufffd\ufffd\ufffd\xff"
    else:
        assert_same(room.run, whole)


def test_counting_killed_is_counted_anew(room, write, resume):
    whole = write.whole("ngram")
    assert (
        write(
            "ngram", fault="at('d2lrun.tasks.language_model.counting:evaluate_epoch', 1, lambda: send('SIGKILL'))"
        ).code
        == -9
    )
    assert resume().code == 0
    assert_same(room.run, whole)


CHANGES = {"as many letters": TEXT[::-1], "other letters": TEXT.upper()}  # both with a vocabulary of the same size


@pytest.mark.parametrize("changed", CHANGES.values(), ids=CHANGES)
def test_a_text_that_changed_meanwhile_is_refused_and_the_old_one_continues(room, write, resume, changed):
    whole, file = write.whole("rnn"), room.path / "mine.txt"
    file.write_text(TEXT * 5, encoding="utf-8")
    mine = f"dataset.path=[{file}]"
    assert write("rnn", mine, fault=f"at({STEP!r}, {BATCHES + 4}, lambda: send('SIGKILL'))").code == -9
    before = room.commits(), (room.run / "vocabulary.json").read_bytes()
    file.write_text(changed * 5, encoding="utf-8")
    refused = resume()
    assert refused.code == 2
    assert f"run holds a run on other data\n  {file}: sha256 " in refused.err
    assert (room.commits(), (room.run / "vocabulary.json").read_bytes()) == before
    file.write_text(TEXT * 5, encoding="utf-8")
    assert resume().code == 0
    assert_same(room.run, whole)


DAMAGES = {
    "empty": b"",
    "half": b'{"tokens": ["<unk>", "a',
    "no text": b"\xff\xfe\x00",
    "a list": b'["<unk>", "a"]',
    "numbers": b'{"tokens": [1, 2]}',
    "no unknown": b'{"tokens": ["a", "b"]}',
    "twice": b'{"tokens": ["<unk>", "a", "a"]}',
}


@pytest.fixture(scope="session")
def counted(forks, words, tmp_path_factory):
    """A folder with a finished run that counted."""

    class Place:
        path = tmp_path_factory.mktemp("counted")

    assert forks(Place, [*small("ngram"), *words], "", compose=True).code == 0
    return Place


@pytest.mark.parametrize("content", DAMAGES.values(), ids=DAMAGES)
def test_a_damaged_vocabulary_is_refused(forks, counted, content):
    file = counted.path / "run" / "vocabulary.json"
    sound = file.read_bytes()
    file.write_bytes(content)
    try:
        for verb in ("generate", "evaluate"):
            refused = forks(counted, [verb, "run"])
            assert (refused.code, refused.out) == (2, "")
            assert f"{file.relative_to(counted.path)} is damaged" in refused.err
    finally:
        file.write_bytes(sound)


FAULTS = {
    "empty": (b"", "is empty"),
    "binary": (b"\x7fELF\0\0", "is binary: byte 4 is NUL"),
    "not UTF-8": (b"caf\xe9 au lait", "byte 3 (0xe9) is not UTF-8"),
    "too short": (b"abc", "3 tokens, too few for a batch of 4 rows of 15: wanted 76"),
    "missing": (None, "No such file"),
}


@pytest.mark.parametrize(("content", "told"), FAULTS.values(), ids=FAULTS)
def test_a_faulty_text_is_refused(forks, room, words, content, told):
    if content is not None:
        (room.path / "mine.txt").write_bytes(content)
    refused = forks(room, [*small("rnn"), *words, "dataset.path=[mine.txt]"])
    assert refused.code == 2
    assert told in refused.err
    assert "\nhint: " in refused.err
    assert not room.commits()


@pytest.mark.parametrize("count", [7, 15, 16])  # windows have 15 tokens
def test_counting_needs_neither_a_window_nor_a_batch(forks, room, words, count):
    (room.path / "mine.txt").write_bytes(b"abcdefghijklmnop"[:count])
    assert forks(room, [*small("ngram"), *words, "validation=none", "dataset.path=[mine.txt]"]).code == 0


def test_counting_needs_a_gram(forks, room, words):
    (room.path / "mine.txt").write_bytes(b"abc")
    few = forks(room, [*small("ngram"), *words, "validation=none", "dataset.path=[mine.txt]", "dataset.steps=1"])
    assert few.code == 2
    assert "no gram of 6 in 3 tokens" in few.err and "model.order" in few.err


def test_a_text_too_short_to_hold_a_window_out_is_refused_before_it_trains(forks, room, words):
    (room.path / "mine.txt").write_bytes(b"abcdefgh" * 15)  # 120 tokens, a tenth of which is no window
    refused = forks(room, [*small("rnn"), *words, "dataset.path=[mine.txt]", "validation=holdout"])
    assert refused.code == 2
    assert "12 tokens held out, too few for a window of 15: wanted 16" in refused.err
