"""Which file may import which, and what no file may do. Read from the syntax trees, imports in functions included."""

from __future__ import annotations

import ast
import inspect
import re
import subprocess
import sys
from collections.abc import Callable, Container, Iterable, Iterator
from functools import partial
from importlib import import_module
from itertools import pairwise
from pathlib import Path

import pytest

import d2lrun
from d2lrun.config.keys import conf_dir
from d2lrun.config.tables import DATASETS, INPUTS, MODELS, TASKS
from d2lrun.tasks import View, words
from d2lrun.training.task import Dataset, Subset, Task

PACKAGE = Path(d2lrun.__file__).parent

# From the bottom to the top: a file imports from its own package and from the lines above it.
LAYOUT = """
__init__ errors counts streams signals
config
disk
text
models
training
report
tasks
datasets
runs
sweeps
api
cli
__main__
"""
LAYERS = [line.split() for line in LAYOUT.strip().splitlines()]
ORDER = LAYOUT.split()
FILES = {path.relative_to(PACKAGE).as_posix(): path.read_text("utf-8") for path in sorted(PACKAGE.rglob("*.py"))}
TREES = {file: ast.parse(text) for file, text in FILES.items()}
BY_NAME = (
    "__init__.py",
    "models/__init__.py",
    "datasets/__init__.py",
    "tasks/__init__.py",
)  # import a file of their folder by name
HEAVY = ("torch", "torchvision", "matplotlib", "numpy")


def layer(name: str) -> int:
    """The place of a package, or of a file beside the packages, in the layout."""
    return next(place for place, names in enumerate(LAYERS) if name in names)


def imported(tree: ast.AST) -> Iterator[str]:
    """The dotted names that a file imports, anywhere in it."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "a relative import hides the layer"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def imports(tree: ast.AST) -> set[str]:
    """The packages of this project, and the files beside them, that a file imports."""
    found = {[*name.split("."), ""][1] for name in imported(tree) if name.split(".")[0] == "d2lrun"}
    return {name if name in ORDER else "__init__" for name in found}


def packages(tree: ast.AST) -> set[str]:
    """The top-level packages that a file imports."""
    return {name.split(".")[0] for name in imported(tree)}


def offences(tree: ast.AST) -> Iterator[str]:
    """What no file may do: run code that it was given, or read a file as code."""
    for node in ast.walk(tree):
        if isinstance(node, (ast.Import, ast.ImportFrom)):
            names = {getattr(node, "module", None), *(alias.name for alias in node.names)}
            yield from names & {"pickle", "dill", "cloudpickle", "shelve", "marshal", "instantiate", "hydra.utils"}
        elif isinstance(node, ast.Attribute):
            written = ast.unparse(node)
            if written.startswith("yaml.") and "load" in written and written != "yaml.safe_load":
                yield written
            if node.attr in ("instantiate", "pickle", "get_method", "get_class", "unsafe_load"):
                yield written
        elif isinstance(node, ast.Call):
            name = ast.unparse(node.func)
            if name in ("eval", "exec", "compile", "__import__", "os.system"):
                yield name
            keywords = {keyword.arg: ast.unparse(keyword.value) for keyword in node.keywords}
            if name == "torch.load" and keywords.get("weights_only") != "True":
                yield name
            if keywords.get("shell") == "True" or keywords.get("allow_pickle") == "True":
                yield name


def calls(names: Container[str], tree: ast.AST) -> list[str]:
    found = [ast.unparse(node.func) for node in ast.walk(tree) if isinstance(node, ast.Call)]
    return [name for name in found if name in names]


def files_with(rule: Callable[[ast.AST], Iterable[str]], but: Container[str] = ()) -> dict[str, list[str]]:
    """What a rule finds in the files, by file; without the files and folders ``but``."""
    asked = {file: tree for file, tree in TREES.items() if file not in but and home(file) not in but}
    return {file: found for file, tree in asked.items() if (found := list(rule(tree)))}


def home(file: str) -> str:
    """The package of a file, or its own name if it lies beside the packages."""
    return file.partition("/")[0].removesuffix(".py")


def test_every_file_has_one_layer():
    assert {home(file) for file in TREES} == set(ORDER)
    assert len(ORDER) == len(set(ORDER)) and len(TREES) >= 100


@pytest.mark.parametrize("own", ORDER[1:])  # the first, __init__, imports the public names when they are used
def test_imports_point_one_way(own):
    """Packages import only from those above them in the layout, and files in the first line from each other."""
    found = {name for file in TREES if home(file) == own for name in imports(TREES[file])}
    assert [name for name in found if layer(name) > layer(own) or (layer(name) == layer(own) > 0 and name != own)] == []


# --- a task is one folder --------------------------------------------------------------------------------------------

TABLES = ("config/tables.py", "config/hints.py")  # tables of names, and what other tools call them
NAMES = {*TASKS, *INPUTS, *DATASETS, *MODELS}
WORDS = {*INPUTS, "linear", "torchvision"}  # which have other meanings, too: those of INPUTS are a kind if compared
MODULES = {f"d2lrun.{group}.{name}".replace("-", "_") for group in ("tasks", "datasets") for name in NAMES}
OF_DATA = ("config.dataset", "data", "dataset")


def asks_the_kind(tree: ast.AST) -> Iterator[str]:
    """The places where a file names a task, a dataset or a network, or imports a task or a dataset."""
    yield from {".".join(name.split(".")[:3]) for name in imported(tree)} & MODULES
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and node.value in NAMES - WORDS:
            yield node.value
        elif isinstance(node, ast.Compare):
            constants = [each for side in (node.left, *node.comparators) for each in ast.walk(side)]
            yield from (each.value for each in constants if isinstance(each, ast.Constant) and each.value in INPUTS)
        elif isinstance(node, ast.Call) and ast.unparse(node.func) in ("hasattr", "getattr"):
            of_data = ast.unparse(node.args[0]) in OF_DATA and isinstance(node.args[1], ast.Constant)
            yield from [ast.unparse(node)] if of_data else []


def test_only_tasks_datasets_networks_and_tables_name_them():
    assert files_with(asks_the_kind, but=("tasks", "datasets", "models", *TABLES)) == {}


@pytest.mark.parametrize(
    "code",
    [
        "config.model.name == 'ngram'",
        "if 'table' in entry.kinds: pass",
        "kinds == ('images',)",
        "hasattr(config.dataset, 'dir')",
        "{'tabular': 1}",
        "from d2lrun.tasks.tabular import table",
        "from d2lrun.tasks import tabular",
        "import d2lrun.datasets.fra_eng",
    ],
)
def test_a_question_for_the_kind_is_seen(code):
    assert list(asks_the_kind(ast.parse(code)))


def test_no_task_names_another():
    for task in TASKS:
        others = tuple(f"d2lrun.tasks.{other}" for other in TASKS if other != task)
        own = [tree for file, tree in TREES.items() if file.startswith(f"tasks/{task}/")]
        assert [name for tree in own for name in imported(tree) if name.startswith(others)] == []


@pytest.mark.parametrize("protocol, most", [(Task, 11), (View, 6), (Subset, 9), (Dataset, 9)])
def test_a_protocol_stays_small(protocol, most):
    methods = [name for name, value in vars(protocol).items() if callable(value) or isinstance(value, property)]
    assert len([name for name in methods if not name.startswith("_")]) <= most


@pytest.mark.parametrize("task", TASKS)
def test_the_folder_of_a_task_has_what_is_asked_of_it(task):
    view, words = (import_module(f"d2lrun.tasks.{task}.{name}") for name in ("view", "words"))
    wanted = [name for name in vars(View) if not name.startswith("_")]
    for name in wanted:
        assert inspect.signature(getattr(view, name)).parameters.keys() == (
            inspect.signature(getattr(View, name)).parameters.keys() - {"self"}
        )
    assert callable(import_module(f"d2lrun.tasks.{task}.task").build) and callable(words.next_words)
    assert {word.options.keys() <= word.arguments.keys() for word in words.WORDS.values()} == {True}


def test_an_option_of_a_verb_has_one_default_in_all_tasks():
    """The command line reads the options of a verb before it knows the task of the run."""
    for by_task in words().values():
        pairs = {pair for word in by_task.values() for pair in word.options.items()}
        assert len({key for key, _ in pairs}) == len(pairs)


# --- what no file may do ---------------------------------------------------------------------------------------------


def test_nothing_given_is_run():
    assert files_with(offences) == {}


def test_modules_are_imported_by_name_only_inside_a_folder():
    assert files_with(partial(calls, ("import_module", "importlib.import_module"))).keys() == set(BY_NAME)


def test_torchvision_is_imported_where_it_can_be():
    assert files_with(lambda tree: packages(tree) & {"torchvision"}).keys() == {"models/vision.py"}


def test_hydras_inside_is_named_in_one_file():
    plugins = {path.name: path.read_text("utf-8") for path in PACKAGE.parent.glob("hydra_plugins/*.py")}
    inside = re.compile(r"\bhydra\b.*\b_internal\b")  # hydra._internal, from hydra import _internal
    assert [file for file, text in {**FILES, **plugins}.items() if inside.search(text)] == ["config/hydra_internal.py"]


UNITS = "bytes classes epochs examples failures folds images jobs labels lines parameters problems rows runs seconds"
PLURAL = re.compile(rf" ((\w+ )?({'|'.join(UNITS.split())}|steps|threads|tokens|trials|values|words))\b")


def plurals(tree: ast.AST) -> list[str]:
    """The numbers before a plural in f-strings, which say "1 threads" for one; constants and ``counted`` do not."""
    pairs = [pair for node in ast.walk(tree) if isinstance(node, ast.JoinedStr) for pair in pairwise(node.values)]
    found = []
    for one, other in pairs:
        if isinstance(one, ast.FormattedValue) and isinstance(other, ast.Constant) and PLURAL.match(other.value):
            written = ast.unparse(one.value)
            found += [] if written.isupper() or written.startswith("counted(") else [written]
    return found


# What only some files may call.
CALLED = {
    ("sys.exit", "os._exit", "os.abort", "exit", "quit", "SystemExit"): ("cli/main.py", "signals.py"),
    ("print",): ("cli/main.py", "cli/verbs.py"),
    ("sys.stderr.write",): ("streams.py",),  # which escapes what cannot be encoded
    ("Console",): ("report/console.py",),
}

# What is at least two, and what is no number.
MANY = {
    *("len(result['folds'])", "len(results)", "len(distinct)", "classes"),
    *("len(data.weights)", "', '.join(sorted(twice))"),
}


def test_a_count_says_one_thread_and_two_threads():
    assert files_with(lambda tree: set(plurals(tree)) - MANY) == {}


@pytest.mark.parametrize("names, files", CALLED.items())
def test_what_ends_the_process_or_prints_is_called_where_it_belongs(names, files):
    assert files_with(partial(calls, names), but=files) == {}


def test_signals_are_heeded_before_anything_else_is_imported():
    tree = ast.parse((PACKAGE / "__main__.py").read_text(encoding="utf-8"))
    assert [ast.unparse(node) for node in tree.body[1:5]] == [
        "import _signal",
        "_signal.signal(_signal.SIGINT, _signal.SIG_DFL)",
        "from d2lrun import signals",
        "signals.heed()",
    ]
    tree = ast.parse((PACKAGE / "signals.py").read_text(encoding="utf-8"))
    at_once = [node for node in tree.body if isinstance(node, (ast.Import, ast.ImportFrom))]
    assert packages(ast.Module(at_once, [])) <= {"_signal", "_thread", "os", "sys", "time", "types"}


@pytest.mark.parametrize(
    "code",
    [
        "eval('1')",
        "import pickle",
        "from pickle import loads",
        "from hydra.utils import instantiate",
        "hydra.utils.instantiate(x)",
        "yaml.load(text)",
        "yaml.unsafe_load(text)",
        "torch.load(path)",
        "torch.load(path, weights_only=False)",
        "np.load(path, allow_pickle=True)",
    ],
)
def test_an_offence_is_seen(code):
    assert list(offences(ast.parse(code)))


@pytest.mark.parametrize("code", ["model.eval()", "yaml.safe_load(text)", "torch.load(path, weights_only=True)"])
def test_the_innocent_are_not_accused(code):
    assert list(offences(ast.parse(code))) == []


def test_an_import_inside_a_function_is_seen():
    assert imports(ast.parse("def f():\n    from d2lrun import cli, __version__")) == {"cli", "__init__"}


@pytest.mark.parametrize(
    "code", ["import torchvision.models", "def f():\n    from torchvision.transforms import functional as F"]
)
def test_a_package_is_seen_wherever_it_is_imported(code):
    assert packages(ast.parse(code)) == {"torchvision"}


def test_conf_holds_no_code():
    files = list(conf_dir().rglob("*"))
    assert {path.suffix for path in files if path.is_file()} == {".yaml"}
    assert [path for path in files if path.is_file() and "_target_" in path.read_text(encoding="utf-8")] == []


@pytest.mark.parametrize(
    "words, code",
    [
        (["--help"], 0),
        (["--version"], 0),
        (["predict", "--help"], 0),
        (["--cfg", "job"], 0),
        (["optimizer.lr=-1", "model=lnet"], 2),
        (["resume", "no-such-folder"], 2),
        (["trian"], 2),
    ],
)
def test_help_and_refusals_do_without_torch(words, code, tmp_path):
    program = f"""
import sys
from d2lrun.cli import main
sys.argv[1:] = {words}
try:
    main.main()
except SystemExit as end:
    print([name for name in {HEAVY} if name in sys.modules], file=sys.stderr)
    raise
"""
    done = subprocess.run([sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, timeout=1800)
    assert done.stderr.splitlines()[-1] == "[]"
    assert done.returncode == code


def test_the_docs_list_the_packages_in_this_order():
    layout = (Path(__file__).parents[1] / "docs" / "code.md").read_text(encoding="utf-8")
    named = re.findall(r"^  (\w+)(?:\.py|/)  ", layout, re.MULTILINE)
    assert [name for name in named if name in ORDER] == [name for name in ORDER if name in named]
    assert {names[0] for names in LAYERS[1:-1]} <= set(named)
