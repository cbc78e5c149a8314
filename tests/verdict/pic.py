"""Tiny data sets of pictures in nnU-Net's 2D layout."""
import os
import sys

from nii import NAMES, description

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
from picture_files import jpeg_bytes, png_bytes  # noqa: E402

SIZE = (40, 36)  # W, H
RGB = {"channel_names": {"0": "rgb_to_0_1", "1": "rgb_to_0_1", "2": "rgb_to_0_1"}, "file_ending": ".png"}


def write(path, data):
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "wb") as file:
        file.write(data)


def disc(i, size=SIZE, value=1):
    """A disc whose place and size are the case's."""
    x0, y0, r = 14 + 2 * i, 20 - i, 7 + i % 3
    return [[value if (x - x0) ** 2 + (y - y0) ** 2 < r * r else 0 for x in range(size[0])] for y in range(size[1])]


def photo(i, channels=3, size=SIZE):
    """The disc, brighter than what is around, in some texture."""
    inside, state, rows = disc(i, size), i + 1, []
    for y in range(size[1]):
        row = []
        for x in range(size[0]):
            for c in range(channels):
                state = (state * 1664525 + 1013904223) % 2 ** 32
                row.append(60 + 20 * c + (state >> 27) + 90 * inside[y][x])
        rows.append(row)
    return rows


def pictures(folder, names=NAMES, **fields):
    """One file of three channels a case."""
    description(folder, **dict(RGB, **fields))
    for i, name in enumerate(names):
        write("%s/imagesTr/%s_0000.png" % (folder, name), png_bytes(photo(i), "rgb"))
        write("%s/labelsTr/%s.png" % (folder, name), png_bytes(disc(i)))


def greys(folder, channels=2, **fields):
    """A file a channel."""
    named = {str(c): "grey %d" % c for c in range(channels)}
    description(folder, **dict({"channel_names": named, "file_ending": ".png"}, **fields))
    for i, name in enumerate(NAMES):
        rows = photo(i, channels)
        for c in range(channels):
            write("%s/imagesTr/%s_%04d.png" % (folder, name, c), png_bytes([row[c::channels] for row in rows]))
        write("%s/labelsTr/%s.png" % (folder, name), png_bytes(disc(i)))


def jpegs(folder, **fields):
    """JPEG images beside PNG label maps."""
    description(folder, **dict(RGB, file_ending=".jpg", **fields))
    for i, name in enumerate(NAMES):
        write("%s/imagesTr/%s_0000.jpg" % (folder, name), jpeg_bytes(photo(i), 3))
        write("%s/labelsTr/%s.png" % (folder, name), png_bytes(disc(i)))
