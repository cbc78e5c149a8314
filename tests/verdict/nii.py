"""Tiny NIfTI files and data sets, written byte by byte with the standard library alone."""
import array
import gzip
import json
import os
import struct

CODES = {"u1": (2, "B"), "i2": (4, "h"), "i4": (8, "i"), "f4": (16, "f"), "f8": (64, "d"), "i8": (1024, "q")}
DIM = (12, 13, 14)  # W, H, D


def write(path, values, dim=DIM, type="u1", mm=(1, 1, 1), affine="diagonal", slope=1.0, inter=0.0, units=2):
    """A volume of dim W,H,D (or W,H,D,C), W fastest. affine: three rows of four, "diagonal", or None (no sform)."""
    code, letter = CODES[type]
    size = array.array(letter).itemsize
    rows = [[mm[0], 0, 0, 0], [0, mm[1], 0, 0], [0, 0, mm[2], 0]] if affine == "diagonal" else affine
    head = struct.pack("<i10s18sihcB", 348, b"", b"", 0, 0, b"r", 0)
    head += struct.pack("<8h", len(dim), *(list(dim) + [1] * (7 - len(dim))))
    head += struct.pack("<3fhhhh", 0, 0, 0, 0, code, 8 * size, 0)
    head += struct.pack("<8f", 1, *mm, 1, 1, 1, 1)
    head += struct.pack("<3fhBB", 352, slope, inter, 0, 0, units)
    head += struct.pack("<4f2i", 0, 0, 0, 0, 0, 0) + bytes(104)
    head += struct.pack("<2h", 0, 1 if rows else 0) + bytes(24)
    for row in rows or [[0] * 4] * 3:
        head += struct.pack("<4f", *row)
    head += struct.pack("16s4s", b"", b"n+1\0")
    assert len(head) == 348
    data = head + bytes(4) + struct.pack("<%d%s" % (len(values), letter), *values)
    if os.path.dirname(path):
        os.makedirs(os.path.dirname(path), exist_ok=True)
    with (gzip.open(path, "wb", 1) if path.endswith(".gz") else open(path, "wb")) as file:
        file.write(data)


def box(lo=(2, 2, 2), hi=(8, 9, 9), value=1, other=0, dim=DIM):
    """A filled box in a volume, W fastest."""
    return [value if all(lo[a] <= p[a] < hi[a] for a in range(3)) else other
            for p in ((x, y, z) for z in range(dim[2]) for y in range(dim[1]) for x in range(dim[0]))]


def texture(seed=1, dim=DIM):
    """Whole numbers 0..999, the same every time."""
    out, state = [], seed * 2654435761 % 2 ** 32
    for _ in range(dim[0] * dim[1] * dim[2]):
        state = (state * 1664525 + 1013904223) % 2 ** 32
        out.append((state >> 22) % 1000)
    return out


def description(folder, drop=(), **fields):
    """dataset.json of one MRI channel and one organ; fields are added or replace."""
    about = {"channel_names": {"0": "MRI"}, "labels": {"background": 0, "organ": 1}, "file_ending": ".nii.gz"}
    about.update(fields)
    for name in drop:
        about.pop(name, None)
    os.makedirs(folder, exist_ok=True)
    with open(folder + "/dataset.json", "w") as file:
        json.dump(about, file)


NAMES = ["case_%d" % i for i in range(5)]  # as many as there are folds


def sound(folder, names=NAMES, image="imagesTr/%s_0000.nii.gz", label="labelsTr/%s.nii.gz", **fields):
    """A folder with nothing wrong in it; rows damage it afterwards."""
    description(folder, **fields)
    for i, name in enumerate(names):
        write(os.path.join(folder, image % name), texture(i), type="f4")
        write(os.path.join(folder, label % name), box())


def listed(folder, names=NAMES, image="./imagesTr/%s.nii.gz", label="./labelsTr/%s.nii.gz", files=None, **fields):
    """The same with a list of the cases, as the Medical Segmentation Decathlon writes it. files: where the images
    really are, if elsewhere than the list says."""
    about = {"modality": {"0": "MRI"}, "labels": {"0": "background", "1": "organ"},
             "training": [{"image": image % n, "label": label % n} for n in names]}
    about.update(fields)
    sound(folder, names, files or image, label, **about)
    with open(folder + "/dataset.json", "w") as file:
        json.dump(about, file)
