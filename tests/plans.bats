#!/usr/bin/env bats
# What `data plan` writes, `run` trains: flat, long, tiny and many volumes, by fingerprints of them.

load work

setup_file() {
  work_in "$BATS_FILE_TMPDIR"
  "$harness" data phantom data --size 16 --cases 5 --validation 2 --organs 2 2>/dev/null
  cat >tiny.lua <<END
return { title = "tiny", rows = { { key = "a", label = "a", set = {} } }, seeds = 1, base = {
  data = "$work/data", steps = 1, head = "point_wise", bridge = "none", augment = "none" } }
END
}

setup() {
  cd "$work" || return
}

# A fingerprint of volumes D,H,W at mm D,H,W.
fingerprint() { # cases D H W mm mm mm
  python3 - "$@" >fingerprint.json <<'END'
import json, sys
cases, *numbers = [float(word) for word in sys.argv[1:]]
scale = dict.fromkeys(["mean", "median", "std", "min", "max", "percentile_00_5", "percentile_99_5"], 1.0)
print(json.dumps({"spacings": [numbers[3:]] * int(cases), "shapes_after_crop": [numbers[:3]] * int(cases),
                  "median_relative_size_after_cropping": 1.0, "foreground_intensity_properties_per_channel": {"0": scale}}))
END
}

# A key of data/plan.json.
set_plan() { # KEY VALUE
  python3 -c 'import json, sys
plan = json.load(open("data/plan.json"))
plan[sys.argv[1]] = json.loads(sys.argv[2])
json.dump(plan, open("data/plan.json", "w"))' "$@"
}

@test "every plan that is written is one that trains" {
  while read -r shape; do
    # shellcheck disable=SC2086
    fingerprint $shape
    echo "$shape"
    "$harness" data plan data --fingerprint fingerprint.json --json >plan
    "$harness" run tiny.lua -n >/dev/null
  done <<'END'
20 3 48 48 9 1.5 1.5
20 1 1448 1448 5 0.3 0.3
20 1 4096 4096 1 1 1
20 4096 64 64 0.5 1 1
20 1 30000 300 1 1 1
5000 16 16 16 1 1 1
20 8 8 8 1 1 1
20 12 4 4 1 1 1
20 2 9 9 1 1 1
20 600 700 400 0.4 0.4 0.4
20 64 640 640 3 0.5 0.5
END
  python3 -c "
import json
plan = json.load(open('data/plan.json'))
assert plan['patch'][1] >= 160, plan"
}

@test "what cannot be halved is refused with what to do, and no plan is written" {
  rm -f data/plan.json
  for shape in "20 7 7 7 1 1 1" "20 1 7 11 1 1 1" "20 1 1 11 1 1 1"; do
    # shellcheck disable=SC2086
    fingerprint $shape
    run "$harness" data plan data --fingerprint fingerprint.json
    echo "$output"
    [ "$status" -eq 3 ]
    [[ "$output" == *"too few for a U-Net"*"resample the images"* ]]
    [ ! -e data/plan.json ]
  done
}

@test "a plan that run would refuse is refused with the same words" {
  fingerprint 20 32 32 32 1 1 1
  "$harness" data plan data --fingerprint fingerprint.json >/dev/null
  set_plan strides "[[1, 1, 1], [9, 1, 1], [2, 2, 2], [2, 2, 2]]"
  run "$harness" run tiny.lua -n
  [ "$status" -eq 2 ]
  [[ "$output" == *"data/plan.json: strides: 9 is outside 1 .. 8"* ]]
  rm data/plan.json
}

@test "a plan for nnU-Net's residual encoder trains one; what is typed wins" {
  fingerprint 20 32 32 32 1 1 1
  "$harness" data plan data --planner resenc_m --fingerprint fingerprint.json >/dev/null
  "$harness" run tiny.lua -n >planned
  "$harness" run tiny.lua encoder=plain -n >plain
  run "$harness" run "$BATS_TEST_DIRNAME/../experiments/encoders.lua" data=data seeds=1 -n # what is compared is not the plan's to say
  [[ "$output" == *"4 of 4 trials would run"* ]]
  run "$harness" run tiny.lua widths=4,8 -n # the other stages are the plan's
  [ "$status" -eq 2 ]
  [[ "$output" == *"widths has 2 stages, strides has 4; those that nobody sets are of "*"data/plan.json"* ]]
  blocks="$(python3 -c 'import json
plan = json.load(open("data/plan.json"))
assert plan.pop("encoder") == "residual"
print(*plan.pop("encoder_blocks"), sep=",")
json.dump(plan, open("data/plan.json", "w"))')"
  "$harness" run tiny.lua -n >without
  "$harness" run tiny.lua encoder=residual encoder_blocks="$blocks" -n >typed
  diff planned typed
  diff plain without
  refute diff -q plain planned
  "$harness" run tiny.lua encoder=residual -n >/dev/null # a plan that does not say how many takes the scale's
  set_plan encoder_blocks "[1, 2]"
  run "$harness" run tiny.lua -n
  [ "$status" -eq 2 ]
  [[ "$output" == *"data/plan.json: encoder_blocks: expected a number for each of 4 stages, found 2"* ]]
  rm data/plan.json
}

@test "a plans file of nnU-Net is a plan, and a preset names its encoder" {
  "$harness" data plan data --plans "$BATS_TEST_DIRNAME/fixtures/nnunet_resenc_l.json" --configuration 2d >told
  grep -q "^patch  *1 x 256 x 224" told
  grep -q "^batch  *161 (budget: as nnU-Net's nnUNetResEncUNetLPlans, 2d)" told
  grep -q "^blocks  *1  3  4  6  6  6$" told
  fingerprint 20 32 32 32 1 1 1
  "$harness" data plan data --fingerprint fingerprint.json --planner resenc_m >told
  grep -q "ResEnc M, 8 GB" told
  "$harness" run tiny.lua -n >/dev/null
  run "$harness" data plan data --planner resenc_s
  [ "$status" -eq 2 ]
  [[ "$output" == *"--planner needs default, resenc_m, resenc_l or resenc_xl"* ]]
  run "$harness" data plan data --planner resenc_l --budget 8
  [ "$status" -eq 3 ]
  [[ "$output" == *"leave --budget or --planner out"* ]]
  rm data/plan.json
}

@test "Dice is taken over the batch where the plan says so; what is typed wins, and a matched loss does not ask" {
  fingerprint 20 32 32 32 1 1 1
  "$harness" data plan data --fingerprint fingerprint.json >/dev/null
  set_plan patch "[16, 16, 16]"
  for value in false true; do
    set_plan batch_dice "$value"
    "$harness" run tiny.lua steps=2 -q >/dev/null
    "$harness" run tiny.lua steps=2 batch_dice=false -n >"typed_$value"
    "$harness" run tiny.lua head=decoupled -n >"matched_$value"
  done
  # the same first batch and weights: the same cross-entropy, another Dice
  run sql "SELECT count(*), count(DISTINCT class_loss), count(DISTINCT dice_loss), count(DISTINCT loss) FROM curves WHERE step = 1"
  [ "$output" = "2|1|2|2" ]
  grep -q "^0 of 1 trials would run" typed_true
  diff typed_false typed_true
  diff matched_false matched_true
  "$harness" help batch_dice | grep -q "; read with head=point_wise,mlp_class,attention_class,attention_both alone$"
  set_plan batch_dice '"sometimes"'
  run "$harness" run tiny.lua -n
  [ "$status" -eq 2 ]
  [[ "$output" == *"data/plan.json: batch_dice: expected true or false, found 'sometimes'"* ]]
  rm data/plan.json
}

@test "volumes of three slices are planned, prepared and trained" {
  /usr/bin/python3 - <<'END'
import nibabel, numpy, os
for kind, ending in (("imagesTr", "_0000"), ("labelsTr", "")):
    os.makedirs("flat/" + kind)
    for case in range(5):
        a = numpy.asarray(nibabel.load("data/%s/phantom_%03d%s.nii.gz" % (kind, case, ending)).dataobj)[:, :, 6:9]
        nibabel.save(nibabel.Nifti1Image(a, numpy.diag([1.5, 1.5, 9, 1]), dtype=a.dtype), "flat/%s/c%d%s.nii.gz" % (kind, case, ending))
END
  cp data/dataset.json flat/
  "$harness" data plan flat | grep -q "^patch  *3 x 16 x 16"
  "$harness" run tiny.lua data=flat batch=2 >/dev/null
}

@test "what is typed wins over what a row sets, unless rows are compared by it" {
  export HARNESS_HOME="$root"
  cat >rows.lua <<'END'
return { title = "rows", seeds = 1, base = { steps = 15 }, rows = {
  { key = "plain", label = "p", set = { head = "point_wise", bridge = "none" } },
  { key = "long", label = "l", set = { steps = 20, lr = 0.3 } },
  { key = "deep", label = "d", set = { decoder_convs = 3, lr = 0.1 } } } }
END
  "$harness" run rows.lua steps=1 -n >out
  grep -qx "long: steps=1 in place of its own 20" out
  "$harness" run rows.lua steps=1 -n --json | python3 -c "
import json, sys
assert [cell['config']['steps'] for cell in json.load(sys.stdin)['cells']] == [1, 1, 1]"
  "$harness" run rows.lua steps=20 batch=1 -n >out
  [ "$(grep -c "in place" out)" -eq 0 ]
  "$harness" run rows.lua steps=1,2 -n >out
  grep -qx "long: steps=1,2 in place of its own 20" out
  grep -q "6 of 6 trials would run" out
  while IFS='|' read -r typed expected; do
    run "$harness" run rows.lua "$typed" -n
    echo "$output"
    [ "$status" -eq 2 ]
    [[ "$output" == *"$expected"* ]]
  done <<'END'
head=mlp_class|head=mlp_class: row 'plain' sets head=point_wise, and that is what the row is
bridge=fsad,none|row 'plain' sets bridge=none, and that is what the row is
lr=0.2|row 'long' sets lr=0.3, and 'deep' sets 0.1: that is what the rows vary
END
  sed -i 's/, lr = 0.[13]//' rows.lua
  sed -i '/"long"/d' rows.lua
  sed -i 's/{ key = "deep"/{ key = "full", label = "f", set = {} }, { key = "deep"/' rows.lua
  run "$harness" run rows.lua decoder_convs=4 -n
  [ "$status" -eq 2 ]
  [[ "$output" == *"row 'deep' sets decoder_convs=3, and without it 'full' and 'deep' are the same"* ]]
}
