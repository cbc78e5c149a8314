#include "src/train/trial.h"

int trial_main(const json_t *config, FILE *events) {
  (void)config;
  fprintf(events, "{\"event\":\"end\",\"status\":\"failed\","
                  "\"message\":\"this build has no trainer\"}\n");
  return 1;
}
