"""The hostile cases, a module for each step, each with the same tables; see tests/test_hostile.py.

SETTINGS   {setting: names of the HOSTILE_VALUES that it may have}; all others must be refused
ARTEFACTS  {file that the step reads: {name of a harm: what the step must do}}
DATA_SETS  {name: (data set, what must happen)}, in the step that a data set does not survive

stops.py has STOPS, for all steps: what ends a step from outside.
"""
