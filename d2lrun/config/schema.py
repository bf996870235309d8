"""Plain data in, a checked ``Config`` out, with all complaints at once.

The check follows the dataclasses of ``keys.py``: unknown and missing keys, wrong types, values out of range. Data are
only compared and copied; no name in them is looked up, imported or called.
"""

from __future__ import annotations

import os
import re
import types
from collections.abc import Iterator, Mapping
from dataclasses import fields, is_dataclass, make_dataclass
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

from d2lrun.config import hints
from d2lrun.config.complaints import Complaint, join, refuse, shown
from d2lrun.config.contradictions import contradictions
from d2lrun.config.keys import ADDED, VARIANTS, Config, Model
from d2lrun.config.metrics import name_of, split_of
from d2lrun.config.tables import DATASETS, INPUTS, MODELS, TASKS, Source, dataset_of, fits
from d2lrun.config.types import OPTION

PLACES = ("dataset.dir", "dataset.path", "dataset.test")  # paths of the data: their content is compared, not the path
# Keys that may change in a continued run: it is still the same experiment.
EARLIER = ("run.", "sweep.", "dataset.dir", "dataset.mirrors", "train.checkpoint_every", "train.sample_every")
CODE = ("model.source.path", "dataset.source.path")  # of code that is not d2lrun's own: its sha256 is compared
CIRCUMSTANCES = (*EARLIER, *CODE, *PLACES[1:], "device.name")  # EARLIER: before data had fingerprints
GROUPS = tuple(field.name for field in fields(Config))  # the first names of all keys
TABLES = {"model": "the table MODELS", "dataset": "the table DATASETS"}
UNKNOWN = "no such key"
MOST_UNKNOWN = 20  # most unknown keys of one group with their own complaint: a suggestion for each takes time
LONGEST = 40  # characters of the name of the user's own data
PLAIN = {bool: "true or false", int: "a whole number", float: "a number", str: "text"}


class Mismatch(Exception):
    """A value of a wrong type; the message says what is wanted."""


def parse(data: dict[str, Any], complaints: list[Complaint] | None = None) -> Config:
    """Check ``data`` and return it as a Config; raises Refused with all complaints, including the given ones."""
    complaints = list(complaints or [])
    config = build(Config, data, "", complaints)
    vague = {each.key for each in complaints if each.key in VARIANTS}
    unfit = misfit(data) if not vague & {"dataset", "model"} else None
    vague |= {"dataset", "model"} if unfit else set()
    kept = [each for each in complaints if each.key.partition(".")[0] not in vague or each.key in VARIANTS]
    complaints = [*([unfit] if unfit else []), *meant(kept, data)]  # the keys of an option follow from the option
    if not complaints:
        complaints = contradictions(config)
    refuse(complaints)
    if config.book is not None:
        config.book.band = measurable(config.book.band, dataset_of(config.dataset).task)
    return config


def completed(data: Any) -> Any:
    """Return a config that an earlier version recorded, which may be anything, with the keys that were added since."""
    if not isinstance(data, dict):
        return data
    for key, value in ADDED.items():
        group, _, name = key.partition(".")
        part = data.get(group, {} if f"{group}.name" in ADDED else None)  # the whole group may be new
        option = part.get("name", value) if isinstance(part, dict) else None
        if isinstance(part, dict) and name not in part and name in keys_of_option(group, option):
            data = {**data, group: {**part, name: value}}
    return data


def keys_of_option(group: str, name: Any) -> set[str]:
    """Return the keys of a config group with the option ``name``; none if there is no such option."""
    cls = VARIANTS[group].get(name) if group in VARIANTS and isinstance(name, str) else None
    cls = keys_of(Config).get(group) if group not in VARIANTS else cls
    return set() if cls is None else set(keys_of(cls))


def measurable(band: dict[str, list[float]], task: str) -> dict[str, list[float]]:
    """Return the part of a band that a task measures; an experiment adds its band to that of its model's chapter."""
    return {name: ends for name, ends in band.items() if not split_of(name) or name_of(name) in TASKS[task].metrics}


def to_dict(config: Config) -> dict[str, Any]:
    """Return the config as plain data; ``parse`` is the inverse."""
    return plain(config)


def plain(value: Any) -> Any:
    """Return dataclasses as dicts, like ``dataclasses.asdict`` at a quarter of its time: values are not copied."""
    if isinstance(value, dict):
        return {key: plain(each) for key, each in value.items()}
    if isinstance(value, list):
        return [plain(each) for each in value]
    names = getattr(value, "__dataclass_fields__", None)
    return value if names is None else {name: plain(getattr(value, name)) for name in names}


def data_name(dataset: Any) -> str:
    """Return the name of the data of a config group ``dataset``, for paths, titles and tables.

    This is the dataset's name. Data of the user's own have the names of their files without suffixes, or of their
    folder: those of ``path``, and of ``dir`` if its files are not verified.
    """
    line = dataset_of(dataset)
    arguments = {} if line.added else line.arguments
    unverified = "verify" in arguments and not dataset.verify
    found = dataset.path if "path" in arguments else dataset.dir if unverified else None
    paths = [found] if isinstance(found, str) else found or []
    given = [Path(os.path.abspath(os.path.expanduser(path))) for path in paths]
    names = [path.parent.name if path.name == "raw" else path.name for path in given]  # torchvision: KMNIST/raw
    stems = [re.sub(r"(?<=.)\.[A-Za-z]\w*$", "", name) for name in names]
    return re.sub(r"[^\w.-]+", "-", "-".join(stems)).strip("-.")[:LONGEST].strip("-.") or dataset.name


def flatten(data: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """{"train": {"epochs": 3}} -> {"train.epochs": 3}."""
    flat: dict[str, Any] = {}
    for key, value in data.items():
        path = f"{prefix}{key}"
        flat.update(flatten(value, f"{path}.") if isinstance(value, dict) else {path: value})
    return flat


def among(key: str, names: tuple[str, ...]) -> bool:
    """Whether a full key is one of ``names``, or belongs to a group in ``names``, such as ``run.`` or ``recipe``."""
    return any(key == name or key.startswith(f"{name.rstrip('.')}.") for name in names)


def differing(one: Config, other: Config, ignore: tuple[str, ...] = CIRCUMSTANCES) -> list[str]:
    """Return the keys whose values differ, in the order of the config."""
    left, right = (flatten(to_dict(config)) for config in (one, other))
    return [key for key in dict.fromkeys([*left, *right]) if not among(key, ignore) and left.get(key) != right.get(key)]


def build(cls: type, data: Any, path: str, complaints: list[Complaint]) -> Any:
    """Return an instance of the dataclass ``cls`` from a dict; add to ``complaints`` what does not fit."""
    if not isinstance(data, dict):
        name = f"{path}.name" if path and "name" in keys_of(cls) and isinstance(data, str) else ""
        wanted = f"wanted a group of keys: {', '.join(keys_of(cls))}{did_you_mean(name)}"
        complaints.append(Complaint(shown(path, data), wanted, name))
        return None
    known = keys_of(cls)
    unknown: list[str] = []
    for key in data:
        if key not in known:
            unknown += flatten({str(key): data[key]}, f"{path}." if path else "") or [join(path, key)]
    complaints += [Complaint(key, UNKNOWN) for key in unknown[:MOST_UNKNOWN]]
    if more := unknown[MOST_UNKNOWN:]:
        complaints.append(Complaint(more[0], f"{UNKNOWN}, nor are {len(more) - 1:,} others after it"))
    values = {}
    for key, kind in known.items():
        where = join(path, key)
        if key not in data:
            complaints.append(Complaint(where, "missing"))
            continue
        values[key] = field_value(kind, data[key], where, complaints, whole=cls is Config)
    return cls(**{key: values.get(key) for key in known})


def field_value(kind: Any, value: Any, where: str, complaints: list[Complaint], whole: bool) -> Any:
    """Return the value of one key: a group of variants, a nested dataclass, or plain data."""
    if whole and where in VARIANTS:
        return variant(where, value, complaints)
    nested = dataclasses_in(kind)
    if nested and not (value is None and type(None) in arms(kind)):
        return build(nested[0], value, where, complaints)
    try:
        return convert(kind, value)
    except Mismatch as mismatch:
        complaints.append(Complaint(shown(where, value), f"wanted {mismatch}"))
        return None


def variant(group: str, value: Any, complaints: list[Complaint]) -> Any:
    """Return the dataclass of a config group that the group's ``name`` selects."""
    options = VARIANTS[group]
    name = value.get(selector(group)) if isinstance(value, dict) else value
    if (option := option_of(group, name)) is None:
        if unloaded := unloaded_option(group, value):
            return build(unloaded, value, group, complaints)
        complaint = unknown_option(group, name, list(options))
        if group in TABLES and not complaint.fix and isinstance(name, str):
            wanted = f"no such option: {TABLES[group]} of d2lrun/config/tables.py has no line for it"
            complaint = Complaint(complaint.given, f"{wanted} (have: {', '.join(options)})")
        complaints.append(complaint)
        return None
    return build(options[option], value, group, complaints)


def option_of(group: str, name: Any) -> str | None:
    """Return the option of a config group that ``name`` selects, if any; cuda:1 selects cuda."""
    name = str(name).partition(":")[0] if group == "device" else name
    return name if isinstance(name, str) and name in VARIANTS[group] else None


def unloaded_option(group: str, value: Any) -> type | None:
    """Return the dataclass of a network or dataset whose recorded code is not loaded; None if ``value`` is not one.

    Its own keys may have any values. What needs the code is refused later (config/plugins.py).
    """
    source, name = (value.get(key) if isinstance(value, dict) else None for key in ("source", "name"))
    if not isinstance(source, dict) or group not in TABLES:
        return None
    if not isinstance(name, str) or not re.fullmatch(OPTION, name, re.ASCII):
        return None
    if group == "dataset" and source.get("task") not in [*TASKS]:  # a list: it may be of any type
        return None
    bases = (Model,) if group == "model" else ()
    own = [key for key in value if key not in ("source", *(keys_of(Model) if bases else ()))]
    try:
        return make_dataclass("Unloaded", [*((key, Any) for key in own), ("source", Source)], bases=bases)
    except (TypeError, ValueError):  # a key that is no name
        return None


def takes(group: str, option: str, key: str, value: Any) -> bool:
    """Whether an option of a config group has a key, and the key takes the value."""
    complaints: list[Complaint] = []
    kind = keys_of(VARIANTS[group][option]).get(key)
    if kind is not None:
        field_value(kind, value, key, complaints, whole=False)
    return kind is not None and not complaints


def unknown_option(group: str, name: Any, options: list[str]) -> Complaint:
    """Return the complaint about an option that a config group does not have."""
    if group == "device":
        return unknown_device(name)
    close = hints.option(group, str(name), options)
    depth = re.findall(r"\d*$", str(name))[0]
    depths = get_args(MODELS[close].arguments.get("depth")) if group == "model" and close in MODELS else ()
    if group == "validation" and re.fullmatch(r"0?\.\d+|\d+", str(name)):
        key = "validation.fraction" if "." in str(name) else "validation.k"
        return Complaint(shown(group, name), f"no such option{did_you_mean(key)}", key)
    if close and depth in map(str, depths):
        close += f" model.depth={depth}"  # resnet50
    more = "; your own needs --plugin FILE.py" if group in TABLES and not close else ""
    wanted = f"no such option{did_you_mean(close)} (have: {', '.join(options)}{more})"
    if isinstance(name, str) and name in VARIANTS.get(group, {}):
        wanted = f"conf/{group}/{name}.yaml is missing"
    return Complaint(shown(group, name), wanted, f"{group}={close}" if close else "")


def unknown_device(name: Any) -> Complaint:
    """Return a complaint about an unknown device. It suggests auto, since only torch knows the devices."""
    several = isinstance(name, list) or "," in str(name)
    close = (None if several else hints.near(str(name), ("cpu", "mps"), likeness=1.0)) or "auto"
    wanted = "one run uses one device" if several else "no such option"
    auto = "auto takes a GPU if there is one, cuda:1 is the second GPU"
    return Complaint(shown("device", name), f"{wanted}{did_you_mean(close)} ({auto})", f"device={close}")


def convert(kind: Any, value: Any) -> Any:
    """Return ``value`` as ``kind``; raises Mismatch.

    A whole number is accepted as a float, and a single value as a list of one value; nothing else is converted.
    """
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
        (inner,) = get_args(kind)
        if isinstance(value, list):
            return [convert(inner, item) for item in value]
        try:
            return [convert(inner, value)]
        except Mismatch as mismatch:
            raise Mismatch(f"a list of values, each {mismatch}") from None
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
    if kind is str and re.search("[\0\ud800-\udfff]", value):
        raise Mismatch("text in UTF-8, without NUL")
    return value


def description(kind: Any) -> str:
    """Return the values of a type in words, such as 'a whole number at least 1'."""
    try:
        convert(kind, object())
    except Mismatch as mismatch:
        return str(mismatch)
    return "any value"


def convert_optional(kind: Any, value: Any) -> Any:
    """Return ``value`` as the first kind of ``S | T | None`` that takes it; raises Mismatch."""
    if value is None and type(None) in get_args(kind):
        return None
    wanted = []
    for inner in get_args(kind):
        if inner is not type(None):
            try:
                return convert(inner, value)
            except Mismatch as mismatch:
                wanted.append(str(mismatch))
    raise Mismatch(", or ".join([*wanted, *(["null"] if type(None) in get_args(kind) else [])]))


def misfit(data: dict[str, Any]) -> Complaint | None:
    """Return a complaint if the network and the dataset do not fit together."""
    groups = [data.get(group) if isinstance(data, dict) else None for group in ("model", "dataset")]
    model, dataset = (group.get("name") if isinstance(group, dict) else None for group in groups)
    if not isinstance(model, str) or not isinstance(dataset, str) or model not in MODELS or dataset not in DATASETS:
        return None
    if fits(model, dataset):
        return None
    takes, holds = MODELS[model].inputs, TASKS[DATASETS[dataset].task].inputs
    fitting = [name for name in MODELS if fits(name, dataset)]
    return Complaint(
        f"model={model} dataset={dataset}",
        f"the dataset holds {INPUTS[holds]}, the network takes {INPUTS[takes[0]]} "
        f"(for {INPUTS[holds]}: {', '.join(fitting)})",
        f"model={fitting[0]}",
    )


def may_fit(model: str, dataset: str | None) -> bool:
    """Whether a network takes the examples of a dataset; True if ``dataset`` is not known."""
    return dataset not in DATASETS or fits(model, dataset)


@cache  # evaluating the annotations takes most of the time of a check
def keys_of(cls: type) -> dict[str, Any]:
    """Return the fields of a dataclass with their types, including ranges."""
    hints = get_type_hints(cls, include_extras=True)
    return {field.name: hints[field.name] for field in fields(cls)}


def every_key(names: Mapping[str, str] | None = None, cls: type = Config, path: str = "") -> Iterator[tuple[str, Any]]:
    """Yield every full key with its type, once for each option of its group that has it.

    For a config group in ``names``, yield only the keys of the named option.
    """
    for key, kind in keys_of(cls).items():
        where = join(path, key)
        options = VARIANTS.get(where, {}) if cls is Config else {}
        classes = [options[names[where]]] if names and where in names else [*options.values()]
        for nested in classes or dataclasses_in(kind):
            yield from every_key(names, nested, where)
        yield where, kind


def all_keys(names: Mapping[str, str] | None = None) -> list[str]:
    """Return every full key that a user may set, for suggestions; ``names`` as in ``every_key``."""
    keys = dict.fromkeys(key for key, _ in every_key(names))
    return [key for key in keys if not key.startswith(("recipe", "book"))]


@cache
def kinds() -> dict[str, set[Any]]:
    """Return the types that each full key may have, without null."""
    types: dict[str, set[Any]] = {}
    for key, kind in every_key():
        types.setdefault(key, set()).update(arm for arm in arms(kind) if arm is not type(None))
    return types


def is_text(key: str) -> bool:
    """Whether the key holds text of any kind, or a list of such texts."""
    return not {str, list[str]}.isdisjoint(kinds().get(key, ()))


def is_list(key: str) -> bool:
    """Whether the key may hold a list."""
    return any(get_origin(kind) is list for kind in kinds().get(key, ()))


def meant(complaints: list[Complaint], data: Any) -> list[Complaint]:
    """Return the complaints, with a suggestion for each unknown key, given the options that ``data`` selects."""
    options = {group: option_of(group, chosen(group, data)) for group in VARIANTS}
    names = {group: name for group, name in options.items() if name is not None}
    return [unknown_key(each.key, names) if each.wanted == UNKNOWN else each for each in complaints]


def chosen(group: str, data: Any) -> Any:
    """Return the option of a config group in ``data``."""
    value = data.get(group) if isinstance(data, Mapping) else None
    return value.get(selector(group)) if isinstance(value, Mapping) else None


def selector(group: str) -> str:
    """Return the key of a config group that names its option; in a sweep, ``name`` is the name of the folder."""
    return "engine" if group == "sweep" else "name"


def unknown_key(key: str, names: dict[str, str]) -> Complaint:
    """Return the complaint about a key that the chosen options do not have."""
    path, _, last = key.rpartition(".")
    group = path.partition(".")[0]
    owners = [name for name, cls in VARIANTS.get(path, {}).items() if last in keys_of(cls)]
    if owners and path in names:
        fitting = [name for name in owners if path != "model" or may_fit(name, names.get("dataset"))] or owners
        wanted = f"belongs to {hints.enumerated(owners)}; {names[path]} has none"
        if path not in ("model", "dataset", "optimizer"):
            wanted = f"needs {' or '.join(f'{path}={name}' for name in owners)}"
        return Complaint(key, wanted, f"{path}={fitting[0]}")
    here = all_keys(names)
    beside = [each for each in here if each.rpartition(".")[0] == path]
    everywhere = list(dict.fromkeys([*here, *all_keys()]))
    same = [each for each in [*beside, *everywhere] if hints.plain(each.rpartition(".")[2]) == hints.plain(last)]
    if not same and (reason := hints.needless(last)):
        return Complaint(key, f"{UNKNOWN}; leave it out: {reason}", "~")
    close = next((each for each in same if each in beside), None) or hints.key_of(last) or next(iter(same), None)
    close = close or near_key(last, beside)
    close = close or near_key(last, [each for each in everywhere if group and each.startswith(f"{group}.")])
    close = close or hints.near(key, everywhere, 0.85) or near_key(last, everywhere, 0.85)
    if close and close != key:
        return renamed(key, close)
    have = ", ".join(each.rpartition(".")[2] for each in beside or keys_of(Config))
    return Complaint(key, f"{UNKNOWN} (have: {have})")


def near_key(last: str, keys: list[str], likeness: float = hints.NEAR) -> str | None:
    """Return the key whose last part is similar to ``last``."""
    lasts = {each.rpartition(".")[2]: each for each in reversed(keys)}
    near = hints.near(last, lasts, likeness)
    return lasts[near] if near else None


def renamed(key: str, close: str) -> Complaint:
    """Return the complaint about an unknown key, with the similar key ``close`` as suggestion."""
    return Complaint(key, f"{UNKNOWN}{did_you_mean(close)}", close)


def did_you_mean(name: str | None) -> str:
    """Return '; did you mean NAME?', or an empty text."""
    return f"; did you mean {name}?" if name else ""


def suggestion(word: str, options: list[str]) -> str:
    """Return '; did you mean …?' with the similar option, or an empty text."""
    return did_you_mean(hints.near(word, options))


def arms(kind: Any) -> tuple[Any, ...]:
    """Return the types of a union, or the single type."""
    return get_args(kind) if get_origin(kind) in (Union, types.UnionType) else (kind,)


@cache
def dataclasses_in(kind: Any) -> tuple[type, ...]:
    """The arms of a type that are dataclasses."""
    return tuple(arm for arm in arms(kind) if isinstance(arm, type) and is_dataclass(arm))
