"""One process that has imported everything once, and forks a d2lrun for every request.

A request is a line of JSON on stdin: the words of the command line, the working directory, and Python to run
in the child before it: the fault. The answer is a line with the exit code, as subprocess tells it. A line before
the first answer says that everything is imported. With ``--without-torch`` the process has no torch, and neither
have its children; other words are more modules to import.
"""

from __future__ import annotations

import builtins
import contextlib
import copy
import functools
import gc
import json
import os
import pathlib
import resource
import shutil
import signal
import sys
import traceback
from importlib import import_module

PATIENCE = 1800  # seconds: only a process that hangs for ever takes so long


def send(name: str) -> None:
    """A real signal to this very process."""
    os.kill(os.getpid(), getattr(signal, name))


def at(where: str, call: int, fault, when: str = "after") -> None:
    """Let ``fault()`` happen before or after the n-th call of ``module:function``."""
    module, function = where.split(":")
    original, calls = getattr(import_module(module), function), 0

    @functools.wraps(original)
    def faulty(*args, **options):
        nonlocal calls
        calls += 1
        if calls == call and when == "before":
            fault()
        value = original(*args, **options)
        if calls == call and when == "after":
            fault()
        return value

    setattr(sys.modules[module], function, faulty)
    for name, each in [*sys.modules.items()]:  # also of modules that have imported it by its name
        if name.startswith("d2lrun") and vars(each).get(function) is original:
            setattr(each, function, faulty)


def at_import(name: str, fault) -> None:
    """Let ``fault()`` happen when the module ``name`` is first asked for."""

    class Finder:
        @staticmethod
        def find_spec(wanted, path=None, target=None):
            if wanted == name:
                sys.meta_path.remove(Finder)
                fault()

    sys.meta_path.insert(0, Finder)


def crowd(size: int) -> None:
    """From here on so many processes, all alike. The one they come from waits and leaves with the highest code."""
    children = []
    for _ in range(size):
        if not (pid := os.fork()):
            return
        children.append(pid)
    os._exit(max(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in children))


def full_disk(left: int) -> None:
    """From now on no file may grow beyond ``left`` bytes."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (left, resource.RLIM_INFINITY))


def photograph(run: str, album: str) -> None:
    """Copy the folder ``run`` into ``album`` as a SIGKILL would leave it, whenever it is other than in the last copy.

    That is looked at before whatever changes the disk, and amid every write. After it is before the next.
    """
    last: dict[pathlib.Path, bytes | bool] = {}
    looking = False

    def passed() -> None:
        nonlocal last, looking
        if looking:  # a copy is written, too
            return
        looking = True
        here = {path: path.is_file() and path.read_bytes() for path in pathlib.Path(run).rglob("*")}
        if here != last:
            shutil.copytree(run, pathlib.Path(album, f"{len(os.listdir(album)):03}"))
        last, looking = here, False

    def watched(original):
        def call(*args, **options):
            passed()
            return original(*args, **options)

        return call

    class Writer:
        """A file of which half of a write may be on the disk."""

        def __init__(self, file):
            self.file = file

        def __getattr__(self, name):
            return getattr(self.file, name)

        def __enter__(self):
            return self

        def __exit__(self, *exception):
            self.file.close()

        def write(self, data):
            passed()
            self.file.write(data[: len(data) // 2])
            self.file.flush()
            passed()
            self.file.write(data[len(data) // 2 :])
            self.file.flush()

    def opened(path, mode="r", *args, original=builtins.open, **options):
        if looking or not set(mode) & set("wax+"):
            return original(path, mode, *args, **options)
        passed()
        return Writer(original(path, mode, *args, **options))

    builtins.open = opened
    os.fsync, os.replace = watched(os.fsync), watched(os.replace)
    pathlib.Path.unlink = watched(pathlib.Path.unlink)


def child(words: list[str], cwd: str, fault: str) -> None:
    """Be ``d2lrun WORDS``; does not return."""
    os.chdir(cwd)
    for descriptor, name in ((1, "stdout"), (2, "stderr")):
        os.dup2(os.open(name, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), descriptor)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    signal.alarm(PATIENCE)
    sys.argv[1:] = words
    try:
        exec(fault, globals())
        import_module("d2lrun.cli.main").main()
    except SystemExit as leaving:
        code = leaving.code
    except BaseException:
        traceback.print_exc()
        code = 1
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def import_everything(more: list[str]) -> None:
    """What every child would do alike, done once."""
    import numpy.ctypeslib
    import numpy.random  # noqa: F401
    import rich._emoji_codes
    import rich.console
    import rich.live
    import rich.status
    import rich.table  # noqa: F401
    import torch.utils.serialization.config  # noqa: F401
    from hydra.core.plugins import Plugins

    from d2lrun.cli import command, main, verbs  # noqa: F401
    from d2lrun.config import compose, several
    from d2lrun.datasets import fashion_mnist  # noqa: F401
    from d2lrun.models import mlp  # noqa: F401
    from d2lrun.report import compare, figure, overlay  # noqa: F401
    from d2lrun.runs import asking, execute, inference, kfold, run  # noqa: F401
    from d2lrun.sweeps import grid, job, launch, monitor  # noqa: F401
    from d2lrun.tasks.classification import picture_files, task, view  # noqa: F401
    from d2lrun.training import chance, split_check  # noqa: F401

    for name in more:
        import_module(name)
    compose.departures = lambda config: None  # the book's band and the pictures
    run.draw = lambda *args: None  # are not what is tested here
    monitor.draw_sweep = monitor.draw_few = monitor.write_sweep_page = lambda *args: None
    monitor.TICK = 0.01
    run.EPOCH_SECONDS = 0  # every epoch is saved, however short
    launch.PATIENCE = 0.05
    several.expand(["seed=1,2"])  # Hydra's parser
    Plugins.instance()
    figure.new_figure(1, 1)  # imports matplotlib, for the children that compare
    for more in ((), ("validation=holdout",)):  # what the sweeps choose: their children compose it from a cache
        compose.compose(["model=mlp", "optimizer=adam", "device=cpu", *more])
    composed = functools.cache(lambda *words, original=compose.compose: original(list(words)))
    compose.compose = lambda words, config_dir=None: copy.deepcopy(composed(*words))
    gc.freeze()  # or the collector of each child copies the pages of all this


def import_all_but_torch() -> None:
    sys.modules["torch"] = None  # whoever imports it, fails
    from hydra.core.plugins import Plugins

    from d2lrun.cli import command, main, verbs  # noqa: F401
    from d2lrun.config import compose, several

    several.expand(["seed=1,2"])  # Hydra's parser
    compose.compose([])
    Plugins.instance()
    gc.freeze()


def serve() -> None:
    print("ready", flush=True)
    for line in sys.stdin:
        request = json.loads(line)
        if request.pop("compose"):  # the children find it in the cache; what is refused, a child says
            with contextlib.suppress(sys.modules["d2lrun.errors"].Refused):
                sys.modules["d2lrun.config.compose"].compose(request["words"])
        pid = os.fork()
        if pid == 0:
            child(**request)
        print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), flush=True)


if __name__ == "__main__":
    import_all_but_torch() if "--without-torch" in sys.argv else import_everything(sys.argv[1:])
    serve()
