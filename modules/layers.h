/* Layers that several modules share: parameters plus one or a few ops, under the current scope. */
#ifndef MODULES_LAYERS_H
#define MODULES_LAYERS_H

#include "modules/module.h"

static const double LEAKY_SLOPE = 0.01; /* nnU-Net's */

/* A convolution of the concatenation of `in`, one to four maps (op conv). slope: of the LeakyReLU
 * that follows, for which weights start; 1: none. Without a name the parameters stand in the
 * current scope. */
typedef struct ConvWay {
  int width;
  const int *kernel, *stride; /* 3 each */
  double slope;
  bool no_bias;
  bool torch; /* weight and bias start as nn.Conv3d's, whatever follows */
} ConvWay;
Value *convolution_of(Graph *graph, const char *name, const Values *in, const ConvWay *way);
/* A convolution of x in groups (0: as many as it has channels), or its transposed form (op
 * grouped_conv). */
Value *grouped_convolution(Graph *graph, const char *name, Value *x, const ConvWay *way, int groups,
                           bool transposed);
/* skip may be NULL; otherwise the input is the concatenation of x and skip. With a bias. */
Value *convolution(Graph *graph, const char *name, Value *x, Value *skip, int width,
                   const int kernel[3], const int stride[3], double slope);
/* The transposed convolution whose kernel is its stride: each voxel becomes `factor` voxels. */
Value *enlarged(Graph *graph, const char *name, Value *x, int width, const int factor[3]);
/* Norm of a feature map (epsilon 1e-5, affine), then LeakyReLU of this slope; 1: none. most: 0:
 * instance norm, or group norm in as many groups at most. Its parameters are "norm" in the current
 * scope, in the CNN's group. */
Value *feature_norm(Graph *graph, Value *x, int most, double slope);
/* Its scale starts at `gamma` in place of 1. */
Value *feature_norm_from(Graph *graph, Value *x, double gamma, int most, double slope);
/* A convolution and its norm, with instance norm and slope .01: nnU-Net's block. */
Value *conv_block(Graph *graph, const char *name, Value *x, Value *skip, int width,
                  const int kernel[3], const int stride[3]);

/* What stands behind each convolution of a backbone: rows of the backbone's Option table, whose
 * OPTIONS has a BlockWay `block`. */
typedef enum BlockNorm { BLOCK_INSTANCE, BLOCK_BATCH } BlockNorm;
typedef enum BlockActivation { BLOCK_LEAKY_RELU, BLOCK_RELU, BLOCK_SILU } BlockActivation;
typedef struct BlockWay {
  int norm, activation; /* 0: nnU-Net's */
} BlockWay;
#define BLOCK_OPTIONS(OPTIONS)                                                                     \
  {"norm",                                                                                         \
   OPTION_CHOICE,                                                                                  \
   offsetof(OPTIONS, block.norm),                                                                  \
   BLOCK_INSTANCE,                                                                                 \
   0,                                                                                              \
   0,                                                                                              \
   "instance|batch",                                                                               \
   NULL,                                                                                           \
   "behind each convolution; instance: instance norm; batch: batch norm, in inference by its "     \
   "running mean and variance"},                                                                   \
  {                                                                                                \
    "activation", OPTION_CHOICE, offsetof(OPTIONS, block.activation), BLOCK_LEAKY_RELU, 0, 0,      \
        "leaky_relu|relu|silu", NULL, "behind each norm; leaky_relu: of slope .01"                 \
  }
/* conv_block with these. */
Value *conv_block_of(Graph *graph, const char *name, Value *x, Value *skip, int width,
                     const int kernel[3], const int stride[3], BlockWay way);

/* x (..., Ein) -> (..., width): Xavier-uniform weight, zero bias, Transformer group. Without a name
 * the parameters stand in the current scope. */
Value *linear_layer(Graph *graph, const char *name, Value *x, int width, Activation activation);
Value *linear_layer_init(Graph *graph, const char *name, Value *x, int width, Activation activation,
                         Group group, Init weight, Init bias);

/* The parameters of a linear layer: weight (width, Ein), bias (width). */
typedef struct Linear {
  Value *weight, *bias;
} Linear;
Linear linear_params(Graph *graph, const char *name, int64_t ins, int width, Group group,
                     Init weight, Init bias);
/* linear_layer after `first`, whose result is not stored: one linear layer whose weight is the
 * product of both, made anew in every step. For x of no more channels than `first` has outputs. */
Value *linear_layer_after(Graph *graph, const char *name, Linear first, Value *x, int width);

/* Group norm of a feature map (epsilon 1e-5, affine), in the largest number of groups, at most
 * `most`, that divides its channels. */
Value *group_norm(Graph *graph, const char *name, Value *x, int most);

/* Batch norm of a feature map and what follows, in the CNN's group; options->mode: batch keeps no
 * running mean and variance; else they are the buffers running_mean and running_var beside weight
 * and bias. Those a graph with which steps are made learns, unless the scale is frozen: then, as in
 * inference, they normalise as they are. Without a name all stand in the current scope. */
Value *batch_norm(Graph *graph, const char *name, Value *x, const BatchNormOptions *options);

/* Without a name the parameters stand in the current scope. Epsilon 1e-5, PyTorch's, or another. */
Value *layer_norm(Graph *graph, const char *name, Value *x);
Value *layer_norm_of(Graph *graph, const char *name, Value *x, double epsilon);

/* Where the norm of a sub-layer f stands. */
typedef enum NormPlace {
  NORM_INSIDE, /* x + LN(f(x)): MaskMed appendix B, word for word */
  NORM_POST,   /* LN(x + f(x)): DETR, Mask2Former */
  NORM_PRE,    /* x + f(LN(x)) */
} NormPlace;
#define NORM_CHOICES "inside|post|pre"

/* The input of f, and the sub-layer's result out of f's. */
Value *sublayer_in(Graph *graph, const char *name, NormPlace norm, Value *x);
Value *sublayer_out(Graph *graph, const char *name, NormPlace norm, Value *x, Value *f);

/* How the projections of queries, keys and values start: Xavier-uniform, each by its own E outputs,
 * or as the one matrix (3E, E) that nn.MultiheadAttention keeps them in, which makes them 1/sqrt(2)
 * as large and the scores half. */
typedef enum AttentionInit { ATTENTION_SEPARATE, ATTENTION_PACKED } AttentionInit;
#define ATTENTION_INIT_CHOICES "separate|packed"
#define ATTENTION_INIT_DOC                                                                         \
  "how query, key and value projections start: separate: Xavier of each E -> E; packed: of the "   \
  "three as one E -> 3E, as nn.MultiheadAttention has them (Mask2Former, DETR)"

typedef struct AttentionWay {
  int heads;
  bool naive; /* score matrices are stored (op attention) */
  AttentionInit init;
} AttentionWay;
/* Multi-head attention with its projections: queries from q (+ q_position), keys from k (+
 * k_position), values from v; mask logits as op attention's, or NULL. Positions may be NULL. */
Value *attention_layer(Graph *graph, const char *name, AttentionWay way, Value *q,
                       Value *q_position, Value *k, Value *k_position, Value *v, Value *mask);

/* Two linear layers with ReLU as a residual sub-layer. */
Value *feed_forward(Graph *graph, const char *name, Value *x, int hidden, NormPlace norm);

/* The fixed 3D sine encoding of a grid, (1, D*H*W, E). */
Value *sine_position(Graph *graph, const int64_t grid[3], int width);

#endif
