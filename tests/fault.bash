# Faults that a test injects by build/tests/fault.so (tests/fault.c), and the table of what came of them. With SOAK in the
# environment a test does its long form (tests/soak).

long_or() { # LONG SHORT: how often
  if [ -n "$SOAK" ]; then echo "$1"; else echo "$2"; fi
}

# COMMAND with a fault at call AT (0: none, the calls are counted). FAULT_FILES, FAULT_IN, FAULT_CALLS and FAULT_STAYS as they
# stand in the environment.
with_fault() { # AT WHAT COMMAND...
  local library="${BUILD:-build}/tests/fault.so"
  [[ "$library" == /* ]] || library="$root/$library"
  [ -f "$library" ] || { echo "make $library first"; return 99; }
  rm -f "$work/fault.state"
  FAULT_AT=$1 FAULT_DO=$2 FAULT_STATE="$work/fault.state" LD_PRELOAD="$library" "${@:3}"
}

# Of the last COMMAND: how many calls counted, how many of them failed, and the first of these.
fault_calls() { od -An -td4 -N4 "$work/fault.state" | tr -d ' '; }
fault_struck() { od -An -td4 -j4 -N4 "$work/fault.state" | tr -d ' '; }
fault_what() { tail -c +13 "$work/fault.state" | head -c 500 | tr -d '\0'; }

# Of a COMMAND in the background with the fault `stop`: whether the process that counts stands still; it goes on once a signal
# waits for it.
stands_still() { [ -s "$work/fault.state" ] && [ "$(fault_struck)" -gt 0 ]; }
goes_on() {
  local pid
  pid=$(od -An -td4 -j512 -N4 "$work/fault.state" | tr -d ' ')
  wait_for grep -q '^ShdPnd:.*[1-9a-f]' "/proc/$pid/status"
  kill -CONT "$pid"
}

# N numbers from 1 to LAST, the first and the last among them; all where there are no more.
some_of() { # N LAST
  awk -v n="$1" -v last="$2" 'BEGIN { if (n > last) n = last
    for (i = 0; i < n; i++) print n < 2 ? 1 : 1 + int(i * (last - 1) / (n - 1) + .5) }'
}

# A line of the table of faults: what was done, how often, how many trials or figures it cost; fails where that is not 0.
injected() { # WHAT TIMES LOST
  [ -z "$FAULTS" ] || printf '%s\t%s\t%s\n' "$@" >>"$FAULTS"
  [ "$3" -eq 0 ]
}
