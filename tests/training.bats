#!/usr/bin/env bats
# Optimisers, schedules and groups of parameters as a user asks for them. What they compute is compared with PyTorch in
# tests/oracle/updates.py.

load work

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
    decay_embeddings=true >same
  cmp plain same
  for other in momentum=.8 schedule=constant warmup=2 lr_min=.01 decay_norms=false "optimizer=adamw lr=.01"; do
    "$harness" run tiny.lua --dry-run $other >other
    ! cmp -s plain other
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
  refused "set lr, too: its default, 0.25, is meant for optimizer=sgd" optimizer=adamw
  refused "expected one of sgd, adamw, found 'adam'" optimizer=adam lr=.01
  refused "expected rising numbers, found 5 after 9" schedule=cosine restarts=9,5
  refused "expected at most 36 numbers, found 40" schedule=cosine steps=50 "restarts=$(seq -s, 1 40)"
  refused "patch=8,8: expected 3 numbers, found 2" patch=8,8
  refused "eps=0: 0 is outside 1e-20 .. 1" optimizer=adamw lr=.01 eps=0
  sed 's/set = {}/set = { optimizer = "adamw", lr = .01, momentum = .9 }/' tiny.lua >wrong.lua
  run "$harness" run wrong.lua --dry-run
  [[ "$output" == *"row 'unet': option momentum is read with optimizer=sgd alone"* ]]
}

@test "a rate that cannot go as is asked is refused before anything trains" {
  refused "row 'unet' has a warm-up of 5 steps where the rate has 4" warmup=5
  refused "a warm-up of 2 steps where the rate has 1" schedule=cosine restarts=3 warmup=2
  refused "restarts at step 4, and its training ends after 4" schedule=cosine restarts=2,4
  refused "has 2 numbers in restart_percent, more than the 1 restarts" schedule=cosine restarts=2 restart_percent=50,20
  refused "lr_min=0.5, which is more than the rate that it begins to fall from, 0.25" lr_min=.5
  refused "lr_min=0.2, which is more than the rate that it begins to fall from, 0.125" schedule=cosine restarts=2 restart_percent=50 \
    lr_min=.2
  "$harness" run tiny.lua --dry-run schedule=cosine restarts=2 warmup=2 restart_percent=50 lr_min=.125
}

@test "axes of one optimiser's options multiply its rows alone" {
  "$harness" run tiny.lua --dry-run lr=.01 momentum=.8,.9 optimizer=sgd,adamw beta2=.99 >rows
  cat rows
  [ "$(grep -c "optimizer=sgd momentum=" rows)" -eq 2 ]
  [ "$(grep -c "optimizer=adamw" rows)" -eq 1 ]
  ! grep -q "adamw momentum" rows
}

@test "estimate counts AdamW's second block of states" {
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
}

saved() {
  ls cut/checkpoints/*.safetensors >/dev/null 2>&1
}

become_run() { # folder, more arguments
  export HARNESS_DB="$work/$1/harness.db"
  exec timeout -k 5 120 "$harness" run tiny.lua steps=1500 save_every=25 optimizer=adamw lr=.01 schedule=cosine restarts=600 \
    restart_percent=50 warmup=20 lr_min=.001 decay_biases=false "${@:2}"
}

@test "AdamW under a cosine, killed in the middle, goes on to the undisturbed weights" {
  (become_run whole) >/dev/null 2>&1
  HARNESS_DB="$work/cut/harness.db"
  for try in 1 2 3; do # on a busy machine it may end before it is killed
    rm -rf cut
    become_run cut >/dev/null 2>&1 &
    local pid=$! left=600
    until saved; do
      ((left-- > 0))
      sleep 0.05
    done
    kill -TERM $pid # timeout passes it on
    wait $pid || true
    [ "$(sql "SELECT status FROM attempts")" = done ] || break
  done
  [ "$(sql "SELECT status FROM attempts")" = interrupted ]
  (become_run cut) >/dev/null 2>&1
  [ "$(sql "SELECT group_concat(status, ' ') FROM (SELECT status FROM attempts ORDER BY id)")" = "interrupted done" ]
  cmp whole/checkpoints/*.safetensors cut/checkpoints/*.safetensors
  grep -aq '[.]exp_avg_sq"' cut/checkpoints/*.safetensors
  [ "$(sql "SELECT max(lr) BETWEEN .0095 AND .01, min(lr) < .0011 FROM curves")" = "1|1" ]
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
