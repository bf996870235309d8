"""The text of ``--help``: verbs, config groups with their options, keys and examples, read from conf/."""

from __future__ import annotations

import textwrap
from pathlib import Path
from typing import Any

from d2lrun.config import schema
from d2lrun.config.complaints import shown
from d2lrun.config.tables import BY_GROUP

USAGE = """\
d2lrun trains the networks of "Dive into Deep Learning" from one command line.

usage: d2lrun [OVERRIDE...]    train; OVERRIDE is GROUP=OPTION or KEY=VALUE
       d2lrun VERB [ARGUMENT...]

verbs
{verbs}

groups and their options (* by default)
{groups}

keys of a run (d2lrun --cfg job prints them all with their values)
{keys}

examples
  d2lrun                               an MLP on Fashion-MNIST, as in the book
  d2lrun model=lenet train.epochs=2    the command line wins over the recipe
  d2lrun model=nin device=cuda device.precision=bf16
  d2lrun 'model.hidden=[256,128]' 'model.dropout=[0.2,0.5]'
  d2lrun optimizer=adam schedule=cosine validation=holdout train.patience=3
  d2lrun -m model=softmax,mlp seed=0,1,2 validation=holdout   six runs
  d2lrun resume outputs/runs/fashion-mnist/mlp/2026-01-31_12-00-00

options
  -m, --multirun        run every combination of comma-separated values
  -c, --cfg job         print the composed config and stop
  -i, --info            what Hydra knows: defaults, search path, plugins
  -cd, --config-dir DIR add your own folder of YAML files, laid out like conf/
  --plugin FILE.py      add the networks and datasets of your own Python file
  --debug               show the traceback of an error
  --version, -h, --help; --hydra-help for Hydra's own
  the Tab key completes words after:  eval "$(d2lrun -sc install=bash)"
                           (zsh alike; fish: d2lrun -sc install=fish | source)
"""

KEYS = ("seed", "train", "run")
WIDTH = 80  # columns of a terminal
WHOLE_WORDS: dict[str, Any] = {"break_long_words": False, "break_on_hyphens": False}
NAME = 15  # least columns for the name of an option; more if a name of the group is longer


def overview(conf: Path, verbs: dict[str, tuple[str, str]], config_dir: str | None = None) -> str:
    """Return the text of ``d2lrun --help``; ``verbs`` maps each verb to its arguments and what it does."""
    return USAGE.format(
        verbs="\n".join(line for verb, (_, does) in verbs.items() for line in wrapped(f"  {verb:<10}", does)),
        groups="\n".join(groups(conf, [conf, Path(config_dir)] if config_dir else [conf])),
        keys="\n".join(keys(conf / "config.yaml")),
    )


def groups(conf: Path, folders: list[Path]) -> list[str]:
    """Return the lines for each config group: its options with the first comment of their files."""
    defaults = default_options(conf / "config.yaml")
    options: dict[str, dict[str, str]] = {}
    for path in sorted(path for folder in folders for path in folder.glob("*/*.yaml")):
        options.setdefault(path.parent.name, {})[path.stem] = headline(path)
    for group, table in BY_GROUP.items():
        options[group] |= {name: line.added.headline for name, line in table.items() if line.added}
    lines = []
    for group in sorted(options, key=lambda group: [*defaults, group].index(group)):
        lines.append(f"  {group}")
        width = max(NAME, *(len(option) + 2 for option in options[group]))
        for option, text in options[group].items():
            star = "*" if defaults.get(group) == option else " "
            lines += wrapped(f"  {star} {option:<{width}}", text)
            line = BY_GROUP.get(group, {}).get(option)
            lines += added_keys(line, width + 4) if line and line.added else []
    return lines


def added_keys(line: Any, indent: int) -> list[str]:
    """Return the keys of a network or dataset that was added, with their values, meanings and types."""
    lines = []
    for key, kind in line.arguments.items():
        setting = f"{' ' * indent}{shown(key, line.added.values[key])}  "
        lines += wrapped(setting, ", ".join(filter(None, [line.added.meanings[key], schema.description(kind)])), "# ")
    return lines


def wrapped(head: str, text: str, begin: str = "") -> list[str]:
    """Return ``head`` and ``text`` in lines that fit a terminal; each line of ``text`` begins with ``begin``."""
    below = " " * len(head) + begin
    lines = textwrap.wrap(text, WIDTH, initial_indent=head + begin, subsequent_indent=below, **WHOLE_WORDS)
    return lines or [head.rstrip()]


def default_options(config: Path) -> dict[str, str]:
    """Return {group: option} of the defaults list, model first."""
    lines = [line.partition("#")[0].strip() for line in config.read_text(encoding="utf-8").splitlines()]
    pairs = [line.removeprefix("- ").split(": ") for line in lines if line.startswith("- ") and ": " in line]
    defaults = {group: option for group, option in pairs if not group.startswith("override")}
    return {"model": defaults.pop("model"), **defaults}


def keys(config: Path) -> list[str]:
    """Return the lines of config.yaml for KEYS, with their comments."""
    lines, wanted = [], False
    for line in config.read_text(encoding="utf-8").splitlines():
        if line and not line[0].isspace():
            wanted = line.partition(":")[0] in KEYS
        if wanted and line:
            setting, sign, comment = line.partition("# ")
            lines += wrapped(f"  {setting}", comment, sign) if sign else [f"  {line}"]
    return lines


def headline(path: Path) -> str:
    """Return the first comment of a YAML file that is not a directive for Hydra."""
    for line in path.read_text(encoding="utf-8-sig", errors="replace").splitlines():
        if line.startswith("#") and not line.startswith("# @"):
            return line.lstrip("# ")
    return ""
