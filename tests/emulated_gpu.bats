#!/usr/bin/env bats
# What only a GPU takes, from the command line to the database, played by the whole program with two emulated GPUs
# (emulated_gpu.c): no cuDNN, cuBLAS or driver, and slow, so everything is tiny.

load work

setup_file() {
  work_in "$BATS_FILE_TMPDIR"
  export HARNESS_HOME="$root"
  gpu="$(dirname "$harness")/tests/emulated_harness"
  export gpu
  "$gpu" data phantom set --size 16x20x20 --cases 4 --validation 1 --organs 2 >/dev/null
  cat >tiny.lua <<END
return { title = "tiny", table = 6, seeds = 1, base = { data = "$work/set", steps = 3, patch = { 8, 16, 16 }, batch = 1,
  bridge = "none", collapse_dice = 0, widths = { 4, 8 }, strides = { { 1, 1, 1 }, { 2, 2, 2 } },
  kernels = { { 3, 3, 3 }, { 3, 3, 3 } }, hidden = 8, heads = 2, key_grid = { 2, 4, 4 } },
  rows = { { key = "unet", label = "unet", set = { head = "point_wise" } }, { key = "maskmed", label = "maskmed", set = { queries = 1 } },
    { key = "adamw", label = "adamw", set = { head = "point_wise", optimizer = "adamw", lr = .01, schedule = "cosine", warmup = 2,
      decay_norms = false, average = .5 } } } }
END
  cat >one.lua <<END
local e = { title = "one", seeds = 1, rows = { { key = "unet", label = "unet", set = {} } }, base = { data = "$work/set",
  head = "point_wise", steps = 3, patch = { 8, 8, 8 }, batch = 1, bridge = "none", collapse_dice = 0, widths = { 4, 4 },
  strides = { { 1, 1, 1 }, { 2, 2, 2 } }, kernels = { { 3, 3, 3 }, { 3, 3, 3 } } } }
return e
END
  "$gpu" run tiny.lua -q >/dev/null
  "$gpu" run tiny.lua --device cuda:1 -q >/dev/null
}

setup() {
  cd "$work" || return
}

trial() { # device, row
  sql "SELECT t.hash FROM trials t JOIN cells c ON c.trial_id = t.id JOIN rows r ON r.id = c.row_id JOIN plans p ON p.id = r.plan_id
       JOIN experiments e ON e.id = p.experiment_id WHERE e.name = 'tiny' AND t.device = '$1' AND r.key = '$2'"
}

@test "trials on the second GPU: done, probed, with their GPU, and with the CPU's figures" {
  [ "$(sql "SELECT t.status, a.determinism, n.gpu, n.gpu_driver, n.gpu_capability, n.deterministic FROM trials t
    JOIN attempts a ON a.trial_id = t.id JOIN environments n ON n.id = a.environment_id WHERE t.device = 'cuda'" | sort -u)" \
    = "done|bitwise|Emulated GPU 1|1.2.3, CUDA 13.0|9.0|None" ]
  [ "$(sql "SELECT count(*), count(a.determinism), count(n.gpu) FROM trials t JOIN attempts a ON a.trial_id = t.id
    JOIN environments n ON n.id = a.environment_id WHERE t.device = 'cpu'")" = "3|3|0" ]
  sql "SELECT r.key, t.device, k.step, k.loss, k.class_loss, k.dice_loss, k.grad_norm, k.lr, k.val_dice FROM curves k JOIN attempts a ON a.id = k.attempt_id
    JOIN trials t ON t.id = a.trial_id JOIN cells c ON c.trial_id = t.id JOIN rows r ON r.id = c.row_id" >curves
  /usr/bin/python3 - <<'END'
found = {}
for line in open("curves"):
    row, device, step, *values = line.strip().split("|")
    found[row, device, int(step)] = [None if v == "None" else float(v) for v in values]
assert len(found) == 18, found
for (row, device, step), ours in found.items():
    theirs = found[row, "cpu", step]
    for a, b in zip(ours, theirs):
        assert (a is None) == (b is None) and (a is None or abs(a - b) <= 1e-4 * abs(b) + 1e-5), (row, step, ours, theirs)
END
}

@test "tables, lists and the report tell devices apart" {
  "$gpu" table 6 --device cuda | grep -q "phantom, cuda, 1 seed$\|set, cuda, 1 seed$"
  "$gpu" table 6 --device cuda | grep -q "Measured with .* on Emulated GPU 1, "
  "$gpu" table 6 --device cpu | grep -q ", cpu, 1 seed$"
  "$gpu" table 6 2>&1 >/dev/null | grep -q "device cpu"
  "$gpu" runs show "$(trial cuda unet)" | grep -q "determinism *bitwise"
  "$gpu" runs diff "$(trial cuda unet)" "$(trial cpu unet)" | grep -q 'gpu  *"Emulated GPU 1" -> null'
  "$gpu" report --device cuda >/dev/null
  grep -q "Emulated GPU 1, compute capability 9.0" results/report.html
  grep -o "run tiny.lua[^<]*" results/report.html >commands
  cat commands
  grep -q -- "--device cuda" commands
}

@test "predict: on the GPU what a CPU has trained, and the other way round, the same labels" {
  for head in unet maskmed; do
    "$gpu" predict "$(trial cpu $head)" set/imagesTr "$head-here" -q
    "$gpu" predict "$(trial cpu $head)" set/imagesTr "$head-there" --device cuda:1 -q
    "$gpu" predict "$(trial cuda $head)" set/imagesTr "$head-back" -q
    for other in there back; do
      "$gpu" evaluate "$head-here" "$head-$other" --dataset set --json | /usr/bin/python3 -c '
import json, sys
for label in json.load(sys.stdin)["labels"]:
    assert label["dice"]["mean"] is None or label["dice"]["mean"] > 0.999, label'
    done
  done
}

@test "flags and options of a GPU: no capture, deterministic, profile, tf32, a GPU that is not there" {
  run "$gpu" run one.lua --device cuda --no-capture --deterministic --profile
  echo "$output"
  [ "$status" -eq 0 ]
  [[ "$output" == *"what 4 GFLOP/s and 1.0 GB/s"* ]] # the GPU's ceilings (TF32: half of its matrix units'), not the processor's
  [ "$(sql "SELECT n.deterministic, n.gpu FROM attempts a JOIN environments n ON n.id = a.environment_id ORDER BY a.id DESC LIMIT 1")" = "1|Emulated GPU 0" ]
  "$gpu" run one.lua --device cuda -n | grep -q "0 of 1 trials would run" # no part of the identity
  "$gpu" run one.lua --device cuda:1 -n | grep -q "0 of 1 trials would run"
  "$gpu" run one.lua --device cuda tf32=off -n | grep -q "1 of 1 trials would run"
  run "$gpu" run one.lua tf32=off -n
  [ "$status" -eq 2 ]
  run "$gpu" run one.lua --device cuda:2
  [ "$status" -eq 3 ]
  [[ "$output" == *"cuda:2: there are 2 GPUs"* ]]
  "$gpu" doctor | grep -q "cuda:1 is Emulated GPU 1"
}

@test "a GPU that is too small for the volumes has its batches from the host, too small for the step is out of memory" {
  "$gpu" run one.lua --device cuda lr=0.1 -q >/dev/null
  peak="SELECT (a.peak_bytes + 1023) / 1024 FROM attempts a ORDER BY a.id DESC LIMIT 1"
  plan=$(sql "$peak")
  # 150 KiB beyond the step: half of that does not hold three volumes of 31 KiB
  HARNESS_EMULATED_KIB=$((plan + 150)) "$gpu" run one.lua --device cuda lr=0.1 --retry done -q >/dev/null
  [ "$(sql "SELECT count(DISTINCT round(k.loss, 5)) FROM curves k JOIN attempts a ON a.id = k.attempt_id JOIN trials t ON t.id = a.trial_id
    WHERE t.config ->> '\$.lr' = 0.1 AND k.step = 3"):$(sql "SELECT count(*) FROM attempts a JOIN trials t ON t.id = a.trial_id
    WHERE t.config ->> '\$.lr' = 0.1")" = 1:2 ] # the same batches
  # What is planned is what the steps take, the batches to come and the update's memory too: 40 KiB are pages begun, and too
  # little for the maps of an evaluation.
  HARNESS_EMULATED_KIB=$((plan + 40)) run "$gpu" run one.lua --device cuda lr=0.35
  [[ "$output" == *"trained "*"class maps"* ]]
  short=$(sql "$peak") # norms are computed again
  [ "$short" -lt "$plan" ]
  HARNESS_EMULATED_KIB=$((short - 4)) run "$gpu" run one.lua --device cuda lr=0.35 --retry failed
  [[ "$output" == *"oom 1/1"*"out of memory: the graph needs"* ]]
  HARNESS_EMULATED_KIB=100 run "$gpu" run one.lua --device cuda lr=0.35 --retry oom
  [ "$status" -eq 1 ]
  [[ "$output" == *"oom 1/1"*"out of memory"* ]]
}

@test "stopped on a GPU it goes on from its checkpoint, and a collapse is seen there" {
  "$gpu" run one.lua --device cuda steps=60 -q >/dev/null 2>&1 3>&- &
  local pid=$! left=600 code=0
  until [ "$(sql "SELECT count(*) FROM curves k JOIN attempts a ON a.id = k.attempt_id WHERE a.status = 'running'" 2>/dev/null || echo 0)" -ge 2 ]; do
    ((left-- > 0))
    sleep 0.2
  done
  kill -INT $pid
  wait $pid || code=$?
  [ "$code" -eq 75 ]
  "$gpu" run one.lua --device cuda steps=60 collapse_dice=0 -q >/dev/null
  [ "$(sql "SELECT group_concat(status, ' ') FROM (SELECT a.status FROM attempts a JOIN trials t ON t.id = a.trial_id
    WHERE t.config ->> '\$.steps' = 60 ORDER BY a.id)")" = "interrupted done" ]
  [ "$(sql "SELECT first_step > 1 FROM attempts WHERE id = (SELECT max(id) FROM attempts)")" -eq 1 ]
  [ "$(sql "SELECT min(k.step), max(k.step) FROM curves k WHERE k.attempt_id = (SELECT max(id) FROM attempts)")" = "1|60" ]
  run "$gpu" run one.lua --device cuda steps=80 collapse_dice=0.99 collapse_at=0.5
  echo "$output"
  [ "$status" -eq 1 ]
  [[ "$output" == *"collapsed 1/1"*"below collapse_dice"* ]]
}

@test "a frozen encoder and blocks that are computed again: on the GPU what the CPU trains" {
  for device in cpu cuda; do
    "$gpu" run one.lua --device "$device" freeze=encoder recompute=yes -q >/dev/null
  done
  sql "SELECT t.device, a.trained < a.parameters, k.step, k.loss, k.grad_norm FROM curves k JOIN attempts a ON a.id = k.attempt_id
    JOIN trials t ON t.id = a.trial_id WHERE t.config LIKE '%\"freeze\":%' ORDER BY k.step, t.device" >curves
  for hash in $(sql "SELECT hash FROM trials WHERE config LIKE '%\"freeze\":%'"); do
    head -c 4000 "results/checkpoints/$hash.safetensors" | refute grep -aq '"encoder[.]'
  done
  /usr/bin/python3 - <<'END'
rows = [line.strip().split("|") for line in open("curves")]
assert [r[:3] for r in rows] == [[d, "1", str(s)] for s in (1, 2, 3) for d in ("cpu", "cuda")], rows
for ours, theirs in zip(rows[::2], rows[1::2]):
    for a, b in zip(map(float, ours[3:]), map(float, theirs[3:])):
        assert abs(a - b) <= 1e-4 * abs(b) + 1e-5, (ours, theirs)
END
}

@test "plans, estimates and benches on a GPU measure the GPU" {
  cat >coverage.lua <<'END'
return { title = "Coverage", kind = "plan", base = { model = "bridge", bridge = "standard", standard_scales = 2,
  widths = { 4, 8, 8, 8 }, patch = { 16, 16, 16 }, hidden = 12, batch = 1 }, rows = { { key = "tiled", set = { attention = "tiled" } } } }
END
  "$gpu" run coverage.lua --device cuda -q --json | /usr/bin/python3 -c '
import json, sys
for row in json.load(sys.stdin)["rows"]:
    assert 0.9 < row["allocated_bytes"] / row["planned_bytes"] < 1.2, row'
  "$gpu" estimate one.lua --device cuda --json | /usr/bin/python3 -c '
import json, sys
assert all(row["step_s"] > 0 for row in json.load(sys.stdin)["rows"])'
  "$gpu" bench --device cuda:1 --time 0.01 expand >out 2>err
  grep -q "ceilings measured now: copy 1 GB/s" out err
  [ "$(sql "SELECT DISTINCT r.device, n.gpu FROM bench_rows r JOIN bench_runs b ON b.id = r.run_id JOIN environments n ON n.id = b.environment_id")" = "cuda|Emulated GPU 1" ]
  # A step that is too large to be timed has the rate that was stored of this device, not of another.
  sql "SELECT 1" >/dev/null
  /usr/bin/python3 - "$HARNESS_DB" <<'END'
import sqlite3, sys
db = sqlite3.connect(sys.argv[1])
columns = [c[1] for c in db.execute("PRAGMA table_info(bench_rows)")]
rows = db.execute("SELECT * FROM bench_rows LIMIT 1").fetchone()
for position, (device, gflops) in enumerate((("cpu", 1e-3), ("cuda", 1e6))):
    row = dict(zip(columns, rows), position=100 + position, kernel="step:unet-64", device=device, gflops=gflops)
    db.execute(f"INSERT INTO bench_rows({','.join(row)}) VALUES({','.join('?' * len(row))})", list(row.values()))
db.commit()
END
  "$gpu" estimate one.lua --device cuda patch=256,256,256 widths=32,64 --json | /usr/bin/python3 -c '
import json, sys
rows = json.load(sys.stdin)["rows"]
assert all(row["from"] == "rate" and abs(row["flops"] / row["step_s"] / 1e15 - 1) < 1e-6 for row in rows), rows'
}

@test "test_cuda: operands on the device, the reference on the host" {
  "$(dirname "$harness")/tests/emulated_test_cuda" --device cuda attention layer_norm class_loss | grep -E "^[0-9]+ passed, 0 failed, 0 skipped"
}
