"""Each type of setting takes what it should and refuses the rest; the shell gives the same."""

import importlib
import inspect
import subprocess
import sys
from pathlib import Path

from postergenres import settings
from postergenres.settings import SettingError, checked

import numpy as np
import pytest

ALLOWED = {
    settings.Count: [1, 10**9],
    settings.Seed: [0, 2**32 - 1],
    settings.Share: [0, 0.5, 1, np.float64(0.25)],
    settings.ShareAboveZero: [1e-9, 1],
    settings.Part: [0.5],
    settings.Seconds: [0.1, 86_400],
    settings.Folder: ["data", Path("data"), "ünï"],
    settings.Names: [(), ("a",), ["a", "b"]],
    settings.Architecture: ["study", "efficientnet_lite2"],
    settings.Count | None: [None, 3],
    bool: [True, False],
}
REFUSED = {
    settings.Count: [0, 10**9 + 1, 1.0, "1", True, None],
    settings.Seed: [-1, 2**32],
    settings.Share: [-0.1, 1.1, float("nan"), float("inf"), "0.5", True],
    settings.ShareAboveZero: [0],
    settings.Part: [0, 1],
    settings.Seconds: [0, 86_401],
    settings.Folder: ["", 5, None, b"data", "a\0b", Path("caf\udce9")],
    settings.Names: ["a", (1,), None],
    settings.HostNames: [("https://a.example",), "a"],
    settings.Architecture: ["Study", "", None, 0],
    settings.Count | None: [0, "None"],
    bool: [1, "True", None],
}


def make_main(kind):
    def main(value: kind = None):  # type: ignore
        return value

    return checked(main)


@pytest.mark.parametrize(("kind", "value"), [(k, v) for k, vs in ALLOWED.items() for v in vs])
def test_a_type_takes_what_it_should(kind, value):
    found = make_main(kind)(value)
    assert found == (tuple(value) if isinstance(value, list) else value)


@pytest.mark.parametrize(("kind", "value"), [(k, v) for k, vs in REFUSED.items() for v in vs])
def test_a_type_refuses_the_rest_and_names_setting_and_value(kind, value):
    with pytest.raises(SettingError) as error:
        make_main(kind)(value)
    assert error.value.name == "value" and str(error.value).startswith("value ")
    part = value[0] if isinstance(value, tuple) and len(value) == 1 else value
    assert str(error.value).endswith(f"got {part!r}") and "\n" not in str(error.value)


def test_a_constant_is_checked_as_well():
    @checked
    def main(epochs: settings.Count = 0):
        return epochs

    with pytest.raises(SettingError, match="^epochs .* greater than or equal to 1, got 0$"):
        main()


def test_an_unknown_argument_is_a_type_error():
    with pytest.raises(TypeError, match="nonsense"):
        make_main(int)(nonsense=1)


STEPS = ("database", "sampling", "preprocessing", "train", "predict", "postergenres.app.__main__")


@pytest.mark.parametrize("step", STEPS)
def test_each_setting_of_a_step_refuses_what_is_a_value_of_none(tmp_path, step):
    main = importlib.import_module(step).main
    for name in inspect.signature(main).parameters:
        for value in (-1, 10**40, float("nan"), object()):
            with pytest.raises(SettingError) as error:
                main(**{"data_dir": tmp_path / "data", name: value})
            assert error.value.name == name and "\n" not in str(error.value)
    assert list(tmp_path.iterdir()) == []


SCRIPT = '''"""Step 0: show the settings.

More text.
"""

from postergenres.settings import Count, Folder, Share, checked, run_from_shell

DATA_DIR = "data"  # the folder
BASE = "posters"  # a folder, or None
EPOCHS = None  # passes over the sample; None: the default
SHARES = ((1, 0.5),)  # pairs


@checked
def main(
    data_dir: Folder = DATA_DIR,
    base: Folder | None = BASE,
    epochs: Count | None = EPOCHS,
    shares: tuple[tuple[int, Share], ...] = SHARES,
):
    print(data_dir, epochs, shares)


if __name__ == "__main__":
    run_from_shell(main)
'''


@pytest.fixture
def run_script(tmp_path):
    (tmp_path / "show.py").write_text(SCRIPT)
    root = Path(settings.__file__).parents[1]

    def run(*arguments):
        command = [sys.executable, tmp_path / "show.py", *arguments]
        return subprocess.run(
            command, env={"PYTHONPATH": str(root)}, capture_output=True, text=True
        )

    return run


def test_a_setting_can_be_given_on_the_command_line(run_script):
    run = run_script()
    assert (run.stdout, run.stderr) == ("data None ((1, 0.5),)\n", "")
    run = run_script("--epochs", "4", "--data-dir", "runs/a", "--shares", "1", "0.1", "2", "0.2")
    assert (run.stdout, run.stderr) == ("runs/a 4 ((1, 0.1), (2, 0.2))\n", "")


def test_help_lists_each_setting_with_its_comment_default_and_bounds(run_script):
    text = " ".join(run_script("--help").stdout.replace("│", " ").split())
    assert "Step 0: show the settings." in text and "More text" not in text
    assert "passes over the sample; None: the default; at least 1, at most 1,000,000,000" in text
    assert "the folder (default: data)" in text


def test_a_bad_setting_on_the_command_line_is_status_2(run_script):
    run = run_script("--epochs", "0")
    expected = "epochs should be greater than or equal to 1, got 0. Change EPOCHS in show.py"
    assert run.returncode == 2 and run.stderr == f"{expected}, or --epochs\n"
    assert run_script("--nonsense", "1").returncode == run_script("--epochs", "x").returncode == 2
