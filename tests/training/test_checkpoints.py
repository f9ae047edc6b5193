import os

from postergenres.files import write_json, writing_folder
from postergenres.training.checkpoints import (
    Checkpoints,
    find_checkpoint,
    list_checkpoints,
    open_unfinished,
)

import keras
import numpy as np

EPOCHS = [{"loss": 0.5, "val_loss": 0.4}, {"loss": 0.4, "val_loss": 0.45}]


def write_checkpoint(folder, epoch):
    """Write the file of a checkpoint that these tests read."""
    with writing_folder(folder / f"epoch-{epoch:06}") as part:
        write_json({"precision": "bfloat16", "epochs": EPOCHS[:epoch]}, part / "state.json")
    return folder / f"epoch-{epoch:06}"


def test_the_newest_complete_checkpoint_is_found(tmp_path):
    assert find_checkpoint(tmp_path) is None
    write_checkpoint(tmp_path, 1)
    newest = write_checkpoint(tmp_path, 2)
    (tmp_path / "epoch-000003.part").mkdir()  # killed while it was written
    assert find_checkpoint(tmp_path) == newest
    found = Checkpoints(tmp_path)
    assert found.epochs == EPOCHS and found.precision == "bfloat16"


def test_a_damaged_checkpoint_is_dropped(tmp_path, capsys):
    older, newest = (write_checkpoint(tmp_path, epoch) for epoch in (1, 2))
    for checkpoint, left in ((newest, older), (older, None)):
        (checkpoint / "state.json").write_text("{}")
        assert find_checkpoint(tmp_path) == left and not checkpoint.exists()
    line = f"note: {newest / 'state.json'} was changed or damaged: "
    assert capsys.readouterr().out.startswith(line)


def test_two_unfinished_trainings_are_kept(tmp_path):
    """Those that were started last, whatever their settings."""
    folders = [open_unfinished(tmp_path, {"seed": seed}) for seed in (0, 1)]
    for number, folder in enumerate(folders):
        os.utime(folder, ns=(0, number))
    assert open_unfinished(tmp_path, {"seed": 0}) == folders[0]  # now the newest
    third = open_unfinished(tmp_path, {"seed": 2})
    assert set((tmp_path / "unfinished").iterdir()) == {folders[0], third}


def open_checkpoints(folder, patience):
    """Return the checkpoints of a network with two weights, with the early stopping of both."""
    network = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
    network.compile("adamw", "mse")
    network.optimizer.build(network.trainable_variables)
    checkpoints = Checkpoints(folder)
    checkpoints.set_model(network)
    checkpoints.attach(keras.callbacks.EarlyStopping("val_loss", patience=patience))
    return checkpoints


def test_a_resumed_training_knows_its_best_epoch_and_its_weights(tmp_path):
    first = open_checkpoints(tmp_path, patience=3)
    for epoch, loss in enumerate((0.5, 0.3, 0.4)):
        first.model.set_weights([np.full((1, 1), loss), np.zeros(1)])
        if loss != 0.4:
            first.stopper.best_weights = first.model.get_weights()
        first.on_epoch_end(epoch, {"loss": 0.1, "val_loss": loss})
    assert [path.name for path in list_checkpoints(tmp_path)] == ["epoch-000002", "epoch-000003"]
    resumed = open_checkpoints(tmp_path, patience=3)
    resumed.on_train_begin()
    stopper = resumed.stopper
    assert (stopper.wait, stopper.best_epoch, stopper.best) == (1, 1, 0.3)
    np.testing.assert_allclose(stopper.best_weights[0], 0.3)
    np.testing.assert_allclose(resumed.model.get_weights()[0], 0.4)
    assert not resumed.finished and open_checkpoints(tmp_path, patience=1).finished
