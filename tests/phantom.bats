#!/usr/bin/env bats
# The phantom as experiments ask for it.

load work

setup() {
  work_in "$BATS_TEST_TMPDIR"
}

@test "each anatomy of the phantom has its folder; the first is what a list of cells means that names none" {
  cat >phantom.lua <<'END'
return { title = "tiny", seeds = 1, rows = { { key = "unet", label = "unet", set = {} } }, base = { head = "point_wise",
  bridge = "none", steps = 1, patch = { 8, 8, 8 }, batch = 1, collapse_dice = 0, widths = { 4, 8 }, phantom_size = { 16, 16, 16 },
  phantom_cases = 2, phantom_validation = 1, phantom_organs = 2, phantom_noise = 40, phantom_seed = 1,
  strides = { { 1, 1, 1 }, { 2, 2, 2 } }, kernels = { { 3, 3, 3 }, { 3, 3, 3 } } } }
END
  first=phantom-16x16x16-2organs-2cases-40HU-seed1
  export HARNESS_HOME="$work/home"
  mkdir home && ln -s "$root/lua" "$root/paper" home
  for anatomy in 1 2; do
    "$harness" run -n --json phantom.lua phantom_anatomy=$anatomy >cells.json
    "$harness" run -q phantom.lua phantom_anatomy=$anatomy >/dev/null
  done
  [ "$(ls home/results/data | tr '\n' ' ')" = "$first $first-anatomy2 " ]
  grep -q '"version": 1' home/results/data/$first/dataset.json
  grep -q '"version": 2' home/results/data/$first-anatomy2/dataset.json
  [ "$(sql "SELECT count(DISTINCT hash) FROM trials")" -eq 2 ]
  # what --dry-run --json printed before there was a choice
  rm -r home/results/data
  python3 -c '
import json
cells = json.load(open("cells.json"))
data = cells["data"]
del data["options"]["anatomy"]
data["dir"] = data["dir"].removesuffix("-anatomy2")
for cell in cells["cells"]: cell["config"]["data_dir"] = data["dir"]
json.dump(cells, open("cells.json", "w"))'
  "$harness" run -q cells.json >/dev/null
  grep -q '"version": 1' home/results/data/$first/dataset.json
  run "$harness" run -n phantom.lua phantom_anatomy=3
  [ "$status" -eq 2 ]
  [[ "$output" == *"phantom_anatomy=3"* ]]
}
