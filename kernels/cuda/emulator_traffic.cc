#include "kernels/cuda/emulator_traffic.h"

#include <stdio.h>
#include <stdlib.h>
#include <vector>

namespace {

enum { SECTOR = 32 };

struct Block {
  uintptr_t start;
  size_t bytes;
  bool operand;
  std::vector<bool> touched, read, written; /* by byte; by sector, of this launch */
};

std::vector<Block> blocks;
Block *last; /* where the access before this one fell */
EmulatorTraffic total;
bool watching; /* no access costs more than this question while nothing is watched */

} // namespace

static Block *block_of(uintptr_t at) {
  if (last && at - last->start < last->bytes) return last;
  for (Block &block : blocks)
    if (at - block.start < block.bytes) return last = &block;
  return nullptr;
}

static void access(uintptr_t at, size_t bytes, bool store) {
  Block *block = watching ? block_of(at) : nullptr;
  if (!block) return;
  size_t first = at - block->start, end = first + bytes;
  if (end > block->bytes) end = block->bytes;
  total.asked += bytes;
  for (size_t i = first; block->operand && i < end; i++) block->touched[i] = true;
  for (size_t s = first / SECTOR; s <= (end - 1) / SECTOR; s++)
    (store ? block->written : block->read)[s] = true;
}

static uint64_t count_and_clear(std::vector<bool> *bits) {
  uint64_t count = 0;
  for (bool bit : *bits) count += bit;
  bits->assign(bits->size(), false);
  return count;
}

extern "C" {

void emulator_traffic_watch(const void *block, size_t bytes, bool operand) {
  if (!block || !bytes) return;
  size_t sectors = (bytes + SECTOR - 1) / SECTOR;
  blocks.push_back(Block{reinterpret_cast<uintptr_t>(block), bytes, operand,
                         std::vector<bool>(operand ? bytes : 0), std::vector<bool>(sectors),
                         std::vector<bool>(sectors)});
  last = nullptr;
  watching = true;
}

EmulatorTraffic emulator_traffic_take(void) {
  emulator_traffic_launched();
  for (Block &block : blocks) total.touched += count_and_clear(&block.touched);
  EmulatorTraffic taken = total;
  blocks.clear();
  last = nullptr;
  watching = false;
  total = EmulatorTraffic{};
  return taken;
}

void emulator_traffic_read(const void *at, size_t bytes) {
  access(reinterpret_cast<uintptr_t>(at), bytes, false);
}

void emulator_traffic_write(const void *at, size_t bytes) {
  access(reinterpret_cast<uintptr_t>(at), bytes, true);
}

void emulator_traffic_atomic(const void *at) {
  if (watching && block_of(reinterpret_cast<uintptr_t>(at))) total.atomic_sums++;
}

void emulator_traffic_launched(void) {
  for (Block &block : blocks)
    total.moved += SECTOR * (count_and_clear(&block.read) + count_and_clear(&block.written));
}

/* ---- what the compiler calls ----------------------------------------------------------------- */

#define ACCESSES(bytes)                                                                            \
  void __tsan_read##bytes(void *at);                                                               \
  void __tsan_read##bytes(void *at) {                                                              \
    emulator_traffic_read(at, bytes);                                                              \
  }                                                                                                \
  void __tsan_write##bytes(void *at);                                                              \
  void __tsan_write##bytes(void *at) {                                                             \
    emulator_traffic_write(at, bytes);                                                             \
  }                                                                                                \
  void __tsan_unaligned_read##bytes(void *at);                                                     \
  void __tsan_unaligned_read##bytes(void *at) {                                                    \
    emulator_traffic_read(at, bytes);                                                              \
  }                                                                                                \
  void __tsan_unaligned_write##bytes(void *at);                                                    \
  void __tsan_unaligned_write##bytes(void *at) {                                                   \
    emulator_traffic_write(at, bytes);                                                             \
  }
ACCESSES(1)
ACCESSES(2)
ACCESSES(4)
ACCESSES(8)
ACCESSES(16)

void __tsan_read_range(void *at, size_t bytes);
void __tsan_read_range(void *at, size_t bytes) {
  emulator_traffic_read(at, bytes);
}
void __tsan_write_range(void *at, size_t bytes);
void __tsan_write_range(void *at, size_t bytes) {
  emulator_traffic_write(at, bytes);
}
void __tsan_init(void);
void __tsan_init(void) {
}
void __tsan_func_entry(void *from);
void __tsan_func_entry(void *) {
}
void __tsan_func_exit(void);
void __tsan_func_exit(void) {
}
void __tsan_vptr_update(void **at, void *value);
void __tsan_vptr_update(void **, void *) {
}

} // extern "C"
