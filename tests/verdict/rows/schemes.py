"""Channels whose names say how they are scaled."""
from nii import sound, texture, write


def colours(d):
    sound(d, channel_names={"0": "rgb_to_0_1"})
    for i in range(5):
        write(d + "/imagesTr/case_%d_0000.nii.gz" % i, [v % 256 for v in texture(i)])


def too_bright(d):
    sound(d, channel_names={"0": "rgb_to_0_1"})


def untouched(d):
    sound(d, channel_names={"0": "noNorm"})


def too_large(d):
    untouched(d)
    write(d + "/imagesTr/case_1_0000.nii.gz", [1e9] + texture(1)[1:], type="f4")


ROWS = [
    dict(name="colours", make=colours),
    dict(name="colours above 255", make=too_bright, says="rgb_to_0_1, from 0 .. 255, but holds", evaluate=True),
    dict(name="a channel to be left as it is", make=untouched),
    dict(name="a channel to be left as it is, beyond half precision", make=too_large, evaluate=True,
         says="left as it is (noNorm), but holds 0 .. 1e+09"),
]
