/* Gradient norm, clip and SGD with Nesterov momentum (engine/optimizer.h) on the flat blocks of all
 * parameters: two launches for the norm, summed in a fixed order, one for the update. Rates, the
 * norm and the decision to change nothing live in device memory, so that the launches never differ
 * from step to step. Bound by memory: 1 + 5 blocks. */
#include "engine/sgd.h"
#include "kernels/cuda/vector.h"
#include "kernels/cuda/warp.h"

static constexpr int THREADS = 256, NORM_BLOCKS = SGD_PARTIALS;

static __global__ void __launch_bounds__(THREADS)
    square_partials(int64_t vectors, const float *gradient, double *partial) {
  SHARED(double, shared, [WARP]);
  int64_t first = (int64_t)blockIdx.x * THREADS + threadIdx.x, step = (int64_t)gridDim.x * THREADS;
  double sum = 0;
  for (int64_t i = first; i < vectors; i += step) {
    Floats<4> g = load_vector(gradient + 4 * i);
#pragma unroll
    for (int k = 0; k < 4; k++) sum += (double)g.v[k] * (double)g.v[k];
  }
  sum = block_sum(sum, shared);
  if (threadIdx.x == 0) partial[blockIdx.x] = sum;
}

/* One block. A loss or norm that is not finite: nothing will be changed. */
static __global__ void __launch_bounds__(THREADS)
    decide(int blocks, const double *partial, const float *loss, float clip, SgdState *state) {
  SHARED(double, shared, [WARP]);
  double sum = 0;
  for (int i = (int)threadIdx.x; i < blocks; i += THREADS) sum += partial[i];
  sum = block_sum(sum, shared);
  if (threadIdx.x) return;
  double norm = sqrt(sum);
  bool finite = norm - norm == 0 && *loss - *loss == 0;
  state->norm = norm;
  state->apply = finite;
  state->scale = clip > 0 && norm > (double)clip ? (float)((double)clip / norm) : 1;
}

/* `group` has an entry per 16 numbers: a parameter starts at a multiple of that. The gaps between
 * parameters are zero and stay so. */
static __global__ void __launch_bounds__(THREADS)
    update(int64_t vectors, const uint8_t *group, const SgdState *state, float mu, float decay,
           const float *gradient, float *weight, float *momentum, bf16 *half) {
  if (!state->apply) return;
  float scale = state->scale;
  int64_t first = (int64_t)blockIdx.x * THREADS + threadIdx.x, step = (int64_t)gridDim.x * THREADS;
  for (int64_t i = first; i < vectors; i += step) {
    float rate = state->rate[group[i / 4]];
    Floats<4> g = load_vector(gradient + 4 * i), w = load_vector(weight + 4 * i),
              m = load_vector(momentum + 4 * i);
#pragma unroll
    for (int k = 0; k < 4; k++) {
      float d = scale * g.v[k] + decay * w.v[k];
      m.v[k] = mu * m.v[k] + d;
      w.v[k] -= rate * (d + mu * m.v[k]);
    }
    store_vector(weight + 4 * i, w);
    for (int k = 0; half && k < 4; k++) store(half + 4 * i + k, w.v[k]);
    store_vector(momentum + 4 * i, m);
  }
}

extern "C" void SGD_LAUNCH(const SgdCall *c, void *stream) {
  int64_t vectors = c->elements / 4, wanted = (vectors + THREADS - 1) / THREADS;
  unsigned blocks = (unsigned)(wanted < 1 ? 1 : wanted < NORM_BLOCKS ? wanted : NORM_BLOCKS);
  LAUNCH(square_partials, blocks, THREADS, 0, stream, vectors, c->gradient, c->partial);
  LAUNCH(decide, 1, THREADS, 0, stream, (int)blocks, c->partial, c->loss, (float)c->clip, c->state);
  LAUNCH(update, grid_blocks(update, THREADS, 0, wanted), THREADS, 0, stream, vectors, c->group,
         c->state, (float)c->momentum, (float)c->weight_decay, c->gradient, c->weight, c->velocity,
         reinterpret_cast<bf16 *>(c->half));
}
