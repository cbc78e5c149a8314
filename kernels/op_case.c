#include "kernels/op_case.h"

#include <math.h>
#include <string.h>

#define OP(name, cpu, cuda) extern const OpCase name##_cases[];
#include "kernels/ops.def"
#undef OP

const OpCase *const op_cases[OP_COUNT] = {
#define OP(name, cpu, cuda) name##_cases,
#include "kernels/ops.def"
#undef OP
};

double op_tolerance(const Call *call, int gradient, Precision precision) {
  static const double least[] = {[PRECISION_FLOAT] = 1e-5,
                                 [PRECISION_GPU] = 3e-5,
                                 [PRECISION_TF32] = 3e-3,
                                 [PRECISION_BF16] = 1e-2,
                                 [PRECISION_DOUBLE] = 1e-12};
  if (precision == PRECISION_DOUBLE || !call->op->terms) return least[precision];
  double terms = (double)call->op->terms(call, gradient);
  /* Tensor cores cut off what does not fit an accumulator instead of rounding it: long sums come
   * out too small. 2 million terms: 4.2e-3 on an H200. */
  if (precision == PRECISION_TF32) return fmax(least[precision], 0x1p-28 * terms);
  return fmax(least[precision], 4 * 0x1p-24 * sqrt(terms));
}

static int choice_index(const char *choices, const char *text, size_t length) {
  for (int index = 0; choices; index++) {
    size_t size = strcspn(choices, "|");
    if (size == length && strncmp(choices, text, length) == 0) return index;
    choices = choices[size] ? choices + size + 1 : NULL;
  }
  return -1;
}

static bool option_set(const Option *o, void *options, const char *text, size_t length,
                       Error *error) {
  char value[256], *end = value;
  snprintf(value, sizeof value, "%.*s", (int)length, text);
  char *field = (char *)options + o->offset;
  if (o->type == OPTION_FLOAT) {
    *(double *)(void *)field = strtod(value, &end);
  } else if (o->type == OPTION_CHOICE) {
    int index = choice_index(o->choices, text, length);
    *(int *)(void *)field = index;
    end = index < 0 ? value : value + length;
  } else if (o->type == OPTION_INTS) {
    Ints *ints = (Ints *)(void *)field;
    ints->count = 0;
    const char *at = value;
    do {
      ints->v[ints->count++] = (int)strtol(at, &end, 10);
      if (end == at) return fail(error, "option %s: cannot read '%s'", o->name, value);
      at = end + 1;
    } while (*end == ',' && ints->count < MAX_INTS);
  } else {
    *(int *)(void *)field = (int)strtol(value, &end, 10);
  }
  if (*end || !length) return fail(error, "option %s: cannot read '%s'", o->name, value);
  return true;
}

bool options_parse(const Option *table, void *options, const char *text, Error *error) {
  while (text && *text) {
    text += strspn(text, " ");
    size_t name = strcspn(text, "= "), value = strcspn(text + name, " ");
    const Option *o = table;
    while (o && o->name && (strlen(o->name) != name || strncmp(o->name, text, name) != 0)) o++;
    if (!o || !o->name || text[name] != '=')
      return fail(error, "no option '%.*s'", (int)name, text);
    if (!option_set(o, options, text + name + 1, value - 1, error)) return false;
    text += name + value;
  }
  return true;
}
