"""How weights begin; biases and all but Linear and Conv2d keep torch's default, as in the book."""

from __future__ import annotations

from torch import nn


def initialise(model: nn.Module, name: str, *, std: float = 0.01, value: float = 0.0) -> None:
    """Draw the weights of every Linear and Conv2d anew.

    normal: N(0, std²). xavier: U(±√(6 / (fan_in + fan_out))), Glorot & Bengio 2010.
    kaiming: N(0, 2 / fan_in), He et al. 2015. constant: ``value``. torch: as the layers were made.
    """
    rules = {
        "normal": lambda weight: nn.init.normal_(weight, std=std),
        "xavier": nn.init.xavier_uniform_,
        "kaiming": lambda weight: nn.init.kaiming_normal_(weight, nonlinearity="relu"),
        "constant": lambda weight: nn.init.constant_(weight, value),
        "torch": lambda weight: weight,
    }
    for module in model.modules():
        if isinstance(module, (nn.Linear, nn.Conv2d)):
            rules[name](module.weight)
