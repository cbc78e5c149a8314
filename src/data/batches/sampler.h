/* Training batches as a pure function of (seed, step): the same whatever was drawn before, by how
 * many threads, before or after a resume. Rule of nnU-Net v2: each sample draws a case; the last
 * third of the batch is centred on a random voxel of a class drawn among those present in the case.
 * A batch of one is centred so with probability 1/3. Where there is an ignore label, the other
 * samples are centred on any voxel that is not ignored. Two differences: a centred patch stays
 * within the volume on all sides (nnU-Net moves it back on the near sides only), and what a patch
 * shows beyond the volume is 0 in image and label (nnU-Net's label -1, turned into 0 at the
 * end). */
#ifndef DATA_SAMPLER_H
#define DATA_SAMPLER_H

#include "src/data/batches/augment.h"
#include "src/data/prepare/cache.h"

typedef struct SamplerOptions {
  int batch;         /* N */
  int patch[3];      /* D, H, W; a smaller volume is centred in it */
  double foreground; /* share of forced samples, nnU-Net 0.33 */
  uint64_t seed;
  Augment augment;
  const Labelling *labelling; /* NULL: each label is a class; else the caller's, and labels come as
                                 labelling_targets says */
} SamplerOptions;

typedef struct Sampler Sampler;

/* Keeps up to 10,000 voxel positions per case and class. `volumes` (normalised, all of the same
 * number of channels) stay the caller's and must outlive the sampler. */
bool sampler_make(Sampler **sampler, const Volume *volumes, int count, int labels,
                  const SamplerOptions *options, Error *error);
/* From prepared cases as they lie in the cache, mapped: nothing of them is read before a patch
 * wants it, and the positions are the cache's own. They stay the caller's, open while the sampler
 * lives. */
bool sampler_make_mapped(Sampler **sampler, const Cached *cached, int count,
                         const SamplerOptions *options, Error *error);
void sampler_free(Sampler *sampler);
/* False: nobody annotated a voxel of these cases, all are ignored, and no batch says anything. */
bool sampler_teaches(const Sampler *sampler);

/* What a sample is made of, for who reads it himself: the case, the patch's origin, where in it
 * each voxel is read, and the numbers that its intensities are changed by. */
typedef struct SampleDraw {
  int item, origin[3];
  Warp warp;
  Rng change;
} SampleDraw;

SampleDraw sampler_draw(const Sampler *sampler, uint64_t step, int index);
const SamplerOptions *sampler_options(const Sampler *sampler);
int sampler_cases(const Sampler *sampler);
const Voxels *sampler_case(const Sampler *sampler, int index);
/* By value of the volumes' labels (LABEL_VALUES), what a batch says instead; NULL: the value. */
const int32_t *sampler_targets(const Sampler *sampler);

/* Elements of what sampler_batch writes. */
typedef struct SamplerSize {
  size_t image, label;
  size_t scratch; /* floats; 0: scratch may be NULL */
} SamplerSize;

SamplerSize sampler_size(const Sampler *sampler);
/* image (N,D,H,W,C), label (N,D,H,W). Allocates nothing; may run in several threads at once, each
 * with its own scratch. */
void sampler_batch(const Sampler *sampler, uint64_t step, float *scratch, float *image,
                   int32_t *label);

#endif
