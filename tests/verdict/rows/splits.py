"""Folds that splits_final.json lists."""
import json

from nii import NAMES, sound


def folds(*entries):
    def make(d):
        sound(d)
        with open(d + "/splits_final.json", "w") as file:
            json.dump([{"train": train, "val": val} for train, val in entries], file)
    return make


GOOD = (NAMES[1:], NAMES[:1])

ROWS = [
    dict(name="folds in a file", make=folds(GOOD, (NAMES[:1], NAMES[1:2]))),
    dict(name="a fold of cases that are gone", make=folds((NAMES[1:], ["gone"])), says="fold 0: \"val\" names case gone",
         evaluate=True),
    dict(name="a fold of files", make=folds(([n + ".nii.gz" for n in NAMES[1:]], NAMES[:1])),
         says="without their ending: case_1)", evaluate=True),
    dict(name="a case on both sides", make=folds(GOOD, (NAMES, NAMES[:1])), says="fold 1: case case_0 stands twice",
         evaluate=True),
    dict(name="a fold without validation", make=folds((NAMES, [])), says="fold 0: \"val\" is missing or empty",
         evaluate=True),
    dict(name="no folds at all", make=folds(), says="splits_final.json: expected a list of folds", evaluate=True),
]
