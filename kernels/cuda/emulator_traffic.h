/* What emulated kernels move: every load and store of theirs is counted where it falls into memory
 * that is watched. The compiler reports them, as it would to its thread sanitizer
 * (-fsanitize=thread), whose calls emulator_traffic.cc answers. */
#ifndef KERNELS_CUDA_EMULATOR_TRAFFIC_H
#define KERNELS_CUDA_EMULATOR_TRAFFIC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct EmulatorTraffic {
  uint64_t touched; /* bytes of operands that were read or written, each once */
  uint64_t moved;   /* of all blocks, in sectors of 32 bytes, each once for every launch that reads
                           it and once for every one that writes it */
  uint64_t asked;   /* the sum of all loads and stores */
  uint64_t atomic_sums; /* of floats: what makes bits differ from run to run */
} EmulatorTraffic;

/* From now on this block is watched, an operand or scratch. NULL: nothing is done. */
void emulator_traffic_watch(const void *block, size_t bytes, bool operand);
/* What was counted since the first block; no block is watched any more. */
EmulatorTraffic emulator_traffic_take(void);

/* The emulator's own: a load or store by other means, an atomic sum, the end of a launch. */
void emulator_traffic_read(const void *at, size_t bytes);
void emulator_traffic_write(const void *at, size_t bytes);
void emulator_traffic_atomic(const void *at);
void emulator_traffic_launched(void);

#ifdef __cplusplus
}
#endif

#endif
