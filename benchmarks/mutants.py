"""Faults put into the code on purpose, one at a time: a test that belongs to the place has to fail.

    make mutants ARGS="--count 50 --seed 1"           of the whole package
    make mutants ARGS="d2lrun/disk/files.py d2lrun/sweeps"  of some modules or folders

A mutant is one small change: another operator, number or truth value, a negated condition, a statement left out, None
in place of what is returned. Each is tried in a temporary copy of the project, against one file of tests after
another until a test fails: those that mirror the module's path, those that import the module, then ``LAST``. A file
of tests counts only if it passes on the unchanged code. A mutant that survives is a hole in the tests, or it behaves
like the original. Needs a system that can fork.
"""

from __future__ import annotations

import argparse
import ast
import contextlib
import importlib
import math
import os
import random
import re
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = "d2lrun"
LAST = ("tests/runs/test_run.py", "tests/runs/test_kfold.py")
SLOW = re.compile(r"/faults/|_end_to_end|test_launchers|test_kill")  # they start processes; asked only as mirrors
IMPORTERS = 5  # files of tests that import the module, or a module that does, and are asked, the smallest first
IGNORED = (".git", ".venv*", "outputs", "__pycache__", ".pytest_cache", ".ruff_cache", ".hypothesis", "dist")
PRELOADED = ("torch", "numpy", "rich.console", "matplotlib.figure", "safetensors.torch", "optuna")  # no pytest plugins
MARK = "D2LRUN_MUTANT"  # set for what the tests start
PATIENCE = 5  # times as long as a file of tests takes, and
LEAST = 30  # seconds: after that a mutant counts as killed, for it may never end
OPERATORS = {
    **{ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt, ast.Eq: ast.NotEq, ast.NotEq: ast.Eq},
    **{ast.In: ast.NotIn, ast.NotIn: ast.In, ast.Is: ast.IsNot, ast.IsNot: ast.Is, ast.And: ast.Or, ast.Or: ast.And},
    **{ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Add, ast.Div: ast.Mult, ast.FloorDiv: ast.Mult},
    **{ast.Mod: ast.FloorDiv, ast.Pow: ast.Mult},
}
Change = tuple[ast.AST, str]  # a node, and the source that takes its place


@dataclass(frozen=True)
class Mutant:
    """One change of a module: ``old`` is in its source from byte ``start`` to ``end``, ``new`` takes its place."""

    module: str  # relative to the project
    line: int
    start: int
    end: int
    old: str
    new: str

    def applied(self, source: bytes) -> bytes:
        return source[: self.start] + self.new.encode() + source[self.end :]

    def __str__(self) -> str:
        return f"{self.module}:{self.line}  {' '.join(self.old.split())}  ->  {' '.join(self.new.split())}"


def changes(node: ast.AST) -> Iterator[Change]:
    """The changes of one node, without those of the nodes below it."""
    if isinstance(node, ast.Compare) and len(node.ops) == 1 and type(node.ops[0]) in OPERATORS:
        yield node, ast.unparse(ast.Compare(node.left, [OPERATORS[type(node.ops[0])]()], node.comparators))
    elif isinstance(node, ast.BinOp) and type(node.op) in OPERATORS:
        yield node, f"({ast.unparse(ast.BinOp(node.left, OPERATORS[type(node.op)](), node.right))})"
    elif isinstance(node, ast.BoolOp):
        yield node, f"({ast.unparse(ast.BoolOp(OPERATORS[type(node.op)](), node.values))})"
    elif isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
        yield node, f"bool({ast.unparse(node.operand)})"
    elif isinstance(node, ast.Constant) and isinstance(node.value, (bool, int, float)):
        yield node, repr(not node.value if isinstance(node.value, bool) else node.value + 1)
    elif isinstance(node, ast.Return) and not (node.value is None or is_none(node.value)):
        yield node, "return None"
    elif isinstance(node, (ast.AugAssign, ast.Raise)) or is_call(node):
        yield node, "pass"
    if isinstance(node, (ast.If, ast.While, ast.IfExp)):
        yield node.test, f"(not ({ast.unparse(node.test)}))"


def is_none(node: ast.AST) -> bool:
    return isinstance(node, ast.Constant) and node.value is None


def is_call(node: ast.AST) -> bool:
    """Whether it is a statement that calls something for its effect."""
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Call)


def walk(node: ast.AST) -> Iterator[ast.AST]:
    """The node and all below it that run: no types, no imports for types, no parts of an f-string."""
    if isinstance(node, ast.JoinedStr) or (isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"):
        return
    yield node
    for name, value in ast.iter_fields(node):
        if name not in ("annotation", "returns"):
            for child in value if isinstance(value, list) else [value]:
                if isinstance(child, ast.AST):
                    yield from walk(child)


def mutants_of(module: str, source: bytes) -> list[Mutant]:
    """Every mutant of a module, in the order of its source."""
    starts = [0]
    for line in source.splitlines(keepends=True):
        starts.append(starts[-1] + len(line))
    found = []
    for node in walk(ast.parse(source)):
        for place, new in changes(node):
            start = starts[place.lineno - 1] + place.col_offset
            end = starts[place.end_lineno - 1] + place.end_col_offset
            found.append(Mutant(module, place.lineno, start, end, source[start:end].decode(), new))
    return sorted(found, key=lambda each: (each.start, each.end))


def tests_of(module: str, root: Path) -> list[str]:
    """The files of tests to ask about a module: its mirrors, its importers, the importers of those that import it."""
    path = Path(module).relative_to(PACKAGE)
    mirrors = [f"tests/{path.parent}/test_{path.name}", f"tests/test_{path.name}"]
    importers = [file for file in importing(module, "tests", root) if not SLOW.search(file)][:IMPORTERS]
    through = [file for user in importing(module, PACKAGE, root) for file in importing(user, "tests", root)]
    through = [file for file in dict.fromkeys(through) if not SLOW.search(file) and file not in importers][:IMPORTERS]
    asked = dict.fromkeys(os.path.normpath(file) for file in (*mirrors, *importers, *through, *LAST))
    return [file for file in asked if (root / file).is_file()]


def importing(module: str, folder: str, root: Path) -> list[str]:
    """The files in a folder that import a module, the smallest first."""
    *packages, name = Path(module.removesuffix("/__init__.py")).with_suffix("").parts
    package = re.escape(".".join(packages))
    imported = re.compile(rf"{package}\.{name}\b|from {package} import (?:[^\n(]*|\([^)]*)\b{name}\b")
    files = sorted((root / folder).rglob("*.py"), key=lambda file: file.stat().st_size)
    files = [file for file in files if folder == PACKAGE or file.name.startswith("test_")]
    return [file.relative_to(root).as_posix() for file in files if imported.search(file.read_text("utf-8"))]


def passes(tests: str, root: Path, limit: float) -> bool:
    """Whether a file of tests passes in the project at ``root`` within ``limit`` seconds, in a process of its own."""
    child = os.fork()
    if child == 0:
        os._exit(run_tests(tests, root))
    deadline = time.monotonic() + limit
    ended = os.WEXITED | os.WNOHANG | os.WNOWAIT
    try:
        while os.waitid(os.P_PID, child, ended) is None and time.monotonic() < deadline:
            time.sleep(0.02)
    finally:
        with contextlib.suppress(OSError):  # it may be over, but not what its tests have started
            os.killpg(child, signal.SIGKILL)
        for process in started(child):
            with contextlib.suppress(OSError):
                os.kill(process, signal.SIGKILL)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def started(by: int) -> list[int]:
    """The living processes that inherited ``MARK`` from process ``by``, whatever session they are in."""
    mark, found = f"{MARK}={by}".encode(), []
    for path in Path("/proc").glob("[0-9]*/environ"):
        with contextlib.suppress(OSError):  # it has just ended, or it is another user's
            if mark in path.read_bytes().split(b"\0"):
                found.append(int(path.parent.name))
    return found


def run_tests(tests: str, root: Path) -> int:
    """The exit status of pytest, which prints nothing and ends at the first failure."""
    try:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        os.setsid()
        os.environ[MARK] = str(os.getpid())
        nowhere = os.open(os.devnull, os.O_RDWR)
        for descriptor in (0, 1, 2):
            os.dup2(nowhere, descriptor)
        os.chdir(root)
        sys.path.insert(0, str(root))
        import pytest

        return int(pytest.main(["-x", "-q", "-p", "no:cacheprovider", tests]))
    except BaseException:  # such as the exit of a broken program
        return 1


@cache
def seconds_of(tests: str, root: Path) -> float | None:
    """How long a file of tests takes on the unchanged code; None if it fails, so that it says nothing of a mutant."""
    start = time.monotonic()
    return time.monotonic() - start if passes(tests, root, math.inf) else None


def verdict(mutant: Mutant, root: Path) -> str:
    """Which file of tests kills the mutant, or that none does; the code at ``root`` is as before."""
    path = root / mutant.module
    source = path.read_bytes()
    asked = False
    for tests in tests_of(mutant.module, root):
        if (seconds := seconds_of(tests, root)) is None:
            continue
        asked = True
        path.write_bytes(mutant.applied(source))
        try:
            if not passes(tests, root, LEAST + PATIENCE * seconds):
                return f"killed by {tests}"
        finally:
            path.write_bytes(source)
    return "SURVIVED" if asked else "UNTESTED"


def drawn(root: Path, modules: list[str], count: int, seed: int) -> list[Mutant]:
    """``count`` mutants of the modules and folders, all equally likely; raises SystemExit for a path that is none."""
    files: list[Path] = []
    for module in modules or [PACKAGE]:
        path = root / module
        files += sorted(path.rglob("*.py")) if path.is_dir() else [path]
        if not path.exists() or PACKAGE not in Path(module).parts[:1]:
            raise SystemExit(
                f"error: {module}: no module of {PACKAGE}/\nhint: give one such as {PACKAGE}/disk/files.py"
            )
    every = [each for file in files for each in mutants_of(file.relative_to(root).as_posix(), file.read_bytes())]
    return random.Random(seed).sample(every, min(count, len(every)))


def main(arguments: list[str], project: Path = ROOT) -> None:
    parser = argparse.ArgumentParser(prog="mutants", description=__doc__.splitlines()[0])
    parser.add_argument("--count", type=int, default=20, help="how many mutants are tried")
    parser.add_argument("--seed", type=int, default=0, help="which ones")
    parser.add_argument("modules", nargs="*", help=f"modules or folders; all of {PACKAGE}/ by default")
    given = parser.parse_args(arguments)
    os.environ |= {"OMP_NUM_THREADS": "1", "PYTHONDONTWRITEBYTECODE": "1"}  # a .pyc could be that of another mutant
    sys.dont_write_bytecode = True
    signal.signal(signal.SIGTERM, lambda *received: sys.exit(143))  # so that no process of the tests is left
    chosen = drawn(project, given.modules, given.count, given.seed)
    for name in PRELOADED:  # once, and not for each mutant
        with contextlib.suppress(ImportError):
            importlib.import_module(name)
    verdicts = Counter()
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder) / "project"
        shutil.copytree(project, root, ignore=shutil.ignore_patterns(*IGNORED))
        os.environ["PYTHONPATH"] = str(root)
        try:
            for mutant in chosen:
                found = verdict(mutant, root)
                verdicts[found.split()[0]] += 1
                print(f"{mutant}  {found}", flush=True)
            for tests in sorted({file for mutant in chosen for file in tests_of(mutant.module, root)}):
                if seconds_of(tests, root) is None:
                    print(f"not asked: {tests} fails on the unchanged code")
        finally:  # also if it is stopped
            counts = ", ".join(f"{count} {found}" for found, count in sorted(verdicts.items()))
            print(f"{verdicts.total()} mutants: {counts}", flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
