"""Which file may import which, and what no file may do. Read from the syntax trees, imports in functions included."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest

import d2lrun
from d2lrun.config.keys import conf_dir

PACKAGE = Path(d2lrun.__file__).parent

# Bottom to top. A file imports only from the lines above its own; models, datasets, report and sweeps are folders,
# whose files may import each other.
LAYERS = [
    "__init__",
    "errors",
    "streams",
    "counts",
    "config",
    "hints",
    "schema",
    "files",
    "kinds",
    "download",
    "rundir",
    "next_step",
    "likeness",
    "recorded",
    "weights",
    "signals",
    "threads",
    "datasets",
    "vocabulary",
    "vision",
    "models",
    "devices",
    "generate",
    "optim",
    "tasks",
    "checkpoint",
    "validation",
    "identity",
    "split_check",
    "evaluate",
    "fit",
    "result",
    "report",
    "compare",
    "summary",
    "infer",
    "run",
    "kfold",
    "cost",
    "user_yaml",
    "hydra_internal",
    "overrides",
    "compose",
    "command",
    "sweeps",
    "help",
    "completion",
    "doctor",
    "verbs",
    "cli",
    "__main__",
]
FILES = sorted(path.relative_to(PACKAGE) for path in PACKAGE.rglob("*.py"))
BY_NAME = ("models/__init__.py", "datasets/__init__.py")  # import a file of their own folder by its name
HEAVY = ("torch", "torchvision", "matplotlib", "numpy")


def layer(module: str) -> str:
    """d2lrun.models.mlp -> models, d2lrun -> __init__"""
    return [*module.split("."), "__init__"][1]


def imports(tree: ast.AST) -> Iterator[str]:
    """The dotted names of this project that a file imports."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name.split(".")[0] == "d2lrun")
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "a relative import hides the layer"
            if node.module == "d2lrun":
                yield from (f"d2lrun.{name.name}" if name.name in LAYERS else "d2lrun" for name in node.names)
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


@pytest.fixture(params=FILES, ids=lambda path: path.as_posix())
def file(request) -> Path:
    return request.param


@pytest.fixture
def tree(file) -> ast.AST:
    return ast.parse((PACKAGE / file).read_text(encoding="utf-8"))


def home(file: Path) -> str:
    return file.parts[0].removesuffix(".py")


def test_every_file_has_one_layer():
    assert {home(file) for file in FILES} == set(LAYERS)
    assert len(LAYERS) == len(set(LAYERS))
    assert len(FILES) >= 71


def test_imports_point_down(file, tree):
    own = home(file)
    below = LAYERS[: LAYERS.index(own)] + ([own] if len(file.parts) > 1 else [])
    assert [name for name in imports(tree) if layer(name) not in below] == []


def test_nothing_given_is_run(tree):
    assert list(offences(tree)) == []


def test_modules_are_imported_by_name_only_inside_a_folder(file, tree):
    assert bool(calls(tree, "import_module", "importlib.import_module")) == (file.as_posix() in BY_NAME)


def test_torchvision_is_imported_where_it_can_be(file, tree):
    assert ("torchvision" in packages(tree)) == (file.as_posix() == "vision.py")


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
    assert exits == [] or file.name in ("cli.py", "signals.py")
    assert calls(tree, "print") == [] or file.name in ("cli.py", "verbs.py")


def test_what_is_printed_goes_through_what_escapes_it(file, tree):
    assert calls(tree, "sys.stderr.write") == [] or file.name == "streams.py"
    assert calls(tree, "Console") == [] or file.as_posix() == "sweeps/job.py"  # which prints into memory


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
from d2lrun import cli
sys.argv[1:] = {words}
try:
    cli.main()
except SystemExit as end:
    print([name for name in {HEAVY} if name in sys.modules], file=sys.stderr)
    raise
"""
    done = subprocess.run([sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, timeout=1800)
    assert done.stderr.splitlines()[-1] == "[]"
    assert done.returncode == code


def test_the_docs_list_the_files_in_this_order():
    layout = (Path(__file__).parents[1] / "docs" / "code.md").read_text(encoding="utf-8")
    named = re.findall(r"^  (\w+)(?:\.py|/)  ", layout, re.MULTILINE)
    assert len(named) > 30
    assert named == [layer for layer in LAYERS if layer in named]
