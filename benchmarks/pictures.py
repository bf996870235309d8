"""One's own pictures: decoding, epochs, memory and augmentation.

python benchmarks/pictures.py [--pictures 2000] [--side 500] [--rounds 5] [--images 60000] [--many N] [OVERRIDE…]

decoding      a folder of made JPEG files, decoded into d2lrun's cache, or by torchvision's ImageFolder and a DataLoader
              of two workers, in turn
epoch         training on them from the second epoch on, by the same network and optimizer, in turn
augmentation  its share of a training epoch of lenet on --images grey images of 28 × 28: what the epoch takes longer
--many N      the first start, an epoch and the peak memory of a run of its own on N pictures of 64 × 64; nothing else

The default is model=lenet on pictures of 64 × 64 pixels.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from rich.console import Console
from table import add, columns
from torch.nn import functional as F
from torch.utils.data import DataLoader

from d2lrun import datasets
from d2lrun.config.compose import compose
from d2lrun.datasets import idx
from d2lrun.models.vision import torchvision
from d2lrun.runs import run
from d2lrun.training import optim
from d2lrun.training.fit import keep_freed_memory, train_batch

CLASSES, STORED, WORKERS = 10, 64, 2
OURS = ["model=lenet", "device=cpu", "dataset=folder", f"dataset.size={STORED}", "dataset.test_fraction=0"]
AUGMENTS = ("flip", "crop-flip", "strong")


def make(root: Path, count: int, side: int, suffix: str) -> None:
    """Write ``count`` pictures of ``side`` × ``side`` pixels in ten classes: soft colours, as photos have them."""
    numbers = np.random.default_rng(1)
    for number in range(count):
        folder = root / f"class-{number % CLASSES}"
        folder.mkdir(parents=True, exist_ok=True)
        coarse = Image.fromarray(numbers.integers(0, 256, (8, 8, 3)).astype(np.uint8))
        coarse.resize((side, side), Image.Resampling.BICUBIC).save(folder / f"{number}{suffix}")


def build(overrides: list[str]) -> run.Experiment:
    return run.build(compose(overrides), run.Log(Path(os.devnull), Console(quiet=True)))


def ours(experiment: run.Experiment) -> Callable[[int], int]:
    """Return a function that trains an epoch by d2lrun: it returns the number of pictures."""
    state, part, task, config = experiment.state, experiment.split.train, experiment.task, experiment.config

    def epoch(number: int) -> int:
        state.model.train()
        for batch in part.shuffled(config.train.batch_size, config.seed, number):
            train_batch(state, *part.load(batch), task, config.optimizer.lr, config.train.clip)
        return len(part.index)

    return epoch


def theirs(experiment: run.Experiment, loader: DataLoader) -> Callable[[int], int]:
    """Return the same for torchvision's ImageFolder in a DataLoader."""
    model = experiment.state.model
    optimizer = optim.build(experiment.config.optimizer, list(model.parameters()))

    def epoch(number: int) -> int:
        model.train()
        count = 0
        for inputs, labels in loader:
            optimizer.zero_grad()
            F.cross_entropy(model(inputs), labels).backward()
            optimizer.step()
            count += len(labels)
        return count

    return epoch


def image_folder(root: Path, size: int) -> DataLoader:
    """Return torchvision's loader of the folder, with workers that stay: the next epoch need not start them."""
    transforms = torchvision.transforms
    steps = transforms.Compose([transforms.Resize(STORED), transforms.CenterCrop(STORED), transforms.ToTensor()])
    files = torchvision.datasets.ImageFolder(root, steps)
    return DataLoader(files, size, shuffle=True, num_workers=WORKERS, persistent_workers=True)


def decode(root: Path) -> int:
    """Decode the folder by d2lrun into a cache that is empty; return the number of pictures."""
    with tempfile.TemporaryDirectory() as cache:
        kept = os.environ.get("D2LRUN_CACHE")
        os.environ["D2LRUN_CACHE"] = cache
        try:
            datasets._last = None
            data = datasets.load(compose([*OURS, f"dataset.path={root}"]).dataset)
            return len(data.train_labels)
        finally:
            os.environ.pop("D2LRUN_CACHE")
            os.environ.update({"D2LRUN_CACHE": kept} if kept else {})
            datasets._last = None


def speeds(ways: dict[str, Callable[[int], int]], rounds: int) -> dict[str, list[float]]:
    """Return the pictures per second of each way in each round, in turn, after a round that is not counted."""
    found: dict[str, list[float]] = {way: [] for way in ways}
    for number in range(rounds + 1):
        for way, work in ways.items():
            started = time.perf_counter()
            count = work(number)
            if number:
                found[way].append(count / (time.perf_counter() - started))
    return found


def show_folder(console: Console, root: Path, overrides: list[str], rounds: int) -> None:
    """Print how many pictures of a folder are decoded, and trained on, in a second."""
    words = [*OURS, f"dataset.path={root}", *overrides]
    size = compose(words).train.batch_size
    loader = image_folder(root, size)
    decoded = speeds(
        {"d2lrun": lambda number: decode(root), "loader": lambda number: sum(len(labels) for _, labels in loader)},
        rounds,
    )
    keep_freed_memory()
    trained = speeds({"d2lrun": ours(build(words)), "loader": theirs(build(words), loader)}, rounds)
    for title, found, low in (("pictures decoded", decoded, None), ("pictures of an epoch", trained, 3)):
        rows = columns(title)
        add(rows, "d2lrun", found["d2lrun"], "/s")
        add(rows, f"ImageFolder, {WORKERS} workers", found["loader"], "/s")
        add(rows, "times as fast", [a / b for a, b in zip(found["d2lrun"], found["loader"], strict=True)], low=low)
        console.print(rows)


def show_augmentation(console: Console, images: int, rounds: int) -> None:
    """Print the share of augmentation in an epoch of lenet, in percent."""
    with tempfile.TemporaryDirectory() as folder:
        make_grey(Path(folder), images)
        words = ["model=lenet", "device=cpu", "dataset.verify=false", f"dataset.dir={folder}"]
        ways = {name: ours(build([*words, f"augment={name}"])) for name in ("none", *AUGMENTS)}
        found = speeds(ways, rounds)
    rows = columns("augmentation of lenet's epoch")
    add(rows, "without", [images / speed for speed in found["none"]], "s")
    for name in AUGMENTS:
        shares = [100 * (1 - other / plain) for plain, other in zip(found["none"], found[name], strict=True)]
        add(rows, name, shares, "%", high=15)
    console.print(rows)


def make_grey(folder: Path, count: int) -> None:
    """Write four IDX files of grey images; a hundred test."""
    numbers = np.random.default_rng(1)
    for images, labels, n in (
        (idx.TRAIN_IMAGES, idx.TRAIN_LABELS, count),
        (idx.TEST_IMAGES, idx.TEST_LABELS, 100),
    ):
        for name, shape in ((images, (n, idx.SIDE, idx.SIDE)), (labels, (n,))):
            header = bytes([0, 0, 8, len(shape)]) + b"".join(size.to_bytes(4, "big") for size in shape)
            values = numbers.integers(0, 256 if len(shape) > 1 else idx.CLASSES, shape).astype(np.uint8)
            (folder / name).write_bytes(header + values.tobytes())


def show_many(console: Console, count: int, overrides: list[str]) -> None:
    """Print the first start, the second epoch and the peak memory of a run on ``count`` pictures."""
    with tempfile.TemporaryDirectory() as folder:
        make(Path(folder, "pictures"), count, STORED, ".png")
        os.sync()
        words = [*OURS, "dataset.path=pictures", "train.epochs=2", "run.dir=run", "run.pictures=false", *overrides]
        started = time.perf_counter()
        command = [sys.executable, "-m", "d2lrun", *words]
        subprocess.run(command, check=True, capture_output=True, cwd=folder, env=os.environ | {"D2LRUN_CACHE": "cache"})
        seconds = time.perf_counter() - started
        lines = Path(folder, "run", "metrics.jsonl").read_text("utf-8").splitlines()
        epochs = [json.loads(line)["seconds"] for line in lines]
    rows = columns(f"{count:,} pictures of {STORED} × {STORED}")
    add(rows, "start, with decoding", [seconds - sum(epochs)], "s")
    add(rows, "second epoch", [epochs[-1]], "s")
    add(rows, "peak memory", [resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1e3], "MB")
    add(rows, "pixels", [count * 3 * STORED * STORED / 1e6], "MB")
    console.print(rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pictures", type=int, default=2000)
    parser.add_argument("--side", type=int, default=500, help="of the files")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--images", type=int, default=60_000, help="of the epoch that is augmented")
    parser.add_argument("--many", type=int, help="pictures of 64 × 64")
    options, overrides = parser.parse_known_args()
    console = Console()
    if options.many:
        show_many(console, options.many, overrides)
        return
    with tempfile.TemporaryDirectory() as folder:
        make(Path(folder, "pictures"), options.pictures, options.side, ".jpg")
        os.environ.setdefault("D2LRUN_CACHE", str(Path(folder, "cache")))
        show_folder(console, Path(folder, "pictures"), overrides, options.rounds)
    show_augmentation(console, options.images, options.rounds)


if __name__ == "__main__":
    torch.manual_seed(1)
    main()
