/* MaskSAM's depth positions (2.6): what tells a slice of a volume from the next where a network
 * made for pictures sees each alone. Learned, zero at first: in the image encoder a vector (E) for
 * each slice, added after the position in the slice; in the mask decoder, in its code, one for
 * every voxel, added to the slice's own position, which is the same in all. */
#include "modules/layers.h"

enum { PER_SLICE, PER_VOXEL };

typedef struct PositionOptions {
  int slices, per;
} PositionOptions;

static const Option options_table[] = {
    {"slices", OPTION_INT, offsetof(PositionOptions, slices), 0, 0, 4096, NULL, NULL,
     "0: the input is a map (N, D, ..., E); else one slice (..., E), which becomes so many"},
    {"per", OPTION_CHOICE, offsetof(PositionOptions, per), PER_SLICE, 0, 0, "slice|voxel", NULL,
     "what has a learned vector of its own"},
    {0}};

static Value *learned(Graph *graph, int rank, const int64_t *dim) {
  return graph_param_of(graph, ROLE_EMBEDDING, "position", rank, dim, GROUP_TRANSFORMER, (Init){0});
}

/* (D, ..., E) of the axes of one slice: its vector in every voxel. */
static Value *of_slices(Graph *graph, int slices, int rank, const int64_t *slice) {
  int64_t width = slice[rank - 1], voxels = 1;
  for (int a = 0; a + 1 < rank; a++) voxels *= slice[a];
  ExpandOptions each = {.count = (int)voxels, .inner = 1};
  ReshapeOptions shape = {.shape = {rank + 1, {slices}}};
  for (int a = 0; a < rank; a++) shape.shape.v[1 + a] = (int)slice[a];
  Value *vectors = learned(graph, 2, (int64_t[]){slices, width});
  return apply(graph, OP_reshape, &shape, apply(graph, OP_expand, &each, vectors));
}

static Value *positions(Graph *graph, int per, int slices, int rank, const int64_t *slice) {
  int64_t dim[MAX_RANK] = {slices};
  for (int a = 0; a < rank; a++) dim[1 + a] = slice[a];
  return per == PER_VOXEL ? learned(graph, rank + 1, dim) : of_slices(graph, slices, rank, slice);
}

/* One slice's position, plus that of each. */
static Value *spread(Graph *graph, const PositionOptions *o, Value *x) {
  int rank = x->tensor.rank;
  const int64_t *slice = x->tensor.dim;
  for (; rank > 2 && *slice == 1; slice++) rank--; /* (1, h, w, E), (1, 1, h, w, E) */
  if (rank < 2 || rank >= MAX_RANK) {
    module_fail(graph, "a slice is (h, w, E) or (T, E), found %s", tensor_shape_text(&x->tensor));
    return NULL;
  }
  return apply(graph, OP_add, NULL, positions(graph, o->per, o->slices, rank, slice), x);
}

static Value *added(Graph *graph, const PositionOptions *o, Value *x) {
  const Tensor *t = &x->tensor;
  if (t->rank < 4) {
    module_fail(graph, "a map is (N, D, h, w, E) or (N, D, T, E), found %s", tensor_shape_text(t));
    return NULL;
  }
  Value *all = positions(graph, o->per, (int)t->dim[1], t->rank - 2, t->dim + 2);
  return apply(graph, OP_add, NULL, x, all);
}

static void build(Graph *graph, const void *options, const Values *in, Values *out) {
  const PositionOptions *o = options;
  Value *x = in->v[0];
  out->v[out->count++] = o->slices ? spread(graph, o, x) : added(graph, o, x);
}

const Module module_depth_position = {
    .name = "depth_position",
    .doc = "A learned position of each slice, zero at first, added to a map (MaskSAM 2.6)",
    .in = "map, or one slice",
    .out = "map",
    .min_in = 1,
    .max_in = 1,
    .options = options_table,
    .options_bytes = sizeof(PositionOptions),
    .build = build,
};
