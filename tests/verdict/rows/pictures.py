"""PNG and JPEG in nnU-Net's 2D layout, and what people have wrong in it."""
import os

from nii import NAMES, box, write as volume
from pic import RGB, SIZE, disc, greys, jpegs, photo, pictures, write
from picture_files import exif_bytes, jpeg_bytes, png_bytes

FLAT = "patch = { 1, 32, 32 }, strides = { { 1, 1, 1 }, { 1, 2, 2 } }, kernels = { { 1, 3, 3 }, { 1, 3, 3 } }"


def damaged(damage, make=pictures, **fields):
    def both(d):
        make(d, **fields)
        damage(d)
    return both


def label(change, name="case_2"):
    """One label map, written by change(rows)."""
    return lambda d: write("%s/labelsTr/%s.png" % (d, name), change(disc(2)))


def image(change, name="case_2", channels=3):
    return lambda d: write("%s/imagesTr/%s_0000.png" % (d, name), change(photo(2, channels)))


def halved(d):
    path = d + "/imagesTr/case_2_0000.png"
    data = open(path, "rb").read()
    open(path, "wb").write(data[:len(data) // 2])


def masks(d):
    for i, name in enumerate(NAMES):
        write("%s/labelsTr/%s.png" % (d, name), png_bytes(disc(i, value=255)))


def opaque(d):
    for i, name in enumerate(NAMES):
        rows = [[v for x in range(SIZE[0]) for v in row[3 * x:3 * x + 3] + [255]] for row in photo(i)]
        write("%s/imagesTr/%s_0000.png" % (d, name), png_bytes(rows, "rgba"))


def seen_through(rows):
    return png_bytes([[v for x in range(SIZE[0]) for v in row[3 * x:3 * x + 3] + [x]] for row in rows], "rgba")


def colours(rows):
    return png_bytes([[v for x in row for v in (200 * x, 0, 0)] for row in rows], "rgb")


def jpeg_labels(d):
    for i, name in enumerate(NAMES):
        os.remove("%s/labelsTr/%s.png" % (d, name))
        write("%s/labelsTr/%s.jpg" % (d, name), jpeg_bytes(disc(i)))


def previews(d):
    """NIfTI with pictures beside, which nobody means."""
    from nii import sound
    sound(d)
    for name in NAMES:
        write("%s/imagesTr/%s_0000.png" % (d, name), png_bytes([[1, 2]]))
        write("%s/labelsTr/%s.png" % (d, name), png_bytes([[1, 2]]))


def palettes(d):
    for i, name in enumerate(NAMES):
        write("%s/labelsTr/%s.png" % (d, name), png_bytes(disc(i), "palette", 1, [(0, 0, 0), (128, 0, 0)]))


def mixed(d):
    """Colours in one file and a grey channel in another."""
    named = {"0": "rgb_to_0_1", "1": "rgb_to_0_1", "2": "rgb_to_0_1", "3": "depth"}
    pictures(d, channel_names=named)
    for i, name in enumerate(NAMES):
        write("%s/imagesTr/%s_0001.png" % (d, name), png_bytes(photo(i, 1), interlaced=True))


def sizes(d):
    """Of each case another."""
    pictures(d)
    for i, name in enumerate(NAMES):
        size = (SIZE[0] + 5 * i, SIZE[1] - i)
        write("%s/imagesTr/%s_0000.png" % (d, name), png_bytes(photo(i, 3, size), "rgb"))
        write("%s/labelsTr/%s.png" % (d, name), png_bytes(disc(i, size)))


def shouting(d):
    """Names as some cameras give them."""
    pictures(d, file_ending=".PNG")
    for folder in ("imagesTr", "labelsTr"):
        for name in os.listdir(d + "/" + folder):
            os.rename("%s/%s/%s" % (d, folder, name), "%s/%s/%s" % (d, folder, name.replace(".png", ".PNG")))


def listed(d):
    """The Decathlon's list, of JPEG images and PNG label maps."""
    jpegs(d, training=[{"image": "imagesTr/%s_0000.jpg" % n, "label": "labelsTr/%s.png" % n} for n in NAMES])


DEEP = {"0": "deep", "1": "deep", "2": "deep"}  # their own mean and deviation


def deep(d):
    for i, name in enumerate(NAMES):
        write("%s/imagesTr/%s_0000.png" % (d, name), png_bytes([[257 * v for v in row] for row in photo(i)], "rgb", 16))


def painted(rows):
    return png_bytes(rows, "palette", 8, [(v, 255 - v, 3) for v in range(256)])


def cmyk(d):
    """One of the pictures in four components, as printers have them."""
    rows = [[v for x in range(SIZE[0]) for v in row[3 * x:3 * x + 3] + [9]] for row in photo(2)]
    write(d + "/imagesTr/case_2_0000.jpg", jpeg_bytes(rows, 4))


def nifti_label(d):
    os.remove(d + "/labelsTr/case_2.png")
    volume(d + "/labelsTr/case_2.nii.gz", box())


ROWS = [dict(patch=FLAT, **row) for row in [
    dict(name="PNG in colours", make=pictures),
    dict(name="PNG, a file a channel", make=greys),
    dict(name="PNG of one channel", make=lambda d: greys(d, 1)),
    dict(name="JPEG images, PNG labels", make=jpegs),
    dict(name="a list of pictures", make=listed, msd=True),
    dict(name="pictures in colours and a channel more", make=mixed),
    dict(name="pictures, each of another size", make=sizes),
    dict(name="pictures with alpha that says nothing", make=damaged(opaque)),
    dict(name="palettes as labels", make=damaged(palettes)),
    dict(name="pictures in capitals", make=shouting),
    dict(name="regions and an ignore label in pictures",
         make=damaged(label(lambda rows: png_bytes([[2 if x < 5 else v for x, v in enumerate(row)] for row in rows])),
                      labels={"background": 0, "whole": [1], "ignore": 2}, regions_class_order=[1])),
    dict(name="PNG turned by EXIF", make=damaged(image(lambda rows: png_bytes(rows, "rgb", extra=[(b"eXIf", exif_bytes(3))])))),
    dict(name="a PNG label of another size", make=damaged(label(lambda rows: png_bytes(rows[:-1]))),
         evaluate=True, says="different shapes (D,H,W)"),
    dict(name="a truncated PNG", make=damaged(halved), evaluate=True, says="corrupt (unexpected end of file)"),
    dict(name="a PNG of a header's dreams", make=damaged(image(lambda rows: png_bytes(rows, "rgb", size=(99999, 99999)))),
         evaluate=True, says="cannot be packed into less than"),
    dict(name="a JPEG called PNG", make=damaged(image(lambda rows: jpeg_bytes(rows, 3))), evaluate=True, says="but a JPEG file by its"),
    dict(name="masks of 0 and 255", make=damaged(masks), evaluate=False, says="write 1 in place of 255"),
    dict(name="colours as labels", make=damaged(label(colours)), evaluate=False, says="3 channels (RGB); a label map has one"),
    dict(name="labels in a packed palette", evaluate=False, says="is the label 1 or 255?",
         make=damaged(label(lambda rows: png_bytes(rows, "palette", 1, [(0, 0, 0), (255, 255, 255)])))),
    dict(name="JPEG label maps", make=damaged(jpeg_labels, jpegs), evaluate=False, says="JPEG does not keep labels"),
    dict(name="alpha that differs", make=damaged(image(seen_through)), evaluate=True, says="alpha, which is not the same everywhere"),
    dict(name="a grey PNG among colours", make=damaged(image(lambda rows: png_bytes(rows), channels=1)), evaluate=True,
         says="1 channel(s), expected 3; \"channel_names\""),
    dict(name="a NIfTI label among PNG", make=damaged(nifti_label), evaluate=None, says="do not end in .png"),
    dict(name="a PNG of 16 bits among bytes", evaluate=True, says="but holds",
         make=damaged(image(lambda rows: png_bytes([[257 * v for v in row] for row in rows], "rgb", 16)))),
    dict(name="pictures of 16 bits", make=damaged(deep, channel_names=DEEP)),
    dict(name="labels of 16 bits", make=damaged(label(lambda rows: png_bytes(rows, depth=16)))),
    dict(name="labels of 16 bits above 255", evaluate=False, says="are not a whole number from 0 to 255; the first is 257",
         make=damaged(label(lambda rows: png_bytes([[257 * v for v in row] for row in rows], depth=16)))),
    dict(name="a picture of a palette of colours", make=damaged(image(painted, channels=1))),
    dict(name="a palette of greys among colours", evaluate=True, says="1 channel(s), expected 3",
         make=damaged(image(lambda rows: png_bytes(rows, "palette", 8, [(v, v, v) for v in range(256)]), channels=1))),
    dict(name="labels with alpha", evaluate=False, says="2 channels (grey and alpha); a label map has one",
         make=damaged(label(lambda rows: png_bytes([[u for v in row for u in (v, 255)] for row in rows], "grey-alpha")))),
    dict(name="a CMYK JPEG", make=damaged(cmyk, jpegs), evaluate=True, says="its colours are CMYK (4 components); save it as RGB"),
    dict(name="a missing mask", make=damaged(lambda d: os.remove(d + "/labelsTr/case_2.png")), evaluate=None,
         says="case_2"),
    dict(name="a mask of no picture", make=damaged(lambda d: write(d + "/labelsTr/case_9.png", png_bytes(disc(2)))), evaluate=None,
         says="case_9"),
    dict(name="a label that nobody named", evaluate=False, says="does not name: 7 (",
         make=damaged(label(lambda rows: png_bytes([[7 * v for v in row] for row in rows])))),
    dict(name="TIFF", make=lambda d: pictures(d, file_ending=".tif"), evaluate=True, says="\"file_ending\" is \".tif\""),
]] + [dict(name="pictures beside NIfTI", make=previews, predict=True)]
