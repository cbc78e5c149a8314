#include "src/cli/slurm_site.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "src/machine/environment.h"

enum { ANSWER_BYTES = 1 << 24 };
static const double FRESH_S = 15, SILENT_S = 1800;

/* ---- its commands ---------------------------------------------------------------------------- */

char *slurm_command(const char *const argv[], Error *error) {
  int code;
  char *answer = environment_command_in(".", argv, ANSWER_BYTES, &code);
  if (answer && code == 0) return answer;
  if (code == 127 || !answer)
    fail(error, "%s: there is no such command here; this is for a machine of a Slurm cluster",
         argv[0]);
  else
    fail(error, "%s ended with code %d: %.600s", argv[0], code, answer);
  free(answer);
  return NULL;
}

/* Lines "123_4 RUNNING". */
static json_t *read_queue(const char *text) {
  json_t *queue = json_object();
  char task[64], state[64];
  for (const char *line = text; line && *line; line = strchr(line, '\n')) {
    if (*line == '\n') line++;
    if (sscanf(line, "%63s %63s", task, state) == 2)
      json_object_set_new(queue, task, json_string(state));
  }
  return queue;
}

static void ask(SlurmSite *site) {
  static const char *const argv[] = {"squeue", "--noheader", "--array",        "--me",
                                     "-t",     "all",        "--format=%i %T", NULL};
  if (site->asked > 0 && seconds_now() - site->asked < FRESH_S) return;
  char *answer = environment_command(argv, ANSWER_BYTES);
  json_decref(site->queue);
  site->queue = answer ? read_queue(answer) : NULL;
  site->asked = seconds_now();
  free(answer);
}

const char *slurm_state(SlurmSite *site, const char *task) {
  ask(site);
  if (!site->queue) return NULL;
  const char *state = json_string_value(json_object_get(site->queue, task));
  return state ? state : "";
}

/* Those that will not run any more stay in the queue for some minutes. */
static bool is_over(const char *state) {
  static const char *const open[] = {"PENDING",     "RUNNING",  "CONFIGURING",  "COMPLETING",
                                     "SUSPENDED",   "STOPPED",  "SIGNALING",    "STAGE_OUT",
                                     "RESIZING",    "REQUEUED", "REQUEUE_HOLD", "REQUEUE_FED",
                                     "SPECIAL_EXIT"};
  for (size_t i = 0; i < sizeof open / sizeof open[0]; i++)
    if (!strcmp(state, open[i])) return false;
  return true;
}

int slurm_queued(SlurmSite *site, const char *array) {
  const char *task;
  json_t *state;
  int count = 0;
  size_t length = strlen(array);
  ask(site);
  if (!site->queue) return -1;
  json_object_foreach(site->queue, task, state) count +=
      !strncmp(task, array, length) && task[length] == '_' && !is_over(json_string_value(state));
  return count;
}

/* [D-][[HH:]MM:]SS, or a word. */
static double read_time(const char *text) {
  int days = 0, part[3] = {0}, count = 0, used = 0;
  if (sscanf(text, "%d-%n", &days, &used) < 1 || !used) days = used = 0;
  const char *at = text + used;
  for (; count < 3 && isdigit((unsigned char)*at); count++) {
    char *end;
    part[count] = (int)strtol(at, &end, 10);
    at = *end == ':' ? end + 1 : end;
  }
  if (!count) return INFINITY;
  double seconds = 0;
  for (int i = 0; i < count; i++) seconds = seconds * 60 + part[i];
  return seconds + 86400.0 * days;
}

double slurm_time_left(const SlurmSite *site) {
  char task[CLAIM_NAME];
  slurm_task(site->worker, task);
  const char *const argv[] = {"squeue", "--noheader", "-j", task, "--format=%L", NULL};
  if (!getenv("SLURM_JOB_ID")) return INFINITY;
  char *answer = environment_command(argv, 64);
  double left = answer ? read_time(answer) : INFINITY;
  free(answer);
  return left;
}

/* ---- workers --------------------------------------------------------------------------------- */

static int restart_of(const char *worker) {
  const char *dot = strrchr(worker, '.');
  return dot ? atoi(dot + 1) : 0;
}

void slurm_task(const char *worker, char task[CLAIM_NAME]) {
  const char *dot = strrchr(worker, '.');
  snprintf(task, CLAIM_NAME, "%.*s", dot ? (int)(dot - worker) : (int)strlen(worker), worker);
}

/* A host's name as a part of a file's. */
static void host_name(char name[72]) {
  gethostname(name, 64);
  name[63] = 0;
  for (char *at = name; *at; at++)
    if (!isalnum((unsigned char)*at)) *at = '-';
}

void slurm_site(SlurmSite *site, const char *folder, bool works) {
  const char *array = getenv("SLURM_ARRAY_JOB_ID"), *task = getenv("SLURM_ARRAY_TASK_ID"),
             *restarts = getenv("SLURM_RESTART_COUNT");
  char host[72];
  *site = (SlurmSite){.folder = folder};
  if (!works) return;
  host_name(host);
  if (array && task)
    snprintf(site->worker, CLAIM_NAME, "%.60s_%.20s.%d", array, task,
             restarts ? atoi(restarts) : 0);
  else
    snprintf(site->worker, CLAIM_NAME, "hand-%s-%d.0", host, (int)getpid());
}

void slurm_site_free(SlurmSite *site) {
  json_decref(site->queue);
  site->queue = NULL;
}

/* The same task was started again since. */
static bool is_followed(const SlurmSite *site, const char *worker) {
  char task[CLAIM_NAME], other[CLAIM_NAME], path[4600];
  bool followed = false;
  slurm_task(worker, task);
  snprintf(path, sizeof path, "%.4000s/shards", site->folder);
  DIR *shards = opendir(path);
  for (struct dirent *entry; shards && (entry = readdir(shards));) {
    slurm_task(entry->d_name, other);
    followed |= !strcmp(task, other) && restart_of(entry->d_name) > restart_of(worker);
  }
  if (shards) closedir(shards);
  return followed;
}

static void alive_path(const SlurmSite *site, const char *worker, char path[4600]) {
  snprintf(path, 4600, "%.4000s/shards/%.160s/alive", site->folder, worker);
}

void slurm_alive(const SlurmSite *site) {
  char path[4600];
  alive_path(site, site->worker, path);
  int file = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0666);
  if (file < 0) return;
  futimens(file, NULL);
  close(file);
}

/* The disk's time, not this machine's: that of a file that is made there now. */
static bool is_silent(const SlurmSite *site, const char *worker) {
  char path[4600], now[4600];
  struct stat then, clock;
  alive_path(site, worker, path);
  if (stat(path, &then)) return false;
  snprintf(now, sizeof now, "%.4000s/.clock-%d", site->folder, (int)getpid());
  int file = open(now, O_WRONLY | O_CREAT | O_CLOEXEC, 0666);
  bool known = file >= 0 && futimens(file, NULL) == 0 && fstat(file, &clock) == 0;
  if (file >= 0) close(file);
  unlink(now);
  return known && (double)(clock.st_mtime - then.st_mtime) > SILENT_S;
}

/* *known false: it is not of this host. */
static bool hand_lives(const char *task, bool *known) {
  char host[72], own[CLAIM_NAME];
  host_name(host);
  const char *dash = strrchr(task, '-');
  int pid = dash ? atoi(dash + 1) : 0;
  snprintf(own, sizeof own, "hand-%s-%d", host, pid);
  *known = pid > 0 && !strcmp(own, task);
  return *known && (kill(pid, 0) == 0 || errno == EPERM);
}

bool slurm_lives(void *user, const char *worker) {
  static const char *const running[] = {"RUNNING", "COMPLETING", "SUSPENDED", "STOPPED",
                                        "SIGNALING"};
  SlurmSite *site = user;
  char task[CLAIM_NAME];
  bool known;
  if (!strcmp(worker, site->worker)) return true;
  if (is_followed(site, worker)) return false;
  slurm_task(worker, task);
  if (!strncmp(task, "hand-", 5)) {
    bool alive = hand_lives(task, &known);
    return known ? alive : !is_silent(site, worker);
  }
  const char *state = slurm_state(site, task);
  if (!state) return !is_silent(site, worker);
  for (size_t i = 0; i < sizeof running / sizeof running[0]; i++)
    if (!strcmp(state, running[i])) return true;
  return false;
}
