/* Which engine of cuDNN was chosen for a convolution, which algorithm of cuBLASLt for a product, to
 * be looked at. */
#ifndef KERNELS_CUDA_CHOICE_H
#define KERNELS_CUDA_CHOICE_H

#include "kernels/mode.h"
#include "kernels/op.h"

/* x (N, in.., channels) * w (outs, kernel.., channels) = y (N, out.., outs), all of one type. */
typedef struct ConvolutionShape {
  DType type;
  int64_t batch, channels, outs;
  int64_t in[3], out[3], kernel[3], stride[3], padding[3];
  bool adds; /* to what is there, x or y; without a bias */
} ConvolutionShape;

/* What is computed of x, w and y; the other two are read. */
typedef enum ConvolutionPass { CONVOLUTION_Y, CONVOLUTION_X, CONVOLUTION_W } ConvolutionPass;

typedef struct ConvolutionChoice {
  ConvolutionShape shape;
  ConvolutionPass pass;
  KernelMode mode;
  bool bias, fused;  /* a bias is added; by the engine itself */
  bool compiled;     /* at run time, which costs seconds in every process */
  bool tensor_cores; /* by its own account */
  int engine;        /* cuDNN's number */
  char notes[128];   /* its numerical and behaviour notes, each with a blank before it */
  int64_t workspace; /* bytes */
  double seconds;    /* of one call, measured; 0: chosen without */
} ConvolutionChoice;

/* D (m, n) = A (m, k) B (k, n), `batch` times; turn_a, turn_b: A is stored (k, m), B (n, k). */
typedef struct ProductChoice {
  int64_t m, n, k;
  bool turn_a, turn_b;
  int batch;
  DType in, out;
  bool tf32;
  bool bias, relu, adds; /* added, applied; to what is in D */
  bool fused;            /* bias and relu by the library itself */
  bool asked;            /* false: planned, which the library cannot be asked for without a GPU */
  int algorithm, tile, stages, splits; /* its configuration in cuBLASLt's numbers */
  int suggested;                       /* algorithms, the chosen one among them */
  int64_t workspace;                   /* bytes; not asked: the most it may take */
  double seconds;                      /* of one call, measured; 0: chosen without */
} ProductChoice;

#endif
