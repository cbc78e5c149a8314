#include "src/cli/tasks.h"

#include <stdlib.h>
#include <string.h>

static bool shares(const Task *a, const Task *b) {
  return a != b && a->trial->training[0] && !strcmp(a->trial->training, b->trial->training);
}

/* Of two that share a training: whether a goes first. */
static bool goes_first(const Task *a, const Task *b) {
  return a->leads != b->leads ? a->leads : a < b;
}

static bool is_first(const Task *task, int count, const Task *one) {
  for (int i = 0; i < count; i++)
    if (shares(&task[i], one) && goes_first(&task[i], one)) return false;
  return true;
}

static bool judge_first(Task *one, Store *store, CodeToday *today, Error *error) {
  Share share;
  if (one->anew) return true;
  if (!share_find(store, today, one->trial, &share, error)) return false;
  one->scores = share.kind == SHARE_WEIGHTS;
  if (share.kind == SHARE_NOTHING) snprintf(one->missing, sizeof one->missing, "%s", share.message);
  return true;
}

bool tasks_judge(Task *task, int count, Store *store, const char *home, Error *error) {
  CodeToday today = {.home = home};
  bool good = true;
  for (int i = 0; good && i < count; i++) {
    Task *one = &task[i];
    Status status = one->trial->status;
    if (!one->trial->training[0]) continue;
    good = share_trained(store, one->trial, &one->leads, error);
    one->anew = one->leads && status != STATUS_PLANNED && status != STATUS_INTERRUPTED &&
                status != STATUS_RUNNING;
  }
  for (int i = 0; good && i < count; i++) {
    task[i].scores = !is_first(task, count, &task[i]);
    good = task[i].scores || judge_first(&task[i], store, &today, error);
  }
  code_free(&today);
  return good;
}

void tasks_free(Task *task, int count) {
  for (int i = 0; task && i < count; i++) free(task[i].label);
  free(task);
}

static int tasks_scores(const Task *task, int count) {
  int scores = 0;
  for (int i = 0; i < count; i++) scores += task[i].scores;
  return scores;
}

const char *tasks_shared(const Task *task, int count, char text[64]) {
  int scores = tasks_scores(task, count), trainings = count - scores;
  text[0] = 0;
  if (scores)
    snprintf(text, 64, ": %d training%s, %d score%s of kept weights", trainings,
             trainings == 1 ? "" : "s", scores, scores == 1 ? "" : "s");
  return text;
}

static bool may_start(const Task *task, int count, const Task *one) {
  if (one->state != TASK_WAITS) return false;
  for (int i = 0; i < count; i++) {
    if (!shares(one, &task[i])) continue;
    if (task[i].state == TASK_RUNS && !task[i].scores) return false;
    if (task[i].state == TASK_WAITS && goes_first(&task[i], one)) return false;
  }
  return true;
}

Task *tasks_next(Task *task, int count) {
  for (int i = 0; i < count; i++)
    if (may_start(task, count, &task[i])) return &task[i];
  return NULL;
}

const Task *tasks_trained(const Task *task, int count, const Task *of) {
  for (int i = 0; i < count; i++)
    if (shares(of, &task[i]) && task[i].state == TASK_ENDED && !task[i].scores) return &task[i];
  return NULL;
}
