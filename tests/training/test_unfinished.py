"""Which unfinished run is resumed, and which is kept."""

from postergenres.old_files import add_checksum, file_sha256, write_json
from postergenres.training.checkpoints import FILES
from postergenres.training.unfinished import choose_unfinished

import h5py
import numpy as np
import pytest

OLD, NEW, THIRD = ({"epochs": epochs, "store": "abc"} for epochs in (9, 10, 11))


def write_run(run, settings, epoch=2, stage="all", checksums=True):
    """Write a checkpoint as a training writes it; return its folder."""
    checkpoint = run / stage / f"epoch-{epoch:06}"
    checkpoint.mkdir(parents=True)
    np.savez(checkpoint / "best.npz", np.zeros(3))
    with h5py.File(checkpoint / "latest.weights.h5", "w") as weights:
        weights["a/b"] = np.arange(1000.0)
    write_json({"epoch": epoch}, checkpoint / "training_metadata.json")
    state = {"settings": settings, "precision": "float32", "epochs": [{"loss": 0.5}] * epoch}
    if checksums:
        state["sha256"] = {name: file_sha256(checkpoint / name) for name in FILES}
        state = add_checksum(state)
    write_json(state, checkpoint / "state.json")
    return checkpoint


def epochs_of(run):
    """Return which of the settings a run has, by the epochs of its checkpoint."""
    return [int(path.name[-6:]) for path in run.glob("*/epoch-*")]


def test_a_run_with_the_same_settings_stays(tmp_path, capsys):
    write_run(tmp_path / "unfinished", OLD)
    choose_unfinished(tmp_path, {"all": OLD})
    assert epochs_of(tmp_path / "unfinished") == [2] and capsys.readouterr().out == ""


@pytest.mark.parametrize(
    ("other", "advice"),
    [
        (NEW, "set EPOCHS = 9 (now 10) in train.py"),
        ({"epochs": 9, "store": "abd"}, "restore its store"),
        (
            {"epochs": 10, "store": "abd"},
            "set EPOCHS = 9 (now 10) in train.py and restore its store",
        ),
    ],
)
def test_a_run_with_other_settings_is_kept_and_comes_back(tmp_path, capsys, other, advice):
    write_run(tmp_path / "unfinished", OLD, 2)
    choose_unfinished(tmp_path, {"all": other})
    assert not (tmp_path / "unfinished").exists()
    assert capsys.readouterr().out == (
        f"note: {tmp_path / 'unfinished'} holds an unfinished run with other settings. It is kept "
        f"in {tmp_path / 'unfinished-other'}. To resume it, {advice}, then run: python train.py\n"
    )
    write_run(tmp_path / "unfinished", other, 1)
    choose_unfinished(tmp_path, {"all": OLD})
    assert epochs_of(tmp_path / "unfinished") == [2]
    assert epochs_of(tmp_path / "unfinished-other") == [1]
    choose_unfinished(tmp_path, {"all": other})
    assert epochs_of(tmp_path / "unfinished") == [1]
    assert epochs_of(tmp_path / "unfinished-other") == [2]


def test_one_run_with_other_settings_is_kept(tmp_path, capsys):
    write_run(tmp_path / "unfinished-other", OLD, 2)
    write_run(tmp_path / "unfinished", NEW, 1)
    choose_unfinished(tmp_path, {"all": THIRD})
    assert epochs_of(tmp_path / "unfinished-other") == [1]
    assert "in place of the run that was there" in capsys.readouterr().out
    assert not (tmp_path / "unfinished").exists() and not (tmp_path / "discarded").exists()


def test_a_run_without_a_checkpoint_does_not_replace_the_kept_one(tmp_path):
    write_run(tmp_path / "unfinished-other", OLD)
    (tmp_path / "unfinished" / "all" / "latest").mkdir(parents=True)
    choose_unfinished(tmp_path, {"all": NEW})
    assert epochs_of(tmp_path / "unfinished-other") == [2]
    choose_unfinished(tmp_path, {"all": OLD})
    assert epochs_of(tmp_path / "unfinished") == [2]


@pytest.mark.parametrize("moved", [False, True])
def test_a_killed_swap_loses_no_run(tmp_path, moved):
    write_run(tmp_path / "unfinished-swap", NEW, 1)
    write_run(tmp_path / ("unfinished" if moved else "unfinished-other"), OLD, 2)
    choose_unfinished(tmp_path, {"all": OLD})
    assert epochs_of(tmp_path / "unfinished") == [2]
    assert epochs_of(tmp_path / "unfinished-other") == [1]
    assert not (tmp_path / "unfinished-swap").exists()


def test_a_deletion_that_was_killed_is_completed(tmp_path):
    write_run(tmp_path / "discarded", OLD)
    choose_unfinished(tmp_path, {"all": OLD})
    assert list(tmp_path.iterdir()) == []


def cut(path):
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def flip(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 4
    path.write_bytes(content)


def empty(path):
    path.write_bytes(b"")


HARMS = [cut, flip, empty, lambda path: path.unlink()]


@pytest.mark.parametrize("name", [*FILES, "state.json"])
@pytest.mark.parametrize("harm", HARMS)
def test_a_damaged_checkpoint_is_set_aside_and_the_one_before_is_used(tmp_path, capsys, name, harm):
    write_run(tmp_path / "unfinished", OLD, 1)
    newest = write_run(tmp_path / "unfinished", OLD, 2)
    harm(newest / name)
    choose_unfinished(tmp_path, {"all": OLD})
    assert epochs_of(tmp_path / "unfinished") == [1]
    assert epochs_of(tmp_path / "unfinished-damaged") == [2]
    output = capsys.readouterr().out
    assert output.startswith(f"note: {newest} is damaged: ") and output.count("\n") == 1


def test_the_stages_after_a_damaged_one_are_set_aside(tmp_path, capsys):
    run = tmp_path / "unfinished"
    checkpoint = write_run(run, OLD, 1, "last-blocks")
    write_run(run, NEW, 3, "all")
    (checkpoint / "best.npz").unlink()
    choose_unfinished(tmp_path, {"last-blocks": OLD, "all": NEW})
    assert epochs_of(run) == []
    assert sorted(epochs_of(tmp_path / "unfinished-damaged")) == [1, 3]
    assert "last-blocks has no other checkpoint: its epochs are trained" in capsys.readouterr().out


def test_a_checkpoint_of_an_older_version_is_accepted_with_a_line(tmp_path, capsys):
    checkpoint = write_run(tmp_path / "unfinished", OLD, checksums=False)
    choose_unfinished(tmp_path, {"all": OLD})
    assert epochs_of(tmp_path / "unfinished") == [2]
    line = f"note: {checkpoint} was written by an older version, without checksums\n"
    assert capsys.readouterr().out == line


@pytest.mark.parametrize("name", [*FILES, "state.json"])
@pytest.mark.parametrize("harm", [cut, empty, lambda path: path.unlink()])
def test_a_damaged_checkpoint_of_an_older_version_is_set_aside(tmp_path, name, harm):
    checkpoint = write_run(tmp_path / "unfinished", OLD, checksums=False)
    harm(checkpoint / name)
    choose_unfinished(tmp_path, {"all": OLD})
    assert epochs_of(tmp_path / "unfinished") == []
    assert epochs_of(tmp_path / "unfinished-damaged") == [2]
