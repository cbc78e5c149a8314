#!/usr/bin/python3
"""nibabel as the judge of our NIfTI reading and writing.

make DIR          writes files of every type, slope, byte order and geometry, beside each NAME.raw
                  (float64, (D,H,W,C)) and NAME.txt (dims, channels, affine, spacing, Grid's remarks);
                  prints the names
verify FILE RAW   fails unless nibabel reads from FILE the grid and values described by RAW and RAW's
                  .txt; prints the stored type
"""
import os
import sys

import nibabel
import numpy

# Oblique about two axes, and a degree from right angles.
ROTATED = numpy.eye(4)
ROTATED[:3, :3] = (numpy.array([[0.96, -0.28, 0], [0.28, 0.96, 0], [0, 0, 1]])
                   @ numpy.array([[1, 0, 0], [0, 0.8, -0.6], [0, 0.6, 0.8]])
                   @ numpy.array([[1, 0.02, 0], [0, 1, 0.01], [0, 0, 1]]) @ numpy.diag([-0.8, 1.4, 2.5]))
ROTATED[:3, 3] = 10.5, -20.0, 30.25


def orthogonal(angle, spacing, origin):
    c, s = numpy.cos(angle), numpy.sin(angle)
    affine = numpy.eye(4)
    affine[:3, :3] = numpy.array([[c, -s, 0], [s, c, 0], [0, 0, -1]]) @ numpy.diag(spacing)
    affine[:3, 3] = origin
    return affine


def describe(stem, values, affine, spacing=None, remarks=0):
    """values (W,H,D) or (W,H,D,C), as nibabel indexes them; spacing W,H,D."""
    if values.ndim == 3:
        values = values[..., None]
    numpy.ascontiguousarray(values.transpose(2, 1, 0, 3), dtype="<f8").tofile(stem + ".raw")
    w, h, d, c = values.shape
    if spacing is None:
        spacing = numpy.sqrt((affine[:3, :3] ** 2).sum(0))
    with open(stem + ".txt", "w") as out:
        print(d, h, w, c, *affine.ravel(), *[float(x) for x in spacing[::-1]], remarks, file=out)


def save(folder, name, raw, affine, slope=None, inter=0.0, kind=nibabel.Nifti1Image, geometry="both", order="<"):
    raw = raw.astype(raw.dtype.newbyteorder(order))
    header = kind.header_class(endianness=order)
    header.set_data_dtype(raw.dtype)
    image = kind(raw, affine, header)
    codes = {"both": (1, 1), "sform": (1, 0), "qform": (0, 1), "none": (0, 0)}[geometry]
    image.set_sform(affine, codes[0])
    image.set_qform(affine, codes[1])
    image.header.set_zooms(tuple(numpy.sqrt((affine[:3, :3] ** 2).sum(0))) + (1.0,) * (raw.ndim - 3))
    values = raw.astype("f8")
    stem = name.split(".")[0]
    path = os.path.join(folder, name)
    if slope is not None:
        # nibabel recomputes slopes when it saves arrays: put the pair into the finished header.
        image.header["scl_slope"] = slope
        values = values * float(numpy.float32(slope)) + float(numpy.float32(inter)) if slope else values
    nibabel.save(image, path)
    if slope is not None:
        patch_slope(path, slope, inter, kind, order)
    expected = affine
    if geometry == "none":
        expected = numpy.diag(numpy.append(numpy.sqrt((affine[:3, :3] ** 2).sum(0)), 1))
    describe(os.path.join(folder, stem), values, numpy.asarray(expected), remarks=int(geometry == "none"))
    print(name)


def patch_slope(path, slope, inter, kind, order):
    import gzip
    import struct

    opener = gzip.open if path.endswith(".gz") else open
    with opener(path, "rb") as file:
        data = bytearray(file.read())
    if kind is nibabel.Nifti1Image:
        struct.pack_into(order + "ff", data, 112, slope, inter)
    else:
        struct.pack_into(order + "dd", data, 176, slope, inter)
    with opener(path, "wb") as file:
        file.write(bytes(data))


def make(folder):
    random = numpy.random.default_rng(7)
    shape = (5, 4, 3)
    straight = orthogonal(0.3, (0.75, 1.5, 3.0), (-11, 22, -33))
    limits = {"u1": (0, 255), "i1": (-128, 127), "u2": (0, 65535), "i2": (-32768, 32767),
              "u4": (0, 2**24), "i4": (-(2**24), 2**24), "u8": (0, 2**52), "i8": (-(2**52), 2**53)}
    for code, (low, high) in limits.items():
        raw = random.integers(low, high, shape, dtype="i8", endpoint=True).astype(code)
        raw[0, 0, 0], raw[-1, -1, -1] = low, high
        for order, tag in (("<", "le"), (">", "be")):
            save(folder, f"{code}_{tag}.nii.gz", raw, straight, order=order)
    for code in ("f4", "f8"):
        raw = (random.standard_normal(shape) * 1e3).astype(code)
        save(folder, f"{code}_le.nii", raw, straight)
        save(folder, f"{code}_be.nii.gz", raw, straight, order=">")
    raw = random.integers(-1000, 1000, shape, dtype="i2")
    save(folder, "slope.nii.gz", raw, straight, slope=0.5, inter=-3.25)
    save(folder, "slope_negative.nii", raw, straight, slope=-2.0, inter=7.0)
    save(folder, "slope_zero.nii.gz", raw, straight, slope=0.0, inter=9.0)
    save(folder, "oblique_sform.nii.gz", raw, ROTATED, geometry="sform")
    save(folder, "only_qform.nii.gz", raw, straight, geometry="qform")
    save(folder, "only_pixdim.nii.gz", raw, straight, geometry="none")
    save(folder, "second.nii.gz", raw, straight, kind=nibabel.Nifti2Image, slope=0.25, inter=1.0)
    save(folder, "second_be.nii", raw, straight, kind=nibabel.Nifti2Image, order=">")
    save(folder, "channels.nii.gz", random.integers(-9, 9, shape + (4,), dtype="i2"), straight)
    save(folder, "flat.nii.gz", random.integers(-9, 9, (6, 5, 1), dtype="i2"), straight)


def verify(path, raw):
    fields = [float(x) for x in open(raw[:-4] + ".txt").read().split()]
    d, h, w, c = (int(x) for x in fields[:4])
    affine = numpy.array(fields[4:20]).reshape(4, 4)
    values = numpy.fromfile(raw, dtype="<f8").reshape(d, h, w, c)
    image = nibabel.load(path)
    found = numpy.asarray(image.dataobj, dtype="f8")
    if found.ndim == 3:
        found = found[..., None]
    found = found.transpose(2, 1, 0, 3)
    assert found.shape == values.shape, (found.shape, values.shape)
    assert numpy.array_equal(found.astype("f4"), values.astype("f4")), abs(found - values).max()
    assert numpy.allclose(image.affine, affine, atol=1e-4), (image.affine, affine)
    assert numpy.allclose(image.header.get_zooms()[:3], fields[20:23][::-1], atol=1e-5)
    assert image.header.get_xyzt_units()[0] == "mm"
    assert int(image.header["sform_code"]) > 0 and int(image.header["qform_code"]) > 0
    orthogonal_columns = affine[:3, :3] / numpy.sqrt((affine[:3, :3] ** 2).sum(0))
    if numpy.allclose(orthogonal_columns.T @ orthogonal_columns, numpy.eye(3), atol=1e-4):
        assert numpy.allclose(image.get_qform(), affine, atol=1e-4), (image.get_qform(), affine)
    print(image.get_data_dtype())


if __name__ == "__main__":
    make(sys.argv[2]) if sys.argv[1] == "make" else verify(*sys.argv[2:4])
