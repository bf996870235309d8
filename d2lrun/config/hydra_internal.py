"""The parts of Hydra without a public name, and the differences between its versions 1.3 and 1.4.

No other file imports ``hydra._internal``. Each use has a test in tests/test_hydra_internal.py.
"""

from __future__ import annotations

from argparse import ArgumentParser
from collections.abc import Callable
from contextlib import AbstractContextManager

import hydra
from hydra import initialize_config_dir
from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra._internal.utils import get_args_parser
from hydra.core.override_parser.types import Override
from hydra.plugins.config_source import ConfigSource
from hydra.plugins.launcher import Launcher
from omegaconf import DictConfig

from d2lrun.config.keys import conf_dir


def ignore_byte_order_marks() -> None:
    """Let Hydra read ``# @package`` in the first line of a file that begins with a byte order mark."""
    header = ConfigSource._get_header_dict
    ConfigSource._get_header_dict = staticmethod(  # type: ignore[method-assign, assignment]
        lambda text: header(text.removeprefix("\ufeff"))
    )


def version_base(version: str) -> dict[str, str]:
    """Return the argument that selects the behaviour of Hydra 1.3: 1.3 needs it, 1.4 warns about it."""
    major, minor = map(int, version.split(".")[:2])
    return {"version_base": "1.3"} if (major, minor) < (1, 4) else {}


VERSION_BASE = version_base(hydra.__version__)
ignore_byte_order_marks()


def initialised() -> AbstractContextManager[None]:
    """Return a context in which Hydra can compose configs from conf/."""
    return initialize_config_dir(str(conf_dir()), job_name="d2lrun", **VERSION_BASE)


def main(job: Callable[[DictConfig], object]) -> None:
    """Let Hydra process ``sys.argv`` and call ``job`` with each config that it composes from conf/."""
    hydra.main(config_path=str(conf_dir()), config_name="config", **VERSION_BASE)(job)()


def options_parser() -> ArgumentParser:
    """Return the parser of Hydra's own options, such as ``--multirun`` and ``--cfg``."""
    return get_args_parser()


def delete(override: Override, config: DictConfig) -> None:
    """Delete the key of ``~key`` from ``config``; raises ConfigCompositionException if it does not exist."""
    ConfigLoaderImpl._apply_overrides_to_config([override], config)


def is_serial(launcher: Launcher) -> bool:
    """Whether ``launcher`` is Hydra's default launcher, which runs the jobs one by one in this process."""
    from hydra._internal.core_plugins.basic_launcher import BasicLauncher  # 1.3 redefines it when it loads plugins

    return isinstance(launcher, BasicLauncher)
