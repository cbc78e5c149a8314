#!/usr/bin/env bats
# The paper's claims in a table: differences, intervals, verdicts, order, in every format.

load cli

@test "differences to the row above carry intervals and verdicts" {
  experiment seeds=5 cases=5
  "$harness" run -q experiment.json >table
  # the fake gains 0.1 a row whatever the paper says: its last row claims a loss. Seeds 0 .. 0.04 in both rows, cases
  # alike: V = 2 x 2.5e-4 / 5, nu 8, t(.975, 8) = 2.306
  grep -Eq '^2 x N +\+0\.003 +\+0\.100 +\[\+0\.077, \+0\.123\] +\[\+0\.077, \+0\.123\] +<\.001 +supported$' table
  grep -Eq '^4 x N +-0\.001 +\+0\.100 +\[\+0\.077, \+0\.123\] +\[\+0\.077, \+0\.123\] +<\.001 +contradicted$' table
  grep -Eq '^1 x N +0\.913 +0\.570 ± 0\.016 +5 +1000 +done$' table
  grep -Fq "[95 %]: would hold the difference in 95 of 100 repetitions with new seeds and new cases (5 here)" table
  grep -q "corrected for 3 claims (Holm), and p: were all rows equal, at most 5 of 100 such tables would show a verdict" table
  grep -q "spread between seeds 0.016; these 5 seeds see a difference of 0.042 in 80 of 100 tries; the paper's 0.0009 would need about 6500 seeds, its 0.003 about 580 seeds" table
  # 5 of 6 pairs agree with the paper's order: (5 - 1) / 6
  grep -q "tau-b between our order and the paper's: +0.67 over 4 rows (so few rows" table
  "$harness" table 6 --json | python3 -c '
import json, sys
table = json.load(sys.stdin)
first, second, _, last = table["rows"]
assert first["verdict"] is None and first["difference"] is None and first["parameters"] == 1000
assert abs(second["difference"] - 0.1) < 1e-9 and second["verdict"] == "supported"
assert abs(second["low"] - 0.076939958648) < 1e-9 and abs(second["corrected_high"] - 0.123060041352) < 1e-9
assert abs(second["p"] - 8.48818152763e-06) < 1e-12 and abs(second["p_corrected"] - 3 * second["p"]) < 1e-12
assert last["verdict"] == "contradicted"
family = table["family"]
assert (family["claims"], family["decided"], family["level"], family["unit"], family["units"]) == (3, 3, 0.05, "case", 5)
assert (family["seeds"], family["freedom"]) == (5, 16) and family["tau"] + family["floor"] < 1e-9 and 0 < table["trial_s"] < 60
assert abs(family["sigma"] - 2.5e-4 ** 0.5) < 1e-9 and abs(family["detectable"] / family["sigma"] - 2.65) < 0.005
assert abs(table["tau"]["value"] - 2 / 3) < 1e-9 and table["tau"]["rows"] == 4'
  "$harness" table 6 --format csv | sed -n 3p | grep -Eq ',done,0\.1,0\.0769[0-9]*,0\.1230[0-9]*,supported,1000,0\.003,8\.48'
  "$harness" run -q experiment.json | cmp - table
}

@test "a table of one row compares nothing" {
  experiment rows=1 cases=5
  "$harness" run -q experiment.json >table
  "$harness" table 6 --format md >>table
  run grep -E "verdict|corrected|row above" table
  [ "$status" -eq 1 ]
}

# The width of a terminal: figures and claims are two tables.
@test "no line of a table is wider than 80 columns" {
  experiment seeds=5 cases=5
  "$harness" run -q experiment.json | sed '1d; /Kendall/,$d' >table
  [ "$(python3 -c 'print(max(len(line.rstrip("\n")) for line in open("table")))')" -le 80 ]
}

@test "one seed gives a difference but no interval, three an interval but no verdict" {
  experiment seeds=1 cases=5
  "$harness" run -q experiment.json >table
  grep -Eq '^2 x N +\+0\.003 +\+0\.100 +too few seeds$' table
  grep -q "too few seeds: a verdict needs 5 trials a row, or 5 common folds, and 5 cases; an interval needs 3" table
  run grep "repetitions" table
  [ "$status" -eq 1 ]
  "$harness" table 6 --format md | grep -q "| verdict |"
  experiment seeds=3 cases=5
  "$harness" run -q experiment.json >table
  grep -Eq '^2 x N +\+0\.003 +\+0\.100 +\[\+0\.077, \+0\.123\] +\[.*\] +1\.000 +too few seeds$' table
}

@test "a row that failed says why below the table, a column without anything is left out, numbers are macros for TeX" {
  experiment rows=3 seeds=2 paper=-,-,- fake=queries=2:0:crash,queries=2:1:failed
  "$harness" run -q experiment.json >table || true
  grep -Eq '^  2 x N, 2 failed: the fake ended as failed$' table
  refute grep -q "paper" <(sed '/^  /d' table)
  "$harness" table 6 --format md >md
  grep -q '^- 2 x N, 2 failed: the fake' md
  refute grep -q "| paper" md
  "$harness" table 6 --json | python3 -c '
import json, sys
rows = json.load(sys.stdin)["rows"]
assert [r["reason"] for r in rows] == [None, "the fake ended as failed", None], rows'
  "$harness" table 6 --format macros >macros.tex
  grep -qxF '\expandafter\def\csname harness@query_count@queries=1@mean\endcsname{0.555}' macros.tex
  refute grep -q 'queries=2@mean' macros.tex
  command -v pdflatex >/dev/null || return 0
  printf '%s\n' '\documentclass{article}\input{macros}\begin{document}' \
    '\typeout{mean \harness{query_count}{queries=3}{mean} of \harness{query_count}{queries=3}{n}}' \
    '\harness{query_count}{queries=2}{mean} \harness{query_count}{queries=1}{label}\end{document}' >paper.tex
  pdflatex -interaction=nonstopmode paper.tex | grep -qx "mean 0.755 of 2"
}

@test "wide and combining characters stay in their columns" {
  experiment rows=3 seeds=1
  python3 -c '
import json
document = json.load(open("experiment.json"))
for row, label in zip(document["rows"], ("器官器官", "e\u0301e\u0301e\u0301", "plain")): row["label"] = label
json.dump(document, open("experiment.json", "w"))'
  "$harness" run -q experiment.json >table
  python3 -c '
import unicodedata
def width(text): return sum(0 if unicodedata.combining(c) else 2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in text)
lines = [line.rstrip("\n") for line in open("table", encoding="utf-8")]
rows = [line for line in lines if line.endswith("  done")]
assert len(rows) == 3 and len({width(row) for row in rows}) == 1, rows'
}

@test "two cases are too few for a verdict on new cases, not for one on these" {
  experiment seeds=5 rows=2
  "$harness" run -q experiment.json >table
  grep -Eq '^2 x N .* 1\.000 +too few seeds$' table
  "$harness" table 6 cases=fixed >table
  grep -Eq '^2 x N .* <\.001 +supported$' table
  grep -q "with new seeds, for these cases only (2)" table
  "$harness" run -q experiment.json cases=fixed | cmp - table
  run "$harness" table 6 cases=fixd
  [ "$status" -eq 2 ]
  [[ "$output" == *'cases=fixd: cases are random'*'"fixed"'* ]]
}

# The fake gains .1 in the first fold and .003 more in each later one: D .106, sd .00474, t(.975, 4) = 2.776.
@test "folds are paired" {
  experiment seeds=1 folds=5 rows=2
  "$harness" run -q experiment.json >table
  grep -Eq '^2 x N +\+0\.003 +\+0\.106 +\[\+0\.100, \+0\.112\] .* supported$' table
  grep -q "repetitions with other folds of this data set; paired by the 5 folds that both rows have" table
  grep -q "spread of the differences of folds 0.0047; these 5 folds see a difference of 0.008 in 80 of 100 tries" table
  "$harness" table 6 --json | grep -q '"unit": "fold"'
}

@test "what is not known of folds or cases is not said" {
  experiment seeds=3 folds=2 rows=2 # the rows' spread is none of differences
  "$harness" run -q experiment.json >table
  grep -Eq '^2 x N .* too few seeds$' table
  run grep "spread" table
  [ "$status" -eq 1 ]
  experiment seeds=5 cases=1 rows=2 # nor does one case tell how cases vary
  "$harness" run -q experiment.json >table
  run grep "spread" table
  [ "$status" -eq 1 ]
}

@test "no figure stands for a collapsed trial where lower ones are better" {
  experiment rows=2 seeds=6 cases=5 fake=queries=2:1:collapsed
  "$harness" run -q experiment.json >table || true
  sql "UPDATE experiments SET metric = 'hd95'"
  sql "UPDATE metrics SET metric = 'hd95'"
  "$harness" table 6 >table
  grep -Eq '^2 x N .* 1\.000 +undecided$' table
  grep -q "With collapsed trials a claim is undecided: no figure stands for theirs" table
  grep -q "1 collapsed trial is left out of the mean$" table
}

# Seeds spread by .016: .001 is far below what thirty of them see, the paper's .4 above it.
@test "what no number of seeds that are ever run would show is out of reach" {
  experiment seeds=5 cases=5 gain=0.001 paper=0.5,0.501,0.9,0.5
  "$harness" run -q experiment.json >table
  grep -Eq '^2 x N .* out of reach$' table
  grep -Eq '^3 x N .* undecided$' table
  grep -Eq '^4 x N .* undecided$' table
  grep -q "out of reach: undecided, and 30 seeds would show neither the paper's difference nor ours in 80 of 100 tries" table
}

@test "patients are units, not their volumes" {
  experiment seeds=5 rows=2 cases=8 "case_name=patient{1:03d}_frame{0:02d}"
  "$harness" run -q experiment.json >table
  grep -q "too few seeds: .* 5 patients" table # four of them
  experiment seeds=5 rows=2 cases=10 "case_name=patient{1:03d}_frame{0:02d}"
  "$harness" run -q experiment.json >table
  grep -q "new seeds and new patients (5 here)" table
  grep -Eq '^2 x N .* supported$' table
}

@test "seeds that were added after a look are named, whether it decided or not" {
  experiment seeds=5 cases=5 rows=2
  "$harness" run -q experiment.json >table
  run grep "Seeds were added" table
  [ "$status" -eq 1 ]
  experiment seeds=6 cases=5 rows=2
  "$harness" run -q experiment.json | grep -q "Seeds were added after a look at 5: each look is another chance"
  rm -r results
  experiment seeds=5 cases=5 rows=2 gain=0 # nobody stops here who wants a verdict
  "$harness" run -q experiment.json | grep -Eq '^2 x N .* (undecided|out of reach)$'
  experiment seeds=6 cases=5 rows=2 gain=0
  "$harness" run -q experiment.json | grep -q "Seeds were added after a look at 5"
  rm -r results
  experiment seeds=4 cases=5 rows=2 # could decide nothing
  "$harness" run -q experiment.json >table
  experiment seeds=5 cases=5 rows=2
  "$harness" run -q experiment.json >table
  run grep "Seeds were added" table
  [ "$status" -eq 1 ]
}

# Each structure against the row above, in all rows: six comparisons. (One case has no liver.)
@test "structures are a family of their own" {
  experiment seeds=5 cases=6
  "$harness" run -q experiment.json >table
  grep -Eq '^spleen +0\.620 +0\.720\+ +0\.820\+ +0\.920\+$' table
  grep -q "after Holm over these 6 comparisons, a family of their own" table
}

# The fake gains .01 a row, seeds spread by .016 alike: .01, .02 and .03 over the first, with the intervals above.
@test "rows may be compared with one row, and asked whether they differ where the paper says nothing" {
  experiment seeds=5 cases=5 paper=-,-,-,- against=0,0,0,0 gain=0.01
  "$harness" run -q experiment.json >table
  grep -q "^Differences to 1 x N$" table
  grep -Eq '^row +ours +\[95 %\] +corrected +p +verdict$' table # no column of the paper's
  grep -Eq '^3 x N +\+0\.020 +\[-0\.003, \+0\.043\] +\[-0\.010, \+0\.050\] +0\.161 +undecided, within 0\.050$' table
  grep -q "corrected for 3 claims (Holm)" table
  grep -q "differs where the corrected interval leaves out 0, on either side; else what the row changes is within" table
  grep -q "above or below that of 1 x N, after Holm over these" table
  run grep -E "row above|the sign of the paper's|would need" table
  [ "$status" -eq 1 ]
  rm -r results
  experiment seeds=5 cases=5 paper=-,-,-,- against=0,0,0,0 gain=-0.02
  "$harness" run -q experiment.json >table
  grep -Eq '^2 x N +-0\.020 .* undecided, within 0\.0[0-9]+$' table
  grep -Eq '^4 x N +-0\.060 .* differs$' table
  "$harness" table 6 --json | python3 -c '
import json, sys
table = json.load(sys.stdin)
first, second, _, last = table["rows"]
assert first["against"] is None and last["against"] == "queries=1" and last["within"] is None
assert abs(second["within"] - max(-second["corrected_low"], second["corrected_high"])) < 1e-12
assert last["verdict"] == "differs" and last["claimed"] is None and abs(last["difference"] + 0.06) < 1e-9
assert (table["family"]["claims"], table["family"]["questions"]) == (3, 3)'
  "$harness" table 6 --format csv | tail -1 | grep -Eq ',differs,.*,queries=1,'
  "$harness" plot forest query_count >/dev/null
  grep -q "difference to ' . '1 x N'" results/plots/query_count-forest.gp
  grep -Fq 'within 0.' results/plots/query_count-forest.gp
  "$harness" report >/dev/null
  grep -q "Asked beside the paper's claims: of 3 rows <b class=\"open\">[12] differs\?</b>" results/report.html
}

# A control at the end of a table leaves its chain of rows as it is.
@test "a row may name the row that it is compared with" {
  experiment seeds=5 cases=5 paper=0.9,0.95,-,0.8 against=-,-,0,1
  "$harness" run -q experiment.json >table
  grep -q "^Differences to the row named$" table
  grep -Eq '^2 x N +1 x N +\+0\.050 +\+0\.100 .* supported$' table
  grep -Eq '^3 x N +1 x N +- +\+0\.200 .* differs$' table
  grep -Eq '^4 x N +2 x N +-0\.150 +\+0\.200 .* contradicted$' table
  "$harness" table 6 --format md | grep -Fq "| 4 x N | 0.800 |"
  "$harness" table 6 --format md | grep -Fq "| to the row named |"
  "$harness" report >/dev/null
  grep -q "Of 2 claims that could be judged here" results/report.html
  grep -q "Corrected for all 2 different claims of this page" results/report.html
  # the same trials compared otherwise are another set of claims, and this one stays as it was
  "$harness" table 6 --json >before
  experiment seeds=5 cases=5 paper=0.9,0.95,-,0.8
  "$harness" run -q experiment.json | grep -q "^Differences to the row above$"
  [ "$(sql "SELECT count(*) FROM plans")" -eq 2 ]
  experiment seeds=5 cases=5 paper=0.9,0.95,-,0.8 against=-,-,0,1
  "$harness" run -q experiment.json | cmp - table
  "$harness" table 6 --json | cmp - before
}

@test "a collapsed trial is named, with the mean without and with it, and weakens the verdict" {
  experiment rows=2 seeds=6 cases=5 fake=queries=2:1:collapsed
  "$harness" run -q experiment.json >table || true
  # of 0.65 .. 0.70 five are left; with 0 for the other the difference has the other sign
  grep -Eq '^2 x N +0\.916 +0\.678 ± 0\.019 +5 +1000 +5 done, 1 collapsed$' table
  grep -Eq '^2 x N +\+0\.003 +\+0\.103 +\[\+0\.07.*undecided$' table
  grep -q "2 x N: 1 collapsed trial is left out of the mean; counted as 0 the mean is 0.565" table
  grep -q "A verdict that changes when collapsed trials count as 0 is undecided" table
}

@test "the paper's own collapse is a claim" {
  experiment rows=2 seeds=5 collapse=1 fake=queries=1:0:collapsed
  "$harness" run -q experiment.json >table || true
  grep -Eq '^1 x N +collapse +0\.575 ± 0\.013 +4 ' table
  grep -Eq '^1 x N( +-)+ +undecided$' table
  "$harness" table 6 --json | grep -q '"paper_word": "collapse"'
  rm -rf results
  experiment rows=2 seeds=5 collapse=1
  "$harness" run -q experiment.json >table
  grep -Eq '^1 x N( +-)+ +contradicted$' table
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

# As fast as can be: no row is estimated (no bf16 in portable kernels), the claims are.
@test "estimate says which differences the seeds and cases would show, from what is stored" {
  estimate() {
    HARNESS_ISA=portable "$harness" estimate "$root/experiments/query_count.lua" dtype=bf16 "$@"
  }
  estimate seeds=3 >out
  # a spread of .013 and .01: (t(1 - .05/6, nu) + t(.8, nu)) sqrt(2 x .013^2 / 5 + .01^2 / 8)
  grep -q "5 seeds a row see a difference of 0.035 in 80 of 100 tries, 3 claims corrected (Holm), 8 cases; fewer seeds give no verdict" out
  grep -q "difference of 0.004 would need more cases, not seeds, that of 0.009 more cases, not seeds; on these cases no number shows less than 0.014" out
  grep -q "from a spread between seeds of 0.013 and of differences between cases of 0.010: declared for the phantom, nothing is stored" out
  experiment seeds=3 cases=5
  "$harness" run -q experiment.json >/dev/null
  estimate seeds=8 >out
  grep -q "8 seeds a row see a difference of 0.0[0-9]* (0.0[0-9]* were the spread 0.0[0-9]*) in 80 of 100 tries" out
  grep -q "from a spread between seeds of 0.010 .*: this table's 4 stored rows" out
  HARNESS_ISA=portable "$harness" estimate "$root/experiments/lr_ratio.lua" dtype=bf16 --json | python3 -c '
import json, sys
power = json.load(sys.stdin)["power"]
assert power["from"] == "stored" and abs(power["sigma"] - 0.01) < 1e-9, power
assert power["claims"] == 2 and power["seeds"] == 5 and power["units"] == 8, power'
}

@test "a note that hangs on a row's verdict has the text that holds" {
  noted() { # SETTING...: as experiment
    experiment cases=5 rows=2 "$@"
    python3 - <<'END'
import json
document = json.load(open("experiment.json"))
document["notes"].append({"row": "queries=2", "worse": "2 x N: it is worse", "otherwise": "2 x N: it is not shown to be worse"})
json.dump(document, open("experiment.json", "w"))
END
    "$harness" run -q experiment.json
  }
  noted seeds=5 gain=0.1 | grep -q "2 x N: it is not shown to be worse"
  noted seeds=5 gain=-0.1 >table
  grep -q "2 x N: it is worse" table
  refute grep -q "not shown" table
  noted seeds=1 gain=-0.2 | grep -q "2 x N: it is not shown to be worse"
}
