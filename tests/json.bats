#!/usr/bin/env bats
# Every JSON document: its head, its keys, which docs/json.md lists, and how numbers are written.

load cli

# shellcheck disable=SC2086,SC2016
@test "docs/json.md lists the keys of every document that the program prints, and no others" {
  experiment seeds=5 cases=5 fake=queries=2:1:crash,queries=3:0:collapsed
  "$harness" run -q experiment.json >/dev/null 2>&1 || true
  "$harness" table 6 --json >table.json
  "$harness" table 6 --list --json >runs.json
  "$harness" runs list --json >trials.json
  hash="$(sql 'SELECT hash FROM trials LIMIT 1')"
  "$harness" runs tag "$hash" odd
  "$harness" runs show "$hash" --json >trial.json
  "$harness" export --format jsonl >figure.jsonl
  "$harness" verify --json >verify.json
  mkdir bin # Slurm is played, as in slurm_alone.bats
  printf '#!/bin/sh\necho 42\n' >bin/sbatch
  printf '#!/bin/sh\n' >bin/squeue
  printf '#!/bin/sh\nexit 1\n' >bin/scontrol
  chmod +x bin/*
  experiment rows=1 seeds=1 steps=6
  PATH="$work/bin:$PATH" "$harness" slurm experiment.json -q
  PATH="$work/bin:$PATH" "$harness" slurm status --json >slurm.json
  experiment shapes=4x5 relabelings=20 seeds=20 rows=1 experiment=equal figures=.8 noise=.01 table=9
  "$harness" run -q experiment.json >/dev/null
  "$harness" table equal --json >self_test.json
  /usr/bin/python3 -c 'import gzip, sqlite3, sys
sqlite3.connect("old.db").executescript(gzip.open(sys.argv[1], "rt").read())' "$root/tests/fixtures/stored-073ebeb/harness.sql.gz"
  "$harness" table memory_scale --json --db old.db >plans.json
  "$harness" table comparison --dataset organs --json --db old.db >structures.json
  "$harness" table masksam 4 --json >paper_table.json
  "$harness" table --list --json >papers.json
  "$harness" run --dry-run --json "$root/experiments/query_count.lua" >experiment_.json
  "$harness" run --dry-run --json "$root/experiments/all.lua" >experiments.json
  "$harness" config "$root/experiments/query_count.lua" --json >config.json
  "$harness" doctor --json >doctor.json || true
  "$harness" data phantom set --size 16 --cases 4 --validation 2 --organs 2 -q
  "$harness" data check set --json >data.json
  "$harness" data plan set --json >plan.json
  "$harness" evaluate set/labelsTr set/labelsTr --json >scores.json
  "$harness" estimate "$root/experiments/query_count.lua" patch=8,8,8 key_grid=2,2,2 --json >estimate.json
  "$harness" bench "add, quick bias" --time 0.02 --threads 1 --json >bench.json 2>/dev/null
  "$harness" bench "add, quick bias" --time 0.02 --threads 1 --json >/dev/null 2>&1
  "$harness" bench compare prev last --json >bench_comparison.json || true
  rm experiment.json
  /usr/bin/python3 "$root/tests/json_keys.py" "$root/docs/json.md" ./*.json figure.jsonl
  # Numbers read back as what they are, and are no longer than that.
  /usr/bin/python3 - ./*.json figure.jsonl <<'END'
import json, re, sys
for name in sys.argv[1:]:
    for number in re.findall(r'(?<=[ \[:,])-?\d+\.\d+(?:e[-+]?\d+)?(?=[,\]}\n])', re.sub(r'"(?:\\.|[^"\\])*"', '""', open(name).read())):
        assert len(number) <= len(repr(float(number))) + 3, (name, number)
END
}

@test "a key that the page lacks, and one that the output lacks, are found" {
  printf '{"schema": 1, "document": "runs", "experiment": null, "metric": null, "unit": null, "commit": null, "runs": [{"run": 1, "new": 2}]}' >runs.json
  printf '## `runs`\n| `runs` `runs[].run` | x |\n| `runs[].old` | x |\n| `runs[].rare` | where |\n' >page.md
  run /usr/bin/python3 "$root/tests/json_keys.py" page.md runs.json
  [ "$status" -eq 1 ]
  [ "$output" = "runs: runs[].new is in the output, not on the page
runs: runs[].old is on the page, not in the output" ]
}
