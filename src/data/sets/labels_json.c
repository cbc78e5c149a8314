/* "labels" and "regions_class_order" of dataset.json, in nnU-Net v2's terms (labelling.h). */
#include "src/data/sets/dataset_json.h"

#include <string.h>
#include <strings.h>

static const char IGNORE[] = "ignore";

/* A name and the values that it stands for. */
typedef struct Entry {
  const char *name;
  bool holds[LABEL_VALUES];
  int count, least; /* values; the smallest */
} Entry;

typedef struct Entries {
  Entry *item;
  int count;
  const Entry *ignore; /* NULL: none */
  bool regions;
} Entries;

/* The whole of `text` as a number, else -1. */
static long number_of(const char *text) {
  char *end;
  long value = strtol(text, &end, 10);
  return *text >= '0' && *text <= '9' && !*end ? value : -1;
}

static bool entry_add(Entry *entry, const json_t *json) {
  long value = json_is_string(json)    ? number_of(json_string_value(json))
               : json_is_integer(json) ? (long)json_integer_value(json)
                                       : -1;
  if (value < 0 || value >= LABEL_VALUES) return false;
  if (!entry->count || value < entry->least) entry->least = (int)value;
  entry->count += !entry->holds[value];
  return entry->holds[value] = true;
}

/* MSD writes {"1": "liver"}, nnU-Net {"liver": 1} or {"liver": [1, 2]}, and some converters
 * {"liver": "1"}. */
static bool entry_read(Entry *entry, const char *key, const json_t *value) {
  size_t i;
  json_t *item;
  long number = number_of(key);
  *entry = (Entry){.name = key};
  if (number >= 0 && json_is_string(value)) {
    entry->name = json_string_value(value);
    if (number < LABEL_VALUES) entry->holds[number] = true;
    entry->count = 1, entry->least = (int)number;
    return number < LABEL_VALUES;
  }
  if (!json_is_array(value)) return entry_add(entry, value);
  json_array_foreach((json_t *)value, i, item) {
    if (!entry_add(entry, item)) return false;
  }
  return entry->count > 0;
}

static bool entries_read(Entries *entries, const Dataset *dataset, const json_t *labels,
                         Problems *problems) {
  const char *key;
  json_t *value;
  if (json_object_size(labels) > 2 * LABEL_VALUES) {
    problems_add(problems, "%s/dataset.json: \"labels\" names %zu labels; values are 0 to %d",
                 dataset->dir, json_object_size(labels), LABEL_VALUES - 1);
    return false;
  }
  entries->item = calloc(json_object_size(labels), sizeof *entries->item);
  CHECK(entries->item, "no memory for %zu labels", json_object_size(labels));
  json_object_foreach((json_t *)labels, key, value) {
    Entry *entry = &entries->item[entries->count++];
    if (!entry_read(entry, key, value)) {
      problems_add(problems,
                   "%s/dataset.json: label \"%s\" is neither a value from 0 to %d nor a list of "
                   "them (a region)",
                   dataset->dir, key, LABEL_VALUES - 1);
      return false;
    }
    if (!strcmp(entry->name, IGNORE))
      entries->ignore = entry;
    else
      entries->regions |= entry->count > 1;
  }
  return true;
}

/* What 0 is called where nothing is labelled; nnU-Net knows the first alone. */
static bool means_background(const char *name) {
  static const char *const words[] = {"background",  "bg",         "none",    "nothing",
                                      "other",       "unlabeled",  "void",    "outside",
                                      "clear label", "unlabelled", "exterior"};
  for (size_t i = 0; i < sizeof words / sizeof *words; i++)
    if (!strcasecmp(name, words[i])) return true;
  return false;
}

static bool background_check(const Dataset *dataset, const Entries *entries, Problems *problems) {
  const Entry *zero = NULL;
  int before = problems->count;
  for (int i = 0; i < entries->count; i++) {
    const Entry *entry = &entries->item[i];
    if (entry->holds[0]) zero = entry;
    if (entry->least != 0 && !strcasecmp(entry->name, "background"))
      problems_add(problems,
                   "%s/dataset.json: \"%s\" has the value %d, but the background must be 0, in "
                   "the label files too: it is neither trained nor scored",
                   dataset->dir, entry->name, entry->least);
  }
  if (problems->count == before && (!zero || (zero->count == 1 && !means_background(zero->name))))
    problems_add(problems,
                 "%s/dataset.json: %s%s%s; 0 is what is not labelled, and must be named "
                 "\"background\"",
                 dataset->dir, zero ? "the value 0 is named \"" : "no label has the value 0",
                 zero ? zero->name : "", zero ? "\"" : "");
  return problems->count == before;
}

/* Tables and reports know a label by its name. */
static bool names_differ(const Dataset *dataset, const Entries *entries, Problems *problems) {
  int before = problems->count;
  for (int i = 0; i < entries->count; i++)
    if (!entries->item[i].name[0])
      problems_add(problems, "%s/dataset.json: label %d has no name", dataset->dir,
                   entries->item[i].least);
  for (int i = 1; i < entries->count; i++)
    for (int k = 0; k < i; k++)
      if (!strcmp(entries->item[i].name, entries->item[k].name))
        problems_add(problems, "%s/dataset.json: the labels %d and %d are both named \"%s\"",
                     dataset->dir, entries->item[k].least, entries->item[i].least,
                     entries->item[i].name);
  return problems->count == before;
}

/* ---- plain ----------------------------------------------------------------------------------- */

static bool ignore_read(Dataset *dataset, const Entry *ignore, Problems *problems) {
  Labelling *labelling = &dataset->labelling;
  if (ignore->count == 1 && ignore->least == labelling->values) {
    labelling->ignore = labelling->values++;
    return true;
  }
  problems_add(problems,
               "%s/dataset.json: label \"ignore\" marks voxels that nobody annotated and must be "
               "one value, the highest, here %d, right above the others; found %s%d",
               dataset->dir, labelling->values, ignore->count > 1 ? "a list, from " : "",
               ignore->least);
  return false;
}

static bool plain_read(Dataset *dataset, const Entries *entries, Problems *problems) {
  dataset->labelling = labelling_plain(entries->count - (entries->ignore != NULL));
  if (entries->ignore && !ignore_read(dataset, entries->ignore, problems)) return false;
  int structures = labelling_structures(&dataset->labelling);
  for (int i = 0; i < entries->count; i++) {
    const Entry *entry = &entries->item[i];
    if (entry == entries->ignore) continue;
    if (entry->least >= structures || dataset->label_name[entry->least]) {
      problems_add(problems,
                   "%s/dataset.json: label \"%s\" is not one of the values 0..%d, each used once",
                   dataset->dir, entry->name, structures - 1);
      return false;
    }
    dataset->label_name[entry->least] = strdup(entry->name);
  }
  return true;
}

/* ---- regions --------------------------------------------------------------------------------- */

static bool region_read(Dataset *dataset, const Entry *entry, Problems *problems) {
  Labelling *labelling = &dataset->labelling;
  if (entry->least == 0 && entry->count > 1)
    problems_add(problems, "%s/dataset.json: region \"%s\" holds 0, which is background",
                 dataset->dir, entry->name);
  else if (entry->least == 0 && dataset->label_name[0])
    problems_add(problems, "%s/dataset.json: \"%s\" and \"%s\" are both 0, which is background",
                 dataset->dir, dataset->label_name[0], entry->name);
  else if (entry->least > 0 && labelling->regions == REGIONS_MAX)
    problems_add(problems, "%s/dataset.json: more than %d regions", dataset->dir, REGIONS_MAX);
  else {
    int structure = entry->least ? ++labelling->regions : 0;
    dataset->label_name[structure] = strdup(entry->name);
    for (int value = 0; value < LABEL_VALUES; value++) {
      if (!entry->holds[value]) continue;
      if (structure) labelling->region[value] |= 1u << (structure - 1);
      if (value >= labelling->values) labelling->values = value + 1;
    }
    return true;
  }
  return false;
}

/* What is painted for a region must be of it, or the map does not say what the network did. */
static bool order_read(Dataset *dataset, const json_t *order, Problems *problems) {
  Labelling *labelling = &dataset->labelling;
  int count = (int)json_array_size(order);
  if (count != labelling->regions) {
    problems_add(problems,
                 "%s/dataset.json: labels that are regions (lists of values) need "
                 "\"regions_class_order\": a list of %d values, what a prediction writes for each "
                 "region, later ones over earlier ones; found %d",
                 dataset->dir, labelling->regions, count);
    return false;
  }
  for (int r = 0; r < count; r++) {
    const json_t *item = json_array_get(order, (size_t)r);
    json_int_t value = json_integer_value(item);
    bool known = value > 0 && value < labelling->values;
    if (known && labelling_holds(labelling, r + 1, (int)value)) {
      labelling->order[r] = (uint8_t)value;
      continue;
    }
    char *found = json_dumps(item, JSON_ENCODE_ANY | JSON_COMPACT);
    problems_add(problems,
                 "%s/dataset.json: regions_class_order[%d] is %s, which is no value of region "
                 "\"%s\"",
                 dataset->dir, r, found ? found : "no JSON value", dataset->label_name[r + 1]);
    free(found);
    return false;
  }
  return true;
}

static bool regions_read(Dataset *dataset, const Entries *entries, const json_t *order,
                         Problems *problems) {
  for (int i = 0; i < entries->count; i++)
    if (&entries->item[i] != entries->ignore && !region_read(dataset, &entries->item[i], problems))
      return false;
  const Labelling *labelling = &dataset->labelling;
  for (int value = 1; value < labelling->values; value++) {
    if (labelling->region[value]) continue;
    problems_add(problems,
                 "%s/dataset.json: \"labels\" has no region with the value %d, though values up to "
                 "%d are in use",
                 dataset->dir, value, labelling->values - 1);
    return false;
  }
  return (!entries->ignore || ignore_read(dataset, entries->ignore, problems)) &&
         order_read(dataset, order, problems);
}

/* ---- either ---------------------------------------------------------------------------------- */

bool labels_json_read(Dataset *dataset, const json_t *root, Problems *problems) {
  const json_t *labels = json_object_get(root, "labels");
  Entries entries = {0};
  if (!json_is_object(labels) || json_object_size(labels) < 2) {
    problems_add(problems,
                 "%s/dataset.json: \"labels\" must name background and at least one label",
                 dataset->dir);
    return false;
  }
  const json_t *order = json_object_get(root, "regions_class_order");
  bool good = entries_read(&entries, dataset, labels, problems) &&
              background_check(dataset, &entries, problems) &&
              names_differ(dataset, &entries, problems);
  if (good)
    good = entries.regions ? regions_read(dataset, &entries, order, problems)
                           : plain_read(dataset, &entries, problems);
  if (good && labelling_structures(&dataset->labelling) < 2) {
    problems_add(problems, "%s/dataset.json: \"labels\" names nothing to learn beside background",
                 dataset->dir);
    good = false;
  }
  if (good) dataset->labels = labelling_structures(&dataset->labelling);
  free(entries.item);
  return good;
}

void labels_json_write(const Dataset *dataset, json_t *root) {
  const Labelling *labelling = &dataset->labelling;
  json_t *labels = json_object(), *sets = labelling_json(labelling);
  json_t *regions = json_object_get(sets, "regions");
  for (int i = 0; i < dataset->labels; i++)
    json_object_set_new(labels, dataset->label_name[i],
                        i && regions ? json_incref(json_array_get(regions, (size_t)i - 1))
                                     : json_integer(i));
  if (labelling->ignore) json_object_set_new(labels, IGNORE, json_integer(labelling->ignore));
  json_object_set_new(root, "labels", labels);
  if (regions)
    json_object_set(root, "regions_class_order", json_object_get(sets, "regions_class_order"));
  json_decref(sets);
}

void labels_value_names(const Dataset *dataset, char *name[LABEL_VALUES]) {
  const Labelling *labelling = &dataset->labelling;
  static char ignored[] = "(ignored)", part[] = "(part of a region)";
  for (int value = 0; value < labelling->values; value++)
    name[value] = labelling->regions ? part : dataset->label_name[value];
  for (int r = 0; r < labelling->regions; r++)
    name[labelling->order[r]] = dataset->label_name[r + 1];
  if (labelling->ignore) name[labelling->ignore] = ignored;
}
