#!/usr/bin/env bats
# Optimisers, schedules and groups of parameters as a user asks for them. What they compute is compared with PyTorch in
# tests/oracle/updates.py.

load work
load fault

setup_file() {
  work_in "$BATS_FILE_TMPDIR"
  "$harness" data phantom set --size 16 --cases 4 --validation 1 --organs 2 -q
  tiny_unet 4 >tiny.lua
  encoder_and_head 'group = "still"' 'm.group { name = "still", rate = 0 }' >own.lua
  cat >two.lua <<END
return { title = "two", seeds = 1, rows = { { key = "own", label = "own", set = {} } },
  base = { model = "own.lua", data = "$work/set", steps = 3, patch = { 8, 8, 8 }, batch = 1, collapse_dice = 0 } }
END
}

setup() {
  cd "$work" || return
}

refused() { # what it says, more arguments
  run "$harness" run tiny.lua --dry-run "${@:2}"
  echo "$output"
  [ "$status" -eq 2 ]
  [[ "$output" == *"$1"* ]]
}

@test "what is as before is no part of a trial, what nobody reads is refused" {
  "$harness" run tiny.lua --dry-run >plain
  "$harness" run tiny.lua --dry-run optimizer=sgd schedule=poly warmup=0 lr_min=0 decay_norms=true decay_biases=true \
    decay_embeddings=true average=0 >same
  cmp plain same
  for other in momentum=.8 average=.9 schedule=constant warmup=2 lr_min=.01 decay_norms=false "optimizer=adamw lr=.01"; do
    "$harness" run tiny.lua --dry-run $other >other
    refute cmp -s plain other
  done
  # at its own options' defaults: the same trial, whatever SGD's is
  "$harness" run tiny.lua --dry-run optimizer=adamw lr=.01 >plain
  "$harness" run tiny.lua --dry-run optimizer=adamw lr=.01 beta1=.9 eps=1e-8 >same
  cmp plain same
  "$harness" help adamw | grep -q "as optimizer=adamw"
  "$harness" help beta1 | grep -q "read with optimizer=adamw alone"
  refused "momentum: it is read with optimizer=sgd alone, which no row has" optimizer=adamw lr=.01 momentum=.9
  refused "beta1: it is read with optimizer=adamw alone" beta1=.8
  refused "step_every: it is read with schedule=step alone" schedule=cosine step_every=5
  refused ", is meant for optimizer=sgd" optimizer=adamw
  refused "expected one of sgd, adamw, found 'adam'" optimizer=adam lr=.01
  refused "expected rising numbers, found 5 after 9" schedule=cosine restarts=9,5
  refused "expected at most 36 numbers, found 40" schedule=cosine steps=50 "restarts=$(seq -s, 1 40)"
  refused "patch=8,8: expected 3 numbers, found 2" patch=8,8
  refused "average=1: 1 is outside 0 .. 0.999999" average=1
  refused "eps=0: 0 is outside 1e-20 .. 1" optimizer=adamw lr=.01 eps=0
  sed 's/set = {}/set = { optimizer = "adamw", lr = .01, momentum = .9 }/' tiny.lua >wrong.lua
  run "$harness" run wrong.lua --dry-run
  [[ "$output" == *"row 'unet': option momentum is read with optimizer=sgd alone"* ]]
}

@test "a rate that cannot go as is asked is refused before anything trains" {
  refused "row 'unet' has a warm-up of 5 steps where the rate has 4" warmup=5
  refused "a warm-up of 2 steps where the rate has 1" schedule=cosine restarts=3 warmup=2
  refused "row 'unet' has a warm-up of 2.5 steps, expected a whole number of them, or a share below 1" warmup=2.5
  refused "restarts at step 4, and its training ends after 4" schedule=cosine restarts=2,4
  refused "has 2 numbers in restart_percent, more than the 1 restarts" schedule=cosine restarts=2 restart_percent=50,20
  refused "lr_min=0.5, which is more than the rate that it begins to fall from, 0.3" lr_min=.5 lr=.3
  refused "lr_min=0.2, which is more than the rate that it begins to fall from, 0.15" schedule=cosine restarts=2 restart_percent=50 \
    lr_min=.2 lr=.3
  "$harness" run tiny.lua --dry-run schedule=cosine restarts=2 warmup=2 restart_percent=50 lr_min=.125 lr=.3
}

@test "a warm-up below 1 is a share of the steps: the same trial as so many" {
  id() { "$harness" run tiny.lua --dry-run steps=40 "$@" | grep -o '^[0-9a-f]\{8\} '; }
  [ "$(id warmup=.1)" = "$(id warmup=4)" ]
  [ "$(id warmup=.01)" = "$(id warmup=0)" ]
  [ "$(id warmup=.1)" != "$(id warmup=5)" ]
}

@test "axes of one optimiser's options multiply its rows alone" {
  "$harness" run tiny.lua --dry-run lr=.01 momentum=.8,.9 optimizer=sgd,adamw beta2=.99 >rows
  cat rows
  [ "$(grep -c "optimizer=sgd momentum=" rows)" -eq 2 ]
  [ "$(grep -c "optimizer=adamw" rows)" -eq 1 ]
  refute grep -q "adamw momentum" rows
}

@test "estimate counts AdamW's second block of states, and the average of the weights" {
  bytes() {
    "$harness" estimate tiny.lua --json "$@" | /usr/bin/python3 -c '
import json, sys
row = json.load(sys.stdin)["rows"][0]
print(int(row["train_bytes"]), int(row["weight_bytes"]))'
  }
  read -r sgd weights <<<"$(bytes)"
  read -r adamw same <<<"$(bytes optimizer=adamw lr=.01)"
  [ "$same" -eq "$weights" ]
  [ $((adamw - sgd)) -ge "$weights" ] # and padding
  [ $((adamw - sgd)) -le $((2 * weights)) ]
  read -r average same <<<"$(bytes average=.9)"
  [ "$average $same" = "$adamw $weights" ]
}

become_run() { # folder, more arguments
  export HARNESS_DB="$work/$1/harness.db"
  exec timeout -k 5 120 "$harness" run tiny.lua steps=1500 save_every=25 optimizer=adamw lr=.01 schedule=cosine restarts=600 \
    restart_percent=50 warmup=20 lr_min=.001 decay_biases=false average=.99 "${@:2}"
}

@test "AdamW under a cosine, killed in the middle, goes on to the undisturbed weights, their average and its scores" {
  local scores="SELECT case_name, label, metric, value FROM metrics ORDER BY 1, 2, 3"
  (become_run whole) >/dev/null 2>&1
  HARNESS_DB="$work/whole/harness.db"
  sql "$scores" >scores
  HARNESS_DB="$work/cut/harness.db"
  export FAULT_IN=trial FAULT_FILES=/checkpoints FAULT_CALLS=rename
  with_fault 1 stop become_run cut >/dev/null 2>&1 &
  wait_for stands_still
  kill -TERM $! # timeout passes it on
  goes_on
  wait $! || true
  [ "$(sql "SELECT status FROM attempts")" = interrupted ]
  (become_run cut) >/dev/null 2>&1
  [ "$(sql "SELECT group_concat(status, ' ') FROM (SELECT status FROM attempts ORDER BY id)")" = "interrupted done" ]
  cmp whole/checkpoints/*.safetensors cut/checkpoints/*.safetensors
  for kept in exp_avg_sq unaveraged; do grep -aq "[.]$kept\"" cut/checkpoints/*.safetensors; done
  grep -q dice scores
  sql "$scores" | cmp - scores
  [ "$(sql "SELECT max(lr) BETWEEN .0095 AND .01, min(lr) < .0011 FROM curves")" = "1|1" ]
}

newest() { # WHAT FROM TABLE WHERE ...: of the last attempt
  sql "SELECT $1 AND attempt_id = (SELECT max(id) FROM attempts)"
}

@test "the average of the weights is what is validated, scored, predicted with and kept, and it changes no step" {
  local dice="label, value FROM metrics WHERE metric = 'dice'" looks="val_dice FROM curves WHERE val_dice IS NOT NULL"
  HARNESS_DB="$work/average/harness.db"
  "$harness" run tiny.lua -q steps=120 >/dev/null
  newest "$dice" >plain
  newest "$looks" >plain.looks
  newest "step, loss FROM curves WHERE true" >plain.steps
  "$harness" run tiny.lua -q steps=120 average=.9 >/dev/null
  newest "$dice" >averaged
  newest "$looks" >averaged.looks
  newest "step, loss FROM curves WHERE true" | cmp - plain.steps
  [ -s plain.steps ] && [ "$(wc -l <averaged)" -eq 2 ]
  refute cmp -s plain averaged
  refute cmp -s plain.looks averaged.looks

  trial="$(sql "SELECT hash FROM trials ORDER BY id DESC LIMIT 1")"
  mkdir images
  cp set/imagesTr/phantom_003_0000.nii.gz images/
  "$harness" predict "$trial" images predicted --no-postprocess
  "$harness" evaluate set predicted --partial --json | /usr/bin/python3 -c '
import json, sys
for row in json.load(sys.stdin)["labels"]: print(row["label"], row["dice"]["mean"], sep="|")' >predicted.dice
  paste -d "|" averaged predicted.dice
  paste -d "|" averaged predicted.dice | awk -F "|" '$1 != $3 || ($2 - $4) ^ 2 > 1e-18 { exit 1 }'

  # Both networks of its checkpoint, each scored by a training that changes nothing.
  cp "average/checkpoints/$trial.safetensors" kept.safetensors
  /usr/bin/python3 - <<'END'
import json
with open("kept.safetensors", "rb") as file:
    header, data = json.loads(file.read(int.from_bytes(file.read(8), "little"))), file.read()
names = [name for name in header if name + ".unaveraged" in header]
blocks = [data[slice(*header[name + ".unaveraged"]["data_offsets"])] for name in names]
out, at = {}, 0
for name, block in zip(names, blocks):
    out[name] = {**header[name], "data_offsets": [at, at + len(block)]}
    at += len(block)
text = json.dumps(out).encode()
with open("last.safetensors", "wb") as file:
    file.write(len(text).to_bytes(8, "little") + text + b"".join(blocks))
END
  "$harness" run tiny.lua -q steps=1 lr=0 weights=kept.safetensors >/dev/null
  newest "$dice" | cmp - averaged
  "$harness" run tiny.lua -q steps=1 lr=0 weights=last.safetensors >/dev/null
  newest "$dice" | cmp - plain
}

@test "a model's group of parameters has its rate; one that is not there is refused with those that are" {
  "$harness" run two.lua -q steps=1 >/dev/null
  "$harness" run two.lua -q steps=3 >/dev/null
  /usr/bin/python3 - <<'END'
import glob, json
weights = []
for path in glob.glob("results/checkpoints/*.safetensors"):
    with open(path, "rb") as file:
        header, data = json.loads(file.read(int.from_bytes(file.read(8), "little"))), file.read()
    weights.append({k: data[slice(*v["data_offsets"])] for k, v in header.items() if k != "__metadata__" and "momentum" not in k})
first, last = weights
moved = {name for name in first if first[name] != last[name]}
assert moved and all(name.startswith("head.") for name in moved), moved
assert any(name.startswith("encoder.") for name in first)
END
  refused_model() { # sed's command, what it says
    sed "$1" own.lua >own.new && mv own.lua own.kept && mv own.new own.lua
    run "$harness" estimate two.lua
    mv own.kept own.lua
    echo "$output"
    [ "$status" -ne 0 ]
    [[ "$output" == *"$2"* ]]
  }
  refused_model 's/group = "still"/group = "stil"/' \
    "own.lua:3: there is no group 'stil'; did you mean \"still\"?: this model has cnn, transformer, still"
  refused_model 's/rate = 0/rates = 0/' "m.group takes name, rate and decay, found 'rates'"
  refused_model 's/name = "still"/name = "cnn"/' "group cnn: it is always there, and its rate is option lr_cnn"
  refused_model 's/rate = 0/rate = -1/' "group still: rate: expected a number from 0 to 1e6"
  refused_model 's/m.group { name = "still", rate = 0 }/& m.group { name = "still" }/' \
    "own.lua:2: group still: is there already with another rate or decay"
}
