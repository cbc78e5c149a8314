#!/usr/bin/env bats
# A database written at 073ebeb (form 5) stays what it is: tests/fixtures/stored-073ebeb holds it as SQL text, the data
# its trials learned from, and the tables that program printed. Made once, by:
#   options="phantom_size=16,16,16 phantom_cases=4 phantom_validation=1 phantom_organs=2 patch=16,16,16
#            key_grid=2,2,2 threads=1 steps=3"
#   harness run experiments/query_count.lua $options seeds=3, then seg_heads modules lr_ratio loss_ratio comparison embeddings
#   with seeds=1, comparison.lua with data=organs seeds=2 augment=nnunet mirror_tta=yes (organs: a copy of the phantom), and
#   memory_scale.lua scale=quick; paths of the machine taken out.

load cli

setup() {
  work_in "$(mktemp -d)"
  fixture="$root/tests/fixtures/stored-073ebeb"
  export HARNESS_HOME="$work/home"
  mkdir -p home/results/data results
  cp -r "$root/lua" "$root/paper" "$root/experiments" home/
  sed -i 's/larger_decoder = true, shared_queries = false/decoder_convs = 3/; /against = "decoupled"/,+1d' \
    home/experiments/seg_heads.lua # its rows then; its rate was 0.1
  sed -i '/key = "small"/d; /key = "faster"/d' home/experiments/loss_ratio.lua
  # and these: layers had heads of their own, Mask2Former's loss MaskMed's weights
  sed -i -e 's/bce_weight = 5, dice_weight = 5/first_prediction = false, match = "per_stage"/' -e 's/match = "per_stage"/&, decoder_heads = "own", \
    decoder_start = "learned", decoder_order = "cross_first", pixel_decoder = "laterals"/' home/experiments/comparison.lua
  sed -i 's/base = { model = "bridge" }/base = { model = "bridge", query_scales = 3 }/' home/experiments/memory_scale.lua # it varies
  cp -r "$fixture/organs" home/results/data/phantom-16x16x16-2organs-4cases-40HU-seed1
  cp -r "$fixture/organs" organs
  /usr/bin/python3 -c 'import gzip, sqlite3, sys
sqlite3.connect(sys.argv[2]).executescript(gzip.open(sys.argv[1], "rt").read())' "$fixture/harness.sql.gz" "$HARNESS_DB"
}

# The commands that wrote it: COMMAND ... of each experiment, 40 trials and 16 that are planned and timed.
# Defaults that are others today are named as they were.
# shellcheck disable=SC2086
each_experiment() {
  local name small="patch=16,16,16 key_grid=2,2,2 threads=1 steps=3"
  local phantom="phantom_size=16,16,16 phantom_cases=4 phantom_validation=1 phantom_organs=2"
  for name in query_count:3 modules:1 lr_ratio:1 loss_ratio:1 comparison:1; do
    "$@" home/experiments/"${name%:*}".lua $quick_before $heads_before $phantom $small "seeds=${name#*:}" || return 1
  done
  for name in seg_heads embeddings; do
    "$@" home/experiments/$name.lua $quick_before $heads_before $phantom $small seeds=1 lr=0.1 || return 1
  done
  "$@" home/experiments/comparison.lua $quick_before $heads_before data=organs $small seeds=2 augment=nnunet mirror_tta=yes || return 1
  "$@" home/experiments/memory_scale.lua scale=quick $quick_before
}

nothing_is_missing() {
  each_experiment "$harness" run --dry-run >cells
  refute grep -vE "^[0-9a-f]{8}  done         (skip|same)|^0 of [0-9]+ trials would run$|^(of )?[0-9]+ of these trials" cells
  [ "$(grep -c '^0 of' cells)" -eq 9 ]
  [ "$(cut -d' ' -f1 cells | grep -v '^0' | sort -u | wc -l)" -gt 40 ]
}

# The columns of the fixture's tables.txt, whatever others there are.
tables() {
  local line
  for line in comparison:phantom seg_heads:phantom modules:phantom lr_ratio:phantom query_count:phantom loss_ratio:phantom \
    embeddings:phantom comparison:organs; do
    "$harness" table "${line%:*}" --dataset "${line#*:}" --format csv | /usr/bin/python3 -c 'import csv, sys
columns = "key", "label", "paper", "mean", "sd", "n", "status", "parameters"
for row in csv.DictReader(sys.stdin): print(*sys.argv[1:], *(row[name] for name in columns), sep="|")' "${line%:*}" "${line#*:}"
  done
}

@test "what was stored at 073ebeb is complete, and its tables are the same" {
  nothing_is_missing
  diff <(tables) "$fixture/tables.txt"
  # verdicts are today's: three seeds have an interval for these cases, but are too few
  "$harness" table query_count cases=fixed >table
  [ "$(grep -Ec '^[234] x N .*\[.*\] +1\.000 +too few seeds$' table)" -eq 3 ]
}

@test "the same commands run nothing, bring the database forward, keep a copy, and print the same tables" {
  each_experiment "$harness" run -q >/dev/null
  [ "$(sql 'SELECT count(*) FROM attempts')" -eq 56 ]
  [ "$(sql 'SELECT count(*) FROM trials')" -eq 56 ]
  [ -f results/harness.db.v5.bak ]
  diff <(tables) "$fixture/tables.txt"
}

@test "an option that comes later, shared, of a model or of a part, leaves all of it complete; a default that changes, what it is none of" {
  cd home/lua/harness
  local row='name = "later", type = "choice", default = "as", before = "as", choices = { "as", "other" }, doc = "x"'
  sed -i "s/^local rows = {/&\n  { ${row/later/later_shared} },/" options.lua
  sed -i "s/^  options = {/&\n    { ${row/later/later_maskmed} },/" models/maskmed.lua
  sed -i "s/^  options = {/&\n    { ${row/later/later_bridge} },/" parts/fusion.lua
  sed -i 's/fpn_decoder.width", quick = 32/fpn_decoder.width", quick = 40/' parts/fpn.lua
  cd "$work"
  "$harness" help later_bridge | grep -q "An option of bridge, maskmed:"
  each_experiment "$harness" run --dry-run >cells
  grep -vE '^[0-9a-f]{8}  done         (skip|same)|^0 of [0-9]+ trials would run$' cells >missing || true
  refute grep -vE ' mask(2)?former seed |trials would run|^training: |^(of )?[0-9]+ of these trials' missing
  [ "$(grep -c 'former seed' missing)" -eq 6 ] # by another default they are other trials
  "$harness" run home/experiments/query_count.lua seeds=1 later_maskmed=other --dry-run | grep -q "4 of 4 trials would run"
  "$harness" run home/experiments/memory_scale.lua scale=quick later_bridge=other --dry-run | grep -q "16 of 16 trials would run"
  "$harness" run home/experiments/memory_scale.lua scale=quick later_shared=other --dry-run | grep -q "16 of 16 trials would run"
}

@test "a table says what its trials were trained with that today's defaults would have otherwise" {
  "$harness" table query_count >table
  grep -q "trained otherwise than its experiment has it today, by defaults of then or as typed:.* steps=3 (today [0-9]*)" table
  refute grep -q "alone:" table
  sed -i 's/vary = { queries = { 1, 2, 3, 4 } }/rows = { { key = "queries=1", set = {} }, { key = "queries=2", set = { queries = 2, head_norm = "inside" } } }/' home/experiments/query_count.lua
  local row='name = "later", type = "choice", default = "other", before = "as", choices = { "as", "other" }, doc = "x"'
  sed -i "s/^local rows = {/&\n  { $row },/; s/name = \"clip\", type = \"number\", default = 12/name = \"clip\", type = \"number\", default = 13/" home/lua/harness/options.lua
  "$harness" table query_count --json | python3 -c '
import json, sys
first, second, third, _ = [row["otherwise"] for row in json.load(sys.stdin)["rows"]]
assert first["later"] == ["as", "other"] and first["clip"] == ["12", "13"] and first["patch"][0] == "16,16,16", first
assert "head_norm" not in first and second["head_norm"] == ["post", "inside"] and second["clip"] == first["clip"], second
assert not third, third' # the file has no such row any more
  "$harness" table query_count >table
  grep -q "2 x N alone: .*head_norm=post (today inside)" table
  "$harness" report >/dev/null
  grep -q "head_norm=post (today inside)" results/report.html
  "$harness" table comparison --dataset organs | grep -q "trained otherwise .*steps=3 (today"
}

@test "and computes again what it computed: the losses of 20 steps at quick as it was" {
  export HARNESS_DB="$work/again/harness.db"
  # shellcheck disable=SC2086
  HARNESS_ISA=v3 "$harness" run -q home/experiments/query_count.lua $quick_before $heads_before seeds=1 queries=1 steps=20 >out 2>&1 || {
    cat out
    grep -q "no instruction set" out && skip "no AVX2 here: sums round otherwise"
    false
  }
  # sums may round otherwise than then; at so high a rate a step makes up to 300 times as much of it, so only two agree closely
  local first="abs(sum(CASE WHEN step < 3 THEN loss ELSE 0 END) - 4.4929416179657) < 1e-5"
  [ "$(sql "SELECT count(*), abs(sum(loss) / 30.807145833969116 - 1) < 0.05, $first FROM curves")" = "20|1|1" ]
}
