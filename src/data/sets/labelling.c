#include "src/data/sets/labelling.h"

Labelling labelling_plain(int values) {
  return (Labelling){.values = values};
}

int labelling_structures(const Labelling *l) {
  return l->regions ? l->regions + 1 : l->values - (l->ignore > 0);
}

int labelling_classes(const Labelling *l) {
  return labelling_structures(l) - (l->regions > 0);
}

bool labelling_holds(const Labelling *l, int structure, int value) {
  if (!l->regions) return value == structure;
  return structure > 0 ? l->region[value] >> (structure - 1) & 1 : value == 0;
}

bool labelling_is_foreground(const Labelling *l, int value) {
  return value && value != l->ignore;
}

bool labelling_centres(const Labelling *l, int structure, int value) {
  if (structure > 0) return labelling_holds(l, structure, value);
  return l->ignore && value != l->ignore;
}

bool labelling_is_plain(const Labelling *l) {
  return !l->regions && !l->ignore;
}

void labelling_targets(const Labelling *l, int32_t target[LABEL_VALUES]) {
  for (int value = 0; value < LABEL_VALUES; value++)
    target[value] = l->regions ? (int32_t)l->region[value] : value;
  if (l->ignore) target[l->ignore] = -1;
}

/* ---- as JSON --------------------------------------------------------------------------------- */

json_t *labelling_json(const Labelling *l) {
  json_t *json = json_object(), *regions = json_array(), *order = json_array();
  if (l->ignore) json_object_set_new(json, "ignore", json_integer(l->ignore));
  for (int r = 1; r <= l->regions; r++) {
    json_t *values = json_array();
    for (int value = 1; value < l->values; value++)
      if (labelling_holds(l, r, value)) json_array_append_new(values, json_integer(value));
    json_array_append_new(regions, values);
    json_array_append_new(order, json_integer(l->order[r - 1]));
  }
  if (l->regions) json_object_set(json, "regions", regions);
  if (l->regions) json_object_set(json, "regions_class_order", order);
  json_decref(regions);
  json_decref(order);
  return json;
}

bool labelling_read(Labelling *l, const json_t *json, int structures) {
  const json_t *regions = json_object_get(json, "regions");
  const json_t *order = json_object_get(json, "regions_class_order");
  size_t count = json_array_size(regions);
  json_int_t ignore = json_integer_value(json_object_get(json, "ignore"));
  *l = (Labelling){.values = count ? 0 : structures, .regions = (int)count, .ignore = (int)ignore};
  bool good = count <= REGIONS_MAX && json_array_size(order) == count && ignore >= 0 &&
              ignore < LABEL_VALUES && structures <= LABEL_VALUES;
  for (size_t r = 0; good && r < count; r++) {
    size_t i;
    json_t *item;
    l->order[r] = (uint8_t)json_integer_value(json_array_get(order, r));
    json_array_foreach(json_array_get(regions, r), i, item) {
      json_int_t value = json_integer_value(item);
      good = good && value > 0 && value < LABEL_VALUES;
      if (!good) break;
      l->region[value] |= 1u << r;
      if (value >= l->values) l->values = (int)value + 1;
    }
  }
  if (ignore) l->values = (int)ignore + 1;
  return good;
}
