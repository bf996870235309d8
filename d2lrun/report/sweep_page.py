"""report.html of a sweep: its table, its failures and its pictures on one page that works offline."""

from __future__ import annotations

from html import escape
from pathlib import Path
from typing import Any

from d2lrun.counts import counted
from d2lrun.disk import files
from d2lrun.report.page import embed, page_of, table
from d2lrun.report.seen import seen
from d2lrun.report.sweep import (
    FAILED,
    best_words,
    counts,
    group_keys,
    group_status,
    job_name,
    main_metrics,
    mark,
    metric_cell,
    notes_of,
    ranking,
    reason,
    refit_words,
    shown_metrics,
    value_cell,
    words,
)
from d2lrun.report.text import duration

ROWS = 1000  # most rows of each table: a larger page takes seconds to open


def write_sweep_page(path: Path, sweep: dict[str, Any]) -> None:
    """Write the page, with the PNGs in the folder of ``path``."""
    parts = [
        table([], facts(sweep)),
        *map(embed, sorted(path.parent.glob("*.png"))),
        "<h2>Jobs that differ only in seed or fold, together</h2>",
        group_table(sweep),
        failure_table(sweep),
        "<h2>Command</h2>",
        f"<pre>{escape(sweep['command'])}</pre>",
        "<h2>Best configuration</h2>" if sweep.get("best") else "",
        f"<pre>{escape(chr(10).join(sweep['best']['overrides']))}</pre>" if sweep.get("best") else "",
    ]
    files.write_atomic(path, page_of(f"{sweep['name']}: {counts(sweep['jobs'])}", "\n".join(parts)))


def facts(sweep: dict[str, Any]) -> list[list[str]]:
    """Return the rows with the status of the sweep and the ranking metric."""
    rows = [["engine", sweep["engine"]]]
    if sweep["ranked"] and sweep["metric"]:
        first = "highest" if sweep["direction"] == "max" else "lowest"
        rows.append(["ranked by", f"{words(sweep['metric'])}, {first} first"])
    rows += [["seen", text]] if (text := seen(sweep)) else []
    rows += [["note", note] for note in notes_of(sweep)]
    if sweep.get("best"):
        rows.append(["best", best_words(sweep["best"], sweep["metric"])])
    if sweep.get("refit"):
        rows.append(["refit", refit_words(sweep["refit"])])
    rows.append(["time", duration(sum(job.get("seconds") or 0 for job in sweep["jobs"]))])
    if sweep.get("rerun") and any(job["status"] not in ("finished", "pruned") for job in sweep["jobs"]):
        rows.append(["rerun", sweep["rerun"]])
    return rows


def group_table(sweep: dict[str, Any]) -> str:
    """Return a row per group, the best first; ± is the standard deviation over the n runs or folds of a row."""
    keys, metrics, order = group_keys(sweep), main_metrics(sweep), ranking(sweep)
    rows = []
    for number in order[:ROWS]:
        group = sweep["groups"][number]
        cells = [metric_cell(shown_metrics(sweep, group).get(name)) for name in metrics]
        count = max((value.get("n") or 1 for value in group["metrics"].values()), default=0)
        rows.append(
            [
                mark(sweep, number),
                *(value_cell(group, key) for key in keys),
                group_status(sweep, group),
                *cells,
                str(count),
            ]
        )
    more = f"<p>{counted(len(order) - ROWS, 'more row')} in sweep.csv</p>" if len(order) > ROWS else ""
    return table(["", *keys, "status", *map(words, metrics), "n"], rows) + more


def failure_table(sweep: dict[str, Any]) -> str:
    """Return a row per failed job with the reason and the path of its log; an empty text if no job failed."""
    failed = [job for job in sweep["jobs"] if job["status"] in FAILED]
    if not failed:
        return ""
    rows = [[job_name(job), reason(job), f"{job['directory']}/run.log"] for job in failed[:ROWS]]
    return "<h2>Failures</h2>\n" + table(["job", "reason", "log"], rows)
