/* Token matrices one after another, or channels: one launch an input, whose samples or voxels are
 * rows that lie apart in the result. */
#include "kernels/cuda/rows.h"

/* Calls visit(i, the part of `all` that is input i, the input `parts[i]` itself, its width). */
template <typename F>
static void visit_parts(const Call *call, const Tensor *all, const Tensor *parts, F visit) {
  int64_t rows = concat_rows(call), pitch = tensor_count(all) / rows;
  char *at = data_of<char>(all);
  for (int i = 0; i < call->n_in; i++) {
    int64_t width = tensor_count(&call->in[i]) / rows;
    visit(i, Rows{all->type, pitch, at}, Rows{parts[i].type, width, parts[i].data}, width);
    at += (size_t)width * dtype_bytes(all->type);
  }
}

static void forward(const Call *call) {
  int64_t rows = concat_rows(call);
  visit_parts(call, &call->out[0], call->in, [&](int, Rows all, Rows part, int64_t width) {
    rows_copy(call->stream, rows, width, width, part, all);
  });
}

static void backward(const Call *call) {
  int64_t rows = concat_rows(call);
  if (!call->dout[0].data) {
    zero_gradients(call);
    return;
  }
  visit_parts(call, &call->dout[0], call->din, [&](int i, Rows all, Rows part, int64_t width) {
    if (part.data) rows_add(call->stream, rows, width, all, part, adds_to(call, i));
  });
}

CUDA_KERNEL(concat) = {.forward = forward,
                       .backward = backward,
                       .bf16 = SAVES_ALL_IN | SAVES_OUT(0),
                       .bf16_together = true,
                       .adds = SAVES_ALL_IN};
