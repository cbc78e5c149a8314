#define _GNU_SOURCE /* asprintf */
#include "src/data/sets/case_files.h"

#include "src/data/volumes/volume_name.h"

#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

char *listed_path(const char *dir, const char *text) {
  if (text[0] == '/') return strdup(text);
  while (!strncmp(text, "./", 2))
    for (text += 2; *text == '/'; text++) continue;
  return path_join(dir, text);
}

char *case_name(const char *path) {
  const char *name = volume_base(path);
  size_t stem = volume_stem(name);
  return stem ? strndup(name, stem) : strdup(name);
}

void case_free(Case *item) {
  for (int i = 0; i < item->images; i++) free(item->image[i]);
  free(item->image);
  free(item->name);
  free(item->label);
}

bool case_whole(const Case *item, Problems *problems) {
  int before = problems->count;
  struct stat file;
  for (int i = 0; i < item->images + (item->label != NULL); i++) {
    const char *path = i < item->images ? item->image[i] : item->label;
    const char *role = i < item->images ? "image" : "label";
    if (access(path, R_OK) != 0 || stat(path, &file) != 0)
      problems_add(problems, "case %s: its %s %s is missing or not readable", item->name, role,
                   path);
    else if (!S_ISREG(file.st_mode)) /* whoever opens a pipe waits for ever */
      problems_add(problems, "case %s: its %s %s is %s", item->name, role, path,
                   S_ISDIR(file.st_mode) ? "a folder" : "a pipe or a device, not a file");
    else if (item->label && i < item->images && path_same(path, item->label))
      problems_add(problems, "case %s: its image %s is its label too", item->name, path);
  }
  return problems->count == before;
}

static bool same_file(const struct stat *a, const struct stat *b) {
  return a->st_dev == b->st_dev && a->st_ino == b->st_ino;
}

/* A file and the case whose first image it is. */
typedef struct Owner {
  struct stat file;
  const Case *item;
} Owner;

static int by_file(const void *a, const void *b) {
  const Owner *x = a, *y = b;
  if (x->file.st_dev != y->file.st_dev) return x->file.st_dev < y->file.st_dev ? -1 : 1;
  if (x->file.st_ino != y->file.st_ino) return x->file.st_ino < y->file.st_ino ? -1 : 1;
  return strcmp(x->item->name, y->item->name);
}

void cases_apart(const Dataset *dataset, Problems *problems) {
  Owner *owner = calloc((size_t)dataset->cases + 1, sizeof *owner);
  CHECK(owner, "out of memory for %d cases", dataset->cases);
  int count = 0;
  for (int i = 0; i < dataset->cases; i++)
    if (stat(dataset->item[i].image[0], &owner[count].file) == 0)
      owner[count++].item = &dataset->item[i];
  qsort(owner, (size_t)count, sizeof *owner, by_file);
  for (int i = 1; i < count; i++)
    if (same_file(&owner[i - 1].file, &owner[i].file))
      problems_add(problems, "cases %s and %s have the same image %s", owner[i - 1].item->name,
                   owner[i].item->name, owner[i].item->image[0]);
  free(owner);
}

static void image_add(Case *item, char *path) {
  item->image = realloc(item->image, (size_t)(item->images + 1) * sizeof *item->image);
  CHECK(item->image, "out of memory for %d images", item->images + 1);
  item->image[item->images++] = path;
}

/* The file of a channel beside `path`: its ending, `stem` characters, and the channel's number. */
static char *channel_path(const char *path, size_t stem, int channel, const char *ending) {
  char *file = NULL;
  if (asprintf(&file, "%.*s_%04d%s", (int)stem, path, channel, ending) < 0) abort();
  return file;
}

/* Whether the channel is in a file of its own. */
static bool channel_there(const char *path, size_t stem, int channel, const char *ending) {
  char *file = channel_path(path, stem, channel, ending);
  bool there = access(file, F_OK) == 0;
  free(file);
  return there;
}

/* Takes the path. */
static void image_of_path(Case *item, char *path, int channels) {
  const char *name = volume_base(path);
  size_t stem = volume_stem(name), folder = (size_t)(name - path);
  const char *ending = name + stem;
  bool first = channels > 1 && channel_number(name, stem) == 0;
  size_t length = folder + stem - (first ? CHANNEL_SUFFIX : 0);
  bool parts = stem && (first ? channel_there(path, length, 1, ending)
                              : access(path, F_OK) && channel_there(path, length, 0, ending));
  for (int channel = 0; parts && channel < channels; channel++) {
    if (channel && is_picture(name) && !channel_there(path, length, channel, ending))
      break; /* a picture may bring several channels */
    image_add(item, channel_path(path, length, channel, ending));
  }
  if (parts)
    free(path);
  else
    image_add(item, path);
}

const char *listed_label(const json_t *label) {
  return json_string_value(json_array_size(label) == 1 ? json_array_get(label, 0) : label);
}

bool listed_images(Case *item, const char *dir, const json_t *image, int channels) {
  size_t count = json_array_size(image), i;
  json_t *part;
  if (json_is_array(image) && count == 1) image = json_array_get(image, 0);
  if (json_is_string(image)) {
    image_of_path(item, listed_path(dir, json_string_value(image)), channels);
    return true;
  }
  json_array_foreach((json_t *)image, i, part) {
    if (!json_is_string(part)) return false;
    image_add(item, listed_path(dir, json_string_value(part)));
  }
  return count > 0 && count == (size_t)channels;
}
