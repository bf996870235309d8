"""The model of a finished run, with its weights, on its device."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from d2lrun import models
from d2lrun.config.keys import Config
from d2lrun.disk import checkpoint, weights
from d2lrun.disk.rundir import RunDirectory
from d2lrun.errors import Refused
from d2lrun.models.inputs import Inputs
from d2lrun.training import devices


def trained(
    directory: RunDirectory,
    config: Config,
    inputs: Inputs,
    outputs: int,
    tensors: dict[str, Tensor] | None = None,
) -> nn.Module:
    """Return the network of ``config`` with the run's weights, or ``tensors``; raises Refused if they do not fit.

    ``inputs`` and ``outputs`` are properties of the dataset.
    """
    tensors = read_weights(directory) if tensors is None else tensors
    device = devices.prepare(config.device, directory.threads())
    model = models.build(config.model, inputs, outputs)
    weights.load(model, tensors)
    return devices.place(model, device, config.device)


def read_weights(directory: RunDirectory) -> dict[str, Tensor]:
    """Read the final weights, or the weights of the newest checkpoint if the run has not finished; raises Refused."""
    if directory.weights_file.exists():
        return weights.read(directory.weights_file)
    found: list[dict[str, Any]] = []
    checkpoint.load_newest(directory.checkpoints, directory.config_hashes(), found.append, say=lambda line: None)
    if not found:
        raise Refused(f"{directory.path} has no trained weights yet", directory.command("resume"))
    return found[0]["model"]
