/* The options of every op, one struct each, shared by NAME.c, NAME.cpu.c and NAME.cu. Fields are
 * int, double or Ints, as the op's Option table says (booleans and choices are int). */
#ifndef KERNELS_OPTIONS_H
#define KERNELS_OPTIONS_H

#include "kernels/op.h"

/* conv: y = sum over parts of w_part * x_part + b. in: w (Cout, kd, kh, kw, Cin), b (Cout; may be
 * left out, as in the three ops that follow), then one to four x (N, D, H, W, C_i) with sum C_i =
 * Cin: parts are the convolution of their concatenation without the copy. Padding (k-1)/2. out:
 * (N, D', H', W', Cout). */
enum { CONV_PARTS = 4 };
#define CONV_X (SAVES_IN(2) | SAVES_IN(3) | SAVES_IN(4) | SAVES_IN(5)) /* the bits of the parts */
typedef struct ConvOptions {
  Ints stride; /* 3 */
} ConvOptions;

/* conv_transpose: kernel = stride, no padding. in: w (Cin, sd, sh, sw, Cout), b (Cout), x. */
typedef struct ConvTransposeOptions {
  Ints stride; /* 3 */
} ConvTransposeOptions;

/* grouped_conv: in: w (Cout, kd, kh, kw, Cin / groups), b (Cout), x (N, D, H, W, Cin). Padding
 * (k-1)/2. out: (N, D', H', W', Cout), larger if transposed. */
typedef struct GroupedConvOptions {
  Ints stride; /* 3 */
  int groups, transposed;
} GroupedConvOptions;

/* Voxel u of the small map and voxel u s + t - p of the big one are joined by tap t: y and x, or
 * transposed x and y. */
typedef struct GroupedSides {
  Tensor small, big;
} GroupedSides;

static inline GroupedSides grouped_sides(const Call *call) {
  const GroupedConvOptions *o = (const GroupedConvOptions *)call->options;
  const Tensor *x = &call->in[2], *y = &call->out[0];
  GroupedSides sides = {o->transposed ? *x : *y, o->transposed ? *y : *x};
  return sides;
}

/* linear: y = act(x w^T + b). in: w (Eout, Ein), b (Eout), x (..., Ein). out: (..., Eout). */
typedef enum Activation {
  ACT_NONE,
  ACT_RELU,
  ACT_GELU,
  ACT_SIGMOID,
  ACT_LEAKY_RELU,
  ACT_SILU,
  ACT_STEP
} Activation;
typedef struct LinearOptions {
  int activation; /* none | relu (the others: op activation) */
} LinearOptions;

/* matmul, per sample: in: a (N, ..., C), b (N, K, C) -> (N, ..., K); or, transpose = 0, b (N, C,
 * K). The mask product (a = features, b = mask embeddings) and the class map are this op. Or one
 * product of two matrices, a (T, C) and b (K, C) or (C, K). */
typedef struct MatmulOptions {
  int transpose;
} MatmulOptions;

static inline int64_t matmul_samples(const Tensor *a) {
  return a->rank > 2 ? a->dim[0] : 1;
}

/* What follows a norm in the same op: LeakyReLU of its `slope` (1: nothing), or SiLU. */
typedef enum NormActivation { NORM_LEAKY_RELU, NORM_SILU } NormActivation;

/* instance_norm: per (n, c) over D,H,W, or with groups per sample and group of C / groups
 * neighbouring channels (group norm), affine, then the activation. in: gamma (C), beta (C), x. out:
 * y, mean (N, C), rstd (N, C): the group's, for each of its channels. */
typedef struct InstanceNormOptions {
  double epsilon, slope;
  int groups;     /* 0: every channel by itself */
  int activation; /* NormActivation */
} InstanceNormOptions;

/* Neighbouring channels that are normalised together. */
static inline int64_t norm_width(const void *options, int64_t channels) {
  int groups = ((const InstanceNormOptions *)options)->groups;
  return groups ? channels / groups : 1;
}

/* batch_norm: per c over N,D,H,W, affine, then the activation. in: gamma (C), beta (C), x, and but
 * in mode batch the running mean (C) and variance (C), which mode train writes. out: y, mean (C),
 * rstd (C): those that normalised. */
typedef enum BatchNormMode {
  BATCH_NORM_TRAIN,    /* by the batch's statistics, of which the running ones take their share */
  BATCH_NORM_EVALUATE, /* by the running ones */
  BATCH_NORM_BATCH,    /* by the batch's; there are no running ones */
} BatchNormMode;
typedef struct BatchNormOptions {
  double epsilon, slope, momentum; /* momentum: the batch's share */
  int mode, activation;            /* BatchNormMode, NormActivation */
} BatchNormOptions;

/* layer_norm: over the last axis. in: gamma (E), beta (E), x. out: y, mean (rows), rstd (rows). */
typedef struct LayerNormOptions {
  double epsilon;
} LayerNormOptions;

/* attention: in: q (N, Tq.., E), k (N, Tk.., E), v like k, optionally mask logits (N, Tk.., Tq):
 * key t is open to query q where mask >= 0 (sigmoid >= .5); a row with no open key is opened whole.
 * out: context (as q), log-sum-exp (N, heads, Tq) kept for backward: no score matrix is stored.
 * naive: the second output is the probabilities (N, heads, Tq, Tk) instead, as a framework without
 * fused attention keeps them. Scale 1/sqrt(E/heads). */
typedef struct AttentionOptions {
  int heads, naive;
} AttentionOptions;

/* grid_attention: self-attention within each slice, or within windows of it. in: qkv (N, D, h, w,
 * 3E): q, k, v in turn, each head by head; tables of relative positions (2 S_h - 1, d) and (2 S_w -
 * 1, d), d = E/heads, S the window's sides, or of other lengths (`tables`), either may be left out;
 * optionally pad (3E), whose k and v tokens beyond the border have (without: they are masked). out:
 * context (N, D, h, w, E), log-sum-exp (N, D, h, w, heads) kept for backward: no score matrix is
 * stored. Scale 1/sqrt(d), of q k alone. */
typedef enum GridTables { GRID_TABLES_STRETCH, GRID_TABLES_CROP } GridTables;
typedef struct GridAttentionOptions {
  int heads, window; /* window 0: the whole slice */
  int tables;        /* GridTables: how a table comes to 2 S - 1 rows */
} GridAttentionOptions;

/* deform_attention (Deformable DETR eq. 2-3 in 3D): in: offsets (N, T, heads*L*P*3), in voxels of
 * the level, order (z, y, x); weights (N, T, heads*L*P), logits, softmax over L*P inside; values of
 * L levels (N, D_l, H_l, W_l, E). Query tokens are the grids of query_grids one after another; a
 * query's reference point is its cell's centre (i + .5) / size; sample at reference * size_l - .5 +
 * offset, trilinear, zero outside. Along an axis that is still (deform_still) offsets count for
 * nothing, so that in 2D, D being 1, no sample leaves the plane. out: (N, T, E). */
typedef struct DeformAttentionOptions {
  int heads, points;
  Ints query_grids; /* 3 numbers a query level: D, H, W */
} DeformAttentionOptions;

/* Neither the level (values: its tensor) nor any grid of queries has a second cell along it. */
static inline bool deform_still(const DeformAttentionOptions *o, const Tensor *values, int axis) {
  bool still = values->dim[1 + axis] == 1;
  for (int i = axis; i < o->query_grids.count; i += 3) still = still && o->query_grids.v[i] == 1;
  return still;
}

/* sine_position: no inputs; out (D*H*W, E): E/6 frequencies x sin,cos x (z, y, x), coordinates
 * (i + .5) / size * 2 pi; the rest of E is zero where 6 does not divide it. */
typedef struct SinePositionOptions {
  Ints grid; /* 3 */
  int width; /* E */
  double temperature;
} SinePositionOptions;

/* fourier_position: in: frequencies G (A, F), coordinates (..., A), or, left out, the cells of
 * `grid`. out: (..., 2F); of cells (grid.., 2F). */
enum { FOURIER_AXES = 3 };
/* As near below a whole number one is it: a share of a side that was one was rounded. */
#define FOURIER_NEAR (1. / 1024)
typedef struct FourierPositionOptions {
  Ints grid, size, frame;
  double offset;
  int floor;
} FourierPositionOptions;

/* avg_pool, max_pool: window = stride = factor; the axis must divide. in: x. */
typedef struct PoolOptions {
  Ints factor; /* 3 */
} PoolOptions;

/* window_max: stride 1, the size stays. in: x (N, D, H, W, C); the window: window.h. */
typedef struct WindowMaxOptions {
  Ints size; /* 3, odd */
} WindowMaxOptions;

/* adaptive_avg_pool: to a grid of this size. in: x (N, D, H, W, C); the cells: cells.h. */
typedef struct AdaptivePoolOptions {
  Ints size; /* 3 */
} AdaptivePoolOptions;

/* resize: trilinear, align_corners false, or nearest, to size. in: x (N, D, H, W, C). */
typedef enum ResizeMode { RESIZE_LINEAR, RESIZE_NEAREST } ResizeMode;
typedef struct ResizeOptions {
  Ints size; /* 3 */
  int mode;  /* ResizeMode */
} ResizeOptions;

static inline bool resize_is_nearest(const Call *call) {
  return ((const ResizeOptions *)call->options)->mode == RESIZE_NEAREST;
}

/* add: a + scale b; b's elements repeat over a's leading axes: its count is that of some last
 * axes. */
typedef struct AddOptions {
  double scale;
} AddOptions;

static inline double add_scale(const Call *call) {
  return ((const AddOptions *)call->options)->scale;
}

/* multiply: a * (f(b) + plus), f the identity or the sigmoid; b: multiply.h. */
typedef struct MultiplyOptions {
  int sigmoid;
  double plus;
} MultiplyOptions;

/* expand: x (...) -> (count, ...): the same for every sample. inner: x (N, ...) -> (N count, ...),
 * every sample count times in turn. */
typedef struct ExpandOptions {
  int count, inner;
} ExpandOptions;

/* Of x: what stands one after another, each repeated by itself. */
static inline int64_t expand_samples(const Call *call) {
  return ((const ExpandOptions *)call->options)->inner ? call->in[0].dim[0] : 1;
}

/* activation: elementwise. */
typedef struct ActivationOptions {
  int kind;     /* Activation */
  double slope; /* leaky_relu's, below zero */
} ActivationOptions;

/* softmax: over the last axis; the last `drop` columns are left out of the output (the "no
 * object" column in inference), not out of the normalisation. */
typedef struct SoftmaxOptions {
  int drop;
} SoftmaxOptions;

/* concat: token matrices (N, ..., C) -> (N, sum of tokens, C), or maps (..., C_i) of one grid ->
 * (..., sum of C_i). */
typedef enum ConcatAxis { CONCAT_TOKENS, CONCAT_CHANNELS } ConcatAxis;
typedef struct ConcatOptions {
  int axis; /* ConcatAxis */
} ConcatOptions;

/* Both are rows that lie beside each other in a row of the output: samples or voxels. */
static inline int64_t concat_rows(const Call *call) {
  const ConcatOptions *o = (const ConcatOptions *)call->options;
  return o->axis == CONCAT_CHANNELS ? tensor_rows(&call->out[0]) : call->out[0].dim[0];
}

/* reshape: as many elements under another shape; one axis may be 0: what is left. */
typedef struct ReshapeOptions {
  Ints shape; /* 1 .. 5 */
} ReshapeOptions;

/* swap: two axes, counted from 0, change places. */
typedef struct SwapOptions {
  Ints axes; /* 2 */
} SwapOptions;

/* patches: x (N, D, H, W, C) to cells of voxels (N, D/p0, H/p1, W/p2, p0 p1 p2 C), or back. */
typedef struct PatchesOptions {
  Ints patch; /* 3 */
  int inverse;
} PatchesOptions;

/* place: x in a map of this size, of zeros, at before + stride i. */
typedef struct PlaceOptions {
  Ints size, before, stride; /* 3 each */
} PlaceOptions;

/* fill: no inputs; value everywhere. */
typedef struct FillOptions {
  Ints shape; /* 1 .. 5 */
  double value;
} FillOptions;

/* slice: tokens [start, start + length) of (N, T.., C) as (N, grid, C) or (N, length, C) when grid
 * is empty. */
typedef struct SliceOptions {
  int start, length;
  Ints grid; /* 3 or none */
} SliceOptions;

/* nearest_labels: (N, D, H, W) I32 -> factor times coarser, the voxel at floor((i + .5) factor). */
typedef struct NearestLabelsOptions {
  Ints factor; /* 3 */
} NearestLabelsOptions;

/* Boxes lie in a plane: (x1, y1, x2, y2), shares of its W and H. A mask's goes from its first to
 * its last voxel, whose numbers count from 0; a mask without a voxel has (0, 0, 0, 0). */

/* mask_box: in: mask logits (N, D, H, W, K). out: boxes (N K, D, 4) of the voxels above 0, slice by
 * slice; without a gradient. soft: the same in expectation, where a column has a voxel with the
 * probability of its largest. */
typedef struct MaskBoxOptions {
  int soft;
} MaskBoxOptions;

/* box: in: u (N, D, 2, 2, K) in 0 .. 1: of each query (left, top) and the (width, height) as share
 * of what is left of the plane; boxes of masks (N K, D, 4), which may be left out. out: boxes
 * (N K, D, 4): x1 = l, x2 = l + (1 - l) p, and, with masks', (1 - weight) of it + weight of
 * those. */
typedef struct BoxOptions {
  double weight;
} BoxOptions;

/* Labels of the losses and the matching, (N, D, H, W) I32: a class 0 .. C-1, or, where a loss deals
 * with regions that overlap, the set of them as bits 0 .. C-1. A negative label: nothing is known
 * of the voxel, which takes part in no sum and gets no gradient. */

/* match: one-to-one matching of queries and the classes present (Eq. 5-6), per sample. in: class
 * logits (N, K, classes + 1), mask logits (N, D, H, W, K), labels (background is class 0, a class
 * like the others; labels from `classes` on belong to none); and, each of which may be left out,
 * auxiliary mask logits (N, D, H, W, K) and boxes (N, K, 4). out: assignment (N, K) I32: the class
 * of each query, -1 for "no object". K >= classes. Cost = -class_weight * p(c) + bce_weight * BCE +
 * dice_weight * Dice (smooth 1) + aux_weight * (BCE + Dice) of the auxiliary masks + l1_weight *
 * the sum of the box's four distances - giou_weight * its GIoU with the class's box. */
typedef struct MatchOptions {
  double class_weight, bce_weight, dice_weight, aux_weight, l1_weight, giou_weight;
  int fixed;   /* query i is class i, no search */
  int regions; /* labels are sets of classes */
  int group;   /* more than 1: so many samples, a volume's slices, are matched as one: costs are
                  summed over those that have the class, a query is of its class in those alone */
} MatchOptions;

/* class_loss: weighted mean cross-entropy, sum w_i ce_i / sum w_i over all N*K queries. in: class
 * logits (N, K, classes + 1), assignment (N, K) I32; a negative one ("no object") means the last
 * column and counts with weight none_weight, others with 1. out: scalar. */
typedef struct ClassLossOptions {
  double none_weight;
} ClassLossOptions;

/* mask_loss: in: mask logits (N, D, H, W, K), labels, assignment (N, K) I32: the class of each
 * query, below K, or -1 for "no object": no mask. out: bce, dice, scalars: each summed over the
 * matched masks of the batch / their number (>= 1); BCE is the mean over the sample's known voxels,
 * Dice is 1 - (2 sum p t + 1) / (sum p + sum t + 1); sums (N, K, 4): sum p, sum p t, sum t, known
 * voxels, of matched masks, kept for backward. */
typedef struct MaskLossOptions {
  int regions; /* labels are sets of classes */
} MaskLossOptions;

/* box_loss: in: boxes (N, K, 4), labels (N, D, H, W), assignment (N, K) I32 as mask_loss's. out:
 * l1, giou, scalars: the sum of a box's four distances, and 1 - its GIoU, to the box of its class
 * (over all D), each summed over the matched boxes of the batch / their number (>= 1); those boxes
 * (N, K, 4), of unmatched queries 0, kept for backward. */
typedef struct BoxLossOptions {
  int regions; /* labels are sets of classes */
} BoxLossOptions;

/* voxel_loss: the point-wise head's (Eq. 1): in: logits (N, D, H, W, C), labels (those from C on
 * are unknown too). out: cross-entropy, mean over the known voxels (0 without any); Dice loss,
 * 1 - mean over classes 1.. (and samples unless batch) of (2 sum p t + smooth) / (sum p + sum t +
 * smooth); sums (N, C, 3): sum p, sum p t, sum t, kept for backward. */
typedef struct VoxelLossOptions {
  int batch;     /* sums run over the batch */
  int binary;    /* in place of the cross-entropy every class's binary one, mean over classes */
  double smooth; /* 1e-5 */
} VoxelLossOptions;

/* region_loss: the point-wise head's for regions: in: logits (N, D, H, W, C), labels as sets. out:
 * binary cross-entropy, mean over the known voxels and the C regions; Dice loss, 1 - mean over all
 * regions (and samples unless batch) as in voxel_loss, of p = sigmoid(x); sums (N, C, 4): sum p,
 * sum p t, sum t, known voxels, kept for backward. */
typedef struct RegionLossOptions {
  int batch;
  double smooth;
} RegionLossOptions;

/* weighted_sum: sum of weight_i * x_i over scalars; options weight0 .. weight15, default 1. */
enum { MAX_TERMS = MAX_IN };
typedef struct WeightedSumOptions {
  int count; /* of inputs, checked; 0: any */
  double weight[MAX_TERMS];
} WeightedSumOptions;

#endif
