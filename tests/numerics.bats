# Numbers that are not finite, clipping, and whether a step repeats: what a trial says and stores of them.

load work

setup() {
  work_in "$(mktemp -d)"
  "$harness" data phantom set --size 22x24x28 --cases 5 --validation 2 --organs 2
  tiny_unet 4 >tiny.lua
}

teardown() {
  rm -rf "$work"
}

# A model whose features are multiplied to an infinity in line 3; what is done with it is line 5.
infinite() { # LINE
  cat <<END
return function(m, c)
  local features = m.plain_conv_encoder { m.image, name = "encoder", widths = { 4, 8 }, convs = 1, strides = { { 1, 1, 1 }, { 2, 2, 2 } } }
  local much = m.op.multiply { m.op.multiply { features[1], m.op.fill { value = 1e30 } }, m.op.fill { value = 1e30 } }
  local logits = m.point_wise_head { features[1], classes = c.classes, name = "head" }
  $1
  if not m.labels then return { map = m.op.softmax { logits } } end
  return { loss = (m.voxel_class_loss { m.labels, logits }) }
end
END
}

log() {
  cat results/logs/*.log
}

@test "a loss that is no number names the op that wrote the first, and its line" {
  infinite 'logits = m.op.add { logits, (m.point_wise_head { m.op.multiply { much, m.op.fill { value = 0 } }, classes = c.classes, name = "nan" }) }' >own.lua
  run "$harness" run tiny.lua model=own.lua
  echo "$output"
  sql "SELECT message FROM attempts" | tee message
  grep "the loss is not finite at step 1 .*the first is an infinity that op multiply writes, .*own.lua:3 .*; then a NaN that op multiply writes, .*own.lua:5 " message
  [ "$(sql "SELECT status FROM trials")" = collapsed ]
}

@test "--check finds what no loss shows, once, and changes no bit" {
  infinite 'logits = m.op.add { logits, (m.point_wise_head { m.op.activation { much, kind = "sigmoid" }, classes = c.classes, name = "gate" }) }' >own.lua
  "$harness" run tiny.lua model=own.lua -q >/dev/null
  refute grep "check:" <<<"$(log)"
  sql "SELECT step, loss, grad_norm FROM curves ORDER BY step" >plain
  [ -s plain ]
  "$harness" run tiny.lua model=own.lua -q --check --retry done >/dev/null
  [ "$(log | grep -c "check: step 1: the first is an infinity that op multiply writes, .*own.lua:3 ")" -eq 1 ]
  sql "SELECT step, loss, grad_norm FROM curves WHERE attempt_id = (SELECT max(attempt_id) FROM curves) ORDER BY step" | diff plain -
}

@test "every trial says how often its gradient was clipped, and stores whether its step repeats and what it took of the processors" {
  "$harness" run tiny.lua threads=2 -q >/dev/null
  log | grep -E "clipped [0-4] of 4 steps: their gradient's norm was above [0-9.]+; the largest was [0-9.e+-]+, at step [1-4]"
  [ "$(sql "SELECT determinism FROM attempts")" = bitwise ]
  [ "$(sql "SELECT processor_s > 0 AND processor_s < 2.5 * train_s + 0.1 FROM attempts")" = 1 ] # of two threads, and one that loads
  log | grep -F "a step that is repeated on one thread: bitwise"
}
