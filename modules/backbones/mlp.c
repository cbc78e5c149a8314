/* A Transformer's feed-forward network alone, without norm and residual: lin1 E -> hidden, GELU or
 * ReLU, lin2 back to E. */
#include "modules/layers.h"

typedef struct MlpOptions {
  int hidden, activation;
} MlpOptions;

enum { MLP_GELU, MLP_RELU };

static const Option options_table[] = {{"hidden", OPTION_INT, offsetof(MlpOptions, hidden), 3072, 1,
                                        65536, NULL, NULL, "width between the two layers"},
                                       {"activation", OPTION_CHOICE,
                                        offsetof(MlpOptions, activation), MLP_GELU, 0, 0,
                                        "gelu|relu", NULL, "between the two layers"},
                                       {0}};

static Value *layer(Graph *graph, const char *name, Value *x, int width, Activation activation) {
  if (!x) return NULL;
  Init init = init_torch_linear(tensor_last(&x->tensor));
  return linear_layer_init(graph, name, x, width, activation, GROUP_TRANSFORMER, init, init);
}

static void build(Graph *graph, const void *options, const Values *in, Values *out) {
  const MlpOptions *o = options;
  ActivationOptions gelu = {.kind = ACT_GELU};
  bool relu = o->activation == MLP_RELU;
  Value *x = layer(graph, "lin1", in->v[0], o->hidden, relu ? ACT_RELU : ACT_NONE);
  if (!relu) x = apply(graph, OP_activation, &gelu, x);
  out->v[out->count++] = layer(graph, "lin2", x, (int)tensor_last(&in->v[0]->tensor), ACT_NONE);
}

const Module module_mlp = {
    .name = "mlp",
    .doc = "two linear layers with GELU or ReLU between, to the width that came (ViT, SAM)",
    .in = "tokens",
    .out = "tokens",
    .min_in = 1,
    .max_in = 1,
    .options = options_table,
    .options_bytes = sizeof(MlpOptions),
    .build = build,
};
