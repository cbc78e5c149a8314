#define _GNU_SOURCE /* ppoll */
#include "src/cli/schedule.h"

#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/interrupt.h"
#include "src/cli/progress.h"
#include "src/cli/share.h"

enum { EXIT_INTERRUPTED = 75, JOBS_MAX = 256, TICK_MS = 250 };
static const double FLUSH_S = 1; /* a step every few ms must not mean a disk write every few ms */

static Interrupt told;
static volatile sig_atomic_t saves, patient;
static volatile pid_t children[JOBS_MAX]; /* for the second wish, which waits for nothing */

static void on_signal(int number) {
  (void)number;
  if (interrupt_hear(&told) < 2 || patient) return;
  for (int i = 0; i < JOBS_MAX; i++)
    if (children[i] > 0) kill(children[i], SIGKILL);
  _exit(EXIT_INTERRUPTED);
}

static void on_save(int number) {
  (void)number;
  saves = 1;
}

static void on_child(int number) {
  (void)number; /* its arrival ends ppoll */
}

/* Blocks the signals outside ppoll, so that none is missed and no system call is disturbed. */
static void listen_signals(sigset_t *open) {
  static const int stops[] = {SIGINT, SIGTERM, SIGHUP};
  sigset_t blocked;
  struct sigaction stop = {.sa_handler = on_signal}, child = {.sa_handler = on_child};
  struct sigaction save = {.sa_handler = on_save};
  told = (Interrupt){0};
  saves = 0;
  sigemptyset(&blocked);
  for (int i = 0; i < 3; i++) {
    sigaction(stops[i], &stop, NULL);
    sigaddset(&blocked, stops[i]);
  }
  sigaction(SIGCHLD, &child, NULL);
  if (!patient) sigaction(SIGUSR1, &save, NULL);
  sigaddset(&blocked, SIGCHLD);
  sigaddset(&blocked, SIGUSR1);
  sigprocmask(SIG_BLOCK, &blocked, open);
  for (int i = 0; i < 3; i++) sigdelset(open, stops[i]);
  sigdelset(open, SIGCHLD);
  sigdelset(open, SIGUSR1);
}

static void unlisten_signals(void) {
  static const int all[] = {SIGINT, SIGTERM, SIGHUP, SIGCHLD, SIGUSR1};
  sigset_t set;
  sigemptyset(&set);
  for (int i = 0; i < 5; i++) {
    if (all[i] != SIGUSR1 || !patient) signal(all[i], all[i] == SIGUSR1 ? SIG_IGN : SIG_DFL);
    sigaddset(&set, all[i]);
  }
  sigprocmask(SIG_UNBLOCK, &set, NULL);
}

typedef struct Sweep {
  Schedule *schedule;
  Progress progress;
  Job job[JOBS_MAX];
  int running;
  bool stopping;
  double flushed;
} Sweep;

/* The trials go on afterwards. */
static void save_all(const Sweep *sweep) {
  if (!saves) return;
  saves = 0;
  for (int i = 0; i < sweep->schedule->jobs; i++)
    if (sweep->job[i].pid) kill(sweep->job[i].pid, SIGUSR1);
}

static void stop_all(Sweep *sweep) {
  sweep->stopping = true;
  for (int i = 0; i < sweep->schedule->jobs; i++)
    if (sweep->job[i].pid) job_stop(&sweep->job[i], STATUS_INTERRUPTED);
}

/* ---- starting -------------------------------------------------------------------------------- */

/* The training that it shares, an attempt of trial hash, ended without weights, and so does it: no
 * process is started. */
static bool end_with(Sweep *sweep, Task *task, const char *hash, int64_t trained, Status status,
                     const char *why, Error *error) {
  Schedule *schedule = sweep->schedule;
  char log[64];
  snprintf(log, sizeof log, "logs/%.32s.log", hash);
  snprintf(task->message, sizeof task->message, "as trial %.8s, whose training it shares: %.800s",
           hash, why);
  AttemptEnd end = {status, -1, 0, task->message, -1, -1, 0, 0};
  progress_say(&sweep->progress, "harness: %s %s: %s", status_name(status), task->label,
               task->message);
  sweep->progress.started++, sweep->progress.ended++;
  task->trial->status = status;
  task->state = TASK_ENDED;
  return store_start(schedule->store, task->trial->id, schedule->environment, (int)getpid(), log,
                     trained, &task->attempt, error) &&
         store_finish(schedule->store, task->attempt, NULL, &end, error);
}

/* Its training was stopped alone and goes on with the next run, and so does it. */
static bool leave(Sweep *sweep, Task *task) {
  sweep->progress.started++, sweep->progress.ended++;
  task->state = TASK_ENDED;
  return true;
}

static bool hand_out(Sweep *sweep, Job *job, Task *task, const Share *share, Error *error) {
  Schedule *schedule = sweep->schedule;
  job->trial = task->trial;
  job->label = task->label;
  snprintf(job->weights, sizeof job->weights, "%s", share->hash);
  if (!job_spawn(job, &schedule->launch, error)) return false;
  children[job->slot] = job->pid;
  task->state = TASK_RUNS;
  task->scores = job->weights[0] != 0;
  sweep->running++;
  progress_start(&sweep->progress, job);
  if (job->unplaced.text[0])
    progress_say(&sweep->progress, "harness: %s trains: %s", task->label, job->unplaced.text);
  else if (share->message[0] && !schedule->quiet)
    progress_say(&sweep->progress, "harness: %s trains: %s", task->label, share->message);
  bool good = store_start(schedule->store, job->trial->id, schedule->environment, (int)job->pid,
                          job->log, job->weights[0] ? share->attempt : 0, &job->attempt, error);
  task->attempt = job->attempt;
  return good;
}

static bool start_task(Sweep *sweep, Job *job, Task *task, Error *error) {
  Share share = {.kind = SHARE_NOTHING};
  CodeToday today = {.home = sweep->schedule->home};
  const Task *before = tasks_trained(sweep->schedule->task, sweep->schedule->count, task);
  bool good = (task->anew && !before) ||
              share_find(sweep->schedule->store, &today, task->trial, &share, error);
  code_free(&today);
  if (!good) return false;
  if (share.kind == SHARE_COLLAPSED)
    return end_with(sweep, task, share.hash, share.attempt, STATUS_COLLAPSED, share.message, error);
  bool stopped = before && before->trial->status == STATUS_INTERRUPTED;
  bool failed = before && !stopped && before->trial->status != STATUS_DONE;
  if (share.kind == SHARE_NOTHING && stopped) return leave(sweep, task);
  if (share.kind == SHARE_NOTHING && failed)
    return end_with(sweep, task, before->trial->hash, before->attempt, before->trial->status,
                    before->message, error);
  return hand_out(sweep, job, task, &share, error);
}

/* No time is left for one more trial. */
static bool is_over(const Sweep *sweep) {
  const Schedule *schedule = sweep->schedule;
  return schedule->deadline > 0 && seconds_now() + schedule->trial_s > schedule->deadline;
}

static bool fill(Sweep *sweep, Error *error) {
  Schedule *schedule = sweep->schedule;
  for (int i = 0; i < schedule->jobs; i++) {
    Job *job = &sweep->job[i];
    Task *task;
    while (!sweep->stopping && !job->pid && (task = tasks_next(schedule->task, schedule->count))) {
      schedule->over = schedule->over || is_over(sweep);
      if (schedule->over) return true;
      if (!start_task(sweep, job, task, error)) return false;
    }
  }
  return true;
}

/* ---- ending ---------------------------------------------------------------------------------- */

/* For the eye only: a figure that cannot be read here will show as an error in the table. */
static double read_figure(Store *store, int64_t trial) {
  Error error = {""};
  json_t *rows, *parameters = json_pack("[I]", (json_int_t)trial);
  double figure = -1;
  if (store_query(store, "SELECT value FROM v_score WHERE trial_id = ?1 ORDER BY metric <> 'dice'",
                  parameters, &rows, &error)) {
    const json_t *value = json_object_get(json_array_get(rows, 0), "value");
    if (json_is_number(value)) figure = json_number_value(value);
    json_decref(rows);
  }
  json_decref(parameters);
  return figure;
}

/* Events that the database cannot take (a metric twice) are the trial's fault and end it alone;
 * true: that was the reason. */
static bool blame_trial(Sweep *sweep, Job *job, const Error *reason) {
  if (!store_refused_data(sweep->schedule->store)) return false;
  fail(&job->broken, "the trial sent events that do not fit together: %s", reason->text);
  json_array_clear(job->pending);
  return true;
}

static bool store_end(Sweep *sweep, Job *job, int status, const struct rusage *usage, char *message,
                      AttemptEnd *end, Error *error) {
  Error reason = {""};
  Store *store = sweep->schedule->store;
  job_judge(job, status, usage, message, end);
  if (job->attempt == 0) return true; /* it was never stored: that error is on its way */
  if (store_finish(store, job->attempt, job->pending, end, &reason)) return true;
  if (!blame_trial(sweep, job, &reason)) return fail(error, "%s", reason.text);
  job_judge(job, status, usage, message, end);
  return store_finish(store, job->attempt, job->pending, end, error);
}

static void mark_ended(Schedule *schedule, const Cell *trial, const AttemptEnd *end) {
  for (int i = 0; i < schedule->count; i++) {
    Task *task = &schedule->task[i];
    if (task->trial != trial) continue;
    task->trial->status = end->status;
    task->state = TASK_ENDED;
    snprintf(task->message, sizeof task->message, "%s", end->message);
  }
}

static bool end_job(Sweep *sweep, Job *job, int status, const struct rusage *usage, Error *error) {
  char message[ERROR_BYTES];
  AttemptEnd end;
  if (job->events >= 0) job_read(job); /* what it said before it died */
  bool good = store_end(sweep, job, status, usage, message, &end, error);
  if (good && end.status == STATUS_DONE)
    job->figure = read_figure(sweep->schedule->store, job->trial->id);
  if (good && end.status == STATUS_DONE && end.wall_s > sweep->schedule->trial_s)
    sweep->schedule->trial_s = end.wall_s;
  progress_end(&sweep->progress, job, &end);
  mark_ended(sweep->schedule, job->trial, &end);
  children[job->slot] = 0;
  sweep->running--;
  job_free(job);
  return good;
}

static bool reap(Sweep *sweep, Error *error) {
  bool good = true;
  for (int i = 0; i < sweep->schedule->jobs; i++) {
    Job *job = &sweep->job[i];
    int status;
    struct rusage usage;
    if (job->pid && wait4(job->pid, &status, WNOHANG, &usage) == job->pid)
      good = end_job(sweep, job, status, &usage, error) && good;
  }
  return good;
}

static bool flush(Sweep *sweep, Error *error) {
  if (seconds_now() - sweep->flushed < FLUSH_S) return true;
  sweep->flushed = seconds_now();
  for (int i = 0; i < sweep->schedule->jobs; i++) {
    Job *job = &sweep->job[i];
    if (!job->pid || !job->attempt) continue;
    Error reason = {""};
    if (!store_events(sweep->schedule->store, job->attempt, job->pending, &reason) &&
        !blame_trial(sweep, job, &reason))
      return fail(error, "%s", reason.text);
    json_array_clear(job->pending);
  }
  return true;
}

static void say_note(Sweep *sweep, Job *job) {
  if (job->note[0]) progress_say(&sweep->progress, "harness: %s %s", job->label, job->note);
  job->note[0] = 0;
}

static void wait_and_read(Sweep *sweep, const sigset_t *open) {
  struct pollfd poll[JOBS_MAX];
  Job *owner[JOBS_MAX];
  nfds_t count = 0;
  for (int i = 0; i < sweep->schedule->jobs; i++) {
    if (!sweep->job[i].pid || sweep->job[i].events < 0) continue;
    owner[count] = &sweep->job[i];
    poll[count++] = (struct pollfd){.fd = sweep->job[i].events, .events = POLLIN};
  }
  struct timespec tick = {0, TICK_MS * 1000000L};
  if (ppoll(poll, count, &tick, open) <= 0) return;
  for (nfds_t i = 0; i < count; i++) {
    bool ended = poll[i].revents && job_read(owner[i]);
    say_note(sweep, owner[i]);
    if (!ended) continue;
    close(owner[i]->events);
    owner[i]->events = -1;
  }
}

/* One turn of the loop; false: the database failed. */
static bool turn(Sweep *sweep, const sigset_t *open, Error *error) {
  if (!fill(sweep, error)) return false;
  wait_and_read(sweep, open);
  if (told.wishes > 0 && !sweep->stopping) {
    progress_say(&sweep->progress,
                 "harness: stopping %d running trial%s; once more to end at once. "
                 "The same command goes on later",
                 sweep->running, sweep->running == 1 ? "" : "s");
    stop_all(sweep);
  }
  save_all(sweep);
  const Schedule *schedule = sweep->schedule;
  if (!sweep->stopping && schedule->goes_on && !schedule->goes_on(schedule->user)) stop_all(sweep);
  for (int i = 0; i < sweep->schedule->jobs; i++)
    if (sweep->job[i].pid) job_tick(&sweep->job[i], sweep->schedule->timeout_s);
  if (!reap(sweep, error) || !flush(sweep, error)) return false;
  progress_tick(&sweep->progress, sweep->job, sweep->schedule->jobs);
  return true;
}

bool schedule_run(Schedule *schedule, bool *interrupted, Error *error) {
  if (schedule->jobs > JOBS_MAX) schedule->jobs = JOBS_MAX;
  Sweep *sweep = calloc(1, sizeof *sweep);
  CHECK(sweep, "no memory for a schedule");
  sweep->schedule = schedule;
  sweep->progress = progress_make(schedule->count, schedule->jobs, schedule->quiet);
  sweep->progress.profile = schedule->launch.flags.profile;
  for (int i = 0; i < schedule->jobs; i++) sweep->job[i] = (Job){.slot = i, .events = -1};
  sigset_t open;
  patient = schedule->patient;
  listen_signals(&open);
  bool good = true;
  while (sweep->running > 0 || (good && !sweep->stopping && !schedule->over &&
                                tasks_next(schedule->task, schedule->count))) {
    if (turn(sweep, &open, error)) continue;
    good = false;
    stop_all(sweep);
  }
  *interrupted = told.wishes > 0;
  unlisten_signals();
  free(sweep);
  return good;
}
