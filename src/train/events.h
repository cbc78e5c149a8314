/* What a trial tells its parent: one JSON object a line (see trial.h). */
#ifndef TRAIN_EVENTS_H
#define TRAIN_EVENTS_H

#include <jansson.h>
#include <stdio.h>

/* Writes and flushes the object, and drops the reference. */
void event_send(FILE *events, json_t *event);

#endif
