#!/usr/bin/env bats
# Rows that train for as long as another (lua/harness/as_long.lua): their steps follow from what trainings took.

load cli

with_later() { # rows 0 and 1 take 3 and 1 s for as many steps; the third is to take as long as the first
  experiment rows=3 seeds=2 steps=5 paper=-,-,-
  /usr/bin/python3 - <<'END'
import json
document = json.load(open("experiment.json"))
for cell in document["cells"]:
    cell["config"]["warmup"] = 1
    cell["config"]["train_s"] = 3.0 if cell["row"] == 0 else 1.0
document["later"] = [{**cell, "as_long": {"as": 0, "by": 1}} for cell in document["cells"] if cell["row"] == 2]
document["cells"] = [cell for cell in document["cells"] if cell["row"] != 2]
json.dump(document, open("experiment.json", "w"))
END
}

@test "steps follow from what others took, once that is stored, and the same command has the same trials again" {
  with_later
  "$harness" run experiment.json --dry-run >dry
  grep -q "^4 of 4 trials would run$" dry
  grep -q "^2 more wait for what others' trainings take$" dry
  "$harness" run experiment.json >table 2>said
  grep -q "2 of 6 trials to run" said
  steps() {
    sql "SELECT DISTINCT t.config ->> '$.steps' || ' ' || (t.config ->> '$.warmup') FROM rows r JOIN cells c ON c.row_id = r.id
         JOIN trials t ON t.id = c.trial_id WHERE r.position = $1"
  }
  [ "$(steps 0)" = "5 1" ]
  [ "$(steps 2)" = "15 3" ]
  [ "$(grep -c "done" table)" -eq 3 ]
  "$harness" run experiment.json >again 2>said
  grep -q "0 of 6 trials to run" said
  cmp table again
  [ "$(sql "SELECT count(*) FROM plans")" = 1 ]
  sql "UPDATE attempts SET train_s = 4 WHERE train_s = 3"
  "$harness" run experiment.json >again 2>said
  [ "$(steps 2)" = "20 4" ]
  [ "$(sql "SELECT count(*) FROM cells")" = 6 ]
  # One of them stood in the way of other work: by the clock it was longer, of the processors it took what the other did.
  sql "UPDATE attempts SET processor_s = 2 WHERE train_s = 4"
  "$harness" run experiment.json >again 2>said
  [ "$(steps 2)" = "20 4" ] # of one alone it is no comparison
  sql "UPDATE attempts SET processor_s = 1 WHERE train_s = 1"
  "$harness" run experiment.json >again 2>said
  [ "$(steps 2)" = "10 2" ]
}

@test "what has not ended well says nothing: trials wait, and are told" {
  with_later
  sed -i 's/"fake": "done"/"fake": "failed"/' experiment.json
  run "$harness" run experiment.json
  [ "$status" -eq 1 ]
  [[ "$output" == *"2 trials wait for what others' trainings take before their steps are known"* ]]
}

refused() { # TEXT AS_LONG TYPED...
  cat >one.lua <<END
return { title = "One", seeds = 1, rows = { { key = "a", set = { queries = 1 } }, { key = "b", set = { queries = 2 } },
  { key = "c", set = { queries = 2 }, as_long = $2 } } }
END
  run "$harness" run one.lua --dry-run "${@:3}"
  echo "$output"
  [ "$status" -eq 2 ] && [[ "$output" == *"$1"* ]]
}

@test "what as_long cannot mean is refused" {
  refused 'one.lua:2: rows[3]: as_long: as = "x": there is no such row' '{ as = "x", by = "b" }'
  refused "expected { as = KEY, by = KEY }" '{ as = "a" }'
  refused "expected { as = KEY, by = KEY }, found 'of'" '{ of = "a", by = "b" }'
  refused "lr=tuned is for rows whose steps are given" '{ as = "a", by = "b" }' lr=tuned
  refused "until=decided is for rows whose steps are given; give seeds=N" '{ as = "a", by = "b" }' until=decided
  run "$harness" run one.lua --dry-run
  [[ "$output" == *"1 more wait for what others' trainings take"* ]]
}
