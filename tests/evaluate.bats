#!/usr/bin/env bats
# harness evaluate: pairing, refusals and formats; the numbers are judged by tests/test_score.c and
# tests/oracle/metrics.py.

load cli

# nifti FILE AFFINE-SPACING EXPRESSION: a label map of 6x7x8 (i,j,k) from a numpy expression of i, j, k.
nifti() {
  /usr/bin/python3 - "$@" <<'END' || skip "python3-nibabel is missing"
import sys
import nibabel, numpy
i, j, k = numpy.indices((6, 7, 8))
spacing = [float(x) for x in sys.argv[2].split(",")]
labels = numpy.broadcast_to(eval(sys.argv[3]), i.shape).astype(numpy.uint8)
nibabel.save(nibabel.Nifti1Image(labels, numpy.diag(spacing + [1])), sys.argv[1])
END
}

folders() {
  mkdir -p set/labelsTr predicted
  echo '{"labels": {"background": 0, "left, upper": 1, "right": 2, "rest": 3},
    "channel_names": {"0": "MRI"}, "file_ending": ".nii.gz"}' >set/dataset.json
  nifti set/labelsTr/a.nii.gz 1,1,2 "1 * (i < 3) * (k > 2) + 2 * (i >= 3)"
  nifti set/labelsTr/b.nii.gz 1,1,2 "1 * (i < 2)"
  nifti predicted/a.nii.gz 1,1,2 "1 * (i < 2) * (k > 2) + 2 * (i >= 3)"
  nifti predicted/b.nii.gz 1,1,2 "2 * (i < 2)"
}

@test "two folders: a table per label, names from the data set above" {
  folders
  run "$harness" evaluate set/labelsTr predicted
  echo "$output"
  [ "$status" -eq 0 ]
  [[ "$output" == *"2 cases"* ]]
  grep -Eq '^1 left, upper +2 +1 +0 +0 +0\.4000' <<<"$output"
  grep -Eq '^2 right +2 +0 +1 +0 +0\.5000' <<<"$output"
  grep -Eq '^3 rest +0 +0 +0 +2 +- ' <<<"$output"
  run "$harness" evaluate set predicted --cases
  grep -Eq '^b +1 left, upper +missed +0\.0000' <<<"$output"
}

@test "CSV has a line per case and label, JSON the counts and the rules" {
  folders
  "$harness" evaluate set predicted --csv >scores.csv
  [ "$(wc -l <scores.csv)" -eq 7 ]
  grep -q '^a,1,"left, upper",both,105,70,70,0.8,' scores.csv
  grep -q '^b,3,rest,absent,0,0,0,,,' scores.csv
  "$harness" evaluate set predicted --json --tolerance 1 >scores.json
  /usr/bin/python3 - <<'END'
import json
d = json.load(open("scores.json"))
left = d["labels"][0]
assert (left["both"], left["missed"], left["false_positive"], left["absent"]) == (1, 1, 0, 0), left
assert abs(left["dice"]["mean"] - .4) < 1e-9 and left["dice"]["n"] == 2
assert abs(left["found"]["dice"]["mean"] - .8) < 1e-9 and left["found"]["dice"]["n"] == 1
assert abs(left["hd95"]["mean"] - (1 + (6**2 + 7**2 + 16**2) ** .5) / 2) < 1e-6
assert abs(d["mean"]["dice"] - (.4 + .5) / 2) < 1e-9
assert d["tolerance_mm"] == 1 and d["surface"] == "voxels" and "missed" in d["rules"]
assert abs(d["rows"][0]["reference_ml"] - 105 * 2 / 1000) < 1e-9
assert d["rows"][5]["dice"] is None
END
}

@test "a missing prediction is an error unless left out on purpose, a foreign one always" {
  folders
  rm predicted/b.nii.gz
  run "$harness" evaluate set predicted
  [ "$status" -eq 3 ]
  [[ "$output" == *"1 of 2 reference(s) have no prediction in predicted, first b.nii.gz"*"--partial"* ]]
  run "$harness" evaluate set predicted --partial
  [ "$status" -eq 0 ]
  [[ "$output" == *"1 reference(s) without a prediction are left out"* ]]
  cp predicted/a.nii.gz predicted/c.nii.gz
  run "$harness" evaluate set predicted --partial
  [ "$status" -eq 3 ]
  [[ "$output" == *"no reference of the same name"*"c.nii.gz"* ]]
  rm predicted/*
  run "$harness" evaluate set predicted --partial
  [ "$status" -eq 5 ]
}

@test "shapes, geometry and values that do not fit are refused by name" {
  folders
  nifti turned.nii.gz 1,1,3 "1 * (i < 3)"
  run "$harness" evaluate set/labelsTr/a.nii.gz turned.nii.gz
  [ "$status" -eq 3 ]
  [[ "$output" == *"turned.nii.gz lie differently in space: a voxel up to 7 mm"* ]]
  nifti foreign.nii.gz 1,1,2 "9 * (i < 3)"
  run "$harness" evaluate set/labelsTr/a.nii.gz foreign.nii.gz
  [ "$status" -eq 3 ]
  [[ "$output" == *"foreign.nii.gz: holds the value 9 (168 voxels), which"*"dataset.json does not name"* ]]
  rm set/dataset.json
  run "$harness" evaluate set/labelsTr/a.nii.gz foreign.nii.gz
  [ "$status" -eq 3 ]
  [[ "$output" == *"holds the value 9 (168 voxels), which no reference holds"* ]]
  /usr/bin/python3 -c "
import nibabel, numpy
nibabel.save(nibabel.Nifti1Image(numpy.zeros((6, 7, 9), 'uint8'), numpy.eye(4)), 'longer.nii')"
  run "$harness" evaluate set/labelsTr/a.nii.gz longer.nii
  [ "$status" -eq 3 ]
  [[ "$output" == *"a.nii.gz is 8x7x6, longer.nii is 9x7x6"* ]]
}

@test "microns are 0.001 mm; a prediction stored in another orientation is turned; labels a rounding off are whole" {
  folders
  /usr/bin/python3 - <<'END'
import nibabel, numpy
image = nibabel.load("set/labelsTr/a.nii.gz")
turned = image.as_reoriented(nibabel.orientations.axcodes2ornt("PSL"))
assert turned.shape != image.shape
nibabel.save(turned, "turned.nii.gz")
values = numpy.asarray(image.dataobj)
fine = nibabel.Nifti1Image(values.astype(numpy.int64), numpy.diag([1000, 1000, 2000, 1.0]), dtype="int64")
fine.header.set_xyzt_units("micron")
nibabel.save(fine, "fine.nii.gz")
nibabel.save(nibabel.Nifti1Image(values * 0.9999999, image.affine), "float.nii.gz")
END
  run "$harness" evaluate set/labelsTr/a.nii.gz turned.nii.gz
  [[ "$output" == *"1 file(s): stored in another orientation than the first file of the case"*"first turned.nii.gz"* ]]
  for map in turned fine float; do
    "$harness" evaluate set/labelsTr/a.nii.gz $map.nii.gz --json >scores.json
    grep -q '"dice": 1.0' scores.json
    grep -q '"hd95": 0.0' scores.json
  done
  "$harness" evaluate fine.nii.gz predicted/a.nii.gz --dataset set/dataset.json --json >micron.json
  "$harness" evaluate set/labelsTr/a.nii.gz predicted/a.nii.gz --json >mm.json
  /usr/bin/python3 - <<'END'
import json
micron, mm = (json.load(open(name + ".json"))["rows"] for name in ("micron", "mm"))
assert [r["hd95"] for r in micron] == [r["hd95"] for r in mm] and max(r["hd95"] or 0 for r in mm) == 1, (micron, mm)
assert [r["reference_ml"] for r in micron] == [r["reference_ml"] for r in mm]
END
}

@test "usage errors" {
  run "$harness" evaluate one
  [ "$status" -eq 2 ]
  run "$harness" evaluate a b --surface surfel
  [ "$status" -eq 2 ]
  [[ "$output" == *"did you mean \"surfels\""* ]]
  run "$harness" evaluate a b --tolerance -1
  [ "$status" -eq 2 ]
  mkdir folder
  run "$harness" evaluate folder nothing.nii
  [ "$status" -eq 3 ]
}

@test "SciPy agrees, and MONAI, MedPy and surface-distance where they are installed" {
  /usr/bin/python3 -c "import nibabel, scipy" || skip "python3-nibabel or python3-scipy is missing"
  cd "$root"
  run /usr/bin/python3 -W ignore tests/oracle/metrics.py --harness "$harness"
  echo "$output"
  [ "$status" -eq 0 ]
  [[ "$output" == *" 0 failed"* ]]
}

@test "ignored voxels count nowhere, regions by their name" {
  mkdir -p set/labelsTr predicted
  nifti set/labelsTr/a.nii.gz 1,1,1 "1 * (i < 3) + 1 * (i < 2) + 3 * (k > 5) * (i > 2)"
  nifti predicted/a.nii.gz 1,1,1 "1 * (i < 3) + 1 * (j < 4) * (i < 2) + 2 * (k > 5) * (i > 2)"
  echo '{"labels": {"background": 0, "a": 1, "b": 2, "ignore": 3}, "channel_names": {"0": "MRI"}}' >set/dataset.json
  run "$harness" evaluate set predicted
  echo "$output"
  [ "$status" -eq 0 ]
  grep -Eq '^1 a +1 +0 +0 +0 +0\.7000' <<<"$output"
  grep -Eq '^2 b +1 +0 +0 +0 +0\.7273' <<<"$output"
  [[ "$output" != *ignore* ]]
  echo '{"labels": {"background": 0, "whole": [1, 2], "core": 2, "ignore": 3}, "regions_class_order": [1, 2],
    "channel_names": {"0": "MRI"}}' >set/dataset.json
  run "$harness" evaluate set predicted
  echo "$output"
  grep -Eq '^1 whole +1 +0 +0 +0 +1\.0000' <<<"$output"
  grep -Eq '^2 core +1 +0 +0 +0 +0\.7273' <<<"$output"
  "$harness" evaluate set predicted --json >scores.json
  /usr/bin/python3 - <<'END'
import json
rows = json.load(open("scores.json"))["rows"]
assert [(r["label"], r["name"], r["reference_voxels"]) for r in rows] == [(1, "whole", 168), (2, "core", 112)], rows
END
  nifti predicted/a.nii.gz 1,1,1 "4 * (i < 3)"
  run "$harness" evaluate set predicted
  [ "$status" -eq 3 ]
  [[ "$output" == *"a.nii.gz: holds the value 4 (168 voxels), which"*"dataset.json does not name"* ]]
}
