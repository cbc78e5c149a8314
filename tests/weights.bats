#!/usr/bin/env bats
# weights=FILE and `harness weights`: a trial starts from another's numbers, or from those of another program, or says
# what does not fit.

load work

setup_file() {
  work_in "$BATS_FILE_TMPDIR"
  "$harness" data phantom abdomen --size 18x16x20 --cases 3 --validation 1 --organs 3
  cat >tiny.lua <<END
return { title = "tiny", vary = { head = { "point_wise" } }, seeds = 1, base = {
  data = "$work/abdomen", steps = 3, patch = { 8, 16, 16 }, batch = 1, bridge = "none", collapse_dice = 0, widths = { 4, 6, 8 },
  strides = { { 1, 1, 1 }, { 1, 2, 2 }, { 2, 2, 2 } }, kernels = { { 1, 3, 3 }, { 3, 3, 3 }, { 3, 3, 3 } } } }
END
  cat >files.py <<'END'
import json, sys
import numpy as np


def read(path):
    """Arrays by name; a file's 16-bit types stay as they are."""
    with open(path, "rb") as file:
        header = json.loads(file.read(int.from_bytes(file.read(8), "little")))
        data = file.read()
    header.pop("__metadata__", None)
    return {name: np.frombuffer(data[slice(*row["data_offsets"])], {"F32": "<f4", "F16": "<f2", "F64": "<f8"}[row["dtype"]])
            .reshape(row["shape"]) for name, row in header.items()}


def write(path, arrays):
    header, data = {}, b""
    for name, array in arrays.items():
        kind = {"f4": "F32", "f2": "F16", "f8": "F64"}[array.dtype.str[1:]]
        end = len(data) + array.nbytes
        header[name] = {"dtype": kind, "shape": array.shape, "data_offsets": [len(data), end]}
        data += array.tobytes()
    text = json.dumps(header).encode()
    open(path, "wb").write(len(text).to_bytes(8, "little") + text + data)
END
  "$harness" run tiny.lua -q >/dev/null
  first="$(newest)"
  export first
  "$harness" weights export "$first" unet.safetensors
}

newest() {
  "$harness" runs list --json | /usr/bin/python3 -c "import json, sys; print(json.load(sys.stdin)['trials'][-1]['hash'])"
}

setup() {
  cd "$work" || return
}

# One step of the rate 0 from these weights: what is trained is what was read.
start() {
  run "$harness" run tiny.lua -q steps=1 lr=0 "$@"
}

change() { # from unet.safetensors: CODE on `w`, a dict of arrays
  /usr/bin/python3 -B -c "from files import *
w = read('unet.safetensors')
$1
write('changed.safetensors', w)"
}

fails_with() {
  start weights=changed.safetensors weights_map=pytorch "${@:2}"
  echo "$output"
  [ "$status" -eq 1 ]
  [[ "$output" == *"$1"* ]]
}

@test "what was exported with PyTorch's names comes back bit for bit" {
  start weights=unet.safetensors weights_map=pytorch
  [ "$status" -eq 0 ]
  trial="$(newest)"
  "$harness" weights export "$trial" again.safetensors
  /usr/bin/python3 -B -c "from files import *
a, b = read('unet.safetensors'), read('again.safetensors')
assert list(a) == list(b) and len(a) == 136 and all(a[n].tobytes() == b[n].tobytes() for n in a)
assert a['decoder.transpconvs.0.weight'].shape == (8, 6, 2, 2, 2) and a['decoder.seg_layers.1.weight'].shape == (4, 4, 1, 1, 1)
assert a['encoder.stages.0.0.convs.0.conv.weight'].shape == (4, 1, 1, 3, 3)"
  # with our own names, and from a checkpoint as it is
  "$harness" weights export "$trial" own.safetensors --names own
  start weights=own.safetensors
  [ "$status" -eq 0 ]
  "$harness" weights export "$(newest)" own2.safetensors --names own
  start weights="results/checkpoints/$trial.safetensors"
  [ "$status" -eq 0 ]
  "$harness" weights export "$(newest)" own3.safetensors --names own
  /usr/bin/python3 -B -c "from files import *
all_three = [read(n + '.safetensors') for n in ('own', 'own2', 'own3')]
assert len(all_three[0]) == 48
for other in all_three[1:]: assert all(other[n].tobytes() == a.tobytes() for n, a in all_three[0].items())"
}

@test "a residual encoder's too, whose skips stand behind their pooling where they have one" {
  residual=(encoder=residual encoder_blocks=1,2,1 widths=4,6,8 strides=1,1,1,1,1,1,2,2,2)
  start "${residual[@]}"
  [ "$status" -eq 0 ]
  trial="$(newest)"
  "$harness" weights export "$trial" residual.safetensors
  start "${residual[@]}" weights=residual.safetensors weights_map=pytorch
  [ "$status" -eq 0 ]
  "$harness" weights export "$(newest)" residual2.safetensors
  /usr/bin/python3 -B -c "from files import *
a, b = read('residual.safetensors'), read('residual2.safetensors')
assert list(a) == list(b) and all(a[n].tobytes() == b[n].tobytes() for n in a)
assert 'encoder.stages.1.blocks.0.skip.0.conv.weight' in a and 'decoder.encoder.stages.2.blocks.0.skip.1.norm.bias' in a
assert not [n for n in a if 'skip' in n and ('conv.bias' in n or 'blocks.0' not in n)]"
  # and what is put into it is drawn, where one says so, and alone learns
  residual+=(encoder_adapter=conv_middle weights=residual.safetensors weights_map=pytorch)
  start "${residual[@]}"
  [ "$status" -eq 1 ]
  [[ "$output" == *"tensors are missing: encoder.stage0.block0.adapter."* ]]
  start "${residual[@]}" "weights_scope=-*.adapter" "freeze=encoder,-*.adapter"
  [ "$status" -eq 0 ]
}

@test "a network of one slice is exported as one in 2D, and read again" {
  flat=(patch=1,16,16 strides=1,1,1,1,2,2,1,2,2 kernels=1,3,3,1,3,3,1,3,3)
  for encoder in "encoder=plain" "encoder=residual encoder_blocks=1,1,1"; do
    read -ra chosen <<<"$encoder"
    rm -f flat*.safetensors
    start "${flat[@]}" "${chosen[@]}"
    [ "$status" -eq 0 ]
    "$harness" weights export "$(newest)" flat.safetensors
    start "${flat[@]}" "${chosen[@]}" weights=flat.safetensors weights_map=pytorch
    [ "$status" -eq 0 ]
    "$harness" weights export "$(newest)" flat2.safetensors
    "$harness" weights export "$(newest)" flat_own.safetensors --names own
    /usr/bin/python3 -B -c "from files import *
a, b, own = (read('%s.safetensors' % n) for n in ('flat', 'flat2', 'flat_own'))
assert list(a) == list(b) and all(a[n].tobytes() == b[n].tobytes() for n in a)
assert {w.ndim for w in a.values()} == {1, 4} and {w.ndim for w in own.values()} <= {1, 2, 5}
assert a['decoder.transpconvs.0.weight'].shape == (8, 6, 2, 2)"
  done
}

@test "a trial is known by the file's content, not by its place" {
  identity() { "$harness" run tiny.lua "$@" --dry-run | sed -n 's/^ *\([0-9a-f]\{8\}\)[0-9a-f]* .*/\1/p' | head -n 1; }
  mkdir -p elsewhere
  cp unet.safetensors elsewhere/other.safetensors
  one="$(identity weights=unet.safetensors weights_map=pytorch)"
  [ -n "$one" ]
  [ "$one" = "$(identity weights=elsewhere/other.safetensors weights_map=pytorch)" ]
  change 'w["decoder.seg_layers.0.bias"] = w["decoder.seg_layers.0.bias"] + 1'
  [ "$one" != "$(identity weights=changed.safetensors weights_map=pytorch)" ]
  [ "$one" != "$(identity weights=unet.safetensors)" ]
  [ "$(identity)" = "$(identity weights=none weights_map=own weights_scope=all)" ]
}

@test "all that does not fit is told at once" {
  change '
del w["decoder.transpconvs.0.bias"], w["decoder.seg_layers.1.weight"]
w["extra.weight"] = w["decoder.seg_layers.0.bias"]
w["decoder.seg_layers.0.weight"] = w["decoder.seg_layers.0.weight"][:3].copy()'
  fails_with "changed.safetensors does not fit the model: 2 tensors are missing: decoder.transpconvs.0.bias, decoder.seg_layers.1.weight; \
1 tensor is left over: extra.weight; 1 tensor is of another shape: decoder.seg_layers.0.weight is (3, 6, 1, 1, 1), expected (4, 6)"
  change 'w["decoder.encoder.stages.1.0.convs.0.norm.bias"] = w["decoder.encoder.stages.1.0.convs.0.norm.bias"] + 1'
  fails_with "encoder.stages.1.0.convs.0.norm.bias and decoder.encoder.stages.1.0.convs.0.norm.bias are one tensor of the model, and differ"
  change 'w = {n: np.where(a == a.flat[0], np.inf, a).astype("<f4") if "seg_layers.1.bias" in n else a for n, a in w.items()}'
  fails_with "decoder.seg_layers.1.bias holds a number that is not finite"
  # a name that is missing is listed once where the tensor has none of its names
  change 'w = {n: a for n, a in w.items() if "convs.0.conv" not in n and "all_modules" not in n}'
  fails_with "10 tensors are missing: encoder.stages.0.0.convs.0.conv.weight, "
  head -c 5000 unet.safetensors >changed.safetensors
  fails_with "cut short"
}

@test "an encoder alone, from halves, flat convolutions and a map of one's own" {
  /usr/bin/python3 -B -c "from files import *
w = read('unet.safetensors')
f = {n.replace('encoder.stages.', 'backbone.layer').replace('.0.convs.', '.'): a.astype('<f2') for n, a in w.items()
     if n.startswith('encoder.') and 'all_modules' not in n}
f['backbone.layer0.0.conv.weight'] = f['backbone.layer0.0.conv.weight'][:, :, 0].copy()
f['mask_token'] = np.zeros(3, '<f4')
write('backbone.safetensors', f)"
  cat >map.lua <<'END'
return {
  { "encoder.stage{s}.conv{i}.weight", "backbone.layer{s}.{i}.conv.weight" }, { "encoder.stage{s}.conv{i}.bias", "backbone.layer{s}.{i}.conv.bias" },
  { "encoder.stage{s}.conv{i}.norm.weight", "backbone.layer{s}.{i}.norm.weight" },
  { "encoder.stage{s}.conv{i}.norm.bias", "backbone.layer{s}.{i}.norm.bias" },
}
END
  start weights=backbone.safetensors weights_map=map.lua
  [ "$status" -eq 1 ]
  [[ "$output" == *"24 tensors are missing: decoder."*"1 tensor is left over: mask_token"* ]]
  start weights=backbone.safetensors weights_map=map.lua weights_scope=encoder
  [ "$status" -eq 0 ]
  trial="$(newest)"
  grep "24 tensors, .* numbers from .*/backbone.safetensors" "results/logs/$trial"*.log
  grep "not wanted *mask_token" "results/logs/$trial"*.log
  "$harness" weights export "$trial" partly.safetensors
  /usr/bin/python3 -B -c "from files import *
a, b = read('unet.safetensors'), read('partly.safetensors')
for n in a:
    if n.startswith('encoder.'): assert (a[n].astype('<f2').astype('<f4') == b[n]).all(), n
assert (a['decoder.transpconvs.0.weight'] != b['decoder.transpconvs.0.weight']).any()"
  # the file itself may say what nobody wants
  { sed '$d' map.lua; echo 'unused = { "mask_*" } }'; } >map2.lua
  start weights=backbone.safetensors weights_map=map2.lua
  [[ "$output" == *"24 tensors are missing"* && "$output" != *"left over"* ]]
  # a deeper one is not left aside
  /usr/bin/python3 -B -c "from files import *
f = read('backbone.safetensors')
write('deep.safetensors', {**f, 'backbone.layer3.0.conv.bias': np.zeros(3, '<f4')})"
  start weights=deep.safetensors weights_map=map.lua weights_scope=encoder
  [[ "$output" == *"1 tensor is left over: backbone.layer3.0.conv.bias"* ]]
  echo 'return { { "encoder", "backbone", part = { 3, 2 } } }' >part.lua
  start weights=backbone.safetensors weights_map=part.lua
  [[ "$output" == *"part.lua: row 1: part: expected { which, of how many }, as { 1, 2 }"* ]]
}

@test "frozen parameters keep the numbers of their file, in training and in prediction" {
  cat >frozen_unet.lua <<'END'
local encoder, deep = require "harness.parts.encoder", require "harness.parts.deep_supervision"
return {
  options = { encoder.options, deep.options },
  build = function(m, c)
    local scales = m.plain_conv_encoder {
      m.image, name = "encoder", widths = c.widths, strides = c.strides, kernels = c.kernels, convs = c.convs, frozen = true,
    }
    local logits = {}
    for i, feature in ipairs(m.plain_conv_decoder { scales, name = "decoder", kernels = c.kernels }) do
      logits[i] = m.point_wise_head { feature, classes = c.classes, name = "head.stage" .. i .. ".mask_embedding" }
    end
    return deep.voxel_classification(m, c, logits)
  end,
  pytorch = function(c) return require("harness.parts.pytorch_names").unet(c, true) end,
}
END
  sed 's/vary = .*seeds/vary = { model = { "frozen_unet.lua" } }, seeds/; s/bridge = "none", //' tiny.lua >frozen.lua
  cp unet.safetensors kept.safetensors
  "$harness" run frozen.lua -q lr=0.1 weights=kept.safetensors weights_map=pytorch >/dev/null
  trial="$(newest)"
  "$harness" weights export "$trial" frozen.safetensors
  /usr/bin/python3 -B -c "from files import *
a, b = read('unet.safetensors'), read('frozen.safetensors')
assert list(a) == list(b)
for n in a:
    if 'seg_layers.0' not in n: # whose loss has no weight
        assert (a[n].tobytes() == b[n].tobytes()) == ('encoder.' in n), n"
  "$harness" predict "$trial" abdomen/imagesTr/phantom_002_0000.nii.gz one.nii.gz
  mv kept.safetensors moved.safetensors
  run "$harness" predict "$trial" abdomen/imagesTr/phantom_002_0000.nii.gz two.nii.gz
  echo "$output"
  [ "$status" -eq 3 ]
  [[ "$output" == *"kept.safetensors: the trial starts from this file, and it is gone; where it has moved, "* ]]
  "$harness" run frozen.lua -q lr=0.1 weights=moved.safetensors weights_map=pytorch >/dev/null
  "$harness" predict "$trial" abdomen/imagesTr/phantom_002_0000.nii.gz two.nii.gz
}

@test "what cannot be meant is an error before anything runs" {
  refused() { # TEXT ARGUMENTS...
    start "${@:2}"
    echo "$output"
    [ "$status" -eq 2 ]
    [[ "$output" == *"$1"* ]]
  }
  refused "weights=none.safetensors: cannot read: No such file" weights=none.safetensors
  refused "weights_scope=encoder says how weights=FILE is read, which is not given" weights_scope=encoder
  refused "weights_map=torch: expected own, pytorch, or a file that ends in .lua" weights=unet.safetensors weights_map=torch
  start weights=unet.safetensors weights_map=pytorch weights_scope=backbone
  [[ "$output" == *"weights_scope=backbone: no parameter's name begins with 'backbone'; they begin with "*encoder* ]]
  start weights=unet.safetensors weights_map=pytorch 'weights_scope=encoder,-*.adapter'
  [[ "$output" == *"no parameter's name is '*.adapter'; they begin with "*encoder* ]]
  run "$harness" weights export "$(newest)" unet.safetensors
  [ "$status" -eq 2 ]
  [[ "$output" == *"unet.safetensors: is there already"* ]]
}

@test "a file that has changed since the trial was planned is not taken" {
  cp unet.safetensors moving.safetensors
  "$harness" run tiny.lua steps=1 lr=0.001 weights=moving.safetensors weights_map=pytorch --dry-run --json >planned.json
  change 'w["decoder.seg_layers.0.bias"] = w["decoder.seg_layers.0.bias"] + 1'
  cp changed.safetensors moving.safetensors
  run "$harness" run planned.json -q
  [ "$status" -eq 1 ]
  [[ "$output" == *"moving.safetensors: not the weights of this trial: the content is "* ]]
}

@test "weights list shows a file's tensors, or a trial's" {
  run "$harness" weights list unet.safetensors
  [[ "$output" == *"F32   (4, 1, 1, 3, 3) "*"encoder.stages.0.0.convs.0.conv.weight"*"136 tensors, "* ]]
  run "$harness" weights list "$first"
  [[ "$output" == *"encoder.stage0.conv0.weight"* ]]
  run "$harness" weights list unett.safetensors
  [[ "$output" == *"unett.safetensors: "*"No such file"* ]]
}
