"""Check the settings of the five steps: a rule for each setting, and one message for all."""

import os
import re
from collections.abc import Callable
from numbers import Integral, Real
from typing import Any, NamedTuple

BACKBONES = ("efficientnet_lite0", "efficientnet_lite1", "efficientnet_lite2")
ARCHITECTURES = ("study", "improved", *BACKBONES)
TEACHERS = (*BACKBONES, "resnet50")
DAY = 86_400  # seconds
MOST_PIXELS = 89_478_485  # of an image that steps 1 and 3 accept; Pillow's own limit


class SettingError(ValueError):
    """A setting has a value that its step cannot use.

    Attributes:
        step: the step whose `main()` was called: "train".
        name: the argument of `main()`; the constant in the script is the same in capitals.
    """

    def __init__(self, step, name, message):
        super().__init__(message)
        self.step, self.name = step, name


class Rule(NamedTuple):
    """What a setting may be.

    Attributes:
        wanted: in words; a message puts "must be" before it.
        allows: a function that says whether it allows a value of any type.
    """

    wanted: str
    allows: Callable[[Any], bool]


def whole(least, most):
    """Allow whole numbers from `least` to `most`; True and False are not numbers."""
    return Rule(
        f"a whole number from {least:,} to {most:,}",
        lambda value: is_a(value, Integral) and least <= value <= most,
    )


def number(least, most):
    """Allow finite numbers from `least` to `most`."""
    return Rule(
        f"a number from {least:,} to {most:,}",
        lambda value: is_a(value, Real) and least <= value <= most,
    )


def above_zero(most):
    """Allow finite numbers above 0, up to `most`."""
    return Rule(
        f"a number above 0 and at most {most:,}",
        lambda value: is_a(value, Real) and 0 < value <= most,
    )


def one_of(*choices):
    """Allow a few strings."""
    return Rule(
        f"one of {', '.join(map(repr, choices))}",
        lambda value: isinstance(value, str) and value in choices,
    )


def some_of(*choices):
    """Allow a tuple or list of one or more of a few strings, each once."""
    return Rule(
        f"a tuple of {', '.join(map(repr, choices))}, or of some of them",
        lambda value: (
            is_names(value)
            and bool(value)
            and len(set(value)) == len(value)
            and set(value) <= set(choices)
        ),
    )


def or_none(rule):
    """Allow what a rule allows, and None."""
    return Rule(f"None or {rule.wanted}", lambda value: value is None or rule.allows(value))


def is_a(value, kind):
    """Return whether a value is of a kind; True and False are of none."""
    return isinstance(value, kind) and not isinstance(value, bool)


def is_path(value):
    """Return whether a value is a path that is not empty."""
    return isinstance(value, (str, os.PathLike)) and bool(os.fspath(value))


def is_path_or_empty(value):
    """Return whether a value is a path, the start of a URL, an empty string or None."""
    return value is None or isinstance(value, (str, os.PathLike))


def is_names(value):
    """Return whether a value is a tuple or list of strings."""
    return isinstance(value, (tuple, list)) and all(isinstance(name, str) for name in value)


def is_fill(value):
    """Return whether a value is pairs of rising counts and of shares from 0 to 1."""
    if not isinstance(value, (tuple, list)):
        return False
    if not all(isinstance(pair, (tuple, list)) and len(pair) == 2 for pair in value):
        return False
    counts, shares = [pair[0] for pair in value], [pair[1] for pair in value]
    are_numbers = all(is_a(count, Real) and 0 <= count < float("inf") for count in counts)
    return are_numbers and counts == sorted(counts) and all(map(SHARE.allows, shares))


def is_hosts(value):
    """Return whether a value is None or a list of addresses, the first with a port."""
    if value is None:
        return True
    is_list = isinstance(value, (tuple, list)) and all(isinstance(host, str) for host in value)
    return is_list and bool(value) and re.fullmatch(r".+:\d+", value[0]) is not None


COUNT, PIXELS, SEED = whole(1, 1_000_000_000), whole(1, 10_000), whole(0, 2**32 - 1)
SHARE, PATH = number(0, 1), Rule("a path", is_path)
POSTERS = Rule("a folder, the start of a URL, or None", is_path_or_empty)
PART = Rule("a number between 0 and 1", lambda value: is_a(value, Real) and 0 < value < 1)
CLUSTER = Rule(
    "None or the address of a Dask scheduler",
    lambda value: value is None or (isinstance(value, str) and bool(value)),
)

# The arguments of each step's main(), in order. The paths of predict.py are not settings.
RULES = {
    "database": {
        "data_dir": PATH,
        "metadata_csv": PATH,
        "poster_base": POSTERS,
        "train_only_csv": or_none(PATH),
        "train_only_posters": POSTERS,
        "limit": or_none(COUNT),
        "workers": whole(1, 1000),
        "rate_limit": or_none(above_zero(1_000_000)),  # requests per second
        "timeout": above_zero(DAY),
        "retries": whole(0, 100),
        "time_limit": above_zero(DAY),
        "max_bytes": whole(1, 10**12),
        "max_pixels": whole(1, MOST_PIXELS),
    },
    "sampling": {
        "data_dir": PATH,
        "excluded_genres": Rule("a tuple of names", is_names),
        "min_genre_movies": COUNT,
        "near_duplicate": whole(0, 256),  # bits of a hash
        "sample_fraction": above_zero(1),
        "oversampling": one_of("study", "ml-ros", "none"),
        "common_genres": COUNT,
        "fill": Rule("pairs of rising counts and shares from 0 to 1", is_fill),
        "growth": number(0, 1000),
        "max_copies": whole(1, 1000),
        "val_share": PART,
        "test_share": PART,
        "seed": SEED,
        "cluster": CLUSTER,
    },
    "preprocessing": {
        "data_dir": PATH,
        "image_height": PIXELS,
        "image_width": PIXELS,
        "workers": or_none(whole(1, 1000)),
        "cluster": CLUSTER,
    },
    "train": {
        "data_dir": PATH,
        "architecture": one_of(*ARCHITECTURES),
        "epochs": or_none(whole(1, 100_000)),
        "batch_size": whole(1, 100_000),
        "learning_rate": or_none(above_zero(1e30)),
        "seed": SEED,
        "patience": whole(1, 100_000),
        "shift": SHARE,
        "crop": or_none(SHARE),
        "colour": or_none(SHARE),
        "ema_momentum": or_none(number(0, 0.99999)),
        "soft_targets": SHARE,
        "hints": number(0, 1000),
        "teachers": some_of(*TEACHERS),
        "fine_tuned": or_none(PATH),
        "words": Rule("True or False", lambda value: isinstance(value, bool)),
        "precision": one_of("auto", "float32", "bfloat16"),
        "hosts": Rule('addresses such as ("10.0.0.1:9999", "10.0.0.2"), or None', is_hosts),
    },
    "predict": {
        "data_dir": PATH,
        "top": whole(1, 1000),
        "sheet": whole(0, 1_000_000),
        "grad_cam": whole(0, 1_000_000),
        "pretrained": one_of("efficientnet_lite2", "improved"),
        "similar": whole(0, 1000),
    },
}


def check_settings(step, values):
    """Check the settings of a step; call it first in `main()`, with `locals()`.

    Args:
        step: the step: "train".
        values: {name: value} of at least the settings of the step.

    Returns:
        The settings of the step, a dict in the order of `values`.

    Raises:
        SettingError: names the first setting that has no allowed value, and the value.
    """
    rules = RULES[step]
    settings = {name: value for name, value in values.items() if name in rules}
    for name, rule in rules.items():
        if name in settings and not rule.allows(settings[name]):
            value = describe_value(settings[name])
            raise SettingError(step, name, f"{name} must be {rule.wanted}, got {value}")
    if step == "sampling":
        check_shares(settings)
    if step == "train":
        check_backbone(settings)
        check_hosts(settings)
    return settings


def check_shares(settings):
    """Check that validation and test leave movies to train on."""
    val_share, test_share = settings["val_share"], settings["test_share"]
    if val_share + test_share >= 1:
        message = "val_share and test_share must add up to less than 1"
        raise SettingError("sampling", "test_share", f"{message}, got {val_share} and {test_share}")


def check_backbone(settings):
    """Check the settings that depend on whether the network has a pretrained backbone."""
    is_backbone = settings["architecture"] in BACKBONES
    if settings["hints"] and is_backbone:
        message = f"hints must be 0 for a pretrained backbone, got {settings['hints']}"
        raise SettingError("train", "hints", message)
    if settings["crop"] and not is_backbone:
        message = f"crop is only supported with a pretrained backbone, got {settings['crop']}"
        raise SettingError("train", "crop", message)


def check_hosts(settings):
    """Check that nothing is asked for that only one host can do."""
    if settings["words"] and settings["hosts"]:
        raise SettingError("train", "words", "words must be False with hosts, got True")


def describe_value(value):
    """Return the value as one line for a message; a long value is truncated."""
    try:
        text = " ".join(repr(value).splitlines())
    except ValueError:  # Python refuses to write out a number of over 4,300 digits
        return "a number of thousands of digits"
    return text if len(text) <= 200 else f"{text[:200]}..."
