"""docs/tasks.md is followed word for word in a copy of the project: a new task can do all that the others can."""

from __future__ import annotations

import os
import re
import subprocess
import sys

import pytest
from PIL import Image

from tests import pages
from tests.faults.conftest import FORKS, Forks, Room

pytestmark = pytest.mark.slow

TINY = ("dataset=bars", "model=mlp", "optimizer.lr=0.5", "train.batch_size=32", "train.epochs=8", "device=cpu")
HOLDOUT = ("validation=holdout", "run.dir=run")
DATASET = {"d2lrun/datasets/{}.py", "conf/dataset/{}.yaml", "d2lrun/config/tables.py"}
FOLDER = {f"d2lrun/tasks/multi_label/{name}.py" for name in ("__init__", "pictures", "task", "view", "words")}

ELSEWHERE = "docs or without_torch"  # the tests of the layout that ask about the project itself


@pytest.fixture(scope="module")
def named(tmp_path_factory):
    """The files that each section names, after both were followed in the copy; and the copy."""
    project = pages.copied(tmp_path_factory.mktemp("project"))
    return {title: set(pages.follow(project, "tasks", title)) for title in ("Add a dataset", "Add a task")}, project


@pytest.fixture(scope="module")
def project(named):
    """The copy, which every process from here on imports."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", os.pathsep.join(map(str, (named[1], FORKS.parent))))
        patch.setenv("OMP_NUM_THREADS", "1")
        yield named[1]


def d2lrun(folder, *words):
    """What a whole process ``d2lrun WORD…`` prints."""
    command = [sys.executable, "-m", "d2lrun", *words]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, encoding="utf-8", check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def is_drawn(path):
    """Whether a picture is more than an empty page: a quarter of it is not white."""
    with Image.open(path) as image:
        return sum(image.convert("L").histogram()[:255]) > image.width * image.height / 4


@pytest.fixture(scope="module")
def forks(project):
    with Forks(project=project) as process:
        yield process


@pytest.fixture(scope="module")
def finished(project, tmp_path_factory):
    """A run that nothing happened to, with its pictures."""
    room = Room(tmp_path_factory.mktemp("finished"))
    d2lrun(room.path, *TINY, *HOLDOUT)
    return room


@pytest.fixture
def room(tmp_path):
    return Room(tmp_path)


def test_a_dataset_is_three_files_and_a_task_its_folder_more(named):
    sections, project = named
    assert sections["Add a dataset"] == {name.format("wave") for name in DATASET}
    assert sections["Add a task"] == {name.format("bars") for name in DATASET} | FOLDER
    assert pages.changed(project) == set().union(*sections.values())


def test_the_new_task_keeps_the_rules_of_the_layout(forks, room):
    """tests/test_architecture.py, asked about the copy."""
    options = ["-q", "-p", "no:cacheprovider", "--noconftest", "--import-mode=importlib", "-c", os.devnull]
    words = [*options, str(pages.ROOT / "tests" / "test_architecture.py"), "-k", f"not ({ELSEWHERE})"]
    kept = forks(room, [], f"import pytest; sys.exit(pytest.main({words}))")
    assert kept.code == 0, kept.out
    assert int(re.search(r"(\d+) passed", kept.out)[1]) >= 50


def test_it_trains_and_its_metrics_are_in_the_result(finished):
    result = finished.result()
    assert result["status"] == "finished" and result["dataset"] == "bars"
    assert {f"{part}_{name}" for part in ("train", "val", "test") for name in ("f1", "exact_match", "loss")} < (
        result["metrics"].keys()
    )
    assert result["metrics"]["test_f1"] > 0.9
    assert result["floor"]["metric"] == "val_loss" and result["floor"]["value"] == pytest.approx(0.693, abs=0.01)


def test_it_gets_its_picture_and_its_page(finished):
    assert is_drawn(finished.run / "predictions.png")
    page = (finished.run / "report.html").read_text("utf-8")
    assert 'alt="predictions"' in page and 'alt="curves"' in page and "exact match" in page


def test_an_interrupted_run_goes_on_to_the_same_bits(finished, forks, room):
    stopped = forks(room, [*TINY, *HOLDOUT], "at('d2lrun.training.fit:train_batch', 25, lambda: send('SIGTERM'))")
    assert (stopped.code, room.newest_step()) == (143, 25)
    assert forks(room, ["resume", "run"]).code == 0
    room.assert_same_bits(finished)
    room.assert_tidy()


def test_the_saved_weights_are_evaluated(finished, forks):
    test = {name: value for name, value in finished.result()["metrics"].items() if name.startswith("test_")}
    said = forks(finished, ["evaluate", "run"]).out
    assert said.strip().split("  ") == [f"{name.replace('_', ' ')} {value:.4f}" for name, value in test.items()]


def test_every_test_picture_is_predicted(finished, forks):
    said = forks(finished, ["predict", "run"]).out
    head, *rows = [line.split(",") for line in (finished.run / "predictions.csv").read_text("utf-8").splitlines()]
    assert head == ["labels", "predicted"] and len(rows) == 200
    right = sum(labels == predicted for labels, predicted in rows)
    assert right / 200 == pytest.approx(finished.result()["metrics"]["test_exact_match"])
    assert f"{right} of 200" in said


def test_folds_have_a_mean_and_a_spread(forks, room):
    assert forks(room, [*TINY, "validation=kfold", "validation.k=2", "run.dir=run"]).code == 0
    assert room.result()["metrics"]["val_f1"].keys() == {"mean", "std"}
    assert [fold["metrics"]["val_f1"] > 0.8 for fold in room.result()["folds"]] == [True, True]


def test_a_sweep_is_ranked_by_the_first_metric_of_its_line(forks, room):
    assert forks(room, ["-m", *TINY, "optimizer.lr=0.01,0.5", "validation=holdout"]).code == 0
    sweep = room.read(*room.path.glob("outputs/sweeps/*/sweep.json"))
    assert (sweep["metric"], sweep["direction"]) == ("val_f1", "max")
    assert sweep["best"]["overrides"] == ["optimizer.lr=0.5"]


def test_its_data_are_drawn(forks, room):
    said = forks(room, ["data", "dataset=bars"]).out
    assert "bars: 4 labels" in said
    assert is_drawn(room.path / "outputs" / "data" / "bars.png")


def test_the_new_dataset_of_a_task_that_there_was_trains(forks, room):
    words = ["optimizer=adam", "optimizer.lr=0.01", "train.batch_size=16", "train.epochs=20", "run.dir=run"]
    assert forks(room, ["dataset=wave", "model=mlp", *words]).code == 0
    assert 0.01 < room.result()["metrics"]["test_loss"] < 0.2  # from the noise to half of the best constant


def test_the_range_in_the_line_of_a_dataset_is_kept(forks, room):
    refused = forks(room, ["dataset=wave", "model=mlp", "dataset.waves=0"])
    assert refused.code == 2
    assert "dataset.waves=0" in refused.err


def test_the_help_lists_task_and_datasets(forks, room):
    said = forks(room, ["--help"]).out
    assert "bars" in said and "A sine wave with noise" in said
    assert "of a multi-label classification" in forks(room, ["predict", "--help"]).out
