#!/usr/bin/env bats
# Figures and estimates: with the program itself as the trial, on tiny experiments.

load cli

own_trials() {
  unset HARNESS_TRIAL_PROGRAM
  export HARNESS_HOME="$root"
}

@test "an experiment of kind plan is planned, timed where it fits, and drawn" {
  own_trials
  cat >coverage.lua <<'END'
return {
  title = "Coverage", kind = "plan", scales = { "quick", "paper" }, base = { model = "bridge", bridge = "standard" },
  rows = function(c)
    local rows = {}
    for i, attention in ipairs { "naive", "tiled" } do
      rows[i] = { key = attention, set = { attention = attention, standard_scales = #c.widths == 4 and 2 or 6 } }
    end
    return rows
  end,
}
END
  "$harness" run -q coverage.lua --json >table.json
  python3 - <<'END'
import json
rows = json.load(open("table.json"))["rows"]
assert [row["key"] for row in rows] == ["quick naive", "quick tiled", "paper naive", "paper tiled"], rows
for row in rows[:2]:
    assert abs(row["allocated_bytes"] / row["planned_bytes"] - 1) < 0.05, row
    assert row["step_s"] > 0
naive, tiled = rows[2:]
assert naive["step_s"] is None and naive["planned_bytes"] > 1000 * tiled["planned_bytes"] > 1e14
assert naive["parameters"] == tiled["parameters"] and naive["covered"] == 6
END
  run "$harness" run -q coverage.lua # again: nothing to do
  [ "$status" -eq 0 ]
  [[ "$output" =~ [0-9]\ (MiB|GiB|TiB)\  && "$output" == *" planned "* ]]
  run "$harness" plot coverage
  [ "$status" -eq 0 ]
  python3 -c 'import sys, xml.dom.minidom as x; x.parse(sys.argv[1])' results/plots/coverage.svg
  [ "$("$harness" table coverage --format csv | wc -l)" -eq 5 ]
}

@test "kind and rows of an experiment are checked" {
  own_trials
  echo 'return { kind = "plane", rows = {} }' >wrong.lua
  run "$harness" run wrong.lua
  [ "$status" -eq 2 ]
  [[ "$output" == *"wrong.lua:1: an experiment is of kind plan"* ]]
  echo 'return { kind = "plan", rows = function() return { { key = "a", set = { brigde = "fsad" } } } end }' >wrong.lua
  run "$harness" run wrong.lua
  [ "$status" -eq 2 ]
  [[ "$output" == *'did you mean "bridge"'* ]]
}

@test "estimate --gpu plans for a GPU that is not here: memory with cuDNN's workspaces, launches, traffic" {
  unet="queries=1 head=point_wise bridge=none scale=paper dtype=bf16"
  # shellcheck disable=SC2086
  run "$harness" estimate "$root/experiments/query_count.lua" --gpu h200 $unet --json
  [[ "$output" != *"built without CUDA"* && "$output" != *"cuDNN 9.11"* && "$output" != *libcu* ]] || skip "$output"
  [ "$status" -eq 0 ]
  echo "$output" >gpu.json
  python3 - <<'END'
import json
estimate = json.load(open("gpu.json"))
row, = estimate["rows"]
assert estimate["gpu"] == "h200" and estimate["gpu_bytes"] > 1.4e11 and "hours" not in estimate
assert 300 < row["launches"] < 1000 and 2e10 < row["least_bytes"] < 4e10, row
assert row["scratch_bytes"] < row["train_bytes"] < 8e9 and row["infer_bytes"] < row["train_bytes"]
END
  # shellcheck disable=SC2086
  "$harness" estimate "$root/experiments/query_count.lua" --gpu a100 $unet | grep -q "planned for one a100"
  run "$harness" estimate "$root/experiments/query_count.lua" --gpu b200
  [ "$status" -eq 3 ]
  [[ "$output" == *"a100, h100 or h200"* ]]
}

@test "estimate says what the processor cannot do, and goes on" {
  HARNESS_ISA=portable "$harness" estimate "$root/experiments/query_count.lua" queries=1,2 dtype=bf16 >out
  [ "$(grep -c "is not estimated: dtype=bf16: .*bf16" out)" -eq 2 ]
  run grep -Ei "nan|one trial a line" out
  [ "$status" -eq 1 ]
  HARNESS_ISA=portable "$harness" estimate "$root/experiments/query_count.lua" queries=1 dtype=bf16 --json >half.json
  python3 -c 'import json
estimate = json.load(open("half.json"))
row, = estimate["rows"]
assert "bf16" in row["not_estimated"] and estimate["hours"] == 0, estimate'
}

@test "estimate times steps that fit and multiplies a rate for those that do not, without a step's memory" {
  own_trials
  options="queries=1,2 patch=16,16,16 widths=4,8,8,8 hidden=12 key_grid=2,2,2 seeds=2"
  # shellcheck disable=SC2086
  "$harness" estimate "$root/experiments/query_count.lua" $options --json >quick.json
  python3 - <<'END'
import json
estimate = json.load(open("quick.json"))
rows = estimate["rows"]
assert [row["from"] for row in rows] == ["measured"] * 2 and "rate" not in estimate
assert all(row["step_s"] > 0 and row["train_bytes"] > row["infer_bytes"] > row["weight_bytes"] for row in rows)
assert all(0 < 4 * row["macs"] < row["flops"] for row in rows)  # a step has two patches, and gradients
assert rows[1]["parameters"] - rows[0]["parameters"] == 13 * 2 * 12, rows  # N more queries: feature and position
assert abs(estimate["hours"] - 2 * sum(row["hours"] for row in rows)) < 1e-9
END
  echo 'return { kind = "plan", base = { model = "bridge" }, rows = { { key = "a", set = {} } } }' >tiny.lua
  "$harness" run -q tiny.lua patch=8,8,8 >/dev/null # makes the database
  python3 - <<'END'
import os, sqlite3
base = sqlite3.connect(os.environ["HARNESS_DB"])
def insert(table, **given):
    for _, name, kind, needed, default, _ in base.execute(f"PRAGMA table_info({table})"):
        if needed and name not in given:
            given[name] = 0 if kind in ("INTEGER", "REAL") else "cold" if name == "timing" else ""
    base.execute(f"INSERT INTO {table}({','.join(given)}) VALUES({','.join('?' * len(given))})", list(given.values()))
insert("bench_runs", id=7, environment_id=1)
insert("bench_rows", run_id=7, kernel="step:unet-64", **{"pass": "step"}, device="cpu", threads=2, gflops=100.0)
base.commit()
END
  paper="--scale paper queries=1 head=point_wise bridge=none"
  # shellcheck disable=SC2086
  (ulimit -v 2400000 && "$harness" estimate "$root/experiments/query_count.lua" $paper --json) >paper.json
  python3 - <<'END'
import json
estimate = json.load(open("paper.json"))
row, = estimate["rows"]
assert estimate["rate"] == {"gflops": 100.0, "from": "step:unet-64 of stored bench run 7"}, estimate
assert abs(row["parameters"] / 31.2e6 - 1) < 0.01 and row["from"] == "rate" and row["steps"] == 250000
assert abs(row["hours"] - row["flops"] * row["steps"] / 100e9 / 3600) < 1e-6 * row["hours"]
assert row["train_bytes"] > 5e9  # twice what the shell above may take
END
  # shellcheck disable=SC2086
  "$harness" estimate "$root/experiments/query_count.lua" $paper | grep -q "~ from a rate of 100 GFLOP/s"
}

tiny="phantom_size=24,24,24 phantom_anatomy=1 phantom_cases=6 phantom_validation=2 phantom_organs=2 phantom_noise=5 seeds=1
  patch=16,16,16 widths=4,8,8,8 hidden=12 heads=2 ffn=12 key_grid=2,2,2 window_step=1 threads=1"

@test "a trial that learns nothing is collapsed by the rule, and stands so in the table" {
  own_trials
  # shellcheck disable=SC2086
  run "$harness" run -q "$root/experiments/query_count.lua" $tiny queries=1 steps=100 lr=0
  [ "$status" -eq 1 ]
  [[ "$output" == *"at step 40 of 100, below collapse_dice = 0.1"* ]]
  [[ "$(rows)" == *",collapsed"* ]]
  # shellcheck disable=SC2086
  "$harness" run -q "$root/experiments/query_count.lua" $tiny queries=1 steps=100 lr=0 collapse_dice=0 >/dev/null
  [[ "$(rows)" == *",done"* ]]
  # With lr=0 every look at the same validation patches says the same.
  run python3 - "$HARNESS_DB" <<'END'
import sqlite3, sys
print(*sqlite3.connect(sys.argv[1]).execute(
    "SELECT count(*), count(val_dice), count(DISTINCT val_dice), count(DISTINCT loss) FROM curves JOIN attempts a"
    " ON a.id = attempt_id WHERE a.status = 'done'").fetchone())
END
  [ "$output" = "101 20 1 101" ] || [ "$output" = "100 20 1 100" ]
}

@test "triptych and embeddings are drawn from the weights of trained trials" {
  own_trials
  run "$harness" plot triptych
  [ "$status" -eq 5 ]
  run "$harness" plot embeddings
  [ "$status" -eq 5 ]
  # shellcheck disable=SC2086
  "$harness" run -q "$root/experiments/embeddings.lua" $tiny steps=4 >/dev/null
  run "$harness" plot triptych --case 2
  [ "$status" -eq 0 ]
  [ -s "$output" ]
  [[ "$output" == *-case2.svg ]]
  hash=$(basename "$output" -case2.svg)
  [ "$(wc -l <"results/plots/$hash-case2.tsv")" -eq $((9 * (24 * 24 + 2))) ] # three slices, three columns
  # The phantom's files say how they lie: planes by name, each panel with its sides (RAS: R at the end of the first axis).
  for plane in axial coronal sagittal; do grep -q "set ylabel \"$plane\"" "results/plots/$hash-case2.gp"; done
  [ "$(grep -c "'L' at graph 0.03," "results/plots/$hash-case2.gp")" -eq 6 ]
  [ "$(grep -c "'R' at graph 0.97," "results/plots/$hash-case2.gp")" -eq 6 ]
  "$harness" plot triptych --case 2 -o elsewhere | grep -qx "elsewhere/plots/$hash-case2.svg"
  run "$harness" plot triptych "${hash#triptych-}" --case 3
  [ "$status" -eq 3 ]
  [[ "$output" == *"there are 2 validation cases"* ]]
  "$harness" plot embeddings 2>/dev/null >paths
  [ "$(wc -l <paths)" -eq 2 ]
  while read -r path; do python3 -c 'import sys, xml.dom.minidom as x; x.parse(sys.argv[1])' "$path"; done <paths
  # Class embeddings: the MLP's once and three others for both inputs, 3 or 3 + 1 classes wide; masks: two fixed.
  awk 'BEGIN { RS = "\n\n\n" } { n = split($0, lines, "\n"); print n, split(lines[1], x, "\t") }' \
    results/plots/embeddings-class.tsv >shapes
  printf '%s\n' "3 3" "3 3" "3 3" "3 4" "256 5" "3 3" "3 3" "3 4" "256 5" | diff - shapes
  "$harness" report -q >/dev/null 2>&1
  grep -q "mask embedding per query, two inputs</figcaption>" results/report.html
  # the command that the report names asks for the very same trials
  command=$(grep -o 'run experiments/embeddings.lua [^<]*steps=4[^<]*' results/report.html | head -n 1)
  # shellcheck disable=SC2086
  (cd "$root" && "$harness" $command --dry-run) | grep -q "^0 of 4 trials would run"
  rm -r results/checkpoints
  run "$harness" plot triptych
  [ "$status" -eq 5 ]
  [[ "$output" == *"has its weights"* ]]
}
