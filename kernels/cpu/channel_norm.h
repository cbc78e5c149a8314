/* Norms of channels, what instance_norm and batch_norm do alike: x is `samples` times so many rows
 * of C channels, and every channel of a sample (or a group of neighbouring ones) has a mean and a
 * deviation. These operands and results stand in a call as the numbers below say. */
#ifndef KERNELS_CPU_CHANNEL_NORM_H
#define KERNELS_CPU_CHANNEL_NORM_H

#include "kernels/options.h"

enum { IN_GAMMA, IN_BETA, IN_X };
enum { OUT_Y, OUT_MEAN, OUT_RSTD };

typedef struct ChannelNorm {
  int64_t samples; /* x is cut into; mean and rstd are (samples, C) */
  int64_t width;   /* of a group; 1: every channel by itself */
  double epsilon, slope;
  bool silu;
} ChannelNorm;

typedef struct Moments {
  double mean, variance;
} Moments;

/* For prepare: asks for the scratch of one forward or backward. Fewer channels than a register
 * holds are the reference's (channel_norm_narrow), for which room for copies in float is added. */
void channel_norm_prepare(Call *call, const ChannelNorm *norm);
bool channel_norm_narrow(const Call *call);

/* Sums of x over the rows, then mean and rstd of them. */
void channel_norm_statistics(const Call *call, const ChannelNorm *norm);
/* After channel_norm_statistics: of channel `at` of (samples, C), without its group. */
Moments channel_norm_moments(const Call *call, const ChannelNorm *norm, int64_t at);
/* y, by the mean and rstd that stand in the call's outputs. */
void channel_norm_apply(const Call *call, const ChannelNorm *norm);
/* The gradients that are wanted. given: mean and rstd were no part of x, so the gradient of x is
 * that of a scale. */
void channel_norm_backward(const Call *call, const ChannelNorm *norm, bool given);

#endif
