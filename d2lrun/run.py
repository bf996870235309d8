"""One run: build what the config names, continue where it stopped, fit, write the result."""

from __future__ import annotations

import contextlib
import math
import time
import traceback
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from d2lrun import checkpoint, datasets, devices, files, models, optim, validation, weights
from d2lrun.config import Config
from d2lrun.datasets.images import ImageDataset
from d2lrun.errors import D2lrunError, Diverged, Failed, Stopped
from d2lrun.evaluate import evaluate, exhaust, probabilities
from d2lrun.fit import State, fit
from d2lrun.report.curves import draw_curves
from d2lrun.report.page import write_page
from d2lrun.report.pictures import draw_predictions
from d2lrun.report.progress import Progress, epoch_line
from d2lrun.report.text import say
from d2lrun.report.transfer import Transfer
from d2lrun.result import describe, revival, versions
from d2lrun.rundir import RunDirectory, config_hash
from d2lrun.signals import StopRequest
from d2lrun.tasks import CHANCE_EPOCHS, Classification

if TYPE_CHECKING:
    from rich.console import Console

SAVE_SECONDS = 60  # no more work than this is lost to a kill
PICTURED = 1000  # test images among which predictions.png looks for mistakes


@dataclass
class Experiment:
    """What a config names, built and on its device."""

    config: Config
    data: ImageDataset
    split: validation.Split
    task: Classification
    state: State


class Log:
    """What is said: to the terminal and, with the time, to run.log."""

    def __init__(self, path: Path, console: Console):
        self.path, self.console = path, console

    def say(self, text: str) -> None:
        say(self.console, text)
        self.write(text)

    def write(self, text: str) -> None:
        with open(self.path, "a", encoding="utf-8", errors="backslashreplace") as file:
            file.write(f"{datetime.now():%Y-%m-%d %H:%M:%S}  {text}\n")


def run(config: Config, directory: RunDirectory, console: Console, changed: list[str] | None) -> dict[str, Any]:
    """Train ``config`` in its directory, from the newest checkpoint if there is one; returns result.json.

    ``changed`` are the keys that depart from the book's recipe (None: unknown). Raises Refused, Failed,
    Diverged or Stopped; what was saved until then can be continued.
    """
    log = Log(directory.log, console)
    experiment = None
    try:
        experiment = build(config, log)
        log.say(f"{describe_briefly(experiment)}, in {directory.path}")
        train(experiment, directory, log)
        return finish(experiment, directory, changed)
    except BaseException as error:
        if isinstance(error, Stopped):
            error.args = (f"{error}; continue with: d2lrun resume {directory.path}",)
        with contextlib.suppress(OSError):  # a full disk must not hide what went wrong first
            record_failure(error, experiment, directory, log, changed)
        if told := explained(error, config):
            raise told from error
        raise


def build(config: Config, log: Log) -> Experiment:
    """Device, model, data and optimizer, in the order in which something may be refused; seeds torch's generators."""
    device = devices.prepare(config.device)
    torch.manual_seed(config.seed)
    model = models.build(config.model, *datasets.form(config.dataset))
    devices.place(model, device, config.device)
    with Transfer(log.console) as transfer:
        data = datasets.load(config.dataset, log.say, transfer.progress)
    split = validation.split(config.validation, data.train_labels, config.seed)
    optimizer = optim.build(config.optimizer, (one for one in model.parameters() if one.requires_grad))
    task = Classification(data.num_classes)
    dtype = torch.float32 if device.type == "mps" else torch.float64
    sums = torch.zeros(len(task.metrics), dtype=dtype, device=device)
    state = State(model, optimizer, devices.scaler(device, config.device), sums)
    return Experiment(config, data.to(device), split.to(device), task, state)


def describe_briefly(experiment: Experiment) -> str:
    """'mlp on fashion-mnist, 203,530 parameters, cpu with 2 threads'."""
    config, device = experiment.config, experiment.state.device
    count = sum(parameter.numel() for parameter in experiment.state.model.parameters())
    where = f"cpu with {torch.get_num_threads()} threads" if device.type == "cpu" else str(device)
    return f"{config.model.name} on {config.dataset.name}, {count:,} parameters, {where}"


def train(experiment: Experiment, directory: RunDirectory, log: Log) -> None:
    """Pull the loop: draw, record, save; on a signal save once more and raise Stopped."""
    config, state = experiment.config, experiment.state
    origin = config_hash(config)
    if checkpoint.load_newest(directory.checkpoints, origin, state.load_state_dict, log.say) is not None:
        log.say(f"resuming at epoch {state.epoch + 1}, step {state.step}")
    elif config.model.weights is not None:
        head = weights.begin_with(state.model, config.model.weights, experiment.data.num_classes)
        log.say(f"weights of {config.model.weights}" + (f"; new for other classes: {', '.join(head)}" if head else ""))
    checkpoint.prune(directory.checkpoints)
    directory.write_metrics(state.records)
    examples = len(experiment.split.train)
    if config.train.limit_batches:
        examples = min(examples, config.train.limit_batches * config.train.batch_size)
    steps = math.ceil(examples / config.train.batch_size)
    loop = fit(state, experiment.data, experiment.split, experiment.task, config)
    saved = time.monotonic()
    with (
        StopRequest() as stop,
        Progress(log.console, config.train.epochs, steps, examples, state.batch) as bar,
    ):
        for record in loop:
            if record is None:
                bar.step(state.epoch + 1, state.batch, lambda: running(experiment))
            else:
                directory.append_metrics(record)
                bar.epoch(record)
                log.write(epoch_line(record, config.train.epochs))
                if len(state.records) == CHANCE_EPOCHS and experiment.task.dead(state.records):
                    log.say(f"dead: still at chance after epoch {CHANCE_EPOCHS}; {revival(config)}")
            if record or stop.received or due(config, state.step) or time.monotonic() - saved > SAVE_SECONDS:
                save(experiment, directory)
                saved = time.monotonic()
            if stop.received:
                raise Stopped(stop.received, f"stopped at step {state.step}, saved")


def running(experiment: Experiment) -> dict[str, float]:
    """The metrics of this epoch so far, for the bar."""
    done = min(experiment.state.batch * experiment.config.train.batch_size, len(experiment.split.train))
    return dict(zip(experiment.task.metrics, (experiment.state.sums / done).tolist()))


def due(config: Config, step: int) -> bool:
    """Whether a checkpoint was asked for at this step."""
    return config.train.checkpoint_every is not None and step % config.train.checkpoint_every == 0


def save(experiment: Experiment, directory: RunDirectory) -> None:
    """Write a checkpoint; raises Diverged where a step was too long for a float32, so that all saved are finite."""
    state = experiment.state
    if not all(tensor.isfinite().all() for tensor in state.model.state_dict().values()):
        raise Diverged(f"diverged: weights no longer finite at step {state.step}", "try a smaller optimizer.lr")
    facts = {
        "epoch": state.epoch,
        "config_hash": config_hash(experiment.config),
        "versions": versions(),
        "threads": torch.get_num_threads(),
    }
    checkpoint.save(directory.checkpoints, state.state_dict(), state.step, facts)


def finish(experiment: Experiment, directory: RunDirectory, changed: list[str] | None) -> dict[str, Any]:
    """The final weights, the pictures, and last of all result.json."""
    config, data, state = experiment.config, experiment.data, experiment.state
    if state.best is not None:
        state.model.load_state_dict(state.best["model"])
    result = describe(config, state, experiment.task, "finished", changed)
    if experiment.split.val is not None:  # the test set was not looked at before this
        size, limit = config.train.batch_size, config.train.limit_batches
        batches = data.batches(data.test_images, data.test_labels, size, limit)
        result["metrics"] |= exhaust(evaluate("test", state.model, batches, experiment.task))
    weights.save(state.model, directory.weights_file)
    draw(experiment, directory, result)
    files.write_json(directory.result_file, result)
    return result


def draw(experiment: Experiment, directory: RunDirectory, result: dict[str, Any]) -> None:
    """curves.png, predictions.png, and the page that shows them."""
    config, data, state = experiment.config, experiment.data, experiment.state
    comparable = result["book"] is not None and result["book"]["changed"] == []
    title = f"{config.model.name} on {config.dataset.name}, seed {config.seed}"
    draw_curves(state.records, directory.curves, title, config.book.band if comparable else None)
    images, labels = data.test_images[:PICTURED], data.test_labels[:PICTURED]
    guesses = probabilities(state.model, map(data.inputs, images.split(config.train.batch_size)))
    draw_predictions(directory.predictions, images.cpu(), labels.cpu(), guesses.cpu(), data.classes)
    write_page(directory.page, result, state.records, directory.config_file.read_text(encoding="utf-8"))


def record_failure(
    error: BaseException,
    experiment: Experiment | None,
    directory: RunDirectory,
    log: Log,
    changed: list[str] | None,
) -> None:
    """Say in run.log and result.json how the run ended before its end."""
    status = {Diverged: "diverged", Stopped: "stopped"}.get(type(error), "failed")
    expected = isinstance(error, (D2lrunError, Stopped))
    log.write(f"{status}: {error}" if expected else traceback.format_exc())
    if experiment is not None:
        result = describe(experiment.config, experiment.state, experiment.task, status, changed)
        files.write_json(directory.result_file, result | {"error": str(error) or repr(error)})


def explained(error: BaseException, config: Config) -> Failed | None:
    """What to tell of torch's own errors that a setting can cure; None for any other."""
    lines = str(error).strip().splitlines() or ["nothing is left"]
    if is_out_of_memory(error):
        smaller = [f"train.batch_size={config.train.batch_size // 2}"] if config.train.batch_size > 1 else []
        smaller += ["device.precision=bf16"] if config.device.precision in ("fp32", "tf32") else []
        return Failed(
            f"out of memory with train.batch_size={config.train.batch_size}: {lines[-1]}",
            f"try {', '.join([*smaller, 'a smaller dataset.resize or a smaller model'])}",
        )
    if type(error).__module__.startswith(("torch._dynamo", "torch._inductor")):
        return Failed(f"torch.compile: {lines[0]}", "device.compile=false")
    if "does not have a deterministic implementation" in str(error):
        return Failed(f"device.deterministic=true: {lines[0]}", "device.deterministic=false, or another network")
    return None


def is_out_of_memory(error: BaseException) -> bool:
    """torch has a class for CUDA only; what no memory could ever hold fails in still other ways."""
    words = ("DefaultCPUAllocator", "out of memory", "size calculation overflowed", "Overflow when unpacking")
    return isinstance(error, (torch.OutOfMemoryError, MemoryError)) or any(word in str(error) for word in words)
