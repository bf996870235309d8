"""Plain data in, a checked ``Config`` out, with every complaint at once.

The walk follows the dataclasses of ``config.py``: unknown and missing keys, wrong types, values out of
range. Data is only compared and copied; nothing named in it is looked up, imported or called.
"""

from __future__ import annotations

import difflib
import json
import os
import re
import types
from dataclasses import asdict, dataclass, fields, is_dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

from d2lrun.config import DATASETS, MODELS, VARIANTS, Config
from d2lrun.errors import Refused

PLACES = ("dataset.dir", "dataset.path")  # of the data: what lies there is compared, not its path
# What may be otherwise in a run that is continued, and still be the same experiment.
CIRCUMSTANCES = ("run.", "sweep.", "dataset.dir", "dataset.mirrors", "train.checkpoint_every", "train.sample_every")
EARLIER = CIRCUMSTANCES  # as config hashes were made before data had fingerprints
CIRCUMSTANCES += ("dataset.path", "device.name")
UNKNOWN = 20  # keys of one group that are not there and are each complained of: to guess what was meant takes time
PLAIN = {bool: "true or false", int: "a whole number", float: "a number", str: "text"}


@dataclass(frozen=True)
class Complaint:
    """``given`` is what the user wrote (key or key=value); ``wanted`` is what would have been right."""

    given: str
    wanted: str

    def __str__(self) -> str:
        return f"{self.given}: {self.wanted}"


class Mismatch(Exception):
    """A value that is not of the type; the message says what was wanted."""


def parse(data: dict[str, Any], complaints: list[Complaint] | None = None) -> Config:
    """Check ``data`` and return it as a Config; raises Refused with all complaints, those given included."""
    complaints = list(complaints or [])
    config = build(Config, data, "", complaints)
    if unfit := misfit(data):  # whose keys are then complained of as well
        complaints = [unfit, *(each for each in complaints if not each.given.startswith(("dataset.", "model.")))]
    if not complaints:
        complaints = contradictions(config)
    refuse(complaints)
    return config


def refuse(complaints: list[Complaint]) -> None:
    """Raise Refused that lists the complaints, if there are any."""
    if not complaints:
        return
    hint = "d2lrun --help lists the groups and options, d2lrun --cfg job prints every key"
    distinct = list(dict.fromkeys(complaints))
    message = str(distinct[0])
    if len(distinct) > 1:
        message = f"{len(distinct)} problems in the configuration" + "".join(f"\n  {each}" for each in distinct)
    refusal = Refused(message, hint)
    refusal.complaints = distinct
    raise refusal


def to_dict(config: Config) -> dict[str, Any]:
    """The config as plain data; ``parse`` takes it back."""
    return asdict(config)


def data_name(dataset: Any) -> str:
    """What the data of a config group ``dataset`` are called, in paths, titles and tables.

    The dataset's own name; of files that are not verified the name of their folder, for they may hold anything.
    """
    if getattr(dataset, "verify", True) or not dataset.dir:
        return dataset.name
    folder = Path(os.path.abspath(os.path.expanduser(dataset.dir)))
    name = folder.parent.name if folder.name == "raw" else folder.name  # torchvision: KMNIST/raw
    return re.sub(r"[^\w.-]+", "-", name).strip("-.")[:60] or dataset.name


def flatten(data: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """{"train": {"epochs": 3}} -> {"train.epochs": 3}."""
    flat: dict[str, Any] = {}
    for key, value in data.items():
        path = f"{prefix}{key}"
        flat.update(flatten(value, f"{path}.") if isinstance(value, dict) else {path: value})
    return flat


def differing(one: Config, other: Config, ignore: tuple[str, ...] = CIRCUMSTANCES) -> list[str]:
    """The keys whose values differ, in the order of the config."""
    left, right = (flatten(to_dict(config)) for config in (one, other))
    return [
        key for key in dict.fromkeys([*left, *right]) if not key.startswith(ignore) and left.get(key) != right.get(key)
    ]


def build(cls: type, data: Any, path: str, complaints: list[Complaint]) -> Any:
    """An instance of the dataclass ``cls`` from a dict, with what does not fit in ``complaints``."""
    if not isinstance(data, dict):
        complaints.append(Complaint(shown(path, data), f"wanted a group of keys: {', '.join(keys_of(cls))}"))
        return None
    known = keys_of(cls)
    unknown = [key for key in data if key not in known]
    for key in unknown[:UNKNOWN]:
        complaints.append(Complaint(f"{join(path, key)}", f"no such key{guess(path, str(key), known)}"))
    if more := unknown[UNKNOWN:]:
        complaints.append(Complaint(join(path, more[0]), f"no such key, nor are {len(more) - 1:,} others after it"))
    values = {}
    for key, kind in known.items():
        where = join(path, key)
        if key not in data:
            complaints.append(Complaint(where, "missing"))
            continue
        values[key] = field_value(kind, data[key], where, complaints, whole=cls is Config)
    return cls(**{key: values.get(key) for key in known})


def field_value(kind: Any, value: Any, where: str, complaints: list[Complaint], whole: bool) -> Any:
    """One key's value: a group of variants, a nested dataclass, or plain data."""
    if whole and where in VARIANTS:
        return variant(where, value, complaints)
    nested = next((arm for arm in arms(kind) if is_dataclass(arm)), None)
    if nested and not (value is None and type(None) in arms(kind)):
        return build(nested, value, where, complaints)
    try:
        return convert(kind, value)
    except Mismatch as mismatch:
        complaints.append(Complaint(shown(where, value), f"wanted {mismatch}"))
        return None


def variant(group: str, value: Any, complaints: list[Complaint]) -> Any:
    """The dataclass of a config group that the group's ``name`` selects."""
    options = VARIANTS[group]
    key = "engine" if group == "sweep" else "name"  # a sweep's name is its folder's
    name = value.get(key) if isinstance(value, dict) else value
    if not isinstance(name, str) or name not in options:
        complaints.append(unknown_option(group, name, list(options)))
        return None
    return build(options[name], value, group, complaints)


def unknown_option(group: str, name: Any, options: list[str]) -> Complaint:
    close = suggestion(str(name), options)
    return Complaint(shown(group, name), f"no such option{close} (have: {', '.join(options)})")


def convert(kind: Any, value: Any) -> Any:
    """``value`` as ``kind``; raises Mismatch. Whole numbers pass as floats, nothing else is bent."""
    origin = get_origin(kind)
    if origin is Annotated:
        inner, interval = get_args(kind)
        try:
            number = convert(inner, value)
        except Mismatch:
            raise Mismatch(f"{PLAIN[inner]} {interval}") from None
        if number not in interval:
            raise Mismatch(f"{PLAIN[inner]} {interval}")
        return number
    if origin is Literal:
        if not any(type(value) is type(one) and value == one for one in get_args(kind)):  # 4.0 is no 4, true no 1
            raise Mismatch("one of " + ", ".join(map(str, get_args(kind))))
        return value
    if origin in (Union, types.UnionType):
        return convert_optional(kind, value)
    if origin is list:
        if not isinstance(value, list):
            raise Mismatch(f"a list of values, each {describe(get_args(kind)[0])}")
        return [convert(get_args(kind)[0], item) for item in value]
    if origin is dict:
        if not isinstance(value, dict):
            raise Mismatch("a mapping")
        return {str(key): convert(get_args(kind)[1], item) for key, item in value.items()}
    if kind is Any:
        return value
    if kind is float and type(value) is int and abs(value) < 2**1023:  # beyond that float() overflows
        value = float(value)
    if type(value) is not kind:
        raise Mismatch(PLAIN[kind])
    return value


def convert_optional(kind: Any, value: Any) -> Any:
    """``T | None``."""
    if value is None:
        return None
    inner = next(arm for arm in get_args(kind) if arm is not type(None))
    try:
        return convert(inner, value)
    except Mismatch as mismatch:
        raise Mismatch(f"{mismatch}, or null") from None


def describe(kind: Any) -> str:
    """What ``kind`` wants, in words."""
    try:
        convert(kind, object())
    except Mismatch as mismatch:
        return str(mismatch)
    raise AssertionError(f"{kind} takes anything")


def misfit(data: dict[str, Any]) -> Complaint | None:
    """A network and a dataset that do not go together."""
    groups = [data.get(group) if isinstance(data, dict) else None for group in ("model", "dataset")]
    model, dataset = (group.get("name") if isinstance(group, dict) else None for group in groups)
    if not isinstance(model, str) or not isinstance(dataset, str) or model not in MODELS or dataset not in DATASETS:
        return None
    takes, holds = MODELS[model].kinds, DATASETS[dataset].kinds
    if set(takes) & set(holds):
        return None
    held, taken = ("rows of a table" if kinds[0] == "table" else kinds[0] for kinds in (holds, takes))
    fitting = ", ".join(name for name, entry in MODELS.items() if set(entry.kinds) & set(holds))
    return Complaint(
        f"model={model} dataset={dataset}",
        f"the dataset holds {held}, the network takes {taken} (for {held}: {fitting})",
    )


def contradictions(config: Config) -> list[Complaint]:
    """What no single key shows: values that do not go together."""
    found = []
    if config.train.patience and config.validation.name in ("none", "once"):
        found.append(
            Complaint(
                f"train.patience={config.train.patience}",
                "the test set never stops a run: add validation=holdout",
            )
        )
    if config.validation.name == "kfold":
        found += fold_contradictions(config.validation)
    if config.optimizer.name == "sgd" and config.optimizer.nesterov and config.optimizer.momentum == 0:
        found.append(Complaint("optimizer.nesterov=true", "wanted optimizer.momentum above 0 with it"))
    if config.schedule.warmup > config.train.epochs:
        found.append(
            Complaint(
                f"schedule.warmup={config.schedule.warmup:g}",
                f"longer than train.epochs={config.train.epochs}",
            )
        )
    model = config.model
    if model.name == "mlp" and len(model.dropout) not in (1, len(model.hidden)):
        wanted = f"wanted one value, or one for each of model.hidden={model.hidden}"
        found.append(Complaint(f"model.dropout={model.dropout}", wanted))
    data = config.dataset
    if data.name == "linear" and len(data.weights) not in (1, data.inputs):
        wanted = f"wanted one value, or one for each of dataset.inputs={data.inputs}"
        found.append(Complaint(f"dataset.weights: {len(data.weights)} values", wanted))
    for key, name in (("run.name", config.run.name), ("sweep.name", config.sweep.name)):
        if name is not None and not is_safe_name(name):
            wanted = "names a folder: wanted at most 80 letters, digits and . - _ behind a first letter or digit"
            found.append(Complaint(f"{key}={name[:40]!r}", wanted))
    metric = config.sweep.metric
    if metric is not None and not metric.startswith("val_"):
        wanted = "wanted a metric of validation, such as val_loss: nothing else may choose"
        found.append(Complaint(f"sweep.metric={metric}", wanted))
    return found


def fold_contradictions(validation: Any) -> list[Complaint]:
    """What does not go together in ``validation=kfold``."""
    fold, k = validation.fold, validation.k
    if fold is None:
        return []
    found = []
    if fold >= k:
        found.append(Complaint(f"validation.fold={fold}", f"wanted 0 to {k - 1}, for validation.k={k}"))
    if validation.repeats > 1:
        wanted = "of a single fold: take validation.fold=null, or sweep over seed"
        found.append(Complaint(f"validation.repeats={validation.repeats}", wanted))
    return found


def is_safe_name(name: str) -> bool:
    plain = name.replace("-", "").replace("_", "").replace(".", "")
    return 0 < len(name) <= 80 and plain.isalnum() and name[0].isalnum()


def keys_of(cls: type) -> dict[str, Any]:
    """The fields of a dataclass with their types, ranges included."""
    hints = get_type_hints(cls, include_extras=True)
    return {field.name: hints[field.name] for field in fields(cls)}


def all_keys() -> list[str]:
    """Every full key that a user may want to set, for suggestions."""
    found: list[str] = []

    def walk(cls: type, path: str) -> None:
        for key, kind in keys_of(cls).items():
            where = join(path, key)
            classes = VARIANTS.get(where, {}).values() if cls is Config else ()
            classes = [*classes] or [arm for arm in arms(kind) if is_dataclass(arm)]
            for nested in classes:
                walk(nested, where)
            found.append(where)

    walk(Config, "")
    return [key for key in dict.fromkeys(found) if not key.startswith(("recipe", "book"))]


def guess(path: str, key: str, known: Any) -> str:
    """The nearest key: beside it first, then the same name in another group, then anywhere."""
    beside = difflib.get_close_matches(key, known, n=1)
    if beside:
        return f"; did you mean {join(path, beside[0])}?"
    everywhere = [where for where in all_keys() if where != join(path, key)]  # which another option may have
    same = [where for where in everywhere if where.rpartition(".")[2] == key]
    close = same or difflib.get_close_matches(join(path, key), everywhere, n=1)
    return f"; did you mean {' or '.join(close)}?" if close else f" (have: {', '.join(known)})"


def suggestion(word: str, options: list[str]) -> str:
    close = difflib.get_close_matches(word, options, n=1)
    return f"; did you mean {close[0]}?" if close else ""


def arms(kind: Any) -> tuple[Any, ...]:
    return get_args(kind) if get_origin(kind) in (Union, types.UnionType) else (kind,)


def join(path: str, key: Any) -> str:
    return f"{path}.{key}" if path else str(key)


def shown(path: str, value: Any) -> str:
    """key=value as one would type it, cut to a readable length."""
    text = json.dumps(value) if value is None or isinstance(value, bool) else str(value)
    return f"{path}={text if len(text) <= 60 else text[:57] + '...'}"
