#define _GNU_SOURCE
#include "src/data/predict/new_images.h"
#include "src/data/sets/case_files.h"
#include "src/data/volumes/volume_name.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

/* A file to predict. */
typedef struct File {
  char *path;
  size_t folder, stem; /* lengths: of what stands before the name, of the name without ending */
  int channel;         /* the number the name ends in; -1: none, or it is no channel's */
  bool whole;          /* the file holds every channel of several */
} File;

typedef struct Files {
  File *item;
  int count;
} Files;

/* Takes the path. */
static bool file_add(Files *files, char *path, int channels, Error *error) {
  const char *name = volume_base(path);
  File file = {.path = path, .folder = (size_t)(name - path), .stem = volume_stem(name)};
  files->item = realloc(files->item, ((size_t)files->count + 1) * sizeof *files->item);
  CHECK(files->item, "no memory for %d files", files->count + 1);
  Error unread = {""};
  Grid grid;
  int held;
  file.channel = channel_number(name, file.stem);
  if (file.channel >= 0 && channels > 1 && volume_inspect(path, &grid, &held, &unread))
    file.whole = held == channels || (grid.remarks & GRID_ALPHA && held - 1 == channels);
  files->item[files->count++] = file;
  return file.stem || fail(error, "%s: " FORMATS_ALONE, path);
}

static bool files_find(Files *files, const char *path, int channels, Error *error) {
  if (!is_folder(path))
    return access(path, F_OK) == 0 ? file_add(files, strdup(path), channels, error)
                                   : fail(error, "%s: cannot open: %s", path, strerror(errno));
  struct dirent **entry = NULL;
  int count = volume_list(path, &entry, error);
  bool good = count >= 0;
  for (int i = 0; good && i < count; i++)
    good = file_add(files, path_join(path, entry[i]->d_name), channels, error);
  volume_list_free(entry, count);
  return good && (files->count || fail(error, "%s: no image in the folder; " FORMATS_ALONE, path));
}

/* A file that holds every channel is no channel, whatever its name; but pictures that all end in
 * _0000 do so because nnU-Net calls them that, and the case is called without it. */
static void wholes_settle(Files *files) {
  bool numbered = false;
  for (int i = 0; i < files->count; i++) {
    const File *file = &files->item[i];
    numbered = numbered || (file->whole && (file->channel > 0 || !is_picture(file->path)));
  }
  for (int i = 0; i < files->count; i++) {
    File *file = &files->item[i];
    if (file->whole && !numbered) file->stem -= CHANNEL_SUFFIX;
    if (file->whole) file->channel = -1;
  }
}

/* Names end in _0000 wherever channels have files of their own. Without one, other numbers are the
 * names' own (amos_0042), and with one, none may lie beyond the trial's channels: that may be
 * another channel or another case, and only the user knows. */
static bool numbers_settle(Files *files, bool folder, int channels, Error *error) {
  bool channel = !folder && files->item[0].channel >= 0 && files->item[0].channel < channels;
  for (int i = 0; folder && i < files->count; i++) channel = channel || files->item[i].channel == 0;
  for (int i = 0; i < files->count; i++) {
    File *file = &files->item[i];
    if (!channel) file->channel = -1;
    if (file->channel < channels) continue;
    return fail(error,
                "%s: channel %d of the case %.*s, or a case of its own? The trial was trained on "
                "%d channel(s), which names number from _0000; take other channels away, and "
                "give cases names that do not end in _ and four digits",
                file->path, file->channel, (int)(file->stem - CHANNEL_SUFFIX),
                file->path + file->folder, channels);
  }
  return true;
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

/* All channels of a case in files of their own, the given one among them. */
static bool add_channels(NewImages *images, const File *file, int channels, Error *error) {
  const char *name = file->path + file->folder;
  size_t stem = file->stem - CHANNEL_SUFFIX;
  Case *item = case_of(images, name, stem);
  for (int i = 0; i < item->images; i++)
    if (!strcmp(item->image[i], file->path)) return true; /* by another of its channels */
  if (item->images) return fail(error, "%s and %s are the same case", item->image[0], file->path);
  item->image = calloc((size_t)channels, sizeof *item->image);
  for (int channel = 0; channel < channels; channel++) {
    char **path = &item->image[channel];
    if (asprintf(path, "%.*s_%04d%s", (int)(file->folder + stem), file->path, channel,
                 name + file->stem) < 0)
      abort();
    if (channel && is_picture(name) && access(*path, F_OK)) {
      free(*path); /* a picture may bring several channels */
      break;
    }
    item->images++;
    if (access(*path, F_OK) != 0)
      return fail(error, "%s: channel %d of %s is missing; the trial was trained on %d", *path,
                  channel, item->name, channels);
  }
  return true;
}

static bool add(NewImages *images, const File *file, int channels, Error *error) {
  if (file->channel >= 0) return add_channels(images, file, channels, error);
  Case *item = case_of(images, file->path + file->folder, file->stem);
  if (item->images) return fail(error, "%s and %s are the same case", item->image[0], file->path);
  item->image = calloc(1, sizeof *item->image);
  item->image[item->images++] = strdup(file->path);
  return true;
}

bool new_images_find(NewImages *images, const char *path, int channels, Error *error) {
  Files files = {0};
  *images = (NewImages){0};
  bool good = files_find(&files, path, channels, error);
  if (good) wholes_settle(&files);
  good = good && numbers_settle(&files, is_folder(path), channels, error);
  for (int i = 0; good && i < files.count; i++) good = add(images, &files.item[i], channels, error);
  for (int i = 0; i < files.count; i++) free(files.item[i].path);
  free(files.item);
  return good;
}

void new_images_free(NewImages *images) {
  for (int i = 0; i < images->cases; i++) case_free(&images->item[i]);
  free(images->item);
  *images = (NewImages){0};
}
