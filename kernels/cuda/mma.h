/* A product of BF16 on tensor cores by one warp, summed in float: mma.m16n8k16 (sm_80).
 *
 * Fragments (PTX ISA, mma.m16n8k16): with g = lane / 4, t = lane % 4 a word holds two neighbouring
 * elements; a: rows g, g + 8 at 2t, then both at 2t + 8; b: column g at 2t, 2t + 8;
 * c: row g at columns 2t, 2t + 1, then row g + 8. tests/emulator_faults.cu compares with the
 * document's formulas. */
#ifndef KERNELS_CUDA_MMA_H
#define KERNELS_CUDA_MMA_H

#include "kernels/cuda/warp.h"

/* c (16, 8) += a (16, 16) b (16, 8), by a warp. */
#ifdef CUDA_EMULATOR
static inline void mma(float *c, const unsigned *a, unsigned b0, unsigned b1) {
  emulator::product(__FILE__, __LINE__, c, a, b0, b1);
}
#else
static __device__ __forceinline__ void mma(float *c, const unsigned *a, unsigned b0, unsigned b1) {
  asm("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 "
      "{%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
      : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
}
#endif

/* Four matrices of 8 x 8 from shared memory into a warp's registers (ldmatrix, sm_75): lane l
 * points at row l % 8 of matrix l / 8, eight elements at a multiple of 16 bytes. Word m of a lane
 * holds of matrix m row lane / 4, columns 2 (lane % 4) and the next; turned: column lane / 4, rows
 * 2 (lane % 4) and the next. */
#ifdef CUDA_EMULATOR
static inline void matrices_load(unsigned *word, const bf16 *row) {
  emulator::matrices(__FILE__, __LINE__, word, row, false);
}
static inline void matrices_load_turned(unsigned *word, const bf16 *row) {
  emulator::matrices(__FILE__, __LINE__, word, row, true);
}
#else
static __device__ __forceinline__ void matrices_load(unsigned *word, const bf16 *row) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
               : "=r"(word[0]), "=r"(word[1]), "=r"(word[2]), "=r"(word[3])
               : "r"((unsigned)__cvta_generic_to_shared(row))
               : "memory");
}
static __device__ __forceinline__ void matrices_load_turned(unsigned *word, const bf16 *row) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0, %1, %2, %3}, [%4];"
               : "=r"(word[0]), "=r"(word[1]), "=r"(word[2]), "=r"(word[3])
               : "r"((unsigned)__cvta_generic_to_shared(row))
               : "memory");
}
#endif

#endif
