#!/usr/bin/env bats
# `make gpu-check` where there is no GPU: it skips; and with a GPU, a build and results that are played, what it makes
# of them: order, limits of time, exit code, report.

setup() {
  root="$(cd "$BATS_TEST_DIRNAME/.." && pwd)"
  work="$(mktemp -d)"
  export OUT="$work/out" BUILD="$work/build" MAKE=true BENCH=.01 HARNESS_PYTHON=python3
  mkdir -p "$BUILD/tests" "$work/bin"
  PATH="$work/bin:$PATH"
  player nvidia-smi 'case "$*" in -L) echo "GPU 0: NVIDIA Fake" ;; *cap*) echo 9.0 ;; *) echo "NVIDIA Fake, 580.1" ;; esac'
  player compute-sanitizer 'shift 4; "$@"'
  cp "$work/bin/nvidia-smi" "$work/smi"
  cat >"$BUILD/tests/test_cuda" <<'END'
#!/bin/sh
echo "test_cuda $*" >>"$OUT/called"
case "$*" in *"$BROKEN"*) [ -z "$BROKEN" ] || { echo "FAIL $*"; echo "1 passed, 1 failed, 0 skipped"; exit 1; } ;; esac
echo "3 passed, 0 failed, 1 skipped"
END
  cat >"$BUILD/harness" <<'END'
#!/bin/sh
echo "harness $*" >>"$OUT/called"
[ "$1" != bench ] || { sleep "${SLOW:-0}"; echo "a row of $*"; }
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
  chmod +x "$BUILD/harness" "$BUILD/tests/test_cuda"
  mkdir -p "$OUT"
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

@test "all is well: exit 0, a report with machine, table and numbers" {
  run "$root/tests/gpu-check"
  [ "$status" -eq 0 ]
  grep -q "NVIDIA Fake, 580.1" "$OUT/report.txt"
  [ "$(grep -c -E "^(build|parity|capture|200 steps|steps|ops|memory|races).* ok " "$OUT/report.txt")" -ge 9 ]
  grep -E "^(steps|attention) against PyTorch +(skipped|ok)" "$OUT/report.txt"
  grep -q "a row of bench --device cuda" "$OUT/report.txt"
  grep -q "the same bits; a repeated step too" "$OUT/report.txt"
  [ "$(grep -c "test_cuda --device cuda --bench --timed" "$OUT/called")" -eq 5 ]
  grep -q "run experiments/query_count.lua --device cuda .*--deterministic --no-capture" "$OUT/called"
  [ "$(grep "^harness run" "$OUT/called" | grep -c -- "--device cpu")" -eq 1 ]
}

@test "a wrong kernel or bits that differ fail it, what comes after still runs" {
  BROKEN=softmax run "$root/tests/gpu-check"
  [ "$status" -eq 1 ]
  grep -E "^parity with the double reference +FAILED .* 1 failed" "$OUT/report.txt"
  grep -E "^races +ok" "$OUT/report.txt"
  rm -rf "$OUT"/*
  REPEATED=ulp run "$root/tests/gpu-check"
  [ "$status" -eq 1 ]
  grep -E "^capture against no capture +FAILED" "$OUT/report.txt"
}

@test "no time is left: the rest is skipped, and that is no failure" {
  SECONDS=0
  SLOW=99 SECONDS_IN_ALL=15 run "$root/tests/gpu-check"
  [ "$status" -eq 0 ]
  ((SECONDS < 90))
  grep -E "^races +skipped .*no time is left" "$OUT/report.txt"
}
