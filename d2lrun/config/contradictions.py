"""Keys that contradict each other, each of them valid by itself."""

from __future__ import annotations

import os
import unicodedata
from dataclasses import asdict
from typing import Any

from d2lrun.config.complaints import Complaint, shown
from d2lrun.config.keys import ADDED, Config
from d2lrun.config.tables import MOST_NUMBERS, TASKS, dataset_of, network_of


def contradictions(config: Config) -> list[Complaint]:
    """Return complaints about values that contradict each other."""
    complaints = []
    if config.validation.name in ("none", "once"):
        wanted = "the test set never stops a run: add validation=holdout"
        if config.train.patience:
            complaints.append(Complaint(f"train.patience={config.train.patience}", wanted, "validation=holdout"))
        wanted = "the test set never chooses weights: add validation=holdout"
        if config.train.keep == "best":
            complaints.append(Complaint("train.keep=best", wanted, "validation=holdout"))
    if config.validation.name == "kfold":
        complaints += fold_contradictions(config.validation)
    if config.optimizer.name == "sgd" and config.optimizer.nesterov and config.optimizer.momentum == 0:
        wanted = "wanted optimizer.momentum above 0 with it: add optimizer.momentum=0.9"
        complaints.append(Complaint("optimizer.nesterov=true", wanted, "optimizer.momentum=0.9"))
    if config.schedule.warmup > config.train.epochs:
        complaints.append(
            Complaint(
                f"schedule.warmup={config.schedule.warmup:g}",
                f"wanted at most train.epochs={config.train.epochs}",
            )
        )
    complaints += length_complaints("model", config.model, network_of(config.model).matching)
    complaints += length_complaints("dataset", config.dataset, dataset_of(config.dataset).matching)
    complaints += table_complaints(config.dataset)
    complaints += augment_complaints(config)
    complaints += pretrained_complaints(config)
    complaints += weight_complaints(config)
    complaints += column_complaints(config)
    complaints += place_complaints("run.root", config.run.root) + place_complaints("run.dir", config.run.dir)
    complaints += name_complaints("run.name", config.run.name) + name_complaints("sweep.name", config.sweep.name)
    metric = config.sweep.metric
    if metric is not None and not metric.startswith("val_"):
        wanted = "wanted a metric of validation, such as val_loss: nothing else may choose"
        complaints.append(Complaint(f"sweep.metric={metric}", wanted))
    return complaints


def fold_contradictions(validation: Any) -> list[Complaint]:
    """Return complaints about values of ``validation=kfold`` that contradict each other."""
    fold, k = validation.fold, validation.k
    if fold is None:
        return []
    complaints = []
    if fold >= k:
        complaints.append(Complaint(f"validation.fold={fold}", f"wanted 0 to {k - 1}, for validation.k={k}"))
    if validation.repeats > 1:
        wanted = "a single fold has no repetitions: take validation.fold=null, or sweep over seed"
        complaints.append(Complaint(f"validation.repeats={validation.repeats}", wanted))
    return complaints


def length_complaints(group: str, option: Any, matching: dict[str, str]) -> list[Complaint]:
    """Return complaints about lists that have neither one value nor one for each value of another key."""
    complaints = []
    for key, other in matching.items():
        values, each = getattr(option, key), getattr(option, other)
        if len(values) not in (1, len(each) if isinstance(each, list) else each):
            wanted = f"wanted one value, or one for each of {shown(f'{group}.{other}', each)}; got {len(values)}"
            complaints.append(Complaint(shown(f"{group}.{key}", values), wanted))
    return complaints


def table_complaints(data: Any) -> list[Complaint]:
    """Return complaints about the size of a generated table."""
    columns = dataset_of(data).columns
    if columns is None or (data.n_train + data.n_test) * getattr(data, columns) <= MOST_NUMBERS:
        return []
    given = " ".join(f"dataset.{key}={getattr(data, key)}" for key in ("n_train", "n_test", columns))
    return [Complaint(given, f"wanted at most {MOST_NUMBERS} numbers, rows times dataset.{columns}")]


def augment_complaints(config: Config) -> list[Complaint]:
    """Return a complaint about each key of ``augment`` that is set for a task without images."""
    task = TASKS[dataset_of(config.dataset).task]
    given = {f"augment.{key}": value for key, value in asdict(config.augment).items()}
    changed = [] if task.augments else [key for key, value in given.items() if value != ADDED[key]]
    wanted = f"this is a {task.title}, without images to change: leave it out"
    return [Complaint(shown(key, given[key]).replace("augment.name", "augment"), wanted, "~") for key in changed[:1]]


def pretrained_complaints(config: Config) -> list[Complaint]:
    """Return complaints about keys that contradict published weights, ``model.pretrained=true``."""
    if network_of(config.model).added or not getattr(config.model, "pretrained", False):
        return []
    complaints = []
    if config.model.weights is not None:
        wanted = "these weights are not the published ones: leave out model.pretrained=true, or this"
        complaints.append(Complaint(shown("model.weights", config.model.weights), wanted, "model.pretrained=false"))
    normalise = config.dataset.normalise
    if normalise != "imagenet":
        wanted = "model.pretrained=true needs images normalised as those that trained it"
        fix = "dataset.normalise=imagenet"
        complaints.append(Complaint(f"dataset.normalise={normalise}", f"{wanted}: add {fix}", fix))
    return complaints


def weight_complaints(config: Config) -> list[Complaint]:
    """Return a complaint about weights of classes for a task that has none."""
    task = TASKS[dataset_of(config.dataset).task]
    if config.train.class_weights == "none" or task.weighs:
        return []
    wanted = f"a {task.title} does not weigh classes: leave it out"
    return [Complaint(f"train.class_weights={config.train.class_weights}", wanted, "~")]


def column_complaints(config: Config) -> list[Complaint]:
    """Return complaints about columns to split by: of data without columns, or two ways at once."""
    keys = [key for key in ("group", "time") if getattr(config.validation, key, None) is not None]
    given = [shown(f"validation.{key}", getattr(config.validation, key)) for key in keys]
    if given and not dataset_of(config.dataset).named:
        return [Complaint(given[0], f"{config.dataset.name} has no columns with names to split by: leave it out", "~")]
    if len(given) > 1:
        return [Complaint(given[1], f"rows are split by time or by group, and {given[0]} is given: leave one out", "~")]
    if keys == ["time"] and config.validation.name == "kfold" and config.validation.repeats > 1:
        return [Complaint("validation.repeats", "the folds in time are the same in each repetition: leave it out", "~")]
    return []


def place_complaints(key: str, path: str | None) -> list[Complaint]:
    """Return complaints about the path of a new folder that some disk cannot store."""
    names = [] if path is None else os.fsencode(path).split(os.fsencode(os.sep))
    if len(os.fsencode(path or "")) <= 3000 and max(map(len, names), default=0) <= 255:
        return []
    return [Complaint(shown(key, path), "wanted a path of at most 3000 bytes, and of 255 between two /")]


def name_complaints(key: str, name: str | None) -> list[Complaint]:
    """Return complaints about a name that becomes the name of a folder."""
    if name is None or is_safe_name(name):
        return []
    wanted = r"names a folder: wanted at most 80 characters (200 bytes), no / or \ or control character in it"
    return [Complaint(f"{key}={name[:40]!r}", f"{wanted}, no . or space first or last")]


def is_safe_name(name: str) -> bool:
    """Whether a text is the name of one visible folder, and safe to print on a terminal."""
    unsafe = ("Cc", "Cf", "Cs", "Zl", "Zp")  # control, format such as right-to-left, surrogate, line separators
    return (
        0 < len(name) <= 80
        and len(name.encode("utf-8", "surrogatepass")) <= 200
        and name == name.strip().strip(".")
        and not any(letter in "/\\" or unicodedata.category(letter) in unsafe for letter in name)
    )
