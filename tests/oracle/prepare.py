#!/usr/bin/python3
"""NumPy and SciPy as the judge of a prepared volume: crop, mask, intensities, resampling, as nnU-Net v2's
DefaultPreprocessor does them.

make DIR    writes for every case NAME.image (float32 D,H,W,C), NAME.label (uint8), NAME.plan (JSON), NAME.prepared and
            NAME.labels (what is expected), and prints a line: NAME  D H W C  mm D H W  D H W (of the output)"""
import json
import os
import sys

import numpy
from scipy import ndimage

from resample import resample, resize_labels, zoom

CHANNELS = [{"name": "MRI", "scheme": "zscore"},
            {"name": "CT", "scheme": "ct", "low": -150.5, "high": 230.25, "mean": 41.5, "sd": 77.25},
            {"name": "noNorm", "scheme": "none"},
            {"name": "rescale_to_0_1", "scheme": "rescale_to_0_1"},
            {"name": "rgb_to_0_1", "scheme": "rgb_to_0_1"}]
CASES = [  # file mm, plan mm, a mask for the z-score
    ((1, 1, 1), (1, 1, 1), False),
    ((1, 1, 1), (0.7, 1.3, 0.9), True),
    ((5, 1, 1), (4, 0.8, 1.2), True),
    ((2, 1.5, 1), (1, 1, 1), False),
]


def scan(random):
    """Recorded in a ball with a hole; labels also beside it, where nothing was recorded."""
    dim = (13, 18, 16)
    at = numpy.stack(numpy.indices(dim), -1) - numpy.array(dim) / 2 + 0.5
    ball = (at ** 2).sum(-1) < 36
    image = numpy.empty(dim + (5,), "f4")
    image[..., 0] = random.normal(300, 80, dim)
    image[..., 1] = random.normal(40, 150, dim)
    image[..., 2] = random.random(dim)
    image[..., 3] = random.normal(-5, 2, dim)
    image[..., 4] = random.integers(0, 256, dim)
    image[~ball] = 0
    image[6:8, 8:10, 7:9] = 0
    labels = numpy.zeros(dim, "u1")
    labels[3:9, 3:12, 2:9] = random.integers(0, 4, (6, 9, 7))
    return image, labels


def normalise(channel, values, seg, masked):
    """One channel by nnU-Net's normalisation schemes."""
    scheme = channel["scheme"]
    if scheme == "ct":
        return (values.clip(channel["low"], channel["high"]) - channel["mean"]) / channel["sd"]
    if scheme == "none":
        return values
    if scheme == "rescale_to_0_1":
        return (values - values.min()) / (values.max() - values.min())
    if scheme == "rgb_to_0_1":
        return values / 255
    mask = seg >= 0 if masked else numpy.ones(seg.shape, bool)
    out = values.copy()
    out[mask] = (values[mask] - values[mask].mean()) / values[mask].std()
    return out


def prepare(image, labels, mm, to, masked):
    mask = ndimage.binary_fill_holes((image != 0).any(-1))
    box = ndimage.find_objects(mask.astype(int))[0]
    mask, image, seg = mask[box], image[box].astype("f8"), labels[box].astype("i2")
    seg[(seg == 0) & ~mask] = -1
    shape = [int(numpy.rint(a / b * n)) for a, b, n in zip(mm, to, seg.shape)]
    separate = 0 if max(mm) / min(mm) > 3 else None
    out = [resample(normalise(c, image[..., i], seg, masked), shape, 3, separate, zoom) for i, c in enumerate(CHANNELS)]
    return numpy.stack(out, -1), resample(seg, shape, 1, separate, resize_labels).clip(0)


def make(folder):
    random = numpy.random.default_rng(5)
    for number, (mm, to, masked) in enumerate(CASES):
        image, labels = scan(random)
        out, seg = prepare(image, labels, mm, to, masked)
        path = os.path.join(folder, "case%d." % number)
        image.tofile(path + "image")
        labels.tofile(path + "label")
        out.astype("f4").tofile(path + "prepared")
        seg.astype("u1").tofile(path + "labels")
        with open(path + "plan", "w") as file:
            json.dump({"orientation": "RAS", "spacing_mm": to, "nonzero_mask": masked, "channels": CHANNELS}, file)
        print("case%d" % number, *image.shape, *mm, *seg.shape)


if __name__ == "__main__":
    make(sys.argv[2])
