#include "kernels/cuda/convolution.h"
#include "kernels/cuda/libraries.h"
#include "kernels/cuda/vector.h"

#include <new>

typedef cudnnBackendDescriptor_t Descriptor;

enum { ID_X = 1, ID_W, ID_Y, ID_BIAS, ID_SUM };
static constexpr int64_t MOST_WORKSPACE = (int64_t)1 << 30;
static constexpr int THREADS = 256, MOST_CONFIGURATIONS = 64;

/* What a convolution is made of; the plan may refer to it, so it lives as long. */
struct Parts {
  Descriptor list[16];
  int count;
};

struct Convolution {
  ConvolutionShape shape;
  ConvolutionPass pass;
  Parts parts;
  Descriptor configuration, plan;
  int64_t workspace;
  bool bias, fused; /* fused: the plan adds the bias */
};

/* ---- descriptors --------------------------------------------------------------------------------
 */

static Descriptor create(cudnnBackendDescriptorType_t type) {
  Descriptor descriptor;
  DNN_TRY(DNN(cudnnBackendCreateDescriptor)(type, &descriptor));
  return descriptor;
}

static void destroy(Descriptor descriptor) {
  if (descriptor) DNN_TRY(DNN(cudnnBackendDestroyDescriptor)(descriptor));
}

static void set(Descriptor descriptor, cudnnBackendAttributeName_t name,
                cudnnBackendAttributeType_t type, int64_t count, const void *values) {
  DNN_TRY(DNN(cudnnBackendSetAttribute)(descriptor, name, type, count, values));
}

static void set_descriptor(Descriptor descriptor, cudnnBackendAttributeName_t name,
                           Descriptor value) {
  set(descriptor, name, CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, &value);
}

static bool finalize(Descriptor descriptor) {
  return DNN(cudnnBackendFinalize)(descriptor) == CUDNN_STATUS_SUCCESS;
}

static Descriptor keep(Parts *parts, Descriptor descriptor) {
  CHECK(parts->count < 16, "too many descriptors");
  return parts->list[parts->count++] = descriptor;
}

static void destroy_parts(Parts *parts) {
  while (parts->count) destroy(parts->list[--parts->count]);
}

static cudnnDataType_t type_of(DType type) {
  return type == BF16 ? CUDNN_DATA_BFLOAT16 : CUDNN_DATA_FLOAT;
}

/* cuDNN names the axes N, C, D, H, W and learns from the strides that channels come last; a filter
 * is (outs, channels, kernel) likewise. */
static Descriptor tensor(Parts *parts, int64_t id, cudnnDataType_t type, int64_t n, int64_t c,
                         const int64_t *size, bool is_virtual) {
  int64_t dims[5] = {n, c, size[0], size[1], size[2]}, align = 16;
  int64_t strides[5] = {c * size[0] * size[1] * size[2], 1, c * size[1] * size[2], c * size[2], c};
  Descriptor t = keep(parts, create(CUDNN_BACKEND_TENSOR_DESCRIPTOR));
  set(t, CUDNN_ATTR_TENSOR_DATA_TYPE, CUDNN_TYPE_DATA_TYPE, 1, &type);
  set(t, CUDNN_ATTR_TENSOR_DIMENSIONS, CUDNN_TYPE_INT64, 5, dims);
  set(t, CUDNN_ATTR_TENSOR_STRIDES, CUDNN_TYPE_INT64, 5, strides);
  set(t, CUDNN_ATTR_TENSOR_UNIQUE_ID, CUDNN_TYPE_INT64, 1, &id);
  set(t, CUDNN_ATTR_TENSOR_BYTE_ALIGNMENT, CUDNN_TYPE_INT64, 1, &align);
  set(t, CUDNN_ATTR_TENSOR_IS_VIRTUAL, CUDNN_TYPE_BOOLEAN, 1, &is_virtual);
  CHECK(finalize(t), "cuDNN refuses a tensor");
  return t;
}

static Descriptor geometry(Parts *parts, const ConvolutionShape *s) {
  cudnnDataType_t compute = CUDNN_DATA_FLOAT;
  cudnnConvolutionMode_t mode = CUDNN_CROSS_CORRELATION;
  int64_t axes = 3, dilation[3] = {1, 1, 1};
  Descriptor c = keep(parts, create(CUDNN_BACKEND_CONVOLUTION_DESCRIPTOR));
  set(c, CUDNN_ATTR_CONVOLUTION_COMP_TYPE, CUDNN_TYPE_DATA_TYPE, 1, &compute);
  set(c, CUDNN_ATTR_CONVOLUTION_CONV_MODE, CUDNN_TYPE_CONVOLUTION_MODE, 1, &mode);
  set(c, CUDNN_ATTR_CONVOLUTION_SPATIAL_DIMS, CUDNN_TYPE_INT64, 1, &axes);
  set(c, CUDNN_ATTR_CONVOLUTION_PRE_PADDINGS, CUDNN_TYPE_INT64, 3, s->padding);
  set(c, CUDNN_ATTR_CONVOLUTION_POST_PADDINGS, CUDNN_TYPE_INT64, 3, s->padding);
  set(c, CUDNN_ATTR_CONVOLUTION_DILATIONS, CUDNN_TYPE_INT64, 3, dilation);
  set(c, CUDNN_ATTR_CONVOLUTION_FILTER_STRIDES, CUDNN_TYPE_INT64, 3, s->stride);
  CHECK(finalize(c), "cuDNN refuses a convolution's geometry");
  return c;
}

/* The names of an operation's attributes, by pass. */
static const struct {
  cudnnBackendDescriptorType_t type;
  cudnnBackendAttributeName_t x, w, y, geometry, alpha, beta;
} passes[] = {
    {CUDNN_BACKEND_OPERATION_CONVOLUTION_FORWARD_DESCRIPTOR,
     CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_X, CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_W,
     CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_Y, CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_CONV_DESC,
     CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_ALPHA, CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_BETA},
    {CUDNN_BACKEND_OPERATION_CONVOLUTION_BACKWARD_DATA_DESCRIPTOR,
     CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_DX, CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_W,
     CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_DY,
     CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_CONV_DESC,
     CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_ALPHA,
     CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_BETA},
    {CUDNN_BACKEND_OPERATION_CONVOLUTION_BACKWARD_FILTER_DESCRIPTOR,
     CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_X, CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_DW,
     CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_DY,
     CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_CONV_DESC,
     CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_ALPHA,
     CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_BETA}};

static Descriptor operation(Parts *parts, const ConvolutionShape *s, ConvolutionPass pass,
                            Descriptor y) {
  cudnnDataType_t type = type_of(s->type);
  float one = 1, zero = 0;
  Descriptor x = tensor(parts, ID_X, type, s->batch, s->channels, s->in, false);
  Descriptor w = tensor(parts, ID_W, type, s->outs, s->channels, s->kernel, false);
  Descriptor shape = geometry(parts, s);
  Descriptor o = keep(parts, create(passes[pass].type));
  set_descriptor(o, passes[pass].x, x);
  set_descriptor(o, passes[pass].w, w);
  set_descriptor(o, passes[pass].y, y);
  set_descriptor(o, passes[pass].geometry, shape);
  set(o, passes[pass].alpha, CUDNN_TYPE_FLOAT, 1, &one);
  set(o, passes[pass].beta, CUDNN_TYPE_FLOAT, 1, &zero);
  CHECK(finalize(o), "cuDNN refuses a convolution");
  return o;
}

static Descriptor addition(Parts *parts, Descriptor sum, Descriptor bias, Descriptor y) {
  cudnnPointwiseMode_t mode = CUDNN_POINTWISE_ADD;
  cudnnDataType_t compute = CUDNN_DATA_FLOAT;
  Descriptor add = keep(parts, create(CUDNN_BACKEND_POINTWISE_DESCRIPTOR));
  set(add, CUDNN_ATTR_POINTWISE_MODE, CUDNN_TYPE_POINTWISE_MODE, 1, &mode);
  set(add, CUDNN_ATTR_POINTWISE_MATH_PREC, CUDNN_TYPE_DATA_TYPE, 1, &compute);
  CHECK(finalize(add), "cuDNN refuses an addition");
  Descriptor o = keep(parts, create(CUDNN_BACKEND_OPERATION_POINTWISE_DESCRIPTOR));
  set_descriptor(o, CUDNN_ATTR_OPERATION_POINTWISE_PW_DESCRIPTOR, add);
  set_descriptor(o, CUDNN_ATTR_OPERATION_POINTWISE_XDESC, sum);
  set_descriptor(o, CUDNN_ATTR_OPERATION_POINTWISE_BDESC, bias);
  set_descriptor(o, CUDNN_ATTR_OPERATION_POINTWISE_YDESC, y);
  CHECK(finalize(o), "cuDNN refuses to add a bias");
  return o;
}

/* The convolution alone, or with its bias added to the sums before they are rounded. */
static Descriptor graph(Parts *parts, const ConvolutionShape *s, ConvolutionPass pass, bool bias) {
  const int64_t one[3] = {1, 1, 1};
  Descriptor y = tensor(parts, ID_Y, type_of(s->type), s->batch, s->outs, s->out, false), o[2];
  if (bias) {
    Descriptor sum = tensor(parts, ID_SUM, CUDNN_DATA_FLOAT, s->batch, s->outs, s->out, true);
    Descriptor b = tensor(parts, ID_BIAS, CUDNN_DATA_FLOAT, 1, s->outs, one, false);
    o[0] = operation(parts, s, pass, sum);
    o[1] = addition(parts, sum, b, y);
  } else {
    o[0] = operation(parts, s, pass, y);
  }
  Descriptor g = keep(parts, create(CUDNN_BACKEND_OPERATIONGRAPH_DESCRIPTOR));
  set(g, CUDNN_ATTR_OPERATIONGRAPH_OPS, CUDNN_TYPE_BACKEND_DESCRIPTOR, bias ? 2 : 1, o);
  set(g, CUDNN_ATTR_OPERATIONGRAPH_HANDLE, CUDNN_TYPE_HANDLE, 1, &libraries.dnn_handle);
  return finalize(g) ? g : NULL;
}

/* ---- choosing an engine
 * -------------------------------------------------------------------------- */

static bool acceptable(Descriptor configuration, DType type) {
  cudnnBackendNumericalNote_t notes[CUDNN_NUMERICAL_NOTE_TYPE_COUNT];
  int64_t count = 0;
  Descriptor engine = create(CUDNN_BACKEND_ENGINE_DESCRIPTOR);
  bool good = DNN(cudnnBackendGetAttribute)(configuration, CUDNN_ATTR_ENGINECFG_ENGINE,
                                            CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, &count,
                                            &engine) == CUDNN_STATUS_SUCCESS &&
              DNN(cudnnBackendGetAttribute)(
                  engine, CUDNN_ATTR_ENGINE_NUMERICAL_NOTE, CUDNN_TYPE_NUMERICAL_NOTE,
                  CUDNN_NUMERICAL_NOTE_TYPE_COUNT, &count, notes) == CUDNN_STATUS_SUCCESS;
  for (int64_t i = 0; good && i < count; i++) {
    cudnnBackendNumericalNote_t n = notes[i];
    bool rounded = n == CUDNN_NUMERICAL_NOTE_TENSOR_CORE ||
                   n == CUDNN_NUMERICAL_NOTE_DOWN_CONVERT_INPUTS ||
                   n == CUDNN_NUMERICAL_NOTE_WINOGRAD_TILE_4x4 ||
                   n == CUDNN_NUMERICAL_NOTE_WINOGRAD_TILE_6x6 ||
                   n == CUDNN_NUMERICAL_NOTE_WINOGRAD_TILE_13x13;
    good = n != CUDNN_NUMERICAL_NOTE_NONDETERMINISTIC &&
           n != CUDNN_NUMERICAL_NOTE_REDUCED_PRECISION_REDUCTION && !(type == F32 && rounded);
  }
  destroy(engine);
  return good;
}

static bool try_configuration(Convolution *c, Descriptor configuration) {
  Descriptor plan = create(CUDNN_BACKEND_EXECUTION_PLAN_DESCRIPTOR);
  int64_t count = 0, workspace = 0;
  set(plan, CUDNN_ATTR_EXECUTION_PLAN_HANDLE, CUDNN_TYPE_HANDLE, 1, &libraries.dnn_handle);
  set_descriptor(plan, CUDNN_ATTR_EXECUTION_PLAN_ENGINE_CONFIG, configuration);
  if (finalize(plan) &&
      DNN(cudnnBackendGetAttribute)(plan, CUDNN_ATTR_EXECUTION_PLAN_WORKSPACE_SIZE,
                                    CUDNN_TYPE_INT64, 1, &count,
                                    &workspace) == CUDNN_STATUS_SUCCESS &&
      workspace <= MOST_WORKSPACE) {
    c->plan = plan;
    c->workspace = workspace;
    return true;
  }
  destroy(plan);
  return false;
}

/* The first of the library's suggestions, best first, that is acceptable and can be had. */
static bool choose(Convolution *c, Descriptor g, cudnnBackendHeurMode_t mode) {
  Descriptor list[MOST_CONFIGURATIONS], heuristic = create(CUDNN_BACKEND_ENGINEHEUR_DESCRIPTOR);
  int64_t count = 0;
  set_descriptor(heuristic, CUDNN_ATTR_ENGINEHEUR_OPERATION_GRAPH, g);
  set(heuristic, CUDNN_ATTR_ENGINEHEUR_MODE, CUDNN_TYPE_HEUR_MODE, 1, &mode);
  for (int i = 0; i < MOST_CONFIGURATIONS; i++)
    list[i] = create(CUDNN_BACKEND_ENGINECFG_DESCRIPTOR);
  if (!finalize(heuristic) ||
      DNN(cudnnBackendGetAttribute)(heuristic, CUDNN_ATTR_ENGINEHEUR_RESULTS,
                                    CUDNN_TYPE_BACKEND_DESCRIPTOR, MOST_CONFIGURATIONS, &count,
                                    list) != CUDNN_STATUS_SUCCESS)
    count = 0;
  bool found = false;
  for (int64_t i = 0; i < count && !found; i++) {
    found = acceptable(list[i], c->shape.type) && try_configuration(c, list[i]);
    if (!found) continue;
    c->configuration = list[i];
    list[i] = NULL;
  }
  for (int i = 0; i < MOST_CONFIGURATIONS; i++) destroy(list[i]);
  destroy(heuristic);
  return found;
}

static bool choose_for(Convolution *c, bool bias) {
  Descriptor g = graph(&c->parts, &c->shape, c->pass, bias);
  bool found = g && (choose(c, g, CUDNN_HEUR_MODE_A) || choose(c, g, CUDNN_HEUR_MODE_FALLBACK));
  if (!found) destroy_parts(&c->parts);
  return found;
}

Convolution *convolution_make(const ConvolutionShape *shape, ConvolutionPass pass, bool bias,
                              Error *error) {
  Convolution *c = new (std::nothrow) Convolution();
  CHECK(c, "no memory for a convolution");
  c->shape = *shape;
  c->pass = pass;
  c->bias = bias;
  c->fused = bias && pass == CONVOLUTION_Y && choose_for(c, true);
  if (c->fused || choose_for(c, false)) return c;
  static const char *const names[] = {"forward", "the input's gradient", "the weight's gradient"};
  fail(error,
       "cuDNN has no engine for this convolution (%s, %s): %lld x %lldx%lldx%lld, %lld to %lld "
       "channels",
       names[pass], shape->type == BF16 ? "bf16" : "float32", (long long)shape->batch,
       (long long)shape->in[0], (long long)shape->in[1], (long long)shape->in[2],
       (long long)shape->channels, (long long)shape->outs);
  delete c;
  return NULL;
}

void convolution_free(Convolution *convolution) {
  if (!convolution) return;
  destroy(convolution->plan);
  destroy(convolution->configuration);
  destroy_parts(&convolution->parts);
  delete convolution;
}

size_t convolution_workspace(const Convolution *convolution) {
  return (size_t)convolution->workspace;
}

/* ---- running
 * ------------------------------------------------------------------------------------- */

template <typename T, int N>
static __global__ void __launch_bounds__(THREADS)
    add_bias(int64_t items, int width, const float *bias, T *y) {
  int64_t step = (int64_t)gridDim.x * THREADS;
  for (int64_t i = (int64_t)blockIdx.x * THREADS + threadIdx.x; i < items; i += step) {
    int column = (int)(i * N % width);
    Floats<N> v = load_lanes<N>(y + i * N);
#pragma unroll
    for (int k = 0; k < N; k++) v.v[k] += bias[column + k];
    store_lanes<N>(y + i * N, v);
  }
}

template <typename T, int N>
static void launch_bias(void *stream, int64_t count, int width, const float *bias, void *y) {
  int64_t blocks = (count / N + THREADS - 1) / THREADS;
  LAUNCH((add_bias<T, N>), grid_blocks(add_bias<T, N>, THREADS, 0, blocks), THREADS, 0, stream,
         count / N, width, bias, static_cast<T *>(y));
}

static void run_bias(const Convolution *c, void *stream, const float *bias, void *y) {
  const ConvolutionShape *s = &c->shape;
  const int64_t *size = c->pass == CONVOLUTION_X ? s->in : s->out;
  int64_t rows = s->batch * size[0] * size[1] * size[2];
  int64_t width = c->pass == CONVOLUTION_X ? s->channels : s->outs;
  with_type(s->type, [&](auto zero) {
    using T = decltype(zero);
    if (vectors_fit(width, sizeof(T), y))
      launch_bias<T, Lanes<T>::COUNT>(stream, rows * width, (int)width, bias, y);
    else
      launch_bias<T, 1>(stream, rows * width, (int)width, bias, y);
  });
}

void convolution_run(const Convolution *c, void *stream, const void *x, const void *w,
                     const void *y, const float *bias, void *workspace) {
  const int64_t ids[] = {ID_X, ID_W, ID_Y, ID_BIAS};
  const void *data[] = {x, w, y, bias};
  Descriptor pack = create(CUDNN_BACKEND_VARIANT_PACK_DESCRIPTOR);
  int64_t count = c->fused ? 4 : 3;
  set(pack, CUDNN_ATTR_VARIANT_PACK_UNIQUE_IDS, CUDNN_TYPE_INT64, count, ids);
  set(pack, CUDNN_ATTR_VARIANT_PACK_DATA_POINTERS, CUDNN_TYPE_VOID_PTR, count, data);
  set(pack, CUDNN_ATTR_VARIANT_PACK_WORKSPACE, CUDNN_TYPE_VOID_PTR, 1, &workspace);
  DNN_TRY(DNN(cudnnBackendFinalize)(pack));
  DNN_TRY(DNN(cudnnBackendExecute)(libraries.dnn_handle, c->plan, pack));
  destroy(pack);
  if (c->bias && !c->fused)
    run_bias(c, stream, bias, const_cast<void *>(c->pass == CONVOLUTION_X ? x : y));
}
