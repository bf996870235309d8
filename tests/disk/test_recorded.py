"""Runs and sweeps as they lie on disk: whole, unfinished, torn, and made by strangers."""

from __future__ import annotations

import json

import pytest
import yaml

from d2lrun.disk.recorded import average, gather, metrics_of, read_config
from d2lrun.disk.rundir import RunDirectory
from d2lrun.errors import Refused

CONFIG = {"seed": 1, "model": {"name": "mlp"}, "optimizer": {"lr": 0.1}, "run": {"dir": None}}
METRICS = {"train_loss": 0.5, "val_loss": 0.6, "val_accuracy": 0.8}


def make_run(path, status="finished", metrics=METRICS, epochs=2, config=CONFIG, **more):
    """A run's directory; without a ``status`` it has no result.json."""
    path.mkdir(parents=True)
    (path / "config.yaml").write_text(yaml.safe_dump(config), encoding="utf-8")
    lines = [
        {"epoch": epoch, "seconds": 1.5, "train_loss": 1 / epoch, "val_loss": 2 / epoch}
        for epoch in range(1, epochs + 1)
    ]
    (path / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    if status:
        result = {"status": status, "metrics": metrics, "epochs": epochs, "seconds": 3.0, **more}
        (path / "result.json").write_text(json.dumps(result), encoding="utf-8")
    return path


def make_sweep(path, jobs):
    path.mkdir(parents=True, exist_ok=True)
    (path / "sweep.json").write_text(json.dumps({"jobs": jobs}), encoding="utf-8")
    return path


def one(path):
    (entry,) = gather([str(path)])
    return entry


def test_a_finished_run(tmp_path):
    entry = one(make_run(tmp_path / "a"))
    assert (entry.status, entry.epochs, entry.seconds, entry.problem) == ("finished", 2, 3.0, "")
    assert entry.metrics["val_loss"] == (0.6, None)
    assert entry.config["optimizer.lr"] == 0.1
    assert [record["epoch"] for record in entry.records] == [1, 2]


@pytest.mark.parametrize("told", [{"floor": {"at_chance": True}}, {"dead": {"epoch": 3, "hint": "another seed"}}])
def test_a_run_at_chance_is_called_so(tmp_path, told):
    assert one(make_run(tmp_path / "a", **told)).standing == "finished, at chance"
    assert one(make_run(tmp_path / "b", status="stopped", **told)).standing == "stopped"


@pytest.mark.parametrize("told", [{}, {"dead": None}, {"floor": None}, {"floor": "?"}, {"floor": {"at_chance": False}}])
def test_a_run_that_says_nothing_of_chance_is_finished(tmp_path, told):
    """Those of earlier versions have no floor."""
    assert one(make_run(tmp_path / "a", **told)).standing == "finished"


def test_an_unfinished_run_stands_as_far_as_it_came(tmp_path):
    entry = one(make_run(tmp_path / "a", status=None))
    assert (entry.status, entry.epochs, entry.seconds) == ("unfinished", 2, 3.0)
    assert entry.metrics == {"train_loss": (0.5, None), "val_loss": (1.0, None)}


def test_a_run_that_has_not_begun(tmp_path):
    entry = one(make_run(tmp_path / "a", status=None, epochs=0))
    assert (entry.status, entry.epochs, entry.metrics) == ("unfinished", 0, {})


@pytest.mark.parametrize("content", ["", "{", "[1]", "null", "[" * 100_000, "\0"])
def test_a_garbage_result_is_a_damaged_run(tmp_path, content):
    run = make_run(tmp_path / "a")
    (run / "result.json").write_text(content, encoding="utf-8")
    entry = one(run)
    assert (entry.status, entry.problem) == ("damaged", "cannot read result.json")
    assert entry.epochs == 2


@pytest.mark.parametrize(
    "content", [b"a: [", b"\xff\xfe\x00", b"- 1", b"", b"a: &x [1]\nb: *x", b"a: !!python/name:os.system"]
)
def test_a_garbage_config_is_a_damaged_run(tmp_path, content):
    run = make_run(tmp_path / "a")
    (run / "config.yaml").write_bytes(content)
    entry = one(run)
    assert (entry.status, entry.config, entry.problem) == ("damaged", None, "cannot read config.yaml")
    assert entry.metrics["val_loss"] == (0.6, None)


def test_both_are_named(tmp_path):
    run = make_run(tmp_path / "a")
    for name in ("config.yaml", "result.json"):
        (run / name).write_text("[", encoding="utf-8")
    assert one(run).problem == "cannot read config.yaml and result.json"


def test_values_of_no_kind_are_left_out_and_null_is_kept():
    strange = {"a": None, "b": "x", "c": True, "d": [1], "e": {"mean": 1.0, "std": None}, "f": {"mean": "x"}}
    assert metrics_of(strange) == {"a": (None, None), "e": (1.0, None)}
    assert metrics_of([1]) == metrics_of(None) == {}
    assert metrics_of(json.loads('{"a": Infinity, "b": NaN}')) == {}


@pytest.mark.parametrize("field", ["metrics", "epochs", "seconds", "status"])
@pytest.mark.parametrize("value", [None, "x", [1], {"a": {}}, True])
def test_a_result_of_the_wrong_types_is_read(tmp_path, field, value):
    run = make_run(tmp_path / "a")
    result = json.loads((run / "result.json").read_text())
    (run / "result.json").write_text(json.dumps({**result, field: value}))
    entry = one(run)
    assert isinstance(entry.status, str) and entry.epochs == 2 and entry.seconds == 3.0


def test_torn_and_strange_lines_are_left_out(tmp_path):
    file = tmp_path / "metrics.jsonl"
    file.write_bytes(
        b'{"epoch": 1, "a": 2}\n[1]\n{"a": 1}\n{"epoch": "x"}\n\xff\n{"epoch": 2, "a": null, "b": "x"}\n{"epo'
    )
    assert RunDirectory(tmp_path).records() == [{"epoch": 1, "a": 2}, {"epoch": 2, "a": None}]
    assert RunDirectory(tmp_path / "none").records() == []


def test_folds_are_averaged_epoch_by_epoch():
    one, two = ([{"epoch": k, "a": k + fold, "b": None} for k in (1, 2, 3)][: 3 - fold] for fold in (0, 1))
    assert average([one, two]) == [{"epoch": 1, "a": 1.5}, {"epoch": 2, "a": 2.5}]
    assert average([]) == []
    assert average([[{"epoch": 1, "a": 1.0, "b": 2.0}], [{"epoch": 1, "a": None}]]) == [{"epoch": 1}]


def test_a_k_fold_run_has_mean_and_std(tmp_path):
    run = make_run(tmp_path / "a", metrics={"val_loss": {"mean": 0.5, "std": 0.1}}, folds=[])
    (run / "metrics.jsonl").unlink()
    for fold in (0, 1):
        make_run(run / f"fold-{fold}")
    entry = one(run)
    assert entry.metrics == {"val_loss": (0.5, 0.1)}
    assert len(entry.records) == 2  # the folds' mean


def test_an_unfinished_k_fold_run_has_the_folds_that_are_finished(tmp_path):
    run = make_run(tmp_path / "a", status=None, epochs=0)
    for fold, (value, status) in enumerate([(0.4, "finished"), (0.6, "finished"), (9.0, None)]):
        make_run(run / f"fold-{fold}", status, {"val_loss": value})
    entry = one(run)
    assert (entry.status, entry.problem) == ("unfinished", "2 folds finished")
    assert entry.metrics["val_loss"] == pytest.approx((0.5, 0.2 / 2**0.5))


def test_an_unfinished_k_fold_run_has_no_mean_of_a_null_metric(tmp_path):
    run = make_run(tmp_path / "a", status=None, epochs=0)
    for fold, loss in enumerate([0.4, None]):
        make_run(run / f"fold-{fold}", metrics={"val_loss": loss, "val_accuracy": 0.5 + fold / 4, "only": 1}, epochs=0)
    make_run(run / "fold-2", metrics={"val_loss": 0.6, "val_accuracy": 1.0}, epochs=0)
    assert one(run).metrics == {"val_accuracy": pytest.approx((0.75, 0.25))}


def test_a_sweep_is_its_jobs_and_what_has_not_begun_is_told_by_the_sweep(tmp_path):
    make_run(tmp_path / "s" / "a")
    make_run(tmp_path / "s" / "stray")
    waiting = {"directory": "b", "status": "pending", "values": {"model": "mlp", "optimizer.lr": 1}, "metrics": {}}
    make_sweep(tmp_path / "s", [{"directory": "a", "status": "finished"}, waiting])
    first, second = gather([str(tmp_path / "s")])
    assert (first.status, second.status) == ("finished", "pending")
    assert second.config == {"model.name": "mlp", "optimizer.lr": 1}


def test_the_sweep_knows_why_a_job_ended(tmp_path):
    make_run(tmp_path / "s" / "a", status=None)
    make_sweep(tmp_path / "s", [{"directory": "a", "status": "pruned", "error": "hope\nless"}])
    entry = one(tmp_path / "s")
    assert (entry.status, entry.problem) == ("pruned", "hope less")


@pytest.mark.parametrize("content", [None, "{", "[]", '{"jobs": 3}'])
def test_without_a_readable_sweep_json_the_subdirectories_count(tmp_path, content):
    for name in ("a", "b"):
        make_run(tmp_path / "s" / name)
    (tmp_path / "s" / "empty").mkdir()
    if content is not None:
        (tmp_path / "s" / "sweep.json").write_text(content)
    assert [entry.directory.name for entry in gather([str(tmp_path / "s")])] == ["a", "b"]


@pytest.mark.parametrize("name", ["../outside", "/etc", "a/../../outside", "", ".", "\0", None, 3, ["a"]])
def test_a_sweep_of_strangers_leads_nowhere_else(tmp_path, name):
    make_run(tmp_path / "outside")
    entry = one(make_sweep(tmp_path / "s", [{"directory": name, "status": "finished", "metrics": {"val_loss": 1}}]))
    assert entry.records == [] and entry.config is None


def refusal(*words):
    with pytest.raises(Refused) as refused:
        gather(list(map(str, words)))
    assert refused.value.hint
    return str(refused.value)


def test_what_is_no_run_is_refused_by_name(tmp_path):
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").touch()
    assert "nothing to compare" in refusal()
    assert refusal(tmp_path / "none") == f"{tmp_path / 'none'}: no such directory"
    assert refusal(tmp_path / "file").startswith(f"{tmp_path / 'file'}: a file; wanted its directory")
    assert refusal(tmp_path / "empty") == f"{tmp_path / 'empty'}: neither a run nor a sweep"


def test_all_complaints_come_together(tmp_path):
    text = refusal(tmp_path / "x", make_run(tmp_path / "a"), tmp_path / "y")
    assert text.startswith("2 of these cannot be compared") and "x: no such" in text and "y: no such" in text


def test_a_folder_that_holds_runs_deeper_is_refused_with_what_to_write(tmp_path):
    make_run(tmp_path / "runs" / "fashion-mnist" / "mlp" / "a")
    assert refusal(tmp_path / "runs").endswith(f"it holds some, try {tmp_path / 'runs'}/*/*/*")
    assert refusal(tmp_path / "runs" / "fashion-mnist").endswith(f"try {tmp_path / 'runs' / 'fashion-mnist'}/*/*")


def test_the_same_directory_twice_is_refused(tmp_path):
    run = make_run(tmp_path / "s" / "a")
    word = str(run)
    with pytest.raises(Refused, match=r"named twice$"):
        gather([word, word])
    assert "named twice" in refusal(run, tmp_path / "s" / ".." / "s" / "a")
    assert f"named twice, it is in {tmp_path / 's'}" in refusal(tmp_path / "s", run)


def test_a_config_is_flat_data(tmp_path):
    path = tmp_path / "config.yaml"
    path.write_text("model:\n  name: 汉服\n  hidden: [1, 2]\n", encoding="utf-8")
    assert read_config(RunDirectory(tmp_path)) == {"model.name": "汉服", "model.hidden": [1, 2]}


@pytest.mark.parametrize("text", ["[" * 100_000, '{"a":' * 50_000, "- " * 100_000], ids=["lists", "objects", "dashes"])
def test_a_config_nested_too_deep_is_damaged(tmp_path, text):
    """The parser in C would end the process."""
    (tmp_path / "config.yaml").write_text(text)
    assert read_config(RunDirectory(tmp_path)) is None
    with pytest.raises(Refused, match="nested deeper than"):
        RunDirectory(tmp_path).load_config()
