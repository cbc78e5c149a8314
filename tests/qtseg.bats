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
  # what our settings cost stands beside what the paper prints: parameters to the digit, multiply-adds to .01
  grep -Eq '^ +Params +FLOPs\[[0-9]\]$' table
  grep -Eq '^6 QTSeg  .* 9\.21 +9\.21 +2\.60 +2\.(59|60)$' table
  grep -Eq '^1 MedSAM.* 9\.79\[[0-9]\] +- +39\.91 +-$' table
  "$harness" table qtseg 3 --json | /usr/bin/python3 -c '
import json, sys
rows = {row["key"]: row for row in json.load(sys.stdin)["rows"]}
counted = {key: row["counted"]["parameters"] for key, row in rows.items() if "counted" in row}
assert counted == {"cnn_medsam": 4629840, "multi_medsam": 9407760, "multi_medsam_mlfd": 9687184, "multi_dmad": 8935426,
                   "multi_dmad_mlfd": 9214850}, counted
for key in counted:
    printed = rows[key]["printed"]
    assert abs(rows[key]["counted"]["macs"] / 1e9 - printed["FLOPs"]) <= .01, rows[key]
    assert round(counted[key] / 1e6, 2) == printed["Params"], rows[key]'
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
  refused "attention of 16 channels, half of 32, which 7 heads do not divide (n_channel, token_heads)" token_heads=7
  refused "depths=1,1,1,1: expected at most 3 numbers, found 4" depths=1,1,1,1
}

@test "weights have the public code's names; its encoder comes from the code's own file or YOLOv8's, and thaws when told" {
  small=("$root/lua/harness/any_model.lua" -q model=qtseg data=phantom2d phantom2d_size=64,64 phantom2d_cases=3 phantom2d_validation=1
    patch=1,64,64 batch=2 n_channel=2 token_heads=2 mlp=16 depths=1,1,1 optimizer=adamw lr_transformer=1 average=0 warmup=0
    collapse_dice=0)
  trained() { # FILE OPTIONS...: one step of rate 0, unless told otherwise, and its weights
    "$harness" run "${small[@]}" lr=0 steps=1 "${@:2}" >/dev/null
    hash="$(sql "SELECT hash FROM trials WHERE status = 'done' ORDER BY id DESC LIMIT 1")"
    "$harness" weights export "$hash" "$1.safetensors"
  }
  told() { grep -c "YOLOv8's batch norms were trained with epsilon 1e-3, here is bn_eps=1e-05" results/logs/"$hash"*.log; }
  trained drawn
  cat >tensors.py <<'END'
import json
import numpy as np
def read(name):
    data = open(name + ".safetensors", "rb").read()
    end = 8 + int.from_bytes(data[:8], "little")
    return {n: np.frombuffer(data[end:][slice(*t["data_offsets"])], "<f4").reshape(t["shape"])
            for n, t in json.loads(data[8:end]).items() if n != "__metadata__"}
def write(name, tensors):
    header, data = {}, b""
    for n, a in tensors.items():
        header[n] = {"dtype": "F32", "shape": a.shape, "data_offsets": [len(data), len(data) + 4 * a.size]}
        data += a.astype("<f4").tobytes()
    text = json.dumps(header).encode()
    open(name + ".safetensors", "wb").write(len(text).to_bytes(8, "little") + text + data)
def alike(found, expected):
    """By name; a step has moved running statistics by a tenth towards its batch's."""
    assert list(found) == list(expected), set(found) ^ set(expected)
    return {n for n in found if (np.abs(found[n] / expected[n] - .9).max() < .05 if ".running_" in n else (found[n] == expected[n]).all())}
drawn = read("drawn")
END
  /usr/bin/python3 -B - <<'END'
from tensors import *
for name, shape in {
    "image_encoder.conv_0.conv.weight": (2, 3, 3, 3), "image_encoder.c2f_2.cv1.conv.weight": (4, 4, 1, 1),
    "image_encoder.c2f_4.cv1.bn.running_var": (8,), "image_encoder.c2f_4.m.1.cv2.conv.weight": (4, 4, 3, 3),
    "image_encoder.c2f_12.cv1.conv.weight": (16, 48, 1, 1), "image_encoder.sppf_9.cv2.conv.weight": (32, 64, 1, 1),
    "bridge.neck_2_0.conv.weight": (8, 8, 3, 3), "bridge.neck_0_2.conv_transpose.weight": (32, 2, 4, 4),
    "mask_decoder.mask_tokens.weight": (2, 32), "mask_decoder.DMAB_s2.layers.0.dm_attention.spatial_attention.cv1.weight": (1, 2, 7, 7),
    "mask_decoder.DMAB_s0.layers.0.dm_attention.channel_attention.gamma": (1,),
    "mask_decoder.DMAB_s1.layers.0.dm_attention.channel_token_mix_attention.q_proj.weight": (8, 16),
    "mask_decoder.DMAB_s1.layers.0.token_mlp.lin1.weight": (16, 16), "mask_decoder.DMAB_s1.layers.0.feature_mix.out_proj.bias": (16,),
    "mask_decoder.DMAB_s2.final_attn_token_to_image.v_proj.bias": (16,), "mask_decoder.DMAB_s2.norm_final_attn.bias": (32,),
    "mask_decoder.PE_s2.positional_encoding_gaussian_matrix": (2, 16), "mask_decoder.MLP_s2.1.layers.2.weight": (16, 32),
    "mask_decoder.SUB_s2.0.weight": (32, 16, 2, 2), "mask_decoder.SUB_s0.3.weight": (4, 8, 2, 2), "mask_decoder.SUB_s0.4.bias": (8,),
}.items():
    assert drawn[name].shape == shape, (name, drawn[name].shape)
assert all(n.startswith(("image_encoder.", "bridge.neck_", "mask_decoder.")) for n in drawn), sorted(drawn)
rng = np.random.default_rng(1)
other = {n: 100 + rng.random(a.shape, "f4") if ".running_" in n else rng.standard_normal(a.shape, "f4") / 4 for n, a in drawn.items()}
write("other", {**other, "image_encoder.conv_0.bn.num_batches_tracked": np.zeros(1)})
encoder = {n.split(".", 1)[1]: a for n, a in other.items() if n.startswith("image_encoder.")}
write("alone", encoder)
yolo = {"model." + n.split("_", 1)[1]: a for n, a in encoder.items()}
write("yolo", {**yolo, "model.22.cv2.0.0.conv.weight": np.zeros((8, 8, 3, 3))})
END
  trained all weights=other.safetensors weights_map=pytorch
  trained own weights=alone.safetensors weights_map=pytorch weights_scope=encoder
  refute told
  trained theirs weights=yolo.safetensors weights_map=pytorch weights_scope=encoder
  [ "$(told)" -eq 1 ]
  trained theirs2 weights=yolo.safetensors weights_map=pytorch weights_scope=encoder bn_eps=1e-3
  refute told
  trained thawed weights=yolo.safetensors weights_map=pytorch weights_scope=encoder freeze=encoder freeze_steps=2 lr=0.01 steps=3 \
    schedule=step step_every=2 step_factor=0
  /usr/bin/python3 -B - <<'END'
from tensors import *
other = {n: a for n, a in read("other").items() if not n.endswith("num_batches_tracked")}
assert alike(read("all"), other) == set(other)
of_encoder = {n for n in other if n.startswith("image_encoder.")}
for name in ("own", "theirs", "theirs2"):
    found = read(name)
    assert alike(found, other) == of_encoder, name
    assert all((found[n] == drawn[n]).all() for n in set(other) - of_encoder if ".running_" not in n), name
# two steps with the encoder frozen, one of rate 0: of its tensors running statistics alone move, of the others every one
found = read("thawed")
for n in other:
    still = (found[n] == (other if n in of_encoder else drawn)[n]).all()
    assert still == (n in of_encoder and ".running_" not in n or n.startswith("mask_decoder.PE_")), n
END
  run "$harness" run "${small[@]}" lr=0 steps=1 weights=alone.safetensors weights_map=pytorch
  [ "$status" -eq 1 ]
  [[ "$output" == *"tensors are missing"* ]]
}
