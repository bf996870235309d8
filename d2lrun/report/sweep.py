"""The output of a sweep for people: a table of its results, its failures, and the same as csv.

``sweep`` is the content of sweep.json. Its groups have the jobs that differ only in seed or fold.
"""

from __future__ import annotations

import csv
import io
from pathlib import Path
from typing import TYPE_CHECKING, Any

from d2lrun.config.metrics import SPEED, mean_and_std, split_of
from d2lrun.disk import files
from d2lrun.report.columns import Column, fitted
from d2lrun.report.tables import files_row, heading, pairs, show
from d2lrun.report.text import counted, duration, measured, say, setting, settings, short_names, shortened, spread

if TYPE_CHECKING:
    from rich.console import Console

NOTES = 3  # most remarks of the runs: sweep.json has all
ROWS = 20  # most rows of the table, and of the failures
FAILED = ("failed", "diverged")
LONGEST = 300  # most characters of a reason: the log has all
STATUSES = ("finished", *FAILED, "pruned", "stopped", "running", "pending")


def show_sweep(console: Console, sweep: dict[str, Any], directory: Path, following: str) -> None:
    """Print the result of a sweep: a row per group, the best first; the failures; the next command ``following``."""
    heading(console, f"{sweep['name']}: {counts(sweep['jobs'])}")
    if sweep["groups"]:
        show_groups(console, sweep)
    show_failures(console, sweep, directory)
    rows = [("best", best_words(sweep["best"], sweep["metric"]))] if sweep.get("best") else []
    rows += [("refit", refit_words(sweep["refit"]))] if sweep.get("refit") else []
    rows += [("seen", text)] if (text := seen_in(sweep)) else []
    rows += [("note", note) for note in notes_of(sweep)]
    rows += files_row(directory)
    if rows:
        console.print()
        console.print(pairs(console, rows))
    say(console, f" directory   {directory}")
    say(console, f" next        {following}")


def seen_in(sweep: dict[str, Any]) -> str | None:
    """Return what its losses show about underfitting and overfitting."""
    from d2lrun.report.seen import seen  # imported here, since it imports this file

    return seen(sweep)


def show_groups(console: Console, sweep: dict[str, Any]) -> None:
    """Print the table, with the meaning of its numbers and the names of dropped columns."""
    order = ranking(sweep)
    best = (sweep.get("best") or {}).get("group")
    place = order[:ROWS].index(best) if best in order[:ROWS] else None
    table, dropped = fitted(console, *layouts(sweep, order[:ROWS]), best=place)
    show(console, table)
    notes = []
    if sweep["ranked"] and sweep["metric"]:
        first = "highest" if sweep["direction"] == "max" else "lowest"
        notes.append(("ranked", f"by {words(sweep['metric'])}, the {first} first"))
    if any(value.get("std") is not None for group in sweep["groups"] for value in group["metrics"].values()):
        notes.append(("±", "standard deviation over the n runs or folds of a row"))
    if len(order) > ROWS:
        notes.append(("more", f"{counted(len(order) - ROWS, 'row')} in sweep.csv"))
    if dropped:
        notes.append(("no room", f"for {', '.join(' '.join(head.split()) for head in dropped)}: see sweep.csv"))
    if notes:
        console.print()
        console.print(pairs(console, notes))


def layouts(sweep: dict[str, Any], order: list[int]) -> list[list[Column]]:
    """Return the columns of the table for the groups in ``order``: one per key, or all keys in one that wraps."""
    groups = [sweep["groups"][number] for number in order]
    signs = [mark(sweep, number) for number in order]
    marks = [Column("", signs)] if any(signs) else []
    keys = group_keys(sweep)
    names = short_names(keys)
    each = [Column(names[key], [value_cell(group, key) for group in groups], number=False) for key in keys]
    together = Column("job", [settings(group["values"], names) for group in groups], number=False)
    if not keys:
        each = [Column("job", [sweep["name"]] * len(groups), number=False)]
        together = each[0]
    rest = value_columns(sweep, groups)
    return [[*marks, *each, *rest], [*marks, together, *rest]]


def mark(sweep: dict[str, Any], number: int) -> str:
    """Return ★ for the best group, = for a group that ties for the first place, – for a group with fewer parts."""
    best = sweep.get("best") or {}
    if number == best.get("group"):
        return "=" if best.get("tied") else "★"
    if number in best.get("tied", []):
        return "="
    return "–" if sweep["groups"][number].get("lacks") else ""


def notes_of(sweep: dict[str, Any]) -> list[str]:
    """Return remarks on the ranking and the metrics."""
    tied, lacking = (sweep.get("best") or {}).get("tied"), any(group.get("lacks") for group in sweep["groups"])
    pruned = any(job["status"] == "pruned" for job in sweep["jobs"])
    return [
        *([sweep["note"]] if sweep.get("note") else []),
        *([f"=: {len(tied) + 1} tie for the first place; the first of them is used"] if tied else []),
        *(["pruned: its values are those of the epoch after which it was stopped, so not ranked"] if pruned else []),
        *(["–: measured on fewer of the parts (seeds, folds) than others, so not ranked"] if lacking else []),
        *sweep.get("notes", [])[:NOTES],
    ]


def value_columns(sweep: dict[str, Any], groups: list[dict[str, Any]]) -> list[Column]:
    """Return the columns for status (if one is not finished, or at chance), metrics by importance, n, and time."""
    columns = []
    if any(job["status"] != "finished" or job.get("at_chance") for job in sweep["jobs"]):
        columns.append(Column("status", [group_status(sweep, group) for group in groups], 90, number=False))
    for place, name in enumerate(main_metrics(sweep)):
        cells = [metric_cell(shown_metrics(sweep, group).get(name)) for group in groups]
        columns.append(Column(words(name, "\n"), cells, 80 - 5 * place if place else 100))
    numbers = [max((value.get("n") or 1 for value in group["metrics"].values()), default=0) for group in groups]
    if any(number > 1 for number in numbers):
        columns.append(Column("n", [str(number) for number in numbers], 66))
    seconds = [sum(sweep["jobs"][job].get("seconds") or 0 for job in group["jobs"]) for group in groups]
    columns.append(Column("time", [duration(value) for value in seconds], 62))
    return columns


def show_failures(console: Console, sweep: dict[str, Any], directory: Path) -> None:
    """Print up to twenty failed jobs, each with its values, the reason, and its log."""
    failed = [job for job in sweep["jobs"] if job["status"] in FAILED]
    if not failed:
        return
    console.print()
    heading(console, counted(len(failed), "failure"))
    for job in failed[:ROWS]:
        say(console, f" ✗ {job_name(job)}: {reason(job)}")
        say(console, f"   {directory / job['directory'] / 'run.log'}")
    if len(failed) > ROWS:
        say(console, f"   {len(failed) - ROWS:,} more in sweep.csv")


def counts(jobs: list[dict[str, Any]]) -> str:
    """Return '12 jobs, 10 finished, 2 failed, 1 at chance'."""
    total = counted(len(jobs), "job")
    numbers = {status: sum(job["status"] == status for job in jobs) for status in STATUSES}
    parts = [f"{number:,} {status}" for status, number in numbers.items() if number]
    if jobs and numbers["finished"] == len(jobs):
        parts = ["all finished" if len(jobs) > 1 else "finished"]
    lost = sum(bool(job.get("at_chance")) for job in jobs)
    return ", ".join([total, *parts, *([f"{lost:,} at chance"] if lost else [])])


def ranking(sweep: dict[str, Any]) -> list[int]:
    """Return the group numbers: ranked groups first, the best at the top; then groups without the metric."""
    numbers = list(range(len(sweep["groups"])))
    name = sweep["metric"]
    if not (sweep["ranked"] and name):
        return numbers
    means = [mean_and_std(group["metrics"].get(name))[0] for group in sweep["groups"]]
    sign = -1 if sweep["direction"] == "max" else 1

    def rank(number: int) -> tuple[bool, bool, float]:
        mean, lacks = means[number], bool(sweep["groups"][number].get("lacks"))
        return (True, False, 0.0) if mean is None else (False, lacks, sign * mean)

    return sorted(numbers, key=rank)


def main_metrics(sweep: dict[str, Any]) -> list[str]:
    """Return the names of the metrics: the ranking metric, then val (else test), train, and speed."""
    names = list(dict.fromkeys(name for group in sweep["groups"] for name in group["metrics"]))
    monitored = [name for name in names if split_of(name) == "val"] or [n for n in names if split_of(n) == "test"]
    monitored.sort(key=lambda name: name.endswith("_loss"))
    train = [name for name in names if split_of(name) == "train"]
    train.sort(key=lambda name: not name.endswith("_loss"))
    first = [sweep["metric"]] if sweep["metric"] in names else []
    return list(dict.fromkeys([*first, *monitored, *train, *names]))


def group_keys(sweep: dict[str, Any]) -> list[str]:
    """Return the swept keys in which the groups differ, without seed and fold, which vary inside a group."""
    return [key for key in sweep["keys"] if any(key in group["values"] for group in sweep["groups"])]


def group_status(sweep: dict[str, Any], group: dict[str, Any]) -> str:
    """Return 'finished', 'diverged', '2 of 3 finished', 'finished, at chance' or 'finished, 1 at chance'."""
    jobs = [sweep["jobs"][job] for job in group["jobs"]]
    found = [job["status"] for job in jobs]
    status = found[0] if len(set(found)) == 1 else f"{found.count('finished')} of {len(found)} finished"
    lost = sum(bool(job.get("at_chance")) for job in jobs)
    return status + (f", {'' if lost == len(jobs) else f'{lost} '}at chance" if lost else "")


def best_words(best: dict[str, Any], name: str | None) -> str:
    """Return the overrides of the best setting, with its metric."""
    value = best["metrics"].get(name) if name else None
    setting = " ".join(best["overrides"]) or "the one setting there is"
    return setting + (f" ({words(name)} {metric_cell(value)})" if name and value else "")


def refit_words(refit: dict[str, Any]) -> str:
    """Return 'on all training data: test accuracy 0.853, test loss 0.410 (measured once, after all choosing)'."""
    if refit["status"] != "finished":
        return f"{refit['status']}: {refit['error'] or 'the same command continues it'}"
    tested = [name for name in refit["metrics"] if split_of(name) == "test"]
    values = [f"{words(name)} {measured(refit['metrics'][name])}" for name in sorted(tested)]
    test_words = f"{', '.join(values)} ({refit['test_set']})" if values else f"test set {refit['test_set']}"
    return f"on all training data: {test_words}"


def job_name(job: dict[str, Any]) -> str:
    """Return the overrides of a job, or its directory if it has none."""
    return " ".join(job["overrides"]) or job["directory"]


def reason(job: dict[str, Any]) -> str:
    """Return why a job failed, in one line."""
    return shortened(" ".join((job.get("error") or f"{job['status']}, without a recorded reason").split()), LONGEST)


def words(name: str, separator: str = " ") -> str:
    """Return 'val accuracy'; a speed includes its unit."""
    unit = name.removesuffix(SPEED)
    return f"{unit}/s" if unit != name else name.replace("_", separator, 1).replace("_", " ")


def shown_metrics(sweep: dict[str, Any], group: dict[str, Any]) -> dict[str, Any]:
    """Return the metrics of a group; if all its runs were pruned, the last metrics of the first run."""
    jobs = [sweep["jobs"][job] for job in group["jobs"]]
    if group["metrics"] or not all(job["status"] == "pruned" for job in jobs):
        return group["metrics"]
    metrics = jobs[0].get("metrics") or {}
    return {name: value if isinstance(value, dict) else {"mean": value} for name, value in metrics.items()}


def value_cell(group: dict[str, Any], key: str) -> str:
    """Return the value of a key in a group as text."""
    return setting(group["values"][key]) if key in group["values"] else ""


def metric_cell(value: dict[str, Any] | None) -> str:
    """Return '0.853 ± 0.004' for {"mean", "std"}."""
    return spread(*mean_and_std(value)) if value else ""


def write_csv(sweep: dict[str, Any], path: Path) -> None:
    """Write a row per job: swept values, directory, status, epochs, seconds, every metric and its std, error."""
    metrics = {f"{name}{end}": None for job in sweep["jobs"] for name, end in metric_columns(job)}
    heads = [*sweep["keys"], "directory", "status", "epochs", "seconds", *metrics, "error"]
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow(heads)
    for job in sweep["jobs"]:
        values = [plain(job["values"].get(key)) if key in job["values"] else "" for key in sweep["keys"]]
        facts = [job["directory"], job["status"], job.get("epochs"), job.get("seconds")]
        numbers = flat_metrics(job["metrics"])
        table.writerow([*values, *facts, *(numbers.get(name) for name in metrics), job.get("error")])
    files.write_atomic(path, text.getvalue().encode("utf-8", "backslashreplace"))


def metric_columns(job: dict[str, Any]) -> list[tuple[str, str]]:
    """Return [("val_loss", ""), ("val_loss", "_std")]; the second only for a K-fold run."""
    return [
        (name, end)
        for name, value in job["metrics"].items()
        for end in (("", "_std") if isinstance(value, dict) else ("",))
    ]


def flat_metrics(metrics: dict[str, Any]) -> dict[str, float | None]:
    """{"val_loss": {"mean": 1, "std": 2}} -> {"val_loss": 1, "val_loss_std": 2}."""
    flat: dict[str, float | None] = {}
    for name, value in metrics.items():
        flat.update(
            {name: value.get("mean"), f"{name}_std": value.get("std")} if isinstance(value, dict) else {name: value}
        )
    return flat


def plain(value: Any) -> Any:
    """Return a config value for a csv cell: numbers unchanged, others as typed on the command line."""
    return value if isinstance(value, (str, int, float)) and not isinstance(value, bool) else setting(value)
