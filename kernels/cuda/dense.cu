#include "kernels/cuda/column_sums.h"
#include "kernels/cuda/dense.h"
#include "kernels/cuda/epilogues.h"
#include "kernels/cuda/few_rows.h"
#include "kernels/cuda/gemm.h"
#include "kernels/cuda/libraries.h"
#include "kernels/cuda/narrow.h"
#include "kernels/cuda/rows.h"
#include "kernels/cuda/scratch_blocks.h"

#include <new>

extern "C" {
#include "kernels/cuda/autotune.h"
}

enum { IN_W, IN_B, IN_X };

namespace {

/* Offsets into the scratch; what is not needed has no place. */
struct Dense {
  DType type; /* of the products' operands */
  bool relu, tf32;
  bool narrow; /* backward by narrow.h */
  bool few;    /* backward by few_rows.h */
  int64_t rows, ins, outs;
  const Gemm *forward, *input, *weight;
  size_t x, w, bias, g, sums, workspace;
};

} // namespace

static const Dense *dense_of(const Call *call) {
  return static_cast<const Dense *>(call->state);
}

static char *scratch_at(const Call *call, size_t offset) {
  return static_cast<char *>(call->scratch) + offset;
}

static NarrowCall narrow_call(const Dense *d, const void *dy, const void *x, const void *w,
                              void *dx, bool adds) {
  NarrowCall c = {};
  c.rows = d->rows;
  c.outs = (int)d->outs;
  c.ins = (int)d->ins;
  c.dy = static_cast<const bf16 *>(dy);
  c.x = static_cast<const bf16 *>(x);
  c.w = static_cast<const bf16 *>(w);
  c.dx = static_cast<bf16 *>(dx);
  c.adds = adds;
  return c;
}

static size_t products_workspace(const Dense *d) {
  size_t a = d->input ? gemm_workspace(d->input) : 0;
  size_t b = d->weight ? gemm_workspace(d->weight) : 0;
  return a > b ? a : b;
}

/* ---- preparing ------------------------------------------------------------------------------- */

static bool prepare_forward(Call *call, Dense *d, Error *error) {
  size_t *total = &call->scratch_bytes, unit = dtype_bytes(d->type);
  DType out = call->out[0].type;
  bool biased = !tensor_absent(&call->in[IN_B]);
  GemmShape shape = {d->rows, d->outs, d->ins, false,   true,   1,
                     d->type, out,     biased, d->relu, d->tf32};
  d->forward = gemm_make(&shape, error);
  if (!d->forward) return false;
  if (call->in[IN_X].type != d->type) d->x = scratch_add(total, (size_t)(d->rows * d->ins) * unit);
  if (d->type == BF16) d->w = scratch_add(total, (size_t)(d->outs * d->ins) * unit);
  if (out == BF16 && biased) d->bias = scratch_add(total, (size_t)d->outs * unit);
  d->workspace = scratch_add(total, gemm_workspace(d->forward));
  return true;
}

/* One walk over dy or three: which is faster is asked of the device, with the real shapes. */
namespace {
struct Rehearsal {
  const Dense *d;
  NarrowCall call;
  NarrowResult result;
  void *g, *sums, *workspace;
};
} // namespace

static bool rehearse_walk(void *user) {
  const Rehearsal *r = static_cast<Rehearsal *>(user);
  narrow_run(libraries.stream, 1, r->call, r->workspace, r->result);
  return true;
}

static bool rehearse_products(void *user) {
  const Rehearsal *r = static_cast<Rehearsal *>(user);
  const Dense *d = r->d;
  bias_gradient(libraries.stream, BF16, d->rows, d->outs, r->g, r->sums, r->result.db);
  gemm_run(d->input, libraries.stream, r->g, r->call.w, NULL, r->call.dx, r->workspace);
  gemm_run(d->weight, libraries.stream, r->g, r->call.x, NULL, r->result.dw, r->workspace);
  return true;
}

static double walk_seconds(void *user) {
  return library_seconds(rehearse_walk, user);
}
static double products_seconds(void *user) {
  return library_seconds(rehearse_products, user);
}

static bool walk_is_faster(const Call *call, const Dense *d) {
  size_t rows = (size_t)d->rows, outs = (size_t)d->outs, ins = (size_t)d->ins;
  size_t walk = narrow_prepare(1, d->rows, d->ins, d->outs), most = products_workspace(d);
  void *g = library_noise(rows * outs * 2), *x = library_noise(rows * ins * 2);
  void *dx = library_noise(rows * ins * 2), *w = library_noise(outs * ins * 2);
  void *dw = library_noise(outs * ins * 4), *db = library_noise(outs * 4);
  void *sums = library_noise(column_sums_scratch(d->outs, 1));
  void *workspace = library_noise(walk > most ? walk : most);
  void *const all[] = {g, x, dx, w, dw, db, sums, workspace};
  bool there = true, faster = false;
  for (void *block : all) there = there && block;
  Rehearsal r = {};
  r.d = d;
  r.g = g, r.sums = sums, r.workspace = workspace;
  r.call = narrow_call(d, g, x, w, dx, adds_to(call, IN_X));
  r.result = NarrowResult{static_cast<float *>(dw), static_cast<float *>(db), false, false};
  Autotune autotune = autotune_begin();
  if (there && !autotune.blind) {
    autotune_try(&autotune, products_seconds, &r);
    faster = autotune_try(&autotune, walk_seconds, &r);
  }
  for (void *block : all) library_noise_free(block);
  return faster;
}

/* By few_rows.h in one launch, by narrow.h in one walk, or by products of the library. Few columns
 * of dy were three times as fast in one walk on an H200; many are tried. */
static bool choose_backward(const Call *call, Dense *d, Error *error) {
  d->few = few_rows_fit(d->rows, d->outs, d->ins);
  if (d->few) return true;
  bool wants_w = wants_of(call, IN_W), wants_x = wants_of(call, IN_X);
  bool fits = wants_w && wants_x && d->type == BF16 && call->in[IN_X].type == BF16 &&
              narrow_fits(d->rows, d->ins, d->outs);
  d->narrow = fits && d->outs <= NARROW_FEW;
  if (d->narrow) return true;
  GemmShape input = {d->rows, d->ins, d->outs, false,
                     false,   1,      d->type, call->in[IN_X].type,
                     false,   false,  d->tf32, adds_to(call, IN_X)};
  GemmShape weight = {d->outs, d->ins, d->rows, true,  false,   1,
                      d->type, F32,    false,   false, d->tf32, adds_to(call, IN_W)};
  if (wants_x && !(d->input = gemm_make(&input, error))) return false;
  if (wants_w && !(d->weight = gemm_make(&weight, error))) return false;
  d->narrow = fits && !absent_gpu.processors && walk_is_faster(call, d);
  return true;
}

static size_t backward_workspace(const Dense *d) {
  return d->narrow ? narrow_prepare(1, d->rows, d->ins, d->outs) : products_workspace(d);
}

static bool prepare_backward(Call *call, Dense *d, Error *error) {
  size_t *total = &call->scratch_bytes, unit = dtype_bytes(d->type);
  if (!choose_backward(call, d, error)) return false;
  if (d->few) return true; /* reads and writes the operands as they are */
  if (call->in[IN_X].type != d->type) d->x = scratch_add(total, (size_t)(d->rows * d->ins) * unit);
  if (d->type == BF16) d->w = scratch_add(total, (size_t)(d->outs * d->ins) * unit);
  if (d->relu || call->out[0].type != d->type)
    d->g = scratch_add(total, (size_t)(d->rows * d->outs) * unit);
  d->sums = scratch_add(total, column_sums_scratch(d->outs, 1));
  d->workspace = scratch_add(total, backward_workspace(d));
  return true;
}

bool dense_prepare(Call *call, bool relu, bool tf32, Error *error) {
  const Tensor *w = &call->in[IN_W], *x = &call->in[IN_X];
  Dense *d = new (std::nothrow) Dense();
  CHECK(d, "no memory for a layer");
  d->type = x->type == BF16 || call->out[0].type == BF16 ? BF16 : F32;
  d->relu = relu;
  d->tf32 = tf32;
  d->rows = tensor_rows(x);
  d->ins = tensor_last(x);
  d->outs = w->dim[0];
  call->state = d;
  call->scratch_bytes = 0;
  if (call->backward ? prepare_backward(call, d, error) : prepare_forward(call, d, error))
    return true;
  dense_release(call);
  return false;
}

void dense_release(Call *call) {
  delete static_cast<Dense *>(call->state);
  call->state = NULL;
}

/* ---- running --------------------------------------------------------------------------------- */

void dense_forward(const Call *call) {
  const Dense *d = dense_of(call);
  const void *x = operand_as(call, &call->in[IN_X], d->type, d->x);
  const void *w = operand_as(call, &call->in[IN_W], d->type, d->w);
  const void *bias = optional_as(call, IN_B, call->out[0].type, d->bias);
  gemm_run(d->forward, call->stream, x, w, bias, call->out[0].data, scratch_at(call, d->workspace));
}

/* The gradient before the activation, in the products' type: as it came, or made in the walk that
 * sums its columns for the bias. */
static const void *gradient(const Call *call, const Dense *d, float *db) {
  bool adds = adds_to(call, IN_B);
  const Tensor *y = &call->out[0], *dy = &call->dout[0];
  void *sums = scratch_at(call, d->sums), *g = scratch_at(call, d->g);
  if (!d->relu && dy->type == d->type) {
    if (!d->narrow)
      bias_gradient(call->stream, d->type, d->rows, d->outs, dy->data, sums, db, adds);
    return dy->data;
  }
  gradient_pass(call->stream, d->rows, d->outs, dy->type, d->relu ? y->data : NULL, dy->data,
                d->type, g, sums, d->narrow ? NULL : db, adds);
  return g;
}

static void narrow_backward(const Call *call, const Dense *d, const void *g, float *db) {
  const void *w = operand_as(call, &call->in[IN_W], BF16, d->w);
  NarrowCall c =
      narrow_call(d, g, call->in[IN_X].data, w, call->din[IN_X].data, adds_to(call, IN_X));
  NarrowResult result = {data_of<float>(&call->din[IN_W]), db, adds_to(call, IN_W),
                         adds_to(call, IN_B)};
  narrow_run(call->stream, 1, c, scratch_at(call, d->workspace), result);
}

static void few_backward(const Call *call, const Dense *d) {
  const Tensor *x = &call->in[IN_X], *y = &call->out[0];
  with_type(y->type, [&](auto y_zero) {
    with_type(x->type, [&](auto x_zero) {
      using T = decltype(y_zero);
      using X = decltype(x_zero);
      FewRows<T, X> f = {};
      f.rows = (int)d->rows;
      f.outs = (int)d->outs;
      f.ins = (int)d->ins;
      f.dy = data_of<const T>(&call->dout[0]);
      f.y = d->relu ? data_of<const T>(y) : NULL;
      f.x = data_of<const X>(x);
      f.w = data_of<const float>(&call->in[IN_W]);
      f.dx = data_of<X>(&call->din[IN_X]);
      f.dw = data_of<float>(&call->din[IN_W]);
      f.db = data_of<float>(&call->din[IN_B]);
      f.adds_x = adds_to(call, IN_X);
      f.adds_w = adds_to(call, IN_W);
      f.adds_b = adds_to(call, IN_B);
      few_rows_run(call->stream, f);
    });
  });
}

void dense_backward(const Call *call) {
  const Dense *d = dense_of(call);
  if (d->few) {
    few_backward(call, d);
    return;
  }
  float *db = data_of<float>(&call->din[IN_B]);
  const void *g = gradient(call, d, db);
  void *workspace = scratch_at(call, d->workspace);
  if (d->narrow) {
    narrow_backward(call, d, g, db);
    return;
  }
  if (call->din[IN_X].data)
    gemm_run(d->input, call->stream, g, operand_as(call, &call->in[IN_W], d->type, d->w), NULL,
             call->din[IN_X].data, workspace);
  if (call->din[IN_W].data)
    gemm_run(d->weight, call->stream, g, operand_as(call, &call->in[IN_X], d->type, d->x), NULL,
             call->din[IN_W].data, workspace);
}
