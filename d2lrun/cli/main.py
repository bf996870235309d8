"""The command line: choose the verb and turn errors into exit codes. Only this file exits the process.

Imports are inside the functions that use them, so help, completion and the refusal of a config do not import torch.
The tables and the words of the tasks are imported there, too: a mistake in one is reported as any other error.
"""

from __future__ import annotations

import atexit
import gc
import re
import sys
import traceback
from collections.abc import Callable
from functools import cache, partial
from pathlib import Path
from typing import NoReturn

from d2lrun import __version__, signals, streams
from d2lrun.cli import verbs
from d2lrun.errors import D2lrunError, Failed, Refused, Stopped
from d2lrun.training import defaults, threads

PACKAGE = Path(__file__).parents[1]
ADDED = "this is an error in d2lrun, or in code that was added to it: --debug shows where"

# For a run whose data were moved, or whose device this machine does not have.
MOVED = "[dataset.dir=DIR] [dataset.path=FILE] [dataset.test=FILE] [device=NAME]"

# The verbs that are the same for every task: the name of a function in verbs.py, its arguments and what it does.
COMMON = {
    "train": ("[OVERRIDE...]", "train (the verb can be left out); run.dir=DIR continues what is in DIR"),
    "resume": (
        f"RUN [train.epochs=N] {MOVED}",
        "continue a run that was stopped, from its newest checkpoint, to the same bits; or a finished one, longer",
    ),
    "evaluate": (f"RUN {MOVED}", "measure a run's weights on the test set"),
    "summary": (
        "[OVERRIDE...]",
        "layers, output shapes, parameters, multiply-adds, initial weights of a model",
    ),
    "cost": ("[OVERRIDE...]", "time a few steps and say how long the whole run would take here"),
    "data": ("[OVERRIDE...]", "fetch and verify a dataset, count what it holds, draw samples"),
    "compare": (
        "RUN|SWEEP... [sort=METRIC] [out=DIR]",
        "runs and sweeps side by side: what differs, metrics, curves in one picture, csv",
    ),
    "doctor": ("", "versions, devices, data found, terminal: what a bug report needs"),
}
AFTER = "evaluate"  # the verbs of the tasks are listed after this one

# The meaning of each argument, for `d2lrun VERB --help`.
MEANINGS = {
    "OVERRIDE": "GROUP=OPTION or KEY=VALUE; d2lrun --help lists them",
    "RUN": "the directory that a run printed",
    "dataset.dir": "where its data are now; used if the content is the same",
    "dataset.path": "the same for a file",
    "dataset.test": "the same for a second file with the test part",
    "device": "another than the run's: auto, cpu, cuda, cuda:1 or mps",
    "train.epochs": "train a finished run to so many epochs, as a new run",
    "SWEEP": "the directory that a sweep printed; it means all of its runs",
    "sort": "sort the rows by this metric, the best first",
    "out": "write compare.csv and compare.png to this directory",
}


@cache
def all_verbs() -> dict[str, tuple[str, str]]:
    """Return {verb: (arguments, what it does)} of the common verbs and the verbs of the tasks."""
    from d2lrun import tasks

    table = {}
    for verb, line in COMMON.items():
        table[verb] = line
        if verb == AFTER:
            for other, by_task in tasks.words().items():
                own = dict.fromkeys(part for word in by_task.values() for part in re.findall(r"\[.+?\]", word.usage))
                table[other] = " ".join(["RUN", *own, MOVED]), "; ".join(word.does for word in by_task.values())
    return table


def all_arguments() -> dict[str, str]:
    """Return the meaning of each argument of all verbs."""
    from d2lrun import tasks

    words = [word for by_task in tasks.words().values() for word in by_task.values()]
    return MEANINGS | {name: meaning for word in words for name, meaning in word.arguments.items()}


def main() -> NoReturn:
    """Run the command line. Exit codes: 0 done, 1 failed, 2 refused, 3 some jobs failed, 129/130/143 signal."""
    signals.heed()
    streams.prepare()
    words = [word for word in sys.argv[1:] if word != "--debug"]
    gc.set_threshold(100_000)  # importing torch makes many objects but no garbage; frequent collections cost 0.4 s
    atexit.register(gc.freeze)  # skip the last collection at exit, which costs 0.5 s
    try:
        signals.raise_stopped()
        code = attempt(words, debug=len(words) < len(sys.argv) - 1)
        signals.finish()
    except Stopped as stopped:
        signals.finish()
        code = report(stopped)
    streams.settle()
    sys.exit(code)


def attempt(words: list[str], debug: bool = False) -> int:
    """Run the verb, report an error, and return the exit code. If ``debug``, raise the error instead."""
    try:
        threads.prepare_waiting()
        action, rest = chosen(words)
        with defaults.numbers():  # a plugin may have changed them
            code = action(rest)
        sys.stdout.flush()
        signals.raise_received()
        return code
    except Exception as error:
        signals.raise_received()
        if debug:
            raise
        if isinstance(error, (D2lrunError, OSError)):
            return report(error)
        return report(Failed(f"{place_of(error)}: {type(error).__name__}: {error}", ADDED))


def place_of(error: Exception) -> str:
    """Return FILE:LINE of the innermost frame in d2lrun or in a plugin."""
    from d2lrun.config.plugins import LOADED

    if isinstance(error, SyntaxError) and error.filename:
        return f"{error.filename}:{error.lineno}"
    frames = traceback.extract_tb(error.__traceback__)
    paths = [(frame, Path(frame.filename)) for frame in frames]
    ours = [frame for frame, path in paths if PACKAGE in path.parents or path in LOADED]
    return f"{ours[-1].filename}:{ours[-1].lineno}"


def report(error: Stopped | D2lrunError | OSError) -> int:
    """Print the error and its hint to stderr; return the exit code."""
    if isinstance(error, BrokenPipeError):  # `d2lrun … | head`: stdout is closed
        streams.hush(sys.stdout)
        return 0
    if isinstance(error, Stopped):
        streams.complain(f"\n{error}\n")
        return error.code
    if isinstance(error, OSError):
        error = Failed(str(error), "check the disk and the permissions; what was saved before is untouched")
    verbs.print_error(error)
    return error.code


def dispatch(words: list[str]) -> int:
    """Run the verb, or ``train`` if none is given; return the exit code."""
    action, rest = chosen(words)
    with defaults.numbers():  # a plugin may have changed them
        return action(rest)


def chosen(words: list[str]) -> tuple[Callable[[list[str]], int], list[str]]:
    """Return the function of the verb (``train`` if the first word is no verb) and its words. Raises Refused."""
    if "--version" in words:
        return print_version, words
    from d2lrun.config import plugins

    files, words = plugins.taken(words)
    if not {"--shell-completion", "-sc"} & set(words):
        plugins.load_installed()
        plugins.load(files)
    named = bool(words) and words[0].isidentifier() and words[0] in all_verbs()
    verb, rest = (words[0], words[1:]) if named else ("train", words)
    if rest and not named and rest[0][:1].isalpha() and not {"=", "＝"} & set(rest[0]):
        refuse_verb(rest)
    if {"--shell-completion", "-sc"} & set(rest):
        return complete, [word for word in rest if word not in ("--shell-completion", "-sc")]
    if "--help" in rest or "-h" in rest:
        return partial(print_help, verb if named else None), rest
    return getattr(verbs, verb) if verb in COMMON else partial(verbs.ask, verb), rest


def complete(words: list[str]) -> int:
    """Print what ``-sc`` asks for; return the exit code."""
    from d2lrun.cli.completion import answer

    print(answer(words, all_verbs()), end="")
    return 0


def print_version(words: list[str]) -> int:
    """Print the version; return the exit code."""
    print(f"d2lrun {__version__}")
    return 0


def refuse_verb(words: list[str]) -> None:
    """Raise Refused for a first word that is no verb, unless the words mean KEY=VALUE; ``train`` reports these."""
    from d2lrun.config import hints
    from d2lrun.config.schema import did_you_mean

    close = hints.verb(words[0], all_verbs())
    if not close:
        from d2lrun.cli.command import meant_by

        if meant_by(words):
            return
    wanted = f"the verbs: {', '.join(all_verbs())}; or KEY=VALUE to train"
    raise Refused(f"{words[0]}: no such verb{did_you_mean(close)}", wanted)


def print_help(verb: str | None, words: list[str]) -> int:
    """Print the help of a verb, or of the whole program if ``verb`` is None; return the exit code."""
    from d2lrun.cli.help import overview, wrapped
    from d2lrun.config.keys import conf_dir

    if verb:
        from d2lrun import tasks
        from d2lrun.config.tables import TASKS

        usage, line = all_verbs()[verb]
        by_task = tasks.words().get(verb, {})
        several = [line for task, word in by_task.items() for line in wrapped(f"of a {TASKS[task].title}: ", word.does)]
        does = several if len(by_task) > 1 else wrapped("", line)
        print("\n".join([*wrapped(f"usage: d2lrun {verb} ", usage), "", *does, *explained(verb, usage)]))
        return 0
    config_dir = next((words[at] for at in range(1, len(words)) if words[at - 1] in ("--config-dir", "-cd")), None)
    print(overview(conf_dir(), all_verbs(), config_dir), end="")
    return 0


def explained(verb: str, usage: str) -> list[str]:
    """Return an empty line and a line for each argument of ``usage``: KEY of KEY=VALUE, and RUN, but not VALUE."""
    from d2lrun import tasks

    words = tasks.words().get(verb, {}).values()
    meanings = MEANINGS | {name: meaning for word in words for name, meaning in word.arguments.items()}
    names = [name for name in re.findall(r"[\w.]+(?==)|(?<![\w=])[A-Z]{3,}", usage) if name in meanings]
    return ["", *(f"  {name:<12} {meanings[name]}" for name in names)] if names else []


if __name__ == "__main__":
    main()
