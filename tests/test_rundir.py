from __future__ import annotations

import copy
import json
import re

import pytest
import yaml

from d2lrun import schema
from d2lrun.compose import compose
from d2lrun.errors import Refused
from d2lrun.rundir import RunDirectory, claim, config_hash, unique


@pytest.fixture(scope="module")
def composed():
    return compose(["model=softmax"])


@pytest.fixture
def config(composed, tmp_path):
    """Its run goes to tmp_path/run."""
    config = copy.deepcopy(composed)
    config.run.root, config.run.dir = str(tmp_path), str(tmp_path / "run")
    return config


def refused(config, message):
    with pytest.raises(Refused, match=message), claim(config):
        raise AssertionError("it was claimed")


def begun(config):
    """A run of this config that has taken its first step."""
    with claim(config) as directory:
        directory.write_metrics([])
    return directory


def test_the_config_survives_the_round_trip(config):
    assert begun(config).load_config() == config


def test_the_config_file_is_plain_data(config):
    text = begun(config).config_file.read_text(encoding="utf-8")
    assert yaml.safe_load(text) == schema.to_dict(config)
    assert "!!" not in text and "${" not in text


def test_metrics_are_one_json_object_a_line(config):
    directory = begun(config)
    directory.append_metrics({"epoch": 1, "train_loss": 0.5})
    directory.append_metrics({"epoch": 2, "train_loss": float("nan")})
    lines = directory.metrics_file.read_text(encoding="utf-8").splitlines()
    assert [json.loads(line) for line in lines] == [{"epoch": 1, "train_loss": 0.5}, {"epoch": 2, "train_loss": None}]


def test_metrics_are_cut_back_to_the_records(config):
    directory = begun(config)
    for epoch in (1, 2, 3):
        directory.append_metrics({"epoch": epoch})
    directory.write_metrics([{"epoch": 1}])
    assert directory.metrics_file.read_text(encoding="utf-8") == '{"epoch": 1}\n'


WHOLE = '{"status": "finished", "epochs": 1, "steps": 2, "seconds": 0.1, "metrics": {"val_loss": 0.5}, "dead": null}'


@pytest.mark.parametrize(
    "content, finished",
    [
        (WHOLE, True),
        (WHOLE.replace('{"val_loss": 0.5}', "3"), False),
        (WHOLE.replace("steps", "stops"), False),
        ('{"status": "finished"}', False),
        ('{"status": "stopped"}', False),
        ("{}", False),
        ("[]", False),
        ('{"status": "fin', False),
        ("[" * 100_000, False),
        ("", False),
        (None, False),
    ],
)
def test_only_a_whole_result_is_finished(tmp_path, content, finished):
    directory = RunDirectory(tmp_path)
    if content is not None:
        directory.result_file.write_text(content, encoding="utf-8")
    assert directory.finished() == finished


def test_a_new_directory_is_named_by_dataset_model_and_time(config, tmp_path):
    config.run.name = "try-1"
    path = unique(config)
    assert path.parent == tmp_path / "runs" / "fashion-mnist" / "softmax"
    assert re.fullmatch(r"\d{4}-\d\d-\d\d_\d\d-\d\d-\d\d_try-1", path.name)


def test_many_in_one_second_get_directories_of_their_own(config):
    paths = [unique(config) for _ in range(20)]
    assert len(set(paths)) == 20
    assert all(path.is_dir() for path in paths)


def test_without_a_directory_a_new_one_is_made(config, tmp_path):
    config.run.dir = None
    with claim(config) as one, claim(config) as other:
        assert one.path != other.path
        assert one.path.is_relative_to(tmp_path / "runs")


def test_a_tilde_is_the_home_folder(config, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    config.run.dir = "~/mine"
    with claim(config) as directory:
        assert directory.path == tmp_path / "mine"


def test_a_directory_in_use_is_refused(config):
    with claim(config):
        refused(config, "in use by process")


def test_the_same_config_comes_back_to_its_directory(config):
    begun(config)
    with claim(config) as directory:
        assert directory.load_config() == config


def test_another_config_is_refused_with_both_values(config):
    begun(config)
    config.optimizer.lr, config.seed = 0.5, 3
    refused(
        config, r"(?s)another configuration.*seed=1 there, seed=3 now.*optimizer\.lr=0\.1 there, optimizer\.lr=0\.5"
    )


def test_other_circumstances_are_the_same_run(config):
    begun(config)
    config.run.name, config.dataset.mirrors, config.train.checkpoint_every = "x", [], 7
    with claim(config):
        pass


def test_a_folder_with_other_files_is_refused_and_untouched(config, tmp_path):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "thesis.tex").write_text("years of work")
    refused(config, "not empty and not a run's directory: it holds thesis.tex")
    assert [path.name for path in (tmp_path / "run").glob("[!.]*")] == ["thesis.tex"]


def test_a_file_in_the_place_of_the_directory_is_refused(config, tmp_path):
    (tmp_path / "run").write_text("x")
    refused(config, "cannot write to")


def test_what_is_no_run_is_named(tmp_path):
    with pytest.raises(Refused, match=r"not a run's directory: it has no config\.yaml"):
        RunDirectory(tmp_path).load_config()


@pytest.mark.parametrize(
    "content",
    [b"a: [", b"", b"3", b"\xff\xfe", b"!!python/object/apply:os.system ['echo']", b"model: {name: mlp}"],
)
def test_a_config_that_is_not_sound_is_refused(config, content):
    directory = begun(config)
    directory.config_file.write_bytes(content)
    with pytest.raises(Refused, match=r"config\.yaml"):
        directory.load_config()


def test_interpolations_in_a_saved_config_stay_text(config, monkeypatch):
    directory = begun(config)
    monkeypatch.setenv("SECRET", "sentinel")
    text = directory.config_file.read_text(encoding="utf-8").replace("root: ", "root: ${oc.env:SECRET} #")
    directory.config_file.write_text(text, encoding="utf-8")
    assert directory.load_config().run.root == "${oc.env:SECRET}"


def test_the_hash_is_that_of_the_experiment(config):
    other = copy.deepcopy(config)
    other.run.dir, other.run.name, other.dataset.dir, other.train.checkpoint_every = "x", "y", "z", 5
    assert config_hash(other) == config_hash(config)
    other.optimizer.lr = 0.2
    assert config_hash(other) != config_hash(config)
    assert re.fullmatch(r"[0-9a-f]{16}", config_hash(config))
