"""The networks of d2lrun by scikit-learn's conventions. n rows, D features, K classes.

A fit is ``d2lrun.train`` on (X, y), and a prediction is ``Run.predict``: the same preparation, the same bits.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np

from d2lrun.api.run import load, train
from d2lrun.api.words import overrides as words_of
from d2lrun.config.compose import parse_override
from d2lrun.errors import Refused, Stopped

try:
    from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin
    from sklearn.utils import check_random_state
    from sklearn.utils.multiclass import check_classification_targets
    from sklearn.utils.validation import check_is_fitted, validate_data
except ImportError as error:  # the classes exist without the extra, and refuse to make an estimator
    MISSING = str(error)
    BaseEstimator, ClassifierMixin, RegressorMixin = (type(name, (), {}) for name in ("Base", "OfClasses", "OfNumbers"))
else:
    MISSING = ""

# The parameter for each key of the command line; all other keys are overrides.
KEYS = {
    **{"optimizer": "optimizer", "optimizer.lr": "lr", "train.epochs": "epochs", "train.batch_size": "batch_size"},
    **{"device": "device", "seed": "random_state", "run.root": "directory"},
}
PARAMETERS = {"model": "model", "run.dir": "directory", **KEYS}
KEPT = (".yaml", ".json", ".safetensors")  # the files of a run that a prediction reads
SEEDS = 2**31


class Estimator(BaseEstimator):
    """What ``Classifier`` and ``Regressor`` share. It holds the files of its run as bytes, so it can be pickled."""

    _images = False  # whether X may be images

    def __init__(
        self,
        model: Any = None,
        *,
        optimizer: str | None = "adam",
        lr: float | None = 0.01,
        epochs: int | None = 30,
        batch_size: int | None = 32,
        device: str = "auto",
        random_state: Any = None,
        overrides: Sequence[str] = (),
        directory: str | PathLike[str] | None = None,
    ):
        if MISSING:
            hint = "pip install 'd2lrun[sklearn]'"
            raise Refused(f"{type(self).__name__} needs scikit-learn 1.6 or newer: {MISSING}", hint)
        self.model = model
        self.optimizer = optimizer
        self.lr = lr
        self.epochs = epochs
        self.batch_size = batch_size
        self.device = device
        self.random_state = random_state
        self.overrides = overrides
        self.directory = directory

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True  # a missing number is the mean of its column
        tags.input_tags.three_d_array = self._images
        return tags

    def _checked(self, *data: Any, **options: Any) -> Any:
        """Return X, or X and y, as arrays; raises ValueError as scikit-learn's own estimators do."""
        return validate_data(self, *data, allow_nd=self._images, ensure_all_finite="allow-nan", **options)

    def _train(self, X: np.ndarray, targets: np.ndarray) -> None:
        """Train on checked data and keep the files of the run; raises Refused, Failed, Diverged or Stopped."""
        named = {} if self.model is None else {"model": self.model}
        with tempfile.TemporaryDirectory() as folder:
            try:
                run = train(*self._words(folder), data=(X, targets), quiet=True, **named)
            except Stopped as stopped:
                if self.directory is None:
                    stopped.args = ("the fit was stopped; with directory=FOLDER it is saved and can be continued",)
                raise
            files = [path for path in run.directory.iterdir() if path.suffix in KEPT]
            self.files_ = {path.name: path.read_bytes() for path in files}
            self.records_ = run.records
        self.n_iter_ = len(self.records_)
        self.directory_ = None if self.directory is None else run.directory

    def _words(self, folder: str) -> list[str]:
        """Return the overrides of a fit, whose run goes to ``folder`` unless a directory is given. Raises Refused."""
        given = words_of([self.overrides] if isinstance(self.overrides, str) else self.overrides, {})
        for word in given:
            key, _, value = word.partition("=")
            if name := PARAMETERS.get(key):
                same = f"{name}={parse_override(word).value()!r}"
                raise Refused(f"overrides: {word}: it is the parameter {name}", same)
            if (key, value) == ("validation", "kfold"):
                raise Refused(f"overrides: {word}: a fit trains one network", "sklearn.model_selection.cross_validate")
        settings = {key: value for key, name in KEYS.items() if (value := getattr(self, name)) is not None}
        if not isinstance(self.random_state, (int, np.integer)):
            settings["seed"] = check_random_state(self.random_state).randint(SEEDS)
        if self.directory is None:
            settings |= {"run.root": folder, "run.pictures": False}
        return [*words_of([], settings), *given]

    def _predict(self, X: Any) -> Any:
        """Return the predictions of the run for X [n, …]; raises NotFittedError, ValueError or Refused."""
        check_is_fitted(self, "files_")
        X = self._checked(X, reset=False)
        with tempfile.TemporaryDirectory() as folder:
            for name, content in self.files_.items():
                Path(folder, name).write_bytes(content)
            return load(folder, model=self.model if callable(self.model) else None).predict(X)


class Classifier(ClassifierMixin, Estimator):
    """A network that predicts classes, by scikit-learn's conventions; ``pip install 'd2lrun[sklearn]'``.

    X are rows [n, D], whose columns are standardised and NaN is a missing number, or images [n, H, W], [n, C, H, W] or
    [n, H, W, C], uint8 or from 0 to 1. The classes y [n] may be numbers or texts.

    ``model``, ``optimizer``, ``lr``, ``epochs`` and ``batch_size`` are those of the command line. The defaults are for
    tables of a few hundred to a few thousand rows; None is the value of the command line, which is a multilayer
    perceptron, or that the model comes with. ``random_state`` is the seed; None takes another seed for each fit, from
    NumPy's generator. All other keys are given as ``overrides``: ``["model.hidden=[64,64]", "validation=holdout"]``.

    A fit leaves nothing on disk, unless ``directory`` names a folder in which each fit leaves its run (``directory_``).
    ``records_`` has a dictionary for each epoch, ``n_iter_`` is their number, and ``classes_`` are the classes.
    """

    _images = True

    def fit(self, X: Any, y: Any) -> Classifier:
        """Train on X and the classes y [n]; raises ValueError, Refused, Failed or Diverged."""
        X, y = self._checked(X, y)
        check_classification_targets(y)
        self.classes_, places = np.unique(y, return_inverse=True)
        if len(self.classes_) == 1:
            raise ValueError(f"y has 1 class, {self.classes_[0]!r}: wanted 2 or more")
        self._train(X, places)
        return self

    def predict_proba(self, X: Any) -> np.ndarray:
        """Return the probabilities of the classes, float32 [n, K], with columns in the order of ``classes_``."""
        return np.asarray(self._predict(X).probabilities)

    def predict(self, X: Any) -> np.ndarray:
        """Return the most probable classes [n]."""
        places = self.predict_proba(X).argmax(axis=1)
        return np.asarray(self.classes_[places])


class Regressor(RegressorMixin, Estimator):
    """A network that predicts a number, by scikit-learn's conventions; ``pip install 'd2lrun[sklearn]'``.

    X are rows [n, D] and y numbers [n]. The network learns both standardised; predictions are in the units of y.
    Parameters and attributes are those of ``Classifier``, without ``classes_``.
    """

    def fit(self, X: Any, y: Any) -> Regressor:
        """Train on X and the numbers y [n]; raises ValueError, Refused, Failed or Diverged."""
        X, y = self._checked(X, y, y_numeric=True)
        self._train(X, y.astype(float))
        return self

    def predict(self, X: Any) -> np.ndarray:
        """Return the predicted numbers, float32 [n]."""
        return np.asarray(self._predict(X))
