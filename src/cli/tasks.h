/* The trials that a sweep runs, and which of them waits for which: of those that share a training
 * (share.h) one trains and the others score what it kept. */
#ifndef CLI_TASKS_H
#define CLI_TASKS_H

#include "src/cli/share.h"

typedef enum TaskState { TASK_WAITS, TASK_RUNS, TASK_ENDED } TaskState;

typedef struct Task {
  Cell *trial; /* its status is set when it ends */
  char *label; /* for progress; owned */
  bool leads;  /* it trained by itself before: it is the one that trains */
  bool anew;   /* and is repeated: what is stored does not spare it that */
  bool scores; /* it will only score weights, as it seems now; when it has started, it does */
  char missing[ERROR_BYTES]; /* why the weights of a trained trial cannot be scored, or "" */
  TaskState state;
  int64_t attempt;           /* when it runs */
  char message[ERROR_BYTES]; /* when it ended: what its attempt says */
} Task;

/* Fills leads, anew, scores and missing of new tasks. store may be NULL. */
bool tasks_judge(Task *task, int count, Store *store, const char *home, Error *error);
void tasks_free(Task *task, int count);
/* ": 1 training, 2 scores of kept weights" where any only score, else "". */
const char *tasks_shared(const Task *task, int count, char text[64]);

/* The one that starts next: it waits while one that shares its training runs, or is to train before
 * it. NULL: all have started, or wait. */
Task *tasks_next(Task *task, int count);
/* The one that trained for `of` in this sweep and has ended; NULL: none. */
const Task *tasks_trained(const Task *task, int count, const Task *of);

#endif
