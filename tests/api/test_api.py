"""d2lrun from Python: the same bits, refusals and directories as on the command line."""

from __future__ import annotations

import enum
import inspect
import json
import re
import subprocess
import sys

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

import d2lrun as d2l
from d2lrun.api.words import overrides
from d2lrun.config.compose import compose, parse_override
from d2lrun.errors import Refused
from d2lrun.tasks import value, words
from tests.bits import same_bits, timeless

PUBLIC = {
    *("train", "resume", "load", "sweep", "compare", "data", "build", "model", "dataset", "Between"),
    *("Run", "Sweep", "Data", "Classes", "Classifier", "Regressor"),
    *("D2lrunError", "Refused", "Failed", "Diverged", "Stopped"),
}


def test_the_public_names_are_these():
    """A change of this list is a change of what docs/python.md promises."""
    assert set(d2l.__all__) == PUBLIC == {name for name in dir(d2l) if not name.startswith("_")}
    assert all(inspect.getdoc(getattr(d2l, name)) for name in PUBLIC)


def test_importing_d2lrun_imports_nothing_else():
    code = "import sys; before = set(sys.modules); import d2lrun; print(sorted(set(sys.modules) - before))"
    assert subprocess.check_output([sys.executable, "-c", code], text=True).strip() == "['d2lrun']"


def test_a_wrong_name_is_answered_with_the_names_there_are():
    with pytest.raises(AttributeError, match="has no attribute 'trian'; it has train, resume"):
        _ = d2l.trian


# --- the words -------------------------------------------------------------------------------------------------------

VALUES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(10**9), 10**9),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(st.characters(exclude_categories=["Cs"]), max_size=20),
)


@given(st.one_of(VALUES, st.lists(VALUES, max_size=3)))
def test_a_keyword_argument_means_its_value_whatever_signs_are_in_it(value):
    [word] = overrides([], {"optimizer": {"lr": value}})
    assert parse_override(word).value() == value


@given(st.one_of(VALUES, st.lists(VALUES.filter(lambda value: value is not None), max_size=3)))
def test_a_value_of_numpy_means_that_of_python(value):
    assert overrides([], {"seed": np.array(value)}) == overrides([], {"seed": np.array(value).tolist()})


def test_a_number_of_an_enumeration_means_the_number():
    assert overrides([], {"seed": enum.IntEnum("Seeds", "ONE").ONE}) == ["seed=1"]


def test_keyword_arguments_are_the_overrides_of_a_command():
    model = {"name": "mlp", "hidden": [64, 32]}
    given = {"model": model, "train": {"epochs": 3}, "optimizer__lr": 0.1, "seed": np.int64(4)}
    words = ["model=mlp", "model.hidden=[64,32]", "train.epochs=3", "optimizer.lr=0.1", "seed=4"]
    assert overrides([], given) == words
    assert compose(words).model == compose(["model=mlp", "model.hidden=[64,32]"]).model


@pytest.mark.parametrize("value", [float("nan"), object(), {1, 2}, [{"a": 1}], np.array([1j])])
def test_a_value_that_no_config_holds_is_refused(value):
    with pytest.raises(Refused, match="wanted a text, number, truth value, list or None"):
        overrides([], {"seed": value})


# --- a run -----------------------------------------------------------------------------------------------------------


def test_a_run_has_the_bits_and_the_directory_of_the_command_line(bits, d2lrun, short):
    assert d2lrun(*short, "run.dir=shell").code == 0
    run = d2l.train(*short, run__dir="python")
    assert same_bits(bits(run), bits(d2l.load("shell")))
    names = [{path.name for path in (each.directory).iterdir()} for each in (run, d2l.load("shell"))]
    assert names[0] == names[1]
    assert timeless(run.records) == timeless(d2l.load("shell").records) and len(run.records) == 2
    assert run.metrics == json.loads((run.directory / "result.json").read_text())["metrics"]
    assert run.evaluate() == pytest.approx({key: run.metrics[key] for key in ("test_loss", "test_accuracy")})


def test_a_refusal_carries_its_complaints():
    with pytest.raises(d2l.Refused, match="2 problems") as refused:
        d2l.train("model=lnet", optimizer__lr=-1)
    assert [each.fix for each in refused.value.complaints] == ["model=lenet", ""]
    assert [each.key for each in refused.value.complaints] == ["model", "optimizer.lr"]


def test_several_values_are_refused_with_the_function_for_them():
    with pytest.raises(d2l.Refused, match="several values"):
        d2l.train("model=mlp,lenet")


def test_the_network_is_trained_and_in_evaluation_mode(bits, short):
    run = d2l.train(*short)
    assert not run.model.training and same_bits(dict(run.model.state_dict()), bits(run))


def test_the_network_alone_has_the_initial_weights_of_a_run(bits, short):
    one, other = (d2l.build(*short, seed=seed) for seed in (1, 1))
    assert same_bits(one.state_dict(), other.state_dict())
    begun = d2l.train(*short, optimizer__lr=1e-30, optimizer__momentum=0.0, train__epochs=1)
    assert same_bits(d2l.build(*short).state_dict(), bits(begun))


def test_the_data_are_what_the_network_is_given(short, stripes):
    data = d2l.data(*short)
    inputs, labels = data.train
    torch.testing.assert_close(inputs, stripes.train_images / 255)
    assert torch.equal(labels, stripes.train_labels) and len(data.classes) == 10 and data.val is None
    assert len(d2l.data(*short, validation="holdout").val[1]) == 33


# --- predictions -----------------------------------------------------------------------------------------------------


def test_images_of_every_kind_get_the_same_probabilities(trained, stripes, tmp_path):
    images = stripes.test_images[:6]  # uint8 [n, 1, H, W]
    paths = [tmp_path / f"{place}.png" for place in range(6)]
    pictures = [Image.fromarray(image[0].numpy()) for image in images]
    for path, picture in zip(paths, pictures, strict=True):
        picture.save(path)
    wanted = trained.model(images / 255).softmax(dim=1).detach()
    kinds = [images, images[:, 0], images.numpy(), images / 255, images.permute(0, 2, 3, 1).numpy()]
    kinds += [list(images), paths, [*map(str, paths)], pictures, images.int(), (images / 255).double().numpy()]
    for kind in kinds:
        found = trained.predict(kind, invert="no")
        torch.testing.assert_close(found.probabilities, wanted)
        assert found.labels == [str(int(k)) for k in wanted.argmax(dim=1)] and len(found) == 6
    torch.testing.assert_close(trained.predict(paths[0], invert="no").probabilities, wanted[:1])


def test_without_images_the_test_set_is_predicted(trained, stripes):
    found = trained.predict()
    right = sum(label == str(int(k)) for label, k in zip(found.labels, stripes.test_labels, strict=True))
    assert right / len(found) == pytest.approx(trained.metrics["test_accuracy"])


@pytest.mark.parametrize(
    ("images", "message"),
    [
        (torch.full((2, 28, 28), 1.5), "images: pixels from 1.5 to 1.5, wanted 0 to 1"),
        (torch.full((2, 28, 28), -1), "images: pixels from -1 to -1, wanted 0 to 255"),
        (torch.zeros(2, 2, 28, 28), "images: an array of the shape"),
        ([object()], "an image of the type object"),
        (7, "images: an array of the shape"),
    ],
)
def test_images_that_are_none_are_refused(trained, images, message):
    with pytest.raises(Refused, match=message):
        trained.predict(images)


def test_an_unknown_option_of_a_verb_is_refused(trained):
    with pytest.raises(Refused, match="predict: topp: no such option; did you mean top"):
        trained.predict(topp=3)


def test_every_verb_of_every_task_is_a_method():
    assert all(callable(getattr(d2l.Run, verb)) for verb in words())


def test_every_verb_of_every_task_returns_a_value():
    assert all(value(task, verb) for verb, by_task in words().items() for task in by_task)


def test_a_task_without_values_is_refused_with_the_command(trained, monkeypatch):
    monkeypatch.setattr("d2lrun.tasks.value", lambda task, verb: None)
    with pytest.raises(Refused, match="predict of a classification returns no value for Python") as refused:
        trained.predict()
    assert refused.value.hint == f"in a shell: d2lrun predict {trained.directory}"


def test_a_verb_of_another_task_is_refused(trained):
    with pytest.raises(Refused, match="is the run of a classification: there is no generate for it"):
        trained.generate("time")


# --- longer, many ----------------------------------------------------------------------------------------------------


def test_a_finished_run_is_trained_longer_as_a_new_run(bits, short, trained):
    longer = d2l.resume(trained, epochs=np.int64(3))
    assert longer.directory != trained.directory and len(longer.records) == 3
    assert same_bits(bits(longer), bits(d2l.train(*short, "train.epochs=3")))


def test_one_run_is_compared_like_a_list_of_one(trained):
    rows = d2l.compare([trained])
    assert rows[0]["status"] == "finished"
    for one in (trained, trained.directory, str(trained.directory)):
        assert d2l.compare(one) == rows


def test_a_sweep_is_that_of_the_command_line(d2lrun, short):
    grid = ["optimizer.lr=0.1,0.5", "validation=holdout"]
    assert d2lrun("-m", *short, *grid).code == 0
    sweep = d2l.sweep(*short, optimizer__lr=[0.1, 0.5], validation="holdout")
    assert len(list(sweep.directory.parent.iterdir())) == 1  # the same sweep, which is finished
    assert [row["optimizer.lr"] for row in sweep.records] == [0.1, 0.5]
    accuracies = [run.metrics["val_accuracy"] for run in sweep.runs]
    assert sweep.best is None or sweep.best.metrics["val_accuracy"] == max(accuracies)
    rows = d2l.compare([sweep], sort="val_accuracy")
    assert [row["val_accuracy"] for row in rows] == sorted(accuracies, reverse=True)


def test_k_folds_are_runs_of_a_run(short):
    run = d2l.train(*short, validation={"name": "kfold", "k": 2}, train__epochs=1)
    assert [fold.status for fold in run.folds] == ["finished"] * 2
    mean = sum(fold.metrics["val_loss"] for fold in run.folds) / 2
    assert run.metrics["val_loss"]["mean"] == pytest.approx(mean)


def test_a_run_is_written_with_its_place_and_its_metrics(short, monkeypatch):
    run = d2l.train(*short, validation={"name": "kfold", "k": 2}, train__epochs=1)
    number = r"\d\.\d+( ± \d\.\d+)?"
    metrics = f"finished, train_loss {number}, train_accuracy {number}, val_loss {number}, val_accuracy {number}>"
    assert re.fullmatch(rf"<d2lrun.Run outputs/runs/\S+: {metrics}", repr(run)) and "±" in repr(run)
    assert re.fullmatch(rf"<d2lrun.Run outputs/runs/\S+/fold-1: {metrics}", repr(run.folds[1]))
    monkeypatch.chdir(run.directory / "fold-0")
    assert repr(run).startswith(f"<d2lrun.Run {run.directory}: ")


@pytest.mark.parametrize("kind", [d2l.load, d2l.Sweep])
def test_a_folder_that_is_none_is_refused(tmp_path, kind):
    with pytest.raises(Refused, match="is not a"):
        kind(tmp_path)


def test_a_run_is_shown_as_its_page_in_a_notebook(own_images):
    run = d2l.train("model=softmax", "device=cpu", "train.epochs=1", *own_images)
    page = run._repr_html_()
    assert page.startswith("<iframe srcdoc=") and "data:image/png;base64" in page and page.count('"') == 4
