"""A changed byte anywhere in what the steps hand on is a line that names the file."""

import random
import shutil

from postergenres.dataset.store import open_store
from postergenres.models.description import PRETRAINED_FOLDERS
from postergenres.models.saved import open_model
from postergenres.poster_model import PosterModel

import pytest

import preprocessing

PLACES = 4  # of each file


def open_whole_model(folder):
    PosterModel(folder)
    open_model(folder)


def run_step_3(data):
    preprocessing.main(data, image_height=48, image_width=32, workers=1)


ARTEFACTS = {  # how a copy of the folder is opened, and the names of its files; None for all
    "store": (lambda folder: open_store(folder.parent), None),
    "model": (open_whole_model, None),
    "improved": (open_whole_model, None),  # a pretrained model
    "data": (run_step_3, ["samples.csv", "sampling.json"]),
}


@pytest.mark.parametrize("artefact", ARTEFACTS)
def test_a_changed_byte_is_a_line_that_names_the_file(
    pipeline, fake_reader, tmp_path, capsys, artefact
):
    places = {"data": pipeline.data, "improved": PRETRAINED_FOLDERS["improved"]}
    healthy, rng = places.get(artefact, pipeline.data / artefact), random.Random(artefact)
    open_artefact, names = ARTEFACTS[artefact]
    files = [path.name for path in sorted(healthy.iterdir()) if path.is_file()]
    for name in PLACES * (names or files):
        folder = shutil.copytree(healthy, tmp_path / artefact)
        content = bytearray((folder / name).read_bytes())
        if content:
            position = rng.randrange(len(content))
            content[position] ^= rng.randrange(1, 256)
            (folder / name).write_bytes(content)
            line = read_lines(open_artefact, folder, capsys)
            where = str(folder) if name == "checksums.json" else str(folder / name)
            assert where in line, f"byte {position} of {name}: {line}"
        shutil.rmtree(folder)
    shutil.copytree(healthy, tmp_path / artefact)
    assert "damaged" not in read_lines(open_artefact, tmp_path / artefact, capsys)


def read_lines(open_artefact, folder, capsys):
    """Open an artefact; return the line that it ends with, or else the lines that it prints."""
    capsys.readouterr()
    try:
        open_artefact(folder)
    except SystemExit as end:
        assert "\n" not in str(end.code) and "un: python " in str(end.code)
        return str(end.code)
    return capsys.readouterr().out
