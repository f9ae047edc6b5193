from postergenres.dataset.feature_files import FeatureFiles

import numpy as np
import pytest
from conftest import contents

IDS = [f"m{i}" for i in range(10)]
CHECKSUMS = [f"{i:064x}" for i in range(10)]


def compute(posters, bar):
    """Features that stand for the ids."""
    bar.update(len(posters))
    return np.array([[int(poster[1:]), 1] for poster in posters], np.float16)


@pytest.fixture
def files(tmp_path):
    return FeatureFiles(tmp_path / "new" / "folder", 2, np.float16, chunk=4)


def fill(files, function=compute, checksums=CHECKSUMS):
    chunks = files.split(IDS, checksums)
    return np.concatenate([np.array(part) for part in files.fill(chunks, function)])


def test_features_are_computed_once_and_read_from_memory_mapped_files(files):
    first = fill(files)
    assert first.dtype == np.float16 and first[:, 0].tolist() == list(range(10))
    np.testing.assert_array_equal(fill(files, None), first)  # computes nothing
    chunks = files.split(IDS, CHECKSUMS)
    assert [len(posters) for _, posters in chunks] == [4, 4, 2]
    assert files.list_missing(chunks) == []
    assert isinstance(next(files.fill(chunks, None)), np.memmap)


def test_a_stopped_run_computes_only_what_is_missing(files):
    seen = []

    def stop_at_the_second(posters, bar):
        seen.append(posters)
        if len(seen) == 2:
            raise KeyboardInterrupt
        return compute(posters, bar)

    with pytest.raises(KeyboardInterrupt):
        fill(files, stop_at_the_second)
    chunks = files.split(IDS, CHECKSUMS)
    assert files.list_missing(chunks) == chunks[1:]
    fill(files, stop_at_the_second)
    assert seen == [IDS[:4], IDS[4:8], IDS[4:8], IDS[8:]]


def test_a_chunk_with_another_poster_is_computed_again_and_the_others_are_kept(files):
    fill(files)
    chunks = files.split(IDS, [*CHECKSUMS[:5], "f" * 64, *CHECKSUMS[6:]])
    assert files.list_missing(chunks) == chunks[1:2]


@pytest.mark.parametrize("harm", ["flip", "cut", "empty", "delete"])
def test_a_damaged_file_is_made_again(files, capsys, harm):
    fill(files)
    before = contents(files.folder)
    chunk = files.split(IDS, CHECKSUMS)[1]
    content = bytearray(chunk[0].read_bytes())
    content[-1] ^= 1
    chunk[0].write_bytes({"flip": content, "cut": content[:-1]}.get(harm, b""))
    if harm == "delete":
        chunk[0].unlink()
    assert files.list_missing(files.split(IDS, CHECKSUMS)) == [chunk]
    fill(files)
    assert contents(files.folder) == before
    line = f"note: {chunk[0]} is damaged: its features are made again\n"
    assert capsys.readouterr().out == (line if harm != "delete" else "")


def test_a_file_of_another_form_is_made_again(files):
    fill(files)
    before = contents(files.folder)
    other = FeatureFiles(files.folder, 3, np.float32, chunk=4)
    fill(other, lambda posters, bar: np.zeros((len(posters), 3), np.float32))
    assert contents(files.folder) != before
    fill(files)
    assert contents(files.folder) == before
