#!/usr/bin/env bats
# MaskSAM's experiments: all rows start from one small SAM, which is trained first on scenes with prompts, and stays as it is.

load work

setup() {
  work_in "$BATS_TEST_TMPDIR"
  mkdir home
  cp -r "$root/lua" "$root/paper" "$root/experiments" home/
  export HARNESS_HOME="$work/home"
}

dry() { # EXPERIMENT
  "$harness" run "home/experiments/masksam/$1.lua" --dry-run
}

@test "the nine rows of Table 4, details of prompts and controls share one pre-training; drawn numbers have none" {
  dry adapters >adapters
  grep -q "^1 of 1 trials to start from would run$" adapters
  grep -q "^45 of 45 trials would run$" adapters
  start="$(grep ' pretraining ' adapters | cut -c1-8)"
  dry prompts | grep -q "^$start .* pretraining scenes seed 0$"
  dry prompts | grep -q "^logits: left out, since it comes to the same as .full." # at quick masks prompt as logits
  dry controls >controls
  grep -q "^$start .* pretraining scenes seed 0$" controls
  [ "$(grep ' full seed ' adapters)" = "$(grep ' full seed ' controls)" ]
  "$harness" run "home/experiments/masksam/controls.lua" --dry-run --json | /usr/bin/python3 -c '
import json, sys
document = json.load(sys.stdin)
keys = [row["key"] for row in document["rows"]]
start = {keys[cell["row"]]: cell["config"].get("pretrained") for cell in document["cells"]}
assert start["full"] and start["full"] == start["trained"] and not start["random"] and start["mae"] not in (None, start["full"]) and not start["scratch"] and not start["nnunet"], start'
}

@test "queries of a slice can be typed at quick; a published SAM is not pre-trained by default" {
  hashes() { # TYPED...
    "$harness" run home/experiments/masksam/adapters.lua --dry-run seeds=1 "$@" | awk "/ planned / && !/ pretraining / { print \$1 }"
  }
  hashes >own
  hashes queries=1.25 | cmp - own
  refute cmp -s <(hashes queries=2) own
  "$harness" run home/experiments/masksam/adapters.lua --dry-run sam=B patch=4,48,48 phantom_size=48,48,48 >large
  refute grep -q "start from" large
  grep -qF "SAM (sam=B) is frozen at numbers that were drawn; its own come with weights=FILE (docs/weights.md)" large
  dry adapters | refute grep "numbers that were drawn"
  "$harness" run home/experiments/masksam/adapters.lua --dry-run sam=B patch=4,48,48 phantom_size=48,48,48 pretrain=scenes | grep -q "^1 of 1 trials to start from"
}

@test "README names every experiment; noise is what is typed" {
  for file in "$root"/experiments/masksam/*.lua; do
    grep -qF "masksam/${file##*/}" "$root/README.md"
  done
  dry details | grep -q "^$(dry adapters | grep ' pretraining ' | cut -c1-8) .* pretraining scenes seed 0$"
  for typed in "" phantom_noise=15; do
    # shellcheck disable=SC2086
    "$harness" run home/experiments/masksam/noise.lua --dry-run --json $typed | /usr/bin/python3 -c '
import json, sys
document = json.load(sys.stdin)
assert document["data"]["options"]["noise_hu"] == int((sys.argv[1] or "=40").split("=")[1]), document["data"]
assert [row["key"] for row in document["rows"]] == ["depth_position", "full"] and document["rows"][1]["against"] == 0' "$typed"
  done
}

@test "SAM's numbers come from the pre-training and stay in a frozen row; its held-out IoU stands below the table" {
  "$harness" run "home/experiments/masksam/controls.lua" seeds=1 phantom_size=16,16,16 phantom_cases=3 phantom_validation=1 phantom_organs=2 \
    patch=2,16,16 steps=2 pretrain_steps=2 pretrain_cases=5 collapse_dice=0 vit_width=12 vit_blocks=4 vit_heads=2 vit_mlp=16 vit_window=2 vit_side=4 \
    sam_heads=2 sam_mlp=16 generator_widths=6,5,4 input_widths=4 query_count=5 widths=4,8 strides=1,1,1,2,2,2 kernels=3,3,3,3,3,3 \
    >table 2>said || { cat said; false; }
  grep -q "2 of 2 trials to start from to run" said
  grep -q "start from trial [0-9a-f]* (sam_promptable on scenes, 2 steps, seed 0), whose IoU on 4 held-out cases is 0\.[0-9]*" table
  frozen() { # ROW: the names of SAM's parameters in its checkpoint
    hash="$(sql "SELECT t.hash FROM rows r JOIN cells c ON c.row_id = r.id JOIN trials t ON t.id = c.trial_id WHERE r.key = '$1'")"
    "$harness" weights list "results/checkpoints/$hash.safetensors" | grep -c "image_encoder.blocks.0.attn.qkv.weight" || true
  }
  [ "$(frozen full)" -eq 0 ]
  [ "$(frozen random)" -eq 0 ]
  [ "$(frozen mae)" -eq 0 ]
  grep -qE "start from trial [0-9a-f]* \(sam_masked on scenes, 2 steps, seed 0\), whose IoU on 4 held-out cases is 0\.000 \(it finds no masks; its loss came to [0-9.]+\)" table
  # A pre-trained SAM is asked by its trial's name, whatever its sizes; others, and what is not one, are not.
  trial() { sql "SELECT hash FROM trials WHERE config ->> '$.model' = '$1' LIMIT 1"; }
  /usr/bin/python3 -B -c 'import sys; sys.path.insert(0, sys.argv[1] + "/tests")
import picture_files
picture_files.png("picture.png", [[(7 * x * y) % 256 for x in range(3 * 20)] for y in range(20)], colour="rgb")' "$root"
  "$harness" predict "$(trial sam_promptable | cut -c1-8)" picture.png mask.png --box 2,3,15,18 | grep -q "1 written, 0 kept: mask.png"
  run "$harness" predict "$(trial masksam)" picture.png none.png --box 2,3,15,18
  [ "$status" -ne 0 ]
  [[ "$output" == *"is of model=masksam: --box and --point ask a SAM alone"* ]]
  [ "$(frozen trained)" -gt 0 ]
}

one_row() { # NAME SET
  echo "return { title = '$1', seeds = 1, rows = { { key = '$1', label = '$1', set = { $2 } } } }" >"$1.lua"
}

@test "what SAM cannot see is refused before anything runs" {
  refused() { # TEXT FILE OPTIONS...
    run "$harness" run "$2" --dry-run "${@:3}"
    echo "$output"
    [ "$status" -eq 2 ] && [[ "$output" == *"$1"* ]]
  }
  rows=home/experiments/masksam/adapters.lua
  one_row alone 'model = "sam_promptable"'
  refused "sees 12 x 12 tokens of a patch, and has positions for vit_side=10 along a side; frame=resize stretches them" $rows scale=small
  refused "sees 40 x 42 pixels of a patch, which are no whole tokens of vit_patch=4" $rows patch=8,40,42
  refused "reads prompts, which data=scenes has and data=phantom has not" alone.lua patch=1,40,40
  "$harness" run $rows --dry-run scale=small frame=resize >dry
}

tiny="phantom_size=16,16,16 phantom_cases=3 phantom_validation=1 phantom_organs=2 patch=2,16,16 steps=2 collapse_dice=0"

@test "SAM's own weights fill what is frozen, by either program's names, and adapters are drawn" {
  /usr/bin/python3 -B -c 'import sys; sys.path.insert(0, sys.argv[1] + "/tests")
import numpy as np
import sam_files
weights = sam_files.small(np.random.default_rng(3))
sam_files.write("sam.safetensors", weights)
sam_files.write("hf.safetensors", sam_files.renamed(weights))' "$root"
  one_row full 'model = "masksam", pretrain = "none"'
  one_row box 'model = "masksam", pretrain = "none", prompts = "box"'
  scope=image_encoder,prompt_encoder,mask_decoder
  # shellcheck disable=SC2086
  for of in "full sam" "box hf"; do
    "$harness" run "${of% *}.lua" $tiny query_count=5 "weights=${of#* }.safetensors" weights_map=pytorch weights_scope=$scope -q >table
    grep -q "done" table
  done
}

@test "a small SAM that was pre-trained here predicts from its checkpoint as one of others" {
  one_row small 'model = "sam_promptable", data = "scenes", patch = { 1, 40, 40 }, batch = 2, steps = 2, scenes_size = { 4, 40, 40 },
    scenes_cases = 3, scenes_validation = 1, collapse_dice = 0'
  "$harness" run small.lua -q >table
  /usr/bin/python3 -B -c 'import sys; sys.path.insert(0, sys.argv[1] + "/tests")
import picture_files
picture_files.png("picture.png", [[(3 * x + y) % 256 for x in range(3 * 50)] for y in range(30)], colour="rgb")' "$root"
  "$harness" predict results/checkpoints/*.safetensors picture.png mask.png --box 3,4,20,25
  [ -s mask.png ]
}

@test "SAM alone, whose prompts no data set has, does not train" {
  one_row alone 'model = "sam"'
  # shellcheck disable=SC2086
  run "$harness" run alone.lua $tiny -q
  echo "$output"
  [ "$status" -ne 0 ]
  sql "SELECT message FROM attempts" | grep -q "the model reads an input 'boxes' beside the image, which no data set has: it does not train"
}
