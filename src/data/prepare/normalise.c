#include "src/data/prepare/normalise.h"

#include <math.h>
#include <string.h>
#include <strings.h>

static int by_value(const void *a, const void *b) {
  float x = *(const float *)a, y = *(const float *)b;
  return (x > y) - (x < y);
}

/* Linear between ranks, as numpy.percentile. `sorted` is not empty. */
static double percentile(const float *sorted, size_t count, double percent) {
  double rank = percent / 100 * (double)(count - 1);
  size_t below = (size_t)rank;
  size_t above = below + 1 < count ? below + 1 : below;
  return sorted[below] + (rank - (double)below) * ((double)sorted[above] - sorted[below]);
}

static void mean_sd(const float *value, size_t count, size_t stride, double *mean, double *sd) {
  double sum = 0, square = 0;
  for (size_t i = 0; i < count; i++) sum += value[i * stride];
  *mean = sum / (double)count;
  for (size_t i = 0; i < count; i++) {
    double difference = value[i * stride] - *mean;
    square += difference * difference;
  }
  *sd = sqrt(square / (double)count);
}

static size_t foreground_count(const Volume *training, int count) {
  size_t total = 0;
  for (int i = 0; i < count; i++) {
    size_t voxels = grid_voxels(&training[i].label.grid);
    for (size_t k = 0; k < voxels; k++) total += training[i].label.data[k] != 0;
  }
  return total;
}

static void foreground_gather(const Volume *training, int count, int channel, float *out) {
  for (int i = 0; i < count; i++) {
    size_t voxels = grid_voxels(&training[i].label.grid);
    size_t channels = (size_t)training[i].image.channels;
    for (size_t k = 0; k < voxels; k++)
      if (training[i].label.data[k])
        *out++ = training[i].image.data[k * channels + (size_t)channel];
  }
}

bool normaliser_fit(Normaliser *normaliser, const Dataset *dataset, const Volume *training,
                    int count, Error *error) {
  *normaliser = (Normaliser){.channels = dataset->channels};
  bool any = false;
  for (int i = 0; i < dataset->channels; i++)
    any |= normaliser->channel[i].ct = !strcasecmp(dataset->channel_name[i], "CT");
  if (!any) return true;
  size_t total = foreground_count(training, count);
  if (!total)
    return fail(error,
                "%s: no foreground voxel in the %d training case(s): the CT scale cannot be "
                "found",
                dataset->dir, count);
  float *value = malloc(total * sizeof *value);
  if (!value) return fail(error, "out of memory for %zu foreground intensities", total);
  for (int i = 0; i < dataset->channels; i++) {
    if (!normaliser->channel[i].ct) continue;
    foreground_gather(training, count, i, value);
    mean_sd(value, total, 1, &normaliser->channel[i].mean, &normaliser->channel[i].sd);
    qsort(value, total, sizeof *value, by_value);
    normaliser->channel[i].low = percentile(value, total, 0.5);
    normaliser->channel[i].high = percentile(value, total, 99.5);
  }
  free(value);
  return true;
}

/* inside (voxels): 1 where any channel is not 0, and in holes that such voxels close off. */
static uint8_t *mask_make(const Image *image) {
  size_t voxels = grid_voxels(&image->grid), channels = (size_t)image->channels;
  uint8_t *inside = malloc(voxels);
  size_t *open = malloc(voxels * sizeof *open),
         opens = 0; /* empty voxels reached from the border */
  CHECK(inside && open, "out of memory for a mask of %zu voxels", voxels);
  const int *dim = image->grid.dim;
  const size_t stride[3] = {(size_t)dim[1] * (size_t)dim[2], (size_t)dim[2], 1};
  for (size_t i = 0; i < voxels; i++) {
    bool used = false;
    for (size_t c = 0; c < channels; c++) used |= image->data[i * channels + c] != 0;
    inside[i] = used ? 1 : 2; /* 2: perhaps a hole */
    if (used) continue;
    for (int axis = 0; axis < 3; axis++) {
      int at = (int)(i / stride[axis] % (size_t)dim[axis]);
      if (inside[i] == 2 && (at == 0 || at == dim[axis] - 1)) inside[i] = 0, open[opens++] = i;
    }
  }
  while (opens) {
    size_t i = open[--opens];
    for (int axis = 0; axis < 3; axis++) {
      int at = (int)(i / stride[axis] % (size_t)dim[axis]);
      if (at > 0 && inside[i - stride[axis]] == 2)
        inside[i - stride[axis]] = 0, open[opens++] = i - stride[axis];
      if (at < dim[axis] - 1 && inside[i + stride[axis]] == 2)
        inside[i + stride[axis]] = 0, open[opens++] = i + stride[axis];
    }
  }
  free(open);
  return inside;
}

/* The z-score of one channel from the voxels of the mask. */
static void masked_apply(const uint8_t *inside, size_t voxels, size_t channels, float *value) {
  double sum = 0, square = 0, count = 0;
  for (size_t i = 0; i < voxels; i++)
    if (inside[i]) sum += value[i * channels], count++;
  double mean = sum / fmax(count, 1);
  for (size_t i = 0; i < voxels; i++) {
    double difference = value[i * channels] - mean;
    if (inside[i]) square += difference * difference;
  }
  double scale = 1 / fmax(sqrt(square / fmax(count, 1)), 1e-8);
  for (size_t i = 0; i < voxels; i++)
    value[i * channels] = inside[i] ? (float)((value[i * channels] - mean) * scale) : 0;
}

void normaliser_apply(const Normaliser *normaliser, Image *image) {
  size_t voxels = grid_voxels(&image->grid), channels = (size_t)image->channels;
  CHECK(image->channels == normaliser->channels, "normaliser of %d channels, image of %d",
        normaliser->channels, image->channels);
  uint8_t *inside = normaliser->masked ? mask_make(image) : NULL;
  for (size_t channel = 0; channel < channels; channel++) {
    float *value = image->data + channel;
    if (inside && !normaliser->channel[channel].ct) {
      masked_apply(inside, voxels, channels, value);
      continue;
    }
    double low = -HUGE_VAL, high = HUGE_VAL, mean, sd;
    if (normaliser->channel[channel].ct) {
      low = normaliser->channel[channel].low, high = normaliser->channel[channel].high;
      mean = normaliser->channel[channel].mean, sd = normaliser->channel[channel].sd;
    } else {
      mean_sd(value, voxels, channels, &mean, &sd);
    }
    double scale = 1 / fmax(sd, 1e-8); /* nnU-Net's guard for a constant volume */
    for (size_t i = 0; i < voxels; i++) {
      double clipped = fmin(fmax(value[i * channels], low), high);
      value[i * channels] = (float)((clipped - mean) * scale);
    }
  }
  free(inside);
}
