#!/usr/bin/env bats
# 2D is D = 1: pictures are made, looked at, planned, trained by every model, predicted and scored.

load work

setup_file() {
  work_in "$BATS_FILE_TMPDIR"
  "$harness" data phantom set --picture lesion --size 40x48 --cases 4 --validation 2 2>/dev/null
  cat >flat.lua <<END
return { title = "flat", seeds = 1, rows = { { key = "a", label = "a", set = {} } }, base = { data = "$work/set", plan = "none",
  steps = 2, batch = 2, patch = { 1, 32, 32 }, key_grid = { 1, 8, 8 }, collapse_dice = 0, augment = "nnunet", mirror_tta = true,
  strides = { { 1, 1, 1 }, { 1, 2, 2 }, { 1, 2, 2 }, { 1, 2, 2 } }, kernels = { { 1, 3, 3 }, { 1, 3, 3 }, { 1, 3, 3 }, { 1, 3, 3 } } } }
END
}

setup() {
  cd "$work" || return
}

@test "pictures of each kind: the same again, sound, with both labels, and no volume's options" {
  for kind in lesion nuclei vessels; do
    for copy in a b; do
      "$harness" data phantom $kind/$copy --picture $kind --size 33x48 --cases 3 --validation 1 2>told
      grep -qx "$kind/$copy: 3 pictures ($kind) of 33x48, seed 1" told
    done
    diff -r $kind/a $kind/b
    "$harness" data check $kind/a >checked
    "$harness" data phantom $kind/a --picture $kind --size 33x48 --cases 3 --validation 1 2>/dev/null
    refute "$harness" data phantom $kind/a --picture $kind --size 34x48 --cases 3 --validation 1
  done
  while IFS='|' read -r typed expected; do
    # shellcheck disable=SC2086
    run "$harness" data phantom other --picture $typed
    echo "$output"
    [ "$status" -ne 0 ]
    [[ "$output" == *"$expected"* ]]
  done <<'END'
lesion --organs 3|--organs: pictures have none
lesion --size 3x4x5|a picture is one number or HxW
lesion --size 8|every edge must be 32..4096
lesion --cases 1|1 cases: expected 2..999
lesions|expected lesion, nuclei or vessels
END
}

@test "every model trains at D = 1" {
  names=$("$harness" help models | sed -n 's/^\([a-z0-9_]*\)  .*/\1/p' | grep -v -x -e bridge -e sam -e sam_masked -e sam_promptable)
  [[ "$names" == *maskmed* && "$names" == *masksam* && "$names" == *mask2former* ]]
  for name in $names; do
    echo "$name"
    set=
    [ "$name" != masksam ] || set="pretrain=none" # what it starts from otherwise takes minutes
    # shellcheck disable=SC2086
    "$harness" run flat.lua "model=$name" $set -q >/dev/null
  done
  for set in "head=point_wise bridge=none" bridge=standard bridge=deformable; do
    # shellcheck disable=SC2086
    "$harness" run flat.lua $set -q >/dev/null
  done
  [ "$(sql "SELECT count(DISTINCT loss) > 5, min(loss > 0) FROM curves")" = "1|1" ]
}

@test "a 2D set trains as planned, and its predictions lie on their own grids" {
  "$harness" data plan set >told
  grep -q "^configuration 2d" told
  grep -q "^patch  *1 x 40 x 48" told
  "$harness" run flat.lua plan=auto patch=1,40,48 -q >/dev/null
  trial=$(sql "SELECT hash FROM trials ORDER BY rowid DESC LIMIT 1")
  "$harness" predict "$trial" set/imagesTr predictions -q
  "$harness" evaluate set/labelsTr predictions >scores
  [ "$(find predictions -name 'lesion_*' | wc -l)" -eq 4 ]
}

@test "the 2D phantom is a data set that an experiment names, with options of its own" {
  export HARNESS_HOME="$work/home"
  mkdir home && ln -s "$BATS_TEST_DIRNAME/../lua" "$BATS_TEST_DIRNAME/../paper" home
  "$harness" run flat.lua data=phantom2d phantom2d=nuclei phantom2d_size=32,40 phantom2d_cases=3 phantom2d_validation=1 head=point_wise \
    bridge=none -q >/dev/null
  [ "$(ls home/results/data)" = "phantom2d-nuclei-32x40-3cases-1validation-seed1" ]
  run "$harness" run flat.lua data=phantom phantom2d=nuclei -n
  [ "$status" -eq 2 ]
  [[ "$output" == *"phantom2d: it is read with data=phantom2d alone"* ]]
  run "$harness" run "$BATS_TEST_DIRNAME/../experiments/pictures.lua" -n
  [ "$status" -eq 0 ]
  [[ "$output" == *"run      maskmed seed 0"* ]]
}

@test "slices of volumes train in nnU-Net's 2d configuration" {
  "$harness" data phantom volumes --size 24 --cases 3 --validation 1 --organs 2 2>/dev/null
  "$harness" data plan volumes >told
  grep -q "^patch  *24 x 24 x 24" told
  "$harness" data plan volumes --configuration 2d >told
  grep -q "^patch  *1 x 24 x 24" told || grep -q "^patch  *24 x 24 x 1" told || grep -q "^patch  *24 x 1 x 24" told
  sed -i "s/ strides = .*/ } }/; s/patch = .*augment/augment/" flat.lua
  "$harness" run flat.lua data=volumes plan=auto head=point_wise bridge=none -q >/dev/null
  run "$harness" data plan set --configuration 3d_fullres
  [ "$status" -eq 3 ]
  [[ "$output" == *"images of one slice have no configuration 3d_fullres"* ]]
  run "$harness" data plan volumes --configuration 3d_lowres
  [[ "$output" == *"needs 2d or 3d_fullres"* ]]
}
