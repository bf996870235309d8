"""Ask a finished run by a verb of its task, such as ``predict``: for people to read, or for Python as a value."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, NoReturn

from d2lrun import tasks
from d2lrun.config.keys import Config
from d2lrun.config.schema import suggestion
from d2lrun.config.tables import TASKS
from d2lrun.disk.rundir import RunDirectory
from d2lrun.errors import Refused
from d2lrun.report.text import say

if TYPE_CHECKING:
    from rich.console import Console


def word_of(verb: str, directory: RunDirectory, config: Config) -> tasks.Word:
    """Return the verb as the task of a run has it; raises Refused if it does not have it."""
    task = tasks.task_name(config)
    word = tasks.words()[verb].get(task)
    return word or refuse_task(verb, directory, task)


def refuse_task(verb: str, directory: RunDirectory, task: str) -> NoReturn:
    """Raise Refused for a verb that the task of a run does not have; the hint is a verb that it has."""
    own = [other for other, by_task in tasks.words().items() if task in by_task]
    wanted = f"is the run of a {TASKS[task].title}: there is no {verb} for it"
    raise Refused(f"{directory.path} {wanted}", directory.command(own[0] if own else "evaluate"))


def question(
    directory: RunDirectory, config: Config, console: Console, options: dict[str, str], files: Sequence[str] = ()
) -> tasks.Question:
    """Return the question of a verb; torch is imported only by its ``load``."""

    def load(**told: Any) -> tuple[Any, Any]:
        from d2lrun.runs import inference

        return inference.load(directory, config, **told)[1:]

    def check_data(**told: Any) -> None:
        from d2lrun.runs import inference

        inference.check_data(directory, config, **told)

    return tasks.Question(directory, config, console, load, check_data, options, list(files))


def value(verb: str, directory: RunDirectory, inputs: Any, options: Mapping[str, Any], console: Console) -> Any:
    """Return what a run answers to ``inputs`` (None: its own data); raises Refused."""
    config = directory.load_config()
    directory.refuse_folds()
    word = word_of(verb, directory, config)
    texts = word.options | {key: str(option) for key, option in options.items() if option is not None}
    if strange := [key for key in texts if key not in word.options]:
        close = suggestion(strange[0], list(word.options))
        raise Refused(f"{verb}: {strange[0]}: no such option{close}", f"options: {', '.join(word.options) or 'none'}")
    word.check(texts)
    asked = question(directory, config, console, texts)
    told = {"say": partial(say, console)}
    asked.load, asked.check_data = partial(asked.load, **told), partial(asked.check_data, **told)
    answer = tasks.value(tasks.task_name(config), verb)
    if answer is None:
        title = TASKS[tasks.task_name(config)].title
        raise Refused(f"{verb} of a {title} returns no value for Python", f"in a shell: {directory.command(verb)}")
    return answer(asked, inputs)
