#define _GNU_SOURCE /* asprintf */
#include "src/data/sets/dataset.h"

#include "src/data/sets/dataset_json.h"

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

static void case_free(Case *item) {
  for (int i = 0; i < item->images; i++) free(item->image[i]);
  free(item->image);
  free(item->name);
  free(item->label);
}

static void case_add(Dataset *dataset, Case item) {
  size_t count = (size_t)dataset->cases + 1;
  dataset->item = realloc(dataset->item, count * sizeof(Case));
  dataset->item[dataset->cases++] = item;
}

/* A case none of whose files is missing is kept; else it is named as a problem and dropped. */
static void case_keep_whole(Dataset *dataset, Case item, Problems *problems) {
  bool whole = true;
  for (int i = 0; i <= item.images; i++) {
    const char *path = i < item.images ? item.image[i] : item.label;
    if (access(path, R_OK) == 0) continue;
    problems_add(problems, "case %s: its %s %s is missing or not readable", item.name,
                 i < item.images ? "image" : "label", path);
    whole = false;
  }
  if (whole)
    case_add(dataset, item);
  else
    case_free(&item);
}

static void cases_from_list(Dataset *dataset, const json_t *list, const char *ending,
                            Problems *problems) {
  size_t i;
  json_t *entry;
  json_array_foreach((json_t *)list, i, entry) {
    const char *image = json_string_value(json_object_get(entry, "image"));
    const char *label = json_string_value(json_object_get(entry, "label"));
    if (!image || !label) {
      problems_add(problems,
                   "%s/dataset.json: training[%zu] must be {\"image\": file, \"label\": "
                   "file}",
                   dataset->dir, i);
      continue;
    }
    Case item = {.name = stem_of(label, ending), .images = 1};
    item.image = calloc(1, sizeof(char *));
    item.image[0] = path_join(dataset->dir, strncmp(image, "./", 2) ? image : image + 2);
    item.label = path_join(dataset->dir, strncmp(label, "./", 2) ? label : label + 2);
    case_keep_whole(dataset, item, problems);
  }
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

static char *file_path(const Dataset *dataset, const char *folder, const char *name,
                       const char *suffix, const char *ending) {
  char *path = NULL;
  if (asprintf(&path, "%s/%s/%s%s%s", dataset->dir, folder, name, suffix, ending) < 0) abort();
  return path;
}

/* nnU-Net: one file per channel, NAME_0000 ...; a file NAME with all channels is accepted too. */
static void case_find(Dataset *dataset, char *name, const char *ending, Problems *problems) {
  Case item = {.name = name, .label = file_path(dataset, "labelsTr", name, "", ending)};
  item.image = calloc((size_t)dataset->channels, sizeof(char *));
  char *single = file_path(dataset, "imagesTr", name, "", ending);
  if (access(single, R_OK) == 0) {
    item.image[item.images++] = single;
  } else {
    free(single);
    for (int channel = 0; channel < dataset->channels; channel++) {
      char suffix[16];
      snprintf(suffix, sizeof suffix, "_%04d", channel);
      item.image[item.images++] = file_path(dataset, "imagesTr", name, suffix, ending);
    }
  }
  case_keep_whole(dataset, item, problems);
}

static void images_without_label(const Dataset *dataset, const char *ending, Problems *problems) {
  struct dirent **entry = NULL;
  int count = folder_list(dataset->dir, "imagesTr", &entry, problems);
  for (int i = 0; i < count; i++) {
    if (!ends_with(entry[i]->d_name, ending)) continue;
    char *name = stem_of(entry[i]->d_name, ending);
    char *whole = file_path(dataset, "labelsTr", name, "", ending);
    size_t length = strlen(name);
    if (length > 5 && name[length - 5] == '_') name[length - 5] = 0;
    char *label = file_path(dataset, "labelsTr", name, "", ending);
    if (access(label, F_OK) != 0 && access(whole, F_OK) != 0)
      problems_add(problems, "case %s: imagesTr/%s has no label (expected %s)", name,
                   entry[i]->d_name, label);
    free(label);
    free(whole);
    free(name);
  }
  folder_list_free(entry, count);
}

static void cases_from_folder(Dataset *dataset, const json_t *root, const char *ending,
                              Problems *problems) {
  struct dirent **entry = NULL;
  int count = folder_list(dataset->dir, "labelsTr", &entry, problems);
  for (int i = 0; i < count; i++)
    if (ends_with(entry[i]->d_name, ending))
      case_find(dataset, stem_of(entry[i]->d_name, ending), ending, problems);
  folder_list_free(entry, count);
  images_without_label(dataset, ending, problems);
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

static void cases_find(Dataset *dataset, const json_t *root, Problems *problems) {
  const char *ending = json_string_value(json_object_get(root, "file_ending"));
  if (!ending) ending = ".nii.gz";
  const json_t *list = json_object_get(root, "training");
  if (json_array_size(list))
    cases_from_list(dataset, list, ending, problems);
  else
    cases_from_folder(dataset, root, ending, problems);
  if (dataset->cases) qsort(dataset->item, (size_t)dataset->cases, sizeof(Case), by_name);
  for (int i = 1; i < dataset->cases; i++)
    if (!by_name(&dataset->item[i - 1], &dataset->item[i]))
      problems_add(problems, "case %s is listed twice", dataset->item[i].name);
  if (!dataset->cases)
    problems_add(problems, "%s: no labelled case; expected files *%s in imagesTr and labelsTr",
                 dataset->dir, ending);
  if (dataset->validation < 0 || dataset->validation >= dataset->cases + !dataset->cases)
    problems_add(problems, "%s/dataset.json: harness_validation is %d, expected 0..%d",
                 dataset->dir, dataset->validation, dataset->cases - 1);
}

bool dataset_scan(Dataset *dataset, const char *dir, Problems *problems) {
  *dataset = (Dataset){.dir = strdup(dir)};
  for (size_t end = strlen(dir); end > 1 && dir[end - 1] == '/'; end--) dataset->dir[end - 1] = 0;
  if (!folder_check(dataset->dir, problems)) return false;
  json_t *root = dataset_json_load(dataset->dir, problems);
  if (!root) return false;
  bool fine = dataset_json_describe(dataset, root, problems);
  if (fine) cases_find(dataset, root, problems);
  json_decref(root);
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
  free(dataset->name);
  *dataset = (Dataset){0};
}
