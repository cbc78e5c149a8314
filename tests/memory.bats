#!/usr/bin/env bats
# Memory: what cannot fit is told before it begins, whom the kernel kills is told apart from whom somebody kills, and a
# sweep takes no more for its hundredth trial than for its tenth.

load cli
load fault

# A control group with so many MiB, of either version, into whose `cgroup.procs` a process writes itself; skips where none
# can be made.
small_group() { # MiB
  local root=/sys/fs/cgroup limit=memory.max
  [ -d $root/memory ] && root=$root/memory limit=memory.limit_in_bytes
  [ "$limit" = memory.limit_in_bytes ] || echo +memory >$root/cgroup.subtree_control 2>/dev/null || true
  group=$root/harness-test-$$
  if ! mkdir "$group" 2>/dev/null || ! echo $(($1 << 20)) 2>/dev/null >"$group/$limit" || ! [ -w "$group/cgroup.procs" ]; then
    rmdir "$group" 2>/dev/null || true
    skip "no control group can be made here"
  fi
  for swap in memory.swap.max memory.memsw.limit_in_bytes; do
    [ ! -w "$group/$swap" ] || echo $(($1 << 20)) >"$group/$swap" 2>/dev/null || echo 0 >"$group/$swap" 2>/dev/null || true
  done
}

in_group() { # COMMAND...
  (echo $BASHPID >"$group/cgroup.procs" && exec "$@")
}

leave_group() {
  local left=50
  until rmdir "$group" 2>/dev/null; do
    ((left-- > 0)) || return 0
    sleep 0.1
  done
}

@test "a trial whom the kernel kills for lack of memory is oom, says so, and the sweep goes on" {
  experiment rows=2 seeds=1 fake=queries=1:0:swell
  small_group 300
  run in_group "$harness" run experiment.json --jobs 1
  leave_group
  echo "$output"
  [ "$status" -eq 1 ]
  [[ "$output" == *"oom 1/2 queries=1 seed 0"*"killed by signal 9 (Killed) by the kernel for lack of memory"* ]]
  [[ "$output" == *"done 2/2 queries=2 seed 0"* ]]
  [ "$(sql "SELECT group_concat(status, ' ') FROM (SELECT status FROM attempts ORDER BY id)")" = "oom done" ]
  injected "trial killed by the kernel for lack of memory" 1 0
}

@test "a trial that cannot fit is oom before it begins, by the group's limit and by ulimit -v" {
  unset HARNESS_TRIAL_PROGRAM
  "$harness" data phantom set --size 16 --cases 3 --validation 1 --organs 2 -q
  tiny_unet 2 >tiny.lua
  run bash -c "ulimit -v 3000000; exec '$harness' run tiny.lua patch=256,256,256 batch=8"
  echo "$output"
  [ "$status" -eq 1 ]
  [[ "$output" == *"oom 1/1"*"out of memory: a training step takes "*" GiB with the weights, "*" GiB are available on cpu"* ]]
  [ "$(sql "SELECT count(*) FROM curves")" -eq 0 ]
  [ "$(sql "SELECT max_rss_bytes < 500 << 20, peak_bytes > 3 << 30, status FROM attempts")" = "1|1|oom" ]
  small_group 1000
  run in_group "$harness" run tiny.lua patch=256,256,256 batch=8 seeds=2
  leave_group
  echo "$output"
  [[ "$output" == *"oom 1/1 unet seed 1"*"out of memory: a training step takes "* ]]
  injected "a trial that cannot fit into the memory that is left: told before it begins" 2 0
}

# What the sweep's process holds, in KiB, after so many of its trials have ended.
held_after() { # ENDED
  until [ "$(sql "SELECT count(*) FROM attempts WHERE status = 'done'" 2>/dev/null || echo 0)" -ge "$1" ]; do sleep 0.2; done
  awk '/^(VmRSS|RssFile):/ { sum += ($1 == "VmRSS:" ? $2 : -$2) } END { print sum }' "/proc/$sweep/status"
}

@test "the sweep's process does not grow with the trials that it runs" {
  local trials="${SOAK:+500}"
  trials="${trials:-60}"
  experiment rows=1 seeds=$((trials + 5)) cases=1 steps=2
  "$harness" run experiment.json -q --jobs 2 >/dev/null 2>&1 3>&- &
  sweep=$!
  local early late
  early="$(held_after $((trials / 3)))"
  late="$(held_after "$trials")"
  kill "$sweep"
  wait "$sweep" || true
  echo "$early KiB after $((trials / 3)), $late KiB after $trials"
  [ "$early" -gt 100 ]
  [ $((late - early)) -le $((trials * 2 / 3 + 2048)) ] # SQLite keeps up to 2 MiB of pages; messages less than a KiB a trial
  injected "trials that one sweep runs, whose memory does not grow" "$trials" 0
}
