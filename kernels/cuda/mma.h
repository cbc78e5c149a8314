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
  int lane = (int)threadIdx.x % WARP, g = lane / 4, t = lane % 4;
  for (int k = 0; k < 16; k += 2) {
    unsigned column[2], row[2];
    for (int i = 0; i < 2; i++) {
      row[i] = __shfl_sync(WARP_ALL, a[k / 8 * 2 + i], g * 4 + k % 8 / 2);
      column[i] = __shfl_sync(WARP_ALL, k < 8 ? b0 : b1, (2 * t + i) * 4 + k % 8 / 2);
    }
    for (int i = 0; i < 4; i++)
      c[i] +=
          __uint_as_float(row[i / 2] << 16) * __uint_as_float(column[i % 2] << 16) +
          __uint_as_float(row[i / 2] & 0xffff0000u) * __uint_as_float(column[i % 2] & 0xffff0000u);
  }
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
  int lane = (int)threadIdx.x % WARP;
  if ((uintptr_t)row % 16) emulator::fault(__FILE__, __LINE__, "a matrix's row is not aligned");
  for (int m = 0; m < 4; m++) {
    const bf16 *at = __shfl_sync(WARP_ALL, row, m * 8 + lane / 4) + lane % 4 * 2;
    word[m] = at[0].bits | (unsigned)at[1].bits << 16;
  }
}
static inline void matrices_load_turned(unsigned *word, const bf16 *row) {
  int lane = (int)threadIdx.x % WARP;
  if ((uintptr_t)row % 16) emulator::fault(__FILE__, __LINE__, "a matrix's row is not aligned");
  for (int m = 0; m < 4; m++) {
    const bf16 *low = __shfl_sync(WARP_ALL, row, m * 8 + lane % 4 * 2);
    const bf16 *high = __shfl_sync(WARP_ALL, row, m * 8 + lane % 4 * 2 + 1);
    word[m] = low[lane / 4].bits | (unsigned)high[lane / 4].bits << 16;
  }
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
