"""A fingerprint of code that was given in Python: equal code has equal fingerprints, in another process, too.

It covers functions and classes that are not of an installed package, and what they name: other functions and classes,
the user's own modules, and values. What counts is what Python runs, the instructions: not comments, docstrings and the
layout of the text, and not a file that was edited after it was imported. The instructions depend on the version of
Python. torch is not imported.
"""

from __future__ import annotations

import ast
import contextlib
import dis
import hashlib
import inspect
import os
import site
import sys
import sysconfig
import traceback
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from types import CodeType, FunctionType, MethodType, ModuleType
from typing import Any

PLAIN = (type(None), bool, int, float, complex, str, bytes)
LIBRARIES = {
    str(Path(folder).resolve())
    for folder in (
        *site.getsitepackages(),
        site.getusersitepackages(),
        *map(sysconfig.get_paths().get, ("stdlib", "platstdlib", "purelib", "platlib")),
        Path(__file__).parents[1],
    )
    if folder
}
# What torch keeps in each module beside the user's own attributes: state of training, and what is described by names.
INNER = ("training", "_parameters", "_buffers", "_modules", "_non_persistent_buffers_set", "_is_full_backward_hook")
HEAP = 1 << 9  # the flag of a class that was made by a class statement
SIGNATURE = inspect.CO_VARARGS | inspect.CO_VARKEYWORDS | inspect.CO_GENERATOR | inspect.CO_COROUTINE
LAYOUT = ("NOP", "RESUME", "CACHE", "EXTENDED_ARG")  # instructions that depend on the lines of the text


def fingerprint(given: Any) -> str:
    """Return the sha256 of the code of a class, a function or a network, and of the structure of a network."""
    digest = hashlib.sha256()
    for line in described(given, seen={}):
        digest.update(line.encode("utf-8", "surrogatepass") + b"\n")
    return digest.hexdigest()


def sha256(module: str, content: bytes) -> str:
    """Return the sha256 of a module's file; if it imports other modules of the user at its top, of their files, too."""
    known: dict[str, str] = {}
    add_module(module, content, known)
    own, *others = known.values()
    return hashlib.sha256("".join([own, *sorted(others)]).encode()).hexdigest() if others else own


def add_module(name: str, content: bytes, known: dict[str, str]) -> None:
    """Add the sha256 of a module's file to ``known``, and those of the user's modules that it imports at its top."""
    known[name] = hashlib.sha256(content).hexdigest()
    for node in ast.parse(content).body:
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            package = (getattr(sys.modules.get(name), "__package__", None) or "").split(".")
            inside = package[: len(package) + 1 - node.level] if node.level else []
            start = ".".join([*inside, *([node.module] if node.module else [])])
            names = [start, *(f"{start}.{alias.name}" for alias in node.names)]
        for each in names:
            file = getattr(sys.modules.get(each), "__file__", None)
            if each not in known and file and file.endswith(".py") and not in_library(file):
                with contextlib.suppress(OSError, SyntaxError):  # it was edited or removed since it was imported
                    add_module(each, Path(file).read_bytes(), known)


def described(value: Any, seen: dict[Any, Any]) -> Iterator[str]:
    """Yield lines that are equal for equal code or values.

    An object is described once: ``seen`` has its number, and the object itself, by its id, which so stays in use.
    """
    if isinstance(value, PLAIN):
        yield f"{type(value).__name__} {value!r}"
        return
    if not isinstance(value, (tuple, frozenset)):  # Python chooses whether equal constants are one object
        if id(value) in seen:
            yield f"object {seen[id(value)][0]}"
            return
        seen[id(value)] = len(seen), value
    if isinstance(value, (list, tuple, Mapping)):
        yield f"{type(value).__name__} {len(value)}"
        for part in [part for pair in value.items() for part in pair] if isinstance(value, Mapping) else value:
            yield from described(part, seen)
    elif isinstance(value, (set, frozenset)):
        yield f"{type(value).__name__} {len(value)}"
        yield from sorted("\n".join(described(part, {**seen})) for part in value)
    elif isinstance(value, ModuleType):
        yield f"module {value.__name__}"
    elif isinstance(value, MethodType):
        yield from described([value.__func__, value.__self__], seen)
    elif isinstance(value, property):
        yield from described([value.fget, value.fset], seen)
    elif isinstance(value, (FunctionType, type)):
        yield value.__qualname__
        if is_library(value):
            yield value.__module__ or ""
        else:
            yield from of_class(value, seen) if isinstance(value, type) else of_function(value, seen)
        if isinstance(value, FunctionType):
            yield from of_cells(value, seen)
    elif hasattr(value, "named_modules"):
        yield from of_network(value, seen)
    elif hasattr(value, "to_numpy"):  # a table; what pandas keeps beside its values changes when it is used
        yield type(value).__qualname__
        yield from described([[*getattr(value, part, ())] for part in ("columns", "index")], seen)
        yield from described(value.to_numpy(), seen)
    elif hasattr(value, "dtype") and hasattr(value, "tolist"):
        yield f"{value.dtype} {tuple(value.shape)}"
        with contextlib.suppress(RuntimeError, NotImplementedError):  # a tensor without memory, as of the device meta
            yield from described(value.tolist(), seen)
    else:
        yield from of_object(value, seen)


def is_library(value: Any) -> bool:
    """Whether a class, function or module is of Python, an installed package or d2lrun: its version stands for it."""
    if isinstance(value, FunctionType):
        return in_library(value.__code__.co_filename)
    module = value if isinstance(value, ModuleType) else sys.modules.get(value.__module__)
    file = getattr(module, "__file__", None)
    if module is None or file:
        return bool(file) and in_library(file)
    is_made = isinstance(value, type) and value.__flags__ & HEAP  # a class of ``exec`` names builtins as its module
    return module.__name__ in sys.builtin_module_names and not is_made


def place_of(error: BaseException) -> str:
    """Return ``FILE:LINE: `` of the innermost frame of an error in the user's code; an empty text if there is none."""
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if not in_library(frame.filename)]
    if not frames:
        return ""
    path, last = Path(frames[-1].filename), frames[-1]
    return f"{shown(path) if path.is_file() else last.name}:{last.lineno}: "  # a cell of a notebook is no file


def shown(path: Path) -> str:
    """Return the path, relative to the working directory if it is inside."""
    relative = os.path.relpath(path)
    return str(path) if relative.startswith("..") else relative


@cache
def in_library(file: str) -> bool:
    """Whether a file is of Python, of an installed package or of d2lrun."""
    return any(str(folder) in LIBRARIES for folder in Path(file).resolve().parents)


def of_object(value: Any, seen: dict[Any, Any]) -> Iterator[str]:
    """Yield lines for the class of an object and for what pickle would keep of it, if it can be pickled."""
    yield from described(type(value), seen)
    if hasattr(value, "__wrapped__"):  # what functools.cache returns
        yield from described(value.__wrapped__, seen)
    if hasattr(value, "hooks_dict_ref"):  # torch's handle of a hook has a number that counts all hooks
        return
    try:
        kept = value.__reduce_ex__(4)
        parts = [list(each) if isinstance(each, Iterator) else each for each in kept] if type(kept) is tuple else kept
    except Exception:  # a lock, a file, or a class whose own method raises anything
        parts = [getattr(value, "__name__", None), getattr(value, "__dict__", None)]
    yield from described(parts, seen)


def of_class(cls: type, seen: dict[Any, Any]) -> Iterator[str]:
    """Yield lines for the attributes of a class, for the classes that it is made from, and for its metaclass."""
    for base in cls.__mro__:
        yield f"class {base.__qualname__}"
        if is_library(base):
            continue
        for name, value in sorted(vars(base).items()):
            if isinstance(value, (staticmethod, classmethod)):
                value = value.__func__
            if not name.startswith("__") or isinstance(value, FunctionType):
                yield f"attribute {name}"
                yield from described(value, seen)
    yield from described(type(cls), seen)


def of_function(function: FunctionType, seen: dict[Any, Any]) -> Iterator[str]:
    """Yield lines for the instructions of a function, its defaults, and the globals that it names."""
    yield from instructions(function.__code__, seen)
    yield from described([function.__defaults__, function.__kwdefaults__], seen)
    for name in names_in(function.__code__):
        if name in function.__globals__:
            yield f"global {name}"
            yield from named(function.__globals__[name], names_in(function.__code__), seen)


def of_cells(function: FunctionType, seen: dict[Any, Any]) -> Iterator[str]:
    """Yield lines for the values of a closure; a library's function may hold one of the user's."""
    for name, cell in zip(function.__code__.co_freevars, function.__closure__ or (), strict=True):
        yield f"closure {name}"
        with contextlib.suppress(ValueError):  # it is empty: the name has no value yet
            yield from named(cell.cell_contents, names_in(function.__code__), seen)


def named(value: Any, names: list[str], seen: dict[Any, Any]) -> Iterator[str]:
    """Yield lines for a value that a function names; of a module of the user, for those attributes that it names."""
    if not isinstance(value, ModuleType) or is_library(value):
        yield from described(value, seen)
    elif (key := (id(value), *names)) not in seen:
        seen[key] = value
        for name in names:
            if name in vars(value):
                yield f"of the module {name}"
                yield from named(vars(value)[name], names, seen)


def names_in(code: CodeType) -> list[str]:
    """Return the sorted names of globals and attributes in a function and in the functions inside it."""
    inner = [name for constant in code.co_consts if isinstance(constant, CodeType) for name in names_in(constant)]
    return sorted({*code.co_names, *inner})


def instructions(code: CodeType, seen: dict[Any, Any]) -> Iterator[str]:
    """Yield lines for the signature and the instructions of a function, with the functions inside it."""
    yield f"{code.co_argcount} {code.co_posonlyargcount} {code.co_kwonlyargcount} {code.co_flags & SIGNATURE}"
    yield f"{code.co_varnames}"
    for each in dis.get_instructions(code):
        if isinstance(each.argval, CodeType):
            yield from instructions(each.argval, seen)
        elif each.opname not in LAYOUT:
            yield each.opname
            yield from described(each.argval, seen)


def of_network(network: Any, seen: dict[Any, Any]) -> Iterator[str]:
    """Yield lines for each module of a network: its class, attributes and hooks, and the shapes of its tensors.

    The values of tensors count if they are not in the state dict.
    """
    for name, module in network.named_modules(remove_duplicate=False):
        yield f"module {name}"
        if module is not network and id(module) in seen:
            yield from described(module, seen)  # shared
            continue
        seen.setdefault(id(module), (len(seen), module))
        yield from described(type(module), seen)
        own = {key: value for key, value in vars(module).items() if key not in INNER}
        for key, value in sorted(own.items()):
            yield f"attribute {key}"  # torch keeps hooks by numbers that count all hooks
            hooks = "_hooks" in key and isinstance(value, Mapping)
            yield from described([*value.values()] if hooks else value, seen)
        for kind, tensors in (("parameter", module._parameters), ("buffer", module._buffers)):
            for key, tensor in tensors.items():
                yield f"{kind} {key}"
                yield from of_tensor(tensor, key in module._non_persistent_buffers_set, seen)


def of_tensor(tensor: Any, values: bool, seen: dict[Any, Any]) -> Iterator[str]:
    """Yield lines for a parameter or buffer: its form, or which it is if it is shared; its ``values`` if they count."""
    if tensor is None or values or id(tensor) in seen:
        yield from described(tensor, seen)
        return
    seen[id(tensor)] = len(seen), tensor
    shape = tuple(tensor.shape) if "Uninitialized" not in type(tensor).__name__ else "not known yet"
    yield f"{tensor.dtype} {shape} {tensor.requires_grad}"
