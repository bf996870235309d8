"""Digits: read from the installed package, which is not imported, and divided in the same way for everybody."""

from __future__ import annotations

import gzip
import sys
from dataclasses import replace
from importlib.util import find_spec

import numpy as np
import pytest
import torch

from d2lrun.datasets import digits
from d2lrun.disk.files import sha256
from d2lrun.errors import Refused

ROWS = np.column_stack((np.arange(50 * 64).reshape(50, 64) % 17, np.arange(50) % 10))
CONTENT = "".join(",".join(map(str, row)) + "\n" for row in ROWS).encode()


@pytest.fixture
def files(tmp_path, monkeypatch):
    """A file of the same form, in a package that must not be imported."""
    package = tmp_path / "site" / "sklearn"
    (package / "datasets" / "data").mkdir(parents=True)
    (package / "__init__.py").write_text("raise AssertionError('imported')")
    (package / "datasets" / "data" / "digits.csv.gz").write_bytes(gzip.compress(CONTENT))
    monkeypatch.setenv("D2LRUN_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("D2LRUN_DATA", raising=False)
    monkeypatch.delitem(sys.modules, "sklearn", raising=False)
    monkeypatch.syspath_prepend(package.parent)
    return replace(digits.FILES, sums={digits.FILE: sha256(CONTENT)})


def test_the_installed_package_is_read_and_not_imported(files):
    data = digits.load(None, files=files)
    assert "sklearn" not in sys.modules and data.inputs == (1, 8, 8)
    assert torch.equal(torch.cat((data.train_labels, data.test_labels)), torch.from_numpy(ROWS[:, -1]))


def test_the_last_fifth_is_the_test_part(files):
    data = digits.load(None, files=files)
    assert len(data.train_labels) == 40 and data.test_labels.tolist() == [*range(10)]


def test_pixels_from_0_to_16_become_0_to_255(files):
    data = digits.load(None, files=files)
    pixels = torch.cat((data.train_images, data.test_images)).flatten().tolist()
    assert pixels == [int(255 * value / 16 + 0.5) for value in ROWS[:, :-1].flatten()]
    assert {0, 255} <= set(pixels)


def test_a_folder_of_the_user_is_read(files, tmp_path, monkeypatch):
    folder = tmp_path / "data" / "digits"
    folder.mkdir(parents=True)
    (folder / "digits.csv").write_bytes(CONTENT)
    assert digits.load(str(folder), files=files).source == str(folder / "digits.csv")
    monkeypatch.setenv("D2LRUN_DATA", str(folder.parent))
    assert digits.load(None, files=files).source == str(folder / "digits.csv")


def test_without_the_package_the_error_names_the_command(files, monkeypatch):
    monkeypatch.setattr(digits, "folder", lambda: None)
    with pytest.raises(Refused) as caught:
        digits.load(None, files=files)
    assert caught.value.hint.startswith("pip install 'd2lrun[digits]'")


@pytest.mark.parametrize("text", [",".join(["1"] * 64), ",".join(["17"] * 65), ",".join(["x"] * 65), "", "1\n1,2"])
def test_a_file_of_another_form_is_refused(files, tmp_path, text):
    (tmp_path / "digits.csv").write_text(text)
    with pytest.raises(Refused, match=r"digits\.csv: "):
        digits.load(str(tmp_path), files=replace(files, sums={digits.FILE: sha256(text.encode())}))


@pytest.mark.skipif(find_spec("sklearn") is None, reason="needs the extra digits")
def test_the_published_file_is_the_packages():
    data = digits.load(None)
    assert len(data.train_labels) == 1438 and len(data.test_labels) == 359
    assert data.train_labels.bincount().min() > 140
