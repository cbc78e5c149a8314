# What README.md and docs/ say of the program is true of it.

load cli

@test "docs/database.md names every view, table and column of the schema" {
  experiment rows=1 seeds=1
  "$harness" run -q experiment.json >/dev/null
  /usr/bin/python3 - "$root/docs/database.md" "$HARNESS_DB" <<'END'
import re, sqlite3, sys
page, db = open(sys.argv[1], encoding="utf-8").read(), sqlite3.connect(sys.argv[2])
told = {}
for name, text in re.findall(r"^### (v_\w+)[^\n]*\n(.*?)(?=^##|\Z)", page, re.S | re.M):
    told[name] = re.findall(r"^\| (\w+) \|", text, re.M)[1:]
tables = page[page.index("## Tables"):]
for name, columns in re.findall(r"^\| (\w+) \| ([\w ]+) \|", tables, re.M)[1:]:
    told[name] = columns.split()
for n in "34567":
    told["v_table" + n] = told["v_table"]
kinds = "SELECT name FROM sqlite_schema WHERE type IN ('view', 'table') AND name NOT LIKE 'sqlite_%'"
there = {name: [row[1] for row in db.execute("PRAGMA table_info(%s)" % name)] for name, in db.execute(kinds)}
for name in sorted(told.keys() | there.keys()):
    assert told.get(name) == there.get(name), "%s\n docs   %s\n schema %s" % (name, told.get(name), there.get(name))
END
}

@test "what pages link to, tell to type and name is there, and what comments name" {
  /usr/bin/python3 -B "$root/tests/docs.py" "$harness"
}

@test "a page that links or tells to type what is not there is found" {
  cat >bad.md <<'END'
# Bad
[x](nothing.md) [y](#nowhere) [z](#bad) as kernels/gone.c and conv.c say

    ./harness run experiments/none.lua querys=1 --jbs 3 -q
    HARNESS_NOTHING=1 ./harness data chek DIR      # --none
    make cheese
END
  run /usr/bin/python3 -B "$root/tests/docs.py" "$harness" "$work/bad.md"
  [ "$status" -eq 1 ]
  [ "${#lines[@]}" -eq 10 ]
  local word
  for word in nothing.md nowhere none.lua querys --jbs chek cheese HARNESS_NOTHING gone.c; do
    [[ "$output" == *"$word"* ]]
  done
}

@test "docs/data.md names every key of plan.json" {
  "$harness" data phantom data --size 16 --cases 4 --validation 2 --organs 2 -q
  "$harness" data plan data -q
  /usr/bin/python3 - "$root/docs/data.md" data/plan.json <<'END'
import json, re, sys
page = open(sys.argv[1], encoding="utf-8").read()
section = page[page.index("## plan.json"):page.index("## Folds")]
told, plan = re.findall(r"^\| `(\w+)`", section, re.M), json.load(open(sys.argv[2]))
assert told == list(plan), "docs %s\nfile %s" % (told, list(plan))
for name in plan["preprocessing"]: assert "`%s`" % name in section, name
END
}
