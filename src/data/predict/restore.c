#include "src/data/predict/restore.h"
#include "kernels/volumes/volume_ops.h"

#include <math.h>
#include <omp.h>
#include <string.h>

bool restore_begin(Restore *r, const Frame *frame, int classes, uint8_t *label, float *probability,
                   Error *error) {
  *r = (Restore){.frame = frame, .classes = classes, .label = label, .probability = probability};
  size_t row = (size_t)frame->dim[2] * (size_t)classes, voxels = grid_voxels(&frame->file);
  Interpolation order[3];
  int held[3];
  frame_orders_back(frame, order);
  frame_held(frame, held);
  bool good = true;
  for (int axis = 0; axis < 3; axis++) {
    r->tap[axis] = malloc((size_t)frame->box_dim[axis] * sizeof(Tap));
    good = good && r->tap[axis];
    if (good)
      resample_taps(held[axis], frame->box_dim[axis], order[axis] == NEAREST ? NEAREST : LINEAR,
                    r->tap[axis]);
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

void restore_logits(Restore *r) {
  r->logits = true;
}

void restore_regions(Restore *r, const uint8_t *values) {
  r->regions = values;
  r->above = r->logits ? 0 : .5f;
  size_t voxels = r->probability ? grid_voxels(&r->frame->file) : 0;
  for (size_t i = 0; i < voxels; i++) r->probability[i * (size_t)r->classes] = 0; /* background */
}

static bool places_send(Restore *r, int axis) {
  size_t count = (size_t)r->frame->box_dim[axis], bytes = count * sizeof(SlabTap);
  SlabTap *host = malloc(bytes);
  r->place[axis] = r->backend->alloc(bytes);
  bool good = host && r->place[axis];
  for (size_t i = 0; good && i < count; i++)
    host[i] = (SlabTap){r->tap[axis][i].below, r->tap[axis][i].above, (float)r->tap[axis][i].share};
  if (good) r->backend->device->copy_in(r->place[axis], host, bytes);
  free(host);
  return good;
}

bool restore_on_device(Restore *r, const Backend *backend, int planes, Error *error) {
  const Frame *frame = r->frame;
  size_t voxels = (size_t)frame->box_dim[1] * (size_t)frame->box_dim[2];
  size_t plane = (size_t)frame->dim[1] * (size_t)frame->dim[2] * (size_t)r->classes;
  r->backend = backend;
  bool good = true;
  for (int axis = 0; axis < 3; axis++) good = good && places_send(r, axis);
  if (r->probability) r->slab = malloc((size_t)planes * plane * sizeof(float));
  if (r->regions) r->painted = backend->alloc((size_t)r->classes);
  if (r->painted) backend->device->copy_in(r->painted, r->regions, (size_t)r->classes);
  good = good && (r->painted || !r->regions);
  r->chosen = backend->alloc(voxels);
  r->fetched = malloc(voxels);
  if (good && r->chosen && r->fetched && (r->slab || !r->probability)) return true;
  return fail(error, "no memory to choose labels on the device");
}

void restore_end(Restore *r) {
  for (int axis = 0; axis < 3; axis++)
    if (r->place[axis]) r->backend->release(r->place[axis]);
  if (r->chosen) r->backend->release(r->chosen);
  if (r->painted) r->backend->release(r->painted);
  free(r->fetched);
  free(r->slab);
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

static void softmax(float *value, size_t count) {
  float top = value[0], sum = 0;
  for (size_t i = 1; i < count; i++) top = value[i] > top ? value[i] : top;
  for (size_t i = 0; i < count; i++) sum += value[i] = expf(value[i] - top);
  for (size_t i = 0; i < count; i++) value[i] /= sum;
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
    int winner = r->regions ? 0 : -1;
    for (size_t c = 0; c < classes; c++) {
      float value = a[c] + (b[c] - a[c]) * share;
      if (r->probability) r->probability[(size_t)to * classes + c] = value;
      if (r->regions && value > r->above) winner = r->regions[c];
      if (r->regions || (winner >= 0 && !(value > best))) continue;
      best = value;
      winner = (int)c;
    }
    r->label[to] = (uint8_t)winner;
    float *probability = r->logits && r->probability ? r->probability + (size_t)to * classes : NULL;
    for (size_t c = 0; probability && r->regions && c < classes; c++)
      probability[c] = 1 / (1 + expf(-probability[c]));
    if (probability && !r->regions) softmax(probability, classes);
  }
}

static bool is_due(const Restore *r, int end) {
  return r->next < r->frame->box_dim[0] && r->tap[0][r->next].above < end;
}

static void slab_on_device(Restore *r, int first, int end, const float *maps) {
  const Frame *frame = r->frame;
  const Device *device = r->backend->device;
  SlabPlane plane = {
      .classes = r->classes, .first = first, .regions = r->painted, .above = r->above};
  for (int axis = 0; axis < 3; axis++) {
    plane.dim[axis] = frame->dim[axis];
    plane.box[axis] = frame->box_dim[axis];
    plane.tap[axis] = r->place[axis];
  }
  int rows = frame->box_dim[1], width = frame->box_dim[2];
  int64_t step[3], start = frame_walk(frame, step);
  for (; is_due(r, end); r->next++) {
    plane.plane = r->next;
    device->slabs->label(device->queue(), &plane, maps, r->chosen);
    device->copy_out(r->fetched, r->chosen, (size_t)rows * (size_t)width);
    for (int y = 0; y < rows; y++)
      for (int x = 0; x < width; x++)
        r->label[start + r->next * step[0] + y * step[1] + x * step[2]] = r->fetched[y * width + x];
  }
}

bool restore_slab(void *user, int first, int end, const float *maps, Error *error) {
  (void)error;
  Restore *r = user;
  const Frame *frame = r->frame;
  size_t plane = (size_t)frame->dim[1] * (size_t)frame->dim[2] * (size_t)r->classes;
  if (r->backend && !r->probability) {
    slab_on_device(r, first, end, maps);
    return true;
  }
  if (r->backend) {
    r->backend->device->copy_out(r->slab, maps, (size_t)(end - first) * plane * sizeof(float));
    maps = r->slab;
  }
  int64_t step[3], start = frame_walk(frame, step);
  for (; is_due(r, end); r->next++) {
    const Tap *tap = &r->tap[0][r->next];
    const float *at = mix(maps + (size_t)(tap->below - first) * plane,
                          maps + (size_t)(tap->above - first) * plane, tap->share, plane, r->plane);
#pragma omp parallel for
    for (int y = 0; y < frame->box_dim[1]; y++)
      restore_row(r, at, y, start + r->next * step[0] + y * step[1], step[2]);
  }
  return true;
}
