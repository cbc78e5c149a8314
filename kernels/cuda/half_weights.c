#include "kernels/cuda/half_weights.h"
#include "base/error.h"

#include <stddef.h>

enum { MOST = 8 }; /* nets that a process trains at a time */

static struct {
  const float *weights;
  int64_t elements;
  uint16_t *half;
  bool stale;
} blocks[MOST];

static int find(const void *weights) {
  int i = 0;
  while (i < MOST && blocks[i].weights != weights) i++;
  return i;
}

void half_weights_add(const float *weights, int64_t elements, uint16_t *half) {
  int i = find(NULL);
  CHECK(i < MOST && weights, "more than %d nets with weights in bf16", MOST);
  blocks[i].weights = weights;
  blocks[i].elements = elements;
  blocks[i].half = half;
  blocks[i].stale = true;
}

void half_weights_drop(const float *weights) {
  int i = find(weights);
  if (i < MOST) blocks[i].weights = NULL;
}

void half_weights_stale(const void *weights) {
  int i = weights ? find(weights) : MOST;
  if (i < MOST) blocks[i].stale = true;
}

void half_weights_fresh(const float *weights) {
  int i = find(weights);
  if (i < MOST) blocks[i].stale = false;
}

bool half_weights_are_stale(const float *weights) {
  int i = find(weights);
  return i < MOST && blocks[i].stale;
}

void *half_weights_at(const void *at) {
  const float *place = at;
  for (int i = 0; i < MOST; i++)
    if (blocks[i].weights && !blocks[i].stale && place >= blocks[i].weights &&
        place < blocks[i].weights + blocks[i].elements)
      return blocks[i].half + (place - blocks[i].weights);
  return NULL;
}
