#!/usr/bin/env bats
# Figures case by case, out of the program and out of the database's view.

load cli

@test "every figure that counts is a line, with its row, seed, case, structure, unit and situation, as CSV and as JSON lines" {
  experiment rows=2 seeds=3 cases=4
  "$harness" run -q experiment.json >/dev/null
  "$harness" export 6 >figures.csv
  "$harness" export query_count --format jsonl -o figures.jsonl
  "$harness" table 6 --json >table.json
  /usr/bin/python3 - "$HARNESS_DB" <<'END'
import csv, json, sqlite3, sys
rows = list(csv.DictReader(open("figures.csv", newline="")))
lines = [json.loads(line) for line in open("figures.jsonl")]
assert len(rows) == len(lines) == 2 * 3 * 4 * 2, len(rows)
for row, line in zip(rows, lines):
    assert line.pop("schema") == 1 and line.pop("document") == "figure"
    assert list(row) == list(line), (list(row), list(line))
    for key, value in line.items():
        assert row[key] == ("" if value is None else str(value)), (key, row[key], value)
absent = [line for line in lines if line["situation"] == "absent"]
assert len(absent) == 6 and all(line["value"] is None and line["structure"] == "liver" for line in absent)
assert {line["unit"] for line in lines} == {"1"} and {line["metric"] for line in lines} == {"dice"}
assert len(lines[0]["commit"]) == 40 or lines[0]["commit"] is None, lines[0]
# The table's means come out of it.
for row in json.load(open("table.json"))["rows"]:
    trials = {}
    for line in lines:
        if line["row"] == row["key"] and line["value"] is not None:
            trials.setdefault(line["trial"], {}).setdefault(line["class"], []).append(line["value"])
    mean = lambda values: sum(values) / len(values)
    assert abs(mean([mean([mean(v) for v in classes.values()]) for classes in trials.values()]) - row["mean"]) < 1e-12
# The view has the same.
view = sqlite3.connect(sys.argv[1]).execute("SELECT experiment, row, trial, seed, case_name, label, metric, value, situation FROM v_figure").fetchall()
keys = "experiment", "row", "trial", "seed", "case", "class", "metric", "value", "situation"
assert sorted(map(repr, view)) == sorted(repr(tuple(line[key] for key in keys)) for line in lines)
END
}

@test "a figure of several runs stands once; runs, scales and metrics are chosen; what is not there is told" {
  experiment rows=2 seeds=1
  "$harness" run -q experiment.json >/dev/null
  "$harness" export >once
  experiment rows=2 seeds=2
  "$harness" run -q experiment.json >/dev/null
  [ "$("$harness" export | wc -l)" -eq 17 ]
  "$harness" export 6 --run 1 | cmp - once
  [ "$("$harness" export --metric dice --scale quick | wc -l)" -eq 17 ]
  for words in "--metric hd95" "--scale paper" nothing_like_it "6 --dataset x"; do
    # shellcheck disable=SC2086
    run "$harness" export $words -o none.csv
    [ "$status" -eq 5 ] || [ "$status" -eq 2 ]
    [ ! -e none.csv ]
  done
  run "$harness" export --format xml
  [ "$status" -eq 2 ]
  run "$harness" export 6 --db nothing.db
  [ "$status" -eq 5 ]
  run "$harness" export 6 -o /nowhere/x.csv
  [ "$status" -eq 3 ]
}

@test "where nothing is stored, what there would be is named" {
  HARNESS_DB="$BATS_TEST_TMPDIR/none/harness.db" run "$harness" export 6
  [ "$status" -eq 5 ]
  [[ "$output" == *"Table 6 has no results yet"*"experiments/query_count.lua"* ]]
}
