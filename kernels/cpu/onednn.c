#include "kernels/cpu/onednn.h"
#include "kernels/cpu/processor.h"

#include <string.h>

/* Version 2 passes memory descriptors as structs by pointer, version 3 as handles to be freed. */
#if DNNL_VERSION_MAJOR >= 3
typedef const_dnnl_memory_desc_t DescRef;
#define DESC(desc) (desc)
#else
typedef const dnnl_memory_desc_t *DescRef;
#define DESC(desc) (&(desc))
#endif

typedef struct Descs {
  dnnl_memory_desc_t x, w, b, y, dw, w_ours;
} Descs;

#define TRY(call)                                                                                  \
  do {                                                                                             \
    dnnl_status_t status = (call);                                                                 \
    if (status != dnnl_success) return status;                                                     \
  } while (0)

static dnnl_status_t desc_strided(dnnl_memory_desc_t *desc, int rank, const dnnl_dims_t dims,
                                  const dnnl_dims_t strides) {
#if DNNL_VERSION_MAJOR >= 3
  return dnnl_memory_desc_create_with_strides(desc, rank, dims, dnnl_f32, strides);
#else
  return dnnl_memory_desc_init_by_strides(desc, rank, dims, dnnl_f32, strides);
#endif
}

static dnnl_status_t desc_tagged(dnnl_memory_desc_t *desc, int rank, const dnnl_dims_t dims,
                                 dnnl_data_type_t type, dnnl_format_tag_t tag) {
#if DNNL_VERSION_MAJOR >= 3
  return dnnl_memory_desc_create_with_tag(desc, rank, dims, type, tag);
#else
  return dnnl_memory_desc_init_by_tag(desc, rank, dims, type, tag);
#endif
}

static dnnl_status_t descs_make(Descs *d, const ConvShape *s) {
  dnnl_dims_t bias = {s->y[1]};
  bool half = s->x_type == dnnl_bf16 || s->y_type == dnnl_bf16;
  TRY(desc_tagged(&d->x, 5, s->x, s->x_type, dnnl_ndhwc));
  TRY(desc_tagged(&d->y, 5, s->y, s->y_type, dnnl_ndhwc));
  TRY(desc_tagged(&d->b, 1, bias, dnnl_f32, dnnl_a));
  TRY(desc_tagged(&d->w, 5, s->w, half ? dnnl_bf16 : dnnl_f32, dnnl_format_tag_any));
  TRY(desc_tagged(&d->dw, 5, s->w, dnnl_f32, dnnl_format_tag_any));
  return desc_strided(&d->w_ours, 5, s->w, s->w_stride);
}

static void descs_free(Descs *d) {
#if DNNL_VERSION_MAJOR >= 3
  dnnl_memory_desc_t all[] = {d->x, d->w, d->b, d->y, d->dw, d->w_ours};
  for (size_t i = 0; i < sizeof all / sizeof all[0]; i++)
    if (all[i]) dnnl_memory_desc_destroy(all[i]);
#else
  (void)d;
#endif
}

/* Scratch is ours; an accumulating forward adds to what stands in y. */
static dnnl_status_t attr_make(dnnl_primitive_attr_t *attr, bool accumulate) {
  TRY(dnnl_primitive_attr_create(attr));
  TRY(dnnl_primitive_attr_set_scratchpad_mode(*attr, dnnl_scratchpad_mode_user));
  if (!accumulate) return dnnl_success;
  dnnl_post_ops_t ops;
  TRY(dnnl_post_ops_create(&ops));
#if DNNL_VERSION_MAJOR >= 3
  dnnl_status_t status = dnnl_post_ops_append_sum(ops, 1, 0, dnnl_data_type_undef);
#else
  dnnl_status_t status = dnnl_post_ops_append_sum(ops, 1);
#endif
  if (status == dnnl_success) status = dnnl_primitive_attr_set_post_ops(*attr, ops);
  dnnl_post_ops_destroy(ops);
  return status;
}

/* The library pads before and after apart: what is missing after the last voxel. */
static void pad_after(const ConvShape *s, dnnl_dims_t after) {
  for (int a = 0; a < 3; a++)
    after[a] = (s->y[2 + a] - 1) * s->stride[a] + s->w[2 + a] - s->x[2 + a] - s->pad[a];
}

#if DNNL_VERSION_MAJOR >= 3
static dnnl_status_t conv_describe(dnnl_primitive_desc_t *desc, ConvDirection direction,
                                   dnnl_engine_t engine, const ConvShape *s, const Descs *d,
                                   dnnl_primitive_attr_t attr, dnnl_primitive_desc_t hint) {
  dnnl_dims_t after, dilate = {0};
  pad_after(s, after);
  dnnl_memory_desc_t bias = s->bias ? d->b : NULL;
  dnnl_alg_kind_t algorithm = dnnl_convolution_direct;
  if (direction == CONV_FORWARD)
    return dnnl_convolution_forward_primitive_desc_create(desc, engine, dnnl_forward_training,
                                                          algorithm, d->x, d->w, bias, d->y,
                                                          s->stride, dilate, s->pad, after, attr);
  if (direction == CONV_BACKWARD_X)
    return dnnl_convolution_backward_data_primitive_desc_create(
        desc, engine, algorithm, d->x, d->w, d->y, s->stride, dilate, s->pad, after, hint, attr);
  return dnnl_convolution_backward_weights_primitive_desc_create(desc, engine, algorithm, d->x,
                                                                 d->dw, bias, d->y, s->stride,
                                                                 dilate, s->pad, after, hint, attr);
}
#else
static dnnl_status_t conv_describe(dnnl_primitive_desc_t *desc, ConvDirection direction,
                                   dnnl_engine_t engine, const ConvShape *s, const Descs *d,
                                   dnnl_primitive_attr_t attr, dnnl_primitive_desc_t hint) {
  dnnl_dims_t after;
  dnnl_convolution_desc_t conv;
  pad_after(s, after);
  const dnnl_memory_desc_t *bias = s->bias ? &d->b : NULL;
  dnnl_alg_kind_t algorithm = dnnl_convolution_direct;
  if (direction == CONV_FORWARD)
    TRY(dnnl_convolution_forward_desc_init(&conv, dnnl_forward_training, algorithm, &d->x, &d->w,
                                           bias, &d->y, s->stride, s->pad, after));
  else if (direction == CONV_BACKWARD_X)
    TRY(dnnl_convolution_backward_data_desc_init(&conv, algorithm, &d->x, &d->w, &d->y, s->stride,
                                                 s->pad, after));
  else
    TRY(dnnl_convolution_backward_weights_desc_init(&conv, algorithm, &d->x, &d->dw, bias, &d->y,
                                                    s->stride, s->pad, after));
  return dnnl_primitive_desc_create(desc, &conv, attr, engine, hint);
}
#endif

static dnnl_status_t memory_make(dnnl_memory_t *memory, const ConvStep *step, DescRef desc) {
  return dnnl_memory_create(memory, desc, step->engine, DNNL_MEMORY_NONE);
}

/* Makes the reordering of the weights unless the library's layout is ours. */
static dnnl_status_t reorder_make(ConvStep *step, const Descs *d, DescRef chosen) {
  step->w_bytes = 0;
  if (dnnl_memory_desc_equal(DESC(d->w_ours), chosen)) return dnnl_success;
  step->w_bytes = dnnl_memory_desc_get_size(chosen);
  bool back = step->direction == CONV_BACKWARD_W;
  DescRef from = back ? chosen : DESC(d->w_ours), to = back ? DESC(d->w_ours) : chosen;
  dnnl_primitive_attr_t attr;
  TRY(attr_make(&attr, false));
  dnnl_primitive_desc_t desc = NULL;
  dnnl_status_t status =
      dnnl_reorder_primitive_desc_create(&desc, from, step->engine, to, step->engine, attr);
  if (status == dnnl_success) status = dnnl_primitive_create(&step->reorder, desc);
  if (desc) dnnl_primitive_desc_destroy(desc);
  dnnl_primitive_attr_destroy(attr);
  return status;
}

static dnnl_status_t step_fill(ConvStep *step, const ConvShape *s, const Descs *d,
                               dnnl_primitive_desc_t desc) {
  bool back = step->direction == CONV_BACKWARD_W;
  DescRef w = dnnl_primitive_desc_query_md(
      desc, back ? dnnl_query_diff_weights_md : dnnl_query_weights_md, 0);
  DescRef pad = dnnl_primitive_desc_query_md(desc, dnnl_query_scratchpad_md, 0);
  step->pad_bytes = dnnl_memory_desc_get_size(pad);
  TRY(dnnl_primitive_create(&step->conv, desc));
  TRY(memory_make(&step->x, step, DESC(d->x)));
  TRY(memory_make(&step->y, step, DESC(d->y)));
  TRY(memory_make(&step->w, step, w));
  TRY(memory_make(&step->w_ours, step, DESC(d->w_ours)));
  TRY(memory_make(&step->pad, step, pad));
  if (s->bias) TRY(memory_make(&step->b, step, DESC(d->b)));
  return reorder_make(step, d, w);
}

/* The forward convolution that a backward one belongs to: it reads bf16 when anything is. */
static dnnl_status_t hint_make(dnnl_primitive_desc_t *hint, dnnl_engine_t engine,
                               const ConvShape *s, const Descs *d, dnnl_primitive_attr_t attr) {
  Descs forward = *d;
  dnnl_data_type_t type = s->x_type == dnnl_bf16 || s->y_type == dnnl_bf16 ? dnnl_bf16 : dnnl_f32;
  memset(&forward.x, 0, sizeof forward.x);
  TRY(desc_tagged(&forward.x, 5, s->x, type, dnnl_ndhwc));
  dnnl_status_t status = conv_describe(hint, CONV_FORWARD, engine, s, &forward, attr, NULL);
#if DNNL_VERSION_MAJOR >= 3
  dnnl_memory_desc_destroy(forward.x);
#endif
  return status;
}

static dnnl_status_t step_make(ConvStep *step, const ConvShape *s, const Descs *d,
                               dnnl_primitive_attr_t attr) {
  dnnl_primitive_desc_t hint = NULL, desc = NULL;
  dnnl_status_t status = dnnl_success;
  if (step->direction != CONV_FORWARD) status = hint_make(&hint, step->engine, s, d, attr);
  if (status == dnnl_success)
    status = conv_describe(&desc, step->direction, step->engine, s, d, attr, hint);
  if (status == dnnl_success) status = step_fill(step, s, d, desc);
  if (desc) dnnl_primitive_desc_destroy(desc);
  if (hint) dnnl_primitive_desc_destroy(hint);
  return status;
}

static dnnl_status_t step_open(ConvStep *step, const ConvShape *s) {
  TRY(dnnl_engine_create(&step->engine, dnnl_cpu, 0));
  TRY(dnnl_stream_create(&step->stream, step->engine, dnnl_stream_default_flags));
  Descs d;
  memset(&d, 0, sizeof d);
  dnnl_primitive_attr_t attr = NULL;
  dnnl_status_t status = descs_make(&d, s);
  if (status == dnnl_success)
    status = attr_make(&attr, s->accumulate && step->direction == CONV_FORWARD);
  if (status == dnnl_success) status = step_make(step, s, &d, attr);
  if (attr) dnnl_primitive_attr_destroy(attr);
  descs_free(&d);
  return status;
}

bool conv_step_make(ConvStep *step, ConvDirection direction, const ConvShape *s, Error *error) {
  processor_libraries(); /* before the library looks for itself */
  memset(step, 0, sizeof *step);
  step->direction = direction;
  dnnl_status_t status = step_open(step, s);
  if (status == dnnl_success) return true;
  conv_step_free(step);
  return fail(error,
              "conv: oneDNN %d.%d refuses %lld to %lld channels, kernel %lldx%lldx%lld, with "
              "status %d",
              DNNL_VERSION_MAJOR, DNNL_VERSION_MINOR, (long long)s->w[1], (long long)s->w[0],
              (long long)s->w[2], (long long)s->w[3], (long long)s->w[4], (int)status);
}

void conv_step_free(ConvStep *step) {
  dnnl_memory_t memory[] = {step->x, step->y, step->b, step->w, step->w_ours, step->pad};
  for (size_t i = 0; i < sizeof memory / sizeof memory[0]; i++)
    if (memory[i]) dnnl_memory_destroy(memory[i]);
  if (step->reorder) dnnl_primitive_destroy(step->reorder);
  if (step->conv) dnnl_primitive_destroy(step->conv);
  if (step->stream) dnnl_stream_destroy(step->stream);
  if (step->engine) dnnl_engine_destroy(step->engine);
  memset(step, 0, sizeof *step);
}

static void execute(const ConvStep *step, dnnl_primitive_t primitive, const dnnl_exec_arg_t *args,
                    int count) {
  dnnl_status_t status = dnnl_primitive_execute(primitive, step->stream, count, args);
  if (status == dnnl_success) status = dnnl_stream_wait(step->stream);
  CHECK(status == dnnl_success, "oneDNN execution: status %d", (int)status);
}

void conv_step_run(const ConvStep *step, const ConvData *data) {
  dnnl_memory_set_data_handle(step->x, data->x);
  dnnl_memory_set_data_handle(step->y, data->y);
  dnnl_memory_set_data_handle(step->w, step->reorder ? data->w_scratch : data->w);
  dnnl_memory_set_data_handle(step->w_ours, data->w);
  dnnl_memory_set_data_handle(step->pad, data->pad_scratch);
  if (step->b) dnnl_memory_set_data_handle(step->b, data->b);
  static const int names[][4] = {
      [CONV_FORWARD] = {DNNL_ARG_SRC, DNNL_ARG_WEIGHTS, DNNL_ARG_DST, DNNL_ARG_BIAS},
      [CONV_BACKWARD_X] = {DNNL_ARG_DIFF_SRC, DNNL_ARG_WEIGHTS, DNNL_ARG_DIFF_DST, 0},
      [CONV_BACKWARD_W] = {DNNL_ARG_SRC, DNNL_ARG_DIFF_WEIGHTS, DNNL_ARG_DIFF_DST,
                           DNNL_ARG_DIFF_BIAS}};
  const int *name = names[step->direction];
  dnnl_exec_arg_t args[] = {{name[0], step->x},
                            {name[1], step->w},
                            {name[2], step->y},
                            {DNNL_ARG_SCRATCHPAD, step->pad},
                            {name[3], step->b}};
  int count = step->b && name[3] ? 5 : 4;
  bool back = step->direction == CONV_BACKWARD_W;
  dnnl_exec_arg_t order[] = {{DNNL_ARG_FROM, back ? step->w : step->w_ours},
                             {DNNL_ARG_TO, back ? step->w_ours : step->w}};
  if (step->reorder && !back) execute(step, step->reorder, order, 2);
  execute(step, step->conv, args, count);
  if (step->reorder && back) execute(step, step->reorder, order, 2);
}
