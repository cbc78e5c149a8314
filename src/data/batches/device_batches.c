#include "src/data/batches/device_batches.h"
#include "src/data/batches/intensity.h"

struct DeviceBatches {
  const Sampler *sampler;
  const Backend *backend;
  Voxels *item; /* of each case, in the device's memory */
  int items;
  uint64_t next;
  int32_t *target; /* sampler_targets */
  float *spare;    /* a plane, then those of a patch with several channels */
  void *scratch;
};

static size_t patch_voxels(const SamplerOptions *options) {
  return (size_t)options->patch[0] * (size_t)options->patch[1] * (size_t)options->patch[2];
}

static size_t value_bytes(const Voxels *voxels) {
  return voxels->single ? sizeof(float) : sizeof(_Float16);
}

static size_t voxels_count(const Voxels *voxels) {
  return (size_t)voxels->dim[0] * (size_t)voxels->dim[1] * (size_t)voxels->dim[2];
}

static size_t spare_floats(const Sampler *sampler) {
  const SamplerOptions *options = sampler_options(sampler);
  int channels = sampler_case(sampler, 0)->channels;
  return patch_voxels(options) * (size_t)(channels > 1 ? channels + 1 : 1);
}

static bool fits(const Sampler *sampler, const Backend *backend) {
  size_t bytes = PLANE_SCRATCH + spare_floats(sampler) * sizeof(float);
  for (int i = 0; i < sampler_cases(sampler); i++) {
    const Voxels *voxels = sampler_case(sampler, i);
    bytes += voxels_count(voxels) * ((size_t)voxels->channels * value_bytes(voxels) + 1);
  }
  return bytes <= backend->available() / 2;
}

static void *sent(const Backend *backend, const void *from, size_t bytes) {
  void *to = backend->alloc(bytes);
  if (to) backend->device->copy_in(to, from, bytes);
  return to;
}

static bool item_send(DeviceBatches *b, const Voxels *from) {
  Voxels *to = &b->item[b->items++];
  size_t count = voxels_count(from), values = count * (size_t)from->channels;
  *to = *from;
  const void *image = from->single ? (const void *)from->single : from->half;
  const void *placed = sent(b->backend, image, values * value_bytes(from));
  to->single = from->single ? placed : NULL;
  to->half = from->single ? NULL : placed;
  to->label = sent(b->backend, from->label, count);
  return placed && to->label;
}

DeviceBatches *device_batches_make(const Sampler *sampler, const Backend *backend, uint64_t first) {
  if (!backend->device || !backend->device->patches || !fits(sampler, backend)) return NULL;
  if (sampler_options(sampler)->augment.picture) return NULL;
  int cases = sampler_cases(sampler);
  DeviceBatches *b = calloc(1, sizeof *b);
  Voxels *item = calloc((size_t)cases, sizeof *item);
  CHECK(b && item, "no memory for the batches of a device");
  *b = (DeviceBatches){.sampler = sampler, .backend = backend, .item = item, .next = first};
  b->spare = backend->alloc(spare_floats(sampler) * sizeof(float));
  b->scratch = backend->alloc(PLANE_SCRATCH);
  const int32_t *target = sampler_targets(sampler);
  if (target) b->target = sent(backend, target, LABEL_VALUES * sizeof *target);
  bool good = b->spare && b->scratch && (b->target || !target);
  for (int i = 0; good && i < cases; i++) good = item_send(b, sampler_case(sampler, i));
  if (good) return b;
  device_batches_free(b); /* others took the memory meanwhile */
  return NULL;
}

static void release(const Backend *backend, const void *memory) {
  if (memory) backend->release((void *)(uintptr_t)memory);
}

void device_batches_free(DeviceBatches *b) {
  if (!b) return;
  for (int i = 0; i < b->items; i++) {
    const Voxels *item = &b->item[i];
    release(b->backend, item->single ? (const void *)item->single : item->half);
    release(b->backend, item->label);
  }
  release(b->backend, b->spare);
  release(b->backend, b->scratch);
  release(b->backend, b->target);
  free(b->item);
  free(b);
}

static void sample(DeviceBatches *b, int index, float *image, int32_t *label, void *queue) {
  const SamplerOptions *options = sampler_options(b->sampler);
  const PatchOps *ops = b->backend->device->patches;
  size_t voxels = patch_voxels(options);
  SampleDraw draw = sampler_draw(b->sampler, b->next, index);
  const Voxels *item = &b->item[draw.item];
  float *planes = item->channels > 1 ? b->spare + voxels : image;
  PatchRead read = {.channels = item->channels,
                    .single = item->single,
                    .half = (const uint16_t *)item->half,
                    .label = item->label,
                    .target = b->target,
                    .planes = planes,
                    .classes = label};
  Plane plane = {.value = planes, .spare = b->spare, .scratch = b->scratch, .queue = queue};
  for (int axis = 0; axis < 3; axis++) {
    read.dim[axis] = item->dim[axis];
    read.patch[axis] = plane.dim[axis] = options->patch[axis];
    read.origin[axis] = draw.origin[axis];
    for (int k = 0; k < 3; k++) read.matrix[axis][k] = draw.warp.matrix[axis][k];
  }
  ops->read(queue, &read);
  if (options->augment.intensity)
    intensity_change(&ops->plane, &plane, item->channels, warp_thin_axis(options->patch),
                     &draw.change);
  if (item->channels > 1) ops->interleave(queue, (int64_t)voxels, item->channels, planes, image);
}

void device_batches_next(DeviceBatches *b, float *image, int32_t *label, void *queue) {
  const SamplerOptions *options = sampler_options(b->sampler);
  size_t voxels = patch_voxels(options);
  size_t values = voxels * (size_t)sampler_case(b->sampler, 0)->channels;
  for (int i = 0; i < options->batch; i++)
    sample(b, i, image + (size_t)i * values, label + (size_t)i * voxels, queue);
  b->next++;
}
