"""One run: build what the config names, continue where it stopped, fit, write the result."""

from __future__ import annotations

import contextlib
import re
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from d2lrun import (
    checkpoint,
    datasets,
    devices,
    files,
    identity,
    models,
    next_step,
    optim,
    schema,
    validation,
    vocabulary,
    weights,
)
from d2lrun.config import Config
from d2lrun.counts import counted
from d2lrun.datasets.corpus import untokenise
from d2lrun.datasets.images import ImageDataset
from d2lrun.datasets.stream import TextDataset
from d2lrun.datasets.table import TableDataset, TablePart
from d2lrun.errors import D2lrunError, Diverged, Failed, Pruned, Refused, Stopped, facts_of, masked
from d2lrun.evaluate import evaluate, exhaust, precise, predictions, probabilities
from d2lrun.fit import State, fit, tally
from d2lrun.generate import generate
from d2lrun.identity import identify
from d2lrun.infer import write_submission
from d2lrun.report.curves import draw_curves
from d2lrun.report.fit import draw_agreement, draw_line
from d2lrun.report.page import write_page
from d2lrun.report.pictures import draw_predictions
from d2lrun.report.progress import Progress, epoch_line
from d2lrun.report.text import optional, say
from d2lrun.report.transfer import Transfer
from d2lrun.result import beside_constant, beside_guessing, describe, revival, versions
from d2lrun.rundir import RunDirectory, config_hash
from d2lrun.signals import StopRequest
from d2lrun.split_check import check_split
from d2lrun.tasks import CHANCE_EPOCHS, Task, task_of

if TYPE_CHECKING:
    from rich.console import Console

SAVE_SECONDS = 60  # no more work than this is lost to a kill
EPOCH_SECONDS = 1.0  # epochs that are shorter are not saved one by one: a checkpoint waits for the disk
SAMPLED = 50  # tokens of a sample, as in the book
PICTURED = 1000  # images among which predictions.png looks for mistakes


@dataclass
class Experiment:
    """What a config names, built and on its device."""

    config: Config
    data: ImageDataset | TextDataset | TableDataset
    split: validation.Split
    task: Task
    state: State
    identity: dict[str, Any]  # of the data: identity.py


class Log:
    """What is said: to the terminal, unless ``quiet``, and with the time to run.log."""

    def __init__(self, path: Path, console: Console, quiet: bool = False):
        self.path, self.console, self.quiet = path, console, quiet

    def say(self, text: str) -> None:
        if not self.quiet:
            say(self.console, text)
        self.write(text)

    def write(self, text: str) -> None:
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
    """Train ``config`` in its directory, from the newest checkpoint if there is one; returns result.json.

    ``changed`` are the keys that depart from the book's recipe (None: unknown). ``progress`` makes what shows the
    epochs, ``quiet`` says the rest to run.log alone. Raises Refused, Failed, Diverged or Stopped; what was saved
    until then can be continued.
    """
    log = Log(directory.log, console, quiet)
    experiment = None
    try:
        built = build(config, log)
        log.say(f"{describe_briefly(built)}, in {directory.path}, data from {built.data.source}")
        identity.keep(directory, built.identity, log.say)
        if isinstance(built.data, TextDataset):
            vocabulary.keep(built.data, directory, log.say)
        experiment = built  # from here on a failure is one of this run, and its result says so
        train(experiment, directory, log, progress)
        return finish(experiment, directory, changed, log)
    except BaseException as error:
        directory.refuse_deleted()  # which is what went wrong first, and nothing of it is made anew
        if isinstance(error, Stopped):
            error.args = (f"{error}; continue with: {next_step.resume(directory.path)}",)
        with contextlib.suppress(OSError):  # a full disk must not hide what went wrong first
            record_failure(error, experiment, directory, log, changed)
        if told := explained(error, config):
            raise told from error
        raise


def build(config: Config, log: Log) -> Experiment:
    """Device, model, data and optimizer, in the order in which something may be refused; seeds torch's generators."""
    device = devices.prepare(config.device)
    torch.manual_seed(config.seed)
    with Transfer(log.console) as transfer:
        model = models.build(config.model, *datasets.form(config.dataset, log.say, transfer.progress))
        data = datasets.load(config.dataset, log.say, transfer.progress)
    check_split(config, data)
    data = data.to(device)
    split = validation.split(config.validation, data, config.seed)
    split = split.limited(config.train.limit_batches, config.train.batch_size)
    split = trainable(split, model, config, log)
    devices.place(model, device, config.device)
    trained = [one for one in model.parameters() if one.requires_grad]
    optimizer = optim.build(config.optimizer, trained or [torch.zeros(0)])  # a model that counts has none
    task = task_of(data, config.model)
    sums = torch.zeros(task.counts, dtype=precise(device), device=device)
    state = State(model, optimizer, devices.scaler(device, config.device), sums)
    return Experiment(config, data, split, task, state, identify(config, data, split, task))


def trainable(split: validation.Split, model: nn.Module, config: Config, log: Log) -> validation.Split:
    """The split whose every training batch the model takes; ``model`` is not placed yet.

    Some networks with batch normalisation take no batch of one example. If only the last batch has one, it joins the
    batch before it. Raises Refused if every batch has one.
    """
    if not any(isinstance(layer, _BatchNorm) for layer in model.modules()):
        return split
    train, limit = config.train, config.train.limit_batches
    batches = split.train.shuffled(train.batch_size, config.seed, epoch=0)[:limit]
    if len(batches[-1]) != 1 or models.trains_on(model, split.train.load(batches[-1])[0]):
        return split
    reason = f"the batch normalisation of {config.model.name} cannot train on one example alone"
    if len(batches) == 1 or train.batch_size == 1:
        count = split.train.size
        raise Refused(
            f"train.batch_size={train.batch_size}, with {counted(count, 'example')} to train on: {reason}",
            "train.batch_size=2 or more" if count > 1 else "train with more examples",
        )
    log.say(f"{reason}: the last batch joins the one before it, which has {counted(train.batch_size + 1, 'example')}")
    return replace(split, train=replace(split.train, least=2))


def describe_briefly(experiment: Experiment) -> str:
    """'mlp on fashion-mnist, 203,530 parameters, cpu with 2 threads'."""
    config, device = experiment.config, experiment.state.device
    count = sum(parameter.numel() for parameter in experiment.state.model.parameters())
    where = f"cpu with {counted(torch.get_num_threads(), 'thread')}" if device.type == "cpu" else str(device)
    return f"{config.model.name} on {schema.data_name(config.dataset)}, {counted(count, 'parameter')}, {where}"


def train(
    experiment: Experiment, directory: RunDirectory, log: Log, progress: Callable[..., Progress] = Progress
) -> None:
    """Pull the loop: draw, record, save; on a signal save once more and raise Stopped."""
    config, state = experiment.config, experiment.state
    origins = directory.config_hashes()
    if checkpoint.load_newest(directory.checkpoints, origins, state.load_state_dict, log.say) is not None:
        log.say(f"resuming at epoch {state.epoch + 1}, step {state.step}")
        if state.origin != state.device.type:
            log.say(f"saved on {state.origin}, continued on {state.device.type}: not bit-equal to an uninterrupted run")
    elif config.model.weights is not None:
        head = weights.begin_with(state.model, config.model.weights, experiment.data.num_classes)
        log.say(f"weights of {config.model.weights}" + (f"; new for other classes: {', '.join(head)}" if head else ""))
    checkpoint.prune(directory.checkpoints)
    directory.write_metrics(state.records)
    restore_samples(state, directory)
    part = experiment.split.train
    size, counts = config.train.batch_size, config.model.name == "ngram"
    if counts:
        batches = [*chain.from_iterable(part.ordered(size))]
    else:
        batches = part.shuffled(size, config.seed, epoch=0)[: config.train.limit_batches]
    loop = (tally if counts else fit)(state, experiment.split, experiment.task, config)
    saved, kept = time.monotonic(), state.step
    with (
        StopRequest() as stop,
        progress(log.console, config.train.epochs, len(batches), part.count(batches), state.batch) as bar,
    ):
        for record in loop:
            if record is None:
                bar.step(state.epoch + 1, state.batch, lambda: running(experiment))
            else:
                directory.append_metrics(record)
                bar.epoch(record)
                log.write(epoch_line(record, config.train.epochs))
                if len(state.records) == CHANCE_EPOCHS and experiment.task.dead(state.records):
                    log.say(f"at chance: no better than guessing after epoch {CHANCE_EPOCHS}; {revival(config)}")
            if record and sample_due(config, record["epoch"]):
                sample(experiment, directory)
            age = time.monotonic() - saved
            if stop.received or due(config, state.step) or age > (EPOCH_SECONDS if record else SAVE_SECONDS):
                save(experiment, directory)
                saved, kept = time.monotonic(), state.step
            if stop.received:
                raise Stopped(stop.received, f"stopped at step {state.step}, saved")
    if kept != state.step:
        save(experiment, directory)


def running(experiment: Experiment) -> dict[str, float]:
    """The metrics of this epoch so far, for the bar."""
    measured = experiment.task.measures("train", experiment.state.sums, experiment.state.units)
    return {name.removeprefix("train_"): value for name, value in measured.items()}


def due(config: Config, step: int) -> bool:
    """Whether a checkpoint was asked for at this step."""
    return config.train.checkpoint_every is not None and step % config.train.checkpoint_every == 0


def sample_due(config: Config, epoch: int) -> bool:
    """Whether a text was asked for after this epoch."""
    return config.train.sample_every is not None and epoch % config.train.sample_every == 0


def sample(experiment: Experiment, directory: RunDirectory) -> str | None:
    """Let a language model continue the dataset's prefix, greedily as in the book; the text goes to samples.txt."""
    data, state = experiment.data, experiment.state
    if not isinstance(data, TextDataset) or getattr(experiment.config.model, "bidirectional", False):
        return None
    prefix = data.beginning()
    ids = generate(state.model, data.vocabulary.encode(prefix), SAMPLED)
    text = untokenise([*prefix, *data.vocabulary.decode(ids)], data.kind)
    earlier = [each for each in state.samples if each["epoch"] < state.epoch]
    state.samples = [*earlier, {"epoch": state.epoch, "text": text}]
    write_samples(state.samples, directory)
    return text


def write_samples(samples: list[dict[str, Any]], directory: RunDirectory) -> None:
    """All of samples.txt anew, a line for each sample."""
    lines = [f"epoch {each['epoch']}: {each['text'].replace(chr(10), '⏎')}\n" for each in samples]
    files.write_atomic(directory.samples, "".join(lines))


def restore_samples(state: State, directory: RunDirectory) -> None:
    """Make samples.txt what the checkpoint says: it may be damaged, or hold epochs that the checkpoint does not know.

    A checkpoint of an earlier version has no samples: then those that can be read in samples.txt are kept.
    """
    found = directory.samples.read_bytes() if directory.samples.exists() else b""
    if state.samples is None:
        lines = re.findall(r"^epoch (\d{1,9}): (.*)$", found.decode("utf-8", "replace"), re.MULTILINE)
        told = {int(epoch): text for epoch, text in lines if int(epoch) <= state.epoch}
        state.samples = [{"epoch": epoch, "text": told[epoch]} for epoch in sorted(told)]
    if found or state.samples:
        write_samples(state.samples, directory)


def save(experiment: Experiment, directory: RunDirectory) -> None:
    """Write a checkpoint; raises Diverged where a step was too long for a float32, so that all saved are finite."""
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


def finish(experiment: Experiment, directory: RunDirectory, changed: list[str] | None, log: Log) -> dict[str, Any]:
    """The final weights, the pictures, and last of all result.json."""
    directory.refuse_deleted()
    config, split, state = experiment.config, experiment.split, experiment.state
    if state.best is not None:
        state.model.load_state_dict(state.best["model"])
    result = describe(config, state, experiment.task, "finished", changed, experiment.identity)
    if isinstance(experiment.data, TextDataset):
        result |= beside_guessing(split, len(experiment.data.vocabulary))
    if split.kept is not None:  # the test set was not looked at before this
        size = config.train.batch_size
        result["metrics"] |= exhaust(evaluate("test", state.model, split.kept, experiment.task, size))
    result |= beside_constant(config, experiment.task, experiment.data, split, result["metrics"], len(state.records))
    weights.save(state.model, directory.weights_file)
    if isinstance(split.train, TablePart) and split.train.data.test_targets is None:
        write_submission(directory, state.model, split.train.data, config.train.batch_size)
    if config.run.pictures:
        draw(experiment, directory, result, log)
    files.write_json(directory.result_file, result)
    return result


def draw(experiment: Experiment, directory: RunDirectory, result: dict[str, Any], log: Log) -> None:
    """curves.png, predictions.png or samples.txt, and the page that shows them; one that fails is only reported."""
    config, data, state = experiment.config, experiment.data, experiment.state
    comparable = result["book"] is not None and result["book"]["changed"] == []
    title = f"{config.model.name} on {schema.data_name(config.dataset)}, seed {config.seed}"
    with optional(directory.curves, log.say):
        draw_curves(state.records, directory.curves, title, config.book.band if comparable else None)
    if isinstance(data, TextDataset):
        if not sample_due(config, state.epoch):
            sample(experiment, directory)
    else:
        with optional(directory.predictions, log.say):
            (draw_table if isinstance(data, TableDataset) else draw_images)(experiment, directory, title)
    with optional(directory.page, log.say):
        write_page(directory.page, result, state.records, directory.config_file.read_text(encoding="utf-8"))


def draw_images(experiment: Experiment, directory: RunDirectory, title: str) -> None:
    """predictions.png: the first images that are wrong and right, of the test set or of what is held out."""
    data, size = experiment.data, experiment.config.train.batch_size
    part = experiment.split.kept or experiment.split.watched[1]  # a fold never looks at the test set
    index = part.index[:PICTURED]
    images, labels = part.images[index], part.labels[index]
    guesses = probabilities(experiment.state.model, map(data.inputs, images.split(size)))
    draw_predictions(directory.predictions, images.cpu(), labels.cpu(), guesses.cpu(), data.classes)


def draw_table(experiment: Experiment, directory: RunDirectory, title: str) -> None:
    """predictions.png: the function that was learned, of one variable; else what was predicted beside what is true.

    Of the validation part, or without one of the test set, or where that has no targets of the training part.
    """
    split, size = experiment.split, experiment.config.train.batch_size
    model, device, line = experiment.state.model, experiment.state.device, experiment.data.line
    if line is not None:
        learned = predictions(model, line.features.to(device).split(size))
        points = line.points, experiment.data.train_targets.cpu()[:, 0]
        draw_line(directory.predictions, points, line.grid, line.truth, learned, title)
        return
    parts = {"validation rows": split.val, "test rows": split.test, "training rows": split.train}
    name, part = next((name, part) for name, part in parts.items() if part is not None)
    loaded = [part.load(batch) for batch in chain.from_iterable(part.ordered(size))]
    truth = torch.cat([targets[:, 0] for _, targets in loaded]).cpu()
    predicted = predictions(model, (features for features, _ in loaded))
    logarithmic = experiment.data.logarithmic
    draw_agreement(directory.predictions, truth, predicted, experiment.data.target, f"{title}: {name}", logarithmic)


def record_failure(
    error: BaseException,
    experiment: Experiment | None,
    directory: RunDirectory,
    log: Log,
    changed: list[str] | None,
) -> None:
    """Say in run.log and result.json how the run ended before its end."""
    status = {Diverged: "diverged", Pruned: "pruned", Stopped: "stopped"}.get(type(error), "failed")
    expected = isinstance(error, (D2lrunError, Stopped))
    log.write(f"{status}: {error}" if expected else traceback.format_exc())
    if experiment is not None:
        result = describe(experiment.config, experiment.state, experiment.task, status, changed, experiment.identity)
        files.write_json(directory.result_file, result | facts_of(error))


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
