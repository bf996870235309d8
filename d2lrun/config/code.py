"""A fingerprint of code that was given in Python: equal code has equal fingerprints, in another process, too.

It covers functions and classes that are not of an installed package, and what they name: other functions and classes,
and plain values such as numbers. Comments, docstrings and the layout of the text do not count. torch is not imported.
"""

from __future__ import annotations

import ast
import hashlib
import inspect
import site
import sys
import sysconfig
import textwrap
from collections.abc import Iterator, Mapping
from functools import partial
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
# What torch keeps in each module beside the user's own attributes: state of training, tensors, hooks.
INNER = ("training", "_parameters", "_buffers", "_modules", "_non_persistent_buffers_set", "_is_full_backward_hook")


def fingerprint(given: Any) -> str:
    """Return the sha256 of the code of a class, a function or a network, and of the structure of a network."""
    digest = hashlib.sha256()
    for line in described(given, seen={}):
        digest.update(line.encode("utf-8", "surrogatepass") + b"\n")
    return digest.hexdigest()


def described(value: Any, seen: dict[int, Any]) -> Iterator[str]:
    """Yield lines that are equal for equal code or values; an object is described once, in ``seen`` by its id."""
    if isinstance(value, PLAIN):
        yield f"{type(value).__name__} {value!r}"
        return
    if id(value) in seen:
        yield "again"
        return
    seen[id(value)] = value  # which keeps the id in use
    if isinstance(value, (list, tuple, set, frozenset, Mapping)):
        yield f"{type(value).__name__} {len(value)}"
        parts = [part for pair in value.items() for part in pair] if isinstance(value, Mapping) else list(value)
        for part in sorted(parts, key=repr) if isinstance(value, (set, frozenset)) else parts:
            yield from described(part, seen)
    elif isinstance(value, ModuleType):
        yield f"module {value.__name__}"
    elif isinstance(value, partial):
        yield "partial"
        yield from described([value.func, value.args, value.keywords], seen)
    elif isinstance(value, MethodType):
        yield from described([value.__func__, value.__self__], seen)
    elif isinstance(value, (FunctionType, type)):
        yield f"{value.__qualname__}"
        if not is_library(value):
            yield from of_class(value, seen) if isinstance(value, type) else of_function(value, seen)
    elif hasattr(value, "named_modules"):
        yield from of_network(value, seen)
    elif hasattr(value, "dtype") and hasattr(value, "tolist"):
        yield f"{value.dtype} {tuple(value.shape)} {value.tolist()!r}"
    else:
        yield from described(type(value), seen)
        if not is_library(type(value)) and hasattr(value, "__dict__"):
            yield from described(vars(value), seen)


def is_library(value: Any) -> bool:
    """Whether a class or function is of Python, of an installed package or of d2lrun: its version stands for it."""
    module = sys.modules.get(getattr(value, "__module__", None) or "")
    if module is None:
        return False
    file = getattr(module, "__file__", None)
    if not file:
        return module.__name__ in sys.builtin_module_names
    return in_library(file)


def in_library(file: str) -> bool:
    """Whether a file is of Python, of an installed package or of d2lrun."""
    return any(str(folder) in LIBRARIES for folder in Path(file).resolve().parents)


def of_class(cls: type, seen: dict[int, Any]) -> Iterator[str]:
    """Yield lines for the attributes of a class, and for the classes that it is made from."""
    for base in cls.__mro__:
        yield f"class {base.__qualname__}"
        if is_library(base):
            continue
        for name, value in sorted(vars(base).items()):
            if isinstance(value, (staticmethod, classmethod)):
                value = value.__func__
            if isinstance(value, property):
                value = (value.fget, value.fset)
            if not name.startswith("__") or isinstance(value, FunctionType):
                yield f"attribute {name}"
                yield from described(value, seen)


def of_function(function: FunctionType, seen: dict[int, Any]) -> Iterator[str]:
    """Yield lines for the text of a function, its defaults, and what it names."""
    yield text_of(function)
    yield from described([function.__defaults__, function.__kwdefaults__], seen)
    for name in names_in(function.__code__):
        if name in function.__globals__:
            yield f"global {name}"
            yield from described(function.__globals__[name], seen)
    for name, cell in zip(function.__code__.co_freevars, function.__closure__ or (), strict=True):
        yield f"closure {name}"
        try:
            yield from described(cell.cell_contents, seen)
        except ValueError:  # it is empty: the name has no value yet
            yield "empty"


def names_in(code: CodeType) -> list[str]:
    """Return the sorted names of globals and attributes in a function and in the functions inside it."""
    inner = [name for constant in code.co_consts if isinstance(constant, CodeType) for name in names_in(constant)]
    return sorted({*code.co_names, *inner})


def text_of(function: FunctionType) -> str:
    """Return the text of a function in one layout, without comments and docstrings; without a text, its bytecode."""
    try:
        text = textwrap.dedent(inspect.getsource(function))
    except (OSError, TypeError):
        return bytecode(function.__code__)
    try:
        tree = ast.parse(text)
    except SyntaxError:  # a lambda in the middle of an expression
        return text
    for node in ast.walk(tree):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)) and ast.get_docstring(node, False):
            node.body = node.body[1:] or [ast.Pass()]
    return ast.unparse(tree)


def bytecode(code: CodeType) -> str:
    """Return the bytecode of a function with its constants; it depends on the version of Python."""
    constants = [bytecode(each) if isinstance(each, CodeType) else repr(each) for each in code.co_consts]
    return f"{code.co_code.hex()} {code.co_names} {code.co_varnames} {constants}"


def of_network(network: Any, seen: dict[int, Any]) -> Iterator[str]:
    """Yield lines for each module of a network: its class and plain attributes, and the shapes of its tensors."""
    for name, module in network.named_modules():
        yield f"module {name}"
        yield from described(type(module), seen)
        own = {key: value for key, value in vars(module).items() if key not in INNER and not key.endswith("_hooks")}
        for key, value in sorted(own.items()):
            yield f"attribute {key}"
            yield from described(value, seen)
    for kind, tensors in (("parameter", network.named_parameters()), ("buffer", network.named_buffers())):
        for name, tensor in tensors:
            shape = tuple(tensor.shape) if "Uninitialized" not in type(tensor).__name__ else "not known yet"
            yield f"{kind} {name} {tensor.dtype} {shape} {tensor.requires_grad}"
