"""Forecasts: whole runs in this process, and what they leave."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

from d2lrun import datasets, models
from d2lrun.cli import verbs
from d2lrun.config.compose import compose
from tests.bits import same_bits

QUICK = ("device=cpu", "device.threads=1", "train.epochs=3")
SINE = ("experiment=sine", *QUICK, "dataset.n_train=150", "dataset.n_test=90")


@pytest.fixture(autouse=True)
def afresh(monkeypatch):
    monkeypatch.setattr(datasets, "_last", None)


@pytest.fixture
def sales(tmp_path):
    """A file of 200 days: a week's rhythm, a trend, some noise; the 21 first days alone in another file."""
    times = np.arange(200)
    amounts = 1000 + 50 * np.sin(2 * np.pi * times / 7) + times + np.random.default_rng(0).normal(size=200)
    rows = ["day;amount", *(f"{day};{amount:.2f}".replace(".", ",") for day, amount in zip(times, amounts))]
    for name, count in (("sales.csv", 201), ("short.csv", 22)):
        (tmp_path / name).write_text("\r\n".join(rows[:count]), encoding="utf-8-sig")
    return ["dataset=series", "dataset.path=sales.csv", "dataset.time=day", "dataset.tau=14", *QUICK]


def result(directory="run"):
    return json.loads((Path(directory) / "result.json").read_text("utf-8"))


def by_hand(config):
    """The book's loop: a step of Adam for each shuffled batch, then the loss of all windows; for each epoch."""
    data = datasets.load(config.dataset)
    torch.manual_seed(config.seed)
    model = models.build(config.model, data.inputs, 1)
    optimizer = torch.optim.Adam(model.parameters(), lr=config.optimizer.lr)
    x, tau = data.values.float(), config.dataset.tau
    windows = torch.stack([x[t - tau : t] for t in range(tau, data.train)])
    targets = x[tau : data.train, None]
    part = data.split(config.validation).train
    losses = []
    for epoch in range(config.train.epochs):
        for batch in part.shuffled(config.train.batch_size, config.seed, epoch):
            optimizer.zero_grad()
            ((model(windows[batch - tau]) - targets[batch - tau]) ** 2).mean().backward()
            optimizer.step()
        with torch.no_grad():
            losses.append(((model(windows) - targets) ** 2).mean().item())
    return losses


@pytest.mark.parametrize("experiment", ["sine", "sine-linear"])
def test_a_run_is_the_books_loop_measured_after_each_epoch(d2lrun, experiment):
    words = [f"experiment={experiment}", *SINE[1:]]
    assert d2lrun(*words, "run.dir=run").code == 0
    records = [json.loads(line) for line in Path("run/metrics.jsonl").read_text("utf-8").splitlines()]
    assert [record["train_loss"] for record in records] == pytest.approx(by_hand(compose(words)), rel=1e-4)


def test_a_run_has_its_baselines_and_its_errors_by_steps_ahead(d2lrun):
    done = d2lrun(*SINE, "run.dir=run")
    found = result()
    table = found["table"]
    assert table["heads"][:5] == ["steps", "model", "last value", "linear", "mean"]
    assert [row[0] for row in table["rows"]] == [1, 4, 16, 64] and len(table["rows"][0]) == 7
    assert table["rows"][0][1] == pytest.approx(found["metrics"]["test_rmse"], rel=1e-4)
    assert table["rows"][0][2:5] == pytest.approx([*found["baselines"].values()])
    assert found["floor"]["metric"] == "test_rmse"
    assert found["floor"]["value"] == pytest.approx(found["baselines"]["mean"])
    assert "baselines   test rmse: last value 0.3" in done.out and "rmse by steps ahead, of the values 150" in done.out


def test_a_forecast_continues_the_series(d2lrun, sales):
    assert d2lrun(*sales, "model=mlp", "optimizer=adam", "validation=holdout", "run.dir=run").code == 0
    assert d2lrun("forecast", "run", "steps=20").code == 0
    with open("run/forecast.csv", encoding="utf-8", newline="") as file:
        head, *rows = list(csv.reader(file))
    assert head == ["step", "value"] and [int(step) for step, _ in rows] == [*range(1, 21)]
    config = compose([*sales, "model=mlp", "optimizer=adam", "validation=holdout"])
    data = datasets.load(config.dataset)
    model = models.build(config.model, (14,), 1)
    model.load_state_dict(load_file("run/model.safetensors"))
    known = data.values[:144].numpy()  # what trained: 160 without a tenth
    series = list((data.values.numpy() - known.mean()) / known.std())
    for _ in range(20):
        with torch.no_grad():
            series.append(model(torch.tensor([series[-14:]], dtype=torch.float32)).item())
    wanted = np.array(series[-20:]) * known.std() + known.mean()
    assert [float(value) for _, value in rows] == pytest.approx(wanted, rel=1e-4)
    assert " 1     " in (said := d2lrun("forecast", "run", "short.csv", "steps=2").out) and "amount" in said


@pytest.mark.parametrize(
    "words, complaint",
    [
        (["steps=0"], "steps=0: wanted a whole number at least 1 and at most 1,000,000"),
        (["steps=x"], "steps=x: wanted"),
        (["gone.csv"], "gone.csv: No such file"),
        (["short.csv", "short.csv"], "short.csv: forecast continues one file"),
        (["few.csv"], "few.csv: 2 values, too few for a window of dataset.tau=14"),
        (["no.csv"], "no.csv: dataset.time=day: no such column"),
    ],
)
def test_a_forecast_that_cannot_be_made_is_refused(d2lrun, sales, words, complaint):
    Path("few.csv").write_text("day;amount\n1;2\n2;3\n")
    Path("no.csv").write_text("date;amount\n1;2\n2;3\n")
    assert d2lrun(*sales, "model=linear", "run.dir=run").code == 0
    refused = d2lrun("forecast", "run", *words)
    assert refused.code == 2 and complaint in refused.err and "hint: " in refused.err


@pytest.mark.parametrize("model", ["linear", "rnn", "lstm"])
def test_each_network_of_series_learns_it(d2lrun, sales, model):
    small = [] if model == "linear" else ["model.hidden=16"]
    lr = ["optimizer=adam", "optimizer.lr=0.02", "train.batch_size=16", "train.epochs=15"]
    assert d2lrun(*sales, f"model={model}", *small, *lr, "run.dir=run").code == 0
    found = result()
    assert found["metrics"]["train_rmse"] < found["floor"]["value"] / 3
    loss, rmse = (f"{found['metrics'][name]:.4f}" for name in ("test_loss", "test_rmse"))
    assert d2lrun("evaluate", "run").out == f"test loss {loss}  test rmse {rmse}\n"


def test_an_interrupted_run_continues_to_the_same_bits(d2lrun, at_step):
    words = ["experiment=sine-gru", "model.hidden=8", "train.checkpoint_every=4", *SINE[1:]]
    assert d2lrun(*words, "run.dir=whole").code == 0

    def fault():
        raise KeyboardInterrupt

    with at_step(14, fault), pytest.raises(KeyboardInterrupt):
        d2lrun(*words, "run.dir=run")
    continued = d2lrun("resume", "run")
    assert continued.code == 0 and "resuming at epoch 2, step 12" in continued.out
    assert same_bits(load_file("run/model.safetensors"), load_file("whole/model.safetensors"))
    names = ("train_rmse", "test_rmse")
    assert [result()["metrics"][name] for name in names] == [result("whole")["metrics"][name] for name in names]
    assert result()["table"] == result("whole")["table"]


def test_folds_follow_each_other_and_say_so(d2lrun):
    done = d2lrun(*SINE, "validation=kfold", "validation.k=3", "validation.refit=true", "run.dir=run")
    found = result()
    counts = [result(f"run/fold-{fold}")["data"]["parts"] for fold in range(3)]
    assert [(each["train"]["count"], each["val"]["count"]) for each in counts] == [(33, 38), (71, 37), (108, 38)]
    assert "test" not in counts[0] and result("run/refit")["metrics"]["test_rmse"] > 0
    assert "validation.shuffle and validation.stratify change nothing" in " ".join(done.out.split())
    means = [
        np.mean([result(f"run/fold-{fold}")["baselines"][name] for fold in range(3)]) for name in found["baselines"]
    ]
    assert [*found["baselines"].values()] == pytest.approx(means)


def test_windows_of_any_length_are_ranked_together(d2lrun):
    """Each validates on the same values."""
    done = d2lrun("-m", "experiment=sine-tau", *SINE[1:], "sweep.grid={dataset.tau:[1,4]}", "sweep.name=s")
    assert done.code == 0, done.err
    sweep = json.loads(Path("outputs/sweeps/s/sweep.json").read_text("utf-8"))
    assert (sweep["metric"], sweep["direction"]) == ("val_rmse", "min") and "not ranked" not in done.out
    assert sweep["best"]["overrides"] == ["dataset.tau=4"]


def test_the_data_are_counted_and_drawn(d2lrun, sales):
    said = d2lrun("data", *sales[:-3]).out
    assert "sales: 200 values" in said and "the first 160 train, the last 40 test" in said
    with Image.open("outputs/data/sales.png") as image:
        assert sum(image.convert("L").histogram()[:255]) > 5000
    assert "146 to train, each of 14 values" in said


def test_the_picture_and_the_page_show_the_forecasts(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    verbs.train([*SINE, "run.dir=run"])
    with Image.open("run/predictions.png") as image:
        assert len(image.convert("RGB").getcolors(1 << 20)) > 50
    page = Path("run/report.html").read_text("utf-8")
    assert 'alt="predictions"' in page and "<h2>rmse by steps ahead" in page and "linear autoregression" in page


def test_a_series_that_is_too_short_is_refused_before_training(d2lrun):
    refused = d2lrun(*SINE, "dataset.tau=150", "run.dir=run")
    assert refused.code == 2 and "hint: dataset.tau=149" in refused.err
    assert d2lrun(*SINE, "dataset.tau=149", "run.dir=other").code == 0
