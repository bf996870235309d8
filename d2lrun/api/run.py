"""A run from Python: train, resume, load, and what can be asked of a run."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from dataclasses import replace
from functools import cached_property, partial
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

from d2lrun.api import networks, process
from d2lrun.api.words import overrides, plain
from d2lrun.config import schema
from d2lrun.config.keys import Config
from d2lrun.config.metrics import mean_and_std, split_of
from d2lrun.disk import rundir
from d2lrun.disk.rundir import FOLDS, RunDirectory
from d2lrun.errors import InUse, Refused
from d2lrun.report.text import from_here, say, spread

if TYPE_CHECKING:
    from torch import nn

FRAME = '<iframe srcdoc="{page}" style="width: 100%; height: 40rem; border: 1px solid #ddd"></iframe>'


class Run:
    """A run on disk, finished or not. Nothing is read before it is asked for.

    Raises Refused if the directory is not a run's.
    """

    def __init__(self, directory: str | Path):
        self.directory = Path(directory).expanduser().absolute()
        self._files = RunDirectory(self.directory)
        self._files.load_config()

    @property
    def config(self) -> dict[str, Any]:
        """The config as nested dictionaries, with the keys of the command line."""
        return schema.to_dict(self._files.load_config())

    @property
    def result(self) -> dict[str, Any]:
        """The content of result.json; empty before the run has ended."""
        return self._files.result() or {}

    @property
    def status(self) -> str:
        """finished, stopped, failed, diverged, or unfinished."""
        return str(self.result.get("status", "unfinished"))

    @property
    def metrics(self) -> dict[str, Any]:
        """The metrics of the end, such as test_accuracy; of K folds, a dictionary with mean and std each."""
        return dict(self.result.get("metrics", {}))

    @property
    def records(self) -> list[dict[str, Any]]:
        """A dictionary for each epoch, which pandas.DataFrame takes as it is."""
        return self._files.records()

    @property
    def folds(self) -> list[Run]:
        """The runs of the K folds; none if it is a single run."""
        return [Run(path) for path in sorted(self.directory.glob(FOLDS))]

    @cached_property
    def model(self) -> nn.Module:
        """The network with the trained weights, in evaluation mode, on the run's device."""
        return self._loaded()[1].eval()

    def evaluate(self) -> dict[str, float]:
        """Return the metrics of the weights on the test set, or else on the held-out examples; raises Refused."""
        with process.isolated():
            from d2lrun.runs import inference

            return inference.evaluate_run(self._files, say=process.LOG.info)

    def predict(self, inputs: Any = None, **options: Any) -> Any:
        """Return the predictions for ``inputs``, or else for the test set.

        A classification takes images: paths, PIL images, or arrays and tensors uint8 or from 0 to 1, [n, H, W],
        [n, C, H, W] or [n, H, W, C]. A text classification takes texts. A table takes rows: a CSV file, a DataFrame, or
        a dictionary of columns. The predictions are ``Classes``, or of a regression numbers [n]. Raises Refused.
        """
        return self._ask("predict", inputs, options)

    def generate(self, prefix: str = "", **options: Any) -> str:
        """Return the continuation of a text by a language model; ``length``, ``temperature``, ``top_k``, ``seed``."""
        return str(self._ask("generate", None, {**({"prefix": prefix} if prefix else {}), **options}))

    def translate(self, sentences: str | list[str], **options: Any) -> list[str]:
        """Return the translations of sentences; ``beam`` is the width of the search."""
        return list(self._ask("translate", sentences, options))

    def tag(self, sentences: str | list[str], **options: Any) -> list[list[tuple[str, str]]]:
        """Return the tag of each word of the sentences."""
        return list(self._ask("tag", sentences, options))

    def forecast(self, values: Any = None, **options: Any) -> list[float]:
        """Return the next ``steps`` values after ``values``, or else after the end of the run's series."""
        return list(self._ask("forecast", values, options))

    def _loaded(self) -> tuple[Any, nn.Module]:
        """Return the data and the model of the run; raises Refused if the data changed."""
        with process.isolated():
            from d2lrun.runs import inference

            return inference.load(self._files, say=process.LOG.info)[1:]

    def _ask(self, verb: str, inputs: Any, options: Mapping[str, Any]) -> Any:
        """Ask the run by a verb of its task; raises Refused."""
        from d2lrun.runs import asking

        with process.isolated():
            return asking.value(verb, self._files, inputs, options, process.console())

    def __repr__(self) -> str:
        metrics = [f"{name} {spread(*mean_and_std(value))}" for name, value in self.metrics.items() if split_of(name)]
        return f"<d2lrun.Run {from_here(self.directory)}: {', '.join([self.status, *metrics])}>"

    def _repr_html_(self) -> str:
        """Return the page of the run, for a notebook."""
        return framed(self._files.page, repr(self))


def framed(page: Path, text: str) -> str:
    """Return an HTML page in a frame of its own, so that its style stays in it; without the file, the text."""
    return FRAME.format(page=escape(page.read_text("utf-8"))) if page.is_file() else f"<pre>{escape(text)}</pre>"


def train(
    *words: str, data: Any = None, config_dir: str | None = None, quiet: bool | None = None, **settings: Any
) -> Run:
    """Train what the overrides and keyword arguments describe, and return the run.

    ``train("model=lenet", "train.epochs=3")`` and ``train(model="lenet", train={"epochs": 3})`` are the command
    ``d2lrun model=lenet train.epochs=3``: the same bits, the same directory. If the newest run of this config was
    stopped, as by interrupting a notebook's cell, it is continued. A notebook's cell shows progress and curves;
    elsewhere the lines of a run go to the log "d2lrun", or with ``quiet=False`` to stdout.

    ``data`` are inputs and targets in memory, ``(X, y)`` or ``{"train": (X, y), "val": …, "test": …}``: images [N, H,
    W], [N, C, H, W] or [N, H, W, C], or rows [N, D] or a DataFrame, whose targets are numbers if they have a point and
    classes if not.

    Raises Refused with ``complaints``, Failed, Diverged, or Stopped, which is a KeyboardInterrupt.
    """
    config = process.composed(overrides(words, settings, data), config_dir)
    if config.sweep.engine == "grid" and (config.sweep.grid or config.sweep.combinations):
        raise Refused("it names several runs, and train trains one", "d2lrun.sweep with the same arguments")
    with process.isolated():  # also the search: a run of another thread may be the one that is found
        config = networks.completed(config)
        if config.run.dir is None and (stopped := newest_stopped(config)):
            with contextlib.suppress(InUse):  # another process trains it: this is a run of its own
                return trained(replace(config, run=replace(config.run, dir=str(stopped.path))), quiet)
        return trained(config, quiet)


def resume(run: str | Path | Run, *, model: Any = None, quiet: bool | None = None, epochs: int | None = None) -> Run:
    """Continue a run that was stopped, to the same bits; or train a finished one to ``epochs``, as a new run.

    A run of one's own network that began in another process needs it again, as ``model``. Raises Refused.
    """
    directory = (run if isinstance(run, Run) else Run(run))._files
    config = directory.load_config()
    networks.give(model, config)
    if epochs is None:
        config.run.dir = str(directory.path)
        return trained(config, quiet, resumed=True)
    config = schema.parse(schema.to_dict(replace(config, train=replace(config.train, epochs=plain(epochs)))))
    with process.isolated():
        from d2lrun.runs import longer

        with longer.child(directory, config, partial(say, process.display(quiet)[0])) as config:
            return trained(config, quiet)


def load(directory: str | Path, *, model: Any = None) -> Run:
    """Return the run in a directory; raises Refused if there is none.

    ``model`` is the network of a run that was given one of one's own, in another process; without it the run can be
    looked at, but not asked.
    """
    run = Run(directory)
    networks.give(model, run._files.load_config())
    return run


def trained(config: Config, quiet: bool | None, resumed: bool = False) -> Run:
    """Train the config in this process and return the run."""
    from d2lrun.runs import execute

    with process.isolated():
        console, progress = process.display(quiet)
        directory, _ = execute.trained(config, console, resumed, progress)
    return Run(directory.path)


def newest_stopped(config: Config) -> RunDirectory | None:
    """Return the newest run of this config if it was stopped or killed before its end; None else."""
    known = map(RunDirectory, rundir.folder_of(config).glob("*/"))
    same = [each for each in known if each.begun() and is_of(each, config)]
    newest = max(same, key=lambda each: each.path.stat().st_mtime_ns, default=None)
    ended = newest and (newest.result() or {}).get("status", "stopped")
    return newest if ended == "stopped" else None


def is_of(directory: RunDirectory, config: Config) -> bool:
    """Whether the run in a directory has this config, with the same name and paths of data."""
    try:
        saved = directory.load_config()
    except Refused:
        return False
    saved = replace(saved, run=replace(saved.run, dir=None))
    return not schema.differing(saved, config, ignore=())
