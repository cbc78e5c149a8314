#!/usr/bin/python3
"""SciPy as the judge of our resampling, put together as skimage's resize and nnU-Net's
resample_data_or_seg do it.

make DIR    writes NAME.in and NAME.out (float32 values (D,H,W,C), or uint8 labels), and prints a line per
            case: NAME kind(values|labels) D H W C  D H W(of the output)  order of each axis (0, 1, 3)"""
import os
import sys

import numpy
from scipy import ndimage


def zoom(array, shape, order):
    """skimage.transform.resize(array, shape, order, mode="edge", anti_aliasing=False), clip included."""
    factors = [o / i for i, o in zip(array.shape, shape)]
    out = ndimage.zoom(array.astype("f8"), factors, order=order, mode="nearest", grid_mode=True)
    assert out.shape == tuple(shape), (out.shape, shape)
    return numpy.clip(out, array.min(), array.max())


def resize_labels(labels, shape, order):
    """batchgenerators.augmentations.utils.resize_segmentation from release 0.25.4 on: the largest of the labels'
    maps; of equal ones the nearest voxel's label if it is among them, else the smallest."""
    if order == 0:
        return zoom(labels, shape, 0)
    values = numpy.unique(labels)
    score = numpy.stack([zoom(labels == value, shape, order) for value in values])
    tied = score > score.max(0) - 1e-9
    nearest = numpy.searchsorted(values, zoom(labels, shape, 0))
    chosen = numpy.where(numpy.take_along_axis(tied, nearest[None], 0)[0], nearest, tied.argmax(0))
    return values[chosen]


def resample(array, shape, order, separate, resize):
    """One channel; `separate` is the axis to be resampled alone with order 0, or None."""
    if array.shape == tuple(shape):
        return array
    if separate is None:
        return resize(array, shape, order)
    plane = [s for axis, s in enumerate(shape) if axis != separate]
    slices = [resize(numpy.take(array, i, separate), plane, order) for i in range(array.shape[separate])]
    stacked = numpy.stack(slices, separate)
    if stacked.shape == tuple(shape):
        return stacked
    grid = numpy.mgrid[tuple(slice(0, s) for s in shape)]
    where = numpy.array([i / o * (g + 0.5) - 0.5 for i, o, g in zip(stacked.shape, shape, grid)])
    return ndimage.map_coordinates(stacked, where, order=0, mode="nearest")


CASES = [  # dim, channels, output dim, order, separate axis
    ((7, 9, 11), 1, (13, 6, 17), 3, None),
    ((9, 12, 5), 2, (9, 7, 12), 3, None),
    ((20, 3, 18), 3, (6, 8, 31), 1, None),
    ((16, 16, 16), 1, (8, 8, 8), 3, None),
    ((8, 8, 8), 1, (16, 16, 16), 1, None),
    ((6, 20, 23), 1, (14, 15, 30), 3, 0),
    ((21, 5, 17), 2, (12, 12, 20), 3, 1),
    ((17, 18, 6), 1, (20, 12, 4), 3, 2),
    ((6, 20, 20), 1, (6, 25, 25), 3, 0),
    ((1, 9, 9), 1, (1, 14, 7), 3, None),
    ((5, 9, 9), 1, (9, 9, 9), 1, 0),
    ((15, 16, 14), 1, (5, 24, 28), 3, None),
    ((5, 16, 14), 1, (9, 8, 21), 3, 0),
]


def make(folder):
    random = numpy.random.default_rng(11)
    for number, (dim, channels, shape, order, separate) in enumerate(CASES):
        orders = [0 if axis == separate else order for axis in range(3)]
        values = (random.standard_normal(dim + (channels,)) * 100).astype("f4")
        values[: dim[0] // 2] += 500
        out = numpy.stack([resample(values[..., c], shape, order, separate, zoom) for c in range(channels)], -1)
        write(folder, "values%d" % number, "values", values, out.astype("f4"), orders)
        coarse = random.integers(0, 5, tuple((s + 2) // 3 for s in dim)).astype("u1")
        labels = numpy.kron(coarse, numpy.ones((3, 3, 3), "u1"))[: dim[0], : dim[1], : dim[2]]
        flat = 0 if order == 0 else 1
        out = resample(labels, shape, flat, separate, resize_labels)
        write(folder, "labels%d" % number, "labels", labels[..., None], out[..., None].astype("u1"),
              [0 if axis == separate else flat for axis in range(3)])


def write(folder, name, kind, values, out, orders):
    numpy.ascontiguousarray(values).tofile(os.path.join(folder, name + ".in"))
    numpy.ascontiguousarray(out).tofile(os.path.join(folder, name + ".out"))
    print(name, kind, *values.shape, *out.shape[:3], *orders)


if __name__ == "__main__":
    make(sys.argv[2])
