"""tests/dataset/test_builder.py has the tests of the store that step 3 writes."""

import pytest

import preprocessing


def test_the_error_for_missing_samples_names_the_command(tmp_path):
    with pytest.raises(SystemExit, match="samples.csv is missing. Run: python sampling.py"):
        preprocessing.main(tmp_path)


def test_the_summary_names_the_posters_that_were_left_out(five_posters, capsys):
    preprocessing.main(five_posters, 30, 20, workers=1)
    assert capsys.readouterr().out.splitlines()[-4:] == [
        "4 posters in the store, 1 left out",
        "  c: UnidentifiedImageError: cannot identify image file",
        f"wrote {five_posters / 'store' / 'images.npy'} (4, 30, 20, 3) uint8, 0 MB",
        f"next: python train.py --data-dir {five_posters}",
    ]
