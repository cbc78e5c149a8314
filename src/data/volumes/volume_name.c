#define _GNU_SOURCE
#include "src/data/volumes/volume_name.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>

bool is_folder(const char *path) {
  struct stat about;
  return stat(path, &about) == 0 && S_ISDIR(about.st_mode);
}

const char *volume_base(const char *path) {
  const char *slash = strrchr(path, '/');
  return slash ? slash + 1 : path;
}

size_t volume_stem(const char *name) {
  const char *ending;
  return volume_format(name, &ending) ? (size_t)(ending - name) : 0;
}

int channel_number(const char *name, size_t length) {
  if (length <= CHANNEL_SUFFIX || name[length - CHANNEL_SUFFIX] != '_') return -1;
  for (size_t i = length - CHANNEL_SUFFIX + 1; i < length; i++)
    if (!isdigit((unsigned char)name[i])) return -1;
  return atoi(name + length - CHANNEL_SUFFIX + 1);
}

static const char *one_of(const char *name, const char *const *end, size_t ends) {
  size_t length = strlen(name);
  for (size_t i = 0; i < ends; i++) {
    size_t bytes = strlen(end[i]);
    if (length > bytes && !strcasecmp(name + length - bytes, end[i])) return name + length - bytes;
  }
  return NULL;
}

const char *volume_ending(const char *name) {
  static const char *const ends[] = {".nii.gz", ".nii", ".nii.bz2", ".nrrd",   ".nhdr",
                                     ".mha",    ".mhd", ".hdr",     ".hdr.gz", ".img",
                                     ".img.gz", ".mgz", ".mgh",     ".mnc",    ".dcm"};
  return one_of(name, ends, sizeof ends / sizeof *ends);
}

const char *picture_ending(const char *name) {
  static const char *const ends[] = {".png",  ".jpg", ".jpeg", ".bmp", ".tif",
                                     ".tiff", ".gif", ".webp", ".jp2"};
  return one_of(name, ends, sizeof ends / sizeof *ends);
}

static const char *ending_of(const char *name) {
  const char *medical = volume_ending(name);
  return medical ? medical : picture_ending(name);
}

static int volume_file(const struct dirent *entry) {
  return entry->d_name[0] != '.' && volume_ending(entry->d_name);
}

static int picture_file(const struct dirent *entry) {
  return entry->d_name[0] != '.' && picture_ending(entry->d_name);
}

/* By the names without ending, so that "a.nii", "a.nii.gz" and "a.nrrd" are neighbours. */
static int by_stem(const struct dirent **a, const struct dirent **b) {
  const char *x = (*a)->d_name, *y = (*b)->d_name;
  size_t p = (size_t)(ending_of(x) - x), q = (size_t)(ending_of(y) - y);
  int order = memcmp(x, y, p < q ? p : q);
  return order ? order : p != q ? (p > q) - (p < q) : strcmp(x + p, y + q);
}

static bool same_stem(const char *a, const char *b) {
  size_t length = (size_t)(ending_of(a) - a);
  return length == (size_t)(ending_of(b) - b) && !strncmp(a, b, length);
}

/* Every volume of the folder in the order of by_stem, and what is wrong with them. */
typedef struct Volumes {
  struct dirent **entry;
  int count;
  const char *twin[2]; /* two files of one case that are read; NULL: none */
  const char *strange; /* the first without a file of its name that is read; NULL: none */
  int strangers;
} Volumes;

static bool volumes_list(Volumes *v, const char *folder, Error *error) {
  *v = (Volumes){0};
  v->count = scandir(folder, &v->entry, volume_file, by_stem);
  if (v->count == 0) {
    free(v->entry);
    v->count = scandir(folder, &v->entry, picture_file, by_stem);
  }
  if (v->count < 0) return fail(error, "%s: cannot list the folder: %s", folder, strerror(errno));
  for (int i = 0, past; i < v->count; i = past) {
    const char *known = NULL;
    for (past = i; past < v->count; past++) {
      const char *name = v->entry[past]->d_name;
      if (!same_stem(v->entry[i]->d_name, name)) break;
      if (!volume_stem(name)) continue;
      if (known && !v->twin[0]) v->twin[0] = known, v->twin[1] = name;
      known = name;
    }
    if (known) continue;
    if (!v->strange) v->strange = v->entry[i]->d_name;
    v->strangers += past - i;
  }
  return true;
}

static bool twins_refuse(const Volumes *v, const char *folder, Error *error) {
  return !v->twin[0] || fail(error, "%s/%s and %s/%s are the same case; take one of them away",
                             folder, v->twin[0], folder, v->twin[1]);
}

bool volume_twins(const char *folder, Error *error) {
  Volumes v;
  bool good = volumes_list(&v, folder, error) && twins_refuse(&v, folder, error);
  volume_list_free(v.entry, v.count);
  return good;
}

static int by_name(const void *a, const void *b) {
  return strcmp((*(struct dirent *const *)a)->d_name, (*(struct dirent *const *)b)->d_name);
}

int volume_list(const char *folder, struct dirent ***entry, Error *error) {
  Volumes v;
  int kept = 0;
  bool good =
      volumes_list(&v, folder, error) && twins_refuse(&v, folder, error) &&
      (!v.strange || fail(error, "%s: %d volume(s) are of another format, first %s; " FORMATS_ALONE,
                          folder, v.strangers, v.strange));
  for (int i = 0; i < v.count; i++) {
    if (good && volume_stem(v.entry[i]->d_name))
      v.entry[kept++] = v.entry[i];
    else
      free(v.entry[i]);
  }
  if (!good) free(v.entry);
  *entry = good ? v.entry : NULL;
  if (kept) qsort(*entry, (size_t)kept, sizeof **entry, by_name);
  return good ? kept : -1;
}

void volume_list_free(struct dirent **entry, int count) {
  for (int i = 0; i < count; i++) free(entry[i]);
  if (count >= 0) free(entry);
}
