/* Two GPUs for a program that is linked with this in place of engine/cuda_backend.cu: `--device
 * cuda` is then played on the processor, from the command line to the database. Our own CUDA
 * kernels run in the emulator, the CPU's stand in for those that call cuDNN or cuBLAS. Device
 * memory is shut (PROT_NONE) but for the time of a copy or a kernel: what touches it from outside
 * dies at once, as it would read nonsense on a GPU. HARNESS_EMULATED_KIB: memory of such a GPU
 * (default 1 GiB). */
#include "base/clock.h"
#include "engine/backend.h"
#include "engine/step_memory.h"
#include "engine/stepper.h"
#include "kernels/cuda/kernel_table.h"
#define CUDA_EMULATOR
#include "engine/update_device.h"

#include <math.h>
#include <string.h>
#include <sys/mman.h>

const Backend *cuda_open(int index, Error *error);
bool cuda_info(int index, DeviceInfo *info, Error *error);
const Backend *cuda_plan(const char *properties, Error *error);
void convolution_choices(void (*visit)(const ConvolutionChoice *choice, void *user), void *user);
void product_choices(void (*visit)(const ProductChoice *choice, void *user), void *user);

/* ---- memory that only the device reaches ----------------------------------------------------- */

enum { BLOCKS = 256, PAGE = 4096 };
static struct {
  void *memory;
  size_t bytes;
} blocks[BLOCKS];
static int depth;

static void protect(int access) {
  for (int i = 0; i < BLOCKS; i++)
    if (blocks[i].memory)
      CHECK(mprotect(blocks[i].memory, blocks[i].bytes, access) == 0, "mprotect failed");
}

static void open_memory(void) {
  if (depth++ == 0) protect(PROT_READ | PROT_WRITE);
}

static void shut_memory(void) {
  if (--depth == 0) protect(PROT_NONE);
}

#define ON_DEVICE(...)                                                                             \
  do {                                                                                             \
    open_memory();                                                                                 \
    __VA_ARGS__;                                                                                   \
    shut_memory();                                                                                 \
  } while (0)

static size_t available(void) {
  const char *kib = getenv("HARNESS_EMULATED_KIB");
  size_t left = (kib ? strtoul(kib, NULL, 10) : 1 << 20) << 10;
  for (int i = 0; i < BLOCKS; i++) left -= blocks[i].bytes < left ? blocks[i].bytes : left;
  return left;
}

/* Full of NaN, as a device's memory may be. */
static void *alloc(size_t bytes) {
  size_t whole = (bytes / PAGE + 1) * PAGE;
  int i = 0;
  while (i < BLOCKS && blocks[i].memory) i++;
  CHECK(i < BLOCKS, "more than %d blocks on the device", BLOCKS);
  if (whole > available()) return NULL;
  void *memory =
      mmap(NULL, whole, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (memory == MAP_FAILED) return NULL;
  memset(memory, 0xff, whole);
  blocks[i].memory = memory;
  blocks[i].bytes = whole;
  if (depth == 0) mprotect(memory, whole, PROT_NONE);
  return memory;
}

static void release(void *memory) {
  for (int i = 0; memory && i < BLOCKS; i++) {
    if (blocks[i].memory != memory) continue;
    munmap(memory, blocks[i].bytes);
    blocks[i].memory = NULL;
    blocks[i].bytes = 0;
  }
}

static void *host_alloc(size_t bytes) {
  return aligned_alloc(64, (bytes + 64) / 64 * 64);
}

static void *queue(void) {
  return NULL;
}

static void copy(void *to, const void *from, size_t bytes) {
  ON_DEVICE(memcpy(to, from, bytes));
}

static void zero(void *to, size_t bytes) {
  ON_DEVICE(memset(to, 0, bytes));
}

static void wait(void) {
}

/* ---- kernels --------------------------------------------------------------------------------- */

static const Kernel *kernel_of(OpId op) {
  return kernels_emulated[op] ? kernels_emulated[op] : kernels_cpu[op];
}

static Kernel guarded[OP_COUNT];
static const Kernel *kernels[OP_COUNT];

#define OP(name, cpu, cuda)                                                                        \
  static void name##_forward(const Call *call) {                                                   \
    ON_DEVICE(kernel_of(OP_##name)->forward(call));                                                \
  }                                                                                                \
  static void name##_backward(const Call *call) {                                                  \
    ON_DEVICE(kernel_of(OP_##name)->backward(call));                                               \
  }
#include "kernels/ops.def"
#undef OP

static void guard(OpId op, void (*forward)(const Call *), void (*backward)(const Call *)) {
  const Kernel *kernel = kernel_of(op);
  guarded[op] = *kernel;
  guarded[op].forward = forward;
  if (kernel->backward) guarded[op].backward = backward;
  kernels[op] = &guarded[op];
}

static void guard_all(void) {
#define OP(name, cpu, cuda) guard(OP_##name, name##_forward, name##_backward);
#include "kernels/ops.def"
#undef OP
}

/* ---- volumes --------------------------------------------------------------------------------- */

static const PatchOps *const patches = &patch_ops_emulated;
static const SlabOps *const slabs = &slab_ops_emulated;

static void patch_read(void *stream, const PatchRead *read) {
  ON_DEVICE(patches->read(stream, read));
}
static void plane_noise(const Plane *plane, double sd, Rng *rng) {
  ON_DEVICE(patches->plane.noise(plane, sd, rng));
}
static void plane_blur(const Plane *plane, const double sigma[3]) {
  ON_DEVICE(patches->plane.blur(plane, sigma));
}
static void plane_brightness(const Plane *plane, double factor) {
  ON_DEVICE(patches->plane.brightness(plane, factor));
}
static void plane_contrast(const Plane *plane, double factor) {
  ON_DEVICE(patches->plane.contrast(plane, factor));
}
static void plane_low_resolution(const Plane *plane, const double zoom[3]) {
  ON_DEVICE(patches->plane.low_resolution(plane, zoom));
}
static void plane_gamma(const Plane *plane, double exponent, bool inverted) {
  ON_DEVICE(patches->plane.gamma(plane, exponent, inverted));
}
static void interleave(void *stream, int64_t voxels, int channels, const float *planes,
                       float *image) {
  ON_DEVICE(patches->interleave(stream, voxels, channels, planes, image));
}
static void slab_merge(void *stream, const WindowPlace *place, const float *predicted, float *maps,
                       float *total) {
  ON_DEVICE(slabs->merge(stream, place, predicted, maps, total));
}
static void slab_divide(void *stream, int64_t voxels, int classes, const float *total,
                        float *maps) {
  ON_DEVICE(slabs->divide(stream, voxels, classes, total, maps));
}
static void slab_shift(void *stream, size_t all, size_t count, const float *from, float *to) {
  ON_DEVICE(slabs->shift(stream, all, count, from, to));
}
static void slab_label(void *stream, const SlabPlane *plane, const float *maps, uint8_t *label) {
  ON_DEVICE(slabs->label(stream, plane, maps, label));
}

static const PatchOps patch_ops = {.read = patch_read,
                                   .plane = {plane_noise, plane_blur, plane_brightness,
                                             plane_contrast, plane_low_resolution, plane_gamma},
                                   .interleave = interleave};
static const SlabOps slab_ops = {
    .merge = slab_merge, .divide = slab_divide, .shift = slab_shift, .label = slab_label};

/* ---- the training step, as engine/cuda_stepper.cu orders it ---------------------------------- */

typedef struct State {
  void *host[STEP_SLOTS][STEPPER_INPUTS], *device[STEP_SLOTS][STEPPER_INPUTS];
  int next;
  UpdateCall update;
} State;

static void step_make(Stepper *stepper) {
  const Params *params = stepper->params;
  const Plan *plan = stepper->plan;
  State *state = calloc(1, sizeof *state);
  CHECK(state, "no memory for a stepper");
  stepper->state = state;
  for (int i = 0; i < STEPPER_INPUTS && stepper->input[i]; i++)
    for (int s = 0; s < STEP_SLOTS; s++) {
      state->host[s][i] = host_alloc(tensor_bytes(&stepper->input[i]->tensor));
      state->device[s][i] = step_slot(plan, stepper->input[i], s);
    }
  state->update = update_call(stepper);
  ON_DEVICE(
      update_classes(&stepper->optimizer, params, (uint8_t *)(uintptr_t)state->update.class_of));
}

static void step_release(Stepper *stepper) {
  State *state = stepper->state;
  for (int i = 0; i < STEPPER_INPUTS && stepper->input[i]; i++)
    for (int s = 0; s < STEP_SLOTS; s++) free(state->host[s][i]);
  free(state);
  stepper->state = NULL;
}

static void *step_input(Stepper *stepper, int input) {
  State *state = stepper->state;
  return state->host[state->next][input];
}

static void step_fill(Stepper *stepper) {
  State *state = stepper->state;
  stepper->fill(stepper->fill_user, state->device[state->next], NULL);
}

static void send_inputs(Stepper *stepper) {
  State *state = stepper->state;
  int slot = state->next;
  state->next = (slot + 1) % STEP_SLOTS;
  for (int i = 0; i < STEPPER_INPUTS && stepper->input[i]; i++) {
    const Tensor *tensor = &stepper->input[i]->tensor;
    if (!stepper->fill) copy(state->device[slot][i], state->host[slot][i], tensor_bytes(tensor));
    copy(tensor->data, state->device[slot][i], tensor_bytes(tensor));
  }
}

static void step_start(Stepper *stepper, double rate) {
  State *state = stepper->state;
  UpdatePace pace;
  UpdateTold told;
  send_inputs(stepper);
  update_pace(&stepper->optimizer, stepper->params, rate, &pace);
  copy(&state->update.state->pace, &pace, sizeof pace);
  plan_run(stepper->plan, stepper->profile);
  ON_DEVICE(update_emulated(&state->update, NULL));
  copy(&told, &state->update.state->told, sizeof told);
  for (int i = 0; i < STEPPER_RESULTS; i++) {
    float value = NAN;
    if (stepper->result[i]) copy(&value, stepper->result[i]->tensor.data, sizeof value);
    stepper->value[i] = (double)value;
  }
  stepper->norm = isfinite(stepper->value[0]) ? told.norm : NAN;
  stepper->params->updates += told.apply;
}

static void step_wait(Stepper *stepper) {
  (void)stepper;
}

/* ---- measuring ------------------------------------------------------------------------------- */

typedef struct Recorded {
  void (*run)(void *user);
  void *user;
} Recorded;

static void *record(void (*run)(void *user), void *user) {
  Recorded *recorded = malloc(sizeof *recorded);
  CHECK(recorded, "no memory for a recording");
  *recorded = (Recorded){run, user};
  return recorded;
}

static double replay(void *recorded, int repeats) {
  const Recorded *r = recorded;
  double start = seconds_now();
  for (int i = 0; i < repeats; i++) r->run(r->user);
  return seconds_now() - start;
}

enum { MARKS = 4096 };
static double moments[MARKS];

static void marks(int count) {
  CHECK(count <= MARKS, "%d moments, at most %d", count, MARKS);
}

static void mark(int number) {
  moments[number] = seconds_now();
}

static double between(int first, int last) {
  return moments[last] - moments[first];
}

static void rates(DeviceRates *found) {
  *found = (DeviceRates){.copy_gbps = 1, .fma_gflops = 1, .matrix_gflops = 8};
}

static void properties(char *text, size_t bytes) {
  snprintf(text, bytes, "%s", "");
}

static void clocks(DeviceClocks *found) {
  *found = (DeviceClocks){.mhz = 1000};
}

/* ---- the GPUs -------------------------------------------------------------------------------- */

enum { GPUS = 2 };
static const StepOps step_ops = {.make = step_make,
                                 .input = step_input,
                                 .fill = step_fill,
                                 .start = step_start,
                                 .wait = step_wait,
                                 .release = step_release};
static const Device device = {.queue = queue,
                              .copy_in = copy,
                              .copy_out = copy,
                              .zero = zero,
                              .wait = wait,
                              .host_alloc = host_alloc,
                              .host_release = free,
                              .step = &step_ops,
                              .record = record,
                              .replay = replay,
                              .forget = free,
                              .flush = wait,
                              .marks = marks,
                              .mark = mark,
                              .between = between,
                              .properties = properties,
                              .rates = rates,
                              .clocks = clocks,
                              .patches = &patch_ops,
                              .slabs = &slab_ops};
static const Backend backend = {.name = "cuda",
                                .real = F32,
                                .kernels = kernels,
                                .alloc = alloc,
                                .release = release,
                                .available = available,
                                .device = &device};

static bool there(int index, Error *error) {
  return index < GPUS ||
         fail(error, "--device cuda:%d: there are %d GPUs, numbered from 0", index, GPUS);
}

const Backend *cuda_open(int index, Error *error) {
  static int opened = -1;
  if (!there(index, error)) return NULL;
  CHECK(opened < 0 || opened == index, "cuda:%d was opened, cuda:%d is asked for", opened, index);
  if (opened < 0) guard_all();
  opened = index;
  return &backend;
}

bool cuda_info(int index, DeviceInfo *info, Error *error) {
  *info = (DeviceInfo){.libraries = "emulator",
                       .release = "1.2.3",
                       .count = GPUS,
                       .major = 9,
                       .processors = 1,
                       .driver = 13000,
                       .bytes = 1u << 30,
                       .cache_bytes = 1 << 20};
  snprintf(info->name, sizeof info->name, "Emulated GPU %d", index);
  return there(index, error);
}

const Backend *cuda_plan(const char *given, Error *error) {
  (void)given;
  fail(error, "no cuDNN plans for an emulated GPU");
  return NULL;
}

void convolution_choices(void (*visit)(const ConvolutionChoice *choice, void *user), void *user) {
  (void)visit, (void)user;
}

void product_choices(void (*visit)(const ProductChoice *choice, void *user), void *user) {
  (void)visit, (void)user;
}
