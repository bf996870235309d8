"""An epoch by three ways, in turn: the book's, d2lrun's and pure compute.

All three train the same network with the same optimizer, both built by d2lrun from the same config:

book    torchvision's dataset, ToTensor for each image, a DataLoader with four workers (book.py)
d2lrun  its own loop on the data in memory, evaluation included, without progress bar, checkpoint and pictures
pure    the same steps and forward passes on one batch that lies in memory: what no loop can undercut

An epoch trains on every batch and measures on every test batch.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import torch
from book import Book, write_files
from rich.console import Console
from torch.nn import functional as F

from d2lrun import run
from d2lrun.compose import compose
from d2lrun.config import Config
from d2lrun.datasets.images import scale
from d2lrun.fit import fit


def measure(overrides: list[str], rounds: int, console: Console) -> dict[str, list[float]]:
    """The seconds of an epoch by each way in each round, after a round that is not counted."""
    config = compose([*overrides, f"train.epochs={rounds + 1}"])
    with tempfile.TemporaryDirectory() as folder:
        log = run.Log(Path(folder) / "run.log", console)
        ways = {
            "book": book_epoch(config, log, Path(folder)),
            "d2lrun": d2lrun_epoch(config, log),
            "pure": pure_epoch(config, log),
        }
        seconds: dict[str, list[float]] = {way: [] for way in ways}
        for number in range(rounds + 1):
            for way, epoch in ways.items():
                started = time.perf_counter()
                epoch()
                if number:
                    seconds[way].append(time.perf_counter() - started)
    return seconds


def book_epoch(config: Config, log: run.Log, folder: Path) -> Callable[[], object]:
    experiment = run.build(config, log)
    state, train = experiment.state, config.train
    write_files(experiment.data, folder)
    return Book(state.model, state.optimizer, folder, train.batch_size, train.limit_batches, state.device).epoch


def d2lrun_epoch(config: Config, log: run.Log) -> Callable[[], object]:
    experiment = run.build(config, log)
    loop = fit(experiment.state, experiment.data, experiment.split, experiment.task, config)
    return lambda: next(filter(None, loop))  # the record that ends an epoch; a pause is None


def pure_epoch(config: Config, log: run.Log) -> Callable[[], object]:
    experiment = run.build(config, log)
    data, size, limit = experiment.data, config.train.batch_size, config.train.limit_batches
    model, optimizer = experiment.state.model, experiment.state.optimizer
    images, labels = scale(data.train_images[:size]), data.train_labels[:size]  # [B, C, H, W], [B]
    train_sizes = [len(batch) for batch in data.train_labels.split(size)[:limit]]
    test_sizes = [len(batch) for batch in data.test_labels.split(size)[:limit]]

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
