#include "src/data/augment.h"

#include <math.h>
#include <string.h>

typedef struct Channel {
  float *value; /* strided by channels */
  int stride;
  int count;
} Channel;

typedef struct Statistics {
  double mean, sd, low, high;
} Statistics;

static Statistics statistics(const Channel *channel) {
  Statistics s = {.low = HUGE_VAL, .high = -HUGE_VAL};
  double square = 0;
  for (int i = 0; i < channel->count; i++) {
    double v = channel->value[i * channel->stride];
    s.mean += v;
    square += v * v;
    s.low = fmin(s.low, v);
    s.high = fmax(s.high, v);
  }
  s.mean /= channel->count;
  s.sd = sqrt(fmax(square / channel->count - s.mean * s.mean, 0));
  return s;
}

static void noise(const Channel *channel, double variance, Rng *rng) {
  double sd = sqrt(variance);
  for (int i = 0; i < channel->count; i++)
    channel->value[i * channel->stride] += (float)(sd * rng_normal(rng));
}

static void brightness(const Channel *channel, double factor, Rng *rng) {
  (void)rng;
  for (int i = 0; i < channel->count; i++) channel->value[i * channel->stride] *= (float)factor;
}

/* Away from or towards the mean, within the old range. */
static void contrast(const Channel *channel, double factor, Rng *rng) {
  (void)rng;
  Statistics s = statistics(channel);
  for (int i = 0; i < channel->count; i++) {
    float *v = &channel->value[i * channel->stride];
    *v = (float)fmin(fmax((*v - s.mean) * factor + s.mean, s.low), s.high);
  }
}

/* x -> x^exponent on the range scaled to [0, 1]; mean and sd are put back. */
static void gamma_curve(const Channel *channel, double exponent, double sign) {
  Statistics before = statistics(channel);
  double range = fmax(before.high - before.low, 1e-7);
  double origin = sign > 0 ? before.low : before.high;
  for (int i = 0; i < channel->count; i++) {
    float *v = &channel->value[i * channel->stride];
    *v = (float)(sign * pow(fmax(sign * (*v - origin) / range, 0), exponent));
  }
  Statistics after = statistics(channel);
  double scale = before.sd / fmax(after.sd, 1e-8);
  for (int i = 0; i < channel->count; i++) {
    float *v = &channel->value[i * channel->stride];
    *v = (float)((*v - after.mean) * scale + before.mean);
  }
}

static void gamma_inverted(const Channel *channel, double exponent, Rng *rng) {
  (void)rng;
  gamma_curve(channel, exponent, -1);
}

static void gamma_plain(const Channel *channel, double exponent, Rng *rng) {
  (void)rng;
  gamma_curve(channel, exponent, 1);
}

/* nnU-Net v2, get_training_transforms, in its order. A step that moves voxels (rotation, scale)
 * would stand before these and change the label too. */
static const struct {
  const char *name;
  double probability, low, high;
  void (*apply)(const Channel *channel, double amount, Rng *rng);
} steps[] = {
    {"noise", 0.1, 0, 0.1, noise}, /* variance */
    {"brightness", 0.15, 0.75, 1.25, brightness},
    {"contrast", 0.15, 0.75, 1.25, contrast},
    {"gamma_inverted", 0.1, 0.7, 1.5, gamma_inverted},
    {"gamma", 0.3, 0.7, 1.5, gamma_plain},
};

/* A factor falls below and above 1 equally often, however lopsided its range. */
static double draw_amount(double low, double high, Rng *rng) {
  if (low <= 0) return rng_between(rng, low, high);
  bool below = rng_uniform(rng) < 0.5;
  return below ? rng_between(rng, low, 1) : rng_between(rng, 1, high);
}

static void intensity(int voxels, int channels, Rng *rng, float *image) {
  for (size_t s = 0; s < sizeof steps / sizeof *steps; s++) {
    if (rng_uniform(rng) >= steps[s].probability) continue;
    for (int c = 0; c < channels; c++) {
      Channel channel = {.value = image + c, .stride = channels, .count = voxels};
      steps[s].apply(&channel, draw_amount(steps[s].low, steps[s].high, rng), rng);
    }
  }
}

static void swap_bytes(void *a, void *b, size_t bytes) {
  char kept[256];
  CHECK(bytes <= sizeof kept, "voxel of %zu bytes", bytes);
  memcpy(kept, a, bytes);
  memcpy(a, b, bytes);
  memcpy(b, kept, bytes);
}

/* Reverses one axis of an array (D,H,W) of `bytes` wide items. */
static void flip(char *data, const int dim[3], int axis, size_t bytes) {
  size_t inner = bytes, outer = 1;
  for (int a = axis + 1; a < 3; a++) inner *= (size_t)dim[a];
  for (int a = 0; a < axis; a++) outer *= (size_t)dim[a];
  size_t size = (size_t)dim[axis];
  for (size_t o = 0; o < outer; o++)
    for (size_t i = 0; i < size / 2; i++)
      for (size_t at = 0; at < inner; at += bytes)
        swap_bytes(data + (o * size + i) * inner + at,
                   data + (o * size + size - 1 - i) * inner + at, bytes);
}

void augment_patch(const Augment *augment, const int patch[3], int channels, Rng *rng, float *image,
                   int32_t *label) {
  if (augment->intensity) intensity(patch[0] * patch[1] * patch[2], channels, rng, image);
  for (int axis = 0; axis < 3; axis++) {
    if (!augment->mirror[axis] || rng_uniform(rng) >= 0.5) continue;
    flip((char *)image, patch, axis, (size_t)channels * sizeof *image);
    flip((char *)label, patch, axis, sizeof *label);
  }
}

bool augment_parse(const char *name, Augment *augment, Error *error) {
  *augment = (Augment){.intensity = !strcmp(name, "intensity")};
  if (augment->intensity || !strcmp(name, "none")) return true;
  return fail(error, "augment = \"%s\": expected \"none\" or \"intensity\"", name);
}
