"""An epoch by three ways, in turn: the book's, d2lrun's and pure compute.

All three train the same network with the same optimizer, both built by d2lrun from the same config:

book    torchvision's dataset, ToTensor for each image, a DataLoader with four workers (book.py)
d2lrun  its own loop on the data in memory, evaluation included, without progress bar, checkpoint and pictures
pure    the same steps and forward passes on one batch that lies in memory: what no loop can undercut

An epoch trains on every batch and measures on every test batch. Each way has a process of its own, so that the
book's workers, which are forked, do not slow down the memory of the others.
"""

from __future__ import annotations

import multiprocessing
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import torch
from book import Book
from rich.console import Console
from torch.nn import functional as F

from d2lrun.config.compose import compose
from d2lrun.runs import run
from d2lrun.training.fit import fit, keep_freed_memory

Epoch = Callable[[], object]


def measure(overrides: list[str], rounds: int) -> dict[str, list[float]]:
    """The seconds of an epoch by each way in each round, taken in turn after a round that is not counted."""
    overrides = [*overrides, f"train.epochs={rounds + 1}"]
    compose(overrides)  # what is refused is refused here
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        spawn = multiprocessing.get_context("spawn")
        pools = {
            way: stack.enter_context(ProcessPoolExecutor(1, spawn, prepare, (way, overrides, folder))) for way in WAYS
        }
        seconds: dict[str, list[float]] = {way: [] for way in WAYS}
        for number in range(rounds + 1):
            for way, pool in pools.items():
                taken = pool.submit(timed_epoch).result()
                if number:
                    seconds[way].append(taken)
    return seconds


def prepare(way: str, overrides: list[str], folder: Path) -> None:
    """Make this process ready to take epochs by one way."""
    global epoch
    log = run.Log(folder / f"{way}.log", Console(quiet=True))
    epoch = WAYS[way](run.build(compose(overrides), log), folder)


def timed_epoch() -> float:
    started = time.perf_counter()
    epoch()
    return time.perf_counter() - started


def book_epoch(experiment: run.Experiment, folder: Path) -> Epoch:
    data, state, train = experiment.data, experiment.state, experiment.config.train
    state.model.to(memory_format=torch.contiguous_format)  # the book leaves the weights as torch makes them
    return Book(state.model, state.optimizer, data, folder, train.batch_size, train.limit_batches, state.device).epoch


def d2lrun_epoch(experiment: run.Experiment, folder: Path) -> Epoch:
    loop = fit(experiment.state, experiment.split, experiment.task, experiment.config)
    return lambda: next(filter(None, loop))  # the record that ends an epoch; a pause is None


def pure_epoch(experiment: run.Experiment, folder: Path) -> Epoch:
    keep_freed_memory()  # as d2lrun does
    data, train = experiment.data, experiment.config.train
    model, optimizer = experiment.state.model, experiment.state.optimizer
    images = data.prepared(data.train_images[: train.batch_size])  # [B, C, H, W]
    labels = data.train_labels[: train.batch_size]  # [B]
    train_sizes, test_sizes = (
        [len(batch) for batch in part.split(train.batch_size)[: train.limit_batches]]
        for part in (data.train_labels, data.test_labels)
    )

    def epoch() -> float:
        model.train()
        for n in train_sizes:
            optimizer.zero_grad()
            F.cross_entropy(model(images[:n]), labels[:n]).backward()
            optimizer.step()
        model.eval()
        with torch.inference_mode():
            for n in test_sizes:
                logits = model(images[:n])
            return logits.sum().item()  # a GPU has finished only when it is asked for a number

    return epoch


WAYS = {"book": book_epoch, "d2lrun": d2lrun_epoch, "pure": pure_epoch}
