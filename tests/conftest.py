"""What many tests share: a small dataset that can be learnt, and a mirror on this machine that counts its requests."""

from __future__ import annotations

import compileall
import contextlib
import copy
import gc
import itertools
import os
import pickle
import re
import struct
import sys
import threading
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before torch: threads that wait for each other's cores take minutes

import torch
from hydra._internal import defaults_list
from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra.core.config_store import ConfigStore
from hypothesis import settings
from omegaconf import DictConfig, OmegaConf, open_dict, read_write

from d2lrun import errors, signals
from d2lrun.config import compose, plugins, registry
from d2lrun.config.keys import conf_dir
from d2lrun.config.tables import BY_GROUP
from d2lrun.datasets.fashion_mnist import CLASSES, TEST_IMAGES, TEST_LABELS, TRAIN_IMAGES, TRAIN_LABELS
from d2lrun.disk import recorded, rundir
from d2lrun.errors import D2lrunError, Stopped
from d2lrun.tasks.classification.images import ImageDataset
from tests.commands import Outcome

# Files whose tests start processes or train whole networks: `make check` leaves them out.
SLOW = re.compile(
    r"/faults/|/api/|_end_to_end|sweeps/test_(launchers|search|sweep|refit)"
    r"|models/test_(kill|models|densenet|googlenet|build|torchvision|vision|vgg|resnet|faults|shapes)"
    r"|report/test_(figure|layout|curves|overlay|sweep|sweep_picture|search_picture|compare|summary)"
    r"|tasks/.*/test_(words|styles|pictures|generate|stream)|datasets/test_(jieba|pydoc|fra_eng)"
    r"|runs/test_(run|kfold|longer|cost|identity|next_step|inference|predict_many)|cli/test_(main|completion|doctor)"
    r"|training/test_(fit|devices|threads|evaluate|split_check)|disk/test_(locate|files|download|rundir)"
    r"|config/test_(hints|bounds|hydra_internal|plugins|registry|code)"
    r"|tests/test_(benchmarks|makefile|mutants|new_task|readme|signals|streams)"
)


def pytest_ignore_collect(collection_path, config):
    """`make check` does not import what it leaves out."""
    is_out = config.option.markexpr == "not slow" and SLOW.search(collection_path.as_posix())
    return True if is_out else None  # None: as pytest decides


def pytest_collection_modifyitems(items):
    for item in items:
        if SLOW.search(item.path.as_posix()):
            item.add_marker(pytest.mark.slow)


def pytest_configure(config):
    """Before several workers start, d2lrun is compiled: their tests start many processes that import it."""
    if getattr(config.option, "numprocesses", None):
        compileall.compile_dir(Path(errors.__file__).parent, quiet=2)


def pytest_collection_finish():
    """Modules and tests stay until the end: the garbage collector need not look at them again and again."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 50)


settings.register_profile("d2lrun", deadline=None, max_examples=50)  # a busy machine breaks any deadline
settings.load_profile("d2lrun")
KEPT = {"sweeper", "job_logging", "hydra_logging"}  # the groups of Hydra that conf/config.yaml overrides
USERS = {name: os.environ.get(name) for name in ("D2LRUN_CACHE", "D2LRUN_DATA", "HOME")}


@pytest.fixture(scope="session", autouse=True)
def compositions():
    """Hydra reads a file of conf/ once, and composes the same words once. Else only the working directory counts.

    The config.yaml of a run is parsed once for each text.
    """
    composed: dict[str, bytes] = {}
    parsed: dict[str, bytes] = {}
    configs: dict[str, bytes] = {}
    ours = {"", "hydra.conf", str(conf_dir())}  # where its parts may come from

    def load(self, *arguments, original=ConfigLoaderImpl.load_configuration, **options):
        asked = repr((arguments, options))
        if {source.path for source in self.get_sources()} - ours or "searchpath" in asked:
            return original(self, *arguments, **options)
        if asked not in composed:
            composed[asked] = pickle.dumps(original(self, *arguments, **options))
        config = pickle.loads(composed[asked])
        with open_dict(config):
            config.hydra.runtime.cwd = os.getcwd()
        return config

    def read(file, original=OmegaConf.load):
        path = str(getattr(file, "name", file))
        if not path.startswith(f"{conf_dir()}{os.sep}"):
            return original(file)
        if path not in parsed:
            parsed[path] = pickle.dumps(original(file))
        return pickle.loads(parsed[path])

    def plain(text, original=rundir.parse_yaml):
        if text not in configs:
            configs[text] = pickle.dumps(original(text))
        return pickle.loads(configs[text])

    def choices(overrides, entries, self_added, original=defaults_list._create_interpolation_map):
        return original(overrides, entries, self_added) if any("${" in str(each) for each in entries) else None

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(registry, "CACHES", [*registry.CACHES, composed.clear])
        patch.setattr(defaults_list, "_create_interpolation_map", choices)  # no file of conf/ interpolates an option
        patch.setattr(ConfigLoaderImpl, "load_configuration", load)
        patch.setattr(OmegaConf, "load", read)
        for module in (rundir, recorded):
            patch.setattr(module, "parse_yaml", plain)
        patch.setattr(compose, "hydra_compose", without_most_of_hydras_config(compose.hydra_compose))
        yield


def without_most_of_hydras_config(hydra_compose):
    """Hydra's ``compose`` in half the time: of its own config, which is thrown away, it loads three groups only."""

    def lean(*arguments):
        configs = ConfigStore.instance().repo["hydra"]
        node = configs["config.yaml"]
        config = copy.deepcopy(node.node)
        with read_write(config):
            config.defaults = [each for each in config.defaults if not isinstance(each, DictConfig) or {*each} & KEPT]
        configs["config.yaml"] = replace(node, node=config)
        try:
            return hydra_compose(*arguments)
        finally:
            configs["config.yaml"] = node

    return lean


@pytest.fixture
def users_environment(monkeypatch):
    """Where the user keeps the real data, whatever another test has put in its place."""
    for name, value in USERS.items():
        monkeypatch.delenv(name, raising=False) if value is None else monkeypatch.setenv(name, value)


def striped(count: int, seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Images uint8 [N, 1, 28, 28] with a bright bar at the height of their class, under noise; labels [N]."""
    generator = torch.Generator().manual_seed(seed)
    labels = torch.randint(10, (count,), generator=generator)
    images = torch.randint(60, (count, 1, 28, 28), generator=generator, dtype=torch.uint8)
    for image, label in zip(images, labels.tolist(), strict=True):
        image[0, 4 + 2 * label : 6 + 2 * label, 4:24] += 180
    return images, labels


@pytest.fixture(scope="session")
def stripes() -> ImageDataset:
    """330 + 101 images that every network learns in a few steps; neither number is a multiple of a batch."""
    return ImageDataset("fashion-mnist", CLASSES, *striped(330, seed=1), *striped(101, seed=2), "striped")


@pytest.fixture(scope="session")
def stripes_folder(stripes, tmp_path_factory):
    """``stripes`` as the four IDX files, for dataset.verify=false."""
    folder = tmp_path_factory.mktemp("stripes")
    contents = {
        **{TRAIN_IMAGES: stripes.train_images, TRAIN_LABELS: stripes.train_labels},
        **{TEST_IMAGES: stripes.test_images, TEST_LABELS: stripes.test_labels},
    }
    for name, tensor in contents.items():
        shape = (len(tensor), 28, 28) if tensor.ndim == 4 else (len(tensor),)
        header = struct.pack(f">HBB{len(shape)}I", 0, 8, len(shape), *shape)
        (folder / name).write_bytes(header + tensor.to(torch.uint8).numpy().tobytes())
    return folder


@pytest.fixture(scope="session")
def own_images(stripes_folder) -> list[str]:
    """The overrides for ``stripes`` in the place of Fashion-MNIST, which a machine may not have."""
    return [f"dataset.dir={stripes_folder}", "dataset.verify=false"]


@pytest.fixture(scope="session")
def own_texts(tmp_path_factory) -> list[str]:
    """The overrides for 90 + 30 short texts of two classes that can be learnt."""
    folder, moods = tmp_path_factory.mktemp("texts"), ("bad", "good")
    for name, count in (("train", 90), ("test", 30)):
        rows = [f"it is {'so ' * (n % 5)}{moods[n % 2]} {n % 7}\t{moods[n % 2]}" for n in range(count)]
        (folder / f"{name}.tsv").write_text("\n".join(["text\tlabel", *rows]), encoding="utf-8")
    return [f"dataset.path=[{folder / 'train.tsv'}]", f"dataset.test=[{folder / 'test.tsv'}]"]


@pytest.fixture(autouse=True)
def no_signal_is_left():
    """A Stopped that a test catches ends no process: what it leaves must not stop the next test."""
    yield
    signals.handler.received = None


@pytest.fixture(autouse=True)
def own_code():
    """The networks, datasets and plugins that a test adds are removed after it."""
    yield
    plugins.LOADED.clear()
    for group, table in BY_GROUP.items():
        for name in [name for name, line in table.items() if line.added]:
            registry.remove(group, name)


@pytest.fixture
def d2lrun(tmp_path, monkeypatch, capsys):
    """``d2lrun(WORD…)``: the command in this process, in the test's own folder, without pictures of single runs."""
    from d2lrun.cli import main as cli
    from d2lrun.sweeps import monitor

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)  # no test pulls the plug
    monkeypatch.setattr(sys, "argv", ["d2lrun"])  # which Hydra reads and d2lrun changes
    monkeypatch.setenv("HYDRA_FULL_ERROR", "1")
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setattr("d2lrun.runs.run.draw", lambda *arguments: None)
    for name in ("draw_sweep", "draw_few", "write_sweep_page"):
        monkeypatch.setattr(monitor, name, lambda *arguments: None, raising=False)
    monkeypatch.setattr(monitor, "TICK", 0.05)

    def call(*words: object) -> Outcome:
        try:
            code = cli.dispatch([*map(str, words)])
        except (Stopped, D2lrunError) as error:
            code = cli.report(error)
            signals.handler.received = None  # the process ends here, and the next call is another
        return Outcome(code, *capsys.readouterr())

    return call


@pytest.fixture
def at_step(monkeypatch):
    """``with at_step(n, fault):`` — behind the n-th step of training from here on, ``fault()`` happens."""
    from d2lrun.training import fit

    @contextlib.contextmanager
    def faulty(step: int, fault: Callable[[], object]):
        original, steps = fit.train_batch, itertools.count(1)

        def train_batch(*arguments, **options):
            original(*arguments, **options)
            if next(steps) == step:
                fault()

        with monkeypatch.context() as patch:
            patch.setattr(fit, "train_batch", train_batch)
            yield

    return faulty


class Mirror(ThreadingHTTPServer):
    """Serves ``pages``: path -> bytes, a status, or a function of the handler and the requests so far."""

    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server_address[1]}"
        self.pages: dict[str, bytes | int | Callable] = {}
        self.requests: Counter[str] = Counter()
        self.closing = threading.Event()  # a page that waits, waits for this

    def handle_error(self, request, client_address):
        """A client that hangs up is nothing to report."""


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        self.server.requests[self.path] += 1
        page = self.server.pages.get(self.path, 404)
        if callable(page):
            page(self, self.server.requests[self.path])
        elif isinstance(page, int):
            self.send_error(page)
        else:
            self.reply(page)

    def reply(self, body: bytes, length: int | None = None, status: int = 200, **headers: str):
        """``length`` is the Content-Length; -1 for none at all."""
        self.send_response(status)
        if length != -1:
            self.send_header("Content-Length", str(len(body) if length is None else length))
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)
        self.wfile.flush()

    def log_message(self, *arguments):
        """The test's output stays clean."""


@pytest.fixture
def mirror(monkeypatch):
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with Mirror() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.closing.set()
        server.shutdown()
        thread.join()
