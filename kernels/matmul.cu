/* One matrix product per sample by cuBLASLt. Where a, b or y is BF16 the operands are multiplied in
 * BF16, the one that is not is cast first. The gradients of few masks over millions of voxels are
 * one walk of ours (narrow.h): the library's takes 20 times as long, as few processors sum for
 * db. */
#include "kernels/cuda/gemm.h"
#include "kernels/cuda/narrow.h"
#include "kernels/cuda/rows.h"
#include "kernels/cuda/scratch_blocks.h"

#include <new>

extern "C" {
#include "kernels/mode.h"
}

enum { IN_A, IN_B };

namespace {
struct Products {
  DType type;                           /* of the operands */
  const Gemm *forward, *first, *second; /* y; da, db */
  bool narrow;                          /* da and db by narrow.h */
  size_t a, b, dy, db, workspace;
};
} // namespace

static const Products *products_of(const Call *call) {
  return static_cast<const Products *>(call->state);
}

static void release(Call *call) {
  delete static_cast<Products *>(call->state);
  call->state = NULL;
}

/* y (T, K) = a (T, C) b; da = dy b^T; db = a^T dy, or its transpose where b is stored (K, C). */
static bool make_products(Call *call, Products *p, Error *error) {
  bool turned = static_cast<const MatmulOptions *>(call->options)->transpose;
  const Tensor *a = &call->in[IN_A], *y = &call->out[0];
  int batch = (int)matmul_samples(a);
  int64_t t = tensor_rows(a) / batch, c = tensor_last(a), k = tensor_last(y);
  bool tf32 = kernel_mode.tf32 == TF32_ON;
  bool both = wants_of(call, IN_A) && wants_of(call, IN_B);
  p->narrow = both && turned && a->type == BF16 && narrow_fits(t, c, k);
  if (p->narrow) return true;
  GemmShape forward = {t, k, c, false, turned, batch, p->type, y->type, false, false, tf32};
  GemmShape first = {t,       c,       k,     false, !turned, batch,
                     p->type, a->type, false, false, tf32,    adds_to(call, IN_A)};
  GemmShape second = {turned ? k : c, turned ? c : k, t,       true,
                      false,          batch,          p->type, call->in[IN_B].type,
                      false,          false,          tf32,    adds_to(call, IN_B)};
  if (!call->backward) return (p->forward = gemm_make(&forward, error)) != NULL;
  if (wants_of(call, IN_A) && !(p->first = gemm_make(&first, error))) return false;
  return !wants_of(call, IN_B) || (p->second = gemm_make(&second, error));
}

static bool prepare(Call *call, Error *error) {
  Products *p = new (std::nothrow) Products();
  CHECK(p, "no memory for a product");
  const Tensor *a = &call->in[IN_A], *b = &call->in[IN_B], *y = &call->out[0];
  p->type = a->type == BF16 || b->type == BF16 || y->type == BF16 ? BF16 : F32;
  call->state = p;
  call->scratch_bytes = 0;
  if (!make_products(call, p, error)) {
    release(call);
    return false;
  }
  size_t *total = &call->scratch_bytes, unit = dtype_bytes(p->type), most = 0;
  if (a->type != p->type) p->a = scratch_add(total, (size_t)tensor_count(a) * unit);
  if (b->type != p->type) p->b = scratch_add(total, (size_t)tensor_count(b) * unit);
  if (call->backward && y->type != p->type)
    p->dy = scratch_add(total, (size_t)tensor_count(y) * unit);
  const Gemm *all[] = {p->forward, p->first, p->second};
  for (int i = 0; i < 3; i++)
    if (all[i] && gemm_workspace(all[i]) > most) most = gemm_workspace(all[i]);
  if (p->narrow) {
    int samples = (int)matmul_samples(a);
    most = narrow_prepare(samples, tensor_rows(a) / samples, tensor_last(a), tensor_last(y));
    p->db = scratch_add(total, (size_t)tensor_count(b) * sizeof(float));
  }
  p->workspace = scratch_add(total, most);
  return true;
}

static void *workspace_of(const Call *call) {
  return static_cast<char *>(call->scratch) + products_of(call)->workspace;
}

static void forward(const Call *call) {
  const Products *p = products_of(call);
  const void *a = operand_as(call, &call->in[IN_A], p->type, p->a);
  const void *b = operand_as(call, &call->in[IN_B], p->type, p->b);
  gemm_run(p->forward, call->stream, a, b, NULL, call->out[0].data, workspace_of(call));
}

/* A layer (dense.h) of each sample: x is a, w is b. */
static void narrow_backward(const Call *call, const Products *p, const void *dy) {
  const Tensor *a = &call->in[IN_A], *db = &call->din[IN_B];
  int samples = (int)matmul_samples(a);
  bool half = db->type == BF16;
  void *sums = static_cast<char *>(call->scratch) + p->db;
  NarrowCall c = {};
  c.rows = tensor_rows(a) / samples;
  c.outs = (int)tensor_last(&call->out[0]);
  c.ins = (int)tensor_last(a);
  c.dy = static_cast<const bf16 *>(dy);
  c.x = data_of<const bf16>(a);
  c.w = static_cast<const bf16 *>(operand_as(call, &call->in[IN_B], BF16, p->b));
  c.dx = data_of<bf16>(&call->din[IN_A]);
  c.adds = adds_to(call, IN_A);
  bool adds = adds_to(call, IN_B);
  NarrowResult result = {static_cast<float *>(half ? sums : db->data), NULL, adds && !half, false};
  narrow_run(call->stream, samples, c, workspace_of(call), result);
  if (half && db->data) cast(call->stream, tensor_count(db), F32, sums, BF16, db->data, adds);
}

static void backward(const Call *call) {
  bool turned = static_cast<const MatmulOptions *>(call->options)->transpose;
  const Products *p = products_of(call);
  const void *dy = operand_as(call, &call->dout[0], p->type, p->dy);
  if (p->narrow) {
    narrow_backward(call, p, dy);
    return;
  }
  if (call->din[IN_A].data)
    gemm_run(p->first, call->stream, dy, operand_as(call, &call->in[IN_B], p->type, p->b), NULL,
             call->din[IN_A].data, workspace_of(call));
  if (!call->din[IN_B].data) return;
  const void *a = operand_as(call, &call->in[IN_A], p->type, p->a);
  gemm_run(p->second, call->stream, turned ? dy : a, turned ? a : dy, NULL, call->din[IN_B].data,
           workspace_of(call));
}

CUDA_KERNEL(matmul) = {.forward = forward,
                       .backward = backward,
                       .prepare = prepare,
                       .release = release,
                       .bf16 = SAVES_IN(IN_A) | SAVES_IN(IN_B) | SAVES_OUT(0),
                       .adds = SAVES_IN(IN_A) | SAVES_IN(IN_B)};
