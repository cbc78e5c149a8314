#include "kernels/planned.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

PlannedGpu planned_gpu;
int64_t gpu_launches;

double planned_property(const char *json, const char *name) {
  char key[64];
  snprintf(key, sizeof key, "\"%s\":", name);
  const char *at = strstr(json, key);
  return at ? strtod(at + strlen(key), NULL) : 0;
}
