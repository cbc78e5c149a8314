#!/usr/bin/env bats
# A folder of PNGs from check to evaluation, as a user does it. What is said of bad folders is in tests/verdict/rows/, what
# files hold in tests/test_pictures.c.

load work

setup_file() {
  work_in "$BATS_FILE_TMPDIR"
  export PYTHONPATH="$root/tests/verdict:$root/tests"
  /usr/bin/python3 -B - <<'END'
import os
from pic import jpegs, photo, pictures, write
from picture_files import png_bytes
pictures("set")
jpegs("photos")
write("new/other_0000.png", png_bytes(photo(3, 3, (53, 47)), "rgb", interlaced=True))
write("new/case_1_0000.png", open("set/imagesTr/case_1_0000.png", "rb").read())
END
  for set in set photos; do
    cat >$set.lua <<END
return { title = "$set", vary = { head = { "point_wise" } }, seeds = 1, base = {
  data = "$work/$set", steps = 60, batch = 2, lr = 0.5, warmup = 0, patch = { 1, 32, 32 }, bridge = "none", collapse_dice = 0,
  widths = { 8, 16 }, strides = { { 1, 1, 1 }, { 1, 2, 2 } }, kernels = { { 1, 3, 3 }, { 1, 3, 3 } } } }
END
  done
  "$harness" data plan set -q >/dev/null
  "$harness" run set.lua -q >/dev/null
  "$harness" run photos.lua -q >/dev/null
}

setup() {
  cd "$work" || return
}

trial() {
  "$harness" runs list --experiment "$1" --json | /usr/bin/python3 -c "import json, sys; print(json.load(sys.stdin)['trials'][0]['hash'])"
}

@test "a folder of PNGs is checked without millimetres or remarks" {
  run "$harness" data check set
  echo "$output"
  [ "$status" -eq 0 ]
  [[ "$output" == *"depth              1         1         1"* && "$output" != *"mm H"* && "$output" != *remark* ]]
  grep -q '"orientation": "any"' set/plan.json
}

@test "a trained network writes PNGs of the images' sizes, named by nnU-Net's rule, and they are scored in pixels" {
  run "$harness" predict "$(trial set)" new out
  echo "$output"
  [ "$status" -eq 0 ]
  [[ "$output" != *orientation* ]]
  [ "$(ls out)" = "case_1.png"$'\n'"other.png" ]
  /usr/bin/python3 -B - <<'END'
from picture_files import png_read
for name, width, height in (("case_1", 40, 36), ("other", 53, 47)):
    rows, channels, depth = png_read("out/%s.png" % name)
    assert (len(rows), len(rows[0]), channels, depth) == (height, width, 1, 8)
    assert {v for row in rows for v in row} == {0, 1}, name
END
  run "$harness" evaluate set out --partial
  [ "$status" -ne 0 ]
  [[ "$output" == *"first other.png"* ]]
  rm out/other.png
  run "$harness" evaluate set out --partial
  echo "$output"
  [ "$status" -eq 0 ]
  [[ "$output" == *"HD95 px"* && "$output" == *"NSD at 1 px"* && "$output" != *" ml"* ]]
  "$harness" evaluate set out --partial --csv | grep -q ",hd95_px,"
}

@test "distances are those of outlines in the plane" {
  /usr/bin/python3 -B - <<'END'
from pic import disc, write
from picture_files import png_bytes
rows = disc(1)
rows[0][0] = rows[30][38] = 1
for i, there in ((0, rows), (1, [[v and 2 for v in row] for row in disc(3)])):
    write("ref/%d.png" % i, png_bytes(disc(i)))
    write("pred/%d.png" % i, png_bytes(there if i == 0 else disc(2)))
write("ref/2.png", png_bytes(disc(2)))
write("pred/2.png", png_bytes([[0] * 40] * 36))
END
  for surface in voxels surfels; do
    "$harness" evaluate ref pred --surface $surface --tolerance 1.5 --json >$surface.json
  done
  /usr/bin/python3 -B - <<'END'
import json
import math
import numpy as np
from scipy import ndimage
from picture_files import png_read
def outline(mask):  # pixels, and the corners between unlike ones with the length of the outline there
    wide = np.pad(mask, 1).astype(int)
    corner = [wide[:-1, :-1], wide[:-1, 1:], wide[1:, :-1], wide[1:, 1:]]
    n, diagonal = sum(corner), (corner[0] == corner[3]) & (corner[1] == corner[2])
    length = np.where((n == 1) | (n == 3), math.sqrt(.5), np.where(n == 2, np.where(diagonal, math.sqrt(2), 1), 0))
    return {"voxels": (mask & ~ndimage.binary_erosion(mask)) * 1., "surfels": length}
def percentile(kind, d, w):
    if kind == "voxels":
        return np.percentile(d, 95)
    order = np.argsort(d)
    return d[order][np.searchsorted(np.cumsum(w[order]) / w.sum(), .95)]
for kind in ("voxels", "surfels"):
    rows = {r["case"]: r for r in json.load(open(kind + ".json"))["rows"]}
    for case in ("0", "1"):
        a, b = (outline(np.array(png_read("%s/%s.png" % (f, case))[0]) > 0)[kind] for f in ("ref", "pred"))
        there, back = ndimage.distance_transform_edt(b == 0)[a > 0], ndimage.distance_transform_edt(a == 0)[b > 0]
        d, w = np.concatenate([there, back]), np.concatenate([a[a > 0], b[b > 0]])
        want = {"hd": d.max(), "assd": (d * w).sum() / w.sum(), "nsd": w[d <= 1.5].sum() / w.sum(),
                "hd95": max(percentile(kind, there, a[a > 0]), percentile(kind, back, b[b > 0]))}
        for metric, value in want.items():
            assert abs(rows[case][metric] - value) < 1e-5, (kind, case, metric, rows[case][metric], value)
    assert abs(rows["2"]["hd95"] - math.hypot(40, 36)) < 1e-9 and rows["2"]["reference_ml"] is None
END
}

@test "JPEG images train beside PNG labels, and one file is predicted as it is named" {
  run "$harness" predict "$(trial photos)" photos/imagesTr/case_0_0000.jpg there.png
  echo "$output"
  [ "$status" -eq 0 ]
  [ -f there.png ]
  run "$harness" evaluate photos/labelsTr/case_0.png there.png
  [ "$status" -eq 0 ]
  "$harness" predict "$(trial photos)" photos/imagesTr/case_0_0000.jpg folder -q
  cmp there.png folder/case_0.png
  run "$harness" predict "$(trial photos)" photos/imagesTr/case_0_0000.jpg there.jpg
  [ "$status" -ne 0 ]
  [[ "$output" == *"JPEG does not keep the values of a label map"* ]]
}

@test "a list of pictures is imported as it is, colours in one file" {
  mkdir list
  cp -r photos/imagesTr photos/labelsTr list/
  /usr/bin/python3 - <<'END'
import json
about = json.load(open("photos/dataset.json"))
about["training"] = [{"image": "imagesTr/case_%d_0000.jpg" % i, "label": "labelsTr/case_%d.png" % i} for i in range(5)]
json.dump(about, open("list/dataset.json", "w"))
END
  run "$harness" data import msd list imported
  echo "$output"
  [ "$status" -eq 0 ]
  cmp imported/imagesTr/case_4_0000.jpg photos/imagesTr/case_4_0000.jpg
  grep -q '"file_ending": ".jpg"' imported/dataset.json
  run "$harness" data check imported
  [ "$status" -eq 0 ]
}

@test "a picture that is to be shown turned is taken as it is stored, and told" {
  /usr/bin/python3 -B -c "
from pic import photo, write
from picture_files import jpeg_bytes
write('turned/a_0000.jpg', jpeg_bytes(photo(1), 3, orientation=6))"
  run "$harness" predict "$(trial photos)" turned turned_out
  echo "$output"
  [ "$status" -eq 0 ]
  [[ "$output" == *"1 file(s): its EXIF data asks that it be shown turned"* ]]
  /usr/bin/python3 -B -c "
from picture_files import png_read
assert len(png_read('turned_out/a.png')[0]) == 36"
}

@test "a trial of colours refuses a grey picture, and says so" {
  /usr/bin/python3 -B -c "
from picture_files import png
png('grey.png', [[1, 2], [3, 4]])"
  run "$harness" predict "$(trial set)" grey.png out2
  echo "$output"
  [ "$status" -ne 0 ]
  [[ "$output" == *"grey.png: 1 channel(s), expected 3; "*"or one a file (NAME_0000, NAME_0001"* ]]
}

@test "probabilities of a picture are a volume of one slice" {
  "$harness" predict "$(trial set)" new/case_1_0000.png maps --probabilities -q
  /usr/bin/python3 -c "
import nibabel
assert nibabel.load('maps/probabilities/case_1.nii.gz').shape == (40, 36, 1, 2)"
}
