from postergenres.training.history import draw_history, save_history

import pandas as pd
from PIL import Image

HISTORY = pd.DataFrame(
    {
        "epoch": [1, 2, 3],
        "loss": [0.5, 0.25, 0.125],
        "val_loss": [0.5, 0.375, 0.4375],
        "learning_rate": [0.001, 0.0005, 0.0],
    }
)


def test_the_history_is_a_table_and_a_picture(tmp_path):
    save_history(HISTORY, 0.6, tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["history.csv", "training.png"]
    assert pd.read_csv(tmp_path / "history.csv").equals(HISTORY)
    with Image.open(tmp_path / "training.png") as picture:
        assert picture.width > 500


def test_the_picture_marks_the_kept_epoch_and_the_floor():
    (axes,) = draw_history(HISTORY, 0.6).axes
    (kept,) = axes.texts
    assert kept.get_text() == "kept" and kept.xy == (2, 0.375)
    floor = axes.lines[-1]
    assert set(floor.get_ydata()) == {0.6} and "floor" in floor.get_label()
