/* dataset.json and, behind a line of "====", splits_final.json: of a folder with a few cases, whose
 * volumes are not opened. */
#include "src/data/sets/dataset.h"
#include "src/data/sets/split.h"
#include "tests/fuzz/fuzz.h"

#include <string.h>
#include <unistd.h>

static const char divider[] = "\n====\n";

static void make_cases(void) {
  static const char *const cases[] = {"a", "b", "c", "patient001_d", "patient001_e", "f"};
  static bool made;
  char name[64];
  for (int i = 0; !made && i < 6; i++) {
    snprintf(name, sizeof name, "imagesTr/%s_0000.nii.gz", cases[i]);
    fuzz_write(name, "", 0);
    snprintf(name, sizeof name, "labelsTr/%s.nii.gz", cases[i]);
    fuzz_write(name, "", 0);
  }
  made = true;
}

static void write_files(const uint8_t *data, size_t bytes) {
  size_t end = strlen(divider), first = bytes;
  for (size_t i = 0; i + end <= bytes && first == bytes; i++)
    if (!memcmp(data + i, divider, end)) first = i;
  char path[512];
  fuzz_write("dataset.json", data, first);
  snprintf(path, sizeof path, "%s/splits_final.json", fuzz_folder());
  unlink(path);
  if (first < bytes) fuzz_write("splits_final.json", data + first + end, bytes - first - end);
}

static void divide(const Dataset *dataset, const char *rule, int fold) {
  Split split;
  Error error = {""}, inner = {""};
  bool good = split_make(&split, dataset, rule, fold, &error);
  fuzz_judge(good, &error);
  if (!good) return;
  fuzz_judge(split_inner(&split, dataset, 3, &inner), &inner);
  split_free(&split);
}

static void turn_around(const Dataset *dataset) {
  json_t *json = labelling_json(&dataset->labelling);
  Labelling again;
  CHECK(labelling_read(&again, json, labelling_structures(&dataset->labelling)),
        "labels that were read cannot be read again");
  json_decref(json);
}

void fuzz_dataset(const uint8_t *data, size_t bytes) {
  Dataset dataset;
  Error error = {""}, hashed = {""};
  char hash[DATASET_HASH_BYTES], *name[LABEL_VALUES];
  make_cases();
  write_files(data, bytes);
  bool good = dataset_open(&dataset, fuzz_folder(), &error);
  fuzz_judge(good, &error);
  if (!good) return;
  for (int fold = -1; fold < 6; fold++) divide(&dataset, split_rule(&dataset), fold);
  labels_value_names(&dataset, name);
  turn_around(&dataset);
  fuzz_judge(dataset_hash(&dataset, hash, &hashed), &hashed);
  dataset_free(&dataset);
}
