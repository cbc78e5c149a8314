/* What dataset.json says, apart from which files are there. Private to src/data. */
#ifndef DATA_DATASET_JSON_H
#define DATA_DATASET_JSON_H

#include "src/data/sets/problems.h"

#include <jansson.h>

/* NULL after a problem; else the root, to be released with json_decref. */
json_t *dataset_json_load(const char *dir, Problems *problems);
/* Fills name, labels, channels and validation; false after a problem. */
bool dataset_json_describe(Dataset *dataset, const json_t *root, Problems *problems);
/* Fills labelling, labels and label_name from "labels" and "regions_class_order". */
bool labels_json_read(Dataset *dataset, const json_t *root, Problems *problems);
/* The reverse: sets both in the root. */
void labels_json_write(const Dataset *dataset, json_t *root);

#endif
