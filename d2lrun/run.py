"""One run: build what the config names, continue where it stopped, fit, write the result."""

from __future__ import annotations

import contextlib
import math
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from d2lrun import checkpoint, datasets, devices, files, models, optim, validation, vocabulary, weights
from d2lrun.config import Config
from d2lrun.datasets.corpus import untokenise
from d2lrun.datasets.images import ImageDataset
from d2lrun.datasets.stream import TextDataset
from d2lrun.datasets.table import TableDataset, TablePart
from d2lrun.errors import D2lrunError, Diverged, Failed, Pruned, Stopped, facts_of, masked
from d2lrun.evaluate import evaluate, exhaust, precise, predictions, probabilities
from d2lrun.fit import State, fit, tally
from d2lrun.generate import generate
from d2lrun.infer import write_submission
from d2lrun.report.curves import draw_curves
from d2lrun.report.fit import draw_agreement, draw_line
from d2lrun.report.page import write_page
from d2lrun.report.pictures import draw_predictions
from d2lrun.report.progress import Progress, epoch_line
from d2lrun.report.text import say
from d2lrun.report.transfer import Transfer
from d2lrun.result import beside_guessing, describe, revival, versions
from d2lrun.rundir import RunDirectory, config_hash
from d2lrun.signals import StopRequest
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
        experiment = build(config, log)
        log.say(f"{describe_briefly(experiment)}, in {directory.path}")
        if isinstance(experiment.data, TextDataset):
            vocabulary.keep(experiment.data, directory, log.say)
        train(experiment, directory, log, progress)
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
    with Transfer(log.console) as transfer:
        model = models.build(config.model, *datasets.form(config.dataset, log.say, transfer.progress))
        data = datasets.load(config.dataset, log.say, transfer.progress).to(device)
    devices.place(model, device, config.device)
    split = validation.split(config.validation, data, config.seed)
    trained = [one for one in model.parameters() if one.requires_grad]
    optimizer = optim.build(config.optimizer, trained or [torch.zeros(0)])  # a model that counts has none
    task = task_of(data)
    sums = torch.zeros(task.counts, dtype=precise(device), device=device)
    state = State(model, optimizer, devices.scaler(device, config.device), sums)
    return Experiment(config, data, split, task, state)


def describe_briefly(experiment: Experiment) -> str:
    """'mlp on fashion-mnist, 203,530 parameters, cpu with 2 threads'."""
    config, device = experiment.config, experiment.state.device
    count = sum(parameter.numel() for parameter in experiment.state.model.parameters())
    where = f"cpu with {torch.get_num_threads()} threads" if device.type == "cpu" else str(device)
    return f"{config.model.name} on {config.dataset.name}, {count:,} parameters, {where}"


def train(
    experiment: Experiment, directory: RunDirectory, log: Log, progress: Callable[..., Progress] = Progress
) -> None:
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
    part = experiment.split.train
    size, counts = config.train.batch_size, config.model.name == "ngram"
    batches = part.ordered(size) if counts else part.shuffled(size, config.seed, epoch=0)[: config.train.limit_batches]
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
                    log.say(f"dead: still at chance after epoch {CHANCE_EPOCHS}; {revival(config)}")
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
    """Let a language model continue the dataset's prefix, greedily as in the book, and keep it in samples.txt."""
    data, state = experiment.data, experiment.state
    if not isinstance(data, TextDataset) or getattr(experiment.config.model, "bidirectional", False):
        return None
    prefix = data.beginning()
    ids = generate(state.model, data.vocabulary.encode(prefix), SAMPLED)
    text = untokenise([*prefix, *data.vocabulary.decode(ids)], data.kind)
    kept = directory.samples.read_text(encoding="utf-8").split("\n") if directory.samples.exists() else []
    kept = [line for line in kept if epoch_of(line) < state.epoch]  # a run that was killed may have written further
    line = f"epoch {state.epoch}: {text.replace(chr(10), '⏎')}"
    files.write_atomic(directory.samples, "".join(f"{one}\n" for one in [*kept, line]))
    return text


def epoch_of(line: str) -> float:
    """The epoch that a line of samples.txt names; infinite where it names none."""
    words = line.partition(":")[0].split()
    return int(words[1]) if len(words) == 2 and words[1].isdecimal() else math.inf


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
    config, split, state = experiment.config, experiment.split, experiment.state
    if state.best is not None:
        state.model.load_state_dict(state.best["model"])
    result = describe(config, state, experiment.task, "finished", changed)
    if isinstance(experiment.data, TextDataset):
        result |= beside_guessing(split, len(experiment.data.vocabulary))
    if split.kept is not None:  # the test set was not looked at before this
        size, limit = config.train.batch_size, config.train.limit_batches
        result["metrics"] |= exhaust(evaluate("test", state.model, split.kept, experiment.task, size, limit))
    weights.save(state.model, directory.weights_file)
    if isinstance(split.train, TablePart) and split.train.data.test_targets is None:
        write_submission(directory, state.model, split.train.data, config.train.batch_size)
    if config.run.pictures:
        draw(experiment, directory, result)
    files.write_json(directory.result_file, result)
    return result


def draw(experiment: Experiment, directory: RunDirectory, result: dict[str, Any]) -> None:
    """curves.png, predictions.png or samples.txt, and the page that shows them."""
    config, data, state = experiment.config, experiment.data, experiment.state
    comparable = result["book"] is not None and result["book"]["changed"] == []
    title = f"{config.model.name} on {config.dataset.name}, seed {config.seed}"
    draw_curves(state.records, directory.curves, title, config.book.band if comparable else None)
    if isinstance(data, TextDataset):
        if not sample_due(config, state.epoch):
            sample(experiment, directory)
    elif isinstance(data, TableDataset):
        draw_table(experiment, directory, title)
    else:
        part = experiment.split.kept or experiment.split.watched[1]  # a fold never looks at the test set
        index = part.index[:PICTURED]
        images, labels = part.images[index], part.labels[index]
        guesses = probabilities(state.model, map(data.inputs, images.split(config.train.batch_size)))
        draw_predictions(directory.predictions, images.cpu(), labels.cpu(), guesses.cpu(), data.classes)
    write_page(directory.page, result, state.records, directory.config_file.read_text(encoding="utf-8"))


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
    loaded = [part.load(batch) for batch in part.ordered(size)]
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
        result = describe(experiment.config, experiment.state, experiment.task, status, changed)
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
