"""Whole runs in this process: what they say, what they write, and how they end."""

from __future__ import annotations

import copy
import io
import json
import re
import shutil
import struct

import pytest
import safetensors.torch
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from rich.console import Console

from d2lrun import datasets, models
from d2lrun.cli import main as cli
from d2lrun.config.compose import compose, departures
from d2lrun.datasets.fashion_mnist import TEST_IMAGES, TEST_LABELS, TRAIN_IMAGES, TRAIN_LABELS
from d2lrun.disk import rundir
from d2lrun.errors import Failed, Refused
from d2lrun.models.inputs import Stream
from d2lrun.runs import inference
from d2lrun.runs.run import Log, build, draw, run
from d2lrun.training import devices, fit
from d2lrun.training.examples import batches, order
from d2lrun.training.task import CHANCE_EPOCHS
from tests.asked import predict_files, predict_test
from tests.bits import same_bits

KEYS = {
    *("status", "model", "dataset", "seed", "parameters", "epochs", "selected_epoch", "steps", "seconds", "metrics"),
    *("book", "dead", "device", "precision", "channels_last", "compile", "deterministic", "threads"),
    *("versions", "config_hash", "floor", "data", "notes"),
}
# torch.compile imports a part of torch that uses a deprecated one
compiles = pytest.mark.filterwarnings("ignore:`torch.jit.script:DeprecationWarning")


@pytest.fixture(autouse=True)
def torch_as_before():
    """What a run sets in torch holds for the process: here it ends with the test."""
    threads = torch.get_num_threads()
    yield
    torch.set_num_threads(threads)
    torch.use_deterministic_algorithms(False)


class Done:
    """A run that has ended: result.json, what was said, and where its files are."""

    def __init__(self, directory, console):
        self.path = directory.path
        self.result = json.loads(directory.result_file.read_text(encoding="utf-8"))
        self.said = console.file.getvalue().splitlines()

    def weights(self):
        return safetensors.torch.load_file(self.path / "model.safetensors")


@pytest.fixture
def train(tmp_path, stripes_folder, monkeypatch):
    """``train(WORD…)``: a small run to its end, without its pictures."""
    monkeypatch.setattr("d2lrun.runs.run.draw", lambda *arguments: None)
    small = ["train.epochs=2", "train.batch_size=64", "device=cpu"]
    data = ["dataset.verify=false", f"dataset.dir={stripes_folder}", f"run.root={tmp_path}"]

    def train(*words):
        model = [] if any(word.startswith("model=") for word in words) else ["model=mlp", "model.hidden=[16]"]
        config = compose([*model, *small, *data, *words])
        console = Console(file=io.StringIO(), width=200)
        with rundir.claim(config) as directory:
            run(config, directory, console, departures(config))
        return Done(directory, console)

    return train


@pytest.fixture
def built(tmp_path, stripes_folder):
    """``built(WORD…)``: what a run on the stripes would train."""

    def built(*words):
        data = ["dataset.verify=false", f"dataset.dir={stripes_folder}", "device=cpu", f"run.root={tmp_path}"]
        return build(compose([*data, *words]), Log(tmp_path / "run.log", Console(file=io.StringIO())))

    return built


# --- the device, as it is recorded -------------------------------------------------------------------------------

AS_IT_IS = {"precision": "fp32", "channels_last": True, "compile": False, "deterministic": False}


@pytest.mark.parametrize(
    "words, recorded",
    [
        ([], {}),
        (["device.channels_last=false"], {"channels_last": False}),
        (["device.deterministic=true", "device.threads=1"], {"deterministic": True, "threads": 1}),
        (["device.precision=bf16"], {"precision": "bf16"}),
        (["device.precision=fp16", "device.channels_last=false"], {"precision": "fp16", "channels_last": False}),
    ],
)
def test_the_result_says_how_it_was_computed(monkeypatch, train, words, recorded):
    monkeypatch.setattr(devices, "precisions", lambda device: ["fp32", "bf16", "fp16"])
    result = train(*words).result
    assert set(result) == KEYS
    wanted = {"device": "cpu", "status": "finished", **AS_IT_IS, **recorded}
    assert {key: result[key] for key in wanted} == wanted


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_mixed_precision_learns_where_the_hardware_has_it_and_is_refused_where_not(
    monkeypatch, tmp_path, train, precision
):
    monkeypatch.setattr(devices, "precisions", lambda device: ["fp32"])
    with pytest.raises(Refused, match=rf"device\.precision={precision}: not in the hardware of this cpu; have: fp32"):
        train(f"device.precision={precision}")
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]
    monkeypatch.setattr(devices, "precisions", lambda device: ["fp32", precision])
    metrics = train(f"device.precision={precision}", "train.epochs=8", "train.batch_size=16").result["metrics"]
    assert metrics["test_accuracy"] > 0.5


@compiles
def test_a_compiled_run_is_that_of_the_same_network_up_to_rounding(train):
    words = ("model=softmax", "train.limit_batches=1", "train.epochs=3")
    if devices.compiler_missing(torch.device("cpu")):
        with pytest.raises(Refused, match="it needs a C\\+\\+ compiler"):
            train(*words, "device.compile=true")
        return
    plain, compiled = train(*words), train(*words, "device.compile=true")
    assert compiled.result["compile"] is True
    assert compiled.weights().keys() == plain.weights().keys()
    for name, tensor in compiled.weights().items():
        torch.testing.assert_close(tensor, plain.weights()[name], rtol=1e-4, atol=1e-5)


def test_a_compilation_that_fails_says_so(monkeypatch, train):
    def fails(*arguments):
        raise torch._dynamo.exc.BackendCompilerFailed(torch.compile, RuntimeError("no such instruction"), None)

    import torch._dynamo.exc

    monkeypatch.setattr(fit, "train_batch", fails)
    with pytest.raises(Failed, match=r"^torch\.compile: .*") as caught:
        train()
    assert caught.value.hint == "device.compile=false"


@pytest.mark.parametrize("batch_size, half", [(256, 128), (7, 3), (2, 1)])
def test_out_of_memory_names_the_batch_size_and_what_to_try(monkeypatch, train, batch_size, half):
    def full(*arguments):
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB. GPU 0 has 1.00 GiB free.")

    monkeypatch.setattr(fit, "train_batch", full)
    with pytest.raises(Failed) as caught:
        train(f"train.batch_size={batch_size}")
    assert str(caught.value) == (
        f"out of memory with train.batch_size={batch_size}: "
        "CUDA out of memory. Tried to allocate 20.00 GiB. GPU 0 has 1.00 GiB free."
    )
    assert caught.value.hint.startswith(f"try train.batch_size={half}, ")
    assert caught.value.code == 1


MEASURED_AGAIN = {
    "as the book has it": [],
    "resized": ["dataset.resize=20", "dataset.channels=3"],
    "bf16": ["device.precision=bf16"],
    "batch statistics": ["model=lenet-bn"],
    "shared": ["model=mlp", "model.hidden=[16,16,16]", "model.share=true"],
}


@pytest.mark.parametrize("words", MEASURED_AGAIN.values(), ids=MEASURED_AGAIN)
def test_a_run_that_is_measured_again_has_the_same_metrics(monkeypatch, train, words):
    monkeypatch.setattr(devices, "precisions", lambda device: ["fp32", "bf16"])
    done = train(*words)
    metrics = {name: done.result["metrics"][name] for name in ("test_loss", "test_accuracy")}
    assert inference.evaluate_run(rundir.RunDirectory(done.path)) == metrics


def test_a_picture_for_a_resized_run_is_seen_as_its_dataset_was(train, stripes, tmp_path):
    done = train("dataset.resize=20", "dataset.channels=3")
    Image.fromarray(stripes.test_images[0, 0].numpy()).save(tmp_path / "a.png")
    directory = rundir.RunDirectory(done.path)
    ((_, _, best),) = predict_files(directory, [tmp_path / "a.png"], 1, "auto")
    _, table = predict_test(directory)
    first = table.read_text(encoding="utf-8").splitlines()[1].split(",")
    assert (best[0][0], f"{best[0][1]:.4f}") == (first[2], f"{float(first[3]):.4f}")


# --- runs at chance -----------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def balanced(tmp_path_factory):
    """20 + 20 grey images, two of each class: whoever always says the same is right for exactly one in ten."""
    folder = tmp_path_factory.mktemp("balanced")
    for images, labels in ((TRAIN_IMAGES, TRAIN_LABELS), (TEST_IMAGES, TEST_LABELS)):
        pixels = bytes(at % 200 for at in range(20 * 784))
        (folder / images).write_bytes(struct.pack(">HBB3I", 0, 8, 3, 20, 28, 28) + pixels)
        (folder / labels).write_bytes(struct.pack(">HBBI", 0, 8, 1, 20) + bytes(at % 10 for at in range(20)))
    return folder


@pytest.fixture
def stuck(train, balanced):
    """``stuck(WORD…)``: four epochs of a network that never learns; its weights begin at 0."""
    still = ["model.init.name=constant", "model.init.value=0", "model.init.bias=0", "optimizer.lr=1e-9"]
    return lambda *words: train(*still, f"dataset.dir={balanced}", "train.epochs=4", *words)


HINTS = {
    ("model=mlp",): "try another optimizer.lr than 1e-09, another model.init.name, or another seed",
    ("model=nin", "dataset.resize=67"): ("this recipe fails in some runs: try model.final_relu=false, or another seed"),
    ("model=googlenet", "dataset.resize=32"): (
        "this recipe fails in some runs: try model.batch_norm=true, or another seed"
    ),
}


@pytest.mark.parametrize("words, hint", HINTS.items(), ids=["mlp", "nin", "googlenet"])
def test_a_run_at_chance_is_called_so_once_with_what_to_try(stuck, words, hint):
    done = stuck(*words)
    assert done.result["metrics"]["train_accuracy"] == pytest.approx(0.1)
    assert done.result["status"] == "finished"
    assert done.result["dead"] == {"epoch": 4, "hint": hint}
    said = [at for at, line in enumerate(done.said) if "at chance" in line]
    assert [done.said[at] for at in said] == [f"at chance: no better than guessing after epoch 3; {hint}"]
    epochs = [at for at, line in enumerate(done.said) if line.startswith("epoch ")]
    assert epochs[2] < said[0] < epochs[3]
    assert done.said[said[0]] in (done.path / "run.log").read_text(encoding="utf-8")


def test_the_last_table_says_that_a_run_is_at_chance(monkeypatch, tmp_path, capsys, balanced):
    monkeypatch.setenv("COLUMNS", "80")
    words = ["model.init.name=constant", "model.init.value=0", "model.init.bias=0", "optimizer.lr=1e-9"]
    data = ["dataset.verify=false", f"dataset.dir={balanced}", f"run.root={tmp_path}", "device=cpu"]
    assert cli.dispatch([*words, *data, "train.epochs=3"]) == 0
    out = capsys.readouterr().out
    table = " ".join(out.partition(": finished\n")[2].split())
    assert " at chance test accuracy 0.100 is no better than always the commonest class (0.100); try another" in table


def test_before_its_third_epoch_no_run_is_called_dead(stuck):
    """LeNet sits at chance for an epoch, and then learns."""
    done = stuck("train.epochs=2")
    assert done.result["dead"] is None
    assert not [line for line in done.said if "at chance" in line]


def test_a_run_that_learns_is_not_called_dead(train):
    done = train("train.epochs=4", "train.batch_size=16", "optimizer.lr=0.5")
    assert done.result["metrics"]["train_accuracy"] > 0.5
    assert done.result["dead"] is None
    assert not [line for line in done.said if "at chance" in line]


def test_a_run_that_wakes_up_late_was_called_dead_and_is_not_in_the_end(monkeypatch, stuck):
    """From the fourth epoch on it learns."""
    real = fit.close_epoch

    def close_epoch(state, *arguments):
        record = yield from real(state, *arguments)
        if state.epoch > CHANCE_EPOCHS:
            record["train_accuracy"] = 0.6
        return record

    monkeypatch.setattr(fit, "close_epoch", close_epoch)
    done = stuck()
    assert done.result["dead"] is None
    assert len([line for line in done.said if "at chance" in line]) == 1


# --- weights of another run --------------------------------------------------------------------------------------

STILL = "optimizer.lr=1e-30"  # so small a step changes no bit of a weight that is not 0


@pytest.mark.parametrize("file", [False, True])
def test_a_run_begins_with_the_weights_of_another_run_or_file(train, file):
    first = train()
    source = first.path / "model.safetensors" if file else first.path
    second = train(f"model.weights={source}", STILL, "seed=9")
    assert same_bits(second.weights(), first.weights())
    assert f"weights of {source}" in second.said
    assert not same_bits(train(STILL, "seed=9").weights(), first.weights())


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_what_is_frozen_keeps_its_bits_while_the_rest_moves(monkeypatch, train, precision):
    monkeypatch.setattr(devices, "precisions", lambda device: ["fp32", "bf16"])
    first = train()
    second = train(
        *(f"model.weights={first.path}", "model.freeze=['1.*']", f"device.precision={precision}"),
        *("optimizer=adamw", "optimizer.weight_decay=0.5"),
    )
    before, after = first.weights(), second.weights()
    assert {name for name in before if torch.equal(before[name], after[name])} == {"1.weight", "1.bias"}


def test_what_is_frozen_is_not_in_the_optimizer(tmp_path, stripes_folder):
    data = ["dataset.verify=false", f"dataset.dir={stripes_folder}", "device=cpu"]
    config = compose(["model=lenet", "model.freeze=['0.*','*.bias']", *data])
    state = build(config, Log(tmp_path / "log", Console(file=io.StringIO()))).state
    held = {id(one) for group in state.optimizer.param_groups for one in group["params"]}
    names = {name for name, one in state.model.named_parameters() if id(one) in held}
    assert names == {"3.weight", "7.weight", "9.weight", "11.weight"}


def test_what_is_frozen_from_the_start_keeps_its_first_values(train):
    done = train("model.freeze=['*.bias']", "seed=5")
    torch.manual_seed(5)
    first = models.build(compose(["model=mlp", "model.hidden=[16]"]).model, (1, 28, 28), 10).state_dict()
    after = done.weights()
    assert {name for name in first if torch.equal(first[name], after[name])} == {"1.bias", "3.bias"}


def test_a_new_head_is_named(train, tmp_path):
    given = {name: tensor[:5] if name[0] == "3" else tensor for name, tensor in train().weights().items()}
    safetensors.torch.save_file(given, tmp_path / "five.safetensors")
    done = train(f"model.weights={tmp_path}/five.safetensors", STILL)
    (line,) = [line for line in done.said if line.startswith("weights of ")]
    assert line == f"weights of {tmp_path}/five.safetensors; new for other classes: 3.bias, 3.weight"
    assert torch.equal(done.weights()["1.weight"], given["1.weight"])
    assert done.weights()["3.weight"].shape == (10, 16)


def test_weights_that_do_not_fit_are_refused_and_nothing_is_left(train, tmp_path):
    first = train()
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(Refused) as caught:
        train("model=mlp", "model.hidden=[17]", f"model.weights={first.path}")
    assert "  1.weight: 16×784 given, 17×784 wanted" in str(caught.value).splitlines()
    assert sorted(tmp_path.rglob("*")) == before


def test_a_run_with_shared_layers_ends_with_them_shared(train):
    words = ("model=mlp", "model.hidden=[16,16,16]", "model.share=true")
    first = train(*words)
    assert sorted(first.weights()) == ["1.bias", "1.weight", "3.bias", "3.weight", "7.bias", "7.weight"]
    assert first.result["parameters"] == 784 * 16 + 16 + 16 * 16 + 16 + 16 * 10 + 10
    second = train(*words, f"model.weights={first.path}", STILL)
    assert same_bits(second.weights(), first.weights())


# --- texts -------------------------------------------------------------------------------------------------------

TEXT_KEYS = KEYS | {"baselines", "note"}
SHORT_TEXT = ["dataset.max_tokens=3000", "dataset.steps=10", "train.batch_size=8", "train.epochs=2", "device=cpu"]


@pytest.fixture
def read(tmp_path, monkeypatch):
    """``read(WORD…)``: a small run of a language model to its end, without its pictures."""
    monkeypatch.setattr("d2lrun.runs.run.draw", lambda *arguments: None)

    def read(*words):
        config = compose([words[0], "dataset=pydoc", *SHORT_TEXT, f"run.root={tmp_path}", *words[1:]])
        console = Console(file=io.StringIO(), width=200)
        with rundir.claim(config) as directory:
            run(config, directory, console, departures(config))
        return Done(directory, console)

    return read


def test_a_language_model_learns_more_than_to_guess(read):
    result = read("model=gru", "model.hidden=32", "optimizer=adam", "optimizer.lr=0.01", "train.epochs=8").result
    assert set(result) == TEXT_KEYS
    assert result["status"] == "finished" and result["dead"] is None
    assert 1 < result["metrics"]["train_perplexity"] < result["baselines"]["unigram"] < result["baselines"]["uniform"]
    assert "test_loss" not in result["metrics"]


def test_a_counting_model_ends_with_the_perplexity_of_its_own_probabilities(read):
    """The held-out text is read in one go here, from its beginning to its end."""
    done = read("model=ngram", "train.epochs=1")
    result = done.result
    assert set(result) == TEXT_KEYS
    assert (result["parameters"], result["epochs"], result["steps"], result["status"]) == (0, 1, 1, "finished")
    (record,) = rundir.RunDirectory(done.path).records()
    assert (record["epoch"], record["step"]) == (1, 1)
    config = compose(["model=ngram", "dataset=pydoc", *SHORT_TEXT, "train.epochs=1"])
    data = datasets.load(config.dataset)
    parts = data.split(config.validation, config.seed)
    model = models.build(config.model, Stream(35), len(data.vocabulary)).fit(parts.train.tokens)
    losses = -model.log_probabilities(parts.val.tokens)[1:]
    assert result["metrics"]["val_perplexity"] == pytest.approx(losses.mean().exp().item(), rel=1e-5)
    assert result["metrics"]["train_perplexity"] < result["metrics"]["val_perplexity"]
    assert inference.evaluate_run(rundir.RunDirectory(done.path))["val_loss"] == result["metrics"]["val_loss"]


def test_a_language_model_that_is_measured_again_has_the_same_metrics(read):
    done = read("model=lstm", "model.hidden=8", "validation=holdout")
    metrics = {name: done.result["metrics"][name] for name in ("val_loss", "val_perplexity", "val_bits_per_character")}
    assert inference.evaluate_run(rundir.RunDirectory(done.path)) == metrics


def test_after_every_so_many_epochs_a_text_is_written(read):
    done = read("model=rnn", "model.hidden=8", "train.epochs=4", "train.sample_every=2", "dataset.prefix=the")
    lines = (done.path / "samples.txt").read_text(encoding="utf-8").splitlines()
    assert [line[: len("epoch 2: the")] for line in lines] == ["epoch 2: the", "epoch 4: the"]
    assert {len(line) for line in lines} == {len("epoch 2: the") + 50}


def test_samples_change_nothing_in_the_training(read, tmp_path):
    words = ("model=rnn", "model.hidden=8", "model.layers=2", "model.dropout=0.5")
    assert same_bits(
        read(*words).weights(), read(*words, "train.sample_every=1", f"run.root={tmp_path}/again").weights()
    )


def test_a_recurrent_network_learns_images_row_by_row(train):
    done = train(
        *("model=rnn", "dataset=fashion-mnist", "model.hidden=32", "optimizer=adam", "optimizer.lr=0.005"),
        *("train.epochs=10", "train.batch_size=16", "train.sample_every=null"),
    )
    assert set(done.result) == KEYS
    assert done.result["metrics"]["test_accuracy"] > 0.5


# --- batch normalisation and a batch of one ----------------------------------------------------------------------


def test_a_last_example_alone_joins_the_batch_before(train):
    done = train("model=lenet-bn", "train.batch_size=47")  # 330 = 7 · 47 + 1
    assert done.result["status"] == "finished"
    assert done.result["steps"] == 2 * 7
    told = "the batch normalisation of lenet-bn cannot train on a single example: the last batch joins the one before"
    assert any(told in line and line.endswith("which has 48 examples") for line in done.said)


@pytest.mark.parametrize(
    "words, batches",
    [
        (["model=lenet"], 8),  # no batch normalisation: the book trains on the last one alone
        (["model=lenet-bn", "train.limit_batches=7"], 7),  # the last one is not reached
        (["model=lenet-bn", "train.limit_batches=8"], 7),
        (["model=resnet", "dataset.resize=64", "train.limit_batches=8"], 8),  # feature maps of 2×2
        (["model=resnet", "dataset.resize=32", "train.limit_batches=8"], 7),
    ],
)
def test_a_batch_of_one_trains_if_the_network_takes_it(built, words, batches):
    split, limit = built(*words, "train.batch_size=47").split, 8 if "train.limit_batches=7" not in words else 7
    found = split.train.shuffled(47, 1, 0)[:limit]
    assert (len(found), sum(map(len, found))) == (batches, 329 if limit == 7 else 330)


@given(st.integers(2, 100), st.integers(2, 101))
def test_no_batch_of_one_is_left_and_every_example_trains(count, size):
    index = torch.arange(count)
    plain = [order(index, 3, 1)[at : at + size].tolist() for at in range(0, count, size)]
    found = [batch.tolist() for batch in batches(index, size, 3, 1, least=2)]
    if len(plain[-1]) == 1:
        plain[-2:] = [plain[-2] + plain[-1]]
    assert found == plain


@pytest.mark.parametrize("words", [["train.batch_size=1"], ["train.batch_size=1", "train.limit_batches=1"]])
def test_nothing_but_one_example_is_refused_before_training(built, words):
    with pytest.raises(Refused, match="cannot train on a single example"):
        built("model=lenet-bn", *words, "validation.stratify=false" if "validation=holdout" in words else "seed=1")


def test_trying_a_batch_of_one_leaves_the_model_as_it_was():
    model = models.build(compose(["model=densenet"]).model, (1, 32, 32), 10)
    before, state = copy.deepcopy(model.state_dict()), torch.get_rng_state()
    assert not models.trains_on(model, torch.zeros(1, 1, 32, 32))
    assert models.trains_on(model, torch.zeros(2, 1, 32, 32))
    assert same_bits(before, model.state_dict())
    assert torch.equal(state, torch.get_rng_state())


# --- what may be lost at the end, and what may not ---------------------------------------------------------------


@pytest.mark.parametrize("anew", [False, True])
@pytest.mark.parametrize("step", [2, 6, 12])  # a checkpoint is saved after step 4, an epoch has 6 steps, the last is 12
def test_a_deleted_directory_ends_the_run_and_is_not_made_anew(train, at_step, tmp_path, step, anew):
    place = tmp_path / "gone"

    def delete():
        shutil.rmtree(place)
        if anew:
            place.mkdir()

    told = re.escape(f"the run's directory {place} was deleted while it trained")
    with at_step(step, delete), pytest.raises(Failed, match=f"^{told}$") as caught:
        train(f"run.dir={place}", "train.checkpoint_every=4")
    assert caught.value.code == 1
    assert list(place.iterdir()) == [] if anew else not place.exists()


VIEW = "d2lrun.tasks.classification.view"


def broken(*arguments):
    raise ValueError("no such font\nand more")


DRAWS = [("d2lrun.runs.run.draw_curves", "curves.png"), (f"{VIEW}.draw_predictions", "predictions.png")]


@pytest.mark.parametrize("name, file", DRAWS)
def test_a_picture_that_fails_is_named_and_the_run_is_finished(train, monkeypatch, name, file):
    monkeypatch.setattr("d2lrun.runs.run.draw", draw)
    monkeypatch.setattr(name, broken)
    done = train("train.epochs=1")
    assert done.result["status"] == "finished"
    assert f"{file} is missing: ValueError: no such font" in done.said
    assert {path.name for path in done.path.glob("*.png")} == {"curves.png", "predictions.png"} - {file}
    assert (done.path / "report.html").exists() and done.weights()


def test_a_page_that_fails_is_named_and_the_run_is_finished(train, monkeypatch):
    monkeypatch.setattr("d2lrun.runs.run.draw", draw)
    monkeypatch.setattr("d2lrun.runs.run.write_page", broken)
    done = train("train.epochs=1")
    assert (done.result["status"], done.said[-1]) == ("finished", "report.html is missing: ValueError: no such font")
