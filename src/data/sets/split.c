#include "src/data/sets/split.h"
#include "base/rng.h"
#include "src/data/sets/json_text.h"

#include <ctype.h>
#include <string.h>
#include <unistd.h>

/* ---- scikit-learn's order -------------------------------------------------------------------- */

/* MT19937 (Matsumoto and Nishimura 1998), seeded with one number, and NumPy's legacy shuffle over
 * it: Fisher-Yates from the end, each index drawn by masking 32 bits and rejecting what is too
 * large. */

enum { WORDS = 624, AHEAD = 397 };

typedef struct Twister {
  uint32_t word[WORDS];
  int used;
} Twister;

static void twister_seed(Twister *t, uint32_t seed) {
  t->word[0] = seed;
  for (uint32_t i = 1; i < WORDS; i++)
    t->word[i] = 1812433253u * (t->word[i - 1] ^ t->word[i - 1] >> 30) + i;
  t->used = WORDS;
}

static void twister_turn(Twister *t) {
  for (int i = 0; i < WORDS; i++) {
    uint32_t pair = (t->word[i] & 0x80000000u) | (t->word[(i + 1) % WORDS] & 0x7fffffffu);
    t->word[i] = t->word[(i + AHEAD) % WORDS] ^ pair >> 1 ^ (pair & 1 ? 0x9908b0dfu : 0);
  }
  t->used = 0;
}

static uint32_t twister_next(Twister *t) {
  if (t->used == WORDS) twister_turn(t);
  uint32_t x = t->word[t->used++];
  x ^= x >> 11;
  x ^= x << 7 & 0x9d2c5680u;
  x ^= x << 15 & 0xefc60000u;
  return x ^ x >> 18;
}

/* 0 .. most, all equally likely. */
static uint32_t twister_up_to(Twister *t, uint32_t most) {
  uint32_t mask = most, drawn;
  for (int shift = 1; shift < 32; shift *= 2) mask |= mask >> shift;
  do drawn = twister_next(t) & mask;
  while (drawn > most);
  return drawn;
}

void numpy_shuffle(uint32_t seed, int *order, int count) {
  Twister twister;
  twister_seed(&twister, seed);
  for (int i = 0; i < count; i++) order[i] = i;
  for (int i = count - 1; i > 0; i--) {
    uint32_t other = twister_up_to(&twister, (uint32_t)i);
    int kept = order[i];
    order[i] = order[other];
    order[other] = kept;
  }
}

/* ---- the split ------------------------------------------------------------------------------- */

size_t split_patient(const char *name) {
  const char *at = name + strlen("patient");
  if (strncmp(name, "patient", strlen("patient")) || !isdigit((unsigned char)*at)) return 0;
  while (isdigit((unsigned char)*at)) at++;
  return *at == '_' ? (size_t)(at - name) + 1 : 0;
}

/* Cases are sorted, so a patient's stand together. group (cases) -> how many groups. */
static int groups_find(const Dataset *dataset, int *group) {
  int groups = 0;
  for (int i = 0; i < dataset->cases; i++) {
    const char *name = dataset->item[i].name;
    size_t length = split_patient(name);
    bool same = i && length && !strncmp(name, dataset->item[i - 1].name, length);
    if (!same) groups++;
    group[i] = groups - 1;
  }
  return groups;
}

/* The shuffle of trials stored before the folds were nnU-Net's. order (count). */
static void own_shuffle(int *order, int count) {
  Rng rng = rng_make(SPLIT_SEED, RNG_SPLIT, 0);
  for (int i = 0; i < count; i++) order[i] = i;
  for (int i = count - 1; i > 0; i--) {
    int other = (int)rng_below(&rng, (uint32_t)i + 1), kept = order[i];
    order[i] = order[other];
    order[other] = kept;
  }
}

/* validates (cases): true where the case validates. As scikit-learn's KFold: the first n mod k
 * folds are one larger. */
static bool from_folds(const Dataset *dataset, bool kfold, int fold, bool *validates,
                       Error *error) {
  if (fold >= SPLIT_FOLDS) return fail(error, "fold %d: expected 0..%d", fold, SPLIT_FOLDS - 1);
  int *group = malloc(2 * (size_t)dataset->cases * sizeof(int));
  int *order = group + dataset->cases;
  int groups = groups_find(dataset, group);
  if (groups < SPLIT_FOLDS) {
    free(group);
    return fail(error,
                "%s: %d independent case(s) cannot be divided into %d folds; add cases, or "
                "write splits_final.json",
                dataset->dir, groups, SPLIT_FOLDS);
  }
  if (kfold)
    numpy_shuffle(SPLIT_SEED, order, groups);
  else
    own_shuffle(order, groups);
  int size = groups / SPLIT_FOLDS, larger = groups % SPLIT_FOLDS;
  int first = fold * size + (fold < larger ? fold : larger);
  int past = first + size + (fold < larger);
  for (int at = first; at < past; at++)
    for (int i = 0; i < dataset->cases; i++) validates[i] |= group[i] == order[at];
  free(group);
  return true;
}

static bool from_blocks(const Dataset *dataset, int fold, bool *validates, Error *error) {
  int block = dataset->validation, past = dataset->cases - fold * block;
  if (past < block)
    return fail(error,
                "%s: fold %d asked for, but %d cases hold only %d validation blocks of %d "
                "(folds 0..%d)",
                dataset->dir, fold, dataset->cases, dataset->cases / block, block,
                dataset->cases / block - 1);
  for (int i = past - block; i < past; i++) validates[i] = true;
  return true;
}

static int case_index(const Dataset *dataset, const char *name) {
  for (int i = 0; i < dataset->cases; i++)
    if (!strcmp(dataset->item[i].name, name)) return i;
  return -1;
}

/* " (names are without their ending: c1)" where that is what a name lacks, or nothing. */
static void ending_hint(const Dataset *dataset, const char *name, char *hint, size_t bytes) {
  *hint = 0;
  for (int i = 0; name && i < dataset->cases; i++) {
    const char *known = dataset->item[i].name;
    size_t length = strlen(known);
    if (!strncmp(name, known, length) && name[length] == '.')
      snprintf(hint, bytes, " (names are without their ending: %.80s)", known);
  }
}

/* Marks the named cases; `role` is "train" or "val". */
static bool names_mark(const Dataset *dataset, const char *path, int fold, const json_t *names,
                       const char *role, int mark, int *uses, Error *error) {
  size_t i;
  json_t *item;
  if (!json_array_size(names))
    return fail(error, "%s: fold %d: \"%s\" is missing or empty", path, fold, role);
  json_array_foreach((json_t *)names, i, item) {
    const char *name = json_string_value(item);
    int index = name ? case_index(dataset, name) : -1;
    if (index < 0) {
      char hint[128];
      ending_hint(dataset, name, hint, sizeof hint);
      return fail(error, "%s: fold %d: \"%s\" names case %s, which the folder does not hold%s",
                  path, fold, role, name ? name : "(not a string)", hint);
    }
    if (uses[index])
      return fail(error,
                  "%s: fold %d: case %s stands twice in it (training and validation must not "
                  "share cases)",
                  path, fold, name);
    uses[index] = mark;
  }
  return true;
}

/* A patient's cases stand together, so neighbours tell. */
static bool patients_apart(const Dataset *dataset, const char *path, int fold, const int *uses,
                           Error *error) {
  int *group = malloc((size_t)dataset->cases * sizeof(int)), with = -1;
  CHECK(group, "out of memory for %d cases", dataset->cases);
  groups_find(dataset, group);
  bool good = true;
  for (int i = 0; good && i < dataset->cases; i++) {
    if (!uses[i]) continue;
    if (with >= 0 && group[with] == group[i] && uses[with] != uses[i])
      good = fail(error,
                  "%s: fold %d: cases %s and %s are of one patient, but one trains and the other "
                  "validates",
                  path, fold, dataset->item[with].name, dataset->item[i].name);
    with = i;
  }
  free(group);
  return good;
}

/* uses (cases): 0 unused, 1 training, 2 validation. */
static bool from_entry(const Dataset *dataset, const char *path, const json_t *entry, int fold,
                       int *uses, Error *error) {
  return names_mark(dataset, path, fold, json_object_get(entry, "train"), "train", 1, uses,
                    error) &&
         names_mark(dataset, path, fold, json_object_get(entry, "val"), "val", 2, uses, error) &&
         patients_apart(dataset, path, fold, uses, error);
}

static json_t *file_load(const char *path, Error *error) {
  json_t *root = json_file_load(path, 0, error);
  if (!root || json_array_size(root)) return root;
  fail(error, "%s: expected a list of folds, [{\"train\": [names], \"val\": [names]}]", path);
  json_decref(root);
  return NULL;
}

static bool from_file(const Dataset *dataset, const char *path, int fold, int *uses, Error *error) {
  json_t *root = file_load(path, error);
  if (!root) return false;
  const json_t *entry = json_array_get(root, (size_t)fold);
  bool fine = entry || fail(error, "%s: fold %d asked for, but it lists %zu fold(s)", path, fold,
                            json_array_size(root));
  fine = fine && from_entry(dataset, path, entry, fold, uses, error);
  json_decref(root);
  return fine;
}

static char *file_path(const Dataset *dataset) {
  return path_join(dataset->dir, "splits_final.json");
}

void split_check(const Dataset *dataset, Problems *problems) {
  char *path = file_path(dataset);
  Error error = {""};
  json_t *root = access(path, F_OK) == 0 ? file_load(path, &error) : NULL;
  if (error.text[0]) problems_add(problems, "%s", error.text);
  for (size_t fold = 0; fold < json_array_size(root); fold++) {
    int *uses = calloc((size_t)dataset->cases, sizeof(int));
    Error inner = {""};
    CHECK(uses, "out of memory for %d cases", dataset->cases);
    if (!from_entry(dataset, path, json_array_get(root, fold), (int)fold, uses, &inner))
      problems_add(problems, "%s", inner.text);
    free(uses);
  }
  json_decref(root);
  free(path);
}

const char *split_rule(const Dataset *dataset) {
  char *path = file_path(dataset);
  bool said = access(path, F_OK) == 0 || dataset->validation;
  free(path);
  return said ? NULL : SPLIT_KFOLD;
}

static bool from_rule(const Dataset *dataset, bool kfold, int fold, int *uses, Error *error) {
  bool *validates = calloc((size_t)dataset->cases, sizeof(bool));
  CHECK(validates, "out of memory for %d cases", dataset->cases);
  bool fine = !kfold && dataset->validation ? from_blocks(dataset, fold, validates, error)
                                            : from_folds(dataset, kfold, fold, validates, error);
  for (int i = 0; i < dataset->cases; i++) uses[i] = validates[i] ? 2 : 1;
  free(validates);
  return fine;
}

static bool uses_find(const Dataset *dataset, const char *rule, int fold, int *uses, Error *error) {
  if (rule && strcmp(rule, SPLIT_KFOLD))
    return fail(error, "split = \"%s\": this program knows %s alone", rule, SPLIT_KFOLD);
  char *path = file_path(dataset);
  bool fine = !rule && access(path, F_OK) == 0
                  ? from_file(dataset, path, fold, uses, error)
                  : from_rule(dataset, rule != NULL, fold, uses, error);
  free(path);
  return fine;
}

bool split_make(Split *split, const Dataset *dataset, const char *rule, int fold, Error *error) {
  *split = (Split){0};
  if (fold < 0) return fail(error, "fold %d: expected 0 or more", fold);
  size_t cases = (size_t)dataset->cases;
  int *uses = calloc(cases, sizeof(int));
  if (uses_find(dataset, rule, fold, uses, error)) {
    split->training = malloc(cases * sizeof(int));
    split->validation = malloc(cases * sizeof(int));
    for (int i = 0; i < dataset->cases; i++) {
      if (uses[i] == 1) split->training[split->trainings++] = i;
      if (uses[i] == 2) split->validation[split->validations++] = i;
    }
  }
  free(uses);
  if (!split->training) return false;
  if (split->trainings && split->validations) return true;
  split_free(split);
  return fail(error, "%s: fold %d leaves no case to train on", dataset->dir, fold);
}

/* The training cases' groups, numbered in the order of names. group (trainings) -> how many. */
static int inner_groups(const Split *split, const Dataset *dataset, int *group) {
  int *all = malloc((size_t)dataset->cases * sizeof(int)), groups = 0;
  CHECK(all, "out of memory for %d cases", dataset->cases);
  groups_find(dataset, all);
  for (int i = 0; i < split->trainings; i++) {
    bool same = i && all[split->training[i]] == all[split->training[i - 1]];
    groups += !same;
    group[i] = groups - 1;
  }
  free(all);
  return groups;
}

bool split_inner(Split *split, const Dataset *dataset, int every, Error *error) {
  if (every < 2) return fail(error, "inner_split = %d: expected 2 or more", every);
  int *group = malloc((size_t)split->trainings * sizeof(int));
  CHECK(group, "out of memory for %d cases", split->trainings);
  int groups = inner_groups(split, dataset, group), kept = 0;
  if (groups < 2) {
    free(group);
    return fail(error,
                "%s: its %d training case(s) are no two independent ones: they cannot be "
                "divided again into cases to train on and cases to choose by",
                dataset->dir, split->trainings);
  }
  int *validation = malloc((size_t)split->trainings * sizeof(int)), validations = 0;
  CHECK(validation, "out of memory for %d cases", split->trainings);
  for (int i = 0; i < split->trainings; i++) {
    bool validates = group[i] % every == every - 1 || (groups < every && group[i] == groups - 1);
    if (validates)
      validation[validations++] = split->training[i];
    else
      split->training[kept++] = split->training[i];
  }
  free(group);
  free(split->validation);
  split->trainings = kept;
  split->validation = validation;
  split->validations = validations;
  return true;
}

void split_free(Split *split) {
  free(split->training);
  free(split->validation);
  *split = (Split){0};
}
