#!/usr/bin/env bats
# What others do to a database: pages of it are damaged, it comes from a newer program, checkpoints are deleted, two sweeps want
# it at once, another program holds it, machines share its disk.

load cli
load fault

same() {
  /usr/bin/python3 "$root/tests/same_results.py" "$@"
}

damage() { # FILE PAGE: 4 KiB of rubbish, of which nothing is a page
  /usr/bin/python3 -c 'import random, sys
with open(sys.argv[1], "r+b") as file:
    file.seek(4096 * int(sys.argv[2]))
    file.write(random.Random(sys.argv[2]).randbytes(4096))' "$@"
}

@test "a database with a damaged page is named with what can be done, nothing is written into it, and what can be read goes on" {
  experiment rows=4 seeds=3 steps=40
  "$harness" run -q experiment.json >/dev/null
  cp -r results whole
  experiment rows=4 seeds=4 steps=40
  HARNESS_DB="$work/whole/harness.db" "$harness" run -q experiment.json >/dev/null
  local pages page lost=0 times=0 seen=0
  pages=$(($(stat -c %s results/harness.db) / 4096))
  for page in $(some_of "$(long_or 100000 10)" "$pages"); do
    rm -rf cut && cp -r results cut
    damage cut/harness.db $((page - 1))
    cp cut/harness.db before
    export HARNESS_DB="$work/cut/harness.db"
    times=$((times + 1))
    for words in "run -q experiment.json" "table 6" "runs list" "report" "doctor"; do
      # shellcheck disable=SC2086
      run "$harness" $words
      [ "$status" -lt 128 ] || { echo "page $page, $words: $output"; lost=$((lost + 1)); }
      [[ "$words" != "run -q"* ]] || local code=$status said=$output
    done
    if [ "$code" -eq 0 ]; then # a page that nothing lies on
      lost=$((lost + $(same whole/harness.db cut/harness.db)))
      continue
    fi
    seen=$((seen + 1))
    echo "page $page: $said"
    [ "$code" -eq 3 ]
    [[ "$said" == *"cut/harness.db"* ]]
    [[ "$said" == *".recover"* || "$said" == *"move the file away"* || "$said" == *"another program's"* ]]
    cmp before cut/harness.db || lost=$((lost + 1))
    [ -d cut/logs ]
    command -v sqlite3 >/dev/null || continue
    [[ "$said" == *".recover"* ]] || continue
    sqlite3 cut/harness.db .recover 2>/dev/null | sqlite3 cut/saved.db 2>/dev/null || true
    HARNESS_DB="$work/cut/saved.db" run "$harness" run -q experiment.json
    echo "$page saved: $output"
  done
  echo "$times pages damaged, $seen seen"
  [ "$seen" -gt 0 ]
  injected "a page of the database overwritten with rubbish: seen before a sweep writes, the file left as it is" $times $lost
}

@test "a database that ends early is damaged, an empty file is a new one" {
  experiment rows=2 seeds=2
  "$harness" run -q experiment.json >/dev/null
  local size keep times=0
  size=$(stat -c %s results/harness.db)
  for keep in 1 100 4000 4096 8192 $((size / 2)) $((size - 4096)); do
    rm -rf cut && cp -r results cut
    truncate -s "$keep" cut/harness.db
    HARNESS_DB="$work/cut/harness.db" run "$harness" run -q experiment.json
    echo "$keep of $size bytes: $output"
    [ "$status" -eq 3 ]
    [[ "$output" == *"cut/harness.db"* ]]
    [ "$(stat -c %s cut/harness.db)" -eq "$keep" ]
    times=$((times + 1))
  done
  : >cut/harness.db
  HARNESS_DB="$work/cut/harness.db" "$harness" run -q experiment.json >/dev/null
  [ "$(same results/harness.db cut/harness.db)" -eq 0 ]
  injected "the database's file cut short: seen, left as it is" $times 0
}

@test "deleted checkpoints: a trial that was stopped begins anew, and says so" {
  unset HARNESS_TRIAL_PROGRAM
  "$harness" data phantom set --size 16 --cases 4 --validation 1 --organs 2 -q
  tiny_unet 400 | sed 's/batch = 1/batch = 1, save_every = 20, threads = 1/' >tiny.lua
  HARNESS_DB="$work/whole/harness.db" "$harness" run -q tiny.lua >/dev/null
  local times=0 lost=0 how
  for how in gone folder empty; do
    rm -rf results
    "$harness" run -q tiny.lua >/dev/null 2>&1 3>&- &
    local pid=$!
    wait_for saved
    kill -KILL $pid
    wait $pid || true
    case $how in
      gone) rm results/checkpoints/* ;;
      folder) rm -r results/checkpoints ;;
      empty) for file in results/checkpoints/*; do : >"$file"; done ;;
    esac
    "$harness" run tiny.lua >/dev/null 2>err
    cat err
    grep -q "begins anew" err
    [ "$(sql "SELECT first_step FROM attempts ORDER BY id DESC LIMIT 1")" -eq 0 ]
    times=$((times + 1)) lost=$((lost + $(same --weights whole/harness.db results/harness.db)))
  done
  injected "checkpoints of a stopped trial deleted or emptied" $times $lost
}

saved() {
  ls results/checkpoints/*.safetensors >/dev/null 2>&1
}

@test "two sweeps into one database at once: one runs, the other says who does" {
  experiment rows=2 seeds=2 step_s=0.1 # longer than the moment that a lock is waited for
  HARNESS_DB="$work/whole/harness.db" "$harness" run -q experiment.json >/dev/null
  local times lost=0
  for ((times = 0; times < $(long_or 100 5); times++)); do
    rm -rf results
    local first second a=0 b=0
    "$harness" run -q experiment.json >/dev/null 2>one 3>&- &
    first=$!
    "$harness" run -q experiment.json >/dev/null 2>two 3>&- &
    second=$!
    wait $first || a=$?
    wait $second || b=$?
    cat one two
    [ "$a $b" = "0 3" ] || [ "$a $b" = "3 0" ] # one is done, one is refused
    grep -q "is running trials into this database" one two
    lost=$((lost + $(same whole/harness.db results/harness.db)))
    [ "$(sql "SELECT count(*) FROM attempts")" -eq 4 ]
  done
  injected "two sweeps started at once on one database" $times $lost
}

@test "another program that holds the database is waited for" {
  experiment rows=1 seeds=2 step_s=0.1
  "$harness" run -q experiment.json >/dev/null 2>err 3>&- &
  local pid=$!
  wait_for is_running
  /usr/bin/python3 -c 'import sqlite3, sys, time
db = sqlite3.connect(sys.argv[1], isolation_level=None)
db.execute("BEGIN IMMEDIATE")
time.sleep(int(sys.argv[2]))' "$HARNESS_DB" "$(long_or 30 3)"
  wait $pid
  cat err
  grep -q "another program holds .*harness.db; waiting for it" err
  [ "$(sql "SELECT count(*) FROM attempts WHERE status = 'done'")" -eq 2 ]
  injected "another program writes into the database for $(long_or 30 3) s while a sweep runs" 1 0
}

@test "on a disk that machines share the journal is no WAL, a sweep says what that means, and a lock names its machine" {
  experiment rows=1 seeds=2
  local type name
  while read -r type name; do
    rm -rf results
    FAULT_STATFS=$type with_fault 0 EIO "$harness" run experiment.json >/dev/null 2>err
    cat err
    grep -q "results/harness.db lies on a file system that machines share ($name): .*harness merge" err
    [ "$(sql 'PRAGMA journal_mode')" = delete ]
    [ "$(sql "SELECT count(*) FROM attempts WHERE status = 'done'")" -eq 2 ]
    FAULT_STATFS=$type with_fault 0 EIO "$harness" doctor | grep -q "shared with other machines by $name"
  done <<'END'
6969 NFS
ff534d42 CIFS
bd00bd0 Lustre
65735546 FUSE
END
  rm -rf results
  "$harness" run experiment.json >/dev/null 2>err
  [ "$(sql 'PRAGMA journal_mode')" = wal ]
  refute grep "machines share" err
  # a database that moved there is no WAL any more
  FAULT_STATFS=6969 with_fault 0 EIO "$harness" run -q experiment.json >/dev/null
  [ "$(sql 'PRAGMA journal_mode')" = delete ]
  /usr/bin/python3 -c 'import fcntl, sys, time
file = open(sys.argv[1] + ".lock", "r+")
fcntl.flock(file, fcntl.LOCK_EX)
file.truncate(0)
file.write("4711 elsewhere\n")
file.flush()
time.sleep(5)' "$HARNESS_DB" 3>&- &
  local pid=$!
  sleep 0.5
  run "$harness" run experiment.json
  kill $pid
  echo "$output"
  [ "$status" -eq 3 ]
  [[ "$output" == *"process 4711 of machine elsewhere is running trials"*"harness merge"* ]]
}
