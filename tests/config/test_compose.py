"""From overrides to a checked config."""

from __future__ import annotations

import pytest
import yaml
from hydra.core.global_hydra import GlobalHydra

from d2lrun.cli import command
from d2lrun.config import hydra_internal, user_yaml
from d2lrun.config.compose import Known, compose, compose_all, departures, gather, show
from d2lrun.config.keys import conf_dir
from d2lrun.config.schema import parse
from d2lrun.config.tables import MODELS
from d2lrun.errors import Refused


def refusal(*overrides: str, config_dir: str | None = None) -> str:
    with pytest.raises(Refused) as caught:
        compose(list(overrides), config_dir)
    return str(caught.value)


def test_the_command_line_wins_over_a_recipe():
    config = compose(["model=lenet", "train.epochs=2", "optimizer.lr=0.25", "model.init.name=normal"])
    assert (config.train.epochs, config.optimizer.lr, config.model.init.name) == (2, 0.25, "normal")


def test_the_command_line_wins_over_what_a_recipe_says_of_the_data():
    assert compose(["model=resnet"]).dataset.resize == 96
    assert compose(["dataset.resize=32", "model=resnet"]).dataset.resize == 32
    assert compose(["dataset.resize=null", "model=resnet"]).dataset.resize is None
    assert compose(["dataset=fashion-mnist", "model=resnet"]).dataset.resize == 96


def test_a_device_of_ones_own_keeps_what_else_is_said_of_it():
    device = compose(["device=cpu", "device.precision=bf16", "device.channels_last=false"]).device
    assert (device.name, device.precision, device.channels_last, device.compile) == ("cpu", "bf16", False, False)


def test_the_order_of_overrides_does_not_matter():
    assert compose(["train.epochs=2", "model=lenet"]) == compose(["model=lenet", "train.epochs=2"])


@pytest.mark.parametrize("optimizer, lr", [("sgd", 0.9), ("adam", 0.001), ("adamw", 0.001)])
def test_an_optimizer_takes_the_recipes_rate(optimizer, lr):
    assert compose(["model=lenet", f"optimizer={optimizer}"]).optimizer.lr == lr


def test_a_recipe_can_be_overridden():
    assert compose(["model=lenet", "optimizer=adam", "recipe.lr.adam=0.5"]).optimizer.lr == 0.5


@pytest.mark.parametrize("sign", ["", "+", "++"])
def test_a_value_is_forced_in_behind_any_sign(sign):
    assert compose([f"{sign}train.epochs=3"]).train.epochs == 3


def test_a_group_can_be_added_to_the_list():
    assert compose(["model.dropout=[0.5]", "model.hidden=[64,32]"]).model.hidden == [64, 32]


@pytest.mark.parametrize("sign", ["", "+", "++"])
def test_an_unknown_key_is_refused_behind_any_sign(sign):
    assert refusal(f"{sign}train.epoch=3") == "train.epoch: no such key; did you mean train.epochs?"


def test_a_deleted_key_is_missed():
    assert refusal("~train.epochs") == "train.epochs: missing"


def test_what_was_given_can_be_deleted_again():
    assert compose(["model=lenet", "+model.hidden=[3]", "~model.hidden"]) == compose(["model=lenet"])


def test_a_deleted_group_is_missed():
    assert refusal("~optimizer") == "optimizer: missing"


def test_an_unknown_option_is_met_with_the_nearest():
    have = ", ".join(sorted(MODELS))
    assert refusal("model=lnet") == f"model=lnet: no such option; did you mean lenet? (have: {have})"


def test_all_complaints_come_at_once():
    message = refusal("model=lnet", "optimizer.lr=-1", "seed=1,2", "train epochs", "validation=holdout", "lr=3")
    assert message.splitlines()[0] == "5 problems in the configuration"
    for given in ("model=lnet", "optimizer.lr=-1", "seed=1,2", "train epochs", "lr"):
        assert f"\n  {given}:" in message


@pytest.mark.parametrize("sweep", ["seed=1,2", "model=mlp,lenet", "train.epochs=range(1,3)", "seed=choice(1,2)"])
def test_several_values_need_multirun(sweep):
    assert (
        refusal(sweep) == f"{sweep}: several values; add -m to run one after the other, or in Python call d2lrun.sweep"
    )


def test_several_values_of_a_key_with_lists_may_mean_one_list():
    assert "; one list is 'model.hidden=[256,128]'" in refusal("model.hidden=256,128")
    assert "one list" not in refusal("model.hidden=choice([256],[128])")
    assert compose(["model.hidden=[256,128]"]).model.hidden == [256, 128]


@pytest.mark.parametrize("text", ["'", "=", "a=[1", "train.epochs", "x=${", "", "a b=1", "key=\n"])
def test_what_is_no_override_is_refused(text):
    assert refusal(text)


@pytest.mark.parametrize(
    "override",
    ["optimizer.lr=${nowhere}", "optimizer.lr=${optimizer.lr}", "seed=${oc.env:NOT_SET_D2LRUN}", "seed=${nothing:1}"],
)
def test_a_broken_interpolation_is_refused(override):
    assert refusal(override)


def test_an_interpolation_is_resolved():
    assert compose(["train.epochs=${seed}", "seed=7"]).train.epochs == 7


def test_departures_of_the_plain_recipe_are_none():
    assert departures(compose(["model=lenet"])) == []


def test_departures_are_exactly_the_changed_keys():
    config = compose(["model=lenet", "model.pool=max", "train.epochs=3", "optimizer.momentum=0.5"])
    assert departures(config) == ["model.pool", "optimizer.momentum", "train.epochs"]


def test_circumstances_seed_and_device_are_no_departure():
    overrides = ["seed=5", "device=cpu", "device.threads=1", "run.dir=x", "dataset.dir=y", "train.checkpoint_every=3"]
    assert departures(compose(overrides)) == []


@pytest.mark.parametrize("override", ["device.precision=bf16", "device.channels_last=false", "device.compile=true"])
def test_how_it_is_computed_is_no_departure(override):
    assert departures(compose(["model=resnet", override])) == []


@pytest.mark.parametrize(
    "override, key",
    [
        ("dataset.resize=64", "dataset.resize"),
        ("dataset.channels=3", "dataset.channels"),
        ("model.freeze=['0.*']", "model.freeze"),
        ("model.weights=other", "model.weights"),
        ("model.init.linear=normal", "model.init.linear"),
    ],
)
def test_what_changes_the_result_is_a_departure(override, key):
    assert departures(compose(["model=resnet", override])) == [key]


def test_a_value_that_is_typed_out_is_no_departure():
    assert departures(compose(["model=mlp", "train.epochs=10", "optimizer=sgd", "optimizer.lr=0.1"])) == []


def test_show_prints_yaml_that_parses_to_the_same_config():
    text = show(["model=lenet", "optimizer.lr=0.5"])
    data = yaml.safe_load(text)
    assert parse(data) == compose(["model=lenet", "optimizer.lr=0.5"])


def test_show_leaves_interpolations_as_written():
    assert yaml.safe_load(show([]))["optimizer"]["lr"] == "${oc.select:recipe.lr.sgd,0.1}"


def test_show_refuses_what_compose_refuses():
    with pytest.raises(Refused):
        show(["optimizer.lr=-1"])


@pytest.fixture
def own(tmp_path):
    """A user's folder with an option and a group's file of their own."""
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "wide.yaml").write_text(
        "# @package _global_\n# My wide MLP\ndefaults: [mlp]\nmodel: {hidden: [1024, 1024]}\ntrain: {epochs: 3}\n",
        encoding="utf-8",
    )
    return tmp_path


def test_an_option_of_the_users_own(own):
    config = compose(["model=wide", "train.batch_size=64"], str(own))
    assert config.model.name == "mlp"
    assert (config.model.hidden, config.train.epochs, config.train.batch_size) == ([1024, 1024], 3, 64)


def test_own_options_are_among_the_suggestions(own):
    assert "did you mean wide?" in refusal("model=wid", config_dir=str(own))


def test_own_values_are_checked_too(own):
    (own / "model" / "bad.yaml").write_text("# @package _global_\ndefaults: [mlp]\ntrain: {epochs: -3}\n")
    assert refusal("model=bad", config_dir=str(own)).startswith("train.epochs=-3")


@pytest.mark.parametrize("text", ["model: [", "a: 1\n b: 2", "\tx: 1"])
def test_broken_yaml_names_file_and_line(own, text):
    (own / "model" / "broken.yaml").write_text(text)
    message = refusal("model=broken", config_dir=str(own))
    assert "broken.yaml:" in message and "not valid YAML" in message


def test_a_duplicate_key_is_refused(own):
    (own / "model" / "twice.yaml").write_text("# @package _global_\ntrain: {epochs: 1, epochs: 2}\n")
    assert "epochs" in refusal("model=twice", config_dir=str(own))


@pytest.mark.parametrize(
    "text",
    [
        *[
            "model: {_target_: os.mkdir}",
            "model: {'_target_': x}",
            '? "_targ\\x65t_"\n: x',
            "a: &b {_target_: x}\nc: *b",
        ],
        *["hydra: {run: {dir: x}}", "'hydra': 1", "hydra.run.dir: x", "# @package hydra.callbacks\na: 1"],
        *["defaults: [override hydra/launcher: joblib]", "defaults:\n- /model@hydra.x: mlp", "defaults: [/hydra/job]"],
    ],
)
def test_yaml_that_steers_hydra_or_names_code_is_seen(text):
    assert user_yaml.steers_hydra(text)


@pytest.mark.parametrize(
    "text",
    [
        *["# _target_ of hydra: a comment\nmodel: {name: mlp}", "a: 'the _target_ of it'", "a: |\n  hydra: x\n"],
        *["model: {hydra: 1}", "a: [", "", "[1]", "a: &a [*a]"],
    ],
)
def test_yaml_that_only_speaks_of_it_is_data(text):
    assert not user_yaml.steers_hydra(text)


def test_a_config_dir_that_is_not_there_is_refused(tmp_path):
    with pytest.raises(Refused, match="no such folder"):
        user_yaml.existing_folder(str(tmp_path / "nowhere"))
    with pytest.raises(Refused, match="no such folder"):
        compose([], str(tmp_path / "nowhere"))


@pytest.mark.parametrize("words", [[], ["model=mlp"], ["train.epochs=2", "model=lenet"]])
def test_a_config_dir_of_which_nothing_is_used_is_refused(own, words):
    with pytest.raises(Refused) as caught:
        compose(words, str(own))
    assert str(caught.value) == f"--config-dir {own}: none of its options is used; it offers model=wide"
    assert "such as model=wide" in caught.value.hint
    with pytest.raises(Refused, match="none of its options is used"):
        show(words, str(own))


@pytest.mark.parametrize("word", ["model=wide", "model='wide'", "+model=wide", "model@_global_=wide"])
def test_an_option_is_used_however_it_is_written(own, word):
    known = Known()
    try:
        gather([word], str(own), known)
    except Refused as refusal:
        assert "none of its options is used" not in str(refusal)
    user_yaml.refuse_unused(str(own), known.used)


@pytest.mark.parametrize("name", ["config.yaml", "notes.txt", "a/b/c.yaml"])
def test_a_folder_that_offers_no_option_is_refused(tmp_path, name):
    (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / name).write_text("seed: 1\n")
    with pytest.raises(Refused, match="it offers no option") as caught:
        compose([], str(tmp_path))
    assert "FOLDER/model/mine.yaml" in caught.value.hint


def test_a_file_with_the_name_of_one_of_ours_is_refused(own):
    (own / "model" / "mlp.yaml").write_text("# @package _global_\nmodel: {name: mlp, hidden: [7]}\n")
    assert refusal("model=wide", config_dir=str(own)).startswith(f"{own}/model/mlp.yaml: it has the name of a file")
    (own / "model" / "mlp.yaml").write_bytes((conf_dir() / "model" / "mlp.yaml").read_bytes())
    assert compose(["model=wide"], str(own)).model.hidden == [1024, 1024]


def test_of_several_runs_one_must_use_an_option(own):
    assert len(compose_all([["model=mlp"], ["model=wide"]], str(own))) == 2
    with pytest.raises(Refused, match="none of its options is used"):
        compose_all([["model=mlp"], ["model=lenet"]], str(own))


def test_composing_leaves_no_global_state():
    compose([])
    assert not GlobalHydra.instance().is_initialized()
    refusal("optimizer.lr=${nowhere}")
    assert not GlobalHydra.instance().is_initialized()


def test_composing_inside_a_hydra_job_leaves_the_jobs_state():
    with hydra_internal.initialised():
        outer = GlobalHydra.instance().hydra
        assert compose(["model=lenet"]).model.name == "lenet"
        refusal("model=lnet")
        assert GlobalHydra.instance().hydra is outer


def test_the_options_of_a_command_line():
    options = command.parse(["-m", "seed=1,2", "--config-dir", "mine", "model=mlp"])
    assert (options.multirun, options.config_dir, options.overrides) == (True, "mine", ["seed=1,2", "model=mlp"])


@pytest.mark.parametrize(
    "words",
    [
        *[["--multirn"], ["-x"], ["-m", "--cfg", "job"], ["--config-dir"], ["-cn", "other"], ["-cp", "conf"]],
        *[["-r", "-m"], ["--resolve"], ["-p", "model"]],
    ],
)
def test_options_that_are_refused(words):
    with pytest.raises(Refused):
        command.parse(words)


def test_a_mistyped_option_is_met_with_the_nearest():
    with pytest.raises(Refused, match="did you mean --multirun"):
        command.parse(["--multirn"])
