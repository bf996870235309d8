"""Groups, means and the best, of jobs made by hand."""

from __future__ import annotations

import numpy as np
import pytest

from d2lrun.sweeps.ranking import direction, main_metric, ranked, spread


def job(values, status="finished", **metrics):
    overrides = [f"{key}={value}" for key, value in values.items()]
    folder = "-".join(map(str, values.values()))
    return {"overrides": overrides, "values": values, "directory": folder, "status": status, "metrics": metrics}


def summary(*jobs, wanted=None):
    return ranked({"name": "test"}, list(jobs), wanted)


@pytest.mark.parametrize(
    "metric, way",
    [("val_accuracy", "max"), ("val_loss", "min"), ("val_perplexity", "min"), ("val_log_rmse", "min")],
)
def test_more_accuracy_is_better_and_less_of_all_else(metric, way):
    jobs = [job({"lr": lr}, **{metric: value}) for lr, value in ((1, 0.5), (2, 0.9), (3, 0.1))]
    told = summary(*jobs)
    assert (direction(metric), told["direction"], told["metric"]) == (way, way, metric)
    assert told["best"]["overrides"] == ["lr=2" if way == "max" else "lr=3"]


def test_accuracy_ranks_before_loss_unless_another_is_wanted():
    jobs = [job({"lr": 1}, val_loss=0.1, val_accuracy=0.8), job({"lr": 2}, val_loss=0.2, val_accuracy=0.9)]
    assert summary(*jobs)["best"]["overrides"] == ["lr=2"]
    assert summary(*jobs, wanted="val_loss")["best"]["overrides"] == ["lr=1"]


def test_the_test_set_never_ranks_and_it_is_said_why():
    told = summary(job({"lr": 1}, train_loss=0.1, test_loss=0.1, test_accuracy=0.9))
    assert (told["ranked"], told["best"], told["metric"], told["direction"]) == (False, None, None, None)
    assert told["note"].startswith("not ranked: nothing was validated, and the test set must not choose")
    assert told["groups"][0]["metrics"]["test_accuracy"]["mean"] == 0.9


def test_a_wanted_metric_that_was_not_measured_is_said_with_those_that_were():
    told = summary(job({"lr": 1}, train_loss=0.1, val_loss=0.3, val_accuracy=0.9), wanted="val_acuracy")
    assert (told["ranked"], told["best"]) == (False, None)
    assert told["note"] == "not ranked: val_acuracy was not measured; there is val_accuracy, val_loss"


def test_before_anything_has_finished_nothing_is_said_of_ranks():
    for wanted in (None, "val_loss"):
        assert summary(job({"lr": 1}, status="pending"), wanted=wanted)["note"] is None
    assert main_metric([], None) is None


@pytest.mark.parametrize("key", ["seed", "validation.fold"])
def test_seeds_and_folds_are_one_group_with_mean_and_sample_deviation(key):
    values = {0: [0.3, 0.5, 0.7], 1: [0.1, 0.2, 0.6]}
    jobs = [job({"lr": lr, key: n}, val_loss=loss) for lr, losses in values.items() for n, loss in enumerate(losses)]
    told = summary(*jobs)
    assert [group["values"] for group in told["groups"]] == [{"lr": 0}, {"lr": 1}]
    assert [group["jobs"] for group in told["groups"]] == [[0, 1, 2], [3, 4, 5]]
    assert [each["group"] for each in told["jobs"]] == [0, 0, 0, 1, 1, 1]
    for group, losses in zip(told["groups"], values.values(), strict=True):
        wanted = {"mean": pytest.approx(np.mean(losses)), "std": pytest.approx(np.std(losses, ddof=1)), "n": 3}
        assert group["metrics"]["val_loss"] == wanted
    assert (told["best"]["group"], told["best"]["overrides"]) == (1, ["lr=1"])


def test_k_folds_rank_by_their_mean():
    jobs = [job({"lr": lr}, val_loss={"mean": mean, "std": 0.1, "n": 5}) for lr, mean in ((1, 0.4), (2, 0.3))]
    told = summary(*jobs)
    assert told["best"]["overrides"] == ["lr=2"]
    assert told["groups"][1]["metrics"]["val_loss"] == {"mean": 0.3, "std": 0.1, "n": 5}


def test_k_folds_of_several_seeds_are_the_mean_of_means():
    jobs = [job({"seed": seed}, val_loss={"mean": mean, "std": 9.0, "n": 5}) for seed, mean in enumerate((0.2, 0.4))]
    (group,) = summary(*jobs)["groups"]
    assert group["metrics"]["val_loss"] == {"mean": pytest.approx(0.3), "std": pytest.approx(0.02**0.5), "n": 2}


@pytest.mark.parametrize("value", [None, float("nan"), float("inf"), {"mean": None, "std": None}, "0.1", {}, [1]])
def test_what_is_no_number_has_no_mean_and_is_never_the_best(value):
    told = summary(job({"lr": 1}, val_loss=value), job({"lr": 2}, val_loss=5.0))
    assert told["groups"][0]["metrics"]["val_loss"]["mean"] is None
    assert told["best"]["overrides"] == ["lr=2"]
    spoiled = summary(job({"lr": 1, "seed": 0}, val_loss=value), job({"lr": 1, "seed": 1}, val_loss=0.1))
    assert spoiled["groups"][0]["metrics"]["val_loss"] == {"mean": None, "std": None, "n": 2}
    assert spoiled["best"] is None
    assert spoiled["ranked"]


@pytest.mark.parametrize("status", ["diverged", "failed", "stopped", "pending", "pruned"])
def test_a_group_of_which_not_every_run_has_finished_is_never_the_best(status):
    lucky = [job({"lr": 9, "seed": 0}, val_loss=0.0), job({"lr": 9, "seed": 1}, status=status, val_loss=0.0)]
    sound = [job({"lr": 1, "seed": seed}, val_loss=0.5) for seed in (0, 1)]
    told = summary(*lucky, *sound)
    assert told["best"]["overrides"] == ["lr=1"]
    assert (told["groups"][0]["finished"], told["groups"][0]["metrics"]["val_loss"]["n"]) == (1, 1)
    assert summary(*lucky)["best"] is None


@pytest.mark.parametrize("status", ["stopped", "pending", "pruned", "failed", "diverged"])
def test_only_what_has_finished_counts(status):
    told = summary(job({"seed": 0}, val_loss=1.0), job({"seed": 1}, status=status, val_loss=3.0))
    assert told["groups"][0]["metrics"]["val_loss"] == {"mean": 1.0, "std": None, "n": 1}


def test_if_all_tie_none_is_the_best():
    told = summary(*(job({"lr": lr}, val_accuracy=0.5) for lr in (3, 1, 2)))
    assert (told["ranked"], told["best"], told["note"]) == (True, None, "all 3 tie, so none is the best")
    assert summary(job({"lr": 3}, val_accuracy=0.5))["best"]["overrides"] == ["lr=3"]


def test_of_those_that_tie_for_the_first_place_the_first_stands_for_all():
    told = summary(*(job({"lr": lr}, val_accuracy=value) for lr, value in ((3, 0.4), (1, 0.5), (2, 0.5))))
    assert (told["best"]["overrides"], told["best"]["tied"]) == (["lr=1"], [2])


def test_if_none_is_better_than_chance_none_is_the_best():
    jobs = [job({"lr": lr}, val_accuracy=lr / 100) | {"at_chance": True} for lr in (9, 10)]
    told = summary(*jobs)
    assert (told["best"], told["note"]) == (None, "none is better than chance")
    assert summary(*jobs, job({"lr": 11}, val_accuracy=0.9))["best"]["overrides"] == ["lr=11"]


def on(parts, **job):
    return job | {"measured": {"val_loss": list(parts)}}


def test_groups_on_other_examples_are_shown_and_not_ranked():
    jobs = [on("a", **job({"noise": 1}, val_loss=0.1)), on("b", **job({"noise": 2}, val_loss=0.2))]
    told = ranked({}, jobs, None, lambda: [{"dataset.noise": 1}, {"dataset.noise": 2}])
    assert (told["ranked"], told["best"]) == (False, None)
    assert told["note"] == "not ranked: the runs were not measured on the same examples: dataset.noise differs"


def test_seeds_are_alike_as_a_whole_and_a_group_that_lacks_one_is_marked():
    jobs = [on(seed, **job({"lr": lr, "seed": seed}, val_loss=lr)) for lr in (2, 3) for seed in "ab"]
    jobs.append(on("a", **job({"lr": 1, "seed": "a"}, val_loss=0.0)))
    told = summary(*jobs)
    assert [group.get("lacks") for group in told["groups"]] == [0, 0, 1]
    assert told["best"]["overrides"] == ["lr=2"]


def test_where_only_some_were_validated_the_best_is_one_of_them():
    told = summary(job({"validation": "none"}, test_loss=0.0), job({"validation": "holdout"}, val_loss=0.5))
    assert told["best"]["overrides"] == ["validation=holdout"]


def test_values_of_any_kind_make_groups():
    hidden = ([128], [256, 128], [128])
    told = summary(*(job({"model.hidden": each, "seed": n}, val_loss=0.1) for n, each in enumerate(hidden)))
    assert [group["jobs"] for group in told["groups"]] == [[0, 2], [1]]


def test_no_jobs_have_a_summary_too():
    told = summary()
    assert (told["jobs"], told["groups"], told["best"], told["note"]) == ([], [], None, None)


def test_the_spread_of_one_is_unknown():
    assert spread([2.0]) == {"mean": 2.0, "std": None, "n": 1}
