#include "src/data/sets/dataset_json.h"

#include "base/utf8.h"
#include "src/data/sets/json_text.h"

#include <string.h>
#include <unistd.h>

json_t *dataset_json_load(const char *dir, Problems *problems) {
  char *path = path_join(dir, "dataset.json");
  Error error = {""};
  json_t *root = NULL;
  if (access(path, R_OK) != 0)
    problems_add(problems,
                 "%s: not found or not readable; expected a folder in nnU-Net v2 or "
                 "Medical Segmentation Decathlon layout",
                 path);
  else if (!(root = json_file_load(path, JSON_REJECT_DUPLICATES, &error)))
    problems_add(problems, "%s", error.text);
  else if (!json_is_object(root)) {
    problems_add(problems, "%s: expected a JSON object at the top", path);
    json_decref(root);
    root = NULL;
  }
  free(path);
  return root;
}

static bool channels_read(Dataset *dataset, const json_t *root, Problems *problems) {
  const json_t *names = json_object_get(root, "channel_names");
  if (!names) names = json_object_get(root, "modality");
  size_t count = json_object_size(names);
  if (count < 1 || count > CHANNELS_MAX) {
    problems_add(problems,
                 "%s/dataset.json: \"channel_names\" (or \"modality\") must name 1..%d "
                 "channels, as in {\"0\": \"CT\"}; found %zu",
                 dataset->dir, CHANNELS_MAX, count);
    return false;
  }
  dataset->channel_name = calloc(count, sizeof(char *));
  dataset->channels = (int)count;
  for (int i = 0; i < dataset->channels; i++) {
    char key[16];
    snprintf(key, sizeof key, "%d", i);
    const char *name = json_string_value(json_object_get(names, key));
    dataset->channel_name[i] = strdup(name ? name : "");
    if (name) continue;
    problems_add(problems, "%s/dataset.json: channel \"%d\" has no name", dataset->dir, i);
    return false;
  }
  return true;
}

/* What the folder is called, "." or ".." too; to be freed. */
static char *folder_name(const char *dir) {
  const char *slash = strrchr(dir, '/'), *name = slash && slash[1] ? slash + 1 : dir;
  char *real = strcmp(name, ".") && strcmp(name, "..") ? NULL : realpath(dir, NULL);
  if (real && strrchr(real, '/')[1]) name = strrchr(real, '/') + 1;
  char *shown = utf8_shown(name);
  free(real);
  return shown;
}

bool dataset_json_describe(Dataset *dataset, const json_t *root, Problems *problems) {
  const char *name = json_string_value(json_object_get(root, "name"));
  dataset->name = name && *name ? strdup(name) : folder_name(dataset->dir);
  dataset->validation = (int)json_integer_value(json_object_get(root, "harness_validation"));
  bool labels = labels_json_read(dataset, root, problems);
  return channels_read(dataset, root, problems) && labels;
}
