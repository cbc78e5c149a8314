/* The threads of one block, as fibers on stacks of their own. A fiber runs until it waits or ends;
 * when none can run, the barrier that all wait for opens, or there is none and that is a fault. */
#include "kernels/cuda/emulator.h"

#include <setjmp.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <ucontext.h>

uint3 threadIdx, blockIdx;
dim3 blockDim, gridDim;

namespace {

enum {
  MAX_THREADS = 1024,
  STACK_BYTES = 128 << 10,
  LANES = 32,
  MAX_KERNELS = 1024,
  MAX_COPIES = 64
};

enum State { READY, WAITS_FOR_BLOCK, WAITS_FOR_WARP, ENDED };

struct AsyncCopy {
  void *to;
  const void *from;
  int group;
};

struct Fiber {
  State state;
  bool entered;
  ucontext_t entry;
  jmp_buf resume;
  const char *file; /* where it waits */
  int line;
  unsigned mask; /* of a warp collective, with this lane's part and result */
  uint64_t value, result;
  int source;
  unsigned ballot;
  AsyncCopy copies[MAX_COPIES]; /* under way, in the order of their groups */
  int copy_count, group;        /* the group that is open */
  int turn;                     /* of fragments below */
};

Fiber fibers[MAX_THREADS];
unsigned arrived[MAX_THREADS]; /* lanes that wait for others, at the first that their mask names */
jmp_buf scheduler;
int current, threads;
const char *kernel_name;
void (*kernel_body)(void *);
void *kernel_argument;
unsigned order_seed, random_state;
const void *launched[MAX_KERNELS];
int launched_count;
int order[MAX_THREADS];

/* ---- shared memory: blocks between guards in one arena --------------------------------------- */

enum {
  ARENA_BYTES = 256 << 10,
  STATIC_LIMIT = 48 << 10,
  DYNAMIC_LIMIT = 99 << 10,
  GUARD = 128,
  GUARD_BYTE = 0xA5,
  MAX_SHARED = 64
};
struct SharedBlock {
  const void *site;
  size_t offset, bytes;
};
alignas(128) unsigned char arena[ARENA_BYTES];
SharedBlock shared_blocks[MAX_SHARED];
int shared_count;
size_t arena_used, static_bytes;
const char dynamic_site = 0;

} // namespace

void emulator::fault(const char *file, int line, const char *what) {
  fprintf(stderr, "%s:%d: emulated kernel %s, block (%u, %u, %u), thread (%u, %u, %u): %s\n", file,
          line, kernel_name, blockIdx.x, blockIdx.y, blockIdx.z, threadIdx.x, threadIdx.y,
          threadIdx.z, what);
  abort();
}

static void *shared_add(const void *site, size_t bytes) {
  size_t offset = arena_used + GUARD, rounded = (bytes + GUARD - 1) / GUARD * GUARD;
  if (shared_count == MAX_SHARED || offset + rounded + GUARD > ARENA_BYTES)
    emulator::fault(__FILE__, __LINE__, "too much shared memory");
  memset(arena + arena_used, GUARD_BYTE, GUARD + rounded + GUARD);
  memset(arena + offset, 0xFF, bytes); /* NaN */
  shared_blocks[shared_count++] = SharedBlock{site, offset, bytes};
  arena_used = offset + rounded + GUARD;
  return arena + offset;
}

void *emulator::shared(const void *site, size_t bytes) {
  for (int i = 0; i < shared_count; i++)
    if (shared_blocks[i].site == site) return arena + shared_blocks[i].offset;
  static_bytes += bytes;
  if (static_bytes > STATIC_LIMIT) fault(__FILE__, __LINE__, "over 48 KiB of static shared memory");
  return shared_add(site, bytes);
}

void *emulator::dynamic_shared() {
  for (int i = 0; i < shared_count; i++)
    if (shared_blocks[i].site == &dynamic_site) return arena + shared_blocks[i].offset;
  fault(__FILE__, __LINE__, "dynamic shared memory, but the launch gives none");
}

static void shared_check() {
  for (int i = 0; i < shared_count; i++) {
    const unsigned char *start = arena + shared_blocks[i].offset,
                        *end = start + shared_blocks[i].bytes;
    size_t tail =
        GUARD + (shared_blocks[i].bytes + GUARD - 1) / GUARD * GUARD - shared_blocks[i].bytes;
    for (int b = 1; b <= GUARD; b++)
      if (start[-b] != GUARD_BYTE)
        emulator::fault(__FILE__, __LINE__, "wrote before the start of a shared array");
    for (size_t b = 0; b < tail; b++)
      if (end[b] != GUARD_BYTE)
        emulator::fault(__FILE__, __LINE__, "wrote past the end of a shared array");
  }
}

/* ---- switching ------------------------------------------------------------------------------- */

static void set_thread(int index) {
  current = index;
  threadIdx.x = (unsigned)index % blockDim.x;
  threadIdx.y = (unsigned)index / blockDim.x % blockDim.y;
  threadIdx.z = (unsigned)index / (blockDim.x * blockDim.y);
}

static __attribute__((noinline)) void leave() {
  if (_setjmp(fibers[current].resume) == 0) _longjmp(scheduler, 1);
}

/* A fiber outlives its block: ended, it waits to be the same thread of the next one. */
static void fiber_main() {
  for (;;) {
    kernel_body(kernel_argument);
    if (fibers[current].copy_count)
      emulator::fault(__FILE__, __LINE__, "ends while copies into shared memory are under way");
    fibers[current].state = ENDED;
    leave();
  }
}

static __attribute__((noinline)) void resume(int index) {
  set_thread(index);
  Fiber *fiber = &fibers[index];
  if (_setjmp(scheduler)) return;
  if (fiber->entered) _longjmp(fiber->resume, 1);
  fiber->entered = true;
  setcontext(&fiber->entry);
}

static void fibers_make(int count) {
  static int made;
  for (; made < count; made++) {
    Fiber *fiber = &fibers[made];
    void *stack = mmap(NULL, STACK_BYTES, PROT_READ | PROT_WRITE,
                       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (stack == MAP_FAILED || getcontext(&fiber->entry)) {
      perror("emulator: a fiber's stack");
      abort();
    }
    fiber->entry.uc_stack.ss_sp = stack;
    fiber->entry.uc_stack.ss_size = STACK_BYTES;
    fiber->entry.uc_link = NULL;
    makecontext(&fiber->entry, fiber_main, 0);
  }
}

/* ---- waiting --------------------------------------------------------------------------------- */

static void wait_as(State state, const char *file, int line) {
  Fiber *fiber = &fibers[current];
  fiber->state = state;
  fiber->file = file;
  fiber->line = line;
  leave();
}

void emulator::sync_block(const char *file, int line) {
  wait_as(WAITS_FOR_BLOCK, file, line);
}

int emulator::lane() {
  return current % LANES;
}

static bool same_place(const Fiber *a, const Fiber *b) {
  return a->line == b->line && (a->file == b->file || strcmp(a->file, b->file) == 0);
}

/* Whether every lane of the mask is here. */
static bool collective_complete(const Fiber *me, int first) {
  for (int i = 0; i < LANES; i++) {
    if (!(me->mask >> i & 1)) continue;
    const Fiber *other = &fibers[first + i];
    if (first + i >= threads || other->state == ENDED)
      emulator::fault(me->file, me->line, "lanes named by the mask have ended or do not exist");
    if (other->state != WAITS_FOR_WARP) return false;
    if (other->mask != me->mask)
      emulator::fault(me->file, me->line, "the lanes of a warp collective name different masks");
    if (!same_place(other, me))
      emulator::fault(me->file, me->line, "lanes of one mask wait at different warp collectives");
  }
  return true;
}

/* Looks at all lanes when the first and when the last arrives, else only at that first one. */
static bool collective_arrive(const Fiber *me, int first) {
  int at = first + __builtin_ctz(me->mask);
  unsigned before = arrived[at];
  arrived[at] = before | 1u << emulator::lane();
  if (before) {
    const Fiber *other = &fibers[first + __builtin_ctz(before)];
    if (other->mask != me->mask)
      emulator::fault(me->file, me->line, "the lanes of a warp collective name different masks");
    if (!same_place(other, me))
      emulator::fault(me->file, me->line, "lanes of one mask wait at different warp collectives");
  }
  if ((before && arrived[at] != me->mask) || !collective_complete(me, first)) return false;
  arrived[at] = 0;
  return true;
}

/* The last one to arrive hands out the results. */
static void collective_open(const Fiber *me, int first) {
  unsigned bits = 0;
  for (int i = 0; i < LANES; i++)
    if (me->mask >> i & 1 && fibers[first + i].value) bits |= 1u << i;
  unsigned mask = me->mask;
  for (int i = 0; i < LANES; i++) {
    if (!(mask >> i & 1)) continue;
    Fiber *fiber = &fibers[first + i];
    if (!(mask >> fiber->source & 1))
      emulator::fault(fiber->file, fiber->line, "a shuffle reads from a lane outside its mask");
    fiber->result = fibers[first + fiber->source].value;
    fiber->ballot = bits;
    fiber->state = READY;
  }
}

uint64_t emulator::exchange(const char *file, int line, unsigned mask, uint64_t value, int source,
                            unsigned *ballot) {
  Fiber *me = &fibers[current];
  int first = current / LANES * LANES;
  me->state = WAITS_FOR_WARP;
  me->file = file;
  me->line = line;
  me->mask = mask;
  me->value = value;
  me->source = source;
  if (!(mask >> lane() & 1))
    fault(file, line, "a lane calls a warp collective that does not name it");
  if (collective_arrive(me, first))
    collective_open(me, first);
  else
    leave();
  if (ballot) *ballot = me->ballot;
  return me->result;
}

/* ---- what a warp's lanes show each other ----------------------------------------------------- */

namespace {
/* What a lane brings: its words of a and b, where a row of matrices lies, or numbers. */
struct Fragment {
  float number[16];
  float a[4][2], b[2][2];
  const uint16_t *row;
};
/* A lane may be one product ahead of those that still read, not two: they take turns. */
Fragment fragments[2][MAX_THREADS];
} // namespace

/* Of all lanes of the warp, once all have brought theirs. */
static const Fragment *warp_fragments(const char *file, int line, const Fragment &own) {
  int turn = fibers[current].turn ^= 1;
  fragments[turn][current] = own;
  emulator::exchange(file, line, ~0u, 0, emulator::lane(), nullptr);
  return &fragments[turn][current / LANES * LANES];
}

static void unpack(float *pair, unsigned word) {
  pair[0] = __uint_as_float(word << 16);
  pair[1] = __uint_as_float(word & 0xffff0000u);
}

void emulator::product(const char *file, int line, float *c, const unsigned *a, unsigned b0,
                       unsigned b1) {
  Fragment own = {};
  for (int i = 0; i < 4; i++) unpack(own.a[i], a[i]);
  unpack(own.b[0], b0);
  unpack(own.b[1], b1);
  const Fragment *of = warp_fragments(file, line, own);
  int g = lane() / 4, t = lane() % 4;
  for (int half = 0; half < 2; half++)
    for (int k = 0; k < 4; k++)
      for (int i = 0; i < 4; i++) {
        const float *x = of[g * 4 + k].a[half * 2 + i / 2];
        const float *y = of[(2 * t + i % 2) * 4 + k].b[half];
        c[i] += x[0] * y[0] + x[1] * y[1];
      }
}

void emulator::matrices(const char *file, int line, unsigned *word, const void *row, bool turned) {
  Fragment own = {};
  own.row = static_cast<const uint16_t *>(row);
  if ((uintptr_t)row % 16) fault(file, line, "a matrix's row is not aligned");
  const Fragment *of = warp_fragments(file, line, own);
  int g = lane() / 4, t = lane() % 4;
  for (int m = 0; m < 4; m++, of += 8) {
    uint16_t low = turned ? of[2 * t].row[g] : of[g].row[2 * t];
    uint16_t high = turned ? of[2 * t + 1].row[g] : of[g].row[2 * t + 1];
    word[m] = low | (unsigned)high << 16;
  }
}

void emulator::trade(const char *file, int line, float *number, int count, int across) {
  Fragment own = {};
  for (int i = 0; i < count; i++) own.number[i] = number[i];
  const Fragment *of = warp_fragments(file, line, own);
  for (int i = 0; i < count; i++) number[i] = of[lane() ^ across].number[i];
}

/* ---- copies that run meanwhile --------------------------------------------------------------- */

void emulator::copy_async(const char *file, int line, void *to, const void *from) {
  Fiber *me = &fibers[current];
  if ((uintptr_t)to % 16 || (uintptr_t)from % 16) fault(file, line, "a copy is not aligned");
  if (me->copy_count == MAX_COPIES) fault(file, line, "too many copies under way");
  me->copies[me->copy_count++] = AsyncCopy{to, from, me->group};
}

void emulator::copies_close() {
  fibers[current].group++;
}

void emulator::copies_wait(int left) {
  static const unsigned char zeros[16] = {0};
  Fiber *me = &fibers[current];
  int done = 0;
  for (; done < me->copy_count && me->copies[done].group < me->group - left; done++) {
    const void *from = me->copies[done].from;
    memcpy(me->copies[done].to, from ? from : zeros, 16);
    if (from) emulator_traffic_read(from, 16);
  }
  me->copy_count -= done;
  memmove(me->copies, me->copies + done, (size_t)me->copy_count * sizeof *me->copies);
}

/* ---- one block ------------------------------------------------------------------------------- */

/* No thread can run: all wait at the same __syncthreads, or nothing ever moves again. */
static void open_barrier() {
  const Fiber *waiting = NULL;
  for (int i = 0; i < threads; i++) {
    if (fibers[i].state != WAITS_FOR_WARP) continue;
    set_thread(i);
    emulator::fault(fibers[i].file, fibers[i].line, "lanes named by the mask never arrive");
  }
  for (int i = 0; i < threads; i++)
    if (fibers[i].state == WAITS_FOR_BLOCK) waiting = &fibers[i];
  for (int i = 0; i < threads; i++) {
    set_thread(i);
    if (fibers[i].state == ENDED)
      emulator::fault(waiting->file, waiting->line, "ended before others reach this __syncthreads");
    if (!same_place(&fibers[i], waiting))
      emulator::fault(waiting->file, waiting->line, "waits at another __syncthreads than this one");
  }
  shared_check();
  for (int i = 0; i < threads; i++) fibers[i].state = READY;
}

static unsigned draw(unsigned bound) {
  random_state = random_state * 1664525u + 1013904223u;
  return (random_state >> 8) % bound;
}

static void shuffle_order() {
  for (int i = 0; i < threads; i++) order[i] = order_seed == 1 ? threads - 1 - i : i;
  for (int i = threads - 1; order_seed > 1 && i > 0; i--) {
    int other = (int)draw((unsigned)i + 1), kept = order[i];
    order[i] = order[other];
    order[other] = kept;
  }
}

static void run_block(size_t shared_bytes) {
  shared_count = 0;
  arena_used = static_bytes = 0;
  if (shared_bytes) shared_add(&dynamic_site, shared_bytes);
  for (int i = 0; i < threads; i++) fibers[i].state = READY;
  for (;;) {
    bool moved = false, all_ended = true;
    shuffle_order();
    for (int i = 0; i < threads; i++) {
      if (fibers[order[i]].state == READY) {
        resume(order[i]);
        moved = true;
      }
      all_ended = all_ended && fibers[order[i]].state == ENDED;
    }
    if (all_ended) break;
    if (!moved) open_barrier();
  }
  shared_check();
}

static void check_launch(dim3 grid, dim3 block, size_t shared_bytes) {
  uint64_t size = (uint64_t)block.x * block.y * block.z;
  if (size == 0 || size > MAX_THREADS || block.z > 64)
    emulator::fault(__FILE__, __LINE__, "a block has 1 to 1024 threads, 64 along z");
  if (!grid.x || !grid.y || !grid.z || grid.x > INT32_MAX || grid.y > 65535 || grid.z > 65535)
    emulator::fault(__FILE__, __LINE__, "a grid has 1 to 2^31-1 x 65535 x 65535 blocks");
  if (shared_bytes > DYNAMIC_LIMIT)
    emulator::fault(__FILE__, __LINE__, "over 99 KiB of dynamic shared memory");
}

static void remember(const void *kernel) {
  for (int i = 0; i < launched_count; i++)
    if (launched[i] == kernel) return;
  if (launched_count < MAX_KERNELS) launched[launched_count++] = kernel;
}

extern "C" void emulator_report(const char *program) {
  char path[4096];
  snprintf(path, sizeof path, "%s.launched", program);
  FILE *file = fopen(path, "w");
  if (!file) {
    perror(path);
    abort();
  }
  for (int i = 0; i < launched_count; i++)
    fprintf(file, "%td\n",
            reinterpret_cast<intptr_t>(launched[i]) - reinterpret_cast<intptr_t>(&emulator_report));
  fclose(file);
}

void emulator::run(const char *name, const void *kernel, dim3 grid, dim3 block, size_t shared_bytes,
                   void (*body)(void *), void *argument) {
  remember(kernel);
  kernel_name = name;
  kernel_body = body;
  kernel_argument = argument;
  gridDim = grid;
  blockDim = block;
  check_launch(grid, block, shared_bytes);
  threads = (int)(block.x * block.y * block.z);
  random_state = order_seed;
  fibers_make(threads);
  uint64_t blocks = (uint64_t)grid.x * grid.y * grid.z;
  for (uint64_t i = 0; i < blocks; i++) {
    uint64_t at = order_seed == 1 ? blocks - 1 - i : i;
    blockIdx.x = (unsigned)(at % grid.x);
    blockIdx.y = (unsigned)(at / grid.x % grid.y);
    blockIdx.z = (unsigned)(at / grid.x / grid.y);
    run_block(shared_bytes);
  }
  emulator_traffic_launched();
}

extern "C" void emulator_order(unsigned seed) {
  order_seed = seed;
}
