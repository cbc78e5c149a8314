#!/usr/bin/env bats
# The papers' tables as data: every one prints, from its data alone, with what contradicts it.

load cli

tables() { # "masksam 4", a line each
  "$harness" table --list --json | python3 -c '
import json, sys
for paper in json.load(sys.stdin)["papers"]:
    for table in paper["tables"]:
        print(paper["paper"], table["table"])'
}

@test "every table of every paper prints within 80 columns, from its data alone" {
  tables >list
  [ "$(grep -c . list)" -ge 20 ]
  for paper in "maskmed 7" "masksam 4" "qtseg 3" "medal_s 5" "nnunet_revisited 1"; do grep -q "^$paper$" list; done
  while read -r paper number; do
    "$harness" table "$paper" "$number" >"$paper-$number.txt"
    [ "$(grep -c . "$paper-$number.txt")" -ge 5 ]
    run grep '[[:space:]]$' "$paper-$number.txt"
    [ "$status" -eq 1 ]
  done <list
  "$harness" table --list >all.txt
  "$harness" table --list medal_s >medal_s.txt
  "$harness" table medal_s | cmp - medal_s.txt
  [ "$(python3 -c 'import glob; print(max(len(line.rstrip("\n")) for name in glob.glob("*.txt") for line in open(name)))')" -le 80 ]
  "$harness" table "Medal S" 4 | cmp - medal_s-4.txt
  [ ! -e results ]
}

@test "a table and its contradictions, as printed" {
  "$harness" table masksam 4 >table
  diff table - <<'END'
Table 4  Ablation on ACDC        MaskSAM
ACDC, 20 patients for testing, Dice in %

Model                                         DSC
------------------------------------------  --------
B1 SAM + MaskPG + vAdapter                  89.53
B2 SAM + BBoxPG + vAdapter                  88.78[1]
B3 SAM + MaskBBoxPG + vAdapter              90.08[1]
B4 SAM + MaskAvgBBoxPG + vAdapter           91.45
B5 B4 + DPosEmbed                           91.61
B6 B5, vAdapter w/ D-MLP after FC-Up        92.88[2]
B7 B5, vAdapter w/ D-MLP before FC-Down     92.93[1]
B8 B5, DMLPAdapter for vAdapter             93.10
B9 B8 + DConvAdapter (full model)[3]        93.39

  [1] paper: section 3.2 cuts differences instead of rounding them: 2.6 for 2.67
      (B4 to B2), 1.3 for 1.37 (B4 to B3), 0.1 for 0.17 (B8 to B7)
  [2] paper: any mixing of depth is the largest step, 1.27 points (B5 to B6);
      where it stands, which is what the text names, moves 0.22
  [3] paper: the auxiliary class token is pooled to one cell, in public code to
      16 x 16; code has B9 alone, none of B1 to B8
  PG: generator of prompts, masks or boxes or both; vAdapter: vanilla adapter;
      D-MLP: MLP along depth; DPosEmbed: position along depth
  runs: experiments/masksam/adapters.lua (9 of 9 rows)
END
}

@test "wide tables come in blocks that begin with the rows' names, data sets above their columns" {
  "$harness" table maskmed 2 >table
  [ "$(grep -c '^Method  ' table)" -eq 2 ]
  [ "$(grep -c '^Swin-UNETR ' table)" -eq 2 ]
  grep -q '^TransUNet  .* 0.838\[1\]' table
  grep -q '^  \[1\] paper: TransUNet: the mean of its columns is 0.837, printed is 0.838$' table
  "$harness" table qtseg I >table # as the paper counts them
  grep -q '^ *BUSI  *NeoPolyp  *DSB2018$' table
  grep -q '^QTSeg .* 81.82\[1\]  73.46\[1\] ' table
  grep -q '^Method .* MAE\[2\]' table # of a whole column
  "$harness" table medal-s 4 | grep -q '^CT, SAT\[3\]  *-  *-  *-  *-$' # printed empty
}

# What each mean is off by, from the printed figures alone: more than rounding of both can make it.
@test "the papers' means are those of their columns, but for those that are told" {
  tables | while read -r paper number; do "$harness" table "$paper" "$number" --json >"$paper-$number.json"; done
  python3 - <<'END'
import glob, json
found, told, rows, means = set(), set(), 0, 0
for name in sorted(glob.glob("*.json")):
    table = json.load(open(name))
    of = [c["name"] for c in table["columns"] if c["structure"]]
    digits = 2 if any(c["unit"] == "%" for c in table["columns"]) else 3
    for row in table["rows"]:
        rows += 1
        assert set(row["printed"]) == {(c["group"] + " " if c["group"] else "") + c["name"] for c in table["columns"]}, row
        if not of:
            continue
        means += 1
        printed = row["printed"][table["main"]]
        if abs(sum(row["printed"][c] for c in of) / len(of) - printed) > 10 ** -digits * (1 + 1e-9):
            found.add((table["paper"], table["table"], row["key"]))
    for c in table["contradictions"]:
        if "the mean of its columns is" in c["text"]:
            told.add((table["paper"], table["table"], c["at"][0]["row"]))
assert found == told == {
    ("maskmed", 2, "transunet"), ("masksam", 1, "unetr"), ("masksam", 1, "sam_box"), ("masksam", 1, "medsam_point"),
    ("masksam", 1, "medsam_box"), ("masksam", 2, "nnformer"), ("masksam", 3, "nnunet"), ("masksam", 3, "sam_box")}, (found, told)
assert (rows, means) == (202, 55), (rows, means)
END
}

@test "a table as JSON and CSV: figures as printed, and as shares of 1" {
  "$harness" table masksam 3 --json | python3 -c '
import json, sys
table = json.load(sys.stdin)
assert (table["schema"], table["table"], table["paper"], table["main"]) == (1, 3, "masksam", "DSC")
row = {row["key"]: row for row in table["rows"]}["nnunet"]
assert row["paper"] == 0.9161 and row["printed"]["DSC"] == 91.61 and row["printed"]["LV"] == 92.36 and row["printed"]["Prompts"] is None
assert (row["mean"], row["n"], row["status"]) == (None, 0, None)
mark = table["contradictions"][0]
assert mark["mark"] == "[1]" and mark["at"] == [{"row": "nnunet", "column": "DSC"}] and "90.61" in mark["text"]
assert table["columns"][2] == {"name": "RV", "group": None, "structure": "right ventricle", "unit": "%"} and table["runs"] == []'
  "$harness" table maskmed 5 --format csv | sed -n '2,3p' | tr -d '\r' | diff - <(printf '%s\n' \
    'lr_transformer=1,1:1,,collapse' 'lr_transformer=0.5,1:0.5,0.822,0.822')
  "$harness" table qtseg 1 --format md | grep -q '^| Method | Params | FLOPs | ISIC2016 MAE\[2\] | ISIC2016 Dice |'
  "$harness" table qtseg 1 --format tex | grep -Fq 'U-Net & 23.63 & 33.39 & 4.98 & 89.56'
}

@test "the list of tables says how many rows run here" {
  "$harness" table --list >list
  grep -Eq '^1 +Comparison on AMOS22 +10 +16 +4 +experiments/comparison.lua$' list
  grep -Eq '^3 +Segmentation heads +6 +1 +6 +experiments/seg_heads.lua$' list
  grep -Eq "^4 +Ablation on ACDC +9 +1 +9$" list
  grep -Eq "^4 +experiments/masksam/adapters.lua$" list
  grep -Eq "^3 +paper.s numbers only$" list
  "$harness" table maskmed 1 | grep -q '^  runs: experiments/comparison.lua (4 of 10 rows)$'
  "$harness" table --list maskmed --json | python3 -c '
import json, sys
tables = json.load(sys.stdin)["papers"][0]["tables"]
assert tables[5]["runs"] == [{"experiment": "experiments/query_count.lua", "rows": 4}] and tables[1]["runs"] == []
assert tables[5]["columns"] == ["DSC"] and tables[5]["rows"] == 4'
}

@test "what is no paper and no table of one is told with what there is" {
  while IFS='|' read -r words code expected; do
    # shellcheck disable=SC2086
    run "$harness" table $words
    echo "$words: $output"
    [ "$status" -eq "$code" ]
    [[ "$output" == *"$expected"* ]]
  done <<'END'
masksm 4|2|did you mean "masksam"
--list masksm|2|did you mean "masksam"
masksm|5|did you mean "masksam"
masksam 9|2|it has 1 (Comparison on AMOS22), 2 (Comparison on Synapse), 3 (Comparison on ACDC), 4 (Ablation on ACDC)
masksam four|2|masksam has no table 'four'
masksam 4 5|2|one operand too many
6 masksam|2|one operand too many
--list --format csv|2|--format csv: the list of tables is text or json
6|5|`harness table maskmed 6` prints the paper's own figures
2|5|`harness table maskmed 2` prints the paper's own figures
99|5|maskmed has Tables 1 to 7
query_count --paper|2|is no table of a paper
END
  "$harness" table 6 --paper >six
  "$harness" table maskmed 6 | cmp - six
}

@test "help knows the papers" {
  "$harness" help papers | grep -q '^masksam  *MaskSAM: .* (4 tables)$'
  "$harness" help masksam | grep -q 'harness table masksam 4  Ablation on ACDC'
  "$harness" help maskmed | grep -q 'harness table maskmed 7  Loss ratios' # beside the model's options
  run "$harness" help masksm
  [ "$status" -eq 2 ]
  [[ "$output" == *'did you mean "masksam"'* ]]
}

# Rows of Table 1 by the keys of the paper's, with its figures; the fake trials have a spleen and a liver.
stored() { # paper's name, experiment
  experiment rows=2 seeds=1 cases=5 table=1 experiment="$2"
  python3 - "$1" "$2" <<'END'
import json, sys
document = json.load(open("experiment.json"))
document["model"], document["title"] = sys.argv[1], "of " + sys.argv[1]
for row, key, paper in zip(document["rows"], ("nnunet", "masksam"), (0.893, 0.905)):
    row.update(key=key, label=key, paper=paper)
document["notes"] = ["paper: nnU-Net stands at 0.893 here and at 0.878 in Table 3: the gain over it is 2.0 or 3.5 points"]
json.dump(document, open("experiment.json", "w"))
END
  "$harness" run -q experiment.json
}

@test "stored figures stand beside the paper's, structures too, with its marks" {
  stored MaskMed comparison >run
  "$harness" table 1 >table
  grep -Eq '^nnunet +0\.893\[1\] +0\.550 +1 ' table
  grep -q '^  \[1\] paper: nnU-Net stands at 0.893 here' table
  grep -Eq '^ +nnunet +masksam$' table
  grep -Eq '^DSC per structure +ours +paper +ours +paper$' table
  grep -Eq '^spleen +0\.600 +0\.951 +0\.700 +0\.963$' table
  head -c "$(wc -c <run)" table | cmp - run
  grep -q '^UNETR .* 0.928 ' table # the paper's own, below
  "$harness" table maskmed 1 | cmp - table
  "$harness" table 1 --json | python3 -c '
import json, sys
table = json.load(sys.stdin)
assert [row["key"] for row in table["rows"]] == ["nnunet", "masksam"] and table["rows"][0]["mean"] == 0.55
assert {"key": "masksam", "structure": "liver", "paper": 0.982, "mean": 0.6} in table["structures"] and len(table["structures"]) == 4
assert len(table["printed"]["rows"]) == 10'
  "$harness" table 1 --metric hd95 >other || true
  run grep 'paper' other
  [ "$status" -eq 1 ]
  "$harness" report >/dev/null
  grep -q '<summary>Table 4: Ablation on ACDC (ACDC, 20 patients' results/report.html
}

@test "a number alone is MaskMed's, also where another paper's table of that number is stored" {
  stored MaskMed comparison >/dev/null
  stored MaskSAM other >/dev/null
  "$harness" table 1 | head -1 | grep -q 'of MaskMed'
  "$harness" table masksam 1 | head -1 | grep -q 'of MaskSAM'
  "$harness" table other | head -1 | grep -q 'of MaskSAM'
  [[ "$("$harness" plot 1)" == */comparison.svg ]]
  [ "$("$harness" table masksam 1 --paper | head -1)" = "Table 1  Comparison on AMOS22        MaskSAM" ]
}

@test "a paper is a file, and what is wrong in it is told with its place" {
  mkdir home && cp -r "$root/lua" "$root/paper" "$root/experiments" home/
  export HARNESS_HOME="$work/home"
  cat >home/paper/mine.lua <<'END'
local columns = require("harness.structures").columns
return {
  name = "Mine", title = "A paper", source = "Nobody, 2026",
  tables = { { title = "One", axis = "Method", data = "ACDC, Dice", columns = columns("acdc", "Mean"), digits = 3,
    rows = { { key = "a", label = "A", 0.9, 0.8, 0.7, 0.8 }, { key = "b", label = "B", 0.5, 0.5, 0.5, 0.5 } },
    contradictions = { { at = { "a", "Mean" }, text = "as it is" } } } },
}
END
  "$harness" table mine 1 | grep -Eq '^A +0.900  0.800  0.700  0.800\[1\]$'
  cat >home/experiments/mine.lua <<'END'
return { title = "Mine", paper = "mine", table = 1, rows = { { key = "b", set = {} } } }
END
  "$harness" table mine 1 | grep -q 'runs: experiments/mine.lua (1 of 2 rows)'
  "$harness" run home/experiments/mine.lua --dry-run --json | python3 -c '
import json, sys
document = json.load(sys.stdin)
assert document["rows"][0]["paper"] == 0.5 and document["axis"] == "Method" and document["model"] == "Mine"
assert not any("as it is" in note for note in document["notes"]) # of a row that is not here'
  cp home/paper/mine.lua good
  while IFS='|' read -r from to expected; do
    sed "s/$from/$to/" good >home/paper/mine.lua
    run "$harness" table mine 1
    echo "$to: $output"
    [ "$status" -eq 2 ]
    [[ "$output" == *"paper/mine.lua: table 1: $expected"* ]]
  done <<'END'
0.7, 0.8 }|0.7, 0.9 }|row a: printed is the mean 0.900, that of its columns is 0.800; name it among the contradictions, { mean = "a" }
{ at = { "a", "Mean" }, text = "as it is" }|{ mean = "a" }|row a: its mean is that of its columns
0.7, 0.8 }|0.8 }|row a: expected 4 figures, one a column, found 3
key = "b"|key = "a"|two rows have the key 'a'
"a", "Mean"|"a", "Men"|a contradiction is at column 'Men', which is none
"a", "Mean"|"c", "Mean"|a contradiction is at row 'c', which is none
axis = |axes = |there is no field 'axes'; did you mean "axis"
columns("acdc", "Mean")|{ { name = "Params", cost = "flops" } }|column Params: cost is "parameters" or "macs", found 'flops'
END
  cp good home/paper/mine.lua
  sed -i 's/table = 1/table = 2/' home/experiments/mine.lua
  run "$harness" run home/experiments/mine.lua --dry-run
  [ "$status" -eq 2 ]
  [[ "$output" == *"mine has no table '2'; it has 1 (One)"* ]]
}
