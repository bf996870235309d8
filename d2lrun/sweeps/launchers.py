"""Who carries out the runs of a sweep: Hydra's launchers, each in an extra of its own.

Hydra would find out about a wrong one only after every run's config was written, and in words of its own.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

from hydra import compose as hydra_compose
from hydra.core.global_hydra import GlobalHydra
from hydra.errors import HydraException
from omegaconf.errors import OmegaConfBaseException

from d2lrun import hydra_internal
from d2lrun.compose import aside, parse_override
from d2lrun.errors import Refused
from d2lrun.schema import suggestion

# The launchers that were tried, and the extra that brings each.
EXTRAS = {"joblib": "parallel", "submitit_local": "slurm", "submitit_slurm": "slurm", "ray": "ray"}
GROUP, FOLDER = "hydra/launcher", "hydra.sweep.dir"


def is_steering(text: str) -> bool:
    """Whether an override is Hydra's own, such as hydra/launcher=joblib, and says nothing of the runs."""
    return text.lstrip("+~").startswith(("hydra.", "hydra/", "hydra="))


def is_here(steering: list[str]) -> bool:
    """Whether this process carries out the runs itself: Hydra's own overrides name no launcher."""
    return not any(text.lstrip("+~").startswith(f"{GROUP}=") for text in steering)


def check(steering: list[str]) -> None:
    """Raise Refused where Hydra's own overrides name a launcher that is not installed or a key that it has not."""
    if not steering:
        return
    with aside(), hydra_internal.initialised():
        have = sorted(GlobalHydra.instance().config_loader().get_group_options(GROUP))
        for text in steering:
            key, _, name = text.lstrip("+").partition("=")
            if key == GROUP and name not in have:
                raise missing(name, have)
            if key == "hydra/sweeper":
                raise Refused(f"{text}: a sweep is d2lrun's own", "sweep=grid or sweep=optuna; hydra/launcher=NAME")
        keys: list[str] = []
        taken: list[str] = []
        for text in sorted(steering, key=lambda text: not text.startswith("hydra/")):  # the launcher before its keys
            try:
                composed = hydra_compose("config", [*taken, text], return_hydra_config=True)
            except (HydraException, OmegaConfBaseException) as error:
                raise unfit(text, keys, error) from error
            taken.append(text)
            keys = [str(key) for key in composed.hydra.launcher]
        if composed.hydra.launcher.get("n_jobs") == 0:  # which joblib would refuse only when all is written
            raise Refused("hydra.launcher.n_jobs=0: no process at all", "2 for two at a time, -1 for all cores")


def missing(name: str, have: list[str]) -> Refused:
    """What to say of a launcher that Hydra does not find."""
    if name in EXTRAS:
        return Refused(f"{GROUP}={name}: it is not installed", f"pip install 'd2lrun[{EXTRAS[name]}]'")
    known = list(dict.fromkeys([*have, *EXTRAS]))
    extras = ", ".join(f"{each} ({EXTRAS[each]})" for each in EXTRAS if each not in have)
    return Refused(
        f"{GROUP}={name}: no such launcher{suggestion(name, known)} (have: {', '.join(have)})",
        f"others come with an extra: {extras}" if extras else f"{GROUP}=joblib hydra.launcher.n_jobs=2",
    )


def unfit(text: str, keys: list[str], error: Exception) -> Refused:
    """What to say of an override that Hydra does not take; ``keys`` are those of the launcher."""
    key = text.lstrip("+~").partition("=")[0]
    first = str(error.__cause__ or error).strip().splitlines()[0]
    if not key.startswith("hydra.launcher."):
        return Refused(f"{text}: {first}", "d2lrun --hydra-help; of a launcher the keys are hydra.launcher.KEY")
    name, known = key.removeprefix("hydra.launcher."), [each for each in keys if each != "_target_"]
    if name.partition(".")[0] in known:
        return Refused(f"{text}: {first}", f"d2lrun {GROUP}=NAME --cfg hydra shows what there is")
    hint = f"of the launcher there are: {', '.join(known)}" if known else f"choose one with {GROUP}=joblib"
    return Refused(f"{key}: no such key{suggestion(name, known)}", hint)


def within(folder: Path, steering: list[str]) -> list[str]:
    """The overrides for Hydra, so that what a launcher itself writes lies in the sweep's folder, or as it was given.

    The path is absolute: the processes of a launcher begin in another folder.
    """
    given = [parse_override(text).value() for text in steering if parse_override(text).key_or_group == FOLDER]
    others = [text for text in steering if parse_override(text).key_or_group != FOLDER]
    place = os.path.abspath(str(given[-1] if given else folder))
    return [*others, f"{FOLDER}={quoted(place)}"]


def quoted(text: str) -> str:
    """A text as a value on Hydra's command line, where a backslash is one unless it stands before a quote."""
    return "'" + re.sub(r"(\\*)('|$)", lambda found: found[1] * 2 + ("\\'" if found[2] else ""), text) + "'"
