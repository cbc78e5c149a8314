#!/usr/bin/env bats
# A data set from import to predictions, planned and prepared: one of its validation cases lies in its
# file in another orientation, all have 2.5 mm thick slices and one is stored finer.

load work

setup_file() {
  work_in "$BATS_FILE_TMPDIR"
  "$harness" data phantom source --size 20x24x26 --cases 5 --validation 2 --organs 3 2>/dev/null
  /usr/bin/python3 - <<'END'
import json, nibabel, numpy
from nibabel.orientations import axcodes2ornt, io_orientation, ornt_transform
for kind, ending in (("imagesTr", "_0000"), ("labelsTr", "")):
    for case in range(5):
        path = "source/%s/phantom_%03d%s.nii.gz" % (kind, case, ending)
        image = nibabel.load(path)
        voxels = numpy.asarray(image.dataobj)
        affine = numpy.diag([1.0, 1.0, 2.5, 1.0])
        if case == 1:  # twice as fine in x
            voxels, affine[0, 0] = voxels.repeat(2, 0), 0.5
        image = nibabel.Nifti1Image(voxels, affine, dtype=voxels.dtype)
        if case == 4:
            image = image.as_reoriented(ornt_transform(io_orientation(affine), axcodes2ornt("PSL")))
        nibabel.save(image, path)
END
  rm source/dataset.json
  cat >source/dataset.json <<'END'
{"name": "turned", "modality": {"0": "CT"}, "labels": {"0": "background", "1": "a", "2": "b", "3": "c"},
 "training": [{"image": "./imagesTr/phantom_000_0000.nii.gz", "label": "./labelsTr/phantom_000.nii.gz"},
  {"image": "./imagesTr/phantom_001_0000.nii.gz", "label": "./labelsTr/phantom_001.nii.gz"},
  {"image": "./imagesTr/phantom_002_0000.nii.gz", "label": "./labelsTr/phantom_002.nii.gz"},
  {"image": "./imagesTr/phantom_003_0000.nii.gz", "label": "./labelsTr/phantom_003.nii.gz"},
  {"image": "./imagesTr/phantom_004_0000.nii.gz", "label": "./labelsTr/phantom_004.nii.gz"}]}
END
  cat >tiny.lua <<END
return { title = "tiny", vary = { head = { "point_wise" } }, seeds = 1, base = {
  data = "$work/data/turned", steps = 20, batch = 2, bridge = "none", collapse_dice = 0, widths = { 8, 16, 16 },
  augment = "none" } }
END
}

setup() {
  cd "$work" || return
}

@test "import, plan and preprocess: what is there is kept" {
  "$harness" data import msd source data/turned
  echo '[{"train": ["phantom_000", "phantom_001", "phantom_002"], "val": ["phantom_003", "phantom_004"]},
    {"train": ["phantom_003", "phantom_004"], "val": ["phantom_000", "phantom_001"]}]' >data/turned/splits_final.json
  [ "$(find data/turned/imagesTr -name 'phantom_*_0000.nii.gz' | wc -l)" -eq 5 ]
  run "$harness" data plan data/turned
  echo "$output"
  [ "$status" -eq 0 ]
  [[ "$output" == *"RAS (1 case(s) are turned to it)"* ]]
  /usr/bin/python3 - <<'END'
import json
plan = json.load(open("data/turned/plan.json"))
assert plan["preprocessing"]["spacing_mm"] == [2.5, 1, 1], plan
assert plan["preprocessing"]["channels"][0]["scheme"] == "ct", plan
assert plan["median_shape"] == [20, 24, 26] and plan["turned_cases"] == 1, plan
assert all(p % s == 0 for p, s in zip(plan["patch"], [2 ** sum(x[a] == 2 for x in plan["strides"]) for a in range(3)]))
fingerprint = json.load(open("data/turned/fingerprint.json"))
assert fingerprint["spacings"][1] == [2.5, 1, 0.5] and fingerprint["shapes_after_crop"][4] == [20, 24, 26]
END
  run "$harness" data preprocess data/turned
  [[ "$output" == *"5 made, 0 there already, 0 failed"* ]]
  run "$harness" data preprocess data/turned --verify
  [[ "$output" == *"0 made, 5 there already, 0 failed"* ]]
}

@test "labels stored otherwise than their images prepare the same volumes; headers without orientation are told" {
  cp -rL data/turned mixed && rm -r mixed/preprocessed mixed/plan.json mixed/fingerprint.json
  /usr/bin/python3 - <<'END'
import nibabel
from nibabel.orientations import axcodes2ornt, io_orientation, ornt_transform
for case, code in enumerate(["LPS", "SAR", "RAS", "IPL", "RAS"]):
    path = "mixed/labelsTr/phantom_%03d.nii.gz" % case
    image = nibabel.load(path)
    nibabel.save(image.as_reoriented(ornt_transform(io_orientation(image.affine), axcodes2ornt(code))), path)
END
  run "$harness" data check mixed
  echo "$output"
  [ "$status" -eq 0 ]
  [[ "$output" == *"2 remark(s):"*"1 case(s) are stored in another orientation than most (RAS)"*"4 file(s): stored in another orientation than the first file"* ]]
  "$harness" data plan mixed >/dev/null
  cmp data/turned/fingerprint.json mixed/fingerprint.json
  "$harness" data preprocess mixed
  for case in 0 1 2 3 4; do # behind the header, which names the files
    cmp -i 8192 "data/turned/preprocessed/phantom_00$case.vol" "mixed/preprocessed/phantom_00$case.vol"
  done
  /usr/bin/python3 - <<'END'
import nibabel
for path in ("mixed/imagesTr/phantom_002_0000.nii.gz", "mixed/labelsTr/phantom_002.nii.gz"):
    image = nibabel.load(path)
    image.header.set_sform(None, 0), image.header.set_qform(None, 0)
    nibabel.save(nibabel.Nifti1Image(image.dataobj, None, image.header), path)
END
  run "$harness" data check mixed
  [ "$status" -eq 3 ]
  [[ "$output" == *"1 case(s) have no orientation in their header, while the others' differ (RAS, but "* ]]
  rm mixed/*/phantom_004* mixed/splits_final.json && sed -i 's/"numTraining": 5/"numTraining": 4/' mixed/dataset.json
  run "$harness" data plan mixed
  echo "$output"
  [[ "$output" == *"RAS (0 case(s) are turned to it)"*"1 case(s) have no orientation in their header: taken as stored"* ]]
  # nnU-Net's fingerprint says nothing of orientations: the headers do
  sed -i '/orientation/d' mixed/fingerprint.json
  "$harness" data plan mixed --fingerprint mixed/fingerprint.json | grep -q "RAS (0 case(s)"
  /usr/bin/python3 - <<'END'
import glob, nibabel
for path in glob.glob("mixed/imagesTr/*"):
    image = nibabel.load(path)
    image.header.set_sform(None, 0), image.header.set_qform(None, 0)
    nibabel.save(nibabel.Nifti1Image(image.dataobj, None, image.header), path)
END
  run "$harness" data plan mixed --fingerprint mixed/fingerprint.json
  grep -Eq "^orientation +any$" <<<"$output"
  [[ "$output" == *"4 case(s) have no orientation in their header: taken as stored"* ]]
}

@test "a budget in GiB gives a plan that fits it" {
  "$harness" data plan data/turned --budget 0.02 --json >small.json
  "$harness" data plan data/turned --json >large.json
  /usr/bin/python3 - <<'END'
import json, math
small, large = (json.load(open(n + ".json")) for n in ("small", "large"))
assert small["budget"] == "0.02 GiB", small
assert math.prod(small["patch"]) * small["batch"] < math.prod(large["patch"]) * large["batch"], (small, large)
END
  run "$harness" data plan data/turned --budget nothing
  [ "$status" -eq 2 ]
  run "$harness" data plan data/turned --budget 1e-6
  [ "$status" -eq 3 ]
  [[ "$output" == *"fits into the budget"* ]]
}

@test "a spacing that is asked for is planned for; keys of plan.json that nobody reads are told with where they belong" {
  "$harness" data plan data/turned --json >own.json
  "$harness" data plan data/turned --spacing 4,2.5,2.5 >told
  grep -q '^spacing mm    4 x 2.5 x 2.5' told
  for wrong in 4,2 4,2,2,2 4,0,2 4,-1,2 a,b,c 4,2,2mm; do
    run "$harness" data plan data/turned --spacing "$wrong"
    [ "$status" -eq 2 ]
    [[ "$output" == *"--spacing needs three sizes of a voxel in mm, D,H,W"*"\"$wrong\""* ]]
  done
  cp data/turned/plan.json kept.json
  misplaced() { # OLD NEW EXPECTED
    sed "s/$1/$2/" kept.json >data/turned/plan.json
    run "$harness" data preprocess data/turned
    echo "$output"
    [ "$status" -eq 3 ]
    [[ "$output" == *"turned/plan.json: $3"* ]]
  }
  misplaced '"schema": 1,' '"schema": 1, "spacing_mm": [9, 4, 4],' 'unknown key "spacing_mm"; it is a key of preprocessing'
  misplaced '"nonzero_mask"' '"patch": 1, "nonzero_mask"' 'preprocessing: unknown key "patch"; it is a key outside it'
  misplaced '"patch"' '"pacth"' 'unknown key "pacth"; did you mean "patch"?'
  mv kept.json data/turned/plan.json
  "$harness" data plan data/turned --json >again.json
  cmp own.json again.json
}

@test "an experiment trains on the plan, every fold counts in its table" {
  "$harness" run tiny.lua folds=2 -q --json >table.json
  /usr/bin/python3 - <<'END'
import json
row = json.load(open("table.json"))["rows"][0]
assert row["n"] == 2 and row["status"] == "done", row
END
  "$harness" runs list --json >list.json
  for trial in $(/usr/bin/python3 -c "import json; print(*[t['hash'] for t in json.load(open('list.json'))['trials']])"); do
    "$harness" runs show "$trial" | grep -q 'preprocessing .*"spacing_mm":\[2.5,1'
  done
  # another plan is another trial, and so is none
  "$harness" run tiny.lua folds=2 -n 2>&1 | grep -q "0 of 2 trials would run"
  "$harness" run tiny.lua plan=none patch=8,16,16 strides=1,1,1,2,2,2,2,2,2 kernels=3,3,3,3,3,3,3,3,3 steps=2 -q >/dev/null
  [ "$("$harness" runs list --json | /usr/bin/python3 -c "import json, sys; print(len(json.load(sys.stdin)['trials']))")" -eq 3 ]
}

@test "a turned case is evaluated and predicted as it lies in its file" {
  mkdir -p images && cp data/turned/imagesTr/phantom_00[34]_0000.nii.gz images/
  trial="$(/usr/bin/python3 -c "
import json
print(next(t['hash'] for t in json.load(open('list.json'))['trials'] if t['fold'] == 0))")"
  "$harness" predict "$trial" images predicted --no-postprocess
  "$harness" evaluate data/turned predicted --partial --json >evaluated.json
  "$harness" runs show "$trial" --json >trial.json
  /usr/bin/python3 - <<'END'
import json, nibabel
labels = json.load(open("evaluated.json"))["labels"]
stored = {l["label"]: l["value"] for l in json.load(open("trial.json"))["trial"]["labels"] if l["metric"] == "dice"}
found = {l["label"]: l["dice"]["mean"] for l in labels}
assert len(stored) == 3 and any(stored.values()), stored
assert all(abs(found[label] - value) < 1e-9 for label, value in stored.items()), (stored, found)
END
}

@test "a damaged cache is made again by the next run; a broken plan is an error" {
  printf 'x' | dd of=data/turned/preprocessed/phantom_002.vol bs=1 seek=40 conv=notrunc 2>/dev/null
  "$harness" run tiny.lua steps=2 -q >/dev/null
  cp data/turned/plan.json kept.json
  echo '{"preprocessing": {"orientation": "RAS"' >data/turned/plan.json
  run "$harness" run tiny.lua steps=3 -q
  [ "$status" -eq 2 ]
  [[ "$output" == *"plan.json:"* ]]
  sed 's/"patch": \[/"patch": ["a", /' kept.json >data/turned/plan.json
  run "$harness" run tiny.lua steps=3 -q
  [ "$status" -eq 2 ]
  [[ "$output" == *"plan.json: patch: expected"* ]]
  { printf '\xef\xbb\xbf' && sed 's/$/\r/' kept.json; } >data/turned/plan.json # as an editor of Windows leaves it
  run "$harness" run tiny.lua steps=2 -n
  [[ "$output" == *"0 of 1 trials would run"* ]]
  cp kept.json data/turned/plan.json
}

@test "names that are not UTF-8 are refused before anything is written, or shown" {
  bad="$(printf 'M\374nchen')"
  run "$harness" run tiny.lua steps=2 --db "$bad/h.db"
  [ "$status" -eq 3 ]
  [[ "$output" == *"M%FCnchen: this name is not UTF-8"* ]]
  run "$harness" data import msd source "$bad"
  [ "$status" -eq 3 ]
  run "$harness" data phantom "$bad" --size 16 --cases 1
  [ "$status" -eq 3 ]
  [ ! -e "$bad" ]
  run "$harness" runs list --experiment "$bad"
  [[ "$output" != *done* ]] # not all of them
  mkdir ref && cp data/turned/labelsTr/phantom_000.nii.gz "ref/$bad.nii.gz"
  "$harness" evaluate ref ref --json | /usr/bin/python3 -c "import json, sys; assert json.load(sys.stdin)['rows'][0]['case'] == 'M%FCnchen'"
}

@test "usage of data" {
  run "$harness" data plan
  [ "$status" -eq 2 ]
  run "$harness" data import amos nowhere
  [ "$status" -eq 2 ]
  run "$harness" data import nifti source out
  [ "$status" -eq 2 ]
  run "$harness" data import amos nowhere out
  [ "$status" -eq 3 ]
  [[ "$output" == *"expected AMOS22 as unpacked"* ]]
  run "$harness" run tiny.lua folds=2 fold=1
  [ "$status" -eq 2 ]
  [[ "$output" == *"fold and folds"* ]]
}
