/* Data sets of pictures with masks, as they are distributed, become nnU-Net folders: folds are
 * those that QTSeg's code makes, or the official division as fold 0. */
#define _GNU_SOURCE /* asprintf */
#include "src/data/sets/case_files.h"
#include "src/data/sets/import.h"
#include "src/data/volumes/volume_name.h"

#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { FOLDS = 5 };

/* ---- folders --------------------------------------------------------------------------------- */

/* Byte by byte, whatever the language of the user's locale. */
static int by_text(const struct dirent **a, const struct dirent **b) {
  return strcmp((*a)->d_name, (*b)->d_name);
}

static int is_shown(const struct dirent *entry) {
  return entry->d_name[0] != '.';
}

static int is_image(const struct dirent *entry) {
  return is_shown(entry) && volume_stem(entry->d_name);
}

/* The pictures of a folder, or its folders, by name. Errors: none is there. */
typedef struct Listing {
  struct dirent **entry;
  int count;
} Listing;

static bool list(Listing *listing, const char *dir, bool folders, Error *error) {
  listing->count = scandir(dir, &listing->entry, folders ? is_shown : is_image, by_text);
  if (listing->count > 0) return true;
  if (!listing->count) free(listing->entry);
  return fail(error, "%s: no %s found there", dir, folders ? "folder" : "picture");
}

static void listing_free(Listing *listing) {
  for (int i = 0; i < listing->count; i++) free(listing->entry[i]);
  free(listing->entry);
  *listing = (Listing){0};
}

static bool is_there(const char *dir, const char *name) {
  char *path = path_join(dir, name);
  bool there = access(path, F_OK) == 0;
  free(path);
  return there;
}

/* SOURCE, or the folder of that name in it, whichever holds `mark`; to be freed. NULL after an
 * error. */
static char *root_of(const char *source, const char *below, const char *mark, const char *what,
                     Error *error) {
  char *inner = path_join(source, below);
  if (is_there(source, mark)) {
    free(inner);
    return strdup(source);
  }
  if (is_there(inner, mark)) return inner;
  free(inner);
  fail(error, "%s: found no %s there or in %s/; expected %s as unpacked", source, mark, below,
       what);
  return NULL;
}

/* ---- what they have in common ---------------------------------------------------------------- */

/* Colours as nnU-Net's 2D folders name them; labels behind background, two at most. */
static void describe(Import *import, const char *root, const char *name, const char *first,
                     const char *second) {
  const char *const label[] = {"background", first, second};
  Dataset *about = &import->about;
  about->dir = strdup(root);
  about->name = strdup(name);
  about->channels = 3;
  about->channel_name = calloc(3, sizeof(char *));
  CHECK(about->channel_name, "out of memory for channels");
  for (int i = 0; i < 3; i++) about->channel_name[i] = strdup("rgb_to_0_1");
  about->labels = second ? 3 : 2;
  about->labelling = labelling_plain(about->labels);
  for (int i = 0; i < about->labels; i++) about->label_name[i] = strdup(label[i]);
}

/* A case of one picture; takes both texts. */
static ImportEntry *picture_add(Import *import, char *name, char *path) {
  Case item = {.name = name, .image = calloc(1, sizeof(char *)), .images = 1};
  CHECK(item.image, "out of memory");
  item.image[0] = path;
  return import_add(import, item, false);
}

/* The i-th fifth of the entries from `first` on validates in fold i, in the order in which they
 * were found; what does not divide always trains, as in the code. Fewer than five have no folds. */
static void fifths(Import *import, int first) {
  int size = (import->entries - first) / FOLDS;
  for (int i = first; size && i < import->entries; i++) {
    int fold = (i - first) / size;
    import->entry[i].fold = fold < FOLDS ? fold : -1;
  }
  import->folds = size ? FOLDS : 0;
}

/* A folder of pictures and one of masks, of the same names but for what the masks' end in. */
typedef struct Pair {
  const char *images, *masks; /* masks NULL: pictures without */
  const char *tail, *ending;  /* of a mask's name; ending NULL: the picture's own */
  const char *prefix;         /* of the case's name */
  MaskRule rule;
  int fold;
} Pair;

static bool pair_add(Import *import, const char *root, const Pair *pair, Error *error) {
  char *dir = path_join(root, pair->images);
  Listing found;
  bool good = list(&found, dir, false, error);
  for (int i = 0; good && i < found.count; i++) {
    const char *file = found.entry[i]->d_name, *ending = file + volume_stem(file);
    char *name = NULL, *mask = NULL;
    int stem = (int)volume_stem(file);
    if (asprintf(&name, "%s%.*s", pair->prefix, stem, file) < 0) abort();
    ImportEntry *entry = picture_add(import, name, path_join(dir, file));
    entry->fold = pair->fold;
    if (!pair->masks) continue;
    if (asprintf(&mask, "%s/%s/%.*s%s%s", root, pair->masks, stem, file, pair->tail,
                 pair->ending ? pair->ending : ending) < 0)
      abort();
    import_mask(entry, pair->rule, mask);
    if (access(mask, F_OK))
      good = fail(error, "%s: missing; it is the mask of %s", mask, entry->item.image[0]);
  }
  if (found.count > 0) listing_free(&found);
  free(dir);
  return good;
}

/* ---- the data sets --------------------------------------------------------------------------- */

/* ISBI2016_ISIC_Part1_{Training,Test}_{Data,GroundTruth}: 900 and 379. */
bool import_isic2016(Import *import, const ImportOptions *options, Error *error) {
#define PART "ISBI2016_ISIC_Part1_"
  static const Pair pairs[] = {
      {PART "Training_Data", PART "Training_GroundTruth", "_Segmentation", ".png", "", MASK_BRIGHT,
       -1},
      {PART "Test_Data", PART "Test_GroundTruth", "_Segmentation", ".png", "", MASK_BRIGHT, 0}};
  *import = (Import){.folds = 1};
  char *root = root_of(options->source, "ISIC2016", pairs[0].images, "ISIC 2016 part 1", error);
  if (!root) return false;
  describe(import, root, "ISIC2016", "lesion", NULL);
  bool good = pair_add(import, root, &pairs[0], error) && pair_add(import, root, &pairs[1], error);
  free(root);
  return good;
#undef PART
}

/* train and test, each with Original and Ground truth: 600 and 200, whose names are the same. */
bool import_fives(Import *import, const ImportOptions *options, Error *error) {
  static const Pair pairs[] = {
      {"train/Original", "train/Ground truth", "", NULL, "train_", MASK_BRIGHT, -1},
      {"test/Original", "test/Ground truth", "", NULL, "test_", MASK_BRIGHT, 0}};
  *import = (Import){.folds = 1};
  char *root = root_of(options->source,
                       "FIVES A Fundus Image Dataset for AI-based Vessel "
                       "Segmentation",
                       pairs[0].images, "FIVES", error);
  if (!root) return false;
  describe(import, root, "FIVES", "vessel", NULL);
  bool good = pair_add(import, root, &pairs[0], error) && pair_add(import, root, &pairs[1], error);
  free(root);
  return good;
}

/* train/train, train_gt/train_gt and test/test: 1,000 and 200 without masks. */
bool import_neopolyp(Import *import, const ImportOptions *options, Error *error) {
  Pair train = {"train/train", "train_gt/train_gt", "", NULL, "", MASK_POLYP, -1};
  static const Pair test = {"test/test", NULL, "", NULL, "", MASK_NONE, -1};
  *import = (Import){0};
  char *root = root_of(options->source, "bkai-igh-neopolyp", train.images, "NeoPolyp", error);
  if (!root) return false;
  if (options->types) train.rule = MASK_POLYP_TYPES;
  if (options->types)
    describe(import, root, "NeoPolyp", "non-neoplastic", "neoplastic");
  else
    describe(import, root, "NeoPolyp", "polyp", NULL);
  bool good = pair_add(import, root, &train, error);
  if (good) fifths(import, 0);
  if (good && is_there(root, test.images)) good = pair_add(import, root, &test, error);
  free(root);
  return good;
}

/* The masks of `entry`: every picture of the folder whose name begins so. */
static void masks_add(ImportEntry *entry, MaskRule rule, const char *dir, const Listing *found,
                      const char *begin) {
  for (int i = 0; i < found->count; i++)
    if (!strncmp(found->entry[i]->d_name, begin, strlen(begin)))
      import_mask(entry, rule, path_join(dir, found->entry[i]->d_name));
}

/* "benign (12).png", its mask "benign (12)_mask.png" and, of further lesions, "..._mask_1.png". */
static bool busi_class(Import *import, const char *root, const char *class, Error *error) {
  char *dir = path_join(root, class), format[64];
  int first = import->entries;
  Listing found;
  bool good = list(&found, dir, false, error);
  snprintf(format, sizeof format, "%s (%%d)%%n", class);
  for (int i = 0; good && i < found.count; i++) {
    const char *file = found.entry[i]->d_name;
    int number = 0, read = 0, stem = (int)volume_stem(file);
    if (sscanf(file, format, &number, &read) < 1 || (read != stem && file[read] != '_'))
      good = fail(error, "%s/%s: expected a name like \"%s (1).png\" or \"%s (1)_mask.png\"", dir,
                  file, class, class);
    if (!good || read != stem) continue; /* a mask */
    char *name = NULL, *begin = NULL;
    if (asprintf(&name, "%s_%03d", class, number) < 0) abort();
    if (asprintf(&begin, "%.*s_mask", stem, file) < 0) abort();
    ImportEntry *entry = picture_add(import, name, path_join(dir, file));
    masks_add(entry, MASK_BRIGHT, dir, &found, begin);
    if (!entry->masks)
      good = fail(error, "%s/%s.png: missing; it is the mask of %s", dir, begin, file);
    free(begin);
  }
  if (good) fifths(import, first);
  if (found.count > 0) listing_free(&found);
  free(dir);
  return good;
}

/* benign and malignant; normal has nothing to find. In the order of texts, so that "benign (10)"
 * stands before "benign (2)": 87 benign and 42 malignant ones a fold, two that never validate. */
bool import_busi(Import *import, const ImportOptions *options, Error *error) {
  *import = (Import){.note = "BUSI says of no picture whose it is: pictures of one patient may "
                             "train and validate"};
  char *root = root_of(options->source, "Dataset_BUSI_with_GT", "benign", "BUSI", error);
  if (!root) return false;
  describe(import, root, "BUSI", "tumour", NULL);
  bool good = busi_class(import, root, "benign", error);
  bool folds = import->folds > 0;
  good = good && busi_class(import, root, "malignant", error);
  if (!folds) import->folds = 0;
  free(root);
  return good;
}

static bool nuclei_add(Import *import, const char *root, const char *id, Error *error) {
  char *dir = NULL, *path = NULL;
  if (asprintf(&dir, "%s/%s/masks", root, id) < 0) abort();
  if (asprintf(&path, "%s/%s/images/%s.png", root, id, id) < 0) abort();
  bool good = access(path, F_OK) == 0 || fail(error, "%s: missing", path);
  ImportEntry *entry = picture_add(import, strdup(id), path);
  Listing found = {0};
  good = good && list(&found, dir, false, error);
  if (good) masks_add(entry, MASK_INSTANCES, dir, &found, "");
  if (found.count > 0) listing_free(&found);
  free(dir);
  return good;
}

/* stage1_train/ID/images/ID.png and masks/ of it, one a nucleus. */
bool import_dsb2018(Import *import, const ImportOptions *options, Error *error) {
  *import = (Import){0};
  char *root = path_join(options->source, "stage1_train");
  if (access(root, F_OK)) {
    free(root);
    root = strdup(options->source);
  }
  describe(import, root, "DSB2018", "nucleus", NULL);
  Listing found;
  bool good = list(&found, root, true, error);
  for (int i = 0; good && i < found.count; i++)
    good = nuclei_add(import, root, found.entry[i]->d_name, error);
  if (good) fifths(import, 0);
  if (found.count > 0) listing_free(&found);
  free(root);
  return good;
}
