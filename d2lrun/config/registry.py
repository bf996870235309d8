"""Networks and datasets of the user's own: lines that their code adds to the tables of d2lrun.

The keyword arguments of the code are the keys of the config: their annotations are types, ranges and help, their
defaults are the values. What has no line in conf/ is given to Hydra as data.
"""

from __future__ import annotations

import inspect
import re
import sys
from collections.abc import Callable
from dataclasses import asdict, fields
from functools import wraps
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

import yaml
from hydra.core.config_store import ConfigStore

from d2lrun.config import schema
from d2lrun.config.code import fingerprint, sha256
from d2lrun.config.keys import VARIANTS, Model, conf_dir, dataset_keys, network_keys
from d2lrun.config.tables import BY_GROUP, DATASETS, INPUTS, TASKS, Added, Dataset, Network, Source
from d2lrun.config.types import OPTION, Between, Number
from d2lrun.errors import Refused

Made = TypeVar("Made", bound=Callable[..., Any])
SCALARS = (bool, int, float, str)
GIVEN = ("inputs", "classes")  # arguments of a network that are no keys
WANTED = "wanted bool, int, float, str, Literal, a list of them, or one of them and None"
CACHES: list[Callable[[], None]] = []  # they clear what other modules have computed from the tables


def model(name: str, *, inputs: str | tuple[str, ...] = ()) -> Callable[[Made], Made]:
    """Register a network, a class or function, as ``model=NAME``; use it as a decorator.

    It is called with its keys as keyword arguments and, if it has arguments of these names, with ``inputs``, the shape
    of one example such as (C, H, W), and ``classes``, the number of outputs. Each other argument is a key: it needs a
    default value, and its annotation is its type: bool, int, float, str, Literal, a list of them, or one of them and
    None; ``Annotated[int, d2lrun.Between(1, 512), "channels of the first layer"]`` adds a range and a help.

    ``inputs`` names the kinds of examples that it takes, such as images, table or text; by default it is tried on all.
    Raises Refused with the line of the code.
    """
    if callable(name):  # a decorator without its brackets gets the class or function itself
        raise refusal(name, "@d2lrun.model without a name", 'write @d2lrun.model("NAME")')
    kinds = (inputs,) if isinstance(inputs, str) else tuple(inputs)
    if strange := [kind for kind in kinds if kind not in INPUTS]:
        raise Refused(f"inputs={strange[0]!r}: no such kind of inputs", f"give some of {', '.join(INPUTS)}")

    def register(made: Made) -> Made:
        refuse_objects("model", made)
        arguments, added = keys_of(name, made, GIVEN, {field.name for field in fields(Model)})
        added.make = taking(made, GIVEN)
        add("model", name, Network(name_of(made), arguments, kinds or tuple(INPUTS), added=added))
        return made

    return register


def dataset(name: str, *, task: str) -> Callable[[Made], Made]:
    """Register a dataset, a function, as ``dataset=NAME`` of a task; use it as a decorator.

    The function returns inputs and targets, ``(X, y)`` or ``{"train": (X, y), "val": …, "test": …}``, as
    ``d2lrun.train(data=…)`` takes them, or a dataset of the task's own class. Its arguments are keys, as those of
    ``model``. It must return the same data in each call. Raises Refused with the line of the code.
    """
    if task not in TASKS:
        hint = f"give one of {', '.join(TASKS)}"
        raise Refused(f"task={task!r}: no such task{schema.suggestion(str(task), list(TASKS))}", hint)

    def register(made: Made) -> Made:
        refuse_objects("dataset", made)
        view, values = view_of(task)
        arguments, added = keys_of(name, made, (), {*view})
        added.make, added.values = made, {**added.values, **values}
        added.source = Source(**{**asdict(added.source), "task": task})
        add("dataset", name, Dataset(task, arguments, view, added=added))
        return made

    return register


def refuse_objects(group: str, made: Any) -> None:
    """Raise Refused for what is neither a class nor a function, such as a partial or a network."""
    if not callable(made) or not hasattr(made, "__qualname__"):
        raise Refused(f"@d2lrun.{group}: a {type(made).__name__}", "decorate a class or a function, with def or class")


def view_of(task: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the keys that change the input of a network, and their values, of one's own data of a task."""
    own = TASKS[task].own
    if own is None:
        return {}, {}
    return DATASETS[own].view, {key: values_of(own)[key] for key in DATASETS[own].view}


def values_of(dataset: str) -> dict[str, Any]:
    """Return the values in the file of a dataset of d2lrun's own."""
    values: dict[str, Any] = yaml.safe_load((conf_dir() / "dataset" / f"{dataset}.yaml").read_text(encoding="utf-8"))
    return values


def add(group: str, name: str, line: Any) -> None:
    """Add a line to a table and its values to what Hydra composes; a line that was added before is replaced."""
    source = line.added.source
    if not isinstance(name, str) or not re.fullmatch(OPTION, name, re.ASCII):
        raise refusal(
            line.added.make,
            f"the name {name!r}",
            "give letters, digits, _, - and ., a letter first; and no value such as null",
        )
    other = BY_GROUP[group].get(name)
    if other is not None and other.added is None:
        raise refusal(line.added.make, f"{group}={name} is d2lrun's own", "choose another name")
    if other is not None and None not in (source.path, other.added.source.path) and source != other.added.source:
        raise refusal(line.added.make, f"{group}={name} is defined in {other.added.source.path}, too", "rename one")
    values = {"name": name, **line.added.values, "source": asdict(source)}
    ConfigStore.instance().store(group=group, name=name, node={group: values}, package="_global_")
    VARIANTS[group][name] = (network_keys if group == "model" else dataset_keys)(name, line)
    BY_GROUP[group][name] = line
    changed()


def remove(group: str, name: str) -> None:
    """Remove a line that was added."""
    del BY_GROUP[group][name], VARIANTS[group][name], ConfigStore.instance().repo[group][f"{name}.yaml"]
    changed()


def changed() -> None:
    """Clear the caches of what depends on the tables."""
    schema.kinds.cache_clear()
    for clear in CACHES:
        clear()


def keys_of(name: str, made: Any, given: tuple[str, ...], taken: set[str]) -> tuple[dict[str, Any], Added]:
    """Return the keys of a class or function with their types, and what its line has. Raises Refused."""
    source = source_of(made)
    added = Added(
        made, source, code=None if source.path else made, headline=(inspect.getdoc(made) or "").partition("\n")[0]
    )
    try:
        parameters = inspect.signature(made).parameters.values()
        function = getattr(made, "__init__") if isinstance(made, type) else made  # noqa: B009
        types = get_type_hints(function, include_extras=True)
    except Exception as error:  # evaluating annotations can raise anything
        raise refusal(made, f"{name}: {error}", "annotate its arguments with types that are imported") from error
    arguments: dict[str, Any] = {}
    for each in parameters:
        if each.name in given or each.kind in (each.VAR_POSITIONAL, each.VAR_KEYWORD):
            continue
        key = each.name
        if key in taken or key in ("name", "source"):
            raise refusal(made, f"{name}: {key} is a key of each {'network' if given else 'dataset'}", "rename it")
        if each.default is each.empty:
            raise refusal(made, f"{name}: {key} has no default", f"write {key}=VALUE; it is the value of the config")
        default = list(each.default) if isinstance(each.default, tuple) else each.default
        if "${" in str(default) or "???" in (default if isinstance(default, list) else [default]):
            raise refusal(made, f"{name}: {key}={default!r}: Hydra replaces ${{…}} and ???", "choose another default")
        try:
            kind, added.meanings[key] = kind_of(types.get(key, type(default)))
            added.values[key] = schema.convert(kind, default)
        except schema.Mismatch as mismatch:
            raise refusal(made, f"{name}: {key}={default!r}: wanted {mismatch}", "correct its default") from None
        except TypeError as error:
            raise refusal(made, f"{name}: {key}: {error}", WANTED) from None
        arguments[key] = kind
    return arguments, added


def name_of(made: Any) -> str:
    """Return the name of a class or function; of another object that can be called, the name of its class."""
    return str(getattr(made, "__name__", type(made).__name__))


def source_of(made: Any) -> Source:
    """Return the file of the module of a class or function; of a program, a notebook or a closure, its code alone."""
    module = sys.modules.get(made.__module__)
    file = getattr(module, "__file__", None)
    read = getattr(getattr(module, "__loader__", None), "content", None)  # of a plugin that was named
    in_function = "<locals>" in made.__qualname__ and read is None  # its values depend on the call
    if made.__module__ == "__main__" or not file or in_function:
        return Source(None, fingerprint(made))
    return Source(str(Path(file).absolute()), sha256(made.__module__, read or Path(file).read_bytes()))


def kind_of(annotation: Any) -> tuple[Any, str]:
    """Return an annotation as a type of the schema, and its help. Raises TypeError."""
    if get_origin(annotation) is Annotated:
        inner, *extras = get_args(annotation)
        kind, words = kind_of(inner)[0], [each for each in extras if isinstance(each, str)]
        ranges = [each for each in extras if isinstance(each, Between)]
        if len(ranges) > 1 or len(ranges) + len(words) < len(extras) or (ranges and inner not in (int, float)):
            raise TypeError(f"{annotation}: wanted one d2lrun.Between, of int or float, and texts")
        return Annotated[inner, ranges[0]] if ranges else kind, " ".join(words)
    if annotation is float:
        return Number, ""  # never NaN
    if annotation in SCALARS or annotation is type(None):
        return annotation, ""
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Literal and all(isinstance(each, SCALARS) for each in arguments):
        return annotation, ""
    if origin in (list, tuple) and arguments and set(arguments[1:]) <= {...}:
        return list[kind_of(arguments[0])[0]], ""  # type: ignore[misc]
    if origin in (Union, UnionType):
        return Union[tuple(kind_of(each)[0] for each in arguments)], ""  # noqa: UP007
    raise TypeError(f"no config can hold {getattr(annotation, '__name__', annotation)}")


def taking(made: Callable[..., Any], given: tuple[str, ...]) -> Callable[..., Any]:
    """Return a function that calls ``made`` without those of the ``given`` arguments that it does not take."""
    parameters = inspect.signature(made).parameters.values()
    if any(each.kind is each.VAR_KEYWORD for each in parameters):
        return made
    needless = set(given) - {each.name for each in parameters}

    @wraps(made, updated=())
    def make(**keywords: Any) -> Any:
        return made(**{key: value for key, value in keywords.items() if key not in needless})

    make.__signature__ = inspect.signature(lambda **keywords: None)  # type: ignore[attr-defined]
    return make


def refusal(made: Any, message: str, hint: str) -> Refused:
    """Return a Refused that names the line of a class or function."""
    try:
        made = inspect.unwrap(made)
        file, (_, line) = Path(inspect.getsourcefile(made) or ""), inspect.getsourcelines(made)
    except (OSError, TypeError):
        return Refused(message, hint)
    return Refused(f"{file.name}:{line}: {message}" if file.is_file() else message, hint)
