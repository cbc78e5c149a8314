#include "kernels/cpu/row_conv.h"
#include "kernels/cpu/simd.h"
#include "kernels/cpu/tile_product.h"

enum {
  MOST_RUNS = 2 * ROW_CONV_WIDEST + 1,
  WIDTH = 24, /* output channels of a task of the weights' gradient: a product's widest block */
  CHUNK = 1 << 18, /* numbers that all tasks read before they go on: they stay in the cache */
};

/* Output pixels x .. x + count - 1 of a row, whose taps first .. end - 1 fall inside the input. */
typedef struct Run {
  int64_t x, count, first, end;
} Run;

enum { Z, Y, X }; /* axes */

static int64_t pad(const RowConv *s, int axis) {
  return (s->kernel[axis] - 1) / 2;
}

/* A row's runs: its inside, and at either border as many as the kernel is wide at most. */
static int runs_of(const RowConv *s, Run run[MOST_RUNS]) {
  int count = 0;
  for (int64_t x = 0; x < s->out[X]; x++) {
    int64_t from = x * s->stride[X] - pad(s, X), first = from < 0 ? -from : 0;
    int64_t end = s->in[X] - from < s->kernel[X] ? s->in[X] - from : s->kernel[X];
    if (count && run[count - 1].first == first && run[count - 1].end == end)
      run[count - 1].count++;
    else
      run[count++] = (Run){x, 1, first, end};
  }
  return count;
}

/* Rows (n, z, y) are numbered through, of the input and of the output; so are a kernel's (kz, ky),
 * called lines. */
static int64_t lines(const RowConv *s) {
  return s->kernel[Z] * s->kernel[Y];
}

static int64_t row_count(const RowConv *s, const int64_t dim[3]) {
  return s->samples * dim[Z] * dim[Y];
}

/* The input row that a line of the kernel reads for an output row; -1: outside. */
static int64_t source_row(const RowConv *s, int64_t row, int64_t line) {
  int64_t z = row / s->out[Y] % s->out[Z] * s->stride[Z] - pad(s, Z) + line / s->kernel[Y];
  int64_t y = row % s->out[Y] * s->stride[Y] - pad(s, Y) + line % s->kernel[Y];
  if (z < 0 || z >= s->in[Z] || y < 0 || y >= s->in[Y]) return -1;
  return (row / (s->out[Y] * s->out[Z]) * s->in[Z] + z) * s->in[Y] + y;
}

/* The output's coordinate that reads `at` of the input by tap k; -1: none. */
static int64_t reader(const RowConv *s, int axis, int64_t at, int64_t k) {
  int64_t from = at + pad(s, axis) - k;
  return from < 0 || from % s->stride[axis] || from / s->stride[axis] >= s->out[axis]
             ? -1
             : from / s->stride[axis];
}

/* The output row that reads an input row by a line of the kernel; -1: none. */
static int64_t reading_row(const RowConv *s, int64_t row, int64_t line) {
  int64_t z = reader(s, Z, row / s->in[Y] % s->in[Z], line / s->kernel[Y]);
  int64_t y = reader(s, Y, row % s->in[Y], line % s->kernel[Y]);
  return z < 0 || y < 0 ? -1 : (row / (s->in[Y] * s->in[Z]) * s->out[Z] + z) * s->out[Y] + y;
}

/* The first number of a run's input at a row. */
static const float *source(const RowConv *s, const float *x, int64_t row, const Run *run) {
  return x + (row * s->in[X] + run->x * s->stride[X] - pad(s, X) + run->first) * s->ins;
}

static int64_t taps(const RowConv *s) {
  return lines(s) * s->kernel[X];
}

static int64_t weights(const RowConv *s) {
  return (taps(s) * s->ins * s->outs + 15) / 16 * 16;
}

size_t row_conv_scratch(const RowConv *s) {
  return (size_t)weights(s) * sizeof(float) + (size_t)s->outs * (sizeof(double) + sizeof(float)) +
         64;
}

/* (outs, taps, ins) to (taps, ins, outs), and back. */
static void turn(const RowConv *s, const float *from, float *to, bool back) {
  int64_t in = taps(s) * s->ins, rows = back ? in : s->outs, columns = back ? s->outs : in;
#pragma omp parallel for schedule(static)
  for (int64_t c = 0; c < columns; c++)
    for (int64_t r = 0; r < rows; r++) to[c * rows + r] = from[r * columns + c];
}

/* ---- forward --------------------------------------------------------------------------------- */

static void row_forward(const RowConv *s, const Run *run, int64_t row, const float *x,
                        const float *w, const float *b, float *y) {
  bool begun = false;
  for (int64_t line = 0; line < lines(s); line++) {
    int64_t from = source_row(s, row, line);
    if (from < 0) continue;
    product(&(Product){.rows = run->count,
                       .columns = s->outs,
                       .depth = (run->end - run->first) * s->ins,
                       .a = source(s, x, from, run),
                       .a_row = s->stride[X] * s->ins,
                       .a_k = 1,
                       .b = w + (line * s->kernel[X] + run->first) * s->ins * s->outs,
                       .b_k = s->outs,
                       .c = y + (row * s->out[X] + run->x) * s->outs,
                       .c_row = s->outs,
                       .start = begun ? NULL : b,
                       .add = begun});
    begun = true;
  }
}

void row_conv_forward(const RowConv *s, const float *x, const float *w, const float *b, float *y,
                      void *scratch) {
  Run run[MOST_RUNS];
  int runs = runs_of(s, run);
  turn(s, w, scratch, false);
#pragma omp parallel for schedule(static)
  for (int64_t row = 0; row < row_count(s, s->out); row++)
    for (int r = 0; r < runs; r++) row_forward(s, &run[r], row, x, scratch, b, y);
}

/* ---- the gradient of x ----------------------------------------------------------------------- */

/* Adds what tap kx of a line gives to one row of dx: every stride-th voxel of it. w: (taps, outs,
 * ins). */
static void tap_back(const RowConv *s, int64_t row, int64_t line, int64_t kx, const float *dy,
                     const float *w, float *dx) {
  int64_t from = reading_row(s, row, line);
  int64_t shift = kx - pad(s, X), step = s->stride[X]; /* output x reads input x * step + shift */
  int64_t first = shift < 0 ? (-shift + step - 1) / step : 0;
  int64_t end = (s->in[X] - shift + step - 1) / step;
  if (end > s->out[X]) end = s->out[X];
  if (from < 0 || end <= first) return;
  product(&(Product){.rows = end - first,
                     .columns = s->ins,
                     .depth = s->outs,
                     .a = dy + (from * s->out[X] + first) * s->outs,
                     .a_row = s->outs,
                     .a_k = 1,
                     .b = w + (line * s->kernel[X] + kx) * s->outs * s->ins,
                     .b_k = s->ins,
                     .c = dx + (row * s->in[X] + first * step + shift) * s->ins,
                     .c_row = step * s->ins,
                     .add = true});
}

void row_conv_backward_x(const RowConv *s, const float *dy, const float *w, float *dx,
                         void *scratch) {
  float *by_tap = scratch;
#pragma omp parallel for schedule(static)
  for (int64_t t = 0; t < taps(s); t++)
    for (int64_t o = 0; o < s->outs; o++)
      memcpy(by_tap + (t * s->outs + o) * s->ins, w + (o * taps(s) + t) * s->ins,
             (size_t)s->ins * sizeof *w);
#pragma omp parallel for schedule(static)
  for (int64_t row = 0; row < row_count(s, s->in); row++) {
    memset(dx + row * s->in[X] * s->ins, 0, (size_t)(s->in[X] * s->ins) * sizeof *dx);
    for (int64_t t = 0; t < taps(s); t++)
      tap_back(s, row, t / s->kernel[X], t % s->kernel[X], dy, by_tap, dx);
  }
}

/* ---- the gradient of w ----------------------------------------------------------------------- */

/* What one task sums: a line of the kernel, output channels first .. first + count - 1. */
typedef struct Task {
  int64_t line, first, count;
} Task;

static void row_gradient(const RowConv *s, const Run *run, const Task *task, int64_t row,
                         const float *x, const float *dy, float *dw) {
  int64_t from = source_row(s, row, task->line);
  if (from < 0) return;
  int64_t tap = task->line * s->kernel[X] + run->first;
  product(&(Product){.rows = (run->end - run->first) * s->ins,
                     .columns = task->count,
                     .depth = run->count,
                     .a = source(s, x, from, run),
                     .a_row = 1,
                     .a_k = s->stride[X] * s->ins,
                     .b = dy + (row * s->out[X] + run->x) * s->outs + task->first,
                     .b_k = s->outs,
                     .c = dw + tap * s->ins * s->outs + task->first,
                     .c_row = s->outs,
                     .add = true});
}

/* The sums of a row's columns, with `part` for those in float. */
static void row_bias(const RowConv *s, const Task *task, int64_t row, const float *dy, float *part,
                     double *sums) {
  static const float one = 1;
  product(&(Product){.rows = 1,
                     .columns = task->count,
                     .depth = s->out[X],
                     .a = &one,
                     .b = dy + row * s->out[X] * s->outs + task->first,
                     .b_k = s->outs,
                     .c = part + task->first});
  for (int64_t o = task->first; o < task->first + task->count; o++) sums[o] += (double)part[o];
}

/* Rows that all tasks go through together. */
static int64_t chunk_rows(const RowConv *s) {
  int64_t row = s->out[X] * s->outs + s->stride[Z] * s->stride[Y] * s->in[X] * s->ins;
  return row < CHUNK ? CHUNK / row : 1;
}

/* Each weight is summed by one task in the order of the rows. */
void row_conv_backward_w(const RowConv *s, const float *x, const float *dy, float *dw, float *db,
                         void *scratch) {
  float *turned = scratch;
  double *sums = (double *)(void *)(turned + weights(s));
  float *part = (float *)(sums + s->outs);
  int64_t blocks = (s->outs + WIDTH - 1) / WIDTH, count = row_count(s, s->out);
  int64_t step = chunk_rows(s);
  Run run[MOST_RUNS];
  int runs = runs_of(s, run);
  memset(scratch, 0, row_conv_scratch(s));
#pragma omp parallel
  for (int64_t chunk = 0; chunk < count; chunk += step) {
    int64_t end = chunk + step < count ? chunk + step : count;
#pragma omp for schedule(static)
    for (int64_t t = 0; t < blocks * lines(s); t++) {
      Task task = {t / blocks, t % blocks * WIDTH, WIDTH};
      if (task.first + WIDTH > s->outs) task.count = s->outs - task.first;
      for (int64_t row = chunk; row < end; row++) {
        for (int r = 0; r < runs; r++) row_gradient(s, &run[r], &task, row, x, dy, turned);
        if (task.line == 0) row_bias(s, &task, row, dy, part, sums);
      }
    }
  }
  turn(s, turned, dw, true);
  for (int64_t o = 0; db && o < s->outs; o++) db[o] = (float)sums[o];
}
