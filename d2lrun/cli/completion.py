"""Tab completion in bash, zsh and fish: the words that may follow on an unfinished command line.

``d2lrun -sc install=SHELL`` prints a script for the shell, which runs ``d2lrun -sc query=SHELL`` at each Tab. A query
reads the line up to the cursor from COMP_LINE and COMP_POINT, prints one word per line, and never fails.
"""

from __future__ import annotations

import os
import re
from collections import deque
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

from d2lrun.config.plugins import OPTION, taken
from d2lrun.errors import Refused

BASH = """\
_d2lrun() {
    local -x COMP_LINE=$COMP_LINE COMP_POINT=$COMP_POINT COMP_TEXT=$2
    local word program=${1/#\\~\\//$HOME/}
    COMPREPLY=()
    while IFS= read -r word; do
        COMPREPLY+=("$word")
    done < <("$program" -sc query=bash 2> /dev/null < /dev/null)
}
complete -o nospace -F _d2lrun d2lrun
"""
ZSH = """\
_d2lrun() {
    emulate -L zsh
    local -a found
    local program=${${(Q)words[1]}/#\\~\\//$HOME/} line="${(j: :)words[1,CURRENT-1]} $QIPREFIX$PREFIX"
    found=(${(f)"$(COMP_LINE=$line COMP_POINT= COMP_TEXT=$PREFIX $program -sc query=zsh 2> /dev/null < /dev/null)"})
    compadd -Q -U -S '' -- $found
}
(( $+functions[compdef] )) || { autoload -Uz compinit && compinit -i }
compdef _d2lrun d2lrun
"""
FISH = """\
function __d2lrun
    set -l words (commandline -cpo)
    set -l program (string replace -r '^~/' "$HOME/" -- $words[1])
    set -lx COMP_LINE (commandline -cp | string collect)
    set -lx COMP_POINT ''
    $program -sc query=fish 2> /dev/null < /dev/null
end
complete -c d2lrun -f -a '(__d2lrun)'
"""
INSTALL = {"bash": BASH, "zsh": ZSH, "fish": FISH}
UNINSTALL = {
    "bash": "complete -r d2lrun; unset -f _d2lrun\n",
    "zsh": "compdef -d d2lrun; unfunction _d2lrun\n",
    "fish": "complete -e -c d2lrun; functions -e __d2lrun\n",
}

FOLDERS = ("dataset.dir", "run.dir", "run.root")  # keys whose value is a folder
FILES = ("dataset.path", "dataset.test", "model.weights")  # keys whose value is a file or a folder
UNFINISHED = ("=", ".", "/", ",")  # a word with this end is not complete: no space follows
LOOKED = 1000  # most folders that are searched for runs


def answer(words: list[str], verbs: dict[str, tuple[str, str]]) -> str:
    """Return the output of ``d2lrun -sc WORDS``: a script, or the completions of a line. Raises Refused."""
    task, _, shell = " ".join(words).partition("=")
    if task not in ("install", "uninstall", "query") or shell not in INSTALL:
        wanted = "wanted install, uninstall or query, with = and bash, zsh or fish"
        raise Refused(f"-sc {' '.join(words)}: {wanted}", 'eval "$(d2lrun -sc install=bash)"')
    if task != "query":
        return {"install": INSTALL, "uninstall": UNINSTALL}[task][shell]
    line, point = os.environ.get("COMP_LINE", ""), os.environ.get("COMP_POINT", "")
    line = line[: int(point)] if point.isdecimal() else line
    return "".join(f"{word}\n" for word in query(shell, line, os.environ.get("COMP_TEXT", ""), verbs))


def query(shell: str, line: str, text: str, verbs: dict[str, tuple[str, str]]) -> list[str]:
    """Return the words that may end ``line``, as the shell inserts them; an empty list after any error.

    bash and zsh replace ``text``, the end of the line, literally: they get the typed part and the quoted rest, and a
    space if the word is complete. fish replaces and quotes whole words itself.
    """
    try:
        before, word = split(line)
        words = candidates(before[1:], word.plain, verbs) if before else []
    except (Exception, SystemExit):  # an error would be printed in the user's prompt
        return []
    if shell == "fish":
        return words
    begin = len(word.raw) - len(text) if text and word.raw.endswith(text) else 0
    return [word.completed(each)[begin:] for each in words] if not word.raw.endswith("\\") else []


@dataclass
class Word:
    """A word of a command line: as typed, without quotes, and the quote that is still open at its end."""

    raw: str = ""
    plain: str = ""
    quote: str = ""

    def completed(self, whole: str) -> str:
        """Return the typed text and the rest of ``whole``, quoted for bash and zsh."""
        rest = whole[len(self.plain) :]
        if self.quote == "'":
            return self.raw + rest.replace("'", "'\\''")
        if self.quote:
            return self.raw + re.sub(r'(["\\$`])', r"\\\1", rest)
        is_open = whole.endswith(UNFINISHED) or ("=[" in whole and not whole.endswith("]"))
        end = "" if is_open else " "
        return self.raw + re.sub(r"([^\w@%+=:,./-])", r"\\\1", rest) + end


def split(line: str) -> tuple[list[str], Word]:
    """Return the words before the last one, without quotes, and the last word, which may be empty or unfinished.

    Assignments before the command are left out.
    """
    done: list[str] = []
    word = Word()
    characters = iter(line)
    for character in characters:
        if character.isspace() and not word.quote:
            done += [word.plain] if word.raw else []
            word = Word()
            continue
        word.raw += character
        if character in ("'", '"') and word.quote in ("", character):
            word.quote = "" if word.quote else character
        elif character == "\\" and word.quote != "'":
            escaped = next(characters, "")
            word.raw += escaped
            word.plain += escaped if not word.quote or escaped in '"\\$`' else character + escaped
        else:
            word.plain += character
    first = next((at for at, text in enumerate(done) if not re.match(r"\w+=", text)), len(done))
    return done[first:], word


def candidates(before: list[str], word: str, verbs: dict[str, tuple[str, str]]) -> list[str]:
    """Return the words that begin with ``word`` and may follow ``before``; incomplete words end in = . / or ,"""
    words = dict.fromkeys(each for each in offered(before, word, verbs) if each.startswith(word) and is_text(each))
    return list(words)


def is_text(word: str) -> bool:
    """Whether a shell can show the word on one line: no control characters, and only UTF-8."""
    return not re.search(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]", word)


def offered(before: list[str], word: str, verbs: dict[str, tuple[str, str]]) -> list[str]:
    """Return the words that may follow ``before``; not all of them begin with ``word``."""
    option = before[-1] if before else ""
    if option.startswith("-") and (choices := option_values(option, word)) is not None:
        return choices
    if word.startswith("-"):
        return ["--debug", *(name for names in hydra_options() for name in names)]
    _, before = taken(before)
    verb = before[0] if before and before[0] in verbs else ""
    usage = verbs[verb][0] if verb else "[OVERRIDE...]"
    if "OVERRIDE" in usage:
        return [*overrides(before, word), *([] if before else verbs)]
    return arguments(usage, before[1:], word)


def hydra_options() -> dict[tuple[str, ...], list[str]]:
    """Return {names: values} of each of Hydra's options that d2lrun takes."""
    from d2lrun.cli.command import UNUSED
    from d2lrun.config.hydra_internal import options_parser

    actions = [action for action in options_parser()._actions if action.dest not in UNUSED]
    return {tuple(action.option_strings): list(action.choices or ()) for action in actions} | {(OPTION,): []}


def option_values(option: str, word: str) -> list[str] | None:
    """Return the values of an option; None if it is no option or takes no value."""
    if option in ("--config-dir", "-cd"):
        return paths(word, folders=True)
    if option == OPTION:
        return paths(word)
    if option in ("--shell-completion", "-sc"):
        return [f"{task}={shell}" for task in ("install", "uninstall") for shell in INSTALL]
    return next((choices for names, choices in hydra_options().items() if option in names and choices), None)


def arguments(usage: str, before: list[str], word: str) -> list[str]:
    """Return the words that may follow a verb that takes a run; ``usage`` is as in ``d2lrun VERB --help``."""
    named = dict(re.findall(r"([\w.]+)=([\w|]+)", usage))
    key, equals, value = word.partition("=")
    if equals and key in named:
        return [f"{key}={each}" for each in argument_values(key, named[key], value)]
    keys = [f"{name}=" for name in named]
    given = [each for each in before if each.partition("=")[0] not in named]
    if usage.startswith("RUN|SWEEP"):
        return [*runs(word, sweeps=True), *(keys if given else [])]
    if usage.startswith("RUN") and not given:
        return runs(word)
    return [*keys, *(paths(word) if "...]" in usage else [])]


def argument_values(key: str, kind: str, value: str) -> list[str]:
    """Return the values of an argument; ``kind`` is the word after its = in the usage."""
    if kind in ("DIR", "FILE"):
        return paths(value, folders=kind == "DIR")
    if key == "device":
        return options(None).get(key, [])
    return kind.split("|") if kind[0].islower() or kind[0].isdecimal() else []


def overrides(before: list[str], word: str) -> list[str]:
    """Return the groups, options, keys and values that fit the config that ``before`` describes."""
    config_dir = next((before[at] for at in range(1, len(before)) if before[at - 1] in ("--config-dir", "-cd")), None)
    given = [each for each in before if not each.startswith("-") and "=" in each and each != config_dir]
    sign = re.findall(r"^[+~]*", word)[0]
    key, equals, value = word[len(sign) :].partition("=")
    groups = options(config_dir)
    if not equals:
        names = [f"{group}=" for group in groups] if "." not in key else []
        return [sign + name for name in ("hydra/launcher=", *names, *keys(composed(given, config_dir), key))]
    head = value[: 1 + max(value.rfind(","), value.rfind("[") if value.startswith("[") else -1)]
    last = value[len(head) :]
    if key in (*FOLDERS, *FILES):
        choices = paths(last, folders=key in FOLDERS)
    elif key == "hydra/launcher":
        choices = launchers()
    else:
        choices = groups.get(key) or values(composed(given, config_dir), key)
    return [f"{sign}{key}={head}{each}" for each in choices]


def options(config_dir: str | None) -> dict[str, list[str]]:
    """Return the options of each config group, including the user's own folder."""
    from d2lrun.config import user_yaml
    from d2lrun.config.keys import conf_dir

    groups: dict[str, list[str]] = {}
    for folder in (str(conf_dir()), *([config_dir] if config_dir else [])):
        with suppress(OSError):
            for group, option in user_yaml.options(os.path.expanduser(folder)):
                groups.setdefault(group, []).append(option)
    return groups


def launchers() -> list[str]:
    """Return the names of Hydra's installed launchers."""
    from hydra.core.global_hydra import GlobalHydra

    from d2lrun.config import hydra_internal

    with hydra_internal.initialised():
        return GlobalHydra.instance().config_loader().get_group_options("hydra/launcher")


def composed(given: list[str], config_dir: str | None) -> dict[str, Any]:
    """Return the config of the overrides; if they do not compose, the default config; if that fails, {}."""
    from d2lrun.config.compose import as_dict, gather

    for words, folder, resolve in ((given, config_dir, True), (given, config_dir, False), ([], None, True)):
        with suppress(Exception):
            return as_dict(gather(words, folder)[0], resolve)
    return {}


def keys(config: dict[str, Any], word: str) -> list[str]:
    """Return the keys at the level of ``word``, such as train.epochs= for train.ep; a group of keys ends in a dot."""
    parent, dot, _ = word.rpartition(".")
    node: Any = config
    for part in parent.split(".") if dot else ():
        node = node.get(part) if isinstance(node, dict) else None
    if not isinstance(node, dict):
        return []
    own = {name: child for name, child in node.items() if dot or name not in ("recipe", "book")}
    return [f"{parent}{dot}{name}" + ("." if isinstance(child, dict) else "=") for name, child in own.items()]


def values(config: dict[str, Any], key: str) -> list[str]:
    """Return the possible values of a key if they are few, else its present value."""
    from d2lrun.config.schema import arms, flatten
    from d2lrun.report.text import setting

    kinds = arms(kind_of(key, config))
    words = [setting(value) for kind in kinds if get_origin(kind) is Literal for value in get_args(kind)]
    words += ["true", "false"] * (bool in kinds) + ["null"] * (type(None) in kinds)
    value = flatten(config).get(key)
    return words or ([setting(value)] if value is not None else [])


def kind_of(key: str, config: dict[str, Any]) -> Any:
    """Return the type of a key, for the options that ``config`` selects; None for an unknown key."""
    from d2lrun.config.keys import VARIANTS, Config
    from d2lrun.config.schema import dataclasses_in, keys_of

    group, _, rest = key.partition(".")
    chosen = config.get(group) if group in VARIANTS else None
    name = chosen.get("engine" if group == "sweep" else "name") if isinstance(chosen, dict) else None
    kind: Any = VARIANTS[group].get(str(name)) if chosen else Config
    for part in (rest if chosen else key).split("."):
        kind = next(iter(dataclasses_in(kind)), None)
        kind = keys_of(kind).get(part) if kind else None
    return kind


def paths(word: str, folders: bool = False) -> list[str]:
    """Return the files and folders (or only ``folders``) whose path begins with ``word``; a folder ends in a slash."""
    if word == "~":
        return ["~/"]
    start = word.rpartition("/")[2]
    typed = word[: len(word) - len(start)]
    try:
        with os.scandir(os.path.expanduser(typed) or ".") as entries:
            names = [(entry.name, entry.is_dir()) for entry in entries if entry.name.startswith(start)]
    except (OSError, ValueError):  # no such folder, or not a path
        return []
    visible = [(name, is_folder) for name, is_folder in names if start or not name.startswith(".")]
    return [typed + name + "/" * is_folder for name, is_folder in sorted(visible) if is_folder or not folders]


def runs(word: str, sweeps: bool = False) -> list[str]:
    """Return the runs (and ``sweeps``) below the folders that begin with ``word``, or these folders if it finds none.

    Without a word, return the runs below outputs/ and in the working directory.
    """
    here = paths(word, folders=True)
    directories = [run for folder in (here if word else ["outputs/"]) for run in below(folder, sweeps)]
    directories += [] if word else [run for folder in here for run in below(folder, sweeps, most=1)]
    return directories or here


def below(folder: str, sweeps: bool, most: int = LOOKED) -> Iterator[str]:
    """Yield the runs in a folder at any depth, including the folder itself; search at most ``most`` folders."""
    from d2lrun.disk.recorded import is_run

    queue = deque([folder])
    for _ in range(most):
        if not queue:
            return
        here = queue.popleft()
        path = Path(here).expanduser()
        if is_run(path) or (sweeps and (path / "sweep.json").is_file()):
            yield here.rstrip("/")
        else:
            queue.extend(each for each in paths(here, folders=True) if not os.path.islink(each.rstrip("/")))
