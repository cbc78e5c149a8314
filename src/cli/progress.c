#include "src/cli/progress.h"
#include "base/clock.h"

#include <math.h>
#include <stdarg.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

enum { LOG_LINES = 12, PROFILE_LINES = 64, LOG_BYTES = 8192, PLAIN_S = 15 };

bool progress_no_color;

bool progress_colour(int file) {
  const char *term = getenv("TERM"), *no_color = getenv("NO_COLOR");
  return !progress_no_color && !(no_color && no_color[0]) && isatty(file) &&
         !(term && strcmp(term, "dumb") == 0);
}

Progress progress_make(int total, int jobs, bool quiet) {
  const char *term = getenv("TERM");
  bool terminal = isatty(2) && term && strcmp(term, "dumb") != 0;
  return (Progress){
      .quiet = quiet, .terminal = terminal, .total = total, .jobs = jobs, .last = seconds_now()};
}

static void clear(Progress *progress) {
  if (progress->drawn > 0) fprintf(stderr, "\033[%dA\033[J", progress->drawn);
  progress->drawn = 0;
}

void progress_say(Progress *progress, const char *format, ...) {
  clear(progress);
  va_list values;
  va_start(values, format);
  vfprintf(stderr, format, values);
  va_end(values);
  fputc('\n', stderr);
  progress->last = 0;
}

/* 75 -> "1:15". */
static void clock_text(double s, char text[24]) {
  long all = s < 0 ? 0 : (long)(s + 0.5);
  if (all >= 3600)
    snprintf(text, 24, "%ld:%02ld:%02ld", all / 3600, all / 60 % 60, all % 60);
  else
    snprintf(text, 24, "%ld:%02ld", all / 60, all % 60);
}

static double rate(const Job *job) {
  double passed = seconds_now() - job->first_step_at;
  bool known = job->first_step_at > 0 && job->step > job->first_step && passed > 0;
  return known ? (job->step - job->first_step) / passed : 0;
}

/* Seconds this job still needs for its steps; negative: not known yet. */
static double remaining(const Job *job) {
  double speed = rate(job);
  return speed > 0 ? (job->steps - job->step) / speed : -1;
}

static void describe(const Job *job, char *text, size_t bytes) {
  char eta[24], dice[32] = "";
  double speed = rate(job), left = remaining(job);
  if (!isnan(job->dice)) snprintf(dice, sizeof dice, "  val Dice %.3f", job->dice);
  if (job->cases > 0)
    snprintf(text, bytes, "evaluating %d/%d", job->cases_done, job->cases);
  else if (speed > 0) {
    clock_text(left, eta);
    snprintf(text, bytes, "step %d/%d  loss %.4f%s  %.2f steps/s  ETA %s", job->step, job->steps,
             job->loss, dice, speed, eta);
  } else if (job->steps > 0)
    snprintf(text, bytes, "step %d/%d  loss %.4f", job->step, job->steps, job->loss);
  else
    snprintf(text, bytes, "preparing");
}

/* The whole run: trials not yet started at the mean time of the ended ones (or, before one has
 * ended, of the running ones), shared between the jobs. */
static double whole(const Progress *progress, const Job *jobs, int count) {
  double mean = progress->ended ? progress->busy_s / progress->ended : -1, left = 0;
  for (int i = 0; i < count; i++) {
    if (!jobs[i].pid) continue;
    double rest = remaining(&jobs[i]), passed = seconds_now() - jobs[i].started;
    if (mean < 0 && rest >= 0) mean = passed + rest;
    if (rest < 0 && mean < 0) continue;
    double by_mean = mean - passed > 0 ? mean - passed : 0;
    left += rest >= 0 && rest > by_mean ? rest : by_mean;
  }
  if (mean < 0) return -1;
  return (left + mean * (progress->total - progress->started)) / progress->jobs;
}

static void totals(const Progress *progress, const Job *jobs, int count, char *text, size_t bytes) {
  char eta[24] = "?";
  double left = whole(progress, jobs, count);
  if (left >= 0) clock_text(left, eta);
  snprintf(text, bytes, "%d of %d trials ended, ETA of all %s", progress->ended, progress->total,
           eta);
}

void progress_start(Progress *progress, const Job *job) {
  progress->started++;
  if (progress->quiet || progress->terminal) return;
  fprintf(stderr, "harness: start %d/%d %s\n", progress->started, progress->total, job->label);
}

/* The last lines of the attempt's log, as many as asked for. */
static void show_log(const Job *job, int most) {
  FILE *file = fopen(job->log_path, "r");
  char text[LOG_BYTES + 1];
  if (!file) return;
  fseek(file, 0, SEEK_END);
  long end = ftell(file), from = job->log_start;
  if (end - from > LOG_BYTES) from = end - LOG_BYTES;
  fseek(file, from, SEEK_SET);
  size_t got = fread(text, 1, LOG_BYTES, file);
  fclose(file);
  while (got > 0 && text[got - 1] == '\n') got--;
  text[got] = 0;
  char *start = text + got;
  for (int lines = 0; start > text; start--)
    if (start[-1] == '\n' && ++lines == most) break;
  if (got == 0) return;
  for (char *line = strtok(start, "\n"); line; line = strtok(NULL, "\n"))
    fprintf(stderr, "  | %s\n", line);
  fprintf(stderr, "  whole log: %s\n", job->log_path);
}

/* ", waited 1.2 % for data" of the training's time, when the trial told it. */
static void wait_text(const Job *job, char *text, size_t bytes) {
  const Event *end = &job->end;
  text[0] = 0;
  if (job->end_json && !isnan(end->end.wait_s) && end->end.train_s > 0)
    snprintf(text, bytes, ", waited %.1f %% for data", 100 * end->end.wait_s / end->end.train_s);
}

void progress_end(Progress *progress, const Job *job, const AttemptEnd *end) {
  char took[24], figure[48] = "", waited[48];
  progress->ended++;
  progress->busy_s += end->wall_s;
  bool good = end->status == STATUS_DONE;
  if (progress->quiet && good && !progress->profile) return;
  clear(progress);
  clock_text(end->wall_s, took);
  wait_text(job, waited, sizeof waited);
  if (good && job->figure >= 0) snprintf(figure, sizeof figure, " %.3f", job->figure);
  fprintf(stderr, "harness: %s %d/%d %s%s in %s%s%s%s\n", status_name(end->status), progress->ended,
          progress->total, job->label, figure, took, waited, end->message[0] ? ": " : "",
          end->message);
  if (!good && end->status != STATUS_INTERRUPTED) show_log(job, LOG_LINES);
  if (good && progress->profile) show_log(job, PROFILE_LINES);
  progress->last = progress->terminal ? 0 : progress->last;
}

static void draw(Progress *progress, const Job *jobs, int count) {
  struct winsize window = {0};
  int width = ioctl(2, TIOCGWINSZ, &window) || window.ws_col < 20 ? 80 : window.ws_col;
  char text[200], line[400];
  clear(progress);
  for (int i = 0; i < count; i++) {
    if (!jobs[i].pid) continue;
    describe(&jobs[i], text, sizeof text);
    snprintf(line, sizeof line, "%s  %s", jobs[i].label, text);
    fprintf(stderr, "%.*s\n", width - 1, line);
    progress->drawn++;
  }
  totals(progress, jobs, count, line, sizeof line);
  fprintf(stderr, "%.*s\n", width - 1, line);
  progress->drawn++;
}

void progress_tick(Progress *progress, const Job *jobs, int count) {
  double now = seconds_now();
  if (progress->quiet || now - progress->last < (progress->terminal ? 0.25 : PLAIN_S)) return;
  progress->last = now;
  if (progress->terminal) {
    draw(progress, jobs, count);
    return;
  }
  char text[200];
  for (int i = 0; i < count; i++) {
    if (!jobs[i].pid) continue;
    describe(&jobs[i], text, sizeof text);
    fprintf(stderr, "harness: %s  %s\n", jobs[i].label, text);
  }
  totals(progress, jobs, count, text, sizeof text);
  fprintf(stderr, "harness: %s\n", text);
}
