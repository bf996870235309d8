"""docs/notebooks: each notebook runs from top to bottom, its outputs are the committed ones, and its text is true."""

from __future__ import annotations

import re

import nbformat
import pytest

from docs.notebooks.execute import NOTEBOOKS, executed, without_pages

VARYING = r"\d{4}-\d\d-\d\d_\d\d-\d\d-\d\d|\b[0-9a-f]{6,16}\b|(?<=step )\d+"  # times, digests, where a run was stopped
NUMBER = r"\d+\.\d+"


def outputs(notebook, *kinds):
    """Yield the outputs of these kinds with the source of their cell."""
    for cell in notebook.cells:
        yield from ((cell.source, output) for output in cell.get("outputs", []) if output.output_type in kinds)


def results(notebook) -> list[str]:
    """What the cells print and return, as text."""
    found = [output for _, output in outputs(notebook, "stream", "execute_result")]
    return [output.text if output.output_type == "stream" else output.data["text/plain"] for output in found]


def split(text: str) -> tuple[list[str], list[float]]:
    """The words between the numbers that have a point, and these numbers."""
    text = " ".join(re.sub(VARYING, "*", text).split())
    return re.split(NUMBER, text), [float(number) for number in re.findall(NUMBER, text)]


def check_quiet(notebook) -> None:
    """Nothing is on stderr. A cell that trains shows one output, which is replaced, in HTML and as text."""
    assert all("print(" in source and output.name == "stdout" for source, output in outputs(notebook, "stream"))
    shown = list(outputs(notebook, "display_data", "update_display_data", "error"))
    code = [cell.source for cell in notebook.cells if cell.cell_type == "code"]
    trains = [source for source in code if re.search(r"d2lrun\.(train|sweep)\(", source)]
    assert [source for source, _ in shown] == [source for source in trains if "d2lrun.Refused" not in source]
    assert all({*output.data} == {"text/html", "text/plain"} for _, output in shown)


def number(text: str, name: str) -> float:
    """The number after a name."""
    return float(re.search(rf"{name}\D*?({NUMBER})", text)[1])


def check_first_run(text: str) -> None:
    train, test = (number(text, f"{split}_accuracy") for split in ("train", "test"))
    assert 0.85 < test < train
    assert "saved" in text and "finished after 20 epochs" in text
    assert "2 problems" in text
    assert number(text, r"SmallCNN-\w+ test accuracy") > number(text, "lenet +test accuracy") == test


def check_kfold_and_sweep(text: str) -> None:
    assert text.count("fold-") == 3
    assert number(text, "mean ") < number(text, "linear regression") < number(text, "mean:")
    rows = [[float(cell) for cell in row.split()] for row in re.findall(r"(?m)^ +\d+ +[\d.]+ +\d.*$", text)]
    errors = {(hidden, decay): measured for hidden, decay, *measured in rows}  # of train, val and test
    assert len(rows) == len(errors) == 6
    assert all(errors[hidden, 0.1][0] > errors[hidden, 0][0] for hidden in (2, 16, 64))  # it is too strong
    assert number(text, "\nval rmse") == min(val for _, val, _ in errors.values())
    assert number(text, "\nkfold +val rmse") > number(text, "\nholdout val rmse")  # it learns from fewer rows
    predicted = [number(text, rf"{name} +predicted") for name in ("south", "north", "harbour", "centre")]
    assert predicted == sorted(predicted)


def check_own_pictures(text: str) -> None:
    assert min(number(text, f"{part}_accuracy") for part in ("train", "val", "test")) > 0.85
    assert number(text, "triangle") > 0.8 and number(text, "validation accuracy") > 0.8
    assert int(re.search(r"squares: (\d+)", text)[1]) >= 8
    assert "broken.jpg is not an image" in text and "left out 1 file" in text


CHECKS = {
    "first_run": check_first_run,
    "kfold_and_sweep": check_kfold_and_sweep,
    "own_pictures": check_own_pictures,
}


def test_each_notebook_is_known():
    assert {path.stem for path in NOTEBOOKS} == {*CHECKS}


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_runs_and_says_what_is_committed(tmp_path, path):
    notebook = without_pages(executed(path, tmp_path))
    check_quiet(notebook)
    CHECKS[path.stem]("\n".join(results(notebook)))
    for ran, committed in zip(results(notebook), results(nbformat.read(path, as_version=4)), strict=True):
        assert split(ran)[0] == split(committed)[0], "if the new output is right: make notebooks"
        assert split(ran)[1] == pytest.approx(split(committed)[1], rel=0.05, abs=0.05)


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_is_small_and_names_no_place_of_a_machine(path):
    text = path.read_text("utf-8")
    assert len(text) < 300_000 and not re.search(r"/(tmp|root|home|work|Users|var)/", text)
