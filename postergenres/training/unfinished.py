"""Find the unfinished run that a training resumes; keep one of other settings aside.

In DATA_DIR/model/, `unfinished` holds the checkpoints of each stage of the newest run,
`unfinished-other` those of one run with other settings, and `unfinished-damaged` what is damaged.
"""

import shutil

from postergenres.old_settings import RULES
from postergenres.training.checkpoints import discard_checkpoints, find_damage, read_state


def choose_unfinished(folder, wanted):
    """Make `unfinished` the run with the wanted settings, if there is one.

    A run with other settings is moved to `unfinished-other`, from which it comes back when its
    settings do. A kill at any moment loses neither.

    Args:
        folder: `pathlib.Path` of DATA_DIR/model.
        wanted: {name of a stage: settings of its checkpoints}, in the order of the stages.
    """
    current, other = folder / "unfinished", folder / "unfinished-other"
    shutil.rmtree(folder / "discarded", ignore_errors=True)  # left by a kill during a deletion
    complete_swap(folder)
    set_damaged_aside(folder, current, wanted)
    found = read_settings(current)
    if matches(found, wanted):
        return
    is_back = matches(read_settings(other), wanted)
    if is_back:
        set_damaged_aside(folder, other, wanted)
    if not found:
        discard_checkpoints(current)  # a run that was stopped in its first epoch
    if found:
        replaced = other.exists() and not is_back
        print(describe_kept_run(current, other, found, wanted, replaced))
    if found and not is_back:
        discard_checkpoints(other)
        current.rename(other)
    elif found:
        current.rename(folder / "unfinished-swap")
        complete_swap(folder)
    elif is_back and other.exists():
        other.rename(current)


def complete_swap(folder):
    """Complete a swap of `unfinished` and `unfinished-other`, also one that a kill interrupted."""
    current, other, swap = (folder / f"unfinished{end}" for end in ("", "-other", "-swap"))
    if swap.exists():
        if not current.exists() and other.exists():
            other.rename(current)
        swap.rename(current if not current.exists() else other)


def read_settings(run):
    """Return {name of a stage: settings} of a run; empty if it has no checkpoint."""
    newest = {path.parent.name: path for path in sorted(run.glob("*/epoch-*/"))}
    settings = {}
    for stage, checkpoint in newest.items():
        try:
            settings[stage] = read_state(checkpoint)["settings"]
        except (OSError, ValueError, LookupError, TypeError):
            settings[stage] = {}  # damaged: no run has these settings
    return settings


def matches(found, wanted):
    """Return whether a run has checkpoints, all of which have the wanted settings."""
    return bool(found) and all(wanted.get(stage) == found[stage] for stage in found)


def describe_kept_run(current, other, found, wanted, replaced):
    """Return the line that says which run is kept, and which settings to set to resume it."""
    stage, old = next(iter(found.items()))
    new = wanted.get(stage) or next(iter(wanted.values()))
    names = [name for name in old | new if name != "stage" and old.get(name) != new.get(name)]
    settings = [name for name in names if name in RULES["train"]]
    inputs = [name for name in names if name not in settings]
    line = f"note: {current} holds an unfinished run with other settings. It is kept in {other}"
    line += ", in place of the run that was there. " if replaced else ". "
    changes = [f"{x.upper()} = {old.get(x)!r} (now {new.get(x)!r})" for x in settings]
    advice = f"set {', '.join(changes)} in train.py" if changes else ""
    if inputs:
        advice += f"{' and ' if advice else ''}restore its {', '.join(inputs)}"
    return f"{line}To resume it, {advice or 'restore its settings'}, then run: python train.py"


def set_damaged_aside(folder, run, stages):
    """Move damaged checkpoints, and those of the stages after them, to `unfinished-damaged`.

    Args:
        folder: `pathlib.Path` of DATA_DIR/model.
        run: the folder of the run.
        stages: names of stages, in order; others come after them.
    """
    aside = folder / "unfinished-damaged"
    names = sorted(path.name for path in run.glob("*/"))
    ordered = [x for x in stages if x in names] + [x for x in names if x not in stages]
    for number, stage in enumerate(ordered):
        checkpoints = sorted(run.glob(f"{stage}/epoch-*/"), reverse=True)
        while checkpoints and (fault := find_damage(checkpoints[0])):
            move_aside(checkpoints[0], aside / stage)
            print(f"note: {checkpoints.pop(0)} is damaged: {fault}. It was moved to {aside}")
            if not checkpoints:
                print(f"note: {run / stage} has no other checkpoint: its epochs are trained again")
                for later in ordered[number + 1 :]:
                    move_aside(run / later, aside)
                return


def move_aside(path, folder):
    """Move a folder into another one, in place of an older folder of its name."""
    folder.mkdir(parents=True, exist_ok=True)
    shutil.rmtree(folder / path.name, ignore_errors=True)
    path.rename(folder / path.name)
