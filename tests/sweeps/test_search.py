"""A search, from the command line to the study: mostly with a run that computes its curve in no time."""

from __future__ import annotations

import contextlib
import importlib
import json
import math
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from functools import cache
from pathlib import Path

import pytest

from d2lrun.disk import files
from d2lrun.errors import Diverged, Failed, Pruned, Refused, Stopped, facts_of
from d2lrun.sweeps import grid, job, launch, refit, request, search, trial
from tests.commands import in_this_process

draw = search.draw
EPOCHS = 3
WORDS = ["model=softmax", f"train.epochs={EPOCHS}", "validation=holdout", "sweep=optuna", "device=cpu"]
LR = "optimizer.lr=interval(1e-3,1)"


def height(lr: float) -> float:
    """What a learning rate comes to: the best is 0.1, on a log scale."""
    return 1 / (1 + math.log10(lr / 0.1) ** 2)


class Rehearsal:
    """Stands in for training: reports a curve that climbs to ``height(lr)``, and writes result.json as a run does."""

    def __init__(self):
        self.trained: list[str] = []  # folders, in their order
        self.before = lambda config: None  # may raise what a run may raise
        self.fails_at: dict[int, BaseException] = {}  # the same, by the number of the run

    def __call__(self, config, directory):
        self.trained.append(directory.path.name)
        result = {
            "status": "finished",
            **{"model": "mlp", "dataset": "fashion-mnist", "seed": 1},
            "metrics": {},
            "epochs": 0,
            "steps": 0,
            "seconds": 0.1,
            "dead": None,
            "error": None,
        }
        curve = trial.curve_of(config, directory)
        try:
            self.before(config)
            if error := self.fails_at.get(len(self.trained)):
                raise error
            for epoch in range(1, EPOCHS + 1):
                accuracy = height(config.optimizer.lr) * epoch / EPOCHS
                result |= {"epochs": epoch, "metrics": {"val_accuracy": accuracy, "val_loss": -math.log(accuracy)}}
                directory.append_metrics({"epoch": epoch, **result["metrics"]})
                if curve:
                    curve.report("", {"epoch": epoch, **result["metrics"]})
        except BaseException as error:
            status = {Diverged: "diverged", Pruned: "pruned", Stopped: "stopped"}.get(type(error), "failed")
            files.write_json(directory.result_file, result | {"status": status, **facts_of(error)})
            raise
        files.write_json(directory.result_file, result)


@pytest.fixture
def rehearsal(monkeypatch):
    stand_in = Rehearsal()
    monkeypatch.setattr(job, "train_quietly", stand_in)
    monkeypatch.setattr(search, "PATIENCE", 0.01)
    monkeypatch.setattr(search, "draw", lambda study: None)
    return stand_in


@pytest.fixture
def in_memory(monkeypatch):
    """Keep studies in memory, if it is the sampler that is tested: the same trials in a tenth of the time."""
    studies = cache(lambda url, folder: trial.engine().storages.InMemoryStorage())
    monkeypatch.setattr(trial, "storage", studies)
    monkeypatch.setattr(search, "storage", studies, raising=False)


@pytest.fixture
def planned(tmp_path, own_images):
    """``planned(WORD…)``: the search that the words describe, open."""

    def planned(*words, root=tmp_path):
        place = [] if any(word.startswith("dataset=") for word in words) else own_images
        study = search.plan(request.read([*WORDS, f"run.root={root}", *place, *words], None, "d2lrun -m …"))
        search.prepare(study)
        return study

    return planned


@pytest.fixture
def searched(planned):
    """``searched(WORD…)``: the same, carried out."""

    def searched(*words, **options):
        study = planned(*words, **options)
        search.carry_out(study, None)
        return study

    return searched


def states(study):
    return [one.state.name for one in study.study.trials]


def drawn(study):
    return [one.params for one in study.study.trials]


def summary(study):
    rows = [job.row_of(each.directory, each.overrides, each.values, study.directory) for each in study.jobs]
    return study.summary(rows)


# --- at the door -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "words, complaint",
    [
        (["validation=none", LR], "validation=none: a search needs something to choose by"),
        (["validation=once", LR], "validation=once: a search needs something to choose by"),
        (["validation=holdout,none", LR], "validation=none: a search needs something to choose by"),
        ([], "nothing to search"),
        ([LR, "seed=1,2"], "seed: not to be searched"),
        (["validation=kfold", LR, "validation.fold=0,1"], "validation.fold: not to be searched"),
        ([LR, "sweep.zip=[optimizer.lr]"], "sweep.zip: a search combines the values itself"),
        ([LR, "sweep.combinations=['seed=1']"], "sweep.combinations: a search combines"),
        (["sweep.grid={optimizer.lr: 0.1}"], "optimizer.lr=0.1: not several values"),
        (["optimizer.lr=interval(-1,1)"], "optimizer.lr=-1.0"),
        (["train.batch_size=interval(1,8)"], "train.batch_size=1.0"),
        (["model=mlp", "model.hidden=choice([8],[0])"], "model.hidden"),
        ([LR, "run.dir=here"], "run.dir: the folder of one run"),
        ([LR, "sweep.metric=test_loss"], "sweep.metric=test_loss"),
        ([LR, "sweep.metric=val_acuracy"], "sweep.metric=val_acuracy: not measured here; did you mean val_accuracy?"),
        ([LR, "sweep.storage=nowhere"], "the search's study cannot be used"),
    ],
)
def test_what_cannot_be_searched_is_refused(planned, words, complaint):
    with pytest.raises(Refused) as refusal:
        planned(*words)
    assert complaint in str(refusal.value)
    assert refusal.value.hint


def test_all_complaints_come_at_once(planned):
    with pytest.raises(Refused) as refusal:
        planned("optimizer.lr=interval(-1,1)", "optimizer.momentum=0.5,2", "train.clip=-1")
    assert [key in str(refusal.value) for key in ("optimizer.lr=-1", "optimizer.momentum=2", "train.clip=-1")] == [
        True
    ] * 3


FAULTS = {
    "Optuna": lambda: trial.engine().exceptions.DuplicatedStudyError("it is there\nand more"),
    "the database": lambda: importlib.import_module("sqlalchemy.exc").SQLAlchemyError("it is there"),
    "an import": lambda: ImportError("it is there"),
    "values": lambda: ValueError("it is there"),
    "anything": lambda: RuntimeError("it is there"),
}


@pytest.mark.parametrize("kind", [Refused, Failed])
@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS)
def test_a_fault_of_the_study_is_told_as_ours(kind, fault):
    with (
        pytest.raises(kind, match=r"^the search's study cannot be used: it is there$") as told,
        search.optuna_errors_as(kind),
    ):
        raise fault()
    assert "look at sweep.storage" in told.value.hint


def test_a_fault_without_a_text_is_told_by_its_type():
    with pytest.raises(Refused, match=r"cannot be used: KeyError$"), search.optuna_errors_as(Refused):
        raise KeyError


@pytest.mark.parametrize("fault", [KeyboardInterrupt(), Stopped(signal.SIGINT), Refused("no", "hint"), OSError("full")])
def test_other_faults_stay_as_they_are(fault):
    with pytest.raises(type(fault)) as told, search.optuna_errors_as(Failed):
        raise fault
    assert told.value is fault


def test_without_optuna_the_extra_is_named(monkeypatch, planned):
    trial.engine.cache_clear()
    monkeypatch.setitem(sys.modules, "optuna", None)
    with pytest.raises(Refused, match="not installed") as refusal:
        planned(LR)
    assert refusal.value.hint == "pip install 'd2lrun[optuna]'"


@pytest.mark.parametrize(
    "words, direction",
    [
        ([], "max"),
        (["sweep.metric=val_loss"], "min"),
        (["model=ngram", "dataset=pydoc", "model.order=2,3"], "min"),
    ],
)
def test_the_direction_is_known_before_anything_is_measured(planned, words, direction):
    study = planned(LR, *words)
    assert study.direction == direction
    assert study.study.direction.name == {"max": "MAXIMIZE", "min": "MINIMIZE"}[direction]


def test_what_is_measured_decides_the_direction(planned, tmp_path):
    """A table has an accuracy or an error, by what its target is."""
    Path(tmp_path, "a.csv").write_text("".join(["x,y\n", *(f"{n},{n * n}\n" for n in range(40))]))
    words = ["model=linear", "dataset=csv", f"dataset.path={tmp_path}/a.csv", "dataset.target=y"]
    assert planned(LR, *words).study.direction.name == "MINIMIZE"


def test_accuracy_and_perplexity_are_not_compared(planned):
    with pytest.raises(Refused, match="val_accuracy and val_perplexity cannot be compared"):
        planned("model=rnn", "dataset=fashion-mnist,pydoc", LR)


def test_named_values_are_searched_and_the_command_line_wins(planned):
    grid = (
        "sweep.grid={optimizer.lr: 'interval(1e-4,1e-2)', optimizer.momentum: [0, 0.9], train.batch_size: 'range(1,5)'}"
    )
    study = planned(grid, "optimizer.momentum=0.1,0.2")
    assert {key: each.ends() for key, each in study.space.items()} == {
        "optimizer.momentum": ["0.1", "0.2"],
        "optimizer.lr": ["0.0001", "0.01"],
        "train.batch_size": ["1", "4"],
    }


# --- trials ------------------------------------------------------------------------------------------------------


def test_a_search_ends_at_the_number_of_trials_and_knows_the_best(rehearsal, searched):
    study = searched(LR, "sweep.trials=12")
    told = summary(study)
    values = [height(job["values"]["optimizer.lr"]) for job in told["jobs"] if job["status"] == "finished"]
    assert len(rehearsal.trained) == len(told["jobs"]) == study.ended == 12
    assert (told["engine"], told["metric"], told["direction"]) == ("optuna", "val_accuracy", "max")
    assert told["best"]["metrics"]["val_accuracy"]["mean"] == pytest.approx(max(values))
    assert study.study.best_value == pytest.approx(max(values))
    assert told["rerun"] is None


def test_the_same_command_goes_on_to_the_given_total(rehearsal, searched):
    searched(LR, "sweep.trials=4")
    study = searched(LR, "sweep.trials=4")
    assert len(rehearsal.trained) == 4
    assert study.opening().startswith("4 trials: 4 ended, 0 to continue, 0 to come")
    study = searched(LR, "sweep.trials=7")
    assert len(rehearsal.trained) == len(set(rehearsal.trained)) == len(study.jobs) == 7


@pytest.mark.parametrize("sampler", ["tpe", "random"])
def test_the_seed_decides_what_is_drawn_however_often_it_is_interrupted(rehearsal, searched, tmp_path, sampler):
    words = [LR, "optimizer.momentum=0,0.5,0.9", f"sweep.sampler={sampler}", "sweep.startup=2"]
    at_once = searched(*words, "sweep.trials=4", root=tmp_path / "at-once")
    for total in (1, 4):
        in_parts = searched(*words, f"sweep.trials={total}", root=tmp_path / "in-parts")
    other = searched(*words, "sweep.trials=1", "seed=2", root=tmp_path / "other")
    assert drawn(at_once) == drawn(in_parts)
    assert drawn(at_once)[0] != drawn(other)[0]
    assert len({values["optimizer.lr"] for values in drawn(at_once)}) == 4


def test_the_sampler_learns(in_memory, rehearsal, searched):
    study = searched("optimizer.lr=interval(1e-6,1)", "sweep.trials=30", "sweep.pruner=none")
    distances = [abs(math.log10(values["optimizer.lr"] / 0.1)) for values in drawn(study)]
    assert sum(distances[20:]) / 10 < 0.5 * sum(distances[:5]) / 5


def test_the_same_values_are_trained_once(rehearsal, searched):
    study = searched("optimizer.lr=0.1,0.2", "sweep.trials=6")
    assert len(rehearsal.trained) == len(study.jobs) == 2
    assert states(study) == ["COMPLETE"] * 6
    assert {one.value for one in study.study.trials} == {height(0.1), height(0.2)}


@pytest.mark.parametrize(
    "broken", [Diverged("diverged: loss nan at step 3"), Failed("no room left"), ValueError("odd")]
)
def test_a_failed_trial_is_told_and_the_search_goes_on(rehearsal, searched, broken):
    def fail_when_large(config):
        if config.optimizer.lr > 0.05:
            raise broken

    rehearsal.before = fail_when_large
    study = searched(LR, "sweep.trials=8", "sweep.sampler=random")
    large = [values["optimizer.lr"] > 0.05 for values in drawn(study)]
    assert True in large and False in large
    assert [state == "FAIL" for state in states(study)] == large
    assert sum(each.spoiled for each in study.jobs) == sum(large)
    assert summary(study)["best"]["metrics"]["val_accuracy"]["mean"] < height(0.05)
    searched(LR, "sweep.trials=8", "sweep.sampler=random")
    assert len(rehearsal.trained) == 8


def test_a_failed_trial_can_stop_the_search_which_then_goes_on(rehearsal, searched):
    words = [LR, "sweep.trials=5", "sweep.on_error=stop"]
    rehearsal.before = lambda config: (
        (_ for _ in ()).throw(Failed("no room left")) if len(rehearsal.trained) == 2 else 0
    )
    study = searched(*words)
    assert states(study) == ["COMPLETE", "FAIL"]
    assert summary(study)["rerun"]
    assert Counter(states(searched(*words))) == {"COMPLETE": 4, "FAIL": 1}


def test_a_run_that_leaves_nothing_behind_is_not_tried_for_ever(monkeypatch, rehearsal, planned):
    monkeypatch.setattr(launch, "note_failure", lambda *arguments: None)
    for trials in (1, 2, 2):  # a command tries the earlier ones, and one more
        study = planned(LR, "sweep.trials=2")
        search.carry_out(study, lambda folders: [OSError("no space left on device")] * len(folders), 1)
        assert states(study) == ["RUNNING"] * trials


def full_disk() -> Failed:
    """As a checkpoint raises it."""
    error = Failed("disk full while saving step 5")
    error.__cause__ = OSError(28, "No space left on device")
    return error


@pytest.mark.parametrize("call", [1, 2, 4])
def test_after_a_full_disk_the_search_is_that_of_an_empty_one(rehearsal, searched, call):
    undisturbed = searched(LR, "sweep.trials=4", "sweep.startup=2", "sweep.name=undisturbed")
    begun = len(rehearsal.trained)
    rehearsal.fails_at = {begun + call: full_disk()}
    words = [LR, "sweep.trials=4", "sweep.startup=2", "sweep.name=disturbed"]
    study = searched(*words)
    assert states(study) == ["COMPLETE"] * (call - 1) + ["RUNNING"]
    told = summary(study)
    assert (told["trials"]["failed"], told["trials"]["running"]) == (1, 0)
    assert told["rerun"] and "the same command tries again" in told["note"]
    study = searched(*words)
    assert states(study) == ["COMPLETE"] * 4
    assert drawn(study) == drawn(undisturbed)
    trained = rehearsal.trained[begun:]
    assert len(trained) == 5 and trained[call] == trained[call - 1]


def test_a_disk_that_stays_full_ends_every_command(rehearsal, searched):
    rehearsal.before = lambda config: (_ for _ in ()).throw(full_disk())
    for command in (1, 2, 3, 3):
        rehearsal.trained.clear()
        study = searched(LR, "sweep.trials=3")
        assert states(study) == ["RUNNING"] * command
        assert sorted(rehearsal.trained) == sorted(each.directory.path.name for each in study.jobs)


def test_a_lost_process_stops_no_other_trial_and_uses_up_none(rehearsal, planned):
    lost = []

    def launch(folders):
        if not lost:
            lost.append(folders[0])
            return [RuntimeError("a node was lost"), *map(job.train_in, folders[1:])]
        return [*map(job.train_in, folders)]

    study = planned(LR, "sweep.trials=4", "sweep.pruner=none")
    search.carry_out(study, launch, 2)
    assert Counter(states(study)) == {"RUNNING": 1, "COMPLETE": 3}
    study = planned(LR, "sweep.trials=4", "sweep.pruner=none")
    search.carry_out(study, launch, 2)
    assert states(study) == ["COMPLETE"] * 4
    assert len(rehearsal.trained) == len(set(rehearsal.trained)) == 4


def test_a_lost_trial_that_is_drawn_again_is_not_tried_again_by_this_command(rehearsal, planned):
    study = planned("optimizer.lr=choice(0.1,0.2)", "sweep.trials=6", "sweep.sampler=random")
    calls = []

    def launch(folders):
        calls.extend(folders)
        return [RuntimeError("lost") if path == calls[0] else job.train_in(path) for path in folders]

    search.carry_out(study, launch, 2)
    assert len(study.study.trials) <= 6
    assert len(calls) == len(set(calls))


def test_a_metric_that_is_not_measured_is_refused(rehearsal, searched):
    with pytest.raises(Refused, match=r"sweep\.metric=val_perplexity: not measured"):
        searched(LR, "sweep.metric=val_perplexity")


def test_the_loss_can_be_what_is_searched_by(rehearsal, searched):
    study = searched(LR, "sweep.metric=val_loss", "sweep.trials=5", "sweep.pruner=none")
    assert study.study.best_value == pytest.approx(
        min(-math.log(height(each["optimizer.lr"])) for each in drawn(study))
    )
    assert summary(study)["best"]["metrics"]["val_loss"]["mean"] == pytest.approx(study.study.best_value)


# --- pruning -----------------------------------------------------------------------------------------------------


def test_a_hopeless_run_is_pruned_and_never_trained_again(in_memory, rehearsal, searched):
    words = ["optimizer.lr=interval(1e-6,1)", "sweep.trials=15", "sweep.sampler=random", "sweep.startup=3"]
    study = searched(*words)
    pruned = [each for each, state in zip(study.jobs, states(study), strict=True) if state == "PRUNED"]
    assert pruned and "PRUNED" not in states(study)[:3]
    for each in pruned:
        result = each.directory.result()
        assert (result["status"], result["epochs"] < EPOCHS) == ("pruned", True)
        assert "most trials had a better val_accuracy" in result["error"]
    told = summary(study)
    assert sum(each.spoiled for each in study.jobs) == 0
    assert told["trials"] == {"wanted": 15, "finished": 15 - len(pruned), "pruned": len(pruned)} | dict.fromkeys(
        ("failed", "running", "pending"), 0
    )
    assert told["best"]["metrics"]["val_accuracy"]["mean"] == pytest.approx(study.study.best_value)
    assert searched(*words) and len(rehearsal.trained) == 15


def test_nothing_is_pruned_that_nobody_wants_pruned(in_memory, rehearsal, searched):
    words = ["optimizer.lr=interval(1e-6,1)", "sweep.trials=15", "sweep.sampler=random", "sweep.startup=3"]
    assert states(searched(*words, "sweep.pruner=none")) == ["COMPLETE"] * 15


def test_what_was_pruned_is_trained_to_its_end_in_a_grid(rehearsal, searched, tmp_path, own_images):
    study = searched("optimizer.lr=1e-6,0.1", "sweep.trials=9", "sweep.startup=1", "sweep.name=one")
    assert "PRUNED" in states(study)
    words = [*WORDS, *own_images, f"run.root={tmp_path}", "sweep=grid", "sweep.name=one", "optimizer.lr=1e-6,0.1"]
    plan = grid.plan(request.read(words, None, ""))
    grid.prepare(plan)
    grid.carry_out(plan, None)
    assert {each.directory.path.name for each in plan.jobs} == {each.directory.path.name for each in study.jobs}
    assert [each.directory.result()["status"] for each in plan.jobs] == ["finished"] * 2


class Told:
    """In the place of Optuna's trial: keeps what it is told."""

    def __init__(self, hopeless):
        self.values: dict[int, float] = {}
        self.hopeless = hopeless

    def report(self, value, step):
        assert step not in self.values
        self.values[step] = value

    def should_prune(self):
        return self.hopeless


def test_the_steps_of_a_curve_count_on_over_the_folds():
    told = Told(hopeless=False)
    curve = trial.Curve(told, None, ["fold-0", "fold-1"], 3, reported={1})
    for part in ("fold-0", "fold-1", "refit"):
        for epoch in (1, 2, 3):
            curve.report(part, {"epoch": epoch, "val_accuracy": epoch / 10, "val_loss": 1.0})
    assert told.values == {2: 0.2, 3: 0.3, 4: 0.1, 5: 0.2, 6: 0.3}


def test_the_last_epoch_of_all_is_never_pruned():
    curve = trial.Curve(Told(hopeless=True), "val_loss", ["fold-0", "fold-1"], 1, set())
    with pytest.raises(Pruned, match=r"after epoch 1.* val_loss"):
        curve.report("fold-0", {"epoch": 1, "val_accuracy": 0.5, "val_loss": 1.0})
    curve.report("fold-1", {"epoch": 1, "val_accuracy": 0.5, "val_loss": 1.0})


def test_an_epoch_without_a_finite_metric_is_not_reported():
    told = Told(hopeless=True)
    trial.Curve(told, None, [""], 3, set()).report("", {"epoch": 1, "val_accuracy": math.nan, "val_loss": 1.0})
    trial.Curve(told, None, [""], 3, set()).report("", {"epoch": 1, "train_loss": 1.0})
    assert told.values == {}


# --- the study ---------------------------------------------------------------------------------------------------


def test_a_stopped_trial_is_the_next_one_with_the_same_values(rehearsal, planned, searched):
    rehearsal.fails_at = {3: Stopped(2)}
    study = planned(LR, "sweep.trials=5")
    with pytest.raises(Stopped):
        search.carry_out(study, None)
    assert states(study) == ["COMPLETE", "COMPLETE", "RUNNING"]
    stopped = drawn(study)[2]
    study = planned(LR, "sweep.trials=5")
    assert study.opening().startswith("5 trials: 2 ended, 1 to continue, 2 to come")
    search.carry_out(study, None)
    assert states(study) == ["COMPLETE"] * 5
    assert drawn(study)[2] == stopped
    assert rehearsal.trained[3] == rehearsal.trained[2]


def test_a_process_that_dies_while_it_asks_leaves_nothing_that_is_waited_for(rehearsal, planned):
    study = planned(LR, "sweep.trials=3")
    study.study.ask({"optimizer.lr": study.space["optimizer.lr"].distribution()})
    study.study.ask()
    search.carry_out(study, None)
    assert Counter(states(study)) == {"RUNNING": 2, "COMPLETE": 3}
    whole = planned(LR, "sweep.trials=3", "sweep.name=whole")
    search.carry_out(whole, None)
    drawn = [[one.params for one in each.study.get_trials() if one.params and one.state.is_finished()]
             for each in (study, whole)]  # fmt: skip
    assert drawn[0] == drawn[1]


@pytest.mark.parametrize("content", ["", "{", '{"status": "finished", "metrics": {"val_accuracy": "x"}}'])
def test_a_trial_whose_result_was_damaged_is_completed_again_and_the_study_is_the_same(rehearsal, searched, content):
    words = (LR, "sweep.trials=3")
    study = searched(*words)
    before, jobs = summary(study), list(study.jobs)
    jobs[1].directory.result_file.write_text(content, encoding="utf-8")
    again = searched(*words)
    assert rehearsal.trained[3:] == [jobs[1].directory.path.name]
    # runs that a rehearsal finished have no record of their data, and the second command makes one
    rows = [[{**job, "measured": {}} for job in each["jobs"]] for each in (summary(again), before)]
    assert (states(again), summary(again)["best"], rows[0]) == (states(study), before["best"], rows[1])


def test_what_another_process_trains_is_waited_for_and_not_asked_beyond(monkeypatch, rehearsal, planned):
    """The other one holds its run's folder, then ends it."""
    study = planned(LR, "sweep.trials=3")
    with study.alone():
        number, theirs = search.ask(study)
    lock = contextlib.ExitStack()
    lock.enter_context(files.lock(theirs.directory.path / ".lock"))

    def end_theirs(seconds):
        assert Counter(states(study)) == {"COMPLETE": 2, "RUNNING": 1}
        told = {"model": "mlp", "dataset": "fashion-mnist", "seed": 1}
        told |= {"epochs": EPOCHS, "steps": 0, "seconds": 0.1, "dead": None}
        result = {"status": "finished", "metrics": {"val_accuracy": 0.25}, **told}
        files.write_json(theirs.directory.result_file, result)
        lock.close()

    monkeypatch.setattr(search.time, "sleep", end_theirs)
    search.carry_out(study, None)
    assert states(study) == ["COMPLETE"] * 3
    assert study.study.trials[number].value == 0.25
    assert theirs.directory.path.name not in rehearsal.trained


@pytest.mark.parametrize("workers, sizes", [(3, [3, 3, 1]), (None, [5, 2])])
def test_a_launcher_gets_as_many_trials_as_it_has_workers(rehearsal, planned, workers, sizes):
    batches = []

    def launch(folders):
        batches.append(len(folders))
        return [job.train_in(folder) for folder in folders]

    study = planned(LR, "sweep.trials=7", "sweep.startup=5")
    search.carry_out(study, launch, workers)
    assert batches == sizes
    assert len({values["optimizer.lr"] for values in drawn(study)}) == 7


@pytest.mark.parametrize(
    "words, complaint",
    [
        ([LR, "train.batch_size=128"], "fixed"),
        ([LR, "sweep.metric=val_loss"], "metric"),
        ([LR, "optimizer.momentum=0,0.5"], "keys"),
        (["optimizer.lr=0.1,0.2"], "optimizer.lr: other choices"),
        (["optimizer.lr=interval(0.1,0.2)"], "optimizer.lr: other choices, or another kind of number"),
    ],
)
def test_another_search_does_not_go_on_in_this_study(rehearsal, searched, words, complaint):
    searched(LR, "sweep.name=one", "sweep.trials=1")
    with pytest.raises(Refused, match="is another search") as refusal:
        searched(*words, "sweep.name=one")
    assert complaint in str(refusal.value)
    assert "sweep.name" in refusal.value.hint


def test_the_ends_of_an_interval_may_move(rehearsal, searched):
    searched(LR, "sweep.trials=2", "sweep.name=one")
    study = searched("optimizer.lr=interval(1e-6,1e-4)", "sweep.trials=8", "sweep.name=one")
    assert [values["optimizer.lr"] <= 1e-4 for values in drawn(study)] == [False] * 2 + [True] * 6
    assert len(study.jobs) == 8


def test_a_study_can_be_kept_elsewhere(rehearsal, searched, tmp_path):
    study = searched(LR, f"sweep.storage=sqlite:///{tmp_path}/mine.db", "sweep.trials=2", "sweep.name=one")
    assert (tmp_path / "mine.db").exists() and not (study.directory / trial.STUDY).exists()
    assert trial.engine().load_study(study_name="one", storage=f"sqlite:///{tmp_path}/mine.db").best_trial


def test_a_damaged_study_is_named(rehearsal, searched):
    study = searched(LR, "sweep.trials=2")
    trial.storage.cache_clear()
    (study.directory / trial.STUDY).write_bytes(b"no database" * 1000)
    with pytest.raises(Refused, match="file is not a database") as refusal:
        searched(LR, "sweep.trials=2")
    assert "study.db" in refusal.value.hint


def test_trials_of_another_machine_are_counted_and_said(rehearsal, searched, tmp_path):
    words = [LR, f"sweep.storage=sqlite:///{tmp_path}/shared.db", "sweep.name=one"]
    searched(*words, "sweep.trials=2", root=tmp_path / "there")
    study = searched(*words, "sweep.trials=5", root=tmp_path / "here")
    assert (len(study.jobs), study.ended) == (3, 5)
    assert summary(study)["note"].startswith("2 trials more, on other machines")
    study.refit = True
    refit.carry_out(study, None)  # the best may be there
    assert study.chosen is None and "nothing is refit without them" in summary(study)["note"]


# --- pictures ----------------------------------------------------------------------------------------------------


def test_history_is_drawn_and_importance_once_there_is_enough_to_say(in_memory, rehearsal, searched):
    words = [LR, "optimizer.momentum=0,0.5", "sweep.pruner=none"]
    study = searched(*words, f"sweep.trials={search.FEW - 1}")
    draw(study)
    assert (study.directory / "history.png").read_bytes().startswith(b"\x89PNG")
    assert not (study.directory / "importance.png").exists()
    assert "there are 9" in summary(study)["note"]
    study = searched(*words, f"sweep.trials={search.FEW}")
    draw(study)
    assert (study.directory / "importance.png").read_bytes().startswith(b"\x89PNG")
    assert summary(study)["note"] is None


def test_the_key_that_matters_is_the_important_one(in_memory, rehearsal, searched):
    study = searched(
        LR, "optimizer.momentum=interval(0,0.9)", "sweep.trials=30", "sweep.sampler=random", "sweep.pruner=none"
    )
    shares = search.importance(study)
    assert sum(shares.values()) == pytest.approx(1)
    assert shares["optimizer.lr"] > 0.7


# --- real runs, real processes -----------------------------------------------------------------------------------


@pytest.fixture
def command(tmp_path, stripes_folder):
    """A search on a small dataset, as words of a command line."""
    data = ["dataset.verify=false", f"dataset.dir={stripes_folder}", f"run.root={tmp_path}", "device=cpu"]
    small = ["model=mlp", "model.hidden=[8]", "train.batch_size=64", "sweep.name=one"]
    return ["-m", "sweep=optuna", LR, *small, *data]


@pytest.fixture
def start(tmp_path):
    """``start(WORDS)``: d2lrun in a process of its own."""
    started = []

    def start(words):
        line = [sys.executable, "-m", "d2lrun", *words]
        kept = os.environ | {"OMP_NUM_THREADS": "1"}
        started.append(subprocess.Popen(line, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=kept))
        return started[-1]

    yield start
    for process in started:
        process.kill()
        process.communicate()


def ended(process) -> str:
    output, _ = process.communicate(timeout=1800)
    assert process.returncode == 0, output
    return output


@pytest.fixture
def here(tmp_path):
    """``here(WORDS)``: what d2lrun says in this process."""

    def here(words) -> str:
        done = in_this_process(tmp_path, *words)
        assert done.code == 0, done.err
        return done.out + done.err

    return here


def trials_of(folder: Path):
    study = trial.engine().load_study(study_name=folder.name, storage=trial.storage(None, folder))
    return study.trials


def test_the_value_of_k_folds_is_their_mean(command, here, tmp_path):
    here([*command, "validation=kfold", "validation.k=2", "train.epochs=2", "sweep.trials=2", "sweep.startup=1"])
    told = json.loads((tmp_path / "sweeps/one/sweep.json").read_text(encoding="utf-8"))
    assert told["engine"] == "optuna" and len(told["jobs"]) == 2
    for one, row in zip(trials_of(tmp_path / "sweeps/one"), told["jobs"], strict=True):
        result = json.loads((tmp_path / "sweeps/one" / row["directory"] / "result.json").read_text(encoding="utf-8"))
        curves = [
            json.loads(line)["val_accuracy"]
            for fold in ("fold-0", "fold-1")[: len(one.intermediate_values) // 2]
            for line in (tmp_path / "sweeps/one" / row["directory"] / fold / "metrics.jsonl").read_text().splitlines()
        ]
        assert list(one.intermediate_values.items()) == list(enumerate(curves, start=1))
        if row["status"] == "finished":
            assert one.value == sum(fold["metrics"]["val_accuracy"] for fold in result["folds"]) / 2


def test_a_killed_trial_goes_on_from_its_checkpoint(command, start, here, tmp_path):
    words = [*command, "validation=holdout", "train.epochs=40", "sweep.trials=2", "sweep.pruner=none"]
    words += ["train.checkpoint_every=3"]
    process = start(words)
    begun = []
    while not begun:
        begun = list(tmp_path.glob("sweeps/one/*/checkpoints/*.json"))
        assert process.poll() is None
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    [killed] = trials_of(tmp_path / "sweeps/one")
    assert killed.state.name == "RUNNING"
    assert "1 to continue, 1 to come" in here(words)
    trials = trials_of(tmp_path / "sweeps/one")
    assert [one.state.name for one in trials] == ["COMPLETE"] * 2
    assert trials[0].params == killed.params
    assert sorted(trials[0].intermediate_values) == list(range(1, 41))
    assert "resuming at epoch" in (begun[0].parents[1] / "run.log").read_text(encoding="utf-8")


SECRET = "hunter2-secret"


@pytest.fixture
def locked(command, tmp_path):
    """Words of a search whose storage has a password: SQLite takes unknown words in the query of a file's address."""
    storage = f"sqlite:///file:{tmp_path}/kept.db?uri=true&password={SECRET}"
    words = ["validation=holdout", "train.epochs=2", f"sweep.storage='{storage}'", "sweep.startup=2"]
    yield storage, [*command, *words]
    trial.storage.cache_clear()
    os.environ.pop(trial.ADDRESS, None)


def assert_unknown(said: list[str], folder: Path) -> None:
    """The password is in nothing that was said and in no file."""
    assert [SECRET in text for text in said] == [False] * len(said)
    files = [path for path in folder.rglob("*") if path.is_file()]
    assert [path for path in files if SECRET.encode() in path.read_bytes()] == []


def test_a_password_is_nowhere_and_the_same_command_goes_on(locked, here, tmp_path):
    storage, words = locked
    said = [here([*words, f"sweep.trials={count}"]) for count in (2, 3)]
    assert "3 trials: 2 ended, 0 to continue, 1 to come" in said[1]
    told = json.loads((tmp_path / "sweeps/one/sweep.json").read_text(encoding="utf-8"))
    said.append(here(["resume", str(tmp_path / "sweeps/one" / told["jobs"][0]["directory"])]))
    said.append(here(["sweep=optuna", f"sweep.storage='{storage}'", "--cfg", "job"]))
    assert_unknown(said, tmp_path)
    assert "password=***" in told["command"]


@pytest.mark.parametrize("launcher, trials", [("joblib", 2), ("submitit_local", 1)])  # one begins a process for each
def test_the_processes_of_a_launcher_are_passed_the_password_and_keep_it(locked, start, tmp_path, launcher, trials):
    storage, words = locked
    words = [*words, f"sweep.trials={trials}", f"hydra/launcher={launcher}"]
    words += ["hydra.launcher.n_jobs=2"] if launcher == "joblib" else []
    assert_unknown([ended(start(words))], tmp_path)
    study = trial.engine().load_study(study_name="one", storage=storage)
    assert [sorted(one.intermediate_values)[0] for one in study.trials] == [1] * trials  # the workers reach it


def test_a_masked_password_is_asked_for(planned):
    with pytest.raises(Refused, match=r"\*\*\* stands for the password") as refusal:
        planned(LR, "sweep.storage=postgresql://user:***@host/db")
    assert "D2LRUN_STORAGE" in refusal.value.hint


def test_a_worker_without_the_password_fails_through_the_machine(rehearsal, planned, tmp_path, monkeypatch):
    study = planned(LR, "sweep.trials=1", f"sweep.storage='sqlite:///file:{tmp_path}/kept.db?uri=true&password=x'")
    monkeypatch.delenv(trial.ADDRESS)
    search.carry_out(study, lambda folders: [*map(job.train_in, folders)], 1)
    [result] = [each.directory.result() for each in study.jobs]
    assert (result["status"], result["cause"]) == ("failed", "machine")


REHEARSED = """
import sys, time
sys.path.insert(0, sys.argv.pop(1))
from test_search import Rehearsal
from d2lrun.cli import main as cli
from d2lrun.sweeps import job
job.train_quietly = Rehearsal()
job.train_quietly.before = lambda config: time.sleep(0.05)
cli.main()
"""


def test_two_processes_share_a_study_and_together_do_what_is_wanted(command, tmp_path):
    words = [*command, "validation=holdout", f"train.epochs={EPOCHS}", "sweep.trials=12", "sweep.sampler=random"]
    line = [sys.executable, "-c", REHEARSED, str(Path(__file__).parent), *words]
    both = [subprocess.Popen(line, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) for _ in range(2)]
    for process in both:
        ended(process)
    trials = trials_of(tmp_path / "sweeps/one")
    assert len(trials) == len({one.params["optimizer.lr"] for one in trials}) == 12
    assert {one.state.name for one in trials} <= {"COMPLETE", "PRUNED"}
    told = json.loads((tmp_path / "sweeps/one/sweep.json").read_text(encoding="utf-8"))
    assert len(told["jobs"]) == 12 and told["trials"]["running"] == 0
    assert job.SPOILED and not [row for row in told["jobs"] if row["status"] in job.SPOILED]
