"""The summary of a network: its layers with shapes, parameters and multiply-adds, and its parameters by name."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.utils import flop_counter
from torch.utils._python_dispatch import TorchDispatchMode

from d2lrun.disk.weights import identity
from d2lrun.models.shapes import WINDOWS, output_side, window
from d2lrun.report.tables import grid, heading, show, words
from d2lrun.report.text import say, size

if TYPE_CHECKING:
    from rich.console import Console


@dataclass(frozen=True)
class Window:
    """The window of a convolution or pooling over the height of an image of n pixels (book 6.3, 6.5)."""

    n: int
    kernel: int
    padding: int | Fraction
    stride: int

    @property
    def output(self) -> int:
        """The number of positions of the window: the height of the output."""
        return output_side(self.n, self.kernel, self.stride, self.padding)


@dataclass(frozen=True)
class Layer:
    """One call of a leaf module, or a module that has parameters and was not called as a leaf."""

    name: str  # dotted
    kind: str  # "Conv2d 1→6, 5×5, pad 2"
    output: tuple[int, ...] | None  # for one example; None if it was not called
    parameters: int  # parameters that no earlier layer counted
    multiply_adds: int  # for one example
    window: Window | None = None  # of a convolution or pooling


@dataclass(frozen=True)
class Weights:
    """A parameter by name; ``same_as`` is the earlier name of the same memory."""

    name: str
    shape: tuple[int, ...]
    count: int
    mean: float
    std: float
    same_as: str | None


@dataclass(frozen=True)
class Summary:
    """The layers, parameters and totals of a network."""

    layers: list[Layer]
    weights: list[Weights]
    parameters: int  # shared parameters count once
    multiply_adds: int  # for one example; matrix products and convolutions, as torch counts them
    bytes: int  # of the parameters


def summarise(model: nn.Module, *example: Tensor) -> Summary:
    """Run a batch of one example, such as an image [1, C, H, W], through the model, which does not change."""
    layers, multiply_adds = trace(model, *example)
    unique = {identity(parameter): parameter for parameter in model.parameters()}.values()
    return Summary(
        layers,
        list(weights_of(model)),
        parameters=sum(parameter.numel() for parameter in unique),
        multiply_adds=multiply_adds,
        bytes=sum(parameter.nbytes for parameter in unique),
    )


def show_summary(console: Console, summary: Summary, title: str) -> None:
    """Print the layers, the totals, then the parameters by name."""
    heading(console, title)
    layers = [
        (
            f"{layer.name} {layer.kind}".strip(),
            "–" if layer.output is None else sides(layer.output),
            f"{layer.parameters:,}",
            f"{layer.multiply_adds:,}",
        )
        for layer in summary.layers
    ]
    total = ("all", "", f"{summary.parameters:,}", f"{summary.multiply_adds:,}")
    show_table(console, ("layer", "output", "parameters", "mult-adds"), [*layers, ("", "", "", ""), total])
    say(console, f"\n Multiply-adds of one example. The parameters take {size(summary.bytes)}.\n")
    if windows := [(layer.name, layer.kind.split()[0], layer.window) for layer in summary.layers if layer.window]:
        show_windows(console, windows)
    weights = [
        (
            weight.name,
            sides(weight.shape) or "1",
            f"{weight.count:,}",
            f"{weight.mean:.3f}",
            f"{weight.std:.3f}",
        )
        if weight.same_as is None
        else (weight.name, sides(weight.shape) or "1", f"= {weight.same_as}", "", "")
        for weight in summary.weights
    ]
    show_table(console, ("parameter", "shape", "count", "mean", "std"), weights)


def show_windows(console: Console, windows: list[tuple[str, str, Window]]) -> None:
    """Print how the height of an image changes layer by layer: (name, type, window)."""
    header = ("height", "n", "kernel k", "padding p", "stride s", "⌊(n − k + 2p + s) / s⌋")
    table = grid(*(words(console, title).plain for title in header))
    for name, kind, moved in windows:
        numbers = (moved.n, moved.kernel, moved.padding, moved.stride, moved.output)
        table.add_row(words(console, f"{name} {kind}".strip()), *map(str, numbers))
    show(console, table)
    console.print()


def show_table(console: Console, header: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> None:
    """Print the rows; the second column, the shapes, only if the terminal has 60 columns."""
    columns = [0, *range(1 if console.width >= 60 else 2, len(header))]
    table = grid(*(header[column] for column in columns))
    for row in rows:
        table.add_row(*(words(console, row[column]) for column in columns))
    show(console, table)


def trace(model: nn.Module, *example: Tensor) -> tuple[list[Layer], int]:
    """Return the layers in the order of their calls, and the multiply-adds of the whole forward pass."""
    layers: list[Layer] = []
    names = {module: name for name, module in model.named_modules() if not list(module.children())}
    counter = flop_counter.FlopCounterMode(display=False)
    before: dict[nn.Module, int] = {}
    missed: list[int] = []
    counted: set[tuple[int, int]] = set()

    def enter(module: nn.Module, inputs: Any) -> None:
        before[module] = counter.get_total_flops()

    def leave(module: nn.Module, inputs: Any, output: Any) -> None:
        products = (counter.get_total_flops() - before[module]) // 2  # a multiply-add is two operations
        if isinstance(module, nn.RNNBase) and products == 0:  # torch's counter does not count a fused layer
            products = len(inputs[0]) * sum(weight.numel() for weight in module.parameters() if weight.dim() == 2)
            missed.append(products)
        new = fresh(module, counted)
        moved = window_of(module, inputs[0]) if inputs else None
        layers.append(Layer(names[module], describe(module), shape_of(output), new, products, moved))

    hooks = [module.register_forward_pre_hook(enter) for module in names]
    hooks += [module.register_forward_hook(leave) for module in names]
    try:
        with undisturbed(model) as device, without_compiler(), counter:
            model(*(each.to(device) for each in example))
    finally:
        for hook in hooks:
            hook.remove()
    for name, module in model.named_modules():
        if count := fresh(module, counted):
            layers.append(Layer(name, describe(module), None, count, 0))
    return layers, counter.get_total_flops() // 2 + sum(missed)


@contextmanager
def without_compiler() -> Iterator[None]:
    """Take off the wrapper for torch.compile from torch's counter of operations: its first call imports 2 s of code."""
    mode: Any = getattr(flop_counter, "_FlopCounterMode", TorchDispatchMode)
    wrapped = mode.__torch_dispatch__
    mode.__torch_dispatch__ = inspect.unwrap(wrapped)
    try:
        yield
    finally:
        mode.__torch_dispatch__ = wrapped


@contextmanager
def undisturbed(model: nn.Module) -> Iterator[torch.device]:
    """Evaluate without gradients; restore training flags and random generators at the end."""
    flags = [(module, module.training) for module in model.modules()]
    device = next((parameter.device for parameter in model.parameters()), torch.device("cpu"))
    try:
        devices = [device] if device.type == "cuda" else []
        with torch.no_grad(), torch.random.fork_rng(devices):
            model.eval()
            yield device
    finally:
        for module, training in flags:
            module.training = training


def weights_of(model: nn.Module) -> Iterator[Weights]:
    """Yield every name of every parameter, in the order of the state dict."""
    first: dict[tuple[int, int], str] = {}
    for name, parameter in model.named_parameters(remove_duplicate=False):
        std, mean = torch.std_mean(parameter.detach().float(), correction=0)
        owner = first.setdefault(identity(parameter), name)
        same_as = owner if owner != name else None
        yield Weights(name, tuple(parameter.shape), parameter.numel(), mean.item(), std.item(), same_as)


def fresh(module: nn.Module, counted: set[tuple[int, int]]) -> int:
    """Return the number of the module's own parameters that are not in ``counted``, and add them to it."""
    new = {identity(p): p.numel() for p in module.parameters(recurse=False) if identity(p) not in counted}
    counted.update(new)
    return sum(new.values())


def shape_of(output: Any) -> tuple[int, ...] | None:
    """Return the shape without the batch axis; of the first tensor if a layer returns several."""
    if isinstance(output, (tuple, list)) and output:
        output = output[0]
    return tuple(output.shape[1:]) if isinstance(output, Tensor) else None


def window_of(module: nn.Module, images: Any) -> Window | None:
    """Return the window of the module over images [B, C, H, W]; None if it has no window."""
    if not isinstance(images, Tensor) or images.dim() != 4:
        return None
    height = images.shape[2]
    if isinstance(module, (nn.AdaptiveAvgPool2d, nn.AdaptiveMaxPool2d)) and module.output_size in (1, (1, 1)):
        return Window(height, height, 0, height)  # the whole image is the window
    if not isinstance(module, WINDOWS) or getattr(module, "ceil_mode", False):  # the formula rounds down
        return None
    kernel, stride, padding = window(module)
    return Window(height, kernel, padding, stride)


def describe(module: nn.Module) -> str:
    """Return the type of a layer and its main arguments: 'Conv2d 1→6, 5×5, pad 2'."""
    kind = type(module).__name__
    if isinstance(module, nn.Linear):
        return f"{kind} {module.in_features}→{module.out_features}"
    if isinstance(module, nn.modules.conv._ConvNd):
        channels = f"{kind} {module.in_channels}→{module.out_channels}"
        groups = [f"groups {module.groups}"] if module.groups > 1 else []
        return ", ".join([channels, sides(module.kernel_size), *movement(module, default_stride=1), *groups])
    if kind[:7] in ("AvgPool", "MaxPool"):
        kernel: Any = module.kernel_size
        sizes = sides(kernel if isinstance(kernel, tuple) else (kernel,) * int(kind[-2]))
        return ", ".join([f"{kind} {sizes}", *movement(module, default_stride=kernel)])
    if isinstance(module, nn.modules.dropout._DropoutNd):
        return f"{kind} {module.p:g}"
    if isinstance(module, nn.modules.batchnorm._NormBase):
        return f"{kind} {module.num_features}"
    return kind


def movement(module: nn.Module, default_stride: Any) -> list[str]:
    """Return ['stride 2', 'pad 1'], if they differ from the layer's defaults."""
    named = [("stride", module.stride, default_stride), ("pad", module.padding, 0)]
    return [f"{name} {shortest(value)}" for name, value, usual in named if shortest(value) != shortest(usual)]


def shortest(value: Any) -> str:
    """2 and (2, 2) -> '2', (5, 3) -> '5×3'."""
    if isinstance(value, tuple):
        return str(value[0]) if len(set(value)) == 1 else sides(value)
    return str(value)


def sides(size: tuple[int, ...]) -> str:
    """Return a shape as '5×3'."""
    return "×".join(map(str, size))
