"""Suggestions: each is followed as it is printed, and what comes of it is accepted."""

from __future__ import annotations

import os
import random
import re
import shlex
from itertools import product
from pathlib import Path

import pytest

from d2lrun import tasks
from d2lrun.cli import command
from d2lrun.cli import main as cli
from d2lrun.config import compose, hints, schema, several
from d2lrun.config.keys import VARIANTS, conf_dir
from d2lrun.config.overrides import is_hydras
from d2lrun.config.tables import DATASETS, MODELS, fits
from d2lrun.errors import Refused

# A value for each key that no other key contradicts.
VALUES = {
    "model.freeze": "[]",
    "model.init": "{}",
    "train.patience": "null",
    "run.name": "x",
    "validation.fold": "null",
    "sweep.metric": "val_loss",
    "sweep.grid": "{}",
}
KINDS = {
    "true or false": "true",
    "text": "x",
    "a whole number": "2",
    "a number": "0.5",
    "a mapping": "{}",
}
SAMPLE = int(os.environ.get("D2LRUN_HINTS", "25"))  # commands of each family; all of them take minutes
EXPERIMENTS = sorted(path.stem for path in (conf_dir() / "experiment").glob("*.yaml"))


@pytest.fixture(scope="module")
def gathered():
    """Hydra, started once for all compositions here."""
    with compose.composer(None, compose.Known()) as function:
        yield function


@pytest.fixture(scope="module")
def refusal(gathered):
    """The lines of the refusal of a command's words; none if they are accepted."""

    def told(words: list[str]) -> list[str]:
        raw = compose.refused(words, gathered, [])
        return [str(each) for each in compose.consistent(words, raw, gathered)[0]]

    return told


def value_of(kind: object) -> str:
    """A value of a key's type, as it is typed."""
    with pytest.raises(schema.Mismatch) as mismatch:
        schema.convert(kind, object())
    words = str(mismatch.value)
    if words.startswith("a list of values, each "):
        return f"[{value_of_words(words.removeprefix('a list of values, each '))}]"
    return value_of_words(words)


def value_of_words(words: str) -> str:
    if words.startswith("one of "):
        return words.removeprefix("one of ").split(",")[0]
    return next(value for kind, value in KINDS.items() if words.startswith(kind))


def keys_of_options() -> dict[str, tuple[str, str, object]]:
    """{key: (group, an option that has it, its type)} of every key in every config group."""
    found = {}
    for group, options in VARIANTS.items():
        for option, cls in options.items():
            for key, kind in schema.keys_of(cls).items():
                if key not in ("name", "engine", "init"):
                    found.setdefault(f"{group}.{key}", (group, option, kind))
    return found


def typed(key: str, kind: object) -> str:
    return f"{key}={VALUES.get(key) or value_of(kind)}"


def followed(words: list[str], lines: list[str]) -> list[str]:
    """The words with every suggestion of the lines applied, by their text alone."""
    for line in lines:
        given, _, advice = line.partition(": ")
        key = compose.key_of(given)
        if meant := re.search(r"did you mean (.+?)\?", advice):
            first, *more = meant[1].split()
            if "=" in given and first.count(".") == 0 and key in (*VARIANTS, "experiment"):
                words = [f"{key}={first}" if compose.key_of(word) == key else word for word in words] + more
            else:
                old = [word for word in words if compose.key_of(word) == key]
                assert old, line
                words = [f"{first}={word.partition('=')[2]}" for word in old] + [
                    word for word in words if word not in old
                ]
        elif "leave it out" in advice:
            words = [word for word in words if compose.key_of(word) != key]
        elif added := re.search(r"add ([\w.]+=\S+)", advice):
            words = [*(word for word in words if compose.key_of(word) != compose.key_of(added[1])), added[1]]
        elif fitting := re.search(r"\(for .*: (.*)\)", advice):
            chosen = fitting[1].split(", ")[0]
            words = [*(word for word in words if compose.key_of(word) != "model"), f"model={chosen}"]
        else:
            raise AssertionError(f"no suggestion: {line}")
    return words


def misspelt(name: str, draw: random.Random) -> str:
    """The name with one letter lost, doubled or exchanged with the next."""
    at = draw.randrange(1, max(2, len(name) - 1))
    ways = [name[:at] + name[at + 1 :], name[:at] + name[at] + name[at:]]
    ways.append(name[:at] + name[at + 1 : at + 2] + name[at : at + 1] + name[at + 2 :])
    return draw.choice([way for way in ways if way != name] or [name + "x"])


def misspelt_keys() -> list[list[str]]:
    """Every key of every option, misspelt, beside that option."""
    draw, found = random.Random(1), []
    for key, (group, option, kind) in keys_of_options().items():
        last = key.rpartition(".")[2]
        if len(last) > 3:
            found.append([f"{group}={option}", typed(key, kind).replace(last, misspelt(last, draw), 1)])
    for key, kind in (keys_in("train") | keys_in("run")).items():
        group, last = key.split(".")
        found.append([typed(key, kind).replace(last, misspelt(last, draw), 1)])
    return found


def keys_elsewhere() -> list[list[str]]:
    """Every key of one option, beside every other option of the group that lacks it, named or not."""
    found = []
    for key, (group, _, kind) in keys_of_options().items():
        last = key.rpartition(".")[2]
        lacking = [name for name, cls in VARIANTS[group].items() if last not in schema.keys_of(cls)]
        found += [[f"{group}={option}", typed(key, kind)] for option in lacking]
        if {"model": "mlp", "dataset": "fashion-mnist", "optimizer": "sgd", "schedule": "constant"}.get(
            group, {"validation": "none", "sweep": "grid"}.get(group)
        ) in lacking:
            found.append([typed(key, kind)])
    return found


def options_misspelt() -> list[list[str]]:
    draw = random.Random(2)
    options = [(group, option) for group in VARIANTS if group != "device" for option in VARIANTS[group]]
    options += [("experiment", name) for name in EXPERIMENTS]
    return [[f"{group}={misspelt(option, draw)}"] for group, option in options if len(option) > 3]


def misfits() -> list[list[str]]:
    return [[f"model={model}", f"dataset={data}"] for model, data in product(MODELS, DATASETS) if not fits(model, data)]


def words_of_others() -> list[list[str]]:
    """Each word of another tool with a value that the key here takes."""
    types = {key: kind for key, (_, _, kind) in keys_of_options().items()}
    types |= {key: kind for group in ("train", "run") for key, kind in keys_in(group).items()}
    options = {"model": "lenet", "dataset": "fashion-mnist", "optimizer": "adam", "schedule": "cosine"}
    found = []
    for word, key in hints.table(hints.WORDS).items():
        value = options | {"device": "cpu", "validation": "holdout", "seed": "3", "model.init.name": "normal"}
        found.append([f"{word}={value[key]}" if key in value else f"{word}={typed(key, types[key]).partition('=')[2]}"])
    return found + [[f"{word}=1"] for word in hints.table(hints.NEEDLESS)]


def keys_in(group: str) -> dict[str, object]:
    cls = schema.keys_of(schema.Config)[group]
    return {f"{group}.{key}": kind for key, kind in schema.keys_of(cls).items()}


GENERATED = {
    "a key misspelt": misspelt_keys,
    "a key of another option": keys_elsewhere,
    "an option misspelt": options_misspelt,
    "a network and a dataset that do not fit": misfits,
    "a word of another tool": words_of_others,
}
LEAST = {
    "a key misspelt": 60,
    "a key of another option": 400,
    "an option misspelt": 35,
    "a network and a dataset that do not fit": 60,
    "a word of another tool": 150,
}


@pytest.mark.parametrize("family", GENERATED)
def test_a_suggestion_leads_to_no_refusal(family, refusal, gathered):
    commands = GENERATED[family]()
    assert len(commands) >= LEAST[family]
    count = 0
    for words in random.Random(3).sample(commands, min(SAMPLE, len(commands))):
        lines = refusal(words)
        assert lines or family == "a key misspelt", words
        meant = followed(words, lines)
        assert compose.refused(meant, gathered, []) == [], f"{shlex.join(words)} -> {lines} -> {shlex.join(meant)}"
        count += len(lines)
    print(f"{family}: {count} suggestions of {len(commands)} commands")


def replaced_options() -> list[list[str]]:
    """Every experiment with every option of every group that it, or its network's recipe, chooses."""
    found = []
    for name in EXPERIMENTS:
        config = compose.compose([f"experiment={name}"])
        for group in ("model", "dataset", "optimizer", "schedule", "validation", "sweep"):
            ours = getattr(getattr(config, group), schema.selector(group))
            found += [[f"experiment={name}", f"{group}={option}"] for option in VARIANTS[group] if option != ours]
    return found


def test_what_an_experiment_says_of_an_option_yields_to_another_option(refusal, gathered):
    commands = replaced_options()
    assert len(commands) > 400
    for words in random.Random(4).sample(commands, min(SAMPLE, len(commands))):
        lines = refusal(words)
        assert all("the dataset holds" in line for line in lines), f"{words}: {lines}"
        found = []
        assert compose.refused(followed(words, lines), gathered, found) == []
        group, _, option = words[1].partition("=")
        assert (group == "model" and lines) or getattr(getattr(found[0], group), schema.selector(group)) == option


def test_a_mistake_in_ones_own_recipe_does_not_yield(tmp_path):
    (tmp_path / "model").mkdir()
    (tmp_path / "experiment").mkdir()
    (tmp_path / "model" / "mine.yaml").write_text("# @package _global_\ndefaults: [lenet]\nmodel: {hidden: [3]}\n")
    text = "# @package _global_\ndefaults: [override /validation: kfold]\nvalidation: {kk: 3}\n"
    (tmp_path / "experiment" / "mine.yaml").write_text(text)
    with pytest.raises(Refused, match=r"model\.hidden: belongs to"):
        compose.compose(["experiment=dropout", "model=mine"], str(tmp_path))
    with pytest.raises(Refused, match=r"validation\.kk: no such key"):
        compose.compose(["experiment=mine", "validation=holdout"], str(tmp_path))


def test_a_value_that_the_other_option_does_not_take_yields(gathered):
    """Two rates of dropout are for an MLP; AlexNet takes one."""
    data, _ = gathered(["experiment=dropout", "model=alexnet"])
    assert data.model.dropout == compose.compose(["model=alexnet"]).model.dropout


def test_an_experiments_axis_yields_with_its_key(gathered):
    data, _ = gathered(["experiment=capacity", "dataset=linear"])
    assert data.sweep.grid == {}


NOTHING_NEAR = ["xyzzy=1", "model.xyzzy=1", "optimizer.zzz=1", "qqq.rrr=1", "model=perceiver", "optimizer=rmsprop"]


@pytest.mark.parametrize("word", NOTHING_NEAR)
def test_if_nothing_is_near_nothing_is_suggested(refusal, word):
    (line,) = refusal([word])
    assert "did you mean" not in line and "(have: " in line


@pytest.mark.parametrize(
    "words, line",
    [
        (
            ["model=lenet", "model.dropout=0.5"],
            "model.dropout: belongs to mlp, alexnet, vgg, nin, rnn, gru, lstm, transformer, seq2seq and textcnn; ",
        ),
        (["sweep.trials=3"], "sweep.trials: needs sweep=optuna; add sweep=optuna"),
        (["validation.k=3"], "validation.k: needs validation=kfold; add validation=kfold"),
        (["validation=holdout", "validation.k=3"], "validation.k: needs validation=kfold; leave it out with"),
        (["model.name=lenet"], "model.name: the group chooses the option; did you mean model?"),
        (["gpus=2"], "gpus: no such key; leave it out: one run uses one device"),
        (["trainer.max_epochs=3"], "trainer.max_epochs: no such key; did you mean train.epochs?"),
        (["model=resnet50"], "model=resnet50: no such option; did you mean resnet model.depth=50?"),
    ],
)
def test_a_suggestion_says_what_is_meant(refusal, words, line):
    assert refusal(words)[0].startswith(line)


def test_all_that_follows_from_a_suggestion_is_told_at_once(refusal):
    assert [line.partition(":")[0] for line in refusal(["patience=3"])] == ["patience", "train.patience=3"]


def test_the_users_own_value_of_a_key_counts(refusal):
    assert "optimizer.lr=-1: wanted" in "\n".join(refusal(["optimizer.lr=-1", "lr=3"]))


# Command lines as other tools have them, and what is to be written here.
FORMS = {
    "lenet": "model=lenet",
    "lenet epochs=5": "train.epochs=5 model=lenet",
    "--model lenet": "model=lenet",
    "--model=LeNet --lr 0.1": "optimizer.lr=0.1 model=lenet",
    "--learning-rate 0.01": "optimizer.lr=0.01",
    "-lr 0.1": "optimizer.lr=0.1",
    "--epochs=5 --model=resnet18": "train.epochs=5 model=resnet model.depth=18",
    "--opt adam --wd 1e-4": "optimizer.weight_decay=1e-4 optimizer=adam",
    "--gpu 0": "device=auto",
    "--no-cuda": "device=cpu",
    "optimizer.lr = 0.5": "optimizer.lr=0.5",
    "optimizer.lr= 0.5": "optimizer.lr=0.5",
    "optimizer.lr =0.5": "optimizer.lr=0.5",
    "optimizer.lr: 0.5": "optimizer.lr=0.5",
    "lr 0.5": "optimizer.lr=0.5",
    "model=lenet, optimizer.lr=0.5": "model=lenet optimizer.lr=0.5",
    "-m --lr 0.1,0.2 --model lenet": "-m optimizer.lr=0.1,0.2 model=lenet",
}


@pytest.mark.parametrize("line", FORMS)
def test_a_command_line_of_another_tool_is_written_as_ours(line):
    with pytest.raises(Refused) as caught:
        command.parse(line.split())
    assert caught.value.hint == f"write {FORMS[line]}"
    options = command.parse(FORMS[line].split())
    fixed, axes, _ = several.expand(options.overrides)
    compose.compose([*fixed, *(axis[0] for axis in axes)])


@pytest.mark.parametrize(
    "line", ["--lr abc", "-v", "--dry-run", "xyz", "--config conf/model/lenet.yaml", "C:/photo.png"]
)
def test_what_can_not_be_written_as_ours_is_not(line):
    assert command.meant_by(line.split()) is None


@pytest.mark.parametrize("line", ["seed=3", "run.name='a, b'", "~model.hidden model=lenet", "-m seed=1,2 model=mlp"])
def test_a_command_line_that_is_ours_stays(line):
    assert command.parse(shlex.split(line))


@pytest.mark.parametrize(
    "word, verb",
    [
        ("fit", "train"),
        ("test", "evaluate"),
        ("eval", "evaluate"),
        ("infer", "predict"),
        ("help", "--help"),
        ("tune", "-m"),
    ],
)
def test_the_verb_of_another_tool_is_met_with_ours(word, verb):
    with pytest.raises(Refused, match=f"^{word}: no such verb; did you mean {verb}\\?$"):
        cli.dispatch([word])


def test_the_tables_name_what_there_is_and_no_word_twice():
    assert set(hints.WORDS) <= set(schema.all_keys())
    assert all(
        option in VARIANTS[group] for group in hints.OPTIONS if group in VARIANTS for option in hints.OPTIONS[group]
    )
    assert set(hints.OPTIONS["experiment"]) <= set(EXPERIMENTS)
    assert set(hints.VERBS) == {*cli.all_verbs(), "-m", "--help", "--version"}
    for table in (hints.WORDS, hints.NEEDLESS, hints.VERBS, *hints.OPTIONS.values()):
        assert len(hints.table(table)) == len({hints.plain(word) for words in table.values() for word in words.split()})
    assert not hints.table(hints.WORDS).keys() & hints.table(hints.NEEDLESS).keys()


ROOT = Path(__file__).parents[2]
REFUSED_THERE = "model=lent"  # which shows what a refusal looks like


def documented() -> list[str]:
    """Every d2lrun command of the READMEs and of docs/, without comments and prompts; continued lines are joined.

    Left out are those with an option that a page adds: the test that follows the page uses it.
    """
    found, added = [], set()
    for path in (*sorted(ROOT.glob("README*.md")), *sorted((ROOT / "docs").glob("*.md"))):
        text = re.sub(r"\\\n\s*", "", path.read_text(encoding="utf-8"))
        found += re.findall(r"(?:^|`|\$ )d2lrun +([^`\n]*)", text, re.MULTILINE)
        named = re.findall(r"`(conf/(\w+)/([\w-]+)\.yaml)`", text)
        added |= {f"{group}={option}" for name, group, option in named if not (ROOT / name).exists()}
    lines = [re.split(r" {2,}#|  #| \\$|`", line)[0].strip() for line in found]
    return [line for line in dict.fromkeys(lines) if "=" in line and not added & set(line.split())]


@pytest.mark.parametrize("line", documented())
def test_a_command_of_the_documentation_is_accepted(line):
    words = shlex.split(line.split("#")[0])
    verb = words.pop(0) if words[0] in cli.all_verbs() else "train"
    if verb in ("resume", "evaluate", "compare", *tasks.words()):
        usage = cli.all_verbs()[verb][0]
        assert all(f"{word.partition('=')[0]}=" in usage for word in words if "=" in word)
        return
    words = [word for word in words if word not in ("…", "...")]
    options = command.parse(words)
    fixed, axes, intervals = several.expand([word for word in options.overrides if not is_hydras(word)])
    assert options.multirun or not (axes or intervals)
    given = [*(compose.reader(fixed) if verb == "data" else []), *fixed, *(axis[0] for axis in axes)]
    if REFUSED_THERE in given:
        with pytest.raises(Refused):
            compose.compose(given)
    else:
        compose.compose(given)


@pytest.mark.parametrize("page", ["README.md", "README.zh-CN.md"])
def test_the_refusal_that_is_shown_is_the_programs(page):
    text = (ROOT / page).read_text(encoding="utf-8")
    command_line, shown = re.search(rf"^\$ d2lrun ({REFUSED_THERE}.*)\n((?:.+\n)+?)```", text, re.MULTILINE).groups()
    with pytest.raises(Refused) as caught:
        compose.compose(command_line.split())
    assert shown == f"error: {caught.value}\nhint: {caught.value.hint}\n"


def test_the_documentation_has_commands():
    assert len(documented()) >= 40


def test_what_nothing_here_needs_is_left_out():
    with pytest.raises(Refused) as caught:
        command.parse(["--workers", "4"])
    assert caught.value.hint == "leave it out"
