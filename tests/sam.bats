#!/usr/bin/env bats
# SAM as a user calls it: weights of either program's names, a picture, boxes and points.

load work

setup_file() {
  work_in "$BATS_FILE_TMPDIR"
  /usr/bin/python3 -B - "$root" <<'END'
import sys
sys.path.insert(0, sys.argv[1] + "/tests")
import numpy as np
import picture_files
import sam_files
rng = np.random.default_rng(3)
weights = sam_files.small(rng)
sam_files.write("sam.safetensors", weights)
sam_files.write("hf.safetensors", sam_files.renamed(weights))
del weights["mask_decoder.transformer.layers.1.mlp.lin2.bias"]
weights["image_encoder.neck.0.weight"] = weights["image_encoder.neck.0.weight"][:5]
sam_files.write("broken.safetensors", weights)
picture_files.png("picture.png", rng.integers(0, 256, (30, 3 * 50)).tolist(), colour="rgb")
END
  printf 'PK\3\4and more, a pickle somewhere within' >sam.pth
}

setup() {
  cd "$work" || return
}

labels() { # FILE: "HEIGHT WIDTH LABELS"
  /usr/bin/python3 -B -c 'import sys; sys.path.insert(0, sys.argv[2])
import picture_files
rows, _, _ = picture_files.png_read(sys.argv[1])
print(len(rows), len(rows[0]), *sorted({v for row in rows for v in row}))' "$1" "$BATS_TEST_DIRNAME"
}

@test "boxes and points give label maps of the picture's size, one label a box" {
  run "$harness" predict sam.safetensors picture.png two.png --box 3,4,20,25 --box 22,2,48,28
  echo "$output"
  [ "$status" -eq 0 ]
  [[ "$output" == *"1 written, 0 kept: two.png"* ]]
  run labels two.png
  echo "$output"
  [[ "$output" == "30 50 "* ]]
  "$harness" predict sam.safetensors picture.png point.png --point 10,12 --point 40,5,0
  "$harness" predict sam.safetensors picture.png both.png --box 3,4,20,25 --point 10,12
  [[ "$(labels both.png)" == "30 50 "* ]]
}

@test "both programs' names of the same numbers give the same mask, and another prompt another" {
  "$harness" predict sam.safetensors picture.png ours.png --box 3,4,20,25
  "$harness" predict hf.safetensors picture.png theirs.png --box 3,4,20,25
  "$harness" predict hf.safetensors picture.png other.png --box 25,2,48,12
  cmp ours.png theirs.png
  refute cmp -s ours.png other.png
}

@test "weights that do not fit, pickles and prompts that cannot be are refused" {
  fails() { # TEXT ARGUMENTS...
    run "$harness" predict "${@:2}"
    echo "$output"
    [ "$status" -ne 0 ] && [[ "$output" == *"$1"* ]] && [ ! -e none.png ]
  }
  fails "mask_decoder.transformer.layers.1.mlp.lin2.bias" broken.safetensors picture.png none.png --box 1,2,3,4
  fails "image_encoder.neck.0.weight" broken.safetensors picture.png none.png --box 1,2,3,4
  fails "its pickle is not read: convert it" sam.pth picture.png none.png --box 1,2,3,4
  fails "--box is X1,Y1,X2,Y2" sam.safetensors picture.png none.png --box 9,2,3,4
  fails "--point is X,Y" sam.safetensors picture.png none.png --point 9,2,5
  fails "--probabilities is for a trial's label maps" sam.safetensors picture.png none.png --box 1,2,3,4 --probabilities
  fails "give one box" sam.safetensors picture.png none.png --point 9,2 --box 1,2,3,4 --box 1,2,3,4
  fails "cannot open" sam.safetensors missing.png none.png --point 9,2
}
