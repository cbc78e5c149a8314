#!/usr/bin/env bats
# Folders with names that mean something to a shell, to glob, gnuplot, SQLite, HTML, TeX, CSV, JSON or Lua: to us
# they are names. And data that are looked for from another folder later.

load work

# A folder of that name, with a phantom in it, where tiny.lua trains two rows on it. Everything below works there.
setup_file() {
  work_in "$BATS_FILE_TMPDIR"
  place="$work/"$'a [b] {c,d} `touch escaped` $(touch escaped) \'"#%25 ;& <i>\\ %s ~ _x^2\nend'
  set="$place/"$'my \'set\' [1] `touch escaped` "#%20 100% <b>\\ &\n$x'
  mkdir "$place" "$place/sub"
  "$harness" data phantom "$set" --size 22x24x28 --cases 5 --validation 2 --organs 2
  cat >"$place/tiny.lua" <<'END'
return { title = "tiny `touch escaped` 100% it's {a}_b \\ & <c> \"d\"", table = 6, seeds = 1, base = {
  steps = 4, patch = { 16, 16, 16 }, bridge = "none", collapse_dice = 0, widths = { 8, 16 },
  strides = { { 1, 1, 1 }, { 2, 2, 2 } }, kernels = { { 3, 3, 3 }, { 3, 3, 3 } } },
  rows = { { key = "a", label = "50% of it's `touch escaped` _x", set = { head = "point_wise" } },
           { key = "b", label = "mask|class", set = { queries = 1 } } } }
END
  export place set
  cd "$place" || return
  "$harness" run tiny.lua data="$set" --db "$place/r.db" -q >first
}

setup() {
  cd "$work" || return
  export HARNESS_DB="$place/r.db"
}

teardown() { # nothing in a name was run, wherever
  [ -z "$(find "$work" -name escaped)" ]
}

drawn() { # NAME.svg is there, is XML and says the words
  WORDS="$2" /usr/bin/python3 - "$place/plots/$1.svg" <<'END'
import os, sys, xml.etree.ElementTree as tree
text = "\n".join("".join(t.itertext()) for t in tree.parse(sys.argv[1]).getroot().iter("{http://www.w3.org/2000/svg}text"))
assert os.environ["WORDS"] in text, text
END
}

@test "run, its table in every format" {
  (cd "$place" && "$harness" table 6) >text
  diff <(cat "$place/first") text
  grep -q "^  reproduce: ./harness run tiny.lua 'data=" text
  [ "$(sed -n 1p text | grep -c 'my .set. \[1\] `touch escaped` "#%20 100% <b>\\ & \$x, cpu, 1 seed')" -eq 1 ]
  "$harness" table 6 --format json >table.json
  SET="$set" /usr/bin/python3 -c '
import json, os
assert json.load(open("table.json"))["dataset"] == os.path.basename(os.environ["SET"])'
  "$harness" table 6 --format csv >table.csv
  /usr/bin/python3 -c '
import csv
rows = list(csv.reader(open("table.csv", newline="")))
assert {len(row) for row in rows} == {len(rows[0])} and rows[1][1].startswith("50% of it"), rows'
  "$harness" table 6 --format md >table.md
  grep -q '^| 50% of it' table.md
  grep -q 'mask\\|class' table.md
  "$harness" table 6 --format tex >table.tex
  [ "$(grep -vc '^%\|^\\\|&' table.tex)" -eq 0 ] # nothing has left a comment
}

@test "every plot" {
  for kind in "" per-organ curves; do
    # shellcheck disable=SC2086
    "$harness" plot $kind tiny
  done
  drawn tiny '50% of it'"'"'s `touch escaped` _x'
  drawn tiny 'tiny `touch escaped` 100% it'"'"'s {a}_b \ & <c> "d"'
  drawn tiny-curves "mask|class"
  drawn tiny-per-organ "50% of it's"
  "$harness" plot triptych
  ls "$place"/plots/triptych-*.png
  cd "$place"
  "$harness" bench --time 0.01 --threads 1 linear >/dev/null 2>&1
  "$harness" plot roofline
  drawn roofline "FLOP per byte"
}

@test "the report, whole, with commands that a shell reads as they were meant" {
  "$harness" report
  HARNESS="$harness" SET="$set" /usr/bin/python3 - "$place/report.html" <<'END'
import html, os, re, shlex, sys
page = open(sys.argv[1], encoding="utf-8").read()
assert "<b>\\" not in page and "<i>" not in page
commands = [html.unescape(c) for c in re.findall(r"<code>(\./harness run tiny\.lua.*?)</code>", page, re.S)]
assert commands, page[:2000]
for command in commands:
    words = shlex.split(command)
    data = [word for word in words if word.startswith("data=")]
    assert data and os.path.samefile(data[0][5:], os.environ["SET"]), words
END
}

@test "data plan, preprocess, check; predict, evaluate" {
  "$harness" data plan "$set" >/dev/null
  "$harness" data preprocess "$set" >/dev/null
  "$harness" data check "$set" --json | /usr/bin/python3 -c 'import json, sys; json.load(sys.stdin)'
  hash="$("$harness" runs list --json | /usr/bin/python3 -c 'import json, sys; print(json.load(sys.stdin)["trials"][0]["hash"])')"
  "$harness" runs show "$hash" >/dev/null
  "$harness" predict "$hash" "$set/imagesTr" "$place/out [1]"
  "$harness" evaluate "$set" "$place/out [1]" --partial --json | /usr/bin/python3 -c 'import json, sys; json.load(sys.stdin)'
  "$harness" evaluate "$set" "$place/out [1]" --partial --csv | /usr/bin/python3 -c 'import csv, sys; list(csv.reader(sys.stdin))'
}

# --- data that were given relative to a folder ---

# Two folders with a data set of the same name, and a trial on the first one's.
relative() {
  mkdir -p one two
  "$harness" data phantom one/data --size 22x24x28 --cases 5 --validation 2 --organs 2
  "$harness" data phantom two/data --size 22x24x28 --cases 5 --validation 2 --organs 2 --seed 7
  (cd one && "$harness" run "$place/tiny.lua" data=data --db "$work/relative.db" -q >/dev/null)
  export HARNESS_DB="$work/relative.db"
}

@test "a trial's picture is of its own data, from wherever it is asked for, or an error that says where they were" {
  relative
  (cd one && "$harness" plot triptych)
  "$harness" plot triptych
  cd two
  run "$harness" plot triptych
  echo "$output"
  [ "$status" -eq 3 ]
  [[ "$output" == *"data: these are not the data of trial"*"they were in $work/one/data: go there"* ]]
  cd ..
  mv one/data one/moved
  run "$harness" plot triptych
  [ "$status" -eq 3 ]
  [[ "$output" == *"$work/one/data: the data of trial"*"no longer there"* ]]
  # The same data at another place are the same trials, which know the place from then on.
  run "$harness" run "$place/tiny.lua" data=one/moved
  [[ "$output" == *"0 of 2 trials to run"* ]]
  "$harness" plot triptych
  (cd two && "$harness" plot triptych)
  printf 'x' >>one/moved/labelsTr/phantom_000.nii.gz
  run "$harness" plot triptych
  [ "$status" -eq 3 ]
  [[ "$output" == *"and have changed"* ]]
}

@test "a data set given as . or .. or with slashes has its folder's name" {
  relative
  cd one/data
  for word in . ../data// ./imagesTr/..; do
    "$harness" run "$place/tiny.lua" data=$word -n --json | /usr/bin/python3 -c '
import json, sys
assert json.load(sys.stdin)["data"]["name"] == "data"'
  done
  cd labelsTr
  "$harness" run "$place/tiny.lua" data=.. -n --json | /usr/bin/python3 -c '
import json, sys
assert json.load(sys.stdin)["data"]["name"] == "data"'
  run "$harness" run "$place/tiny.lua" data=..
  [[ "$output" == *"0 of 2 trials to run"* ]] # they are those that were trained from the other folder
}
