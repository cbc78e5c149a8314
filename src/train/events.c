#include "src/train/events.h"

void event_send(FILE *events, json_t *event) {
  if (event) {
    json_dumpf(event, events, JSON_COMPACT);
    fputc('\n', events);
    fflush(events);
  }
  json_decref(event);
}
