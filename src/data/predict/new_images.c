#define _GNU_SOURCE
#include "src/data/predict/new_images.h"
#include "src/data/nifti/nifti_name.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

enum { SUFFIX = 5 }; /* _0000 */

/* The channel a name (of `length` characters, without ending) ends in, or -1. */
static int channel_of(const char *name, size_t length, int channels) {
  if (length <= SUFFIX || name[length - SUFFIX] != '_') return -1;
  int channel = 0;
  for (size_t i = length - SUFFIX + 1; i < length; i++) {
    if (name[i] < '0' || name[i] > '9') return -1;
    channel = channel * 10 + name[i] - '0';
  }
  return channel < channels ? channel : -1;
}

static Case *case_of(NewImages *images, const char *name, size_t length) {
  for (int i = 0; i < images->cases; i++)
    if (strlen(images->item[i].name) == length && !strncmp(images->item[i].name, name, length))
      return &images->item[i];
  images->item = realloc(images->item, ((size_t)images->cases + 1) * sizeof *images->item);
  CHECK(images->item, "no memory for %d cases", images->cases + 1);
  images->item[images->cases] = (Case){.name = strndup(name, length)};
  return &images->item[images->cases++];
}

/* All channels of a case in files of their own, `first` being one of them. */
static bool add_channels(NewImages *images, const char *first, int channels, Error *error) {
  const char *name = nifti_base(first);
  size_t stem = nifti_stem(name) - SUFFIX, folder = (size_t)(name - first);
  Case *item = case_of(images, name, stem);
  if (item->images) return true; /* by another of its channels */
  item->image = calloc((size_t)channels, sizeof *item->image);
  for (int channel = 0; channel < channels; channel++) {
    char **path = &item->image[channel];
    if (asprintf(path, "%.*s_%04d%s", (int)(folder + stem), first, channel, name + stem + SUFFIX) <
        0)
      abort();
    item->images++;
    if (access(*path, F_OK) != 0)
      return fail(error, "%s: channel %d of %s is missing; the trial was trained on %d", *path,
                  channel, item->name, channels);
  }
  return true;
}

static bool add(NewImages *images, const char *path, int channels, Error *error) {
  const char *name = nifti_base(path);
  size_t stem = nifti_stem(name);
  if (!stem) return fail(error, "%s: expected a name that ends in .nii.gz or .nii", path);
  if (channel_of(name, stem, channels) >= 0) return add_channels(images, path, channels, error);
  Case *item = case_of(images, name, stem);
  if (item->images) return fail(error, "%s and %s are the same case", item->image[0], path);
  item->image = calloc(1, sizeof *item->image);
  item->image[item->images++] = strdup(path);
  return true;
}

bool new_images_find(NewImages *images, const char *path, int channels, Error *error) {
  *images = (NewImages){0};
  if (!is_folder(path))
    return (access(path, F_OK) == 0 || fail(error, "%s: cannot open: %s", path, strerror(errno))) &&
           add(images, path, channels, error);
  struct dirent **entry = NULL;
  int count = nifti_list(path, &entry, error);
  bool good = count >= 0;
  for (int i = 0; good && i < count; i++) {
    char *file = NULL;
    if (asprintf(&file, "%s/%s", path, entry[i]->d_name) < 0) abort();
    good = add(images, file, channels, error);
    free(file);
  }
  nifti_list_free(entry, count);
  return good && (images->cases || fail(error, "%s: no image (.nii.gz, .nii) in the folder", path));
}

void new_images_free(NewImages *images) {
  for (int i = 0; i < images->cases; i++) {
    for (int k = 0; k < images->item[i].images; k++) free(images->item[i].image[k]);
    free(images->item[i].image);
    free(images->item[i].name);
  }
  free(images->item);
  *images = (NewImages){0};
}
