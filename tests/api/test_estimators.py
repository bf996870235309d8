"""Classifier and Regressor: scikit-learn's own checks, its tools, and the bits of ``d2lrun.train``."""

from __future__ import annotations

import importlib
import pickle
import signal
import sys
from pathlib import Path

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.inspection import permutation_importance
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MinMaxScaler
from sklearn.utils.estimator_checks import parametrize_with_checks
from torch import nn

import d2lrun as d2l
from d2lrun.api import estimators
from d2lrun.api.estimators import PARAMETERS
from d2lrun.config.compose import compose
from tests.bits import timeless

ROWS = np.random.default_rng(0).normal(size=(60, 3))
CLASSES = np.where(ROWS[:, 1] > 0, "yes", "no")  # the second column decides
NUMBERS = 100 + 10 * ROWS[:, 1]
SHORT = {"epochs": 3, "device": "cpu", "random_state": 0}
KINDS = [(d2l.Classifier, CLASSES), (d2l.Regressor, NUMBERS)]


@parametrize_with_checks([d2l.Classifier(epochs=10), d2l.Regressor(epochs=10)])
def test_the_checks_of_scikit_learn_pass(estimator, check):
    check(estimator)


# --- the same as a run -----------------------------------------------------------------------------------------------


def test_the_probabilities_are_those_of_the_run():
    words = ["model=mlp", "optimizer=adam", "optimizer.lr=0.01", "train.batch_size=32", "run.pictures=false"]
    run = d2l.train(*words, "train.epochs=3", "device=cpu", "seed=0", data=(ROWS, (CLASSES == "yes").astype(int)))
    fitted = d2l.Classifier(**SHORT).fit(ROWS, CLASSES)
    assert np.array_equal(fitted.predict_proba(ROWS), run.predict(ROWS).probabilities.numpy())
    assert timeless(run.records) == timeless(fitted.records_) and fitted.n_iter_ == 3


def test_every_parameter_but_the_overrides_is_a_key():
    parameters = d2l.Classifier().get_params().keys() - {"overrides"}
    assert parameters == set(PARAMETERS.values()) == d2l.Regressor().get_params().keys() - {"overrides"}


@pytest.mark.parametrize(
    ("overrides", "message", "hint"),
    [
        (["train.epochs=4"], "train.epochs=4: it is the parameter epochs", "epochs=4"),
        (["run.dir=here"], "run.dir=here: it is the parameter directory", "directory='here'"),
        (["model=linear"], "model=linear: it is the parameter model", "model='linear'"),
        (["validation=kfold"], "a fit trains one network", "sklearn.model_selection.cross_validate"),
        ([3], "wanted a text such as", "name the key"),
    ],
)
def test_an_override_that_would_be_ignored_is_refused(overrides, message, hint):
    with pytest.raises(d2l.Refused, match=message) as refused:
        d2l.Classifier(overrides=overrides).fit(ROWS, CLASSES)
    assert refused.value.hint.startswith(hint)


def test_after_a_fit_that_failed_there_is_nothing_to_predict_with():
    unfitted = d2l.Classifier("lnet")
    with pytest.raises(d2l.Refused, match="did you mean lenet"):
        unfitted.fit(ROWS, CLASSES)
    with pytest.raises(NotFittedError):
        unfitted.predict(ROWS)


def test_all_other_keys_are_overrides():
    one, several = "model.hidden=[5]", ["model.hidden=[5]", "validation=holdout"]
    for overrides in (one, several):
        fitted = d2l.Classifier(**SHORT, overrides=overrides).fit(ROWS, CLASSES)
        assert ("val_loss" in fitted.records_[-1]) == (overrides is several)


def test_none_is_what_the_model_comes_with():
    named = d2l.Regressor("linear", optimizer=None, lr=None, epochs=None, batch_size=None, random_state=0)
    config, recipe = compose(["model=linear", *named._words("x")]), compose(["model=linear"])
    assert (config.train, config.optimizer) == (recipe.train, recipe.optimizer)


# --- the tools of scikit-learn ---------------------------------------------------------------------------------------


def test_a_pipeline_is_cross_validated():
    scores = cross_val_score(make_pipeline(MinMaxScaler(), d2l.Classifier(epochs=10, random_state=0)), ROWS, CLASSES)
    assert len(scores) == 5 and scores.mean() > 0.85


def test_a_search_varies_a_parameter_and_a_key():
    grid = {"lr": [1e-6, 0.05], "overrides": [["model.hidden=[8]"], ["model.hidden=[64]"]]}
    search = GridSearchCV(d2l.Regressor(epochs=8, random_state=0), grid, cv=2).fit(ROWS, NUMBERS)
    assert search.best_params_ == {"lr": 0.05, "overrides": ["model.hidden=[64]"]} and search.best_score_ > 0.5


def test_the_column_that_decides_is_the_important_one():
    for kind, y in KINDS:
        found = permutation_importance(kind(epochs=10, random_state=0).fit(ROWS, y), ROWS, y, random_state=0)
        assert found.importances_mean.argmax() == 1 and found.importances_mean[1] > 0.2


@pytest.mark.parametrize(("kind", "y"), KINDS)
def test_a_pickled_estimator_predicts_the_same(kind, y):
    fitted = kind(**SHORT).fit(ROWS, y)
    loaded = pickle.loads(pickle.dumps(fitted))
    assert np.array_equal(loaded.predict(ROWS), fitted.predict(ROWS))
    assert np.array_equal(clone(loaded).fit(ROWS, y).predict(ROWS), fitted.predict(ROWS))


# --- inputs and targets ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "names", [["no", "yes"], ["10", "9"], [3, 10], [False, True], [-1.0, 2.0], np.array(["a", "b"], object)]
)
def test_predictions_are_the_classes_that_were_given(names):
    y = np.asarray(names)[(ROWS[:, 1] > 0).astype(int)]
    fitted = d2l.Classifier(epochs=10, random_state=0).fit(ROWS, y)
    assert fitted.classes_.tolist() == sorted(names) and fitted.predict(ROWS).dtype == y.dtype
    chosen = fitted.classes_[fitted.predict_proba(ROWS).argmax(axis=1)]
    assert np.array_equal(chosen, fitted.predict(ROWS)) and fitted.score(ROWS, y) > 0.9


@pytest.mark.parametrize("shape", [(8, 8), (1, 8, 8), (3, 8, 8), (8, 8, 3)])
def test_images_are_classified(shape):
    images = np.random.default_rng(1).integers(0, 100, (40, *shape), dtype="uint8")
    images[::2, ..., :4, :4] += 150  # a bright corner in every second image
    fitted = d2l.Classifier("softmax", **SHORT | {"lr": 0.1}).fit(images, ["corner", "none"] * 20)
    assert fitted.predict_proba(images).shape == (40, 2)
    assert fitted.predict(images[:2]).tolist() == ["corner", "none"]


def test_a_regressor_takes_no_images():
    with pytest.raises(ValueError, match="dim 3"):
        d2l.Regressor().fit(ROWS[:, :, None], NUMBERS)


def test_a_missing_number_is_the_mean_of_its_column():
    holes = ROWS.copy()
    holes[:5, 0] = np.nan
    fitted = d2l.Regressor(**SHORT).fit(holes, NUMBERS)
    filled = np.where(np.isnan(holes), np.nanmean(holes, axis=0), holes)
    np.testing.assert_allclose(fitted.predict(holes), fitted.predict(filled), rtol=1e-6)


# --- on disk ---------------------------------------------------------------------------------------------------------


def test_a_fit_leaves_nothing_on_disk(tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    d2l.Classifier(**SHORT).fit(ROWS, CLASSES).predict(ROWS)
    assert list(tmp_path.iterdir()) == []


def test_a_directory_keeps_the_run_of_each_fit():
    search = GridSearchCV(
        d2l.Classifier(**SHORT, directory="kept", overrides="run.pictures=false"), {"lr": [1, 2]}, cv=2
    )
    fitted = search.fit(ROWS, CLASSES).best_estimator_
    assert len(list(Path("kept/runs").glob("*/*/*/result.json"))) == 5
    run = d2l.load(fitted.directory_)
    assert np.array_equal(run.predict(ROWS).probabilities.numpy(), fitted.predict_proba(ROWS))


def test_the_seed_is_the_random_state():
    seeds = {"7": d2l.Classifier(random_state=7), "8": d2l.Classifier(random_state=np.int64(8))}
    assert all(f"seed={seed}" in estimator._words("x") for seed, estimator in seeds.items())
    drawn = [d2l.Classifier(random_state=np.random.RandomState(0))._words("x") for _ in range(2)]
    np.random.seed(0)  # of the generator that None stands for
    assert drawn[0] == drawn[1] == d2l.Classifier()._words("x") != d2l.Classifier()._words("x")


def test_a_fit_that_is_stopped_says_how_one_is_saved(monkeypatch):
    def stopped(*words, **given):
        raise d2l.Stopped(signal.SIGINT, "stopped at step 3, saved; continue with: d2lrun resume /tmp/gone")

    monkeypatch.setattr(estimators, "train", stopped)
    with pytest.raises(KeyboardInterrupt, match="with directory=FOLDER it is saved"):
        d2l.Classifier().fit(ROWS, CLASSES)
    with pytest.raises(KeyboardInterrupt, match="resume"):
        d2l.Classifier(directory="kept").fit(ROWS, CLASSES)


def test_without_the_extra_an_estimator_is_refused(monkeypatch):
    monkeypatch.setitem(sys.modules, "sklearn.base", None)
    monkeypatch.delitem(sys.modules, "d2lrun.api.estimators")
    monkeypatch.setattr("d2lrun.api.estimators", estimators)  # which the import below replaces
    without = importlib.import_module("d2lrun.api.estimators")
    for kind in (without.Classifier, without.Regressor):
        with pytest.raises(d2l.Refused, match=f"{kind.__name__} needs scikit-learn 1.6 or newer") as refused:
            kind()
        assert refused.value.hint == "pip install 'd2lrun[sklearn]'"


def test_ones_own_network_is_taken():
    class Net(nn.Sequential):
        def __init__(self, classes):
            super().__init__(nn.Linear(2, 8), nn.Tanh(), nn.Linear(8, classes))

    X = np.random.default_rng(1).normal(size=(80, 2))
    y = X[:, 0] > X[:, 1]
    for model in (Net, Net(2)):
        fitted = d2l.Classifier(model, random_state=1, device="cpu").fit(X, y)
        assert fitted.score(X, y) > 0.9
        again = clone(fitted).fit(X, y)
        assert np.array_equal(again.predict_proba(X), fitted.predict_proba(X))
