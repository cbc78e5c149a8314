#include "src/data/sampler.h"
#include "src/data/intensity.h"

#include <math.h>

enum { POSITIONS_MAX = 10000 };

typedef struct ClassVoxels {
  uint32_t *position; /* flat index into (D,H,W) */
  int count;
} ClassVoxels;

typedef struct SampledCase {
  ClassVoxels *of; /* (labels), [0] unused */
  int *present;    /* labels above 0 that the case holds */
  int presents;
} SampledCase;

struct Sampler {
  SamplerOptions options;
  const Volume *volume;
  SampledCase *item;
  int count, labels, channels;
};

/* Knuth's selection sampling: each voxel of the label is kept with equal chance, order stays. */
static void positions_pick(ClassVoxels *voxels, const LabelMap *map, int label, uint32_t total,
                           Rng *rng) {
  uint32_t wanted = total < POSITIONS_MAX ? total : POSITIONS_MAX, left = total;
  voxels->position = malloc(wanted * sizeof(uint32_t));
  CHECK(voxels->position, "out of memory for voxel positions");
  for (size_t i = 0; voxels->count < (int)wanted; i++) {
    if (map->data[i] != label) continue;
    uint32_t missing = wanted - (uint32_t)voxels->count;
    if (missing == left || rng_below(rng, left) < missing)
      voxels->position[voxels->count++] = (uint32_t)i;
    left--;
  }
}

static void case_index(SampledCase *item, const LabelMap *map, int labels, Rng *rng) {
  uint32_t total[256] = {0};
  size_t voxels = grid_voxels(&map->grid);
  for (size_t i = 0; i < voxels; i++) total[map->data[i]]++;
  item->of = calloc((size_t)labels, sizeof *item->of);
  item->present = calloc((size_t)labels, sizeof *item->present);
  CHECK(item->of && item->present, "out of memory for voxel positions");
  for (int label = 1; label < labels; label++) {
    if (!total[label]) continue;
    item->present[item->presents++] = label;
    positions_pick(&item->of[label], map, label, total[label], rng);
  }
}

static bool options_check(const SamplerOptions *options, const Volume *volumes, int count,
                          Error *error) {
  if (count < 1) return fail(error, "no case to sample from");
  if (options->batch < 1) return fail(error, "batch = %d: expected at least 1", options->batch);
  for (int axis = 0; axis < 3; axis++)
    if (options->patch[axis] < 1 || options->patch[axis] > PATCH_EDGE_MAX)
      return fail(error, "patch = %dx%dx%d: every edge must be from 1 to %d", options->patch[0],
                  options->patch[1], options->patch[2], PATCH_EDGE_MAX);
  if (options->foreground < 0 || options->foreground > 1)
    return fail(error, "foreground = %g: expected a share from 0 to 1", options->foreground);
  for (int i = 0; i < count; i++) {
    if (volumes[i].image.channels != volumes[0].image.channels)
      return fail(error, "case %s has %d channels, case %s has %d", volumes[i].name,
                  volumes[i].image.channels, volumes[0].name, volumes[0].image.channels);
    if (grid_voxels(&volumes[i].label.grid) > UINT32_MAX)
      return fail(error, "case %s has more than 2^32 voxels", volumes[i].name);
  }
  return true;
}

bool sampler_make(Sampler **out, const Volume *volumes, int count, int labels,
                  const SamplerOptions *options, Error *error) {
  *out = NULL;
  if (!options_check(options, volumes, count, error)) return false;
  Sampler *sampler = calloc(1, sizeof *sampler);
  CHECK(sampler, "out of memory");
  *sampler = (Sampler){.options = *options,
                       .volume = volumes,
                       .count = count,
                       .labels = labels,
                       .channels = volumes[0].image.channels,
                       .item = calloc((size_t)count, sizeof(SampledCase))};
  for (int i = 0; i < count; i++) {
    /* Items from the top: batches count up from 0 and never meet them. */
    Rng rng = rng_make(options->seed, RNG_BATCH, UINT64_MAX - (uint64_t)i);
    case_index(&sampler->item[i], &volumes[i].label, labels, &rng);
  }
  *out = sampler;
  return true;
}

void sampler_free(Sampler *sampler) {
  if (!sampler) return;
  for (int i = 0; i < sampler->count; i++) {
    for (int label = 0; label < sampler->labels; label++) free(sampler->item[i].of[label].position);
    free(sampler->item[i].of);
    free(sampler->item[i].present);
  }
  free(sampler->item);
  free(sampler);
}

/* nnU-Net: sample i is forced when i >= round(N * (1 - share)). */
static bool is_forced(const SamplerOptions *options, int sample, Rng *rng) {
  double chance = rng_uniform(rng);
  if (options->batch == 1) return chance < options->foreground;
  return sample >= (int)rint(options->batch * (1 - options->foreground));
}

static void origin_random(const int dim[3], const int patch[3], Rng *rng, int origin[3]) {
  for (int axis = 0; axis < 3; axis++) {
    int room = dim[axis] - patch[axis];
    if (room >= 0)
      origin[axis] = (int)rng_below(rng, (uint32_t)room + 1);
    else
      origin[axis] = -(-room / 2) - (-room % 2 ? (int)rng_below(rng, 2) : 0);
  }
}

/* Moves an origin that was centred on a voxel back inside, for the axes where the patch fits. */
static void origin_centred(const int dim[3], const int patch[3], uint32_t position, int origin[3]) {
  int voxel[3] = {(int)(position / (uint32_t)dim[2] / (uint32_t)dim[1]),
                  (int)(position / (uint32_t)dim[2] % (uint32_t)dim[1]),
                  (int)(position % (uint32_t)dim[2])};
  for (int axis = 0; axis < 3; axis++) {
    int room = dim[axis] - patch[axis], wanted = voxel[axis] - patch[axis] / 2;
    if (room < 0) continue; /* the random origin already pads evenly */
    origin[axis] = wanted < 0 ? 0 : wanted > room ? room : wanted;
  }
}

static void sample(const Sampler *sampler, uint64_t item, int index, float *scratch, float *image,
                   int32_t *label) {
  const SamplerOptions *options = &sampler->options;
  Rng rng = rng_make(options->seed, RNG_BATCH, item);
  bool forced = is_forced(options, index, &rng);
  uint32_t chosen = rng_below(&rng, (uint32_t)sampler->count);
  const Volume *volume = &sampler->volume[chosen];
  const SampledCase *known = &sampler->item[chosen];
  int origin[3];
  origin_random(volume->image.grid.dim, options->patch, &rng, origin);
  if (forced && known->presents) {
    int class = known->present[rng_below(&rng, (uint32_t)known->presents)];
    const ClassVoxels *voxels = &known->of[class];
    origin_centred(volume->image.grid.dim, options->patch,
                   voxels->position[rng_below(&rng, (uint32_t)voxels->count)], origin);
  }
  Rng change = rng_make(options->seed, RNG_AUGMENT, item);
  Warp warp = augment_warp(&options->augment, options->patch, &change);
  warp_read(&warp, volume, origin, options->patch, image, label);
  augment_intensity(&options->augment, options->patch, sampler->channels, &change, scratch, image);
}

SamplerSize sampler_size(const Sampler *sampler) {
  const SamplerOptions *options = &sampler->options;
  size_t patch = (size_t)options->patch[0] * (size_t)options->patch[1] * (size_t)options->patch[2];
  size_t labels = patch * (size_t)options->batch;
  return (SamplerSize){.image = labels * (size_t)sampler->channels,
                       .label = labels,
                       .scratch =
                           augment_scratch(&options->augment, options->patch, sampler->channels)};
}

void sampler_batch(const Sampler *sampler, uint64_t step, float *scratch, float *image,
                   int32_t *label) {
  const SamplerOptions *options = &sampler->options;
  SamplerSize size = sampler_size(sampler);
  size_t values = size.image / (size_t)options->batch, voxels = size.label / (size_t)options->batch;
  for (int i = 0; i < options->batch; i++)
    sample(sampler, step * (uint64_t)options->batch + (uint64_t)i, i, scratch,
           image + (size_t)i * values, label + (size_t)i * voxels);
}
