#!/usr/bin/env bats
# Is a database as it was written? Whatever a hand changes is named; what the program itself writes later, merges or brings
# forward is not.

load cli

verified() { # LINE: all is well, and so it says
  "$harness" verify >out
  grep -qF "$1" out
}

changed() { # TEXT: the change is found, named, and told by exit code 4
  run "$harness" verify
  [ "$status" -eq 4 ]
  [[ "$output" == *CHANGED*"$1"* ]]
}

@test "a figure, an attempt or a trial that is changed by hand is named; so is what was deleted" {
  experiment rows=2 seeds=2
  "$harness" run -q experiment.json >/dev/null
  verified "rows     24 looked at, 0 not as written"
  cp "$HARNESS_DB" whole.db
  local statement
  while IFS='|' read -r statement said; do
    cp whole.db "$HARNESS_DB"
    sql "$statement"
    changed "$said"
  done <<'END'
UPDATE metrics SET value = .99 WHERE attempt_id = 2 AND case_name = 'case_0' AND label = 1|attempt 1: dice of spleen in case_0 was changed
UPDATE metrics SET situation = 'missed' WHERE attempt_id = 1 AND case_name = 'case_0' AND label = 2|liver in case_0 was changed
UPDATE metrics SET name = 'heart' WHERE attempt_id = 1 AND case_name = 'case_0' AND label = 2|heart in case_0 was changed
UPDATE attempts SET train_s = 1 WHERE id = 3|attempt 1 was changed
UPDATE attempts SET removed = 1 WHERE id = 3|attempt 1 was changed
UPDATE trials SET config = replace(config, '"lr":0.1', '"lr":0.2') WHERE id = 1|was changed
UPDATE trials SET seed = 7 WHERE id = 1|was changed
DELETE FROM metrics WHERE attempt_id = 2 AND case_name = 'case_1'|attempt 1: 2 of its 4 figures are there
DELETE FROM trials WHERE id = 2|that is not there
END
  sql "UPDATE metrics SET value = .99 WHERE attempt_id = 4 AND label = 1"
  run "$harness" verify "$HARNESS_DB" --json
  [ "$status" -eq 4 ]
  "$harness" verify whole.db
  for hash in $(HARNESS_DB=whole.db sql "SELECT hash FROM trials WHERE id = 1"); do
    run "$harness" verify whole.db "${hash:0:6}"
    [ "$status" -eq 5 ] # its rows are as they were, but there are no weights
    [[ "$output" == *"rows     6 looked at, 0 not as written"* ]]
  done
}

@test "what the program writes later is no change: runs again, takes back, marks, joins; what was changed stays so" {
  experiment rows=2 seeds=2 fake=queries=1:0:crash
  "$harness" run -q experiment.json >/dev/null || true
  experiment rows=2 seeds=2
  "$harness" run -q experiment.json --retry failed >/dev/null
  hash="$(sql "SELECT hash FROM trials WHERE id = 2")"
  "$harness" runs rm "$hash"
  "$harness" runs tag "$hash" odd
  verified ", 0 not as written"
  "$harness" run -q experiment.json >/dev/null
  verified ", 0 not as written"
  mkdir other
  "$harness" merge "$HARNESS_DB" --db other/harness.db
  "$harness" verify other/harness.db >out
  grep -qF ", 0 not as written" out
  cmp <("$harness" table 6) <("$harness" table 6 --db other/harness.db)
  # Changed there, it is brought here as what it is; changed here, a later change by the program does not make it right.
  HARNESS_DB=other/harness.db sql "UPDATE metrics SET value = .99 WHERE attempt_id = 2 AND label = 1"
  HARNESS_DB=other/harness.db sql "UPDATE attempts SET wall_s = 9 WHERE id = 3"
  "$harness" merge other/harness.db --db third/harness.db
  run "$harness" verify third/harness.db
  [ "$status" -eq 4 ]
  [[ "$output" == *"spleen in case_0 was changed"*  ]]
  [[ "$output" == *"rows"*" 3 not as written"* ]]
  sql "UPDATE attempts SET wall_s = 9 WHERE trial_id = 2"
  "$harness" runs rm "$hash"
  changed "was changed"
}

@test "a column that another program added, called by what would be SQL, is a name" {
  experiment rows=2 seeds=1
  "$harness" run -q experiment.json >/dev/null
  /usr/bin/python3 - "$HARNESS_DB" <<'END'
import sqlite3, sys
db = sqlite3.connect(sys.argv[1])
for name in ("a', 1) BEGIN DELETE FROM metrics; END; --", 'b"" , 1); DELETE FROM metrics; --'):
    db.execute('ALTER TABLE trials ADD COLUMN "%s" TEXT' % name.replace('"', '""'))
db.commit()
END
  verified "rows     12 looked at, 0 not as written"
  experiment rows=2 seeds=2
  "$harness" run -q experiment.json >/dev/null
  verified "rows     24 looked at, 0 not as written"
}

@test "a file that is damaged, is none, or is older than checksums" {
  experiment rows=2 seeds=2
  "$harness" run -q experiment.json >/dev/null
  cp "$HARNESS_DB" damaged.db
  printf 'rubbish' | dd of=damaged.db bs=1 seek=4200 conv=notrunc status=none
  dd if=/dev/urandom of=damaged.db bs=4096 seek=2 count=6 conv=notrunc status=none
  run "$harness" verify damaged.db
  [ "$status" -eq 4 ]
  run "$harness" verify nothing.db
  [ "$status" -eq 5 ]
  echo text >text.db
  run "$harness" verify text.db
  [ "$status" -eq 3 ]
  /usr/bin/python3 -c 'import gzip, sqlite3, sys
sqlite3.connect("old.db").executescript(gzip.open(sys.argv[1], "rt").read())' "$root/tests/fixtures/stored-073ebeb/harness.sql.gz"
  run "$harness" verify old.db
  [ "$status" -eq 5 ]
  [[ "$output" == *"have no checksum: an older program wrote them"* ]]
  [[ "$output" == *"nothing to compare with"* ]]
  # What is added to it has them.
  "$harness" run -q experiment.json --db old.db >/dev/null
  "$harness" verify old.db >out
  grep -qE "rows +[0-9]+ looked at, 0 not as written; [0-9]+ have no checksum" out
  HARNESS_DB=old.db sql "UPDATE attempts SET wall_s = 99 WHERE id = (SELECT max(id) FROM attempts)"
  run "$harness" verify old.db
  [ "$status" -eq 4 ]
}

@test "weights predict their cases again: the same to the last digit; other weights, figures or data are found" {
  unset HARNESS_TRIAL_PROGRAM
  cp -r "$root/tests/fixtures/stored-073ebeb/organs" organs
  cat >tiny.lua <<'END'
return { title = "tiny", seeds = 2, rows = { { key = "plain", set = {} } }, base = { data = "organs", plan = "none",
  patch = { 8, 8, 8 }, widths = { 4, 8 }, strides = { { 1, 1, 1 }, { 2, 2, 2 } }, kernels = { { 3, 3, 3 }, { 3, 3, 3 } },
  bridge = "none", head = "point_wise", steps = 20, threads = 1, collapse_dice = 0 } }
END
  "$harness" run -q tiny.lua >/dev/null
  first="$(sql "SELECT hash FROM trials WHERE seed = 0")"
  second="$(sql "SELECT hash FROM trials WHERE seed = 1")"
  "$harness" verify "$first" >out # of the usual database
  grep -Eq "^weights  trial ${first:0:8}: of ([0-9]+) figures \1 are the same to the last digit, by this very program$" out
  verified "weights  of 2 trials lie beside it"
  "$harness" verify --predict --json >all.json
  /usr/bin/python3 -c 'import json
trials = json.load(open("all.json"))["trials"]
assert len(trials) == 2 and all(t["agrees"] and t["exact"] and t["same"] == t["figures"] > 4 for t in trials), trials'
  # A figure that was changed together with its checksum.
  cp "$HARNESS_DB" whole.db
  sql "UPDATE metrics SET value = .99, checksum = '' WHERE metric = 'dice' AND label = 1 AND attempt_id =
    (SELECT a.id FROM attempts a JOIN trials t ON t.id = a.trial_id WHERE t.hash = '$first')"
  run "$harness" verify "$HARNESS_DB" "$first"
  [ "$status" -eq 4 ]
  [[ "$output" == *"0 not as written"*CHANGED*"mean dice"*"is stored as"* ]]
  # By another program means must be near.
  sql "UPDATE environments SET binary_hash = 'another'"
  run "$harness" verify "$HARNESS_DB" "$first"
  [ "$status" -eq 4 ]
  [[ "$output" == *"by another program or processor"* ]]
  cp whole.db "$HARNESS_DB"
  sql "UPDATE environments SET binary_hash = 'another'"
  "$harness" verify "$HARNESS_DB" "$first" | grep -q "same to the last digit, by another program"
  cp whole.db "$HARNESS_DB"
  # Other weights under its name, none, other data.
  cp "results/checkpoints/$second.safetensors" "results/checkpoints/$first.safetensors"
  run "$harness" verify "$first"
  [ "$status" -eq 4 ]
  rm "results/checkpoints/$first.safetensors"
  run "$harness" verify "$first"
  [ "$status" -eq 5 ]
  [[ "$output" == *"has no weights under"* ]]
  rm "$(find organs -name '*.nii.gz' | sort | head -1)"
  run "$harness" verify "$second"
  [ "$status" -eq 5 ]
}
