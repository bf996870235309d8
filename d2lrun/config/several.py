"""Several values of one key, in Hydra's syntax: the choices and the intervals of a sweep."""

from __future__ import annotations

from itertools import islice
from typing import Any

from hydra.core.override_parser.types import Glob, Override, QuotedString, Transformer
from hydra.errors import HydraException

from d2lrun.config import compose, hydra_internal
from d2lrun.config.overrides import quoted
from d2lrun.errors import Refused

MOST = 100_000  # most runs in a sweep; more is probably a typing mistake


def expand(overrides: list[str], config_dir: str | None = None) -> tuple[list[str], list[list[str]], list[Override]]:
    """Return the fixed overrides, the choices KEY=VALUE of every key with several values, and the intervals.

    The syntax is Hydra's: a,b  choice(a,b)  range(1,5)  glob(*)  interval(0,1). Raises Refused.
    """
    fixed, axes, intervals = [], [], []
    with compose.aside(), hydra_internal.initialised():
        for text in overrides:
            try:
                override = compose.parse_override(text, several=True)
                if not override.is_sweep_override():
                    fixed.append(text)
                elif override.is_discrete_sweep():
                    key = override.get_key_element()
                    axes.append([f"{key}={value}" for value in choices_of(override, config_dir)])
                else:
                    intervals.append(override)
            except HydraException:
                fixed.append(text)  # the composition complains about it
    return fixed, axes, intervals


def choices_of(override: Override, config_dir: str | None) -> list[str]:
    """Return the values of a sweep as typed; a glob gives options of a group. Raises Refused."""
    pattern = override.value()
    if not isinstance(pattern, Glob):
        try:
            values = list(map(spelt, islice(override.sweep_iterator(), MOST + 1)))
        except (ValueError, ZeroDivisionError) as error:
            raise Refused(f"{override.input_line}: {error}", "a range is range(1,5), or range(0,1,0.25)") from error
        if not values:
            hint = "a range begins below its end, or has a step below 0"
            raise Refused(f"{override.input_line}: no value in it", hint)
        if len(values) > MOST:
            raise Refused(f"{override.input_line}: wanted at most {MOST:,} values", "sweep fewer, or use sweep=optuna")
        return values
    options = compose.group_options(config_dir).get(override.key_or_group, [])
    if matching := pattern.filter(options):
        return matching
    have = f"have: {', '.join(options)}" if options else "a glob is for a group, such as model or experiment"
    raise Refused(f"{override.input_line}: no option matches", have)


def spelt(value: Any) -> str:
    """Return one value of a sweep as typed: with quotes if it had them, or if Hydra would misread it."""
    if isinstance(value, QuotedString):
        return value.with_quotes()
    if isinstance(value, list):
        return f"[{','.join(map(spelt, value))}]"
    text = Transformer.str(value)
    return text if not isinstance(value, str) or text == value else quoted(value, refers=True)
