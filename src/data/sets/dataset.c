#define _GNU_SOURCE /* asprintf */
#include "src/data/sets/dataset.h"

#include "base/utf8.h"
#include "src/data/sets/case_files.h"
#include "src/data/sets/dataset_json.h"
#include "src/data/sets/split.h"
#include "src/data/volumes/volume_name.h"

#include <dirent.h>
#include <errno.h>
#include <string.h>
#include <unistd.h>

static bool ends_with(const char *text, const char *end) {
  size_t a = strlen(text), b = strlen(end);
  return a >= b && !strcmp(text + a - b, end);
}

/* The file name without folder and ending. */
static char *stem_of(const char *path, const char *ending) {
  const char *slash = strrchr(path, '/');
  const char *base = slash ? slash + 1 : path;
  size_t length = strlen(base);
  if (ends_with(base, ending)) length -= strlen(ending);
  return strndup(base, length);
}

static void case_add(Dataset *dataset, Case item) {
  size_t count = (size_t)dataset->cases + 1;
  dataset->item = realloc(dataset->item, count * sizeof(Case));
  dataset->item[dataset->cases++] = item;
}

/* A case none of whose files is missing is kept; else it is named as a problem and dropped. */
static void case_keep_whole(Dataset *dataset, Case item, Problems *problems) {
  if (case_whole(&item, problems))
    case_add(dataset, item);
  else
    case_free(&item);
}

/* One sentence for the whole list where files are of another format. */
static bool list_is_read(const Dataset *dataset, Problems *problems) {
  int others = 0, files = 0;
  const char *first = "";
  for (int i = 0; i < dataset->cases; i++) {
    const Case *item = &dataset->item[i];
    for (int k = 0; k <= item->images; k++, files++) {
      const char *path = k < item->images ? item->image[k] : item->label;
      if (!volume_stem(volume_base(path)) && !others++) first = path;
    }
  }
  if (others)
    problems_add(
        problems,
        "%s/dataset.json: %d of %d listed files are of another format, first %s; " FORMATS_ALONE
        ", and change the list (and file_ending)",
        dataset->dir, others, files, first);
  return !others;
}

static void list_read(Dataset *dataset, const json_t *list, Problems *problems) {
  size_t i;
  json_t *entry;
  json_array_foreach((json_t *)list, i, entry) {
    const char *label = listed_label(json_object_get(entry, "label"));
    Case item = {0};
    if (label &&
        listed_images(&item, dataset->dir, json_object_get(entry, "image"), dataset->channels)) {
      item.label = listed_path(dataset->dir, label);
      item.name = case_name(item.label);
      case_add(dataset, item);
      continue;
    }
    problems_add(problems,
                 "%s/dataset.json: training[%zu] must be {\"image\": file, \"label\": file}, or a "
                 "list of %d images, one per channel",
                 dataset->dir, i, dataset->channels);
    case_free(&item);
  }
}

static void cases_from_list(Dataset *dataset, const json_t *list, Problems *problems) {
  list_read(dataset, list, problems);
  bool known = list_is_read(dataset, problems);
  Case *listed = dataset->item;
  int count = dataset->cases;
  dataset->item = NULL;
  dataset->cases = 0;
  for (int i = 0; i < count; i++) {
    if (known)
      case_keep_whole(dataset, listed[i], problems);
    else
      case_free(&listed[i]);
  }
  free(listed);
}

static int visible(const struct dirent *entry) {
  return entry->d_name[0] != '.';
}

static int folder_list(const char *dir, const char *name, struct dirent ***entry,
                       Problems *problems) {
  char *path = path_join(dir, name);
  int count = scandir(path, entry, visible, alphasort);
  if (count < 0) problems_add(problems, "%s: cannot list: %s", path, strerror(errno));
  free(path);
  return count < 0 ? 0 : count;
}

static void folder_list_free(struct dirent **entry, int count) {
  for (int i = 0; i < count; i++) free(entry[i]);
  if (count > 0) free(entry);
}

/* "file_ending" is that of images, and of label maps where their format can hold those. */
typedef struct Endings {
  const char *image, *label;
  bool picture;
} Endings;

static char *file_path(const Dataset *dataset, const char *folder, const char *name,
                       const char *suffix, const char *ending) {
  char *path = NULL;
  if (asprintf(&path, "%s/%s/%s%s%s", dataset->dir, folder, name, suffix, ending) < 0) abort();
  return path;
}

static bool there(const Dataset *dataset, const char *folder, const char *name, const char *suffix,
                  const char *ending) {
  char *path = file_path(dataset, folder, name, suffix, ending);
  bool found = access(path, F_OK) == 0;
  free(path);
  return found;
}

/* "scan_0000" of a case "scan", whose first channel it is. */
static bool is_channel(const Dataset *dataset, const char *name, const Endings *end) {
  size_t length = strlen(name);
  if (channel_number(name, length) < 0) return false;
  char *whole = strndup(name, length - CHANNEL_SUFFIX);
  bool found = there(dataset, "labelsTr", whole, "", end->label);
  free(whole);
  return found;
}

/* Whether NAME_0000 is what the case is read from, and not NAME, a file with all channels. Both may
 * be there where names end in digits: each then belongs to the case that has a label. */
static bool has_channels(const Dataset *dataset, const char *name, const Endings *end,
                         Problems *problems) {
  if (!there(dataset, "imagesTr", name, "", end->image)) return true;
  if (!there(dataset, "imagesTr", name, "_0000", end->image)) return false;
  if (there(dataset, "labelsTr", name, "_0000", end->label)) return false;
  if (!is_channel(dataset, name, end))
    problems_add(problems, "case %s: imagesTr holds both %s%s and %s_0000%s; take one of them away",
                 name, name, end->image, name, end->image);
  return true;
}

/* nnU-Net: one file per channel, NAME_0000 ...; a file NAME with all channels is accepted too, and
 * so is a picture NAME_0000 with several of them. */
static void case_find(Dataset *dataset, char *name, const Endings *end, Problems *problems) {
  Case item = {.name = name, .label = file_path(dataset, "labelsTr", name, "", end->label)};
  bool channels = has_channels(dataset, name, end, problems);
  int files = channels ? dataset->channels : 1;
  char suffix[16] = "";
  item.image = calloc((size_t)dataset->channels, sizeof(char *));
  CHECK(item.image, "out of memory for %d channels", dataset->channels);
  while (item.images < files) {
    if (channels) snprintf(suffix, sizeof suffix, "_%04d", item.images);
    if (end->picture && item.images && !there(dataset, "imagesTr", name, suffix, end->image)) break;
    item.image[item.images++] = file_path(dataset, "imagesTr", name, suffix, end->image);
  }
  snprintf(suffix, sizeof suffix, "_%04d", dataset->channels);
  if (channels && there(dataset, "imagesTr", name, suffix, end->image) &&
      !there(dataset, "labelsTr", name, suffix, end->label))
    problems_add(problems, "case %s: imagesTr holds %s%s%s, but dataset.json names %d channel(s)",
                 name, name, suffix, end->image, dataset->channels);
  case_keep_whole(dataset, item, problems);
}

/* Where a data set is one of pictures, others' endings are theirs too; beside volumes they are
 * previews. */
static const char *stranger_ending(const char *name, bool picture) {
  const char *medical = volume_ending(name);
  return medical || !picture ? medical : picture_ending(name);
}

/* One sentence for a folder that holds a case twice, or volumes with another ending than the data
 * set's: they would be passed over. */
static void strangers_tell(const Dataset *dataset, const char *folder, const Endings *end,
                           Problems *problems) {
  bool labels = !strcmp(folder, "labelsTr");
  const char *ending = labels ? end->label : end->image;
  struct dirent **entry = NULL;
  Error twins = {""};
  char *path = path_join(dataset->dir, folder);
  int count = scandir(path, &entry, visible, alphasort), strangers = 0;
  const char *first = NULL;
  for (int i = 0; i < count; i++) {
    const char *found = stranger_ending(entry[i]->d_name, end->picture);
    if (!found || !strcmp(found, ending)) continue;
    char *stem = strndup(entry[i]->d_name, (size_t)(found - entry[i]->d_name));
    if (!there(dataset, folder, stem, "", ending) && !strangers++) first = entry[i]->d_name;
    free(stem);
  }
  if (first)
    problems_add(
        problems,
        "%s: %d volume(s) do not end in %s, %s, first %s; give all files one ending (" FORMATS_ALONE
        ")",
        path, strangers, ending,
        labels && strcmp(end->image, ending)
            ? "as label maps of JPEG pictures do, since JPEG does not keep labels"
            : "the data set's \"file_ending\"",
        first);
  if (count >= 0 && !volume_twins(path, &twins)) problems_add(problems, "%s", twins.text);
  folder_list_free(entry, count);
  free(path);
}

static void images_without_label(const Dataset *dataset, const Endings *end, Problems *problems) {
  struct dirent **entry = NULL;
  int count = folder_list(dataset->dir, "imagesTr", &entry, problems);
  for (int i = 0; i < count; i++) {
    if (!ends_with(entry[i]->d_name, end->image)) continue;
    char *name = stem_of(entry[i]->d_name, end->image);
    char *whole = file_path(dataset, "labelsTr", name, "", end->label);
    size_t length = strlen(name);
    if (channel_number(name, length) >= 0) name[length - CHANNEL_SUFFIX] = 0;
    char *label = file_path(dataset, "labelsTr", name, "", end->label);
    if (access(label, F_OK) != 0 && access(whole, F_OK) != 0)
      problems_add(problems, "case %s: imagesTr/%s has no label (expected %s)", name,
                   entry[i]->d_name, label);
    free(label);
    free(whole);
    free(name);
  }
  folder_list_free(entry, count);
}

static bool name_check(const char *name, Problems *problems) {
  Error error = {""};
  if (utf8_check(name, &error)) return true;
  problems_add(problems, "%s", error.text);
  return false;
}

static void cases_from_folder(Dataset *dataset, const json_t *root, const Endings *end,
                              Problems *problems) {
  struct dirent **entry = NULL;
  int count = folder_list(dataset->dir, "labelsTr", &entry, problems);
  for (int i = 0; i < count; i++)
    if (ends_with(entry[i]->d_name, end->label) && name_check(entry[i]->d_name, problems))
      case_find(dataset, stem_of(entry[i]->d_name, end->label), end, problems);
  folder_list_free(entry, count);
  images_without_label(dataset, end, problems);
  strangers_tell(dataset, "imagesTr", end, problems);
  strangers_tell(dataset, "labelsTr", end, problems);
  const json_t *stated = json_object_get(root, "numTraining");
  if (json_is_integer(stated) && json_integer_value(stated) != dataset->cases)
    problems_add(problems,
                 "%s/dataset.json: numTraining is %lld, found %d whole case(s); files are "
                 "missing, or the number is out of date",
                 dataset->dir, (long long)json_integer_value(stated), dataset->cases);
}

static int by_name(const void *a, const void *b) {
  return strcmp(((const Case *)a)->name, ((const Case *)b)->name);
}

static bool folder_check(const char *dir, Problems *problems) {
  struct dirent **entry = NULL;
  int count = scandir(dir, &entry, visible, NULL);
  if (count < 0) problems_add(problems, "%s: cannot open the folder: %s", dir, strerror(errno));
  if (count == 0) {
    problems_add(problems, "%s: empty folder; expected dataset.json, imagesTr and labelsTr", dir);
    free(entry);
  }
  folder_list_free(entry, count);
  return count > 0;
}

static bool endings_read(const Dataset *dataset, const json_t *root, Endings *end,
                         Problems *problems) {
  const json_t *stated = json_object_get(root, "file_ending");
  const char *ending = stated ? json_string_value(stated) : ".nii.gz";
  if (!ending) ending = "(no text)";
  const VolumeFormat *format = format_of_ending(ending);
  if (format) {
    *end = (Endings){ending, format->labels ? format->labels : ending, format->picture};
    return true;
  }
  problems_add(problems,
               "%s/dataset.json: \"file_ending\" is \"%s\", but " FORMATS_ALONE
               ", and write \"file_ending\": \".nii.gz\"",
               dataset->dir, ending);
  return false;
}

static void cases_find(Dataset *dataset, const json_t *root, Problems *problems) {
  Endings end;
  if (!endings_read(dataset, root, &end, problems)) return;
  const json_t *list = json_object_get(root, "training");
  if (list && !json_is_array(list)) {
    problems_add(problems,
                 "%s/dataset.json: \"training\" must be a list of {\"image\": file, \"label\": "
                 "file}, or be left out",
                 dataset->dir);
    return;
  }
  if (json_array_size(list))
    cases_from_list(dataset, list, problems);
  else
    cases_from_folder(dataset, root, &end, problems);
  if (dataset->cases) qsort(dataset->item, (size_t)dataset->cases, sizeof(Case), by_name);
  for (int i = 1; i < dataset->cases; i++)
    if (!by_name(&dataset->item[i - 1], &dataset->item[i]))
      problems_add(problems,
                   "case %s is listed twice, with the labels %s and %s; a case is named by its "
                   "label's file",
                   dataset->item[i].name, dataset->item[i - 1].label, dataset->item[i].label);
  cases_apart(dataset, problems);
  if (!dataset->cases && !problems->count)
    problems_add(problems,
                 "%s: no labelled case; expected files *%s in imagesTr and *%s in labelsTr",
                 dataset->dir, end.image, end.label);
  if (dataset->validation < 0 || dataset->validation >= dataset->cases + !dataset->cases)
    problems_add(problems, "%s/dataset.json: harness_validation is %d, expected 0..%d",
                 dataset->dir, dataset->validation, dataset->cases - 1);
}

bool dataset_scan(Dataset *dataset, const char *dir, Problems *problems) {
  *dataset = (Dataset){.dir = strdup(dir)};
  for (size_t end = strlen(dir); end > 1 && dir[end - 1] == '/'; end--) dataset->dir[end - 1] = 0;
  if (!name_check(dir, problems) || !folder_check(dataset->dir, problems)) return false;
  json_t *root = dataset_json_load(dataset->dir, problems);
  if (!root) return false;
  bool fine = dataset_json_describe(dataset, root, problems);
  if (fine) cases_find(dataset, root, problems);
  json_decref(root);
  if (fine && dataset->cases && !problems->count) split_check(dataset, problems);
  return fine && dataset->cases;
}

bool dataset_open(Dataset *dataset, const char *dir, Error *error) {
  Problems problems = {0};
  dataset_scan(dataset, dir, &problems);
  bool fine = problems_told(&problems, dir, error);
  problems_free(&problems);
  if (!fine) dataset_free(dataset);
  return fine;
}

void dataset_free(Dataset *dataset) {
  for (int i = 0; i < dataset->cases; i++) case_free(&dataset->item[i]);
  for (int i = 0; i < DATASET_LABELS_MAX; i++) free(dataset->label_name[i]);
  for (int i = 0; i < dataset->channels; i++) free(dataset->channel_name[i]);
  free(dataset->item);
  free(dataset->channel_name);
  free(dataset->dir);
  free(dataset->derived);
  free(dataset->name);
  *dataset = (Dataset){0};
}
