#!/usr/bin/env bats
# Every instance of every kernel of ours ran in the emulator: the C tests wrote where those lie that they
# ran, their programs' symbols say which there are.

@test "the emulator's cases reach every kernel" {
  cd "$BATS_TEST_DIRNAME/.."
  build="${BUILD:-build}"
  programs="$build/tests/test_cuda_emulator $build/tests/test_cuda_volumes"
  for program in $programs; do
    [ $program.launched -nt $program ] || skip "$program did not run as a whole since it was built"
  done
  run python3 - $programs <<'PY'
import glob, re, subprocess, sys
definition = r"__global__\s+void\s+(?:__launch_bounds__\((?:[^()]|\([^()]*\))*\)\s*)?(\w+)\s*\("
names, kernels, ran = set(), set(), set()
for path in glob.glob("kernels/*.cu") + glob.glob("kernels/cuda/*.[ch]*") + glob.glob("kernels/volumes/*.cu") + ["engine/optimizer.cu"]:
    names |= set(re.findall(definition, open(path).read()))
for program in sys.argv[1:]:
    place = {}
    for line in subprocess.run(["nm", "-C", program], capture_output=True, text=True).stdout.splitlines():
        at, kind, name = (line.split(" ", 2) + ["", ""])[:3]
        if kind in ("t", "T") and "clone" not in name: place.setdefault(name, set()).add(int(at, 16))
    start = min(place["emulator_report"])
    launched = {start + int(line) for line in open(program + ".launched")}
    for name, at in place.items():
        found = re.match(r"(?:void )?(\w+)(?:<.*>)?\(", name)
        if not found or found.group(1) not in names or "lambda" in name: continue
        kernels.add(name)
        if at & launched: ran.add(name)
print(*sorted(kernels - ran), sep="\n")
print(len(kernels), "instances,", len(kernels - ran), "never ran")
sys.exit(bool(kernels - ran) or len(kernels) < 200)
PY
  echo "$output"
  [ "$status" -eq 0 ]
}
