"""A training step of MaskSAM (lua/harness/models/masksam.lua; SAM frozen, mask and mean of boxes as prompts), as one writes it
in PyTorch for speed. Configuration keys are ours. Slices and streams stand in the batch, queries slower than slices."""

import math

import torch
import torch.nn as nn
import torch.nn.functional as F
from scipy.optimize import linear_sum_assignment

import sam


class ChannelNorm(nn.LayerNorm):
    """Of maps (B, C, h, w)."""

    def forward(self, x):
        return super().forward(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


def conv_block(inputs, width):
    return nn.Sequential(nn.Conv3d(inputs, width, 3, padding=1), nn.InstanceNorm3d(width, affine=True),
                         nn.LeakyReLU(.01, inplace=True))


def doubled(inputs, width):
    return nn.ConvTranspose3d(inputs, width, (1, 2, 2), (1, 2, 2))


# ---- adapters ------------------------------------------------------------------------------------------


class ImageAdapter(nn.Module):
    """conv_middle, of maps (N, D, h, w, E)."""

    def __init__(self, width, ratio):
        super().__init__()
        narrow = width // ratio
        self.down, self.up = nn.Linear(width, narrow), nn.Linear(narrow, width)
        self.conv = nn.Conv3d(narrow, narrow, 3, padding=1, groups=narrow)
        self.norm = nn.LayerNorm(narrow, 1e-6)

    def forward(self, x):
        h = F.gelu(self.down(x))
        mixed = self.conv(h.permute(0, 4, 1, 2, 3)).permute(0, 2, 3, 4, 1)
        return self.up(h + F.gelu(self.norm(mixed)))


class TokenAdapter(nn.Module):
    """mlp_middle, of tokens (N Q, D, T, C)."""

    def __init__(self, width, ratio, slices):
        super().__init__()
        narrow = width // ratio
        self.down, self.up = nn.Linear(width, narrow), nn.Linear(narrow, width)
        self.wide, self.narrow = nn.Linear(slices, 4 * slices), nn.Linear(4 * slices, slices)

    def forward(self, x):
        h = F.gelu(self.down(x))
        return self.up(h + self.narrow(F.gelu(self.wide(h.transpose(1, 3)))).transpose(1, 3))


# ---- SAM, frozen, with adapters ------------------------------------------------------------------------


class EncoderBlock(sam.Block):
    def __init__(self, config, whole, fused):
        width, side = config["vit_width"], config["vit_side"]
        window = 0 if whole else config["vit_window"]
        super().__init__(width, config["vit_heads"], window, window or side, fused)
        self.norm1.eps = self.norm2.eps = 1e-6
        self.requires_grad_(False)
        self.after, self.beside = (ImageAdapter(width, config["adapter_ratio"]) for _ in range(2))

    def forward(self, x):
        shape = x.shape  # (N, D, h, w, E)
        a = sam.windowed(self.norm1(x).flatten(0, 1), self.window, self.attention).reshape(shape)
        x = x + a + self.after(a)
        normed = self.norm2(x)
        return x + self.lin2(F.gelu(self.lin1(normed))) + .5 * self.beside(normed)


class Encoder(nn.Module):
    def __init__(self, config, fused):
        super().__init__()
        width, side, patch, out = (config[key] for key in ("vit_width", "vit_side", "vit_patch", "sam_width"))
        every, count = config["vit_global_every"], config["vit_blocks"]
        self.patches = nn.Conv2d(3, width, patch, patch)
        self.position = nn.Parameter(.02 * torch.randn(side, side, width))
        self.neck = nn.Sequential(nn.Conv2d(width, out, 1, bias=False), ChannelNorm(out, 1e-6),
                                  nn.Conv2d(out, out, 3, padding=1, bias=False), ChannelNorm(out, 1e-6))
        self.requires_grad_(False)
        self.whole = [(i + 1) % every == 0 for i in range(count)]
        self.blocks = nn.ModuleList(EncoderBlock(config, whole, fused) for whole in self.whole)
        self.depth = nn.Parameter(torch.zeros(config["patch"][0], 1, 1, width))

    def forward(self, picture):
        """(N, 3, D, H, W) to the neck (N, C, D, h, w) and the whole slices' blocks, alike."""
        n, _, d = picture.shape[:3]
        x = self.patches(picture.transpose(1, 2).flatten(0, 1)).permute(0, 2, 3, 1)
        x = x + self.position[:x.shape[1], :x.shape[2]]
        x, found = x.unflatten(0, (n, d)) + self.depth, []
        for block, whole in zip(self.blocks, self.whole):
            x = block(x)
            if whole:
                found.append(x.permute(0, 4, 1, 2, 3))
        neck = self.neck(x.flatten(0, 1).permute(0, 3, 1, 2))
        return neck.unflatten(0, (n, d)).transpose(1, 2), found


class Attention(nn.Module):
    def __init__(self, width, inner, heads, fused):
        super().__init__()
        self.q, self.k, self.v = (nn.Linear(width, inner) for _ in range(3))
        self.out, self.heads, self.fused = nn.Linear(inner, width), heads, fused

    def forward(self, q, k, v):
        q, k, v = (f(x).unflatten(-1, (self.heads, -1)).transpose(-2, -3) for f, x in ((self.q, q), (self.k, k), (self.v, v)))
        x = F.scaled_dot_product_attention(q, k, v) if self.fused else (
            (q * q.shape[-1] ** -.5) @ k.transpose(-1, -2)).softmax(-1) @ v
        return self.out(x.transpose(-2, -3).flatten(-2))


class DecoderLayer(nn.Module):
    def __init__(self, config, fused):
        super().__init__()
        width, heads, ratio = config["sam_width"], config["sam_heads"], config["adapter_ratio"]
        self.own = Attention(width, width, heads, fused)
        self.seen, self.told = (Attention(width, width // 2, heads, fused) for _ in range(2))
        self.lin1, self.lin2 = nn.Linear(width, config["sam_mlp"]), nn.Linear(config["sam_mlp"], width)
        self.norms = nn.ModuleList(nn.LayerNorm(width, config["decoder_eps"]) for _ in range(4))
        self.requires_grad_(False)
        self.adapters = nn.ModuleList(TokenAdapter(width, ratio, config["patch"][0]) for _ in range(3))
        self.image_adapter = ImageAdapter(width, ratio)

    def forward(self, x, image, start, place, grid, first):
        q = x if first else x + start
        a = self.own(q, q, x)
        a = a + self.adapters[0](a)
        x = self.norms[0](a if first else x + a)
        placed = image + place
        a = self.seen(x + start, placed, image)
        x = self.norms[1](x + a + self.adapters[1](a))
        x = self.norms[2](x + self.lin2(self.lin1(x).relu()) + .5 * self.adapters[2](x))
        a = self.told(placed, x + start, x)
        a = a + self.image_adapter(a.unflatten(2, grid)).flatten(2, 3)
        return x, self.norms[3](image + a)


class Decoder(nn.Module):
    def __init__(self, config, fused):
        super().__init__()
        width = config["sam_width"]
        self.tokens = nn.Parameter(torch.randn(5, width))
        self.layers = nn.ModuleList(DecoderLayer(config, fused) for _ in range(2))
        self.last, self.norm = Attention(width, width // 2, config["sam_heads"], fused), nn.LayerNorm(width)
        self.up = nn.Sequential(nn.ConvTranspose2d(width, width // 4, 2, 2), ChannelNorm(width // 4, 1e-6), nn.GELU(),
                                nn.ConvTranspose2d(width // 4, width // 8, 2, 2), nn.GELU())
        self.kernel = nn.Sequential(nn.Linear(width, width), nn.ReLU(), nn.Linear(width, width), nn.ReLU(),
                                    nn.Linear(width, width // 8))
        for part in (self.last, self.norm, self.up, self.kernel):
            part.requires_grad_(False)
        self.tokens.requires_grad_(False)
        self.adapter = TokenAdapter(width, config["adapter_ratio"], config["patch"][0])

    def forward(self, image, prompts, place):
        """image (N Q, D, h, w, C), prompts (N Q, D, T, C), place (D, h w, C). Masks (N Q, D, 4h, 4w), the last token."""
        grid = image.shape[2:4]
        start = torch.cat([self.tokens.expand(*prompts.shape[:2], -1, -1), prompts], 2)
        x, image = start, image.flatten(2, 3)
        for i, layer in enumerate(self.layers):
            x, image = layer(x, image, start, place, grid, i == 0)
        a = self.last(x + start, image + place, image)
        x = self.norm(x + a + self.adapter(a))
        up = self.up(image.flatten(0, 1).transpose(1, 2).unflatten(2, grid))
        masks = torch.einsum("bcyx,bc->byx", up, self.kernel(x[:, :, 1]).flatten(0, 1))
        return masks.unflatten(0, x.shape[:2]), x[:, :, -1]


class Prompts(nn.Module):
    def __init__(self, config):
        super().__init__()
        width, masks = config["sam_width"], config["sam_mask_width"]
        self.side, self.patch = config["vit_side"], config["vit_patch"]
        self.register_buffer("frequencies", torch.randn(2, width // 2))
        self.corners = nn.Parameter(torch.randn(2, width))
        self.mask = nn.Sequential(nn.Conv2d(1, masks // 4, 2, 2), ChannelNorm(masks // 4, 1e-6), nn.GELU(),
                                  nn.Conv2d(masks // 4, masks, 2, 2), ChannelNorm(masks, 1e-6), nn.GELU(),
                                  nn.Conv2d(masks, width, 1))
        self.requires_grad_(False)

    def waves(self, points):
        phase = 2 * math.pi * (2 * points - 1) @ self.frequencies
        return torch.cat([phase.sin(), phase.cos()], -1)

    def places(self, grid):
        y, x = torch.meshgrid(*[(torch.arange(n, device=self.corners.device) + .5) / self.side for n in grid], indexing="ij")
        return self.waves(torch.stack([x, y], -1))

    def forward(self, boxes, masks, pixels):
        """boxes (N Q, D, 4) in shares of pixels (W, H), masks (N Q, D, H, W) of 0 and 1."""
        at = (boxes.unflatten(-1, (2, 2)) * boxes.new_tensor(pixels)).floor()
        tokens = self.waves((at + .5) / (self.side * self.patch)) + self.corners
        dense = self.mask(masks.flatten(0, 1)[:, None]).permute(0, 2, 3, 1)
        return tokens, dense.unflatten(0, masks.shape[:2])


# ---- prompt generator ----------------------------------------------------------------------------------


class Generator(nn.Module):
    def __init__(self, config, queries):
        super().__init__()
        widths, self.upsample = config["generator_widths"], config["generator_upsample"]
        levels = 1 + config["vit_blocks"] // config["vit_global_every"]
        width = [widths[min(i, len(widths) - 1)] for i in range(levels)]
        inner = config["vit_width"]
        self.first = nn.Sequential(conv_block(config["sam_width"], width[0]), conv_block(width[0], width[0]))
        self.ups = nn.ModuleList(doubled(width[i - 1], width[i]) for i in range(1, self.upsample + 1))
        self.skips = nn.ModuleList(self.branch(inner, width[i], i) for i in range(1, self.upsample + 1))
        self.joins = nn.ModuleList(conv_block((width[i] if i <= self.upsample else width[i - 1]) + width[i], width[i])
                                   for i in range(1, levels))
        self.masks, total = nn.Conv3d(width[-1], queries, 1), sum(width)
        self.side = math.isqrt(config["sam_width"])
        self.tokens = nn.Sequential(nn.Conv3d(total, queries, 3, padding=1), nn.InstanceNorm3d(queries, affine=True), nn.GELU())
        self.shared = nn.Parameter(torch.randn(config["sam_width"]))
        self.box = nn.Sequential(nn.Conv3d(total, queries, 1, bias=False), nn.InstanceNorm3d(queries, affine=True), nn.Sigmoid())

    @staticmethod
    def branch(inputs, width, times):
        parts = []
        for i in range(times):
            parts += [doubled(width if i else inputs, width), *conv_block(width, width)]
        return nn.Sequential(*parts)

    def pooled(self, levels, size):
        return torch.cat([F.adaptive_avg_pool3d(x, (x.shape[2], size, size)) for x in levels], 1)

    def forward(self, neck, found):
        """Masks (N, Q, D, H, W), class tokens (N Q, D, 1, C), learned boxes (N Q, D, 4)."""
        levels = [self.first(neck)]
        for i, skip in enumerate(reversed(found), 1):
            below = self.ups[i - 1](levels[-1]) if i <= self.upsample else levels[-1]
            branch = self.skips[min(i, self.upsample) - 1]
            levels.append(self.joins[i - 1](torch.cat([below, branch(skip)], 1)))
        tokens = self.tokens(self.pooled(levels, self.side)).flatten(0, 1).flatten(2)
        low, part = self.box(self.pooled(levels, 2)).flatten(0, 1).unbind(2)
        boxes = torch.cat([low, low + (1 - low) * part], -1)
        return self.masks(levels[-1]), (tokens + self.shared)[:, :, None], boxes


def boxes_of(inside):
    """(.., H, W) of booleans: x1, y1, x2, y2 in shares, zeros where there is none."""
    sides = []
    for axis, size in ((-2, inside.shape[-1]), (-1, inside.shape[-2])):
        line = inside.any(axis)
        at = torch.arange(size, device=inside.device)
        first = torch.where(line, at, size).amin(-1)
        last = torch.where(line, at, -1).amax(-1)
        sides.append((torch.where(last < 0, 0, first) / size, last.clamp(min=0) / size))
    (x1, x2), (y1, y2) = sides
    return torch.stack([x1, y1, x2, y2], -1)


# ---- matching and loss ---------------------------------------------------------------------------------


def overlap(a, b):
    """Generalised IoU of boxes (.., 4)."""
    inner = (torch.min(a[..., 2:], b[..., 2:]) - torch.max(a[..., :2], b[..., :2])).clamp(min=0).prod(-1)
    hull = (torch.max(a[..., 2:], b[..., 2:]) - torch.min(a[..., :2], b[..., :2])).prod(-1)
    union = (a[..., 2:] - a[..., :2]).prod(-1) + (b[..., 2:] - b[..., :2]).prod(-1) - inner
    return inner / (union + 1e-6) - (hull - union) / (hull + 1e-6)


def mask_costs(logits, one):
    """BCE and 1 - Dice of masks (B, Q, V) for classes (B, V, K)."""
    p = logits.sigmoid()
    bce = (F.softplus(logits).sum(2)[..., None] - logits @ one) / logits.shape[2]
    return bce, 1 - (2 * (p @ one) + 1) / (p.sum(2)[..., None] + one.sum(1)[:, None] + 1)


def mask_losses(logits, target):
    p = logits.sigmoid()
    dice = (1 - (2 * (p * target).sum(1) + 1) / (p.sum(1) + target.sum(1) + 1)).mean()
    return F.binary_cross_entropy_with_logits(logits, target), dice


class Loss(nn.Module):
    def __init__(self, config, classes):
        super().__init__()
        self.c, self.classes = config, classes
        weight = torch.ones(classes + 1)
        weight[-1] = config["none_weight"]
        self.register_buffer("weight", weight)

    @torch.no_grad()
    def match(self, masks, aux, logits, boxes, one, goals):
        c = self.c
        bce, dice = mask_costs(masks, one)
        aux_bce, aux_dice = mask_costs(aux, one)
        cost = c["bce_weight"] * bce + c["dice_weight"] * dice + c["aux_weight"] * (aux_bce + aux_dice)
        cost = cost - c["class_weight"] * logits.softmax(-1)[..., :-1]
        apart, goals = boxes[:, :, None], goals[:, None]
        cost = cost + c["l1_weight"] * (apart - goals).abs().sum(-1) - c["giou_weight"] * overlap(apart, goals)
        table = torch.cat([cost, one.sum(1)[:, None]], 1).cpu()
        out = torch.full(cost.shape[:2], -1)
        for i, part in enumerate(table):
            present = part[-1].nonzero()[:, 0]
            rows, columns = linear_sum_assignment(part[:-1][:, present].numpy())
            out[i, torch.as_tensor(rows)] = present[torch.as_tensor(columns)]
        return out

    def forward(self, masks, aux, logits, boxes, labels):
        """masks, aux (N D, Q, V), logits (N D, Q, K + 1), boxes (N D, Q, 4), labels (N D, H, W)."""
        c = self.c
        inside = F.one_hot(labels, self.classes)
        goals, one = boxes_of(inside.permute(0, 3, 1, 2).bool()), inside.flatten(1, 2).to(masks.dtype)
        assignment = self.match(masks, aux, logits, boxes, one, goals).to(labels.device)
        sample, query = (assignment >= 0).nonzero(as_tuple=True)
        label = assignment[sample, query]
        target = torch.where(assignment < 0, self.classes, assignment)
        loss = c["class_weight"] * F.cross_entropy(logits.flatten(0, 1), target.flatten(), self.weight)
        wanted = one[sample, :, label]
        for weights, of in (((c["bce_weight"], c["dice_weight"]), masks), ((c["aux_weight"],) * 2, aux)):
            loss = loss + sum(w * term for w, term in zip(weights, mask_losses(of[sample, query], wanted)))
        box, goal = boxes[sample, query], goals[sample, label]
        loss = loss + c["l1_weight"] * (box - goal).abs().sum(-1).mean() + c["giou_weight"] * (1 - overlap(box, goal)).mean()
        return c["loss_scale"] * loss


# ---- the whole -----------------------------------------------------------------------------------------


class MaskSam(nn.Module):
    def __init__(self, config, classes, fused):
        super().__init__()
        queries = config["query_count"] or int(config["queries"] * classes + .5)
        slices, side, width = config["patch"][0], config["vit_side"], config["sam_width"]
        grid = [n // config["vit_patch"] for n in config["patch"][1:]]
        sizes = [1, *config["input_widths"], 3]
        self.input = nn.Sequential(*[conv_block(a, b) for a, b in zip(sizes, sizes[1:])])
        self.encoder, self.generator = Encoder(config, fused), Generator(config, queries)
        self.prompts, self.decoder = Prompts(config), Decoder(config, fused)
        self.depth = nn.Parameter(torch.zeros(slices, grid[0] * grid[1], width))
        self.classify, self.loss = nn.Linear(width, classes + 1), Loss(config, classes)
        self.queries = queries

    def of_slices(self, x, samples):
        """(N Q, D, ..) as (N D, Q, ..)."""
        return x.unflatten(0, (samples, self.queries)).transpose(1, 2).flatten(0, 1)

    def forward(self, image, labels):
        n = len(image)
        neck, found = self.encoder(self.input(image))
        aux, classifier, learned = self.generator(neck, found)
        inside = aux.detach().flatten(0, 1) > 0
        boxes = .5 * learned + .5 * boxes_of(inside)
        corners, dense = self.prompts(boxes, inside.to(aux.dtype), (labels.shape[3], labels.shape[2]))
        neck = neck.permute(0, 2, 3, 4, 1)
        place = self.prompts.places(neck.shape[2:4]).flatten(0, 1) + self.depth
        streams = neck.repeat_interleave(self.queries, 0) + dense
        masks, tokens = self.decoder(streams, torch.cat([corners, classifier], 2), place)
        return self.loss(self.of_slices(masks, n).flatten(2), aux.transpose(1, 2).flatten(0, 1).flatten(2),
                         self.of_slices(self.classify(tokens), n), self.of_slices(boxes, n), labels.flatten(0, 1))


def training(request, fused):
    config, device = request["config"], torch.device(request["device"])
    torch.manual_seed(1)
    model = MaskSam(config, request["classes"], fused).to(device)
    trained = [p for p in model.parameters() if p.requires_grad]
    optimiser = torch.optim.AdamW(trained, config["lr"], weight_decay=config["weight_decay"], foreach=True)
    shape = [config["batch"], *config["patch"]]
    image = torch.randn(shape[0], 1, *shape[1:], device=device)
    z, y, x = (torch.arange(size, device=device).div(8, rounding_mode="floor") for size in config["patch"])
    labels = ((x + 3 * y[:, None] + 5 * z[:, None, None]) % request["classes"]).expand(shape)

    def step():
        optimiser.zero_grad(set_to_none=True)
        with torch.autocast(device.type, dtype=torch.bfloat16, enabled=request["dtype"] == "bf16"):
            loss = model(image, labels)
        loss.backward()
        if config["clip"]:
            nn.utils.clip_grad_norm_(trained, config["clip"])
        optimiser.step()
        step.loss = loss.detach()

    step.parameters = sum(p.numel() for p in model.parameters())
    return step


def step(request):
    return sam.settings(request, lambda fused: training(request, fused))
