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

static int64_t pad(const RowConv *s, int axis) {
  return (s->kernel[axis] - 1) / 2;
}

/* A row's runs: its inside, and at either border as many as the kernel is wide at most. */
static int runs_of(const RowConv *s, Run run[MOST_RUNS]) {
  int count = 0;
  for (int64_t x = 0; x < s->out[1]; x++) {
    int64_t from = x * s->stride[1] - pad(s, 1), first = from < 0 ? -from : 0;
    int64_t end = s->in[1] - from < s->kernel[1] ? s->in[1] - from : s->kernel[1];
    if (count && run[count - 1].first == first && run[count - 1].end == end)
      run[count - 1].count++;
    else
      run[count++] = (Run){x, 1, first, end};
  }
  return count;
}

/* The input row that tap ky of an output row reads; -1: outside. */
static int64_t source_row(const RowConv *s, int64_t row, int64_t ky) {
  int64_t y = row % s->out[0] * s->stride[0] - pad(s, 0) + ky;
  return y < 0 || y >= s->in[0] ? -1 : row / s->out[0] * s->in[0] + y;
}

/* The first number of a run's input at a row. */
static const float *source(const RowConv *s, const float *x, int64_t row, const Run *run) {
  return x + (row * s->in[1] + run->x * s->stride[1] - pad(s, 1) + run->first) * s->ins;
}

static int64_t taps(const RowConv *s) {
  return s->kernel[0] * s->kernel[1];
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
  for (int64_t ky = 0; ky < s->kernel[0]; ky++) {
    int64_t from = source_row(s, row, ky);
    if (from < 0) continue;
    product(&(Product){.rows = run->count,
                       .columns = s->outs,
                       .depth = (run->end - run->first) * s->ins,
                       .a = source(s, x, from, run),
                       .a_row = s->stride[1] * s->ins,
                       .a_k = 1,
                       .b = w + (ky * s->kernel[1] + run->first) * s->ins * s->outs,
                       .b_k = s->outs,
                       .c = y + (row * s->out[1] + run->x) * s->outs,
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
  for (int64_t row = 0; row < s->slices * s->out[0]; row++)
    for (int r = 0; r < runs; r++) row_forward(s, &run[r], row, x, scratch, b, y);
}

/* ---- the gradient of x ----------------------------------------------------------------------- */

/* Adds what tap (ky, kx) gives to one row of dx: every stride-th pixel of it. w: (taps, outs,
 * ins). */
static void tap_back(const RowConv *s, int64_t row, int64_t ky, int64_t kx, const float *dy,
                     const float *w, float *dx) {
  int64_t at = row % s->in[0] + pad(s, 0) - ky, y = at / s->stride[0];
  if (at < 0 || at % s->stride[0] || y >= s->out[0]) return;
  int64_t shift = kx - pad(s, 1), step = s->stride[1]; /* output x reads input x * step + shift */
  int64_t first = shift < 0 ? (-shift + step - 1) / step : 0;
  int64_t end = (s->in[1] - shift + step - 1) / step;
  if (end > s->out[1]) end = s->out[1];
  if (end <= first) return;
  product(&(Product){.rows = end - first,
                     .columns = s->ins,
                     .depth = s->outs,
                     .a = dy + ((row / s->in[0] * s->out[0] + y) * s->out[1] + first) * s->outs,
                     .a_row = s->outs,
                     .a_k = 1,
                     .b = w + (ky * s->kernel[1] + kx) * s->outs * s->ins,
                     .b_k = s->ins,
                     .c = dx + (row * s->in[1] + first * step + shift) * s->ins,
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
  for (int64_t row = 0; row < s->slices * s->in[0]; row++) {
    memset(dx + row * s->in[1] * s->ins, 0, (size_t)(s->in[1] * s->ins) * sizeof *dx);
    for (int64_t t = 0; t < taps(s); t++)
      tap_back(s, row, t / s->kernel[1], t % s->kernel[1], dy, by_tap, dx);
  }
}

/* ---- the gradient of w ----------------------------------------------------------------------- */

/* What one task sums: kernel row ky, output channels first .. first + count - 1. */
typedef struct Task {
  int64_t ky, first, count;
} Task;

static void row_gradient(const RowConv *s, const Run *run, const Task *task, int64_t row,
                         const float *x, const float *dy, float *dw) {
  int64_t from = source_row(s, row, task->ky);
  if (from < 0) return;
  int64_t tap = task->ky * s->kernel[1] + run->first;
  product(&(Product){.rows = (run->end - run->first) * s->ins,
                     .columns = task->count,
                     .depth = run->count,
                     .a = source(s, x, from, run),
                     .a_row = 1,
                     .a_k = s->stride[1] * s->ins,
                     .b = dy + (row * s->out[1] + run->x) * s->outs + task->first,
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
                     .depth = s->out[1],
                     .a = &one,
                     .b = dy + row * s->out[1] * s->outs + task->first,
                     .b_k = s->outs,
                     .c = part + task->first});
  for (int64_t o = task->first; o < task->first + task->count; o++) sums[o] += (double)part[o];
}

/* Rows that all tasks go through together. */
static int64_t chunk_rows(const RowConv *s) {
  int64_t row = s->out[1] * s->outs + s->stride[0] * s->in[1] * s->ins;
  return row < CHUNK ? CHUNK / row : 1;
}

/* Each weight is summed by one task in the order of the rows. */
void row_conv_backward_w(const RowConv *s, const float *x, const float *dy, float *dw, float *db,
                         void *scratch) {
  float *turned = scratch;
  double *sums = (double *)(void *)(turned + weights(s));
  float *part = (float *)(sums + s->outs);
  int64_t blocks = (s->outs + WIDTH - 1) / WIDTH, rows = s->slices * s->out[0];
  int64_t step = chunk_rows(s);
  Run run[MOST_RUNS];
  int runs = runs_of(s, run);
  memset(scratch, 0, row_conv_scratch(s));
#pragma omp parallel
  for (int64_t chunk = 0; chunk < rows; chunk += step) {
    int64_t end = chunk + step < rows ? chunk + step : rows;
#pragma omp for schedule(static)
    for (int64_t t = 0; t < blocks * s->kernel[0]; t++) {
      Task task = {t / blocks, t % blocks * WIDTH, WIDTH};
      if (task.first + WIDTH > s->outs) task.count = s->outs - task.first;
      for (int64_t row = chunk; row < end; row++) {
        for (int r = 0; r < runs; r++) row_gradient(s, &run[r], &task, row, x, dy, turned);
        if (task.ky == 0) row_bias(s, &task, row, dy, part, sums);
      }
    }
  }
  turn(s, turned, dw, true);
  for (int64_t o = 0; db && o < s->outs; o++) db[o] = (float)sums[o];
}
