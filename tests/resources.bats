#!/usr/bin/env bats
# What nvcc says of every kernel: registers, shared and local memory.

# Of FILE..., as nvcc --resource-usage writes them: an array in local memory is an error, and registers that are spilled; not
# what a call of a slow path (a division in 64 bits, a sine far from 0) takes: a stack of 96 bytes, spills of 32 around it.
# All that have a stack are listed, and the ten with the most registers.
resources() {
  cat "$@" | c++filt | /usr/bin/python3 -c '
import re, sys
kernels, name, arch, local, spilled = {}, None, None, 0, False
for line in sys.stdin:
    found = re.search(r"Compiling entry function .(.*). for .sm_(\d+)", line)
    if found: name, arch = found.group(1), found.group(2)
    found = re.search(r"(\d+) bytes stack frame, (\d+) bytes spill stores, (\d+) bytes spill loads", line)
    if found: local, spilled = max(map(int, found.groups())), max(map(int, found.groups()[1:])) > 32
    found = re.search(r"Used (\d+) registers", line)
    if found and name:
        shared = re.search(r"(\d+) bytes smem", line)
        kernels[name, arch] = int(found.group(1)), int(shared.group(1)) if shared else 0, local, spilled or local > 96
        name, local, spilled = None, 0, False
print("registers  shared  local  sm  kernel, of %d" % len(kernels))
order = sorted(kernels, key=lambda k: (-kernels[k][2], -kernels[k][0], k))
some = [k for k in order if kernels[k][2]]
for k in some + [k for k in order if k not in some][:10]:
    print("%9d %7d %6d  %s  %s" % (*kernels[k][:3], k[1], re.sub(r"\(.*|^void ", "", k[0])))
sys.exit(any(k[3] for k in kernels.values()) or not kernels)'
}

@test "no kernel spills or has an array in local memory" {
  cd "$BATS_TEST_DIRNAME/.."
  build="${BUILD:-build}"
  mapfile -t files < <(find "$build/kernels" "$build/engine" -name '*.cu.resources' 2>/dev/null)
  [ ${#files[@]} -gt 0 ] || skip "no CUDA build"
  run resources "${files[@]}"
  echo "$output" >&3
  [ "$status" -eq 0 ]
}

@test "a kernel that spills is named" {
  cat >"$BATS_TEST_TMPDIR/spills" <<'END'
ptxas info    : Compiling entry function '_Z4goodv' for 'sm_90'
ptxas info    : Function properties for _Z4goodv
    0 bytes stack frame, 0 bytes spill stores, 0 bytes spill loads
ptxas info    : Used 90 registers, used 1 barriers, 1024 bytes smem
ptxas info    : Compiling entry function '_Z3badv' for 'sm_90'
ptxas info    : Function properties for _Z3badv
    32 bytes stack frame, 72 bytes spill stores, 60 bytes spill loads
ptxas info    : Used 80 registers, used 1 barriers, 32 bytes cumulative stack size
END
  run resources "$BATS_TEST_TMPDIR/spills"
  [ "$status" -eq 1 ]
  [[ "${lines[1]}" == *" 72  90  bad" ]]
  [[ "${lines[2]}" == *"90    1024      0  90  good" ]]
}
