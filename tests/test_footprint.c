/* What a configuration costs, from its plan: the paper's parameter count, the bridges' memory, and
 * that the plan's bytes are those the process takes. */
#include "src/train/footprint.h"

#include <malloc.h>
#include <math.h>
#include <omp.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

/* A row's configuration of an experiment under overrides. */
static json_t *row_config(const char *experiment, size_t row, const char *overrides) {
  char text[512], *list[16], file[128];
  int count = 0;
  snprintf(text, sizeof text, "%s seeds=1", overrides);
  snprintf(file, sizeof file, "experiments/%s.lua", experiment);
  for (char *word = strtok(text, " "); word; word = strtok(NULL, " ")) list[count++] = word;
  json_t *plan = NULL;
  Error error = {0};
  if (!experiment_read(".", file, count, list, NULL, &plan, &error)) fail_msg("%s", error.text);
  json_t *cell = json_array_get(json_object_get(plan, "cells"), row); /* one seed, one fold */
  json_t *config = json_incref(json_object_get(cell, "config"));
  json_object_set_new(config, "home", json_string("."));
  json_decref(plan);
  return config;
}

static json_t *config_of(const char *experiment, const char *overrides) {
  return row_config(experiment, 0, overrides);
}

static Footprint plan_labels(int labels, const char *experiment, size_t row,
                             const char *overrides) {
  json_t *config = row_config(experiment, row, overrides);
  Footprint f;
  Error error = {0};
  const Labelling plain = labelling_plain(labels);
  if (!footprint_make(&f, config, NULL, 1, &plain, &error))
    fail_msg("%s: %s", overrides, error.text);
  json_decref(config);
  return f;
}

static Footprint plan_row(const char *experiment, size_t row, const char *overrides) {
  return plan_labels(16, experiment, row, overrides);
}

static Footprint plan_of(const char *experiment, const char *overrides) {
  return plan_row(experiment, 0, overrides);
}

/* nnU-Net with the plan of SAT-DS for AMOS (64x192x160, widths 32..320): 31.2 M parameters. */
static void test_paper_parameters(void **state) {
  (void)state;
  Footprint f = plan_of("query_count", "queries=1 scale=paper head=point_wise bridge=none");
  print_message("nnU-Net at the paper's AMOS plan: %lld parameters\n", (long long)f.parameters);
  assert_true(fabs((double)f.parameters / 31.2e6 - 1) < 0.01);
  footprint_free(&f);
}

static double parameters_of(size_t row, const char *overrides) {
  Footprint f = plan_row("seg_heads", row, overrides);
  double parameters = (double)f.parameters;
  footprint_free(&f);
  return parameters;
}

/* Table 3's larger decoder adds to nnU-Net what its last row adds, at every size. */
static void test_larger_decoder(void **state) {
  (void)state;
  static const char *const sizes[] = {
      "scale=quick",
      "scale=small",
      "scale=paper",
      "scale=quick hidden=96 widths=24,48,96,192",
      "scale=quick hidden=24 decoder_convs=3",
      "scale=small hidden=48 ffn=96 blocks=2",
      "scale=paper widths=16,32,64,128,256,320 kernels=3,3,3,3,3,3,3,3,3,3,3,3,3,3,3,1,3,3",
  };
  enum { NNUNET, LARGER, DECOUPLED = 5 };
  for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
    double plain = parameters_of(NNUNET, sizes[i]), head = parameters_of(DECOUPLED, sizes[i]);
    double ratio = (parameters_of(LARGER, sizes[i]) - plain) / (head - plain);
    print_message("%s: the head adds %.0f, the larger decoder %.4f of it\n", sizes[i], head - plain,
                  ratio);
    assert_true(head > plain && fabs(ratio - 1) < 0.02);
  }
}

#ifdef __SANITIZE_ADDRESS__ /* its allocator tells mallinfo2 nothing */
enum { HEAP_KNOWN = 0 };
#else
enum { HEAP_KNOWN = 1 };
#endif

static double heap(void) {
  struct mallinfo2 info = mallinfo2();
  return (double)info.uordblks + (double)info.hblkhd;
}

/* The largest plan asks for petabytes and allocates nothing of them. */
static void test_planning_allocates_nothing(void **state) {
  (void)state;
  double before = heap();
  Footprint f = plan_of("lr_ratio", "scale=paper model=bridge bridge=standard "
                                    "attention=naive standard_scales=6");
  assert_true(footprint_peak(&f) > 1e14);
  assert_true(heap() - before < 64e6);
  assert_false(footprint_fits(&f, 1e30));
  footprint_free(&f);
}

static const char *const bridges[] = {
    "bridge=standard attention=naive standard_scales=%d",
    "bridge=standard attention=tiled standard_scales=%d",
    "bridge=deformable query_scales=%d",
    "bridge=fsad query_scales=2 value_scales=%d",
};

/* Row 0 of memory_scale sets its bridge itself, so the cases come from another experiment, which
 * varies no option of models. */
static Footprint bridge_of(int bridge, int scales, const char *more) {
  char text[256];
  int used = snprintf(text, sizeof text, "model=bridge ");
  used += snprintf(text + used, sizeof text - (size_t)used, bridges[bridge], scales);
  snprintf(text + used, sizeof text - (size_t)used, " %s", more);
  return plan_of("lr_ratio", text);
}

static void test_planned_is_taken(void **state) {
  (void)state;
  if (!HEAP_KNOWN) skip();
  for (int bridge = 0; bridge < 4; bridge++)
    for (int scales = 2; scales <= (bridge < 2 ? 2 : 4); scales++) {
      Footprint f = bridge_of(bridge, scales, "");
      json_t *config = config_of("query_count", "queries=1");
      Error error = {0};
      if (!footprint_run(&f, config, 0, &error)) fail_msg("%s", error.text);
      double planned = footprint_peak(&f), ratio = f.allocated_bytes / planned;
      print_message("%-52s %d: planned %8.2f MiB, allocated / planned %.4f, resident %.4f\n",
                    bridges[bridge], scales, planned / 0x1p20, ratio, f.resident_bytes / planned);
      /* A library's own scratch for naive attention is a third of a MiB, whatever is planned. */
      assert_true(fabs(f.allocated_bytes - planned) < 0.05 * planned + 0x1p17);
      assert_true(isfinite(*(const float *)f.model.loss->tensor.data));
      footprint_free(&f);
      json_decref(config);
    }
}

/* MaskSAM with SAM's ViT-B: at the paper's patch for ACDC it is planned, and of a smaller one, of
 * the same network, the process takes what is planned. */
static void test_vit_b(void **state) {
  (void)state;
  enum { FULL = 8, LABELS = 4 }; /* B9; ACDC's */
  const char *paper = "scale=paper data=phantom";
  Footprint whole = plan_labels(LABELS, "masksam/adapters", FULL, paper);
  Footprint again =
      plan_labels(LABELS, "masksam/adapters", FULL, "scale=paper data=phantom recompute=yes");
  print_message(
      "MaskSAM, ViT-B, 2 x 4x256x256: %.1f M parameters, %.1f M trained; planned %.1f GiB, "
      "with recompute %.1f\n",
      (double)whole.parameters / 1e6, (double)whole.trained / 1e6, footprint_peak(&whole) / 0x1p30,
      footprint_peak(&again) / 0x1p30);
  assert_true(whole.parameters - whole.trained > 93e6 && whole.trained > 15e6);
  assert_true(footprint_peak(&again) < 0.6 * footprint_peak(&whole));
  footprint_free(&whole);
  footprint_free(&again);
  if (!HEAP_KNOWN) skip();
  const char *small = "scale=paper data=phantom patch=2,64,64 batch=1";
  Footprint f = plan_labels(LABELS, "masksam/adapters", FULL, small);
  json_t *config = row_config("masksam/adapters", FULL, small);
  Error error = {0};
  if (!footprint_run(&f, config, 0, &error)) fail_msg("%s", error.text);
  double planned = footprint_peak(&f), ratio = f.allocated_bytes / planned;
  print_message("2x64x64: planned %.1f MiB, allocated / planned %.4f, resident %.4f\n",
                planned / 0x1p20, ratio, f.resident_bytes / planned);
  assert_true(fabs(ratio - 1) < 0.05);
  footprint_free(&f);
  json_decref(config);
}

/* What the paper says of the bridges: one scale more, and only FSAD stays affordable. */
static void test_memory_order(void **state) {
  (void)state;
  double bytes[4][2];
  for (int bridge = 0; bridge < 4; bridge++)
    for (int more = 0; more < 2; more++) {
      Footprint f = bridge_of(bridge, 2 + more, "");
      bytes[bridge][more] = footprint_peak(&f);
      footprint_free(&f);
    }
  assert_true(bytes[0][1] > 20 * bytes[1][1]); /* stored scores against tiles */
  assert_true(bytes[0][1] / bytes[0][0] > 30); /* squared tokens, 8 times as many */
  assert_true(bytes[1][1] / bytes[1][0] < 10); /* tokens */
  assert_true(bytes[3][1] < bytes[2][1]);      /* values alone, not queries */
}

/* Stored scores or tiles: the same loss. */
static void test_naive_equals_tiled(void **state) {
  (void)state;
  double loss[2];
  for (int bridge = 0; bridge < 2; bridge++) {
    Footprint f = bridge_of(bridge, 2, "");
    json_t *config = config_of("query_count", "queries=1");
    Error error = {0};
    assert_true(footprint_run(&f, config, 0, &error));
    loss[bridge] = *(const float *)f.model.loss->tensor.data;
    footprint_free(&f);
    json_decref(config);
  }
  if (!(fabs(loss[0] - loss[1]) < 1e-5 * fabs(loss[0])))
    fail_msg("naive %.9g, tiled %.9g", loss[0], loss[1]);
}

/* points_total spreads evenly over the scales, or says that it does not. */
static void test_points_total(void **state) {
  (void)state;
  Footprint each = bridge_of(3, 4, "points=2"), total = bridge_of(3, 4, "points_total=8");
  assert_int_equal(each.parameters, total.parameters);
  footprint_free(&each);
  footprint_free(&total);
  json_t *config = config_of("lr_ratio", "model=bridge value_scales=4 points_total=6");
  Error error = {0};
  const Labelling plain = labelling_plain(4);
  assert_false(footprint_make(&each, config, NULL, 1, &plain, &error));
  assert_non_null(strstr(error.text, "no multiple of the 4 scales"));
  json_decref(config);
}

int main(void) {
  omp_set_num_threads(1);
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_paper_parameters),
      cmocka_unit_test(test_larger_decoder),
      cmocka_unit_test(test_planning_allocates_nothing),
      cmocka_unit_test(test_planned_is_taken),
      cmocka_unit_test(test_vit_b),
      cmocka_unit_test(test_memory_order),
      cmocka_unit_test(test_naive_equals_tiled),
      cmocka_unit_test(test_points_total),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
