"""One run: build what the config names, load the newest checkpoint, fit, write the result."""

from __future__ import annotations

import contextlib
import time
import traceback
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from d2lrun import datasets, models
from d2lrun.config import schema
from d2lrun.config.keys import Config
from d2lrun.counts import counted
from d2lrun.disk import checkpoint, files, weights
from d2lrun.disk.rundir import RunDirectory, config_hash
from d2lrun.errors import D2lrunError, Diverged, Failed, Pruned, Refused, Stopped, facts_of, masked
from d2lrun.report import fonts
from d2lrun.report.curves import draw_curves
from d2lrun.report.page import write_page
from d2lrun.report.progress import Progress, epoch_line
from d2lrun.report.text import optional, say
from d2lrun.report.transfer import Transfer
from d2lrun.runs import identity, longer
from d2lrun.runs.result import advice_at_chance, compare_with_constant, describe, versions
from d2lrun.signals import StopRequest
from d2lrun.tasks import task_of, view_of
from d2lrun.training import devices, optim
from d2lrun.training.evaluate import evaluate, exhaust, precise
from d2lrun.training.experiment import Experiment
from d2lrun.training.fit import State
from d2lrun.training.task import CHANCE_EPOCHS, Split, Subset

if TYPE_CHECKING:
    from rich.console import Console

SAVE_SECONDS = 60  # a kill loses at most this much work
EPOCH_SECONDS = 1.0  # shorter epochs are not saved one by one, since a checkpoint waits for the disk


class Log:
    """Writes lines to run.log with the time, and to the terminal unless ``quiet``."""

    def __init__(self, path: Path, console: Console, quiet: bool = False):
        self.path, self.console, self.quiet = path, console, quiet

    def say(self, text: str) -> None:
        """Print a line and write it to run.log."""
        if not self.quiet:
            say(self.console, text)
        self.write(text)

    def write(self, text: str) -> None:
        """Write a line to run.log only."""
        with open(self.path, "a", encoding="utf-8", errors="backslashreplace") as file:
            file.write(f"{datetime.now():%Y-%m-%d %H:%M:%S}  {masked(text)}\n")


def run(
    config: Config,
    directory: RunDirectory,
    console: Console,
    changed: list[str] | None,
    progress: Callable[..., Progress] = Progress,
    quiet: bool = False,
) -> dict[str, Any]:
    """Train ``config`` in its directory, from the newest checkpoint if there is one; return result.json.

    ``changed`` are the keys that differ from the book's recipe (None: unknown). ``progress`` makes the display of the
    epochs. If ``quiet``, all other lines go only to run.log. Raises Refused, Failed, Diverged or Stopped; the run can
    continue from what was saved before.
    """
    log = Log(directory.log, console, quiet)
    experiment = None
    try:
        longer.inherit(directory, config, log.say)
        if config.model.weights is not None and not directory.begun():
            weights.find(config.model.weights)  # refused before the data are read
        built = build(config, log, directory.threads())
        log.say(f"{describe_briefly(built)}, in {directory.path}, data from {built.data.source}")
        identity.record(directory, built.identity, log.say)
        view_of(config).prepare(built.data, directory, log.say)
        experiment = built  # a failure from here on belongs to this run and is written to its result
        learn(experiment, directory, log, progress)
        return write_result(experiment, directory, changed, log)
    except BaseException as error:
        directory.refuse_deleted()  # then the deletion is the first error, and no file is written again
        if isinstance(error, Stopped):
            error.args = (f"{error}; continue with: {directory.command('resume')}",)
        with contextlib.suppress(OSError):  # a full disk must not hide the first error
            record_failure(error, experiment, directory, log, changed)
        if failure := explained(error, config):
            raise failure from error
        raise


def build(config: Config, log: Log, began: int | None = None) -> Experiment:
    """Build device, model, data and optimizer, with early refusals first; seeds torch's generators.

    ``began`` is the number of threads of a continued run; None for a new run.
    """
    device = devices.prepare(config.device, began)
    torch.manual_seed(config.seed)
    with Transfer(log.console) as transfer:
        model = models.build(config.model, *datasets.form(config, log.say, transfer.progress))
        data = datasets.prepared(config, log.say, transfer.progress)
    data = data.to(device)
    split = data.split(config.validation, config.seed)
    split = split.limited(config.train.limit_batches, config.train.batch_size)
    split = trainable(split, model, config, log)
    if began is None:
        devices.share(config.device, model, units_of_a_step(split, config))
    devices.place(model, device, config.device)
    trained: list[Tensor] = [parameter for parameter in model.parameters() if parameter.requires_grad]
    head = optim.head_of(model, data.outputs) if config.optimizer.head_factor != 1 else []
    optimizer = optim.build(config.optimizer, trained or [torch.zeros(0)], head)  # an n-gram model has no parameters
    task = task_of(config, data)
    sums = torch.zeros(task.counts, dtype=precise(device), device=device)
    state = State(model, optimizer, devices.scaler(device, config.device), sums)
    return Experiment(config, data, split, task, state, identity.identify(config, data, split, task))


def units_of_a_step(split: Split[Subset], config: Config) -> int:
    """Return the number of examples or tokens in the first training batch."""
    return split.train.count(split.train.shuffled(config.train.batch_size, config.seed, epoch=0)[:1])


def trainable(split: Split[Subset], model: nn.Module, config: Config, log: Log) -> Split[Subset]:
    """Return a split whose training batches all fit the model; ``model`` is still on the CPU.

    Some networks with batch normalisation cannot train on a batch of one example. If only the last batch has one
    example, it joins the batch before it. Raises Refused if every batch has one example.
    """
    if not any(isinstance(layer, _BatchNorm) for layer in model.modules()):
        return split
    train, limit = config.train, config.train.limit_batches
    batches = split.train.shuffled(train.batch_size, config.seed, epoch=0)[:limit]
    if len(batches[-1]) != 1 or models.trains_on(model, split.train.load(batches[-1])[0]):
        return split
    reason = f"the batch normalisation of {config.model.name} cannot train on a single example"
    if len(batches) == 1 or train.batch_size == 1:
        count = split.train.size
        raise Refused(
            f"train.batch_size={train.batch_size}, with {counted(count, 'example')} to train on: {reason}",
            "train.batch_size=2 or more" if count > 1 else "train with more examples",
        )
    log.say(f"{reason}: the last batch joins the one before it, which has {counted(train.batch_size + 1, 'example')}")
    return replace(split, train=split.train.joined(least=2))


def describe_briefly(experiment: Experiment) -> str:
    """Return, for example, 'mlp on fashion-mnist, 203,530 parameters, cpu with 2 threads'."""
    config, device = experiment.config, experiment.state.device
    count = sum(parameter.numel() for parameter in experiment.state.model.parameters())
    where = f"cpu with {counted(torch.get_num_threads(), 'thread')}" if device.type == "cpu" else str(device)
    return f"{config.model.name} on {schema.data_name(config.dataset)}, {counted(count, 'parameter')}, {where}"


def learn(
    experiment: Experiment, directory: RunDirectory, log: Log, progress: Callable[..., Progress] = Progress
) -> None:
    """Run the training loop: print, record, save; after a signal save once more and raise Stopped."""
    config, state = experiment.config, experiment.state
    origins = directory.config_hashes()
    if checkpoint.load_newest(directory.checkpoints, origins, state.load_state_dict, log.say) is not None:
        log.say(f"resuming at epoch {state.epoch + 1}, step {state.step}")
        if state.origin != state.device.type:
            log.say(f"saved on {state.origin}, continued on {state.device.type}: not bit-equal to an uninterrupted run")
    else:
        begin(experiment, log)
    checkpoint.prune(directory.checkpoints)
    directory.write_metrics(state.records)
    view = view_of(config)
    view.sample(experiment, directory, now=False)  # samples.txt may be damaged, or hold epochs after this checkpoint
    batches, pauses = experiment.task.learn(state, experiment.split, config)
    units = experiment.split.train.count(batches)
    saved, saved_step = time.monotonic(), state.step
    with (
        StopRequest() as stop,
        progress(log.console, config.train.epochs, len(batches), units, state.batch) as bar,
    ):
        bar.past(state.records)
        for record in pauses:
            if record is None:
                bar.step(state.epoch + 1, state.batch, lambda: running(experiment))
            else:
                directory.append_metrics(record)
                bar.epoch(record)
                log.write(epoch_line(record, config.train.epochs))
                if len(state.records) == CHANCE_EPOCHS and experiment.task.stuck(state.records):
                    log.say(
                        f"at chance: no better than guessing after epoch {CHANCE_EPOCHS}; {advice_at_chance(config)}"
                    )
            if record and sample_due(config, record["epoch"]):
                view.sample(experiment, directory, now=True)
            age = time.monotonic() - saved
            if stop.received or due(config, state.step) or age > (EPOCH_SECONDS if record else SAVE_SECONDS):
                save(experiment, directory)
                saved, saved_step = time.monotonic(), state.step
            if stop.received:
                raise Stopped(stop.received, f"stopped at step {state.step}, saved")
    if saved_step != state.step:
        save(experiment, directory)


def begin(experiment: Experiment, log: Log) -> None:
    """Load the weights that the config names for the start of a new run, if any; raises Refused."""
    config, data = experiment.config, experiment.data
    with Transfer(log.console) as transfer:
        found = models.first_weights(config.model, data.inputs, log.say, transfer.progress)
    if found is not None:
        source, tensors = found
        head = weights.begin_with(experiment.state.model, tensors, data.outputs, source)
        log.say(f"weights of {source}" + (f"; new for other classes: {', '.join(head)}" if head else ""))


def running(experiment: Experiment) -> dict[str, float]:
    """Return the metrics of this epoch so far, for the progress bar."""
    measured = experiment.task.metrics("train", experiment.state.sums, experiment.state.units)
    return {name.removeprefix("train_"): value for name, value in measured.items()}


def due(config: Config, step: int) -> bool:
    """Whether ``train.checkpoint_every`` asks for a checkpoint at this step."""
    return config.train.checkpoint_every is not None and step % config.train.checkpoint_every == 0


def sample_due(config: Config, epoch: int) -> bool:
    """Whether ``train.sample_every`` asks for a sample after this epoch."""
    return config.train.sample_every is not None and epoch % config.train.sample_every == 0


def save(experiment: Experiment, directory: RunDirectory) -> None:
    """Write a checkpoint; raises Diverged if a weight is not finite, so all saved weights are finite."""
    directory.refuse_deleted()
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


def write_result(
    experiment: Experiment, directory: RunDirectory, changed: list[str] | None, log: Log
) -> dict[str, Any]:
    """Write the final weights, the pictures, and at the end result.json; return its content."""
    directory.refuse_deleted()
    config, split, state = experiment.config, experiment.split, experiment.state
    if state.best is not None:
        state.model.load_state_dict(state.best["model"])
    result = describe(config, state, experiment.task, "finished", changed, experiment.identity)
    result |= longer.parentage(directory)
    size = config.train.batch_size
    if split.final_test is not None:  # the test set was not used before this
        result["metrics"] |= exhaust(evaluate("test", state.model, split.final_test, experiment.task, size))
    for name, part in split.measured:
        result["metrics"] |= experiment.task.final_metrics(name, state.model, part, size)
    result |= compare_with_constant(config, experiment.task, split, result["metrics"], len(state.records))
    result |= view_of(config).describe(experiment, directory)
    weights.save(state.model, directory.weights_file)
    if config.run.pictures:
        draw(experiment, directory, result, log)
    files.write_json(directory.result_file, result)
    return result


def draw(experiment: Experiment, directory: RunDirectory, result: dict[str, Any], log: Log) -> None:
    """Draw curves.png and the task's picture or samples, and write the page; an error is only reported."""
    config, state = experiment.config, experiment.state
    comparable = result["book"] is not None and result["book"]["changed"] == []
    title = f"{config.model.name} on {schema.data_name(config.dataset)}, seed {config.seed}"
    with optional(directory.curves, log.say):
        draw_curves(state.records, directory.curves, title, config.book.band if config.book and comparable else None)
    view_of(config).draw(experiment, directory, title, log.say)
    for line in fonts.notices():
        log.say(line)
    with optional(directory.page, log.say):
        write_page(directory.page, result, state.records, directory.config_text())


def record_failure(
    error: BaseException,
    experiment: Experiment | None,
    directory: RunDirectory,
    log: Log,
    changed: list[str] | None,
) -> None:
    """Write to run.log and result.json why the run stopped early."""
    status = {Diverged: "diverged", Pruned: "pruned", Stopped: "stopped"}.get(type(error), "failed")
    expected = isinstance(error, (D2lrunError, Stopped))
    log.write(f"{status}: {error}" if expected else traceback.format_exc())
    if experiment is not None:
        result = describe(experiment.config, experiment.state, experiment.task, status, changed, experiment.identity)
        files.write_json(directory.result_file, result | longer.parentage(directory) | facts_of(error))


def explained(error: BaseException, config: Config) -> Failed | None:
    """Convert an error of torch that a setting can fix to Failed with a hint; None for any other error."""
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
    """Whether memory ran out. torch has an error class for CUDA only; other errors are known by their text."""
    words = ("DefaultCPUAllocator", "out of memory", "size calculation overflowed", "Overflow when unpacking")
    return isinstance(error, (torch.OutOfMemoryError, MemoryError)) or any(word in str(error) for word in words)
