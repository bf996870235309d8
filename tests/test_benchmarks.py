"""The benchmark measures what it says; how fast anything is, is not tested."""

from __future__ import annotations

import gc
import json
import multiprocessing
import os
import subprocess
import sys
import weakref
from dataclasses import replace
from itertools import islice
from pathlib import Path

import pytest
import torch
from rich.console import Console
from torch import nn
from torch.optim.optimizer import register_optimizer_step_post_hook

sys.path.insert(0, str(Path(__file__).parents[1] / "benchmarks"))  # scripts, not a package

import api
import bench
import book
import epochs
import gpu
import pictures
import startup
import steps
import sweeps
import table
import text_book
import tokens

from d2lrun.config.compose import compose
from d2lrun.runs import run
from d2lrun.sweeps import launchers, request
from d2lrun.tasks.classification.preparation import scale
from d2lrun.training import devices
from d2lrun.training.fit import fit
from tests.bits import same_bits
from tests.commands import in_this_process

pytestmark = pytest.mark.filterwarnings("ignore:.*use of fork:DeprecationWarning")  # torch's workers, as in the book


@pytest.fixture
def tiny(stripes_folder):
    """Overrides for 330 + 101 images: 6 batches train and 2 test."""
    return ["dataset.verify=false", f"dataset.dir={stripes_folder}", "train.batch_size=64"]


@pytest.fixture
def forked(monkeypatch):
    """Fork the processes that a benchmark spawns: these have imported torch. One test of sweeps really spawns."""
    contexts = multiprocessing.get_context
    monkeypatch.setattr(multiprocessing, "get_context", lambda method: contexts({"spawn": "fork"}[method]))


@pytest.fixture
def by_book(stripes, tmp_path):
    """The book's way over ``stripes`` with at most so many batches."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Flatten(), nn.Linear(784, 10))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)

    def make(limit, **changes):
        data = replace(stripes, **changes)
        return book.Book(model, optimizer, data, tmp_path, 64, limit, torch.device("cpu"))

    return make


def test_the_book_reads_the_images_that_d2lrun_does(by_book, stripes):
    batches = list(by_book(None).test_loader)
    assert torch.equal(torch.cat([images for images, _ in batches]), scale(stripes.test_images))
    assert torch.equal(torch.cat([labels for _, labels in batches]), stripes.test_labels)


def test_the_book_resizes_to_what_the_network_is_given(by_book, stripes):
    given = replace(stripes, resize=96, channels=3)
    batches = torch.cat([images for images, _ in by_book(None, resize=96, channels=3).test_loader])  # [N, C, H, W]
    assert batches.shape[1:] == given.inputs
    assert (batches - given.prepared(stripes.test_images)).abs().max() <= 1.001 / 255  # PIL rounds to whole bytes


def test_a_worker_that_is_spawned_finds_the_books_dataset(by_book):
    way = by_book(1)
    way.train_loader.multiprocessing_context, way.train_loader.num_workers = "spawn", 1
    assert len(list(way.train_loader)) == 1


def test_the_books_loop_learns_and_measures(by_book, stripes):
    way = by_book(None)
    for _ in range(4):
        loss, accuracy, test_accuracy = way.epoch()
    hits = way.model(scale(stripes.test_images)).argmax(dim=1) == stripes.test_labels
    assert loss < 1 and accuracy > 0.8
    assert test_accuracy == hits.sum().item() / 101 > 0.8


def test_the_books_batches_can_be_limited(by_book):
    way = by_book(2)
    assert (len(way.train_loader.dataset), len(way.test_loader.dataset)) == (128, 101)


@pytest.mark.parametrize("way", epochs.WAYS)
def test_each_way_trains_on_resized_images(way, tiny, tmp_path):
    config = compose(["model=softmax", "dataset.resize=20", "train.limit_batches=1", *tiny])
    experiment = run.build(config, run.Log(tmp_path / "run.log", Console(quiet=True)))
    epochs.WAYS[way](experiment, tmp_path)()
    assert all(parameter.grad is not None for parameter in experiment.state.model.parameters())


@pytest.mark.parametrize("way", epochs.WAYS)
def test_each_way_takes_every_step_of_an_epoch(way, tiny, tmp_path):
    taken = []
    log = run.Log(tmp_path / "run.log", Console(quiet=True))
    epoch = epochs.WAYS[way](run.build(compose(["model=softmax", *tiny]), log), tmp_path)
    hook = register_optimizer_step_post_hook(lambda *_: taken.append(way))
    try:
        epoch()
        epoch()
    finally:
        hook.remove()
    assert len(taken) == 12


def test_the_ways_are_timed_in_turn_and_the_first_round_is_not_counted(forked, tiny):
    seconds = epochs.measure(["model=softmax", *tiny], 2)
    assert list(seconds) == ["book", "d2lrun", "pure"]
    assert all(len(values) == 2 and min(values) > 0 for values in seconds.values())


def test_d2lruns_first_step_is_timed_to_its_first_step(tiny, tmp_path):
    arguments, extra = startup.commands([*tiny, "train.checkpoint_every=1"])[startup.D2LRUN]
    startup.start(arguments, tmp_path, extra)
    (directory,) = tmp_path.glob("outputs/runs/*/mlp/*")
    assert (directory / "metrics.jsonl").read_bytes() == b""  # so training began
    assert list((directory / "checkpoints").glob("*")) == []  # and ended at the first pause, before anything was saved


def test_the_completion_that_is_timed_completes(tmp_path):
    arguments, extra = startup.commands([])["tab completion"]
    assert "model=lenet" in startup.start(arguments, tmp_path, extra).split()


def test_a_process_that_fails_ends_the_benchmark(tmp_path):
    with pytest.raises(SystemExit, match="ended with 3"):
        startup.start(["-c", "raise SystemExit(3)"], tmp_path, {})


def test_the_peak_is_the_childs_own(tmp_path):
    held = bytearray(300 << 20)
    script = "held = bytearray(100 << 20)"
    peak = startup.child_peak(["-c", script], tmp_path)
    assert 100 < peak < 200 < len(held) / 1e6


def test_the_plain_step_and_d2lruns_are_the_same_training(tiny):
    """On the same batch in the same memory order: the same weights to the bit."""
    overrides = ["model=lenet-bn", "dataset.resize=20", "train.batch_size=330", *tiny[:2], *steps.PLAIN]
    plain, ours = steps.build(overrides), steps.build(overrides)
    images, labels = plain.data.train_images, plain.data.train_labels
    one = {"train_images": images[:1].repeat(len(images), 1, 1, 1), "train_labels": labels[:1].repeat(len(labels))}
    plain.data = replace(plain.data, **one)  # so that any order is the same batch
    ours.split = replace(ours.split, train=plain.data.part("train"))
    for step in (steps.plain_step(plain), steps.d2lrun_step(ours)):
        step()
        step()
    theirs, mine = plain.state.model.state_dict(), ours.state.model.state_dict()
    assert ours.state.step == 2 and same_bits(mine, theirs)


def test_the_plain_loop_is_fp32_in_torchs_own_memory_order(tiny):
    model = steps.build(["model=lenet", "device.precision=bf16", *tiny, *steps.PLAIN]).state.model
    assert "forward" not in vars(model)  # no autocast around it
    assert all(parameter.is_contiguous() for parameter in model.parameters())


def test_d2lruns_step_is_its_loops_own_without_what_ends_an_epoch(tiny):
    """Seven steps of epochs that have six: as many batches as ``fit`` trains, in its order, and nothing measured."""
    experiment, wanted = steps.build(["model=softmax", *tiny]), steps.build(["model=softmax", *tiny])
    for _ in islice(steps.training(experiment), 7):
        pass
    pauses = fit(wanted.state, wanted.split, wanted.task, wanted.config)
    while wanted.state.step < 7:
        next(pauses)
    assert experiment.state.records == [] and (experiment.state.epoch, experiment.state.batch) == (1, 1)
    assert same_bits(experiment.state.model.state_dict(), wanted.state.model.state_dict())


def test_the_data_path_that_is_timed_is_that_of_the_loops_batches(tiny):
    experiment, given = steps.build(["model=softmax", "dataset.resize=20", *tiny]), []
    experiment.state.model.register_forward_hook(lambda model, inputs, logits: given.append(inputs[0]))
    step, data = steps.d2lrun_step(experiment), steps.data_step(experiment)
    for _ in range(2):
        step()
        assert torch.equal(data(), given[-1])


@pytest.mark.parametrize("apart", [False, True])
def test_a_step_of_each_way_is_timed_in_each_round(apart, forked, tiny):
    seconds = steps.measure(["model=lenet", *tiny], rounds=2, turn=0, apart=apart)
    bf16 = ["d2lrun bf16"] * ("bf16" in devices.precisions(torch.device("cpu")))
    assert list(seconds) == ["plain", "d2lrun", *bf16, "data"]
    assert all(len(values) == 2 and min(values) > 0 for values in seconds.values())


def test_a_network_is_gone_before_the_next_is_built(tiny, monkeypatch):
    built, alive = [], []

    def build(overrides):
        alive.append(sum(model() is not None for model in built[:4]))  # of the first measurement
        experiment = run.build(compose(overrides), run.Log(Path(os.devnull), Console(quiet=True)))
        built.append(weakref.ref(experiment.state.model))
        return experiment

    monkeypatch.setattr(steps, "build", build)
    monkeypatch.setattr(steps, "has_bf16", lambda overrides: True)
    monkeypatch.setattr(devices, "precisions", lambda device: ["fp32", "bf16"])  # slow where emulated, but the same
    gc.disable()
    try:
        steps.measure(["model=softmax", *tiny], rounds=1, turn=0)
        steps.measure(["model=softmax", *tiny], rounds=1, turn=0)
    finally:
        gc.enable()
    assert alive == [0, 1, 2, 3, 0, 0, 0, 0]


@pytest.mark.parametrize("bf16", [False, True])
def test_the_table_of_steps_says_each_ratio_and_where_bf16_is_missing(bf16, tiny, monkeypatch, capsys):
    seconds = {"plain": [2.0, 4.0], "d2lrun": [1.0, 4.0], "data": [0.02, 0.04]}
    seconds |= {"d2lrun bf16": [0.5, 1.6]} if bf16 else {}
    monkeypatch.setattr(steps, "measure", lambda *_: seconds)
    steps.show_steps(Console(width=90), "resnet", tiny, rounds=2)
    title, *rows = [" ".join(line.split()) for line in capsys.readouterr().out.splitlines()]
    assert title.startswith("a step of resnet, 64 × 96²")
    assert "d2lrun 2500 ms 1000 - 4000" in rows
    assert "plain / d2lrun 1.50 1.00 - 2.00 at least 1" in rows
    assert "data / d2lrun 1.50 % 1.00 - 2.00 at most 5" in rows
    wanted = "3.25 2.50 - 4.00 at least 2" if bf16 else "none this device has no bf16"
    assert f"plain / d2lrun bf16 {wanted}" in rows


def test_the_losses_are_those_of_the_runs_batches(tiny):
    """Their mean over an epoch is the record's train_loss."""
    experiment = steps.build(["model=softmax", *tiny])
    pauses = fit(experiment.state, experiment.split, experiment.task, experiment.config)
    record = next(filter(None, pauses))
    sizes = torch.tensor([64.0] * 5 + [10.0])
    seen = torch.tensor(steps.losses(["model=softmax", *tiny], 6))
    assert (seen * sizes).sum().item() / 330 == pytest.approx(record["train_loss"], rel=1e-5)


def test_two_precisions_are_compared_over_the_last_batches(tiny, monkeypatch, capsys):
    falling = {"fp32": [9.0] * 3 + [2.0] * 10, "bf16": [9.0] * 3 + [1.97] * 10}
    monkeypatch.setattr(steps, "losses", lambda overrides, count: falling[overrides[-1].partition("=")[2]][:count])
    monkeypatch.setattr(steps, "has_bf16", lambda overrides: True)
    steps.show_losses(Console(width=90), "lenet-bn", tiny, 13)
    rows = [" ".join(line.split()) for line in capsys.readouterr().out.splitlines()]
    assert rows[0].startswith("loss of lenet-bn, batches 4-13")
    assert rows[1:] == ["fp32 2.00", "bf16 1.97", "difference 1.50 % at most 2"]


def test_the_command_takes_networks_and_overrides_in_any_order(tiny, tmp_path):
    command = [sys.executable, steps.__file__, "lenet-bn", "--losses", "2", *tiny]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, encoding="utf-8", check=True)
    assert "lenet-bn" in done.stdout


SHORT = ["model.hidden=8", "device=cpu", *tokens.CORPUS]  # but the book's 10,000 tokens


@pytest.mark.parametrize("model", text_book.LAYERS)
def test_the_books_loop_on_text_and_d2lruns_are_the_same_training(model, monkeypatch):
    """From the same weights and the same offset: the same perplexity of two epochs, the state carried and clipped."""
    overrides = [f"model={model}", "train.clip=0.05", *SHORT]
    experiment, theirs = tokens.build(overrides), tokens.book_epoch(tokens.build(overrides))
    part, loop = experiment.split.train, tokens.d2lrun_epoch(experiment)
    for epoch in range(2):
        offset = int(min(map(min, part.shuffled(32, experiment.config.seed, epoch))))
        monkeypatch.setattr(text_book.random, "randint", lambda low, high, offset=offset: offset)
        record = loop()
        assert theirs() == pytest.approx(record["train_perplexity"], rel=1e-5)
    assert record["clipped"] > 0


def test_the_book_shortens_the_gradient_as_a_whole():
    model = nn.Linear(2, 1)
    model.weight.grad, model.bias.grad = torch.tensor([[2.0, 1.0]]), torch.tensor([2.0])  # of length 3
    text_book.clip(model, 1.5)
    assert model.weight.grad.tolist() == [[1.0, 0.5]] and model.bias.grad.tolist() == [1.0]
    text_book.clip(model, 5.0)
    assert model.bias.grad.tolist() == [1.0]


@pytest.mark.parametrize("way", tokens.WAYS)
@pytest.mark.parametrize("limit, steps", [([], 8), (["train.limit_batches=3"], 3)], ids=["all", "some"])
def test_each_way_takes_every_step_of_a_text(way, limit, steps):
    taken = []
    experiment = tokens.build(["model=rnn", *SHORT, *limit])
    epoch = tokens.WAYS[way](experiment)
    hook = register_optimizer_step_post_hook(lambda *_: taken.append(way))
    try:
        epoch()
    finally:
        hook.remove()
    assert len(taken) == steps
    assert tokens.tokens_of(experiment) == steps * 32 * 35


def test_the_text_has_the_books_sizes():
    data = tokens.build(["model=rnn", *SHORT]).data
    assert (len(data.vocabulary), len(data.tokens), data.steps) == (28, 10_000, 35)


def test_tokens_are_timed_in_turn_in_every_round(forked):
    speeds = tokens.measure(["model=rnn", "model.hidden=4", "train.limit_batches=1", "device=cpu"], rounds=2, turn=0)
    assert list(speeds) == ["book", "d2lrun", "pure"]
    assert all(len(values) == 2 and min(values) > 0 for values in speeds.values())


def test_a_text_of_a_million_characters_is_loaded_whole(monkeypatch):
    read = []
    load = tokens.text.load
    monkeypatch.setattr(tokens.text, "load", lambda *words, **keys: read.append(load(*words, **keys)) or read[-1])
    seconds, size = tokens.load_text(2)
    assert [len(data.tokens) for data in read] == [1_000_000, 1_000_000]
    assert len(seconds) == 2 and size == 4


def test_the_table_of_tokens_says_how_often_faster(monkeypatch, capsys):
    speeds = {"book": [100_000.0, 50_000.0], "d2lrun": [130_000.0, 60_000.0], "pure": [143_000.0, 75_000.0]}
    monkeypatch.setattr(tokens, "measure", lambda *_: speeds)
    monkeypatch.setattr(tokens, "load_text", lambda rounds: ([3.0], 12.0))
    bench.show_texts(Console(width=90), ["rnn"], [], rounds=2, quick=False)
    rows = [" ".join(line.split()) for line in capsys.readouterr().out.splitlines()]
    assert "d2lrun 95.00 60.00 - 130" in rows
    assert "d2lrun / book 1.25 1.20 - 1.30 at least 1.2" in rows
    assert "pure / d2lrun 1.18 1.10 - 1.25 at most 1.1: missed" in rows
    assert "read and encode 3.00 s at most 2: missed" in rows
    assert "memory of a token 12.00 B at most 10: missed" in rows


def test_a_sweep_is_timed_beside_its_own_steps(tiny, monkeypatch):
    """The steps in a process of their own; other tests carry out a sweep and a first step of these words."""
    asked = []
    monkeypatch.setattr(sweeps, "JOBS", 2)
    monkeypatch.setattr(sweeps, "sweep", lambda words: asked.append(words) or 2.0)
    monkeypatch.setattr(startup, "start", lambda *given: asked.append(given[0]) or "")
    seconds = sweeps.beside_pure(["model=softmax", *tiny], 1)
    assert list(seconds) == [sweeps.SWEEP, sweeps.FIRST_STEP, sweeps.PURE]
    assert all(len(values) == 1 and min(values) > 0 for values in seconds.values())
    runs, first = asked
    assert [len(axis) for axis in request.read(runs, None, "d2lrun").axes] == [2]
    assert first == startup.commands(runs[:-1])[startup.D2LRUN][0]


def test_every_run_of_the_timed_sweep_is_another(tmp_path):
    sweeps.sweep([*sweeps.TRIVIAL, sweeps.rates(3)], tmp_path)
    (summary,) = tmp_path.glob("outputs/sweeps/*/sweep.json")
    jobs = json.loads(summary.read_text(encoding="utf-8"))["jobs"]
    assert len({job["directory"] for job in jobs}) == 3
    assert {job["status"] for job in jobs} == {"finished"}
    assert len({*sweeps.rates(sweeps.FINISHED).split(",")}) == sweeps.FINISHED


def test_memory_is_looked_at_after_every_run(tiny):
    held = sweeps.held_memory(["model=softmax", *tiny], 3)
    assert len(held) == 3 and min(held) > 100  # torch alone is more


def test_serial_and_parallel_sweeps_are_timed_in_turn(tiny, monkeypatch):
    """The same runs, each time in an empty folder; tests/sweeps carry such words out."""
    asked = []
    monkeypatch.setattr(sweeps, "sweep", lambda words: asked.append(words) or len(asked))
    seconds = sweeps.parallel(["model=softmax", "train.epochs=1", *tiny], 2)
    assert seconds == {sweeps.SERIAL: [1, 3], sweeps.PARALLEL: [2, 4]}
    serial, parallel = (request.read(words, None, "d2lrun") for words in asked[:2])
    assert [[len(axis) for axis in each.axes] for each in (serial, parallel)] == [[sweeps.JOBS]] * 2
    launchers.check([word for word in asked[1] if word not in asked[0]])


def test_the_table_of_sweeps_takes_the_start_up_off(monkeypatch, capsys):
    monkeypatch.setattr(sweeps, "beside_pure", lambda *_: {"sweep": [9.0], "d2lrun, first step": [3.0], "pure": [5.0]})
    monkeypatch.setattr(sweeps, "held_memory", lambda *_: [400.0 + number for number in range(64)])
    monkeypatch.setattr(sweeps, "trivial_job", lambda *_: [0.2])
    monkeypatch.setattr(sweeps, "finished_jobs", lambda *_: [4.0])
    monkeypatch.setattr(sweeps, "parallel", lambda *_: {"one after the other": [18.0], "joblib, two at once": [10.0]})
    bench.show_sweeps(Console(width=90), [], rounds=1, quick=False)
    rows = [" ".join(line.split()) for line in capsys.readouterr().out.splitlines()]
    assert "(sweep - first step) / pure 1.20 at most 1.15: missed" in rows
    assert [row for row in rows if "held" in row] == [
        "memory held after 1 400 MB",
        "memory held after 8 407 MB",
        "memory held after 64 463 MB",
    ]
    assert "a run with nothing to compute 0.20 s at most 0.15: missed" in rows
    assert "1,000 finished, read again 4.00 s at most 10" in rows
    assert "times as fast 1.80 at least 1.7" in rows


def test_a_row_shows_the_median_its_range_and_whether_the_bound_is_kept(capsys):
    rows = table.columns("an epoch of mlp")
    table.add(rows, "book / d2lrun", [8.0, 6.5, 9.25], low=7)
    table.add(rows, "d2lrun / pure", [1.2, 1.5, 1.1], high=1.15)
    table.add(rows, "peak memory", [628.4], "MB", high=700)
    Console(width=80).print(rows)
    _, *lines = [" ".join(line.split()) for line in capsys.readouterr().out.splitlines()]
    assert lines == [
        "book / d2lrun 8.00 6.50 - 9.25 at least 7",
        "d2lrun / pure 1.20 1.10 - 1.50 at most 1.15: missed",
        "peak memory 628 MB at most 700",
    ]


def test_the_machine_is_named_in_a_line():
    line = bench.machine()
    assert f"torch {torch.__version__}" in line and "\n" not in line


# --- pictures ------------------------------------------------------------------------------------------------------


def test_pictures_are_decoded_and_trained_on_by_two_ways(tmp_path, monkeypatch):
    monkeypatch.setenv("D2LRUN_CACHE", str(tmp_path / "cache"))
    pictures.make(tmp_path / "made", 40, 24, ".jpg")
    console = Console(width=120, record=True)
    pictures.show_folder(console, tmp_path / "made", ["train.batch_size=20"], 1)
    text = console.export_text()
    assert text.count("d2lrun") == text.count("ImageFolder") == 2 and "pictures of an epoch" in text


def test_the_share_of_augmentation_is_of_the_same_images():
    console = Console(width=120, record=True)
    pictures.show_augmentation(console, 300, 1)
    text = console.export_text()
    assert all(name in text for name in ("without", *pictures.AUGMENTS))


@pytest.mark.slow
def test_many_pictures_are_measured_in_a_process_of_their_own():
    console = Console(width=120, record=True)
    pictures.show_many(console, 30, ["train.batch_size=10"])
    text = console.export_text()
    assert "30 pictures of 64 × 64" in text and "peak memory" in text


def test_a_run_that_is_killed_and_resumed_is_compared_with_a_whole_one(tmp_path, monkeypatch):
    """On the CPU, as the later of two devices counts; only the run that is killed needs a process."""

    def here(words, folder):
        done = in_this_process(folder, *words)
        return subprocess.CompletedProcess(words, done.code, done.out, done.err)

    monkeypatch.setattr(gpu, "d2lrun", here)
    small = ["device=cpu", "dataset=pydoc", "dataset.max_tokens=3000", "model.hidden=8", "train.checkpoint_every=1"]
    small.append("device.threads=1")
    made = gpu.resume([*small, "train.epochs=40"])["text"](tmp_path)
    assert (made["code"], made["killed in time"], made["same bits"]) == (0, True, True)


def test_a_command_that_is_refused_is_told_with_its_message(tmp_path):
    made = gpu.recipes(["train.epochs=0"])["resnet"](tmp_path)
    assert made["code"] == 2 and "train.epochs=0" in made["said"] and made["metrics"] is None


def test_the_interface_is_timed_by_its_parts(tmp_path, monkeypatch, capsys, own_images):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["-c", *api.SHORT, "model=softmax", "train.limit_batches=2", *own_images])
    exec(api.PROGRAM, {})
    imported, first, second, loop = map(float, capsys.readouterr().out.split())
    assert min(imported, first, loop) > 0 and second > loop
    assert len(list(tmp_path.glob("outputs/runs/*/softmax/*/result.json"))) == 2
