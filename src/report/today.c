#include "src/report/today.h"

#include <string.h>
#include <unistd.h>

#include "lua/bind.h"
#include "src/data/plan/plan_file.h"
#include "src/store/field.h"

/* The data's folder where it is no phantom; "": it is. */
static const char *folder_of(const json_t *config) {
  const char *path = field_text_if(config, "data_path"), *dir = field_text_if(config, "data_dir");
  const char *found = path[0] ? path : dir, *slash = strrchr(found, '/');
  return strncmp(slash ? slash + 1 : found, "phantom-", 8) ? found : "";
}

json_t *today_read(const char *home, const TodayOf *of, const json_t *config) {
  char path[4200], scale[100], device[100], data[4200], *overrides[3];
  const char *folder = folder_of(config);
  int count = 0;
  Error unread = {""};
  json_t *today = NULL;
  snprintf(path, sizeof path, "%.4000s", of->file);
  if (access(path, R_OK))
    snprintf(path, sizeof path, "%.4000s/experiments/%.80s.lua", home, of->experiment);
  snprintf(scale, sizeof scale, "scale=%.80s", of->scale);
  snprintf(device, sizeof device, "device=%.80s", of->device);
  snprintf(data, sizeof data, "data=%.4000s", folder);
  overrides[count++] = scale;
  overrides[count++] = device;
  if (folder[0]) overrides[count++] = data;
  if (access(path, R_OK) || (folder[0] && access(folder, R_OK))) return NULL;
  return experiment_read(home, path, count, overrides, plan_of_data, &today, &unread) ? today
                                                                                      : NULL;
}
