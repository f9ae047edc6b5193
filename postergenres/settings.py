"""The types of settings, and how `main()` takes them: as arguments or from the shell.

A script writes `def main(epochs: Count | None = EPOCHS, ...)` under `@checked`, and calls
`run_from_shell(main)` last. The signature is the only list of the settings: pydantic checks it, and
tyro makes the options of the command line from it.
"""

import inspect
import re
import sys
from collections.abc import Callable, Iterable
from dataclasses import astuple, dataclass, field, make_dataclass
from functools import wraps
from pathlib import Path
from typing import Annotated, Any, Literal, ParamSpec, TypeVar, get_args, get_type_hints

from pydantic import (
    AfterValidator,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    validate_call,
)

P = ParamSpec("P")
R = TypeVar("R")

MOST_PIXELS = 89_478_485  # of an image that steps 1 and 3 accept; Pillow's own limit


def require_rising(value: tuple[tuple[int, float], ...]) -> tuple[tuple[int, float], ...]:
    counts = [count for count, _ in value]
    if counts != sorted(counts):
        raise ValueError("should have rising counts")
    return value


@dataclass(frozen=True)
class Positional:
    """Marks the type of an argument that stands on the command line without an option."""

    metavar: str
    help: str


def require_path(value: str | Path) -> str | Path:
    path = str(value)
    if not path:
        raise ValueError("should not be empty")
    if "\0" in path or any("\ud800" <= sign <= "\udfff" for sign in path):  # lone surrogates
        raise ValueError("should be a path in UTF-8, without NUL")
    return value


def list_paths(value: Any) -> Any:
    is_one = isinstance(value, str | Path)
    return (value,) if is_one else tuple(value) if isinstance(value, Iterable) else value


def require_port(hosts: tuple[str, ...]) -> tuple[str, ...]:
    if not hosts or not re.fullmatch(r".+:\d+", hosts[0]):
        raise ValueError('should be addresses such as ("10.0.0.1:9999", "10.0.0.2")')
    return hosts


Count = Annotated[int, Field(ge=1, le=1_000_000_000)]
CountOrZero = Annotated[int, Field(ge=0, le=1_000_000_000)]
Folds = Annotated[int, Field(ge=2, le=100)]
Workers = Annotated[int, Field(ge=1, le=1000)]
Port = Annotated[int, Field(ge=1, le=65535)]
Retries = Annotated[int, Field(ge=0, le=100)]
Bytes = Annotated[int, Field(ge=1, le=10**12)]
Pixels = Annotated[int, Field(ge=1, le=MOST_PIXELS)]  # of an image
Side = Annotated[int, Field(ge=1, le=10_000)]  # pixels, height or width of an image
Bits = Annotated[int, Field(ge=0, le=256)]  # of a hash of 256
Seed = Annotated[int, Field(ge=0, le=2**32 - 1)]
Seconds = Annotated[float, Field(gt=0, le=86_400)]
Rate = Annotated[float, Field(gt=0, le=1e30)]
Share = Annotated[float, Field(ge=0, le=1)]
ShareAboveZero = Annotated[float, Field(gt=0, le=1)]
Part = Annotated[float, Field(gt=0, lt=1)]
Momentum = Annotated[float, Field(ge=0, le=0.99999)]
Weight = Annotated[float, Field(ge=0, le=1000)]
Folder = Annotated[str | Path, AfterValidator(require_path)]
File = Folder
Copies = Annotated[int, Field(ge=1, le=1000)]
Pair = Annotated[tuple[CountOrZero, Share], Field(strict=False)]
Fill = Annotated[tuple[Pair, ...], Field(strict=False), AfterValidator(require_rising)]
Text = Annotated[str, Field(min_length=1)]
Names = Annotated[tuple[str, ...], Field(strict=False)]
Posters = Annotated[  # one or several
    tuple[str | Path, ...],
    BeforeValidator(list_paths),
    Positional(
        "[POSTER|FOLDER|URL ...]", "posters to predict, in place of scoring the test movies"
    ),
]
HostNames = Annotated[tuple[Annotated[str, Field(pattern=r"^[\w.-]+$")], ...], Field(strict=False)]
Hosts = Annotated[tuple[str, ...], Field(strict=False), AfterValidator(require_port)]
Oversampling = Literal["study", "ml-ros", "none"]
Architecture = Literal[
    "study", "improved", "efficientnet_lite0", "efficientnet_lite1", "efficientnet_lite2"
]
Precision = Literal["auto", "float32", "bfloat16"]


class SettingError(ValueError):
    """A setting has a value that its step cannot use.

    Attributes:
        name: the argument of `main()`; the constant in the script is the same in capitals.
    """

    def __init__(self, name: str, message: str) -> None:
        super().__init__(f"{name} {message}")
        self.name = name


def checked(main: Callable[P, R]) -> Callable[P, R]:
    """Return `main` with a check of its arguments, and of its defaults, against its annotations.

    Raises (when it is called):
        SettingError: names the first argument that does not fit, and its value.
    """
    config = ConfigDict(strict=True, validate_default=True, arbitrary_types_allowed=True)
    validated = validate_call(config=config)(main)

    @wraps(main)
    def call(*args: P.args, **kwargs: P.kwargs) -> R:
        given = inspect.signature(main).bind(*args, **kwargs)  # a TypeError for an unknown one
        try:
            return validated(**given.arguments)  # pyright: ignore  # by name, for the errors
        except ValidationError as error:
            raise describe_error(error.errors()[0]) from None

    return call


def describe_error(error: Any) -> SettingError:
    """Return the `SettingError` for an error of pydantic."""
    message = error["msg"].removeprefix("Input ").removeprefix("Value error, ")
    value = " ".join(repr(error["input"]).splitlines())
    return SettingError(str(error["loc"][0]), f"{message}, got {value[:200]}")


# --- the shell ------------------------------------------------------------------------------------


def run_from_shell(main: Callable[..., object]) -> None:
    """Call `main()` with the settings that the command line gives.

    A setting of the wrong type or an unknown one is a line and exit status 2.
    """
    import tyro  # here: processes of a pool and other programs have no command line

    script = Path(inspect.getfile(inspect.unwrap(main)))
    package = sys.modules[main.__module__].__package__  # None for a script
    file = "/".join([*package.split("."), script.name]) if package else script.name
    description = inspect.getdoc(sys.modules[main.__module__]) or ""
    options = tyro.cli(
        list_options(main, read_comments(script)),
        prog=f"python -m {package}" if package else f"python {file}",
        description=description.partition("\n")[0],
    )
    try:
        main(**vars(options))
    except SettingError as error:
        name, option = error.name.upper(), "--" + error.name.replace("_", "-")
        print(f"{error}. Change {name} in {file}, or {option}", file=sys.stderr)
        sys.exit(2)


def list_options(main: Callable[..., object], comments: dict[str, str]) -> type:
    """Return a dataclass with the arguments of `main`, for tyro.

    Args:
        main: the function.
        comments: {constant: its comment}, the help of the options.
    """
    import tyro

    hints = get_type_hints(main, include_extras=True)
    plain = get_type_hints(main)  # tyro does not understand unions with Annotated parts
    fields = []
    for name, parameter in inspect.signature(main).parameters.items():
        text = "; ".join(filter(None, [comments.get(name.upper()), describe_bounds(hints[name])]))
        option = Annotated[plain[name], tyro.conf.arg(help=text)]  # pyright: ignore
        for mark in getattr(hints[name], "__metadata__", ()):
            if isinstance(mark, Positional):
                shown = tyro.conf.arg(help=mark.help, metavar=mark.metavar)
                option = tyro.conf.Positional[Annotated[plain[name], shown]]  # pyright: ignore
        fields.append((name, option, field(default=parameter.default)))
    return make_dataclass("Settings", fields)


def read_comments(script: Path) -> dict[str, str]:
    """Return {constant: comment} of the lines `CONSTANT = value  # comment` of a script."""
    lines = re.findall(r"^([A-Z]\w*) = .*?  # (.*)$", script.read_text(encoding="utf-8"), re.M)
    return dict(lines)


def describe_bounds(annotation: Any) -> str:
    """Return the bounds of a type of this module in words, such as `at least 0, at most 1`."""
    words = {"Ge": "at least", "Gt": "above", "Le": "at most", "Lt": "below"}
    found = []
    for part in (annotation, *get_args(annotation)):
        for constraint in getattr(part, "__metadata__", ()):
            for bound in getattr(constraint, "metadata", ()):
                if word := words.get(type(bound).__name__):
                    found.append(f"{word} {astuple(bound)[0]:,}")
    return ", ".join(found)
