from io import BytesIO, StringIO, TextIOWrapper

import pytest
from rich.console import Console

from d2lrun.report.text import (
    duration,
    measured,
    printable,
    say,
    setting,
    settings,
    short_names,
    shortened,
    size,
    spread,
)


@pytest.mark.parametrize(
    "seconds, words",
    [
        (0, "0.0 s"),
        (0.34, "0.3 s"),
        (59.94, "59.9 s"),
        (59.96, "1 min 0 s"),
        (200, "3 min 20 s"),
        (3599.7, "1 h 0 min"),
        (7500, "2 h 5 min"),
        (100_000, "27 h 46 min"),
    ],
)
def test_durations_are_words(seconds, words):
    assert duration(seconds) == words


@pytest.mark.parametrize(
    "count, words",
    [(999, "999 bytes"), (1000, "1.0 kB (1,000 bytes)"), (54_880_000, "54.9 MB (54,880,000 bytes)")],
)
def test_sizes_are_words(count, words):
    assert size(count) == words


def console_in(encoding):
    return Console(file=TextIOWrapper(BytesIO(), encoding=encoding), width=40)


def test_utf8_is_left_alone():
    assert printable(console_in("utf-8"), "§4.3 1→6 ✓ 汉服") == "§4.3 1→6 ✓ 汉服"


@pytest.mark.parametrize("encoding", ["ascii", "cp1252", "gbk", "latin-1"])
def test_every_encoding_can_print_what_it_is_given(encoding):
    text = printable(console_in(encoding), "✓ ✗ × → – ± █ 汉服 é \udcff")
    text.encode(encoding)
    assert "ok" in text and "NO" in text


def test_a_file_name_that_is_no_text_is_escaped():
    assert printable(console_in("utf-8"), "a\udcff.png") == "a\\udcff.png"


def test_what_could_command_a_terminal_is_seen_instead():
    text = "a\tb\nc \x1b]0;title\x07 \x1b[2J \x9b31m \r \x00 \x7f é"
    seen = "a\tb\nc \\x1b]0;title\\x07 \\x1b[2J \\x9b31m \\x0d \\x00 \\x7f é"
    assert printable(console_in("utf-8"), text) == seen


@pytest.mark.parametrize("terminal", [True, False])
def test_a_path_is_never_wrapped_nor_read_as_markup(terminal):
    console = Console(file=StringIO(), width=20, force_terminal=terminal)
    path = "/home/someone/[/red]/[bold]/" + "long" * 20
    say(console, path)
    assert console.file.getvalue() == path + "\n"


@pytest.mark.parametrize(
    "value, words",
    [
        *((0.85349, "0.853"), (0.0, "0.000"), (83_139.4, "83,139"), (1.2e9, "1.2e+09"), (3e-5, "3e-05"), (None, "nan")),
        *((999.9996, "1000.000"), (1000.0, "1,000"), (9_999_999.0, "9,999,999"), (1e7, "1e+07"), (1e-3, "0.001")),
    ],
)
def test_metrics_have_the_digits_that_people_read(value, words):
    assert measured(value) == words


@pytest.mark.parametrize(
    "mean, std, words",
    [
        (0.85349, 0.00412, "0.853 ± 0.004"),
        (0.85349, 0.0147, "0.853 ± 0.015"),  # two digits where the first is 1
        (0.85349, 0.0947, "0.85 ± 0.09"),
        (0.85349, 0.00196, "0.8535 ± 0.0020"),
        (12.3456, 2.4, "12 ± 2"),
        (83_139.0, 1_912.0, "83,100 ± 1,900"),
        (0.85349, 0.0, "0.853 ± 0"),
        (0.85349, None, "0.853"),
        (None, None, "nan"),
        (0.5, float("nan"), "0.500"),
        (1.5e9, 2e8, "1.5e+09 ± 2e+08"),
        (0.5, 1e-9, "0.5 ± 1e-09"),
    ],
)
def test_a_mean_has_the_digits_that_its_spread_supports(mean, std, words):
    assert spread(mean, std) == words


@pytest.mark.parametrize(
    "value, words",
    [
        (0.1, "0.1"),
        (1e-5, "1e-05"),
        (0.123456789012, "0.1235"),
        (True, "true"),
        (None, "null"),
        ([256, 128], "[256,128]"),
        ([0.5, [None]], "[0.5,[null]]"),
        ("relu", "relu"),
        ({"sgd": 0.1}, '{"sgd": 0.1}'),
    ],
)
def test_settings_are_as_one_types_them(value, words):
    assert setting(value) == words


def test_keys_keep_as_many_parts_as_tell_them_apart():
    keys = ["model", "optimizer.lr", "model.init.std", "a.b.c", "x.b.c", "dataset.name", "c"]
    names = ["model", "lr", "std", "a.b.c", "x.b.c", "dataset.name", "c"]
    assert short_names(keys) == dict(zip(keys, names, strict=True))
    assert settings({"optimizer.lr": 0.1, "model": "mlp"}, short_names(keys)) == "lr=0.1 model=mlp"


def test_what_is_cut_says_so():
    assert (shortened("abcd", 4), shortened("abcde", 4)) == ("abcd", "abc…")
