/* The course of a training: what it has told so far and has gathered to tell next. Kept with its
 * checkpoint, so that one that was stopped, at whatever step, tells the curve of the undisturbed
 * one and comes to its judgement; weights, optimiser and average are the parameters', batches and
 * rates are functions of the step alone. */
#ifndef TRAIN_COURSE_H
#define TRAIN_COURSE_H

#include "engine/stepper.h"
#include "src/store/event.h"
#include "src/train/watch.h"

/* What is told of the steps since the last report: means, so that a curve shows the training and
 * not the draw of one batch. */
typedef struct Window {
  double value[STEPPER_RESULTS], norm; /* sums */
  int steps, clipped;
} Window;

typedef struct Course {
  Window window;
  json_t *told; /* the step events, in JSON; NULL: none yet */
} Course;

/* Sends a step event and remembers it. */
void course_tell(Course *course, FILE *events, const Event *step);
/* Sends again all that was told. */
void course_repeat(const Course *course, FILE *events);
/* With what the rule of collapse has measured: as JSON, to be freed, and back. `path` begins the
 * error. */
char *course_text(const Course *course, const CollapseWatch *watch);
bool course_read(Course *course, CollapseWatch *watch, const char *text, const char *path,
                 Error *error);
void course_free(Course *course);

#endif
