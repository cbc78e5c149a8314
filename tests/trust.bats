# What may be relied on with files and names of others: a test for each sentence of docs/trust.md.

load work

# A folder whose files, structures, labels and title would be commands to a spreadsheet, a browser, gnuplot, SQLite; a
# trial of each of two rows on it.
setup_file() {
  work_in "$BATS_FILE_TMPDIR"
  "$harness" data phantom set --size 22x24x28 --cases 5 --validation 2 --organs 2
  /usr/bin/python3 - <<'END'
import json, os
name = "=HYPERLINK(\"x\")'); DROP TABLE trials; --<script>alert(1)</script>`touch escaped`"
os.rename("set/labelsTr/phantom_004.nii.gz", "set/labelsTr/=1+cmd'|.nii.gz")
os.rename("set/imagesTr/phantom_004_0000.nii.gz", "set/imagesTr/=1+cmd'|_0000.nii.gz")
about = json.load(open("set/dataset.json"))
names = [n for n, v in sorted(about["labels"].items(), key=lambda x: x[1])]
about["labels"] = {n if n == "background" else name + str(i): i for i, n in enumerate(names)}
about["name"] = "@SUM(1) " + name
json.dump(about, open("set/dataset.json", "w"))
open("hostile.lua", "w").write("""return { title = [[-2+cmd|' /C calc'!A0 <img src=x onerror=alert(1)> %s]], table = 6, seeds = 1, base = {
  steps = 4, patch = { 16, 16, 16 }, bridge = "none", collapse_dice = 0, widths = { 8, 16 },
  strides = { { 1, 1, 1 }, { 2, 2, 2 } }, kernels = { { 3, 3, 3 }, { 3, 3, 3 } } },
  rows = { { key = [[a'); DROP TABLE trials; --]], label = [[=1+1+cmd|' /C calc'!A0</td><script>alert(2)</script>]], set = { head = "point_wise" } },
           { key = "b", label = [[+HYPERLINK("http://x")" onmouseover="alert(3)]], set = { queries = 1 } } } }""" % name)
END
  "$harness" run hostile.lua data="$work/set" -q >table
}

setup() {
  work_in "$BATS_FILE_TMPDIR"
}

teardown() {
  [ -z "$(find "$work" -name escaped)" ]
}

# --- Lua ---

# What of the outside a file of Lua sees; nothing is printed where there is nothing.
looks_outside() {
  cat <<'END'
local seen = {}
for _, name in ipairs { "os", "io", "package", "debug", "coroutine", "utf8", "load", "loadstring", "loadfile", "dofile", "collectgarbage", "warn" } do
  if _G[name] ~= nil then seen[#seen + 1] = name end
end
for _, name in ipairs { "random", "randomseed" } do if math[name] then seen[#seen + 1] = "math." .. name end end
if string.dump then seen[#seen + 1] = "string.dump" end
for _, name in ipairs { "os", "io", "harness.model", "harness.experiment", "../secret", "/etc/passwd" } do
  if pcall(require, name) then seen[#seen + 1] = "require " .. name end
end
string.format, table.concat, _G.pcall = nil, nil, nil -- its own copies
if getmetatable("") then seen[#seen + 1] = "the metatable of texts" end
if #seen > 0 then error(#seen .. ": " .. seen[1] .. " " .. (seen[2] or ""), 0) end
END
}

@test "experiment and model files have no files, no processes, no clock, no chance and no other code" {
  { looks_outside; cat hostile.lua; } >looks.lua
  "$harness" run looks.lua data="$work/set" -n >/dev/null
  { looks_outside; encoder_and_head "frozen = false"; } >looking_model.lua
  tiny_unet 4 | sed 's/head = "point_wise", //; s/bridge = "none", //; s/widths.*} } }/warmup = 0 } }/' >own.lua
  "$harness" estimate own.lua model=looking_model.lua >/dev/null
}

fails_soon() { # FILE, WORDS
  run timeout 120 "$harness" run "$1" -n
  echo "$output"
  [ "$status" -eq 2 ]
  [[ "$output" == *"$2"* ]]
}

@test "Lua that never ends, or collects without end, is an error at its line, caught or not" {
  printf 'local n = 0\nwhile true do n = n + 1 end\n' >ever.lua
  fails_soon ever.lua "ever.lua:2: more than"
  printf 'while true do\n  pcall(function() while true do end end)\nend\n' >caught.lua
  fails_soon caught.lua "caught.lua:2: more than"
  printf 'local t = "x"\nwhile true do t = t .. t end\n' >large.lua
  fails_soon large.lua "large.lua:2: more than 256 MiB of memory"
  printf 'local t = {}\nfor i = 1, math.huge do t[i] = { i } end\n' >many.lua
  fails_soon many.lua "many.lua:2: more than 256 MiB of memory"
  for line in 'return ("x"):rep(1 << 40)' 'return (""):rep(1 << 60)' 'return table.move({}, 1, math.maxinteger - 1, 2)' \
    'return ("a"):rep(9000):find(("a-"):rep(20) .. "b")' 'setmetatable({}, { __gc = print })' \
    'table.insert(setmetatable({}, { __len = function() return 1 << 60 end }), 1, 1)'; do
    printf '%s\n' "$line" >once.lua
    fails_soon once.lua "once.lua:1: bad argument"
  done
  printf 'local t = { title = "x" }\nt.rows = { t }\nreturn t\n' >itself.lua
  run "$harness" run itself.lua -n
  [ "$status" -eq 2 ]
  tiny_unet 4 | sed 's/head = "point_wise", //; s/bridge = "none", //; s/widths.*} } }/warmup = 0 } }/' >own.lua
  encoder_and_head "frozen = false" 'while true do m.op.add { m.image, m.image } end' >endless.lua
  run timeout 120 "$harness" estimate own.lua model=endless.lua
  echo "$output"
  [[ "$output" == *"endless.lua:2: the model has more than"* ]]
}

# --- what is written for other programs ---

@test "no cell of a CSV is a formula" {
  "$harness" table 6 --format csv >table.csv
  trial="$("$harness" runs list --json | /usr/bin/python3 -c 'import json, sys; print(json.load(sys.stdin)["trials"][0]["hash"])')"
  mkdir -p new
  cp set/imagesTr/* new/
  "$harness" predict "$trial" new predicted
  "$harness" evaluate set predicted --partial --csv >scores.csv
  /usr/bin/python3 - table.csv scores.csv <<'END'
import csv, re, sys
for name in sys.argv[1:]:
    rows = list(csv.reader(open(name, newline="")))
    assert len(rows) > 1 and len({len(row) for row in rows}) == 1, rows
    formulas = [cell for row in rows for cell in row if re.match(r"\s*([=@]|[+-].*[A-Za-z])", cell) and not re.fullmatch(r"[+-][\d.]+(e[+-]?\d+)?", cell)]
    assert not formulas, formulas
    assert any("cmd" in cell for row in rows for cell in row), rows # they are there, as texts
END
}

@test "no text becomes markup or script of the report" {
  "$harness" plot hostile >/dev/null
  "$harness" report >/dev/null
  /usr/bin/python3 - "$work/results/report.html" <<'END'
import html.parser, sys
class Page(html.parser.HTMLParser):
    texts, bad = [], []
    def handle_starttag(self, tag, attributes):
        if tag in ("script", "iframe", "object", "embed", "link", "base", "form"): self.bad.append(tag)
        for key, value in attributes:
            if key.startswith("on"): self.bad.append((tag, key))
            if key in ("src", "href", "xlink:href") and not (value or "").startswith(("#", "data:image/")): self.bad.append((tag, key, value))
    def handle_data(self, data): self.texts.append(data)
page = Page()
page.feed(open(sys.argv[1], encoding="utf-8").read())
assert not page.bad, page.bad
assert any("<script>alert(2)</script>" in text for text in page.texts)
END
}

@test "gnuplot is given texts, no commands" {
  for kind in "" per-organ curves; do
    # shellcheck disable=SC2086
    "$harness" plot $kind hostile >/dev/null
  done
  [ "$(find results/plots -name '*.gp' | wc -l)" -ge 3 ]
  # What stands outside of quotes is ours.
  cat results/plots/*.gp | /usr/bin/python3 -c '
import re, sys
rest = re.sub(r"\x27(\x27\x27|[^\x27])*\x27", "", sys.stdin.read())
assert not re.search(r"cmd|DROP|script|touch|system|HYPERLINK", rest), rest'
}

# --- databases ---

@test "a stored configuration that another program cut or changed is told, with the trial and the key" {
  local trial
  trial="$(sql "SELECT hash FROM trials LIMIT 1")"
  cp -r results other
  export HARNESS_DB="$work/other/harness.db"
  mkdir -p new
  cp set/imagesTr/* new/
  local kept change
  kept="$(sql "SELECT config FROM trials LIMIT 1")"
  for change in '{}' '[]' 1 "json_remove(config, '\$.patch')" "json_remove(config, '\$.seed')" "json_remove(config, '\$.window_step')" \
    "json_remove(config, '\$.data_dir')" "json_set(config, '\$.patch', json('[1, 2, \"x\"]'))" "json_set(config, '\$.threads', -1)" \
    "json_set(config, '\$.window_step', 0)" "json_set(config, '\$.mirror', 'hhh')" "json_set(config, '\$.augment', 1)" \
    "json_set(config, '\$.tf32', 'some')" "json_set(config, '\$.weights', 'x')"; do
    [[ "$change" == json* ]] || change="'$change'"
    /usr/bin/python3 -c 'import sqlite3, sys
db = sqlite3.connect(sys.argv[1])
db.execute("UPDATE trials SET config = ?", (sys.argv[2],))
db.execute("UPDATE trials SET config = " + sys.argv[3])
db.commit()' "$HARNESS_DB" "$kept" "$change"
    local words
    for words in "predict $trial new gone" "plot triptych $trial" "weights export $trial out.safetensors"; do
      # shellcheck disable=SC2086
      run "$harness" $words
      echo "$change, $words: $status: $output"
      [ "$status" -gt 0 ]
      [ "$status" -lt 128 ]
      [[ "$output" == *"the configuration of trial ${trial:0:8} is none: "*"another program has changed the file"* ]]
    done
  done
}

# --- SQL ---

@test "SQL has the names of others as bound parameters alone" {
  [ "$(sql "SELECT count(*) FROM trials")" -eq 2 ]
  [ "$(sql "SELECT count(*) FROM rows WHERE key LIKE '%DROP TABLE trials%'")" -eq 1 ]
  cd "$root"
  # A statement is a literal or a constant: none is put together but of the program's own tables' names.
  run grep -rnE '(printf|strcat|fprintf|html_print)\(.*"[^"]*(SELECT |INSERT |UPDATE |DELETE |ALTER |DROP )' src --include=*.c --exclude=event.c --exclude=merge.c --exclude=verify.c
  echo "$output"
  [ "$status" -eq 1 ]
  [ "$(grep -rnE 'printf\([^;]*PRAGMA' src --include=*.c | wc -l)" -le 1 ]
  run grep -rnE 'sqlite3_(exec|prepare[a-z0-9_]*)\(' src --include=*.c --exclude-dir=store
  [ "$status" -eq 1 ]
}

# --- files and the network ---

watched() { # LOG COMMAND...
  [ -f "$work/file_watch.so" ] || gcc -shared -fPIC -O1 -o "$work/file_watch.so" "$root/tests/file_watch.c" -ldl
  local log="$work/$1"
  shift
  rm -f "$log"
  WATCH_LOG="$log" LD_PRELOAD="$work/file_watch.so" "$@"
}

paths() { # LOG KIND: once each, of all programs
  awk -v kind="$2" '$2 == kind { sub(/^[^ ]+ . /, ""); print }' "$work/$1" | sed 's|/\./|/|g' | sort -u
}

@test "what a run writes stays in its folder of results, and what it reads was named or is the program's" {
  mkdir -p away
  cp hostile.lua away/
  cd away
  watched run.log env HARNESS_DB="$work/kept/harness.db" HOME="$work/home" "$harness" run hostile.lua data="$work/set" -q >/dev/null
  watched plot.log env HARNESS_DB="$work/kept/harness.db" HOME="$work/home" "$harness" plot hostile >/dev/null
  watched report.log env HARNESS_DB="$work/kept/harness.db" HOME="$work/home" "$harness" report >/dev/null
  for log in run plot report; do
    paths $log.log w | grep -vE "^$work/kept(/|$)|^/dev/(null|tty)$|^/proc/self/|^[a-z_.-]+\.(svg|png)\.part$" >strange || true
    cat strange
    [ ! -s strange ]
  done
  paths run.log w | grep -q "^$work/kept/harness.db"
  paths run.log r | grep -vE "^$work/(kept|set|away)(/|$)|^$root/|^/(usr|proc|sys|dev|etc|lib|lib64|bin|opt)/|^$work/file_watch.so" >strange || true
  cat strange
  [ ! -s strange ]
  [ ! -e "$work/home" ]
}

@test "nothing is sent anywhere" {
  watched sent.log env HARNESS_DB="$work/sent/harness.db" "$harness" run hostile.lua data="$work/set" -q >/dev/null
  watched report.log "$harness" report >/dev/null
  watched doctor.log "$harness" doctor >/dev/null || true
  for log in sent report doctor; do
    grep ' n ' $log.log >strange || true
    cat strange
    [ ! -s strange ]
  done
  # Of our own objects: in a program with CUDA its library has such names, for processes that share a card.
  cd "$root/${BUILD:-build}" 2>/dev/null || cd "$BUILD"
  run nm --undefined-only base/*.o kernels/*.o kernels/*/*.o engine/*.o modules/*.o modules/*/*.o lua/*.o src/*/*.o src/*/*/*.o forms/*.o
  [ "$status" -eq 0 ]
  [[ "$output" == *" U sqlite3_open_v2"* ]]
  refute grep -wE 'connect|send|sendto|sendmsg|listen|getaddrinfo|gethostbyname|system|popen' <<<"$output"
  refute grep -E 'libcurl|libssl|libnghttp' <<<"$(ldd "$harness")"
}

# --- databases of others ---

@test "a database that another program has changed is refused before it is believed" {
  changed() { # STATEMENT WORDS
    cp "$work/results/harness.db" changed.db
    /usr/bin/python3 -c 'import sqlite3, sys
d = sqlite3.connect("changed.db"); d.executescript(sys.argv[1]); d.commit()' "$1"
    run "$harness" runs list --db changed.db
    echo "$output"
    [ "$status" -ne 0 ] && [ "$status" -lt 128 ]
    [[ "$output" == *changed.db*"$2"* ]]
  }
  changed "UPDATE trials SET hash = '../../../../../../etc/passwd' WHERE id = 1" "a trial's hash that is none"
  changed "UPDATE rows SET position = 1000000 WHERE id = 1" "a plan whose rows have gaps"
  changed "UPDATE rows SET against = 7" "a plan whose rows have gaps"
  changed "CREATE TRIGGER t AFTER INSERT ON attempts BEGIN DELETE FROM trials; END" "t is not this program's view or trigger"
  changed "DROP VIEW v_score; CREATE VIEW v_score AS SELECT 1 AS trial_id, 1 AS attempt_id, 'dice' AS metric, 1 AS value, 1 AS labels" "v_score is not this"
  changed "PRAGMA foreign_keys = OFF; ALTER TABLE plans RENAME TO p; CREATE TABLE plans AS SELECT * FROM p" "damaged"
}
