#!/usr/bin/python3
"""Writes the inputs that the fuzz targets begin with into tests/fuzz/corpus, a small one of each kind that is read.
What a fuzzer found beside them lies there too. Argument: that folder."""
import gzip
import json
import os
import struct
import sys
import tempfile

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
import picture_files as pictures
from verdict import nii

corpus = sys.argv[1]


def put(target, name, data):
    os.makedirs(os.path.join(corpus, target), exist_ok=True)
    with open(os.path.join(corpus, target, name), "wb") as file:
        file.write(data if isinstance(data, bytes) else data.encode())


def volume(values, **how):
    with tempfile.TemporaryDirectory() as folder:
        nii.write(folder + "/a.nii", values, **how)
        with open(folder + "/a.nii", "rb") as file:
            return file.read()


for kind in nii.CODES:
    put("nifti", "type-" + kind, volume(list(range(8)), dim=(2, 2, 2), type=kind))
small = volume([0, 1, 2, 1] * 2, dim=(2, 2, 2))
put("nifti", "packed", gzip.compress(small, mtime=0))
put("nifti", "channels", volume(list(range(8)), dim=(2, 2, 1, 2), type="i2", slope=2.0, inter=-1.0))
put("nifti", "no-sform", volume([0, 1], dim=(2, 1, 1), affine=None))
put("nifti", "cut", small[:355])
put("nifti", "big-endian", struct.pack(">i", 348) + small[4:])
put("nifti", "nifti-2", struct.pack("<i8sHHq8q", 540, b"n+2\0\r\n\x1a\n", 2, 8, 544, 3, 2, 1, 1, 1, 1, 1, 1) + bytes(540))
put("nifti", "large", small[:40] + struct.pack("<8h", 4, *[32767] * 4, 1, 1, 1) + small[56:])

grey = [[0, 1, 2], [3, 4, 255]]
put("png", "grey", pictures.png_bytes(grey))
put("png", "grey-16", pictures.png_bytes([[0, 65535], [256, 3]], depth=16))
put("png", "one-bit", pictures.png_bytes([[0, 1, 1], [1, 0, 1]], depth=1))
put("png", "rgb", pictures.png_bytes([[1, 2, 3, 4, 5, 6]], colour="rgb"))
put("png", "rgba", pictures.png_bytes([[1, 2, 3, 255, 4, 5, 6, 128]], colour="rgba"))
put("png", "palette", pictures.png_bytes([[0, 1, 1]], colour="palette", palette=[(0, 0, 0), (9, 8, 7)], opacity=[255, 9]))
put("png", "interlaced", pictures.png_bytes([[i + 8 * j for i in range(8)] for j in range(8)], interlaced=True))
put("png", "cut", pictures.png_bytes(grey)[:-20])
block = [[(x * 9 + y * 5) % 256 for x in range(8)] for y in range(8)]
put("jpeg", "grey", pictures.jpeg_bytes(block))
put("jpeg", "turned", pictures.jpeg_bytes(block, orientation=6))
put("jpeg", "rgb", pictures.jpeg_bytes([[v for x in range(8) for v in (x, y, 200)] for y in range(8)], channels=3))
put("jpeg", "cut", pictures.jpeg_bytes(block)[:-30])

about = {"channel_names": {"0": "CT"}, "labels": {"background": 0, "liver": 1, "tumour": 2}, "file_ending": ".nii.gz"}
split = [{"train": ["a", "b", "c"], "val": ["f"]}, {"train": ["patient001_d", "patient001_e"], "val": ["a"]}]


def data_set(name, *parts):
    put("dataset", name, "\n====\n".join(json.dumps(part) for part in parts))


data_set("plain", about)
data_set("splits", about, split)
data_set("regions", dict(about, labels={"background": 0, "whole": [1, 2], "core": 2, "ignore": 3}, regions_class_order=[1, 2]))
data_set("decathlon", {"modality": {"0": "MRI"}, "labels": {"0": "background", "1": "liver"}, "numTraining": 1,
                       "training": [{"image": "./imagesTr/a_0000.nii.gz", "label": "./labelsTr/a.nii.gz"}]})
data_set("validation", dict(about, harness_validation=2, name="a set"))
data_set("many-labels", dict(about, labels={"l%d" % i: 1 for i in range(600)}))

plan = {"schema": 1, "dataset": "set", "cases": 3, "configuration": "3d_fullres", "budget": "8 GB", "patch": [32, 32, 32],
        "batch": 2, "strides": [[1, 1, 1], [2, 2, 2]], "kernels": [[3, 3, 3], [3, 3, 3]], "widths": [32, 64], "key_grid": [8, 8, 8],
        "batch_dice": False, "median_shape": [40.0, 40.0, 40.0],
        "preprocessing": {"orientation": "RAS", "spacing_mm": [1.0, 1.0, 1.0], "nonzero_mask": True, "channels": [
            {"name": "CT", "scheme": "ct", "low": -100.0, "high": 200.0, "mean": 3.0, "sd": 4.0}, {"name": "MRI", "scheme": "zscore"}]}}
put("plan", "own", json.dumps(plan))
put("plan", "residual", json.dumps(dict(plan, encoder="residual", encoder_blocks=[1, 3])))
intensity = {"mean": 1.0, "median": 1.0, "std": 2.0, "min": 0.0, "max": 9.0, "percentile_00_5": 0.0, "percentile_99_5": 8.0}
kwargs = {"n_stages": 2, "features_per_stage": [32, 64], "strides": [[1, 1, 1], [2, 2, 2]], "kernel_sizes": [[3, 3, 3], [3, 3, 3]],
          "n_conv_per_stage": [2, 2], "n_conv_per_stage_decoder": [2], "norm_op": "torch.nn.modules.instancenorm.InstanceNorm3d"}
plans = {"plans_name": "nnUNetPlans", "transpose_forward": [0, 1, 2], "experiment_planner_used": "ExperimentPlanner",
         "foreground_intensity_properties_per_channel": {"0": intensity, "1": intensity},
         "configurations": {"3d_fullres": {
             "spacing": [1.0, 1.0, 1.0], "median_image_size_in_voxels": [40, 40, 40], "patch_size": [32, 32, 32], "batch_size": 2,
             "batch_dice": True, "normalization_schemes": ["CTNormalization", "ZScoreNormalization"], "use_mask_for_norm": [False, True],
             "architecture": {"network_class_name": "dynamic_network_architectures.architectures.unet.PlainConvUNet", "arch_kwargs": kwargs}}}}
put("plan", "nnunet", json.dumps(plans))
half = json.loads(json.dumps(plans))
half["configurations"]["3d_fullres"]["patch_size"] = [0.5, 32, 32]
put("plan", "half-a-voxel", json.dumps(half))
put("plan", "fingerprint", json.dumps({"spacings": [[1, 1, 1]], "shapes_after_crop": [[9, 9, 9]], "orientation": "RAS",
                                       "foreground_intensity_properties_per_channel": {"0": intensity}}))
put("plan", "deep", "[" * 1500 + "]" * 1500)
put("plan", "deep-part", json.dumps(plan)[:-1] + ', "lowres": ' + "[" * 1000 + "]" * 1000 + "}")


def safetensors(header, data=b""):
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + data


def tensor(kind, shape, first, last):
    return {"dtype": kind, "shape": shape, "data_offsets": [first, last]}


put("safetensors", "two", safetensors({"a": tensor("F32", [2], 0, 8), "b": tensor("F16", [1, 2], 8, 12)}, bytes(range(12))))
put("safetensors", "types", safetensors({"a": tensor("F64", [1], 0, 8), "b": tensor("BF16", [2], 8, 12), "c": tensor("I8", [2], 12, 14),
                                         "__metadata__": {"step": "3"}}, bytes(14)))
put("safetensors", "empty", safetensors({"a": tensor("F32", [0, 1 << 40], 0, 0)}))
put("safetensors", "overlap", safetensors({"a": tensor("F32", [2], 0, 8), "b": tensor("F32", [1], 4, 8)}, bytes(8)))
put("safetensors", "huge", safetensors({"a": tensor("F32", [1 << 62, 4], 0, 0)}))
put("safetensors", "long-header", struct.pack("<Q", 1 << 63) + b"{}")
put("safetensors", "zip", b"PK\3\4" + bytes(40))
# A checkpoint as today's program writes it. Zeros in the checksum's place are signed by the target.
told = [{"event": "step", "step": i, "steps": 1000, "loss": 0.5, "class_loss": 0.1, "bce_loss": 0.2, "dice_loss": None, "lr": 0.01,
         "grad_norm": 1.5, "clipped": 0, "val_dice": None} for i in (5, 6)]
course = {"sums": [1.5, 0.25, None, 0.5], "norm": 3.0, "steps": 1, "clipped": 0, "dice": None, "measured": 0, "told": told}
recipe = {"planned": True, "labels": ["background", "liver", "tumour"], "preprocessing": plan["preprocessing"]}
metadata = {"step": "7", "updates": "7", "code": "", "recipe": json.dumps(recipe), "course": json.dumps(course), "checked": "xxh3",
         "checksum": "0" * 16}
names = {"w": [2, 3], "b": [2], "mean": [2]}
tensors, at = {}, 0
for suffix in ("", ".momentum", ".unaveraged"):
    for name, shape in names.items():
        if suffix and name == "mean":
            continue
        count = 4 * shape[0] * (shape[1] if len(shape) > 1 else 1)
        tensors[name + suffix] = tensor("F32", shape, at, at + count)
        at += count


def checkpoint(data=bytes(at), header=tensors, **changed):
    return safetensors(json.dumps(dict(header, __metadata__=dict(metadata, **changed)), separators=(",", ":")).encode(), data)


put("checkpoint", "whole", checkpoint())
put("checkpoint", "unsigned", safetensors(dict(tensors, __metadata__={"step": "7", "updates": "7", "code": ""}), bytes(at)))
put("checkpoint", "other-sum", checkpoint(checksum="0123456789abcdef"))
put("checkpoint", "other-algorithm", checkpoint(checked="crc32"))
put("checkpoint", "no-digits", checkpoint(checksum="?"))
put("checkpoint", "cut", checkpoint()[:-5])
put("checkpoint", "other-shape", checkpoint(header=dict(tensors, b=tensor("F32", [1, 2], 24, 32))))
put("checkpoint", "not-a-number", checkpoint(b"\xff" * at, step="-9223372036854775809", updates="x"))
put("checkpoint", "course-cut", checkpoint(course=json.dumps(course)[:-9]))
put("checkpoint", "course-foreign", checkpoint(course=json.dumps(dict(course, steps=-1, told=[{"event": "end"}, 3]))))
put("checkpoint", "recipe-cut", checkpoint(recipe=json.dumps(recipe)[:-9]))
put("checkpoint", "recipe-regions", checkpoint(recipe=json.dumps(dict(recipe, labelling={"regions": [[1, 2], [2]], "regions_class_order": [1, 2], "ignore": 3}))))

put("overrides", "usual", "seeds=1\nqueries=1,2\nlr=0.5\nscale=small")
put("overrides", "lists", "widths=8,16,32\nstrides=1,1,1,2,2,2\npatch=16,16,16\nuntil=decided\nbudget=2h")
put("overrides", "comma", "lr=0,5\nseeds=99999999999\nfolds=5\nmodel=unet")
put("overrides", "numbers", "lr=nan\nlr_min=1e999\nsteps=0x10\nqueries=1.0,-1")
put("overrides", "bytes", b"data=\xff\xfe\nmodel=\xc3\x28\n=\nseeds=")

put("experiment", "vary", 'return { title = "one", vary = { queries = { 1, 2 } }, seeds = 2 }')
put("experiment", "rows", 'return { title = "two", rows = { { key = "a", label = "A", set = { lr = 0.1 } }, { key = "b", label = "B", set = {} } } }')
put("experiment", "model", "return { doc = 'own', options = { { name = 'wide', type = 'int', default = 3, min = 1, max = 9, doc = 'how wide' } },"
    " build = function(m, c) return { map = m.op.softmax { m.image } } end }")
put("experiment", "itself", "local t = { title = 'x', rows = {} } t.rows[1] = t return t")
put("experiment", "metamethods", "return setmetatable({ title = 'x' }, { __index = function() error('no') end, __len = function() return 1 << 60 end })")
put("experiment", "for-ever", "while true do pcall(function() while true do end end) end")
put("experiment", "grows", "local t = 'x' while true do t = t .. t end")
put("experiment", "repeats", "return { title = ('x'):rep(1 << 40), vary = { lr = { (''):rep(1 << 60) } } }")
put("experiment", "pattern", "return { title = (('a'):rep(9000)):find(('a-'):rep(20) .. 'b') }")
put("experiment", "moves", "return table.move({}, 1, math.maxinteger - 1, 2)")
put("experiment", "finaliser", "setmetatable({}, { __gc = function() while true do end end }) return {}")
put("experiment", "hint", "return require('harness.hint')('x', { false, {}, 'y' })")
put("experiment", "own-program", "return require 'harness.model'")
put("experiment", "not-text", "return { title = '\\xff\\xfe', vary = { ['\\xff'] = { 1, 0/0, 1/0 } } }")

put("database", "as-it-is", "SELECT 1")
put("database", "long-hash", "UPDATE trials SET hash = hash || hash || hash")
put("database", "path", "UPDATE trials SET hash = '../../../../../../../etc/passwd0'")
put("database", "positions", "UPDATE rows SET position = position + 1000000")
put("database", "against", "UPDATE rows SET against = 1000000")
put("database", "infinite", "UPDATE metrics SET value = 9e999; UPDATE curves SET loss = -9e999")
put("database", "not-text", "UPDATE rows SET label = CAST(x'ff00fe' AS TEXT); UPDATE plans SET dataset = CAST(x'c328' AS TEXT)")
put("database", "no-json", "UPDATE trials SET config = '{'; UPDATE plans SET notes = '[['; UPDATE environments SET libraries = 'x'")
put("database", "any-type", "ALTER TABLE rows RENAME TO r; CREATE TABLE rows AS SELECT * FROM r; UPDATE rows SET label = 1")
put("database", "trigger", "CREATE TRIGGER t AFTER INSERT ON attempts BEGIN DELETE FROM trials; END")
put("database", "view", "DROP VIEW v_table; CREATE VIEW v_table AS SELECT 'x' AS table_no")
put("database", "newer", "PRAGMA user_version = 1000")
put("database", "older", "PRAGMA user_version = 1")
put("database", "another", "PRAGMA application_id = 1")
put("database", "sequence", "INSERT INTO sequences(plan_id, rows_hash, first_seed, folds, budget_s, claims, started_at, trial_s, most, looks) "
    "VALUES(1, 'x', 0, 1, 1, '[{\"row\": 1000, \"above\": -1, \"paper\": 0}]', 'x', 1, 9, '[1,2,3,4,5,6,7,8,9,10,11,12]')")
put("database", "bytes", b"SQLite format 3\0" + bytes(84) + b"\xff" * 100)
put("database", "empty", b"SQLite format 3\0")
