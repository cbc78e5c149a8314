#include "src/data/predict/restore.h"

#include <omp.h>
#include <string.h>

bool restore_begin(Restore *r, const Frame *frame, int classes, uint8_t *label, float *probability,
                   Error *error) {
  *r = (Restore){.frame = frame, .classes = classes, .label = label, .probability = probability};
  size_t row = (size_t)frame->dim[2] * (size_t)classes, voxels = grid_voxels(&frame->file);
  Interpolation order[3];
  frame_orders_back(frame, order);
  bool good = true;
  for (int axis = 0; axis < 3; axis++) {
    r->tap[axis] = malloc((size_t)frame->box_dim[axis] * sizeof(Tap));
    good = good && r->tap[axis];
    if (good)
      resample_taps(frame->dim[axis], frame->box_dim[axis],
                    order[axis] == NEAREST ? NEAREST : LINEAR, r->tap[axis]);
  }
  r->plane = malloc((size_t)frame->dim[1] * row * sizeof(float));
  r->row = malloc((size_t)omp_get_max_threads() * row * sizeof(float));
  if (!good || !r->plane || !r->row)
    return fail(error, "no memory for a plane of %d class maps", classes);
  memset(label, 0, voxels);
  if (!probability) return true;
  memset(probability, 0, voxels * (size_t)classes * sizeof(float));
  for (size_t i = 0; i < voxels; i++) probability[i * (size_t)classes] = 1;
  return true;
}

void restore_end(Restore *r) {
  for (int axis = 0; axis < 3; axis++) free(r->tap[axis]);
  free(r->plane);
  free(r->row);
  *r = (Restore){0};
}

/* out = below (1 - share) + above share; below itself where nothing is to be mixed. */
static const float *mix(const float *below, const float *above, double share, size_t count,
                        float *out) {
  float s = (float)share;
  if (s == 0) return below;
  for (size_t i = 0; i < count; i++) out[i] = below[i] + (above[i] - below[i]) * s;
  return out;
}

/* One row of the box. plane: the maps at its height. */
static void restore_row(const Restore *r, const float *plane, int y, int64_t to, int64_t step) {
  const Frame *frame = r->frame;
  size_t classes = (size_t)r->classes, length = (size_t)frame->dim[2] * classes;
  const Tap *tap = &r->tap[1][y];
  const float *row = mix(plane + (size_t)tap->below * length, plane + (size_t)tap->above * length,
                         tap->share, length, r->row + (size_t)omp_get_thread_num() * length);
  for (int x = 0; x < frame->box_dim[2]; x++, to += step) {
    const Tap *t = &r->tap[2][x];
    const float *a = row + (size_t)t->below * classes, *b = row + (size_t)t->above * classes;
    float best = 0, share = (float)t->share;
    int winner = -1;
    for (size_t c = 0; c < classes; c++) {
      float value = a[c] + (b[c] - a[c]) * share;
      if (r->probability) r->probability[(size_t)to * classes + c] = value;
      if (winner >= 0 && !(value > best)) continue;
      best = value;
      winner = (int)c;
    }
    r->label[to] = (uint8_t)winner;
  }
}

bool restore_slab(void *user, int first, int end, const float *maps, Error *error) {
  (void)error;
  Restore *r = user;
  const Frame *frame = r->frame;
  size_t plane = (size_t)frame->dim[1] * (size_t)frame->dim[2] * (size_t)r->classes;
  int64_t step[3], start = frame_walk(frame, step);
  for (; r->next < frame->box_dim[0] && r->tap[0][r->next].above < end; r->next++) {
    const Tap *tap = &r->tap[0][r->next];
    const float *at = mix(maps + (size_t)(tap->below - first) * plane,
                          maps + (size_t)(tap->above - first) * plane, tap->share, plane, r->plane);
#pragma omp parallel for
    for (int y = 0; y < frame->box_dim[1]; y++)
      restore_row(r, at, y, start + r->next * step[0] + y * step[1], step[2]);
  }
  return true;
}
