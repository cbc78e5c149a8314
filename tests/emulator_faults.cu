/* One kernel per mistake that the emulator must see. */
#include "kernels/cuda/async_copy.h"
#include "kernels/cuda/mma.h"
#include "kernels/cuda/vector.h"
#include "tests/emulator_faults.h"

alignas(16) static float memory[64];

static __global__ void right(float *out) {
  SHARED(float, shared, [32]);
  float sum = block_sum((float)threadIdx.x, shared);
  float most = block_max((float)(threadIdx.x % 50), shared);
  if (sum != 2016 || most != 49) emulator::fault(__FILE__, __LINE__, "wrong sum");
  out[threadIdx.x] = shared[0];
}

static __global__ void leaves_early(float *out) {
  if (threadIdx.x == 5) return;
  __syncthreads();
  out[threadIdx.x] = 1;
}

static __global__ void two_barriers(float *out) {
  if (threadIdx.x < 32)
    __syncthreads();
  else
    __syncthreads();
  out[threadIdx.x] = 1;
}

static __global__ void diverged_shuffle(float *out) {
  float x = 1;
  if (threadIdx.x % 2) x = warp_sum(x);
  out[threadIdx.x] = x;
}

static __global__ void narrow_mask(float *out) {
  float x = 1;
  if (threadIdx.x % 32 < 16) x = __shfl_xor_sync(0xffffu, x, 16);
  out[threadIdx.x] = x;
}

static __global__ void past_shared(float *out) {
  SHARED(float, shared, [32]);
  shared[threadIdx.x] = 1; /* 64 threads */
  __syncthreads();
  out[threadIdx.x] = shared[0];
}

static __global__ void unaligned(float *out) {
  store_vector(out + 1, load_vector(out));
}

/* Each thread reads what its neighbour wrote, without waiting for it. */
static __global__ void race(float *out) {
  SHARED(float, shared, [64]);
  shared[threadIdx.x] = (float)threadIdx.x;
  out[threadIdx.x] = shared[(threadIdx.x + 1) % 64];
}

/* Where the PTX ISA puts element i of a lane's fragments of mma.m16n8k16 ("Matrix fragments for
 * mma.m16n8k16", .bf16): row and column of a (16, 16), b (16, 8), c (16, 8). */
static __device__ int a_row(int lane, int i) {
  return lane / 4 + (i / 2 % 2) * 8;
}
static __device__ int a_column(int lane, int i) {
  return lane % 4 * 2 + i % 2 + i / 4 * 8;
}
static __device__ int b_row(int lane, int i) {
  return lane % 4 * 2 + i % 2 + i / 2 * 8;
}
static __device__ int c_row(int lane, int i) {
  return lane / 4 + i / 2 * 8;
}

/* Small whole numbers, other ones in every row and column: exact in BF16 and in their sums. */
static __device__ float a_at(int row, int column) {
  return (float)((row * 7 + column * 3) % 11 - 5);
}
static __device__ float b_at(int row, int column) {
  return (float)((row * 5 + column * 9) % 13 - 6);
}

static __global__ void fragments(float *out) {
  int lane = (int)threadIdx.x;
  unsigned a[4], b[2];
  float c[4] = {1, 2, 3, 4};
  for (int i = 0; i < 8; i += 2)
    a[i / 2] = pack_pair(a_at(a_row(lane, i), a_column(lane, i)),
                         a_at(a_row(lane, i + 1), a_column(lane, i + 1)));
  for (int i = 0; i < 4; i += 2)
    b[i / 2] = pack_pair(b_at(b_row(lane, i), lane / 4), b_at(b_row(lane, i + 1), lane / 4));
  mma(c, a, b[0], b[1]);
  for (int i = 0; i < 4; i++) {
    float sum = (float)(i + 1);
    for (int k = 0; k < 16; k++) sum += a_at(c_row(lane, i), k) * b_at(k, lane % 4 * 2 + i % 2);
    out[lane] = c[i];
    if (c[i] != sum) emulator::fault(__FILE__, __LINE__, "another product than the PTX ISA's");
  }
}

/* "Matrix fragments for ldmatrix": thread T has row T / 4, columns 2 (T % 4) and the next; .trans:
 * of the transposed matrix. Four matrices side by side in rows of 32. */
static __global__ void matrices(float *out) {
  SHARED(uint4, shared, [32]);
  bf16 *all = reinterpret_cast<bf16 *>(&shared[0]);
  int lane = (int)threadIdx.x, row = lane / 4, column = 2 * (lane % 4);
  for (int i = lane; i < 256; i += 32) store(all + i, (float)i);
  __syncthreads();
  unsigned straight[4], turned[4];
  matrices_load(straight, all + lane % 8 * 32 + lane / 8 * 8);
  matrices_load_turned(turned, all + lane % 8 * 32 + lane / 8 * 8);
  for (int m = 0; m < 4; m++) {
    int at = row * 32 + m * 8 + column, turned_at = column * 32 + m * 8 + row;
    out[lane] = (float)straight[m];
    if (straight[m] != pack_pair((float)at, (float)(at + 1)) ||
        turned[m] != pack_pair((float)turned_at, (float)(turned_at + 32)))
      emulator::fault(__FILE__, __LINE__, "other fragments than the PTX ISA's");
  }
}

/* One group of two is waited for, the other is not. */
static __global__ void reads_too_soon(float *out) {
  SHARED(uint4, shared, [2]);
  float *all = reinterpret_cast<float *>(&shared[0]);
  for (int group = 0; group < 2; group++) {
    copy_async(&shared[group], out, group > 0);
    copies_close();
  }
  copies_wait<1>();
  if (all[0] != 0 || all[4] == all[4])
    emulator::fault(__FILE__, __LINE__, "a copy came at another time than its wait");
  copies_wait<0>();
  if (all[4] != out[0]) emulator::fault(__FILE__, __LINE__, "a copy did not come");
}

static __global__ void never_waits(float *out) {
  SHARED(uint4, shared, [1]);
  copy_async(&shared[0], out, true);
  copies_close();
}

template <typename K> static void launch(K kernel, unsigned threads) {
  LAUNCH(kernel, 1, threads, 0, nullptr, memory);
}

static void run_product() {
  launch(fragments, 32);
}
static void run_matrices() {
  launch(matrices, 32);
}
static void run_copies() {
  launch(reads_too_soon, 1);
}
static void run_never() {
  launch(never_waits, 1);
}
static void run_right() {
  launch(right, 64);
}
static void run_early() {
  launch(leaves_early, 64);
}
static void run_barriers() {
  launch(two_barriers, 64);
}
static void run_diverged() {
  launch(diverged_shuffle, 64);
}
static void run_narrow() {
  launch(narrow_mask, 32);
}
static void run_past() {
  launch(past_shared, 64);
}
static void run_unaligned() {
  launch(unaligned, 1);
}
static void run_large() {
  launch(right, 2048);
}
static void run_race() {
  for (unsigned order = 0; order < 2; order++) {
    emulator_order(order);
    launch(race, 64);
    for (int i = 0; i < 64; i++)
      if (!(memory[i] == (float)((i + 1) % 64)))
        emulator::fault(__FILE__, __LINE__, "the race shows");
  }
}

const EmulatorFault emulator_faults[] = {
    {"a right kernel", nullptr, run_right},
    {"a product on tensor cores", nullptr, run_product},
    {"matrices for tensor cores", nullptr, run_matrices},
    {"copies into shared memory", nullptr, run_copies},
    {"a copy that nobody waits for", "under way", run_never},
    {"a thread leaves before a barrier", "ended before others reach", run_early},
    {"two barriers", "another __syncthreads", run_barriers},
    {"a shuffle in a branch", "lanes named by the mask", run_diverged},
    {"a shuffle from outside the mask", "outside its mask", run_narrow},
    {"past a shared array", "past the end of a shared array", run_past},
    {"an unaligned vector", "not aligned", run_unaligned},
    {"2048 threads", "1 to 1024 threads", run_large},
    {"a race", "the race shows", run_race},
    {nullptr, nullptr, nullptr}};
