"""A sweep whose values Optuna chooses, trial by trial: ``sweep=optuna``.

The study is in the sweep's folder, or in ``sweep.storage``; a trial is a job as in a grid. The next command continues
unfinished trials, including trials that failed through the machine (``errors.cause_of``). Every change of the study
is made under a lock.
"""

from __future__ import annotations

import contextlib
import hashlib
import platform
import time
import warnings
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, cast

from d2lrun.config import compose, schema, several
from d2lrun.config.keys import Config, Search
from d2lrun.config.metrics import direction, main_metric, mean_and_std, validated
from d2lrun.config.tables import dataset_of
from d2lrun.disk import files
from d2lrun.disk.rundir import RunDirectory
from d2lrun.errors import Failed, Refused, masked
from d2lrun.report.search_picture import draw_history, draw_importance
from d2lrun.report.text import counted, optional
from d2lrun.sweeps import ranking, trial
from d2lrun.sweeps.job import MARKER
from d2lrun.sweeps.launch import PATIENCE, Launch, launched
from d2lrun.sweeps.request import Request, check_metric, folder, key_of, lasting, refuse_places, typed
from d2lrun.sweeps.space import Choices, Numbers, space_of
from d2lrun.sweeps.sweep import Job, Sweep, adopt, placed, refuse_strangers, without_refit

DAMAGE = (LookupError, ValueError, TypeError, AttributeError)  # raised by Optuna for values of a wrong kind
FEW = 10  # finished trials; with fewer, the importance of a key is not known
TOP = 0.25  # the importance of a key is for being in this best share of the finished trials
PLACE = "directory"  # attribute of a trial in the study: the name of its folder, after it is made
ASKED = "asked"  # attribute of the study: the settings that its trials share
STATUS = {"COMPLETE": "finished", "PRUNED": "pruned", "FAIL": "failed", "RUNNING": "running", "WAITING": "pending"}


@dataclass
class Study(Sweep):
    """A sweep with a search space; its jobs are the trials so far."""

    settings: Search
    request: Request = field(kw_only=True)
    space: dict[str, Numbers | Choices] = field(default_factory=dict)  # by key, as typed
    seed: int = 0
    direction: str = "max"
    study: Any = None  # Optuna's
    corners: list[Config] = field(default_factory=list)  # configs at the ends of the space
    by_number: dict[int, Job] = field(default_factory=dict)  # the job of each trial that is on this machine
    read: str = ""  # fingerprint of the data of the first corner
    counts: Counter[str] = field(default_factory=Counter)  # of trials by status
    lost: set[str] = field(default_factory=set)  # folders of runs that failed through the machine under this command

    @property
    def ended(self) -> int:
        """The number of trials that have ended."""
        return sum(self.counts[status] for status in ("finished", "pruned", "failed"))

    def foreseen(self) -> list[tuple[list[str], Config]]:
        return [([], config) for config in self.corners]

    def opening(self) -> str:
        left = max(0, self.settings.trials - self.ended - self.counts["running"])
        parts = [f"{self.ended} ended", f"{self.counts['running']} to continue", f"{left} to come"]
        return f"{counted(self.settings.trials, 'trial')}: {', '.join(parts)}, in {self.directory}"

    def summary(self, rows: list[dict[str, Any]]) -> dict[str, Any]:
        """The content of sweep.json. A trial that failed by its values has ended; a lost trial has not."""
        found = super().summary(rows)
        lost = sum(job.config.run.folder in self.lost for job in list(self.by_number.values()))
        finished = self.counts["finished"]
        if finished < FEW and self.ended >= self.settings.trials and len(self.space) > 1:
            found["note"] = f"the importance of the keys needs {FEW} finished trials; there are {finished}"
        if self.elsewhere:
            where = "on other machines" if self.settings.storage else "whose folders are gone"
            found["note"] = f"{counted(self.elsewhere, 'trial')} more, {where}: history.png has all of them"
            found["note"] += "; nothing is refit without them" if self.refit else ""
        if lost:
            found["note"] = f"{counted(lost, 'trial')} failed through the machine: the same command tries again"
        counts = self.counts + Counter({"failed": lost})
        counts["running"] -= lost
        return found | {
            "log": [key_of(key) for key, each in self.space.items() if getattr(each, "log", False)],
            "trials": {"wanted": self.settings.trials, **{name: counts[name] for name in STATUS.values()}},
            "rerun": self.command if self.ended < self.settings.trials else None,
        }

    @contextlib.contextmanager
    def alone(self) -> Iterator[None]:
        """Hold the lock of the study: no other process on this disk changes it meanwhile."""
        with files.lock(self.directory / ".study.lock", waiting=lambda holder: None):
            yield


def plan(request: Request) -> Study:
    """Return the search that a command line describes, with its values checked; raises Refused with all complaints."""
    trial.engine()
    settings = cast(Search, request.settings)  # the engine of the command
    for name in ("zip", "combinations"):
        if getattr(settings, name):
            raise Refused(f"sweep.{name}: a search combines the values itself", "leave it out, or use sweep=grid")
    space = space_of([*swept(request), *named(request)], request.config_dir)
    if not space:
        raise Refused("sweep=optuna: nothing to search", "give a key several values: optimizer.lr=interval(1e-3,1)")
    keys = [key_of(key) for key in space]
    refuse_places(request.fixed, keys)
    if chance := [key for key in keys if key in ranking.REPEATS]:
        hint = "repeat each trial within itself: validation=kfold validation.repeats=3"
        raise Refused(f"{chance[0]}: not to be searched, it only changes the random numbers", hint)
    directory = folder(request, keys)
    study = Study(directory, request.command, settings, keys, request=request, space=space)
    study.corners = configs = corners(study)
    check_metric(settings.metric, configs)
    study.seed, study.direction = configs[0].seed, direction_of(configs, settings.metric)
    return study


def swept(request: Request) -> list[str]:
    """Return the words of the command line that name several values."""
    return [text for text in request.overrides if text not in request.fixed]


def named(request: Request) -> list[str]:
    """Return the lines of ``sweep.grid`` as typed overrides, without keys that the command line names."""
    typed_keys = {key_of(text) for text in request.overrides}
    texts = [
        f"{key}=choice({','.join(map(typed, values))})" if isinstance(values, list) else f"{key}={values}"
        for key, values in request.settings.grid.items()
        if key not in typed_keys
    ]
    single, _, _ = several.expand(texts, request.config_dir)
    if single:
        raise Refused(f"sweep.grid: {single[0]}: not several values", "give a list, or Hydra's syntax: interval(0,1)")
    return texts


def corners(study: Study) -> list[Config]:
    """Return the configs at the first value of every key, and at each end of each key; raises Refused."""
    first = {key: each.ends()[0] for key, each in study.space.items()}
    points = [first, *(first | {key: end} for key, each in study.space.items() for end in each.ends()[1:])]
    configs = composed(study, [[f"{key}={text}" for key, text in point.items()] for point in points])
    for config in configs:
        if config.validation.name in ("none", "once"):
            raise Refused(
                f"validation={config.validation.name}: a search needs something to choose by, not the test set",
                "add validation=holdout or validation=kfold",
            )
    return configs


def check_alike(study: Study) -> None:
    """Raise Refused if a key changes the examples that the runs are measured on: its values cannot be compared."""
    from d2lrun.runs import kfold

    ends = [study.keys[0], *(key_of(key) for key, each in study.space.items() for _ in each.ends()[1:])]
    found = [kfold.identity_of(config, RunDirectory(study.directory)) for config in study.corners]
    study.read = found[0]["content"]
    measured = [each["measured"] for each in found]
    metric = main_metric(measured[0], study.settings.metric)
    study.direction = direction(metric) if metric else study.direction  # a task may measure one of several
    for key, found in zip(ends, measured, strict=True):
        alike = [name for name in found if name.startswith("val_") and found[name] == measured[0].get(name)]
        if metric not in alike:
            hint = f"sweep.metric={alike[0]} is measured alike" if alike else "compare a search for each of its values"
            raise Refused(f"{key}: not to be searched, its values do not measure {metric} on the same examples", hint)


def composed(study: Study, combinations: list[list[str]]) -> list[Config]:
    """Return the config of each list of overrides, with the fixed values; raises Refused."""
    request = study.request
    whole = [[*request.fixed, *overrides] for overrides in combinations]
    asked, configs = without_refit(compose.compose_all(whole, request.config_dir, request.known))
    study.refit = study.refit or asked
    return configs


def direction_of(configs: list[Config], metric: str | None) -> str:
    """Return the better direction of the metric, which Optuna needs before the first trial; raises Refused."""
    if metric:
        return direction(metric)
    names = {validated([dataset_of(config.dataset).task])[0] for config in configs}
    if len({direction(name) for name in names}) > 1:
        reason = f"dataset: {' and '.join(sorted(names))} cannot be compared"
        raise Refused(reason, "name what all have: sweep.metric=val_loss")
    return direction(names.pop())


def prepare(study: Study) -> None:
    """Open a new study, or the study of an earlier command; raises Refused."""
    check_alike(study)
    try:
        refuse_strangers(study)
        study.directory.mkdir(parents=True, exist_ok=True)
        (study.directory / MARKER).unlink(missing_ok=True)
        with study.alone(), optuna_errors_as(Refused):
            trial.pass_on(study.settings.storage)
            study.study = opened(study)
            check_same(study)
            look(study)
        adopt(study.jobs)
    except OSError as error:
        raise Refused(
            f"cannot write to {study.directory}: {error.strerror or error}", "choose another place with run.root=FOLDER"
        ) from error


@contextlib.contextmanager
def optuna_errors_as(kind: type[Refused] | type[Failed]) -> Iterator[None]:
    """Convert errors of Optuna and its database to ``kind``, with a hint."""
    from sqlalchemy.exc import SQLAlchemyError

    try:
        yield
    except (trial.engine().exceptions.OptunaError, SQLAlchemyError, ImportError, RuntimeError, *DAMAGE) as error:
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        hint = f"look at sweep.storage, or at {trial.STUDY} in the sweep's folder; without it the search starts again"
        raise kind(f"the search's study cannot be used: {reason}", hint) from error


def opened(study: Study) -> Any:
    """Return Optuna's study with the name of the sweep."""
    return trial.engine().create_study(
        study_name=study.directory.name,
        storage=trial.storage(study.settings.storage, study.directory),
        direction="maximize" if study.direction == "max" else "minimize",
        load_if_exists=True,
    )


def check_same(study: Study) -> None:
    """Raise Refused if the study has other fixed values, keys, choices or metric; an interval may change."""
    asked = {
        "fixed": without_places(lasting(study.request.fixed)),
        "keys": sorted(study.keys),
        "metric": study.settings.metric,
        "data": study.read,
    }
    made = dict(study.study.user_attrs.get(ASKED) or {})
    made |= {"fixed": without_places(made["fixed"])} if made else {}
    if made.keys() != asked.keys():  # it is new, or an earlier version made it
        study.study.set_user_attr(ASKED, asked | made)
    different = [
        f"{name} {made[name]} there, {asked[name]} now" for name in asked if name in made and made[name] != asked[name]
    ]
    for key, each in {} if different else study.space.items():
        try:
            for frozen in study.study.get_trials(deepcopy=False):
                if old := frozen.distributions.get(key_of(key)):
                    trial.engine().distributions.check_distribution_compatibility(old, each.distribution())
        except ValueError:
            different.append(f"{key_of(key)}: other choices, or another kind of number")
    if different:
        raise Refused(
            "\n  ".join([f"the study in {study.directory} is another search", *different]),
            "give this search a name of its own: sweep.name=NAME",
        )


def without_places(fixed: list[str]) -> list[str]:
    """Return the fixed values without the paths of the data, which are compared by their content."""
    return [text for text in fixed if key_of(text) not in schema.PLACES]


def carry_out(study: Study, launch: Launch | None, workers: int | None = None) -> None:
    """Train trials until ``sweep.trials`` have ended: one by one here, or several at a time with a launcher.

    Their number at a time is the launcher's ``workers``, or ``sweep.startup`` if it is unknown; the next trials are
    chosen after all of them have ended. Trials of other processes are waited for, and taken over if these die.

    If all of them fail through the machine, for example on a full disk, no more are chosen: they would also fail.
    """
    size = 1 if launch is None else workers or study.settings.startup
    launched(damaged(study), launch)
    while not stopped(study):
        known = len(study.by_number)
        jobs, running = next_jobs(study, size)
        if jobs:
            again = launched(jobs, launch)
            note_lost(study, [job for job in jobs if job not in again])
            if len(study.by_number) > known and all(job.config.run.folder in study.lost for job in jobs):
                break
        elif running:
            time.sleep(PATIENCE)
        else:
            break
    next_jobs(study, 0)
    draw(study)


def damaged(study: Study) -> list[Job]:
    """Return the trials that have ended in the study but not in their folders: they are completed again."""
    done = [frozen.number for frozen in look(study) if STATUS[frozen.state.name] in ("finished", "pruned")]
    jobs = unique(study.by_number[number] for number in done)
    return [job for job in jobs if not trial.is_over(job.directory) and not job.is_held()]


def stopped(study: Study) -> bool:
    """Whether a failed trial stops the search."""
    return (study.directory / MARKER).exists()


def next_jobs(study: Study, size: int) -> tuple[list[Job], bool]:
    """Return at most ``size`` jobs to train now, started ones first, and whether a trial is open in any process.

    A trial that this command has lost is not among them: it counts as a trial, and another command tries it again.
    """
    with study.alone(), optuna_errors_as(Failed):
        running = settle(study)
        to_end = [job for job in unique(running.values()) if job.config.run.folder not in study.lost]
        jobs = [job for job in to_end if not job.is_held()][:size]
        while len(jobs) < size and study.ended + len(running) < study.settings.trials:
            number, job = ask(study)
            if trial.is_over(job.directory):  # the same values were drawn before
                tell(study, number, job)
                look(study)
            else:
                running[number] = job
                free = job.config.run.folder not in study.lost and not job.is_held()
                jobs = unique([*jobs, *([job] if free else [])])
        look(study)
        return jobs, bool(to_end)


def look(study: Study) -> list[Any]:
    """Read the number of trials of each status and the job of each from the study; return Optuna's trials."""
    trials = placed_trials(study)
    study.counts = Counter(STATUS[frozen.state.name] for frozen in trials)
    here = [frozen for frozen in trials if (study.directory / place_of(frozen)).is_dir()]
    study.elsewhere = len(trials) - len(here)
    new = [frozen for frozen in here if frozen.number not in study.by_number]
    words = [overrides_of(study, frozen.params) for frozen in new]
    configs = composed(study, words)
    for frozen, overrides, config in zip(new, words, configs, strict=True):
        place = replace(config.run, dir=str(study.directory / place_of(frozen)))
        study.by_number[frozen.number] = Job(overrides, replace(config, run=place))
    study.jobs = unique(job for _, job in sorted(study.by_number.items()))
    return here


def placed_trials(study: Study) -> list[Any]:
    """Return Optuna's trials that have a folder; a process that is stopped while it asks leaves trials without one."""
    return [frozen for frozen in study.study.get_trials(deepcopy=False) if PLACE in frozen.user_attrs]


def place_of(frozen: Any) -> str:
    """Return the name of a trial's folder inside the study's folder; raises ValueError if it leads outside."""
    name = frozen.user_attrs[PLACE]
    if Path(name).name != name:
        raise ValueError(f"trial {frozen.number} is in {name}, which is no folder of this search")
    return name


def overrides_of(study: Study, params: dict[str, Any]) -> list[str]:
    """Return the values of a trial as typed overrides."""
    values = {key: params[key_of(key)] for key in study.space}
    return [f"{key}={value if isinstance(value, str) else repr(value)}" for key, value in values.items()]


def unique(jobs: Iterable[Job]) -> list[Job]:
    """Return the jobs without repetitions: the same values drawn twice are one job."""
    return list({job.config.run.folder: job for job in jobs}.values())


def settle(study: Study) -> dict[int, Job]:
    """Tell the study which trials have ended; return the jobs of the open trials by number."""
    running = [frozen.number for frozen in look(study) if STATUS[frozen.state.name] == "running"]
    over = [number for number in running if trial.is_over(study.by_number[number].directory)]
    for number in over:
        tell(study, number, study.by_number[number])
    if over:
        look(study)
    return {number: study.by_number[number] for number in running if number not in over}


def ask(study: Study) -> tuple[int, Job]:
    """Ask for a new trial and make its folder; return its number and job. Raises Refused if its values do not fit."""
    study.study.sampler = sampler(study, len(placed_trials(study)))
    asked = study.study.ask({key_of(key): each.distribution() for key, each in study.space.items()})
    overrides = overrides_of(study, asked.params)
    try:
        [config] = composed(study, [overrides])
        job = Job(overrides, placed(study, config))
        directory = job.directory
        directory.refuse_strangers()
    except Refused:
        study.study.tell(asked.number, state=trial.engine().trial.TrialState.FAIL)
        raise
    directory.path.mkdir(parents=True, exist_ok=True)
    if not directory.begun():
        directory.write_config(job.config)
    facts = {"study": study.directory.name, "number": asked.number}
    settings = {name: getattr(study.settings, name) for name in ("storage", "metric", "pruner", "startup")}
    settings["storage"] = settings["storage"] and masked(settings["storage"])
    files.write_json(directory.path / trial.FILE, facts | settings)
    asked.set_user_attr(PLACE, directory.path.name)
    study.by_number[asked.number] = job
    return asked.number, job


def sampler(study: Study, number: int) -> Any:
    """Return the sampler of the next trial, seeded by seed and trial number, so processes draw different values."""
    where = platform.node() if study.settings.storage else ""  # machines may ask at the same moment
    digest = hashlib.sha256(f"{study.seed} {number} {where}".encode()).digest()
    seed, samplers = int.from_bytes(digest[:4], "big"), trial.engine().samplers
    if study.settings.sampler == "random":
        return samplers.RandomSampler(seed)
    return samplers.TPESampler(n_startup_trials=study.settings.startup, seed=seed, constant_liar=True)


def tell(study: Study, number: int, job: Job) -> None:
    """Tell the study how a trial has ended; raises Refused if ``sweep.metric`` was not measured."""
    result = job.directory.result() or {}
    metrics = result.get("metrics") or {}
    name = main_metric(metrics, study.settings.metric)
    state = trial.engine().trial.TrialState
    if result.get("status") == "pruned":
        study.study.tell(number, state=state.PRUNED, skip_if_finished=True)
    elif result.get("status") == "finished" and name and (value := mean_and_std(metrics[name])[0]) is not None:
        study.study.tell(number, value, skip_if_finished=True)
    else:
        study.study.tell(number, state=state.FAIL, skip_if_finished=True)
    if result.get("status") == "finished" and name is None:
        measured = ", ".join(key for key in metrics if key.startswith("val_"))
        raise Refused(f"sweep.metric={study.settings.metric}: not measured", f"a run of this search has {measured}")


def note_lost(study: Study, jobs: list[Job]) -> None:
    """Remember the jobs that failed through the machine, including jobs that could not write a result.

    Their trials stay open in the study, with their values. A command tries each of them once.
    """
    study.lost |= {job.config.run.folder for job in jobs if not trial.is_over(job.directory)}


def draw(study: Study) -> None:
    """Draw history.png and, with enough finished trials, importance.png; an error is only reported."""
    ended = [frozen for frozen in study.study.get_trials(deepcopy=False) if frozen.state.is_finished()]
    trials = [{"number": frozen.number, "value": frozen.value, "status": STATUS[frozen.state.name]} for frozen in ended]
    measured = {name for job in study.jobs for name in (job.directory.result() or {}).get("metrics") or {}}
    metric = main_metric(measured, study.settings.metric) or "metric"
    name = study.directory.name
    path = study.directory / "history.png"
    with optional(path, study.missing.append):
        draw_history(trials, path, metric, study.direction, name)
    path = study.directory / "importance.png"
    if study.counts["finished"] >= FEW and len(study.space) > 1:
        title = f"importance by PED-ANOVA, {counted(study.counts['finished'], 'trial')}"
        with optional(path, study.missing.append):
            draw_importance(importance(study), path, metric, title)


def importance(study: Study) -> dict[str, float]:
    """Return the share of each key in deciding whether a trial is among the best; the shares add up to 1."""
    package = trial.engine().importance
    evaluator = package.PedAnovaImportanceEvaluator(target_quantile=TOP)  # it does not need scikit-learn
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # if most values are equal there is no best quarter
        return package.get_param_importances(study.study, evaluator=evaluator)
