"""Tokens per second of a language model by three ways, in turn; and how fast a text becomes tokens.

book    the book's loop (text_book.py): a Python list of tokens, one-hot vectors, torch's layer, sums in Python
d2lrun  its own loop on tokens that lie on the device, without progress bar, checkpoint and pictures
pure    the same steps on one batch that lies in memory: what no loop can undercut

The text is the English that every Python brings along, with the book's letters-only rule: its sizes are those of the
book, 10,000 tokens of a vocabulary of 28, and nothing is downloaded. Each way has a process of its own.
"""

from __future__ import annotations

import multiprocessing
import os
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack
from itertools import repeat
from pathlib import Path

from rich.console import Console
from text_book import LAYERS, Network, TextBook
from torch import Tensor
from torch.nn.utils import clip_grad_norm_

from d2lrun.config.compose import compose
from d2lrun.datasets import pydoc, text
from d2lrun.runs import run
from d2lrun.training.fit import fit, keep_freed_memory

TURN = 1.0  # seconds of epochs in a turn; one epoch at least
CORPUS = ["dataset=pydoc", "dataset.rule=letters", "dataset.max_tokens=10000"]
CHARACTERS = 1_000_000  # of the text that is loaded and encoded

Epoch = Callable[[], object]


def measure(overrides: list[str], rounds: int, turn: float = TURN) -> dict[str, list[float]]:
    """The tokens per second of each way in each round, taken in turn after an epoch of each that is not counted."""
    overrides = [*overrides, *CORPUS, f"train.epochs={10**9}"]
    compose(overrides)  # what is refused is refused here
    with ExitStack() as stack:
        spawn = multiprocessing.get_context("spawn")
        pools = {way: stack.enter_context(ProcessPoolExecutor(1, spawn, prepare, (way, overrides))) for way in WAYS}
        for pool in pools.values():
            pool.submit(timed, 1).result()
        count = max(1, round(turn / pools["pure"].submit(timed, 1).result()[1]))
        speeds: dict[str, list[float]] = {way: [] for way in WAYS}
        for _ in range(rounds):
            for way, pool in pools.items():
                tokens, seconds = pool.submit(timed, count).result()
                speeds[way].append(tokens / seconds)
    return speeds


def prepare(way: str, overrides: list[str]) -> None:
    """Make this process ready to take epochs by one way."""
    global epoch, units
    experiment = build(overrides)
    epoch, units = WAYS[way](experiment), tokens_of(experiment)


def timed(count: int) -> tuple[int, float]:
    """The tokens of ``count`` epochs, and the seconds they take."""
    started = time.perf_counter()
    for _ in range(count):
        epoch()
    return count * units, time.perf_counter() - started


def build(overrides: list[str]) -> run.Experiment:
    return run.build(compose(overrides), run.Log(Path(os.devnull), Console(quiet=True)))


def tokens_of(experiment: run.Experiment) -> int:
    """The tokens of an epoch: with the book's sizes, those of every other one."""
    return experiment.split.train.count(batches(experiment))


def batches(experiment: run.Experiment) -> list[Tensor]:
    train, part = experiment.config.train, experiment.split.train
    return part.shuffled(train.batch_size, experiment.config.seed, epoch=0)[: train.limit_batches]


def book_epoch(experiment: run.Experiment) -> Epoch:
    config, data = experiment.config, experiment.data
    network = Network(LAYERS[config.model.name], len(data.vocabulary), config.model.hidden)
    network.load_state_dict(experiment.state.model.state_dict())
    tokens, train = experiment.split.train.tokens.tolist(), config.train
    device, lr = experiment.state.device, config.optimizer.lr
    return TextBook(network, tokens, train.batch_size, data.steps, lr, train.clip, train.limit_batches, device).epoch


def d2lrun_epoch(experiment: run.Experiment) -> Epoch:
    loop = fit(experiment.state, experiment.split, experiment.task, experiment.config)
    return lambda: next(filter(None, loop))  # the record that ends an epoch; a pause is None


def pure_epoch(experiment: run.Experiment) -> Epoch:
    keep_freed_memory()  # as d2lrun does
    config, part, task = experiment.config, experiment.split.train, experiment.task
    model, optimizer = experiment.state.model, experiment.state.optimizer
    names = batches(experiment)
    inputs, targets = part.load(names[0])  # [B, T]
    model.train()

    def epoch() -> float:
        state = None
        for _ in repeat(None, len(names)):
            optimizer.zero_grad()
            logits, state = task.forward(model, inputs, state)  # [B, T, V]
            loss = task.loss(logits, targets)
            loss.backward()
            clip_grad_norm_(model.parameters(), config.train.clip)
            optimizer.step()
        return loss.item()  # a GPU has finished only when it is asked for a number

    return epoch


WAYS = {"book": book_epoch, "d2lrun": d2lrun_epoch, "pure": pure_epoch}


def load_text(rounds: int) -> tuple[list[float], float]:
    """The seconds to read and encode a file of a million characters, and the bytes of memory that a token takes."""
    english, _ = pydoc.read()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "text.txt")
        path.write_text((english * (CHARACTERS // len(english) + 1))[:CHARACTERS], encoding="utf-8")
        seconds = []
        for _ in range(rounds):
            started = time.perf_counter()
            data = text.load([str(path)], "utf-8", kind="char", rule="none", min_freq=1, reserved=[], max_tokens=None)
            seconds.append(time.perf_counter() - started)
    return seconds, data.tokens.untyped_storage().nbytes() / len(data.tokens)
