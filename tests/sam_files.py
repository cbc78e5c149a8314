"""SAM's weights for tests: the tensors of segment-anything's model at our size `small`, random, and the same as transformers
calls them, written as safetensors."""
import json
import re

import numpy as np

WIDTH, BLOCKS, HEADS, MLP, PATCH, SIDE, WINDOW, EVERY = 96, 8, 3, 384, 4, 10, 4, 2
C, DECODER_MLP, MASK_WIDTH = 64, 256, 16


def linear(name, out, ins):
    return {name + ".weight": (out, ins), name + ".bias": (out,)}


def norm(name, width):
    return {name + ".weight": (width,), name + ".bias": (width,)}


def conv(name, out, ins, kernel, bias=True):
    shapes = {name + ".weight": (out, ins, kernel, kernel)}
    return {**shapes, name + ".bias": (out,)} if bias else shapes


def encoder_shapes():
    name = "image_encoder."
    shapes = {name + "pos_embed": (1, SIDE, SIDE, WIDTH), **conv(name + "patch_embed.proj", WIDTH, 3, PATCH)}
    for i in range(BLOCKS):
        block = "%sblocks.%d." % (name, i)
        side = SIDE if (i + 1) % EVERY == 0 else WINDOW
        shapes.update({
            **norm(block + "norm1", WIDTH), **norm(block + "norm2", WIDTH), **linear(block + "attn.qkv", 3 * WIDTH, WIDTH),
            **linear(block + "attn.proj", WIDTH, WIDTH), block + "attn.rel_pos_h": (2 * side - 1, WIDTH // HEADS),
            block + "attn.rel_pos_w": (2 * side - 1, WIDTH // HEADS), **linear(block + "mlp.lin1", MLP, WIDTH),
            **linear(block + "mlp.lin2", WIDTH, MLP)})
    return {**shapes, **conv(name + "neck.0", C, WIDTH, 1, False), **norm(name + "neck.1", C), **conv(name + "neck.2", C, C, 3, False),
            **norm(name + "neck.3", C)}


def prompt_shapes():
    name = "prompt_encoder."
    shapes = {name + "pe_layer.positional_encoding_gaussian_matrix": (2, C // 2)}
    for token in [*("point_embeddings.%d" % i for i in range(4)), "not_a_point_embed", "no_mask_embed"]:
        shapes[name + token + ".weight"] = (1, C)
    down = name + "mask_downscaling."
    return {**shapes, **conv(down + "0", MASK_WIDTH // 4, 1, 2), **norm(down + "1", MASK_WIDTH // 4),
            **conv(down + "3", MASK_WIDTH, MASK_WIDTH // 4, 2), **norm(down + "4", MASK_WIDTH), **conv(down + "6", C, MASK_WIDTH, 1)}


def attention_shapes(name, inner):
    shapes = {}
    for part in "qkv":
        shapes.update(linear("%s.%s_proj" % (name, part), inner, C))
    return {**shapes, **linear(name + ".out_proj", C, inner)}


def decoder_shapes():
    name, inside = "mask_decoder.", "mask_decoder.transformer."
    shapes = {name + "iou_token.weight": (1, C), name + "mask_tokens.weight": (4, C)}
    for i in range(2):
        layer = "%slayers.%d." % (inside, i)
        shapes.update({**attention_shapes(layer + "self_attn", C), **linear(layer + "mlp.lin1", DECODER_MLP, C),
                       **linear(layer + "mlp.lin2", C, DECODER_MLP)})
        for way in ("token_to_image", "image_to_token"):
            shapes.update(attention_shapes(layer + "cross_attn_" + way, C // 2))
        for k in range(1, 5):
            shapes.update(norm("%snorm%d" % (layer, k), C))
    shapes.update({**attention_shapes(inside + "final_attn_token_to_image", C // 2), **norm(inside + "norm_final_attn", C)})
    up = name + "output_upscaling."
    shapes.update({up + "0.weight": (C, C // 4, 2, 2), up + "0.bias": (C // 4,), **norm(up + "1", C // 4),
                   up + "3.weight": (C // 4, C // 8, 2, 2), up + "3.bias": (C // 8,)})
    for mlp, out in [*(("output_hypernetworks_mlps.%d" % i, C // 8) for i in range(4)), ("iou_prediction_head", 4)]:
        for i, width in enumerate((C, C, out)):
            shapes.update(linear("%s%s.layers.%d" % (name, mlp, i), width, C))
    return shapes


def small(rng):
    """By segment-anything's names."""
    shapes = {**encoder_shapes(), **prompt_shapes(), **decoder_shapes()}
    weights = {}
    for name, shape in shapes.items():
        learned = any(word in name for word in ("embed", "token", "gaussian")) and "patch" not in name
        scale = 1 if name.endswith("weight") and len(shape) == 1 else 0 # norms'
        weights[name] = (scale + rng.standard_normal(shape) * (1 if learned else .2)).astype(np.float32)
    return weights


RENAMED = [
    (r"^image_encoder\.", "vision_encoder."), (r"patch_embed\.proj", "patch_embed.projection"), (r"blocks\.(\d+)\.", r"layers.\1."),
    (r"(layers\.\d+)\.norm(\d)", r"\1.layer_norm\2"), (r"neck\.0", "neck.conv1"), (r"neck\.1", "neck.layer_norm1"),
    (r"neck\.2", "neck.conv2"), (r"neck\.3", "neck.layer_norm2"),
    (r"^prompt_encoder\.pe_layer\.positional_encoding_gaussian_matrix", "shared_image_embedding.positional_embedding"),
    (r"point_embeddings", "point_embed"), (r"mask_downscaling\.0", "mask_embed.conv1"), (r"mask_downscaling\.1", "mask_embed.layer_norm1"),
    (r"mask_downscaling\.3", "mask_embed.conv2"), (r"mask_downscaling\.4", "mask_embed.layer_norm2"),
    (r"mask_downscaling\.6", "mask_embed.conv3"), (r"norm_final_attn", "layer_norm_final_attn"), (r"output_upscaling\.0", "upscale_conv1"),
    (r"output_upscaling\.1", "upscale_layer_norm"), (r"output_upscaling\.3", "upscale_conv2"),
    (r"((?:mlps\.\d|head))\.layers\.0", r"\1.proj_in"), (r"((?:mlps\.\d|head))\.layers\.1", r"\1.layers.0"),
    (r"((?:mlps\.\d|head))\.layers\.2", r"\1.proj_out"),
]


def hf_name(name):
    for pattern, there in RENAMED:
        name = re.sub(pattern, there, name)
    return name


def renamed(weights):
    """By those of transformers' SamModel."""
    return {hf_name(name): array for name, array in weights.items()}


def write(path, arrays):
    header, first = {}, 0
    for name, array in arrays.items():
        header[name] = {"dtype": "F32", "shape": array.shape, "data_offsets": [first, first + array.nbytes]}
        first += array.nbytes
    text = json.dumps(header).encode()
    with open(path, "wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        for array in arrays.values():
            file.write(array.tobytes())
