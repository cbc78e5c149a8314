#!/usr/bin/python3
"""NIfTI headers drawn at random, with nibabel as the judge of what they mean.

nifti_headers.py DIR COUNT   writes COUNT files packed field by field; prints "NAME read" with NAME's .raw and
                             .txt as nifti.py makes them, or "NAME WORD" where WORD must stand in the refusal

nibabel gives values and affine; the unit, which it does not apply, and which of affine and pixdim gives the
spacing are ours to say. Refused are what nibabel refuses, and what it reads, but nothing here can use.
"""
import gzip
import logging
import math
import os
import struct
import sys

import nibabel
import numpy

from nifti import describe

logging.disable(logging.CRITICAL)
CODES = {"u1": 2, "i2": 4, "i4": 8, "f4": 16, "f8": 64, "i1": 256, "u2": 512, "u4": 768, "i8": 1024, "u8": 1280}
ODD = {"RGB24": (128, 3), "RGBA32": (2304, 4), "COMPLEX64": (32, 8), "COMPLEX128": (1792, 16), "FLOAT128": (1536, 16)}
UNITS = {0: 1, 1: 1000, 2: 1, 3: 0.001}
UNORIENTED, PIXDIM_OTHER, FORMS_DIFFER, UNIT_UNKNOWN, UNIT_OTHER = 1, 2, 4, 8, 16


def rotation(random):
    """A signed permutation, oblique in half of the cases."""
    turn = numpy.eye(3)[random.permutation(3)] * random.choice([-1, 1], 3)
    if random.random() < 0.5:
        a, b = random.uniform(-0.4, 0.4, 2)
        x = numpy.array([[1, 0, 0], [0, math.cos(a), -math.sin(a)], [0, math.sin(a), math.cos(a)]])
        z = numpy.array([[math.cos(b), -math.sin(b), 0], [math.sin(b), math.cos(b), 0], [0, 0, 1]])
        turn = x @ z @ turn
    return turn


def affine_of(turn, zooms, origin):
    affine = numpy.eye(4)
    affine[:3, :3] = turn @ numpy.diag(zooms)
    affine[:3, 3] = origin
    return affine


def quaternion(turn):
    """qfac and b, c, d of a proper or improper rotation."""
    qfac = 1.0 if numpy.linalg.det(turn) > 0 else -1.0
    w, x, y, z = nibabel.quaternions.mat2quat(turn @ numpy.diag([1, 1, qfac]))
    return qfac, (x, y, z) if w >= 0 else (-x, -y, -z)


def pack(h):
    """The header and the four bytes behind it, of NIfTI-1 or -2."""
    e, zeros = h["end"], b"\0"
    scale, codes = (h["slope"], h["inter"]), (h["qcode"], h["scode"])
    rows = h["sform"][:3].ravel()
    if h["version"] == 1:
        raw = struct.pack(e + "i36x8h14xhhh", 348, *h["dim"], h["code"], h["bits"], 0)
        raw += struct.pack(e + "8f3fhBB24x", *h["pixdim"], h["offset"], *scale, 0, 0, h["units"])
        raw += zeros * 104 + struct.pack(e + "2h6f12f", *codes, *h["quatern"], *h["shift"], *rows)
        return raw + zeros * 16 + b"n+1\0" + zeros * 4
    raw = struct.pack(e + "i8shh8q3d", 540, b"n+2\0\r\n\x1a\n", h["code"], h["bits"], *h["dim"], 0, 0, 0)
    raw += struct.pack(e + "8dq2d", *h["pixdim"], h["offset"], *scale) + zeros * 152
    raw += struct.pack(e + "2i6d12d3i", *codes, *h["quatern"], *h["shift"], *rows, 0, h["units"], 0)
    return raw + zeros * 40 + zeros * 4


def draw(random):
    version, kind = int(random.choice([1, 2])), str(random.choice(list(CODES)))
    zooms = numpy.array([float(random.choice([0.5, 0.75, 0.9375, 1, 1.1, 2, 3])) for _ in range(3)])
    unit = int(random.choice([0, 1, 2, 2, 3, 5]))
    scale = UNITS.get(unit, 1)
    turn, origin = rotation(random), random.uniform(-50, 50, 3)
    qcode, scode = (int(x) for x in random.choice([[0, 0], [1, 0], [0, 1], [1, 1], [1, 4], [2, 2]]))
    other = turn @ numpy.diag([-1, -1, 1]) if random.random() < 0.2 else turn
    qfac, quatern = quaternion(other)
    stated = zooms * random.choice([1, 1 + 2e-5, 1.02], p=[0.6, 0.2, 0.2])
    slope, inter = random.choice(numpy.array([[1, 0], [0, 5], [math.nan, 0], [math.inf, 1], [2.5, -3], [2, math.nan]]),
                                 p=[0.4, 0.1, 0.1, 0.1, 0.25, 0.05])
    dim = [int(x) for x in random.integers(2, 6, 3)]
    dim = [[3, *dim], [4, *dim, 1], [4, *dim, 2], [5, *dim, 1, 1], [2, *dim[:2]]][random.choice(5, p=[0.4, 0.2, 0.2, 0.1, 0.1])]
    return {"version": version, "end": str(random.choice(["<", ">"])), "kind": kind, "code": CODES[kind],
            "bits": 8 * numpy.dtype(kind).itemsize, "dim": dim + [1] * (8 - len(dim)), "slope": slope, "inter": inter,
            "offset": {1: 352, 2: 544}[version] + 16 * int(random.integers(0, 3)), "units": unit | int(random.choice([0, 8])),
            "pixdim": [qfac, *(stated / scale), 1, 0, 0, 0], "sform": affine_of(turn, zooms / scale, origin / scale),
            "qcode": qcode, "scode": scode, "quatern": quatern, "shift": origin / scale}


def expected(image, h):
    """Affine, spacing W,H,D and remarks, from what nibabel read and in mm."""
    header, remarks, unit = image.header, 0, h["units"] & 7
    scale, zooms = UNITS.get(unit, 1), numpy.array((*(float(x) for x in header["pixdim"][1:4]),))
    if unit not in UNITS:
        remarks |= UNIT_UNKNOWN
    elif scale != 1:
        remarks |= UNIT_OTHER
    affine = image.affine.copy()
    if not h["qcode"] and not h["scode"]:
        remarks |= UNORIENTED
        affine = numpy.diag([*zooms, 1])
    affine[:3] *= scale
    lengths = numpy.sqrt((affine[:3, :3] ** 2).sum(0))
    zooms = zooms * scale
    if (abs(zooms - lengths) > 1e-4 * lengths).any():
        remarks |= PIXDIM_OTHER
    if h["qcode"] and h["scode"]:
        qform, size = header.get_qform().copy(), numpy.array(h["dim"][1:4]) - 1
        qform[:3] *= scale
        corners = numpy.array([[(i >> a & 1) * size[a] for a in range(3)] + [1] for i in range(8)]).T
        if numpy.sqrt((((qform - affine) @ corners)[:3] ** 2).sum(0)).max() > lengths.min() / 2:
            remarks |= FORMS_DIFFER
    if scale != 1:
        zooms = zooms.astype("f4").astype("f8")
    return affine, numpy.where(abs(zooms - lengths) > 1e-4 * lengths, lengths, zooms), remarks


def spoil(random, h):
    """Makes a header that must be refused; the word that says why."""
    what = int(random.integers(0, 4))
    if what == 0:
        word = str(random.choice(list(ODD)))
        h["code"], h["bits"] = ODD[word][0], 8 * ODD[word][1]
        return word
    if what == 1:
        h["offset"] = 0
        return "vox_offset"
    if what == 2:
        h["dim"] = [5, 2, 2, 2, 1, 3, 1, 1]
        return "dimension"
    h["dim"][int(random.integers(1, 3))] = int(random.choice([-3, 0]))
    return "dimension"


def main(folder, count):
    random = numpy.random.default_rng(11)
    for i in range(count):
        h = draw(random)
        word = spoil(random, h) if random.random() < 0.1 else "read"
        name = "h%03d.nii%s" % (i, str(random.choice(["", ".gz"])))
        values = random.integers(0, 120, abs(numpy.prod(h["dim"][1:], dtype=int)))
        data = pack(h)
        data += b"\0" * (h["offset"] - len(data)) + values.astype(h["end"] + h["kind"]).tobytes() + b"\0" * 512
        with (gzip.open if name.endswith(".gz") else open)(os.path.join(folder, name), "wb") as out:
            out.write(data)
        if word == "read":
            try:
                image = nibabel.load(os.path.join(folder, name))
                found = image.get_fdata(dtype="f8")
            except nibabel.spatialimages.HeaderDataError:
                word = "scl_inter"  # the only drawn field that it refuses
                assert math.isnan(h["inter"])
        print(name, word)
        if word == "read":
            found = found.reshape((*h["dim"][1:4], -1))
            describe(os.path.join(folder, name.split(".")[0]), found, *expected(image, h))


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
