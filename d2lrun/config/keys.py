"""The schema of a run: every key with its type, unit and range.

Values are in ``conf/``; these classes only define which values are allowed. ``schema.py`` checks plain data with them.
"""

from __future__ import annotations

from dataclasses import dataclass, make_dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from d2lrun.config.tables import DATASETS, MODELS, Dataset, Network, Source
from d2lrun.config.types import (
    Between,
    Count,
    DeviceNames,
    Fraction,
    NonNegative,
    Number,
    Positive,
    Probability,
    Rule,
    Seed,
    Size,
)


@dataclass
class Init:
    """The initial weights (``models/init.py``)."""

    name: Rule
    std: Positive  # of the rule normal
    value: Number  # of the rule constant
    linear: Rule | None  # for fully connected layers; null: the rule ``name``
    conv: Rule | None  # for convolutions; null: the rule ``name``
    recurrent: Rule | None  # for recurrent layers; null: the rule ``name``
    bias: Number | None  # initial value of every bias; null: torch's default, as in the book
    bias_std: Positive | None  # biases are drawn from N(bias or 0, bias_std²)


@dataclass
class Model:
    """The keys that every network has in addition to its own arguments."""

    init: Init
    weights: str | None  # start from the weights of this run, .safetensors or .pth file
    freeze: list[str]  # patterns of parameter names that are not trained


@dataclass
class SGD:
    """Stochastic gradient descent."""

    name: Literal["sgd"]
    lr: Positive
    momentum: Probability
    nesterov: bool
    weight_decay: NonNegative
    decay_bias: bool  # false: no weight decay of parameters with one dimension
    head_factor: Positive  # multiple of lr for the last layer


@dataclass
class Adam:
    """Adam or AdamW."""

    name: Literal["adam", "adamw"]
    lr: Positive
    beta1: Probability
    beta2: Probability
    eps: Positive
    weight_decay: NonNegative
    decay_bias: bool
    head_factor: Positive


@dataclass
class Constant:
    """A constant learning rate."""

    name: Literal["constant"]
    warmup: NonNegative  # epochs over which the learning rate rises from 0


@dataclass
class Step:
    """A learning rate that drops by a factor every few epochs."""

    name: Literal["step"]
    warmup: NonNegative
    every: Positive  # epochs between two drops
    factor: Annotated[float, Between(0, 1, without=(0,))]  # of each drop


@dataclass
class Cosine:
    """A learning rate that follows half a cosine."""

    name: Literal["cosine"]
    warmup: NonNegative
    final: Annotated[float, Between(0, 1)]  # share of the learning rate at the end


@dataclass
class Augment:
    """Random changes of each training image, on the device (book 13.1)."""

    name: Literal["none", "flip", "crop-flip", "strong"]
    flip: bool  # left and right, half of the images
    crop: Annotated[int, Between(0, 256)]  # pixels of padding, out of which the image is cut
    rotate: Annotated[float, Between(0, 180)]  # most degrees in each direction
    shift: Annotated[float, Between(0, 1)]  # most of the width and height
    jitter: Annotated[float, Between(0, 1)]  # of brightness, contrast and colour: factors from 1 - jitter to 1 + jitter
    erase: Probability  # of a rectangle of 2 to 33 % that becomes black
    mixup: Annotated[float, Between(0, 1)]  # alpha of Beta(alpha, alpha), the share of the image itself; 0: off


@dataclass
class Device:
    """The device and how it computes."""

    name: Annotated[str, DeviceNames()]
    precision: Literal["fp32", "tf32", "bf16", "fp16"]
    channels_last: bool  # memory order of images and convolutions
    compile: bool  # by torch.compile: slow to start, then faster
    deterministic: bool  # the same bits also on a GPU; a CPU always gives the same bits
    threads: Annotated[int, Between(1, 1024)] | None  # on the CPU; null: one per core, or one if a step is small


@dataclass
class NoValidation:
    """No validation: the test set is measured after every epoch, as in the book."""

    name: Literal["none"]


@dataclass
class Holdout:
    """A part of the training examples validates."""

    name: Literal["holdout"]
    fraction: Fraction  # share of the training examples that validate
    stratify: bool  # every class keeps its share
    group: str | None = None  # column of a table: rows with the same value stay together
    time: str | None = None  # column of a table: the last rows in its order validate


@dataclass
class Once:
    """No validation: the test set is measured once, at the end."""

    name: Literal["once"]


@dataclass
class KFold:
    """K-fold cross-validation (book 4.10)."""

    name: Literal["kfold"]
    k: Annotated[int, Between(2, 10**6)]
    fold: Annotated[int, Between(0, 10**6)] | None  # train only this fold, counted from 0; null: all, one by one
    shuffle: bool  # by the seed; false: contiguous blocks
    stratify: bool  # with shuffle: every fold has its share of each class
    repeats: Annotated[int, Between(1, 1000)]  # repetitions of all folds, with other seeds
    refit: bool  # at the end train on all examples (a sweep: its best setting), and measure the test set once
    group: str | None = None  # column of a table: rows with the same value are in one fold
    time: str | None = None  # column of a table: each fold trains on the rows before those that it validates


@dataclass
class Train:
    """The length of training, batches and checkpoints."""

    epochs: Count
    batch_size: Size
    clip: Positive | None  # largest global L2 norm of the gradient
    patience: Count | None  # epochs without a better validation metric before the run stops
    class_weights: Literal["none", "balanced"]  # balanced: each class has the same share in the loss
    keep: Literal["last", "best"]  # the weights at the end: of the last epoch, or of the best by the ranking metric
    limit_batches: Count | None  # most batches in training and in evaluation, for a quick test
    checkpoint_every: Count | None  # steps; in addition to one after each epoch and one per minute
    sample_every: Count | None  # epochs between two texts in samples.txt; null: only at the end


@dataclass
class Run:
    """The run's directory and pictures."""

    root: str  # the folder for runs without ``dir``
    dir: str | None  # the run's directory: the same command continues the run in it
    name: str | None  # a label, appended to the date and time
    pictures: bool  # write pictures and the page; not for the runs of a sweep

    @property
    def folder(self) -> str:
        """``dir`` of a run that has one, as each of a sweep."""
        if self.dir is None:
            raise AssertionError("no directory was chosen for this run")
        return self.dir


@dataclass
class SweepSettings:
    """The keys of every sweep (``-m``)."""

    engine: Literal["grid", "optuna"]
    name: str | None  # of the folder <run.root>/sweeps/<name>; null: from the swept keys
    on_error: Literal["continue", "stop"]  # what a failed run means for the others
    metric: str | None  # validation metric for the ranking; null: accuracy, perplexity or loss, the first that exists
    grid: dict[str, Any]  # values by key: a list, or Hydra's syntax such as range(1,5); added to the command's values
    zip: list[str]  # keys whose values are paired in order, and not combined
    combinations: list[str]  # explicit combinations, such as "model=lenet optimizer.lr=0.9"
    pictures: bool  # write pictures and a page for every single run


@dataclass
class Grid(SweepSettings):
    """A sweep over all combinations of values (``-m``)."""

    engine: Literal["grid"]


@dataclass
class Search(SweepSettings):
    """A sweep in which Optuna chooses the values (``-m``)."""

    engine: Literal["optuna"]
    trials: Count  # in total: the same command continues up to this number
    sampler: Literal["tpe", "random"]
    pruner: Literal["median", "none"]  # median: stop a run that is worse than half of the runs before it
    startup: Count  # number of first trials, which are random and never pruned
    storage: str | None  # a database URL for Optuna; null: study.db in the sweep's folder


@dataclass
class Recipe:
    """The book's settings for this model that depend on another choice."""

    lr: dict[str, Positive]  # by optimizer
    experiment: str | None  # the file of conf/experiment with this recipe; null: the file of conf/model
    stable: str | None  # the override that helps if the book's recipe fails in some runs


@dataclass
class Book:
    """The published result: the band of each metric over many builds of the book."""

    section: str
    band: dict[str, list[Number]]


def network_keys(name: str, line: Network) -> type:
    """Return the dataclass of a config group ``model`` for a line of MODELS."""
    return make_dataclass("Model", [("name", Literal[name]), *line.arguments.items(), *source(line)], bases=(Model,))


def dataset_keys(name: str, line: Dataset) -> type:
    """Return the dataclass of a config group ``dataset`` for a line of DATASETS."""
    return make_dataclass(
        "Dataset", [("name", Literal[name]), *line.arguments.items(), *line.view.items(), *source(line)]
    )


def source(line: Network | Dataset) -> list[tuple[str, type]]:
    """Return the key with the source of a line's code, if it is not d2lrun's own."""
    return [("source", Source)] if line.added else []


VARIANTS: dict[str, dict[str, type]] = {
    "optimizer": {"sgd": SGD, "adam": Adam, "adamw": Adam},
    "schedule": {"constant": Constant, "step": Step, "cosine": Cosine},
    "augment": dict.fromkeys(("none", "flip", "crop-flip", "strong"), Augment),
    "device": dict.fromkeys(("auto", "cpu", "cuda", "mps"), Device),
    "sweep": {"grid": Grid, "optuna": Search},
    "validation": {"none": NoValidation, "once": Once, "holdout": Holdout, "kfold": KFold},
    "dataset": {name: dataset_keys(name, line) for name, line in DATASETS.items()},
    "model": {name: network_keys(name, line) for name, line in MODELS.items()},
}


# Keys that earlier versions did not have, each with the value at which a run is the same as before.
ADDED: dict[str, Any] = {
    **{"augment.name": "none", "augment.flip": False, "augment.crop": 0, "augment.rotate": 0.0, "augment.shift": 0.0},
    **{"augment.jitter": 0.0, "augment.erase": 0.0, "augment.mixup": 0.0},
    "dataset.normalise": "none",
    "model.stem": "7x7",
    "train.keep": "last",
    "model.pretrained": False,
    "optimizer.head_factor": 1.0,
    "train.class_weights": "none",
    **{"validation.group": None, "validation.time": None, "dataset.group": None},
}


@dataclass
class Config:
    """The config of one run. Each group has the dataclass in ``VARIANTS`` that its ``name`` selects."""

    seed: Seed
    model: Any
    dataset: Any
    optimizer: SGD | Adam
    schedule: Constant | Step | Cosine
    augment: Augment
    device: Device
    validation: NoValidation | Once | Holdout | KFold
    train: Train
    run: Run
    sweep: Grid | Search
    recipe: Recipe
    book: Book | None


def conf_dir() -> Path:
    """Return the folder conf/ with the values: inside the package in a wheel, beside it in a checkout."""
    package = Path(__file__).resolve().parents[1]
    inside = package / "conf"
    return inside if inside.is_dir() else package.parent / "conf"
