#include "src/bench/formula.h"

#include <ctype.h>
#include <math.h>
#include <string.h>

const char *formula_flops(OpId op, bool backward) {
  static const char *const texts[OP_COUNT][2] = {
#define FORMULA(op, forward, backward) [OP_##op] = {forward, backward},
#define BYTES(op, words)
#include "src/bench/formula.def"
#undef FORMULA
#undef BYTES
  };
  return texts[op][backward] ? texts[op][backward] : "";
}

const char *formula_bytes(OpId op) {
  static const char *const texts[OP_COUNT] = {
#define FORMULA(op, forward, backward)
#define BYTES(op, words) [OP_##op] = words,
#include "src/bench/formula.def"
#undef FORMULA
#undef BYTES
  };
  return texts[op] ? texts[op]
                   : "every operand once; backward what was kept, what arrives and what goes on";
}

/* ---- evaluation ------------------------------------------------------------------------------ */

/* Sums of products of numbers, names and sums in brackets, from left to right. */
typedef struct Reader {
  const char *at, *whole;
  const Call *call;
} Reader;

static double sum_of(Reader *r);

static void skip(Reader *r) {
  while (*r->at == ' ') r->at++;
}

static bool eat(Reader *r, char c) {
  skip(r);
  bool there = *r->at == c;
  r->at += there;
  return there;
}

static double operand_value(Reader *r, const Tensor *tensor, const char *axis) {
  if (!axis[0]) return (double)tensor_count(tensor);
  if (!strcmp(axis, "last")) return (double)tensor_last(tensor);
  if (!strcmp(axis, "rows")) return (double)tensor_rows(tensor);
  int number = axis[0] - '0';
  CHECK(isdigit((unsigned char)axis[0]) && !axis[1] && number < tensor->rank,
        "\"%s\": no axis %s of %s", r->whole, axis, tensor_shape_text(tensor));
  return (double)tensor->dim[number];
}

static double option_value(Reader *r, const char *name) {
  const char *base = r->call->options;
  for (const Option *o = r->call->op->options; o && o->name; o++) {
    if (strcmp(o->name, name)) continue;
    if (o->type == OPTION_FLOAT) return *(const double *)(const void *)(base + o->offset);
    CHECK(o->type != OPTION_INTS, "\"%s\": %s is a list", r->whole, name);
    return *(const int *)(const void *)(base + o->offset);
  }
  CHECK(false, "\"%s\": what is %s?", r->whole, name);
  return NAN;
}

static double forward_value(Reader *r) {
  OpId op = op_find(r->call->op->name);
  return formula_value(formula_flops(op, false), r->call);
}

static double name_value(Reader *r) {
  char name[32], *dot;
  size_t length = 0;
  for (; isalnum((unsigned char)*r->at) || *r->at == '_' || *r->at == '.'; r->at++)
    if (length + 1 < sizeof name) name[length++] = *r->at;
  name[length] = 0;
  if (!strcmp(name, "forward")) return forward_value(r);
  dot = strchr(name, '.');
  const char *axis = dot ? dot + 1 : "";
  int number;
  if (sscanf(name, "in%d", &number) == 1 && number < r->call->n_in)
    return operand_value(r, &r->call->in[number], axis);
  if (sscanf(name, "out%d", &number) == 1 && number < r->call->n_out)
    return operand_value(r, &r->call->out[number], axis);
  return option_value(r, name);
}

static double factor_of(Reader *r) {
  skip(r);
  if (eat(r, '(')) {
    double value = sum_of(r);
    CHECK(eat(r, ')'), "\"%s\": a bracket is open", r->whole);
    return value;
  }
  if (!isdigit((unsigned char)*r->at)) return name_value(r);
  char *end;
  double value = strtod(r->at, &end);
  r->at = end;
  return value;
}

static double product_of(Reader *r) {
  double value = factor_of(r);
  for (;;) {
    if (eat(r, '*'))
      value *= factor_of(r);
    else if (eat(r, '/'))
      value /= factor_of(r);
    else
      return value;
  }
}

static double sum_of(Reader *r) {
  double value = product_of(r);
  for (;;) {
    if (eat(r, '+'))
      value += product_of(r);
    else if (eat(r, '-'))
      value -= product_of(r);
    else
      return value;
  }
}

double formula_value(const char *text, const Call *call) {
  if (text[0] == ':') return NAN;
  if (!text[0]) return 0;
  Reader reader = {text, text, call};
  double value = sum_of(&reader);
  CHECK(!*reader.at, "\"%s\": what is \"%s\"?", text, reader.at);
  return value;
}

void formula_text(OpId op, const Call *call, double flops, char *text, size_t bytes) {
  const char *formula = formula_flops(op, call->backward);
  if (!formula[0])
    snprintf(text, bytes, "none that is counted");
  else if (formula[0] == ':')
    snprintf(text, bytes, "%.4g%s", flops, formula);
  else
    snprintf(text, bytes, "%s = %.4g", formula, flops);
}
