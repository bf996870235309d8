"""d2lrun: train the networks of "Dive into Deep Learning" from one command line, or from Python."""

TYPE_CHECKING = False  # as of typing, whose import would delay the signal handlers of the command line
if TYPE_CHECKING:
    from d2lrun.api.estimators import Classifier as Classifier
    from d2lrun.api.estimators import Regressor as Regressor
    from d2lrun.api.parts import Data as Data
    from d2lrun.api.parts import build as build
    from d2lrun.api.parts import data as data
    from d2lrun.api.run import Run as Run
    from d2lrun.api.run import load as load
    from d2lrun.api.run import resume as resume
    from d2lrun.api.run import train as train
    from d2lrun.api.sweep import Sweep as Sweep
    from d2lrun.api.sweep import compare as compare
    from d2lrun.api.sweep import sweep as sweep
    from d2lrun.config.registry import dataset as dataset
    from d2lrun.config.registry import model as model
    from d2lrun.config.types import Between as Between
    from d2lrun.errors import D2lrunError as D2lrunError
    from d2lrun.errors import Diverged as Diverged
    from d2lrun.errors import Failed as Failed
    from d2lrun.errors import Refused as Refused
    from d2lrun.errors import Stopped as Stopped
    from d2lrun.tasks import Classes as Classes

__version__ = "0.1.0"

# The whole public interface: each name, and the file that it is imported from when it is first used.
PUBLIC = {
    **dict.fromkeys(("train", "resume", "load", "Run"), "d2lrun.api.run"),
    **dict.fromkeys(("sweep", "compare", "Sweep"), "d2lrun.api.sweep"),
    **dict.fromkeys(("data", "build", "Data"), "d2lrun.api.parts"),
    **dict.fromkeys(("model", "dataset"), "d2lrun.config.registry"),
    "Between": "d2lrun.config.types",
    **dict.fromkeys(("Classifier", "Regressor"), "d2lrun.api.estimators"),
    "Classes": "d2lrun.tasks",
    **dict.fromkeys(("D2lrunError", "Refused", "Failed", "Diverged", "Stopped"), "d2lrun.errors"),
}
__all__ = [*PUBLIC]


def __getattr__(name: str) -> object:
    """Import a public name when it is first used: ``import d2lrun`` itself takes no time."""
    if name not in PUBLIC:
        raise AttributeError(f"module 'd2lrun' has no attribute {name!r}; it has {', '.join(PUBLIC)}")
    from importlib import import_module

    found = getattr(import_module(PUBLIC[name]), name)
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    return [*PUBLIC, "__version__"]
