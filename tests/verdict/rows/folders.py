"""Names, lists and descriptions of data sets."""
import json
import os

from nii import DIM, NAMES, box, description, listed, sound, texture, write


def damaged(damage, make=sound, **fields):
    """A folder that is made and then damaged."""
    def both(d):
        make(d, **fields)
        damage(d)
    return both


def described(**fields):
    return lambda d: sound(d, **fields)


def truncate(d):
    path = d + "/imagesTr/case_2_0000.nii.gz"
    data = open(path, "rb").read()
    open(path, "wb").write(data[:len(data) // 2])


def empty_labels(d):
    for name in NAMES:
        write(d + "/labelsTr/%s.nii.gz" % name, box(value=0))


def ignored_only(d):
    for name in NAMES:
        write(d + "/labelsTr/%s.nii.gz" % name, box(value=2))


def rewrite(change):
    """Changes the text of dataset.json."""
    def damage(d):
        with open(d + "/dataset.json", "rb") as file:
            text = file.read()
        with open(d + "/dataset.json", "wb") as file:
            file.write(change(text))
    return damage


def renamed(folder, old, new):
    """Files of a folder whose names end in `old`."""
    def damage(d):
        for name in os.listdir(d + "/" + folder):
            if name.endswith(old):
                os.rename("%s/%s/%s" % (d, folder, name), "%s/%s/%s%s" % (d, folder, name[:-len(old)], new))
    return damage


def both(*damages):
    return lambda d: [damage(d) for damage in damages]


def nrrd(d):
    sound(d, file_ending=".nrrd")
    for folder in ("imagesTr", "labelsTr"):
        for name in os.listdir(d + "/" + folder):
            with open("%s/%s/%s" % (d, folder, name.replace(".nii.gz", ".nrrd")), "w") as file:
                file.write("NRRD0004\ntype: short\ndimension: 3\nsizes: 2 2 2\nencoding: raw\n\n" + "x" * 16)
            os.remove("%s/%s/%s" % (d, folder, name))


def unnumbered(d):
    """As nnU-Net's first version lists them, the test images too."""
    names = ["./imagesTs/%s.nii.gz" % n for n in ("new_1", "new_2")]
    listed(d, files="imagesTr/%s_0000.nii.gz", test=names, numTest=2, tensorImageSize="4D")
    for i in (1, 2):
        write(d + "/imagesTs/new_%d_0000.nii.gz" % i, texture(i), type="f4")


def two_channels(d, image, **fields):
    listed(d, files="imagesTr/%s_0000.nii.gz", modality={"0": "T1", "1": "T2"},
           training=[{"image": image(n), "label": "labelsTr/%s.nii.gz" % n} for n in NAMES], **fields)
    for i, name in enumerate(NAMES):
        write(d + "/imagesTr/%s_0001.nii.gz" % name, texture(i + 9), type="f4")


def absolute(d):
    listed(d, image=d + "/imagesTr/%s.nii.gz", label=d + "/labelsTr/%s.nii.gz", files="imagesTr/%s.nii.gz")


def elsewhere(d):
    """Images and labels outside the folder, by a path with dots and doubled slashes."""
    listed(d, image=".././elsewhere//images/%s.nii.gz", label="./..//elsewhere/labels/%s.nii.gz")


def listed_twice(d):
    listed(d)
    write(d + "/more/case_1.nii.gz", box())
    rewrite(lambda t: t.replace(b'"training": [', b'"training": [{"image": "imagesTr/case_1.nii.gz", '
                                                  b'"label": "more/case_1.nii.gz"}, '))(d)


def digits(d):
    """MSD's style: names that end in four digits, and no number of a channel."""
    sound(d, names=["scan_%04d" % i for i in range(5)], image="imagesTr/%s.nii.gz")


def digits_both(d):
    """scan_0000.nii.gz is the first channel of scan; the case scan_0000 has its own."""
    names = ["scan", "scan_0000", "other_1", "other_2", "other_3"]
    sound(d, names=names)


def without_numbers(d):
    """Names end in digits, but none in _0000: they are no channels (amos_0007)."""
    sound(d, names=["amos_%04d" % i for i in (7, 8, 12, 13, 500)], image="imagesTr/%s.nii.gz")


def mixed_endings(d):
    listed(d, training=[{"image": "imagesTr/%s.nii%s" % (n, "" if i % 2 else ".gz"), "label": "labelsTr/%s.nii.gz" % n}
                        for i, n in enumerate(NAMES)])
    for i in (1, 3):
        write(d + "/imagesTr/%s.nii" % NAMES[i], texture(i), type="f4")


def folds_marked(d):
    sound(d)
    with open(d + "/splits_final.json", "wb") as file:
        file.write(b"\xef\xbb\xbf" + json.dumps([{"train": NAMES[:4], "val": NAMES[4:]}]).encode())


ROWS = [
    dict(name="sound", make=sound, predict=True),
    dict(name="sound list", make=listed, msd=True, predict=True),
    dict(name="an image without label", make=damaged(lambda d: os.remove(d + "/labelsTr/case_3.nii.gz")),
         says="imagesTr/case_3_0000.nii.gz has no label"),
    dict(name="a listed image that is missing", make=damaged(lambda d: os.remove(d + "/imagesTr/case_3.nii.gz"), listed),
         says="case_3.nii.gz is missing or not readable", msd=True),
    dict(name="a truncated image", make=damaged(truncate), says="case_2_0000.nii.gz: truncated", evaluate=True),
    dict(name="a value that is no label", make=damaged(lambda d: write(d + "/labelsTr/case_1.nii.gz", box(value=7)), listed),
         says="not name", evaluate=False, msd=True),
    dict(name="image and label of two shapes", msd=True, says="different shapes", evaluate=True,
         make=damaged(lambda d: write(d + "/labelsTr/case_4.nii.gz", box(dim=(12, 13, 15)), (12, 13, 15)), listed)),
    dict(name="an image of one value", says="every voxel of the image is 5", evaluate=True, msd=True,
         make=damaged(lambda d: write(d + "/imagesTr/case_0.nii.gz", [5] * (DIM[0] * DIM[1] * DIM[2])), listed)),
    dict(name="nothing labelled", make=damaged(empty_labels, listed), says="no case has a foreground voxel", evaluate=True,
         msd=True),
    # dataset.json
    dict(name="a comment in JSON", evaluate=False, says="dataset.json:2:",
         make=damaged(rewrite(lambda t: t.replace(b"{", b"{\n// a comment\n", 1)))),
    dict(name="a comma too many in JSON", evaluate=False, says="dataset.json:1:",
         make=damaged(rewrite(lambda t: t[:-1] + b",}"))),
    dict(name="a byte-order mark and the line ends of Windows", msd=True,
         make=damaged(rewrite(lambda t: b"\xef\xbb\xbf" + t.replace(b", ", b",\r\n")), listed)),
    dict(name="UTF-16", evaluate=False, says="dataset.json: is UTF-16",
         make=damaged(rewrite(lambda t: b"\xff\xfe" + t.decode().encode("utf-16-le")))),
    dict(name="Latin-1 in JSON", evaluate=False, says="dataset.json:1:",
         make=damaged(rewrite(lambda t: t.replace(b"organ", b"f\xfc\xdfe")))),
    dict(name="folds with a byte-order mark", make=folds_marked),
    dict(name="numTraining out of date", make=described(numTraining=6), says="numTraining is 6", evaluate=True),
    dict(name="background that is not 0", make=described(labels={"organ": 0, "background": 1}), evaluate=False,
         says='"background" has the value 1, but the background must be 0'),
    dict(name="no label 0", make=described(labels={"organ": 1, "lesion": 2}), evaluate=False, says="no label has the value 0"),
    dict(name="an organ named 0", make=lambda d: listed(d, labels={"0": "liver", "1": "lesion"}), evaluate=False, msd=True,
         says='the value 0 is named "liver"'),
    dict(name="two labels of one name", msd=True, evaluate=False, says='labels 1 and 2 are both named "kidney"',
         make=lambda d: listed(d, labels={"0": "background", "1": "kidney", "2": "kidney"})),
    dict(name="0 named otherwise", make=lambda d: listed(d, labels={"0": "Clear Label", "1": "organ"}), msd=True),
    # lists
    dict(name="the list of nnU-Net v1", make=unnumbered, msd=True, predict=True),
    dict(name="a list that names the first channel", make=lambda d: two_channels(d, lambda n: "imagesTr/%s_0000.nii.gz" % n),
         msd=True),
    dict(name="a list that names all channels", msd=True,
         make=lambda d: two_channels(d, lambda n: ["imagesTr/%s_%04d.nii.gz" % (n, c) for c in (0, 1)])),
    dict(name="a list of v1 with two channels", make=lambda d: two_channels(d, lambda n: "imagesTr/%s.nii.gz" % n), msd=True),
    dict(name="a list with too many images", evaluate=True, msd=True, says="one per channel",
         make=lambda d: two_channels(d, lambda n: ["imagesTr/%s_0000.nii.gz" % n] * 3)),
    dict(name="a list of absolute paths", make=absolute, msd=True),
    dict(name="a list whose files lie elsewhere", make=elsewhere, msd=True, evaluate=None),
    dict(name="a case listed twice", make=listed_twice, msd=True, evaluate=True,
         says="case case_1 is listed twice"),
    # names
    dict(name="names that end in digits", make=digits, predict=False),
    dict(name="names that end in digits beside channels", make=digits_both),
    dict(name="names that end in digits but no _0000", make=without_numbers, predict=True),
    dict(name="a channel too many", evaluate=True, predict=False, says="imagesTr holds case_1_0001.nii.gz",
         make=damaged(lambda d: write(d + "/imagesTr/case_1_0001.nii.gz", texture(9), type="f4"))),
    dict(name="a case twice", evaluate=False, says="are the same case", predict=True,
         make=damaged(lambda d: write(d + "/labelsTr/case_1.nii", box()))),
    dict(name="an image twice", predict=False, evaluate=True, says="are the same case",
         make=damaged(lambda d: write(d + "/imagesTr/case_1_0000.nii", texture(1), type="f4"))),
    dict(name="NRRD", make=nrrd, evaluate=False, predict=False, says="only NIfTI in one file (.nii.gz, .nii) and 2D pictures (.png, .jpg) are read"),
    dict(name="a list of NRRD", make=damaged(rewrite(lambda t: t.replace(b".nii.gz", b".mha")), listed), msd=True,
         evaluate=True, says="only NIfTI in one file (.nii.gz, .nii) and 2D pictures (.png, .jpg) are read"),
    dict(name="other endings than file_ending", says="do not end in .nii.gz", evaluate=True,
         make=damaged(both(renamed("imagesTr", "3_0000.nii.gz", "3_0000.nii"), renamed("labelsTr", "3.nii.gz", "3.nii")))),
    dict(name="capital endings", says="do not end in .nii.gz", evaluate=False, predict=False,
         make=damaged(both(renamed("imagesTr", "2_0000.nii.gz", "2_0000.NII.GZ"), renamed("labelsTr", "2.nii.gz", "2.NII.GZ")))),
    dict(name="a folder that is not UTF-8", folder="M\udcfcnchen", make=sound, evaluate=None,
         says="M%FCnchen: this name is not UTF-8 (byte FC)"),
    dict(name="a folder of blanks, quotes and UTF-8", folder="M\u00fcn chen's #1 [a] %41 `x`", make=listed, msd=True, predict=True),
    dict(name="a case that is not UTF-8", says="caf%E9.nii.gz: this name is not UTF-8", evaluate=True, predict=True,
         make=lambda d: sound(d, names=NAMES + ["caf\udce9"])),
    dict(name="a list of .nii and .nii.gz", make=mixed_endings, msd=True),
    dict(name="fewer cases than folds", make=lambda d: sound(d, names=NAMES[:3]), run="cannot be divided into 5 folds"),
    dict(name="a folder in place of a label", says="case_1.nii.gz is a folder", evaluate=None,
         make=damaged(both(lambda d: os.remove(d + "/labelsTr/case_1.nii.gz"), lambda d: os.mkdir(d + "/labelsTr/case_1.nii.gz")))),
    dict(name="a pipe in place of a label", says="case_1.nii.gz is a pipe or a device", evaluate=None,
         make=damaged(both(lambda d: os.remove(d + "/labelsTr/case_1.nii.gz"), lambda d: os.mkfifo(d + "/labelsTr/case_1.nii.gz")))),
    dict(name="an image that is its label", says="is its label too", msd=True, evaluate=True,
         make=lambda d: listed(d, training=[{"image": "labelsTr/%s.nii.gz" % n, "label": "labelsTr/%s.nii.gz" % n} for n in NAMES])),
    dict(name="an image of two cases", says="cases case_0 and case_1 have the same image", msd=True, evaluate=True,
         make=damaged(lambda d: (os.remove(d + "/imagesTr/case_1.nii.gz"),
                                 os.symlink("case_0.nii.gz", d + "/imagesTr/case_1.nii.gz")), listed)),
    dict(name="test images that are missing", make=lambda d: listed(d, test=["./imagesTs/x.nii.gz"]), msd=True),
    dict(name="a list of lists", msd=True,
         make=lambda d: listed(d, training=[{"image": ["imagesTr/%s.nii.gz" % n], "label": ["labelsTr/%s.nii.gz" % n], "fold": 0}
                                            for n in NAMES])),
    dict(name="a label without a name", make=described(labels={"background": 0, "": 1}), evaluate=False, says="has no name"),
    dict(name="nothing but ignored voxels is marked", evaluate=True, says="no case has a foreground voxel", msd=True,
         make=damaged(ignored_only, listed, labels={"0": "background", "1": "organ", "2": "ignore"})),
    dict(name="a list that is a text", make=lambda d: listed(d, training="all"), evaluate=True, msd=True,
         says='"training" must be a list'),
    dict(name="an ending that is a number", make=described(file_ending=5), evaluate=True, says='"file_ending" is'),
]
