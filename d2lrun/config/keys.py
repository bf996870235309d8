"""The schema of a run: every key with its type, unit and range.

Values live in ``conf/``; these classes say only what a value may be. ``schema.py`` checks plain data against them.
"""

from __future__ import annotations

from dataclasses import dataclass, make_dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from d2lrun.config.tables import DATASETS, MODELS
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
    """How weights begin (``models/init.py``)."""

    name: Rule
    std: Positive  # of normal
    value: Number  # of constant
    linear: Rule | None  # of fully connected layers, where it is another
    conv: Rule | None  # of convolutions, where it is another
    recurrent: Rule | None  # of recurrent layers, where it is another
    bias: Number | None  # where every bias begins; null: torch's default, as in the book
    bias_std: Positive | None  # biases are drawn from N(bias or 0, bias_std²)


@dataclass
class Model:
    """What every network has beside its own arguments."""

    init: Init
    weights: str | None  # begin with those of this run or .safetensors file
    freeze: list[str]  # patterns of parameter names that are not trained


@dataclass
class SGD:
    name: Literal["sgd"]
    lr: Positive
    momentum: Probability
    nesterov: bool
    weight_decay: NonNegative
    decay_bias: bool  # false: what has one dimension is spared


@dataclass
class Adam:
    name: Literal["adam", "adamw"]
    lr: Positive
    beta1: Probability
    beta2: Probability
    eps: Positive
    weight_decay: NonNegative
    decay_bias: bool


@dataclass
class Constant:
    name: Literal["constant"]
    warmup: NonNegative  # epochs over which the learning rate climbs from 0


@dataclass
class Step:
    name: Literal["step"]
    warmup: NonNegative
    every: Positive  # epochs between two drops
    factor: Annotated[float, Between(0, 1, without=(0,))]  # of each drop


@dataclass
class Cosine:
    name: Literal["cosine"]
    warmup: NonNegative
    final: Annotated[float, Between(0, 1)]  # share of the learning rate that is left at the end


@dataclass
class Device:
    name: Annotated[str, DeviceNames()]
    precision: Literal["fp32", "tf32", "bf16", "fp16"]
    channels_last: bool  # memory order of images and convolutions
    compile: bool  # by torch.compile: slow to start, then faster
    deterministic: bool  # the same bits on a GPU, too; a CPU gives them anyway
    threads: Annotated[int, Between(1, 1024)] | None  # on the CPU; null: one for each core, one for a small step


@dataclass
class NoValidation:
    name: Literal["none"]


@dataclass
class Holdout:
    name: Literal["holdout"]
    fraction: Fraction  # of the training examples that validate
    stratify: bool  # every class keeps its share


@dataclass
class Once:
    name: Literal["once"]


@dataclass
class KFold:
    name: Literal["kfold"]
    k: Annotated[int, Between(2, 10**6)]
    fold: Annotated[int, Between(0, 10**6)] | None  # this one only, counted from 0; null: one after the other
    shuffle: bool  # by the seed; false: contiguous blocks
    stratify: bool  # of what is shuffled: every fold has its share of each class
    repeats: Annotated[int, Between(1, 1000)]  # of all folds, with other seeds
    refit: bool  # in the end train on everything (of a sweep, the best), and measure the test set once


@dataclass
class Train:
    epochs: Count
    batch_size: Size
    clip: Positive | None  # largest global L2 norm of the gradient
    patience: Count | None  # epochs without a lower val_loss before the run stops
    limit_batches: Count | None  # at most so many batches, in training as in evaluation: a quick look
    checkpoint_every: Count | None  # steps; besides one at each epoch's end and one a minute
    sample_every: Count | None  # epochs between two texts written to samples.txt; null: only at the end


@dataclass
class Run:
    root: str  # where runs without a directory of their own go
    dir: str | None  # this very directory: the same command continues what it finds there
    name: str | None  # a label, appended to the date and time
    pictures: bool  # and the page; a sweep leaves them out

    @property
    def folder(self) -> str:
        """``dir`` of a run that has one, as each of a sweep."""
        if self.dir is None:
            raise AssertionError("no directory was chosen for this run")
        return self.dir


@dataclass
class SweepSettings:
    """What both ways of ``-m`` have."""

    engine: Literal["grid", "optuna"]
    name: str | None  # of the folder <run.root>/sweeps/<name>; null: from the keys that are swept
    on_error: Literal["continue", "stop"]  # what a failed run means for the others
    metric: str | None  # that ranks, one of validation; null: accuracy, perplexity or loss, whichever there is
    grid: dict[str, Any]  # values by key: a list, or Hydra's syntax such as range(1,5); beside those of the command
    zip: list[str]  # keys whose values go together, the first with the first, and are not combined
    combinations: list[str]  # explicit ones, such as "model=lenet optimizer.lr=0.9"
    pictures: bool  # and a page of every single run


@dataclass
class Grid(SweepSettings):
    """How ``-m`` goes through the combinations of values."""

    engine: Literal["grid"]


@dataclass
class Search(SweepSettings):
    """How ``-m`` lets Optuna choose the values."""

    engine: Literal["optuna"]
    trials: Count  # in all: the same command goes on up to this number
    sampler: Literal["tpe", "random"]
    pruner: Literal["median", "none"]  # median: a run ends that is worse than half of those before it
    startup: Count  # trials that are random and never pruned
    storage: str | None  # an address that Optuna understands; null: study.db in the sweep's folder


@dataclass
class Recipe:
    """What the book trains this model with, where it depends on another choice."""

    lr: dict[str, Positive]  # by optimizer
    experiment: str | None  # the file of conf/experiment that this is the recipe of; null: that of conf/model
    stable: str | None  # the override that helps where the book's recipe fails now and then


@dataclass
class Book:
    """The published result: each metric's band over many executed builds of the book."""

    section: str
    band: dict[str, list[Number]]


VARIANTS: dict[str, dict[str, type]] = {
    "optimizer": {"sgd": SGD, "adam": Adam, "adamw": Adam},
    "schedule": {"constant": Constant, "step": Step, "cosine": Cosine},
    "device": dict.fromkeys(("auto", "cpu", "cuda", "mps"), Device),
    "sweep": {"grid": Grid, "optuna": Search},
    "validation": {"none": NoValidation, "once": Once, "holdout": Holdout, "kfold": KFold},
    "dataset": {
        name: make_dataclass("Dataset", [("name", Literal[name]), *entry.arguments.items(), *entry.view.items()])
        for name, entry in DATASETS.items()
    },
    "model": {
        name: make_dataclass("Model", [("name", Literal[name]), *entry.arguments.items()], bases=(Model,))
        for name, entry in MODELS.items()
    },
}


@dataclass
class Config:
    """One run, whole. The groups hold the dataclass in ``VARIANTS`` that their ``name`` selects."""

    seed: Seed
    model: Any
    dataset: Any
    optimizer: SGD | Adam
    schedule: Constant | Step | Cosine
    device: Device
    validation: NoValidation | Once | Holdout | KFold
    train: Train
    run: Run
    sweep: Grid | Search
    recipe: Recipe
    book: Book | None


def conf_dir() -> Path:
    """conf/, where the values live: inside the package in a wheel, beside it in a checkout."""
    package = Path(__file__).resolve().parents[1]
    inside = package / "conf"
    return inside if inside.is_dir() else package.parent / "conf"
