#!/usr/bin/env bats
# `make gpu-check` where there is no GPU: it skips; and with a GPU, programs and results that are played, what it makes
# of them: order, limits of time, crashes, a signal, exit code, report and archive.

setup() {
  root="$(cd "$BATS_TEST_DIRNAME/.." && pwd)"
  work="$(mktemp -d)"
  export OUT="$work/out" BUILD="$work/build" MAKE=true BENCH=.01 HARNESS_PYTHON=python3 CALLED="$work/called"
  results="$BUILD/gpu-check"
  mkdir -p "$BUILD/tests" "$work/bin" "$OUT"
  PATH="$work/bin:$PATH"
  player nvidia-smi 'case "$*" in -L) echo "GPU 0: NVIDIA Fake" ;; *cap*) echo 9.0 ;; *) echo "NVIDIA Fake, 580.1" ;; esac'
  player compute-sanitizer 'shift 4; "$@"'
  cat >"$work/counters" <<'END'
"ID","Kernel Name","Grid Size","gpu__time_duration.sum","dram__bytes.sum","dram__throughput.avg.pct_of_peak_sustained_elapsed","lts__throughput.avg.pct_of_peak_sustained_elapsed","l1tex__throughput.avg.pct_of_peak_sustained_elapsed","sm__throughput.avg.pct_of_peak_sustained_elapsed","sm__warps_active.avg.pct_of_peak_sustained_active","launch__registers_per_thread"
"","","","ns","Mbyte","%","%","%","%","%","register/thread"
"0","void <unnamed>::gather<float>(int)","(264, 1, 1)","1,500","2,000.5","50.1","40","30","20","10","72"
END
  player ncu "while [ \"\${1#*/test_}\" = \"\$1\" ]; do [ \"\$1\" != --log-file ] || cp '$work/counters' \"\$2\"; shift; done; \"\$@\""
  cat >"$BUILD/tests/test_cuda" <<'END'
#!/bin/sh
echo "$(basename "$0") $*" >>"$CALLED"
case "$*" in *--properties) echo '{"deviceName": "NVIDIA Fake"}'; exit ;; esac
case "$*" in *"$BROKEN"*) [ -z "$BROKEN" ] || { echo "FAIL $*"; echo "1 passed, 1 failed, 0 skipped"; exit 1; } ;; esac
echo "3 passed, 0 failed, 1 skipped"
END
  cp "$BUILD/tests/test_cuda" "$BUILD/tests/test_sampled"
  cat >"$BUILD/harness" <<'END'
#!/bin/sh
echo "harness $*" >>"$CALLED"
echo "home $HARNESS_HOME" >>"$CALLED"
[ "$1" != doctor ] || echo "ok    cuda        ${DOCTOR:-cuDNN 9.19.0}"
case "$1 $*" in "bench "*--profile*) [ -z "$CRASH" ] || kill -SEGV $$ ;; esac
[ "$1" != bench ] || { [ -z "$SLOW" ] || sleep "$SLOW" & echo $! >"$CALLED.sleeper"; wait; echo "a row of $*"; }
[ "$1" = run ] || exit 0
while [ "$1" != --db ]; do shift; done
folder=$(dirname "$2")
mkdir -p "$folder/checkpoints" "$folder/logs"
echo "weights" >"$folder/checkpoints/a.safetensors"
echo "a step that is repeated: ${REPEATED:-bitwise}" >"$folder/logs/a.log"
python3 - "$2" <<'PY'
import sqlite3, sys
d = sqlite3.connect(sys.argv[1])
d.execute("CREATE TABLE curves(step, loss)")
d.executemany("INSERT INTO curves VALUES(?, ?)", [(i, 2 - i / 100) for i in range(100)])
d.commit()
PY
END
  chmod +x "$BUILD/harness" "$BUILD"/tests/test_*
}

teardown() {
  rm -rf "$work"
}

player() { # NAME TEXT: a program of that name
  printf '#!/bin/sh\n%s\n' "$2" >"$work/bin/$1"
  chmod +x "$work/bin/$1"
}

@test "without a GPU it skips" {
  player nvidia-smi 'exit 9'
  run "$root/tests/gpu-check"
  [ "$status" -eq 0 ]
  [[ "$output" == SKIP:* ]]
}

@test "all is well: exit 0, a report with machine, table and numbers, an archive, both copied to OUT and nothing else" {
  run "$root/tests/gpu-check"
  [ "$status" -eq 0 ]
  grep -q "NVIDIA Fake, 580.1" "$results/report.txt"
  [ "$(grep -c -E "^(build|parity|sampled|steps|capture|150 steps|counters|memory|races).* ok " "$results/report.txt")" -eq 9 ]
  grep -E "^against PyTorch +(skipped|ok)" "$results/report.txt"
  grep -q 'a row of bench --device cuda .*--no-price --time .01 --profile step:unet-paper:bf16' "$results/report.txt"
  grep -q '{"deviceName": "NVIDIA Fake"}' "$results/logs/build.log"
  grep -q "the same bits; a repeated step too" "$results/report.txt"
  [ "$(grep -c "test_sampled --paper --timed --tf32 --engines .* --part [0-9]*/14" "$CALLED")" -eq 14 ]
  grep -E "^gather<float>\(int\) +\(264, 1, 1\) +1.5 +2000.5 +50.1 .* 72$" "$results/report.txt"
  [ "$(grep -c "test_cuda --device cuda [a-z_]*$" "$CALLED")" -ge 20 ]
  grep -q "run experiments/query_count.lua --device cuda .*--deterministic --no-capture" "$CALLED"
  [ "$(grep "^harness run" "$CALLED" | grep -c -- "--device cpu")" -eq 1 ]
  tar -tzf "$results/logs.tar.gz" | grep -q "logs/captured/logs/a.log"
  [ "$(tar -tzf "$results/logs.tar.gz" | grep -c -E "db$|safetensors")" -eq 0 ]
  [ "$(ls "$OUT")" = "$(printf 'gpu-check-logs.tar.gz\ngpu-check-report.txt')" ]
  [ "$(stat -c %s "$results/report.txt")" -lt 200000 ]
}

@test "only the steps that are asked for" {
  ONLY="parity races" run "$root/tests/gpu-check"
  [ "$status" -eq 0 ]
  [ "$(sed -n '/^build/,/^$/p' "$results/report.txt" | cut -d ' ' -f 1 | xargs)" = "build parity races" ]
  [ "$(grep -c "^harness run" "$CALLED")" -eq 0 ]
}

@test "a wrong kernel, bits that differ or a crash fail it, what comes after still runs" {
  BROKEN=softmax run "$root/tests/gpu-check"
  [ "$status" -eq 1 ]
  grep -E "^parity with the double reference +FAILED .* 1 failed" "$results/report.txt"
  grep -E "^races +ok" "$results/report.txt"
  REPEATED=ulp CRASH=1 run "$root/tests/gpu-check"
  [ "$status" -eq 1 ]
  grep -E "^capture against no capture +FAILED" "$results/report.txt"
  grep -E "^steps node by node +CRASHED" "$results/report.txt"
  grep -E "^races +ok" "$results/report.txt"
}

@test "no time is left: the step is stopped, the rest skipped, and that is no failure" {
  SECONDS=0
  SLOW=99 SECONDS_IN_ALL=15 run "$root/tests/gpu-check"
  [ "$status" -eq 0 ]
  ((SECONDS < 60))
  grep -E "^steps node by node +stopped" "$results/report.txt"
  grep -E "^races +skipped .*no time is left" "$results/report.txt"
}

@test "a signal in the middle: report and archive are there, at once" {
  SLOW=99 "$root/tests/gpu-check" >"$work/said" 2>&1 &
  pid=$!
  for _ in $(seq 1200); do grep -q -- --profile "$CALLED" 2>/dev/null && break; sleep .1; done
  SECONDS=0
  kill -TERM $pid
  status=0
  wait $pid || status=$?
  [ $status -eq 143 ]
  ((SECONDS < 20))
  for _ in $(seq 100); do kill -0 "$(cat "$CALLED.sleeper")" 2>/dev/null || break; sleep .1; done
  run kill -0 "$(cat "$CALLED.sleeper")"
  [ "$status" -ne 0 ]
  grep -E "^parity with the double reference +ok" "$OUT/gpu-check-report.txt"
  tar -tzf "$OUT/gpu-check-logs.tar.gz" | grep -q "logs/build.log"
}

@test "what was bundled is run as it is, nothing is built" {
  mkdir "$work/pack"
  cp "$BUILD/harness" "$BUILD"/tests/test_* "$work/pack/"
  (cd "$root" && cp --parents -r experiments kernels/ops.def "$work/pack")
  echo abc1234 >"$work/pack/commit"
  tar -czf "$BUILD/gpu-bundle.tar.gz" -C "$work/pack" .
  rm "$BUILD/harness" "$BUILD"/tests/test_*
  MAKE=false run "$root/tests/gpu-check"
  [ "$status" -eq 0 ]
  grep -q "commit abc1234" "$results/report.txt"
  grep -q "home $BUILD/gpu-bundle$" "$CALLED"
  grep -E "^races +ok" "$results/report.txt"
}

@test "libraries that only PyTorch has are found" {
  mkdir -p "$work/site/nvidia/cudnn/lib" "$work/site/nvidia/cu13/lib"
  sed -i 's|^#!/bin/sh|#!/bin/sh\ncase ":$LD_LIBRARY_PATH:" in *nvidia/cu13/lib*nvidia/cudnn/lib*) found=1 ;; esac\n[ "$1" != bench ] \|\| echo "found=$found" >>"$CALLED"|' "$BUILD/harness"
  DOCTOR="libcudnn.so.9: cannot open shared object file" PYTHONPATH="$work/site" run "$root/tests/gpu-check"
  grep -q "found=1" "$CALLED"
}

@test "PyTorch is told the number of its GPU" {
  cd "$root/tests/peer"
  /usr/bin/python3 -B -c 'import torch' 2>/dev/null || skip "no PyTorch"
  /usr/bin/python3 -B - <<'END'
import device, torch
seen = []
torch.cuda.is_available = lambda: True
torch.cuda.set_device = lambda device: seen.append(device.index)
for name in "cuda", "cuda:1": device.Device(name)
assert seen == [0, 1], seen
END
}
