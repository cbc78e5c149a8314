/* Runs ops for the outside oracles (tests/oracle): requests on stdin, answers on stdout, until the
 * input ends. All values travel as double, whatever the type of the tensor.
 *
 * request:  OP cpu|portable|reference THREADS N_IN
 *           options, one line
 *           N_IN tensor heads: "real 5 2 6 5 7 3" or "int 2 2 11", then N_IN x values
 * answer:   "ok N_OUT", N_OUT tensor heads, N_OUT x values, among them, behind the outputs, the
 *           inputs that the op writes; or "error ..." and nothing more
 * request:  "gradient" and, per output, 0 or 1 (one line), then the values of those with 1; or "-"
 * answer:   "ok N_IN", per input a head or "none", then the values of those with a head; or
 *           "error ..." */
#include "tests/op_run.h"

#include <omp.h>
#include <string.h>

enum { LINE_BYTES = 1024 };

static bool line_read(char line[LINE_BYTES]) {
  if (!fgets(line, LINE_BYTES, stdin)) return false;
  line[strcspn(line, "\n")] = 0;
  return true;
}

static void values_read(Tensor *tensor) {
  for (int64_t i = 0; i < tensor_count(tensor); i++) {
    double value;
    CHECK(fread(&value, sizeof value, 1, stdin) == 1, "the request ends within a tensor");
    element_set(tensor, i, value);
  }
}

static void values_write(const Tensor *tensor) {
  for (int64_t i = 0; i < tensor_count(tensor); i++) {
    double value = element(tensor, i);
    fwrite(&value, sizeof value, 1, stdout);
  }
}

static Tensor head_read(DType real) {
  char line[LINE_BYTES], *at = line;
  CHECK(line_read(line), "a tensor head is missing");
  Tensor tensor = {.type = strncmp(line, "int", 3) == 0 ? I32 : real};
  at += strcspn(line, " ");
  tensor.rank = (int)strtol(at, &at, 10);
  CHECK(tensor.rank <= MAX_RANK, "rank %d", tensor.rank);
  for (int i = 0; i < tensor.rank; i++) tensor.dim[i] = strtoll(at, &at, 10);
  return tensor;
}

static void head_write(const Tensor *tensor) {
  printf("%s %d", tensor->type == I32 ? "int" : "real", tensor->rank);
  for (int i = 0; i < tensor->rank; i++) printf(" %lld", (long long)tensor->dim[i]);
  printf("\n");
}

static void answer(const Tensor *tensors, int count) {
  printf("ok %d\n", count);
  for (int i = 0; i < count; i++) {
    if (tensors[i].data)
      head_write(&tensors[i]);
    else
      printf("none\n");
  }
  for (int i = 0; i < count; i++)
    if (tensors[i].data) values_write(&tensors[i]);
}

static void refuse(const Error *error) {
  printf("error %s\n", error->text);
}

static void serve_gradient(OpRun *run) {
  char line[LINE_BYTES], *at = line + strlen("gradient");
  Error error = {{0}};
  if (!line_read(line) || strncmp(line, "gradient", strlen("gradient")) != 0) return;
  int given = 0;
  for (int i = 0; i < run->call.n_out; i++) {
    bool arrives = strtol(at, &at, 10);
    CHECK(!arrives || run->dout[i].data, "output %d has no gradient", i);
    if (arrives) values_read(&run->dout[i]);
    given |= arrives << i;
  }
  if (op_run_backward(run, OP_RUN_ALL, given, &error))
    answer(run->din, run->call.n_in);
  else
    refuse(&error);
}

static const Kernel *kernel_find(OpId id, const char *name) {
  if (strcmp(name, "reference") == 0) return kernels_reference[id];
  return (strcmp(name, "portable") == 0 ? kernels_portable : kernels_cpu)[id];
}

static void values_skip(const Tensor *tensors, int count) {
  double value;
  for (int i = 0; i < count; i++)
    for (int64_t k = 0; k < tensor_count(&tensors[i]); k++)
      CHECK(fread(&value, sizeof value, 1, stdin) == 1, "the request ends within a tensor");
}

/* The outputs, and behind them the inputs that forward writes. */
static void answer_outputs(const OpRun *run) {
  Tensor all[MAX_OUT + MAX_IN];
  int count = 0;
  for (int i = 0; i < run->call.n_out; i++) all[count++] = run->out[i];
  for (int i = 0; i < run->call.n_in; i++)
    if (run->updated[i].data) all[count++] = run->updated[i];
  answer(all, count);
}

static void serve_run(OpRun *run) {
  Error error = {{0}};
  for (int i = 0; i < run->call.n_in; i++) values_read(&run->in[i]);
  if (op_run_forward(run, &error)) {
    answer_outputs(run);
    fflush(stdout);
    serve_gradient(run);
  } else {
    refuse(&error);
  }
}

static void serve(const char *request) {
  char op[64], kernel[64], options[LINE_BYTES];
  int threads, n_in;
  CHECK(sscanf(request, "%63s %63s %d %d", op, kernel, &threads, &n_in) == 4 && n_in <= MAX_IN,
        "cannot read the request '%s'", request);
  CHECK(line_read(options), "the options are missing");
  DType real = strcmp(kernel, "reference") == 0 ? F64 : F32;
  Tensor in[MAX_IN];
  for (int i = 0; i < n_in; i++) in[i] = head_read(real);
  OpRun run;
  Error error = {{0}};
  OpId id = op_find(op);
  omp_set_num_threads(threads);
  bool good = id != OP_COUNT || fail(&error, "no op '%s'", op);
  if (good && op_run_make(&run, id, options, n_in, in, real, kernel_find(id, kernel), &error)) {
    serve_run(&run);
    op_run_free(&run);
  } else {
    values_skip(in, n_in);
    refuse(&error);
  }
  fflush(stdout);
}

int main(void) {
  char line[LINE_BYTES];
  while (line_read(line)) serve(line);
  return 0;
}
