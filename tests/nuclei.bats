#!/usr/bin/env bats
# A real picture of nuclei with its instance mask (of the package stardist, which `make oracles` fetches), cut into tiles that lie as
# DSB 2018 is distributed: import, training, prediction, evaluation.

load work

# Its pictures, of 16 bits without compression.
tiles='
import struct, sys
from pic import write
from picture_files import png_bytes
def tiff(path):
    data = open(path, "rb").read()
    at, tags = struct.unpack("<I", data[4:8])[0], {}
    for i in range(struct.unpack("<H", data[at:at + 2])[0]):
        tag, kind, count, value = struct.unpack("<HHII", data[at + 2 + 12 * i:at + 14 + 12 * i])
        tags[tag] = value & 0xffff if kind == 3 else value
    width, height, bits, packed, first = (tags[k] for k in (256, 257, 258, 259, 273))
    assert bits == 16 and packed == 1 and data[:4] == b"II*\0", tags
    values = struct.unpack("<%dH" % (width * height), data[first:first + 2 * width * height])
    return [values[y * width:(y + 1) * width] for y in range(height)]
image, mask = (tiff("%s/stardist/data/images/%s2d.tif" % (sys.argv[1], name)) for name in ("img", "mask"))
SIDE = 128
for t in range(16):
    top, left = t // 4 * SIDE, t % 4 * SIDE
    part, numbers = ([row[left:left + SIDE] for row in rows[top:top + SIDE]] for rows in (image, mask))
    folder = "source/stage1_train/tile%02d/" % t
    write(folder + "images/tile%02d.png" % t, png_bytes([[v for x in row for v in (x, x, x, 255)] for row in part], "rgba", kind=0))
    for n in sorted({v for row in numbers for v in row} - {0}):
        write(folder + "masks/%03d.png" % n, png_bytes([[255 * (v == n) for v in row] for row in numbers], kind=0))
'

@test "real nuclei: from masks as distributed to scores of unseen tiles" {
  work_in "$BATS_TEST_TMPDIR"
  local build="${BUILD:-build}"
  [[ "$build" == /* ]] || build="$root/$build"
  [ -d "$build/oracles/stardist" ] || skip "no picture of nuclei (make oracles)"
  PYTHONPATH="$root/tests/verdict:$root/tests" /usr/bin/python3 -B -c "$tiles" "$build/oracles"
  "$harness" data import dsb2018 source set 2>told
  grep -q "set: 16 labelled cases" told
  "$harness" data check set >/dev/null
  cat >nuclei.lua <<END
return { title = "nuclei", seeds = 1, rows = { { key = "unet", label = "U-Net", set = {} } }, base = { data = "$work/set", plan = "none",
  head = "point_wise", bridge = "none", steps = 150, batch = 4, patch = { 1, 64, 64 }, widths = { 8, 16, 32 }, warmup = 0, average = 0,
  strides = { { 1, 1, 1 }, { 1, 2, 2 }, { 1, 2, 2 } }, kernels = { { 1, 3, 3 }, { 1, 3, 3 }, { 1, 3, 3 } },
  optimizer = "adamw", lr = 3e-3, lr_transformer = 1, normalise = "unit" } }
END
  "$harness" run nuclei.lua -q >/dev/null
  trial="$("$harness" runs list --json | /usr/bin/python3 -c "import json, sys; print(json.load(sys.stdin)['trials'][0]['hash'])")"
  mkdir new
  for tile in 00 01 02; do cp "set/imagesTr/tile${tile}_0000.png" new; done # fold 0's validation
  "$harness" predict "$trial" new out -q
  "$harness" evaluate set out --partial --json >scores.json
  /usr/bin/python3 - set/splits_final.json <<'END'
import json, sys
assert json.load(open(sys.argv[1]))[0]["val"] == ["tile00", "tile01", "tile02"]
mean = json.load(open("scores.json"))["mean"]
print({k: mean[k] for k in ("dice", "iou", "mae", "accuracy", "instance_f1")})
assert mean["dice"] > .8 and mean["accuracy"] > .9 and .3 < mean["instance_f1"] <= 1, mean
END
}
