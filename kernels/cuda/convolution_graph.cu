#include "kernels/cuda/convolution_graph.h"

static Descriptor keep(Parts *parts, Descriptor descriptor) {
  CHECK(parts->count < 16, "too many descriptors");
  return parts->list[parts->count++] = descriptor;
}

void destroy_parts(Parts *parts) {
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
  float one = 1, beta = s->adds ? 1 : 0;
  Descriptor x = tensor(parts, ID_X, type, s->batch, s->channels, s->in, false);
  Descriptor w = tensor(parts, ID_W, type, s->outs, s->channels, s->kernel, false);
  Descriptor shape = geometry(parts, s);
  Descriptor o = keep(parts, create(passes[pass].type));
  set_descriptor(o, passes[pass].x, x);
  set_descriptor(o, passes[pass].w, w);
  set_descriptor(o, passes[pass].y, y);
  set_descriptor(o, passes[pass].geometry, shape);
  set(o, passes[pass].alpha, CUDNN_TYPE_FLOAT, 1, &one);
  set(o, passes[pass].beta, CUDNN_TYPE_FLOAT, 1, &beta);
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

/* The bias has y's type: engines that are not compiled at run time know no other. */
Descriptor convolution_graph(Parts *parts, const ConvolutionShape *s, ConvolutionPass pass,
                             bool bias) {
  const int64_t one[3] = {1, 1, 1};
  Descriptor y = tensor(parts, ID_Y, type_of(s->type), s->batch, s->outs, s->out, false), o[2];
  if (bias) {
    Descriptor sum = tensor(parts, ID_SUM, CUDNN_DATA_FLOAT, s->batch, s->outs, s->out, true);
    Descriptor b = tensor(parts, ID_BIAS, type_of(s->type), 1, s->outs, one, false);
    o[0] = operation(parts, s, pass, sum);
    o[1] = addition(parts, sum, b, y);
  } else {
    o[0] = operation(parts, s, pass, y);
  }
  Descriptor g = keep(parts, create(CUDNN_BACKEND_OPERATIONGRAPH_DESCRIPTOR));
  set(g, CUDNN_ATTR_OPERATIONGRAPH_OPS, CUDNN_TYPE_BACKEND_DESCRIPTOR, bias ? 2 : 1, o);
  if (!libraries.dnn_device)
    set(g, CUDNN_ATTR_OPERATIONGRAPH_HANDLE, CUDNN_TYPE_HANDLE, 1, &libraries.dnn_handle);
  return finalize(g) ? g : NULL;
}
