"""From overrides to a checked config: Hydra composes, and every complaint is collected at the door.

Hydra alone stops at the first wrong key, takes unknown ones behind a ``+``, and never suggests. So the door
composes leniently (every value is forced in) and leaves the judgement to ``schema.py``.
"""

from __future__ import annotations

import os
import re
import sys
from argparse import Namespace
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NoReturn

import hydra
import yaml
from hydra import compose as hydra_compose
from hydra import initialize_config_dir
from hydra._internal.utils import get_args_parser
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from d2lrun import schema
from d2lrun.config import Config, conf_dir
from d2lrun.errors import Refused
from d2lrun.schema import Complaint


def compose(overrides: list[str], config_dir: str | None = None) -> Config:
    """The checked config that ``overrides`` describe; raises Refused with all complaints."""
    return from_hydra(*gather(overrides, config_dir))


def show(overrides: list[str], config_dir: str | None = None) -> str:
    """The composed config as YAML, interpolations as they are written; raises Refused like ``compose``."""
    data, complaints = gather(overrides, config_dir)
    from_hydra(data, complaints)
    return OmegaConf.to_yaml(data)


def gather(overrides: list[str], config_dir: str | None) -> tuple[DictConfig, list[Complaint]]:
    """What Hydra composes, leniently, and the complaints about the overrides themselves."""
    parsed, complaints = parse_overrides(overrides)
    with aside(), initialize_config_dir(str(conf_dir()), version_base="1.3", job_name="d2lrun"):
        lenient = check_options(parsed, config_dir, complaints)
        if config_dir:
            lenient.append(f"hydra.searchpath=['file://{existing_folder(config_dir)}']")
        try:
            return hydra_compose("config", lenient), complaints
        except (HydraException, OmegaConfBaseException, yaml.YAMLError) as error:
            refuse_composition(error, complaints)


@contextmanager
def aside() -> Iterator[None]:
    """Room for a composition inside a job of a sweep, where Hydra's one global state is taken."""
    state = GlobalHydra.instance()
    held, state.hydra = state.hydra, None
    try:
        yield
    finally:
        GlobalHydra.instance().hydra = held  # Hydra put a copy of itself in the place of ``state``


def from_hydra(data: DictConfig, complaints: list[Complaint] | None = None) -> Config:
    """The checked config of what Hydra composed; ``complaints`` are those there are already."""
    try:
        plain = OmegaConf.to_container(data, resolve=True)
    except OmegaConfBaseException as error:
        refuse_composition(error, complaints or [])
    return schema.parse(plain, complaints)


def parse_overrides(overrides: list[str]) -> tuple[list[Override], list[Complaint]]:
    """Each override by itself, so that one typing mistake does not hide the others."""
    parser, parsed, complaints = OverridesParser.create(), [], []
    for text in overrides:
        try:
            parsed += parser.parse_overrides([text])
        except HydraException:
            complaints.append(Complaint(text, "wanted key=value, with quotes around a value of several words"))
    return parsed, complaints


def check_options(parsed: list[Override], config_dir: str | None, complaints: list[Complaint]) -> list[str]:
    """The overrides to compose with: options that exist, and every value forced in."""
    options = group_options(config_dir)
    lenient = []
    for override in parsed:
        key, text = override.key_or_group, override.input_line
        if override.is_sweep_override():
            complaints.append(Complaint(text, "several values; add -m to run one after the other"))
        elif key in options and isinstance(override.value(), str):
            if override.value() in options[key]:
                lenient.append(text)
            else:
                complaints.append(schema.unknown_option(key, override.value(), options[key]))
        elif override.is_delete() or key.startswith(("hydra.", "hydra/")):
            lenient.append(text)
        else:
            lenient.append("++" + text.lstrip("+"))
    return lenient


def group_options(config_dir: str | None) -> dict[str, list[str]]:
    """The options of each config group, those of the user's own folder included."""
    loader = GlobalHydra.instance().config_loader()
    found = {group: set(loader.get_group_options(group)) for group in loader.list_groups("")}
    for path in Path(config_dir).glob("*/*.yaml") if config_dir else ():
        found.setdefault(path.parent.name, set()).add(path.stem)
    return {group: sorted(names) for group, names in found.items() if group != "hydra"}


def existing_folder(config_dir: str) -> Path:
    """The user's own folder of YAML files, which must be data: raises Refused where one would steer Hydra.

    Hydra calls what is named by ``_target_`` in its own part of the config (callbacks, launchers, loggers).
    """
    folder = Path(config_dir).resolve()
    if not folder.is_dir():
        raise Refused(f"--config-dir {config_dir}: no such folder", "give a folder laid out like conf/")
    for path in sorted(folder.rglob("*.yaml")):
        text = path.read_text(encoding="utf-8")
        inside = path.relative_to(folder).parts[0] == "hydra"
        if inside or "_target_" in text or re.search(r"^\s*[\"']?hydra\b.*:", text, re.MULTILINE):
            raise Refused(
                f"{path}: it steers Hydra itself or names code (_target_); files are data here",
                "give Hydra's own options on the command line, such as hydra/launcher=joblib",
            )
    return folder


def refuse_composition(error: Exception, complaints: list[Complaint]) -> NoReturn:
    """Raise Refused for what Hydra, OmegaConf or the YAML reader could not put together."""
    if isinstance(error, yaml.MarkedYAMLError) and error.problem_mark:
        mark = error.problem_mark
        complaint = Complaint(f"{mark.name}:{mark.line + 1}", f"not valid YAML: {error.problem}")
    else:
        complaint = Complaint(getattr(error, "full_key", None) or "config", str(error).strip().splitlines()[0])
    schema.refuse([*complaints, complaint])
    raise AssertionError("a complaint is always refused")


def departures(config: Config) -> list[str]:
    """The keys in which ``config`` departs from the book's recipe for its model."""
    named = config.recipe.experiment
    recipe = compose([f"experiment={named}" if named else f"model={config.model.name}"])
    return schema.differing(config, recipe, ignore=(*schema.CIRCUMSTANCES, "seed", "dataset.seed", "device."))


def parse_command(words: list[str]) -> Namespace:
    """Hydra's own options and the overrides; raises Refused for an option that does not exist."""
    parser = get_args_parser()
    parser.error = lambda message: refuse_option(message, words)
    options, unknown = parser.parse_known_intermixed_args(words)
    if unknown:
        refuse_option(f"{unknown[0]}: no such option", unknown)
    modes = [
        f"--{name}" for name in ("multirun", "cfg", "info", "hydra-help") if getattr(options, name.replace("-", "_"))
    ]
    if len(modes) > 1:
        raise Refused(f"{' and '.join(modes)} do not go together", "give one of them")
    for name in ("config_name", "config_path", "experimental_rerun"):
        if getattr(options, name):
            raise Refused(
                f"--{name.replace('_', '-')} is not used here: the config is conf/config.yaml",
                "add your own groups and options with --config-dir FOLDER",
            )
    return options


def refuse_option(message: str, words: list[str]) -> NoReturn:
    known = [option for action in get_args_parser()._actions for option in action.option_strings]
    strange = [word for word in words if word not in known]
    close = next((close for word in strange if (close := schema.suggestion(word, known))), "")
    raise Refused(f"{message}{close}", "d2lrun --help lists the options")


def hand_to_hydra(words: list[str], job: Callable[[DictConfig], object]) -> None:
    """Let Hydra act on the command line: show its config, complete it, or call ``job`` for each combination."""
    options = parse_command(words)
    if options.config_dir:
        existing_folder(options.config_dir)
    overrides = options.overrides
    sys.argv[1:] = [*(word for word in words if word not in overrides), *overrides]  # it takes no other order
    os.environ["HYDRA_FULL_ERROR"] = "1"  # its errors come as exceptions, to be told in our way
    try:
        hydra.main(version_base="1.3", config_path=str(conf_dir()), config_name="config")(job)()
    except (HydraException, OmegaConfBaseException, yaml.YAMLError) as error:
        refuse_composition(error, [])
