"""K folds in one run's directory (book 4.10): one run per fold, each in its own folder, and the mean of their metrics.

A finished fold is never trained again; a stopped fold continues from its checkpoint.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import datetime
from functools import partial
from math import ceil, nan
from statistics import fmean
from typing import TYPE_CHECKING, Any, cast

from d2lrun import datasets
from d2lrun.config import schema
from d2lrun.config.keys import Config, KFold, Once
from d2lrun.config.metrics import mean_and_std, spread_of
from d2lrun.disk import files
from d2lrun.disk.rundir import REFIT, RunDirectory, claim, config_hash, lift_submission
from d2lrun.errors import Diverged, Failed, Pruned, Stopped, facts_of
from d2lrun.report import fonts
from d2lrun.report.folds import draw_folds, fold_line, write_folds_page
from d2lrun.report.progress import Progress
from d2lrun.report.text import optional
from d2lrun.report.transfer import Transfer
from d2lrun.runs import identity
from d2lrun.runs.result import compare_with_book
from d2lrun.runs.run import Log, run
from d2lrun.training.split_check import seed_of

if TYPE_CHECKING:
    from rich.console import Console

SUMMED = ("epochs", "steps", "seconds")
OF_DEVICE = ("device", "precision", "channels_last", "compile", "deterministic", "threads")
SHARED = ("model", "dataset", "parameters", *OF_DEVICE, "versions")


def is_folded(config: Config) -> bool:
    """Whether the config trains all K folds, not a single fold and not another kind of validation."""
    return config.validation.name == "kfold" and config.validation.fold is None


def folds_of(config: Config) -> KFold:
    """The group ``validation`` of a config that names all folds."""
    return cast(KFold, config.validation)


def run_folds(
    config: Config,
    directory: RunDirectory,
    console: Console,
    changed: list[str] | None,
    progress: Callable[..., Progress] = Progress,
) -> dict[str, Any]:
    """Train the unfinished folds and, if ``validation.refit``, once on all examples; return result.json."""
    log = Log(directory.log, console)
    results: dict[str, dict[str, Any]] = {}
    refit = None
    try:
        with Transfer(console) as transfer:
            remark = datasets.load(config.dataset, log.say, transfer.progress).check_split(config)
        if remark:
            log.say(remark)
        for name, fold_config in folds(config, directory):
            results[name] = train_fold(name, fold_config, console, progress, quiet=bool(results))
            log.say(fold_line(name, results[name]))
        if folds_of(config).refit:
            refit_config = everything(config, [result["selected_epoch"] for result in results.values()])
            refit_config = inside(refit_config, directory, REFIT)
            refit = train_fold(REFIT, refit_config, console, progress, quiet=True)
            log.say(fold_line(REFIT, refit))
            lift_submission(RunDirectory(directory.path / REFIT), directory)
    except BaseException as error:
        directory.refuse_deleted()
        if isinstance(error, Stopped):
            error.args = (f"stopped, saved; continue with: {directory.command('resume')}",)
        status = {Diverged: "diverged", Pruned: "pruned", Stopped: "stopped"}.get(type(error), "failed")
        with contextlib.suppress(OSError):  # a full disk must not hide the first error
            log.write(f"{status}: {error}")
            summary = summarise(config, results, refit, status, changed)
            files.write_json(directory.result_file, summary | facts_of(error))
        raise
    result = summarise(config, results, refit, "finished", changed)
    if config.run.pictures:
        title = f"{config.model.name} on {schema.data_name(config.dataset)}, {len(results)} folds, seed {config.seed}"
        curves = {name: RunDirectory(directory.path / name).records() for name in results}
        with optional(directory.curves, log.say):
            draw_folds(directory.curves, {name: records for name, records in curves.items() if records}, title)
        for line in fonts.notices():
            log.say(line)
        with optional(directory.page, log.say):
            write_folds_page(directory.page, result, directory.config_text())
    files.write_json(directory.result_file, result)
    return result


def folds(config: Config, directory: RunDirectory) -> Iterator[tuple[str, Config]]:
    """Yield the folder name of each fold (fold-0, …; in a repetition fold-0-repeat-1, …) and its config."""
    whole = folds_of(config)
    for repeat in range(whole.repeats):
        for fold in range(whole.k):
            name = f"fold-{fold}" + (f"-repeat-{repeat}" if repeat else "")
            validation = replace(whole, fold=fold, repeats=1, refit=False)
            seed = seed_of(config, repeat)
            yield name, replace(inside(config, directory, name), seed=seed, validation=validation)


def identity_of(config: Config, directory: RunDirectory) -> dict[str, Any]:
    """Load the data and return the identity of a run with this config, over all its folds; raises Refused."""
    configs = (fold_config for _, fold_config in folds(config, directory)) if is_folded(config) else [config]
    return identity.joined([identity.of(fold_config) for fold_config in configs])


def adopt(config: Config, directory: RunDirectory) -> None:
    """Record the present data for a run that an earlier version made without a record."""
    files.write_json(directory.data_file, identity_of(config, directory))


def everything(config: Config, epochs: list[int]) -> Config:
    """Return the config of the refit: all training examples, the mean best epoch of the folds, one test measurement."""
    train = replace(config.train, patience=None, keep="last")
    if config.train.patience or config.train.keep == "best":
        train = replace(train, epochs=max(1, ceil(config.schedule.warmup), round(fmean(epochs))))
    return replace(config, validation=Once("once"), train=train)


def inside(config: Config, directory: RunDirectory, name: str) -> Config:
    """Return the same config with its own folder in the run's directory."""
    return replace(config, run=replace(config.run, dir=str(directory.path / name), name=None))


def train_fold(
    name: str, config: Config, console: Console, progress: Callable[..., Progress], quiet: bool
) -> dict[str, Any]:
    """Train one fold if it is not finished, and return its result; an error names the fold."""
    with claim(config) as directory:
        if directory.finished():
            config = identity.locate_data(config, directory, say=lambda line: None)
            if directory.data() is None:
                adopt(config, directory)
            return directory.known_result() | {"data": directory.data()}
        try:
            labelled = partial(progress, lines=0, label=name)
            return run(config, directory, console, ["validation.name"], labelled, quiet)
        except Failed as error:
            error.args = (f"{name}: {error}",)
            raise


def summarise(
    config: Config,
    results: dict[str, dict[str, Any]],
    refit: dict[str, Any] | None,
    status: str,
    changed: list[str] | None,
) -> dict[str, Any]:
    """Return the content of result.json: the folds, and mean and standard deviation of every metric over them."""
    metrics = spread([result["metrics"] for result in results.values()])
    means = {name: nan if (mean := mean_and_std(each)[0]) is None else mean for name, each in metrics.items()}
    read = [result["data"] for result in results.values() if "data" in result]
    first = next(iter(results.values()), {"model": config.model.name, "dataset": schema.data_name(config.dataset)})
    return {
        "status": status,
        **{key: first.get(key) for key in SHARED},
        "seed": config.seed,
        **{key: sum(result[key] for result in results.values()) for key in SUMMED},
        "metrics": metrics,
        "folds": [of_fold(name, result) for name, result in results.items()],
        "refit": refit and {**of_fold(REFIT, refit), "test_set": test_set(refit, "all folds"), "at": now()},
        "book": compare_with_book(config, means, changed),
        "floor": mean_floor([result.get("floor") for result in results.values()]),
        "baselines": mean_baselines([result.get("baselines") for result in results.values()]),
        "dead": next((result["dead"] for result in results.values() if result["dead"]), None),
        "config_hash": config_hash(config),
        "data": identity.joined(read) if read else None,
        "note": first.get("note") if len({result.get("note") for result in results.values()}) == 1 else None,
        "notes": first.get("notes", []),
    }


def spread(metrics: list[dict[str, float | None]]) -> dict[str, dict[str, float | None]]:
    """Return {"val_loss": {"mean": …, "std": …}}, with the sample standard deviation (divisor n − 1).

    Both are None if a fold has no finite value (null in the file).
    """
    found: dict[str, dict[str, float | None]] = {}
    for name in metrics[0] if metrics else ():
        mean, std = spread_of([fold.get(name) for fold in metrics])
        found[name] = {"mean": mean, "std": std}
    return found


def mean_floor(floors: list[dict[str, Any] | None]) -> dict[str, Any] | None:
    """Return the mean metric of the best constant prediction, and whether no fold is better; None if unknown."""
    known = [floor for floor in floors if floor is not None]
    if not known or len(known) < len(floors):
        return None
    at_chance = all(floor["at_chance"] for floor in known)
    return {**known[0], "value": fmean(floor["value"] for floor in known), "at_chance": at_chance}


def mean_baselines(baselines: list[dict[str, float] | None]) -> dict[str, float] | None:
    """Return the mean of each baseline over the folds; None if a fold has none."""
    known = [each for each in baselines if each]
    if not known or len(known) < len(baselines):
        return None
    return {name: fmean(each[name] for each in known) for name in known[0] if all(name in each for each in known)}


def of_fold(name: str, result: dict[str, Any]) -> dict[str, Any]:
    """Return the entry of a fold in the result.json of all folds."""
    keys = ("status", "seed", "epochs", "selected_epoch", "seconds", "metrics", "floor", "dead")
    return {"directory": name, **{key: result.get(key) for key in keys}}


def test_set(refit: dict[str, Any], before: str) -> str:
    """Return how the test set was used; ``refit`` is the result.json of the refit."""
    measured = any(name.startswith("test_") for name in refit["metrics"])
    return f"measured once, after {before}" if measured else "without labels: see submission.csv"


def now() -> str:
    """Return the local time with its UTC offset, in ISO 8601."""
    return datetime.now().astimezone().isoformat(timespec="seconds")
