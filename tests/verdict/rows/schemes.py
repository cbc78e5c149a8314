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


ROWS = [
    dict(name="colours", make=colours),
    dict(name="colours above 255", make=too_bright, says="rgb_to_0_1, from 0 .. 255, but holds", evaluate=True),
    dict(name="a channel to be left as it is", make=untouched),
]
