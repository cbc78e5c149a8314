/* cuBLASLt is column-major: a row-major D is the transpose of what it sees, so it is asked for
 * D^T (n, m) = B^T A^T, and the bias runs along its rows. */
#include "kernels/cuda/epilogues.h"
#include "kernels/cuda/gemm.h"
#include "kernels/cuda/libraries.h"
#include "kernels/cuda/scratch_blocks.h"

#include <new>

extern "C" {
#include "kernels/cuda/autotune.h"
#include "kernels/mode.h"
}

struct Gemm {
  GemmShape shape;
  bool deterministic; /* of the process when it was made */
  bool apart;         /* bias and ReLU by a kernel of ours: no algorithm has them */
  Gemm *next;
  cublasLtMatmulDesc_t what;
  cublasLtMatrixLayout_t a, b, d;
  cublasLtMatmulAlgo_t algorithm;
  size_t workspace;
  bool asked;     /* the library, which has to have a GPU */
  int suggested;  /* algorithms */
  double seconds; /* of a call, measured; 0: not */
};

static constexpr size_t MOST_WORKSPACE = (size_t)32 << 20;
static constexpr int MOST_ALGORITHMS = 8;

static cudaDataType_t type_of(DType type) {
  return type == BF16 ? CUDA_R_16BF : CUDA_R_32F;
}

/* rows, columns and leading dimension as the library counts them. */
static cublasLtMatrixLayout_t layout(DType type, int64_t rows, int64_t columns, int batch) {
  cublasLtMatrixLayout_t made;
  int64_t stride = rows * columns;
  BLAS_TRY(BLAS(cublasLtMatrixLayoutCreate)(&made, type_of(type), (uint64_t)rows, (uint64_t)columns,
                                            rows));
  BLAS_TRY(BLAS(cublasLtMatrixLayoutSetAttribute)(made, CUBLASLT_MATRIX_LAYOUT_BATCH_COUNT, &batch,
                                                  sizeof batch));
  BLAS_TRY(BLAS(cublasLtMatrixLayoutSetAttribute)(made, CUBLASLT_MATRIX_LAYOUT_STRIDED_BATCH_OFFSET,
                                                  &stride, sizeof stride));
  return made;
}

/* An address that no call uses: the library looks at what the bias's is aligned to. */
static const void *const ALIGNED = reinterpret_cast<const void *>((uintptr_t)SCRATCH_ALIGN);

static bool has_epilogue(const GemmShape *s) {
  return s->bias || s->relu;
}

static void describe(Gemm *gemm, const GemmShape *s) {
  bool bias_inside = s->bias && !gemm->apart, relu_inside = s->relu && !gemm->apart;
  cublasOperation_t first = s->turn_b ? CUBLAS_OP_T : CUBLAS_OP_N;
  cublasOperation_t second = s->turn_a ? CUBLAS_OP_T : CUBLAS_OP_N;
  cublasLtEpilogue_t epilogue = bias_inside && relu_inside ? CUBLASLT_EPILOGUE_RELU_BIAS
                                : bias_inside              ? CUBLASLT_EPILOGUE_BIAS
                                : relu_inside              ? CUBLASLT_EPILOGUE_RELU
                                                           : CUBLASLT_EPILOGUE_DEFAULT;
  cudaDataType_t bias = type_of(s->out);
  cublasComputeType_t compute =
      s->in == F32 && s->tf32 ? CUBLAS_COMPUTE_32F_FAST_TF32 : CUBLAS_COMPUTE_32F;
  BLAS_TRY(BLAS(cublasLtMatmulDescCreate)(&gemm->what, compute, CUDA_R_32F));
#define SET(attribute, value)                                                                      \
  BLAS_TRY(BLAS(cublasLtMatmulDescSetAttribute)(gemm->what, attribute, &value, sizeof value))
  SET(CUBLASLT_MATMUL_DESC_TRANSA, first);
  SET(CUBLASLT_MATMUL_DESC_TRANSB, second);
  SET(CUBLASLT_MATMUL_DESC_EPILOGUE, epilogue);
  if (bias_inside) SET(CUBLASLT_MATMUL_DESC_BIAS_DATA_TYPE, bias);
  if (bias_inside) SET(CUBLASLT_MATMUL_DESC_BIAS_POINTER, ALIGNED);
#undef SET
}

static void describe_operands(Gemm *gemm, const GemmShape *s) {
  gemm->a = s->turn_b ? layout(s->in, s->k, s->n, s->batch) : layout(s->in, s->n, s->k, s->batch);
  gemm->b = s->turn_a ? layout(s->in, s->m, s->k, s->batch) : layout(s->in, s->k, s->m, s->batch);
  gemm->d = layout(s->out, s->n, s->m, s->batch);
}

/* What the first element of every sample is aligned to, up to what the plan and a parameter's copy
 * in BF16 give. */
static uint32_t alignment(DType type, int64_t elements, int batch) {
  uint64_t bytes = (uint64_t)elements * dtype_bytes(type);
  uint32_t align = 32;
  while (batch > 1 && bytes % align) align /= 2;
  return align;
}

/* The library's suggestions, best first. Parts of a sum that is split over K meet in float, in an
 * order that is fixed. */
static int suggestions(const Gemm *gemm, cublasLtMatmulHeuristicResult_t *found,
                       cublasStatus_t *status) {
  const GemmShape *s = &gemm->shape;
  cublasLtMatmulPreference_t wish;
  int count = 0;
  uint32_t sums = CUBLASLT_REDUCTION_SCHEME_COMPUTE_TYPE;
  uint32_t a = alignment(s->in, s->k * s->n, s->batch), b = alignment(s->in, s->m * s->k, s->batch),
           d = alignment(s->out, s->m * s->n, s->batch);
  BLAS_TRY(BLAS(cublasLtMatmulPreferenceCreate)(&wish));
#define SET(attribute, value)                                                                      \
  BLAS_TRY(BLAS(cublasLtMatmulPreferenceSetAttribute)(wish, attribute, &value, sizeof value))
  SET(CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, MOST_WORKSPACE);
  SET(CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK, sums);
  SET(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES, a);
  SET(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES, b);
  SET(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES, d);
  SET(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES, d);
#undef SET
  *status =
      BLAS(cublasLtMatmulAlgoGetHeuristic)(libraries.blas_handle, gemm->what, gemm->a, gemm->b,
                                           gemm->d, gemm->d, wish, MOST_ALGORITHMS, found, &count);
  BLAS_TRY(BLAS(cublasLtMatmulPreferenceDestroy)(wish));
  return *status == CUBLAS_STATUS_SUCCESS ? count : 0;
}

/* The description holds the bias's pointer; it is read before the call returns. */
static cublasStatus_t multiply(const Gemm *gemm, void *stream, const void *a, const void *b,
                               const void *bias, void *d, void *workspace) {
  float one = 1, beta = gemm->shape.adds ? 1 : 0;
  if (gemm->shape.bias && !gemm->apart)
    BLAS_TRY(BLAS(cublasLtMatmulDescSetAttribute)(gemm->what, CUBLASLT_MATMUL_DESC_BIAS_POINTER,
                                                  &bias, sizeof bias));
  gpu_launches++;
  if (absent_gpu.processors) return CUBLAS_STATUS_SUCCESS;
  return BLAS(cublasLtMatmul)(libraries.blas_handle, gemm->what, &one, b, gemm->a, a, gemm->b,
                              &beta, d, gemm->d, d, gemm->d, &gemm->algorithm, workspace,
                              gemm->workspace, static_cast<cudaStream_t>(stream));
}

static void add_apart(const Gemm *gemm, void *stream, const void *bias, void *d) {
  const GemmShape *s = &gemm->shape;
  bias_add(stream, s->out, s->batch * s->m, (int)s->n, bias, s->relu, d);
}

/* ---- choosing an algorithm ------------------------------------------------------------------- */

namespace {
struct Rehearsal {
  Gemm *gemm; /* with the algorithm that is timed */
  void *a, *b, *bias, *d, *workspace;
};
} // namespace

static bool rehearse(void *user) {
  Rehearsal *r = static_cast<Rehearsal *>(user);
  bool good = multiply(r->gemm, libraries.stream, r->a, r->b, r->bias, r->d, r->workspace) ==
              CUBLAS_STATUS_SUCCESS;
  if (good && r->gemm->apart) add_apart(r->gemm, libraries.stream, r->bias, r->d);
  return good;
}

static double rehearsal_seconds(void *user) {
  return library_seconds(rehearse, user);
}

static bool rehearsal_begin(Rehearsal *r, Gemm *gemm) {
  const GemmShape *s = &gemm->shape;
  size_t batch = (size_t)s->batch, in = dtype_bytes(s->in), out = dtype_bytes(s->out);
  *r = Rehearsal{gemm,
                 library_noise(batch * (size_t)(s->m * s->k) * in),
                 library_noise(batch * (size_t)(s->k * s->n) * in),
                 library_noise((size_t)s->n * out),
                 library_noise(batch * (size_t)(s->m * s->n) * out),
                 library_noise(MOST_WORKSPACE)};
  return r->a && r->b && r->bias && r->d && r->workspace;
}

static void rehearsal_end(Rehearsal *r) {
  void *const all[] = {r->a, r->b, r->bias, r->d, r->workspace};
  for (void *block : all) library_noise_free(block);
}

/* The library's suggestions, at last without the epilogue. */
static int ask(Gemm *gemm, cublasLtMatmulHeuristicResult_t *found, cublasStatus_t *status) {
  int count = suggestions(gemm, found, status);
  if (count || !has_epilogue(&gemm->shape)) return count;
  gemm->apart = true;
  BLAS_TRY(BLAS(cublasLtMatmulDescDestroy)(gemm->what));
  describe(gemm, &gemm->shape);
  return suggestions(gemm, found, status);
}

static bool choose(Gemm *gemm, Error *error) {
  cublasLtMatmulHeuristicResult_t found[MOST_ALGORITHMS];
  cublasStatus_t status;
  const GemmShape *s = &gemm->shape;
  if (!libraries.blas_handle) { /* planned: the library wants a GPU to say which, and how much */
    gemm->workspace = MOST_WORKSPACE;
    return true;
  }
  int count = ask(gemm, found, &status), best = -1;
  gemm->asked = true;
  gemm->suggested = count;
  Autotune autotune = autotune_begin();
  Rehearsal rehearsal = {};
  if (!autotune.blind && count > 1) autotune.blind = !rehearsal_begin(&rehearsal, gemm);
  if (count == 1) autotune.blind = true;
  for (int i = 0; i < count && autotune_open(&autotune); i++) {
    if (found[i].state != CUBLAS_STATUS_SUCCESS) continue;
    gemm->algorithm = found[i].algo;
    gemm->workspace = found[i].workspaceSize;
    if (autotune_try(&autotune, rehearsal_seconds, &rehearsal)) best = i;
  }
  rehearsal_end(&rehearsal);
  if (best < 0)
    return fail(error, "cuBLASLt has no algorithm for (%lld, %lld) x (%lld, %lld), batch %d: %s",
                (long long)s->m, (long long)s->k, (long long)s->k, (long long)s->n, s->batch,
                BLAS(cublasLtGetStatusString)(status));
  gemm->algorithm = found[best].algo;
  gemm->workspace = found[best].workspaceSize;
  gemm->seconds = autotune.blind ? 0 : autotune.best;
  return true;
}

static bool same_shape(const GemmShape *a, const GemmShape *b) {
  return a->m == b->m && a->n == b->n && a->k == b->k && a->turn_a == b->turn_a &&
         a->turn_b == b->turn_b && a->batch == b->batch && a->in == b->in && a->out == b->out &&
         a->bias == b->bias && a->relu == b->relu && a->tf32 == b->tf32 && a->adds == b->adds;
}

static void destroy(Gemm *gemm) {
  BLAS_TRY(BLAS(cublasLtMatmulDescDestroy)(gemm->what));
  BLAS_TRY(BLAS(cublasLtMatrixLayoutDestroy)(gemm->a));
  BLAS_TRY(BLAS(cublasLtMatrixLayoutDestroy)(gemm->b));
  BLAS_TRY(BLAS(cublasLtMatrixLayoutDestroy)(gemm->d));
  delete gemm;
}

static Gemm *made_so_far;

const Gemm *gemm_make(const GemmShape *shape, Error *error) {
  for (const Gemm *g = made_so_far; g; g = g->next)
    if (same_shape(&g->shape, shape) && g->deterministic == kernel_mode.deterministic) return g;
  Gemm *gemm = new (std::nothrow) Gemm();
  CHECK(gemm, "no memory for a matrix product");
  gemm->shape = *shape;
  gemm->deterministic = kernel_mode.deterministic;
  describe(gemm, shape);
  describe_operands(gemm, shape);
  if (!choose(gemm, error)) {
    destroy(gemm);
    return NULL;
  }
  gemm->next = made_so_far;
  return made_so_far = gemm;
}

size_t gemm_workspace(const Gemm *gemm) {
  return scratch_slack(gemm->workspace);
}

void gemm_run(const Gemm *gemm, void *stream, const void *a, const void *b, const void *bias,
              void *d, void *workspace) {
  BLAS_TRY(multiply(gemm, stream, a, b, bias, d, scratch_aligned(workspace)));
  if (gemm->apart) add_apart(gemm, stream, bias, d);
}

/* ---- what was chosen ------------------------------------------------------------------------- */

static int configured(const Gemm *gemm, cublasLtMatmulAlgoConfigAttributes_t name) {
  int32_t value = 0;
  size_t written = 0;
  if (gemm->asked)
    BLAS_TRY(BLAS(cublasLtMatmulAlgoConfigGetAttribute)(&gemm->algorithm, name, &value,
                                                        sizeof value, &written));
  return value;
}

void product_choices(void (*visit)(const ProductChoice *choice, void *user), void *user) {
  for (const Gemm *g = made_so_far; g; g = g->next) {
    const GemmShape *s = &g->shape;
    ProductChoice c = {};
    c.m = s->m, c.n = s->n, c.k = s->k;
    c.turn_a = s->turn_a, c.turn_b = s->turn_b;
    c.batch = s->batch;
    c.in = s->in, c.out = s->out;
    c.tf32 = s->in == F32 && s->tf32;
    c.bias = s->bias, c.relu = s->relu, c.adds = s->adds;
    c.fused = has_epilogue(s) && !g->apart;
    c.asked = g->asked;
    c.algorithm = configured(g, CUBLASLT_ALGO_CONFIG_ID);
    c.tile = configured(g, CUBLASLT_ALGO_CONFIG_TILE_ID);
    c.stages = configured(g, CUBLASLT_ALGO_CONFIG_STAGES_ID);
    c.splits = configured(g, CUBLASLT_ALGO_CONFIG_SPLITK_NUM);
    c.suggested = g->suggested;
    c.workspace = (int64_t)g->workspace;
    c.seconds = g->seconds;
    visit(&c, user);
  }
}
