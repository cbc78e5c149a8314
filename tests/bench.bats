#!/usr/bin/env bats
# `harness bench` as a user types it, with tiny time limits: what is measured here means nothing.

load work

setup() {
  work_in "$(mktemp -d)"
  export HARNESS_HOME="$root"
}

teardown() {
  rm -rf "$work"
}

bench() {
  "$harness" bench --time 0.02 --threads 1 "$@"
}

# An expression over the JSON document in out.json, as `d`, that must hold.
holds() {
  python3 -c 'import json, math, sys; d = json.load(open("out.json")); assert eval(sys.argv[1]), d' "$1"
}

@test "the table has an error before each time and lines up" {
  bench expand concat >out 2>err
  grep -q "ceilings measured now: copy .* GB/s, float FMA .* GFLOP/s" out
  [ "$(grep -c -E "^(expand|concat), " out)" -eq 8 ]
  grep -E "^expand, quick +forward +[0-9.]+e[-+][0-9]+ " out
  [ "$(grep -E "^(expand|concat), " out | awk '{ print match($0, "e[-+][0-9][0-9] ") }' | sort -u | wc -l)" -eq 1 ]
  bench "depthwise 2D 3, 96" --samples 2 >>out 2>err # a name that is longer than its column
  [ "$(grep -cE "^ {40,}(forward|backward) +[0-9.]+e" out)" -eq 2 ]
  [ "$(grep -v "^[(!]" out | widest)" -le 80 ] # notes are whole lines
}

widest() { python3 -c 'import sys; print(max(len(line.rstrip("\n")) for line in sys.stdin))'; }

@test "--json is one document of the agreed shape" {
  bench "expand" --json >out.json 2>err
  holds 'd["schema"] == 1 and len(d["rows"]) == 4'
  holds 'd["host"]["copy_gbps"] > 0 and d["host"]["fma_gflops"] > 0 and d["host"]["threads"] == 1'
  for key in kernel shape device dtype error median_us gflops gbps ceiling_pct baseline_us speedup; do
    holds "all('$key' in r for r in d['rows'])"
  done
  holds '[r["pass"] for r in d["rows"]] == ["forward", "backward"] * 2'
  holds 'all(r["kernel"] == "expand" and r["device"] == "cpu" and r["dtype"] == "f32" for r in d["rows"])'
  holds 'all(r["error"] <= r["tolerance"] and not r["wrong"] and r["min_us"] <= r["median_us"] for r in d["rows"])'
  holds 'all(abs(r["gbps"] - r["bytes"] / r["median_us"] / 1e3) < 1e-3 * r["gbps"] for r in d["rows"])'
  holds 'all(r["baseline_us"] is None and r["speedup"] is None for r in d["rows"])'
}

@test "a filter is an op, a part of a case's name, or a step" {
  [ "$(bench conv --list | cut -d, -f1 | sort -u)" = conv ]
  [ "$(bench "conv_transpose, quick s3" --list | wc -l)" -eq 1 ]
  [ "$(bench step:unet-32 --list)" = step:unet-32 ]
  [ "$(bench step:unet-32:bf16 --list)" = step:unet-32:bf16 ]
  [ "$(bench --list | cut -d, -f1 | sort -u | wc -l)" -eq "$(grep -c '^OP(' "$root/kernels/ops.def")" ]
  [ ! -e "$HARNESS_DB" ]
}

@test "--samples and --warmup are kept to, --explain says how work and ceiling come about, the clock stands in each row" {
  bench linear --samples 7 --warmup 2 --explain --json >out.json 2>err
  holds 'all(r["samples"] == 7 and r["hot_samples"] == 7 for r in d["rows"])'
  holds 'all(300 < r["mhz"] < 9000 for r in d["rows"])'
  holds 'all(r["flops_formula"].startswith("2*in2.rows*in0 = " if r["pass"] == "forward" else "2*forward = ") for r in d["rows"])'
  holds 'all((r["above"] is not None) == (r["ceiling_pct"] >= 100.5) for r in d["rows"])'
  bench linear --samples 7 --explain >out 2>err
  sed -n 3p out | grep -q "bound *MHz *$"
  [ "$(grep -c "^    FLOP      2\*" out)" -eq "$(grep -c "^linear" out)" ]
  grep -Eq "^    ceiling   arithmetic [0-9.e+]+ us at [0-9.e+]+ GFLOP/s, memory [0-9.e+]+ us at [0-9.e+]+ GB/s" out
  [ "$(grep -c "^    above " out)" -eq "$(grep -cE " [0-9]+% \([wfcs]\) " out)" ]
  [ "$(sql "SELECT sum(json_array_length(machine -> '$.rows_mhz')) FROM bench_runs")" = "$(sql "SELECT count(*) FROM bench_rows")" ]
  run bench linear --samples 0
  [ "$status" -eq 2 ]
}

@test "an unknown filter exits 2 with the nearest name" {
  run bench cnov
  [ "$status" -eq 2 ]
  [[ "$output" == *'did you mean "conv"'* ]]
  run bench step:unet-23
  [ "$status" -eq 2 ]
  [[ "$output" == *'step:unet-32'* ]]
  run bench --against pytorch mtach
  [ "$status" -eq 2 ]
  [[ "$output" == *'did you mean "match"'* ]]
  run bench --against tensorflow
  [ "$status" -eq 2 ]
  run bench --time fast
  [ "$status" -eq 2 ]
  run bench --device tpu
  [ "$status" -eq 2 ]
}

@test "what the processor cannot do is a row that says so, and the run goes on" {
  export HARNESS_ISA=portable # no processor multiplies bf16 with that
  bench step:unet-32:bf16 expand >out 2>err
  grep -Eq "^step:unet-32:bf16 +step +- not timed: dtype=bf16: .*bf16" out
  grep -Eq "^expand, quick +forward " out
  head -n 1 out | grep -q "portable, 1 threads; ceilings"
  bench step:unet-32:bf16 expand --json >out.json 2>err
  holds '[bool(r["not_timed"]) for r in d["rows"]] == [False] * 4 + [True]'
  holds 'not d["rows"][4]["wrong"] and d["rows"][4]["median_us"] is None and d["rows"][4]["dtype"] == "bf16"'
  holds '"portable" in d["host"]["isa"]'
  [ "$(sql "SELECT count(*) FROM bench_rows WHERE not_timed LIKE '%bf16%' AND median_us IS NULL AND wrong = 0")" = 2 ]
  [ "$(sql "SELECT count(*) FROM environments WHERE isa LIKE '%portable%'")" -ge 1 ]
  "$harness" bench compare 1 2 >out || [ $? -eq 4 ] # times of 20 ms may differ
  grep -Eq "^step:unet-32:bf16 +step +- +- +- +- +NOT TIMED" out
  run grep -i nan out
  [ "$status" -eq 1 ]
  "$harness" bench compare 1 2 --json >out.json || [ $? -eq 4 ]
  holds 'd["rows"][4]["verdict"] == "NOT TIMED" and d["rows"][4]["old_us"] is None and d["old_only"] == 0'
}

@test "HARNESS_ISA asks for less than there is, and says what there is" {
  run env HARNESS_ISA=avx9 "$harness" bench expand
  [ "$status" -eq 3 ]
  [[ "$output" == *"HARNESS_ISA=avx9 is no instruction set; here it is one of: portable"* ]]
  HARNESS_ISA=portable "$harness" doctor >out
  grep -Eq "^warn +isa +.*portable; HARNESS_ISA=portable: plain loops" out
  grep -Eq "^ok +bf16 .*dtype=float32 only" out
  run env HARNESS_ISA=portable "$harness" run "$root/experiments/query_count.lua" dtype=bf16 queries=1 seeds=1
  [ "$status" -ne 0 ]
  [[ "$output" == *"dtype=bf16: "*"use dtype=float32"* ]]
}

@test "rows are stored with every sample and the machine's state" {
  bench expand >out 2>err
  grep -q "stored as run 1" out
  [ "$(sql "SELECT count(*), sum(json_array_length(hot_list) > 0), sum(json_array_length(cold_list) = samples) FROM bench_rows")" = "4|4|4" ]
  [ "$(sql "SELECT command FROM bench_runs")" = "bench --time 0.02 --threads 1 expand" ]
  [ "$(sql "SELECT count(*) FROM bench_runs JOIN environments e ON e.id = environment_id WHERE machine ->> '\$.load' >= 0")" = 1 ]
}

@test "compare: slower is 4, same or faster 0, nothing 5, unknown 2" {
  run "$harness" bench compare prev last
  [ "$status" -eq 5 ]
  bench expand >out 2>err
  run "$harness" bench compare prev last
  [ "$status" -eq 5 ]
  bench expand >out 2>err
  # steady samples of our own making: 100 us before, then twice as long
  steady() {
    sql "UPDATE bench_rows SET cold_list = '[' || substr(replace(hex(zeroblob(20)), '00', ',$2'), 2) || ']' WHERE run_id = $1"
  }
  steady 1 100.0
  steady 2 200.0
  run "$harness" bench compare prev last
  [ "$status" -eq 4 ]
  [[ "$output" == *SLOWER* ]]
  "$harness" bench compare 2 1 --json >out.json
  holds '[r["verdict"] for r in d["rows"]] == ["FASTER"] * 4 and d["old_run"] == 2'
  run "$harness" bench compare 1 1
  [ "$status" -eq 0 ]
  [[ "$output" == *SAME* ]]
  # as a kernel that has become wrong is stored: it has no time, nor a kind of it
  sql "UPDATE bench_rows SET wrong = 1, timing = 'hot', cold_list = '[]', hot_list = '[]', samples = 0, median_us = NULL
       WHERE run_id = 2 AND pass = 'forward'"
  run "$harness" bench compare 1 2
  [ "$status" -eq 4 ]
  [[ "$output" == *WRONG* && "$output" != *nan* && "$output" != *"not in the other"* ]]
  bench concat expand >out 2>err
  run "$harness" bench compare 1 last
  [[ "$output" == *"4 rows of run 3 are not in the other"* ]]
  bench concat >out 2>err
  run "$harness" bench compare 1 last
  [ "$status" -eq 5 ]
  [[ "$output" == *"no bench in common"* ]]
  run "$harness" bench compare 1
  [ "$status" -eq 2 ]
  run "$harness" bench compare one two
  [ "$status" -eq 2 ]
}

@test "a first step answers with its peak memory" {
  bench --first-step unet-32 >out.json
  holds 'd["rss"] > 10e6'
}

@test "the peer that cannot be started is exit 3 and says what to install" {
  HARNESS_PYTHON=/nonexistent/python run bench --against pytorch dice
  [ "$status" -eq 3 ]
  HARNESS_PYTHON=/bin/false run bench --against pytorch dice
  [ "$status" -eq 3 ]
  [[ "$output" == *HARNESS_PYTHON* ]]
}

@test "against PyTorch: both sides' times, their ratio, and models of as many parameters as ours" {
  /usr/bin/python3 -c 'import torch, scipy' 2>/dev/null || skip "no PyTorch"
  bench --against pytorch --samples 3 dice match step:unet-32 step:maskmed-quick --json >out.json 2>err
  holds '[r["kernel"] for r in d["rows"]] == ["step:unet-32", "step:unet-32:bf16", "step:maskmed-quick", "step:maskmed-quick:bf16", "match", "dice"]'
  # bf16 where both sides have it; else the row says why there are no times
  holds 'all(not r["not_timed"] or (r["dtype"] == "bf16" and not r["wrong"]) for r in d["rows"])'
  holds 'all(r["baseline"].startswith("torch ") for r in d["rows"])'
  holds 'all(r["baseline_us"] > 0 for r in d["rows"] if not r["not_timed"])'
  holds 'all(math.isclose(r["speedup"], r["baseline_us"] / r["median_us"], rel_tol=1e-3) for r in d["rows"] if not r["not_timed"])'
}

@test "the peer: its matching for GPUs, and a GPU that it does not see" {
  /usr/bin/python3 -c 'import torch, scipy' 2>/dev/null || skip "no PyTorch"
  cat >requests <<'END'
{"do": "setup", "bench": "match", "threads": 1, "device": "cuda:7", "tf32": "off", "dtype": "f32", "seconds": 0.01, "batch": 1, "queries": 4, "classes": 3, "voxels": 99}
{"do": "setup", "bench": "deform_attention", "threads": 1, "device": "cpu", "tf32": "off", "dtype": "bf16", "seconds": 0.01, "batch": 2, "heads": 2, "points": 2, "width": 8, "query_grids": [[2, 2, 2]], "value_grids": [[4, 3, 2], [2, 2, 2]]}
{"do": "measure", "repeats": 2}
END
  CUDA_VISIBLE_DEVICES= /usr/bin/python3 -B -W ignore "$root/tests/peer/serve.py" <requests >answers
  python3 - <<'END'
import json
ready, blind, seen, measured = map(json.loads, open("answers"))
assert "sees no GPU" in blind["error"], blind
assert seen["setting"].startswith("grid_sample"), seen
assert {"grid_sample", "grid_sample, memory kept"} <= set(seen["choices"]), seen
assert measured["us"] > 0 and measured["peak"] is None, measured
END
  PYTHONPATH="$root/tests/peer" /usr/bin/python3 -B - <<'END'
import torch, operators
weights = {"class_weight": 2, "bce_weight": 5, "dice_weight": 5}
for classes in 3, 5:
    torch.manual_seed(classes)
    masks, logits = torch.randn(2, 6, 200), torch.randn(2, 6, classes + 1)
    labels = torch.randint(classes, (2, 200))
    labels[1][labels[1] == 2] = 0  # a class that is not there
    a = operators.assign(masks, logits, labels, classes, weights)
    b = operators.assign_there(masks, logits, labels, classes, weights)
    assert (a == b).all() and (a >= 0).any(), (a, b)
END
}

@test "a peer is asked on the same device, type and rounding" {
  cat >peer <<'END'
#!/bin/sh
echo '{"ready": true, "version": "9.9", "rss": 1}'
while read -r line; do
  echo "$line" >>asked
  case "$line" in
  *setup*) echo '{"setting": "as it is", "choices": {}, "parameters": null}' ;;
  *) echo '{"us": 5000, "rss": 1, "peak": 3145728}' ;;
  esac
done
END
  chmod +x peer
  bench --against pytorch --python "$work/peer" --tf32 off match --json >out.json 2>err
  holds 'd["rows"][0]["baseline_us"] == 5000 and abs(d["rows"][0]["baseline_bytes"] - 3 * 2**20) < 100'
  python3 -c 'import json
setup = json.loads(open("asked").readline())
assert setup["device"] == "cpu" and setup["tf32"] == "off" and setup["dtype"] == "f32", setup'
  sed -i 's/as it is/as it is, which takes some words to say/' peer
  bench --against pytorch --python "$work/peer" match --samples 2 >out 2>err
  grep -Eq "^ +5.00 ms +[0-9.]+x  [0-9.]+-[0-9.]+" out
  grep -Eq "^ .* 9.9 f32 as it is, which takes some words to say  3 MiB$" out
  [ "$(grep -v "^[(!]" out | widest)" -le 80 ] # notes are whole lines
  run bench --against pytorch --device cuda:99 match
  [ "$status" -eq 3 ]
  [[ "$output" == *cuda* ]]
}

@test "a peer that cannot, that fails or that dies costs its row alone" {
  cat >peer <<'END'
#!/bin/sh
echo '{"ready": true, "version": "9.9", "rss": 1}'
while read -r line; do
  case "$line" in
  *setup*dice* | *dice*setup*) echo '{"setting": "as it is", "choices": {}, "parameters": null}' ;;
  *setup*) case "$MOOD" in
    lacks) echo '{"error": "RuntimeError: no such kernel", "lacks": true}' ;;
    fails) echo '{"error": "KeyError: queries", "lacks": false}' ;;
    dies) exit 1 ;;
    esac ;;
  *) echo '{"us": 5000, "rss": 1, "peak": null}' ;;
  esac
done
END
  chmod +x peer
  export MOOD
  for MOOD in lacks fails dies; do
    run bench --against pytorch --python "$work/peer" match dice --json
    [ "$status" -eq "$([ "$MOOD" = lacks ] && echo 0 || echo 1)" ]
    printf '%s\n' "${lines[@]}" | sed -n '/^{/,/^}/p' >out.json
    holds '[r["kernel"] for r in d["rows"]] == ["match", "dice"] and d["rows"][1]["baseline_us"] == 5000'
    holds "d['rows'][0]['not_timed'].startswith('the peer ') and d['rows'][0]['wrong'] == ('$MOOD' != 'lacks')"
  done
}

@test "a peer keeps to HARNESS_ISA" {
  cat >peer <<'END'
#!/bin/sh
echo "$ATEN_CPU_CAPABILITY $ONEDNN_MAX_CPU_ISA" >limits
echo '{"ready": true, "version": "9.9", "rss": 1}'
END
  chmod +x peer
  unset ATEN_CPU_CAPABILITY ONEDNN_MAX_CPU_ISA
  HARNESS_ISA=portable run bench --against pytorch --python "$work/peer" dice
  "$harness" doctor | grep -Eq "^ok +isa +portable$" || [ "$(cat limits)" = "default SSE41" ]
}

@test "each --python is a peer with rows of its own; one that is missing is exit 3" {
  /usr/bin/python3 -c 'import torch, scipy' 2>/dev/null || skip "no PyTorch"
  bench --against pytorch --samples 3 --python /usr/bin/python3 --python /usr/bin/python3 dice match --json >out.json 2>err
  holds '[r["kernel"] for r in d["rows"]] == ["match", "match", "dice", "dice"]'
  holds '[sum(r["better_peer"] for r in d["rows"][i:i + 2]) for i in (0, 2)] == [1, 1]'
  holds 'all(r["baseline_us"] == min(x["baseline_us"] for x in d["rows"] if x["kernel"] == r["kernel"]) for r in d["rows"] if r["better_peer"])'
  [ "$(grep -c "the better peer: torch" err)" -eq 2 ]
  run bench --against pytorch --python /usr/bin/python3 --python /nonexistent/python dice
  [ "$status" -eq 3 ]
  [[ "$output" == */nonexistent/python* ]]
}

@test "plot roofline draws the newest run, or one that is named" {
  run "$harness" plot roofline
  [ "$status" -eq 5 ]
  bench linear >out 2>err
  bench expand >out 2>err # no arithmetic forward, some backward
  [ "$("$harness" plot roofline 1)" = "$work/results/plots/roofline.svg" ]
  grep -q "linear" results/plots/roofline.svg
  grep -q "GFLOP/s" results/plots/roofline.svg
  [ "$(grep -c "linear" results/plots/roofline.tsv)" -ge 2 ]
  run "$harness" plot roofline none
  [ "$status" -ne 0 ]
}

@test "told to end, and its group too as timeout(1) does it, a bench ends with the rows that it has" {
  "$harness" bench >out 2>err 3>&- &
  local pid=$!
  wait_for grep -q forward out
  kill -TERM $pid
  sleep 0.05
  kill -TERM $pid
  local code=0
  wait $pid || code=$?
  [ "$code" -eq 75 ]
  grep -q "interrupted; the rows so far are stored" err
}
