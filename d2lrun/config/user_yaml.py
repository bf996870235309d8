"""Check the user's own YAML files before Hydra reads them, since Hydra's messages for these errors mislead."""

from __future__ import annotations

import codecs
import re
from pathlib import Path

import yaml

from d2lrun.config import schema
from d2lrun.config.keys import VARIANTS, Config, conf_dir
from d2lrun.errors import Refused

MOST_VALUES = 100_000  # most values in one file, with aliases expanded
HEADER = "# @package _global_"
LISTED = 10  # options of the user's own folder in a message


def existing_folder(config_dir: str) -> Path:
    """Check the user's own folder of YAML files and return it; raises Refused if a file names code or is not used.

    Hydra calls the code that ``_target_`` names in its own config (callbacks, launchers, loggers). If two files have
    the same name, it uses the file in conf/.
    """
    folder = Path(config_dir).resolve()
    if not folder.is_dir():
        raise Refused(f"--config-dir {config_dir}: no such folder", "give a folder laid out like conf/")
    check_folder(folder)
    for path in sorted(folder.rglob("*.yaml")):
        if path.relative_to(folder).parts[0] == "hydra" or steers_hydra(path.read_text(encoding="utf-8-sig")):
            raise Refused(
                f"{path}: it changes Hydra's own config or names code (_target_); files are data here",
                "give Hydra's own options on the command line, such as hydra/launcher=joblib",
            )
    if not options(folder):
        raise Refused(
            f"--config-dir {config_dir}: it offers no option",
            "wanted FOLDER/GROUP/NAME.yaml, such as FOLDER/model/mine.yaml, which model=mine then uses",
        )
    for path in sorted(folder.rglob("*.yaml")):
        ours = conf_dir() / path.relative_to(folder)
        if ours.is_file() and ours.read_bytes() != path.read_bytes():
            raise Refused(
                f"{path}: it has the name of a file of d2lrun's own, which would be used instead",
                "give it another name",
            )
    return folder


def options(config_dir: str | Path) -> list[tuple[str, str]]:
    """Return group and name of each option in the user's own folder."""
    return sorted((path.parent.name, path.stem) for path in Path(config_dir).glob("*/*.yaml"))


def refuse_unused(config_dir: str | None, used: set[tuple[str, str]]) -> None:
    """Raise Refused if the user's own folder is given and none of its options is in ``used`` (group, name)."""
    if config_dir is None:
        return
    offered = options(config_dir)
    if not used & set(offered):
        words = [f"{group}={option}" for group, option in offered]
        more = f" and {len(words) - LISTED} more" if len(words) > LISTED else ""
        raise Refused(
            f"--config-dir {config_dir}: none of its options is used; it offers {', '.join(words[:LISTED])}{more}",
            f"give one of them, such as {words[0]}, or leave --config-dir out",
        )


def steers_hydra(text: str) -> bool:
    """Whether the YAML text names code (``_target_``) or has a part of Hydra's own config.

    It is parsed as in Hydra, but aliases are not expanded; a text that is not YAML is reported when it is used.
    """
    if re.search(r"^\s*#\s*@package\s+[\"']?hydra\b", text, re.MULTILINE):
        return True
    try:
        root = yaml.compose(text, Loader=yaml.SafeLoader)
    except (yaml.YAMLError, RecursionError):
        return False
    top = {key.value: value for key, value in root.value} if isinstance(root, yaml.MappingNode) else {}
    packages = [node.value for node in scalars(top.get("defaults"))]  # such as override hydra/launcher
    return (
        any(re.match(r"hydra\b", str(key)) for key in top)
        or any(re.search(r"\bhydra\b", name) for name in packages)
        or any(node.value == "_target_" for node in scalars(root))
    )


def scalars(root: yaml.Node | None) -> list[yaml.ScalarNode]:
    """Return the keys and values in a tree of YAML nodes; nodes that aliases share are returned once."""
    found, waiting, seen = [], [root], set()
    while waiting:
        node = waiting.pop()
        if isinstance(node, yaml.ScalarNode):
            found.append(node)
        elif isinstance(node, yaml.CollectionNode) and id(node) not in seen:
            seen.add(id(node))
            pairs = isinstance(node, yaml.MappingNode)
            waiting += [part for pair in node.value for part in pair] if pairs else node.value
    return found


def check_folder(folder: Path) -> None:
    """Check every YAML file in a folder and its subfolders; raises Refused."""
    for path in sorted(folder.rglob("*")):
        check_link(path)
        if path.suffix.lower() in (".yaml", ".yml"):
            check(path)


def check(path: Path) -> None:
    """Raise Refused for a file with a wrong name or encoding, too many values, or without its package line."""
    check_link(path)
    if path.suffix != ".yaml":
        raise Refused(f"{path}: wanted a name that ends in .yaml", f"rename it to {path.stem}.yaml")
    text = decoded(path)
    try:
        root = yaml.compose(text, Loader=yaml.SafeLoader)
    except RecursionError as error:
        raise Refused(f"{path}: nested too deeply", "a config has three or four levels") from error
    except yaml.YAMLError:
        return  # Hydra finds the same error, and refuse_composition reports it
    if values(root, {}) > MOST_VALUES:
        message = f"{path}: more than {MOST_VALUES:,} values, if its aliases (*name) are written out"
        raise Refused(message, "write values without aliases of aliases")
    keys = {key.value for key, _ in root.value} if isinstance(root, yaml.MappingNode) else set()
    group = path.parent.name
    known = {key for cls in VARIANTS.get(group, {}).values() for key in schema.keys_of(cls)}
    whole = group == "experiment" or (group in VARIANTS and keys & (set(schema.keys_of(Config)) - known))
    if whole and "@package" not in text[:512]:
        raise Refused(f"{path}: its first line is missing: {HEADER}", "without it, its keys go to the wrong place")


def check_link(path: Path) -> None:
    """Raise Refused for a symbolic link that leads back to itself or above itself, or to nothing."""
    if not path.is_symlink():
        return
    try:
        target = path.resolve(strict=True)
    except FileNotFoundError as error:
        raise Refused(f"{path}: a symbolic link to a file that is not there", "remove the link") from error
    except (OSError, RuntimeError) as error:
        raise Refused(f"{path}: a symbolic link that leads back to itself", "remove the link") from error
    if target in path.absolute().parents or target in path.resolve().parents:
        raise Refused(f"{path}: a symbolic link to a folder that contains it", "remove the link")


def decoded(path: Path) -> str:
    """Return the text of a UTF-8 file; raises Refused with its likely encoding if it is not UTF-8."""
    try:
        data = path.read_bytes()
        return data.decode("utf-8-sig")
    except OSError as error:
        raise Refused(f"{path}: {error.strerror}", "wanted a YAML file that can be read") from error
    except UnicodeDecodeError as error:
        message = f"{path}:{data[: error.start].count(10) + 1}: not UTF-8"
        if encoding := likely_encoding(data):
            message += f", it seems to be {encoding}"
        raise Refused(message, "save the file as UTF-8") from error


def likely_encoding(data: bytes) -> str | None:
    """Return UTF-16 by the first bytes, or GBK if the text decodes to Chinese characters; else None."""
    if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return "UTF-16"
    try:
        beyond = [letter for letter in data.decode("gbk") if letter > "\x7f"]
    except UnicodeDecodeError:
        return None
    return "GBK" if all("一" <= letter <= "鿿" or letter in "，。：；（）、“”！？" for letter in beyond) else None


def values(node: yaml.Node | None, counted: dict[int, int]) -> int:
    """Return the number of values of a node, with aliases expanded."""
    if id(node) in counted:
        return counted[id(node)]
    counted[id(node)] = 1  # for an alias to a node that contains it
    parts: list[yaml.Node] = []
    if isinstance(node, yaml.MappingNode):
        parts = [part for pair in node.value for part in pair]
    elif isinstance(node, yaml.SequenceNode):
        parts = node.value
    counted[id(node)] = 1 + sum(values(part, counted) for part in parts)
    return counted[id(node)]
