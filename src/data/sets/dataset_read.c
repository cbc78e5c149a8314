/* The volumes of a data set, case by case, and the hash of all (dataset.h). */
#define XXH_STATIC_LINKING_ONLY /* the size of a state */
#include "src/data/sets/dataset_geometry.h"
#include "src/data/sets/problems.h"
#include "src/data/sets/scheme.h"
#include "src/data/volumes/volume_format.h"

#include <errno.h>
#include <string.h>
#include <xxhash.h>

/* A picture's alpha is taken away where it says nothing, being the same everywhere. */
static bool alpha_drop(Image *image, const char *path, Error *error) {
  size_t pixels = grid_voxels(&image->grid), held = (size_t)image->channels, kept = held - 1;
  for (size_t i = 1; i < pixels; i++)
    if (image->data[i * held + kept] != image->data[kept])
      return fail(error,
                  "%s: has %zu channel(s) and alpha, which is not the same everywhere; save it "
                  "without alpha, or name alpha as a channel in dataset.json",
                  path, kept);
  for (size_t i = 0; i < pixels; i++)
    for (size_t c = 0; c < kept; c++) image->data[i * kept + c] = image->data[i * held + c];
  image->channels = (int)kept;
  image->grid.remarks &= ~(unsigned)GRID_ALPHA;
  return true;
}

static bool part_read(Image *image, const char *path, bool alpha, Error *error) {
  if (!image_read(image, path, error)) return false;
  if (alpha || !(image->grid.remarks & GRID_ALPHA) || alpha_drop(image, path, error)) return true;
  image_free(image);
  return false;
}

/* What the files of a case hold, put side by side on the grid of the first: a channel each, or, of
 * pictures in fewer files, as many as each has. */
static bool channels_join(int channels, const Case *item, bool alpha, Image *image, Error *error) {
  int at = 0;
  for (int file = 0; file < item->images; file++) {
    Image one;
    const char *path = item->image[file];
    if (!part_read(&one, path, alpha, error)) return false;
    bool fine = item->images == channels ? one.channels == 1 : at + one.channels <= channels;
    if (!fine) fail(error, "%s: expected one channel per file, found %d", path, one.channels);
    if (fine && file == 0) fine = image_alloc(image, &one.grid, channels, error);
    fine = fine && image_onto((Placed){&image->grid, item->image[0]}, &one, path, error);
    size_t voxels = fine ? grid_voxels(&one.grid) : 0;
    for (size_t i = 0; i < voxels; i++)
      memcpy(image->data + i * (size_t)channels + at, one.data + i * (size_t)one.channels,
             (size_t)one.channels * sizeof *one.data);
    at += one.channels;
    image_free(&one);
    if (!fine) return false;
  }
  return at == channels || fail(error, "%s and %d more: %d channel(s), expected %d", item->image[0],
                                item->images - 1, at, channels);
}

/* Whether alpha is among the channels that are named: then they are as many as the files hold. */
static bool alpha_is_named(const Case *item, int channels) {
  int sum = 0;
  for (int i = 0; i < item->images; i++) {
    Grid grid;
    int held;
    Error untold = {""}; /* until it is read */
    if (!is_picture(item->image[i]) || !volume_inspect(item->image[i], &grid, &held, &untold))
      return false;
    sum += held;
  }
  return sum == channels;
}

bool case_image(const Case *item, int channels, Image *image, Error *error) {
  *image = (Image){0};
  bool alpha = alpha_is_named(item, channels);
  bool good = item->images > 1 ? channels_join(channels, item, alpha, image, error)
                               : part_read(image, item->image[0], alpha, error);
  if (good && image->channels != channels)
    good = fail(
        error, "%s: %d channel(s), expected %d%s", item->image[0], image->channels, channels,
        is_picture(item->image[0]) ? "; \"channel_names\" of dataset.json names all: three of a "
                                     "picture with colours, or one a file (NAME_0000, "
                                     "NAME_0001, ...)"
                                   : "");
  if (!good) image_free(image);
  return good;
}

static bool labels_known(const Dataset *dataset, const Case *item, const LabelMap *label,
                         Error *error) {
  int64_t count[256] = {0};
  size_t voxels = grid_voxels(&label->grid);
  for (size_t i = 0; i < voxels; i++) count[label->data[i]]++;
  char list[256] = "";
  size_t used = 0;
  for (int value = dataset->labelling.values; value < 256; value++)
    if (count[value] && used + 40 < sizeof list)
      used += (size_t)snprintf(list + used, sizeof list - used, "%s%d (%lld voxels)",
                               used ? ", " : "", value, (long long)count[value]);
  if (!used) return true;
  bool mask =
      dataset->labelling.values == 2 && count[255] && count[0] + count[255] == (int64_t)voxels;
  return fail(error, "%s: holds values that dataset.json does not name: %s; known are 0..%d%s",
              item->label, list, dataset->labelling.values - 1,
              mask ? "; a mask of 0 and 255: write 1 in place of 255" : "");
}

/* An image with one value has nothing to learn from, and no sd to divide by. */
static bool image_varies(const Case *item, const Image *image, Error *error) {
  if (!image_is_constant(image)) return true;
  return fail(error, "%s: every voxel of the image is %g: there is nothing to learn from",
              item->image[0], image->data[0]);
}

static bool schemes_take(const Dataset *dataset, const Case *item, const Image *image,
                         Error *error) {
  for (int i = 0; i < dataset->channels; i++) {
    Error inner = {""};
    if (!scheme_takes(scheme_of_channel(dataset->channel_name[i]), image, i, &inner))
      return fail(error, "%s: %s", item->image[i < item->images ? i : 0], inner.text);
  }
  return true;
}

bool dataset_read(const Dataset *dataset, int index, Volume *volume, Error *error) {
  const Case *item = &dataset->item[index];
  *volume = (Volume){.name = item->name};
  if (case_image(item, dataset->channels, &volume->image, error) &&
      label_read(&volume->label, item->label, error) &&
      label_onto((Placed){&volume->image.grid, item->image[0]}, &volume->label, item->label,
                 error) &&
      labels_known(dataset, item, &volume->label, error) &&
      image_varies(item, &volume->image, error) &&
      schemes_take(dataset, item, &volume->image, error))
    return true;
  volume_free(volume, 1);
  return false;
}

bool dataset_label(const Dataset *dataset, int index, LabelMap *label, Error *error) {
  const Case *item = &dataset->item[index];
  Grid image;
  int channels;
  if (!volume_inspect(item->image[0], &image, &channels, error)) return false;
  if (!label_read(label, item->label, error)) return false;
  if (label_onto((Placed){&image, item->image[0]}, label, item->label, error) &&
      labels_known(dataset, item, label, error))
    return true;
  label_free(label);
  return false;
}

bool dataset_load(const Dataset *dataset, const int *index, int count, Volume *volume,
                  Error *error) {
  for (int i = 0; i < count; i++) {
    if (dataset_read(dataset, index[i], &volume[i], error)) continue;
    volume_free(volume, i);
    return false;
  }
  return true;
}

void volume_free(Volume *volume, int count) {
  for (int i = 0; i < count; i++) {
    image_free(&volume[i].image);
    label_free(&volume[i].label);
  }
}

/* Name without folder, size, bytes: moving the data set keeps its identity. */
static bool hash_file(XXH3_state_t *state, const char *path, bool required, Error *error) {
  static _Thread_local char chunk[1 << 16];
  FILE *file = fopen(path, "rb");
  if (!file) return !required || fail(error, "%s: cannot open: %s", path, strerror(errno));
  const char *slash = strrchr(path, '/');
  const char *name = slash ? slash + 1 : path;
  XXH3_128bits_update(state, name, strlen(name) + 1);
  uint64_t size = 0;
  for (size_t got; (got = fread(chunk, 1, sizeof chunk, file)); size += got)
    XXH3_128bits_update(state, chunk, got);
  bool fine = !ferror(file);
  fclose(file);
  XXH3_128bits_update(state, &size, sizeof size);
  return fine || fail(error, "%s: cannot read: %s", path, strerror(errno));
}

static bool hash_named(XXH3_state_t *state, const Dataset *dataset, const char *name, bool required,
                       Error *error) {
  char *path = path_join(dataset->dir, name);
  bool fine = hash_file(state, path, required, error);
  free(path);
  return fine;
}

/* Earlier trials took such files as they are stored, and lengths as mm. */
static const char geometry_read[] = "turned by headers, lengths in mm";

bool dataset_hash(const Dataset *dataset, char hex[DATASET_HASH_BYTES], Error *error) {
  XXH3_state_t state;
  XXH3_INITSTATE(&state);
  XXH3_128bits_reset(&state);
  if (!hash_named(&state, dataset, "dataset.json", true, error)) return false;
  if (!hash_named(&state, dataset, "splits_final.json", false, error)) return false;
  for (int i = 0; i < dataset->cases; i++) {
    const Case *item = &dataset->item[i];
    for (int k = 0; k < item->images; k++)
      if (!hash_file(&state, item->image[k], true, error)) return false;
    if (!hash_file(&state, item->label, true, error)) return false;
  }
  DatasetGeometry geometry;
  Error mixed = {""};
  if (!dataset_geometry(dataset, &geometry, &mixed) || geometry_matters(&geometry, dataset->cases))
    XXH3_128bits_update(&state, geometry_read, sizeof geometry_read);
  XXH128_hash_t hash = XXH3_128bits_digest(&state);
  snprintf(hex, DATASET_HASH_BYTES, "%016llx%016llx", (unsigned long long)hash.high64,
           (unsigned long long)hash.low64);
  return true;
}
