"""YAML files of the user's own, looked at before Hydra reads them: Hydra takes each of these faults for another."""

from __future__ import annotations

import codecs
from pathlib import Path

import yaml

from d2lrun import schema
from d2lrun.config import VARIANTS, Config
from d2lrun.errors import Refused

MOST_VALUES = 100_000  # in one file, with each alias written out
HEADER = "# @package _global_"


def check_folder(folder: Path) -> None:
    """Check every YAML file in a folder and its subfolders; raises Refused."""
    for path in sorted(folder.rglob("*")):
        check_link(path)
        if path.suffix.lower() in (".yaml", ".yml"):
            check(path)


def check(path: Path) -> None:
    """Raise Refused for a file of another name, another encoding, too many values, or without its package."""
    check_link(path)
    if path.suffix != ".yaml":
        raise Refused(f"{path}: wanted a name that ends in .yaml", f"rename it to {path.stem}.yaml")
    text = decoded(path)
    try:
        root = yaml.compose(text, Loader=yaml.SafeLoader)
    except RecursionError as error:
        raise Refused(f"{path}: nested too deeply", "a config has three or four levels") from error
    except yaml.YAMLError:
        return  # which Hydra meets as well, and refuse_composition tells
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
    """The text of a file in UTF-8; raises Refused that names the encoding it seems to have."""
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
    """UTF-16 by its first bytes, or GBK if it is decoded to Chinese characters; None for what is neither."""
    if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return "UTF-16"
    try:
        beyond = [letter for letter in data.decode("gbk") if letter > "\x7f"]
    except UnicodeDecodeError:
        return None
    return "GBK" if all("一" <= letter <= "鿿" or letter in "，。：；（）、“”！？" for letter in beyond) else None


def values(node: yaml.Node | None, counted: dict[int, int]) -> int:
    """How many values a node stands for, with each alias written out."""
    if id(node) in counted:
        return counted[id(node)]
    counted[id(node)] = 1  # of an alias to a node that contains it
    parts: list[yaml.Node] = []
    if isinstance(node, yaml.MappingNode):
        parts = [part for pair in node.value for part in pair]
    elif isinstance(node, yaml.SequenceNode):
        parts = node.value
    counted[id(node)] = 1 + sum(values(part, counted) for part in parts)
    return counted[id(node)]
