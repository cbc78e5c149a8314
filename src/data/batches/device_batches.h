/* Training batches made by a device: the volumes lie in its memory, the host draws where a patch is
 * read and how it is changed, with the numbers that sampler_batch would draw, and the device does
 * it meanwhile. The values are the host's but for rounding. */
#ifndef DATA_DEVICE_BATCHES_H
#define DATA_DEVICE_BATCHES_H

#include "engine/backend.h"
#include "src/data/batches/sampler.h"

typedef struct DeviceBatches DeviceBatches;

/* Copies the sampler's volumes to the backend's device; the sampler must outlive it. NULL where the
 * backend has no device that reads patches, where pictures are changed as augment.h says, or where
 * the volumes would take more than half of the memory that is free. `first`: the step of the first
 * batch. */
DeviceBatches *device_batches_make(const Sampler *sampler, const Backend *backend, uint64_t first);
void device_batches_free(DeviceBatches *batches);

/* Enters what makes the next step's batch into the queue: image (N,D,H,W,C), label (N,D,H,W), both
 * the device's. To be called with one queue, or in the order of several. */
void device_batches_next(DeviceBatches *batches, float *image, int32_t *label, void *queue);

#endif
