#!/usr/bin/env bats
# Rows that differ in options of evaluation alone share one training: one trial trains, the others score its weights. The
# trainings are of a few steps of a net of 4799 parameters.

load cli

setup() {
  work_in "$(mktemp -d)"
  cp -r "$root/tests/fixtures/stored-073ebeb/organs" organs
  experiment_of plain mirrored denser >three.lua
}

experiment_of() { # KEY ...
  local key
  cat <<'END'
return {
  title = "Ways of scoring", seeds = 1,
  base = { data = "organs", plan = "none", patch = { 8, 8, 8 }, widths = { 4, 8 }, strides = { { 1, 1, 1 }, { 2, 2, 2 } },
    kernels = { { 3, 3, 3 }, { 3, 3, 3 } }, bridge = "none", head = "point_wise", steps = 20, threads = 1, augment = "nnunet",
    collapse_dice = 0 },
  rows = {
END
  for key in "$@"; do
    case "$key" in
      plain) echo '{ key = "plain", set = {} },' ;;
      mirrored) echo '{ key = "mirrored", set = { mirror_tta = true } },' ;;
      denser) echo '{ key = "denser", set = { window_step = 0.25 } },' ;;
      largest) echo '{ key = "largest", set = { largest_component = "each" } },' ;;
      logits) echo '{ key = "logits", set = { merge = "logits" } },' ;;
    esac
  done
  echo '} }'
}

trainings() { # attempts that trained to their end, and those that scored
  sql "SELECT sum(weights_of IS NULL), sum(weights_of IS NOT NULL) FROM attempts WHERE status = 'done'"
}

figure() { # KEY [DATABASE]
  HARNESS_DB="${2:-$HARNESS_DB}" sql "SELECT s.value FROM v_score s JOIN cells c ON c.trial_id = s.trial_id
    JOIN rows r ON r.id = c.row_id WHERE s.metric = 'dice' AND r.key = '$1'"
}

@test "a name that is evaluation's in one model and training's in another is refused: their trials would share weights" {
  for model in a b; do
    echo "return { options = { { name = 'k', type = 'int', default = 1, doc = 'k'$([ $model = a ] && echo ', evaluation = true') } },
      build = function() end }" >$model.lua
  done
  echo 'return { title = "two", seeds = 1, rows = { { key = "a", set = { model = "a.lua" } },
    { key = "b1", set = { model = "b.lua", k = 1 } }, { key = "b2", set = { model = "b.lua", k = 2 } } } }' >two.lua
  run "$harness" run two.lua -n
  [ "$status" -eq 2 ]
  [[ "$output" == *"option k belongs to evaluation in a.lua, and to the training in b.lua"* ]]
}

@test "three ways of scoring train once a seed, and give what each would alone" {
  "$harness" run three.lua seeds=2 -n >cells
  [ "$(grep -c ' run  ' cells)" -eq 2 ]
  [ "$(grep -c ' score  ' cells)" -eq 4 ]
  grep -q "^6 of 6 trials would run: 2 trainings, 4 scores of kept weights$" cells
  "$harness" run three.lua seeds=2 --jobs 4 >out 2>err
  grep -q "6 of 6 trials to run: 2 trainings, 4 scores of kept weights" err
  grep -q "cpu, 2 seeds, 6 scores of 2 trainings$" out
  [ "$(trainings)" = "2|4" ]
  [ "$(sql 'SELECT count(DISTINCT attempt_id) FROM curves')" -eq 2 ]
  "$harness" run three.lua seeds=2 -n | grep -q "0 of 6 trials would run$"
  "$harness" table three --json | /usr/bin/python3 -c '
import json, sys
table = json.load(sys.stdin)
assert (table["scores"], table["trainings"]) == (6, 2)
means = [row["mean"] for row in table["rows"]]
assert len(set(means)) == 3 and all(row["n"] == 2 for row in table["rows"]), means'
  experiment_of mirrored >alone.lua
  "$harness" run -q alone.lua seeds=2 --db alone/h.db >/dev/null
  [ "$(figure mirrored)" = "$(figure mirrored alone/h.db)" ]
  "$harness" plot curves three >/dev/null
  [ "$(cut -f1 results/plots/*curves*.tsv | grep -c .)" -gt 3 ]
}

@test "a score that is added later trains nothing; it predicts like any trial" {
  experiment_of plain >one.lua
  "$harness" run -q one.lua >/dev/null
  experiment_of plain mirrored logits >more.lua
  "$harness" run more.lua -n | grep -q "2 of 3 trials would run: 0 trainings, 2 scores of kept weights"
  "$harness" run more.lua >/dev/null 2>err
  [ "$(trainings)" = "1|2" ]
  grep -q "done ./2 logits seed 0" err
  local trial
  trial="$(sql "SELECT substr(hash, 1, 8) FROM trials WHERE config ->> '$.mirror_tta' = 1")"
  "$harness" runs show "$trial" | grep -Eq 'weights_of +[0-9a-f]{8}, attempt 1$'
  "$harness" predict "$trial" organs/imagesTr/phantom_000_0000.nii.gz predicted 2>/dev/null
  [ -s predicted/phantom_000.nii.gz ]
}

@test "the largest component of each structure is what scipy finds in the same prediction" {
  experiment_of plain largest >two.lua
  "$harness" run -q two.lua >/dev/null
  [ "$(trainings)" = "1|1" ]
  local plain largest case
  plain="$(sql "SELECT hash FROM trials WHERE config ->> '$.largest_component' IS NULL")"
  largest="$(sql "SELECT hash FROM trials WHERE config ->> '$.largest_component' = 'each'")"
  for case in plain largest; do
    "$harness" predict -q "${!case}" organs/imagesTr "$case" --no-postprocess 2>/dev/null
  done
  /usr/bin/python3 - <<'END'
import glob, nibabel, numpy, scipy.ndimage
changed = 0
for path in sorted(glob.glob("plain/*.nii.gz")):
    map = numpy.asarray(nibabel.load(path).dataobj)
    kept = numpy.zeros_like(map)
    for label in numpy.unique(map[map > 0]):
        parts, count = scipy.ndimage.label(map == label, numpy.ones((3, 3, 3)))
        sizes = numpy.bincount(parts.ravel())[1:]
        kept[parts == 1 + sizes.argmax()] = label
    assert (kept == numpy.asarray(nibabel.load(path.replace("plain", "largest")).dataobj)).all(), path
    changed += (kept != map).sum()
assert changed > 0
END
}

@test "where the weights are gone, or of another text, it trains and says why" {
  experiment_of plain >one.lua
  experiment_of mirrored >other.lua
  "$harness" run -q one.lua >/dev/null
  mv results/checkpoints kept
  "$harness" run other.lua -n | grep -q "planned      run      mirrored seed 0  (trains: the weights of trial .* are not there)"
  mv kept results/checkpoints
  export HARNESS_HOME="$work/home"
  mkdir home
  cp -r "$root/lua" "$root/paper" home/
  "$harness" run other.lua -n | grep -q "planned      score    mirrored seed 0$"
  sed -i 's/ \^ -0.5/ ^ -0.25/' home/lua/harness/models/maskmed.lua
  "$harness" run other.lua >/dev/null 2>err
  grep -q "mirrored seed 0 trains: trial .* was trained with another text of lua/harness/models/maskmed.lua" err
  [ "$(trainings)" = "2|0" ]
}

@test "what is repeated trains once again; scores of weights that were taken back are marked and scored again" {
  "$harness" run -q three.lua >/dev/null
  "$harness" run -q three.lua --retry done >/dev/null
  [ "$(trainings)" = "2|4" ]
  "$harness" runs rm "$(sql "SELECT hash FROM trials WHERE id = 1")" 2>/dev/null
  "$harness" run three.lua -n >cells
  grep -q "planned      run      plain seed 0" cells
  [ "$(grep -c 'done         skip .*(of weights that were replaced)' cells)" -eq 2 ]
  "$harness" run three.lua >/dev/null 2>err
  grep -q "2 of these trials scored weights whose training was repeated or taken back since; --retry stale" err
  "$harness" run three.lua --retry stale >/dev/null 2>err
  refute grep -q "scored weights whose training" err
  [ "$(trainings)" = "3|6" ]
}

@test "a number changed in the model's file trains once again, too" {
  export HARNESS_HOME="$work/home"
  mkdir home
  cp -r "$root/lua" "$root/paper" home/
  "$harness" run -q three.lua >/dev/null
  sed -i 's/ \^ -0.5/ ^ -0.25/' home/lua/harness/models/maskmed.lua
  "$harness" run three.lua -n --retry stale >cells
  [ "$(grep -c 'by another text' cells)" -eq 3 ]
  grep -q "3 of 3 trials would run: 1 training, 2 scores of kept weights" cells
  "$harness" run -q three.lua --retry stale >/dev/null
  [ "$(trainings)" = "2|4" ]
  "$harness" run three.lua -n | refute grep "another text"
}

@test "a training that is stopped for its time is stopped for its scores; repeated it goes on" {
  sed -i 's/steps = 20/steps = 100000/; /key = "plain"/d' three.lua
  "$harness" run three.lua --timeout 1.5 >out 2>err || true
  [ "$(sql "SELECT count(*) FROM trials WHERE status = 'timeout'")" -eq 2 ]
  [ "$(sql 'SELECT count(DISTINCT attempt_id) FROM curves')" -eq 1 ]
  "$harness" run three.lua -n --retry timeout | grep -q "2 of 2 trials would run: 1 training, 1 score of kept weights"
  "$harness" run three.lua --retry timeout --timeout 1.5 >out 2>err || true
  [ "$(sql 'SELECT count(DISTINCT trial_id) FROM attempts WHERE weights_of IS NULL')" -eq 1 ]
  [ "$(sql 'SELECT max(first_step) > 0 FROM attempts')" -eq 1 ]
}

@test "a training that is interrupted goes on, and is scored then" {
  sed -i 's/steps = 20/steps = 3000/' three.lua
  "$harness" run three.lua >out 2>err 3>&- &
  local pid=$! code=0
  wait_for is_running
  sleep 0.5
  kill -INT $pid
  wait $pid || code=$?
  [ "$code" -eq 75 ]
  "$harness" run three.lua -n >cells
  cat cells
  grep -q "3 of 3 trials would run: 1 training, 2 scores of kept weights" cells
  "$harness" run -q three.lua >/dev/null
  [ "$(trainings)" = "1|2" ]
}

@test "a training that collapses is not tried again for each score" {
  sed -i 's/collapse_dice = 0/lr = 100, clip = 0/; s/steps = 20/steps = 200/' three.lua
  "$harness" run three.lua >out 2>err || true
  cat err
  [ "$(sql "SELECT count(*) FROM attempts WHERE status = 'collapsed'")" -eq 3 ]
  [ "$(sql 'SELECT count(DISTINCT attempt_id) FROM curves')" -eq 1 ]
  [ "$(sql "SELECT count(*) FROM attempts WHERE message LIKE 'as trial %, whose training it shares: %'")" -eq 2 ]
  experiment_of plain logits >more.lua
  sed -i 's/collapse_dice = 0/lr = 100, clip = 0/; s/steps = 20/steps = 200/' more.lua
  "$harness" run more.lua >out 2>err || true
  [ "$(sql 'SELECT count(DISTINCT attempt_id) FROM curves')" -eq 1 ]
}
