"""The book's way to train on Fashion-MNIST, written anew from what it does (book 3.5, 6.6).

torchvision's dataset, ToTensor for every image, a DataLoader with four workers, and a loop that reads its
running sums after every batch. In its favour nothing is drawn, and workers are forked on Linux, as they were
by default when the book was written: to spawn them costs seconds an epoch.
B batch, C channels, H height, W width, K classes.
"""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable
from pathlib import Path

import torch
from PIL.Image import Image
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, Dataset, Subset

from d2lrun.datasets import fashion_mnist
from d2lrun.models.vision import torchvision
from d2lrun.tasks.classification.images import ImageDataset

WORKERS = {"num_workers": 4, "multiprocessing_context": "fork" if sys.platform == "linux" else None}


class FashionMNIST(torchvision.datasets.FashionMNIST):
    """The same; a worker that is spawned finds it in this file and so imports torchvision as it does."""


def write_files(data: ImageDataset, folder: Path) -> None:
    """The dataset as four IDX files where torchvision looks for them below ``folder``."""
    raw = folder / "FashionMNIST" / "raw"
    raw.mkdir(parents=True)
    for name, tensor in (
        (fashion_mnist.TRAIN_IMAGES, data.train_images.squeeze(1)),  # [N, C, H, W] -> [N, H, W]
        (fashion_mnist.TRAIN_LABELS, data.train_labels),
        (fashion_mnist.TEST_IMAGES, data.test_images.squeeze(1)),
        (fashion_mnist.TEST_LABELS, data.test_labels),
    ):
        header = bytes([0, 0, 8, tensor.dim()]) + b"".join(size.to_bytes(4, "big") for size in tensor.shape)
        (raw / name).write_bytes(header + tensor.to(torch.uint8).numpy().tobytes())


def transform(data: ImageDataset) -> Callable[[Image], Tensor]:
    """What is done to each image in a worker: resized and given channels, where the network wants it, and ToTensor."""
    steps = [torchvision.transforms.ToTensor()]
    if data.channels is not None:
        steps.insert(0, torchvision.transforms.Grayscale(data.channels))
    if data.resize is not None:
        steps.insert(0, torchvision.transforms.Resize((data.resize, data.resize)))
    return torchvision.transforms.Compose(steps)


def part(folder: Path, train: bool, limit: int | None, prepare: Callable[[Image], Tensor]) -> Dataset:
    """The first ``limit`` examples of the training or the test files below ``folder``, or all."""
    dataset = FashionMNIST(folder, train, transform=prepare)
    return Subset(dataset, range(min(limit, len(dataset)))) if limit else dataset


class Book:
    """A network that is trained the book's way on ``data``: on at most ``limit_batches`` of its files in ``folder``."""

    def __init__(
        self,
        model: nn.Module,
        optimizer: torch.optim.Optimizer,
        data: ImageDataset,
        folder: Path,
        batch_size: int,
        limit_batches: int | None,
        device: torch.device,
    ):
        warnings.filterwarnings("ignore", "This DataLoader will create", UserWarning)  # more workers than cores
        self.model, self.optimizer, self.device = model, optimizer, device
        limit, prepare = limit_batches and limit_batches * batch_size, transform(data)
        write_files(data, folder)
        self.train_loader = DataLoader(part(folder, True, limit, prepare), batch_size, shuffle=True, **WORKERS)
        self.test_loader = DataLoader(part(folder, False, limit, prepare), batch_size, **WORKERS)

    def epoch(self) -> tuple[float, float, float]:
        """Train and test once; returns training loss, training accuracy and test accuracy."""
        loss_sum = correct = examples = 0.0
        self.model.train()
        for images, labels in self.train_loader:
            self.optimizer.zero_grad()
            images, labels = images.to(self.device), labels.to(self.device)
            logits = self.model(images)  # [B, C, H, W] -> [B, K]
            loss = F.cross_entropy(logits, labels)
            loss.backward()
            self.optimizer.step()
            with torch.no_grad():
                loss_sum += float(loss * len(labels))
                correct += count_correct(logits, labels)
                examples += len(labels)
        return loss_sum / examples, correct / examples, self.test_accuracy()

    @torch.no_grad()
    def test_accuracy(self) -> float:
        self.model.eval()
        correct = examples = 0.0
        for images, labels in self.test_loader:
            images, labels = images.to(self.device), labels.to(self.device)
            correct += count_correct(self.model(images), labels)
            examples += len(labels)
        return correct / examples


def count_correct(logits: Tensor, labels: Tensor) -> float:
    return float((logits.argmax(dim=1) == labels).sum())
