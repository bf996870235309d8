"""The command line, by real processes: what they print, write, and with which code they exit."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import traceback
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

import pytest
import safetensors.torch
import torch
import yaml
from PIL import Image

from d2lrun import __version__, tasks
from d2lrun.cli import main as cli
from d2lrun.config import schema
from d2lrun.config.compose import compose
from d2lrun.config.hints import enumerated
from d2lrun.config.keys import VARIANTS
from d2lrun.config.schema import to_dict
from d2lrun.config.tables import TASKS
from d2lrun.errors import Refused
from d2lrun.training import optim

PACKAGE = Path(cli.__file__).parents[1]
PNG = b"\x89PNG\r\n\x1a\n"
CONTRACT = {
    *("config.yaml", "metrics.jsonl", "result.json", "checkpoints", "model.safetensors"),
    *("classes.json", "curves.png", "predictions.png", "report.html", "run.log"),
}


@pytest.fixture(scope="module")
def environment(tmp_path_factory):
    """As a newcomer has it: no settings, no data."""
    settings = {"OMP_NUM_THREADS": "1", "D2LRUN_CACHE": str(tmp_path_factory.mktemp("cache")), "COLUMNS": "80"}
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("D2LRUN_", "COMP_", "HYDRA_"))}
    return kept | settings


@pytest.fixture(scope="module")
def d2lrun(environment, tmp_path_factory):
    """Runs ``d2lrun WORDS`` in a folder of this file's own and returns the finished process."""
    home = tmp_path_factory.mktemp("home")

    def call(*words, **variables):
        command = [sys.executable, "-m", "d2lrun", *map(str, words)]
        return subprocess.run(
            command, cwd=home, env=environment | variables, capture_output=True, encoding="utf-8", timeout=1800
        )

    call.home = home
    return call


@pytest.fixture(scope="module")
def data(stripes_folder):
    return ["dataset.verify=false", f"dataset.dir={stripes_folder}", "dataset.mirrors=[]"]


@pytest.fixture(scope="module")
def words(data):
    """Of the run that the tests below look at."""
    return [
        "model=mlp",
        "model.hidden=[32]",
        "train.epochs=2",
        "train.batch_size=32",
        "device=cpu",
        *data,
        "run.dir=it",
    ]


@pytest.fixture(scope="module")
def finished(d2lrun, words):
    """That run, whole; its process and its directory."""
    done = d2lrun(*words)
    assert (done.returncode, done.stderr) == (0, "")
    done.path = d2lrun.home / "it"
    return done


def refused(done, message, code=2):
    """Two lines on stderr, nothing on stdout."""
    assert (done.returncode, done.stdout) == (code, "")
    error, hint = done.stderr.splitlines()
    assert error.startswith(f"error: {message}"), error
    assert hint.startswith("hint: ")


def test_version(d2lrun):
    done = d2lrun("--version")
    assert (done.returncode, done.stdout, done.stderr) == (0, f"d2lrun {__version__}\n", "")


def test_help_names_every_verb_group_and_option(d2lrun):
    done = d2lrun("--help")
    assert (done.returncode, done.stderr) == (0, "")
    for name in (*cli.all_verbs(), *VARIANTS, *(option for options in VARIANTS.values() for option in options)):
        assert f" {name}" in done.stdout


@pytest.mark.parametrize("verb", cli.all_verbs())
@pytest.mark.parametrize("flag", ["--help", "-h"])
def test_a_verb_has_help_of_its_own(capsys, verb, flag):
    assert cli.dispatch([verb, flag]) == 0
    assert capsys.readouterr().out.startswith(f"usage: d2lrun {verb}")


@pytest.mark.parametrize("verb", cli.all_verbs())
def test_every_argument_of_a_verb_is_explained_within_a_terminal(capsys, verb):
    usage, _ = cli.all_verbs()[verb]
    arguments = re.findall(r"[\w.]+(?==)|(?<![\w=])[A-Z]{3,}", usage)  # prefix= and RUN, but not its TEXT
    cli.dispatch([verb, "--help"])
    lines = capsys.readouterr().out.splitlines()
    explained = [line.split()[0] for line in lines if re.match("  [a-zA-Z]", line)]
    assert explained == arguments
    assert all(len(line) <= 80 for line in lines)


@pytest.mark.parametrize("verb", tasks.words())
def test_a_verb_of_several_tasks_has_the_words_of_each(capsys, verb):
    cli.dispatch([verb, "--help"])
    said = " ".join(capsys.readouterr().out.split())
    for task, word in tasks.words()[verb].items():
        title = f"of a {TASKS[task].title}: " if len(tasks.words()[verb]) > 1 else ""
        assert f"{title}{word.does}" in said
        assert word.options.keys() <= set(re.findall(r"\w+(?==)", cli.all_verbs()[verb][0]))


def test_every_explained_argument_is_one_of_some_verb():
    words = {word for usage, _ in cli.all_verbs().values() for word in re.findall(r"\w+(?:\.\w+)*", usage)}
    assert set(cli.all_arguments()) <= words


def test_cfg_job_is_the_composed_config(d2lrun):
    done = d2lrun("train.epochs=3", "--cfg", "job", "model=lenet")
    data = yaml.safe_load(done.stdout)
    assert (done.returncode, done.stderr) == (0, "")
    assert (data["model"]["name"], data["train"]["epochs"]) == ("lenet", 3)


def test_info_is_what_hydra_knows(d2lrun):
    done = d2lrun("--info", "defaults")
    assert (done.returncode, done.stderr) == (0, "")
    assert "fashion-mnist" in done.stdout


@pytest.mark.parametrize(
    "line, completions",
    [
        ("d2lrun model=l", ["model=lenet", "model=lenet-bn", "model=linear", "model=lstm"]),
        ("d2lrun optimizer=ad", ["optimizer=adam", "optimizer=adamw"]),
        ("d2lrun train.epo", ["train.epochs="]),
    ],
)
def test_completion(d2lrun, line, completions):
    done = d2lrun("-sc", "query=bash", COMP_LINE=line, COMP_POINT=str(len(line)))
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.split() == completions


@pytest.mark.parametrize(
    "words, message",
    [
        (["trian"], "trian: no such verb; did you mean train?"),
        (["optimizer.lr=-1"], "optimizer.lr=-1: wanted a number above 0"),
        (["seed=1,2"], "seed=1,2: several values; add -m"),
        (["--multirn"], "--multirn: no such option; did you mean --multirun?"),
        (["evaluate", "nowhere"], "nowhere: no such directory"),
        (["resume"], "wanted one run's directory, got 0"),
        (["generate", ".", "time traveller"], "wanted one run's directory, got 2: ., time traveller"),
        (["predict", ".", "tpo=3"], "tpo=3: no such option; did you mean top?"),
        (
            ["resume", ".", "device.threads=2"],
            "device.threads=2: resume takes no override but dataset.dir, dataset.path, dataset.test, device and "
            "train.epochs",
        ),
        (["predict", ".", "top=0"], "top=0: wanted a whole number at least 1"),
        (["predict", ".", "invert=maybe"], "invert=maybe: wanted auto, yes or no"),
        (["doctor", "x"], "doctor x: doctor takes no arguments"),
        (["run.name=[/red]"], "run.name"),
        ([""], ": wanted key=value"),
    ],
)
def test_a_refusal_is_two_lines_and_code_2(monkeypatch, capsys, words, message):
    assert main(monkeypatch, *words) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert [line.partition(": ")[0] for line in err.splitlines()] == ["error", "hint"]
    assert err.startswith(f"error: {message}")


@pytest.mark.parametrize("verb", ["resume", "evaluate", *tasks.words()])
def test_an_override_of_a_run_that_exists_is_refused(verb):
    own = {option for word in tasks.words().get(verb, {}).values() for option in word.options}
    moves = {*schema.PLACES, "device", *(["train.epochs"] if verb == "resume" else [])}
    keys = [key for key in schema.all_keys() if key not in own | moves and not key.startswith("device.")]
    assert len(keys) > 100
    for word in (*(f"{key}=1" for key in keys), "+train.new=1", "experiment=x"):
        with pytest.raises(Refused) as refusal:
            cli.dispatch([verb, ".", word])
        taken = [*schema.PLACES, "device", *(["train.epochs"] if verb == "resume" else [])]
        assert str(refusal.value) == f"{word}: {verb} takes no override but {enumerated(taken)}"
        assert "repeat the command that started it" in refusal.value.hint


@pytest.mark.parametrize(
    "text, message",
    [
        ("def f(:\n", r"{path}:1: SyntaxError: .*"),
        ("a = 1\nfrom d2lrun.errors import Nothing\n", r"{path}:2: ImportError: cannot import name 'Nothing'.*"),
        ("\n\nWORDS = Nothing\n", r"{path}:3: NameError: name 'Nothing' is not defined"),
    ],
)
@pytest.mark.parametrize("words", [["doctor"], ["resume", "."], ["predict", "--help"], ["--help"]])
def test_a_mistake_in_the_words_of_a_task_is_one_error(monkeypatch, capsys, tmp_path, words, text, message):
    path = tmp_path / "words.py"
    path.write_text(text)

    def module(task, name, original=tasks.module):
        if name != "words":
            return original(task, name)
        spec = spec_from_file_location("words", path)
        return spec.loader.exec_module(module_from_spec(spec))

    monkeypatch.setattr(tasks, "module", module)
    monkeypatch.setattr(cli, "PACKAGE", tmp_path)
    tasks.words.cache_clear()
    cli.all_verbs.cache_clear()
    try:
        assert main(monkeypatch, *words) == 1
    finally:
        tasks.words.cache_clear()
        cli.all_verbs.cache_clear()
    error, hint = capsys.readouterr().err.splitlines()
    assert re.fullmatch("error: " + message.format(path=re.escape(str(path))), error)
    assert hint == f"hint: {cli.ADDED}"


def test_the_version_needs_no_words_of_tasks(monkeypatch, capsys):
    monkeypatch.setattr(tasks, "words", lambda: 1 / 0)
    cli.all_verbs.cache_clear()
    assert main(monkeypatch, "--version") == 0
    assert capsys.readouterr().out == f"d2lrun {__version__}\n"


def main(monkeypatch, *words):
    """The exit code of ``d2lrun WORDS``, in this process."""
    monkeypatch.setattr(sys, "argv", ["d2lrun", *words])
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        with pytest.raises(SystemExit) as end:
            cli.main()
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    return end.value.code


def test_at_most_seven_frames_lie_between_main_and_the_optimizers_step(monkeypatch, tmp_path, own_images):
    """A reader follows one batch through few functions."""
    frames = []

    def step(self, *arguments, **options):
        frames.append([frame.name for frame in traceback.extract_stack() if PACKAGE in Path(frame.filename).parents])

    monkeypatch.setattr(torch.optim.SGD, "step", step)
    monkeypatch.setattr(optim, "plain", optim.plain.__wrapped__)  # not the class of an earlier test
    monkeypatch.chdir(tmp_path)
    few = ["train.epochs=1", "train.limit_batches=1", "run.pictures=false", "device=cpu"]
    assert main(monkeypatch, "model=softmax", *own_images, *few) == 0
    after = frames[0][frames[0].index("main") + 1 :]
    assert len(after) <= 7 and after[-2:] == ["fit", "train_batch"]


def test_a_refusal_of_a_whole_process(d2lrun):
    refused(d2lrun("model=lnet"), "model=lnet: no such option; did you mean lenet?")


def test_debug_shows_the_traceback(d2lrun):
    done = d2lrun("--debug", "optimizer.lr=-1")
    assert done.returncode != 0
    assert "Traceback" in done.stderr and "Refused" in done.stderr


def test_a_fault_of_d2lrun_itself_is_code_1_and_says_so(monkeypatch, capsys):
    monkeypatch.setattr("d2lrun.cli.verbs.doctor", lambda words: 1 / 0)
    assert main(monkeypatch, "doctor") == 1
    error, hint = capsys.readouterr().err.splitlines()
    assert re.fullmatch(r"error: .*main\.py:\d+: ZeroDivisionError: division by zero", error)
    assert hint.startswith("hint: this is an error in d2lrun") and hint.endswith("--debug shows where")


@pytest.mark.parametrize(
    "words, message",
    [
        (["dataset.verify=false", "dataset.dir=nowhere"], "dataset.dir=nowhere: not four files"),
        (["device=cuda"], "device=cuda: cuda is not available"),
    ],
)
def test_a_run_that_cannot_begin_leaves_nothing(monkeypatch, capsys, tmp_path, words, message):
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    monkeypatch.chdir(tmp_path)
    assert main(monkeypatch, *words) == 2
    assert capsys.readouterr().err.startswith(f"error: {message}")
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


@pytest.mark.parametrize("words", [["experiment=capacity"], ['sweep.combinations=["seed=1"]']])
def test_a_named_sweep_without_its_option_is_told_the_command(monkeypatch, capsys, tmp_path, words):
    monkeypatch.chdir(tmp_path)
    assert main(monkeypatch, *words) == 2
    error, hint = capsys.readouterr().err.splitlines()
    assert error == "error: sweep: it names several runs, this command trains one"
    assert hint.startswith("hint: d2lrun -m ")
    assert not list(tmp_path.iterdir())


def test_a_finished_run_has_every_file_of_the_contract(finished):
    assert {path.name for path in finished.path.glob("[!.]*")} == CONTRACT
    assert not list(finished.path.rglob("*.tmp"))


def test_the_last_lines_are_the_directory_and_the_next_command(finished):
    last = [line.split() for line in finished.stdout.splitlines()[-2:]]
    assert last == [["directory", "it"], ["next", "d2lrun", "predict", "it"]]


def test_it_prints_a_line_per_epoch(finished):
    epochs = [line for line in finished.stdout.splitlines() if line.startswith("epoch ")]
    assert [line.split()[1] for line in epochs] == ["1/2", "2/2"]


def test_its_config_is_what_was_composed(finished, words):
    saved = yaml.safe_load((finished.path / "config.yaml").read_text(encoding="utf-8"))
    assert saved == to_dict(compose(words))


def read_metrics(path):
    return [json.loads(line) for line in (path / "metrics.jsonl").read_text(encoding="utf-8").splitlines()]


def read_result(path):
    return json.loads((path / "result.json").read_text(encoding="utf-8"))


def test_its_metrics_are_one_line_an_epoch(finished):
    records = read_metrics(finished.path)
    assert [(record["epoch"], record["step"]) for record in records] == [(1, 11), (2, 22)]  # 330 images by 32
    assert records[1]["train_loss"] < records[0]["train_loss"]


def test_its_result_is_the_last_epoch(finished):
    result, last = read_result(finished.path), read_metrics(finished.path)[-1]
    assert (result["status"], result["model"], result["epochs"], result["parameters"]) == ("finished", "mlp", 2, 25_450)
    for name in ("train_loss", "train_accuracy", "test_loss", "test_accuracy"):
        assert result["metrics"][name] == last[name]


def test_its_recipe_is_not_the_books_and_it_says_why(finished):
    book = read_result(finished.path)["book"]
    assert book["inside"] is None
    assert set(book["changed"]) == {"model.hidden", "dataset.verify", "train.epochs", "train.batch_size"}
    assert "not comparable" in finished.stdout


def test_its_last_checkpoint_is_of_its_end(finished):
    names = sorted(path.name for path in (finished.path / "checkpoints").iterdir())
    assert names[-2:] == ["step-00000022.json", "step-00000022.pt"]


def test_its_weights_are_for_other_programs(finished):
    weights = safetensors.torch.load_file(finished.path / "model.safetensors")
    assert {name: tuple(tensor.shape) for name, tensor in weights.items()} == {
        **{"1.weight": (32, 784), "1.bias": (32,)},
        **{"3.weight": (10, 32), "3.bias": (10,)},
    }


@pytest.mark.parametrize("name", ["curves.png", "predictions.png"])
def test_its_pictures_are_pictures(finished, name):
    assert (finished.path / name).read_bytes().startswith(PNG)
    with Image.open(finished.path / name) as picture:
        assert min(picture.size) >= 400


def test_its_log_has_its_epochs(finished):
    text = (finished.path / "run.log").read_text(encoding="utf-8")
    assert "epoch 1/2" in text and "epoch 2/2" in text and "Traceback" not in text


def state_of(folder):
    """Every file's bytes; the lock is no part of a run."""
    return {path: path.read_bytes() for path in folder.rglob("[!.]*") if path.is_file()}


@pytest.mark.parametrize("way", ["the same words", "resume"])
def test_again_it_is_only_shown(d2lrun, finished, words, way):
    before = state_of(finished.path)
    done = d2lrun(*(words if way == "the same words" else ["resume", "it"]))
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("already finished: ")
    assert state_of(finished.path) == before


def test_its_directory_takes_no_other_config(d2lrun, finished, words):
    before = state_of(finished.path)
    done = d2lrun(*words, "optimizer.lr=0.5")
    assert done.returncode == 2
    assert "optimizer.lr=0.1 there, optimizer.lr=0.5 now" in done.stderr
    assert state_of(finished.path) == before


def test_evaluate_measures_what_the_result_says(d2lrun, finished):
    done = d2lrun("evaluate", "it")
    metrics = read_result(finished.path)["metrics"]
    assert (done.returncode, done.stderr) == (0, "")
    assert (
        done.stdout.split()
        == f"test loss {metrics['test_loss']:.4f} test accuracy {metrics['test_accuracy']:.4f}".split()
    )


def test_predict_shows_the_test_set_by_class(capsys, finished):
    assert cli.dispatch(["predict", str(finished.path)]) == 0
    accuracy = read_result(finished.path)["metrics"]["test_accuracy"]
    assert f"{round(accuracy * 101)} of 101" in capsys.readouterr().out
    lines = (finished.path / "predictions.csv").read_text(encoding="utf-8").splitlines()
    assert len(lines) == 1 + 101
    (finished.path / "predictions.csv").unlink()


def test_predict_names_the_classes_of_a_file(d2lrun, finished, stripes):
    Image.fromarray(stripes.test_images[0, 0].numpy()).save(d2lrun.home / "a.png")
    done = d2lrun("predict", "it", "a.png", "top=2")
    assert (done.returncode, done.stderr) == (0, "")
    lines = done.stdout.split("\n", 1)
    assert lines[0].startswith("a.png")
    assert len(re.findall(r"^ +\d ", lines[1], re.MULTILINE)) == 2  # the classes of one's own files are numbers
    assert lines[1].count("%") == 2


def test_summary(capsys):
    assert cli.dispatch(["summary", "model=lenet"]) == 0
    out, err = capsys.readouterr()
    assert "61,706" in out and "6×28×28" in out
    assert err == ""


def test_data_are_counted_and_drawn(capsys, data, stripes_folder, tmp_path):
    assert cli.dispatch(["data", *data, f"run.root={tmp_path}"]) == 0
    out, err = capsys.readouterr()
    assert "330" in out and "101" in out
    assert err == ""
    assert (tmp_path / "data" / f"{stripes_folder.name}.png").read_bytes().startswith(PNG)


def test_a_combination_that_is_wrong_is_refused_before_any_runs(d2lrun, data):
    done = d2lrun("-m", "model=softmax", "optimizer.lr=-1,0.1", "device=cpu", *data, "run.root=sweep")
    assert done.returncode == 2
    assert "error: optimizer.lr=-1: wanted a number above 0" in done.stderr
    assert not (d2lrun.home / "sweep").exists()


@pytest.mark.parametrize("verb", ["resume", "evaluate", "predict"])
def test_a_sweep_is_no_run_and_that_is_said(d2lrun, tmp_path, verb):
    (tmp_path / "sweep.json").write_text("{}", encoding="utf-8")
    refused = d2lrun(verb, tmp_path)
    assert refused.returncode == 2
    assert f"{tmp_path} is a sweep, not a run" in refused.stderr and "the command that started it" in refused.stderr


def test_a_reader_that_leaves_is_no_error(d2lrun, environment, data, stripes_folder):
    """``d2lrun … | head -1``"""
    words = ["model=softmax", "train.epochs=200", "train.batch_size=8", "device=cpu", *data, "run.dir=head"]
    command = [sys.executable, "-m", "d2lrun", *words]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "encoding": "utf-8"}
    with subprocess.Popen(command, cwd=d2lrun.home, env=environment, **pipes) as process:
        assert process.stdout.readline().startswith(f"softmax on {stripes_folder.name}, 7,850 parameters, cpu with ")
        assert process.stdout.readline().startswith("epoch   1/200")
        process.stdout.close()
        assert process.stderr.read() == ""
        assert process.wait(timeout=1800) == 0
    assert len(read_metrics(d2lrun.home / "head")) < 200
