# One program for every x86-64: what is compiled for which processor, and that it runs on each (by qemu-user).

load work

setup() {
  work_in "$(mktemp -d)"
  build="${BUILD:-build}"
  [[ "$build" == /* ]] || build="$root/$build"
  unset HARNESS_ISA
}

teardown() {
  cd / && rm -rf "$work"
}

# The machine code of objects without what belongs to a higher level; prints what is of one, and where.
above() { # PATTERN OBJECT...
  local pattern=$1
  shift
  objdump -d --no-show-raw-insn "$@" 2>/dev/null | awk -v pattern="$pattern" '
    /file format/ { file = $1 }
    /^[0-9a-f]+ </ { name = $2 }
    $0 ~ pattern && !told[file, name]++ { print file, name, $0 }' | head -5
}

@test "one place asks what the compiler may use" {
  cd "$root"
  run bash -c "tests/sources '*.c' '*.h' '*.cc' '*.cu' | grep -v '^tests/' |
    xargs grep -nE '__(AVX|FMA|SSE|F16C|BMI)[A-Z0-9_]*__|immintrin' | grep -v '^kernels/cpu/simd.h:'"
  [ -z "$output" ]
}

@test "with AVX2, too, sigmoids are made a register at a time, and points of deformable attention stay in registers" {
  command -v objdump >/dev/null || skip "no objdump (binutils)"
  [ -f "$build/forms/v3.o" ] || skip "not compiled in forms"
  for name in mask_loss region_loss activation multiply; do
    objdump -d --no-show-raw-insn "$build/forms/v3/kernels/$name.cpu.o" | grep -q 'vdivps.*ymm'
  done
  [ "$(objdump -d --no-show-raw-insn "$build/forms/v3/kernels/deform_attention.cpu.o" | grep -c vinsertps)" -lt 40 ]
}

@test "only the form for AVX-512 holds its instructions, only that and the one for AVX2 holds AVX2's" {
  command -v objdump >/dev/null || skip "no objdump (binutils)"
  [ -f "$build/forms/v4.o" ] || skip "not compiled in forms"
  [ -z "$(above 'zmm' "$build/forms/v3.o")" ]
  [ -z "$(above '[yz]mm' "$build/forms/portable.o" $(find "$build"/base "$build"/kernels "$build"/engine "$build"/modules \
    "$build"/lua "$build"/src -name '*.o' ! -name '*.cu.o'))" ]
  objdump -d --no-show-raw-insn "$build/forms/v3.o" >v3
  objdump -d --no-show-raw-insn "$build/forms/v4.o" >v4
  grep -q 'vfmadd.*ymm' v3
  grep -q 'vfmadd.*zmm' v4
  grep -q 'vdpbf16ps' v4
  [ "$(nm -g --defined-only "$build/forms/v3.o" | grep -cv '_v3$')" -eq 0 ]
}

# The first steps of a small trial, each in a process on such a processor; prints losses.
losses() { # LIMIT, or PROCESSOR of qemu
  printf '#!/bin/sh\nexec qemu-x86_64 -cpu %s "%s" "$@"\n' "$1" "$harness" >trial
  chmod +x trial
  rm -rf results
  if [[ "$1" == v3 ]]; then export HARNESS_ISA=v3; else export HARNESS_TRIAL_PROGRAM="$work/trial"; fi
  HARNESS_HOME="$root" OMP_NUM_THREADS=1 "$harness" run "$root/experiments/query_count.lua" queries=1 seeds=1 steps=2 batch=1 \
    patch=8,8,8 widths=8,16 strides=1,1,1,2,2,2 kernels=3,3,3,3,3,3 query_scales=1 hidden=8 heads=1 ffn=8 key_grid=2,2,2 \
    phantom_size=16,16,16 phantom_cases=2 phantom_validation=1 phantom_organs=2 >out 2>err || cat err
  unset HARNESS_ISA HARNESS_TRIAL_PROGRAM
  sql "SELECT loss, grad_norm FROM curves ORDER BY step"
}

alike() { # FILE FILE: numbers to rounding, and as many
  /usr/bin/python3 -c 'import sys
a, b = ([float(x) for x in open(name).read().replace("|", " ").split()] for name in sys.argv[1:])
sys.exit(not (len(a) == len(b) == 4 and all(abs(x - y) <= 1e-4 * abs(x) for x, y in zip(a, b))))' "$1" "$2"
}

@test "the same program runs on a Haswell and on a processor without AVX, and trains alike" {
  command -v qemu-x86_64 >/dev/null || skip "no qemu-x86_64 (apt install qemu-user)"
  [ -f "$build/forms/v3.o" ] || skip "not compiled in forms"
  qemu-x86_64 -cpu Haswell "$harness" doctor >out 2>err || [ $? -ne 139 ]
  grep -Eq '^ok +isa +v3$' out
  qemu-x86_64 -cpu Nehalem "$harness" doctor >out 2>err || [ $? -ne 139 ]
  grep -Eq '^warn +isa +portable: plain loops' out
  [ "$(grep -c 'this processor has no AVX2 and FMA: plain loops' err)" -eq 1 ]
  losses Haswell >haswell
  losses Nehalem >nehalem
  alike haswell nehalem
  ! grep -q '^flags.* avx2' /proc/cpuinfo || { losses v3 >native && alike haswell native; }
}
