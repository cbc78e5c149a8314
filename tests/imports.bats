#!/usr/bin/env bats
# Data sets of pictures as they are distributed become nnU-Net folders: label maps of their masks, the folds of QTSeg's code.

load work

setup() {
  work_in "$(mktemp -d)"
  export PYTHONPATH="$root/tests/verdict:$root/tests"
}

teardown() {
  rm -rf "$work"
}

# NAME [OPTION...]: makes the tiny set NAME, imports it into out, which must be sound, and looks at it with PY's lines (standard input).
imports() {
  local name="$1"
  shift
  /usr/bin/python3 -B "$root/tests/import_sets.py" "$name" "source"
  find source -type f -exec md5sum {} + | sort >before
  "$harness" data import "$name" source out "$@" 2>told || { cat told && return 1; }
  find source -type f -exec md5sum {} + | sort | cmp - before
  "$harness" data check out >checked || { cat checked && return 1; }
  cat >look.py
  /usr/bin/python3 -B - <<'END'
import json
from import_sets import mask
from picture_files import png_read
description, splits = json.load(open("out/dataset.json")), json.load(open("out/splits_final.json"))
def label(case):
    return png_read("out/labelsTr/%s.png" % case)[0]
def ones(i):
    return mask(i, 1)
def val(fold):
    return splits[fold]["val"]
exec(open("look.py").read())
END
}

@test "ISIC 2016: JPEG pictures stay as they are, the official test images validate" {
  imports isic2016 <<'END'
import os
assert description["file_ending"] == ".jpg" and description["labels"] == {"background": 0, "lesion": 1}
assert description["numTraining"] == 4 and len(splits) == 1
assert val(0) == ["ISIC_0000003"] and splits[0]["train"] == ["ISIC_%07d" % i for i in (0, 2, 14)]
assert label("ISIC_0000014") == ones(4) and label("ISIC_0000003") == ones(3)
assert os.path.samefile("out/imagesTr/ISIC_0000002_0000.jpg", "source/ISBI2016_ISIC_Part1_Training_Data/ISIC_0000002.jpg")
END
  grep -q "4 labelled cases" told
  rm -r out source/ISBI2016_ISIC_Part1_Training_GroundTruth/ISIC_0000002_Segmentation.png
  run "$harness" data import isic2016 source out
  [ "$status" -eq 3 ]
  [[ "$output" == *"ISIC_0000002_Segmentation.png: missing; it is the mask of"*"ISIC_0000002.jpg"* ]]
  run "$harness" data import isic2016 out other
  [[ "$output" == *"found no ISBI2016_ISIC_Part1_Training_Data there"* ]]
}

@test "BUSI: masks of one picture are joined, folds count in the order of texts, twins are told" {
  imports busi <<'END'
benign = sorted("benign (%d)_mask.png" % i for i in range(1, 13))
order = ["benign_%03d" % int(name.split("(")[1].split(")")[0]) for name in benign]
assert order[:4] == ["benign_001", "benign_010", "benign_011", "benign_012"]
assert len(splits) == 5
for fold in range(5):
    assert val(fold) == order[2 * fold:2 * fold + 2] + ["malignant_%03d" % (fold + 1)], val(fold)
    assert len(splits[fold]["train"]) == 15
assert not any("benign_008" == c or "benign_009" == c for f in range(5) for c in val(f))  # two, as in the code
assert label("benign_010") == ones(0) and label("malignant_006") == ones(1)
assert not any(c.startswith("normal") for c in splits[0]["train"])
END
  grep -q "out: 1 picture(s) that another case has, too, byte by byte: malignant_003 and malignant_005" told
  grep -q "BUSI says of no picture whose it is" told
  rm -r out "source/Dataset_BUSI_with_GT/benign/benign (7)_mask.png"
  run "$harness" data import busi source out
  [[ "$output" == *"benign/benign (7)_mask.png: missing; it is the mask of benign (7).png"* ]]
}

@test "NeoPolyp: colours of JPEG masks become one label, or two" {
  imports neopolyp <<'END'
assert description["labels"] == {"background": 0, "polyp": 1} and description["file_ending"] == ".jpeg"
names = sorted("%032x" % (i * 7919 % 101) for i in range(10))
assert [val(f) for f in range(5)] == [names[2 * f:2 * f + 2] for f in range(5)]
for i in range(10):
    found, there = label("%032x" % (i * 7919 % 101)), ones(i % 5)
    wrong = sum(a != b for r, s in zip(found, there) for a, b in zip(r, s))
    assert wrong == 0, (i, wrong)
END
  grep -q "10 labelled cases (0 of them the source's validation), 1 test images" told
  mv out binary
  imports neopolyp --types <<'END'
assert description["labels"] == {"background": 0, "non-neoplastic": 1, "neoplastic": 2}
for i in range(10):
    assert label("%032x" % (i * 7919 % 101)) == mask(i % 5, 1 if i % 2 else 2), i
END
}

@test "DSB 2018: nuclei are joined, and each keeps its number" {
  imports dsb2018 <<'END'
names = sorted("%064x" % (i * 7919 % 101) for i in range(11))
assert [val(f) for f in range(5)] == [names[2 * f:2 * f + 2] for f in range(5)] and names[10] in splits[4]["train"]
name = "%064x" % (7919 % 101)
assert label(name) == ones(1)
numbers, channels, depth = png_read("out/instancesTr/%s.png" % name)
assert depth == 16 and numbers == [[v and (1 if x < 14 else 2) for x, v in enumerate(row)] for row in ones(1)]
END
  rm -r out
  for mask in source/stage1_train/*/masks/*; do
    /usr/bin/python3 -B -c 'import sys; from picture_files import png, png_bytes; png(sys.argv[1], [[255] * 5] * 4)' "$mask"
    break
  done
  run "$harness" data import dsb2018 source out
  [ "$status" -eq 3 ]
  [[ "$output" == *"4x5 pixels (H,W), its picture "*" has 20x24"* ]]
}

@test "FIVES: names that are in both parts stay apart" {
  imports fives <<'END'
assert val(0) == ["test_1_A", "test_2_G"] and splits[0]["train"] == ["train_1_A", "train_2_A", "train_3_D"]
assert label("train_3_D") == ones(2) and label("test_1_A") == ones(0)
END
}
