from __future__ import annotations

import copy
import json
import os
import re

import pytest
import yaml
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from d2lrun.config import schema
from d2lrun.config.compose import compose
from d2lrun.disk.rundir import RunDirectory, as_text, claim, config_hash, parse_yaml, reason_of, unique
from d2lrun.errors import Refused, Stopped


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


WHOLE = (
    '{"status": "finished", "model": "mlp", "dataset": "linear", "seed": 1, "epochs": 1, "steps": 2, "seconds": 0.1, '
    '"metrics": {"val_loss": 0.5}, "dead": null}'
)


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


def test_a_run_on_files_of_ones_own_is_named_by_their_folder(config, tmp_path):
    config.dataset.verify, config.dataset.dir = False, str(tmp_path / "kmnist")
    assert unique(config).parent == tmp_path / "runs" / "kmnist" / "softmax"


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
    assert [path.name for path in (tmp_path / "run").iterdir()] == ["thesis.tex"]


def snapshot(folder):
    """Every name below the folder; of files the content and the time, of folders the time."""
    found = {"": folder.stat().st_mtime_ns}
    for path in folder.rglob("*"):
        found[str(path.relative_to(folder))] = path.stat().st_mtime_ns, path.is_file() and path.read_bytes()
    return found


NAMES = [
    *("config.yaml", "result.json", "metrics.jsonl", "run.log", "vocabulary.json", "samples.txt", "report.html"),
    *("curves.png", "model.safetensors", "checkpoints/step-00000005.pt", "checkpoints/step-00000005.json"),
    *(".lock", ".lock.holder", ".trial.json", "fold-0/config.yaml", "fold-0/metrics.jsonl", "refit/result.json"),
    *(".config.yaml.0123abcd.tmp", ".lock.holder.0123abcd.tmp", ".metrics.jsonl.0123abcd.tmp", ".notes.0123abcd.tmp"),
]
CONTENTS = st.one_of(
    st.binary(min_size=1, max_size=80),
    st.text(min_size=1, max_size=40).map(str.encode),
    st.sampled_from([b"seed: 3\nname: mine\n", b'{"status": "finished"}', b'{"epoch": 1}\n', b"a: [", b"[]", b"null"]),
)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(files=st.dictionaries(st.sampled_from(NAMES), CONTENTS, min_size=1, max_size=6), told=st.booleans())
def test_files_of_the_user_are_never_changed(composed, tmp_path_factory, files, told):
    """Whatever their names; with ``told`` a config.yaml that d2lrun can read but did not write lies there too."""
    config, folder = copy.deepcopy(composed), tmp_path_factory.mktemp("user")
    config.run.dir = str(folder)
    ours = as_text(config).encode()
    assume(not any(ours.startswith(content) for content in files.values()))  # as a killed write leaves it
    halves = [content for name, content in files.items() if name.endswith(".tmp")]
    assume(not any(content.startswith(b"seed: ") for content in halves))  # as a killed write of another config
    if told:
        other = schema.to_dict(config) | {"seed": 77}
        files = files | {"config.yaml": json.dumps(other, indent=1).encode()}
    for name, content in files.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_bytes(content)
    before = snapshot(folder)
    try:
        with claim(config):
            pass
    except Refused as refusal:
        assert refusal.hint
        assert snapshot(folder) == before
    assert {name: (folder / name).read_bytes() for name in files} == files


USERS = {
    "a config": {"config.yaml": b"learning_rate: 0.1\n"},
    "a result": {"result.json": b'{"accuracy": 0.9}'},
    "a log": {"run.log": b"my own\n"},
    "epochs": {"metrics.jsonl": b'{"epoch": 1}\n'},
    "checkpoints": {"checkpoints/step-00000001.pt": b"mine", "config.yaml": b"model: {name: mlp}"},
    "a lock": {".lock": b"mine"},
    "a fold": {"fold-0/result.json": b"{}"},
}


@pytest.mark.parametrize("files", USERS.values(), ids=USERS)
def test_a_folder_of_the_users_is_refused_and_untouched(config, tmp_path, files):
    for name, content in files.items():
        (tmp_path / "run" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "run" / name).write_bytes(content)
    before = snapshot(tmp_path / "run")
    refused(config, "not empty and not a run's directory: it holds ")
    assert snapshot(tmp_path / "run") == before


def test_a_users_file_beside_a_config_of_a_run_is_not_overwritten(config):
    with claim(config) as directory:
        directory.result_file.write_text('{"accuracy": 0.9}')
    refused(config, r"it holds result\.json")
    assert directory.result_file.read_text() == '{"accuracy": 0.9}'


def test_a_config_that_the_user_wrote_is_not_overwritten_before_a_run_began(config):
    with claim(config) as directory:
        pass
    text = "# my settings\n" + directory.config_file.read_text(encoding="utf-8")
    directory.config_file.write_text(text, encoding="utf-8")
    config.optimizer.lr = 0.5
    refused(config, r"it holds config\.yaml")
    assert directory.config_file.read_text(encoding="utf-8") == text


def test_a_run_of_another_config_keeps_no_new_lock(config):
    directory = begun(config)
    directory.lock_file.unlink()
    before = snapshot(directory.path)
    config.seed = 3
    refused(config, "another configuration")
    assert snapshot(directory.path) == before


LEFT = {  # by a first start that was killed
    "nothing": {},
    "the lock": {".lock": b""},
    "the holder": {".lock": b"", ".lock.holder": b"process 12 on here"},
    "half a holder": {".lock": b"", "..lock.holder.0123abcd.tmp": b"process 1"},
    "half a config": {".lock": b"", ".config.yaml.0123abcd.tmp": b"seed: 1\nmod"},
    "an empty file": {".lock": b"", ".config.yaml.0123abcd.tmp": b""},
}


@pytest.mark.parametrize("files", LEFT.values(), ids=LEFT)
def test_what_a_killed_first_start_left_is_taken_over(config, tmp_path, files):
    (tmp_path / "run").mkdir()
    for name, content in files.items():
        (tmp_path / "run" / name).write_bytes(content)
    with claim(config) as directory:
        assert directory.load_config() == config
        assert not list(directory.path.glob(".*.tmp"))


def test_the_reason_of_a_read_error_is_one_line_with_the_place_in_yaml():
    with pytest.raises(yaml.YAMLError) as error:
        parse_yaml("a: 1\nb: [")
    assert re.fullmatch(r"[^\n]+ in line [23]", reason_of(error.value))
    assert reason_of(yaml.MarkedYAMLError(problem="no place")) == "no place"
    assert reason_of(OSError("two\nlines")) == "two lines"


@pytest.mark.parametrize(("named", "started"), [(True, False), (True, True), (False, True), (False, False)])
def test_a_refusal_removes_only_a_new_directory_in_which_nothing_began(config, named, started):
    """A directory that the user names stays, and so does what was trained."""
    config.run.dir = config.run.dir if named else None
    with pytest.raises(Refused, match="data"), claim(config) as directory:
        if started:
            directory.write_metrics([])
        raise Refused("no data")
    assert directory.path.exists() == (named or started)


def test_hidden_files_that_no_run_writes_do_not_matter(config, tmp_path):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / ".DS_Store").write_bytes(b"\0")
    with claim(config):
        pass
    assert (tmp_path / "run" / ".DS_Store").read_bytes() == b"\0"


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


@pytest.mark.parametrize("place", ["files.lock", "enter"])
def test_a_signal_before_the_config_is_written_leaves_no_new_directory(config, tmp_path, monkeypatch, place):
    def stop(*arguments):
        raise Stopped(2, "stopped")

    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine").write_text("x")
    monkeypatch.setattr(f"d2lrun.disk.rundir.{place}", stop)
    config.run.dir = None
    with pytest.raises(Stopped), claim(config):
        pass
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == [tmp_path / "mine"]
    assert not list(tmp_path.glob("runs/*/*/*"))
    config.run.dir = "run"  # which the same command goes on with
    with pytest.raises(Stopped), claim(config):
        pass
    monkeypatch.undo()
    config.run.dir = str(tmp_path / "run")
    with claim(config) as directory:
        assert directory.config_file.exists()


@pytest.mark.parametrize("name", ["metrics.jsonl", "result.json", "run.log", ".lock", "config.yaml"])
def test_a_pipe_or_a_folder_in_the_place_of_a_file_is_refused(config, tmp_path, name):
    config.run.dir = str(tmp_path)
    for make in (os.mkdir, os.mkfifo):
        make(tmp_path / name)
        refused(config, f"{name} is not what a run writes there")
        os.rmdir(tmp_path / name) if make is os.mkdir else os.unlink(tmp_path / name)
