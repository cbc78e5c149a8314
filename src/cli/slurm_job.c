#define _GNU_SOURCE /* asprintf */
/* The script that a task of a sweep runs, and sbatch's command. */
#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/whole_file.h"
#include "src/cli/claims.h"
#include "src/cli/slurm.h"
#include "src/machine/environment.h"

enum { NOTICE_S = 180 };

/* ---- the script ------------------------------------------------------------------------------ */

/* For a shell: 'it'\''s'. */
static void put_quoted(FILE *out, const char *text) {
  fputc('\'', out);
  for (; *text; text++) fputs(*text == '\'' ? "'\\''" : (char[]){*text, 0}, out);
  fputc('\'', out);
}

static void put_variable(FILE *out, const char *name, const char *value) {
  if (!value || !value[0]) return;
  fprintf(out, "export %s=", name);
  put_quoted(out, value);
  fputc('\n', out);
}

static void put_program(FILE *out) {
  char program[4096] = "";
  ssize_t length = readlink("/proc/self/exe", program, sizeof program - 1);
  CHECK(length > 0, "no name of this program");
  put_quoted(out, program);
}

/* USR1 comes before the time limit: the trial is saved and the task asks to be queued again. TERM
 * goes to every process of the task by itself. */
static const char job_end[] =
    " &\n"
    "worker=$!\n"
    "wait \"$worker\"\n"
    "code=$?\n"
    "while [ \"$code\" -gt 128 ] && kill -0 \"$worker\" 2>/dev/null; do # a signal came first\n"
    "  wait \"$worker\"\n"
    "  code=$?\n"
    "done\n"
    "wait \"$worker\" 2>/dev/null\n"
    "again=$?\n"
    "[ \"$again\" -eq 127 ] || code=$again\n"
    "if [ \"$code\" -eq 76 ]; then\n"
    "  scontrol requeue \"${SLURM_ARRAY_JOB_ID}_$SLURM_ARRAY_TASK_ID\" && exit 0\n"
    "  echo \"this cluster does not queue the task again; the same harness slurm command does\" "
    ">&2\n"
    "  code=75\n"
    "fi\n"
    "exit \"$code\"\n";

static void put_job(const Slurm *slurm, const char *folder, FILE *out) {
  char *here = realpath(".", NULL);
  fputs("#!/bin/sh\n# One task of a sweep (harness slurm): it pulls trials until none is left.\n"
        "worker=\n"
        "trap '[ -z \"$worker\" ] || kill -USR1 \"$worker\"' USR1\n"
        "trap : TERM\n"
        "cd ",
        out);
  put_quoted(out, here ? here : ".");
  fputs(" || exit 3\n", out);
  put_variable(out, "HARNESS_HOME", slurm->run.common.home);
  put_variable(out, "HARNESS_CACHE", getenv("HARNESS_CACHE"));
  put_variable(out, "HARNESS_ISA", getenv("HARNESS_ISA"));
  put_variable(out, "HARNESS_TRIAL_PROGRAM", getenv("HARNESS_TRIAL_PROGRAM"));
  if (slurm->setup) fprintf(out, "%s\n", slurm->setup);
  if (slurm->container) fprintf(out, "%s ", slurm->container);
  put_program(out);
  fputs(" slurm work ", out);
  put_quoted(out, folder);
  fputs(job_end, out);
  free(here);
}

static bool write_job(const Slurm *slurm, const char *folder, char path[4600], Error *error) {
  char partial[4640];
  snprintf(path, 4600, "%.4000s/job.sh", folder);
  snprintf(partial, sizeof partial, "%s.part-%d", path, (int)getpid());
  FILE *out = fopen(partial, "w");
  if (out) put_job(slurm, folder, out);
  bool good = out && fflush(out) == 0 && !ferror(out);
  if (out && fclose(out)) good = false;
  if (good) return whole_place(partial, path, error);
  int reason = errno;
  unlink(partial);
  return fail(error, "%s: cannot be written: %s", path, strerror(reason));
}

/* ---- submitting ------------------------------------------------------------------------------ */

/* Slurm allows so many tasks of an array: MaxArraySize is one more than the last index. */
static int array_limit(void) {
  static const char *const argv[] = {"scontrol", "show", "config", NULL};
  char *answer = environment_command(argv, 1 << 20);
  const char *line = answer ? strstr(answer, "MaxArraySize") : NULL;
  int limit = 0;
  if (!line || sscanf(line, "MaxArraySize = %d", &limit) != 1 || limit < 1) limit = 1001;
  free(answer);
  return limit;
}

int slurm_tasks(const Slurm *slurm, int units) {
  int limit = slurm->most && slurm->most < units ? slurm->most : units, most = array_limit();
  return limit < most ? limit : most;
}

/* sbatch's words, malloced but for those that were typed, as an array to be freed with its first
 * `made` words. A later word wins over an earlier one, so what is typed comes last. */
typedef struct Words {
  const char *word[SLURM_ARGUMENTS + 32];
  char *made[32];
  int words, mades;
} Words;

__attribute__((format(printf, 2, 3))) static void put_word(Words *words, const char *format, ...) {
  va_list values;
  char *text;
  va_start(values, format);
  int length = vasprintf(&text, format, values);
  va_end(values);
  CHECK(length >= 0, "no memory for a word");
  words->word[words->words++] = words->made[words->mades++] = text;
}

/* A path in sbatch's --output, where % begins a pattern. */
static char *pattern_of(const char *path) {
  char *text = calloc(2 * strlen(path) + 1, 1), *to = text;
  CHECK(text, "no memory for a path");
  for (; *path; path++) {
    *to++ = *path;
    if (*path == '%') *to++ = '%';
  }
  return text;
}

/* Seconds of a limit as sbatch takes it: M, M:S, H:M:S, D-H, D-H:M, D-H:M:S; 0: none of these. */
static double limit_seconds(const char *text) {
  static const double minutes_first[] = {60, 1}, hours_first[] = {3600, 60, 1};
  int days = 0, part[3] = {0}, used = 0;
  bool with_days = text && sscanf(text, "%d-%n", &days, &used) == 1 && used > 0;
  int parts =
      text ? sscanf(text + (with_days ? used : 0), "%d:%d:%d", &part[0], &part[1], &part[2]) : 0;
  const double *unit = with_days || parts == 3 ? hours_first : minutes_first;
  double seconds = with_days ? 86400.0 * days : 0;
  for (int i = 0; i < parts; i++) seconds += unit[i] * part[i];
  return seconds;
}

/* How long before the limit a task is told: enough to save, at most a quarter of a short one, or it
 * would be queued again and again and come to nothing. */
static int notice_seconds(const char *limit) {
  double seconds = limit_seconds(limit);
  return seconds > 0 && seconds < 4 * NOTICE_S ? (int)(seconds / 4) : NOTICE_S;
}

static void sbatch_words(const Slurm *slurm, const char *folder, int tasks, int threads,
                         const char *job, Words *words) {
  char *pattern = pattern_of(folder);
  *words = (Words){.words = 0};
  put_word(words, "sbatch");
  put_word(words, "--parsable");
  put_word(words, "--array=0-%d", tasks - 1);
  put_word(words, "--job-name=harness-%.60s", strrchr(folder, '/') + 1);
  put_word(words, "--cpus-per-task=%d", threads);
  put_word(words, "--requeue");
  put_word(words, "--open-mode=append");
  put_word(words, "--signal=B:USR1@%d", notice_seconds(slurm->time));
  put_word(words, "--output=%s/log/%%A_%%a.log", pattern);
  if (slurm->partition) put_word(words, "--partition=%s", slurm->partition);
  if (slurm->gres) put_word(words, "--gres=%s", slurm->gres);
  if (slurm->time) put_word(words, "--time=%s", slurm->time);
  for (int i = 0; i < slurm->arguments; i++) words->word[words->words++] = slurm->sbatch[i];
  put_word(words, "%s", job);
  words->word[words->words] = NULL;
  free(pattern);
}

static void free_words(Words *words) {
  for (int i = 0; i < words->mades; i++) free(words->made[i]);
}

/* "123" or "123;cluster", the last line: sbatch may say other things before. */
static bool read_array(const char *answer, char array[32]) {
  array[0] = 0;
  for (const char *line = answer; line && *line; line = strchr(line, '\n')) {
    if (*line == '\n') line++;
    size_t digits = strspn(line, "0123456789");
    if (digits && digits < 20 && strchr("\n;", line[digits]))
      snprintf(array, 32, "%.*s", (int)digits, line);
  }
  return array[0] != 0;
}

bool slurm_submit(const Slurm *slurm, const char *folder, int tasks, int threads, char array[32],
                  Error *error) {
  char job[4600], name[64];
  Words words;
  bool mine;
  if (!write_job(slurm, folder, job, error)) return false;
  sbatch_words(slurm, folder, tasks, threads, job, &words);
  char *answer = slurm_command(words.word, error);
  free_words(&words);
  if (!answer) return false;
  bool good = read_array(answer, array) ||
              fail(error, "sbatch does not say which job it made: %.300s", answer);
  free(answer);
  if (!good) return false;
  snprintf(name, sizeof name, "arrays/%s", array);
  return claims_put_once(folder, name, "", "submitted", &mine, error);
}

void slurm_job_print(const Slurm *slurm, const char *folder, int tasks, int threads, FILE *out) {
  char job[4600];
  Words words;
  snprintf(job, sizeof job, "%.4000s/job.sh", folder);
  sbatch_words(slurm, folder, tasks, threads, job, &words);
  for (int i = 0; i < words.words; i++) fprintf(out, "%s%s", i ? " " : "", words.word[i]);
  fputs("\n\nwith this script:\n", out);
  put_job(slurm, folder, out);
  free_words(&words);
}
