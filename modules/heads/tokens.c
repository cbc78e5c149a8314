/* What queries attend to, and the norm before what reads queries: of Mask2Former and MaskFormer,
 * where all layers share them (call them once, or with share = true). */
#include "modules/heads/query_layer.h"

typedef struct TokensOptions {
  int width, embedding;
  Ints key_grid;
} TokensOptions;

static const Option tokens_options[] = {
    {"width", OPTION_INT, offsetof(TokensOptions, width), 192, 6, 4096, NULL, NULL,
     "E of a token; a feature of other channels is projected"},
    {"embedding", OPTION_BOOL, offsetof(TokensOptions, embedding), 0, 0, 1, NULL, NULL,
     "add a learned vector, the level's, to keys and values alike (Mask2Former)"},
    {"key_grid", OPTION_INTS, offsetof(TokensOptions, key_grid), 0, 1, 4096, NULL, "",
     KEY_GRID_DOC},
    {0}};

static void build_tokens(Graph *graph, const void *options, const Values *in, Values *out) {
  const TokensOptions *o = options;
  Value *x = pooled_feature(graph, &o->key_grid, in->v[0]);
  if (!x) return;
  int64_t width[1] = {o->width};
  if (tensor_last(&x->tensor) != o->width) {
    Init weight = init_kaiming(tensor_last(&x->tensor), 1);
    x = linear_layer_init(graph, "in", x, o->width, ACT_NONE, GROUP_TRANSFORMER, weight, (Init){0});
  }
  if (o->embedding)
    x = apply(graph, OP_add, NULL, x,
              graph_param_of(graph, ROLE_EMBEDDING, "embedding", 1, width, GROUP_TRANSFORMER,
                             (Init){INIT_NORMAL, 1, 0, 0}));
  out->v[out->count++] = x;
}

const Module module_level_tokens = {
    .name = "level_tokens",
    .doc = "A feature as keys and values of query_layer: pooled, of width E, with its level's "
           "embedding",
    .in = "feature",
    .out = "tokens",
    .min_in = 1,
    .max_in = 1,
    .options = tokens_options,
    .options_bytes = sizeof(TokensOptions),
    .build = build_tokens,
};

typedef struct NormOptions {
  double epsilon;
} NormOptions;

static const Option norm_options[] = {{"epsilon", OPTION_FLOAT, offsetof(NormOptions, epsilon),
                                       1e-5, 0, 1, NULL, NULL, "added to the variance"},
                                      {0}};

static void build_norm(Graph *graph, const void *options, const Values *in, Values *out) {
  const NormOptions *o = options;
  out->v[out->count++] = layer_norm_of(graph, NULL, in->v[0], o->epsilon);
}

const Module module_token_norm = {
    .name = "token_norm",
    .doc = "Layer norm of tokens or queries, with its scale and shift",
    .in = "tokens",
    .out = "normed",
    .min_in = 1,
    .max_in = 1,
    .options = norm_options,
    .options_bytes = sizeof(NormOptions),
    .build = build_norm,
};
