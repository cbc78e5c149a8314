#include "src/data/plan/foreground.h"

#include <math.h>
#include <string.h>

enum { DIGIT_BITS = 11, DIGITS = 1 << DIGIT_BITS, PASSES = 3 };

/* Floats as numbers of the same order: the sign's bit is turned, and below it all of them. */
static uint32_t key_of(float value) {
  uint32_t bits;
  memcpy(&bits, &value, sizeof bits);
  return bits >> 31 ? ~bits : bits | 0x80000000u;
}

static double value_of(uint32_t key) {
  uint32_t bits = key >> 31 ? key & 0x7fffffffu : ~key;
  float value;
  memcpy(&value, &bits, sizeof value);
  return value;
}

/* Digit by digit from the lowest; `spare` (count) is written over. Returns the sorted one. */
static uint32_t *keys_sort(uint32_t *key, uint32_t *spare, size_t count) {
  for (int pass = 0; pass < PASSES; pass++) {
    size_t place[DIGITS + 1] = {0};
    int shift = pass * DIGIT_BITS;
    for (size_t i = 0; i < count; i++) place[(key[i] >> shift & (DIGITS - 1)) + 1]++;
    for (int digit = 0; digit < DIGITS; digit++) place[digit + 1] += place[digit];
    for (size_t i = 0; i < count; i++) spare[place[key[i] >> shift & (DIGITS - 1)]++] = key[i];
    uint32_t *sorted = spare;
    spare = key;
    key = sorted;
  }
  return key;
}

int foreground_quota(int cases, int channels) {
  enum { ALL = 1 << 25, LEAST = 1000, MOST = 1 << 16 };
  int quota = ALL / channels / cases;
  return quota < LEAST ? LEAST : quota > MOST ? MOST : quota;
}

static void moments_find(Foreground *f, const uint32_t *key) {
  double sum = 0, square = 0;
  for (size_t i = 0; i < f->voxels; i++) sum += value_of(key[i]);
  f->mean = sum / f->voxels;
  for (size_t i = 0; i < f->voxels; i++) {
    double difference = value_of(key[i]) - f->mean;
    square += difference * difference;
  }
  f->variance = square / f->voxels;
}

/* key: sorted. */
static bool values_keep(Foreground *f, const uint32_t *key, int quota) {
  size_t different = 1;
  for (size_t i = 1; i < f->voxels; i++) different += key[i] != key[i - 1];
  bool all = f->all = different <= (size_t)quota;
  size_t most = all ? different : (size_t)quota + 1;
  f->key = malloc(most * sizeof *f->key);
  f->up_to = malloc(most * sizeof *f->up_to);
  if (!f->key || !f->up_to) return false;
  for (size_t i = 0; i < f->voxels; i++) {
    size_t next = ((size_t)f->kept * f->voxels) / (size_t)quota; /* the rank that is due */
    bool last_of_value = i + 1 == f->voxels || key[i + 1] != key[i];
    if (all ? !last_of_value : i != next && i + 1 != f->voxels) continue;
    f->key[f->kept] = key[i];
    f->up_to[f->kept++] = (uint32_t)i + 1;
  }
  return true;
}

/* The voxels of the box (flat, in the file) whose label is not 0; how many. voxel may be NULL. */
static size_t labelled(const Volume *volume, const Frame *frame, size_t *voxel) {
  size_t found = 0;
  int64_t step[3], start = frame_walk(frame, step);
  for (int d = 0; d < frame->box_dim[0]; d++)
    for (int h = 0; h < frame->box_dim[1]; h++) {
      int64_t at = start + d * step[0] + h * step[1];
      for (int w = 0; w < frame->box_dim[2]; w++, at += step[2]) {
        if (!volume->label.data[at]) continue;
        if (voxel) voxel[found] = (size_t)at;
        found++;
      }
    }
  return found;
}

static bool channels_take(Foreground *foreground, const Image *image, const size_t *voxel,
                          size_t found, int quota) {
  uint32_t *key = malloc(found * sizeof *key), *spare = malloc(found * sizeof *spare);
  bool good = key && spare;
  for (int channel = 0; good && channel < image->channels; channel++) {
    Foreground *f = &foreground[channel];
    for (size_t i = 0; i < found; i++)
      key[i] = key_of(image->data[voxel[i] * (size_t)image->channels + (size_t)channel]);
    uint32_t *sorted = keys_sort(key, spare, found);
    f->voxels = (uint32_t)found;
    moments_find(f, sorted);
    good = values_keep(f, sorted, quota);
  }
  free(key);
  free(spare);
  return good;
}

bool foreground_take(Foreground *foreground, const Volume *volume, const Frame *frame, int quota,
                     Error *error) {
  size_t found = labelled(volume, frame, NULL);
  memset(foreground, 0, (size_t)volume->image.channels * sizeof *foreground);
  if (!found) return true;
  size_t *voxel = malloc(found * sizeof *voxel);
  bool good = voxel != NULL;
  if (good) labelled(volume, frame, voxel);
  good = good && channels_take(foreground, &volume->image, voxel, found, quota);
  free(voxel);
  return good || fail(error, "out of memory for %zu foreground voxels", found);
}

void foreground_free(Foreground *foreground, int count) {
  for (int i = 0; i < count; i++) {
    free(foreground[i].key);
    free(foreground[i].up_to);
  }
}

/* The share of the case's voxels that are not above the key. */
static double share_up_to(const Foreground *f, uint32_t key) {
  int low = 0, high = f->kept; /* the first that is above */
  while (low < high) {
    int middle = low + (high - low) / 2;
    if (f->key[middle] > key)
      high = middle;
    else
      low = middle + 1;
  }
  if (!low) return 0;
  double count = f->up_to[low - 1];
  if (!f->all && low < f->kept) {
    double below = value_of(f->key[low - 1]), above = value_of(f->key[low]);
    count += (f->up_to[low] - count) * (value_of(key) - below) / (above - below);
  }
  return count / f->voxels;
}

/* The smallest value that is not below `share` of what `cases` cases hold, each counting alike. */
static double quantile(const Foreground *foreground, int cases, int stride, double share) {
  uint32_t low = 0, high = UINT32_MAX;
  while (low < high) {
    uint32_t middle = low + (high - low) / 2;
    double sum = 0, counted = 0;
    for (int i = 0; i < cases; i++) {
      const Foreground *f = &foreground[i * stride];
      if (!f->voxels) continue;
      sum += share_up_to(f, middle);
      counted++;
    }
    if (sum >= share * counted)
      high = middle;
    else
      low = middle + 1;
  }
  return value_of(low);
}

Intensity foreground_intensity(const Foreground *foreground, int cases, int stride) {
  Intensity in = {.least = HUGE_VAL, .most = -HUGE_VAL};
  double counted = 0, square = 0;
  for (int i = 0; i < cases; i++) {
    const Foreground *f = &foreground[i * stride];
    if (!f->voxels) continue;
    in.mean += (f->mean - in.mean) / ++counted;
    in.least = fmin(in.least, value_of(f->key[0]));
    in.most = fmax(in.most, value_of(f->key[f->kept - 1]));
  }
  if (counted == 0) return (Intensity){0};
  for (int i = 0; i < cases; i++) {
    const Foreground *f = &foreground[i * stride];
    if (f->voxels) square += f->variance + (f->mean - in.mean) * (f->mean - in.mean);
  }
  in.sd = sqrt(square / counted);
  in.median = quantile(foreground, cases, stride, 0.5);
  in.low = quantile(foreground, cases, stride, 0.005);
  in.high = quantile(foreground, cases, stride, 0.995);
  return in;
}
