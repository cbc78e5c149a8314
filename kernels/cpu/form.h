/* The fast sources (Makefile: FORMED) are compiled once per form, a set of instructions that the
 * compiler may use; the rest of the program once, for any processor of the architecture. When it
 * starts, it takes the form that fits the processor (kernels/cpu/processor.h).
 *
 * What the rest shall find of a formed source has two lines more in its header,
 *     double fma_peak(const volatile float *in, volatile float *out);
 *     FORM_DECLARE(fma_peak)
 *     #define fma_peak FORM_OF(fma_peak)
 * by which the name means that of the form in use, and in a formed source that of its own form:
 * fma_peak_v3. All other names of a form are its own, since the Makefile makes them local. State
 * that a process has once stays outside the forms. */
#ifndef KERNELS_CPU_FORM_H
#define KERNELS_CPU_FORM_H

#include "kernels/cpu/processor.h"

/* ENTRY(isa, form, name) for each set of instructions: the form that serves it. NATIVE=1 and other
 * architectures have one, of what the compiler may use by itself. */
#if defined NATIVE || !defined __x86_64__
enum { FORM_ONE = 1 };
#define FORMS(ENTRY, name) ENTRY(ISA_PORTABLE, native, name)
#else
enum { FORM_ONE = 0 };
#define FORMS(ENTRY, name)                                                                         \
  ENTRY(ISA_PORTABLE, portable, name)                                                              \
  ENTRY(ISA_V3, v3, name) ENTRY(ISA_V4, v4, name) ENTRY(ISA_V4_BF16, v4, name)
#endif
#define FORM_EXTERN(isa, form, name)  extern __typeof__(name) name##_##form;
#define FORM_ADDRESS(isa, form, name) [isa] = &name##_##form,

/* Declares each form of a function or table that is declared under its plain name. */
#define FORM_DECLARE(name) FORMS(FORM_EXTERN, name)

#define FORM_JOIN2(name, form) name##_##form
#define FORM_JOIN(name, form)  FORM_JOIN2(name, form)
#if defined FORM
#define FORM_OF(name) FORM_JOIN(name, FORM)
#else
#define FORM_OF(name)                                                                              \
  (*((__typeof__(name) *const[ISA_COUNT]){FORMS(FORM_ADDRESS, name)})[processor_form()])
#endif

#endif
