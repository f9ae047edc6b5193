import numpy as np

from postergenres.files import write_json
from postergenres.training.checkpoints import Checkpoints, discard

SETTINGS = {"epochs": 9, "store": "abc"}
EPOCHS = [{"loss": 0.5, "val_loss": 0.4}, {"loss": 0.4, "val_loss": 0.45}]


def seal(folder, epoch, epochs=EPOCHS):
    """A checkpoint as a training leaves it."""
    checkpoint = folder / f"epoch-{epoch:06}"
    checkpoint.mkdir(parents=True)
    np.savez(checkpoint / "best.npz", np.zeros(3))
    state = {"settings": SETTINGS, "precision": "bfloat16", "epochs": epochs}
    write_json(state, checkpoint / "state.json")


def test_the_newest_checkpoint_goes_on(tmp_path):
    seal(tmp_path / "unfinished", 1, EPOCHS[:1])
    seal(tmp_path / "unfinished", 2)
    (tmp_path / "unfinished" / "latest").mkdir()  # half of the third, when the training was killed
    (tmp_path / "unfinished" / "latest" / "latest.weights.h5").write_bytes(b"half")
    found = Checkpoints(tmp_path / "unfinished", SETTINGS)
    assert found.epochs == EPOCHS and found.precision == "bfloat16"
    assert not (found.latest / "latest.weights.h5").exists()
    assert (found.latest / "best.npz").exists()


def test_a_training_with_other_settings_or_posters_begins_anew(tmp_path, capsys):
    for other in ({"epochs": 10, "store": "abc"}, {"epochs": 9, "store": "abd"}):
        seal(tmp_path / "unfinished", 2)
        found = Checkpoints(tmp_path / "unfinished", other)
        assert found.epochs == [] and found.precision is None
        assert not (tmp_path / "unfinished").exists()
        assert "this one begins anew" in capsys.readouterr().out


def test_what_a_killed_discard_left_is_no_checkpoint(tmp_path):
    seal(tmp_path / "discarded", 2)
    found = Checkpoints(tmp_path / "unfinished", SETTINGS)
    assert found.epochs == [] and not (tmp_path / "discarded").exists()


def test_nothing_to_go_on_with(tmp_path):
    found = Checkpoints(tmp_path / "unfinished", SETTINGS)
    assert found.epochs == [] and not found.folder.exists()
    discard(found.folder)
