#!/usr/bin/env bats
# The text of the Lua files that a trial's model came from is part of its result: kept with the attempt, compared with
# today's, and no part of the trial's identity. Trials train here for 3 steps.

load cli

setup() {
  work_in "$(mktemp -d)"
  export HARNESS_HOME="$work/home"
  mkdir -p home/results/data
  cp -r "$root/lua" "$root/paper" "$root/experiments" home/
  cp -r "$root/tests/fixtures/stored-073ebeb/organs" organs
  cat >two.lua <<'END'
return {
  title = "Two heads", seeds = 1,
  base = { data = "organs", plan = "none", patch = { 16, 16, 16 }, widths = { 4, 8 }, strides = { { 1, 1, 1 }, { 2, 2, 2 } },
    kernels = { { 3, 3, 3 }, { 3, 3, 3 } }, bridge = "none", steps = 3, threads = 1 },
  rows = {
    { key = "plain", set = { head = "point_wise" } },
    { key = "other", set = { model = "maskformer", match = "per_stage", queries = 1, decoder_layers = 1, hidden = 12, heads = 2 } },
  },
}
END
}

heads=lua/harness/models/maskmed.lua

in_model() { # SED EXPRESSION
  sed -i "$1" "$HARNESS_HOME/$heads"
}

@test "a model's file changed by a comment leaves its trials whole, by a number marks them, retry stale repeats them" {
  "$harness" run two.lua 2>err >out
  refute grep -q "another text" out err
  [ "$(sql 'SELECT count(*) FROM attempts')" -eq 2 ]
  in_model '1i -- A comment [[ of its own,\n--[==[ and a long one ]==]'
  in_model 's/^\( *\)if decoupled then/\1\n\1if    decoupled then/'
  "$harness" run two.lua -n >cells
  refute grep "another text" cells
  grep -q "0 of 2 trials would run" cells
  in_model 's/(c.queries \* c.classes) ^ -0.5/(c.queries * c.classes) ^ -0.25/'
  "$harness" run two.lua -n >cells
  cat cells
  grep -q "done         skip     plain seed 0  (by another text of $heads)$" cells
  grep -q "done         skip     other seed 0$" cells
  grep -q "^1 of these trials ran with another text of their model's Lua files; --retry stale repeats them" cells
  grep -q "0 of 2 trials would run" cells
  "$harness" run two.lua 2>err >out
  grep -q "harness: 1 of these trials ran with another text" err
  [ "$(sql 'SELECT count(*) FROM attempts')" -eq 2 ]
  "$harness" run two.lua -n --retry stale | grep -q "1 of 2 trials would run"
  "$harness" run two.lua --retry stale 2>err >out
  grep -q "1 of 2 trials to run" err
  refute grep -q "another text" out err
  [ "$(sql 'SELECT count(*) FROM trials')" -eq 2 ]
  [ "$(sql 'SELECT count(*) FROM attempts')" -eq 3 ]
}

@test "the table says which rows ran with another text, and when texts are mixed; runs show and diff name the files" {
  "$harness" run -q two.lua seeds=1 >/dev/null
  "$harness" table two >out
  refute grep -E "another text|mixed|not stored" out
  in_model 's/ \^ -0.5/ ^ -0.25/'
  "$harness" run two.lua seeds=2 >out 2>err
  grep -q "^  mixed: these trials' models were made of different texts of $heads$" out
  grep -q "^  plain: 1 of 2 trials ran with another text of their model's Lua files than today's" out
  refute grep "^  other: " out
  "$harness" table two --json | /usr/bin/python3 -c '
import json, sys
rows = json.load(sys.stdin)["rows"]
assert [(r["other_text"], r["unknown_text"]) for r in rows] == [(1, 0), (0, 0)], rows'
  local old new
  old="$(sql "SELECT substr(hash, 1, 8) FROM trials WHERE config ->> '$.head' = 'point_wise' AND seed = 0")"
  new="$(sql "SELECT substr(hash, 1, 8) FROM trials WHERE config ->> '$.head' = 'point_wise' AND seed = 1")"
  "$harness" runs show "$old" >out
  grep -q "Lua files .*lua/harness/parts/encoder.lua: the same text as today's" <(tr -s '\n ' ' ' <out)
  grep -q "$heads: another text than today's" out
  "$harness" runs show "$new" | grep -q "$heads: the same text as today's"
  "$harness" runs show "$new" --json | /usr/bin/python3 -c '
import json, sys
files = {f["file"]: f for f in json.load(sys.stdin)["trial"]["files"]}
assert files[sys.argv[1]]["text"] == open(sys.argv[2]).read()' "$heads" "home/$heads"
  "$harness" runs diff "$old" "$new" | grep -A9 '^Lua files' >out
  grep -q "  $heads .*text .*-> .*text " out
  [ "$(wc -l <out)" -eq 2 ]
  "$harness" predict "$old" organs/imagesTr/phantom_000_0000.nii.gz predicted 2>err
  grep -q "the Lua text of its model has changed since it was trained" err
  "$harness" predict "$new" organs/imagesTr/phantom_001_0000.nii.gz predicted 2>err
  refute grep "has changed" err
  rm "home/$heads" # a text that is gone is another
  "$harness" table two | grep -q "^  plain: 2 of 2 trials ran with another text"
}

@test "texts are stored once for all attempts, of models that are only planned too" {
  "$harness" run -q two.lua seeds=2 >/dev/null
  [ "$(sql 'SELECT count(*) FROM attempt_files')" -gt "$(sql 'SELECT count(*) FROM texts')" ]
  [ "$(sql "SELECT count(DISTINCT text_hash) FROM v_code WHERE file = '$heads'")" -eq 1 ]
  cat >cost.lua <<'END'
return { title = "Cost", kind = "plan", base = { model = "bridge", patch = { 16, 16, 16 }, threads = 1 },
  rows = { { key = "deformable", set = { bridge = "deformable" } } } }
END
  "$harness" run -q cost.lua >/dev/null
  [ "$(sql "SELECT count(DISTINCT attempt_id) FROM v_code WHERE file = 'lua/harness/models/bridge.lua'")" -gt 0 ]
}

@test "a stopped trial goes on with the same text, and begins anew with another; both are said" {
  local long="steps=1000000 save_every=1000000 collapse_dice=0 --retry timeout"
  sed -i '/key = "other"/d' two.lua
  # shellcheck disable=SC2086
  "$harness" run -q two.lua $long --timeout 1.5 >/dev/null 2>&1 || true
  in_model '1i -- a comment changes nothing'
  # shellcheck disable=SC2086
  "$harness" run two.lua $long --timeout 1.5 >/dev/null 2>err || true
  refute grep "begins anew" err
  in_model 's/ \^ -0.5/ ^ -0.25/'
  # shellcheck disable=SC2086
  "$harness" run two.lua $long --timeout 1.5 >/dev/null 2>err || true
  grep -q "plain seed 0 begins anew: the text of its model has changed since its checkpoint was written" err
  [ "$(sql 'SELECT first_step > 0 FROM attempts' | tr '\n' ' ')" = "0 1 0 " ]
}

@test "a model of one's own, outside the tree, is kept and compared like those of the house, also from another folder" {
  mkdir -p mine
  cat >mine/small.lua <<'END'
local width = require "width" -- caf\xe9
return function(m, c)
  local features = m.plain_conv_encoder { m.image, widths = { width, 8 }, strides = { { 1, 1, 1 }, { 2, 2, 2 } },
    kernels = { { 3, 3, 3 }, { 3, 3, 3 } }, name = "encoder" }
  local map = m.point_wise_head { features[1], classes = c.classes, name = "head" }
  local loss = m.labels and m.voxel_class_loss { m.labels, { map } }
  return loss and { loss = loss } or { map = m.op.softmax { map } }
end
END
  sed -i 's/\\xe9/'$'\xe9''/' mine/small.lua
  echo 'return 4' >mine/width.lua
  cat >mine/own.lua <<'END'
return {
  title = "My own", seeds = 1,
  base = { data = "organs", plan = "none", patch = { 16, 16, 16 }, steps = 3, threads = 1, model = "small.lua" },
  rows = { { key = "own", set = {} } },
}
END
  "$harness" run mine/own.lua >out 2>err || { cat err results/logs/*; false; }
  [ "$(sql 'SELECT file FROM v_code' | tr '\n' ' ')" = "small.lua width.lua " ]
  mv mine yours
  "$harness" run yours/own.lua -n >cells
  grep -q "0 of 1 trials would run" cells
  refute grep "another text" cells
  local predict=("$harness" predict "$(sql 'SELECT hash FROM trials')" organs/imagesTr/phantom_000_0000.nii.gz predicted)
  run "${predict[@]}"
  [[ "$output" == *"mine/small.lua: cannot be read"*"where the model has moved, "* ]]
  "$harness" run yours/own.lua -q
  "${predict[@]}"
  echo 'return 5 -- wider' >yours/width.lua
  "$harness" run yours/own.lua -n | grep -q "own seed 0  (by another text of width.lua)$"
}
