"""Tiny folders laid out as ISIC 2016, BUSI, NeoPolyp, DSB 2018 and FIVES are distributed: python3 import_sets.py NAME DIR."""
import sys

from pic import disc, photo, write
from picture_files import jpeg_bytes, png_bytes

SIZE = (24, 20)  # W, H


def mask(i, value=255):
    return disc(i, SIZE, value)


def picture(i):
    return photo(i, 3, SIZE)


def rgba(rows):
    return [[v for x in range(SIZE[0]) for v in row[3 * x:3 * x + 3] + [255]] for row in rows]


def painted(i, colour):
    """The disc in a colour on black, as RGB."""
    return [[v for x in row for v in (colour if x else (0, 0, 0))] for row in mask(i)]


def isic2016(d):
    for part, cases in (("Training", (0, 2, 14)), ("Test", (3,))):
        for i in cases:
            write("%s/ISBI2016_ISIC_Part1_%s_Data/ISIC_%07d.jpg" % (d, part, i), jpeg_bytes(picture(i % 5), 3))
            write("%s/ISBI2016_ISIC_Part1_%s_GroundTruth/ISIC_%07d_Segmentation.png" % (d, part, i), png_bytes(mask(i % 5)))


def busi(d):
    """Twelve benign pictures, six malignant ones; of benign (10) two masks; numbers whose order as texts is another."""
    for kind, count in (("benign", 12), ("malignant", 6), ("normal", 1)):
        for i in range(1, count + 1):
            name = "%s/Dataset_BUSI_with_GT/%s/%s (%d)" % (d, kind, kind, i)
            same = 3 if (kind, i) == ("malignant", 5) else i  # a picture that is there twice
            write(name + ".png", png_bytes(picture(same + (20 if kind == "benign" else 0)), "rgb"))
            whole = mask(i % 5)
            top = [row if y < 10 else [0] * SIZE[0] for y, row in enumerate(whole)]
            two = (kind, i) == ("benign", 10)
            write(name + "_mask.png", png_bytes(top if two else whole))
            if two:
                write(name + "_mask_1.png", png_bytes([[0] * SIZE[0] if y < 10 else row for y, row in enumerate(whole)]))


def neopolyp(d):
    for i in range(10):
        name = "%032x" % (i * 7919 % 101)
        rows = [[v for c in range(0, 3 * SIZE[0], 3) for v in ((250, 8, 6) if row[c // 3] else (0, 0, 0))] for row in mask(i % 5)]
        if i % 2:
            rows = painted(i % 5, (4, 251, 9))
        write("%s/train/train/%s.jpeg" % (d, name), jpeg_bytes(picture(i), 3))
        write("%s/train_gt/train_gt/%s.jpeg" % (d, name), jpeg_bytes(rows, 3))
    write("%s/test/test/%032x.jpeg" % (d, 1000), jpeg_bytes(picture(11), 3))


def dsb2018(d):
    for i in range(11):
        name = "%064x" % (i * 7919 % 101)
        base = "%s/stage1_train/%s/" % (d, name)
        write(base + "images/%s.png" % name, png_bytes(rgba(picture(i)), "rgba"))
        left = [[v if x < 14 else 0 for x, v in enumerate(row)] for row in mask(i % 5)]
        right = [[v if x >= 14 else 0 for x, v in enumerate(row)] for row in mask(i % 5)]
        for k, part in enumerate((left, right)):
            if any(map(any, part)):
                write(base + "masks/%064x.png" % (1000 + k), png_bytes(part))


def fives(d):
    for part, names in (("train", ("1_A", "2_A", "3_D")), ("test", ("1_A", "2_G"))):
        for i, name in enumerate(names):
            write("%s/%s/Original/%s.png" % (d, part, name), png_bytes(picture(i + len(part)), "rgb"))
            write("%s/%s/Ground truth/%s.png" % (d, part, name), png_bytes(painted(i, (255, 255, 255)), "rgb"))


if __name__ == "__main__":
    globals()[sys.argv[1]](sys.argv[2])
