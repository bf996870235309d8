"""Run the notebooks of this folder and write their outputs into them: python docs/notebooks/execute.py [FILE ...]

Each notebook runs in an empty temporary folder, with this checkout and this Python.
"""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path

import nbformat
from jupyter_client import AsyncKernelManager
from jupyter_client.kernelspec import KernelSpecManager
from nbclient import NotebookClient
from nbformat import NotebookNode

FOLDER = Path(__file__).parent
CHECKOUT = FOLDER.parents[1]
NOTEBOOKS = sorted(FOLDER.glob("*.ipynb"))
METADATA = {
    "kernelspec": {"name": "python3", "display_name": "Python 3 (ipykernel)", "language": "python"},
    "language_info": {"name": "python"},
}
SECONDS = 300  # for a cell


def executed(path: Path, folder: Path) -> NotebookNode:
    """Return the notebook with the outputs of its cells, run in ``folder``; raises CellExecutionError."""
    notebook = nbformat.read(path, as_version=4)
    with tempfile.TemporaryDirectory() as own:
        # Without folders of kernels there is one kernel, that of this Python. It is reached by files, not by ports.
        kernels, connection = KernelSpecManager(kernel_dirs=[]), str(Path(own, "kernel.json"))
        kernel = AsyncKernelManager(kernel_spec_manager=kernels, transport="ipc", connection_file=connection)
        client = NotebookClient(notebook, km=kernel, timeout=SECONDS, record_timing=False, coalesce_streams=True)
        client.execute(cwd=str(folder), env=environment(Path(own)), cleanup_kc=True)
    notebook.metadata = nbformat.from_dict(METADATA)
    return notebook


def environment(own: Path) -> dict[str, str]:
    """Return the variables of the kernel: this checkout, the CPU, and caches and settings in the folder ``own``."""
    paths = os.pathsep.join(filter(None, [str(CHECKOUT), os.environ.get("PYTHONPATH")]))
    places = {name: str(own / name.lower()) for name in ("D2LRUN_CACHE", "IPYTHONDIR", "JUPYTER_RUNTIME_DIR")}
    return {**os.environ, **places, "PYTHONPATH": paths, "CUDA_VISIBLE_DEVICES": ""}


def without_pages(notebook: NotebookNode) -> NotebookNode:
    """Return the notebook with the text of each run in the place of its page, which has up to 200 kB."""
    for cell in notebook.cells:
        for output in cell.get("outputs", []):
            if output.get("data", {}).get("text/html", "").startswith("<iframe"):
                del output["data"]["text/html"]
    return notebook


def main(names: list[str]) -> None:
    """Run these notebooks, or else all of them, and write them."""
    for path in [*map(Path, names)] or NOTEBOOKS:
        with tempfile.TemporaryDirectory() as folder:
            nbformat.write(without_pages(executed(path, Path(folder))), path)
        print(path)


if __name__ == "__main__":
    main(sys.argv[1:])
