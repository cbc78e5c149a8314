/* The folder of a made data set: built beside its place and renamed, so that a killed run leaves no
 * half of one, and marked with what it was made of. Private to src/data. */
#ifndef DATA_PHANTOM_FOLDER_H
#define DATA_PHANTOM_FOLDER_H

#include "base/error.h"

#include <jansson.h>

typedef struct PhantomFolder {
  json_t *description; /* dataset.json, with the options under "harness_phantom" */
  int cases;
  /* Writes case `index` into DIR/imagesTr and DIR/labelsTr; in several threads at once. */
  bool (*write)(const void *options, int index, const char *dir, Error *error);
  const void *options;
  bool numbered; /* it writes into DIR/instancesTr, too */
} PhantomFolder;

/* Nothing is done where `dir` holds what was made of the same options; an error where it holds
 * anything else. */
bool phantom_folder_make(const PhantomFolder *folder, const char *dir, Error *error);

#endif
