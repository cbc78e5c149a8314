"""How volumes lie, their units and types."""
from nii import NAMES, box, listed, sound, texture, write

DIM = (12, 13, 14)
LPS = [[-1, 0, 0, 11], [0, -1, 0, 12], [0, 0, 1, 0]]


def flipped(values):
    """The same voxels with the first two axes read backwards."""
    w, h, d = DIM
    return [values[(z * h + h - 1 - y) * w + w - 1 - x] for z in range(d) for y in range(h) for x in range(w)]


def mirrored_labels(d):
    sound(d)
    for i, name in enumerate(NAMES):
        write(d + "/imagesTr/%s_0000.nii.gz" % name, flipped(texture(i)), type="f4", affine=LPS)


def mirrored_channel(d):
    sound(d, channel_names={"0": "MRI", "1": "MRI"})
    for i, name in enumerate(NAMES):
        write(d + "/imagesTr/%s_0001.nii.gz" % name, texture(9 + i), type="f4", affine=LPS)


def moved(d):
    sound(d)
    write(d + "/labelsTr/case_3.nii.gz", box(), affine=[[1, 0, 0, 4], [0, 1, 0, 0], [0, 0, 1, 0]])


def moved_in_list(d):
    listed(d)
    write(d + "/labelsTr/case_3.nii.gz", box(), affine=[[1, 0, 0, 4], [0, 1, 0, 0], [0, 0, 1, 0]])


def other_spacing(d):
    sound(d)
    write(d + "/labelsTr/case_3.nii.gz", box(), mm=(1, 1, 2))


def moved_channel(d):
    mirrored_channel(d)
    write(d + "/imagesTr/case_1_0001.nii.gz", texture(2), type="f4", mm=(1, 1.5, 1))


def unoriented(d):
    sound(d)
    for i, name in enumerate(NAMES[:2]):
        write(d + "/imagesTr/%s_0000.nii.gz" % name, texture(i), type="f4", affine=None)
        write(d + "/labelsTr/%s.nii.gz" % name, box(), affine=None)


def unoriented_among_different(d):
    unoriented(d)
    write(d + "/imagesTr/case_4_0000.nii.gz", texture(4), type="f4", affine=LPS)
    write(d + "/labelsTr/case_4.nii.gz", box(), affine=LPS)


def microns(d):
    sound(d)
    for i, name in enumerate(NAMES):
        write(d + "/imagesTr/%s_0000.nii.gz" % name, texture(i), type="f4", mm=(900, 900, 1100), units=3)
        write(d + "/labelsTr/%s.nii.gz" % name, box(), mm=(.9, .9, 1.1))


def wide_labels(d):
    sound(d)
    write(d + "/labelsTr/case_0.nii.gz", box(), type="i8")
    write(d + "/labelsTr/case_1.nii.gz", box(value=30000), type="i2", slope=1 / 30000)


def half_labels(d):
    sound(d)
    write(d + "/labelsTr/case_2.nii.gz", box(value=.5), type="f4")


def zeros(d):
    sound(d)
    for name in NAMES:
        write(d + "/imagesTr/%s_0000.nii.gz" % name, [0] * (DIM[0] * DIM[1] * DIM[2]), type="i2")


ROWS = [
    dict(name="labels stored in another orientation", make=mirrored_labels),
    dict(name="a channel stored in another orientation", make=mirrored_channel),
    dict(name="image and label in different places", make=moved, says="lie differently in space: a voxel up to 4 mm", evaluate=True),
    dict(name="the same in a list", make=moved_in_list, says="lie differently in space: a voxel up to 4 mm", evaluate=True, msd=True),
    dict(name="image and label of two spacings", make=other_spacing, says="lie differently in space: a voxel up to 13 mm", evaluate=True),
    dict(name="two channels of two spacings", make=moved_channel, says="lie differently in space: a voxel up to 6 mm", evaluate=True),
    dict(name="two cases without orientation", make=unoriented),
    dict(name="a case without orientation among different ones", make=unoriented_among_different,
         says="which of them lie alike cannot be known", evaluate=True),
    dict(name="images in microns, labels in mm", make=microns),
    dict(name="labels in 64-bit integers and with a slope", make=wide_labels),
    dict(name="a label that is no whole number", make=half_labels, says="not a whole number", evaluate=False),
    dict(name="images of zeros", make=zeros, says="every voxel of the image is 0", evaluate=True, predict=True),
]
