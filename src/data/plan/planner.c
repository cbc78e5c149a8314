#include "src/data/plan/planner.h"

#include <math.h>
#include <string.h>

enum { EDGE_MIN = 4, KEYS_MAX = 8192 };

/* ---- spacing --------------------------------------------------------------------------------- */

/* A percentile over the cases of mm or dim of one axis. */
static double mm_percentile(const Fingerprint *f, int axis, double percent) {
  double *value = malloc((size_t)f->cases * sizeof *value);
  CHECK(value, "out of memory");
  for (int i = 0; i < f->cases; i++) value[i] = f->mm[i][axis];
  double result = percentile(value, f->cases, percent);
  free(value);
  return result;
}

/* The median size of an axis when every case is resampled to mm; as it is for NULL. */
static double dim_median(const Fingerprint *f, int axis, const double *mm) {
  double *value = malloc((size_t)f->cases * sizeof *value);
  CHECK(value, "out of memory");
  for (int i = 0; i < f->cases; i++)
    value[i] = mm ? rint(f->mm[i][axis] / mm[axis] * f->dim[i][axis]) : f->dim[i][axis];
  double result = percentile(value, f->cases, 50);
  free(value);
  return result;
}

static int coarsest(const double mm[3]) {
  int worst = 0;
  for (int axis = 1; axis < 3; axis++)
    if (mm[axis] > mm[worst]) worst = axis;
  return worst;
}

void target_spacing(const Fingerprint *f, double mm[3]) {
  double dim[3];
  for (int axis = 0; axis < 3; axis++) {
    mm[axis] = mm_percentile(f, axis, 50);
    dim[axis] = dim_median(f, axis, NULL);
  }
  int worst = coarsest(mm), a = (worst + 1) % 3, b = (worst + 2) % 3;
  double others = fmax(mm[a], mm[b]);
  bool coarse = mm[worst] > 3 * others, few = dim[worst] * 3 < fmin(dim[a], dim[b]);
  if (!coarse || !few) return;
  mm[worst] = mm_percentile(f, worst, 10);
  if (mm[worst] < others) mm[worst] = others + 1e-5;
}

/* ---- topology -------------------------------------------------------------------------------- */

/* Which axes the next stage halves; none: the network is deep enough. */
static bool pooled_axes(const double mm[3], const double size[3], bool pool[3]) {
  double finest = HUGE_VAL;
  int count = 0, last = 0;
  for (int axis = 0; axis < 3; axis++) {
    pool[axis] = size[axis] >= 2 * EDGE_MIN;
    if (pool[axis]) finest = fmin(finest, mm[axis]);
  }
  for (int axis = 0; axis < 3; axis++) {
    pool[axis] = pool[axis] && mm[axis] / finest < 2;
    if (pool[axis]) count++, last = axis;
  }
  return count > 1 || (count == 1 && size[last] >= 3 * EDGE_MIN);
}

static int up_to(double size, int divisor) {
  return (int)ceil(size / divisor) * divisor;
}

/* The topology of this patch, which grows to a multiple of its divisor. flat: the first axis has
 * one voxel and infinite spacing, so that it is never halved, and no kernel reaches along it. */
static void topology_find(const double mm[3], const double patch[3], bool flat, Topology *t) {
  double now_mm[3], size[3];
  memcpy(now_mm, mm, sizeof now_mm);
  memcpy(size, patch, sizeof size);
  *t = (Topology){.stages = 1, .divisor = {1, 1, 1}, .flat = flat};
  for (int axis = 0; axis < 3; axis++) t->stride[0][axis] = t->kernel[0][axis] = 1;
  bool pool[3];
  while (t->stages < STAGES_MAX && pooled_axes(now_mm, size, pool)) {
    int at = t->stages++;
    double finest = fmin(now_mm[0], fmin(now_mm[1], now_mm[2]));
    for (int axis = 0; axis < 3; axis++) {
      if (now_mm[axis] / finest < 2) t->kernel[at - 1][axis] = 3;
      t->kernel[at][axis] = t->kernel[at - 1][axis]; /* once 3, always 3 */
      t->stride[at][axis] = pool[axis] ? 2 : 1;
      if (!pool[axis]) continue;
      t->divisor[axis] *= 2;
      now_mm[axis] *= 2;
      size[axis] = ceil(size[axis] / 2);
    }
  }
  for (int axis = 0; axis < 3; axis++) {
    t->kernel[t->stages - 1][axis] = flat && axis == 0 ? 1 : 3;
    t->patch[axis] = up_to(patch[axis], t->divisor[axis]);
  }
  int most = flat ? 512 : 320;
  for (int i = 0; i < t->stages; i++) t->width[i] = i > 4 || 32 << i > most ? most : 32 << i;
}

static double volume_of(const double dim[3]) {
  return dim[0] * dim[1] * dim[2];
}

/* ---- patch and batch ------------------------------------------------------------------------- */

/* Plans in the order `turn` of the axes (coarsest first), as nnU-Net does. */
typedef struct Search {
  int turn[3]; /* planned axis a is data axis turn[a] */
  bool flat;   /* the first is left out */
  int batch;   /* that has to fit */
  double covered;
  PlanCost cost;
  void *user;
  bool exact;
} Search;

static Topology turned_back(const Search *search, const Topology *t) {
  Topology out = *t;
  for (int axis = 0; axis < 3; axis++) {
    int to = search->turn[axis];
    out.patch[to] = t->patch[axis], out.divisor[to] = t->divisor[axis];
    for (int i = 0; i < t->stages; i++)
      out.stride[i][to] = t->stride[i][axis], out.kernel[i][to] = t->kernel[i][axis];
  }
  return out;
}

static bool share_of(const Search *search, const Topology *t, int batch, double *share,
                     Error *error) {
  Topology back = turned_back(search, t);
  return search->cost(search->user, &back, batch, share, error);
}

/* The axis that is largest against the median case loses one step. */
static bool patch_shrink(const double mm[3], const double median[3], Topology *t, Error *error) {
  bool flat = t->flat;
  int worst = 0;
  for (int axis = 1; axis < 3; axis++)
    if (t->patch[axis] / median[axis] >= t->patch[worst] / median[worst]) worst = axis;
  const int before[3] = {t->patch[0], t->patch[1], t->patch[2]};
  double smaller[3] = {t->patch[0], t->patch[1], t->patch[2]};
  Topology step;
  smaller[worst] -= t->divisor[worst];
  if (smaller[worst] >= EDGE_MIN) {
    topology_find(mm, smaller, flat, &step);
    smaller[worst] = t->patch[worst] - step.divisor[worst]; /* less where that is divisor enough */
    topology_find(mm, smaller, flat, t);
    if (t->stages > 1) return true;
  }
  return fail(error, "not even a patch of %dx%dx%d fits into the budget", before[0], before[1],
              before[2]);
}

static bool batch_find(const Search *search, const Topology *t, double dataset_voxels, double share,
                       int *batch, Error *error) {
  double patch = (double)t->patch[0] * t->patch[1] * t->patch[2];
  double most = rint(dataset_voxels * search->covered / patch);
  *batch = 2;
  if (!search->exact) {
    double wanted = rint(search->batch / share);
    *batch = (int)fmin(wanted, most);
    if (*batch < 2) *batch = 2;
    return true;
  }
  for (int next = 3; next <= most; next++) {
    double more;
    if (!share_of(search, t, next, &more, error)) return false;
    if (more > 1) break;
    *batch = next;
  }
  return true;
}

void key_grid_find(const Topology *t, int grid[3]) {
  for (int axis = 0; axis < 3; axis++) grid[axis] = t->patch[axis];
  for (int i = 0; i < t->stages; i++) {
    for (int axis = 0; axis < 3; axis++) grid[axis] /= t->stride[i][axis];
    if ((double)grid[0] * grid[1] * grid[2] <= KEYS_MAX) return;
  }
}

/* The first patch: the aspect of 1 / mm, at most the median case. */
static void patch_start(const Search *search, const double mm[3], const double median[3],
                        double patch[3]) {
  double edge = search->flat ? 2048 * sqrt(mm[1] * mm[2]) : 256 * cbrt(volume_of(mm));
  for (int axis = 0; axis < 3; axis++) patch[axis] = fmin(rint(edge / mm[axis]), median[axis]);
  if (search->flat) patch[0] = 1;
}

/* configuration: mm and median_dim in, the rest out; both in the data's order of axes. */
static bool configuration_plan(const Search *search, double dataset_voxels, Configuration *c,
                               Error *error) {
  double mm[3], median[3], start[3];
  for (int axis = 0; axis < 3; axis++)
    mm[axis] = c->mm[search->turn[axis]], median[axis] = c->median_dim[search->turn[axis]];
  if (search->flat) mm[0] = median[0] = HUGE_VAL;
  patch_start(search, mm, median, start);
  Topology t;
  topology_find(mm, start, search->flat, &t);
  double share;
  if (!share_of(search, &t, search->batch, &share, error)) return false;
  while (share > 1)
    if (!patch_shrink(mm, median, &t, error) || !share_of(search, &t, search->batch, &share, error))
      return false;
  c->topology = turned_back(search, &t);
  key_grid_find(&c->topology, c->key_grid);
  return batch_find(search, &t, dataset_voxels, share, &c->batch, error);
}

/* nnU-Net coarsens by 3 % at a time, the finer axes first until all are within a factor of 2. */
static void coarsen(double mm[3]) {
  double most = mm[coarsest(mm)];
  bool uneven = false;
  for (int axis = 0; axis < 3; axis++) uneven |= most / mm[axis] > 2;
  for (int axis = 0; axis < 3; axis++)
    if (!uneven || most / mm[axis] > 2) mm[axis] *= 1.03;
}

static bool lowres_plan(const Search *search, double cases, Planned *p, Error *error) {
  const Configuration *full = &p->fullres;
  const int *patch = full->topology.patch;
  double shown = (double)patch[0] * patch[1] * patch[2], total = volume_of(full->median_dim);
  p->lowres = *full;
  double exact[3];
  while (shown / total < 0.25) {
    coarsen(p->lowres.mm);
    for (int axis = 0; axis < 3; axis++) {
      exact[axis] = full->mm[axis] / p->lowres.mm[axis] * full->median_dim[axis];
      p->lowres.median_dim[axis] = rint(exact[axis]);
    }
    total = volume_of(exact);
    if (!configuration_plan(search, total * cases, &p->lowres, error)) return false;
    const int *low = p->lowres.topology.patch;
    shown = (double)low[0] * low[1] * low[2];
    p->has_lowres = true;
  }
  if (volume_of(full->median_dim) / total < 2) p->has_lowres = false;
  p->fullres.batch_dice = p->has_lowres;
  return true;
}

static bool two_stages(const Configuration *c, Error *error) {
  const double *dim = c->median_dim;
  if (c->topology.stages > 1) return true;
  return fail(
      error,
      "the median case has %gx%gx%g voxels at %.3gx%.3gx%.3g mm: too few for a U-Net, which "
      "halves two axes of %d voxels or more, or one of %d; resample the images to a finer "
      "spacing, or train on the files as they are, in a patch that is larger and filled up "
      "with zeros (plan=none patch=16,16,16)",
      dim[0], dim[1], dim[2], c->mm[0], c->mm[1], c->mm[2], 2 * EDGE_MIN, 3 * EDGE_MIN);
}

/* Images of one voxel along an axis: that axis; volumes: -1. */
static int flat_axis(const Fingerprint *f, int worst) {
  if (dim_median(f, worst, NULL) == 1) return worst;
  for (int axis = 0; axis < 3; axis++)
    if (dim_median(f, axis, NULL) == 1) return axis;
  return -1;
}

/* nnU-Net's 2d configuration of volumes; where none is found, there is none. */
static void slices_plan(const Search *search, double dataset_voxels, Planned *p) {
  Error none = {""};
  p->slices.median_dim[search->turn[0]] = 1;
  p->slices.mm[search->turn[0]] = FLAT_MM;
  p->has_slices = configuration_plan(search, dataset_voxels, &p->slices, &none) &&
                  p->slices.topology.stages > 1;
  p->slices.batch_dice = true;
}

bool plan_data(const Fingerprint *f, const Planner *planner, const double spacing[3], PlanCost cost,
               void *user, bool exact, Planned *planned, Error *error) {
  *planned = (Planned){0};
  Configuration *full = &planned->fullres;
  if (spacing)
    memcpy(full->mm, spacing, sizeof full->mm);
  else
    target_spacing(f, full->mm);
  for (int axis = 0; axis < 3; axis++) full->median_dim[axis] = dim_median(f, axis, full->mm);
  int flat = flat_axis(f, coarsest(full->mm)), first = flat < 0 ? coarsest(full->mm) : flat;
  if (flat >= 0) full->mm[flat] = FLAT_MM, full->median_dim[flat] = 1;
  Search search = {.turn = {first, first == 0 ? 1 : 0, first == 2 ? 1 : 2},
                   .flat = flat >= 0,
                   .batch = flat >= 0 && !exact ? planner->batch_2d : 2,
                   .covered = planner->covered,
                   .cost = cost,
                   .user = user,
                   .exact = exact};
  double voxels = volume_of(full->median_dim) * f->cases;
  planned->slices = *full;
  if (!configuration_plan(&search, voxels, full, error) || !two_stages(full, error)) return false;
  full->batch_dice = search.flat;
  if (search.flat) return true;
  if (!lowres_plan(&search, f->cases, planned, error)) return false;
  search.flat = true, search.batch = planner->batch_2d;
  if (!exact) slices_plan(&search, voxels, planned);
  return true;
}
