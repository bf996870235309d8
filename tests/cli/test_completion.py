"""Tab completion: the words that are offered on many lines, and what real shells make of them."""

from __future__ import annotations

import contextlib
import functools
import os
import pty
import re
import select
import shlex
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from d2lrun.cli import completion
from d2lrun.cli import main as cli
from d2lrun.cli.completion import Word, answer, paths, query, split
from d2lrun.config import schema
from d2lrun.config.keys import VARIANTS, conf_dir
from d2lrun.errors import Refused

ROOT = Path(__file__).parents[2]
PATIENCE = 1800  # seconds: only a process that hangs for ever takes so long
NAMES = [
    "红楼梦.txt",
    "a b.txt",
    "it's $HOME `x`.txt",
    'say "hi"!.txt',
    "#1;&|<>(){}[]*?~^.txt",
    "back\\slash.txt",
    "-x=y.txt",
]
RUNS = ["outputs/runs/fashion-mnist/mlp/2026-01-31_12-00-00", "outputs/runs/text/rnn/2026-02-01_12-00-00", "mine"]
VERBS_OF_RUNS = ["resume", "evaluate", "predict", "generate", "forecast", "compare"]


def found(line: str) -> list[str]:
    """The words, without quotes, that complete ``d2lrun LINE``."""
    return query("fish", f"d2lrun {line}", "", cli.all_verbs())


@pytest.fixture(scope="module", autouse=True)
def composed_once():
    """A config that was composed is not composed again."""
    compose_given = completion.composed
    cached = functools.cache(lambda given, config_dir: compose_given(list(given), config_dir))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(completion, "composed", lambda given, config_dir: cached(tuple(given), config_dir))
        yield


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A folder with two runs and a sweep below outputs/, a run beside it, and files of unusual names."""
    for name in [*RUNS, "outputs/sweeps/lr/mlp-0a1b"]:
        (tmp_path / name).mkdir(parents=True)
        (tmp_path / name / "config.yaml").touch()
    (tmp_path / "outputs/sweeps/lr/sweep.json").write_text("{}")
    (tmp_path / "outputs/data").mkdir()
    (tmp_path / "files").mkdir()
    for name in NAMES:
        (tmp_path / "files" / name).touch()
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("model=l", ["model=lenet", "model=lenet-bn", "model=linear", "model=lstm"]),
        ("train model=vg", ["model=vgg"]),
        ("-m model=mlp,le", ["model=mlp,lenet", "model=mlp,lenet-bn"]),
        ("train.epo", ["train.epochs="]),
        ("++train.epo", ["++train.epochs="]),
        ("model=rnn model.bi", ["model.bidirectional="]),
        ("model.bi", []),
        ("dataset=text dataset.enc", ["dataset.encoding="]),
        ("optimizer=adam optimizer.b", ["optimizer.beta1=", "optimizer.beta2="]),
        ("model.share=", ["model.share=true", "model.share=false"]),
        ("model.init.conv=n", ["model.init.conv=normal", "model.init.conv=null"]),
        ("model=vgg model.depth=1", ["model.depth=11", "model.depth=13", "model.depth=16", "model.depth=19"]),
        ("optimizer.lr=", ["optimizer.lr=0.1"]),
        ("model.hidden=", ["model.hidden=[256]"]),
        ("sweep=optuna sweep.sampler=r", ["sweep.sampler=random"]),
        ("pred", ["predict"]),
        ("predict pred", []),
        ("resume x device=c", ["device=cpu", "device=cuda"]),
        ("predict x inv", ["invert="]),
        ("predict x invert=", ["invert=auto", "invert=yes", "invert=no"]),
        ("generate x t", ["temperature=", "top_k="]),
        ("forecast x st", ["steps="]),
        ("generate x temperature=", ["temperature=0"]),
        ("compare x s", ["sort="]),
        ("doctor ", []),
        ("--cfg ", ["job", "hydra", "all"]),
        ("--mul", ["--multirun"]),
        ("--config-n", []),
        ("-sc install=z", ["install=zsh"]),
        ("hydra/launcher=ba", ["hydra/launcher=basic"]),
        ("'model=vg", ["model=vgg"]),
        ('"model=vg', ["model=vgg"]),
        ("mod\\el=vg", ["model=vgg"]),
        ("nope=[[[ ${x} 'a b' model=vg", ["model=vgg"]),
        ("模型=红 model=vg", ["model=vgg"]),
    ],
)
def test_a_line_is_completed(folder, line, words):
    assert found(line) == words


@pytest.mark.parametrize("line", ["", "train "])
def test_all_verbs_and_groups_begin_a_line(line):
    offered = set(found(line))
    assert {f"{group}=" for group in VARIANTS} <= offered
    assert (set(cli.all_verbs()) <= offered) == (line == "")


@pytest.mark.parametrize("verb", cli.all_verbs())
def test_every_argument_of_a_verb_is_offered(verb):
    names = re.findall(r"[\w.]+=", cli.all_verbs()[verb][0])
    assert set(names) <= set(found(f"{verb} it "))


@pytest.mark.parametrize("line", ["", "model=rnn ", "model=vgg ", "dataset=text "])
def test_an_offered_key_is_one_of_the_schema(folder, line):
    for group in ("", "model.", "dataset.", "sweep."):
        keys = {key.rstrip("=.") for key in found(line + group) if key.endswith(("=", ".")) and "/" not in key}
        assert len(keys) > 3
        assert keys - {"experiment"} <= set(schema.all_keys())


def test_every_path_key_is_one_of_the_schema():
    assert {*completion.FOLDERS, *completion.FILES} <= set(schema.all_keys())
    assert set(schema.PLACES) <= {*completion.FOLDERS, *completion.FILES}


@pytest.mark.parametrize("verb", VERBS_OF_RUNS)
def test_runs_are_offered_after_a_verb_of_runs(folder, verb):
    job, sweep = "outputs/sweeps/lr/mlp-0a1b", "outputs/sweeps/lr"
    last = sweep if verb == "compare" else job
    assert sorted(found(f"{verb} ")) == sorted([*RUNS, last])
    assert found(f"{verb} outputs/sw") == [last]
    assert found(f"{verb} mi") == ["mine"]
    assert found(f"{verb} fi") == ["files/"]  # there is no run in it
    assert found(f"{verb} {folder}/mi") == [f"{folder}/mine"]


def test_a_link_in_a_circle_is_not_followed(folder):
    (folder / "files" / "again").symlink_to(folder, target_is_directory=True)
    assert found("resume fi") == ["files/"]


@pytest.mark.parametrize("key", ["dataset.path=", "dataset.path=[a,", "model.weights=", "evaluate it dataset.path="])
def test_files_are_offered_after_a_path_key(folder, key):
    last = key.split()[-1]
    assert found(f"{key}files/红") == [f"{last}files/红楼梦.txt"]
    assert found(f"{key}fi") == [f"{last}files/"]


@pytest.mark.parametrize("key", ["dataset.dir=", "run.dir=", "--config-dir ", "compare it out="])
def test_folders_alone_are_offered_after_a_folder_key(folder, key):
    assert found(f"{key}files/") == []
    assert found(f"{key}fi") == [f"{key.split()[-1] if '=' in key else ''}files/"]


def test_a_home_folder_stays_as_it_was_typed(folder, monkeypatch):
    monkeypatch.setenv("HOME", str(folder))
    assert found("dataset.dir=~/fi") == ["dataset.dir=~/files/"]
    assert query("bash", "d2lrun resume ~/mi", "~/mi", cli.all_verbs()) == ["~/mine "]


def test_names_that_no_line_can_show_are_left_out(folder):
    for name in (b"a\nb", b"a\x1b[31m", b"a\xff"):
        (folder / os.fsdecode(b"files/" + name)).touch()
    assert found("dataset.path=files/a") == ["dataset.path=files/a b.txt"]


def test_bash_reads_the_inserted_words_as_the_files(folder):
    words, wanted = [], []
    for opening in ("", "'", '"'):
        for word in query("bash", f"d2lrun dataset.path={opening}files/", "", cli.all_verbs()):
            words.append(word.removesuffix(" ") + opening)
        wanted += [f"dataset.path=files/{name}" for name in sorted(NAMES)]
    done = subprocess.run(["bash", "-c", f"printf '%s\\n' {' '.join(words)}"], capture_output=True, encoding="utf-8")
    assert done.stdout.splitlines() == wanted


@given(st.text("ab '\"\\$`!#=,;[]{}红", max_size=12), st.sampled_from(["", "'", '"', "b'", "'b'"]))
def test_a_completed_word_means_what_was_offered(rest, begin):
    typed = split(f"x {begin}")[1]
    whole = typed.plain + rest
    done, last = split(f"x {typed.completed(whole)}")
    assert [*done[1:], last.plain][0] == whole


LINES = st.lists(
    st.one_of(
        st.sampled_from(
            [*cli.all_verbs(), *schema.all_keys(), "model=", "--config-dir", "-m", "--cfg", "~", "+", "it", "/"]
        ),
        st.text(max_size=8),
    ),
    max_size=5,
)


@settings(max_examples=50)
@given(LINES, st.sampled_from([" ", "=", ""]), st.sampled_from(["bash", "zsh", "fish"]))
def test_no_line_fails_and_all_words_go_on_with_it(words, joint, shell):
    line = "d2lrun " + joint.join(words)
    _, word = split(line)
    for each in query(shell, line, "", cli.all_verbs()):
        assert each.startswith(word.plain if shell == "fish" else word.raw)
        assert each.isprintable() or "\u3000" in each


def test_a_deleted_working_directory_is_no_error(tmp_path, monkeypatch):
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    assert "predict" in found("")
    assert found("resume ") == found("dataset.path=") == []
    assert found("train.epo") in ([], ["train.epochs="])


@pytest.mark.parametrize("text", ["{", "a: [", "\x00", "defaults: 3", "x: ${nope}", "# @package a b c"])
def test_broken_yaml_is_no_error(folder, monkeypatch, text):
    shutil.copytree(conf_dir(), folder / "conf")
    monkeypatch.setattr("d2lrun.config.hydra_internal.conf_dir", lambda: folder / "conf")
    own = folder / "own" / "model"
    own.mkdir(parents=True)
    (own / "broken.yaml").write_text(text)
    assert found("--config-dir own model=bro") == ["model=broken"]
    assert found("--config-dir own model=broken train.epo") == ["train.epochs="]
    (folder / "conf" / "config.yaml").write_text(text)
    assert found("model=vg") == ["model=vgg"]
    assert isinstance(found("train.epo"), list)


def test_a_fault_offers_nothing(monkeypatch):
    monkeypatch.setattr(completion, "candidates", lambda *_: 1 / 0)
    assert found("mod") == []


@pytest.mark.parametrize("words", [["x"], [], ["install"], ["install=csh"], ["query=bash", "more"], ["=bash"]])
def test_another_task_is_refused_with_the_command_that_installs(words):
    with pytest.raises(Refused, match="wanted install, uninstall or query") as refusal:
        answer(words, cli.all_verbs())
    assert refusal.value.hint == 'eval "$(d2lrun -sc install=bash)"'


def test_only_the_line_before_the_cursor_counts(monkeypatch):
    monkeypatch.setenv("COMP_LINE", "d2lrun 红=1 train.epo seed=1")
    monkeypatch.setenv("COMP_POINT", "20")
    assert answer(["query=bash"], cli.all_verbs()) == "train.epochs=\n"


def test_words_are_split_as_a_shell_does():
    assert split("A=1 d2lrun 'a b' c\\ d \"e\\\"f\\g\" 'h") == (
        ["d2lrun", "a b", "c d", 'e"f\\g'],
        Word("'h", "h", "'"),
    )


@pytest.fixture
def home(folder):
    """``folder`` with a program d2lrun, which completes, or prints the words that it was given."""
    program = folder / "bin" / "d2lrun"
    program.parent.mkdir()
    python = shlex.quote(sys.executable)
    # Two dots stand between the words, so that the echo of a line is not taken for its result.
    program.write_text(
        f'#!/bin/sh\ncase $1 in -sc) exec {python} -m d2lrun "$@";; esac\nprintf "%s.." "<" "$@" ">"\necho\n'
    )
    program.chmod(0o755)
    return folder


def environment(home: Path) -> dict[str, str]:
    changed = {"HOME": home, "ZDOTDIR": home, "PATH": f"{home}/bin:{os.environ['PATH']}", "PYTHONPATH": ROOT}
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("COMP_", "D2LRUN_"))}
    return kept | {name: str(value) for name, value in changed.items()} | {"TERM": "dumb", "LC_ALL": "C.UTF-8"}


def typed(home: Path, shell: list[str], lines: list[str]) -> list[list[str]]:
    """The words that d2lrun is given for each line that is typed, with its Tabs, in a real ``shell``."""
    process, terminal = pty.fork()
    if not process:
        os.chdir(home)
        os.execvpe(shell[0], shell, environment(home))
    seen = b""
    try:
        for number, line in enumerate(lines):
            os.write(terminal, line.encode() + b"\r")
            while seen.count(b"..>..") <= number:
                assert select.select([terminal], [], [], PATIENCE)[0], seen.decode(errors="replace")
                seen += os.read(terminal, 65536)
    finally:
        with contextlib.suppress(OSError):
            os.kill(process, signal.SIGKILL)
        os.close(terminal)
        os.waitpid(process, 0)
    text = seen.decode(errors="replace")
    assert "Traceback" not in text and "error" not in text
    return [each.split("..") for each in re.findall(r"<\.\.(.*?)\.\.>\.\.", text, re.DOTALL)]


@pytest.mark.parametrize("shell", [["bash", "--norc", "--noprofile", "-i"], ["zsh", "-f", "-i"]], ids=["bash", "zsh"])
def test_a_real_shell_inserts_the_completed_words(home, shell):
    if not shutil.which(shell[0]):
        pytest.skip(f"there is no {shell[0]}")
    install = f'eval "$(d2lrun -sc install={shell[0]})"; d2lrun ready'
    closing = "" if shell[0] == "bash" else "'"  # bash closes a quote itself
    lines = {
        "d2lrun model=vg\ttrain.epo\t3": ["model=vgg", "train.epochs=3"],
        "d2lrun resume mi\t": ["resume", "mine"],
        "d2lrun dataset.path=files/红\t": ["dataset.path=files/红楼梦.txt"],
        "d2lrun x=${y} dataset.path=files/it\t": ["x=", "dataset.path=files/it's $HOME `x`.txt"],
        f"bin/d2lrun 'dataset.path=files/a\t{closing}": ["dataset.path=files/a b.txt"],
        "d2lrun nothing-like-it\t": ["nothing-like-it"],
    }
    assert typed(home, shell, [install, *lines]) == [["ready"], *lines.values()]


def test_fish_offers_the_words(home):
    if not shutil.which("fish"):
        pytest.skip("there is no fish")
    lines = {
        "d2lrun model=vg": ["model=vgg"],
        "d2lrun dataset.path=files/红": ["dataset.path=files/红楼梦.txt"],
        "d2lrun resume 'mi": ["mine"],
        "d2lrun nothing-like-it": [],
    }
    asked = "; ".join(f"complete -C {shlex.quote(line)}; echo ," for line in lines)
    script = f"d2lrun -sc install=fish | source; {asked}"
    done = subprocess.run(
        ["fish", "--no-config", "-c", script], cwd=home, env=environment(home), capture_output=True, encoding="utf-8"
    )
    assert done.stderr == ""
    assert [block.split() for block in done.stdout.split(",\n")] == [*lines.values(), []]


def test_paths_of_what_is_no_path_are_none():
    assert paths("\0") == paths("no/such/folder/") == []
