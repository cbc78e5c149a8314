#!/usr/bin/env bats
# Pictures that are seen whole: fitted by stretching or padding, in other colours and ranges, changed at random, scored on their own
# pixels or on the network's; and the weights that are kept chosen on held-out training cases.

load work
load fault

setup_file() {
  work_in "$BATS_FILE_TMPDIR"
  "$harness" data phantom set --picture nuclei --variant 2 --size 80x112 --cases 8 --validation 2 -q
  cat >whole.lua <<END
return { title = "whole", seeds = 1, base = { data = "$work/set", head = "point_wise", bridge = "none", collapse_dice = 0, steps = 120,
  batch = 2, patch = { 1, 64, 64 }, widths = { 8, 16 }, strides = { { 1, 1, 1 }, { 1, 2, 2 } }, kernels = { { 1, 3, 3 }, { 1, 3, 3 } },
  colour = "ycrcb", normalise = "symmetric", foreground = 0, optimizer = "adamw", lr = 0.01, lr_transformer = 1 },
  rows = { { key = "stretch", label = "stretched", set = { fit = "stretch" } },
    { key = "pad", label = "padded", set = { fit = "pad" } },
    { key = "pad_scored", label = "padded, the padding scored", set = { fit = "pad", score_pad = "yes" } } } }
END
  "$harness" run whole.lua -q >table
  { head -3 whole.lua && echo '  rows = { { key = "one", label = "one", set = {} } } }'; } >one.lua
}

setup() {
  work_in "$BATS_FILE_TMPDIR"
}

value() { # ROW METRIC: its mean over the validation cases
  sql "SELECT avg(m.value) FROM metrics m JOIN v_attempt v ON v.attempt_id = m.attempt_id JOIN cells c ON c.trial_id = v.trial_id
    JOIN rows r ON r.id = c.row_id WHERE m.split = 'val' AND r.key = '$1' AND m.metric = '$2'"
}

@test "padding is background that nobody misses: one training, two scores" {
  cat table
  grep -q "3 scores of 2 trainings" table
  for metric in dice iou hd95 assd nsd_1mm mae accuracy dice_one iou_one instance_f1; do
    [ -n "$(value pad "$metric")" ]
    "$harness" table whole --metric "$metric" >told
    grep -q "padded" told
  done
  /usr/bin/python3 - "$(value pad mae)" "$(value pad_scored mae)" "$(value pad accuracy)" "$(value pad dice)" <<'END'
import sys
pad, scored, accuracy, dice = map(float, sys.argv[1:])
# 80 x 112 becomes 45 x 64 of 64 x 64: 45/64 of the pixels are the picture's
assert scored < pad and abs(scored - pad * 45 / 64) < .02, (pad, scored)
assert abs(pad + accuracy - 1) < 1e-9 and .3 < dice < 1, (pad, accuracy, dice)
END
}

@test "what was validated is predicted again on the pictures' own pixels, and scored alike" {
  trial="$("$harness" runs list --json | /usr/bin/python3 -c "
import json, sys
print([t['hash'] for t in json.load(sys.stdin)['trials'] if t['row'] == 'pad'][0])")"
  mkdir new && cp set/imagesTr/nuclei_00[67]_0000.png new
  "$harness" predict "$trial" new out -q --no-postprocess
  "$harness" evaluate set out --partial --json >scores.json
  /usr/bin/python3 - "$(value pad dice)" "$(value pad mae)" "$(value pad instance_f1)" "$(value pad dice_one)" <<'END'
import json, sys
mean = json.load(open("scores.json"))["mean"]
for name, stored in zip(("dice", "mae", "instance_f1", "dice_one"), map(float, sys.argv[1:])):
    assert abs(mean[name] - stored) < 1e-9, (name, mean[name], stored)
assert mean["accuracy"] + mean["mae"] == 1 and mean["instance_f1"] < mean["dice"], mean
END
  "$harness" evaluate set out --partial >told
  grep -q "MAE *Acc *F1" told
  grep -q "but for MAE and Acc, which" told
  # without the numbers what touches is one object
  mv set/instancesTr kept
  "$harness" evaluate set out --partial --json >joined.json
  mv kept set/instancesTr
  refute cmp -s <(grep instance_f1 scores.json) <(grep instance_f1 joined.json)
  cp -r set damaged
  cp set/imagesTr/nuclei_000_0000.png damaged/instancesTr/nuclei_006.png
  run "$harness" evaluate damaged out --partial
  [[ "$output" == *"nuclei_006.png: 3 channels; an instance map has one"* ]]
}

@test "QTSeg's changes of pictures train, and what is not for volumes is said" {
  "$harness" run one.lua augment=qtseg patch=1,48,64 steps=5 -q >/dev/null
  while IFS='|' read -r typed expected; do
    # shellcheck disable=SC2086
    run "$harness" run one.lua -n $typed
    echo "$output"
    [ "$status" -eq 2 ]
    [[ "$output" == *"$expected"* ]]
  done <<'END'
fit=stretch patch=8,16,16|has fit=stretch, which is for pictures, and a patch of 8,16,16; expected one of 1,H,W
patch=2,16,16 augment=qtseg|has augment=qtseg, which is for pictures
score_pad=yes|score_pad: it is read with fit=stretch,pad alone
fit=squeeze|squeeze
normalise=zscore|zscore
END
}

@test "the weights that did best on held-out training cases are kept, whatever interrupts" {
  export FAULT_FILES=/checkpoints FAULT_STAYS= FAULT_CALLS=
  local chosen="fit=pad select=best_validation steps=100 lr=0.1 save_every=20"
  # shellcheck disable=SC2086
  with_fault 0 cut "$harness" run one.lua -q $chosen --db whole/harness.db >/dev/null 2>&1
  local calls
  calls="$(fault_calls)"
  "$harness" runs logs --db whole/harness.db "$(trial_of whole)" | grep "keeps the weights of step [0-9]*: Dice 0\.[0-9]* on the training cases held out"
  for at in $((calls / 2)) $((calls * 3 / 4)); do
    rm -rf cut
    # shellcheck disable=SC2086
    refute with_fault "$at" cut "$harness" run one.lua -q $chosen --db cut/harness.db >/dev/null 2>&1 3>&-
    # shellcheck disable=SC2086
    "$harness" run one.lua -q $chosen --db cut/harness.db >/dev/null
    cmp "$(echo whole/checkpoints/*.safetensors)" "$(echo cut/checkpoints/*.safetensors)"
    [ "$(ls cut/checkpoints | grep -c best)" -eq 0 ]
  done
  "$harness" run one.lua -q fit=pad steps=100 lr=0.1 save_every=20 --db last/harness.db >/dev/null
  refute cmp -s "$(echo whole/checkpoints/*.safetensors)" "$(echo last/checkpoints/*.safetensors)"
}

trial_of() { # FOLDER of a database
  "$harness" runs list --db "$1/harness.db" --json | /usr/bin/python3 -c "import json, sys; print(json.load(sys.stdin)['trials'][0]['hash'])"
}
