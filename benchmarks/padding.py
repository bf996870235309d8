"""Texts of different lengths: training by batches of similar lengths, by random batches, and by a plain PyTorch loop.

python benchmarks/padding.py [--rounds 5] [--batches 60] [OVERRIDE…]

grouped  d2lrun's loop, batches of similar lengths (dataset.by_length=true)
random   d2lrun's loop, random batches, each padded to its longest text
loader   the usual loop: a list of tensors, DataLoader(shuffle=True), pad_sequence, the same network and optimizer

The three take turns in one process, the same number of batches each, with the same first weights; a round is an epoch
of so many batches. Printed are the medians of texts and of real tokens (without padding) per second, and the share of
padding. The default is the GRU of experiment=reviews-gru; without the reviews, give dataset=labelled-text and a path.
"""

from __future__ import annotations

import argparse
import copy
import os
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import torch
from rich.console import Console
from torch.nn import functional as F
from torch.nn.utils.rnn import pad_sequence
from torch.utils.data import DataLoader

from d2lrun.config.compose import compose
from d2lrun.runs import run
from d2lrun.text.vocabulary import PAD
from d2lrun.training import optim
from d2lrun.training.fit import keep_freed_memory, train_batch

DEFAULT = ["experiment=reviews-gru", "device=cpu", "device.threads=1"]


def measure(overrides: list[str], rounds: int, count: int) -> dict[str, dict[str, float]]:
    """Return for each way the medians of texts and tokens per second, and its share of padding."""
    keep_freed_memory()
    ways = {"grouped": ours(overrides, True), "random": ours(overrides, False), "loader": loader(overrides)}
    found: dict[str, list[tuple[float, float, float]]] = {way: [] for way in ways}
    for number in range(rounds + 1):
        for way, epoch in ways.items():
            started = time.perf_counter()
            texts, tokens, cells = epoch(number, count)
            seconds = time.perf_counter() - started
            if number:  # the first round warms up
                found[way].append((texts / seconds, tokens / seconds, 1 - tokens / cells))
    names = ("texts", "tokens", "padding")
    return {way: dict(zip(names, map(statistics.median, zip(*rows)))) for way, rows in found.items()}


def build(overrides: list[str]) -> run.Experiment:
    """Return the experiment; equal overrides give equal first weights."""
    return run.build(compose([*DEFAULT, *overrides]), run.Log(Path(os.devnull), Console(quiet=True)))


def ours(overrides: list[str], grouped: bool) -> Callable[[int, int], tuple[int, int, int]]:
    """Return a function that trains ``count`` batches of an epoch: texts, tokens and cells of the padded batches."""
    experiment = build([*overrides, f"dataset.by_length={str(grouped).lower()}"])
    state, part, task, config = experiment.state, experiment.split.train, experiment.task, experiment.config

    def epoch(number: int, count: int) -> tuple[int, int, int]:
        texts = tokens = cells = 0
        state.model.train()
        for batch in part.shuffled(config.train.batch_size, config.seed, number)[:count]:
            inputs, labels = part.load(batch)
            train_batch(state, inputs, labels, task, config.optimizer.lr, config.train.clip)
            texts, tokens, cells = texts + len(labels), tokens + int(part.lengths[batch].sum()), cells + inputs.numel()
        return texts, tokens, cells

    return epoch


def loader(overrides: list[str]) -> Callable[[int, int], tuple[int, int, int]]:
    """Return the same for a plain loop of PyTorch."""
    experiment = build(overrides)
    part, config = experiment.split.train, experiment.config
    rows = [(torch.tensor(part.tokens[n]), int(part.labels[n])) for n in part.index.tolist()]
    model = copy.deepcopy(experiment.state.model)
    optimizer = optim.build(config.optimizer, list(model.parameters()))

    def collate(batch: list[tuple[torch.Tensor, int]]) -> tuple[torch.Tensor, torch.Tensor]:
        texts, labels = zip(*batch)
        return pad_sequence(texts, batch_first=True, padding_value=PAD), torch.tensor(labels)

    batches = DataLoader(rows, config.train.batch_size, shuffle=True, collate_fn=collate)  # type: ignore[arg-type]

    def epoch(number: int, count: int) -> tuple[int, int, int]:
        texts = tokens = cells = 0
        model.train()
        for inputs, labels in batches:
            optimizer.zero_grad()
            F.cross_entropy(model(inputs), labels).backward()
            if config.train.clip:
                torch.nn.utils.clip_grad_norm_(model.parameters(), config.train.clip)
            optimizer.step()
            texts, tokens, cells = texts + len(labels), tokens + int((inputs != PAD).sum()), cells + inputs.numel()
            count -= 1
            if not count:
                break
        return texts, tokens, cells

    return epoch


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--batches", type=int, default=60, help="of a round")
    options, overrides = parser.parse_known_args()
    found = measure(overrides, options.rounds, options.batches)
    for way, each in found.items():
        faster = found["grouped"]["tokens"] / each["tokens"]
        print(
            f"{way:8} {each['texts']:8,.0f} texts/s {each['tokens']:10,.0f} tokens/s  padding {each['padding']:.0%}"
            + (f"  grouped is {faster:.2f} × as fast" if way != "grouped" else "")
        )


if __name__ == "__main__":
    main()
