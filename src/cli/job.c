#define _GNU_SOURCE /* memfd_create, pipe2 */
#include "src/cli/job.h"

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/memory.h"
#include "engine/params.h"
#include "src/cli/share.h"
#include "src/machine/processors.h"
#include "src/store/field.h"

enum { EVENTS_FD = 3, ABOVE = 10, LINE_LIMIT = 1 << 20, GRACE_S = 10, THREAD_VARIABLES = 2 };

extern char **environ;

/* A descriptor that dup2 onto 0..3 cannot hit. */
static int lift(int file) {
  int high = file < 0 ? -1 : fcntl(file, F_DUPFD_CLOEXEC, ABOVE);
  if (file >= 0) close(file);
  return high;
}

/* The configuration as a file in memory (no pipe that a child could leave unread), with the place
 * of the trial's checkpoint. */
static int config_file(const Cell *trial, const Launch *launch, bool placed) {
  char checkpoint[WEIGHTS_PATH];
  weights_path(launch->folder, trial->hash, checkpoint);
  /* Only a trial that was stopped goes on, or was killed for lack of memory; weights of another
   * database's or build's run do not count. */
  bool goes_on = trial->status == STATUS_INTERRUPTED || trial->status == STATUS_TIMEOUT ||
                 trial->status == STATUS_OOM;
  if (!goes_on && !placed) checkpoint_remove(checkpoint);
  int file = lift(memfd_create("config", MFD_CLOEXEC));
  if (file < 0) return -1;
  json_t *config = json_copy(trial->config);
  json_object_set_new(config, "checkpoint", json_string(checkpoint));
  if (goes_on) json_object_set_new(config, "goes_on", json_true());
  config_put_flags(config, &launch->flags);
  bool good = json_dumpfd(config, file, JSON_COMPACT) == 0 && lseek(file, 0, SEEK_SET) == 0;
  json_decref(config);
  if (good) return file;
  close(file);
  return -1;
}

static bool make_folder(const char *folder, const char *name, Error *error) {
  char path[4400];
  snprintf(path, sizeof path, "%.4200s/%s", folder, name);
  return !mkdir(path, 0777) || errno == EEXIST ||
         fail(error, "%s: cannot make the folder: %s", path, strerror(errno));
}

static bool open_log(Job *job, const char *folder, int *file, Error *error) {
  if (!make_folder(folder, "logs", error)) return false;
  snprintf(job->log, sizeof job->log, "logs/%s.log", job->trial->hash);
  snprintf(job->log_path, sizeof job->log_path, "%s/%s", folder, job->log);
  *file = lift(open(job->log_path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0666));
  if (*file < 0) return fail(error, "%s: cannot open the log: %s", job->log_path, strerror(errno));
  struct stat information;
  job->log_start = fstat(*file, &information) ? 0 : (long)information.st_size;
  return true;
}

/* The environment of the child: this process's, with the number of threads put in. Made before
 * fork, since little may be called between fork and exec. Freed with free_environment. */
static char **child_environment(int threads) {
  static const char *const names[THREAD_VARIABLES] = {"OMP_NUM_THREADS=", "OPENBLAS_NUM_THREADS="};
  int count = 0;
  while (environ[count]) count++;
  char **list = calloc((size_t)count + THREAD_VARIABLES + 1, sizeof *list);
  char *text = list ? calloc(THREAD_VARIABLES, 64) : NULL;
  CHECK(text, "no memory to start a trial");
  int used = 0;
  for (; used < THREAD_VARIABLES; used++) {
    list[used] = text + used * 64;
    snprintf(list[used], 64, "%s%d", names[used], threads);
  }
  for (int i = 0; i < count; i++) {
    bool set_above = false;
    for (int k = 0; k < THREAD_VARIABLES; k++)
      set_above = set_above || strncmp(environ[i], names[k], strlen(names[k])) == 0;
    if (!set_above) list[used++] = environ[i];
  }
  return list;
}

static void free_environment(char **list) {
  free(list[0]);
  free(list);
}

/* The processors a trial may be bound to, listed before fork. */
typedef struct Choice {
  int list[PROCESSORS_MAX], count;
} Choice;

/* Where memory ends, the kernel kills the trial rather than what would store that. */
static void be_first_to_go(void) {
  int file = open("/proc/self/oom_score_adj", O_WRONLY);
  if (file < 0) return;
  if (write(file, "500", 3) < 0) {
  } /* a wish */
  close(file);
}

static _Noreturn void become_trial(const Launch *launch, const Choice *choice, pid_t parent,
                                   const int file[3], char **environment) {
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (getppid() != parent) _exit(127); /* the parent died before the line above */
  setpgid(0, 0); /* Ctrl-C in the terminal goes to the parent, which decides */
  sigset_t none;
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, NULL);
  static const int defaults[] = {SIGINT, SIGTERM, SIGHUP, SIGCHLD, SIGPIPE};
  for (size_t i = 0; i < sizeof defaults / sizeof defaults[0]; i++) signal(defaults[i], SIG_DFL);
  signal(SIGUSR1, SIG_IGN); /* until the trial listens to it */
  be_first_to_go();
  dup2(file[0], 0);
  dup2(file[1], 1);
  dup2(file[1], 2);
  dup2(file[2], EVENTS_FD);
  if (launch->pin)
    processors_claim(processors_scope(), choice->list, choice->count, launch->threads);
  char *arguments[] = {"harness", "trial", NULL};
  execve(launch->program, arguments, environment);
  dprintf(2, "cannot execute %s: %s\n", launch->program, strerror(errno));
  _exit(127);
}

bool job_spawn(Job *job, const Launch *launch, Error *error) {
  job->pid = 0;
  job->events = -1;
  int ends[2], file[3] = {-1, -1, -1};
  if (!make_folder(launch->folder, "checkpoints", error) ||
      !open_log(job, launch->folder, &file[1], error))
    return false;
  bool placed = job->weights[0] &&
                share_place(launch->folder, job->weights, job->trial->hash, &job->unplaced);
  if (!placed) job->weights[0] = 0;
  file[0] = config_file(job->trial, launch, placed);
  if (file[0] >= 0 && pipe2(ends, O_CLOEXEC) == 0) {
    job->events = ends[0];
    fcntl(job->events, F_SETFL, O_NONBLOCK);
    file[2] = lift(ends[1]);
  }
  char **environment = child_environment(launch->threads);
  Choice choice;
  choice.count = processors_list(choice.list);
  pid_t parent = getpid(), pid = file[2] < 0 ? -1 : fork();
  if (pid == 0) become_trial(launch, &choice, parent, file, environment);
  int reason = errno;
  free_environment(environment);
  for (int i = 0; i < 3; i++)
    if (file[i] >= 0) close(file[i]);
  if (pid < 0) {
    if (job->events >= 0) close(job->events);
    job->events = -1;
    return fail(error, "cannot start a trial's process: %s", strerror(reason));
  }
  job->pid = pid;
  job->grace_s = launch->grace_s;
  job->started = seconds_now();
  job->kills = memory_kills();
  job->pending = json_array();
  job->figure = -1;
  return true;
}

/* ---- events ---------------------------------------------------------------------------------- */

static void hear_step(Job *job, const Event *event) {
  job->step = (int)event->step.step;
  job->steps = (int)event->step.steps;
  job->loss = event->step.loss;
  if (!isnan(event->step.val_dice)) job->dice = event->step.val_dice;
  if (job->step <= job->went_on_from) return;
  double now = seconds_now();
  if (job->first_step_at > 0 && job->step > job->first_step)
    job->step_s = (now - job->first_step_at) / (job->step - job->first_step);
  if (job->first_step_at > 0) return;
  job->first_step_at = now;
  job->first_step = job->step;
}

static void hear_start(Job *job, const Event *event) {
  job->went_on_from = (int)event->start.first_step;
  snprintf(job->note, sizeof job->note, "%s", event->start.note);
}

static void hear_eval(Job *job, const Event *event) {
  job->cases_done = (int)event->eval.cases_done;
  job->cases = (int)event->eval.cases;
}

static void hear_metric(Job *job, const Event *event) {
  (void)event;
  job->metrics++;
}

/* What is shown of an event, beside what is stored of it. */
static void (*const hear[EVENT_COUNT])(Job *, const Event *) = {[EVENT_start] = hear_start,
                                                                [EVENT_step] = hear_step,
                                                                [EVENT_eval] = hear_eval,
                                                                [EVENT_metric] = hear_metric};

/* Its texts live as long as its JSON. */
static void keep_end(Job *job, const Event *event, json_t *json) {
  json_decref(job->end_json);
  job->end_json = json_incref(json);
  job->end = *event;
}

/* Of a trial that only scores: the curve is stored with the attempt that trained. */
static bool is_repeated(const Job *job, const Event *event) {
  return event->kind == EVENT_step && job->weights[0] && job->went_on_from;
}

static void take_event(Job *job, const char *text, size_t length) {
  json_error_t syntax;
  Event event;
  json_t *json = json_loadb(text, length, 0, &syntax);
  if (!json) {
    fail(&job->broken, "the trial sent an event that is not JSON (%s): %.60s", syntax.text, text);
    return;
  }
  if (event_read(json, &event, &job->broken)) {
    if (hear[event.kind]) hear[event.kind](job, &event);
    if (event.kind == EVENT_end) keep_end(job, &event, json);
    if (!is_repeated(job, &event)) json_array_append(job->pending, json);
  }
  json_decref(json);
}

static void take_lines(Job *job) {
  char *start = job->line, *end = job->line + job->line_used, *newline;
  while (!job->broken.text[0] && (newline = memchr(start, '\n', (size_t)(end - start)))) {
    *newline = 0;
    if (newline > start) take_event(job, start, (size_t)(newline - start));
    start = newline + 1;
  }
  job->line_used = (size_t)(end - start);
  memmove(job->line, start, job->line_used);
  if (job->line_used > LINE_LIMIT) fail(&job->broken, "the trial sent an event of over 1 MiB");
}

bool job_read(Job *job) {
  for (;;) {
    if (job->line_used + 4097 > job->line_room) {
      job->line_room = job->line_room ? job->line_room * 2 : 1 << 14;
      job->line = realloc(job->line, job->line_room);
      CHECK(job->line, "no memory for a trial's events");
    }
    ssize_t got = read(job->events, job->line + job->line_used, 4096);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return false;
    if (got == 0) return true;
    job->line_used += (size_t)got;
    if (job->broken.text[0])
      job->line_used = 0; /* after a broken event nothing more is read of this process */
    take_lines(job);
  }
}

/* ---- the end --------------------------------------------------------------------------------- */

/* A step is ended and kept first, and steps may be long. */
void job_stop(Job *job, Status why) {
  if (job->stop_at > 0) return;
  job->stopped_as = why;
  job->stop_at = seconds_now() + (job->grace_s > 0 ? job->grace_s : GRACE_S) + 3 * job->step_s;
  kill(job->pid, SIGTERM);
}

void job_tick(Job *job, double timeout_s) {
  double now = seconds_now();
  if (job->stop_at > 0 && now > job->stop_at) kill(-job->pid, SIGKILL);
  if (job->broken.text[0]) kill(-job->pid, SIGKILL);
  if (timeout_s > 0 && now - job->started > timeout_s) job_stop(job, STATUS_TIMEOUT);
}

/* Nobody here sent SIGKILL. The kernel counts whom it kills for lack of memory; where nobody
 * counts, that is likely when the process was large. */
static Status judge_kill(const Job *job, int64_t rss, char *message) {
  double gib = (double)rss / 0x1p30, all = (double)memory_limit() / 0x1p30;
  bool counted = memory_kills() > job->kills, large = gib > 0.5 * all;
  snprintf(message, ERROR_BYTES,
           "killed by signal 9 (%s)%s; largest resident size %.2f of %.1f GiB", strsignal(SIGKILL),
           counted ? " by the kernel for lack of memory"
           : large ? ", most likely by the kernel for lack of memory"
                   : "",
           gib, all);
  return counted || large ? STATUS_OOM : STATUS_FAILED;
}

/* Who is told to end is interrupted, also before it listens. */
static Status judge_signal(const Job *job, int number, int64_t rss, char *message) {
  if (number == SIGKILL) return judge_kill(job, rss, message);
  bool told = number == SIGTERM || number == SIGINT || number == SIGHUP;
  snprintf(message, ERROR_BYTES, "%s by signal %d (%s)", told ? "told to end" : "killed", number,
           strsignal(number));
  return told ? STATUS_INTERRUPTED : STATUS_FAILED;
}

static Status judge_silent(const Job *job, int wait_status, int64_t rss, char *message) {
  if (WIFSIGNALED(wait_status)) return judge_signal(job, WTERMSIG(wait_status), rss, message);
  int code = WEXITSTATUS(wait_status);
  if (code > 128 && code < 128 + NSIG) return judge_signal(job, code - 128, rss, message);
  snprintf(message, ERROR_BYTES, "ended with exit code %d and without a result", code);
  return STATUS_FAILED;
}

static Status judge_event(const Job *job, int wait_status, char *message) {
  const char *word = job->end.end.status;
  snprintf(message, ERROR_BYTES, "%s", job->end.end.message);
  Status status;
  if (!status_parse(word, &status) || status == STATUS_PLANNED || status == STATUS_RUNNING) {
    snprintf(message, ERROR_BYTES, "ended with the unknown status \"%s\"", word);
    return STATUS_FAILED;
  }
  if (status == STATUS_DONE && job->metrics == 0) {
    snprintf(message, ERROR_BYTES, "reported done without a single metric");
    return STATUS_FAILED;
  }
  if (status != STATUS_DONE || wait_status == 0) return status;
  if (WIFSIGNALED(wait_status))
    snprintf(message, ERROR_BYTES, "reported done, then was killed by signal %d (%s)",
             WTERMSIG(wait_status), strsignal(WTERMSIG(wait_status)));
  else
    snprintf(message, ERROR_BYTES, "reported done, then ended with exit code %d",
             WEXITSTATUS(wait_status));
  return STATUS_FAILED;
}

/* As AttemptEnd has it: negative where it is not known. */
static double seconds(const Job *job, Event_NUMBER told) {
  return job->end_json && !isnan(told) ? told : -1;
}

void job_judge(const Job *job, int wait_status, const struct rusage *usage, char *message,
               AttemptEnd *end) {
  message[0] = 0;
  end->exit_code = WIFEXITED(wait_status) ? WEXITSTATUS(wait_status) : -1;
  end->signal = WIFSIGNALED(wait_status) ? WTERMSIG(wait_status) : 0;
  end->wall_s = seconds_now() - job->started;
  end->max_rss_bytes = (int64_t)usage->ru_maxrss * 1024;
  end->train_s = seconds(job, job->end.end.train_s);
  end->eval_s = seconds(job, job->end.end.eval_s);
  end->message = message;
  bool done = job->end_json && !job->broken.text[0] &&
              judge_event(job, wait_status, message) == STATUS_DONE;
  if (job->broken.text[0]) {
    snprintf(message, ERROR_BYTES, "%s", job->broken.text);
    end->status = STATUS_FAILED;
  } else if (job->stop_at > 0 && !done) {
    end->status = job->stopped_as;
    snprintf(message, ERROR_BYTES,
             job->stopped_as == STATUS_TIMEOUT ? "stopped after %.0f s"
                                               : "stopped on request after %.0f s",
             end->wall_s);
  } else if (job->end_json) {
    end->status = judge_event(job, wait_status, message);
  } else {
    end->status = judge_silent(job, wait_status, end->max_rss_bytes, message);
  }
}

void job_free(Job *job) {
  if (job->events >= 0) close(job->events);
  free(job->line);
  json_decref(job->pending);
  json_decref(job->end_json);
  int slot = job->slot;
  *job = (Job){.slot = slot, .events = -1, .dice = NAN};
}
