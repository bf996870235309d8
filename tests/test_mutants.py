"""The script that puts faults into the code: it makes them, and sees whether a test notices."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "benchmarks"))  # scripts, not a package

import mutants

ROOT = mutants.ROOT
TINY = """
def doubled(number: int) -> int:
    print(number)
    return number + number
"""


@pytest.mark.parametrize(
    "source, news",
    [
        ("a < b", ["a <= b"]),
        ("a + 1", ["(a - 1)", "2"]),
        ("a and b", ["(a or b)"]),
        ("not a", ["bool(a)"]),
        ("f(True)", ["pass", "False"]),
        ("raise a", ["pass"]),
        ("a += 1", ["pass", "2"]),
        ("if a:\n    b", ["(not (a))"]),
        ("def f() -> 3:\n    return a", ["return None"]),
        ("return_ = None", []),
        ("f'{a + 1}'; 'ü'; a * 2", ["(a + 2)", "3"]),
    ],
)
def test_each_kind_of_change_is_made(source, news):
    found = mutants.mutants_of("d2lrun/a.py", source.encode())
    assert [each.new for each in found if "\n" not in each.old] == news
    for each in found:
        changed = each.applied(source.encode()).decode()
        ast.parse(changed)
        assert changed != source and each.new in changed


def test_mutants_of_the_package_are_python():
    for each in mutants.drawn(ROOT, [], count=50, seed=1):
        ast.parse(each.applied((ROOT / each.module).read_bytes()))


def test_mutants_are_drawn_by_the_seed(tmp_path):
    (tmp_path / "d2lrun").mkdir()
    (tmp_path / "d2lrun" / "a.py").write_text("\n".join(f"f({number})" for number in range(50)))
    one, same, other = (mutants.drawn(tmp_path, [], count=10, seed=seed) for seed in (1, 1, 2))
    assert len(set(one)) == 10 and one == same and one != other


def test_the_tests_of_a_module_mirror_its_path(tmp_path):
    for name in ("tests/report/test_page.py", "tests/test_page.py", "tests/test_other.py", "tests/test_none.py"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("from d2lrun.report import (\n    page,\n)\n" if "other" in name else "")
    mirrors = ["tests/report/test_page.py", "tests/test_page.py"]
    assert mutants.tests_of("d2lrun/report/page.py", tmp_path) == [*mirrors, "tests/test_other.py"]


@pytest.mark.parametrize("line", ["from d2lrun import models", "from d2lrun.models import a", "import d2lrun.models"])
def test_the_tests_that_import_a_package_are_asked_about_its_init(tmp_path, line):
    (tmp_path / "tests").mkdir()
    (tmp_path / "tests" / "test_build.py").write_text(line)
    assert mutants.tests_of("d2lrun/models/__init__.py", tmp_path) == ["tests/test_build.py"]


def test_the_tests_of_what_imports_a_module_are_asked_too(tmp_path):
    files = {
        "d2lrun/tasks/build.py": "",
        "d2lrun/datasets/csv.py": "from d2lrun.tasks.build import build",
        "tests/datasets/test_csv.py": "from d2lrun.datasets.csv import load",
        "tests/datasets/test_other.py": "from d2lrun.datasets.other import load",
    }
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    assert mutants.tests_of("d2lrun/tasks/build.py", tmp_path) == ["tests/datasets/test_csv.py"]


def test_a_mutant_that_a_test_notices_is_killed_and_another_survives(tmp_path):
    files = {
        "d2lrun/__init__.py": "",
        "d2lrun/tiny.py": TINY,
        "tests/test_tiny.py": "from d2lrun.tiny import doubled\n\ndef test():\n    assert doubled(3) == 6\n",
    }
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    code = "import mutants, sys; mutants.PRELOADED = (); mutants.main([], mutants.Path(sys.argv[1]))"
    environment = os.environ | {"PYTHONPATH": str(ROOT / "benchmarks"), "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    done = subprocess.run([sys.executable, "-c", code, tmp_path], env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    *lines, total = done.stdout.splitlines()
    assert sorted(lines) == [
        "d2lrun/tiny.py:3  print(number)  ->  pass  SURVIVED",
        "d2lrun/tiny.py:4  number + number  ->  (number - number)  killed by tests/test_tiny.py",
        "d2lrun/tiny.py:4  return number + number  ->  return None  killed by tests/test_tiny.py",
    ]
    assert total == "3 mutants: 1 SURVIVED, 2 killed"
    assert (tmp_path / "d2lrun" / "tiny.py").read_text() == TINY


@pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="needs /proc")
def test_nothing_that_the_tests_start_outlives_them(tmp_path):
    (tmp_path / "test_start.py").write_text(
        "import subprocess, sys\n\n\ndef test_start():\n"
        "    command = [sys.executable, '-c', 'input()']\n"
        "    started = subprocess.Popen(command, stdin=subprocess.PIPE, start_new_session=True)\n"
        f"    open({str(tmp_path / 'pid')!r}, 'w').write(str(started.pid))\n"
        "    assert False\n"
    )
    assert not mutants.passes("test_start.py", tmp_path, 600)
    process = Path("/proc", (tmp_path / "pid").read_text())
    assert not process.exists() or "zombie" in (process / "status").read_text()


def test_a_module_that_is_not_there_is_refused():
    with pytest.raises(SystemExit, match=r"error: d2lrun/nowhere\.py: no module of d2lrun/"):
        mutants.drawn(ROOT, ["d2lrun/nowhere.py"], 1, 0)
