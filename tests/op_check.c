#include "tests/op_check.h"
#include "tests/op_fill.h"

#include <math.h>
#include <string.h>

bool op_case_run(OpRun *run, OpId id, const OpCase *c, DType type, const Kernel *kernel,
                 Error *error) {
  Tensor in[MAX_IN];
  op_fill_shapes(c, type == BF16 ? F32 : type, in);
  if (!op_run_make(run, id, c->options, c->n_in, in, type, kernel, error)) return false;
  op_fill(run, c);
  return true;
}

bool op_run_has_backward(const OpRun *run) {
  bool any = false;
  for (int i = 0; i < run->call.n_in; i++) any = any || run->din[i].data;
  return any;
}

bool op_run_both(OpRun *run, Error *error) {
  if (!op_run_forward(run, error)) return false;
  int forward = run->foreign_allocations;
  if (!op_run_has_backward(run)) return true;
  if (!op_run_backward(run, OP_RUN_ALL, OP_RUN_ALL, error)) return false;
  if (forward > run->foreign_allocations) run->foreign_allocations = forward;
  return true;
}

double tensor_largest(const Tensor *tensor) {
  double most = 0;
  for (int64_t i = 0; i < tensor_count(tensor); i++) most = fmax(most, fabs(element(tensor, i)));
  return most > 1e-12 ? most : 1; /* all zero in theory: the rounding error counts absolutely */
}

/* Within `tolerance` of the expected tensor's largest element; whole numbers exactly. */
static bool compare(const Tensor *found, const Tensor *expected, const char *name, int index,
                    double tolerance, double *worst, Error *error) {
  double scale = tensor_largest(expected);
  if (expected->type == I32) tolerance = 0;
  for (int64_t i = 0; i < tensor_count(expected); i++) {
    double error_here = fabs(element(found, i) - element(expected, i)) / scale;
    *worst = fmax(*worst, error_here);
    if (!(error_here <= tolerance)) /* NaN fails */
      return fail(error, "%s[%d]%s, element %lld: %.9g, expected %.9g (largest %.3g)", name, index,
                  tensor_shape_text(expected), (long long)i, element(found, i),
                  element(expected, i), scale);
  }
  return true;
}

static bool compare_outputs(const OpRun *found, const OpRun *expected, Precision precision,
                            OpErrors *errors, Error *error) {
  double tolerance = op_tolerance(&found->call, -1, precision);
  for (int i = 0; i < found->call.n_out; i++)
    if (!compare(&found->out[i], &expected->out[i], "out", i, tolerance, &errors->forward, error))
      return false;
  for (int i = 0; i < found->call.n_in; i++)
    if (found->updated[i].data && !compare(&found->updated[i], &expected->updated[i], "updated in",
                                           i, tolerance, &errors->forward, error))
      return false;
  return true;
}

static bool compare_gradients(const OpRun *found, const OpRun *expected, int want,
                              Precision precision, OpErrors *errors, Error *error) {
  for (int i = 0; i < found->call.n_in; i++)
    if (want >> i & 1 && found->din[i].data &&
        !compare(&found->din[i], &expected->din[i], "din", i,
                 op_tolerance(&found->call, i, precision), &errors->backward, error))
      return false;
  return true;
}

bool op_check_missing(OpId id, const OpCase *c, const OpRun *full, DType type, Precision precision,
                      OpErrors *errors, Error *error) {
  for (int o = 0; full->call.n_out > 1 && o < full->call.n_out; o++) {
    if (!full->dout[o].data) continue;
    OpRun zero, missing;
    if (!op_case_run(&zero, id, c, F64, kernels_reference[id], error)) return false;
    bool good = op_case_run(&missing, id, c, type, full->kernel, error);
    CHECK(good, "the same case was made before");
    op_fill_from(&zero, &missing);
    memset(zero.dout[o].data, 0, tensor_bytes(&zero.dout[o]));
    Error inner = {{0}};
    good = op_run_forward(&zero, &inner) && op_run_forward(&missing, &inner) &&
           op_run_backward(&zero, OP_RUN_ALL, OP_RUN_ALL, &inner) &&
           op_run_backward(&missing, OP_RUN_ALL, ~(1 << o), &inner) &&
           compare_gradients(&missing, &zero, OP_RUN_ALL, precision, errors, &inner);
    op_run_free(&zero);
    op_run_free(&missing);
    if (!good) return fail(error, "without dout[%d]: %s", o, inner.text);
  }
  return true;
}

static bool wants_any(const OpRun *run, int want) {
  bool any = false;
  for (int i = 0; i < run->call.n_in; i++) any = any || (want >> i & 1 && run->din[i].data);
  return any;
}

/* All gradients but one, one alone, those up to it and those from it on: a frozen weight, all
 * frozen weights, an image, two. What then need not be saved is not there. Expects run->din to be
 * complete, leaves it so. */
static bool check_subsets(OpRun *run, const OpRun *expected, Precision precision, OpErrors *errors,
                          Error *error) {
  for (int i = 0; i < run->call.n_in; i++) {
    if (!run->din[i].data) continue;
    int subsets[4] = {~(1 << i), 1 << i}, count = 2, last = run->call.n_in - 1;
    if (i > 0 && i < last - 1) subsets[count++] = (2 << i) - 1;
    if (i > 1 && i < last) subsets[count++] = -(1 << i);
    for (int s = 0; s < count; s++)
      if (wants_any(run, subsets[s]) &&
          (!op_run_backward(run, subsets[s], OP_RUN_ALL, error) ||
           !compare_gradients(run, expected, subsets[s], precision, errors, error)))
        return false;
  }
  return op_run_backward(run, OP_RUN_ALL, OP_RUN_ALL, error);
}

/* What a gradient is added to: numbers about as large as it is, the first not its opposite: of a
 * single element nothing but rounding errors would be left. */
static Tensor numbers_like(const Tensor *gradient, double largest) {
  Tensor made = *gradient;
  made.data = malloc(tensor_bytes(gradient) + 1);
  CHECK(made.data, "out of memory");
  for (int64_t k = 0; k < tensor_count(gradient); k++)
    element_set(&made, k, largest * (double)(k * 7 % 9 - 4) / 3);
  return made;
}

static bool compare_sum(const OpRun *run, const OpRun *expected, int i, const Tensor *before,
                        Precision precision, OpErrors *errors, Error *error) {
  Tensor sum = expected->din[i];
  sum.data = malloc(tensor_bytes(&sum) + 1);
  CHECK(sum.data, "out of memory");
  for (int64_t k = 0; k < tensor_count(&sum); k++)
    element_set(&sum, k, element(&expected->din[i], k) + element(before, k));
  bool good = compare(&run->din[i], &sum, "sum with din", i, op_tolerance(&run->call, i, precision),
                      &errors->backward, error);
  free(sum.data);
  return good;
}

/* The gradients of `adds` are added to numbers that are there, the others overwritten. */
static bool check_sums(OpRun *run, const OpRun *expected, unsigned adds, Precision precision,
                       OpErrors *errors, Error *error) {
  Tensor before[MAX_IN] = {0};
  for (int i = 0; i < run->call.n_in; i++)
    if (adds >> i & 1 && run->din[i].data)
      before[i] = numbers_like(&run->din[i], tensor_largest(&expected->din[i]));
  bool good = op_run_backward_adding(run, before, error);
  for (int i = 0; i < run->call.n_in; i++) {
    if (before[i].data)
      good = good && compare_sum(run, expected, i, &before[i], precision, errors, error);
    free(before[i].data);
  }
  return good && compare_gradients(run, expected, (int)~adds, precision, errors, error);
}

/* All that the kernel can add to, then each alone. Leaves run->din complete. */
static bool check_adding(OpRun *run, const OpRun *expected, Precision precision, OpErrors *errors,
                         Error *error) {
  unsigned all = run->kernel->adds;
  if (!all) return true;
  if (!check_sums(run, expected, all, precision, errors, error)) return false;
  for (int i = 0; i < run->call.n_in; i++)
    if (all >> i & 1 && run->din[i].data &&
        !check_sums(run, expected, SAVES_IN(i), precision, errors, error))
      return false;
  return op_run_backward(run, OP_RUN_ALL, OP_RUN_ALL, error);
}

bool op_check_in_place(OpRun *run, Error *error) {
  if (!(run->call.op->flags & OP_INPLACE)) return true;
  if (run->in[0].type != run->out[0].type) return true; /* no plan does it */
  if (!op_run_forward_in_place(run, error)) return false;
  return !run->din[0].data || op_run_backward_in_place(run, error);
}

static bool check_gradients(const OpCheck *check, OpRun *run, const OpRun *reference,
                            Precision precision, OpErrors *errors, Error *error) {
  const OpCase *c = check->c;
  if (!op_run_has_backward(run)) return true;
  if (!compare_gradients(run, reference, OP_RUN_ALL, precision, errors, error)) return false;
  return c->bench || (check_subsets(run, reference, precision, errors, error) &&
                      check_adding(run, reference, precision, errors, error) &&
                      op_check_missing(check->id, c, run, check->type, precision, errors, error));
}

/* The reference on the numbers that are left of the case's in BF16; its gradients at the outputs
 * that were found: where one is a rounding error from 0, the two would take other sides of a ReLU's
 * kink. */
static bool check_rounded(const OpCheck *check, OpRun *run, OpErrors *errors, Error *error) {
  OpRun reference;
  if (!op_case_run(&reference, check->id, check->c, F64, kernels_reference[check->id], error))
    return false;
  op_fill_from(&reference, run);
  bool good = op_run_forward(&reference, error) &&
              compare_outputs(run, &reference, PRECISION_BF16, errors, error);
  for (int o = 0; good && o < run->call.n_out; o++)
    for (int64_t i = 0; i < tensor_count(&run->out[o]); i++)
      element_set(&reference.out[o], i, element(&run->out[o], i));
  good =
      good &&
      (!op_run_has_backward(run) || op_run_backward(&reference, OP_RUN_ALL, OP_RUN_ALL, error)) &&
      check_gradients(check, run, &reference, PRECISION_BF16, errors, error);
  op_run_free(&reference);
  return good;
}

static uint64_t hash_add(uint64_t hash, const Tensor *tensor) {
  const unsigned char *byte = tensor->data;
  for (size_t i = 0; byte && i < tensor_bytes(tensor); i++) hash = (hash ^ byte[i]) * 0x100000001b3;
  return hash;
}

static uint64_t hash_of(const OpRun *run) {
  uint64_t hash = 0xcbf29ce484222325;
  for (int i = 0; i < run->call.n_out; i++) hash = hash_add(hash, &run->out[i]);
  for (int i = 0; i < run->call.n_in; i++) hash = hash_add(hash, &run->din[i]);
  for (int i = 0; i < run->call.n_in; i++) hash = hash_add(hash, &run->updated[i]);
  return hash;
}

bool op_check(const OpCheck *check, OpErrors *errors, Error *error) {
  OpRun run;
  if (!op_case_run(&run, check->id, check->c, check->type, check->kernel, error)) return false;
  bool good = op_run_both(&run, error);
  if (check->bits) *check->bits = hash_of(&run);
  if (run.foreign_allocations > errors->foreign) errors->foreign = run.foreign_allocations;
  if (good && check->type == BF16)
    good = check_rounded(check, &run, errors, error);
  else if (good && check->reference)
    good = compare_outputs(&run, check->reference, check->precision, errors, error) &&
           check_gradients(check, &run, check->reference, check->precision, errors, error);
  good = good && op_check_in_place(&run, error) &&
         (!(run.call.op->flags & OP_AGAIN) || op_run_forward_again(&run, error));
  op_run_free(&run);
  return good;
}
