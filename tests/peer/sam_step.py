"""A training step of SAM (lua/harness/models/sam.lua, prompts=box): segment-anything's own modules, as published and with
PyTorch's fused attention, where a release has it. A mask for each label's box, in the frame of the whole side, of which a smaller
picture has the positions above on the left. Configuration keys are ours."""

import functools
import os
import sys

import torch
import torch.nn as nn
import torch.nn.functional as F

sys.path.append(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
import segment_anything_package

UNUSED = ("prompt_encoder.point_embeddings.0", "prompt_encoder.point_embeddings.1", "prompt_encoder.not_a_point", "prompt_encoder.mask_down",
          "mask_decoder.output_hypernetworks_mlps.1", "mask_decoder.output_hypernetworks_mlps.2",
          "mask_decoder.output_hypernetworks_mlps.3", "mask_decoder.iou_prediction_head")


def package():
    try:
        return segment_anything_package.modeling()
    except ImportError as missing:
        raise RuntimeError("%s (make oracles fetches it)" % missing)


def fused_encoder(relative, self, x):
    """Attention.forward of its image encoder; relative: its get_rel_pos."""
    b, h, w, _ = x.shape
    q, k, v = self.qkv(x).view(b, h * w, 3, self.num_heads, -1).permute(2, 0, 3, 1, 4).unbind(0)
    at = q.reshape(b, self.num_heads, h, w, -1)
    rows, columns = relative(h, h, self.rel_pos_h), relative(w, w, self.rel_pos_w)
    mask = torch.einsum("nahwc,hkc->nahwk", at, rows)[..., None] + torch.einsum("nahwc,wkc->nahwk", at, columns)[..., None, :]
    y = F.scaled_dot_product_attention(q, k, v, mask.reshape(b, self.num_heads, h * w, h * w))
    return self.proj(y.transpose(1, 2).reshape(b, h, w, -1))


def fused_decoder(self, q, k, v):
    parts = [self._separate_heads(project(x), self.num_heads)
             for project, x in ((self.q_proj, q), (self.k_proj, k), (self.v_proj, v))]
    return self.out_proj(self._recombine_heads(F.scaled_dot_product_attention(*parts)))


def fuse(modeling, sam):
    for module in sam.modules():
        if isinstance(module, modeling.image_encoder.Attention):
            module.forward = functools.partial(fused_encoder, modeling.image_encoder.get_rel_pos, module)
        if isinstance(module, modeling.transformer.Attention):
            module.forward = functools.partial(fused_decoder, module)


def network(modeling, config):
    sam = segment_anything_package.network(modeling, config)
    for name, parameter in sam.named_parameters():
        parameter.requires_grad_(not name.startswith(UNUSED))
    return sam


def embed(encoder, image):
    x = encoder.patch_embed(image)
    x = x + encoder.pos_embed[:, :x.shape[1], :x.shape[2]]
    for block in encoder.blocks:
        x = block(x)
    return encoder.neck(x.permute(0, 3, 1, 2))


def masks_of(sam, image, boxes, place):
    """(Q, H, W), logits."""
    features = embed(sam.image_encoder, image)
    h, w = features.shape[2:]
    sparse, dense = sam.prompt_encoder(points=None, boxes=boxes, masks=None)
    masks, _ = sam.mask_decoder.predict_masks(features, place[..., :h, :w], sparse, dense[..., :h, :w])
    return F.interpolate(masks[:, :1], image.shape[2:], mode="bilinear", align_corners=False)[:, 0]


def loss_of(logits, one):
    p = logits.sigmoid().flatten(1)
    target = one.flatten(1)
    dice = 1 - (2 * (p * target).sum(1) + 1) / (p.sum(1) + target.sum(1) + 1)
    return F.binary_cross_entropy_with_logits(logits, one) + dice.mean()


def training(request, fused):
    modeling, config, device = package(), request["config"], torch.device(request["device"])
    torch.manual_seed(1)
    sam = network(modeling, config).to(device)
    if fused:
        fuse(modeling, sam)
    trained = [p for p in sam.parameters() if p.requires_grad]
    optimiser = torch.optim.AdamW(trained, config["lr"], weight_decay=config["weight_decay"], foreach=True)
    _, height, width = config["patch"]
    image = torch.randn(1, request["channels"], height, width, device=device)
    y, x = (torch.arange(size, device=device).div(8, rounding_mode="floor") for size in (height, width))
    labels = (x + 3 * y[:, None]) % request["classes"]
    one = torch.stack([(labels == label).float() for label in range(request["classes"])])
    corners = torch.arange(request["classes"], device=device)[:, None] * torch.tensor([.08, .05, .08, .05], device=device)
    boxes = (corners + torch.tensor([.1, .15, .4, .4], device=device)) * torch.tensor([width, height] * 2, device=device)
    place = sam.prompt_encoder.get_dense_pe().detach()

    def step():
        optimiser.zero_grad(set_to_none=True)
        with torch.autocast(device.type, dtype=torch.bfloat16, enabled=request["dtype"] == "bf16"):
            loss = loss_of(masks_of(sam, image, boxes, place), one)
        loss.backward()
        if config["clip"]:
            nn.utils.clip_grad_norm_(trained, config["clip"])
        optimiser.step()
        step.loss = loss.detach()

    step.parameters = sum(p.numel() for p in trained)
    return step


def step(request):
    if request["config"]["batch"] != 1:
        raise RuntimeError("one picture a step, as segment-anything's decoder takes them")
    choices = {"segment-anything": lambda: training(request, False)}
    if hasattr(F, "scaled_dot_product_attention"):
        choices["segment-anything, scaled_dot_product_attention"] = lambda: training(request, True)
    return choices
