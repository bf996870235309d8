"""The search space: Hydra's syntax for several values, as numbers between two ends or as choices."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from d2lrun.config import several
from d2lrun.config.compose import parse_override
from d2lrun.errors import Refused
from d2lrun.sweeps import trial

if TYPE_CHECKING:
    from hydra.core.override_parser.types import Override

WIDE = 100  # an interval whose ends differ by this factor is searched on a log scale


@dataclass(frozen=True)
class Numbers:
    """Numbers from ``low`` to ``high``, both included; whole numbers if ``step`` is given."""

    low: float
    high: float
    log: bool
    step: int | None = None  # None: not whole numbers

    def ends(self) -> list[str]:
        """Return both ends, as typed."""
        return [repr(self.low), repr(self.high)]

    def distribution(self) -> Any:
        """Return the distribution of Optuna."""
        kinds = trial.engine().distributions
        if self.step is None:
            return kinds.FloatDistribution(self.low, self.high, log=self.log)
        return kinds.IntDistribution(int(self.low), int(self.high), log=self.log, step=self.step)


@dataclass(frozen=True)
class Choices:
    """One of these values, each as typed."""

    texts: tuple[str, ...]

    def ends(self) -> list[str]:
        """Return all values."""
        return list(self.texts)

    def distribution(self) -> Any:
        """Return the distribution of Optuna."""
        return trial.engine().distributions.CategoricalDistribution(self.texts)


def space_of(texts: list[str], config_dir: str | None) -> dict[str, Numbers | Choices]:
    """Return the space of each key: an interval, a range of whole numbers, or single values. Raises Refused."""
    _, axes, _ = several.expand(texts, config_dir)
    values = {axis[0].partition("=")[0]: axis for axis in axes if axis}
    found: dict[str, Numbers | Choices] = {}
    for override in (parse_override(text, several=True) for text in texts):
        key = override.get_key_element()
        if not override.is_discrete_sweep():
            found[key] = interval(override)
        elif key not in values:
            raise Refused(
                f"{override.input_line}: no value in it", "a range begins below its end, or has a step below 0"
            )
        elif override.is_range_sweep() and isinstance(sweep_of(override).step, int):
            found[key] = whole_range(override, [int(text.partition("=")[2]) for text in values[key]])
        else:
            found[key] = Choices(tuple(text.partition("=")[2] for text in values[key]))
    return found


def sweep_of(override: Override) -> Any:
    """Hydra's object for an interval or a range: it has start, and end or stop and step, and tags."""
    return override.value()


def interval(override: Override) -> Numbers:
    """Parse ``interval(a,b)``, on a log scale if it is wide, or ``int(interval(a,b))``. Raises Refused."""
    text, value = override.input_line, sweep_of(override)
    low, high = value.start, value.end
    if not low < high:
        raise Refused(f"{text}: nothing between its ends", "give the lower end first")
    whole = isinstance(low, int) and isinstance(high, int)
    log = on_log_scale(override, default=not whole and low > 0 and high >= WIDE * low)
    if log and low <= 0:
        raise Refused(f"{text}: a log scale begins above 0", "give a lower end above 0, or leave the tag out")
    return Numbers(low, high, log, 1 if whole else None)


def whole_range(override: Override, values: list[int]) -> Numbers:
    """Parse ``range(a,b,step)``, without its end, as always in Hydra. Raises Refused."""
    step, log = abs(sweep_of(override).step), on_log_scale(override, default=False)
    if log and (step > 1 or min(values) < 1):
        raise Refused(f"{override.input_line}: a log scale begins above 0 and has no steps", "leave the tag out")
    return Numbers(min(values), max(values), log, step)


def on_log_scale(override: Override, default: bool) -> bool:
    """Return whether the tag is ``log`` (or ``linear``: False), else ``default``; raises Refused for other tags."""
    tags = sweep_of(override).tags
    if len(tags) > 1 or not tags <= {"log", "linear"}:
        raise Refused(f"{override.input_line}: wanted the tag log or linear", "tag(log,interval(0.1,1))")
    return "log" in tags if tags else default
