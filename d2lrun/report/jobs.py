"""The jobs of a running sweep: a row per job on a terminal; without a terminal, a line per ended job.

Pure functions of plain data. A job is {"label", "status", "epoch", "epochs", "metric", "seconds"}, with "error" if it
failed, and "metric_name" to show it in its line. An unknown value is None or missing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from d2lrun.report.columns import Column, cell_text, fitted
from d2lrun.report.text import duration, measured, shortened

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

RECENT = 5  # last ended jobs that stay visible if there are more rows than lines
AROUND = 4  # lines that are not rows: head, rule, counts, and the line of the cursor
ORDER = ("finished", "failed", "diverged", "pruned", "stopped", "running", "pending")


class Display:
    """The live view of all jobs; ``metric`` is the name of their metric."""

    def __init__(self, console: Console, metric: str = "metric"):
        self.console, self.metric = console, metric.replace("_", " ")

    def rows(self, jobs: list[dict[str, Any]]) -> RenderableType:
        """Return a row per job if they fit the height, else the running and last ended jobs; then the counts."""
        from rich.console import Group

        shown = visible(jobs, max(1, self.console.height - AROUND))
        return Group(*([self.table(shown)] if shown else []), cell_text(self.console, progress_line(jobs)))

    def table(self, jobs: list[dict[str, Any]]) -> RenderableType:
        """Return the table with a row for each of the jobs."""
        width = max(16, self.console.width - 40)
        labels = without_common([job["label"] for job in jobs])
        columns = [
            Column("job", [shortened(label, width) for label in labels], number=False),
            Column("status", [job["status"] for job in jobs], 90, number=False),
            Column(self.metric, [metric_of(job) for job in jobs], 80),
            Column("epoch", [epoch_of(job) for job in jobs], 60),
            Column("left", [left_of(job) for job in jobs], 70),
        ]
        return fitted(self.console, columns)[0]


def visible(jobs: list[dict[str, Any]], height: int) -> list[dict[str, Any]]:
    """Return all jobs, or the running jobs with the last ended jobs before them and the next jobs after them."""
    if len(jobs) <= height:
        return jobs
    running = [job for job in jobs if job["status"] == "running"][:height]
    ended = [job for job in jobs if job["status"] not in ("pending", "running")]
    recent = ended[-min(RECENT, height - len(running)) :] if height > len(running) else []
    chosen = {id(job) for job in (*running, *recent)}
    return [job for job in jobs if id(job) in chosen]


def without_common(labels: list[str]) -> list[str]:
    """Return labels of words such as lr=0.1, without the words that all labels share."""
    shared = set.intersection(*(set(label.split()) for label in labels)) if len(labels) > 1 else set()
    return [" ".join(word for word in label.split() if word not in shared) or label for label in labels]


def progress_line(jobs: list[dict[str, Any]]) -> str:
    """Return '12 finished, 2 running, 986 pending, about 3 h 5 min left'."""
    numbers = {status: sum(job["status"] == status for job in jobs) for status in ORDER}
    parts = [f"{number:,} {status}" for status, number in numbers.items() if number]
    seconds = total_left(jobs)
    return ", ".join([*parts, *([f"about {duration(seconds)} left"] if seconds else [])])


def total_left(jobs: list[dict[str, Any]]) -> float | None:
    """Return the seconds to the end of the sweep, with as many jobs at a time as now; None if unknown."""
    running = [job for job in jobs if job["status"] == "running"]
    pending = sum(job["status"] == "pending" for job in jobs)
    ahead = [seconds for job in running if (seconds := job_left(job)) is not None]
    whole = [job["seconds"] for job in jobs if job["status"] == "finished" and job.get("seconds")]
    whole = whole or [seconds + job["seconds"] for job in running if (seconds := job_left(job)) is not None]
    if not whole:
        return None
    mean = sum(whole) / len(whole)
    unknown = len(running) - len(ahead)
    return (sum(ahead) + (unknown + pending) * mean) / max(1, len(running))


def job_left(job: dict[str, Any]) -> float | None:
    """Return the seconds that a running job still needs, by its speed so far; None in its first epoch."""
    if job["status"] != "running" or not (job.get("epoch") and job.get("epochs") and job.get("seconds")):
        return None
    return job["seconds"] / job["epoch"] * max(0, job["epochs"] - job["epoch"])


def job_line(job: dict[str, Any], number: int | None = None, total: int | None = None) -> str:
    """Return the line of an ended job: '3/12 finished: model=mlp lr=0.1  metric 0.853  epoch 2/2  1.8 s'."""
    head = f"{number:>{len(str(total))}}/{total} " if number is not None and total is not None else ""
    if job.get("error"):
        return f"{head}{job['status']}: {job['label']}: {' '.join(job['error'].split())}"
    name = str(job.get("metric_name") or "metric").replace("_", " ")
    parts = [
        f"{head}{job['status']}: {job['label']}",
        f"{name} {metric_of(job)}" if job.get("metric") is not None else "",
        f"epoch {epoch_of(job)}" if job.get("epoch") else "",
        duration(job["seconds"]) if job.get("seconds") is not None else "",
    ]
    return "  ".join(filter(None, parts))


def metric_of(job: dict[str, Any]) -> str:
    """Return the metric of a job as text; an empty text if there is none."""
    return "" if job.get("metric") is None else measured(job["metric"])


def epoch_of(job: dict[str, Any]) -> str:
    """Return '2/10'; nothing before the first epoch has ended."""
    if not job.get("epoch"):
        return ""
    return f"{job['epoch']}/{job['epochs']}" if job.get("epochs") else f"{job['epoch']}"


def left_of(job: dict[str, Any]) -> str:
    """Return the remaining time of a running job, or the total time of an ended job."""
    if job["status"] == "running":
        seconds = job_left(job)
        return "" if seconds is None else f"{duration(seconds)} left"
    return duration(job["seconds"]) if job.get("seconds") else ""
