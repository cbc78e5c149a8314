/* The fast sources (Makefile: FORMED) are compiled once per form, a set of instructions that the
 * compiler may use; the rest of the program once, for any processor of the architecture. When it
 * starts, it takes the form that fits the processor (kernels/cpu/processor.h).
 *
 * A formed source gives what others shall find by its name in this form,
 *     double FORM_NAME(sgd_step)(Params *params, const Sgd *sgd, double rate) { ... }
 * (all else in a form is its own: the Makefile makes other symbols local). Its header declares the
 * plain name and, by FORM_DECLARE(sgd_step), that of each form; who calls it writes
 *     FORM_OF(sgd_step)(params, sgd, rate)
 * State that a process has once stays outside the forms. */
#ifndef KERNELS_CPU_FORM_H
#define KERNELS_CPU_FORM_H

#include "kernels/cpu/processor.h"

#define FORM_JOIN2(name, form) name##_##form
#define FORM_JOIN(name, form)  FORM_JOIN2(name, form)
#define FORM_NAME(name)        FORM_JOIN(name, FORM)

/* One form: NATIVE=1, and other architectures, where the compiler has all it needs anyway. */
#if defined NATIVE || !defined __x86_64__
#define FORM_ONE           1
#define FORM_DECLARE(name) extern __typeof__(name) name##_native;
#define FORM_OF(name)      name##_native
#else

/* ENTRY(isa, form, name) for each set of instructions: the form that serves it. */
#define FORMS(ENTRY, name)                                                                         \
  ENTRY(ISA_PORTABLE, portable, name)                                                              \
  ENTRY(ISA_V3, v3, name) ENTRY(ISA_V4, v4, name) ENTRY(ISA_V4_BF16, v4, name)
#define FORM_EXTERN(isa, form, name)  extern __typeof__(name) name##_##form;
#define FORM_ADDRESS(isa, form, name) [isa] = &name##_##form,

/* Declares each form of a function or table that is declared under its plain name. */
#define FORM_DECLARE(name)            FORMS(FORM_EXTERN, name)
/* That of the form in use. */
#define FORM_OF(name)                                                                              \
  (*((__typeof__(name) *const[ISA_COUNT]){FORMS(FORM_ADDRESS, name)})[processor_kernels()])
#endif

#endif
