"""The rules for the settings of all steps."""

import importlib
import inspect
import os
import re
import subprocess
import sys
from pathlib import Path

from postergenres import old_settings as settings
from postergenres.old_settings import RULES, SettingError, check_settings

import numpy as np
import pytest
from conftest import ROOT

STEPS = ("database", "sampling", "preprocessing", "train", "predict")
HUGE = 10**30
NOT_NUMBERS = ["3", "", None, (), [], {}, b"3", 3j, True, False, np.array([3]), object()]
NOT_WHOLE = [*NOT_NUMBERS, 2.5, 2.0, np.float32(2), float("nan"), float("inf")]
NOT_REAL = [*NOT_NUMBERS, float("nan"), float("inf"), float("-inf"), np.float32("nan")]


def get_defaults(step):
    """Return the arguments of a step's main() that are settings, and their defaults."""
    parameters = inspect.signature(importlib.import_module(step).main).parameters
    return {name: each.default for name, each in parameters.items() if name != "paths"}


def check_one(step, name, value):
    return check_settings(step, get_defaults(step) | {name: value})


def refuse(step, name, value):
    """Check that a value is refused, with the name and the value in one line."""
    with pytest.raises(SettingError, match=rf"^{name} must be .*, got ") as caught:
        check_one(step, name, value)
    assert (caught.value.step, caught.value.name) == (step, name)
    message = str(caught.value)
    assert "\n" not in message and message.endswith(settings.describe_value(value))


def list_settings(kind):
    """Return (step, name) of the settings whose rule is in words like these."""
    return [
        pytest.param(step, name, id=f"{step}-{name}")
        for step, rules in RULES.items()
        for name, rule in rules.items()
        if re.search(kind, rule.wanted)
    ]


def may_be_none(step, name):
    return RULES[step][name].allows(None)


@pytest.mark.parametrize("step", STEPS)
def test_each_setting_of_each_step_has_a_rule(step):
    assert set(RULES) == set(STEPS)
    assert set(RULES[step]) == set(get_defaults(step))


@pytest.mark.parametrize("step", STEPS)
def test_the_defaults_are_allowed_and_returned_in_their_order(step):
    defaults = get_defaults(step)
    checked = check_settings(step, defaults | {"paths": ("poster.jpg",)})
    assert list(checked.items()) == list(defaults.items())


@pytest.mark.parametrize(("step", "name"), list_settings("whole number"))
def test_a_whole_number_is_checked(step, name):
    wanted = RULES[step][name].wanted
    least, most = (int(each.replace(",", "")) for each in re.findall(r"\d[\d,]*", wanted))
    for value in (least, most, np.int64(least)):
        assert check_one(step, name, value)[name] == value
    for value in (least - 1, most + 1, -1, -HUGE, HUGE, *NOT_WHOLE):
        if value is not None or not may_be_none(step, name):
            refuse(step, name, value)


@pytest.mark.parametrize(("step", "name"), list_settings("a number"))
def test_a_real_number_is_checked(step, name):
    wanted = RULES[step][name].wanted
    least, most = (
        float(each.replace(",", ""))
        for each in re.findall(r"\d[\d,]*(?:\.\d+)?(?:e\+\d+)?", wanted)
    )
    middle = {"val_share": 0.5, "crop": 0}.get(name, least + min(1, most - least) / 2)
    for value in (middle, np.float32(middle)):
        assert check_one(step, name, value)[name] == value
    for value in (least - 1e-9, most * 1.001, -1, -HUGE, HUGE * 10, 10**400, *NOT_REAL):
        if value is not None or not may_be_none(step, name):
            refuse(step, name, value)
    is_open = "above" in wanted or "between" in wanted
    assert RULES[step][name].allows(0) == (not is_open)


@pytest.mark.parametrize(("step", "name"), list_settings("one of"))
def test_a_choice_is_checked(step, name):
    for value in re.findall(r"'([^']+)'", RULES[step][name].wanted):
        assert check_one(step, name, value)[name] == value
    for value in ("", "vgg", "STUDY", " study", None, 0, True, [], np.array(["study"]), HUGE):
        refuse(step, name, value)


def test_every_function_of_the_settings_has_a_docstring():
    functions = inspect.getmembers(settings, inspect.isfunction)
    assert [name for name, function in functions if not function.__doc__] == []


def test_the_choices_are_those_of_the_code():
    from postergenres.dataset.oversampling import STRATEGIES
    from postergenres.models.description import PRETRAINED_FOLDERS
    from postergenres.models.efficientnet import VARIANTS
    from postergenres.models.transfer import BACKBONES
    from postergenres.training.precision import POLICIES
    from postergenres.training.schedule import RECIPES

    choices = {
        (step, name): set(re.findall(r"'([^']+)'", RULES[step][name].wanted))
        for step, name in (each.values for each in list_settings("one of"))
    }
    assert choices == {
        ("sampling", "oversampling"): set(STRATEGIES),
        ("train", "architecture"): set(RECIPES),
        ("train", "precision"): {"auto", *POLICIES},
        ("predict", "pretrained"): set(PRETRAINED_FOLDERS),
    }
    assert set(settings.BACKBONES) == set(BACKBONES)
    assert set(BACKBONES.values()) == set(VARIANTS)


@pytest.mark.parametrize(("step", "name"), list_settings("a path|a folder"))
def test_a_path_is_checked(step, name):
    for value in ("data", Path("data")):
        assert check_one(step, name, value)[name] == value
    for value in ("", b"data", 3, 0, True, float("nan"), ["data"], HUGE, None):
        if value == "" and name in ("poster_base", "train_only_posters"):  # as None: the URLs
            check_one(step, name, value)
        elif value is not None or not may_be_none(step, name):
            refuse(step, name, value)


@pytest.mark.parametrize("step", ["sampling", "preprocessing"])
def test_the_address_of_a_cluster_is_checked(step):
    for value in (None, "tcp://192.168.0.1:8786"):
        assert check_one(step, "cluster", value)["cluster"] == value
    for value in ("", 8786, True, ("tcp://a:1",), float("nan")):
        refuse(step, "cluster", value)


def test_the_excluded_genres_are_checked():
    for value in ((), ("Foreign",), ["TV Movie", "Foreign"]):
        assert check_one("sampling", "excluded_genres", value)["excluded_genres"] == value
    for value in ("Foreign", None, 3, True, (3,), ("Foreign", None), {"Foreign"}, float("nan")):
        refuse("sampling", "excluded_genres", value)


def test_the_steps_of_fill_are_checked():
    for value in ((), ((1000, 0.9),), [[1000, 0], [2000.5, 1]], ((5, 0.1), (5, 0.2))):
        assert check_one("sampling", "fill", value)["fill"] == value
    nan, inf = float("nan"), float("inf")
    wrong_types = (2, None, True, "ab", (1000, 0.9), ((1000,),), ((1000, 0.9, 1),), (("a", 0.9),))
    wrong_values = [
        ((1000, 2),),
        ((1000, -0.1),),
        ((1000, nan),),
        ((1000, True),),
        ((1000, "0.9"),),
        ((-1, 0.9),),
        ((nan, 0.9),),
        ((inf, 0.9),),
        ((True, 0.9),),
        ((1000, 0.5), (10, 0.9)),
    ]
    for value in (*wrong_types, *wrong_values):
        refuse("sampling", "fill", value)


def test_the_addresses_of_hosts_are_checked():
    for value in (None, ("10.0.0.1:9999", "10.0.0.2"), ["a:1"]):
        assert check_one("train", "hosts", value)["hosts"] == value
    for value in ((), "10.0.0.1:9999", ("10.0.0.1", "10.0.0.2"), (9999,), ("a:b",), 3, True):
        refuse("train", "hosts", value)


@pytest.mark.parametrize(("val_share", "test_share"), [(0.5, 0.5), (0.15, 0.9)])
def test_validation_and_test_must_leave_movies_to_train_on(val_share, test_share):
    values = get_defaults("sampling") | {"val_share": val_share, "test_share": test_share}
    with pytest.raises(SettingError, match=f"test_share .*, got {val_share} and {test_share}"):
        check_settings("sampling", values)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"crop": 0.1}, "crop is only supported with a pretrained backbone, got 0.1"),
        (
            {"architecture": "efficientnet_lite0", "hints": 0.1},
            "hints must be 0 for a pretrained backbone, got 0.1",
        ),
    ],
)
def test_settings_that_exclude_each_other_are_refused(changes, message):
    with pytest.raises(SettingError, match=re.escape(message)):
        check_settings("train", get_defaults("train") | changes)
    allowed = {"architecture": "efficientnet_lite0", "crop": 0.1, "hints": 0}
    assert check_settings("train", get_defaults("train") | allowed)["crop"] == 0.1


def test_a_value_is_shown_in_one_line_of_bounded_length():
    assert settings.describe_value("a\nb") == r"'a\nb'"
    assert "\n" not in settings.describe_value(np.zeros((50, 2)))
    assert settings.describe_value("x" * 1000) == f"'{'x' * 199}..."
    assert settings.describe_value(10**5000) == "a number of thousands of digits"


@pytest.mark.parametrize(("step", "name"), [("database", "workers"), ("predict", "top")])
def test_from_the_shell_a_bad_setting_is_one_line_and_status_2(tmp_path, step, name):
    text = (ROOT / f"{step}.py").read_text(encoding="utf-8")
    constant = name.upper()
    text, count = re.subn(rf"^{constant} = \S+", f"{constant} = 2.5", text, flags=re.MULTILINE)
    assert count == 1
    (tmp_path / f"{step}.py").write_text(text, encoding="utf-8")
    finished = subprocess.run(
        [sys.executable, tmp_path / f"{step}.py"],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
    )
    assert finished.returncode == 2 and finished.stdout == ""
    last = finished.stderr.strip().splitlines()[-1]  # TensorFlow may have written before
    assert last.startswith(f"{name} must be a whole number from 1 to 1,000, got 2.5. ")
    assert last.endswith(f"Edit {constant} in {step}.py, then run: python {step}.py")
    assert "Traceback" not in finished.stderr
    assert [path.name for path in tmp_path.iterdir()] == [f"{step}.py"]
