"""docs/tour.ipynb: run it, as the test does, or save it with new outputs: `make tour`."""

import re
import shutil
from pathlib import Path
from tempfile import TemporaryDirectory

import nbformat
import pytest
from conftest import ROOT
from nbclient import NotebookClient
from test_scripts import copy_scripts

TOUR = ROOT / "docs" / "tour.ipynb"
MAX_BYTES = 400_000
FOLDERS_OF_A_MACHINE = r"/(?:root|home|tmp|usr|work|Users|content)/|[A-Z]:\\\\"


def read_tour():
    return nbformat.read(TOUR, as_version=4)


def run_tour(folder):
    """Run the notebook in a copy of the repository in a folder; return it with its outputs."""
    copy_scripts(folder)
    shutil.copytree(ROOT / "data" / "examples", folder / "data" / "examples")
    place = {"metadata": {"path": str(folder)}}
    notebook = read_tour()
    options = {"coalesce_streams": True, "record_timing": False}
    return drop_notes(NotebookClient(notebook, resources=place, timeout=None, **options).execute())


def drop_notes(notebook):
    """Delete progress bars and notes of TensorFlow and others, which name folders of a machine."""
    for cell in notebook.cells:
        outputs = cell.get("outputs", [])
        outputs[:] = [output for output in outputs if output.get("name") != "stderr"]
        for output in outputs:
            if "text" in output:
                output.text = re.sub(r"INFO:tensorflow:.*\n", "", output.text)
    return notebook


def list_results(notebook):
    """Return {cell: kinds of its outputs} without what it prints, such as "display_data"."""
    return {
        cell.id: [x.output_type for x in cell.outputs if x.output_type != "stream"]
        for cell in notebook.cells
        if cell.cell_type == "code"
    }


def test_the_saved_outputs_are_of_one_run_without_errors_or_paths_of_a_machine():
    notebook = read_tour()
    nbformat.validate(notebook)
    cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert [cell.execution_count for cell in cells] == list(range(1, len(cells) + 1))
    kinds = [kind for found in list_results(notebook).values() for kind in found]
    assert "error" not in kinds and kinds.count("display_data") >= 2
    text = TOUR.read_text(encoding="utf-8")
    assert not re.search(FOLDERS_OF_A_MACHINE, text) and len(text) <= MAX_BYTES


@pytest.mark.slow
def test_the_tour_runs_and_has_results_of_the_saved_kinds(tmp_path):
    assert list_results(run_tour(tmp_path)) == list_results(read_tour())


if __name__ == "__main__":
    with TemporaryDirectory() as copy:
        nbformat.write(run_tour(Path(copy)), TOUR)
