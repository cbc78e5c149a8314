#include "src/data/batches/sampler.h"
#include "src/data/batches/intensity.h"

#include <math.h>

enum { POSITIONS_MAX = 10000 };

typedef struct ClassVoxels {
  const uint32_t *position; /* flat index into (D,H,W) */
  int count;
} ClassVoxels;

typedef struct SampledCase {
  Voxels voxels;
  ClassVoxels *of; /* (labels); [0]: what is annotated, where not all is */
  int *present;    /* labels above 0 that the case holds */
  int presents;
  uint32_t *picked; /* what `of` points into; NULL: into the cache */
} SampledCase;

struct Sampler {
  SamplerOptions options;
  Labelling labelling;
  int32_t target[LABEL_VALUES];
  SampledCase *item;
  int count, channels;
};

/* Knuth's selection sampling: each voxel of the structure is kept with equal chance, order
 * stays. */
static void positions_pick(const LabelMap *map, const bool *centres, uint32_t total, Rng *rng,
                           uint32_t wanted, uint32_t *position) {
  uint32_t count = 0, left = total;
  for (size_t i = 0; count < wanted; i++) {
    if (!centres[map->data[i]]) continue;
    uint32_t missing = wanted - count;
    if (missing == left || rng_below(rng, left) < missing) position[count++] = (uint32_t)i;
    left--;
  }
}

static void item_alloc(SampledCase *item, int labels) {
  item->of = calloc((size_t)labels, sizeof *item->of);
  item->present = calloc((size_t)labels, sizeof *item->present);
  CHECK(item->of && item->present, "out of memory for voxel positions");
}

/* centres: by value, those of a structure; returns how many voxels that are. */
static uint32_t centres_of(const Labelling *labelling, int structure, const uint32_t *count,
                           bool centres[LABEL_VALUES]) {
  uint32_t total = 0;
  for (int value = 0; value < LABEL_VALUES; value++) {
    centres[value] = value < labelling->values && labelling_centres(labelling, structure, value);
    total += centres[value] ? count[value] : 0;
  }
  return total;
}

static void item_volume(SampledCase *item, const Volume *volume, const Labelling *labelling,
                        Rng *rng) {
  const LabelMap *map = &volume->label;
  uint32_t count[LABEL_VALUES] = {0}, wanted[LABEL_VALUES] = {0}, all = 0;
  size_t voxels = grid_voxels(&map->grid);
  int labels = labelling_structures(labelling);
  bool centres[LABEL_VALUES];
  item_alloc(item, labels);
  item->voxels = volume_voxels(volume);
  for (size_t i = 0; i < voxels; i++) count[map->data[i]]++;
  for (int label = 0; label < labels; label++) {
    uint32_t total = centres_of(labelling, label, count, centres);
    all += wanted[label] = total < POSITIONS_MAX ? total : POSITIONS_MAX;
  }
  uint32_t *position = item->picked = malloc(all * sizeof *position + 1);
  CHECK(position, "out of memory for voxel positions");
  for (int label = 0; label < labels; label++) {
    if (!wanted[label]) continue;
    if (label) item->present[item->presents++] = label;
    uint32_t total = centres_of(labelling, label, count, centres);
    positions_pick(map, centres, total, rng, wanted[label], position);
    item->of[label] = (ClassVoxels){position, (int)wanted[label]};
    position += wanted[label];
  }
}

static void item_mapped(SampledCase *item, const Cached *cached) {
  item_alloc(item, cached->labels);
  item->voxels =
      (Voxels){.channels = cached->channels, .half = cached->image, .label = cached->label};
  for (int axis = 0; axis < 3; axis++) item->voxels.dim[axis] = cached->frame.dim[axis];
  for (int label = 0; label < cached->labels; label++) {
    if (!cached->count[label]) continue;
    if (label) item->present[item->presents++] = label;
    item->of[label] = (ClassVoxels){cached->position[label], (int)cached->count[label]};
  }
}

static bool options_check(const SamplerOptions *options, int count, Error *error) {
  if (count < 1) return fail(error, "no case to sample from");
  if (options->batch < 1) return fail(error, "batch = %d: expected at least 1", options->batch);
  for (int axis = 0; axis < 3; axis++)
    if (options->patch[axis] < 1 || options->patch[axis] > PATCH_EDGE_MAX)
      return fail(error, "patch = %dx%dx%d: every edge must be from 1 to %d", options->patch[0],
                  options->patch[1], options->patch[2], PATCH_EDGE_MAX);
  if (options->augment.picture && options->patch[0] != 1)
    return fail(error, "augment = qtseg is for pictures, a patch of 1,H,W; found %d,%d,%d",
                options->patch[0], options->patch[1], options->patch[2]);
  if (options->foreground < 0 || options->foreground > 1)
    return fail(error, "foreground = %g: expected a share from 0 to 1", options->foreground);
  return true;
}

static Sampler *sampler_alloc(const SamplerOptions *options, int labels, int count, int channels) {
  CHECK(count > 0, "%d cases", count);
  Sampler *sampler = calloc(1, sizeof *sampler);
  SampledCase *item = calloc((size_t)count, sizeof *item);
  CHECK(sampler && item, "out of memory");
  *sampler = (Sampler){.options = *options, .count = count, .channels = channels, .item = item};
  sampler->labelling = options->labelling ? *options->labelling : labelling_plain(labels);
  labelling_targets(&sampler->labelling, sampler->target);
  return sampler;
}

bool sampler_make(Sampler **out, const Volume *volumes, int count, int labels,
                  const SamplerOptions *options, Error *error) {
  *out = NULL;
  if (!options_check(options, count, error)) return false;
  for (int i = 0; i < count; i++) {
    if (volumes[i].image.channels != volumes[0].image.channels)
      return fail(error, "case %s has %d channels, case %s has %d", volumes[i].name,
                  volumes[i].image.channels, volumes[0].name, volumes[0].image.channels);
    if (grid_voxels(&volumes[i].label.grid) > UINT32_MAX)
      return fail(error, "case %s has more than 2^32 voxels", volumes[i].name);
  }
  *out = sampler_alloc(options, labels, count, volumes[0].image.channels);
  for (int i = 0; i < count; i++) {
    /* Items from the top: batches count up from 0 and never meet them. */
    Rng rng = rng_make(options->seed, RNG_BATCH, UINT64_MAX - (uint64_t)i);
    item_volume(&(*out)->item[i], &volumes[i], &(*out)->labelling, &rng);
  }
  return true;
}

bool sampler_make_mapped(Sampler **out, const Cached *cached, int count,
                         const SamplerOptions *options, Error *error) {
  *out = NULL;
  if (!options_check(options, count, error)) return false;
  for (int i = 0; i < count; i++)
    if (cached[i].channels != cached[0].channels || cached[i].labels != cached[0].labels)
      return fail(error, "cached case %d has %d channels and %d labels, case 1 has %d and %d",
                  i + 1, cached[i].channels, cached[i].labels, cached[0].channels,
                  cached[0].labels);
  *out = sampler_alloc(options, cached[0].labels, count, cached[0].channels);
  for (int i = 0; i < count; i++) item_mapped(&(*out)->item[i], &cached[i]);
  return true;
}

void sampler_free(Sampler *sampler) {
  if (!sampler) return;
  for (int i = 0; i < sampler->count; i++) {
    free(sampler->item[i].of);
    free(sampler->item[i].present);
    free(sampler->item[i].picked);
  }
  free(sampler->item);
  free(sampler);
}

bool sampler_teaches(const Sampler *sampler) {
  bool teaches = !sampler->labelling.ignore;
  for (int i = 0; i < sampler->count; i++) teaches |= sampler->item[i].of[0].count > 0;
  return teaches;
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

SampleDraw sampler_draw(const Sampler *sampler, uint64_t step, int index) {
  const SamplerOptions *options = &sampler->options;
  uint64_t item = step * (uint64_t)options->batch + (uint64_t)index;
  Rng rng = rng_make(options->seed, RNG_BATCH, item);
  bool forced = is_forced(options, index, &rng);
  SampleDraw draw = {.item = (int)rng_below(&rng, (uint32_t)sampler->count),
                     .change = rng_make(options->seed, RNG_AUGMENT, item)};
  const SampledCase *known = &sampler->item[draw.item];
  const int *dim = known->voxels.dim;
  origin_random(dim, options->patch, &rng, draw.origin);
  if ((forced && known->presents) || known->of[0].count) {
    bool of_class = forced && known->presents;
    int class = of_class ? known->present[rng_below(&rng, (uint32_t)known->presents)] : 0;
    const ClassVoxels *voxels = &known->of[class];
    origin_centred(dim, options->patch, voxels->position[rng_below(&rng, (uint32_t)voxels->count)],
                   draw.origin);
  }
  draw.warp = augment_warp(&options->augment, options->patch, &draw.change);
  return draw;
}

const SamplerOptions *sampler_options(const Sampler *sampler) {
  return &sampler->options;
}

int sampler_cases(const Sampler *sampler) {
  return sampler->count;
}

const Voxels *sampler_case(const Sampler *sampler, int index) {
  return &sampler->item[index].voxels;
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

const int32_t *sampler_targets(const Sampler *sampler) {
  return labelling_is_plain(&sampler->labelling) ? NULL : sampler->target;
}

void sampler_batch(const Sampler *sampler, uint64_t step, float *scratch, float *image,
                   int32_t *label) {
  const SamplerOptions *options = &sampler->options;
  SamplerSize size = sampler_size(sampler);
  size_t values = size.image / (size_t)options->batch, voxels = size.label / (size_t)options->batch;
  for (int i = 0; i < options->batch; i++, image += values, label += voxels) {
    SampleDraw draw = sampler_draw(sampler, step, i);
    warp_read(&draw.warp, sampler_case(sampler, draw.item), draw.origin, options->patch, image,
              label);
    const int32_t *target = sampler_targets(sampler);
    for (size_t k = 0; target && k < voxels; k++) label[k] = target[label[k]];
    augment_patch(&options->augment, options->patch, sampler->channels, &draw.change, scratch,
                  image, label);
  }
}
