"""Names, lists and descriptions of data sets."""
import json
import os

from nii import box, description, listed, sound, texture, write


def missing_label(d):
    sound(d)
    os.remove(d + "/labelsTr/case_3.nii.gz")


def truncated(d):
    sound(d)
    path = d + "/imagesTr/case_2_0000.nii.gz"
    data = open(path, "rb").read()
    open(path, "wb").write(data[:len(data) // 2])


def foreign_value(d):
    sound(d)
    write(d + "/labelsTr/case_1.nii.gz", box(value=7))


def other_shape(d):
    sound(d)
    write(d + "/labelsTr/case_4.nii.gz", box(dim=(12, 13, 15)), dim=(12, 13, 15))


def constant(d):
    sound(d)
    write(d + "/imagesTr/case_0_0000.nii.gz", [5] * (12 * 13 * 14), type="f4")


def nothing_labelled(d):
    sound(d)
    for i in range(5):
        write(d + "/labelsTr/case_%d.nii.gz" % i, box(value=0))


def syntax(d):
    sound(d)
    with open(d + "/dataset.json", "w") as file:
        file.write('{\n  "labels": {"background": 0, "organ": 1},\n  // a comment\n  "file_ending": ".nii.gz"}\n')


ROWS = [
    dict(name="sound", make=sound),
    dict(name="sound list", make=listed, msd=True),
    dict(name="an image without label", make=missing_label, says="imagesTr/case_3_0000.nii.gz has no label"),
    dict(name="a truncated image", make=truncated, says="case_2_0000.nii.gz: truncated", evaluate=True),
    dict(name="a value that is no label", make=foreign_value, says="not name", evaluate=False),
    dict(name="image and label of two shapes", make=other_shape, says="different shapes", evaluate=True),
    dict(name="an image of one value", make=constant, says="every voxel of the image is 5", evaluate=True),
    dict(name="nothing labelled", make=nothing_labelled, says="no case has a foreground voxel", evaluate=True),
    dict(name="a comment in JSON", make=syntax, says="dataset.json:3:", evaluate=False),
]
