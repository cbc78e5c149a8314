#include "kernels/cuda/convolution.h"
#include "kernels/cuda/epilogues.h"
#include "kernels/cuda/libraries.h"
#include "kernels/cuda/room.h"

#include <new>
#include <string.h>

extern "C" {
#include "kernels/contest.h"
#include "kernels/mode.h"
}

typedef cudnnBackendDescriptor_t Descriptor;

enum { ID_X = 1, ID_W, ID_Y, ID_BIAS, ID_SUM };
static constexpr int MOST_CONFIGURATIONS = 64;

/* What a graph is made of; a plan may refer to it, so it lives as long. */
struct Parts {
  Descriptor list[16];
  int count;
};

/* One way to compute a convolution. */
struct Engine {
  Descriptor configuration, plan;
  int64_t workspace;
  bool fused; /* the plan adds the bias */
};

struct Convolution {
  ConvolutionShape shape;
  ConvolutionPass pass;
  bool bias;
  KernelMode mode; /* of the process when it was made */
  Convolution *next;
  Parts parts[2]; /* of the graph with the bias and of that without */
  Engine engine;
};

/* ---- descriptors --------------------------------------------------------------------------------
 */

static Descriptor create(cudnnBackendDescriptorType_t type) {
  Descriptor descriptor;
  DNN_TRY(DNN(cudnnBackendCreateDescriptor)(type, &descriptor));
  return descriptor;
}

static void destroy(Descriptor descriptor) {
  if (descriptor) DNN_TRY(DNN(cudnnBackendDestroyDescriptor)(descriptor));
}

static void set(Descriptor descriptor, cudnnBackendAttributeName_t name,
                cudnnBackendAttributeType_t type, int64_t count, const void *values) {
  DNN_TRY(DNN(cudnnBackendSetAttribute)(descriptor, name, type, count, values));
}

static void set_descriptor(Descriptor descriptor, cudnnBackendAttributeName_t name,
                           Descriptor value) {
  set(descriptor, name, CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, &value);
}

static bool finalize(Descriptor descriptor) {
  return DNN(cudnnBackendFinalize)(descriptor) == CUDNN_STATUS_SUCCESS;
}

static Descriptor keep(Parts *parts, Descriptor descriptor) {
  CHECK(parts->count < 16, "too many descriptors");
  return parts->list[parts->count++] = descriptor;
}

static void destroy_parts(Parts *parts) {
  while (parts->count) destroy(parts->list[--parts->count]);
}

static cudnnDataType_t type_of(DType type) {
  return type == BF16 ? CUDNN_DATA_BFLOAT16 : CUDNN_DATA_FLOAT;
}

/* cuDNN names the axes N, C, D, H, W and learns from the strides that channels come last; a filter
 * is (outs, channels, kernel) likewise. */
static Descriptor tensor(Parts *parts, int64_t id, cudnnDataType_t type, int64_t n, int64_t c,
                         const int64_t *size, bool is_virtual) {
  int64_t dims[5] = {n, c, size[0], size[1], size[2]}, align = 16;
  int64_t strides[5] = {c * size[0] * size[1] * size[2], 1, c * size[1] * size[2], c * size[2], c};
  Descriptor t = keep(parts, create(CUDNN_BACKEND_TENSOR_DESCRIPTOR));
  set(t, CUDNN_ATTR_TENSOR_DATA_TYPE, CUDNN_TYPE_DATA_TYPE, 1, &type);
  set(t, CUDNN_ATTR_TENSOR_DIMENSIONS, CUDNN_TYPE_INT64, 5, dims);
  set(t, CUDNN_ATTR_TENSOR_STRIDES, CUDNN_TYPE_INT64, 5, strides);
  set(t, CUDNN_ATTR_TENSOR_UNIQUE_ID, CUDNN_TYPE_INT64, 1, &id);
  set(t, CUDNN_ATTR_TENSOR_BYTE_ALIGNMENT, CUDNN_TYPE_INT64, 1, &align);
  set(t, CUDNN_ATTR_TENSOR_IS_VIRTUAL, CUDNN_TYPE_BOOLEAN, 1, &is_virtual);
  CHECK(finalize(t), "cuDNN refuses a tensor");
  return t;
}

static Descriptor geometry(Parts *parts, const ConvolutionShape *s) {
  cudnnDataType_t compute = CUDNN_DATA_FLOAT;
  cudnnConvolutionMode_t mode = CUDNN_CROSS_CORRELATION;
  int64_t axes = 3, dilation[3] = {1, 1, 1};
  Descriptor c = keep(parts, create(CUDNN_BACKEND_CONVOLUTION_DESCRIPTOR));
  set(c, CUDNN_ATTR_CONVOLUTION_COMP_TYPE, CUDNN_TYPE_DATA_TYPE, 1, &compute);
  set(c, CUDNN_ATTR_CONVOLUTION_CONV_MODE, CUDNN_TYPE_CONVOLUTION_MODE, 1, &mode);
  set(c, CUDNN_ATTR_CONVOLUTION_SPATIAL_DIMS, CUDNN_TYPE_INT64, 1, &axes);
  set(c, CUDNN_ATTR_CONVOLUTION_PRE_PADDINGS, CUDNN_TYPE_INT64, 3, s->padding);
  set(c, CUDNN_ATTR_CONVOLUTION_POST_PADDINGS, CUDNN_TYPE_INT64, 3, s->padding);
  set(c, CUDNN_ATTR_CONVOLUTION_DILATIONS, CUDNN_TYPE_INT64, 3, dilation);
  set(c, CUDNN_ATTR_CONVOLUTION_FILTER_STRIDES, CUDNN_TYPE_INT64, 3, s->stride);
  CHECK(finalize(c), "cuDNN refuses a convolution's geometry");
  return c;
}

/* The names of an operation's attributes, by pass. */
static const struct {
  cudnnBackendDescriptorType_t type;
  cudnnBackendAttributeName_t x, w, y, geometry, alpha, beta;
} passes[] = {
    {CUDNN_BACKEND_OPERATION_CONVOLUTION_FORWARD_DESCRIPTOR,
     CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_X, CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_W,
     CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_Y, CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_CONV_DESC,
     CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_ALPHA, CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_BETA},
    {CUDNN_BACKEND_OPERATION_CONVOLUTION_BACKWARD_DATA_DESCRIPTOR,
     CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_DX, CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_W,
     CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_DY,
     CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_CONV_DESC,
     CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_ALPHA,
     CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_BETA},
    {CUDNN_BACKEND_OPERATION_CONVOLUTION_BACKWARD_FILTER_DESCRIPTOR,
     CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_X, CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_DW,
     CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_DY,
     CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_CONV_DESC,
     CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_ALPHA,
     CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_BETA}};

static Descriptor operation(Parts *parts, const ConvolutionShape *s, ConvolutionPass pass,
                            Descriptor y) {
  cudnnDataType_t type = type_of(s->type);
  float one = 1, zero = 0;
  Descriptor x = tensor(parts, ID_X, type, s->batch, s->channels, s->in, false);
  Descriptor w = tensor(parts, ID_W, type, s->outs, s->channels, s->kernel, false);
  Descriptor shape = geometry(parts, s);
  Descriptor o = keep(parts, create(passes[pass].type));
  set_descriptor(o, passes[pass].x, x);
  set_descriptor(o, passes[pass].w, w);
  set_descriptor(o, passes[pass].y, y);
  set_descriptor(o, passes[pass].geometry, shape);
  set(o, passes[pass].alpha, CUDNN_TYPE_FLOAT, 1, &one);
  set(o, passes[pass].beta, CUDNN_TYPE_FLOAT, 1, &zero);
  CHECK(finalize(o), "cuDNN refuses a convolution");
  return o;
}

static Descriptor addition(Parts *parts, Descriptor sum, Descriptor bias, Descriptor y) {
  cudnnPointwiseMode_t mode = CUDNN_POINTWISE_ADD;
  cudnnDataType_t compute = CUDNN_DATA_FLOAT;
  Descriptor add = keep(parts, create(CUDNN_BACKEND_POINTWISE_DESCRIPTOR));
  set(add, CUDNN_ATTR_POINTWISE_MODE, CUDNN_TYPE_POINTWISE_MODE, 1, &mode);
  set(add, CUDNN_ATTR_POINTWISE_MATH_PREC, CUDNN_TYPE_DATA_TYPE, 1, &compute);
  CHECK(finalize(add), "cuDNN refuses an addition");
  Descriptor o = keep(parts, create(CUDNN_BACKEND_OPERATION_POINTWISE_DESCRIPTOR));
  set_descriptor(o, CUDNN_ATTR_OPERATION_POINTWISE_PW_DESCRIPTOR, add);
  set_descriptor(o, CUDNN_ATTR_OPERATION_POINTWISE_XDESC, sum);
  set_descriptor(o, CUDNN_ATTR_OPERATION_POINTWISE_BDESC, bias);
  set_descriptor(o, CUDNN_ATTR_OPERATION_POINTWISE_YDESC, y);
  CHECK(finalize(o), "cuDNN refuses to add a bias");
  return o;
}

/* The convolution alone, or with its bias added to the sums before they are rounded. */
static Descriptor graph(Parts *parts, const ConvolutionShape *s, ConvolutionPass pass, bool bias) {
  const int64_t one[3] = {1, 1, 1};
  Descriptor y = tensor(parts, ID_Y, type_of(s->type), s->batch, s->outs, s->out, false), o[2];
  if (bias) {
    Descriptor sum = tensor(parts, ID_SUM, CUDNN_DATA_FLOAT, s->batch, s->outs, s->out, true);
    Descriptor b = tensor(parts, ID_BIAS, CUDNN_DATA_FLOAT, 1, s->outs, one, false);
    o[0] = operation(parts, s, pass, sum);
    o[1] = addition(parts, sum, b, y);
  } else {
    o[0] = operation(parts, s, pass, y);
  }
  Descriptor g = keep(parts, create(CUDNN_BACKEND_OPERATIONGRAPH_DESCRIPTOR));
  set(g, CUDNN_ATTR_OPERATIONGRAPH_OPS, CUDNN_TYPE_BACKEND_DESCRIPTOR, bias ? 2 : 1, o);
  set(g, CUDNN_ATTR_OPERATIONGRAPH_HANDLE, CUDNN_TYPE_HANDLE, 1, &libraries.dnn_handle);
  return finalize(g) ? g : NULL;
}

/* ---- running
 * ------------------------------------------------------------------------------------- */

static void run_bias(const Convolution *c, void *stream, const float *bias, void *y) {
  const ConvolutionShape *s = &c->shape;
  const int64_t *size = c->pass == CONVOLUTION_X ? s->in : s->out;
  int64_t rows = s->batch * size[0] * size[1] * size[2];
  int64_t width = c->pass == CONVOLUTION_X ? s->channels : s->outs;
  bias_add(stream, s->type, rows, (int)width, bias, y);
}

static cudnnStatus_t execute(const Engine *engine, const void *x, const void *w, const void *y,
                             const float *bias, void *workspace) {
  const int64_t ids[] = {ID_X, ID_W, ID_Y, ID_BIAS};
  const void *data[] = {x, w, y, bias};
  Descriptor pack = create(CUDNN_BACKEND_VARIANT_PACK_DESCRIPTOR);
  int64_t count = engine->fused ? 4 : 3;
  set(pack, CUDNN_ATTR_VARIANT_PACK_UNIQUE_IDS, CUDNN_TYPE_INT64, count, ids);
  set(pack, CUDNN_ATTR_VARIANT_PACK_DATA_POINTERS, CUDNN_TYPE_VOID_PTR, count, data);
  set(pack, CUDNN_ATTR_VARIANT_PACK_WORKSPACE, CUDNN_TYPE_VOID_PTR, 1, &workspace);
  DNN_TRY(DNN(cudnnBackendFinalize)(pack));
  cudnnStatus_t status = DNN(cudnnBackendExecute)(libraries.dnn_handle, engine->plan, pack);
  destroy(pack);
  return status;
}

void convolution_run(const Convolution *c, void *stream, const void *x, const void *w,
                     const void *y, const float *bias, void *workspace) {
  DNN_TRY(execute(&c->engine, x, w, y, bias, room_aligned(workspace)));
  if (c->bias && !c->engine.fused)
    run_bias(c, stream, bias, const_cast<void *>(c->pass == CONVOLUTION_X ? x : y));
}

size_t convolution_workspace(const Convolution *convolution) {
  return room_slack((size_t)convolution->engine.workspace);
}

/* ---- choosing an engine
 * -------------------------------------------------------------------------- */

/* The notes of engines that are not taken, a bit each. */
static unsigned forbidden(const Convolution *c) {
#define NOTE(name) (1u << CUDNN_NUMERICAL_NOTE_##name)
  unsigned notes = NOTE(REDUCED_PRECISION_REDUCTION);
  if (c->mode.deterministic || c->pass != CONVOLUTION_W) notes |= NOTE(NONDETERMINISTIC);
  if (c->shape.type != F32) return notes;
  notes |= NOTE(WINOGRAD_TILE_4x4) | NOTE(WINOGRAD_TILE_6x6) | NOTE(WINOGRAD_TILE_13x13);
  if (c->mode.tf32 == TF32_OFF) notes |= NOTE(TENSOR_CORE) | NOTE(DOWN_CONVERT_INPUTS);
#undef NOTE
  return notes;
}

static bool acceptable(const Convolution *c, Descriptor configuration) {
  cudnnBackendNumericalNote_t notes[CUDNN_NUMERICAL_NOTE_TYPE_COUNT];
  int64_t count = 0;
  Descriptor engine = create(CUDNN_BACKEND_ENGINE_DESCRIPTOR);
  bool good = DNN(cudnnBackendGetAttribute)(configuration, CUDNN_ATTR_ENGINECFG_ENGINE,
                                            CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, &count,
                                            &engine) == CUDNN_STATUS_SUCCESS &&
              DNN(cudnnBackendGetAttribute)(
                  engine, CUDNN_ATTR_ENGINE_NUMERICAL_NOTE, CUDNN_TYPE_NUMERICAL_NOTE,
                  CUDNN_NUMERICAL_NOTE_TYPE_COUNT, &count, notes) == CUDNN_STATUS_SUCCESS;
  for (int64_t i = 0; good && i < count; i++) good = !(forbidden(c) >> notes[i] & 1);
  destroy(engine);
  return good;
}

static int64_t most_workspace() {
  const char *wish = getenv("HARNESS_WORKSPACE");
  double mib = wish ? atof(wish) : 1024;
  return (int64_t)(mib * 0x1p20);
}

/* Sets plan and workspace. */
static bool build(Engine *engine, Descriptor configuration) {
  Descriptor plan = create(CUDNN_BACKEND_EXECUTION_PLAN_DESCRIPTOR);
  int64_t count = 0;
  set(plan, CUDNN_ATTR_EXECUTION_PLAN_HANDLE, CUDNN_TYPE_HANDLE, 1, &libraries.dnn_handle);
  set_descriptor(plan, CUDNN_ATTR_EXECUTION_PLAN_ENGINE_CONFIG, configuration);
  bool good = finalize(plan) &&
              DNN(cudnnBackendGetAttribute)(plan, CUDNN_ATTR_EXECUTION_PLAN_WORKSPACE_SIZE,
                                            CUDNN_TYPE_INT64, 1, &count,
                                            &engine->workspace) == CUDNN_STATUS_SUCCESS &&
              engine->workspace <= most_workspace();
  if (good)
    engine->plan = plan;
  else
    destroy(plan);
  return good;
}

static void engine_free(Engine *engine) {
  destroy(engine->plan);
  destroy(engine->configuration);
  *engine = Engine();
}

namespace {
/* The search for an engine; the best so far is the convolution's. */
struct Search {
  Convolution *c;
  Contest contest;
  Engine engine; /* the candidate */
  void *x, *w, *y, *bias, *workspace;
};
} // namespace

static bool rehearse(void *user) {
  Search *s = static_cast<Search *>(user);
  const float *bias = static_cast<const float *>(s->bias);
  if (execute(&s->engine, s->x, s->w, s->y, bias, s->workspace) != CUDNN_STATUS_SUCCESS)
    return false;
  if (s->c->bias && !s->engine.fused)
    run_bias(s->c, libraries.stream, bias, s->c->pass == CONVOLUTION_X ? s->x : s->y);
  return true;
}

static double rehearsal_seconds(void *user) {
  return library_seconds(rehearse, user);
}

static void search_begin(Search *s, Convolution *c) {
  const ConvolutionShape *shape = &c->shape;
  size_t unit = dtype_bytes(shape->type), x = (size_t)(shape->batch * shape->channels) * unit;
  size_t w = (size_t)(shape->outs * shape->channels) * unit;
  size_t y = (size_t)(shape->batch * shape->outs) * unit;
  for (int a = 0; a < 3; a++) {
    x *= (size_t)shape->in[a];
    w *= (size_t)shape->kernel[a];
    y *= (size_t)shape->out[a];
  }
  *s = Search();
  s->c = c;
  s->contest = contest_begin();
  if (s->contest.blind) return;
  s->x = library_room(x);
  s->w = library_room(w);
  s->y = library_room(y);
  s->bias = library_room((size_t)(shape->channels + shape->outs) * sizeof(float));
  s->contest.blind = !s->x || !s->w || !s->y || !s->bias;
}

static void search_end(Search *s) {
  void *const all[] = {s->x, s->w, s->y, s->bias};
  for (void *room : all) library_room_free(room);
}

/* Owns the configuration from now on. */
static void look_at(Search *s, Descriptor configuration, bool fused) {
  s->engine = Engine();
  s->engine.configuration = configuration;
  s->engine.fused = fused;
  bool good = acceptable(s->c, configuration) && build(&s->engine, configuration);
  bool wants = good && !s->contest.blind && s->engine.workspace > 0;
  s->workspace = wants ? library_room((size_t)s->engine.workspace) : NULL;
  good = good && (!wants || s->workspace);
  if (good && contest_try(&s->contest, rehearsal_seconds, s)) {
    engine_free(&s->c->engine);
    s->c->engine = s->engine;
  } else {
    engine_free(&s->engine);
  }
  library_room_free(s->workspace);
}

/* The library's suggestions for a graph, best first. */
static void look_through(Search *s, Descriptor g, bool fused, cudnnBackendHeurMode_t mode) {
  Descriptor list[MOST_CONFIGURATIONS], heuristic = create(CUDNN_BACKEND_ENGINEHEUR_DESCRIPTOR);
  int64_t count = 0;
  set_descriptor(heuristic, CUDNN_ATTR_ENGINEHEUR_OPERATION_GRAPH, g);
  set(heuristic, CUDNN_ATTR_ENGINEHEUR_MODE, CUDNN_TYPE_HEUR_MODE, 1, &mode);
  for (int i = 0; i < MOST_CONFIGURATIONS; i++)
    list[i] = create(CUDNN_BACKEND_ENGINECFG_DESCRIPTOR);
  if (!finalize(heuristic) ||
      DNN(cudnnBackendGetAttribute)(heuristic, CUDNN_ATTR_ENGINEHEUR_RESULTS,
                                    CUDNN_TYPE_BACKEND_DESCRIPTOR, MOST_CONFIGURATIONS, &count,
                                    list) != CUDNN_STATUS_SUCCESS)
    count = 0;
  for (int i = 0; i < MOST_CONFIGURATIONS; i++) {
    if (i < count && contest_open(&s->contest))
      look_at(s, list[i], fused);
    else
      destroy(list[i]);
  }
  destroy(heuristic);
}

/* One graph, with the bias in it or without. Each gets its own tries and time; the best counts over
 * both. */
static void look_for(Search *s, bool fused) {
  Descriptor g = graph(&s->c->parts[fused], &s->c->shape, s->c->pass, fused);
  s->contest.tried = 0;
  s->contest.spent = 0;
  if (g && contest_open(&s->contest)) look_through(s, g, fused, CUDNN_HEUR_MODE_A);
  if (g && s->contest.best == 0) look_through(s, g, fused, CUDNN_HEUR_MODE_FALLBACK);
  if (!s->c->engine.plan || s->c->engine.fused != fused) destroy_parts(&s->c->parts[fused]);
}

static bool same(const Convolution *a, const Convolution *b) {
  const ConvolutionShape *x = &a->shape, *y = &b->shape;
  size_t sizes = sizeof *x - offsetof(ConvolutionShape, batch);
  return x->type == y->type && memcmp(&x->batch, &y->batch, sizes) == 0 && a->pass == b->pass &&
         a->bias == b->bias && a->mode.deterministic == b->mode.deterministic &&
         a->mode.tf32 == b->mode.tf32;
}

static void choose(Convolution *c, Error *error) {
  static const char *const names[] = {"forward", "the input's gradient", "the weight's gradient"};
  const ConvolutionShape *s = &c->shape;
  Search search;
  search_begin(&search, c);
  if (c->bias && c->pass == CONVOLUTION_Y) look_for(&search, true);
  look_for(&search, false);
  search_end(&search);
  if (!c->engine.plan)
    fail(error,
         "cuDNN has no engine for this convolution (%s, %s): %lld x %lldx%lldx%lld, %lld to %lld "
         "channels",
         names[c->pass], s->type == BF16 ? "bf16" : "float32", (long long)s->batch,
         (long long)s->in[0], (long long)s->in[1], (long long)s->in[2], (long long)s->channels,
         (long long)s->outs);
}

const Convolution *convolution_make(const ConvolutionShape *shape, ConvolutionPass pass, bool bias,
                                    Error *error) {
  static Convolution *all;
  Convolution *c = new (std::nothrow) Convolution();
  CHECK(c, "no memory for a convolution");
  c->shape = *shape;
  c->pass = pass;
  c->bias = bias;
  c->mode = kernel_mode;
  const Convolution *made = all;
  while (made && !same(made, c)) made = made->next;
  if (!made) choose(c, error);
  if (made || !c->engine.plan) {
    delete c;
    return made;
  }
  c->next = all;
  return all = c;
}
