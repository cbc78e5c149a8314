#!/usr/bin/env bats
# What is frozen, as a user asks for it: freeze=NAMES, and a block that a model freezes itself; and recompute=yes.

load work

setup_file() {
  work_in "$BATS_FILE_TMPDIR"
  "$harness" data phantom set --size 16x20x20 --cases 4 --validation 1 --organs 2 >/dev/null
  tiny_unet 3 >tiny.lua
  encoder_and_head 'frozen = true' >own.lua
  cat >two.lua <<END
return { title = "two", seeds = 1, rows = { { key = "own", label = "own", set = {} } },
  base = { model = "own.lua", data = "$work/set", steps = 3, patch = { 8, 8, 8 }, batch = 1 } }
END
}

three() { # a projection that is drawn and stays
  cat >drawn.lua <<'END'
return function(m, c)
  local features = m.plain_conv_encoder { m.image, name = "encoder", widths = { 4, 8 }, convs = 1,
    strides = { { 1, 1, 1 }, { 2, 2, 2 } } }
  local weight = m.buffer { name = "projection", shape = { 6, 4 }, init = "normal", value = 0.5 }
  local seen = m.op.linear { weight, m.buffer { name = "offset", shape = { 6 } }, features[1] }
  local logits = m.point_wise_head { seen, classes = c.classes, name = "head" }
  if not m.labels then return { map = m.op.softmax { logits } } end
  return { loss = (m.voxel_class_loss { m.labels, logits }) }
end
END
  cat >three.lua <<END
return { title = "three", seeds = 1, rows = { { key = "drawn", label = "drawn", set = {} } },
  base = { model = "drawn.lua", data = "$work/set", steps = 30, patch = { 8, 8, 8 }, batch = 1, collapse_dice = 0 } }
END
}

# What the trial stored of its validation case is what its weights predict there.
predicts_as_stored() { # hash
  rm -rf images out
  mkdir images
  cp set/imagesTr/phantom_003_0000.nii.gz images/
  "$harness" predict "$1" images out --no-postprocess
  "$harness" evaluate set out --partial --json >found.json
  "$harness" runs show "$1" --json >trial.json
  /usr/bin/python3 - <<'END'
import json
stored = {l["label"]: l["value"] for l in json.load(open("trial.json"))["trial"]["labels"] if l["metric"] == "dice"}
found = {l["label"]: l["dice"]["mean"] for l in json.load(open("found.json"))["labels"]}
assert stored and any(stored.values()), stored
assert all(abs(found[label] - value) < 1e-9 for label, value in stored.items()), (stored, found)
END
}

setup() {
  cd "$work" || return
}

estimate() { # FILE arguments
  "$harness" estimate --json "$@" | /usr/bin/python3 -c '
import json, sys
row = json.load(sys.stdin)["rows"][0]
print(*(int(row[key]) for key in ("parameters", "trained", "flops", "train_bytes")))'
}

@test "estimate counts what trains apart, and a frozen encoder costs less work and memory" {
  read -r all trained flops bytes <<<"$(estimate tiny.lua)"
  [ "$all" -eq "$trained" ]
  read -r same fewer less memory <<<"$(estimate tiny.lua freeze=encoder)"
  [ "$same" -eq "$all" ] && [ "$fewer" -lt "$all" ] && [ "$memory" -lt "$bytes" ] && [ "$less" -lt "$flops" ]
  "$harness" estimate tiny.lua freeze=encoder | grep -qE ' [0-9.]+ k trained of [0-9.]+ k '
  read -r all trained flops bytes <<<"$(estimate two.lua)"
  [ "$trained" -gt 0 ] && [ "$trained" -lt "$all" ]
}

@test "recompute computes blocks again in less memory, which estimate shows before and after" {
  read -r _ _ flops bytes <<<"$(estimate tiny.lua)"
  read -r _ _ more less <<<"$(estimate tiny.lua recompute=yes)"
  [ "$more" -gt "$flops" ] && [ "$less" -lt "$bytes" ]
  "$harness" estimate tiny.lua recompute=yes --json | grep -q "\"kept_bytes\": $bytes\.0"
  "$harness" estimate tiny.lua recompute=yes patch=32,32,32 | grep -qE ' [0-9]+, kept [0-9]+ '
  "$harness" run tiny.lua --dry-run >plain
  "$harness" run tiny.lua --dry-run recompute=no >no
  cmp plain no
}

@test "freeze=none is no part of a trial, a name is; one that means nothing is an error that names the scopes" {
  "$harness" run tiny.lua --dry-run >plain
  "$harness" run tiny.lua --dry-run freeze=none >none
  "$harness" run tiny.lua --dry-run freeze=encoder >frozen
  cmp plain none
  refute cmp -s plain frozen
  run "$harness" estimate tiny.lua freeze=encoder,hed
  echo "$output"
  [ "$status" -ne 0 ]
  [[ "$output" == *"no parameter of the model is called 'hed'; its scopes are encoder, decoder, head"* ]]
  run "$harness" estimate tiny.lua 'freeze=*'
  [[ "$output" == *"all parameters of the model are frozen"* ]]
}

@test "a trial with a frozen encoder stores what it trained, and predicts with what it was frozen at" {
  "$harness" run tiny.lua -q lr=0.25 freeze=encoder >/dev/null
  hash="$(sql "SELECT hash FROM trials WHERE status = 'done'")"
  head -c 4000 "results/checkpoints/$hash.safetensors" | grep -aq '"decoder.stage0.conv0.weight"'
  head -c 4000 "results/checkpoints/$hash.safetensors" | refute grep -aq '"encoder[.]'
  sql "SELECT trained > 0 AND trained < parameters FROM attempts" | grep -x 1
  "$harness" runs show "$hash" | grep -E '^  trained +[0-9]+$'
  predicts_as_stored "$hash"
}

@test "batch norm's running statistics are stored beside averaged weights, predicted with, exported, and kept where its scale is frozen" {
  norm="conv_norm=batch conv_activation=silu"
  newest() { "$harness" runs list --json | /usr/bin/python3 -c "import json, sys; print(json.load(sys.stdin)['trials'][-1]['hash'])"; }
  # shellcheck disable=SC2086
  "$harness" run tiny.lua -q $norm lr=0.25 steps=30 average=0.9 >/dev/null
  hash="$(newest)"
  file="results/checkpoints/$hash.safetensors"
  head -c 9000 "$file" | grep -aq '"encoder.stage0.conv0.norm.running_var"'
  head -c 9000 "$file" | refute grep -aqE 'running_var\.(momentum|unaveraged)'
  predicts_as_stored "$hash"
  "$harness" weights export "$hash" normed.safetensors
  "$harness" weights list normed.safetensors | grep -q 'encoder.stages.0.0.convs.0.norm.running_mean'
  # shellcheck disable=SC2086
  "$harness" run tiny.lua -q $norm lr=0.25 weights=normed.safetensors weights_map=pytorch freeze=encoder >/dev/null
  "$harness" weights export "$(newest)" further.safetensors
  /usr/bin/python3 - <<'END'
import json
def tensors(path):
    data = open(path, "rb").read()
    end = 8 + int.from_bytes(data[:8], "little")
    return {n: data[end:][slice(*t["data_offsets"])] for n, t in json.loads(data[8:end]).items() if n.endswith("running_mean")}
before, after = tensors("normed.safetensors"), tensors("further.safetensors")
assert len(before) > 8 and all((before[n] == after[n]) == ("encoder." in n) for n in before)
END
}

@test "a buffer is saved with the weights, counts as none of them, and comes back for a prediction" {
  three
  read -r all trained _ _ <<<"$(estimate three.lua)"
  [ "$all" -eq "$trained" ]
  "$harness" run three.lua -q >/dev/null
  hash="$("$harness" runs list --experiment three --json | /usr/bin/python3 -c "import json, sys; print(json.load(sys.stdin)['trials'][0]['hash'])")"
  head -c 2000 "results/checkpoints/$hash.safetensors" | grep -aq '"projection":{[^}]*"shape":\[6,4\]'
  refute grep -aq projection.momentum "results/checkpoints/$hash.safetensors"
  predicts_as_stored "$hash"
  sed -i 's/shape = { 6, 4 }/shape = {}/' drawn.lua
  run "$harness" estimate three.lua
  [[ "$output" == *"drawn.lua:4: buffer: shape has one to 5 sizes, found 0"* ]]
}

@test "freeze_steps freezes at first alone: with a rate that is 0 behind it nothing of the encoder ever moves, all else does" {
  at_first() { # what it trained, in moved.safetensors
    "$harness" run tiny.lua -q lr=0.25 schedule=step step_every=2 step_factor=0 warmup=0 freeze=encoder "$@" >/dev/null
    rm -f moved.safetensors
    "$harness" weights export "$("$harness" runs list --json | /usr/bin/python3 -c "import json, sys
print(json.load(sys.stdin)['trials'][-1]['hash'])")" moved.safetensors --names own
  }
  at_first freeze_steps=2 steps=3
  mv moved.safetensors still.safetensors
  "$harness" run tiny.lua -q lr=0 steps=1 >/dev/null
  "$harness" weights export "$(sql "SELECT hash FROM trials ORDER BY id DESC LIMIT 1")" drawn.safetensors --names own
  at_first freeze_steps=1 steps=3
  /usr/bin/python3 - <<'END'
import json
def tensors(path):
    data = open(path, "rb").read()
    end = 8 + int.from_bytes(data[:8], "little")
    return {n: data[end:][slice(*t["data_offsets"])] for n, t in json.loads(data[8:end]).items() if n != "__metadata__"}
drawn, still, moved = (tensors(name + ".safetensors") for name in ("drawn", "still", "moved"))
weights = [n for n in drawn if n.endswith("weight")]
assert len(weights) > 8 and any(n.startswith("encoder.") for n in weights)
for n in weights:
    assert (still[n] == drawn[n]) == n.startswith("encoder."), n
    assert moved[n] != drawn[n], n
END
  "$harness" run tiny.lua --dry-run freeze=encoder >plain
  "$harness" run tiny.lua --dry-run freeze=encoder freeze_steps=0 >none
  cmp plain none
  run "$harness" run tiny.lua --dry-run freeze_steps=2
  [ "$status" -eq 2 ]
  [[ "$output" == *"has freeze_steps=2, which says how long freeze= is for, and freeze=none"* ]]
  run "$harness" run tiny.lua --dry-run freeze=encoder freeze_steps=3
  [[ "$output" == *"has freeze_steps=3 of steps=3: what never trains is frozen without freeze_steps"* ]]
}
