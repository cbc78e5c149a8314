#!/usr/bin/env bats
# The HTML report: whole without anything beside it, harmless whatever names say, honest about what is missing.

load cli

# Reads the page: balanced tags, unique ids, links that lead somewhere, nothing fetched, no script. Prints its text.
page() {
  python3 - "${1:-results/report.html}" <<'END'
import collections, re, sys
from html.parser import HTMLParser

void = {"meta", "img", "br", "link", "input", "hr"}
page = open(sys.argv[1], encoding="utf-8").read()
ids, links, text, stack = [], [], [], []


class Reader(HTMLParser):
    def handle_starttag(self, tag, attributes):
        attributes = dict(attributes)
        assert tag not in ("script", "iframe", "object", "link", "base"), tag
        assert not any(name.startswith("on") for name in attributes), attributes
        if attributes.get("id"):
            ids.append(attributes["id"])
        for name in ("href", "xlink:href", "src"):
            value = attributes.get(name)
            assert value is None or value.startswith(("#", "data:image/png;base64,")), value
            if value and value.startswith("#"):
                links.append(value[1:])
        if tag not in void:
            stack.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.handle_starttag(tag, attributes)
        if tag not in void:
            stack.pop()

    def handle_endtag(self, tag):
        assert stack.pop() == tag, (tag, stack)

    def handle_data(self, data):
        if not stack or stack[-1] != "style":
            text.append(data)


Reader().feed(page)
assert not stack, stack
assert not [name for name, count in collections.Counter(ids).items() if count > 1]
assert set(links) | set(re.findall(r"url\(#([^)]*)\)", page)) <= set(ids)
assert not re.search(r"url\((?!#)|@import", page)
print("".join(text))
END
}

@test "without a database the report says what makes one; empty it is nothing to report" {
  run "$harness" report
  [ "$status" -eq 5 ]
  [[ "$output" == *"nothing is stored yet"* ]]
  experiment
  "$harness" run -q experiment.json >/dev/null
  python3 -c '
import os, sqlite3
base = sqlite3.connect(os.environ["HARNESS_DB"])
for table in ("cells", "rows", "plans"): base.execute("DELETE FROM " + table)
base.commit()'
  run "$harness" report
  [ "$status" -eq 5 ]
  [ ! -e results/report.html ]
}

@test "one page holds verdicts, table, plots, configuration and environment, and what is missing" {
  experiment seeds=5 cases=5
  "$harness" run -q experiment.json >/dev/null
  run "$harness" report
  [ "$status" -eq 0 ]
  [ "$output" = "$work/results/report.html" ]
  page >text
  grep -q "Of 3 claims that could be judged here, 2 supported, 1 contradicted, 0 undecided, 0 out of reach" text
  grep -q "Corrected for all 3 different claims of this page at once (Holm): 2 supported, 1 contradicted" text
  grep -q "Table 6: Number of object queries" text
  grep -q "0.570 ± 0.016" text
  grep -Fq "[+0.077, +0.123]" text
  grep -q "The paper's figures are on AMOS." text
  grep -q "Kendall's tau-b between our order and the paper's: +0.67" text
  [ "$(grep -c "<svg " results/report.html)" -eq 4 ] # paper against ours, claims, per structure, curves
  grep -q "lr=0.1" text
  grep -q "libsqlite3" text
  # of the paper's other tables: the paper's numbers and the command
  grep -q "Table 3: " text
  grep -q "0.903" text
  grep -q "./harness run experiments/seg_heads.lua" text
  run grep -q "Figure 5: " text
  [ "$status" -eq 1 ]
}

@test "failed, collapsed and interrupted trials stand with the command that runs them again" {
  experiment fake=queries=2:1:collapsed
  "$harness" run -q experiment.json >/dev/null || true
  "$harness" report --out other.html >path
  [ "$(cat path)" = other.html ]
  page other.html >text
  grep -q "query_count: 2 x N, seed 1, trial" text
  grep -q "the fake ended as collapsed" text
  grep -Eq -- "./harness run experiments/query_count.lua .*--retry collapsed" text
  [ ! -e other.html.part ]
  "$harness" report --out - | cmp - other.html
}

@test "trials that still wait stand in one line, those that failed by row" {
  experiment fake=queries=2:1:failed
  "$harness" run -q experiment.json >/dev/null || true
  python3 -c '
import os, sqlite3
base = sqlite3.connect(os.environ["HARNESS_DB"])
base.execute("UPDATE trials SET status = ? WHERE json_extract(config, ?) > 2", ("planned", "$.queries"))
base.commit()'
  "$harness" report >/dev/null
  page >text
  grep -q "query_count: 6 trials" text
  grep -q "query_count: 2 x N, seed 1, trial" text
  grep -q "the fake ended as failed" text
}

@test "hostile names stay text, in the page, in its pictures and in gnuplot" {
  experiment rows=2 fake=queries=2:1:failed
  python3 - <<'END'
import json
experiment = json.load(open("experiment.json"))
evil = "</td><script>alert(1)</script>\"' onload='x' &amp; `touch hacked` $(touch hacked) \\ %s%n _^{x} \u0007\n é ±"
experiment["title"] = experiment["axis"] = experiment["model"] = experiment["data"]["name"] = evil
experiment["notes"] = [evil]
experiment["rows"][0]["label"] = evil
experiment["rows"][1]["label"] = "</svg><img src=x onerror=y> id='a' href=\"#b\" " + "ü" * 200
for cell in experiment["cells"]:
    cell["config"]["lr"] = evil
json.dump(experiment, open("experiment.json", "w"))
for name in ("../../x", "x\"", "`touch hacked`", ""):
    experiment["experiment"] = name
    json.dump(experiment, open(f"name{len(name)}.json", "w"))
END
  for file in name*.json; do # a name that becomes a file's is refused
    run "$harness" run -q "$file"
    [ "$status" -eq 3 ]
    [[ "$output" == *"is no name"* ]]
  done
  "$harness" run -q experiment.json >/dev/null 2>err || true
  "$harness" report >/dev/null
  [ -z "$(find . -name hacked)" ]
  page >text
  grep -Fq '<script>alert(1)</script>' text
  grep -q "failed" text
  run grep -q $'\xef\xbf\xbd' text # a cut name loses whole characters
  [ "$status" -eq 1 ]
  for file in results/plots/*.svg; do python3 -c 'import sys, xml.dom.minidom as x; x.parse(sys.argv[1])' "$file"; done
}

@test "in pictures & stands as it is, tics are even and have as many digits each; what has no data yet says so" {
  experiment rows=2 seeds=2
  sed -i 's/"1 x N"/"A \& B"/' experiment.json
  "$harness" run -q experiment.json >/dev/null
  "$harness" plot query_count
  grep -q '>A &amp; B<' results/plots/query_count.svg
  "$harness" plot curves query_count
  grep -q '<title>A &amp; B</title>' results/plots/query_count-curves.svg # what is shown beside the mouse
  refute grep -q 'amp;amp' results/plots/query_count-curves.svg
  python3 - <<'END'
import re, xml.dom.minidom
texts = [node.firstChild.data for node in xml.dom.minidom.parse("results/plots/query_count.svg").getElementsByTagName("tspan") if node.firstChild]
tics = [text.strip() for text in texts if re.fullmatch(r" *[0-9]+\.[0-9]+ *", text)]
steps = {round(float(b) - float(a), 6) for a, b in zip(tics, tics[1:])}
assert len(tics) > 3 and len({len(t) for t in tics}) == 1 and len(steps) == 1, tics
END
  experiment rows=2 seeds=2 experiment=mute table=9 fake=queries=1:0:mute,queries=1:1:mute,queries=2:0:mute,queries=2:1:mute
  "$harness" run -q experiment.json >/dev/null 2>&1 || true
  run "$harness" plot per-organ mute
  [ "$status" -eq 3 ]
  [[ "$output" == *"no data yet: no figure per structure of mute is stored"* ]]
  "$harness" report >/dev/null
  page >text
  grep -q "no data yet" text
}

@test "a sweep ends with the report, and written again from the same data it is quick and the same" {
  "$root/tests/make_experiment" >one.json
  "$root/tests/make_experiment" rows=2 experiment=modules table=4 >two.json
  python3 -c '
import json, sys
json.dump({"experiments": [json.load(open("one.json")), json.load(open("two.json"))]}, sys.stdout)' >experiment.json
  "$harness" run experiment.json 2>err >/dev/null
  grep -q "harness: report $work/results/report.html" err
  page >text
  grep -q "Table 4" text
  grep -v "^<h1>\|Written" results/report.html >first
  local TIMEFORMAT="%U %S" # of the processor: the machine may be busy
  { time "$harness" run experiment.json >/dev/null 2>&1; } 2>spent
  grep -v "^<h1>\|Written" results/report.html | cmp - first
  awk '{ exit !($1 + $2 < 2) }' spent
}

@test "a report of another scale shows nothing of this one" {
  experiment
  "$harness" run -q experiment.json >/dev/null
  run "$harness" report --scale small
  [ "$status" -eq 5 ]
  [[ "$output" == *"nothing is stored to report"* ]]
}

@test "without gnuplot the page stands, and says which pictures are missing and how to draw them" {
  experiment seeds=1
  "$harness" run -q experiment.json >/dev/null
  rm -r results/plots
  env PATH=/nowhere "$harness" report >/dev/null
  page >text
  grep -q "gnuplot cannot be started; is it installed" text
  grep -q "./harness plot curves query_count" text
  grep -q "0.550" text
  run grep -q "<svg" results/report.html
  [ "$status" -eq 1 ]
}

@test "the forest plot has a line a claim: paper, ours, both intervals, verdict" {
  experiment seeds=5 cases=5
  "$harness" run -q experiment.json >/dev/null
  [ "$("$harness" plot forest 6)" = "$work/results/plots/query_count-forest.svg" ]
  [ "$(wc -l <results/plots/query_count-forest.tsv)" -eq 4 ]
  grep -Eq $'^2\t4 x N\t-0.0009\t0.1\t0.0769[0-9]*\t0.1230*[0-9]*\t0.0769[0-9]*\t0.1230*[0-9]*\t5\tcontradicted$' results/plots/query_count-forest.tsv
  grep -q "contradicted, n 5" results/plots/query_count-forest.svg
  experiment rows=1 seeds=1 experiment=alone
  "$harness" run -q experiment.json >/dev/null
  run "$harness" plot forest alone
  [ "$status" -ne 0 ]
  [[ "$output" == *"alone has no two rows with a figure to compare"* ]]
  "$harness" report >/dev/null
  page >text
  run grep -q "no two rows" text
  [ "$status" -eq 1 ]
}

@test "claims of one pair of configurations in two tables are corrected for once" {
  experiment seeds=5 cases=5
  "$harness" run -q experiment.json >/dev/null
  experiment seeds=5 cases=5 rows=3 experiment=again table=7
  "$harness" run -q experiment.json >/dev/null
  "$harness" report >/dev/null
  page >text
  grep -q "Of 5 claims that could be judged here, 4 supported, 1 contradicted" text
  grep -q "Corrected for all 3 different claims of this page at once (Holm): 2 supported, 1 contradicted" text
}
