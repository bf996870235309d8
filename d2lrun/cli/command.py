"""Parse a command line: Hydra's own options, and words in the style of other tools such as ``--lr 0.1``."""

from __future__ import annotations

import os
import re
import shlex
import sys
from argparse import Namespace
from collections.abc import Callable
from typing import NoReturn

from omegaconf import DictConfig

from d2lrun.config import hints, hydra_internal, schema, user_yaml
from d2lrun.config.compose import (
    FAULTS,
    composer,
    consistent,
    corrected,
    parse_override,
    refuse_composition,
    refused,
)
from d2lrun.config.keys import VARIANTS, conf_dir
from d2lrun.config.several import expand
from d2lrun.errors import Refused

MODES = ("multirun", "run", "cfg", "info", "hydra-help")
UNUSED = ("config_name", "config_path", "experimental_rerun")  # options of Hydra that are refused


def parse(words: list[str]) -> Namespace:
    """Parse Hydra's own options and the overrides; raises Refused for an option that does not exist."""
    parser = hydra_internal.options_parser()
    parser.error = lambda message: refuse_option(message, words)  # type: ignore[method-assign]
    options, unknown = parser.parse_known_intermixed_args(words)
    if unknown:
        refuse_option(f"{unknown[0]}: no such option", words)
    strange = next(filter(is_shapeless, options.overrides), None)
    if strange is not None and (meant := meant_by(words, options.config_dir)):
        raise Refused(f"{strange}: wanted KEY=VALUE, without spaces", f"write {shlex.join(meant)}")
    modes = [f"--{name}" for name in MODES if getattr(options, name.replace("-", "_"))]
    if len(modes) > 1:
        raise Refused(f"{' and '.join(modes)} cannot be used together", "give one of them")
    if (options.package or options.resolve) and not options.cfg:
        raise Refused("--package and --resolve say how --cfg prints the config", "d2lrun --cfg job --resolve")
    if options.config_dir:
        options.config_dir = os.path.expanduser(options.config_dir)
    for name in UNUSED:
        if getattr(options, name):
            raise Refused(
                f"--{name.replace('_', '-')} is not used here: the config is conf/config.yaml",
                "add your own groups and options with --config-dir FOLDER",
            )
    return options


def refuse_option(message: str, words: list[str]) -> NoReturn:
    """Raise Refused for an option that does not exist, with a suggestion."""
    known = [option for action in hydra_internal.options_parser()._actions for option in action.option_strings]
    if (meant := meant_by(words)) is not None:
        hint = f"write {shlex.join(meant)}" if meant else "leave it out"
        raise Refused(f"{message}; a setting is written KEY=VALUE", hint)
    strange = [word for word in words if word.startswith("-") and word not in known and len(word) > 3]
    close = next((close for word in strange if (close := schema.suggestion(word, known))), "")
    raise Refused(f"{message}{close}", "d2lrun --help lists the options; a key is set by KEY=VALUE")


def is_shapeless(word: str) -> bool:
    """Whether a word is not an override: it has no key, no value, or ends in a comma or semicolon."""
    whole = word.startswith("~") or re.match(r"[+]*[\w@/.-]+=.", word, re.DOTALL)
    return not whole or word[-1] in ",;"


def meant_by(words: list[str], config_dir: str | None = None) -> list[str] | None:
    """Return the command line as KEY=VALUE, with Hydra's own options first.

    None if it is the same command line, or if the result does not compose.
    """
    ours: list[str] = []
    hydras: list[str] = []
    actions = hydra_internal.options_parser()._option_string_actions
    rest = list(words)
    while rest:
        word = rest.pop(0)
        action = actions.get(word.partition("=")[0])
        (hydras if action else ours).append(word)
        if action and action.nargs is None and "=" not in word and rest:
            hydras.append(rest.pop(0))
    options = {option: group for group, variants in VARIANTS.items() for option in variants}
    options = {path.stem: "experiment" for path in (conf_dir() / "experiment").glob("*.yaml")} | options
    meant = hints.written(ours, options, schema.all_keys())
    if meant == ours:
        return None
    try:
        fixed, axes, _ = expand(meant, config_dir)
        first = [*fixed, *(axis[0] for axis in axes)]
        with composer(config_dir) as gathered:
            complaints, _ = consistent(first, refused(first, gathered, []), gathered)
    except Refused:
        return None
    for each in complaints:
        meant = corrected(meant, each)
    return [*hydras, *meant] if all(each.fix for each in complaints) else None


def hand_to_hydra(words: list[str], job: Callable[[DictConfig], object]) -> None:
    """Let Hydra run the command line: print its config, or call ``job`` for each combination."""
    options = parse(words)
    overrides = options.overrides
    others = [word for word in words if word not in overrides]
    if options.config_dir:
        user_yaml.existing_folder(options.config_dir)
        others.append(f"--config-dir={options.config_dir}")  # the last one counts; Hydra does not expand ~
    overrides = [parse_override(word).input_line for word in overrides]
    sys.argv[1:] = [*others, *overrides]  # Hydra accepts only this order
    os.environ["HYDRA_FULL_ERROR"] = "1"  # Hydra then raises its errors, and d2lrun reports them
    try:
        hydra_internal.main(job)
    except FAULTS as error:
        refuse_composition(error, [])
