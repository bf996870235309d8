"""The monitor of a running sweep: it reads the folders of the runs, shows them, and updates sweep.json."""

from __future__ import annotations

import contextlib
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

from d2lrun.config.metrics import main_metric, mean_and_std
from d2lrun.disk import files
from d2lrun.disk.rundir import FOLDS, RunDirectory
from d2lrun.report import fonts
from d2lrun.report.jobs import Display, job_line
from d2lrun.report.sweep import show_sweep, write_csv
from d2lrun.report.sweep_curves import draw_few
from d2lrun.report.sweep_page import write_sweep_page
from d2lrun.report.sweep_picture import draw_sweep
from d2lrun.report.text import listened_to, optional, say
from d2lrun.runs import next_step
from d2lrun.sweeps import refit
from d2lrun.sweeps.job import ENDED, row_of
from d2lrun.sweeps.sweep import Job, Sweep

if TYPE_CHECKING:
    from rich.console import Console

CURVES = "curves.png"  # of a sweep of few runs
TICK = 0.5  # seconds between two updates


class Monitor:
    """A context manager around a sweep. It only reads files, so it works for runs in any process.

    Its paths are absolute, since a launcher changes the working directory meanwhile.
    """

    def __init__(self, sweep: Sweep, console: Console):
        self.sweep, self.console = sweep, console
        self.start, self.folder = Path.cwd(), sweep.directory.absolute()
        self.rows: dict[str, dict[str, Any]] = {}  # by folder
        self.written: dict[str, int] = {}  # modification time of the result.json that was read
        self.announced: set[str] | None = None  # the folders whose end was announced; None before the start
        self.over = threading.Event()
        self.thread = threading.Thread(target=self.watch, daemon=True)
        self.live: Any = None

    def __enter__(self) -> Monitor:
        self.look()
        self.announced = {folder for folder, row in self.rows.items() if row["status"] == "finished"}
        self.write()
        if self.console.is_interactive:
            from rich.live import Live

            self.live = Live(console=self.console, auto_refresh=False, transient=True)
            self.live.start()
        self.thread.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self.over.set()
        self.thread.join()
        if self.live is not None:
            self.live.stop()
            self.live, self.announced = None, None
        with contextlib.suppress(OSError):  # a full disk must not hide the first error
            self.look(last=True)
            self.write()

    def watch(self) -> None:
        """Update repeatedly until the sweep ends."""
        while not self.over.wait(TICK):
            with contextlib.suppress(OSError):
                if self.look():
                    self.write()
                self.draw()

    def jobs(self) -> list[Job]:
        """The jobs of the sweep, and the refit if it was chosen."""
        return [*self.sweep.jobs, *filter(None, [self.sweep.chosen])]

    def directory(self, job: Job) -> RunDirectory:
        """Return the directory of a job, as an absolute path."""
        return RunDirectory(self.start / job.config.run.folder)

    def look(self, last: bool = False) -> bool:
        """Read the files that changed since the last call; return whether there were any.

        The ``last`` call also reads runs that were killed before they could write a result.
        """
        changed = False
        for job in self.jobs():
            folder = job.config.run.folder
            directory = self.directory(job)
            written = stamp(directory.result_file)
            new = folder not in self.rows or written != self.written[folder]
            if new or (last and self.rows[folder]["status"] not in ENDED):
                self.rows[folder] = row_of(directory, job.overrides, job.values, self.folder)
                self.written[folder] = written
                changed = True
                self.announce(folder, job)
        return changed

    def announce(self, folder: str, job: Job) -> None:
        """Without a terminal: print a line for a run that has ended."""
        if self.announced is not None and self.live is None and self.rows[folder]["status"] in ENDED:
            if job is self.sweep.chosen:
                if job.earlier is None or job.earlier.get("status") != "finished":
                    self.say(f"refit {job_line(self.of(job))}")
                return
            self.announced.add(folder)
            self.say(job_line(self.of(job), len(self.announced), len(self.sweep.jobs)))

    def say(self, text: str) -> None:
        """Print a line."""
        with listened_to():
            say(self.console, text)

    def draw(self) -> None:
        """On a terminal: draw the state of all runs."""
        if self.live is None:
            return
        metric = self.metric()
        display = Display(self.console, metric or "metric")
        self.live.update(display.rows([self.of(job) for job in self.jobs()]), refresh=True)

    def metric(self) -> str | None:
        """Return the ranking metric of the runs so far; None if there is none."""
        return main_metric({name for row in self.rows.values() for name in row["metrics"]}, self.sweep.settings.metric)

    def of(self, job: Job) -> dict[str, Any]:
        """Return the job in the form of ``report.jobs``."""
        row, metric = self.rows[job.config.run.folder], self.metric()
        if job is self.sweep.chosen:
            metric = metric and metric.replace("val_", "test_")
        epochs = job.config.train.epochs * folds_of(job)
        label = " ".join(job.overrides) or job.directory.path.name
        shared = {"label": label, "status": row["status"], "epochs": epochs, "metric_name": metric}
        if row["status"] in ENDED:
            value = mean_and_std(row["metrics"].get(metric))[0]
            return shared | {"metric": value, "epoch": row["epochs"], "seconds": row["seconds"], "error": row["error"]}
        directory = self.directory(job)
        folds = fold_folders(directory) if folds_of(job) > 1 else []
        records = [record for each in (directory, *folds) for record in each.records()]
        value = records[-1].get(metric) if records and metric else None
        status = "running" if directory.held() else row["status"]
        seconds = sum(record.get("seconds") or 0.0 for record in records)
        return shared | {"status": status, "metric": value, "epoch": len(records), "seconds": seconds}

    def summary(self) -> dict[str, Any]:
        """Return the content of sweep.json."""
        chosen = self.sweep.chosen
        rows = [self.rows[job.config.run.folder] for job in list(self.sweep.jobs) if job.config.run.folder in self.rows]
        refit_entry = refit.refit_row(chosen, self.directory(chosen), self.folder) if chosen else None
        return self.sweep.summary(rows) | {"refit": refit_entry}

    def write(self) -> None:
        """Write sweep.json."""
        files.write_json(self.folder / "sweep.json", self.summary())

    def records(self) -> list[list[dict[str, Any]]]:
        """Return the lines of metrics.jsonl of each run of the sweep, in the order of the jobs in sweep.json."""
        return [self.directory(job).records() for job in self.sweep.jobs if job.config.run.folder in self.rows]

    def show(self) -> bool:
        """Print the table; write sweep.csv, the pictures and the page; return whether a run is not finished."""
        summary, directory = self.summary(), self.sweep.directory
        write_csv(summary, directory / "sweep.csv")
        with optional(directory / "sweep.png", self.sweep.missing.append):
            draw_sweep(summary, directory / "sweep.png")
        with optional(directory / CURVES, self.sweep.missing.append):
            draw_few(summary, self.records(), directory / CURVES)
        self.sweep.missing += fonts.notices()
        with optional(directory / "report.html", self.sweep.missing.append):
            write_sweep_page(directory / "report.html", summary)
        for line in self.sweep.missing:
            self.say(line)
        with listened_to():
            following = next_step.after_sweep(summary, directory, self.sweep.jobs, self.sweep.chosen)
            show_sweep(self.console, summary, directory, following)
        rows = [*summary["jobs"], *filter(None, [summary["refit"]])]
        return any(row["status"] not in ("finished", "pruned") for row in rows)


def stamp(path: Path) -> int:
    """Return the modification time of the file; 0 if there is none."""
    try:
        return path.stat().st_mtime_ns
    except OSError:
        return 0


def folds_of(job: Job) -> int:
    """Return how many times the job trains."""
    validation = job.config.validation
    return validation.k * validation.repeats if validation.name == "kfold" and validation.fold is None else 1


def fold_folders(directory: RunDirectory) -> list[RunDirectory]:
    """Return the directories of the folds of a run."""
    return [RunDirectory(path) for path in sorted(directory.path.glob(FOLDS))]
