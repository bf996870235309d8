"""Networks and datasets of the user's own: the arguments of the code are the keys of the config."""

from __future__ import annotations

import functools
from typing import Annotated, Any, Literal, Optional, Union

import pytest
from hypothesis import given
from hypothesis import strategies as st

from d2lrun.config import compose, registry, schema
from d2lrun.config.keys import VARIANTS
from d2lrun.config.tables import BY_GROUP, DATASETS, INPUTS, MODELS, TASKS
from d2lrun.config.types import Between
from d2lrun.errors import Refused


def network(annotation: Any, default: Any):
    """A network with one argument of its own."""

    def made(inputs, classes, key=default):
        """The first line."""

    made.__annotations__["key"] = annotation
    return made


ANNOTATIONS = [
    # annotation, default, taken, refused
    (int, 3, ["7", "-1"], ["1.5", "a", "null", "true"]),
    (float, 3, ["7", "1.5", "-2e3"], ["a", "nan", "inf", "null"]),
    (bool, True, ["true", "false"], ["1", "a"]),
    (str, "a", ["b", "'1'", "1"], ["null"]),  # a key of texts reads each value as a text
    (Literal["a", 2], "a", ["a", "2"], ["b", "3", "2.0"]),
    (Annotated[int, Between(1, 5)], 2, ["1", "5"], ["0", "6", "1.5"]),
    (Annotated[float, Between(0, 1, without=(1,))], 0, ["0", "0.5"], ["1", "-0.1"]),
    (Annotated[int, Between(1, 5), "a help"], 2, ["1"], ["0"]),
    (Annotated[str, "a help"], "x", ["y"], ["null"]),
    (list[int], [1], ["[1,2]", "3", "[]"], ["[a]", "1.5"]),
    (tuple[int, ...], (1, 2), ["[1,2]"], ["[a]"]),
    (list[Annotated[int, Between(1, 5)]], [1], ["[5]"], ["[6]"]),
    (Optional[int], None, ["null", "3"], ["a"]),  # noqa: UP045
    (Union[int, str], 1, ["1", "a", "1.5"], ["null"]),  # noqa: UP007
    (int | None, 3, ["null", "3"], ["a"]),
]


@pytest.mark.parametrize("annotation, default, taken, refused", ANNOTATIONS, ids=lambda value: str(value)[:40])
def test_an_annotation_is_the_type_of_a_key(annotation, default, taken, refused):
    registry.model("own-net")(network(annotation, default))
    plain = list(default) if isinstance(default, tuple) else default
    assert compose.compose(["model=own-net"]).model.key == plain
    for value in taken:
        compose.compose(["model=own-net", f"model.key={value}"])
    for value in refused:
        with pytest.raises(Refused, match=r"model\.key"):
            compose.compose(["model=own-net", f"model.key={value}"])


@pytest.mark.parametrize(
    "annotation, default",
    [(object, 1), (dict, {}), (dict[str, int], {}), (list, [1]), (bytes, b""), (Annotated[list, Between(1)], [1])],
)
def test_what_no_config_can_hold_is_refused(annotation, default):
    with pytest.raises(Refused, match=r"test_registry\.py:\d+: own-net: key: ") as refusal:
        registry.model("own-net")(network(annotation, default))
    assert "wanted bool, int" in refusal.value.hint and "own-net" not in MODELS


@pytest.mark.parametrize("annotation, default", [(int, "a"), (Annotated[int, Between(1, 5)], 6), (Literal["a"], "b")])
def test_a_default_has_the_type_of_its_annotation(annotation, default):
    with pytest.raises(Refused, match=r"test_registry\.py:\d+: own-net: key="):
        registry.model("own-net")(network(annotation, default))


def test_without_an_annotation_the_default_gives_the_type():
    registry.model("own-net")(lambda inputs, classes, width=3, rate=0.5: None)
    config = compose.compose(["model=own-net", "model.width=4"])
    assert (config.model.width, config.model.rate) == (4, 0.5)
    with pytest.raises(Refused, match=r"model\.width=1\.5"):
        compose.compose(["model=own-net", "model.width=1.5"])


@pytest.mark.parametrize("key", ["name", "source", "weights", "freeze", "init"])
def test_a_key_of_each_network_is_not_an_argument(key):
    names: dict = {}
    exec(f"def made(inputs, classes, {key}=1): pass", names)
    with pytest.raises(Refused, match=f"{key} is a key of each network"):
        registry.model("own-net")(names["made"])


@pytest.mark.parametrize("default", ["${x}", "a${", "???", ["${x}"], ["???"]])
def test_a_default_that_hydra_replaces_is_refused(default):
    with pytest.raises(Refused, match="Hydra replaces"):
        registry.model("own-net")(network(type(default) if isinstance(default, str) else list[str], default))
    assert "own-net" not in MODELS and "own-net" not in VARIANTS["model"]


def test_a_key_of_one_network_means_nothing_for_another():
    registry.model("own-net")(lambda inputs, classes, pretrained=False, arch="a": None)
    assert compose.compose(["model=own-net", "model.pretrained=true"]).model.pretrained


def test_an_argument_without_a_default_is_refused():
    def made(inputs, classes, width: int):
        pass

    with pytest.raises(Refused, match="width has no default"):
        registry.model("own-net")(made)


@pytest.mark.parametrize("name", [*MODELS])
def test_a_name_of_d2lrun_is_refused(name):
    line = MODELS[name]
    with pytest.raises(Refused, match=f"model={name} is d2lrun's own"):
        registry.model(name)(network(int, 1))
    assert MODELS[name] is line


@pytest.mark.parametrize(
    "name", ["", "1net", "a b", "a=b", "a/b", "../a", "a,b", "ä", "a" * 61, 3, "null", "True", "inf"]
)
def test_a_name_that_is_no_option_is_refused(name):
    with pytest.raises(Refused, match="the name"):
        registry.model(name)(network(int, 1))


@pytest.mark.parametrize("made", [functools.partial(network(int, 1)), Between(), "own-net", None])
@pytest.mark.parametrize("decorate", [registry.model("own-net"), registry.dataset("own-data", task="tabular")])
def test_what_is_neither_a_class_nor_a_function_is_refused(made, decorate):
    with pytest.raises(Refused, match=type(made).__name__):
        decorate(made)


def test_a_decorator_without_a_name_is_refused_at_its_line():
    with pytest.raises(Refused, match=r"^test_registry\.py:\d+: @d2lrun\.model without a name$") as refused:
        registry.model(network(int, 1))
    assert refused.value.hint == 'write @d2lrun.model("NAME")'


def test_a_new_definition_replaces_the_old_one():
    registry.model("own-net")(network(int, 1))
    before = compose.compose(["model=own-net"])
    registry.model("own-net")(network(float, 2.5))
    after = compose.compose(["model=own-net"])
    assert (before.model.key, after.model.key) == (1, 2.5)
    assert "model.source.sha256" in schema.differing(before, after)


def test_what_was_added_leaves_nothing():
    tables = [dict(table) for table in BY_GROUP.values()], {group: [*VARIANTS[group]] for group in BY_GROUP}
    registry.model("own-net")(network(int, 1))
    compose.compose(["model=own-net"])
    registry.remove("model", "own-net")
    assert tables == ([dict(table) for table in BY_GROUP.values()], {group: [*VARIANTS[group]] for group in BY_GROUP})
    with pytest.raises(Refused, match="no such option"):
        compose.compose(["model=own-net"])


def test_only_the_named_arguments_are_given():
    made = [
        lambda: [],
        lambda inputs: [inputs],
        lambda classes, a=1: [classes, a],
        lambda **given: sorted(given),
    ]
    found = [registry.taking(each, registry.GIVEN)(inputs=(3,), classes=2) for each in made]
    assert found == [[], [(3,)], [2, 1], ["classes", "inputs"]]


@pytest.mark.parametrize("task", [task for task, entry in TASKS.items() if entry.own])
def test_a_dataset_has_the_keys_that_change_its_input(task):
    registry.dataset("own-data", task=task)(lambda n=5: None)
    reader = next(name for name, line in MODELS.items() if TASKS[task].inputs in line.inputs)
    config = compose.compose(["dataset=own-data", f"model={reader}", "dataset.n=7"])
    assert config.dataset.n == 7 and config.dataset.source.task == task
    assert {*DATASETS[TASKS[task].own].view} <= {*vars(config.dataset)}


@pytest.mark.parametrize("call", [lambda: registry.model("a", inputs="image"), lambda: registry.dataset("a", task="x")])
def test_a_kind_that_there_is_not_is_refused(call):
    with pytest.raises(Refused, match="no such"):
        call()


@given(kinds=st.sets(st.sampled_from([*INPUTS]), min_size=1))
def test_a_network_fits_the_kinds_that_it_names(kinds):
    registry.model("own-net", inputs=tuple(kinds))(network(int, 1))
    fitting = {TASKS[line.task].inputs for name, line in DATASETS.items() if schema.fits("own-net", name)}
    assert fitting == kinds


def test_the_source_cannot_be_set():
    registry.model("own-net")(network(int, 1))
    for word in ("model.source.path=x", "model.source.sha256=abc", "model.source=null"):
        with pytest.raises(Refused, match=r"model\.source"):
            compose.compose(["model=own-net", word])


def test_a_word_is_read_by_the_type_of_now():
    for annotation, default, value in ((str, "a", "5"), (int, 1, 5), (str, "a", "5")):
        registry.model("own-net")(network(annotation, default))
        assert compose.compose(["model=own-net", "model.key=5"]).model.key == value


@pytest.mark.parametrize("extra", [[1, 2], {1, 2}, range(3), 5, (Between(1), Between(2))])
def test_an_annotation_that_is_not_understood_is_refused(extra):
    extras = extra if isinstance(extra, tuple) else (extra,)
    with pytest.raises(Refused, match=r"key: .*wanted one d2lrun\.Between"):
        registry.model("own-net")(network(Annotated.__class_getitem__((int, *extras)), 1))
