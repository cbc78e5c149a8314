#define _GNU_SOURCE /* asprintf */
#include "src/data/sets/import.h"

#include "base/paths.h"
#include "base/utf8.h"
#include "src/data/nifti/nifti_file.h"
#include "src/data/sets/case_files.h"
#include "src/data/sets/dataset_json.h"
#include "src/data/sets/import_masks.h"
#include "src/data/sets/json_text.h"
#include "src/data/volumes/volume_name.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <unistd.h>

ImportEntry *import_add(Import *import, Case item, bool validation) {
  size_t count = (size_t)import->entries + 1;
  import->entry = realloc(import->entry, count * sizeof *import->entry);
  CHECK(import->entry, "out of memory for %zu cases", count);
  ImportEntry *entry = &import->entry[import->entries++];
  *entry = (ImportEntry){.item = item, .validation = validation, .fold = -1};
  return entry;
}

void import_mask(ImportEntry *entry, MaskRule rule, char *path) {
  entry->rule = rule;
  entry->mask = realloc(entry->mask, ((size_t)entry->masks + 1) * sizeof *entry->mask);
  CHECK(entry->mask, "out of memory for %d masks", entry->masks + 1);
  entry->mask[entry->masks++] = path;
  if (!entry->item.label) entry->item.label = strdup(path);
}

void import_free(Import *import) {
  for (int i = 0; i < import->entries; i++) {
    case_free(&import->entry[i].item);
    for (int m = 0; m < import->entry[i].masks; m++) free(import->entry[i].mask[m]);
    free(import->entry[i].mask);
  }
  free(import->entry);
  dataset_free(&import->about);
  *import = (Import){0};
}

/* ---- files ----------------------------------------------------------------------------------- */

static bool copy(const char *from, const char *to) {
  int in = open(from, O_RDONLY | O_CLOEXEC), out = -1;
  struct stat status;
  bool good = in >= 0 && fstat(in, &status) == 0;
  if (good) out = open(to, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
  good = good && out >= 0;
  for (off_t left = good ? status.st_size : 0; good && left > 0;) {
    ssize_t got = sendfile(out, in, NULL, (size_t)left);
    good = got > 0;
    left -= got;
  }
  int why = errno;
  if (in >= 0) close(in);
  if (out >= 0 && close(out)) good = false, why = errno;
  if (!good && out >= 0) unlink(to);
  errno = why;
  return good;
}

/* The file under another name; *how becomes what worked. */
static bool place(const char *from, const char *to, ImportHow *how, Error *error) {
  char absolute[PATH_MAX];
  unlink(to);
  if (!realpath(from, absolute)) return fail(error, "%s: %s", from, strerror(errno));
  if (*how == IMPORT_LINK && link(absolute, to)) {
    if (errno != EXDEV && errno != EPERM && errno != EMLINK && errno != ENOTSUP)
      return fail(error, "%s: cannot link to %s: %s", to, absolute, strerror(errno));
    *how = IMPORT_SYMLINK;
  }
  if (*how == IMPORT_SYMLINK && symlink(absolute, to))
    return fail(error, "%s: cannot link to %s: %s", to, absolute, strerror(errno));
  if (*how == IMPORT_COPY && !copy(absolute, to))
    return fail(error, "%s: cannot copy %s: %s", to, absolute, strerror(errno));
  return true;
}

static const char *ending_of(const char *path) {
  const char *ending;
  return volume_format(path, &ending) ? ending : NULL;
}

static char *file_name(const ImportOptions *options, const char *folder, const char *name,
                       int channel, const char *ending) {
  char *path = NULL, suffix[16] = "";
  if (channel >= 0) snprintf(suffix, sizeof suffix, "_%04d", channel);
  if (asprintf(&path, "%s/%s/%s%s%s", options->target, folder, name, suffix, ending) < 0) abort();
  return path;
}

/* A file with several channels as one file each. */
static bool channels_split(const ImportOptions *options, const Case *item, const char *folder,
                           const char *ending, Error *error) {
  Image image, one;
  if (!image_read(&image, item->image[0], error)) return false;
  bool good = image_alloc(&one, &image.grid, 1, error);
  size_t voxels = grid_voxels(&image.grid);
  for (int channel = 0; good && channel < image.channels; channel++) {
    for (size_t i = 0; i < voxels; i++)
      one.data[i] = image.data[i * (size_t)image.channels + (size_t)channel];
    char *path = file_name(options, folder, item->name, channel, ending);
    unlink(path);
    good = image_write(&one, VOXEL_F32, path, error);
    free(path);
  }
  if (one.data) image_free(&one);
  image_free(&image);
  return good;
}

/* A file under its new name, in the set's one ending. */
static bool file_place(const ImportOptions *options, const char *from, const char *folder,
                       const char *name, int channel, const char *ending, ImportHow *how,
                       Error *error) {
  const char *found = ending_of(from);
  if (!found) return fail(error, "%s: " FORMATS_ALONE, from);
  bool same = !strcmp(found, ending);
  if (!same && (is_picture(from) || format_of_ending(ending)->picture))
    return fail(error, "%s: ends in %s, where the data set's other files end in %s", from, found,
                ending);
  char *path = file_name(options, folder, name, channel, ending);
  bool good = same ? place(from, path, how, error) : nifti_repack(from, path, error);
  free(path);
  return good;
}

/* How the set's label maps end. */
static const char *labels_of(const char *ending) {
  const char *labels = format_of_ending(ending)->labels;
  return labels ? labels : ending;
}

/* The label map that the entry's masks say, and which of them is where. */
static bool masks_write(const ImportOptions *options, const ImportEntry *entry, const char *ending,
                        Error *error) {
  LabelMap label;
  Image instances = {0};
  bool numbered = entry->rule == MASK_INSTANCES;
  if (!masks_label(entry, &label, numbered ? &instances : NULL, error)) return false;
  char *path = file_name(options, "labelsTr", entry->item.name, -1, labels_of(ending));
  char *numbers = file_name(options, "instancesTr", entry->item.name, -1, ".png");
  bool good = label_write(&label, path, error) &&
              (!numbered || image_write(&instances, VOXEL_I16, numbers, error));
  free(path);
  free(numbers);
  label_free(&label);
  image_free(&instances);
  return good;
}

static bool entry_write(const Import *import, const ImportOptions *options,
                        const ImportEntry *entry, const char *ending, ImportHow *how,
                        Error *error) {
  const Case *item = &entry->item;
  const char *folder = item->label ? "imagesTr" : "imagesTs";
  Grid grid;
  int wanted = import->about.channels, held;
  bool colours = is_picture(item->image[0]); /* stay in their file */
  if (!volume_inspect(item->image[0], &grid, &held, error)) return false;
  if (!colours && held * item->images != wanted)
    return fail(error, "%s: %d channel(s), but dataset.json names %d", item->image[0],
                held * item->images, wanted);
  bool good = true, split = held > 1 && !colours;
  if (split) good = channels_split(options, item, folder, ending, error);
  for (int i = 0; good && !split && i < item->images; i++)
    good = file_place(options, item->image[i], folder, item->name, i, ending, how, error);
  if (good && entry->rule) return masks_write(options, entry, ending, error);
  return good && (!item->label || file_place(options, item->label, "labelsTr", item->name, -1,
                                             labels_of(ending), how, error));
}

static bool is_wanted(const ImportEntry *entry, const ImportOptions *options) {
  return !entry->validation || options->validation != VALIDATION_LEAVE;
}

/* The labelled cases must be such that the folder can be trained on: as they are, or with the label
 * maps that were made of their masks. */
static bool cases_sound(const Import *import, const ImportOptions *options, bool made,
                        Error *error) {
  Problems problems = {0};
  Dataset view = import->about;
  view.cases = 0;
  view.item = calloc((size_t)import->entries, sizeof *view.item);
  CHECK(view.item, "out of memory for %d cases", import->entries);
  for (int i = 0; i < import->entries; i++) {
    const Case *item = &import->entry[i].item;
    bool masks = import->entry[i].rule != MASK_NONE;
    if (!item->label || !is_wanted(&import->entry[i], options) || !case_whole(item, &problems))
      continue;
    if (masks != made) continue;
    view.item[view.cases] = *item;
    if (made) view.item[view.cases].label = file_name(options, "labelsTr", item->name, -1, ".png");
    view.cases++;
  }
  bool good = problems_told(&problems, view.dir, error) &&
              (!view.cases || dataset_sound(&view, NULL, false, error));
  problems_free(&problems);
  for (int i = 0; made && i < view.cases; i++) free(view.item[i].label);
  free(view.item);
  return good;
}

/* ---- the folder ------------------------------------------------------------------------------ */

static bool folders_make(const Import *import, const ImportOptions *options, Error *error) {
  static const char *const folders[] = {"", "/imagesTr", "/labelsTr", "/imagesTs", "/instancesTr"};
  int count = import->entry[0].rule == MASK_INSTANCES ? 5 : 4;
  char path[PATH_MAX], source[PATH_MAX], target[PATH_MAX];
  for (int i = 0; i < count; i++) {
    snprintf(path, sizeof path, "%.4000s%s", options->target, folders[i]);
    if (!path_make(path))
      return fail(error, "%s: cannot make the folder: %s", path, strerror(errno));
    if (i) continue;
    if (!realpath(path, target) || !realpath(options->source, source))
      return fail(error, "%s: %s", options->target, strerror(errno));
    if (!strcmp(source, target))
      return fail(error, "%s: source and target are the same folder", options->target);
    snprintf(path, sizeof path, "%.4000s/dataset.json", options->target);
    if (access(path, F_OK) == 0)
      return fail(error, "%s: there is a data set already; remove it, or import elsewhere",
                  options->target);
  }
  return true;
}

static bool json_write(const ImportOptions *options, const char *name, json_t *json, Error *error) {
  char path[PATH_MAX];
  snprintf(path, sizeof path, "%.4000s/%s", options->target, name);
  bool good = json_text_write(json, path, error);
  json_decref(json);
  return good;
}

static json_t *dataset_json(const Import *import, int training, const char *ending) {
  const Dataset *about = &import->about;
  json_t *channels = json_object();
  for (int i = 0; i < about->channels; i++) {
    char key[16];
    snprintf(key, sizeof key, "%d", i);
    json_object_set_new(channels, key, json_string(about->channel_name[i]));
  }
  json_t *json = json_pack("{s:s, s:o}", "name", about->name, "channel_names", channels);
  labels_json_write(about, json);
  json_object_set_new(json, "numTraining", json_integer(training));
  json_object_set_new(json, "file_ending", json_string(ending));
  return json;
}

/* Whether the case validates in this fold. */
static bool validates(const Import *import, const ImportEntry *entry, int fold) {
  return import->folds ? entry->fold == fold : entry->validation;
}

static json_t *split_json(const Import *import) {
  json_t *folds = json_array();
  for (int fold = 0; fold < (import->folds ? import->folds : 1); fold++) {
    json_t *train = json_array(), *validate = json_array();
    for (int i = 0; i < import->entries; i++) {
      const ImportEntry *entry = &import->entry[i];
      if (entry->item.label)
        json_array_append_new(validates(import, entry, fold) ? validate : train,
                              json_string(entry->item.name));
    }
    json_array_append_new(folds, json_pack("{s:o, s:o}", "train", train, "val", validate));
  }
  return folds;
}

/* Of pictures: cases that are the same one stand on both sides of a split. */
static bool twins_find(const Import *import, ImportOutcome *outcome, Error *error) {
  int pair[2];
  if (!import->entry[0].rule) return true;
  if (!import_twins(import, &outcome->twins, pair, error)) return false;
  for (int i = 0; i < 2 && outcome->twins; i++)
    snprintf(outcome->pair[i], sizeof outcome->pair[i], "%.60s", import->entry[pair[i]].item.name);
  return true;
}

static bool entries_write(const Import *import, const ImportOptions *options, const char *ending,
                          ImportOutcome *outcome, Error *error) {
  for (int i = 0; i < import->entries; i++) {
    const ImportEntry *entry = &import->entry[i];
    if (!is_wanted(entry, options)) continue;
    bool missing = !entry->item.label && access(entry->item.image[0], F_OK) != 0;
    outcome->missing += missing;
    if (missing) continue;
    if (!entry_write(import, options, entry, ending, &outcome->how, error)) return false;
    outcome->training += entry->item.label != NULL;
    outcome->test += entry->item.label == NULL;
    outcome->validation += entry->item.label && entry->validation;
  }
  return true;
}

bool import_write(const Import *import, const ImportOptions *options, ImportOutcome *outcome,
                  Error *error) {
  *outcome = (ImportOutcome){.how = options->how};
  if (!utf8_check(options->target, error)) return false;
  if (!import->entries) return fail(error, "%s: no case found", options->source);
  const char *ending = ending_of(import->entry[0].item.image[0]);
  if (!ending) return fail(error, "%s: " FORMATS_ALONE, import->entry[0].item.image[0]);
  if (!cases_sound(import, options, false, error) || !folders_make(import, options, error) ||
      !entries_write(import, options, ending, outcome, error) ||
      !cases_sound(import, options, true, error) || !twins_find(import, outcome, error))
    return false;
  bool split = import->folds || (outcome->validation && options->validation == VALIDATION_SPLIT);
  if (split && !json_write(options, "splits_final.json", split_json(import), error)) return false;
  return json_write(options, "dataset.json", dataset_json(import, outcome->training, ending),
                    error);
}
