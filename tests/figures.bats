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
  [[ "$output" == *"planned MiB"* ]]
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
  [[ "$output" == *"did you mean 'bridge'"* ]]
}
