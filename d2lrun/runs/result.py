"""The content of result.json: the final metrics, their provenance, and the comparison with the book."""

from __future__ import annotations

import platform
from typing import Any

import torch

import d2lrun
from d2lrun.config import complaints, schema
from d2lrun.config.keys import Config
from d2lrun.config.metrics import SPEED, split_of
from d2lrun.disk.rundir import config_hash
from d2lrun.training.fit import State
from d2lrun.training.task import CHANCE_EPOCHS, Split, Subset, Task


def describe(
    config: Config, state: State, task: Task, status: str, changed: list[str] | None, data: dict[str, Any]
) -> dict[str, Any]:
    """Return the content of result.json, with the metrics of the last epoch or of the best epoch by validation.

    ``changed`` are the keys that differ from the book's recipe (None: unknown); ``data`` comes from ``identity.py``.
    """
    epoch = state.best["epoch"] if state.best else len(state.records)
    metrics = final_metrics(state.records, epoch)
    return {
        "status": status,
        "model": config.model.name,
        "dataset": schema.data_name(config.dataset),
        "seed": config.seed,
        "parameters": sum(parameter.numel() for parameter in state.model.parameters()),
        "epochs": len(state.records),
        "selected_epoch": epoch,
        "steps": state.step,
        "seconds": sum(record["seconds"] for record in state.records),
        "metrics": metrics,
        "book": compare_with_book(config, metrics, changed),
        "dead": {"epoch": len(state.records), "hint": advice_at_chance(config)} if task.stuck(state.records) else None,
        "device": str(state.device),
        "precision": config.device.precision,
        "channels_last": config.device.channels_last,
        "compile": config.device.compile,
        "deterministic": config.device.deterministic,
        "threads": torch.get_num_threads(),
        "versions": versions(),
        "config_hash": config_hash(config),
        "data": data,
        "notes": notes(config, task, data),
    }


def notes(config: Config, task: Task, data: dict[str, Any]) -> list[str]:
    """Return remarks that a reader of the metrics must know."""
    remarks = (task.caveat or "").splitlines()
    for name, part in data["parts"].items():
        if part["count"] < part["of"]:
            limit = f"train.limit_batches={config.train.limit_batches}"
            remarks.append(f"{name}: measured on the first {part['count']:,} of {part['of']:,} {task.unit} ({limit})")
    return remarks


def final_metrics(records: list[dict[str, Any]], epoch: int) -> dict[str, float]:
    """Return the metrics of ``epoch`` (from 1); the speed is the mean over all epochs."""
    if not records:
        return {}
    metrics = {key: value for key, value in records[epoch - 1].items() if split_of(key) or key.startswith("weight_")}
    speed = next(key for key in records[0] if key.endswith(SPEED))
    done = sum(record[speed] * record["seconds"] for record in records)
    return metrics | {speed: done / sum(record["seconds"] for record in records)}


def compare_with_book(config: Config, metrics: dict[str, float], changed: list[str] | None) -> dict[str, Any] | None:
    """Return the published band and whether the metrics are inside it.

    None if the book has no result for the recipe; ``inside`` is None if the config differs from the recipe.
    """
    if config.book is None:
        return None
    inside = None
    if changed == [] and set(config.book.band) <= set(metrics):
        inside = all(low <= metrics[name] <= high for name, (low, high) in config.book.band.items())
    return {"section": config.book.section, "band": config.book.band, "inside": inside, "changed": changed}


def compare_with_constant(
    config: Config, task: Task, split: Split[Subset], metrics: dict[str, float], epochs: int
) -> dict[str, Any]:
    """Return {"floor": …}: the metric of the best constant prediction on val, else test, else train.

    If the training metric is not better either, after ``CHANCE_EPOCHS`` or more, also {"dead": …} with what to try.
    """

    def floor(name: str, part: Any) -> dict[str, Any]:
        metric, value = f"{name}_{task.compared}", task.floor(split.train, part)
        return {
            "metric": metric,
            "value": value,
            "constant": task.constant,
            "at_chance": task.at_chance(metrics[metric], value),
        }

    parts = {"val": split.val, "test": split.test, "train": split.train}
    found = floor(*next((name, part) for name, part in parts.items() if f"{name}_{task.compared}" in metrics))
    if not found["at_chance"] or epochs < CHANCE_EPOCHS or not floor("train", split.train)["at_chance"]:
        return {"floor": found}
    return {"floor": found, "dead": {"epoch": epochs, "hint": advice_at_chance(config)}}


def advice_at_chance(config: Config) -> str:
    """Return what to try if a run is no better than guessing."""
    key = (config.recipe.stable or "").partition("=")[0]
    if key and complaints.shown(key, schema.flatten(schema.to_dict(config))[key]) != config.recipe.stable:
        return f"this recipe fails in some runs: try {config.recipe.stable}, or another seed"
    return f"try another optimizer.lr than {config.optimizer.lr:g}, another model.init.name, or another seed"


def versions() -> dict[str, str]:
    """Return the versions of d2lrun, torch and Python."""
    return {"d2lrun": d2lrun.__version__, "torch": torch.__version__, "python": platform.python_version()}
