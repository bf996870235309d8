"""The verbs of the command line. A verb takes its words and returns the exit code.

Imports are inside the verbs, so the refusal of a config does not wait for torch.
"""

from __future__ import annotations

import os
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from d2lrun.errors import D2lrunError, Refused, masked
from d2lrun.report.console import terminal
from d2lrun.streams import complain, visible

if TYPE_CHECKING:
    from rich.console import Console

    from d2lrun.config.keys import Config
    from d2lrun.disk.rundir import RunDirectory

SOME_JOBS_FAILED = 3
# Words for a run whose data or device changed.
MOVES = ("dataset.dir=", "dataset.path=", "dataset.test=", "device=", "device.")
LONGER = "train.epochs="  # a word of ``resume``
A_RUN = "the directory that a run printed, such as outputs/runs/fashion-mnist/mlp/2026-01-31_12-00-00"


def train(words: list[str]) -> int:
    """Train one run, or hand a sweep, a help or a config request to the function for it; raises Refused."""
    from d2lrun.cli import command
    from d2lrun.config import compose, plugins

    options = command.parse(words)
    if options.multirun:
        return sweep(words)
    if options.hydra_help:
        command.hand_to_hydra(words, job=train_composed)
        return 0
    if options.cfg == "job" and not options.package and not options.resolve:
        print(visible(masked(compose.show(options.overrides, options.config_dir))), end="")
        return 0
    config = compose.compose(own_overrides(options), options.config_dir)
    if options.cfg or options.info:
        command.hand_to_hydra([*map(masked, words)], job=train_composed)
        return 0
    if config.sweep.engine == "grid" and (config.sweep.grid or config.sweep.combinations):
        raise Refused("sweep: it names several runs, this command trains one", plugins.command("-m", *words))
    from d2lrun.runs import execute

    console = terminal()
    show_end(console, config, *execute.trained(config, console))
    return 0


def own_overrides(options: Any) -> list[str]:
    """Return the overrides, without the ones for Hydra's own config if that is printed; raises Refused."""
    from d2lrun.config.overrides import is_hydras

    if options.cfg not in ("hydra", "all") and not options.info:
        return options.overrides
    from d2lrun.config import user_yaml
    from d2lrun.sweeps import launchers

    if options.config_dir:
        user_yaml.existing_folder(options.config_dir)
    launchers.check([word for word in options.overrides if is_hydras(word)])
    return [word for word in options.overrides if not is_hydras(word)]


def sweep(words: list[str]) -> int:
    """Run every combination that is not finished. A failed run is reported and does not stop the others."""
    from d2lrun.cli import command
    from d2lrun.config import plugins, user_yaml
    from d2lrun.config.overrides import is_hydras
    from d2lrun.report.text import listened_to, say
    from d2lrun.sweeps import grid, launchers, refit, request, search
    from d2lrun.sweeps.job import job
    from d2lrun.sweeps.launch import tell_how_to_continue
    from d2lrun.sweeps.monitor import Monitor
    from d2lrun.sweeps.sweep import check_splits

    options = command.parse(words)
    steering = [word for word in options.overrides if is_hydras(word)]
    overrides = [word for word in options.overrides if word not in steering]
    if options.config_dir:
        user_yaml.existing_folder(options.config_dir)
    launchers.check(steering)
    asked = request.read(overrides, options.config_dir, plugins.command(*map(masked, words)))
    engine = {"grid": grid, "optuna": search}[asked.settings.engine]
    planned = engine.plan(asked)
    if launchers.is_here(steering):  # with a launcher, each run checks its own data
        check_splits(planned)
    engine.prepare(planned)

    def task(data: Any) -> None:  # Hydra's sweeper calls ``steer`` and launches ``job`` instead
        raise AssertionError("hydra/sweeper is not d2lrun's")

    def steer(launch: Any, workers: int | None) -> None:
        with tell_how_to_continue(planned):
            engine.carry_out(planned, launch, workers)
            refit.carry_out(planned, launch)

    steered: Any = task
    steered.job, steered.steer = partial(job, os.getcwd(), plugins.named()), steer
    console = terminal()
    with listened_to():
        say(console, planned.opening())
    with Monitor(planned, console) as monitor:
        command.hand_to_hydra(["-m", *launchers.within(planned.directory, steering)], task)
    return SOME_JOBS_FAILED if monitor.show() else 0


def train_composed(data: Any) -> None:
    """Train one run with a config that Hydra composed."""
    from d2lrun.config import compose
    from d2lrun.runs import execute

    config, console = compose.from_hydra(data), terminal()
    show_end(console, config, *execute.trained(config, console))


def show_end(console: Console, config: Config, directory: RunDirectory, result: dict[str, Any]) -> None:
    """Print the result of a run, and the command to run next."""
    from d2lrun.report.folds import show_folds
    from d2lrun.report.tables import show_result
    from d2lrun.report.text import say
    from d2lrun.runs import next_step

    (show_folds if "folds" in result else show_result)(console, result, directory.path)
    say(console, f" next        {next_step.after_run(config, directory.path)}")


def resume(words: list[str]) -> int:
    """Continue a run from its newest checkpoint; raises Refused for an override that changes the run.

    With train.epochs, train a finished run longer, as a new run.
    """
    directory, options = a_run("resume", words, {}, moves=(*MOVES, LONGER))
    if other := [word for word in options["moves"] if word.startswith("device.")]:
        refuse_override("resume", other[0])
    config = config_of(directory, options)  # refuse a damaged config before torch is imported
    from d2lrun.report.text import say
    from d2lrun.runs import execute

    console = terminal()
    if any(word.startswith(LONGER) for word in options["moves"]):
        from d2lrun.runs import longer

        with longer.child(directory, config, partial(say, console)) as config:
            end = execute.trained(config, console)
    else:
        config.run.dir = str(directory.path)
        end = execute.trained(config, console, resumed=True)
    show_end(console, config, *end)
    return 0


def evaluate(words: list[str]) -> int:
    """Print the metrics of a run's weights on the test set."""
    directory, options = a_run("evaluate", words, {})
    config = config_of(directory, options)  # refuse a damaged config before torch is imported
    from d2lrun.report.text import measured, say
    from d2lrun.runs.inference import evaluate_run

    metrics = evaluate_run(directory, config)
    shown = {name: f"{value:.4f}" if 0.001 < value < 1000 else measured(value) for name, value in metrics.items()}
    say(terminal(), "  ".join(f"{name.replace('_', ' ')} {value}" for name, value in shown.items()))
    return 0


def ask(verb: str, words: list[str]) -> int:
    """Use a finished run by a verb of its task, such as ``predict``; raises Refused for a run of another task."""
    from d2lrun import tasks
    from d2lrun.config.tables import TASKS
    from d2lrun.runs import asking

    by_task = tasks.words()[verb]
    defaults = {key: value for word in by_task.values() for key, value in word.options.items()}
    directory, options = a_run(verb, words, defaults, more=any(word.takes_files for word in by_task.values()))
    for each in by_task.values():
        each.check(options)
    config = config_of(directory, options)
    directory.refuse_folds()
    word = asking.word_of(verb, directory, config)
    strange = [key for key in defaults if key not in word.options and options[key] != defaults[key]]
    if strange or (options["files"] and not word.takes_files):
        given = f"{strange[0]}={options[strange[0]]}" if strange else options["files"][0]
        title = TASKS[tasks.task_name(config)].title
        raise Refused(f"{given}: not for the run of a {title}", f"{directory.command(verb)} {word.usage}".strip())
    asked = {key: options[key] for key in word.options}
    word.answer(asking.question(directory, config, terminal(), asked, options["files"]))
    return 0


def summary(words: list[str]) -> int:
    """Print the layers of a model: output shapes, parameters, multiply-adds, initial weights."""
    config = composed(words)
    import torch

    from d2lrun import datasets, models
    from d2lrun.models.inputs import example_of
    from d2lrun.report.summary import show_summary, summarise
    from d2lrun.runs.run import explained

    torch.manual_seed(config.seed)
    inputs, classes = datasets.form(config)
    try:
        model = models.build(config.model, inputs, classes)
    except RuntimeError as error:
        raise explained(error, config) or error from error
    show_summary(terminal(), summarise(model, *example_of(inputs)), config.model.name)
    return 0


def cost(words: list[str]) -> int:
    """Time a few steps and print how long the whole run takes on this machine."""
    config = composed(words)
    from d2lrun.runs.cost import measure, show_cost

    console = terminal()
    measured, experiment = measure(config, console)
    show_cost(console, config, measured, experiment.state.device)
    return 0


def data(words: list[str]) -> int:
    """Fetch and verify a dataset, print its counts, and draw samples."""
    from d2lrun.config import compose

    config = composed([*compose.reader(words), *words])
    from d2lrun import datasets
    from d2lrun.report import fonts
    from d2lrun.report.text import say
    from d2lrun.report.transfer import Transfer
    from d2lrun.tasks import view_of

    console = terminal()
    with Transfer(console) as transfer:
        dataset = datasets.shown(config, transfer.say, transfer.progress)
    picture = Path(config.run.root).expanduser() / "data" / f"{dataset.name}.png"
    picture.parent.mkdir(parents=True, exist_ok=True)
    view_of(config).show(console, dataset, picture)
    for line in fonts.notices():
        say(console, line)
    return 0


def compare(words: list[str]) -> int:
    """Compare runs and sweeps: print a table, draw their curves in one picture, write all as csv."""
    from d2lrun.disk import recorded
    from d2lrun.report import compare

    options, named = split_options(words, {"out": "", "sort": ""}, recorded.GIVE)
    entries = compare.arranged(recorded.gather(named), options["sort"] or None)
    from d2lrun.report.text import say

    paths = compare.write(entries, options["out"] or None, arranged=bool(options["sort"]))  # before `| head` ends it
    console = terminal()
    compare.show(console, entries)
    for path in paths:
        say(console, f" {path.suffix[1:]:<4} {path}")
    return 0


def doctor(words: list[str]) -> int:
    """Print versions, devices, data and terminal; return 0 if a first run would work, else 2."""
    if words:
        raise Refused(f"doctor {words[0]}: doctor takes no arguments", "d2lrun doctor")
    from d2lrun.cli.doctor import examine

    return examine(terminal())


def composed(words: list[str]) -> Config:
    """Compose the config from the overrides after a verb; raises Refused."""
    from d2lrun.cli import command
    from d2lrun.config import compose

    options = command.parse(words)
    return compose.compose(options.overrides, options.config_dir)


def a_run(
    verb: str, words: list[str], defaults: dict[str, str], more: bool = False, moves: tuple[str, ...] = MOVES
) -> tuple[Any, dict[str, Any]]:
    """Return the run's directory (the first word) and the options KEY=VALUE, moves and files (if ``more``).

    Raises Refused.
    """
    from d2lrun.disk.rundir import RunDirectory

    moved = [word for word in words if word.startswith(moves)]
    others = [word for word in words if word not in moved]
    if override := next((word for word in others if is_override(word, defaults)), None):
        refuse_override(verb, override)
    options, named = split_options(others, defaults, f"d2lrun {verb} --help lists the options")
    if not named:
        raise Refused("wanted one run's directory, got 0", f"give {A_RUN}")
    if len(named) > 1 and not more:
        hint = f"give it alone, or with options KEY=VALUE, in quotes if they have spaces: d2lrun {verb} --help"
        raise Refused(f"wanted one run's directory, got {len(named)}: {', '.join(named)}", hint)
    directory = RunDirectory(Path(named[0]).expanduser())
    if not directory.path.is_dir():
        raise Refused(f"{named[0]}: no such directory", f"give {A_RUN}")
    if (directory.path / "sweep.json").exists():
        hint = "repeat the command that started it to continue it, or name a run in it"
        raise Refused(f"{named[0]} is a sweep, not a run", hint)
    return directory, options | {"files": named[1:], "moves": moved}


def is_override(word: str, defaults: dict[str, str]) -> bool:
    """Whether a word sets a key or a group of the config, and is neither an option in ``defaults`` nor a path."""
    from dataclasses import fields

    from d2lrun.config.keys import Config

    key, equals, _ = word.partition("=")
    of_config = key.lstrip("+~").partition(".")[0] in {"experiment", *(each.name for each in fields(Config))}
    return bool(equals) and of_config and key not in defaults and not Path(word).exists()


def refuse_override(verb: str, word: str) -> NoReturn:
    """Raise Refused for an override of a run that exists."""
    hint = "a run with another setting is another run: repeat the command that started it, with this setting added"
    from d2lrun.config.hints import enumerated
    from d2lrun.config.schema import PLACES

    taken = [*PLACES, "device", *(["train.epochs"] if verb == "resume" else [])]
    raise Refused(f"{word}: {verb} takes no override but {enumerated(taken)}", hint)


def config_of(directory: Any, options: dict[str, Any]) -> Config:
    """Return the config of a run, with the moves of the options (place of data, device); raises Refused."""
    import yaml

    from d2lrun.config import schema

    data = schema.to_dict(directory.load_config())
    for word in options["moves"]:
        key, _, text = word.partition("=")
        if not text:
            raise Refused(f"{word}: no value", "such as dataset.dir=FOLDER, dataset.path=FILE or device=cpu")
        group, _, name = key.partition(".")
        plain = group == "dataset" and not text.startswith("[")  # a path is used as typed; a list is YAML
        try:
            value = text if plain else yaml.safe_load(text)
        except (yaml.YAMLError, ValueError) as error:  # ValueError: a number of thousands of digits
            raise Refused(f"{word}: the value is not valid YAML", "such as dataset.path=FILE or device=cpu") from error
        data[group][name or "name"] = [value] if key in ("dataset.path", "dataset.test") and plain else value
    return schema.parse(data)


def split_options(words: list[str], defaults: dict[str, str], hint: str) -> tuple[dict[str, Any], list[str]]:
    """Return the options KEY=VALUE in ``defaults`` and the other words; raises Refused for an unknown key."""
    from d2lrun.config.schema import suggestion

    options: dict[str, Any] = dict(defaults)
    named = []
    for word in words:
        key, equals, value = word.partition("=")
        if key in defaults and equals:
            options[key] = value
        elif equals and key.isascii() and key.isidentifier() and not os.path.exists(word):  # 价格=好 is a text
            raise Refused(f"{word}: no such option{suggestion(key, list(defaults))}", hint)
        else:
            named.append(word)
    return options, named


def print_error(error: D2lrunError) -> None:
    """Print the error and its hint to stderr."""
    complain(masked(f"error: {error}\n" + (f"hint: {error.hint}\n" if error.hint else "")))
