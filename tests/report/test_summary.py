import inspect
import sys
from functools import lru_cache, partial
from io import StringIO

import pytest
import torch
from rich.console import Console
from torch import nn
from torch.utils import flop_counter

from d2lrun import datasets, models
from d2lrun.cli import main as cli
from d2lrun.config.compose import compose
from d2lrun.models.inputs import Stream
from d2lrun.report.summary import Window, describe, show_summary, summarise
from tests.bits import same_bits


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
    summary = summarise(model(), torch.zeros(1, 1, 28, 28))
    assert (summary.parameters, summary.multiply_adds) == (parameters, products)
    assert summary.bytes == 4 * parameters


@pytest.mark.parametrize("model", [lenet, mlp])
def test_layers_add_up_to_the_totals(model):
    summary = summarise(model(), torch.zeros(1, 1, 28, 28))
    assert sum(layer.parameters for layer in summary.layers) == summary.parameters
    assert sum(layer.multiply_adds for layer in summary.layers) == summary.multiply_adds


def test_layers_have_name_type_and_shape_in_forward_order():
    layers = summarise(lenet(), torch.zeros(1, 1, 28, 28)).layers
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
    summary = summarise(Tied(), torch.zeros(1, 1, 2, 2))
    assert {w.name: w.same_as for w in summary.weights if w.same_as} == {
        "second.weight": "first.weight",
        "third.weight": "first.weight",
    }
    assert summary.parameters == 16 + 4 + 4 + 1 + 9
    assert sum(layer.parameters for layer in summary.layers) == summary.parameters


def test_a_layer_called_twice_has_two_rows():
    assert [layer.name for layer in summarise(Tied(), torch.zeros(1, 1, 2, 2)).layers].count("act") == 2


def test_products_outside_of_layers_are_in_the_total():
    summary = summarise(Tied(), torch.zeros(1, 1, 2, 2))
    assert summary.multiply_adds == 3 * 16 + 16
    assert sum(layer.multiply_adds for layer in summary.layers) == 3 * 16


def test_parameters_that_no_layer_used_are_listed():
    layers = {layer.name: layer for layer in summarise(Tied(), torch.zeros(1, 1, 2, 2)).layers}
    assert (layers["unused"].output, layers["unused"].parameters) == (None, 9)
    assert layers[""].parameters == 1  # scale


def test_mean_and_deviation_of_a_parameter():
    model = nn.Linear(1, 4)
    with torch.no_grad():
        model.bias.copy_(torch.tensor([1.0, 1.0, 3.0, 3.0]))
    (bias,) = [weight for weight in summarise(model, torch.zeros(1, 1, 1, 1)).weights if weight.name == "bias"]
    assert (bias.shape, bias.count, bias.mean, bias.std) == ((4,), 4, 2.0, 1.0)


def test_the_model_and_the_random_numbers_stay_as_they_were():
    model = nn.Sequential(nn.Flatten(), nn.Linear(4, 4), nn.BatchNorm1d(4), nn.Dropout(0.5), nn.Linear(4, 2))
    model[3].eval()
    state = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    flags = [module.training for module in model.modules()]
    random = torch.get_rng_state()
    summarise(model, torch.zeros(1, 1, 2, 2))
    assert [module.training for module in model.modules()] == flags
    assert same_bits(model.state_dict(), state)
    assert torch.equal(torch.get_rng_state(), random)
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in model.modules())


def test_a_model_that_fails_is_left_as_it_was():
    model = mlp()
    with pytest.raises(RuntimeError):
        summarise(model, torch.zeros(1, 1, 5, 5))
    assert model.training
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in model.modules())


@pytest.mark.parametrize("width", [40, 60, 80])
def test_every_number_can_be_read(width):
    console = Console(file=StringIO(), width=width)
    show_summary(console, summarise(lenet(), torch.zeros(1, 1, 28, 28)), "lenet")
    lines = console.file.getvalue().splitlines()
    assert any(line.split() == ["all", "61,706", "416,520"] for line in lines)
    assert all(len(line) <= width for line in lines if "take" not in line)


def test_shared_parameters_are_shown_by_their_owner():
    console = Console(file=StringIO(), width=80)
    show_summary(console, summarise(Tied(), torch.zeros(1, 1, 2, 2)), "[/red]")
    text = " ".join(console.file.getvalue().split())
    assert text.startswith("[/red] ")
    assert "second.weight 4×4 = first.weight" in text
    assert "scale 1 1 3.000 0.000" in text


# The book's networks at the book's sizes, and the heights that each picture comes down to.
BOOK = {
    "lenet": [28, 14, 10, 5],
    "lenet-bn": [24, 12, 8, 4],
    "alexnet": [54, 26, 12, 5],
    "vgg": [224, 112, 56, 28, 14, 7],
    "nin": [54, 26, 12, 5, 1],
    "googlenet": [48, 24, 12, 6, 3, 1],
    "resnet": [48, 24, 12, 6, 3, 1],
    "densenet": [48, 24, 12, 6, 3, 1],
}


@lru_cache
def network(*overrides):
    """The network that these words name, and the shape of its input."""
    config = compose(list(overrides))
    shape, classes = datasets.form(config)
    torch.manual_seed(0)
    return models.build(config.model, shape, classes), shape


@lru_cache
def layers_of(*overrides):
    """The layers of the network that these words name, as its summary has them."""
    model, shape = network(*overrides)
    return summarise(model, torch.zeros(1, *shape)).layers


def measured(model, shape):
    """{name: (height before, after)} of each Conv2d, MaxPool2d and AvgPool2d, and the names of those that round up."""
    found, up, hooks = {}, set(), []

    def look(name, module, inputs, output):
        found[name] = (inputs[0].shape[2], output.shape[2])

    for name, module in model.named_modules():
        if isinstance(module, (nn.Conv2d, nn.MaxPool2d, nn.AvgPool2d)):
            hooks.append(module.register_forward_hook(partial(look, name)))
            if getattr(module, "ceil_mode", False):
                up.add(name)
    with torch.inference_mode():
        model.eval()(torch.zeros(2, *shape))
    for hook in hooks:
        hook.remove()
    return found, up


@pytest.mark.parametrize("name", BOOK)
def test_the_formula_gives_the_sizes_that_are_measured(name):
    windows = {
        layer.name: (layer.window.n, layer.window.output)
        for layer in layers_of(f"model={name}")
        if layer.window and "Adaptive" not in layer.kind
    }
    sizes, up = measured(*network(f"model={name}"))
    assert windows == sizes
    assert len(sizes) >= 4 and not up


@pytest.mark.parametrize("name", BOOK)
def test_the_size_shrinks_as_in_the_book(name):
    heights = [layer.window.output for layer in layers_of(f"model={name}") if layer.window]
    assert list(dict.fromkeys(heights)) == BOOK[name]


@pytest.mark.parametrize("arch, left_out", [("googlenet", 13), ("squeezenet1_0", 3), ("resnet18", 0), ("alexnet", 0)])
def test_the_formula_gives_the_sizes_of_torchvision_but_for_poolings_that_round_up(arch, left_out):
    words = ("model=torchvision", f"model.arch={arch}")
    layers = layers_of(*words)
    shown = {layer.name: (layer.window.n, layer.window.output) for layer in layers if layer.window}
    adaptive = {layer.name for layer in layers if "Adaptive" in layer.kind}
    sizes, up = measured(*network(*words))
    assert {name: sides for name, sides in shown.items() if name not in adaptive} == {
        name: sides for name, sides in sizes.items() if name not in up
    }
    assert len(up) == left_out


@pytest.mark.parametrize(
    "window, output",
    [
        (Window(n=224, kernel=11, padding=1, stride=4), 54),
        (Window(n=28, kernel=5, padding=2, stride=1), 28),
        (Window(n=54, kernel=3, padding=0, stride=2), 26),
        (Window(n=96, kernel=7, padding=3, stride=2), 48),
        (Window(n=5, kernel=5, padding=0, stride=5), 1),
    ],
)
def test_a_window_has_as_many_places_as_the_formula_says(window, output):
    assert window.output == (window.n - window.kernel + 2 * window.padding + window.stride) // window.stride == output


@pytest.mark.parametrize(
    "layer, window",
    [
        (nn.Conv2d(1, 2, 3), Window(20, 3, 0, 1)),
        (nn.Conv2d(1, 2, (3, 5), stride=(2, 1), padding=(1, 2)), Window(20, 3, 1, 2)),
        (nn.Conv2d(1, 2, 3, dilation=2), Window(20, 5, 0, 1)),
        (nn.Conv2d(1, 2, 5, padding="same"), Window(20, 5, 2, 1)),
        (nn.Conv2d(1, 2, 5, padding="valid"), Window(20, 5, 0, 1)),
        (nn.MaxPool2d(3), Window(20, 3, 0, 3)),
        (nn.AvgPool2d(3, stride=2, padding=1), Window(20, 3, 1, 2)),
        (nn.AdaptiveAvgPool2d(1), Window(20, 20, 0, 20)),
        (nn.MaxPool2d(3, ceil_mode=True), None),  # the formula rounds down
        (nn.ReLU(), None),
    ],
)
def test_the_window_of_a_layer(layer, window):
    (found,) = summarise(layer, torch.zeros(1, 1, 20, 20)).layers
    assert found.window == window
    assert window is None or window.output == found.output[1]


def table(text):
    """The numbers n, k, p, s and output of each row of the table of windows."""
    lines = text.splitlines()
    start = next(at for at, line in enumerate(lines) if "kernel k" in line)
    rows = []
    for line in lines[start + 2 :]:
        if not line.strip():
            return rows
        if len(line.split()) >= 6:
            rows.append(tuple(map(int, line.split()[-5:])))
    raise AssertionError("the table does not end")


def test_a_summary_imports_no_compiler_and_torchs_counter_stays_as_it_is(monkeypatch):
    mode = flop_counter._FlopCounterMode
    kept = mode.__torch_dispatch__
    monkeypatch.delattr(inspect.unwrap(kept), "__dynamo_disable", raising=False)  # its first call
    monkeypatch.setitem(sys.modules, "torch._dynamo", None)  # an import fails
    assert summarise(mlp(), torch.zeros(1, 1, 28, 28)).layers
    assert mode.__torch_dispatch__ is kept
    with pytest.raises(ImportError), flop_counter.FlopCounterMode(display=False):
        mlp()(torch.zeros(1, 1, 28, 28))


def test_a_student_can_follow_224_down_to_1(capsys):
    """In NiN the picture that a layer is given is that which the layer before it left."""
    assert cli.dispatch(["summary", "model=nin"]) == 0
    rows = table(capsys.readouterr().out)
    assert (rows[0], rows[-1]) == ((224, 11, 0, 4, 54), (5, 5, 0, 5, 1))
    assert [row[4] for row in rows[:-1]] == [row[0] for row in rows[1:]]
    assert all((n - k + 2 * p + s) // s == output for n, k, p, s, output in rows)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize(
    "words", [*([f"model={name}"] for name in BOOK), ["model=resnet", "model.depth=50"], ["model=torchvision"]]
)
def test_for_one_channel_or_three_no_line_is_longer_than_80_columns(monkeypatch, capsys, words, channels):
    monkeypatch.setenv("COLUMNS", "80")
    assert cli.dispatch(["summary", *words, f"dataset.channels={channels}"]) == 0
    out, err = capsys.readouterr()
    assert [line for line in out.splitlines() if len(line) > 80] == []
    assert f"Conv2d {channels}→" in next(line for line in out.splitlines() if "Conv2d" in line)
    assert err == ""


def test_without_pictures_there_is_no_table_of_windows():
    console = Console(file=StringIO(), width=80)
    show_summary(console, summarise(mlp(), torch.zeros(1, 1, 28, 28)), "mlp")
    assert "kernel" not in console.file.getvalue()


def test_layers_that_are_one_are_shown_and_counted_once(capsys):
    assert cli.dispatch(["summary", "model=mlp", "model.hidden=[16,16,16]", "model.share=true"]) == 0
    out = capsys.readouterr().out
    total = 784 * 16 + 16 + 16 * 16 + 16 + 16 * 10 + 10
    assert f"all {total:,}" in " ".join(out.split())
    parameters = [line.split() for line in out.partition("parameter ")[2].splitlines()]
    rows = {row[0]: row[1:] for row in parameters if row and row[0][0].isdigit()}
    assert rows["5.weight"] == ["16×16", "=", "3.weight"]
    assert rows["5.bias"] == ["16", "=", "3.bias"]
    assert rows["3.weight"][:2] == ["16×16", "256"]


def test_parameters_have_mean_and_deviation_of_what_they_hold(capsys):
    words = ["model=lenet", "model.init.name=constant", "model.init.value=0.25", "model.init.bias=-1"]
    assert cli.dispatch(["summary", *words]) == 0
    out = capsys.readouterr().out.partition("parameter ")[2]
    rows = [line.split() for line in out.splitlines() if ".weight" in line or ".bias" in line]
    assert len(rows) == 10
    assert all(row[-2:] == (["0.250", "0.000"] if "weight" in row[0] else ["-1.000", "0.000"]) for row in rows)


@pytest.mark.parametrize("name, gates", [("rnn", 1), ("gru", 3), ("lstm", 4)])
def test_a_recurrent_layer_counts_its_products_for_each_time_step(name, gates):
    """V tokens one-hot into D units and D into D, gate by gate; then D into V."""
    model = models.build(compose([f"model={name}"]).model, Stream(35), 28)
    summary = summarise(model, torch.zeros(1, 35, dtype=torch.long))
    assert summary.multiply_adds == 35 * (gates * (28 * 256 + 256 * 256) + 256 * 28)
    assert summary.parameters == gates * (28 * 256 + 256 * 256 + 2 * 256) + 256 * 28 + 28
