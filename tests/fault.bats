#!/usr/bin/env bats
# tests/fault.c itself: a fault strikes the call that it should, in the process that it should, and no other.

load cli
load fault

setup_program() { # writes three lines by stdio into out/a, syncs, renames it to out/b
  mkdir -p out
  cat >write.py <<'END'
import ctypes, os
libc = ctypes.CDLL(None, use_errno=True)
libc.fopen.restype = ctypes.c_void_p
file = ctypes.c_void_p(libc.fopen(b"out/a", b"w"))
assert file, os.strerror(ctypes.get_errno())
for word in (b"one", b"two", b"three"):
    assert libc.fputs(word + b"\n", file) >= 0 and libc.fflush(file) == 0, os.strerror(ctypes.get_errno())
assert libc.fsync(libc.fileno(file)) == 0 and libc.fclose(file) == 0, os.strerror(ctypes.get_errno())
assert libc.rename(b"out/a", b"out/b") == 0, os.strerror(ctypes.get_errno())
END
  export FAULT_FILES=out/
}

@test "calls are counted, stdio's too, on the files that are named alone" {
  setup_program
  with_fault 0 ENOSPC /usr/bin/python3 write.py
  [ "$(fault_calls)" -eq 6 ] # open, three writes, fsync, rename
  [ "$(fault_struck)" -eq 0 ]
  FAULT_CALLS=write,sync with_fault 0 ENOSPC /usr/bin/python3 write.py
  [ "$(fault_calls)" -eq 4 ]
  FAULT_FILES=elsewhere/ with_fault 0 ENOSPC /usr/bin/python3 write.py
  [ "$(fault_calls)" -eq 0 ]
  FAULT_IN=run with_fault 0 ENOSPC /usr/bin/python3 write.py # another word: not even a file that counts
  [ ! -e fault.state ]
}

@test "the n-th call fails with the error that is asked for, once or from then on" {
  setup_program
  run with_fault 3 ENOSPC /usr/bin/python3 write.py
  [ "$status" -eq 1 ]
  [[ "$output" == *"No space left on device"* ]]
  [ "$(fault_struck)" -eq 1 ]
  [[ "$(fault_what)" == write*out/a ]]
  [ "$(cat out/a)" = one ]
  run with_fault 6 EIO /usr/bin/python3 write.py
  [[ "$output" == *"Input/output error"* ]]
  [ "$(wc -l <out/a)" -eq 3 ]
  FAULT_CALLS=write run with_fault 2 short /usr/bin/python3 write.py
  [[ "$output" == *"No space left on device"* ]]
  [ "$(cat out/a)" = "$(printf 'one\ntw')" ]
  run with_fault 1 EROFS /usr/bin/python3 write.py
  [[ "$output" == *"Read-only file system"* ]]
}

@test "a process is killed before the n-th call, or all that count there" {
  setup_program
  for at in 1 2 3 4 5 6; do
    rm -rf out/a out/b
    run with_fault $at kill /usr/bin/python3 write.py
    [ "$status" -eq 137 ]
    [ "$(cat out/a 2>/dev/null | wc -l)" -eq $((at > 2 ? (at > 5 ? 3 : at - 2) : 0)) ]
    [ ! -e out/b ]
  done
  run with_fault 7 kill /usr/bin/python3 write.py
  [ "$status" -eq 0 ]
  FAULT_CALLS=rename run with_fault 1 cut bash -c 'sleep 60 & /usr/bin/python3 write.py; wait; echo survived'
  [ "$status" -eq 137 ]
  [[ "$output" != *survived* ]]
}

@test "SQLite's writes are among them" {
  export FAULT_FILES=h.db
  cat >insert.py <<'END'
import sqlite3
db = sqlite3.connect("h.db")
db.execute("PRAGMA journal_mode=WAL")
db.execute("CREATE TABLE IF NOT EXISTS t(x)")
db.execute("INSERT INTO t VALUES(1)")
db.commit()
END
  with_fault 0 ENOSPC /usr/bin/python3 insert.py
  [ "$(fault_calls)" -gt 10 ]
  FAULT_CALLS=write FAULT_FILES=-wal run with_fault 1 ENOSPC /usr/bin/python3 insert.py
  [[ "$output" == *"full"* ]]
  FAULT_CALLS=write,sync FAULT_STAYS=1 run with_fault 2 EIO /usr/bin/python3 insert.py
  [[ "$output" == *"disk I/O error"* ]]
  [ "$(fault_struck)" -gt 1 ]
}

@test "a process stands still before the n-th call until it is let go on with a signal that waits for it" {
  setup_program
  FAULT_CALLS=rename with_fault 1 stop exec /usr/bin/python3 write.py 3>&- &
  wait_for stands_still
  [ ! -e out/b ]
  kill -TERM $!
  goes_on
  local code=0
  wait $! || code=$?
  [ "$code" -eq 143 ]
}
