"""Compose a checked config from overrides with Hydra, and collect all complaints.

Hydra alone stops at the first wrong key, accepts unknown keys after a ``+``, and makes no suggestions. So this file
composes leniently (every value is forced in), and ``schema.py`` checks the result.
"""

from __future__ import annotations

import copy
import glob
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from typing import Any, NoReturn, cast

import yaml
from hydra import compose as hydra_compose
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf, open_dict
from omegaconf.errors import OmegaConfBaseException

from d2lrun.config import hydra_internal, registry, schema, user_yaml
from d2lrun.config.complaints import Complaint, refuse
from d2lrun.config.keys import ADDED, VARIANTS, Config, Grid, Search, conf_dir
from d2lrun.config.overrides import as_text, is_hydras, is_key, quoted, readable
from d2lrun.config.tables import BY_GROUP, DATASETS, MODELS, TASKS, fits
from d2lrun.config.types import DeviceNames
from d2lrun.errors import Refused

FAULTS = (HydraException, OmegaConfBaseException, yaml.YAMLError)  # errors of a composition
ROUNDS = 5  # of suggestions that follow from each other


def compose(overrides: list[str], config_dir: str | None = None) -> Config:
    """Return the checked config that ``overrides`` describe; raises Refused with all complaints."""
    return compose_all([overrides], config_dir)[0]


def reader(words: list[str]) -> list[str]:
    """Return the override for a network that takes the dataset in ``words``; none if they name no dataset."""
    chosen = [word.removeprefix("dataset=") for word in words if word.startswith("dataset=")]
    if not chosen or chosen[-1] not in DATASETS:
        return []
    return [f"model={next(model for model in MODELS if fits(model, chosen[-1]))}"]


def show(overrides: list[str], config_dir: str | None = None) -> str:
    """Return the composed config as YAML, with interpolations as written; raises Refused like ``compose``."""
    known = Known() if config_dir else SHIPPED
    compose_all([overrides], config_dir, known)
    data, _ = gather(overrides, config_dir, known)
    return OmegaConf.to_yaml(data)


def gather(
    overrides: list[str], config_dir: str | None, known: Known | None = None
) -> tuple[DictConfig, list[Complaint]]:
    """Compose leniently with Hydra; return the result and the complaints about the overrides themselves."""
    with composer(config_dir, known) as gathered:
        return gathered(overrides)


@dataclass
class Known:
    """A cache for repeated compositions: options by group, and configs by choices.

    ``used`` has the key and value of every override so far, including options.
    """

    options: dict[str, list[str]] = field(default_factory=dict)
    composed: dict[tuple[str, ...], DictConfig] = field(default_factory=dict)
    used: set[tuple[str, str]] = field(default_factory=set)


SHIPPED = Known()  # of conf/ and of the lines that were added to the tables


def forget() -> None:
    """Clear what was composed before a line was added to the tables."""
    SHIPPED.options, SHIPPED.composed = {}, {}
    compose_recipe.cache_clear()
    parse_override.cache_clear()  # a word is read by the type of its key


registry.CACHES.append(forget)


def compose_all(
    combinations: list[list[str]], config_dir: str | None = None, known: Known | None = None
) -> list[Config]:
    """Return the checked config of each list of overrides; raises Refused with the complaints of all of them.

    At least one list, or a list that was composed before with the same ``known``, must use an option of ``config_dir``.
    """
    known = known or (Known() if config_dir else SHIPPED)
    configs: list[Config] = []
    complaints: dict[Complaint, None] = {}  # in order, each once
    explained: set[Complaint] = set()
    with composer(config_dir, known) as gathered:
        for overrides in combinations:
            raw = refused(overrides, gathered, configs)
            if not explained.issuperset(raw):
                explained.update(raw)
                complaints |= dict.fromkeys(consistent(overrides, raw, gathered)[0])
    refuse(list(complaints))
    user_yaml.refuse_unused(config_dir, known.used)
    return configs


Gathered = Callable[[list[str]], tuple[DictConfig, list[Complaint]]]


def refused(overrides: list[str], gathered: Gathered, configs: list[Config]) -> list[Complaint]:
    """Return the complaints about ``overrides``; without complaints, append their config to ``configs``."""
    try:
        configs.append(from_hydra(*gathered(overrides)))
    except Refused as refusal:
        if not (complaints := getattr(refusal, "complaints", [])):
            raise
        return complaints
    return []


def consistent(
    overrides: list[str], complaints: list[Complaint], gathered: Gathered
) -> tuple[list[Complaint], list[str]]:
    """Return complaints whose suggestions together lead to no further complaint, and the corrected overrides.

    Each suggestion is applied, and complaints about the result are added. Misspelled options are corrected first,
    since they decide which keys exist. An option that the user has named stays: a key that it lacks is left out.
    """
    reported: list[Complaint] = []
    named = {key_of(word): word for word in overrides}
    for _ in range(ROUNDS):
        fixed = [each for each in complaints if each.fix and each not in reported]
        fixed = [each for each in fixed if each.key in VARIANTS] or fixed
        for each in fixed:
            complaint = yielded(each, named)
            changed = corrected(overrides, complaint)
            reported.append(complaint if changed != overrides else each)
            overrides = changed
            named = {key_of(word): word for word in overrides}
        if not fixed:
            break
        complaints = refused(overrides, gathered, [])
    return [*reported, *(each for each in complaints if not each.fix)], overrides


def yielded(complaint: Complaint, named: dict[str, str]) -> Complaint:
    """Return a complaint about a key that needs another option; if the user chose an option, the key goes."""
    if "=" in complaint.given or "=" not in complaint.fix:
        return complaint
    if word := named.get(key_of(complaint.fix)):
        return Complaint(complaint.given, f"{complaint.wanted}; leave it out with {word}", "~")
    return Complaint(complaint.given, f"{complaint.wanted}; add {complaint.fix}", complaint.fix)


def key_of(word: str) -> str:
    """Return the key of an override: +model@place=lenet has the key model."""
    return re.split(r"[=@]", word, maxsplit=1)[0].lstrip("+~")


def corrected(overrides: list[str], complaint: Complaint) -> list[str]:
    """Return the overrides with the suggestion of a complaint applied."""
    fix, key = complaint.fix, complaint.key
    if "=" in fix:
        words = fix.split()
        return [*(word for word in overrides if key_of(word) not in map(key_of, words)), *words]
    kept = [word for word in overrides if key_of(word) != key]
    if fix == "~":
        return kept
    renamed = [f"{fix}={word.partition('=')[2]}" for word in overrides if key_of(word) == key]
    return [*renamed, *kept]  # if a key has two values, the last counts: the user's own


@contextmanager
def composer(
    config_dir: str | None, known: Known | None = None
) -> Iterator[Callable[[list[str]], tuple[DictConfig, list[Complaint]]]]:
    """Yield a function that works like ``gather`` and is fast for many calls.

    Hydra composes once for each choice of options (0.06 s), and the values are set in a copy of the result (1 ms), in
    the same way as in Hydra.
    """
    known = known or (Known() if config_dir else SHIPPED)
    folder = f"file://{user_yaml.existing_folder(config_dir)}" if config_dir else ""
    search = [f"hydra.searchpath=[{quoted(folder, refers=True)}]"] if folder else []  # Hydra resolves no ${…} in it

    def composed(choices: tuple[str, ...]) -> DictConfig:
        if choices not in known.composed:
            check_files(choices)
            data = hydra_compose("config", [*choices, *search])
            give_way(data, choices, lambda choice: composed((choice,)))
            known.composed[choices] = data
        return known.composed[choices]

    def gathered(overrides: list[str]) -> tuple[DictConfig, list[Complaint]]:
        parsed, complaints = parse_overrides(overrides)
        choices, values = check_options(parsed, known.options, complaints)
        known.used |= {(each.key_or_group, value) for each in parsed if isinstance(value := each.value(), str)}
        try:
            data = copy.deepcopy(composed(tuple(choices)))
            for override in values:
                if override.is_delete():
                    hydra_internal.delete(override, data)
                    continue
                if unlike := chooses_another(override, data):
                    complaints.append(unlike)
                    continue
                OmegaConf.update(data, override.key_or_group, override.value(), merge=True, force_add=True)
            return data, complaints
        except FAULTS as error:
            refuse_composition(error, complaints)

    with aside(), hydra_internal.initialised():
        known.options = known.options or group_options(config_dir)
        yield gathered


def give_way(data: DictConfig, choices: tuple[str, ...], alone: Callable[[str], DictConfig]) -> None:
    """Remove from ``data`` the keys that a recipe sets for an option, if another option of its group is chosen.

    A key is removed if the chosen option does not take it and another option does. If a single choice sets such a key,
    it is a mistake in its file, and the key stays, unless the file of the chosen model sets it: an experiment that
    chooses a model and a dataset is two choices. ``alone`` composes a single choice.
    """
    single: list[DictConfig] = []
    model = (f"model={schema.option_of('model', schema.chosen('model', data))}",)
    for group in VARIANTS:
        name = schema.option_of(group, schema.chosen(group, data))
        if name is None or choices in ((), model):
            continue
        values = as_dict(data[group])
        strays = [key for key, value in values.items() if not schema.takes(group, name, key, value)]
        strays = [key for key in strays if any(schema.takes(group, each, key, values[key]) for each in VARIANTS[group])]
        single = single or [alone(choice) for choice in (choices if len(choices) > 1 else model) if strays]
        if len(choices) == 1:
            strays = [key for key in strays if any(key in each[group] for each in single)]
        own = [as_dict(each[group]) for each in single if schema.chosen(group, each) == name]
        grid = (data.sweep.get("grid") or {}) if len(choices) > 1 else {}
        aimless = [key for key in grid if key.startswith(f"{group}.") and key not in schema.all_keys({group: name})]
        with open_dict(data):
            for key in strays:
                said = [each[key] for each in own if key in each]
                if said and values[key] not in said:
                    data[group][key] = said[0]
                elif not said:
                    del data[group][key]
            for key in aimless:
                del grid[key]
    entry = DATASETS.get(schema.chosen("dataset", data))
    if len(choices) > 1 and entry and not TASKS[entry.task].augments and "augment" not in map(key_of, choices):
        data.augment = {key: ADDED[f"augment.{key}"] for key in data.augment}  # of an experiment with images


def chooses_another(override: Override, data: DictConfig) -> Complaint | None:
    """Return a complaint about model.name=lenet if another option is chosen: keys of lenet would be missing."""
    group, _, key = override.key_or_group.partition(".")
    if group not in VARIANTS or key != schema.selector(group) or group == "device":
        return None
    if override.value() == schema.chosen(group, data):
        return None
    return Complaint(override.key_or_group, f"the group chooses the option{schema.did_you_mean(group)}", group)


@contextmanager
def aside() -> Iterator[None]:
    """Allow a composition inside a job of a sweep, although Hydra's global state is in use."""
    state = GlobalHydra.instance()
    held, state.hydra = state.hydra, None
    try:
        yield
    finally:
        GlobalHydra.instance().hydra = held  # Hydra replaced ``state`` with a copy


def sweep_settings(
    overrides: list[str], config_dir: str | None = None, known: Known | None = None
) -> tuple[Grid | Search, str]:
    """Return the config group ``sweep`` that the fixed overrides of a sweep describe, and run.root; raises Refused."""
    data, _ = gather(overrides, config_dir, known)
    plain = resolved(data, [])
    complaints: list[Complaint] = []
    settings = schema.variant("sweep", plain.get("sweep"), complaints)
    refuse(schema.meant(complaints, plain))
    return settings, str(schema.flatten(plain).get("run.root"))


def from_hydra(data: DictConfig, complaints: list[Complaint] | None = None) -> Config:
    """Check what Hydra composed and return the Config; ``complaints`` are earlier complaints. Raises Refused."""
    config = schema.parse(resolved(data, complaints or []), complaints)
    for name, table in BY_GROUP.items():
        option: Any = getattr(config, name)
        line = table.get(option.name)
        if getattr(option, "source", None) != (line and line.added and line.added.source):
            refuse([Complaint(f"{name}.source", "it follows from the code: leave it out", "~")])
    group = getattr(config.validation, "group", None)
    if group and config.dataset.group is None:  # the dataset has columns, or parse raises Refused
        config.dataset.group = group
    return config


def resolved(data: DictConfig, complaints: list[Complaint]) -> dict[str, Any]:
    """Return what Hydra composed as plain data, with every ${…} replaced by its value; raises Refused."""
    try:
        return as_dict(data, resolve=True)
    except FAULTS as error:
        refuse_composition(error, complaints)


def as_dict(data: DictConfig, resolve: bool = False) -> dict[str, Any]:
    """A mapping of OmegaConf's as plain data, with ``resolve`` every ${…} replaced by its value."""
    return cast("dict[str, Any]", OmegaConf.to_container(data, resolve=resolve))


def parse_overrides(overrides: list[str]) -> tuple[list[Override], list[Complaint]]:
    """Parse each override separately, so that one typing mistake does not hide the others."""
    parsed, complaints = [], []
    for text in overrides:
        try:
            parsed.append(parse_override(text))
        except HydraException:
            complaints.append(Complaint(text, "wanted key=value, with quotes around a value of several words"))
    return parsed, complaints


@cache
def parse_override(word: str, several: bool = False) -> Override:
    """Parse an override as the user typed it; ``several`` if commas separate the values of a sweep.

    A value that Hydra's grammar cannot read becomes a text. Raises HydraException for a word without a key.
    """
    parser = OverridesParser.create()
    if not is_key(word.partition("=")[0]):
        raise HydraException(f"{word}: no key")
    try:
        return parser.parse_override(readable(word, several))
    except HydraException:
        if "=" not in word:
            raise
        return parser.parse_override(as_text(word))


def check_options(
    parsed: list[Override], options: dict[str, list[str]], complaints: list[Complaint]
) -> tuple[list[str], list[Override]]:
    """Return the overrides that Hydra composes, such as existing options, and the values to force in after that."""
    choices, values = [], []
    for override in parsed:
        key, text = override.key_or_group, override.input_line or ""
        if override.is_sweep_override():
            value = text.partition("=")[2]
            listed = f"; one list is '{key}=[{value}]'" if schema.is_list(key) and "(" not in value else ""
            wanted = Complaint(
                text, f"several values; add -m to run one after the other, or in Python call d2lrun.sweep{listed}"
            )
            strange = key == "device" and [name for name in text.partition("=")[2].split(",") if not is_device(name)]
            complaints.append(schema.unknown_device(text.partition("=")[2]) if strange else wanted)
        elif key in options and override.is_delete() and isinstance(override.value(), (str, type(None))):
            choices.append(text)
        elif key == "device" and is_device(override.value()):
            choices.append(f"device={schema.option_of('device', override.value())}")
            values.append(parse_override(f"device.name={override.value()}"))
        elif key in options and not isinstance(override.value(), dict):
            if override.value() in options[key]:
                choices.append(text)
            elif override.value() is None and key not in VARIANTS:  # null is the default
                choices = [choice for choice in choices if key_of(choice) != key]
            else:
                misnamed = next((conf_dir() / key).glob(f"{glob.escape(str(override.value()))}.[yY]*"), None)
                if misnamed:
                    user_yaml.check(misnamed)
                complaints.append(schema.unknown_option(key, override.value(), options[key]))
        elif is_hydras(text):
            complaints.append(Complaint(text, f"not used in a single run; {instead_of(key)}"))
        elif override.package is not None or (key in options and override.is_delete()):
            complaints.append(Complaint(text, f"wanted GROUP=OPTION, a group such as {', '.join(options)}"))
        else:
            values.append(override)
    return choices, values


def instead_of(key: str) -> str:
    """Return what to use instead of a key of Hydra's own config."""
    if key.startswith(("hydra/launcher", "hydra.launcher", "hydra.sweep")):
        return "add -m: a launcher carries out the runs of a sweep"
    return "run.dir=FOLDER names its folder" if key.startswith("hydra.run") else "d2lrun --help lists the keys"


def check_files(choices: tuple[str, ...]) -> None:
    """Check the files of conf/ that the choices name, including the user's own; raises Refused."""
    for choice in choices:
        path = conf_dir() / key_of(choice) / f"{choice.partition('=')[2]}.yaml"
        if path.is_file() or path.is_symlink():
            user_yaml.check(path)


def is_device(name: object) -> bool:
    """Whether ``name`` is the name of a device, such as cuda:1."""
    return isinstance(name, str) and name in DeviceNames()


def group_options(config_dir: str | None) -> dict[str, list[str]]:
    """Return the options of each config group, including the user's own folder."""
    loader = GlobalHydra.instance().config_loader()
    groups = {group: set(loader.get_group_options(group)) for group in loader.list_groups("")}
    for group, option in user_yaml.options(config_dir) if config_dir else ():
        groups.setdefault(group, set()).add(option)
    return {group: sorted(names) for group, names in groups.items() if group != "hydra"}


def refuse_composition(error: Exception, complaints: list[Complaint]) -> NoReturn:
    """Raise Refused for an error of Hydra, OmegaConf or the YAML parser."""
    if isinstance(error, yaml.MarkedYAMLError) and error.problem_mark:
        mark = error.problem_mark
        complaint = Complaint(f"{mark.name}:{mark.line + 1}", f"not valid YAML: {error.problem}")
    else:
        complaint = Complaint(getattr(error, "full_key", None) or "config", str(error).strip().splitlines()[0])
    refuse([*complaints, complaint])
    raise AssertionError("a complaint is always refused")


# Keys that do not matter for the comparison with the book: place, device, seed, and keys that follow from the recipe.
IRRELEVANT = (*schema.CIRCUMSTANCES, "seed", "dataset.seed", "device.", "recipe.", "book.", "validation.refit")


def departures(config: Config) -> list[str]:
    """Return the keys in which ``config`` differs from the book's recipe for its model."""
    named = config.recipe.experiment
    recipe = compose_recipe(f"experiment={named}" if named else f"model={config.model.name}")
    return schema.differing(config, recipe, ignore=IRRELEVANT)


@cache
def compose_recipe(choice: str) -> Config:
    """Return the book's config for a model or experiment, given as an override."""
    return compose([choice])
