/* Object queries and the two small networks that read them (MaskMed 3.2). */
#include "modules/layers.h"

typedef struct QueriesOptions {
  int count, hidden, start;
} QueriesOptions;

enum { START_LEARNED, START_ZERO };

static const Option queries_options[] = {
    {"count", OPTION_INT, offsetof(QueriesOptions, count), 0, 1, 1024, NULL, NULL,
     "object queries K; MaskMed: the number of labels, background included"},
    {"hidden", OPTION_INT, offsetof(QueriesOptions, hidden), 192, 6, 4096, NULL, NULL, "width E"},
    {"start", OPTION_CHOICE, offsetof(QueriesOptions, start), START_LEARNED, 0, 0, "learned|zero",
     NULL,
     "what a query is before the first layer: a learned vector (Mask2Former, MaskMed), or zero, so "
     "that its learned position alone tells it from others (DETR, MaskFormer)"},
    {0}};

static void build_queries(Graph *graph, const void *options, const Values *in, Values *out) {
  const QueriesOptions *o = options;
  int64_t shape[2] = {o->count, o->hidden};
  Init normal = {INIT_NORMAL, 1, 0, 0};
  Value *feature = o->start == START_ZERO ? graph_buffer(graph, "feature", 2, shape, (Init){0})
                                          : graph_param_of(graph, ROLE_EMBEDDING, "feature", 2,
                                                           shape, GROUP_TRANSFORMER, normal);
  Value *position =
      graph_param_of(graph, ROLE_EMBEDDING, "position", 2, shape, GROUP_TRANSFORMER, normal);
  ExpandOptions batch = {.count = (int)in->v[0]->tensor.dim[0]};
  out->v[out->count++] = apply(graph, OP_expand, &batch, feature);
  out->v[out->count++] = position;
}

const Module module_object_queries = {
    .name = "object_queries",
    .doc = "Learned object queries, feature and position (MaskMed 3.2: one shared set)",
    .in = "any feature map (for the batch size)",
    .out = "queries position",
    .min_in = 1,
    .max_in = 1,
    .options = queries_options,
    .options_bytes = sizeof(QueriesOptions),
    .build = build_queries,
};

typedef struct EmbeddingOptions {
  int width, layers, init;
  double gain;
} EmbeddingOptions;

enum { EMBEDDING_XAVIER, EMBEDDING_LINEAR };

static const Option embedding_options[] = {
    {"width", OPTION_INT, offsetof(EmbeddingOptions, width), 0, 1, 4096, NULL, NULL,
     "of the output"},
    {"layers", OPTION_INT, offsetof(EmbeddingOptions, layers), 1, 1, 6, NULL, NULL,
     "linear layers, ReLU between"},
    {"gain", OPTION_FLOAT, offsetof(EmbeddingOptions, gain), 1, 0, 100, NULL, NULL,
     "factor on the last layer's initial weights"},
    {"init", OPTION_CHOICE, offsetof(EmbeddingOptions, init), EMBEDDING_XAVIER, 0, 0,
     "xavier|linear", NULL,
     "how the layers start: xavier: uniform by Xavier, no bias; linear: as nn.Linear does, weights "
     "and biases uniform within 1/sqrt(inputs)"},
    {0}};

static Value *embedding_layer(Graph *graph, int layer, Value *x, int width, Activation activation,
                              int init, double gain) {
  if (!x) return NULL;
  char name[16];
  int64_t ins = tensor_last(&x->tensor);
  bool linear = init == EMBEDDING_LINEAR;
  Init weight = linear ? init_torch_linear(ins) : init_xavier(ins, width);
  Init bias = linear ? weight : (Init){0};
  weight.a *= gain;
  snprintf(name, sizeof name, "%d", layer);
  return linear_layer_init(graph, name, x, width, activation, GROUP_TRANSFORMER, weight, bias);
}

static void build_embedding(Graph *graph, const void *options, const Values *in, Values *out) {
  const EmbeddingOptions *o = options;
  int hidden = (int)tensor_last(&in->v[0]->tensor);
  Value *x = in->v[0];
  int last = o->layers - 1;
  for (int i = 0; i < last; i++) x = embedding_layer(graph, i, x, hidden, ACT_RELU, o->init, 1);
  out->v[out->count++] = embedding_layer(graph, last, x, o->width, ACT_NONE, o->init, o->gain);
}

const Module module_embedding = {
    .name = "embedding",
    .doc = "The 'lightweight MLP' that makes mask or class embeddings of queries (MaskMed 3.2)",
    .in = "queries",
    .out = "embedding",
    .min_in = 1,
    .max_in = 1,
    .options = embedding_options,
    .options_bytes = sizeof(EmbeddingOptions),
    .build = build_embedding,
};
