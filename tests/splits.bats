#!/usr/bin/env bats
# Folds: nnU-Net's for new trials, and a stored trial keeps its own.

load work

setup_file() {
  work_in "$BATS_FILE_TMPDIR"
  "$harness" data phantom data --size 16 --cases 7 --validation 2 --organs 2 2>/dev/null
  sed -i '/harness_validation/d' data/dataset.json
  cat >tiny.lua <<END
return { title = "tiny", rows = { { key = "a", label = "a", set = {} } }, seeds = 1, base = {
  data = "$work/data", plan = "none", steps = 1, batch = 1, head = "point_wise", bridge = "none", augment = "none",
  patch = { 16, 16, 16 } } }
END
}

setup() {
  cd "$work" || return
}

# The validation cases of a database.
validated() {
  python3 -c "
import sqlite3, sys
print(*[n for n, in sqlite3.connect(sys.argv[1]).execute('SELECT DISTINCT case_name FROM metrics ORDER BY 1')])" "$1"
}

@test "new trials validate on nnU-Net's folds, and say so" {
  "$harness" run tiny.lua fold=1 --db new/h.db >table
  grep -q "nnU-Net's folds" table
  # KFold(5, shuffle=True, random_state=12345) of 7: [3 6], [0 4], [1], [5], [2]
  [ "$(validated new/h.db)" = "phantom_000 phantom_004" ]
  trial=$("$harness" runs list --db new/h.db --json | python3 -c "import json, sys; print(json.load(sys.stdin)['trials'][0]['hash'])")
  "$harness" runs show "$trial" --db new/h.db >shown
  grep -q "split  *kfold" shown
  grep -q "folds  *nnU-Net's" shown
}

@test "a plan stored before keeps its folds, beside the new ones" {
  "$harness" run tiny.lua fold=1 -n --json --db old/h.db >plan.json
  python3 - <<'END'
import json
plan = json.load(open("plan.json"))
assert plan["cells"][0]["config"].pop("split") == "kfold", plan
json.dump(plan, open("plan.json", "w"))
END
  "$harness" run plan.json --db old/h.db >table
  [ "$(grep -c "nnU-Net's folds" table)" -eq 0 ]
  [ "$(validated old/h.db)" != "phantom_000 phantom_004" ]
  trial=$("$harness" runs list --db old/h.db --json | python3 -c "import json, sys; print(json.load(sys.stdin)['trials'][0]['hash'])")
  "$harness" runs show "$trial" --db old/h.db | grep -q "folds  *the data set's own, or where it has none this program's earlier ones"
  "$harness" run tiny.lua fold=1 -n --db old/h.db | grep -q "1 of 1 trials would run"
  "$harness" run tiny.lua fold=1 --db old/h.db | grep -q "1 seed, nnU-Net's folds"
}

@test "a data set that says how it is split has no rule" {
  cp -r data said
  echo '[{"train": ["phantom_000"], "val": ["phantom_001"]}]' >said/splits_final.json
  "$harness" run tiny.lua data=said -n --json | python3 -c "
import json, sys
assert 'split' not in json.load(sys.stdin)['cells'][0]['config']"
}

@test "channels that are not scaled as before make another trial" {
  cp -r data left
  sed -i 's/"CT"/"noNorm"/' left/dataset.json
  "$harness" run tiny.lua data=left -n --json | python3 -c "
import json, sys
assert json.load(sys.stdin)['cells'][0]['config']['schemes'] == ['none']"
  "$harness" run tiny.lua -n --json | python3 -c "
import json, sys
assert 'schemes' not in json.load(sys.stdin)['cells'][0]['config']"
}

@test "a fold that is not there is an error before any trial starts" {
  run "$harness" run tiny.lua fold=5 -n
  [ "$status" -eq 3 ]
  [[ "$output" == *"fold 5: expected 0..4"* ]]
  echo '[{"train": ["phantom_000"], "val": ["phantom_001"]}]' >data/splits_final.json
  run "$harness" run tiny.lua folds=2
  rm data/splits_final.json
  [ "$status" -eq 3 ]
  [[ "$output" == *"fold 1 asked for, but it lists 1 fold(s)"* ]]
  [[ "$output" != *"start "* ]]
}
