/* What every row of the op table must keep: it is read by the engine, Lua, help and the hash. */
#include "kernels/op_case.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

static void test_rows(void **state) {
  (void)state;
  for (int id = 0; id < OP_COUNT; id++) {
    const Op *op = op_table[id];
    print_message("%s\n", op->name);
    assert_int_equal(op_find(op->name), id);
    assert_true(op->doc && op->doc[0] && op->shape);
    assert_true(0 <= op->min_in && op->min_in <= op->max_in && op->max_in <= MAX_IN);
    assert_true(1 <= op->n_out && op->n_out <= MAX_OUT);
    assert_true(op->max_in > 0 || op->flags & OP_CONSTANT);
    assert_true(!op->options == !op->options_bytes);
    /* no bit for an operand that cannot exist; SAVES_ALL_IN means all there are */
    for (int i = 0; i < MAX_IN; i++) {
      unsigned in = op->saves[i] & SAVES_ALL_IN;
      assert_true(in == SAVES_ALL_IN || in >> op->max_in == 0);
      assert_true(op->saves[i] >> SAVES_OUT_SHIFT >> op->n_out == 0);
      assert_true(!op->saves[i] || (i < op->max_in && !(op->constant & SAVES_IN(i))));
    }
    assert_true(op->constant >> op->max_in == 0 && op->optional >> op->max_in == 0);
    assert_non_null(op->reference.forward);
    assert_true(op->flags & (OP_NO_GRADIENT | OP_CONSTANT) || op->reference.backward);
    assert_true(op->flags & (OP_NO_GRADIENT | OP_CONSTANT) || kernels_cpu[id]->backward);
  }
}

static size_t field_bytes(OptionType type) {
  static const size_t bytes[] = {[OPTION_INT] = sizeof(int),
                                 [OPTION_FLOAT] = sizeof(double),
                                 [OPTION_BOOL] = sizeof(int),
                                 [OPTION_CHOICE] = sizeof(int),
                                 [OPTION_INTS] = sizeof(Ints)};
  return bytes[type];
}

static void check_option(const Op *op, const Option *o) {
  print_message("%s.%s\n", op->name, o->name);
  assert_true(o->doc && o->doc[0]);
  assert_true(o->offset + field_bytes(o->type) <= op->options_bytes);
  for (const Option *other = op->options; other != o; other++) {
    assert_string_not_equal(other->name, o->name);
    assert_true(other->offset + field_bytes(other->type) <= o->offset ||
                o->offset + field_bytes(o->type) <= other->offset);
  }
  if (o->type == OPTION_CHOICE) assert_true(o->choices && o->choices[0]);
  if (o->type == OPTION_INT || o->type == OPTION_FLOAT)
    assert_true(o->min <= o->fallback && o->fallback <= o->max);
}

static void test_options(void **state) {
  (void)state;
  for (int id = 0; id < OP_COUNT; id++) {
    for (const Option *o = op_table[id]->options; o && o->name; o++) check_option(op_table[id], o);
  }
}

/* Axis-order bugs hide where sizes agree: every op has a case whose last input has no two equal
 * axes beyond the batch, where its rank allows one. What may be left out is, in some case. */
static void test_cases(void **state) {
  (void)state;
  for (int id = 0; id < OP_COUNT; id++) {
    const Op *op = op_table[id];
    print_message("%s\n", op->name);
    bool small = false, uneven = op->max_in == 0;
    unsigned left_out = 0;
    for (const OpCase *c = op_cases[id]; c->name; c++) {
      assert_in_range(c->n_in, op->min_in, op->max_in);
      small = small || !c->bench;
      for (int i = 0; i < c->n_in; i++)
        if (c->in[i].rank == 1 && c->in[i].dim[0] == 0) left_out |= SAVES_IN(i);
      bool distinct = true;
      const CaseInput *last = c->n_in ? &c->in[c->n_in - 1] : NULL;
      for (int a = 1; last && a < last->rank; a++)
        for (int b = 1; b < a; b++) distinct = distinct && last->dim[a] != last->dim[b];
      uneven = uneven || (!c->bench && distinct);
    }
    assert_true(small && uneven);
    assert_int_equal(left_out, op->optional);
  }
}

/* What forward writes beside its outputs gets no gradient, and is not written twice. */
static void test_updates(void **state) {
  (void)state;
  int found = 0;
  for (int id = 0; id < OP_COUNT; id++) {
    const Op *op = op_table[id];
    if (!op->updates) continue;
    assert_true(op->flags & OP_AGAIN);
    for (const OpCase *c = op_cases[id]; c->name; c++) {
      union {
        char bytes[1024];
        double align;
      } options;
      Call call = {.op = op, .options = &options, .n_in = c->n_in};
      Error error = {{0}};
      assert_true(op->options_bytes <= sizeof options);
      options_defaults(op->options, &options);
      assert_true(options_parse(op->options, &options, c->options, &error));
      unsigned updates = op_updates(&call);
      assert_int_equal(updates & ~op->constant, 0);
      assert_int_equal(updates >> c->n_in, 0);
      found += updates != 0;
      call.again = true;
      assert_int_equal(op_updates(&call), 0);
    }
  }
  assert_true(found > 0);
}

static void test_options_are_parsed(void **state) {
  (void)state;
  struct {
    int kind, flag, count;
    double rate;
    Ints list;
  } o;
  const Option table[] = {
      {.name = "kind",
       .type = OPTION_CHOICE,
       .offset = offsetof(typeof(o), kind),
       .choices = "a|bc"},
      {.name = "flag", .type = OPTION_BOOL, .offset = offsetof(typeof(o), flag), .fallback = 1},
      {.name = "count", .type = OPTION_INT, .offset = offsetof(typeof(o), count), .fallback = 3},
      {.name = "rate", .type = OPTION_FLOAT, .offset = offsetof(typeof(o), rate), .fallback = .5},
      {.name = "list", .type = OPTION_INTS, .offset = offsetof(typeof(o), list), .ints = "4,5"},
      {0}};
  Error error = {{0}};
  options_defaults(table, &o);
  assert_true(o.kind == 0 && o.flag == 1 && o.count == 3 && o.rate == .5 && o.list.count == 2);
  assert_true(options_parse(table, &o, "kind=bc count=-7  rate=.25 list=1,2,3", &error));
  assert_true(o.kind == 1 && o.flag == 1 && o.count == -7 && o.rate == .25);
  assert_true(o.list.count == 3 && o.list.v[0] == 1 && o.list.v[2] == 3);
  static const char *const wrong[] = {"kin=a",  "kind=b",  "count=x",
                                      "count=", "rate=1x", "list=1,,2"};
  for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
    Error said = {{0}};
    print_message("%s\n", wrong[i]);
    assert_false(options_parse(table, &o, wrong[i], &said));
    assert_true(said.text[0]);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_rows), cmocka_unit_test(test_options),
                                     cmocka_unit_test(test_cases), cmocka_unit_test(test_updates),
                                     cmocka_unit_test(test_options_are_parsed)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
