#include "src/data/prepare/normalise.h"

#include <math.h>
#include <string.h>

/* ---- what the training cases say ------------------------------------------------------------- */

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
  for (int i = 0; i < dataset->channels; i++) {
    normaliser->channel[i].scheme = scheme_of_channel(dataset->channel_name[i]);
    any |= normaliser->channel[i].scheme == SCHEME_CT;
  }
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
    if (normaliser->channel[i].scheme != SCHEME_CT) continue;
    foreground_gather(training, count, i, value);
    mean_sd(value, total, 1, &normaliser->channel[i].mean, &normaliser->channel[i].sd);
    qsort(value, total, sizeof *value, by_value);
    normaliser->channel[i].low = percentile(value, total, 0.5);
    normaliser->channel[i].high = percentile(value, total, 99.5);
  }
  free(value);
  return true;
}

/* ---- one volume ------------------------------------------------------------------------------ */

/* One channel of a volume. */
typedef struct Values {
  float *value;
  size_t count, stride;
} Values;

/* (clipped to low .. high - mean) * scale. */
static void values_map(const Values *v, double low, double high, double mean, double scale) {
  for (size_t i = 0; i < v->count; i++) {
    double clipped = fmin(fmax(v->value[i * v->stride], low), high);
    v->value[i * v->stride] = (float)((clipped - mean) * scale);
  }
}

/* nnU-Net's guard for a constant volume. */
static double inverse(double sd) {
  return 1 / fmax(sd, 1e-8);
}

/* The z-score from the voxels of the mask, for them alone. */
static void masked_zscore(const Values *v, const uint8_t *inside) {
  double sum = 0, square = 0, count = 0;
  for (size_t i = 0; i < v->count; i++)
    if (inside[i]) sum += v->value[i * v->stride], count++;
  double mean = sum / fmax(count, 1);
  for (size_t i = 0; i < v->count; i++) {
    double difference = v->value[i * v->stride] - mean;
    if (inside[i]) square += difference * difference;
  }
  double scale = inverse(sqrt(square / fmax(count, 1)));
  for (size_t i = 0; i < v->count; i++)
    if (inside[i]) v->value[i * v->stride] = (float)((v->value[i * v->stride] - mean) * scale);
}

/* To 0 .. most_out, then minus `shift`. */
static void rescale(const Values *v, double most_out, double shift) {
  double least = HUGE_VAL, most = -HUGE_VAL;
  for (size_t i = 0; i < v->count; i++) {
    least = fmin(least, v->value[i * v->stride]);
    most = fmax(most, v->value[i * v->stride]);
  }
  double scale = most_out * inverse(most - least);
  values_map(v, -HUGE_VAL, HUGE_VAL, least + shift / scale, scale);
}

static void zscore(const Values *v) {
  double mean, sd;
  mean_sd(v->value, v->count, v->stride, &mean, &sd);
  values_map(v, -HUGE_VAL, HUGE_VAL, mean, inverse(sd));
}

void normaliser_join(Normaliser *normaliser, Scheme scheme) {
  for (int i = 0; i < normaliser->channels; i++) normaliser->channel[i].scheme = scheme;
}

static bool is_joint(Scheme scheme) {
  return scheme == SCHEME_UNIT || scheme == SCHEME_SYMMETRIC;
}

bool normaliser_apply(const Normaliser *normaliser, const uint8_t *inside, Image *image,
                      Error *error) {
  CHECK(image->channels == normaliser->channels, "normaliser of %d channels, image of %d",
        normaliser->channels, image->channels);
  if (is_joint(normaliser->channel[0].scheme)) {
    size_t count = grid_voxels(&image->grid) * (size_t)image->channels;
    bool symmetric = normaliser->channel[0].scheme == SCHEME_SYMMETRIC;
    rescale(&(Values){image->data, count, 1}, symmetric ? 2 : 1, symmetric);
    return true;
  }
  for (int i = 0; i < normaliser->channels; i++) {
    const typeof(normaliser->channel[0]) *c = &normaliser->channel[i];
    Values values = {image->data + i, grid_voxels(&image->grid), (size_t)image->channels};
    if (!scheme_takes(c->scheme, image, i, error)) return false;
    if (c->scheme == SCHEME_CT) values_map(&values, c->low, c->high, c->mean, inverse(c->sd));
    if (c->scheme == SCHEME_RESCALE) rescale(&values, 1, 0);
    if (c->scheme == SCHEME_RGB) values_map(&values, -HUGE_VAL, HUGE_VAL, 0, 1 / 255.);
    if (c->scheme == SCHEME_ZSCORE && normaliser->masked) masked_zscore(&values, inside);
    if (c->scheme == SCHEME_ZSCORE && !normaliser->masked) zscore(&values);
  }
  return true;
}
