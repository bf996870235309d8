from io import StringIO

import pytest
import torch
from rich.console import Console
from torch import nn

from d2lrun.summary import describe, show_summary, summarise


def lenet():
    return nn.Sequential(
        nn.Conv2d(1, 6, kernel_size=5, padding=2),
        nn.Sigmoid(),
        nn.AvgPool2d(2),
        nn.Conv2d(6, 16, kernel_size=5),
        nn.Sigmoid(),
        nn.AvgPool2d(2),
        nn.Flatten(),
        nn.Linear(400, 120),
        nn.Sigmoid(),
        nn.Linear(120, 84),
        nn.Sigmoid(),
        nn.Linear(84, 10),
    )


def mlp():
    return nn.Sequential(nn.Flatten(), nn.Linear(784, 256), nn.ReLU(), nn.Linear(256, 10))


class Tied(nn.Module):
    """One parameter under three names, one module called twice, a parameter of the root, an unused layer."""

    def __init__(self):
        super().__init__()
        self.first = nn.Linear(4, 4)
        self.second = nn.Linear(4, 4)
        self.third = nn.Linear(4, 4, bias=False)
        self.act = nn.Tanh()
        self.second.weight = self.first.weight
        self.third.weight.data = self.first.weight.data
        self.scale = nn.Parameter(torch.tensor(3.0))
        self.unused = nn.Linear(2, 3)

    def forward(self, x):
        x = self.act(self.first(x.flatten(1)))
        return self.third(self.act(self.second(x))) * self.scale @ torch.eye(4)


@pytest.mark.parametrize("model, parameters, products", [(lenet, 61_706, 416_520), (mlp, 203_530, 203_264)])
def test_published_counts(model, parameters, products):
    summary = summarise(model(), (1, 28, 28))
    assert (summary.parameters, summary.multiply_adds) == (parameters, products)
    assert summary.bytes == 4 * parameters


@pytest.mark.parametrize("model", [lenet, mlp])
def test_layers_add_up_to_the_totals(model):
    summary = summarise(model(), (1, 28, 28))
    assert sum(layer.parameters for layer in summary.layers) == summary.parameters
    assert sum(layer.multiply_adds for layer in summary.layers) == summary.multiply_adds


def test_layers_have_name_type_and_shape_in_forward_order():
    layers = summarise(lenet(), (1, 28, 28)).layers
    assert [(layer.name, layer.output) for layer in layers[:4]] == [
        ("0", (6, 28, 28)),
        ("1", (6, 28, 28)),
        ("2", (6, 14, 14)),
        ("3", (16, 10, 10)),
    ]
    assert layers[0].kind == "Conv2d 1→6, 5×5, pad 2"


@pytest.mark.parametrize(
    "module, words",
    [
        (nn.Linear(400, 120), "Linear 400→120"),
        (
            nn.Conv2d(64, 128, 3, stride=2, padding=1, groups=2),
            "Conv2d 64→128, 3×3, stride 2, pad 1, groups 2",
        ),
        (nn.Conv2d(1, 2, (3, 5), padding=(1, 2)), "Conv2d 1→2, 3×5, pad 1×2"),
        (nn.Conv1d(1, 2, 3, padding="same"), "Conv1d 1→2, 3, pad same"),
        (nn.AvgPool2d(2), "AvgPool2d 2×2"),
        (nn.MaxPool2d(3, stride=2, padding=1), "MaxPool2d 3×3, stride 2, pad 1"),
        (nn.AdaptiveAvgPool2d(1), "AdaptiveAvgPool2d"),
        (nn.BatchNorm2d(6), "BatchNorm2d 6"),
        (nn.Dropout(0.5), "Dropout 0.5"),
        (nn.ReLU(), "ReLU"),
    ],
)
def test_layers_are_described_shortly(module, words):
    assert describe(module) == words


def test_shared_parameters_count_once_and_name_their_owner():
    summary = summarise(Tied(), (1, 2, 2))
    assert {w.name: w.same_as for w in summary.weights if w.same_as} == {
        "second.weight": "first.weight",
        "third.weight": "first.weight",
    }
    assert summary.parameters == 16 + 4 + 4 + 1 + 9
    assert sum(layer.parameters for layer in summary.layers) == summary.parameters


def test_a_layer_called_twice_has_two_rows():
    assert [layer.name for layer in summarise(Tied(), (1, 2, 2)).layers].count("act") == 2


def test_products_outside_of_layers_are_in_the_total():
    summary = summarise(Tied(), (1, 2, 2))
    assert summary.multiply_adds == 3 * 16 + 16
    assert sum(layer.multiply_adds for layer in summary.layers) == 3 * 16


def test_parameters_that_no_layer_used_are_listed():
    layers = {layer.name: layer for layer in summarise(Tied(), (1, 2, 2)).layers}
    assert (layers["unused"].output, layers["unused"].parameters) == (None, 9)
    assert layers[""].parameters == 1  # scale


def test_mean_and_deviation_of_a_parameter():
    model = nn.Linear(1, 4)
    with torch.no_grad():
        model.bias.copy_(torch.tensor([1.0, 1.0, 3.0, 3.0]))
    (bias,) = [weight for weight in summarise(model, (1, 1, 1)).weights if weight.name == "bias"]
    assert (bias.shape, bias.count, bias.mean, bias.std) == ((4,), 4, 2.0, 1.0)


def test_the_model_and_the_random_numbers_stay_as_they_were():
    model = nn.Sequential(nn.Flatten(), nn.Linear(4, 4), nn.BatchNorm1d(4), nn.Dropout(0.5), nn.Linear(4, 2))
    model[3].eval()
    state = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    flags = [module.training for module in model.modules()]
    random = torch.get_rng_state()
    summarise(model, (1, 2, 2))
    assert [module.training for module in model.modules()] == flags
    assert all(torch.equal(state[name], tensor) for name, tensor in model.state_dict().items())
    assert torch.equal(torch.get_rng_state(), random)
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in model.modules())


def test_a_model_that_fails_is_left_as_it_was():
    model = mlp()
    with pytest.raises(RuntimeError):
        summarise(model, (1, 5, 5))
    assert model.training
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in model.modules())


@pytest.mark.parametrize("width", [40, 60, 80])
def test_every_number_can_be_read(width):
    console = Console(file=StringIO(), width=width)
    show_summary(console, summarise(lenet(), (1, 28, 28)), "lenet")
    lines = console.file.getvalue().splitlines()
    assert any(line.split() == ["all", "61,706", "416,520"] for line in lines)
    assert all(len(line) <= width for line in lines if "take" not in line)


def test_shared_parameters_are_shown_by_their_owner():
    console = Console(file=StringIO(), width=80)
    show_summary(console, summarise(Tied(), (1, 2, 2)), "[/red]")
    text = " ".join(console.file.getvalue().split())
    assert text.startswith("[/red] ")
    assert "second.weight 4×4 = first.weight" in text
    assert "scale 1 1 3.000 0.000" in text
