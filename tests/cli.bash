# Shared by the tests of the command line: trials are played by tests/fake_trial, experiments are made by
# tests/make_experiment, so nothing here trains. Each test works in a folder of its own.

load work

setup() {
  work_in "$(mktemp -d)"
  export HARNESS_CLAIMS="$work" # trials that run beside the test hold no processor of its own
  export HARNESS_TRIAL_PROGRAM="$root/tests/fake_trial"
  unset NO_COLOR
}

teardown() {
  rm -rf "$work"
}

experiment() {
  "$root/tests/make_experiment" "$@" >experiment.json
}

# Output of a command with standard error thrown away, and only the table part of it.
rows() {
  "$harness" table 6 --format csv 2>/dev/null
}

# Trials' processes of this test that still live: they run in its folder.
orphans() {
  local count=0 process
  for process in $(pgrep -f fake_trial); do
    [ "$(readlink "/proc/$process/cwd")" != "$work" ] || count=$((count + 1))
  done
  echo "$count"
}

no_orphans() {
  [ "$(orphans)" -eq 0 ]
}

is_running() {
  "$harness" runs list --status running >/dev/null 2>&1
}

# Runs the experiment until its first trial runs, then interrupts it, which must end with 75.
run_interrupted() {
  "$harness" run experiment.json >out 2>err 3>&- &
  local pid=$! code=0
  wait_for is_running
  kill -INT $pid
  wait $pid || code=$?
  [ "$code" -eq 75 ]
}
