#include "kernels/cuda/convolution_graph.h"
#include "kernels/cuda/epilogues.h"
#include "kernels/cuda/scratch_blocks.h"

#include <new>
#include <string.h>

extern "C" {
#include "base/clock.h"
#include "kernels/cuda/autotune.h"
#include "kernels/mode.h"
}

static constexpr int MOST_CONFIGURATIONS = 64;

/* One way to compute a convolution. */
struct Engine {
  Descriptor configuration, plan;
  int64_t index;                 /* cuDNN's number */
  unsigned numerical, behaviour; /* its notes, a bit each */
  int64_t workspace;
  bool fused; /* the plan adds the bias */
};

struct Convolution {
  ConvolutionShape shape;
  ConvolutionPass pass;
  bool bias;
  KernelMode mode;   /* of the process when it was made */
  Descriptor device; /* libraries.dnn_device then */
  double seconds;
  Convolution *next;
  Parts parts[2]; /* of the graph with the bias and of that without */
  Engine engine;
};

/* ---- running --------------------------------------------------------------------------------- */

static void run_bias(const Convolution *c, void *stream, const void *bias, void *y) {
  const ConvolutionShape *s = &c->shape;
  const int64_t *size = c->pass == CONVOLUTION_X ? s->in : s->out;
  int64_t rows = s->batch * size[0] * size[1] * size[2];
  int64_t width = c->pass == CONVOLUTION_X ? s->channels : s->outs;
  bias_add(stream, s->type, rows, (int)width, bias, false, y);
}

static cudnnStatus_t execute(const Engine *engine, const void *x, const void *w, const void *y,
                             const void *bias, void *workspace) {
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
                     const void *y, const void *bias, void *workspace) {
  gpu_launches++;
  if (!libraries.dnn_device)
    DNN_TRY(execute(&c->engine, x, w, y, bias, scratch_aligned(workspace)));
  if (c->bias && !c->engine.fused)
    run_bias(c, stream, bias, const_cast<void *>(c->pass == CONVOLUTION_X ? x : y));
}

size_t convolution_workspace(const Convolution *convolution) {
  return scratch_slack((size_t)convolution->engine.workspace);
}

/* ---- choosing an engine ---------------------------------------------------------------------- */

static constexpr unsigned TENSOR_CORES = 1u << CUDNN_NUMERICAL_NOTE_TENSOR_CORE;

/* The notes of engines that are not taken, a bit each. */
static unsigned forbidden(const Convolution *c) {
#define NOTE(name) (1u << CUDNN_NUMERICAL_NOTE_##name)
  unsigned notes = NOTE(REDUCED_PRECISION_REDUCTION);
  if (c->mode.deterministic || c->pass != CONVOLUTION_W) notes |= NOTE(NONDETERMINISTIC);
  if (c->shape.type != F32) return notes;
  notes |= NOTE(WINOGRAD_TILE_4x4) | NOTE(WINOGRAD_TILE_6x6) | NOTE(WINOGRAD_TILE_13x13);
  if (c->mode.tf32 == TF32_OFF) notes |= TENSOR_CORES | NOTE(DOWN_CONVERT_INPUTS);
#undef NOTE
  return notes;
}

/* One attribute of an engine that is a list of notes. Older releases have fewer. */
template <typename Note, int MOST>
static bool notes_of(Descriptor engine, cudnnBackendAttributeName_t name,
                     cudnnBackendAttributeType_t type, unsigned *bits) {
  Note notes[MOST];
  int64_t count = 0;
  bool good = DNN(cudnnBackendGetAttribute)(engine, name, type, MOST, &count, notes) ==
              CUDNN_STATUS_SUCCESS;
  *bits = 0;
  for (int64_t i = 0; good && i < count && i < MOST; i++) *bits |= 1u << notes[i];
  return good;
}

/* Sets what the engine says of itself. */
static bool ask(Engine *engine) {
  int64_t count = 0;
  Descriptor e = create(CUDNN_BACKEND_ENGINE_DESCRIPTOR);
  bool good =
      DNN(cudnnBackendGetAttribute)(engine->configuration, CUDNN_ATTR_ENGINECFG_ENGINE,
                                    CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, &count,
                                    &e) == CUDNN_STATUS_SUCCESS &&
      DNN(cudnnBackendGetAttribute)(e, CUDNN_ATTR_ENGINE_GLOBAL_INDEX, CUDNN_TYPE_INT64, 1, &count,
                                    &engine->index) == CUDNN_STATUS_SUCCESS &&
      notes_of<cudnnBackendNumericalNote_t, CUDNN_NUMERICAL_NOTE_TYPE_COUNT>(
          e, CUDNN_ATTR_ENGINE_NUMERICAL_NOTE, CUDNN_TYPE_NUMERICAL_NOTE, &engine->numerical) &&
      notes_of<cudnnBackendBehaviorNote_t, CUDNN_BEHAVIOR_NOTE_TYPE_COUNT>(
          e, CUDNN_ATTR_ENGINE_BEHAVIOR_NOTE, CUDNN_TYPE_BEHAVIOR_NOTE, &engine->behaviour);
  destroy(e);
  return good;
}

static bool has_tensor_cores(const Engine *engine) {
  return engine->numerical & TENSOR_CORES;
}

static bool is_compiled(const Engine *engine) {
  return engine->behaviour >> CUDNN_BEHAVIOR_NOTE_RUNTIME_COMPILATION & 1;
}

static bool acceptable(const Convolution *c, const Engine *engine) {
  return !(engine->numerical & forbidden(c)) && (autotune_compiled() || !is_compiled(engine));
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
#if CUDNN_VERSION >= 90800
  if (libraries.dnn_device)
    set_descriptor(plan, CUDNN_ATTR_EXECUTION_PLAN_DEVICEPROP, libraries.dnn_device);
#endif
  if (!libraries.dnn_device)
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
  Autotune autotune;
  Engine engine; /* the candidate */
  void *x, *w, *y, *bias, *workspace;
};
} // namespace

static bool rehearse(void *user) {
  Search *s = static_cast<Search *>(user);
  if (execute(&s->engine, s->x, s->w, s->y, s->bias, s->workspace) != CUDNN_STATUS_SUCCESS)
    return false;
  if (s->c->bias && !s->engine.fused)
    run_bias(s->c, libraries.stream, s->bias, s->c->pass == CONVOLUTION_X ? s->x : s->y);
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
  s->autotune = autotune_begin();
  s->autotune.blind |= libraries.dnn_device != NULL;
  if (s->autotune.blind) return;
  s->x = library_noise(x);
  s->w = library_noise(w);
  s->y = library_noise(y);
  s->bias = library_noise((size_t)(shape->channels + shape->outs) * sizeof(float));
  s->autotune.blind = !s->x || !s->w || !s->y || !s->bias;
}

static void search_end(Search *s) {
  void *const all[] = {s->x, s->w, s->y, s->bias};
  for (void *block : all) library_noise_free(block);
}

/* Whether the candidate is worth making and timing. */
static bool wanted(Search *s, bool tensor_cores) {
  const Engine *engine = &s->engine;
  return acceptable(s->c, engine) && (!tensor_cores || has_tensor_cores(engine)) &&
         autotune_admits(&s->autotune, engine->index);
}

/* Owns the configuration from now on. tensor_cores: those alone. */
static void try_engine(Search *s, Descriptor configuration, bool fused, bool tensor_cores) {
  s->engine = Engine();
  s->engine.configuration = configuration;
  s->engine.fused = fused;
  double start = seconds_now();
  bool good = ask(&s->engine) && wanted(s, tensor_cores) && build(&s->engine, configuration);
  bool wants = good && !s->autotune.blind && s->engine.workspace > 0;
  s->workspace = wants ? library_noise((size_t)s->engine.workspace) : NULL;
  s->autotune.spent += seconds_now() - start;
  good = good && (!wants || s->workspace);
  if (good && autotune_try(&s->autotune, rehearsal_seconds, s)) {
    engine_free(&s->c->engine);
    s->c->engine = s->engine;
    s->c->seconds = s->autotune.blind ? 0 : s->autotune.best;
  } else {
    engine_free(&s->engine);
  }
  library_noise_free(s->workspace);
}

static int64_t suggestions(Descriptor g, cudnnBackendHeurMode_t mode, Descriptor *list) {
  Descriptor heuristic = create(CUDNN_BACKEND_ENGINEHEUR_DESCRIPTOR);
  int64_t count = 0;
  set_descriptor(heuristic, CUDNN_ATTR_ENGINEHEUR_OPERATION_GRAPH, g);
  set(heuristic, CUDNN_ATTR_ENGINEHEUR_MODE, CUDNN_TYPE_HEUR_MODE, 1, &mode);
#if CUDNN_VERSION >= 90800
  if (libraries.dnn_device)
    set_descriptor(heuristic, CUDNN_ATTR_ENGINEHEUR_DEVICEPROP, libraries.dnn_device);
#endif
  if (!finalize(heuristic) ||
      DNN(cudnnBackendGetAttribute)(heuristic, CUDNN_ATTR_ENGINEHEUR_RESULTS,
                                    CUDNN_TYPE_BACKEND_DESCRIPTOR, MOST_CONFIGURATIONS, &count,
                                    list) != CUDNN_STATUS_SUCCESS)
    count = 0;
  destroy(heuristic);
  return count < MOST_CONFIGURATIONS ? count : MOST_CONFIGURATIONS;
}

/* The library's suggestions for a graph, best first. */
static void try_list(Search *s, Descriptor g, bool fused, cudnnBackendHeurMode_t mode,
                     bool tensor_cores) {
  Descriptor list[MOST_CONFIGURATIONS];
  for (Descriptor &one : list) one = create(CUDNN_BACKEND_ENGINECFG_DESCRIPTOR);
  int64_t count = suggestions(g, mode, list);
  for (int i = 0; i < MOST_CONFIGURATIONS; i++) {
    if (i < count && autotune_open(&s->autotune))
      try_engine(s, list[i], fused, tensor_cores);
    else
      destroy(list[i]);
  }
}

/* One graph, with the bias in it or without. Each gets its own tries and time; the best counts over
 * both. What is taken without being timed has tensor cores if any that may has them: the naive
 * engine is sometimes named first. */
static void search_engine(Search *s, bool fused) {
  Descriptor g = convolution_graph(&s->c->parts[fused], &s->c->shape, s->c->pass, fused);
  autotune_again(&s->autotune);
  if (g && s->autotune.blind && !(forbidden(s->c) & TENSOR_CORES))
    try_list(s, g, fused, CUDNN_HEUR_MODE_A, true);
  if (g && autotune_open(&s->autotune)) try_list(s, g, fused, CUDNN_HEUR_MODE_A, false);
  if (g && s->autotune.best == 0) try_list(s, g, fused, CUDNN_HEUR_MODE_FALLBACK, false);
  if (!s->c->engine.plan || s->c->engine.fused != fused) destroy_parts(&s->c->parts[fused]);
}

static bool same(const Convolution *a, const Convolution *b) {
  const ConvolutionShape *x = &a->shape, *y = &b->shape;
  size_t sizes = offsetof(ConvolutionShape, adds) - offsetof(ConvolutionShape, batch);
  return x->type == y->type && x->adds == y->adds && memcmp(&x->batch, &y->batch, sizes) == 0 &&
         a->pass == b->pass && a->bias == b->bias &&
         a->mode.deterministic == b->mode.deterministic && a->mode.tf32 == b->mode.tf32 &&
         a->device == b->device;
}

static void choose(Convolution *c, Error *error) {
  static const char *const names[] = {"forward", "the input's gradient", "the weight's gradient"};
  const ConvolutionShape *s = &c->shape;
  Search search;
  search_begin(&search, c);
  if (c->bias && c->pass == CONVOLUTION_Y) search_engine(&search, true);
  search_engine(&search, false);
  search_end(&search);
  if (!c->engine.plan)
    fail(error,
         "cuDNN has no engine for this convolution (%s, %s): %lld x %lldx%lldx%lld, %lld to %lld "
         "channels",
         names[c->pass], s->type == BF16 ? "bf16" : "float32", (long long)s->batch,
         (long long)s->in[0], (long long)s->in[1], (long long)s->in[2], (long long)s->channels,
         (long long)s->outs);
}

static Convolution *made_so_far;

const Convolution *convolution_make(const ConvolutionShape *shape, ConvolutionPass pass, bool bias,
                                    Error *error) {
  Convolution *c = new (std::nothrow) Convolution();
  CHECK(c, "no memory for a convolution");
  c->shape = *shape;
  c->pass = pass;
  c->bias = bias;
  c->mode = kernel_mode;
  c->device = libraries.dnn_device;
  const Convolution *made = made_so_far;
  while (made && !same(made, c)) made = made->next;
  if (!made) choose(c, error);
  if (made || !c->engine.plan) {
    delete c;
    return made;
  }
  c->next = made_so_far;
  return made_so_far = c;
}

/* ---- looking at them ------------------------------------------------------------------------- */

static void notes_text(const Engine *engine, char *text, size_t bytes) {
  static const struct {
    bool behaviour;
    int bit;
    const char *name;
  } names[] = {{false, CUDNN_NUMERICAL_NOTE_TENSOR_CORE, "tensor-cores"},
               {false, CUDNN_NUMERICAL_NOTE_DOWN_CONVERT_INPUTS, "down-converts"},
               {false, CUDNN_NUMERICAL_NOTE_REDUCED_PRECISION_REDUCTION, "reduced-sums"},
               {false, CUDNN_NUMERICAL_NOTE_FFT, "fft"},
               {false, CUDNN_NUMERICAL_NOTE_NONDETERMINISTIC, "unordered"},
               {false, CUDNN_NUMERICAL_NOTE_WINOGRAD, "winograd"},
               {true, CUDNN_BEHAVIOR_NOTE_RUNTIME_COMPILATION, "compiled"}};
  size_t used = 0;
  text[0] = 0;
  for (const auto &n : names)
    if ((n.behaviour ? engine->behaviour : engine->numerical) >> n.bit & 1 && used < bytes)
      used += (size_t)snprintf(text + used, bytes - used, " %s", n.name);
}

void convolution_choices(void (*visit)(const ConvolutionChoice *choice, void *user), void *user) {
  for (const Convolution *c = made_so_far; c; c = c->next) {
    if (c->device != libraries.dnn_device) continue;
    ConvolutionChoice choice = {};
    choice.shape = c->shape;
    choice.pass = c->pass;
    choice.mode = c->mode;
    choice.bias = c->bias;
    choice.fused = c->engine.fused;
    choice.compiled = is_compiled(&c->engine);
    choice.tensor_cores = has_tensor_cores(&c->engine);
    choice.engine = (int)c->engine.index;
    choice.workspace = c->engine.workspace;
    choice.seconds = c->seconds;
    notes_text(&c->engine, choice.notes, sizeof choice.notes);
    visit(&choice, user);
  }
}
