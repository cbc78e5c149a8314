#include "src/train/recipe.h"

#include <math.h>
#include <string.h>

static json_t *channel_json(const Normaliser *normaliser, int i, const char *name) {
  const typeof(normaliser->channel[0]) *c = &normaliser->channel[i];
  json_t *channel = json_pack("{s:s, s:s}", "name", name, "scheme", scheme_names[c->scheme]);
  if (c->scheme != SCHEME_CT) return channel;
  json_t *range = json_pack("{s:f, s:f, s:f, s:f}", "low", c->low, "high", c->high, "mean", c->mean,
                            "sd", c->sd);
  json_object_update(channel, range);
  json_decref(range);
  return channel;
}

char *recipe_text(const Recipe *recipe, const Dataset *dataset) {
  const Preprocessing *p = &recipe->preprocessing;
  json_t *channels = json_array(), *labels = json_array();
  for (int i = 0; i < dataset->channels; i++)
    json_array_append_new(channels, channel_json(&p->normaliser, i, dataset->channel_name[i]));
  for (int i = 0; i < dataset->labels; i++)
    json_array_append_new(labels, json_string(dataset->label_name[i]));
  bool planned = recipe->planned;
  json_t *json =
      json_pack("{s:b, s:{s:s, s:[f, f, f], s:b, s:o}, s:o}", "planned", planned, "preprocessing",
                "orientation", planned ? p->orientation : "RAS", "spacing_mm",
                planned ? p->mm[0] : 1, planned ? p->mm[1] : 1, planned ? p->mm[2] : 1,
                "nonzero_mask", p->normaliser.masked, "channels", channels, "labels", labels);
  if (json && !labelling_is_plain(&dataset->labelling))
    json_object_set_new(json, "labelling", labelling_json(&dataset->labelling));
  if (json && recipe->stored[0]) json_object_set_new(json, "stored", json_string(recipe->stored));
  char *text = json ? json_dumps(json, JSON_COMPACT) : NULL;
  CHECK(text, "the recipe of a network cannot be written as JSON");
  json_decref(json);
  return text;
}

bool recipe_read(Recipe *recipe, json_t **labels, const char *text, const char *where,
                 Error *error) {
  *recipe = (Recipe){0};
  json_t *json = json_loads(text, 0, NULL);
  *labels = json_incref(json_object_get(json, "labels"));
  recipe->planned = json_is_true(json_object_get(json, "planned"));
  const char *stored = json_string_value(json_object_get(json, "stored"));
  snprintf(recipe->stored, sizeof recipe->stored, "%s", stored ? stored : "");
  bool good =
      json_array_size(*labels) > 1 || fail(error, "%s: its recipe names no labels: damaged", where);
  good = good && (labelling_read(&recipe->labelling, json_object_get(json, "labelling"),
                                 (int)json_array_size(*labels)) ||
                  fail(error, "%s: its recipe's labelling is damaged", where));
  good = good && preprocessing_read(&recipe->preprocessing, json_object_get(json, "preprocessing"),
                                    where, error);
  if (!good) json_decref(*labels);
  json_decref(json);
  return good;
}

/* The cache that planned trials learn from holds half precision: the same voxels for new images. */
static void round_to_half(Image *image) {
  size_t count = grid_voxels(&image->grid) * (size_t)image->channels;
  for (size_t i = 0; i < count; i++)
    image->data[i] = (float)(_Float16)fminf(fmaxf(image->data[i], -65504), 65504);
}

bool recipe_prepare(const Recipe *recipe, const Image *source, Image *prepared, Frame *frame,
                    Error *error) {
  const Preprocessing *p = &recipe->preprocessing;
  if (recipe->planned) {
    if (!prepare_image(p, source, prepared, frame, error)) return false;
    round_to_half(prepared);
    return true;
  }
  if (source->channels != p->normaliser.channels)
    return fail(error, "%d channel(s), but the trial was trained on %d", source->channels,
                p->normaliser.channels);
  if (!image_alloc(prepared, &source->grid, source->channels, error)) return false;
  memcpy(prepared->data, source->data,
         grid_voxels(&source->grid) * (size_t)source->channels * sizeof(float));
  *frame = frame_identity(&source->grid);
  if (normaliser_apply(&p->normaliser, NULL, prepared, error)) return true;
  image_free(prepared);
  return false;
}
