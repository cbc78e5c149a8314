/* The operation graph of a convolution, as cuDNN's backend interface wants it described. */
#ifndef KERNELS_CUDA_CONVOLUTION_GRAPH_H
#define KERNELS_CUDA_CONVOLUTION_GRAPH_H

#include "kernels/cuda/convolution.h"
#include "kernels/cuda/libraries.h"

typedef cudnnBackendDescriptor_t Descriptor;

/* The names of a graph's tensors. */
enum { ID_X = 1, ID_W, ID_Y, ID_BIAS, ID_SUM };

/* What a graph is made of; a plan may refer to it, so it lives as long. */
struct Parts {
  Descriptor list[16];
  int count;
};

/* The convolution alone, or with its bias added to the sums before they are rounded; NULL: cuDNN
 * has no such graph. */
Descriptor convolution_graph(Parts *parts, const ConvolutionShape *shape, ConvolutionPass pass,
                             bool bias);
void destroy_parts(Parts *parts);

static inline Descriptor create(cudnnBackendDescriptorType_t type) {
  Descriptor descriptor;
  DNN_TRY(DNN(cudnnBackendCreateDescriptor)(type, &descriptor));
  return descriptor;
}

static inline void destroy(Descriptor descriptor) {
  if (descriptor) DNN_TRY(DNN(cudnnBackendDestroyDescriptor)(descriptor));
}

static inline void set(Descriptor descriptor, cudnnBackendAttributeName_t name,
                       cudnnBackendAttributeType_t type, int64_t count, const void *values) {
  DNN_TRY(DNN(cudnnBackendSetAttribute)(descriptor, name, type, count, values));
}

static inline void set_descriptor(Descriptor descriptor, cudnnBackendAttributeName_t name,
                                  Descriptor value) {
  set(descriptor, name, CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, &value);
}

static inline bool finalize(Descriptor descriptor) {
  return DNN(cudnnBackendFinalize)(descriptor) == CUDNN_STATUS_SUCCESS;
}

#endif
