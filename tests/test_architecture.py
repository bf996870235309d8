"""Which file may import which, and what no file may do. Read from the syntax trees, imports in functions included."""

from __future__ import annotations

import ast
import inspect
import re
import subprocess
import sys
from collections.abc import Iterator
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
FILES = sorted(path.relative_to(PACKAGE) for path in PACKAGE.rglob("*.py"))
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


def imports(tree: ast.AST) -> Iterator[str]:
    """The dotted names of this project that a file imports."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name.split(".")[0] == "d2lrun")
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "a relative import hides the layer"
            if node.module == "d2lrun":
                yield from (f"d2lrun.{name.name}" if name.name in ORDER else "d2lrun" for name in node.names)
            elif node.module.startswith("d2lrun."):
                yield node.module


def packages(tree: ast.AST) -> set[str]:
    """The top-level packages that a file imports, anywhere in it."""
    nodes = list(ast.walk(tree))
    names = [alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names]
    names += [node.module for node in nodes if isinstance(node, ast.ImportFrom)]
    return {name.split(".")[0] for name in names}


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


def calls(tree: ast.AST, *names: str) -> list[str]:
    found = [ast.unparse(node.func) for node in ast.walk(tree) if isinstance(node, ast.Call)]
    return [name for name in found if name in names]


@pytest.fixture(scope="module", params=FILES, ids=lambda path: path.as_posix())
def file(request) -> Path:
    return request.param


@pytest.fixture(scope="module")  # so the tests of one file follow each other, and it is parsed once
def tree(file) -> ast.AST:
    return ast.parse((PACKAGE / file).read_text(encoding="utf-8"))


def home(file: Path) -> str:
    return file.parts[0].removesuffix(".py")


def test_every_file_has_one_layer():
    assert {home(file) for file in FILES} == set(ORDER)
    assert len(ORDER) == len(set(ORDER)) and len(FILES) >= 100


def test_imports_point_one_way(file, tree):
    """Packages import only from those above them in the layout, and files in the first line from each other."""
    found = {[*name.split("."), "__init__"][1] for name in imports(tree)}
    own = home(file)
    if own == "__init__":  # which imports the public names when they are used
        return
    assert [name for name in found if layer(name) > layer(own) or (layer(name) == layer(own) > 0 and name != own)] == []


# --- a task is one folder --------------------------------------------------------------------------------------------

TABLES = ("config/tables.py", "config/hints.py")  # tables of names, and what other tools call them
CLASSES = {"ImageDataset", "TableDataset", "TextDataset", "LabelledTexts"}
CLASSES |= {"Classification", "Regression", "LanguageModel", "TextClassification", "NGram"}
CLASSES |= {"SeriesDataset", "Forecasting"}
CLASSES |= {"TaggedDataset", "Tagging"}
NAMES = {*TASKS, *INPUTS, *DATASETS, *MODELS}
WORDS = {*INPUTS, "linear", "torchvision"}  # which have other meanings, too: those of INPUTS are a kind if compared


OF_DATA = ("config.dataset", "data", "dataset")


def asks_the_kind(tree: ast.AST) -> Iterator[str]:
    """The places where a file names a task, a dataset, a network or a class of them, or imports a task or a dataset."""
    folders = (*(f"d2lrun.tasks.{task}" for task in TASKS), "d2lrun.datasets.")
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith(folders):
            yield node.module
        if isinstance(node, ast.Name) and node.id in CLASSES:
            yield node.id
        elif isinstance(node, ast.Constant) and node.value in NAMES - WORDS:
            yield node.value
        elif isinstance(node, ast.Compare):
            constants = [each for side in (node.left, *node.comparators) for each in ast.walk(side)]
            yield from (each.value for each in constants if isinstance(each, ast.Constant) and each.value in INPUTS)
        elif isinstance(node, ast.Call) and ast.unparse(node.func) in ("hasattr", "getattr"):
            yield from (
                [ast.unparse(node)]
                if ast.unparse(node.args[0]) in OF_DATA and isinstance(node.args[1], ast.Constant)
                else []
            )


def test_only_tasks_datasets_networks_and_tables_name_them(file, tree):
    if home(file) not in ("tasks", "datasets", "models") and file.as_posix() not in TABLES:
        assert list(asks_the_kind(tree)) == []


@pytest.mark.parametrize(
    "code",
    [
        "isinstance(data, TextDataset)",
        "config.model.name == 'ngram'",
        "if 'table' in entry.kinds: pass",
        "kinds == ('images',)",
        "hasattr(config.dataset, 'dir')",
        "{'tabular': 1}",
        "from d2lrun.tasks.tabular import table",
    ],
)
def test_a_question_for_the_kind_is_seen(code):
    assert list(asks_the_kind(ast.parse(code)))


def test_no_task_names_another():
    for file in FILES:
        if home(file) == "tasks" and len(file.parts) > 2:
            others = {f"d2lrun.tasks.{task}" for task in TASKS if task != file.parts[1]}
            found = imports(ast.parse((PACKAGE / file).read_text(encoding="utf-8")))
            assert [name for name in found if any(name.startswith(other) for other in others)] == []


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


def test_nothing_given_is_run(tree):
    assert list(offences(tree)) == []


def test_modules_are_imported_by_name_only_inside_a_folder(file, tree):
    assert bool(calls(tree, "import_module", "importlib.import_module")) == (file.as_posix() in BY_NAME)


def test_torchvision_is_imported_where_it_can_be(file, tree):
    assert ("torchvision" in packages(tree)) == (file.as_posix() == "models/vision.py")


def test_hydras_inside_is_named_in_one_file():
    files = [PACKAGE / file for file in FILES] + list(PACKAGE.parent.glob("hydra_plugins/*.py"))
    inside = re.compile(r"\bhydra\b.*\b_internal\b")  # hydra._internal, from hydra import _internal
    assert [path.name for path in files if inside.search(path.read_text("utf-8"))] == ["hydra_internal.py"]


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


# What is at least two, and what is no number.
MANY = {
    *("len(result['folds'])", "len(results)", "len(distinct)", "classes"),
    *("len(data.weights)", "', '.join(sorted(twice))"),
}


def test_a_count_says_one_thread_and_two_threads(file, tree):
    assert set(plurals(tree)) <= MANY


def test_only_the_command_line_exits_and_prints(file, tree):
    exits = calls(tree, "sys.exit", "os._exit", "os.abort", "exit", "quit", "SystemExit")
    assert exits == [] or file.as_posix() in ("cli/main.py", "signals.py")
    assert calls(tree, "print") == [] or file.as_posix() in ("cli/main.py", "cli/verbs.py")


def test_what_is_printed_goes_through_what_escapes_it(file, tree):
    assert calls(tree, "sys.stderr.write") == [] or file.name == "streams.py"
    assert calls(tree, "Console") == [] or file.as_posix() == "report/console.py"


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
    assert list(imports(ast.parse("def f():\n    from d2lrun import cli, __version__"))) == ["d2lrun.cli", "d2lrun"]


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
