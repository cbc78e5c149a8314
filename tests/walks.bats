#!/usr/bin/env bats
# Three tasks, typed from their beginning to their end as their users would: a bridge of one's own beside the paper's in Table 4, a
# claim checked from a database that came by mail, a sweep on a cluster.

load work

setup_file() {
  work_in "$BATS_FILE_TMPDIR"
  cp -r "$root/tests/fixtures/stored-073ebeb/organs" organs
  mkdir mine
  cat >mine/my_bridge.lua <<'END'
-- A bridge of my own: the lowest scale gets what a linear layer makes of it.
local encoder = require "harness.parts.encoder"

return {
  doc = "a linear layer at the lowest scale, before nnU-Net's decoder",
  options = { encoder.options, { name = "use", type = "bool", default = true, doc = "of the layer" } },
  build = function(m, c)
    local pyramid = encoder.build(m, c)
    local low = pyramid[#pyramid]
    local weight = m.parameter { name = "bridge", shape = { low.channels, low.channels }, init = "normal", value = 0.1 }
    if c.use then pyramid[#pyramid] = m.op.add { low, m.op.linear { weight, false, low } } end
    local features = m.plain_conv_decoder { pyramid, name = "decoder", kernels = c.kernels }
    local logits = m.point_wise_head { features[#features], classes = c.classes, name = "head" }
    if not m.labels then return { map = m.op.softmax { logits } } end
    return { loss = m.op.voxel_loss { logits, m.labels } }
  end,
}
END
  cat >mine/modules.lua <<END
-- Table 4 with a row of mine.
return { title = "Different proposed modules, and mine", paper = "maskmed", table = 4, seeds = 2, base = { data = "$work/organs",
    plan = "none", patch = { 8, 8, 8 }, widths = { 4, 8 }, strides = { { 1, 1, 1 }, { 2, 2, 2 } },
    kernels = { { 3, 3, 3 }, { 3, 3, 3 } }, steps = 8, threads = 1, collapse_dice = 0 },
  rows = { { key = "masked", label = "One_Q / M + Masked Attn", set = { bridge = "none", query_scales = 2 } },
    { key = "mine", label = "a bridge of my own", set = { model = "my_bridge.lua" } } } }
END
}

setup() {
  work_in "$BATS_FILE_TMPDIR"
}

# shellcheck disable=SC2016
@test "a bridge of my own in Table 4: found out about, written, planned, trained, shown beside the paper's, and known again" {
  # What there is to build with.
  "$harness" help linear | grep -q "bias"
  "$harness" help blocks | grep -q "plain_conv_decoder"
  "$harness" help models | grep -q "maskmed"
  "$harness" help ./mine/my_bridge.lua | grep -q "of the layer"
  # What it would be, before anything runs.
  "$harness" run mine/modules.lua --dry-run >dry
  grep -q "4 of 4 trials would run" dry
  "$harness" config mine/modules.lua lr=0.25 | grep -Eq '^lr +0.25 +typed$'
  run "$harness" run mine/modules.lua uses=no
  [ "$status" -eq 2 ]
  [[ "$output" == *'did you mean "use"'* ]]
  "$harness" run mine/modules.lua -q >table
  grep -Eq '^One_Q / M \+ Masked Attn +0\.[0-9]+ +0\.[0-9]{3} ± 0\.[0-9]{3} +2 ' table # the paper's figure beside it
  grep -Eq '^a bridge of my own +- +0\.[0-9]{3} ± 0\.[0-9]{3} +2 ' table
  "$harness" table 4 | cmp - table
  grep -q "reproduce: ./harness run mine/modules.lua" table
  # Which text it was; another text is said, and repeated where that is asked for.
  mine="$("$harness" runs list --json | /usr/bin/python3 -c 'import json, sys
print(next(t["hash"] for t in json.load(sys.stdin)["trials"] if t["row"] == "mine"))')"
  "$harness" runs show "$mine" | grep -q "my_bridge.lua: the same text as today's"
  sed -i 's/value = 0.1/value = 0.2/' mine/my_bridge.lua
  "$harness" runs show "$mine" | grep -q "my_bridge.lua: another text than today's"
  "$harness" run mine/modules.lua --dry-run --retry stale | grep -q "2 of 4 trials would run"
  sed -i 's/value = 0.2/value = 0.1/' mine/my_bridge.lua
  "$harness" run mine/modules.lua --dry-run | grep -q "0 of 4 trials would run"
}

@test "a claim checked from a mailed database: read where it lies, verified, exported, its table made again from nothing but itself" {
  mkdir -p mail/results
  cp results/harness.db mail/results/
  [ ! -s results/harness.db-wal ] # nothing of it is left beside it
  cp -r results/checkpoints mail/results/
  chmod -R a-w mail
  local db="$work/mail/results/harness.db"
  "$harness" table 4 --db "$db" | cmp - table
  "$harness" verify "$db" | grep -q ", 0 not as written"
  mine="$("$harness" runs list --db "$db" --sort figure --json | /usr/bin/python3 -c 'import json, sys
print(next(t["hash"] for t in json.load(sys.stdin)["trials"] if t["row"] == "mine"))')"
  "$harness" verify "$db" "${mine:0:8}" | grep -q "are the same to the last digit"
  "$harness" export 4 --db "$db" -o figures.csv
  "$harness" table 4 --db "$db" --json >table.json
  /usr/bin/python3 -c 'import csv, json
rows = [r for r in csv.DictReader(open("figures.csv", newline="")) if r["metric"] == "dice" and r["value"]]
for row in json.load(open("table.json"))["rows"]:
    trials = {}
    for r in rows:
        if r["row"] == row["key"]: trials.setdefault(r["trial"], {}).setdefault(r["class"], []).append(float(r["value"]))
    mean = lambda v: sum(v) / len(v)
    assert abs(mean([mean([mean(v) for v in t.values()]) for t in trials.values()]) - row["mean"]) < 1e-12, row'
  "$harness" report --db "$db" -o page.html
  [ -s page.html ]
  "$harness" plot modules --db "$db" -o pictures >path
  [ "$(cat path)" = pictures/plots/modules.svg ]
  [ -s pictures/plots/modules.svg ]
  "$harness" runs show "$mine" --db "$db" | grep -q "reproduce"
  # Somebody made it look better.
  cp "$db" forged.db
  chmod u+w forged.db
  HARNESS_DB=forged.db sql "UPDATE metrics SET value = .99 WHERE metric = 'dice' AND label = 1"
  run "$harness" verify forged.db
  [ "$status" -eq 4 ]
  [[ "$output" == *"CHANGED"*"dice of "* ]]
  chmod -R u+w mail
}

# Slurm is played, as in slurm_alone.bats: with one, slurm.bats.
@test "a sweep on a cluster: planned, submitted, killed, gone on with, joined, and the table is that of one machine" {
  mkdir bin cluster
  printf '#!/bin/sh\nprintf "%%s\\n" "$@" >>"%s/sbatch.words"\necho 42\n' "$work" >bin/sbatch
  printf '#!/bin/sh\ncat "%s/queue"\n' "$work" >bin/squeue
  printf '#!/bin/sh\nexit 1\n' >bin/scontrol
  chmod +x bin/*
  touch queue
  export PATH="$work/bin:$PATH" HARNESS_DB="$work/cluster/harness.db"
  "$harness" doctor >doctor || true
  grep -q "database" doctor
  "$harness" run mine/modules.lua --dry-run steps=9 | tail -3 | grep -Eq "MiB|GiB|KiB" # hours and memory
  "$harness" slurm mine/modules.lua steps=9 --max 2 --time 1:00:00 --dry-run | grep -q "^sbatch .*--array=0-1"
  [ ! -e sbatch.words ]
  "$harness" slurm mine/modules.lua steps=9 --max 2 --time 1:00:00
  grep -q -- "--time=1:00:00" sbatch.words
  sweep="$(echo cluster/slurm/*)"
  SLURM_ARRAY_JOB_ID=42 SLURM_ARRAY_TASK_ID=0 "$harness" slurm work "$sweep" >worker 2>&1 3>&- &
  sleep 0.5
  kill -KILL $! 2>/dev/null || true
  wait $! || true
  SLURM_ARRAY_JOB_ID=42 SLURM_ARRAY_TASK_ID=1 "$harness" slurm work "$sweep" >worker 2>&1 3>&-
  "$harness" slurm status | grep -q "4"
  "$harness" slurm mine/modules.lua steps=9 -q >clustered || "$harness" slurm mine/modules.lua steps=9 -q >clustered
  HARNESS_DB="$work/alone/harness.db" "$harness" run mine/modules.lua steps=9 -q >alone.txt
  diff <(sed '/reproduce/d' alone.txt) <(sed '/reproduce/d' clustered)
  "$harness" verify | grep -q ", 0 not as written"
}
