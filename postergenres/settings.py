"""Check the settings of a step before it starts.

Only the rules of step 4 are here: see `RULES`.
"""

import math
import os
import re
from numbers import Integral, Real

BACKBONE_NAMES = ("efficientnet_lite0", "efficientnet_lite1", "efficientnet_lite2")
ARCHITECTURES = ("study", "improved", *BACKBONE_NAMES)


class SettingError(ValueError):
    """A setting that a step cannot work with.

    Attributes:
        step: the step: "train".
        name: the setting: "batch_size".
    """

    def __init__(self, step, name, rule, value):
        super().__init__(f"{name} {rule}, got {value!r}")
        self.step, self.name = step, name


def check_settings(step, settings):
    """Return a copy of the settings of a step, in their order, once each keeps its rule.

    Args:
        step: the step: "train".
        settings: {name: value}, the arguments of the step's `main()`.

    Raises:
        SettingError: a setting breaks its rule.
    """
    settings = dict(settings)
    for name, (rule, is_valid) in RULES[step].items():
        if name in settings and not is_valid(settings[name]):
            raise SettingError(step, name, rule, settings[name])
    for name, rule, is_valid in COMBINED_RULES[step]:
        if name in settings and not is_valid(settings):
            raise SettingError(step, name, rule, settings[name])
    return settings


def whole_number(low, high, optional=False):
    rule = f"must be a whole number from {low:,} to {high:,}{or_none(optional)}"

    def is_valid(value):
        is_whole = isinstance(value, Integral) and not isinstance(value, bool)
        return (optional and value is None) or (is_whole and low <= value <= high)

    return rule, is_valid


def number(low, high=math.inf, above=False, optional=False):
    limits = f"from {low:g} to {high:g}" if high < math.inf else f"of at least {low:g}"
    limits = f"above {low:g}" if above else limits
    rule = f"must be a finite number {limits}{or_none(optional)}"

    def is_valid(value):
        if optional and value is None:
            return True
        if not isinstance(value, Real) or isinstance(value, bool) or not math.isfinite(value):
            return False
        return low < value <= high if above else low <= value <= high

    return rule, is_valid


def choice(*values):
    names = ", ".join(repr(value) for value in values)
    return f"must be one of {names}", lambda value: value in values


def or_none(optional):
    return " or None" if optional else ""


def is_path(value):
    return isinstance(value, (str, os.PathLike)) and str(value) != ""


def are_addresses(hosts):
    if hosts is None:
        return True
    is_list = isinstance(hosts, (tuple, list)) and all(isinstance(host, str) for host in hosts)
    return is_list and bool(hosts) and re.fullmatch(r".+:\d+", hosts[0]) is not None


RULES = {
    "train": {
        "architecture": choice(*ARCHITECTURES),
        "epochs": whole_number(1, 100_000, optional=True),
        "patience": whole_number(1, 100_000),
        "batch_size": whole_number(1, 100_000),
        "learning_rate": number(0, above=True, optional=True),
        "shift": number(0, 1),
        "crop": number(0, 1, optional=True),
        "colour": number(0, 1, optional=True),
        "soft_targets": number(0, 1),
        "hints": number(0),
        "fine_tuned": (
            "must be the path of a folder or None",
            lambda value: value is None or is_path(value),
        ),
        "precision": choice("auto", "float32", "bfloat16"),
        "hosts": (
            'must be addresses such as ("10.0.0.1:9999", "10.0.0.2") or None',
            are_addresses,
        ),
        "seed": whole_number(0, 2**32 - 1),
    }
}

# Rules that involve the architecture: (setting, rule, function of all settings).
COMBINED_RULES = {
    "train": (
        (
            "hints",
            'must be 0 unless the architecture is "study" or "improved"',
            lambda x: not x["hints"] or x["architecture"] not in BACKBONE_NAMES,
        ),
        (
            "crop",
            "must be 0 or None unless the architecture is a backbone",
            lambda x: not x["crop"] or x["architecture"] in BACKBONE_NAMES,
        ),
    )
}
