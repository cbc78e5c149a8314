#!/usr/bin/python3
"""The judge of our reading and writing of PNG and JPEG (tests/picture_files.py, the standard library alone).

make DIR        writes files of every kind; prints "image NAME", "label NAME" with NAME.raw (float64, (H,W,C)) and NAME.txt
                (H, W, C, Grid's remarks, how near) beside each, or "bad-image NAME WORDS", "bad-label NAME WORDS" with
                what must stand in the refusal
verify FILE     prints "DEPTH CHANNELS" and every sample of a PNG
"""
import array
import os
import random
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
from picture_files import exif_bytes, jpeg_bytes, png_bytes, png_read  # noqa: E402

UNORIENTED, EXIF, PICTURE, ALPHA = 1, 128, 1 << 16, 1 << 17
DRAW = random.Random(7)


def noise(width, height, channels=1, most=255):
    return [[DRAW.randint(0, most) for _ in range(width * channels)] for _ in range(height)]


def smooth(width, height, channels=1):
    return [[min(255, 7 * x + 3 * y + 40 * c) for x in range(width) for c in range(channels)] for y in range(height)]


class Maker:
    def __init__(self, folder):
        self.folder = folder

    def file(self, name, data):
        with open(os.path.join(self.folder, name), "wb") as file:
            file.write(data)

    def good(self, kind, name, data, values, channels=1, remarks=0, near=0):
        self.file(name, data)
        stem = os.path.join(self.folder, name)
        with open(stem + ".raw", "wb") as file:
            array.array("d", [v for row in values for v in row]).tofile(file)
        with open(stem + ".txt", "w") as file:
            print(len(values), len(values[0]) // channels, channels, remarks | UNORIENTED | PICTURE, near, file=file)
        print(kind, name)

    def image(self, name, data, values, **how):
        self.good("image", name, data, values, **how)

    def label(self, name, data, values, **how):
        self.good("label", name, data, values, **how)

    def bad(self, kind, name, data, words):
        self.file(name, data)
        print("bad-" + kind, name, words)


def images(make):
    for width, height in ((1, 1), (5, 3), (23, 17)):
        for interlaced in (False, True):
            tag = "%dx%d%s.png" % (width, height, "i" if interlaced else "")
            for colour, channels, alpha in (("grey", 1, 0), ("rgb", 3, 0), ("grey-alpha", 2, ALPHA), ("rgba", 4, ALPHA)):
                for depth in (8, 16):
                    rows = noise(width, height, channels, (1 << depth) - 1)
                    make.image("%s%d_%s" % (colour, depth, tag), png_bytes(rows, colour, depth, interlaced=interlaced), rows,
                               channels=channels, remarks=alpha)
            for depth in (1, 2, 4):
                most = (1 << depth) - 1
                rows = noise(width, height, 1, most)
                make.image("grey%d_%s" % (depth, tag), png_bytes(rows, "grey", depth, interlaced=interlaced),
                           [[v * (255 // most) for v in row] for row in rows])
                colours = [tuple(DRAW.randint(0, 255) for _ in range(3)) for _ in range(most + 1)]
                make.image("palette%d_%s" % (depth, tag), png_bytes(rows, "palette", depth, colours, interlaced=interlaced),
                           [[v for i in row for v in colours[i]] for row in rows], channels=3)
    rows = noise(9, 6, 1, 2)
    greys, colours = [(9,) * 3, (200,) * 3, (0,) * 3], [(1, 2, 3), (4, 5, 6), (7, 8, 9)]
    make.image("palette_grey.png", png_bytes(rows, "palette", 8, greys), [[greys[i][0] for i in row] for row in rows])
    make.image("palette_alpha.png", png_bytes(rows, "palette", 8, colours, [255, 7]),
               [[v for i in row for v in (*colours[i], (255, 7, 255)[i])] for row in rows], channels=4, remarks=ALPHA)
    make.image("palette_opaque.png", png_bytes(rows, "palette", 8, colours, [255, 255]),
               [[v for i in row for v in colours[i]] for row in rows], channels=3)
    make.image("keyed.png", png_bytes(rows, "grey", 8, opacity=[0, 1]), rows)
    make.image("turned.png", png_bytes(rows, extra=[(b"eXIf", exif_bytes(6))]), rows, remarks=EXIF)
    make.image("gamma.png", png_bytes(rows, extra=[(b"gAMA", bytes([0, 0, 177, 143]))]), rows)
    make.image("UPPER.PNG", png_bytes(rows), rows)
    for channels in (1, 3):
        for width, height in ((1, 1), (16, 8), (19, 13)):
            rows = smooth(width, height, channels)
            make.image("jpeg%d_%dx%d.jpg" % (channels, width, height), jpeg_bytes(rows, channels), rows, channels=channels, near=2)
    rows = [[(0, 37, 128, 255)[x // 8]] * 1 for x in range(32)]
    flat = [[row[0] for row in rows] for _ in range(8)]
    make.image("jpeg_flat.jpeg", jpeg_bytes(flat), flat)
    make.image("turned.jpg", jpeg_bytes(flat, orientation=8, order="<"), flat, remarks=EXIF)
    make.image("upright.jpg", jpeg_bytes(flat, orientation=1), flat)


def labels(make):
    for depth in (1, 2, 4, 8):
        rows = noise(21, 10, 1, (1 << depth) - 1)
        make.label("label%d.png" % depth, png_bytes(rows, "grey", depth), rows)
        make.label("label%di.png" % depth, png_bytes(rows, "grey", depth, interlaced=True), rows)
    rows = noise(21, 10, 1, 2)
    make.label("label16.png", png_bytes(rows, "grey", 16), rows)
    make.label("label_palette.png", png_bytes(rows, "palette", 8, [(0, 0, 0), (128, 0, 0), (0, 128, 0)]), rows)
    make.label("label_own_greys.png", png_bytes(rows, "palette", 8, [(0,) * 3, (1,) * 3, (2,) * 3]), rows)
    make.bad("label", "label_other_greys.png", png_bytes(rows, "palette", 8, [(0,) * 3, (255,) * 3, (128,) * 3]),
             "is the label 1 or 255?")
    make.bad("label", "label_rgb.png", png_bytes(noise(5, 4, 3), "rgb"), "3 channels (RGB); a label map has one value per pixel")
    make.bad("label", "label_alpha.png", png_bytes(noise(5, 4, 2), "grey-alpha"), "2 channels (grey and alpha)")
    make.bad("label", "label_high.png", png_bytes([[0, 256], [1, 300]], "grey", 16),
             "2 pixel(s) are not a whole number from 0 to 255; the first is 256 at (h,w) = (0,1)")
    make.bad("label", "label.jpg", jpeg_bytes(noise(8, 8)), "JPEG does not keep the values of a label map")


def bad(make):
    rows = noise(30, 20)
    whole, grey = png_bytes(rows), jpeg_bytes(rows)
    make.bad("image", "half.png", whole[:len(whole) // 2], "corrupt (unexpected end of file); copy or export")
    make.bad("image", "header.png", whole[:20], "corrupt (unexpected end of file)")
    make.bad("image", "endless.png", whole[:-12], "corrupt (unexpected end of file)")
    make.bad("image", "crc.png", whole[:-13] + bytes([whole[-13] ^ 1]) + whole[-12:], "corrupt (IDAT: CRC error)")
    make.bad("image", "short.png", png_bytes(rows, size=(30, 21)), "corrupt (Not enough image data)")
    make.bad("image", "huge.png", png_bytes(rows, size=(1000000, 1000000)), "1000000x1000000 pixels (wide, high) cannot be packed")
    make.bad("image", "wide.png", png_bytes(rows, size=(2 ** 31 - 1, 1)), "2147483647 pixels wide and 1 high; expected 1..1048576")
    make.bad("image", "nothing.png", png_bytes(rows, size=(0, 5)), "corrupt (Invalid IHDR data)")
    make.bad("image", "index.png", png_bytes([[0, 5]], "palette", 8, [(0, 0, 0)]), "corrupt (colour 5 at (h,w) = (0,1) of a palette of 1)")
    make.bad("image", "empty.png", b"", "empty file")
    make.bad("image", "text.png", b"nothing of the kind", "not a PNG file (its first bytes are no PNG file's)")
    make.bad("image", "misnamed.png", grey, "not a PNG file, as its name says, but a JPEG file by its first bytes")
    make.bad("image", "misnamed.jpg", whole, "not a JPEG file, as its name says, but a PNG file by its first bytes")
    make.bad("image", "half.jpg", grey[:-len(grey) // 3], "corrupt (Premature end of JPEG file)")
    make.bad("image", "huge.jpg", jpeg_bytes(rows, size=(65000, 65000)), "65000x65000 pixels (wide, high) cannot be packed")
    make.bad("image", "short.jpg", jpeg_bytes(rows, size=(30, 200)), "corrupt (Corrupt JPEG data: premature end of data segment)")
    make.bad("image", "cmyk.jpg", jpeg_bytes(noise(8, 8)).replace(b"\x08\0\x08\0\x08\1\1\x11\0", b"\x08\0\x08\0\x08\4\1\x11\0\2\x11\0\3\x11\0\4\x11\0")
             .replace(b"\xff\xc0\0\x0b", b"\xff\xc0\0\x14"), "its colours are CMYK (4 components)")


if __name__ == "__main__":
    if sys.argv[1] == "make":
        maker = Maker(sys.argv[2])
        images(maker)
        labels(maker)
        bad(maker)
    else:
        read, held, bits = png_read(sys.argv[2])
        print(bits, held, *[v for row in read for v in row])
