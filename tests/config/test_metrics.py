"""What the name of a metric says, and the table of metrics."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from d2lrun import datasets
from d2lrun.config import metrics
from d2lrun.config.compose import compose
from d2lrun.config.tables import DATASETS, TASKS
from d2lrun.tasks import task_of
from d2lrun.tasks.tabular.table import Scale

# A dataset of each task that is made or comes with Python; one of the user's own for the task of images.
MADE = {
    "tabular": ["model=linear", "dataset=linear"],
    "language_model": ["model=rnn", "dataset=pydoc"],
    "tagging": ["model=lstm", "dataset=restore", f"dataset.path=[{Path(__file__).parents[2] / 'README.md'}]"],
    "translation": ["model=seq2seq", "dataset=arithmetic"],
    "forecasting": ["model=linear", "dataset=sine"],
    "text_classification": ["model=bag-of-words", "dataset=labelled-text"],
}
WEIGHED = ("classification", "text_classification")  # tasks with more metrics if classes have weights
# Changes of the dataset with which there are more metrics, or others.
CHANGES = {
    "tabular": [
        {"logarithmic": True},
        {"scaled": True, "scale": Scale(0.0, 1.0)},
        {"classes": ("a", "b"), "train_targets": torch.arange(20) % 2},
    ],
    "translation": [{}, {"metric": "perplexity", "loss": "book", "steps": 9}],
}


@pytest.mark.parametrize("task", TASKS)
def test_the_table_has_the_metrics_that_a_task_measures(task, own_images, own_texts):
    words = [*MADE.get(task, own_images), *(own_texts if task == "text_classification" else [])]
    words += ["train.class_weights=balanced"] if task in WEIGHED else []
    config, found, compared = compose(words), set(), set()
    for changes in CHANGES.get(task, [{}]):
        data = replace(datasets.load(config.dataset), **changes).fit(config)
        task_there = task_of(config, data)
        part = data.split(config.validation, 1).train
        measured = task_there.metrics("val", torch.ones(task_there.counts), 1, part)
        assert {metrics.split_of(name) for name in measured} == {"val"}
        found |= {metrics.name_of(name) for name in measured}
        compared |= set(task_there.measured_on(part))
    assert found == set(TASKS[task].metrics)
    assert compared == {*TASKS[task].metrics, *TASKS[task].final}


def test_a_metric_has_one_direction_in_all_tasks():
    pairs = {pair for task in TASKS.values() for pair in (task.metrics | task.final).items()}
    assert len({name for name, _ in pairs}) == len(pairs)
    assert {way for _, way in pairs} <= {"min", "max"}


def test_a_metric_that_ranks_ranks_in_each_task_that_has_it():
    """A sweep finds the metric that ranks by its name alone."""
    for task in TASKS.values():
        names = list(task.metrics)
        assert set(names[names.index("loss") :]).isdisjoint(metrics.RANKING)
        assert names[0] in (*metrics.RANKING, "loss") and task.metrics.keys().isdisjoint(task.final)


def test_each_dataset_names_a_task():
    assert {entry.task for entry in DATASETS.values()} <= set(TASKS)


@pytest.mark.parametrize(
    "metric, split, name, way",
    [
        ("val_accuracy", "val", "accuracy", "max"),
        ("test_bits_per_character", "test", "bits_per_character", "min"),
        ("train_loss", "train", "loss", "min"),
        ("test_bleu", "test", "bleu", "max"),
        ("examples_per_second", None, "examples_per_second", "max"),
        ("weight_norm", None, "weight_norm", "min"),
        ("validated", None, "validated", "min"),
    ],
)
def test_a_name_says_split_and_direction(metric, split, name, way):
    assert (metrics.split_of(metric), metrics.name_of(metric), metrics.direction(metric)) == (split, name, way)
    assert metrics.better_first(metric) == (-1 if way == "max" else 1)


def test_of_several_tasks_those_metrics_come_first_that_rank():
    own = ("val_accuracy", "val_balanced_accuracy", "val_macro_f1", "val_loss")
    assert metrics.validated(["classification"]) == own
    assert metrics.validated(["forecasting", "classification"])[:2] == ("val_rmse", "val_accuracy")
    found = metrics.validated(["classification", "translation"])
    assert (found[:2], found[5]) == (("val_accuracy", "val_perplexity"), "val_loss")


@pytest.mark.parametrize(
    "measured, wanted, main",
    [
        ({"val_loss", "val_accuracy", "test_accuracy"}, None, "val_accuracy"),
        ({"val_loss"}, None, "val_loss"),
        ({"val_loss", "val_accuracy"}, "val_loss", "val_loss"),
        ({"val_loss"}, "val_accuracy", None),
        ({"test_accuracy", "train_loss"}, None, None),
    ],
)
def test_the_main_metric_is_of_validation_alone(measured, wanted, main):
    assert metrics.main_metric(measured, wanted) == main


@given(st.floats() | st.integers() | st.none() | st.booleans() | st.text(max_size=2))
def test_a_metric_is_read_as_a_number_or_as_a_mean_with_a_deviation(value):
    finite = type(value) in (int, float) and -1.8e308 < value < 1.8e308 and not math.isnan(value)
    wanted = value if finite else None
    assert metrics.mean_and_std(value) == (wanted, None)
    assert metrics.mean_and_std({"mean": value, "std": value}) == (wanted, wanted)
    assert metrics.mean_and_std({}) == (None, None)
