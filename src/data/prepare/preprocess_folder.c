#define _GNU_SOURCE /* asprintf */
#include "src/data/prepare/preprocess_folder.h"

#include "base/clock.h"
#include "engine/backend.h"
#include "src/data/sets/dataset_geometry.h"
#include "src/data/sets/problems.h"

#include <errno.h>
#include <limits.h>
#include <math.h>
#include <omp.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static const char *home_of(const Dataset *dataset) {
  return dataset->derived ? dataset->derived : dataset->dir;
}

char *preprocess_path(const Dataset *dataset, int index) {
  char *path = NULL;
  if (asprintf(&path, "%s/preprocessed/%s.vol", home_of(dataset), dataset->item[index].name) < 0)
    abort();
  return path;
}

bool preprocess_place(const Dataset *dataset, const char *target, Error *error) {
  char link[PATH_MAX], absolute[PATH_MAX], there[PATH_MAX];
  if (snprintf(link, sizeof link, "%s/preprocessed", dataset->dir) >= (int)sizeof link)
    return fail(error, "%s: path too long", dataset->dir);
  if (!path_make(target))
    return fail(error, "%s: cannot make the folder of the cache: %s", target, strerror(errno));
  if (!realpath(target, absolute)) return fail(error, "%s: %s", target, strerror(errno));
  if (realpath(link, there)) {
    size_t length = strlen(there);
    bool above = !strncmp(absolute, there, length) && absolute[length] == '/';
    if (!strcmp(there, absolute) || above) return true; /* above: as it was placed formerly */
    return fail(error, "%s: the cache is already in %s; remove it to have it in %s", link, there,
                absolute);
  }
  unlink(link); /* a link to a folder that is gone */
  if (symlink(absolute, link) == 0) return true;
  return fail(error, "%s: cannot link to %s: %s", link, absolute, strerror(errno));
}

static bool cache_make(const Dataset *dataset, Error *error) {
  char path[PATH_MAX];
  if (snprintf(path, sizeof path, "%s/preprocessed", home_of(dataset)) >= (int)sizeof path)
    return fail(error, "%s: path too long", dataset->dir);
  if (mkdir(path, 0777) && errno != EEXIST)
    return fail(error, "%s: cannot make the folder: %s; `--cache DIR` puts the cache elsewhere",
                path, strerror(errno));
  if (access(path, W_OK | X_OK) == 0) return true;
  return fail(error, "%s: cannot write there: %s", path, strerror(errno));
}

typedef enum CaseEnd { CASE_MADE, CASE_KEPT, CASE_FAILED } CaseEnd;

static bool case_make(const Dataset *dataset, int index, const Preprocessing *preprocessing,
                      const CacheKey *key, const char *path, Error *error) {
  Volume source, prepared;
  Frame frame;
  if (!dataset_read(dataset, index, &source, error)) return false;
  Error inner = {""};
  bool good = prepare_volume(preprocessing, &source, &prepared, &frame, &inner);
  volume_free(&source, 1);
  if (!good) return fail(error, "%s: %s", dataset->item[index].image[0], inner.text);
  good = cached_write(path, key, &dataset->labelling, &prepared, &frame, error);
  volume_free(&prepared, 1);
  return good;
}

static bool is_fresh(const char *path, const CacheKey *key, bool verify, Error *stale) {
  Cached cached;
  if (!cached_open(&cached, path, key, verify, stale)) return false;
  cached_close(&cached);
  return true;
}

bool preprocess_fresh(const Dataset *dataset, const Preprocessing *preprocessing, bool *which) {
  bool all = true;
  for (int i = 0; i < dataset->cases && (all || which); i++) {
    CacheKey key;
    Error unread = {""};
    char *path = preprocess_path(dataset, i);
    bool fresh =
        cache_key(&dataset->item[i], preprocessing_key(preprocessing, dataset), &key, &unread) &&
        is_fresh(path, &key, false, &unread);
    all = all && fresh;
    if (which) which[i] = fresh;
    free(path);
  }
  return all;
}

/* stale: why what was there is made anew, empty where nothing was. */
static CaseEnd case_do(const Dataset *dataset, int index, const Preprocessing *preprocessing,
                       bool verify, Error *stale, Error *error) {
  CacheKey key;
  if (!cache_key(&dataset->item[index], preprocessing_key(preprocessing, dataset), &key, error))
    return CASE_FAILED;
  char *path = preprocess_path(dataset, index);
  CaseEnd end = CASE_KEPT;
  bool there = access(path, F_OK) == 0;
  if (is_fresh(path, &key, verify, stale))
    end = CASE_KEPT;
  else if (case_make(dataset, index, preprocessing, &key, path, error))
    end = CASE_MADE;
  else
    end = CASE_FAILED;
  if (!there) stale->text[0] = 0;
  free(path);
  return end;
}

/* What is told while it runs. */
typedef struct Telling {
  double start, last;
  bool terminal;
  int total;
} Telling;

static void tell(Telling *telling, const PreprocessOutcome *outcome) {
  int ended = outcome->made + outcome->kept + outcome->failed;
  double time = seconds_now(), spent = time - telling->start;
  bool last = ended == telling->total;
  if (time - telling->last < (telling->terminal ? 0.2 : 15) && !last) return;
  telling->last = time;
  double left = outcome->made ? spent / outcome->made * (telling->total - ended) : 0;
  fprintf(stderr, "%spreprocessing: %d of %d cases, %.0f s%s", telling->terminal ? "\r" : "", ended,
          telling->total, spent, telling->terminal ? "\033[K" : "");
  if (!last) fprintf(stderr, ", about %.0f s to go", left);
  if (!telling->terminal || last) fputc('\n', stderr);
}

static void count_end(PreprocessOutcome *outcome, CaseEnd end) {
  outcome->made += end == CASE_MADE;
  outcome->kept += end == CASE_KEPT;
  outcome->failed += end == CASE_FAILED;
}

static double file_bytes(const Dataset *dataset, int index) {
  char *path = preprocess_path(dataset, index);
  struct stat status;
  double bytes = stat(path, &status) ? 0 : (double)status.st_size;
  free(path);
  return bytes;
}

/* So many cases at a time that the largest fits that often into three quarters of the memory: its
 * voxels as read, turned and resampled in single precision, with the scratch of resampling. */
static int jobs_that_fit(const Dataset *dataset, const Preprocessing *preprocessing, int most) {
  double largest = 1;
  for (int i = 0; most > 1 && i < dataset->cases; i++) {
    Frame frame;
    Grid grid;
    int channels;
    Error ignored = {""}; /* a bad case is told when its turn comes */
    if (!volume_inspect(dataset->item[i].image[0], &grid, &channels, &ignored) ||
        !frame_make(&frame, &grid, preprocessing->orientation, &ignored))
      continue;
    frame_resample(&frame, preprocessing->mm);
    double source = (double)grid_voxels(&grid);
    double prepared = (double)frame.dim[0] * frame.dim[1] * frame.dim[2];
    double bytes = 4. * dataset->channels * (2 * source + 3 * fmax(source, prepared));
    largest = fmax(largest, bytes);
  }
  double fit = 0.75 * (double)backend_cpu.available() / largest;
  return fit < 1 ? 1 : fit < most ? (int)fit : most;
}

bool preprocess_folder(const Dataset *dataset, const Preprocessing *preprocessing,
                       const PreprocessOptions *options, PreprocessOutcome *outcome, Error *error) {
  *outcome = (PreprocessOutcome){0};
  DatasetGeometry geometry;
  if (!cache_make(dataset, error) || !dataset_geometry(dataset, &geometry, error)) return false;
  Telling telling = {seconds_now(), seconds_now(), isatty(STDERR_FILENO), dataset->cases};
  int jobs = jobs_that_fit(dataset, preprocessing, options->jobs), first = dataset->cases;
  int anew = 0;
  Error why = {""};
#pragma omp parallel for schedule(dynamic, 1) num_threads(jobs)
  for (int i = 0; i < dataset->cases; i++) {
    Error inner = {""};
    omp_set_num_threads(1); /* the cases share the processors, each works with one */
    Error stale = {""};
    CaseEnd end = case_do(dataset, i, preprocessing, options->verify, &stale, &inner);
#pragma omp critical
    {
      count_end(outcome, end);
      if (end == CASE_MADE && stale.text[0] && !anew++) why = stale;
      if (end == CASE_FAILED) {
        fprintf(stderr, "%sharness: case %s: %s\n", telling.terminal ? "\r\033[K" : "",
                dataset->item[i].name, inner.text);
        if (i < first) {
          first = i;
          error->text[0] = 0;
          fail(error, "case %s: %s", dataset->item[i].name, inner.text);
        }
      } else
        outcome->bytes += file_bytes(dataset, i);
      if (!options->quiet && (outcome->made || outcome->failed)) tell(&telling, outcome);
    }
  }
  if (anew && !options->quiet)
    fprintf(stderr, "harness: %d prepared case%s made anew: %s%s\n", anew,
            anew == 1 ? " was" : "s were", why.text, anew > 1 ? "; and the like" : "");
  return outcome->failed == 0;
}
