"""Sweeps under Hydra's launchers: real processes that fail, are killed and are stopped; and what is refused."""

from __future__ import annotations

import contextlib
import importlib.util
import itertools
import json
import os
import signal
import subprocess
import sys
import threading
import time
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from d2lrun.config.compose import parse_override
from d2lrun.config.overrides import quoted
from d2lrun.disk import files
from d2lrun.errors import Failed, Refused, Stopped
from d2lrun.sweeps import grid, launch, launchers, request, workers
from d2lrun.sweeps.job import MARKER, PENDING, row_of, train_in
from d2lrun.sweeps.sweep import Sweep
from tests.commands import in_this_process

JOBLIB = ["hydra/launcher=joblib", "hydra.launcher.n_jobs=2"]
LAUNCHERS = {"joblib": JOBLIB, "submitit_local": ["hydra/launcher=submitit_local"]}
STOPPABLE = {"joblib": JOBLIB}  # two runs at a time
if importlib.util.find_spec("hydra_plugins.hydra_ray_launcher"):  # make test-ray: 50 packages, so no part of CI
    LAUNCHERS["ray"] = STOPPABLE["ray"] = ["hydra/launcher=ray", "+hydra.launcher.ray.init.num_cpus=2"]
LONG = 100_000  # epochs: such a run ends only by force
PATIENCE = 1800  # seconds: only a process that hangs for ever takes so long


class Home:
    """A folder in which sweeps of tiny runs are started."""

    def __init__(self, path: Path, data: Path):
        self.path, self.data = path, data
        self.folder = path / "outputs" / "sweeps" / "it"

    def words(self, *words: str) -> list[str]:
        """The command line of a sweep of tiny runs."""
        tiny = ["model.hidden=[8]", "train.batch_size=64", "train.limit_batches=2", "device=cpu", "device.threads=1"]
        given = ["dataset.verify=false", f"dataset.dir={self.data}", "dataset.mirrors=[]", "sweep.name=it"]
        defaults = [word for word in ("train.epochs=2",) if not any(one.startswith("train.epochs=") for one in words)]
        return ["-m", "model=mlp", "validation=holdout", *tiny, *given, *defaults, *words]

    def start(self, *words: str, program: tuple[str, ...] = ("-m", "d2lrun")) -> subprocess.Popen:
        command = [sys.executable, *program, *self.words(*words)]
        environment = os.environ | {"D2LRUN_CACHE": str(self.path / "cache"), "OMP_NUM_THREADS": "1"}
        pipes = {"stdout": subprocess.DEVNULL, "stderr": subprocess.PIPE, "text": True}
        return subprocess.Popen(command, cwd=self.path, env=environment, start_new_session=True, **pipes)

    def here(self, *words: str) -> int:
        """The exit code of a sweep in this process."""
        return in_this_process(self.path, *self.words(*words), D2LRUN_CACHE=str(self.path / "cache")).code

    def sweep(self, *words: str, **options) -> int:
        """The exit code of a sweep that nothing happens to."""
        process = self.start(*words, **options)
        _, err = process.communicate(timeout=PATIENCE)
        assert "Traceback" not in err, err
        return process.returncode

    def jobs(self) -> dict[str, dict]:
        """The rows of sweep.json by the last override."""
        rows = json.loads((self.folder / "sweep.json").read_text("utf-8"))["jobs"]
        return {row["overrides"][-1]: row for row in rows}

    def statuses(self) -> dict[str, str]:
        return {name: row["status"] for name, row in self.jobs().items()}

    def weights(self) -> dict[str, bytes]:
        """The final weights of every run that has some."""
        return {path.parent.name: path.read_bytes() for path in self.folder.glob("*/model.safetensors")}

    def running(self) -> dict[str, int]:
        """The process of every run that has taken its first steps, by the name of its folder."""
        found = {}
        for path in self.folder.glob("*/.lock.holder"):
            metrics = path.parent / "metrics.jsonl"
            with contextlib.suppress(FileNotFoundError):  # the run ends while this looks
                if metrics.stat().st_size:
                    found[path.parent.name] = int(path.read_text("utf-8").split()[1])
        return found

    def saved(self) -> set[str]:
        """The folders of the runs that have a checkpoint."""
        return {path.parent.parent.name for path in self.folder.glob("*/checkpoints/*.json")}

    def resumed(self) -> int:
        """How many runs say that they went on from a checkpoint."""
        return sum("resuming at epoch" in path.read_text("utf-8") for path in self.folder.glob("*/run.log"))

    def wait_for(self, condition) -> None:
        deadline = time.monotonic() + PATIENCE
        while not condition():
            assert time.monotonic() < deadline
            time.sleep(0.02)


@pytest.fixture
def home(tmp_path, stripes_folder):
    return Home(tmp_path, stripes_folder)


def snapshot(folder: Path) -> dict[str, tuple[bytes, int]]:
    paths = [path for path in folder.rglob("*") if path.is_file()]
    return {str(path): (path.read_bytes(), path.stat().st_mtime_ns) for path in paths}


def test_a_run_that_ends_while_it_is_looked_at_is_not_running(home, monkeypatch):
    def gone(*arguments):
        raise FileNotFoundError

    run = home.folder / "run"
    run.mkdir(parents=True)
    (run / ".lock.holder").write_text("process 12 on here")
    (run / "metrics.jsonl").write_text("{}")
    assert home.running() == {"run": 12}
    monkeypatch.setattr(Path, "read_text", gone)
    assert home.running() == {}


# One sweep under each launcher, in which a run is finished and one fails, among files that nobody may import


RATES = ["0.1", "0.5", "1e30", "0.05"]
THERE = ["--config-dir", "mine", "experiment=own", "run.root=results", "dataset.dir=data", "hydra.sweep.dir=logs"]
OWN = "# @package _global_\noptimizer: {momentum: 0.5}\n"


def all_modules() -> set[str]:
    """The names of all modules and packages that Python and what is installed bring."""
    return {name for name in {*sys.stdlib_module_names, *metadata.packages_distributions()} if name.isidentifier()}


def set_traps(home: Home, names: set[str]) -> Path:
    """Put files of these names into the user's folder; the file that this returns gets a line for each import."""
    log = home.path.with_name(f"{home.path.name}-caught")
    log.touch()
    for name in names:
        code = f"with open({str(log)!r}, 'a') as log:\n    log.write(__name__ + '\\n')\n"
        (home.path / f"{name}.py").write_text(code, encoding="utf-8")
    return log


def with_files(home: Home) -> Home:
    """The folder with everything that ``THERE`` names by relative paths."""
    (home.path / "lib").mkdir()
    (home.path / "lib" / "sitecustomize.py").write_text(
        f"open({str(home.path / 'seen')!r}, 'a').write('x')", encoding="utf-8"
    )
    (home.path / "mine" / "experiment").mkdir(parents=True)
    (home.path / "mine" / "experiment" / "own.yaml").write_text(OWN, encoding="utf-8")
    (home.path / "data").symlink_to(home.data)
    home.folder = home.path / "results" / "sweeps" / "it"
    return home


@pytest.fixture(scope="module")
def script(tmp_path_factory) -> tuple[str]:
    """The program as pip installs it: a file in a folder of its own."""
    path = tmp_path_factory.mktemp("bin") / "d2lrun"
    path.write_text("from d2lrun.cli.main import main\nif __name__ == '__main__':\n    main()\n", encoding="utf-8")
    return (str(path),)


@pytest.fixture(scope="module")
def serial(tmp_path_factory, stripes_folder) -> Home:
    """The runs one after the other."""
    home = with_files(Home(tmp_path_factory.mktemp("serial"), stripes_folder))
    assert home.here(*THERE, f"optimizer.lr={','.join(RATES)}") == 3
    return home


@dataclass
class Launched:
    """A sweep that has ended, the files of the run that was finished before, and what its processes imported."""

    home: Home
    code: int
    finished: tuple[dict, dict]  # before and after
    caught: str


@pytest.fixture(scope="module", params=LAUNCHERS)
def launched(request, tmp_path_factory, stripes_folder, script) -> Launched:
    home = with_files(Home(tmp_path_factory.mktemp("launched"), stripes_folder))
    log = set_traps(home, all_modules())
    assert home.here(*THERE, "optimizer.lr=0.1") == 0
    (finished,) = home.folder.glob("mlp-*")
    before = snapshot(finished)
    rates = RATES if request.param == "joblib" else RATES[:3]  # joblib's two workers each take a second run
    with pytest.MonkeyPatch.context() as patch:
        path = ["lib", *filter(None, [os.environ.get("PYTHONPATH")])]
        patch.setenv("PYTHONPATH", os.pathsep.join(path))
        words = [*THERE, f"optimizer.lr={','.join(rates)}", *LAUNCHERS[request.param]]
        code = home.sweep(*words, program=script)
    return Launched(home, code, (before, snapshot(finished)), log.read_text("utf-8"))


def test_one_run_fails_one_is_finished_and_the_others_come_to_the_same_bits_as_in_turn(launched, serial):
    home, (before, after) = launched.home, launched.finished
    assert launched.code == 3
    assert before == after
    assert home.statuses().items() <= serial.statuses().items() and len(home.statuses()) >= 3
    assert home.statuses()["optimizer.lr=1e+30"] == "diverged"
    assert home.weights().items() <= serial.weights().items()
    assert len(home.weights()) == len(home.statuses()) - 1
    assert {path.name for path in home.folder.parent.iterdir()} == {"it"}
    assert not list(home.path.rglob("multirun.yaml"))


def test_no_process_imports_a_file_of_the_users_folder(launched):
    assert launched.caught == ""


def test_without_a_launcher_no_file_of_the_users_folder_is_imported(home, script):
    log = set_traps(home, all_modules())
    assert home.sweep("optimizer.lr=0.1,0.5", program=script) == 0
    assert log.read_text("utf-8") == ""


def test_relative_paths_mean_the_same_under_a_launcher(launched):
    """Those of PYTHONPATH, --config-dir, hydra.sweep.dir, run.root and the dataset."""
    home = launched.home
    assert (home.path / "seen").stat().st_size >= 3
    configs = [path.read_text("utf-8") for path in home.folder.glob("*/config.yaml")]
    assert len(configs) >= 3 and all("momentum: 0.5" in text for text in configs)
    strange = {path.name for path in home.path.iterdir() if path.suffix != ".py"}
    assert strange <= {"lib", "mine", "data", "seen", "results", "cache", "logs"}


def test_the_files_of_a_launcher_lie_in_the_sweep(signalled):
    home = signalled.home
    assert {path.name for path in home.path.iterdir() if path.suffix != ".py"} <= {"outputs", "cache"}
    assert {path.name for path in home.folder.parent.iterdir()} == {"it"}


# Runs that die, and signals


def test_a_run_that_kills_its_worker_is_named_and_the_others_are_trained(home):
    """As the system does with the largest process when memory runs out: again and again, whenever it is tried."""
    killed, over = [], threading.Event()

    def kill_the_long_one():
        while not over.wait(0.02):
            for name, pid in home.running().items():
                epochs = (home.folder / name / "metrics.jsonl").read_bytes().count(b"\n")
                if epochs > 5:
                    killed.append(name)
                    with contextlib.suppress(ProcessLookupError):  # joblib was faster
                        os.kill(pid, signal.SIGKILL)
                    home.wait_for(lambda pid=pid: not alive(pid))

    killer = threading.Thread(target=kill_the_long_one)
    killer.start()
    try:
        assert home.sweep(f"train.epochs=1,2,{LONG},3", *JOBLIB) == 3
    finally:
        over.set()
        killer.join()
    jobs = home.jobs()
    assert [row["status"] for row in jobs.values()] == ["finished", "finished", "failed", "finished"]
    assert jobs[f"train.epochs={LONG}"]["error"].startswith("its process died: ")
    assert len(killed) >= 2 and len(set(killed)) == 1


def alive(pid: int) -> bool:
    """Whether the process is there and no zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text("utf-8").rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


@dataclass
class Signalled:
    """A sweep of two short runs and two that never end, which a signal has stopped."""

    home: Home
    words: list[str]
    wanted: int  # the exit code of the signal
    code: int
    err: str
    workers: list[int]  # the processes of the runs that never end
    log: Path  # a line for each file of the user's folder that was imported


SIGNALS = {"SIGINT": 130, "SIGTERM": 143}


@pytest.fixture(scope="module", params=itertools.product(SIGNALS, STOPPABLE), ids="-".join)
def signalled(request, tmp_path_factory, stripes_folder) -> Signalled:
    name, launcher = request.param
    home = Home(tmp_path_factory.mktemp("signalled"), stripes_folder)
    code = "import runpy, sys; print(*sys.modules)"  # what `python -m` imports before d2lrun begins
    earlier = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd="/").stdout
    log = set_traps(home, all_modules() - {name.partition(".")[0] for name in earlier.split()})
    words = [f"train.epochs=1,2,{LONG},{LONG + 1}", *STOPPABLE[launcher]]
    process = home.start(*words)
    home.wait_for(lambda: len(home.saved() & home.running().keys()) == 2 and len(home.weights()) == 2)
    workers = list(home.running().values())
    process.send_signal(getattr(signal, name))
    _, err = process.communicate(timeout=PATIENCE)
    return Signalled(home, words, SIGNALS[name], process.returncode, err, workers, log)


def test_a_signal_to_the_sweep_ends_its_workers(signalled):
    assert signalled.code == signalled.wanted
    assert "Traceback" not in signalled.err
    signalled.home.wait_for(lambda: not any(map(alive, signalled.workers)))
    assert list(signalled.home.statuses().values()) == ["finished", "finished", "stopped", "stopped"]
    assert len(signalled.home.saved()) >= 2  # the next test needs no more


def test_with_python_m_no_file_of_the_users_folder_is_imported(signalled):
    assert signalled.log.read_text("utf-8") == ""


@pytest.mark.parametrize("signalled", [("SIGTERM", launcher) for launcher in STOPPABLE], indirect=True, ids=STOPPABLE)
def test_the_same_command_continues_what_a_signal_stopped(signalled):
    home = signalled.home
    before = {path: path.stat().st_mtime_ns for path in home.folder.glob("*/result.json")}
    again = home.start(*signalled.words)
    home.wait_for(lambda: home.resumed() == 2)
    again.send_signal(signal.SIGTERM)
    again.communicate(timeout=PATIENCE)
    finished = [path for path in before if (path.parent / "model.safetensors").exists()]
    assert len(finished) == 2
    assert all(path.stat().st_mtime_ns == before[path] for path in finished)


def descendants(pid: int) -> set[int]:
    """The processes that the process has started, and theirs."""
    parents = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            parents[int(path.parent.name)] = int(path.read_text("utf-8").rpartition(")")[2].split()[1])
    found = {pid}
    while more := {child for child, parent in parents.items() if parent in found} - found:
        found |= more
    return found - {pid}


def test_all_processes_of_a_killed_sweep_end_and_a_run_saves_itself_first(home):
    """Of three workers two train, and one never had a run."""
    process = home.start(f"train.epochs={LONG},{LONG + 1}", JOBLIB[0], "hydra.launcher.n_jobs=3")
    home.wait_for(lambda: len(home.running()) == 2)
    started = descendants(process.pid)
    assert len(started) >= 3
    process.kill()
    process.wait()  # its workers hold the pipe of stderr
    home.wait_for(lambda: not any(map(alive, started)))
    process.communicate()
    logs = [path.read_text("utf-8") for path in home.folder.glob("*/run.log")]
    assert len(logs) == 2 and all("stopped at step" in text for text in logs)


def test_a_worker_of_a_sweep_that_has_died_begins_no_other_run(monkeypatch):
    sent = []
    monkeypatch.setattr(os, "kill", lambda pid, signum: sent.append((pid, signum)))
    monkeypatch.setattr(workers, "parent", os.getppid())
    workers.end_orphan()
    assert sent == []
    monkeypatch.setattr(workers, "parent", os.getppid() + 1)
    workers.end_orphan()
    assert sent == [(os.getpid(), signal.SIGTERM)]


def test_a_setup_command_of_slurm_runs_in_the_users_folder(tmp_path, monkeypatch):
    class Launcher:
        params = {"setup": ["echo $PWD > seen"], "submitit_folder": "logs/%j"}  # noqa: RUF012

    (user := tmp_path / "it's mine").mkdir()
    (elsewhere := tmp_path / "sweep").mkdir()
    monkeypatch.chdir(user)
    workers.adapt(Launcher)
    lines = [*Launcher.params["setup"], "pwd"]
    for joint in (" && ", "\n"):  # of submitit's local executor; of a Slurm script
        done = subprocess.run(["bash", "-c", joint.join(lines)], cwd=elsewhere, capture_output=True, text=True)
        assert done.stdout.strip() == str(elsewhere)
        assert (user / "seen").read_text("utf-8").strip() == str(user)
    assert Launcher.params["submitit_folder"] == str(user / "logs/%j")


# What a launcher does when it breaks down, without its processes


@pytest.fixture
def planned(tmp_path, stripes_folder):
    """``planned(WORD…)``: a sweep over these learning rates whose configs lie in their folders."""

    def make(*words: str, rates: str = "0.1,0.2,0.3") -> Sweep:
        data = ["dataset.verify=false", f"dataset.dir={stripes_folder}", "dataset.mirrors=[]", "train.limit_batches=1"]
        small = ["model.hidden=[8]", "train.epochs=2", "device=cpu", f"run.root={tmp_path}", *data]
        plan = grid.plan(request.read([f"optimizer.lr={rates}", *small, *words], None, "d2lrun -m …"))
        grid.prepare(plan)
        return plan

    return make


class Breaking:
    """A launcher whose worker dies at the run in ``deadly``: those behind it in the batch are never begun."""

    def __init__(self, deadly: Path | None):
        self.deadly, self.batches = deadly, []

    def __call__(self, directories):
        self.batches.append(len(directories))
        for path in directories:
            if path == self.deadly:
                files.write_atomic(files.signature(path / ".lock"), "process 1 on it")
                raise RuntimeError("a worker was killed")
            train_in(path)
        return ["finished"] * len(directories)


def statuses(plan: Sweep) -> list[str]:
    return [row_of(job.directory, job.overrides, job.values, plan.directory)["status"] for job in plan.jobs]


def test_the_run_whose_process_died_twice_is_named(planned):
    plan = planned()
    launch = Breaking(plan.jobs[1].directory.path)
    grid.carry_out(plan, launch)
    assert statuses(plan) == ["finished", "failed", "finished"]
    assert plan.jobs[1].directory.result()["error"] == "its process died: a worker was killed"
    assert launch.batches == [3, 1, 1]


def test_a_run_that_was_stopped_before_is_not_forgotten_when_a_worker_dies(planned):
    plan = planned()
    files.write_json(plan.jobs[2].directory.result_file, {"status": "stopped", "metrics": {}})
    grid.carry_out(plan, Breaking(plan.jobs[0].directory.path))
    assert statuses(plan) == ["failed", "finished", "finished"]


def test_with_on_error_stop_a_dead_worker_is_the_end(planned):
    plan = planned("sweep.on_error=stop")
    grid.carry_out(plan, Breaking(plan.jobs[0].directory.path))
    assert statuses(plan) == ["failed", "pending", "pending"]


def test_with_on_error_stop_no_run_begins_after_one_failed(planned):
    plan = planned("sweep.on_error=stop", rates="1e30,0.1")
    grid.carry_out(plan, lambda directories: [train_in(path) for path in directories])
    assert statuses(plan) == ["diverged", "pending"]
    assert (plan.directory / MARKER).exists()
    assert train_in(plan.jobs[1].directory.path) == PENDING
    grid.prepare(plan)  # the same command again
    assert not (plan.directory / MARKER).exists()


def test_a_run_that_another_process_tries_meanwhile_is_not_tried_again(planned, monkeypatch):
    """Also if the other process ends its try when this one has already chosen the run."""
    [job, *_] = planned().jobs
    failed, train = {"status": "failed", "metrics": {}, "seconds": 1.0}, launch.train_unless_tried

    def behind_another_process(directory, earlier):
        files.write_json(job.directory.result_file, failed)
        return train(directory, earlier)

    monkeypatch.setattr(launch, "train_unless_tried", behind_another_process)
    launch.launched([job], None)
    assert job.directory.result() == failed


def test_a_failure_of_before_does_not_stop_those_in_front_of_it(planned):
    plan = planned("sweep.on_error=stop")
    files.write_json(plan.jobs[2].directory.result_file, {"status": "failed", "metrics": {}})
    plan = planned("sweep.on_error=stop")
    grid.carry_out(plan, None)
    assert statuses(plan) == ["finished"] * 3


def test_a_launcher_that_begins_nothing_is_an_error_of_its_own(planned):
    def launch(directories):
        raise RuntimeError("no Slurm here")

    plan = planned()
    with pytest.raises(Failed, match="the launcher gave up: no Slurm here"):
        grid.carry_out(plan, launch)
    assert statuses(plan) == ["pending"] * 3


@pytest.mark.parametrize(("raised", "code"), [(KeyboardInterrupt(), 130), (SystemExit(15), 143)])
def test_what_a_launcher_makes_of_a_signal_is_stopped(planned, raised, code):
    def launch(directories):
        raise raised

    with pytest.raises(Stopped) as stopped:
        grid.carry_out(planned(), launch)
    assert stopped.value.code == code


def test_a_run_that_a_signal_stopped_in_its_worker_is_launched_again(planned):
    ends = iter([["finished", "stopped", "finished"], ["finished"]])
    asked = []

    def launch(directories):
        asked.append([path.name for path in directories])
        return next(ends)

    plan = planned()
    grid.carry_out(plan, launch)
    assert asked[1] == [plan.jobs[1].directory.path.name]


# What Hydra is told


@pytest.mark.parametrize(
    ("words", "message", "hint"),
    [
        (["hydra/launcher=jobli"], "hydra/launcher=jobli: no such launcher; did you mean joblib?", ""),
        (["hydra/launcher=x"], "hydra/launcher=x: no such launcher (have: basic, joblib, ", "ray (ray)"),
        ([*JOBLIB, "hydra.launcher.njobs=2"], "hydra.launcher.njobs: no such key; did you mean n_jobs?", "n_jobs, "),
        ([JOBLIB[0], "hydra.launcher.n_jobs=two"], "hydra.launcher.n_jobs=two: Value 'two'", ""),
        (["hydra.launcher.n_jobs=2"], "hydra.launcher.n_jobs: no such key", "choose one with hydra/launcher=joblib"),
        ([*JOBLIB, "hydra.launcher.n_jobs=0"], "hydra.launcher.n_jobs=0: no process at all", "-1 for all cores"),
        (["hydra.launcher._target_=os.system"], "hydra.launcher._target_=os.system: not taken", "hydra.launcher.KEY"),
        ([*JOBLIB, "+hydra.launcher.x={_target_:os.mkdir}"], "+hydra.launcher.x={_target_:os.mkdir}: not taken", ""),
        (["hydra=null"], "hydra=null: not taken", ""),
        (["~hydra/launcher"], "~hydra/launcher: not taken", ""),
        (["hydra.run.dir=x"], "hydra.run.dir=x: not taken", "hydra.sweep.dir"),
        (["hydra.swep.dir=x"], "hydra.swep.dir=x: Key 'swep'", ""),
        (["hydra/sweeper=basic"], "hydra/sweeper=basic: a sweep is d2lrun's own", "hydra/launcher=NAME"),
    ],
)
def test_what_hydra_would_not_take_is_refused(words, message, hint):
    with pytest.raises(Refused) as refusal:
        launchers.check(words)
    assert str(refusal.value).startswith(message)
    assert hint in refusal.value.hint


@pytest.mark.parametrize(("name", "extra"), launchers.EXTRAS.items())
def test_a_launcher_that_is_not_installed_names_its_extra(monkeypatch, name, extra):
    loader = "hydra._internal.config_loader_impl.ConfigLoaderImpl.get_group_options"
    monkeypatch.setattr(loader, lambda *_: ["basic"])
    with pytest.raises(Refused, match=f"hydra/launcher={name}: it is not installed") as refusal:
        launchers.check([f"hydra/launcher={name}"])
    assert refusal.value.hint == f"pip install 'd2lrun[{extra}]'"


def test_what_is_right_is_taken():
    launchers.check([])
    launchers.check(["hydra.launcher.n_jobs=2", "hydra/launcher=joblib", "+hydra.launcher.mine=1"])


def test_a_wrong_launcher_is_refused_before_anything_is_written(home):
    process = home.start("optimizer.lr=0.1,0.2", "hydra/launcher=jobli")
    _, err = process.communicate(timeout=PATIENCE)
    assert (process.returncode, [line.partition(":")[0] for line in err.splitlines()]) == (2, ["error", "hint"])
    assert list(home.path.iterdir()) == []


def test_the_folder_of_a_launcher_is_the_sweeps_unless_it_was_given():
    assert launchers.within(Path("/a b"), JOBLIB) == [*JOBLIB, "hydra.sweep.dir='/a b'"]
    assert launchers.within(Path("a"), ["hydra.sweep.dir=/mine"]) == ["hydra.sweep.dir='/mine'"]
    assert launchers.within(Path("a"), []) == [f"hydra.sweep.dir={quoted(str(Path.cwd() / 'a'))}"]


@given(st.text("ab'\"\\ 图,={}[]()#:/", max_size=12))
def test_a_quoted_text_is_the_same_to_hydra(text):
    assert parse_override(f"key={quoted(text)}").value() == text
