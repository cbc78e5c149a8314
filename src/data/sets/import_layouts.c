#define _GNU_SOURCE /* asprintf */
#include "src/data/sets/case_files.h"
#include "src/data/sets/dataset_json.h"
#include "src/data/sets/import.h"
#include "src/data/volumes/volume_name.h"

#include <ctype.h>
#include <dirent.h>
#include <string.h>
#include <unistd.h>

const char *const import_names[IMPORT_LAYOUTS] = {
#define LAYOUT(name, what) #name,
#include "src/data/sets/layouts.def"
#undef LAYOUT
};

ImportRead *const import_read[IMPORT_LAYOUTS] = {
#define LAYOUT(name, what) import_##name,
#include "src/data/sets/layouts.def"
#undef LAYOUT
};

static bool is_there(const char *dir, const char *name) {
  char *path = path_join(dir, name);
  bool there = access(path, F_OK) == 0;
  free(path);
  return there;
}

/* The first of the folders below `source` that holds `mark`; to be freed, NULL: none. */
static char *root_find(const char *source, const char *const *below, int count, const char *mark) {
  for (int i = 0; i < count; i++) {
    char *root = strcmp(below[i], ".") ? path_join(source, below[i]) : strdup(source);
    if (is_there(root, mark)) return root;
    free(root);
  }
  return NULL;
}

/* ---- AMOS22 and MSD: dataset.json lists the files -------------------------------------------- */

/* dataset.json with its labels and channels. */
static json_t *description_read(Import *import, const char *root, Error *error) {
  Problems problems = {0};
  json_t *json = dataset_json_load(root, &problems);
  import->about.dir = strdup(root);
  if (json && !dataset_json_describe(&import->about, json, &problems)) {
    json_decref(json);
    json = NULL;
  }
  if (problems.count) fail(error, "%s", problems.text[0]);
  problems_free(&problems);
  return json;
}

typedef enum Role { ROLE_TRAINING, ROLE_VALIDATION, ROLE_TEST } Role;
typedef bool (*Wanted)(const char *name, const ImportOptions *options);

static bool everything(const char *name, const ImportOptions *options) {
  (void)name, (void)options;
  return true;
}

/* [{"image", "label"}, ...], or the images' names alone. */
static bool list_add(Import *import, const ImportOptions *options, const char *root,
                     const json_t *list, Role role, Wanted wanted, Error *error) {
  size_t i;
  json_t *entry;
  json_array_foreach((json_t *)list, i, entry) {
    const json_t *image = json_is_object(entry) ? json_object_get(entry, "image") : entry;
    const char *label = role == ROLE_TEST ? NULL : listed_label(json_object_get(entry, "label"));
    Case item = {.label = label ? listed_path(root, label) : NULL};
    if (!listed_images(&item, root, image, import->about.channels)) {
      case_free(&item);
      return fail(error, "%s/dataset.json: entry %zu of a list names no image", root, i);
    }
    item.name = case_name(label ? label : item.image[0]); /* may carry its channel's number */
    size_t length = strlen(item.name);
    if (!label && channel_number(item.name, length) == 0) item.name[length - CHANNEL_SUFFIX] = 0;
    if (wanted(item.name, options))
      import_add(import, item, role == ROLE_VALIDATION);
    else
      case_free(&item);
  }
  return true;
}

/* amos_0507: 507, -1 without a number. */
static int number_of(const char *name) {
  const char *at = strrchr(name, '_');
  return at && isdigit((unsigned char)at[1]) ? atoi(at + 1) : -1;
}

enum { AMOS_CT_LAST = 500 }; /* of 600; the MRI scans follow */

static bool amos_wanted(const char *name, const ImportOptions *options) {
  return !options->ct_only || number_of(name) <= AMOS_CT_LAST;
}

static bool amos_check(const Import *import, const ImportOptions *options, Error *error) {
  for (int i = 0; i < import->entries; i++) {
    const ImportEntry *entry = &import->entry[i];
    const char *label = entry->item.label;
    if (number_of(entry->item.name) < 0)
      return fail(error,
                  "%s: expected a name like amos_0001.nii.gz, whose number tells CT from MRI",
                  entry->item.image[0]);
    if (entry->validation && options->validation != VALIDATION_LEAVE && label &&
        access(label, F_OK))
      return fail(error,
                  "%s: missing; a download without the validation labels is imported with "
                  "--validation leave",
                  label);
  }
  return true;
}

/* Where CT and MRI are mixed no intensity scale is common: a name other than "CT" means
 * z-scores. */
static const char *amos_channel(const Import *import) {
  bool ct = false, mri = false;
  for (int i = 0; i < import->entries; i++) {
    bool is_ct = number_of(import->entry[i].item.name) <= AMOS_CT_LAST;
    ct |= is_ct, mri |= !is_ct;
  }
  return ct && mri ? "CT or MRI" : mri ? "MRI" : "CT";
}

/* amos22/{dataset.json,imagesTr,labelsTr,imagesVa,labelsVa,imagesTs}: numbers up to 500 are CT. */
bool import_amos(Import *import, const ImportOptions *options, Error *error) {
  static const char *const places[] = {".", "amos22", "AMOS22"};
  static const char *const lists[] = {"training", "validation", "test"}; /* by Role */
  *import = (Import){0};
  char *root = root_find(options->source, places, 3, "dataset.json");
  if (!root)
    return fail(error, "%s: no dataset.json there or in amos22/; expected AMOS22 as unpacked",
                options->source);
  json_t *json = description_read(import, root, error);
  bool good = json != NULL;
  for (int role = ROLE_TRAINING; good && role <= ROLE_TEST; role++)
    good = list_add(import, options, root, json_object_get(json, lists[role]), (Role)role,
                    amos_wanted, error);
  good = good && amos_check(import, options, error);
  if (good) {
    free(import->about.channel_name[0]);
    import->about.channel_name[0] = strdup(amos_channel(import));
  }
  json_decref(json);
  free(root);
  return good;
}

/* A task folder is a data set as it is: what is wrong with one is said as of any other. */
bool import_msd(Import *import, const ImportOptions *options, Error *error) {
  *import = (Import){0};
  if (!dataset_open(&import->about, options->source, error)) return false;
  for (int i = 0; i < import->about.cases; i++) import_add(import, import->about.item[i], false);
  import->about.cases = 0; /* they are the entries' now */
  Problems none = {0};
  json_t *json = dataset_json_load(options->source, &none);
  bool good = list_add(import, options, options->source, json_object_get(json, "test"), ROLE_TEST,
                       everything, error);
  problems_free(&none);
  json_decref(json);
  return good;
}

/* ---- BTCV: the folders are all there is ------------------------------------------------------ */

static const char *const btcv_labels[] = {"background",
                                          "spleen",
                                          "right kidney",
                                          "left kidney",
                                          "gallbladder",
                                          "esophagus",
                                          "liver",
                                          "stomach",
                                          "aorta",
                                          "inferior vena cava",
                                          "portal and splenic veins",
                                          "pancreas",
                                          "right adrenal gland",
                                          "left adrenal gland"};
enum { BTCV_LABELS = sizeof btcv_labels / sizeof *btcv_labels };

static void btcv_describe(Import *import, const char *root) {
  Dataset *about = &import->about;
  about->dir = strdup(root);
  about->name = strdup("BTCV");
  about->channels = 1;
  about->channel_name = calloc(1, sizeof(char *));
  about->channel_name[0] = strdup("CT");
  about->labels = BTCV_LABELS;
  about->labelling = labelling_plain(BTCV_LABELS);
  for (int i = 0; i < BTCV_LABELS; i++) about->label_name[i] = strdup(btcv_labels[i]);
}

static int visible(const struct dirent *entry) {
  return entry->d_name[0] != '.' && volume_stem(entry->d_name);
}

/* Every image of a folder; its label is the file whose name has `image` replaced by `label` at the
 * front, or `tail` appended to the stem. labels NULL: test images. */
static bool folder_add(Import *import, const char *root, const char *images, const char *labels,
                       const char *image, const char *label, const char *tail, Error *error) {
  char *dir = path_join(root, images);
  struct dirent **entry = NULL;
  int count = scandir(dir, &entry, visible, alphasort);
  bool good = count > 0 || !labels || fail(error, "%s: no image found there", dir);
  for (int i = 0; i < count; i++) {
    char *name = case_name(entry[i]->d_name), *path = NULL;
    const char *rest = strncmp(name, image, strlen(image)) ? name : name + strlen(image);
    const char *ending = entry[i]->d_name + volume_stem(entry[i]->d_name);
    if (labels && asprintf(&path, "%s/%s/%s%s%s%s", root, labels, label, rest, tail, ending) < 0)
      abort();
    if (good && path && access(path, F_OK))
      good = fail(error, "%s: missing; it is the label of %s/%s", path, dir, entry[i]->d_name);
    Case item = {.name = name, .image = calloc(1, sizeof(char *)), .images = 1, .label = path};
    CHECK(item.image, "out of memory");
    item.image[0] = path_join(dir, entry[i]->d_name);
    import_add(import, item, false);
    free(entry[i]);
  }
  free(entry);
  free(dir);
  return good;
}

/* RawData/Training/{img,label}, RawData/Testing/img, or averaged-training-{images,labels}. */
bool import_btcv(Import *import, const ImportOptions *options, Error *error) {
  static const char *const places[] = {"RawData", ".", "Abdomen/RawData", "Abdomen"};
  *import = (Import){0};
  char *root = root_find(options->source, places, 4, "Training/img");
  bool averaged = !root;
  if (averaged) root = root_find(options->source, places, 4, "averaged-training-images");
  if (!root)
    return fail(error,
                "%s: found neither RawData/Training/img nor averaged-training-images; expected "
                "BTCV (Synapse syn3193805) as unpacked",
                options->source);
  btcv_describe(import, root);
  bool good = averaged ? folder_add(import, root, "averaged-training-images",
                                    "averaged-training-labels", "", "", "_seg", error)
                       : folder_add(import, root, "Training/img", "Training/label", "img", "label",
                                    "", error) &&
                             folder_add(import, root, "Testing/img", NULL, "", "", "", error);
  free(root);
  return good;
}
