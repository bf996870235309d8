"""Hydra's launchers, which carry out the runs of a sweep. Each is in its own extra of the package.

They are checked here, since Hydra would report a wrong one only after the config of every run was written.
"""

from __future__ import annotations

import os
from pathlib import Path

from hydra import compose as hydra_compose
from hydra.core.global_hydra import GlobalHydra
from hydra.errors import HydraException
from omegaconf.errors import OmegaConfBaseException

from d2lrun.config import hydra_internal
from d2lrun.config.complaints import Complaint, one_line
from d2lrun.config.compose import aside, parse_override
from d2lrun.config.overrides import is_key, quoted, references
from d2lrun.config.schema import suggestion
from d2lrun.errors import Refused

# The tested launchers, and the extra that installs each.
EXTRAS = {"joblib": "parallel", "submitit_local": "slurm", "submitit_slurm": "slurm", "ray": "ray"}
GROUP, FOLDER = "hydra/launcher", "hydra.sweep.dir"
TAKEN = (GROUP, "hydra.launcher.", FOLDER, "hydra.job.env_set.", "hydra.job.env_copy")
WHOLE = ("hydra", "hydra.launcher")  # keys that hold the name of the code that Hydra calls


def is_here(steering: list[str]) -> bool:
    """Whether this process carries out the runs: Hydra's own overrides name no launcher."""
    return not any(text.lstrip("+~").startswith(f"{GROUP}=") for text in steering)


def check(steering: list[str]) -> None:
    """Raise Refused if Hydra's own overrides name a launcher that is not installed, or a key that does not exist."""
    if not steering:
        return
    with aside(), hydra_internal.initialised():
        have = sorted(GlobalHydra.instance().config_loader().get_group_options(GROUP))
        for text in steering:
            key, _, name = text.lstrip("+~").partition("=")
            if not is_key(text.partition("=")[0]) or text.startswith("~") or key in WHOLE or "_target_" in text:
                raise unused(text)
            if key == GROUP and name not in have:
                raise missing(name, have)
            if key == "hydra/sweeper":
                raise Refused(f"{text}: a sweep is d2lrun's own", "sweep=grid or sweep=optuna; hydra/launcher=NAME")
        keys: list[str] = []
        taken: list[str] = []
        for text in sorted(steering, key=lambda text: not text.startswith("hydra/")):  # the launcher before its keys
            try:
                word = parse_override(text).input_line or ""
                composed = hydra_compose("config", [*taken, word], return_hydra_config=True)
            except (HydraException, OmegaConfBaseException) as error:
                raise unfit(text, keys, error) from error
            taken.append(word)
            keys = [str(key) for key in composed.hydra.launcher]
            if not key_of(text).startswith(TAKEN):
                raise unused(text)
        if composed.hydra.launcher.get("n_jobs") == 0:  # joblib would refuse it only after all configs are written
            raise Refused("hydra.launcher.n_jobs=0: no process at all", "2 for two at a time, -1 for all cores")


def key_of(text: str) -> str:
    """Return the key of an override."""
    return text.lstrip("+~").partition("=")[0]


def unused(text: str) -> Refused:
    """Return the Refused for an override of Hydra's config that a sweep does not take."""
    return Refused(
        str(Complaint(text, "not taken: it changes nothing in a sweep, or names code for Hydra to call")),
        f"of Hydra's keys a sweep takes {GROUP}=NAME, hydra.launcher.KEY, {FOLDER} and hydra.job.env_set.NAME",
    )


def missing(name: str, have: list[str]) -> Refused:
    """Return the Refused for a launcher that Hydra does not find."""
    if name in EXTRAS:
        return Refused(f"{GROUP}={name}: it is not installed", f"pip install 'd2lrun[{EXTRAS[name]}]'")
    known = list(dict.fromkeys([*have, *EXTRAS]))
    extras = ", ".join(f"{each} ({EXTRAS[each]})" for each in EXTRAS if each not in have)
    return Refused(
        f"{GROUP}={name}: no such launcher{suggestion(name, known)} (have: {', '.join(have)})",
        f"others come with an extra: {extras}" if extras else f"{GROUP}=joblib hydra.launcher.n_jobs=2",
    )


def unfit(text: str, keys: list[str], error: Exception) -> Refused:
    """Return the Refused for an override that Hydra does not take; ``keys`` are the keys of the launcher."""
    key = text.lstrip("+~").partition("=")[0]
    text, first = one_line(text), str(error.__cause__ or error).strip().splitlines()[0]
    if not key.startswith("hydra.launcher."):
        return Refused(f"{text}: {first}", "d2lrun --hydra-help; of a launcher the keys are hydra.launcher.KEY")
    name, known = key.removeprefix("hydra.launcher."), [each for each in keys if each != "_target_"]
    if name.partition(".")[0] in known:
        return Refused(f"{text}: {first}", f"d2lrun {GROUP}=NAME --cfg hydra shows what there is")
    hint = f"of the launcher there are: {', '.join(known)}" if known else f"choose one with {GROUP}=joblib"
    return Refused(f"{key}: no such key{suggestion(name, known)}", hint)


def within(folder: Path, steering: list[str]) -> list[str]:
    """Return the overrides for Hydra that put a launcher's own files into the sweep's folder, or the given folder.

    The path is absolute, since the processes of a launcher begin in another folder.
    """
    given = [str(parse_override(text).value()) for text in steering if key_of(text) == FOLDER]
    others = [text for text in steering if key_of(text) != FOLDER]
    place = os.path.abspath(os.path.expanduser(given[-1])) if given else os.path.abspath(folder)
    return [*others, f"{FOLDER}={quoted(place, references(place))}"]
