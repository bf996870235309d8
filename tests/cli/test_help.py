from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from d2lrun.cli.help import WIDTH, default_options, groups, headline, keys, overview, wrapped
from d2lrun.cli.main import all_verbs
from d2lrun.config.keys import VARIANTS, conf_dir

CONFIG = conf_dir() / "config.yaml"


def test_every_group_and_option_is_listed_with_its_line():
    lines = groups(conf_dir(), [conf_dir()])
    text = " ".join(" ".join(lines).split())
    for group in [*VARIANTS, "experiment"]:
        assert f"  {group}" in lines
        for path in conf_dir().glob(f"{group}/*.yaml"):
            assert " ".join(f"{path.stem} {headline(path)}".split()) in text


def test_the_defaults_are_starred():
    starred = [line.split()[1] for line in groups(conf_dir(), [conf_dir()]) if line.startswith("  * ")]
    assert starred == ["mlp", "fashion-mnist", "sgd", "constant", "none", "auto", "none", "grid"]


def test_the_model_comes_first():
    groups = ["model", "dataset", "optimizer", "schedule", "augment", "device", "validation", "sweep", "experiment"]
    assert list(default_options(CONFIG)) == groups


def test_the_keys_of_a_run_come_with_their_comments():
    text = "\n".join(keys(CONFIG))
    for key in ("seed:", "epochs:", "batch_size:", "clip:", "patience:", "limit_batches:", "dir:", "name:"):
        assert key in text
    assert "hydra" not in text and "recipe" not in text and "# " in text


def test_the_headline_is_no_directive(tmp_path):
    path = tmp_path / "x.yaml"
    path.write_text("# @package _global_\n# What it is\n# Claim: more\nname: x\n", encoding="utf-8")
    assert headline(path) == "What it is"
    path.write_text("name: x\n", encoding="utf-8")
    assert headline(path) == ""


def test_the_overview_names_every_verb():
    text = overview(conf_dir(), all_verbs())
    for verb, (_, does) in all_verbs().items():
        assert f" {verb} {does}" in " ".join(text.split())


def test_the_overview_fits_a_terminal():
    assert [line for line in overview(conf_dir(), all_verbs()).splitlines() if len(line) > WIDTH] == []


@given(st.text("abc", max_size=20), st.text("abc -/", max_size=200), st.sampled_from(["", "# "]))
def test_wrapped_lines_fit_and_keep_every_word(head, text, begin):
    lines = wrapped(head, text, begin)
    longest = max(map(len, [*text.split(), ""]))
    assert all(len(line) <= max(WIDTH, len(head + begin) + longest) for line in lines)
    assert set(text.split()) <= {word for line in lines for word in line[len(head + begin) :].split()}


def test_no_line_of_the_overview_is_left_unfilled():
    assert "{" not in overview(conf_dir(), all_verbs())


def test_the_users_own_options_are_listed_too(tmp_path):
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "wide.yaml").write_text("# My wide MLP\n", encoding="utf-8")
    assert "My wide MLP" in overview(conf_dir(), all_verbs(), str(tmp_path))
