"""torchvision is there, whether or not its compiled operators load beside the torch that is installed."""

from __future__ import annotations

import subprocess
import sys

import pytest

USE = """
import torch
from d2lrun.models.vision import torchvision
assert torchvision.models.squeezenet1_0(num_classes=10)(torch.rand(1, 3, 32, 32)).shape == (1, 10)
assert torchvision.transforms.functional.resize(torch.rand(1, 28, 28), [56, 56]).shape == (1, 56, 56)
assert torchvision.datasets.FashionMNIST
"""
# As beside a torch of another kind: the file of the operators is there and cannot be loaded.
UNLOADABLE = """
import torch
def load_library(path):
    raise OSError(f"{path}: undefined symbol")
torch.ops.load_library = load_library
"""


@pytest.mark.parametrize("before", ["", UNLOADABLE], ids=["as installed", "operators cannot be loaded"])
def test_networks_transforms_and_datasets_work(before):
    command = [sys.executable, "-W", "error", "-c", before + USE]
    done = subprocess.run(command, capture_output=True, text=True, timeout=1800, check=False)
    assert (done.returncode, done.stderr) == (0, "")
