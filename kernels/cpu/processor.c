#include "kernels/cpu/form.h"
#include "kernels/cpu/simd.h"

#include <dnnl.h>
#include <pthread.h>
#include <string.h>

/* oneDNN's limit, and what the libraries of a PyTorch read from the environment (the highest level
 * limits nothing). */
typedef struct Level {
  const char *name;
  dnnl_cpu_isa_t onednn;
  const char *onednn_name, *aten, *mkl, *openblas;
} Level;

static const Level levels[ISA_COUNT] = {
    [ISA_PORTABLE] = {"portable", dnnl_cpu_isa_sse41, "SSE41", "default", "SSE4_2", "Nehalem"},
    [ISA_V3] = {"v3", dnnl_cpu_isa_avx2, "AVX2", "avx2", "AVX2", "Haswell"},
    [ISA_V4] = {"v4", dnnl_cpu_isa_avx512_core, "AVX512_CORE", "avx512", "AVX512", "SkylakeX"},
    [ISA_V4_BF16] = {"v4+bf16", dnnl_cpu_isa_avx512_core_bf16, NULL, NULL, NULL, NULL},
};

const char *isa_name(Isa isa) {
  return levels[isa].name;
}

/* ---- what there is --------------------------------------------------------------------------- */

static Isa processor_has(void) {
#if defined __x86_64__
  if (!__builtin_cpu_supports("avx2") || !__builtin_cpu_supports("fma")) return ISA_PORTABLE;
  if (!__builtin_cpu_supports("avx512f") || !__builtin_cpu_supports("avx512bw") ||
      !__builtin_cpu_supports("avx512cd") || !__builtin_cpu_supports("avx512dq") ||
      !__builtin_cpu_supports("avx512vl"))
    return ISA_V3;
  return __builtin_cpu_supports("avx512bf16") ? ISA_V4_BF16 : ISA_V4;
#else
  return ISA_PORTABLE;
#endif
}

/* ---- what is used ---------------------------------------------------------------------------- */

static void list_choices(Isa most, char *text, size_t bytes) {
  size_t used = 0;
  for (int i = 0; i <= (int)most; i++)
    used += (size_t)snprintf(text + used, bytes - used, "%s%s", i ? ", " : "", levels[i].name);
}

bool isa_choose(Isa processor, Isa least, const char *asked, Isa *isa, Error *error) {
  char choices[64];
  int found = 0;
  if (least > processor)
    return fail(error,
                "this program was compiled for %s, this processor has %s: compile it here (make "
                "clean all), or for every processor (without NATIVE=1 or -march in CFLAGS)",
                levels[least].name, levels[processor].name);
  *isa = processor;
  if (!asked || !asked[0]) return true;
  while (found < ISA_COUNT && strcmp(levels[found].name, asked) != 0) found++;
  *isa = (Isa)found;
  if (found <= (int)processor) return true;
  *isa = processor;
  list_choices(processor, choices, sizeof choices);
  if (found == ISA_COUNT)
    return fail(error, "HARNESS_ISA=%s is no instruction set; here it is one of: %s", asked,
                choices);
  return fail(error, "HARNESS_ISA=%s: this processor has no more than %s; here it is one of: %s",
              asked, levels[processor].name, choices);
}

static Isa chosen(Error *error) {
  Isa isa = ISA_PORTABLE;
  isa_choose(processor_has(), SIMD_ISA, getenv("HARNESS_ISA"), &isa, error);
  return isa;
}

bool processor_check(Error *error) {
  chosen(error);
  return !error->text[0];
}

static Isa form;

static void choose_form(void) {
  Error ignored = {""}; /* processor_check tells */
  form = FORM_ONE ? ISA_PORTABLE : chosen(&ignored);
}

Isa processor_form(void) {
  static pthread_once_t once = PTHREAD_ONCE_INIT;
  pthread_once(&once, choose_form);
  return form;
}

Isa processor_kernels(void) {
  return FORM_ONE ? SIMD_ISA : processor_form();
}

static Isa libraries;

/* The user's own limit (ONEDNN_MAX_CPU_ISA) stays where ours is not asked for. */
static void limit_libraries(void) {
  Error error = {""};
  Isa isa = chosen(&error);
  CHECK(!error.text[0], "%s", error.text);
  if (isa < processor_has()) {
    dnnl_status_t status = dnnl_set_max_cpu_isa(levels[isa].onednn);
    CHECK(status == dnnl_success, "HARNESS_ISA=%s: oneDNN takes no limit: status %d",
          levels[isa].name, (int)status);
  }
  unsigned uses = (unsigned)dnnl_get_effective_cpu_isa();
  for (libraries = isa; libraries > ISA_PORTABLE; libraries--)
    if ((uses & levels[libraries].onednn) == levels[libraries].onednn) break;
}

Isa processor_libraries(void) {
  static pthread_once_t once = PTHREAD_ONCE_INIT;
  pthread_once(&once, limit_libraries);
  return libraries;
}

void processor_isa(char *text, size_t bytes) {
  Isa own = processor_kernels(), other = processor_libraries();
  const char *kind = FORM_ONE ? "native " : "";
  if (own == other)
    snprintf(text, bytes, "%s%s", kind, levels[own].name);
  else
    snprintf(text, bytes, "%skernels %s, libraries %s", kind, levels[own].name, levels[other].name);
}

const char *processor_no_simd(void) {
  if (FORM_ONE || processor_form() >= ISA_V3) return NULL;
  return processor_has() < ISA_V3 ? "this processor has no AVX2 and FMA" : "HARNESS_ISA=portable";
}

const char *processor_no_bf16(void) {
  Error none = {""};
  if (processor_has() < ISA_V4_BF16) return "this processor has no bf16 arithmetic (avx512_bf16)";
  if (chosen(&none) < ISA_V4_BF16) return "HARNESS_ISA leaves no bf16 arithmetic";
  if (processor_kernels() < ISA_V4_BF16) return "this program was compiled without avx512_bf16";
  return processor_libraries() < ISA_V4_BF16 ? "oneDNN is kept from bf16 (ONEDNN_MAX_CPU_ISA)"
                                             : NULL;
}

void processor_limit_peers(void) {
  Error none = {""};
  Isa isa = chosen(&none);
  if (isa >= processor_has()) return;
  const Level *level = &levels[isa];
  setenv("ONEDNN_MAX_CPU_ISA", level->onednn_name, 1);
  setenv("DNNL_MAX_CPU_ISA", level->onednn_name, 1);
  setenv("ATEN_CPU_CAPABILITY", level->aten, 1);
  setenv("MKL_ENABLE_INSTRUCTIONS", level->mkl, 1);
  setenv("OPENBLAS_CORETYPE", level->openblas, 1);
}
