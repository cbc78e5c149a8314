#!/usr/bin/env bats
# Data sets with an ignore label and with BraTS's regions, from dataset.json to the metrics of predictions: both
# kinds of head learn, and what is stored is what `evaluate` says of what `predict` writes.

load work

# derive FOLDER LABELS EXPRESSION: the phantom with labels m -> an expression of m and its indices i, j, k.
derive() {
  mkdir -p "$1"
  cp -r abdomen/imagesTr "$1"
  /usr/bin/python3 - "$@" <<'END'
import json, os, sys
import nibabel, numpy
folder, fields, expression = sys.argv[1:]
os.makedirs(folder + "/labelsTr")
for name in os.listdir("abdomen/labelsTr"):
    image = nibabel.load("abdomen/labelsTr/" + name)
    m = numpy.asarray(image.dataobj)
    i, j, k = numpy.indices(m.shape)
    labels = eval(expression, {"m": m, "i": i, "j": j, "k": k, "where": numpy.where}).astype(numpy.uint8)
    nibabel.save(nibabel.Nifti1Image(labels, image.affine), folder + "/labelsTr/" + name)
description = json.load(open("abdomen/dataset.json"))
description.update(json.loads(fields))
json.dump(description, open(folder + "/dataset.json", "w"))
END
}

setup_file() {
  work_in "$BATS_FILE_TMPDIR"
  /usr/bin/python3 -c "import nibabel" || return 0
  "$harness" data phantom abdomen --size 22x24x28 --cases 5 --validation 2 --organs 3 --noise 5
  derive part '{"labels": {"background": 0, "left": 1, "right": 2, "rest": 3, "ignore": 4}}' "where(i < 17, m, 4)"
  derive brats '{"labels": {"background": 0, "whole": [1, 2, 3], "core": [2, 3], "inner": 3, "ignore": 4},
    "regions_class_order": [1, 2, 3]}' "where((k > 18) * (m == 0), 4, m)"
  for set in part brats; do
    cat >$set.lua <<END
return { title = "$set", vary = { head = { "point_wise", "decoupled" } }, seeds = 1, base = {
  data = "$work/$set", steps = 60, lr = 0.1, patch = { 16, 16, 16 }, bridge = "none", collapse_dice = 0, widths = { 8, 16 },
  hidden = 12, ffn = 24, key_grid = { 4, 4, 4 }, mask_layers = 1, foreground = 1, mirror_tta = true, augment = "nnunet",
  strides = { { 1, 1, 1 }, { 2, 2, 2 } }, kernels = { { 3, 3, 3 }, { 3, 3, 3 } } } }
END
    "$harness" run $set.lua -q >$set.table
  done
  mkdir images
  cp abdomen/imagesTr/phantom_003_0000.nii.gz abdomen/imagesTr/phantom_004_0000.nii.gz images/
}

setup() {
  cd "$work" || return
  /usr/bin/python3 -c "import nibabel" || skip "python3-nibabel is missing"
}

trials_of() {
  "$harness" runs list --experiment "$1" --json |
    /usr/bin/python3 -c "import json, sys; print(*(t['hash'] for t in json.load(sys.stdin)['trials']))"
}

@test "data check counts regions and ignored voxels" {
  run "$harness" data check brats
  echo "$output"
  [ "$status" -eq 0 ]
  grep -Eq '^1\+2\+3 +whole +5 ' <<<"$output"
  grep -Eq '^ +3 +inner +5 ' <<<"$output"
  grep -Eq '^ +4 +\(ignored\) +5 ' <<<"$output"
  "$harness" data check part --json | /usr/bin/python3 -c "
import json, sys
d = json.load(sys.stdin)
assert d['ignore'] == 4 and d['ignored_voxels'] == 5 * 11 * 24 * 22, d
assert [l['name'] for l in d['labels']] == ['background', 'left', 'right', 'rest'], d"
}

@test "the loss falls with both heads" {
  for set in part brats; do
    for trial in $(trials_of $set); do
      sql "SELECT loss FROM curves JOIN attempts a ON a.id = attempt_id JOIN trials t ON t.id = trial_id
        WHERE hash = '$trial' ORDER BY step" >losses
      awk 'NR <= 10 { first += $1 } { all[NR] = $1 } END { for (i = NR - 9; i <= NR; i++) last += all[i]
        print first / 10, last / 10; exit !(NR == 60 && last < .85 * first) }' losses
    done
  done
}

@test "predictions hold the values of the labels, and have the metrics that were stored" {
  for set in part brats; do
    for trial in $(trials_of $set); do
      rm -rf raw && "$harness" predict "${trial:0:8}" images raw --no-postprocess -q
      "$harness" evaluate $set raw --partial --json >raw.json
      "$harness" runs show "$trial" --json >trial.json
      /usr/bin/python3 - $set <<'END'
import json, sys
import nibabel, numpy
names = {"part": ["left", "right", "rest"], "brats": ["whole", "core", "inner"]}[sys.argv[1]]
labels = json.load(open("raw.json"))["labels"]
assert [l["name"] for l in labels] == names, labels
for metric, ours in (("dice", "dice"), ("hd95", "hd95"), ("nsd_1mm", "nsd")):
    stored = {l["label"]: l["value"] for l in json.load(open("trial.json"))["trial"]["labels"] if l["metric"] == metric}
    found = {l["label"]: l[ours]["mean"] for l in labels}
    assert len(stored) == 3 and any(stored.values()), stored
    assert all(abs(found[label] - value) < 1e-9 for label, value in stored.items()), (metric, stored, found)
values = numpy.unique(numpy.asarray(nibabel.load("raw/phantom_003.nii.gz").dataobj))
assert set(values) <= {0, 1, 2, 3} and len(values) > 1, values
END
    done
  done
}

# Predicts with a trial of the regions and paints its probabilities.
assert_painted() {
  rm -rf both && "$harness" predict "$1" images both --probabilities --no-postprocess -q
  /usr/bin/python3 - <<'END'
import nibabel, numpy
p = numpy.asarray(nibabel.load("both/probabilities/phantom_004.nii.gz").dataobj)
label = numpy.asarray(nibabel.load("both/phantom_004.nii.gz").dataobj)
assert p.shape[-1] == 3 and p.min() >= 0
painted = numpy.zeros(label.shape)
for region, value in enumerate((1, 2, 3)):
    painted[p[..., region] > .5] = value
assert (painted == label).mean() > .999 and len(numpy.unique(label)) > 1, (painted == label).mean()
END
}

@test "probabilities of regions are painted in their order, merged as they are or as logits" {
  assert_painted "$(trials_of brats | cut -c 1-8)"
  sed 's/title = "brats"/title = "logits"/' brats.lua >logits.lua
  "$harness" run logits.lua merge=logits head=point_wise -q >/dev/null
  run "$harness" run logits.lua largest_component=each head=point_wise -q
  [[ "$output" == *"largest_component=each: the data set's structures are regions"* ]]
  assert_painted "$(trials_of logits | cut -c 1-8)"
}

@test "a planned set goes through the cache, whose positions are of regions and of what is annotated" {
  for set in part brats; do
    "$harness" data plan $set >/dev/null
    "$harness" run $set.lua steps=4 head=point_wise -q >planned
    cat planned
    grep -Eq "done *$" planned
    [ -s $set/preprocessed/phantom_000.vol ]
  done
}

@test "descriptions that nnU-Net would refuse are refused everywhere alike" {
  derive wrong '{"labels": {"background": 0, "whole": [1, 2, 3], "core": [2, 3], "inner": 3}}' "m"
  sed "s#$work/part#$work/wrong#" part.lua >wrong.lua
  for command in "data check wrong" "data plan wrong" "run wrong.lua --dry-run" "run wrong.lua" "evaluate wrong abdomen/labelsTr"; do
    run "$harness" $command
    echo "$command: $output"
    [ "$status" -ne 0 ]
    [[ "$output" == *'need "regions_class_order": a list of 3 values'* ]]
  done
}
