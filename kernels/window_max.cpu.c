/* Fast window_max: a task is a register of channels of one sample, whose voxels it walks in memory
 * order; the gradient goes to the places that it looks up again, so that nobody else adds there.
 * Bound by the comparisons, a window's voxels a result. */
#include "kernels/cpu/parallel.h"
#include "kernels/cpu/simd.h"
#include "kernels/cpu/staging.h"
#include "kernels/window.h"

/* Of `lanes` channels at x: the maximum, and the window's voxel that has it first. */
INLINE Vec first_maximum(const float *x, const Window *window, int64_t channels, int64_t lanes,
                         IntVec *place) {
  int64_t plane = window->height * window->width;
  Vec best = {0};
  IntVec found = {0};
  int32_t tap = 0;
  for (int64_t z = 0; z < window->size[0]; z++)
    for (int64_t y = 0; y < window->size[1]; y++) {
      const float *from = x + (window->start + z * plane + y * window->width) * channels;
      for (int64_t u = 0; u < window->size[2]; u++, tap++, from += channels) {
        Vec v = lanes == VEC ? vec_load(from) : vec_load_part(from, lanes);
        IntVec larger = v > best;
        if (tap == 0) larger = ~(IntVec){0};
        best = vec_select(larger, v, best);
        if (place) found = (IntVec)vec_select(larger, (Vec)(found * 0 + tap), (Vec)found);
      }
    }
  if (place) *place = found;
  return best;
}

static int64_t groups_of(const Call *call) {
  return (tensor_last(&call->in[0]) + VEC - 1) / VEC;
}

static int64_t voxels_of(const Call *call) {
  return tensor_rows(&call->in[0]) / call->in[0].dim[0];
}

static void forward_float(const Call *call) {
  int64_t channels = tensor_last(&call->in[0]), groups = groups_of(call), voxels = voxels_of(call);
#pragma omp parallel for schedule(static) if (tensor_count(&call->in[0]) > PARALLEL_LEAST)
  for (int64_t task = 0; task < call->in[0].dim[0] * groups; task++) {
    int64_t c = task % groups * VEC, lanes = channels - c < VEC ? channels - c : VEC;
    const float *x = (const float *)call->in[0].data + c;
    float *y = (float *)call->out[0].data + c;
    for (int64_t row = task / groups * voxels; row < (task / groups + 1) * voxels; row++) {
      Window window = window_at(call, row);
      if (lanes == VEC)
        vec_store(y + row * channels, first_maximum(x, &window, channels, VEC, NULL));
      else
        vec_store_part(y + row * channels, first_maximum(x, &window, channels, lanes, NULL), lanes);
    }
  }
}

static void backward_float(const Call *call) {
  int64_t channels = tensor_last(&call->in[0]), groups = groups_of(call), voxels = voxels_of(call);
#pragma omp parallel for schedule(static) if (tensor_count(&call->in[0]) > PARALLEL_LEAST)
  for (int64_t task = 0; task < call->in[0].dim[0] * groups; task++) {
    int64_t c = task % groups * VEC, lanes = channels - c < VEC ? channels - c : VEC;
    const float *x = (const float *)call->in[0].data + c;
    const float *dy = (const float *)call->dout[0].data + c;
    float *dx = (float *)call->din[0].data + c;
    int64_t first = task / groups * voxels;
    for (int64_t row = first; row < first + voxels; row++)
      for (int64_t i = 0; i < lanes; i++) dx[row * channels + i] = 0;
    for (int64_t row = first; row < first + voxels; row++) {
      Window window = window_at(call, row);
      IntVec place;
      first_maximum(x, &window, channels, lanes, &place);
      for (int64_t i = 0; i < lanes; i++)
        dx[window_row(&window, place[i]) * channels + i] += dy[row * channels + i];
    }
  }
}

static void forward(const Call *call) {
  staging_run(call, forward_float);
}

static void backward(const Call *call) {
  if (call->din[0].data) staging_run(call, backward_float);
}

const Kernel window_max_cpu = {.forward = forward,
                               .backward = backward,
                               .prepare = staging_prepare,
                               .bf16 = SAVES_IN(0) | SAVES_OUT(0)};
