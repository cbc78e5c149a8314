#!/usr/bin/env bats
# QTSeg's experiments: their rows, what they are held against, and what cannot be built.

load work

setup() {
  work_in "$BATS_TEST_TMPDIR"
  mkdir home
  cp -r "$root/lua" "$root/paper" "$root/experiments" home/
  export HARNESS_HOME="$work/home"
}

@test "Table III has settings 2 to 6, told apart by decoder, levels and feature distribution; README names what there is" {
  "$harness" run home/experiments/qtseg/modules.lua --dry-run --json | /usr/bin/python3 -c '
import json, sys
document = json.load(sys.stdin)
keys = [row["key"] for row in document["rows"]]
assert keys == ["cnn_medsam", "multi_medsam", "multi_medsam_mlfd", "multi_dmad", "multi_dmad_mlfd"], keys
of = {keys[cell["row"]]: cell["config"] for cell in document["cells"]}
assert {(c["decoder"], len(c["depths"]), c["mlfd"]) for c in of.values()} == {
    ("medsam", 1, False), ("medsam", 3, False), ("medsam", 3, True), ("dmad", 3, False), ("dmad", 3, True)}, of
assert document["rows"][4]["paper"] == .9245, document["rows"]
assert [row["against"] for row in document["rows"][1:]] == [0, 1, 1, 3], document["rows"]'
  "$harness" table qtseg 3 >table
  grep -q "runs: experiments/qtseg/modules.lua (5 of 7 rows)" table
  grep -q "paper only, not built here" table
  for file in "$root"/experiments/qtseg/*.lua; do
    grep -qF "qtseg/${file##*/}" "$root/README.md"
    "$harness" run "home/experiments/qtseg/${file##*/}" --dry-run seeds=1 >/dev/null
  done
}

@test "what QTSeg cannot be built of is told with the row" {
  refused() { # TEXT TYPED...
    run "$harness" run home/experiments/qtseg/attention.lua --dry-run "${@:2}"
    echo "$output"
    [ "$status" -eq 2 ]
    [[ "$output" == *"$1"* ]]
  }
  refused "pictures whose edges are multiples of 32, patch=1,H,W; found 1,100,128" patch=1,100,128
  refused "attention of 32 channels, half of 64, which 7 heads do not divide (n_channel, token_heads)" token_heads=7
  refused "depths=1,1,1,1: expected at most 3 numbers, found 4" depths=1,1,1,1
}
