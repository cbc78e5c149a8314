#!/usr/bin/env bats
# The paper's claims in a table: differences, intervals, verdicts, order, in every format.

load cli

@test "differences to the row above carry intervals and verdicts" {
  experiment
  "$harness" run -q experiment.json >table
  # the fake gains 0.1 a row whatever the paper says: its last row claims a loss
  grep -Eq '^2 x N .*\+0\.100 \[\+0\.080, \+0\.120\] +supported +1000 +done$' table
  grep -Eq '^4 x N .*\+0\.100 \[\+0\.080, \+0\.120\] +not supported +1000 +done$' table
  grep -Eq '^1 x N +0\.913 +0\.560 ± 0\.010 +3 +- +- +1000 +done$' table
  grep -q "3 comparisons, not corrected for their number" table
  # 5 of 6 pairs agree with the paper's order: (5 - 1) / 6
  grep -q "tau-b between our order and the paper's: +0.67 over 4 rows (so few rows" table
  "$harness" table 6 --json | python3 -c '
import json, sys
table = json.load(sys.stdin)
first, second, _, last = table["rows"]
assert first["verdict"] is None and first["difference"] is None and first["parameters"] == 1000
assert abs(second["difference"] - 0.1) < 1e-9 and second["verdict"] == "supported"
assert abs(second["low"] - 0.08) < 1e-9 and abs(second["high"] - 0.12) < 1e-9
assert last["verdict"] == "not supported"
assert abs(table["tau"]["value"] - 2 / 3) < 1e-9 and table["tau"]["rows"] == 4'
  "$harness" table 6 --format csv | sed -n 3p | grep -Eq ',done,0\.1,0\.08,0\.12,supported,1000'
  "$harness" run -q experiment.json | cmp - table
}

@test "one seed gives a difference but no interval and no verdict" {
  experiment seeds=1
  "$harness" run -q experiment.json >table
  grep -Eq '^2 x N .* 1 +\+0\.100 +too few seeds +1000 +done$' table
  grep -q "too few seeds: no interval and no verdict from fewer than 2 trials a row" table
  run grep "comparison" table
  [ "$status" -eq 1 ]
}

@test "a collapsed trial is named, with the mean without and with it, and weakens the verdict" {
  experiment rows=2 fake=queries=2:1:collapsed
  "$harness" run -q experiment.json >table || true
  # 0.65 and 0.67 are left; with 0 for the third the interval reaches below 0
  grep -Eq '^2 x N +0\.916 +0\.660 ± 0\.014 +2 +\+0\.100 .*undecided +1000 +2 done, 1 collapsed$' table
  grep -q "2 x N: 1 collapsed trial is left out of the mean; counted as 0 the mean is 0.440" table
  grep -q "A verdict that changes when collapsed trials count as 0 is undecided" table
}

@test "the paper's own collapse is a claim" {
  experiment rows=2 seeds=2 collapse=1 fake=queries=1:0:collapsed
  "$harness" run -q experiment.json >table || true
  grep -Eq '^1 x N +collapse +0\.560 +1 +- +undecided' table
  "$harness" table 6 --json | grep -q '"paper_word": "collapse"'
  rm -rf results
  experiment rows=2 seeds=2 collapse=1
  "$harness" run -q experiment.json >table
  grep -Eq '^1 x N +collapse +0\.555 ± 0\.007 +2 +- +not supported' table
}

@test "the TeX table compiles" {
  experiment
  "$harness" run -q experiment.json >/dev/null
  "$harness" table 6 --format tex >table.tex
  grep -Fq '\midrule' table.tex
  [ "$(grep -c '\\\\$' table.tex)" -eq 5 ]
  python3 - <<'END'
import json
experiment = json.load(open("experiment.json"))
evil = "\\input{/etc/passwd} 50 % & $x^2$ #1 a_b {c} ~ ^ <|> \"q\" ± × ü ß Ł é ñ – ≥ λ 漢 \u0007"
experiment["title"] = experiment["axis"] = experiment["model"] = experiment["data"]["name"] = evil + "\n\\undefined"
experiment["notes"] = ["a note\n\\undefined"]
for row, label in zip(experiment["rows"], ("[1ex] an option", "* a star", evil, "-1 \n\\undefined")):
    row["label"] = label
experiment["experiment"] = "hostile_name"
del experiment["table"]
json.dump(experiment, open("hostile.json", "w"))
END
  "$harness" run -q hostile.json >/dev/null
  "$harness" table hostile_name --format tex >hostile.tex
  [ "$(grep -c '\\\\$' hostile.tex)" -eq 5 ]
  grep -Fq '\textbackslash{}input' hostile.tex
  grep -q '^{}\[1ex\]' hostile.tex
  run grep -v '^%' hostile.tex
  [[ "$output" != *'\undefined'* && "$output" != *'\input'* ]]
  command -v pdflatex >/dev/null || skip "no pdflatex here (apt install texlive-latex-extra): not compiled"
  printf '\\documentclass{article}\\usepackage{booktabs}\\begin{document}\\input{table}\\input{hostile}\\end{document}\n' >main.tex
  pdflatex -halt-on-error main.tex
  run grep -E "Missing character|^!" main.log
  [ "$status" -eq 1 ]
}
