#!/usr/bin/env bats
# A sweep of two workers that really train is killed at random moments, again and again: in the end it has what the undisturbed
# one has. 200 kills in the long form (tests/soak kills).

load cli
load fault

setup() {
  work_in "$(mktemp -d)"
  export HARNESS_CLAIMS="$work"
  "$harness" data phantom set --size 16 --cases 4 --validation 1 --organs 2 -q
  tiny_unet 100 >tiny.lua
}

sweep() { # FOLDER: becomes the sweep
  export HARNESS_DB="$work/$1/harness.db"
  exec "$harness" run tiny.lua -q --jobs 2 seeds=3 save_every=20 threads=1
}

# Kills the sweep (then its trials end by themselves) or the sweep and its trials at once, as a power cut does.
kill_it() { # PID HOW
  local trials=""
  [ "$2" = sweep ] || trials="$(pgrep -P "$1")"
  # shellcheck disable=SC2086
  kill -KILL "$1" $trials 2>/dev/null
}

@test "killed at random moments, a sweep of two workers loses no trial, runs none twice and ends in the same tables and weights" {
  local wanted kills=0 sweeps=0 lost=0 begin span
  wanted=$(long_or 200 10)
  begin=$(date +%s%N)
  (sweep whole) >/dev/null
  span=$((($(date +%s%N) - begin) / 1000000))
  RANDOM=${SEED:-22}
  while [ "$kills" -lt "$wanted" ]; do
    rm -rf cut
    while :; do
      (sweep cut) >/dev/null 2>err 3>&- &
      local pid=$! code=0
      sleep "$(awk -v r=$RANDOM -v span=$span 'BEGIN { print r / 32768 * span / 1000 }')"
      [ "$kills" -ge "$wanted" ] || kill_it $pid "$([ $((RANDOM % 2)) = 0 ] && echo sweep || echo all)" || true
      wait $pid || code=$?
      [ $code -eq 137 ] || break
      kills=$((kills + 1))
    done
    cat err
    [ $code -eq 0 ]
    sweeps=$((sweeps + 1))
    wait_for none_left
    lost=$((lost + $(/usr/bin/python3 "$root/tests/same_results.py" --weights whole/harness.db cut/harness.db)))
  done
  echo "$kills kills of $sweeps sweeps that take $span ms undisturbed"
  injected "a sweep of two workers, or it and its trials, killed (SIGKILL) at random moments" $kills $lost
}

# Trials of this test that live: they work in its folder.
none_left() {
  local process
  for process in $(pgrep -f "harness trial"); do
    [ "$(readlink "/proc/$process/cwd")" != "$work" ] || return 1
  done
}
