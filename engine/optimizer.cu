/* Gradient norm, clip and update (engine/optimizer.h) on the flat blocks of all trained parameters:
 * two launches for the norm, summed in a fixed order, one for the update. Rates, the norm and the
 * decision to change nothing live in device memory, so that the launches never differ from step to
 * step. Bound by memory: of sgd 1 + 5 blocks, of adamw 1 + 7, 2 more with an average. */
#include "kernels/cuda/vector.h"
#include "kernels/cuda/warp.h"

extern "C" {
#include "engine/update_device.h"
}

static constexpr int THREADS = 256, NORM_BLOCKS = UPDATE_PARTIALS;

/* class_of NULL: all classes move, in every step. */
static __global__ void __launch_bounds__(THREADS)
    square_partials(int64_t vectors, const float *gradient, const uint8_t *class_of,
                    const UpdatePace *pace, double *partial) {
  SHARED(double, shared, [WARP]);
  int64_t first = (int64_t)blockIdx.x * THREADS + threadIdx.x, step = (int64_t)gridDim.x * THREADS;
  double sum = 0;
  for (int64_t i = first; i < vectors; i += step) {
    if (class_of && pace->root[class_of[4 * i / PARAM_UNIT]] == 0) continue;
    Floats<4> g = load_vector(gradient + 4 * i);
#pragma unroll
    for (int k = 0; k < 4; k++) sum += (double)g.v[k] * (double)g.v[k];
  }
  sum = block_sum(sum, shared);
  if (threadIdx.x == 0) partial[blockIdx.x] = sum;
}

/* One block. A loss or norm that is not finite: nothing will be changed. */
static __global__ void __launch_bounds__(THREADS)
    decide(int blocks, const double *partial, const float *loss, float clip, UpdateTold *told) {
  SHARED(double, shared, [WARP]);
  double sum = 0;
  for (int i = (int)threadIdx.x; i < blocks; i += THREADS) sum += partial[i];
  sum = block_sum(sum, shared);
  if (threadIdx.x) return;
  double norm = sqrt(sum);
  bool finite = norm - norm == 0 && *loss - *loss == 0;
  told->norm = norm;
  told->apply = finite;
  told->scale = clip > 0 && norm > (double)clip ? (float)((double)clip / norm) : 1;
}

namespace {

/* The numbers of a class of parameters. */
struct Numbers {
  float rate, decay, root, scale;
};

/* The optimisers by their names in optimizers.def. One weight w, its gradient g, and what is kept
 * of it. */
struct sgd {
  static constexpr int KEPT = 1;
  float mu;
  explicit sgd(const Optimizer &o) : mu((float)o.momentum) {
  }
  __device__ void step(const Numbers &n, float &w, float g, float (&kept)[KEPT]) const {
    float d = n.scale * g + n.decay * w;
    kept[0] = mu * kept[0] + d;
    w -= n.rate * (d + mu * kept[0]);
  }
};

struct adamw {
  static constexpr int KEPT = 2;
  float b1, a1, b2, a2, eps;
  explicit adamw(const Optimizer &o)
      : b1((float)o.beta1), a1((float)(1 - o.beta1)), b2((float)o.beta2), a2((float)(1 - o.beta2)),
        eps((float)o.eps) {
  }
  __device__ void step(const Numbers &n, float &w, float g, float (&kept)[KEPT]) const {
    float d = n.scale * g;
    kept[0] = b1 * kept[0] + a1 * d;
    kept[1] = b2 * kept[1] + a2 * (d * d);
    w = n.decay * w - n.rate * (kept[0] / (sqrtf(kept[1]) / n.root + eps));
  }
};

struct Kept {
  float *block[MAX_STATES];
};

} // namespace

/* `class_of` has an entry per PARAM_UNIT numbers: a parameter starts at a multiple of that. The
 * gaps between parameters are zero and stay so. */
template <typename Rule>
static __global__ void __launch_bounds__(THREADS)
    update(Rule rule, int64_t vectors, const uint8_t *class_of, const UpdateState *state,
           const float *gradient, float *weight, Kept kept, float *average, bf16 *half) {
  if (!state->told.apply) return;
  Numbers n = {0, 0, 0, state->told.scale};
  int64_t first = (int64_t)blockIdx.x * THREADS + threadIdx.x, step = (int64_t)gridDim.x * THREADS;
  for (int64_t i = first; i < vectors; i += step) {
    int c = class_of[4 * i / PARAM_UNIT];
    n.rate = state->pace.rate[c];
    n.decay = state->pace.decay[c];
    n.root = state->pace.root[c];
    Floats<4> g = load_vector(gradient + 4 * i), w = load_vector(weight + 4 * i), m[Rule::KEPT];
#pragma unroll
    for (int j = 0; j < Rule::KEPT; j++) m[j] = load_vector(kept.block[j] + 4 * i);
#pragma unroll
    for (int k = 0; k < 4; k++) {
      float own[Rule::KEPT];
#pragma unroll
      for (int j = 0; j < Rule::KEPT; j++) own[j] = m[j].v[k];
      if (n.root > 0) rule.step(n, w.v[k], g.v[k], own);
#pragma unroll
      for (int j = 0; j < Rule::KEPT; j++) m[j].v[k] = own[j];
    }
    store_vector(weight + 4 * i, w);
    if (average) {
      Floats<4> a = load_vector(average + 4 * i);
#pragma unroll
      for (int k = 0; k < 4; k++) a.v[k] += state->pace.average * (w.v[k] - a.v[k]);
      store_vector(average + 4 * i, a);
    }
    for (int k = 0; half && k < 4; k++) store(half + 4 * i + k, w.v[k]);
#pragma unroll
    for (int j = 0; j < Rule::KEPT; j++) store_vector(kept.block[j] + 4 * i, m[j]);
  }
}

template <typename Rule> static void launch(const UpdateCall *c, void *stream) {
  int64_t vectors = c->elements / 4, wanted = (vectors + THREADS - 1) / THREADS;
  Kept kept;
  for (int j = 0; j < MAX_STATES; j++) kept.block[j] = c->kept[j];
  LAUNCH(update<Rule>, grid_blocks(update<Rule>, THREADS, 0, wanted), THREADS, 0, stream,
         Rule(c->optimizer), vectors, c->class_of, c->state, c->gradient, c->weight, kept,
         c->average, reinterpret_cast<bf16 *>(c->half));
}

/* By OptimizerId. */
static void (*const launches[OPTIMIZERS])(const UpdateCall *, void *) = {
#define OPTIMIZER(name) launch<name>,
#include "engine/optimizers.def"
#undef OPTIMIZER
};

extern "C" void UPDATE_LAUNCH(const UpdateCall *c, void *stream) {
  int64_t vectors = c->elements / 4, wanted = (vectors + THREADS - 1) / THREADS;
  unsigned blocks = (unsigned)(wanted < 1 ? 1 : wanted < NORM_BLOCKS ? wanted : NORM_BLOCKS);
  LAUNCH(square_partials, blocks, THREADS, 0, stream, vectors, c->gradient,
         c->optimizer.late ? c->class_of : (const uint8_t *)NULL,
         (const UpdatePace *)&c->state->pace, c->partial);
  LAUNCH(decide, 1, THREADS, 0, stream, (int)blocks, c->partial, c->loss, (float)c->optimizer.clip,
         &c->state->told);
  launches[c->optimizer.id](c, stream);
}
