from postergenres.old_files import write_json
from postergenres.training.checkpoints import Checkpoints, discard_checkpoints

import numpy as np

SETTINGS = {"epochs": 9, "store": "abc"}
EPOCHS = [{"loss": 0.5, "val_loss": 0.4}, {"loss": 0.4, "val_loss": 0.45}]


def write_checkpoint(folder, epoch, epochs=EPOCHS):
    """Write the files of a checkpoint that these tests read."""
    checkpoint = folder / f"epoch-{epoch:06}"
    checkpoint.mkdir(parents=True)
    np.savez(checkpoint / "best.npz", np.zeros(3))
    state = {"settings": SETTINGS, "precision": "bfloat16", "epochs": epochs}
    write_json(state, checkpoint / "state.json")


def test_the_newest_checkpoint_is_restored(tmp_path):
    write_checkpoint(tmp_path / "unfinished", 1, EPOCHS[:1])
    write_checkpoint(tmp_path / "unfinished", 2)
    (tmp_path / "unfinished" / "latest").mkdir()  # killed during the third epoch
    (tmp_path / "unfinished" / "latest" / "latest.weights.h5").write_bytes(b"half")
    found = Checkpoints(tmp_path / "unfinished", SETTINGS)
    assert found.epochs == EPOCHS and found.precision == "bfloat16"
    assert not (found.latest / "latest.weights.h5").exists()
    assert (found.latest / "best.npz").exists()


def test_without_a_checkpoint_nothing_is_restored_or_deleted(tmp_path):
    found = Checkpoints(tmp_path / "unfinished", SETTINGS)
    assert found.epochs == [] and not found.folder.exists()
    discard_checkpoints(found.folder)
