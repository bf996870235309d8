"""Initial weights: one rule for all layers, or one for each kind of layer (book 5.2, 4.8)."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor, nn

from d2lrun.models.recurrent import Stack


def initialise(
    model: nn.Module,
    name: str,
    *,
    std: float = 0.01,
    value: float = 0.0,
    linear: str | None = None,
    conv: str | None = None,
    recurrent: str | None = None,
    bias: float | None = None,
    bias_std: float | None = None,
) -> None:
    """Set the weights of every Linear, Conv2d and recurrent layer by the rule ``name``, or the rule of its kind.

    normal: N(0, std²). xavier: U(±√(6 / (fan_in + fan_out))), Glorot & Bengio 2010.
    kaiming: N(0, 2 / fan_in), He et al. 2015. constant: ``value``. torch: unchanged.
    Biases become ``bias``, or are drawn from N(``bias`` or 0, ``bias_std``²) (book 4.5); with None for both they are
    unchanged, like all other parameters.
    """
    rules: dict[str, Callable[[Tensor], object]] = {
        "normal": lambda weight: nn.init.normal_(weight, std=std),
        "xavier": nn.init.xavier_uniform_,
        "kaiming": lambda weight: nn.init.kaiming_normal_(weight, nonlinearity="relu"),
        "constant": lambda weight: nn.init.constant_(weight, value),
        "torch": lambda weight: None,
    }
    recurrent = recurrent or name
    kinds = {nn.Linear: linear or name, nn.Conv2d: conv or name, nn.RNNBase: recurrent, Stack: recurrent}
    for module in model.modules():
        rule = next((rule for kind, rule in kinds.items() if isinstance(module, kind)), None)
        if rule is not None:
            weights, biases = parameters(module)
            for weight in weights:
                rules[rule](weight)
            for one in biases:
                if bias_std is not None:
                    nn.init.normal_(one, bias or 0.0, bias_std)
                elif bias is not None:
                    nn.init.constant_(one, bias)


def parameters(module: nn.Module) -> tuple[list[Tensor], list[Tensor]]:
    """Return the weights of a layer, each [outputs, inputs, …], and its biases.

    torch stores the gates of a GRU or LSTM in one matrix, [gates · D, D], and a rule treats it as one (as in book
    9.7); from scratch each gate has its own matrix, [D, D].
    """
    named = dict(module.named_parameters())
    biases: list[Tensor] = [parameter for parameter in named.values() if parameter.dim() == 1]
    weights: list[Tensor] = [parameter for parameter in named.values() if parameter.dim() > 1]
    if isinstance(module, Stack):
        weights = [weight.detach().T for weight in weights]  # stored as [inputs, outputs]; a view of the same memory
    return weights, biases
