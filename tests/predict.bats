#!/usr/bin/env bats
# From a folder of cases to metrics of predictions, as a user does it: train, predict, evaluate. The
# trial is tiny; what counts is that every number is the same everywhere.

load work

setup_file() {
  work_in "$BATS_FILE_TMPDIR"
  "$harness" data phantom abdomen --size 22x24x28 --cases 5 --validation 2 --organs 3
  cat >tiny.lua <<END
return { title = "tiny", vary = { head = { "point_wise" } }, seeds = 1, base = {
  data = "$work/abdomen", steps = 20, patch = { 16, 16, 16 }, bridge = "none", collapse_dice = 0, widths = { 8, 16 },
  strides = { { 1, 1, 1 }, { 2, 2, 2 } }, kernels = { { 3, 3, 3 }, { 3, 3, 3 } } } }
END
  "$harness" run tiny.lua -q >/dev/null
  mkdir images
  cp abdomen/imagesTr/phantom_003_0000.nii.gz abdomen/imagesTr/phantom_004_0000.nii.gz images/
}

setup() {
  cd "$work" || return
  trial="$("$harness" runs list --experiment tiny --json | /usr/bin/python3 -c "import json, sys; print(json.load(sys.stdin)['trials'][0]['hash'])")"
}

@test "predictions of the validation cases have the Dice that the trial stored" {
  run "$harness" predict "${trial:0:6}" images raw --no-postprocess
  echo "$output"
  [ "$status" -eq 0 ]
  [[ "$output" == *"2 written, 0 kept, 0 failed: raw"* ]]
  "$harness" evaluate abdomen raw --partial --json >raw.json
  "$harness" runs show "$trial" --json >trial.json
  /usr/bin/python3 - <<'END'
import json
labels = json.load(open("raw.json"))["labels"]
for metric, ours in (("dice", "dice"), ("hd95", "hd95"), ("assd", "assd"), ("nsd_1mm", "nsd"), ("iou", "iou")):
    stored = {l["label"]: l["value"] for l in json.load(open("trial.json"))["trial"]["labels"] if l["metric"] == metric}
    found = {l["label"]: l[ours]["mean"] for l in labels}
    assert len(stored) == 3 and any(stored.values()), stored
    assert all(abs(found[label] - value) < 1e-9 for label, value in stored.items()), (metric, stored, found)
END
}

@test "post-processing chosen on validation is applied and gives the Dice it promised" {
  file="results/checkpoints/$trial.safetensors.postprocess.json"
  [ -f "$file" ]
  "$harness" predict "$trial" images processed
  "$harness" evaluate abdomen processed --partial --json >processed.json
  FILE="$file" /usr/bin/python3 - <<'END'
import json, os
chosen = json.load(open(os.environ["FILE"]))
mean = json.load(open("processed.json"))["mean"]["dice"]
assert abs(mean - chosen["validation_dice_after"]) < 1e-12, (mean, chosen)
assert chosen["validation_dice_after"] >= chosen["validation_dice_before"]
END
  echo '{"foreground": 3}' >"$file.broken"
  cp "$file" kept.json && cp "$file.broken" "$file"
  run "$harness" predict "$trial" images again
  cp kept.json "$file"
  [ "$status" -eq 3 ]
  [[ "$output" == *"postprocess.json: no post-processing in it"* ]]
}

@test "a label map has its image's geometry; probabilities sum to 1 and are largest at the label" {
  /usr/bin/python3 - <<'END' || skip "python3-nibabel is missing"
import nibabel, numpy
image = nibabel.load("images/phantom_003_0000.nii.gz")
turned = numpy.diag([-1.0, -1.0, 1.0, 1.0]) @ image.affine + numpy.array([[0, 0, 0, 12.5]] * 3 + [[0] * 4])
nibabel.save(nibabel.Nifti1Image(image.get_fdata().astype(numpy.int16), turned), "turned.nii.gz")
END
  "$harness" predict "$trial" turned.nii.gz labels.nii.gz --probabilities --no-postprocess
  "$harness" predict "$trial" images raw --no-postprocess -q
  /usr/bin/python3 - <<'END'
import nibabel, numpy
image, label = nibabel.load("turned.nii.gz"), nibabel.load("labels.nii.gz")
maps = nibabel.load("probabilities/turned.nii.gz")
assert numpy.allclose(label.affine, image.affine) and numpy.allclose(maps.affine, image.affine)
assert numpy.allclose(label.header.get_qform(), image.header.get_qform(), atol=1e-3)
assert label.get_data_dtype() == numpy.uint8 and maps.get_data_dtype() == numpy.float32
p = maps.get_fdata()
assert p.shape == image.shape + (4,), p.shape
assert abs(p.sum(-1) - 1).max() < 1e-5
assert (p.argmax(-1) == label.get_fdata()).all()
assert (label.get_fdata() == nibabel.load("raw/phantom_003.nii.gz").get_fdata()).all()
END
}

@test "what is there stays unless overwritten; a broken image does not stop the others" {
  mkdir mixed
  cp images/phantom_003_0000.nii.gz mixed/
  head -c 2000 images/phantom_004_0000.nii.gz >mixed/cut_0000.nii.gz
  run "$harness" predict "$trial" mixed out
  [ "$status" -eq 1 ]
  [[ "$output" == *"cut: not predicted: mixed/cut_0000.nii.gz"* ]]
  [[ "$output" == *"1 written, 0 kept, 1 failed"* ]]
  [ ! -e out/cut.nii.gz ]
  touch -d 2001-01-01 out/phantom_003.nii.gz
  run "$harness" predict "$trial" images out
  [ "$status" -eq 0 ]
  [[ "$output" == *"1 written, 1 kept, 0 failed"* ]]
  run "$harness" predict "$trial" images out --overwrite
  [[ "$output" == *"2 written, 0 kept, 0 failed"* ]]
  [ "$(ls out)" = "$(printf 'phantom_003.nii.gz\nphantom_004.nii.gz')" ]
}

@test "an image of zeros gets an empty map, one without orientation a map without" {
  /usr/bin/python3 - <<'END' || skip "python3-nibabel is missing"
import nibabel, numpy, os
os.makedirs("odd")
image = nibabel.load("images/phantom_003_0000.nii.gz")
nibabel.save(nibabel.Nifti1Image(numpy.zeros(image.shape, numpy.int16), image.affine), "odd/zero.nii.gz")
nibabel.save(nibabel.Nifti1Image(image.get_fdata().astype(numpy.int16), None, None), "odd/lost.nii.gz")
END
  run "$harness" predict "$trial" odd maps --no-postprocess --probabilities
  echo "$output"
  [ "$status" -eq 0 ]
  [[ "$output" == *"odd/zero.nii.gz: every voxel is the same: an empty label map"* ]]
  "$harness" predict "$trial" images raw --no-postprocess -q
  /usr/bin/python3 - <<'END'
import nibabel
zero, lost, maps = (nibabel.load("maps/" + n + ".nii.gz") for n in ("zero", "lost", "probabilities/zero"))
assert not zero.get_fdata().any() and (maps.get_fdata()[..., 0] == 1).all()
assert lost.header["sform_code"] == 0 and lost.header["qform_code"] == 0
assert (lost.get_fdata() == nibabel.load("raw/phantom_003.nii.gz").get_fdata()).all() and lost.get_fdata().any()
END
}

@test "images stored otherwise than those of a trial without a plan are remarked" {
  mkdir turned
  /usr/bin/python3 - <<'END'
import nibabel
image = nibabel.load("images/phantom_003_0000.nii.gz")
code = "".join(nibabel.aff2axcodes(image.affine))
nibabel.save(image.as_reoriented([[0, -1], [1, -1], [2, 1]]), "turned/a_0000.nii.gz")
open("code", "w").write(code)
END
  run "$harness" predict "$trial" turned turned_maps
  echo "$output"
  [ "$status" -eq 0 ]
  [[ "$output" == *"1 image(s) are stored in another orientation (LPS) than those that this trial learned as they are ($(cat code))"* ]]
  run "$harness" predict "$trial" images alike_maps
  [[ "$output" != *"another orientation"* ]]
}

@test "wrong inputs are refused by name" {
  run "$harness" predict "$trial" images
  [ "$status" -eq 2 ]
  run "$harness" predict 00000000 images out
  [ "$status" -eq 5 ]
  run "$harness" predict "$trial" nowhere out
  [ "$status" -eq 3 ]
  [[ "$output" == *"nowhere: cannot open"* ]]
  run "$harness" predict "$trial" images one.nii.gz
  [ "$status" -eq 3 ]
  [[ "$output" == *"one.nii.gz is one file, but images holds 2 images"* ]]
  mkdir -p empty
  run "$harness" predict "$trial" empty out
  [[ "$output" == *"empty: no image"* ]]
  mkdir -p elsewhere && cp "$HARNESS_DB" elsewhere/harness.db
  run "$harness" predict "$trial" images out --db elsewhere/harness.db
  [ "$status" -eq 5 ]
  [[ "$output" == *"has no weights under elsewhere/checkpoints"* ]]
}

# Two channels, three spacings, two orientations; the plan turns and resamples them to one grid.
varied() {
  /usr/bin/python3 - <<'END'
import json, os
import nibabel, numpy
os.makedirs("varied/imagesTr"), os.makedirs("varied/labelsTr"), os.makedirs("joined")
for i in range(5):
    image = nibabel.load("abdomen/imagesTr/phantom_%03d_0000.nii.gz" % i)
    label = nibabel.load("abdomen/labelsTr/phantom_%03d.nii.gz" % i)
    affine = numpy.diag([2, 2, 2, 1.0]) @ numpy.diag([(1, 1, 1, 1), (1, 1.3, 1, 1), (0.8, 1, 1.2, 1)][i % 3])
    affine[0] *= -1 if i % 2 else 1
    values = numpy.asarray(image.dataobj).astype(numpy.float32)
    channels = [values, values**2 / 1000]
    for c in range(2):
        nibabel.save(nibabel.Nifti1Image(channels[c], affine), "varied/imagesTr/p%d_%04d.nii.gz" % (i, c))
    nibabel.save(nibabel.Nifti1Image(numpy.stack(channels, -1), affine), "joined/p%d.nii.gz" % i)
    nibabel.save(nibabel.Nifti1Image(numpy.asarray(label.dataobj).astype(numpy.uint8), affine), "varied/labelsTr/p%d.nii.gz" % i)
about = json.load(open("abdomen/dataset.json"))
about.update(name="varied", channel_names={"0": "MRI", "1": "MRI"}, numTraining=5, harness_validation=2)
json.dump(about, open("varied/dataset.json", "w"))
END
}

@test "a planned data set of two channels: stored Dice again, from either layout of the channels" {
  /usr/bin/python3 -c "import nibabel" || skip "python3-nibabel is missing"
  varied
  "$harness" data plan varied >/dev/null
  "$harness" data preprocess varied >/dev/null 2>&1
  sed "s|$work/abdomen|$work/varied|; s|steps = 20|steps = 30, mirror_tta = true, augment = \"nnunet\"|" tiny.lua >varied.lua
  "$harness" run varied.lua -q >/dev/null
  trial="$("$harness" runs list --experiment varied --json | /usr/bin/python3 -c "import json, sys; print(json.load(sys.stdin)['trials'][0]['hash'])")"
  "$harness" predict "$trial" varied/imagesTr split --no-postprocess -q
  "$harness" predict "$trial" joined whole --no-postprocess -q
  rm split/p[012].nii.gz
  cmp split/p3.nii.gz whole/p3.nii.gz
  mkdir crossed # the second channel is stored otherwise than the first, the third image nowhere in space
  /usr/bin/python3 - <<'END'
import nibabel, numpy
first, second = (nibabel.load("varied/imagesTr/p3_000%d.nii.gz" % i) for i in (0, 1))
nibabel.save(first, "crossed/p3_0000.nii.gz"), nibabel.save(first, "crossed/far_0000.nii.gz")
nibabel.save(second.as_reoriented(nibabel.orientations.axcodes2ornt("SPL")), "crossed/p3_0001.nii.gz")
nibabel.save(nibabel.Nifti1Image(second.dataobj, first.affine + numpy.eye(4, k=3)), "crossed/far_0001.nii.gz")
nibabel.save(nibabel.Nifti1Image(first.get_fdata(), None), "crossed/lost_0000.nii.gz")
nibabel.save(nibabel.Nifti1Image(second.get_fdata(), None), "crossed/lost_0001.nii.gz")
END
  run "$harness" predict "$trial" crossed crossed --no-postprocess
  echo "$output"
  cmp split/p3.nii.gz crossed/p3.nii.gz
  [[ "$output" == *"far: not predicted: crossed/far_0000.nii.gz and crossed/far_0001.nii.gz lie differently in space: a voxel up to 1 mm"* ]]
  [[ "$output" == *"2 file(s): no orientation in the header"*"taken as the others are stored; first crossed/lost_0000.nii.gz"* ]]
  [[ "$output" == *"1 file(s): stored in another orientation than the first file of the case"*"first crossed/p3_0001.nii.gz"* ]]
  "$harness" evaluate varied split --partial --json >varied.json
  "$harness" runs show "$trial" --json >trial.json
  /usr/bin/python3 - <<'END'
import json
trial = json.load(open("trial.json"))["trial"]
stored = {l["label"]: l["value"] for l in trial["labels"] if l["metric"] == "dice"}
found = {l["label"]: l["dice"]["mean"] for l in json.load(open("varied.json"))["labels"]}
assert trial["config"]["preprocessing"] and any(stored.values()), trial["config"]
assert all(abs(found[label] - value) < 1e-12 for label, value in stored.items()), (stored, found)
END
  rm varied/imagesTr/p4_0001.nii.gz
  run "$harness" predict "$trial" varied/imagesTr split
  [ "$status" -eq 3 ]
  [[ "$output" == *"p4_0001.nii.gz: channel 1 of p4 is missing; the trial was trained on 2"* ]]
}

@test "a table shows another figure that the trials stored" {
  "$harness" table tiny --metric hd95 --json >table.json
  "$harness" runs show "$trial" --json >trial.json
  /usr/bin/python3 - <<'END'
import json
labels = [l["value"] for l in json.load(open("trial.json"))["trial"]["labels"] if l["metric"] == "hd95"]
row = json.load(open("table.json"))["rows"][0]
assert abs(row["mean"] - sum(labels) / 3) < 1e-9 and row["n"] == 1 and row["paper"] is None, (row, labels)
END
  run "$harness" table tiny --metric hd96
  [ "$status" -eq 3 ]
  [[ "$output" == *'no trial of tiny stored the metric "hd96"; stored: assd,dice,hd95,iou,nsd_1mm'* ]]
}

@test "windows merged as logits: another trial of the same weights, whose probabilities are the softmax at the end" {
  "$harness" run tiny.lua merge=logits --db logits/h.db -q >/dev/null
  other="$("$harness" runs list --db logits/h.db --json | /usr/bin/python3 -c "import json, sys; print(json.load(sys.stdin)['trials'][0]['hash'])")"
  [ "$other" != "$trial" ]
  "$harness" predict "$other" images logits/out --db logits/h.db --no-postprocess --probabilities
  "$harness" predict "$trial" images merged --no-postprocess --probabilities
  "$harness" evaluate abdomen logits/out --partial --json >logits.json
  "$harness" runs show "$other" --db logits/h.db --json >logits_trial.json
  /usr/bin/python3 - <<'END'
import json, nibabel, numpy
stored = {l["label"]: l["value"] for l in json.load(open("logits_trial.json"))["trial"]["labels"] if l["metric"] == "dice"}
found = {l["label"]: l["dice"]["mean"] for l in json.load(open("logits.json"))["labels"]}
assert len(stored) == 3 and all(abs(found[k] - v) < 1e-9 for k, v in stored.items()), (stored, found)
p, q = ([nibabel.load(f + "/probabilities/phantom_00%d.nii.gz" % i).get_fdata() for i in (3, 4)] for f in ("logits/out", "merged"))
label = [nibabel.load("logits/out/phantom_00%d.nii.gz" % i).get_fdata() for i in (3, 4)]
for a, b, l in zip(p, q, label):
    assert abs(a.sum(-1) - 1).max() < 1e-5 and a.min() >= 0
    assert (a.argmax(-1) == l).all()
    assert 1e-4 < abs(a - b).max() < 0.9  # not the same mean, of the same network
END
  run "$harness" run tiny.lua head=decoupled merge=logits -n
  [ "$status" -eq 2 ]
  [[ "$output" == *"has no logits to merge (model=maskmed head=decoupled)"* ]]
}
