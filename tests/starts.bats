#!/usr/bin/env bats
# Networks that start from another trial's (lua/harness/starts.lua): it is trained first, once for all rows, seeds and
# experiments; what is frozen is its; its rows are known by it. Real trainings of a few steps.

load work

setup_file() {
  work_in "$BATS_FILE_TMPDIR"
  mkdir home
  cp -r "$root/lua" "$root/paper" home/
  export HARNESS_HOME="$work/home"
  "$harness" data phantom set --size 16x20x20 --cases 4 --validation 1 --organs 2 >/dev/null
  # What others start from: an encoder and a head of scenes.
  cat >home/lua/harness/models/first.lua <<'END'
return {
  options = { { name = "width", type = "int", default = 4, min = 1, max = 64, doc = "channels" } },
  build = function(m, c)
    local seen = require "harness.parts.channels"(m, m.image, 0, 1)
    local features = m.plain_conv_encoder { seen, name = "encoder", widths = { c.width, 8 }, convs = 1,
      strides = { { 1, 1, 1 }, { 1, 2, 2 } }, kernels = { { 1, 3, 3 }, { 1, 3, 3 } } }
    local logits = m.point_wise_head { features[1], classes = c.classes, name = "scenes_head" }
    if not m.labels then return { map = m.op.softmax { logits } } end
    return { loss = (m.voxel_class_loss { m.labels, logits }) }
  end,
}
END
  cat >home/lua/harness/models/second.lua <<'END'
return {
  options = {
    { name = "width", type = "int", default = 4, min = 1, max = 64, doc = "channels" },
    { name = "pretrain", type = "bool", default = true, doc = "starts from first" },
    { name = "stays", type = "bool", default = true, doc = "the encoder is frozen" },
    { name = "renamed", type = "bool", default = false, doc = "another name for the encoder" },
  },
  starts_from = function(c)
    if not c.pretrain then return nil end
    return { key = "scenes", unused = { "scenes_head.*" }, set = { model = "first", data = "scenes", width = c.width,
      scenes_size = { 2, 20, 20 }, scenes_cases = 3, scenes_validation = 1, patch = { 1, 20, 20 }, batch = 2, steps = 4,
      lr = 0.1, warmup = 0, average = 0.5, collapse_dice = 0, threads = 1 } }
  end,
  build = function(m, c)
    local features = m.plain_conv_encoder { m.image, name = c.renamed and "other" or "encoder", frozen = c.stays, widths = { c.width, 8 },
      convs = 1, strides = { { 1, 1, 1 }, { 1, 2, 2 } }, kernels = { { 1, 3, 3 }, { 1, 3, 3 } } }
    local logits = m.point_wise_head { features[1], classes = c.classes, name = "head" }
    if not m.labels then return { map = m.op.softmax { logits } } end
    return { loss = (m.voxel_class_loss { m.labels, logits }) }
  end,
}
END
  experiment pair '{ key = "frozen", set = {} }, { key = "all", set = { stays = false } }'
  experiment other '{ key = "frozen", set = {} }, { key = "own", set = { pretrain = false } }'
}

experiment() { # NAME ROWS
  cat >"$1.lua" <<END
return { title = "$1", seeds = 2, rows = { $2 }, base = { model = "second", data = "$work/set", steps = 3, patch = { 8, 8, 8 },
  batch = 1, lr = 0.1, warmup = 0, average = 0, collapse_dice = 0 } }
END
}

setup() {
  cd "$work" || return
}

hash_of() { # WHERE
  sql "SELECT hash FROM trials WHERE $1 ORDER BY id LIMIT 1"
}

@test "the trial to start from comes first and once; a dry run shows it, a frozen encoder is its, one that trains begins there" {
  "$harness" run pair.lua --dry-run >dry
  grep -qE "  planned +run +pretraining scenes seed 0$" dry
  grep -q "^1 of 1 trials to start from would run$" dry
  grep -q "^4 of 4 trials would run$" dry
  "$harness" run pair.lua >table 2>said
  grep -q "harness: 1 of 1 trials to start from to run" said
  grep -q "harness: 4 of 4 trials to run" said
  [ "$(sql "SELECT t.dataset FROM attempts a JOIN trials t ON t.id = a.trial_id ORDER BY a.id LIMIT 1")" = scenes ]
  start="$(hash_of "dataset = 'scenes'")"
  [ "$(sql "SELECT DISTINCT config ->> '$.pretrained' FROM trials WHERE dataset <> 'scenes'")" = "$start" ]
  grep -Eq "^\W*Networks start from trial ${start:0:8} \(first on scenes, 4 steps, seed 0\), whose IoU on 1 held-out case is 0\.[0-9]{3}; it trained [0-9]+ s$" table
  "$harness" table pair --json | /usr/bin/python3 -c '
import json, sys
start, = json.load(sys.stdin)["starts"]
assert start["rows"] == 2 and start["cases"] == 1 and 0 <= start["iou"] < 1, start'
  # What it has that the rows do not take is told, but not what its training left there.
  log="results/logs/$(hash_of "dataset <> 'scenes'").log"
  grep -q "weights: not wanted *scenes_head" "$log"
  refute grep -Eq "not wanted .*[.](momentum|unaveraged)$" "$log"
  # Again, and in another experiment: nothing of it runs.
  "$harness" run pair.lua 2>again | cmp - table
  grep -q "harness: 0 of 1 trials to start from to run" again
  "$harness" run other.lua >mixed 2>said
  grep -q "harness: 0 of 1 trials to start from to run" said
  grep -q "harness: 2 of 4 trials to run" said
  grep -q "frozen start from trial ${start:0:8}" mixed
  # What stays is what it was trained to be, its average.
  frozen="$(hash_of "dataset <> 'scenes' AND config ->> '$.stays' AND config ->> '$.pretrain'")"
  head -c 3000 "results/checkpoints/$frozen.safetensors" | refute grep -aq '"encoder[.]'
  grep -aq '"start":"[0-9a-f]*"' "results/checkpoints/$frozen.safetensors"
  moving="$(hash_of "NOT config ->> '$.stays'")"
  "$harness" weights export "$start" start.safetensors --names own
  "$harness" weights export "$frozen" frozen.safetensors --names own
  "$harness" weights export "$moving" moving.safetensors --names own
  /usr/bin/python3 - <<'END'
import json, struct
def tensors(path):
    data = open(path, "rb").read()
    end = 8 + int.from_bytes(data[:8], "little")
    return {n: data[end:][slice(*t["data_offsets"])] for n, t in json.loads(data[8:end]).items() if n.startswith("encoder.")}
def numbers(raw): return struct.unpack(f"{len(raw) // 4}f", raw)
start, frozen, moving = map(tensors, ("start.safetensors", "frozen.safetensors", "moving.safetensors"))
assert len(start) > 6 and frozen == start
weights = [n for n in start if n.endswith("conv0.weight")]
apart = [max(abs(a - b) for a, b in zip(numbers(start[n]), numbers(moving[n]))) for n in weights]
assert all(0 < a < .5 for a in apart), apart # it began there: three steps do not go far
END
}

@test "weights that are gone are trained again, the same; trained otherwise, a trial that was frozen on others is refused" {
  frozen="$(hash_of "dataset <> 'scenes' AND config ->> '$.stays' AND config ->> '$.pretrain'")"
  start="$(hash_of "dataset = 'scenes'")"
  file="results/checkpoints/$start.safetensors"
  cp "$file" kept
  rm "$file"
  mkdir -p images
  cp set/imagesTr/phantom_003_0000.nii.gz images/
  run "$harness" predict "$frozen" images out
  echo "$output"
  [ "$status" -ne 0 ]
  [[ "$output" == *"$start.safetensors: the trial starts from these weights, and they are gone"* ]]
  "$harness" run pair.lua 2>said >/dev/null
  grep -q "harness: 1 of 1 trials to start from to run" said
  grep -q "harness: 0 of 4 trials to run" said
  cmp "$file" kept
  "$harness" predict "$frozen" images out
  # One number of it another: as after a training elsewhere.
  /usr/bin/python3 - "$file" <<'END'
import sys
data = bytearray(open(sys.argv[1], "rb").read())
data[-2] ^= 1
open(sys.argv[1], "wb").write(data)
END
  run "$harness" predict "$frozen" images out --overwrite
  echo "$output"
  [ "$status" -ne 0 ]
  [[ "$output" == *"of trial ${start:0:8}, were trained again since, and are others"* ]]
  mv kept "$file"
}

@test "rows of other widths start from other trials; what is frozen and not there ends the trial and says what" {
  "$harness" run pair.lua width=6 --dry-run | grep -q "^1 of 1 trials to start from would run$"
  "$harness" run pair.lua width=4,6 --dry-run | grep -q "^1 of 2 trials to start from would run$"
  run "$harness" run other.lua renamed=yes seeds=1 -q
  echo "$output"
  [ "$status" -ne 0 ]
  sql "SELECT message FROM attempts WHERE status = 'failed'" >why
  grep -qE "what trial [0-9a-f]{8} has does not fit the model: 8 tensors are missing: other\.stage0\.conv0\.weight, .*; 8 tensors are left over: encoder\.stage0\.conv0\.bias" why
}

@test "a training to start from that collapses keeps its rows from running, with a line that says so" {
  sed 's/collapse_dice = 0,/collapse_dice = 0.99, collapse_at = 0.5,/; s/steps = 4,/steps = 200,/' home/lua/harness/models/second.lua >changed
  cp changed home/lua/harness/models/third.lua
  sed 's/"second"/"third"/' pair.lua >third.lua
  run "$harness" run third.lua
  echo "$output"
  [ "$status" -eq 1 ]
  [[ "$output" == *"which others start from, is collapsed"* ]]
  [[ "$output" == *"trials wait for what they start from"* ]]
  [ "$(sql "SELECT count(*) FROM trials WHERE config ->> '$.model' = 'third'")" -eq 0 ]
}

@test "estimate counts the trial to start from once" {
  "$harness" estimate pair.lua >text
  grep -q "^to start from: scenes " text
  grep -q "all 2 variants with 2 seeds and 1 trial to start from: " text
  "$harness" estimate pair.lua --json | /usr/bin/python3 -c '
import json, sys
estimate = json.load(sys.stdin)
frozen, trained, start = estimate["rows"]
assert start["start"] and start["steps"] == 4 and start["parameters"] > 0, start
assert frozen["trained"] < trained["trained"] == trained["parameters"], estimate["rows"]
assert abs(estimate["hours"] - 2 * (frozen["hours"] + trained["hours"]) - start["hours"]) < 1e-9, estimate'
}
