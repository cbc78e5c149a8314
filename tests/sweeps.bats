#!/usr/bin/env bats
# Which sweep a table is of: the newest, and it says so where others were trained longer or shorter.

load cli

@test "a smoke test does not replace a finished sweep silently; the runs of a table are listed and chosen" {
  experiment rows=2 seeds=3 steps=9
  "$harness" run -q experiment.json >finished
  experiment rows=2 seeds=1 steps=2
  "$harness" run -q experiment.json >smoke
  "$harness" table 6 >shown 2>told
  cmp shown smoke
  grep -qF 'harness: run 2 is shown, the newest, of 2 steps; 1 of other steps is stored too: `harness table 6 --list`, then --run N' told
  "$harness" table 6 --list >runs
  grep -Eq '^2 +quick +phantom +cpu +2 +1 +2 +2 of 2 +20' runs
  grep -Eq '^1 +quick +phantom +cpu +2 +3 +9 +6 of 6 +20' runs
  "$harness" table query_count --list | cmp - runs
  [ "$("$harness" table 6 --list --json | python3 -c 'import json, sys; print([r["run"] for r in json.load(sys.stdin)["runs"]])')" = "[2, 1]" ]
  "$harness" table 6 --run 1 2>told | cmp - finished
  [ ! -s told ]
  "$harness" table 6 steps=9 | cmp - finished
  "$harness" table 6 steps=2 | cmp - smoke
  "$harness" table query_count steps=9 lr=0.1 | cmp - finished
  for words in "--run 3" steps=5 "--run 2 steps=9"; do
    # shellcheck disable=SC2086
    run "$harness" table 6 $words
    [ "$status" -eq 5 ]
    [[ "$output" == *'no stored run of 6 is so; `harness table 6 --list` lists what there is'* ]]
  done
  run "$harness" table 6 --run x
  [ "$status" -eq 2 ]
}

@test "trials are listed by figure, and a trial's log is printed" {
  experiment rows=3 seeds=1
  "$harness" run -q experiment.json >/dev/null
  "$harness" runs list --sort figure --json >list.json
  python3 -c '
import json
figures = [t["figure"] for t in json.load(open("list.json"))["trials"]]
assert len(figures) == 3 and figures == sorted(figures, reverse=True) and figures[0] > figures[2], figures'
  run "$harness" runs list --sort nothing
  [ "$status" -eq 2 ]
  hash="$(python3 -c 'import json; print(json.load(open("list.json"))["trials"][0]["hash"])')"
  "$harness" runs logs "${hash:0:8}" | cmp - "$(find results -name "$hash*.log")"
  rm "$(find results -name "$hash*.log")"
  run "$harness" runs logs "$hash"
  [ "$status" -eq 5 ]
  [[ "$output" == *"the trial's log cannot be read"* ]]
}

@test "a trial gets words by which it is found, and sentences; they are taken back, and go along in a merge" {
  experiment rows=2 seeds=1
  "$harness" run -q experiment.json >/dev/null
  hash="$(sql "SELECT hash FROM trials WHERE id = 2")"
  "$harness" runs tag "${hash:0:8}" camera-ready odd
  "$harness" runs tag "$hash" odd # again: nothing changes
  "$harness" runs note "$hash" "loss spikes at step 3"
  [ "$("$harness" runs list --tag odd | grep -oE '^[0-9a-f]{8}')" = "${hash:0:8}" ]
  "$harness" runs show "$hash" >shown
  grep -Eq '^  tag +camera-ready$' shown
  grep -Eq '^  note +loss spikes at step 3$' shown
  "$harness" merge results/harness.db --db other.db
  "$harness" merge results/harness.db --db other.db
  "$harness" runs show "$hash" --db other.db | grep -Eq '^  note +loss spikes'
  "$harness" runs tag "$hash" odd --remove
  run "$harness" runs list --tag odd
  [ "$status" -eq 5 ]
  run "$harness" runs tag "$hash" odd --remove
  [ "$status" -eq 5 ]
  [[ "$output" == *"has no tag \"odd\""* ]]
  run "$harness" runs tag "$hash" "two words"
  [ "$status" -eq 2 ]
  run "$harness" runs note "$hash"
  [ "$status" -eq 2 ]
  [[ "$output" == *"needs TRIAL TEXT"* ]]
  run "$harness" runs tag 0000 word
  [ "$status" -eq 5 ]
}

widest() { python3 -c 'import sys; print(max(len(line.rstrip("\r\n")) for line in sys.stdin))'; }

@test "on a terminal no line of a table and its notes is wider than 80 columns; what reads a pipe gets whole lines" {
  experiment seeds=5 cases=5
  "$harness" run -q experiment.json >piped
  script -qec "'$harness' table 6" /dev/null </dev/null >seen
  [ "$(widest <seen)" -le 80 ]
  [ "$(widest <piped)" -gt 120 ]
  [ "$(tr -d '\r' <seen | tr -s ' \n' ' ')" = "$(tr -s ' \n' ' ' <piped)" ] # the same words
}

@test "runs list is no wider than 80 columns: what is the same in all rows is told below, else it is set in blocks" {
  experiment seeds=2
  "$harness" run -q experiment.json >/dev/null
  "$harness" runs list >list
  grep -qx "in all rows: attempts 1, device cpu" list
  refute grep -qE "^trial.*(device|attempts)" list
  [ "$(grep -cE '^[0-9a-f]{8} +done ' list)" -eq 8 ]
  [ "$(widest <list)" -le 80 ]
  sed -i 's/"queries=3"/"queries=3, a key that alone would fill half of a line"/; s/"query_count"/"a_name_of_thirty_and_some_letters"/' experiment.json
  "$harness" run -q experiment.json >/dev/null
  "$harness" runs list >list
  [ "$(widest <list)" -le 80 ]
  [ "$(grep -c '^trial' list)" -ge 2 ]
  grep -q "that alone would fill half of a line" list
  grep -q "  a_name_of_thirty_and_some_letters$" list
  for head in status row seed figure wall; do grep -qE "^trial.* $head( |$)" list; done
}
