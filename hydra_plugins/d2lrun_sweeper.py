"""Where Hydra looks for sweepers: hands its launcher, whichever it is, to d2lrun's own sweep.

Loaded at every start that Hydra takes part in, so nothing heavy is imported here. Hydra does not register the module
while it runs it, so a dataclass in it cannot have its annotations as text (``from __future__ import annotations``).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hydra.core.config_store import ConfigStore
from hydra.core.plugins import Plugins
from hydra.core.utils import JobReturn
from hydra.plugins.launcher import Launcher
from hydra.plugins.sweeper import Sweeper
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig

from d2lrun.config import hydra_internal


@dataclass
class D2lrunSweeperConf:
    _target_: str = "hydra_plugins.d2lrun_sweeper.D2lrunSweeper"


ConfigStore.instance().store(group="hydra/sweeper", name="d2lrun", node=D2lrunSweeperConf, provider="d2lrun")


class D2lrunSweeper(Sweeper):
    """Gives ``task_function.steer`` a way to launch runs, and lets it decide which and when."""

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        task: Any = task_function
        self.steer = task.steer
        self.launcher: Launcher = Plugins.instance().instantiate_launcher(
            hydra_context=hydra_context, task_function=task.job, config=config
        )
        self.launched = 0
        from d2lrun.sweeps import workers

        workers.adapt(self.launcher)

    def sweep(self, arguments: list[str]) -> Any:
        serial = hydra_internal.is_serial(self.launcher)  # which would compose each config anew to do the same
        return self.steer(None, 1) if serial else self.steer(self.launch, workers_of(self.launcher))

    def launch(self, directories: Sequence[Path]) -> list[str | Exception]:
        """Let the runs whose configs lie in ``directories`` be trained; returns how each ended, when all have."""
        from d2lrun.config.overrides import quoted
        from d2lrun.sweeps import workers

        overrides = [[f"run.dir={quoted(str(directory))}"] for directory in directories]
        first, self.launched = self.launched, self.launched + len(overrides)
        with workers.started_in(Path(directories[0]).parent):
            jobs = self.launcher.launch(overrides, initial_job_idx=first)
        return [how_it_ended(job) for job in jobs]


def workers_of(launcher: Any) -> int | None:
    """How many runs it trains at a time, where it says so."""
    count = getattr(launcher, "joblib", {}).get("n_jobs")
    if count is None:
        return None
    from joblib import effective_n_jobs

    return effective_n_jobs(count)


def how_it_ended(job: JobReturn) -> str | Exception:
    """What the job returned or raised."""
    try:
        return job.return_value
    except Exception as error:
        return error
