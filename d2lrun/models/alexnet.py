"""AlexNet (book 7.1; Krizhevsky et al. 2012), in the book's version for one channel of 224×224."""

from __future__ import annotations

from torch import nn

from d2lrun.models.shapes import flattened


class AlexNet(nn.Sequential):
    """Images [B, C, H, W] -> logits [B, classes]. The shapes below are those of 224×224 images."""

    def __init__(self, *, inputs: tuple[int, int, int], classes: int, dropout: float):
        features = nn.Sequential(
            nn.Conv2d(inputs[0], 96, kernel_size=11, stride=4, padding=1),  # [B, 96, 54, 54]
            nn.ReLU(),
            nn.MaxPool2d(kernel_size=3, stride=2),  # [B, 96, 26, 26]
            nn.Conv2d(96, 256, kernel_size=5, padding=2),  # [B, 256, 26, 26]
            nn.ReLU(),
            nn.MaxPool2d(kernel_size=3, stride=2),  # [B, 256, 12, 12]
            nn.Conv2d(256, 384, kernel_size=3, padding=1),  # [B, 384, 12, 12]
            nn.ReLU(),
            nn.Conv2d(384, 384, kernel_size=3, padding=1),
            nn.ReLU(),
            nn.Conv2d(384, 256, kernel_size=3, padding=1),  # [B, 256, 12, 12]
            nn.ReLU(),
            nn.MaxPool2d(kernel_size=3, stride=2),  # [B, 256, 5, 5]
        )
        super().__init__(
            *features,
            nn.Flatten(),  # [B, 6400]
            nn.Linear(flattened(features, inputs), 4096),
            nn.ReLU(),
            nn.Dropout(dropout),
            nn.Linear(4096, 4096),
            nn.ReLU(),
            nn.Dropout(dropout),
            nn.Linear(4096, classes),
        )
