"""A sweep from Python, and the comparison of runs."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from d2lrun.api import process
from d2lrun.api.run import Run, framed
from d2lrun.api.words import overrides
from d2lrun.config import plugins
from d2lrun.config.overrides import is_hydras
from d2lrun.counts import counted
from d2lrun.disk import recorded
from d2lrun.disk.rundir import read_object
from d2lrun.errors import Refused
from d2lrun.report.text import from_here


class Sweep:
    """A sweep on disk, finished or not; raises Refused if the directory is not a sweep's."""

    def __init__(self, directory: str | Path):
        self.directory = Path(directory).expanduser().absolute()
        if read_object(self.directory / "sweep.json") is None:
            hint = "give a directory that a sweep printed"
            raise Refused(f"{directory} is not a sweep's directory: it has no sweep.json", hint)

    @property
    def summary(self) -> dict[str, Any]:
        """The content of sweep.json."""
        return read_object(self.directory / "sweep.json") or {}

    @property
    def runs(self) -> list[Run]:
        """The runs that have begun, in the order of the command."""
        paths = [self.directory / row["directory"] for row in self.summary.get("jobs", [])]
        return [Run(path) for path in paths if (path / "config.yaml").is_file()]

    @property
    def records(self) -> list[dict[str, Any]]:
        """A dictionary for each run, its swept values and metrics, which pandas.DataFrame takes as it is."""
        jobs = self.summary.get("jobs", [])
        return [{**row["values"], **row["metrics"], **{key: row[key] for key in ("status", "epochs")}} for row in jobs]

    @property
    def best(self) -> Run | None:
        """The best run by the metric that ranks; None if the runs are not ranked."""
        best = self.summary.get("best")
        return Run(self.directory / best["directory"]) if best else None

    def __repr__(self) -> str:
        jobs = self.summary.get("jobs", [])
        done = sum(row["status"] == "finished" for row in jobs)
        return f"<d2lrun.Sweep {from_here(self.directory)}: {done} of {counted(len(jobs), 'run')} finished>"

    def _repr_html_(self) -> str:
        """Return the page of the sweep, for a notebook."""
        return framed(self.directory / "report.html", repr(self))


def sweep(
    *words: str, data: Any = None, config_dir: str | None = None, quiet: bool | None = None, **settings: Any
) -> Sweep:
    """Train every combination that is not finished, one by one, and return the sweep.

    ``sweep("model=softmax,mlp", "optimizer.lr=0.1,0.5")`` and ``sweep(model=["softmax", "mlp"], optimizer__lr=[0.1,
    0.5])`` are the command ``d2lrun -m model=softmax,mlp optimizer.lr=0.1,0.5``: a list is several values, so one value
    that is a list is [[256]]. ``data`` in memory are as those of ``train``. A failed run does not stop the others; see
    ``records``. Raises Refused or Stopped.
    """
    typed = overrides(words, settings, data, several=True)
    if steering := [word for word in typed if is_hydras(word)]:
        raise Refused(f"{steering[0]}: here the runs are trained in this process", plugins.command("-m", *typed))
    with process.isolated():
        from d2lrun.sweeps import grid, refit, request, search
        from d2lrun.sweeps.launch import tell_how_to_continue
        from d2lrun.sweeps.monitor import Monitor
        from d2lrun.sweeps.sweep import check_splits

        asked = request.read(typed, config_dir, plugins.command("-m", *typed))
        engine = {"grid": grid, "optuna": search}[asked.settings.engine]
        planned = engine.plan(asked)
        check_splits(planned)
        engine.prepare(planned)
        with Monitor(planned, process.lines(quiet)) as monitor, tell_how_to_continue(planned):
            engine.carry_out(planned, None, 1)
            refit.carry_out(planned, None)
        monitor.show()
    return Sweep(planned.directory)


def compare(
    runs: Run | Sweep | str | Path | Iterable[Run | Sweep | str | Path], sort: str | None = None
) -> list[dict[str, Any]]:
    """Return a dictionary for each run: its directory, status, the keys of the config that differ, and its metrics.

    pandas.DataFrame takes the list as it is. ``sort`` is a metric: the best first. Raises Refused.
    """
    from d2lrun.report import compare as report

    runs = [runs] if isinstance(runs, (Run, Sweep, str, Path)) else runs
    places = [str(run.directory if isinstance(run, (Run, Sweep)) else run) for run in runs]
    entries = report.arranged(recorded.gather(places), sort)
    keys = report.differing(entries)
    return [
        {
            **{"directory": str(entry.directory), "status": entry.status},
            **{key: (entry.config or {}).get(key) for key in keys},
            **{name: mean for name, (mean, _) in entry.metrics.items()},
        }
        for entry in entries
    ]
