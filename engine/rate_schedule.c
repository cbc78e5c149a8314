#include "engine/rate_schedule.h"

#include <math.h>
#include <stddef.h>
#include <string.h>

static const double PI = 3.14159265358979323846;

static double poly(const RateSchedule *s, double lr, int64_t t, int64_t T) {
  (void)s;
  return lr * pow(1 - (double)t / (double)T, 0.9);
}

static double cosine(const RateSchedule *s, double lr, int64_t t, int64_t T) {
  return s->lr_min + (lr - s->lr_min) * (1 + cos(PI * (double)t / (double)T)) / 2;
}

static double step_down(const RateSchedule *s, double lr, int64_t t, int64_t T) {
  (void)T;
  return lr * pow(s->step_factor, floor((double)t / s->step_every));
}

static double constant(const RateSchedule *s, double lr, int64_t t, int64_t T) {
  (void)s;
  (void)t;
  (void)T;
  return lr;
}

static const Option step_options[] = {
    {"step_every", OPTION_INT, offsetof(RateSchedule, step_every), 1000, 1, 100000000, NULL, NULL,
     "steps between two falls of the rate"},
    {"step_factor", OPTION_FLOAT, offsetof(RateSchedule, step_factor), .5, 0, 1, NULL, NULL,
     "what is left of the rate after each"},
    {0},
};
static const Option cosine_options[] = {
    {"cycles", OPTION_INTS, offsetof(RateSchedule, cycles), 0, 1, 100000000, NULL, "",
     "steps of each of several cosines, one after another; none: one over the whole training"},
    {"cycle_percent", OPTION_INTS, offsetof(RateSchedule, cycle_percent), 0, 0, 1000, NULL, "",
     "where each of them begins, in percent of lr; missing ones: 100"},
    {0},
};
static const Option none[] = {{0}};

const RateScheduleRow rate_schedule_table[SCHEDULES] = {
    [SCHEDULE_poly] = {"poly", "falls to 0 as (1 - step / steps)^.9", none, poly},
    [SCHEDULE_cosine] = {"cosine", "falls to lr_min as half a cosine, once or in cycles",
                         cosine_options, cosine},
    [SCHEDULE_step] = {"step", "falls by a factor every so many steps", step_options, step_down},
    [SCHEDULE_constant] = {"constant", "stays", none, constant},
};

const RateScheduleRow *rate_schedule_find(const char *name) {
  for (int i = 0; i < SCHEDULES; i++)
    if (strcmp(rate_schedule_table[i].name, name) == 0) return &rate_schedule_table[i];
  return NULL;
}

/* One run of the schedule: from its warm-up to its end after `steps`. */
static double run(const RateSchedule *s, double lr, int64_t step, int64_t steps) {
  if (step < s->warmup) return lr * (double)(step + 1) / (double)s->warmup;
  if (step >= steps) return s->lr_min;
  double rate = rate_schedule_table[s->id].rate(s, lr, step - s->warmup, steps - s->warmup);
  return rate > s->lr_min ? rate : s->lr_min;
}

double rate_schedule_at(const RateSchedule *s, int64_t step) {
  if (s->id != SCHEDULE_cosine || !s->cycles.count) return run(s, s->lr, step, s->steps);
  int cycle = 0;
  while (cycle < s->cycles.count && step >= s->cycles.v[cycle]) step -= s->cycles.v[cycle++];
  if (cycle == s->cycles.count) return s->lr_min;
  int percent = cycle < s->cycle_percent.count ? s->cycle_percent.v[cycle] : 100;
  return run(s, s->lr * percent / 100, step, s->cycles.v[cycle]);
}
