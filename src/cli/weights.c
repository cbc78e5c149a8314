#include "src/cli/weights.h"
#include "src/train/config.h"

#include <omp.h>
#include <unistd.h>

json_t *weights_config(const char *home, const Store *store, const char *hash, const char *text) {
  char path[4400];
  snprintf(path, sizeof path, "%.4000s/checkpoints/%s.safetensors", store_folder(store), hash);
  if (access(path, R_OK) != 0) return NULL;
  json_t *config = json_loads(text, 0, NULL);
  CHECK(config, "a stored configuration is not JSON");
  json_object_set_new(config, "home", json_string(home));
  json_object_set_new(config, "checkpoint", json_string(path));
  omp_set_num_threads((int)config_int(config, "threads"));
  return config;
}
