"""Keys that were added after runs were recorded: an earlier run is read, and is the same experiment."""

from __future__ import annotations

import hashlib
import json

import pytest

from d2lrun.config import schema
from d2lrun.config.compose import compose
from d2lrun.config.keys import ADDED
from d2lrun.disk.rundir import RunDirectory, as_text, config_hash


def earlier(config):
    """The config as a version without the added keys recorded it."""
    data = schema.to_dict(config)
    groups = {key.partition(".")[0] for key in ADDED if key.endswith(".name")}
    kept = {key: value for key, value in data.items() if key not in groups}
    for key in ADDED:
        group, _, name = key.partition(".")
        kept.get(group, {}).pop(name, None)
    return kept


CHOICES = [[], ["model=rnn"], ["model=resnet"], ["model=linear"], ["optimizer=adam", "validation=kfold"]]


@pytest.mark.parametrize("words", CHOICES)
def test_an_earlier_config_is_completed(words):
    config = compose(words)
    assert schema.parse(schema.completed(earlier(config))) == config


@pytest.mark.parametrize("words", CHOICES)
def test_an_earlier_config_has_the_hash_that_it_had(words):
    config = compose(words)
    plain = schema.flatten(earlier(config))
    kept = {key: value for key, value in plain.items() if not key.startswith(schema.CIRCUMSTANCES)}
    assert config_hash(config) == hashlib.sha256(json.dumps(kept, sort_keys=True).encode()).hexdigest()[:16]


@pytest.mark.parametrize("word", ["augment=flip", "dataset.normalise=standard", "augment.crop=2"])
def test_another_value_is_another_experiment(word):
    assert config_hash(compose([word])) != config_hash(compose([]))


def test_a_recorded_config_is_read_from_its_directory(tmp_path):
    config = compose(["model=lenet"])
    directory = RunDirectory(tmp_path)
    directory.write_config(config)
    text = as_text(config)
    lines = [line for line in text.splitlines() if "normalise" not in line and "keep:" not in line]
    start = lines.index("augment:")
    end = next(place for place in range(start + 1, len(lines)) if not lines[place].startswith(" "))
    directory.config_file.write_text("\n".join(lines[:start] + lines[end:]) + "\n", "utf-8")
    assert directory.load_config() == config


@pytest.mark.parametrize("data", [None, 7, [], {}, {"augment": 3}, {"train": None}, {"dataset": {"name": ["x"]}}])
def test_anything_may_be_completed(data):
    schema.completed(data)
