# Where a test works: in a folder of its own, with a database there, and nothing of the user's.
work_in() { # folder
  root="$(cd "$BATS_TEST_DIRNAME/.." && pwd)"
  local build="${BUILD:-build}"
  [[ "$build" == /* ]] || build="$root/$build"
  export harness="${HARNESS_BINARY:-$build/harness}"
  export work="$1"
  export HARNESS_DB="$work/results/harness.db"
  unset HARNESS_HOME HARNESS_TRIAL_PROGRAM
  cd "$work" || return
}

sql() { # STATEMENT: in the test's database; a line a row, | between columns
  /usr/bin/python3 -c 'import sqlite3, sys; d = sqlite3.connect(sys.argv[1])
for row in d.execute(sys.argv[2]): print(*row, sep="|")
d.commit()' "$HARNESS_DB" "$1"
}
