/* Files of tensors: what is written is read again, other types are converted, and a file that is
 * broken or means two things is refused with what is wrong. */
#include "engine/safetensors.h"
#include "tests/scratch.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

static Scratch scratch;

/* A file of this header and so many bytes of data, which count from 0. */
static const char *file_of(const char *header, size_t bytes) {
  static unsigned char text[1 << 17];
  const char *path = scratch_path(&scratch, "file.safetensors");
  uint64_t length = strlen(header);
  memcpy(text, &length, 8);
  memcpy(text + 8, header, length);
  for (size_t i = 0; i < bytes; i++) text[8 + length + i] = (unsigned char)i;
  bytes_write(path, text, 8 + length + bytes);
  return path;
}

static void refused(const char *header, size_t bytes, const char *why) {
  Error error = {""};
  const char *path = file_of(header, bytes);
  Safetensors *file = safetensors_open(path, &error);
  assert_null(file);
  if (!strstr(error.text, why) || strncmp(error.text, path, strlen(path)))
    fail_msg("%s: expected \"%s\", found \"%s\"", header, why, error.text);
}

#define F32_OF_2 "\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":"

static void test_what_is_written_is_read(void **state) {
  (void)state;
  Error error = {""};
  const float a[6] = {1, -2, 3.5f, -0.f, INFINITY, 1e-40f};
  const double b = M_PI;
  const TensorToStore tensors[] = {{"z.weight", F32, 2, (int64_t[]){2, 3}, a},
                                   {"b", F64, 0, NULL, &b},
                                   {"none", F32, 1, (int64_t[]){0}, NULL}};
  const char *path = scratch_path(&scratch, "w.safetensors");
  assert_true(
      safetensors_write(path, NULL, 3, tensors, (const char *[]){"k", "a \"v\"", NULL}, &error));
  Safetensors *file = safetensors_open(path, &error);
  assert_non_null(file);
  assert_int_equal(safetensors_count(file), 3);
  assert_string_equal(safetensors_tensor(file, 0)->name, "b");
  assert_string_equal(safetensors_metadata(file, "k"), "a \"v\"");
  assert_null(safetensors_metadata(file, "other"));
  assert_null(safetensors_find(file, "z"));
  const StoredTensor *z = safetensors_find(file, "z.weight");
  assert_string_equal(stored_shape_text(z), "(2, 3)");
  float back[6];
  double wide[6], pi;
  assert_true(safetensors_read(file, z, F32, back, &error));
  assert_memory_equal(a, back, sizeof a);
  assert_true(safetensors_read(file, z, F64, wide, &error));
  assert_true(wide[2] == 3.5 && wide[5] == (double)1e-40f);
  assert_true(safetensors_read(file, safetensors_find(file, "b"), F64, &pi, &error) && pi == b);
  assert_true(safetensors_read(file, safetensors_find(file, "b"), F32, back, &error));
  assert_true(back[0] == (float)M_PI);
  safetensors_close(file);
  assert_false(safetensors_write("/nonexistent/x", NULL, 3, tensors, NULL, &error));
}

/* Every number of 16 bits, beside the compiler's own conversion. */
static void test_halves_are_converted(void **state) {
  (void)state;
  enum { ALL = 1 << 16 };
  static const char *const types[] = {"F16", "BF16"};
  static unsigned char text[256 + 2 * ALL];
  static float got[ALL];
  for (int kind = 0; kind < 2; kind++) {
    Error error = {""};
    const char *path = scratch_path(&scratch, "half.safetensors");
    int length = snprintf((char *)text + 8, 240,
                          "{\"h\":{\"dtype\":\"%s\",\"shape\":[%d],\"data_offsets\":[0,%d]}}",
                          types[kind], ALL, 2 * ALL);
    memcpy(text, &(uint64_t){(uint64_t)length}, 8);
    for (int i = 0; i < ALL; i++) memcpy(text + 8 + length + 2 * i, &(uint16_t){(uint16_t)i}, 2);
    bytes_write(path, text, 8 + (size_t)length + 2 * ALL);
    Safetensors *file = safetensors_open(path, &error);
    assert_non_null(file);
    assert_true(safetensors_read(file, safetensors_tensor(file, 0), F32, got, &error));
    safetensors_close(file);
    for (int i = 0; i < ALL; i++) {
      float expected;
      _Float16 half;
      memcpy(&half, &(uint16_t){(uint16_t)i}, 2);
      memcpy(&expected, &(uint32_t){(uint32_t)i << 16}, 4);
      if (kind == 0) expected = (float)half;
      assert_true(isnan(expected) ? isnan(got[i]) : memcmp(&expected, &got[i], 4) == 0);
    }
  }
}

static void test_other_types_are_listed_and_not_read(void **state) {
  (void)state;
  Error error = {""};
  float value;
  Safetensors *file = safetensors_open(
      file_of("{\"n\":{\"dtype\":\"I64\",\"shape\":[],\"data_offsets\":[0,8]}}", 8), &error);
  assert_non_null(file);
  assert_false(safetensors_read(file, safetensors_find(file, "n"), F32, &value, &error));
  assert_non_null(strstr(error.text, "tensor n is of type I64; F64, F32, F16 and BF16 are read"));
  safetensors_close(file);
}

static void test_broken_headers(void **state) {
  (void)state;
  refused("[1]", 0, "no JSON object: it is something else");
  refused("{\"a\":", 0, "no JSON object: ");
  refused("", 0, "no JSON object: ");
  refused("{\"a\":{" F32_OF_2 "[0,8]},\"a\":{" F32_OF_2 "[8,16]}}", 16, "duplicate object key");
  refused("{\"a\":{\"dtype\":\"F31\",\"shape\":[2],\"data_offsets\":[0,8]}}", 8,
          "tensor a: dtype is unknown: F31");
  refused("{\"a\":{\"shape\":[2],\"data_offsets\":[0,8]}}", 8, "tensor a: dtype is missing");
  refused("{\"a\":{\"dtype\":\"F32\",\"shape\":[-2],\"data_offsets\":[0,8]}}", 8,
          "tensor a: shape");
  refused("{\"a\":{\"dtype\":\"F32\",\"shape\":2,\"data_offsets\":[0,8]}}", 8, "tensor a: shape");
  refused("{\"a\":{\"dtype\":\"F32\",\"shape\":[4294967296,4294967296],\"data_offsets\":[0,8]}}", 8,
          "tensor a: shape");
  refused("{\"a\":{\"dtype\":\"F32\",\"shape\":[1,1,1,1,1,1,1,1,1],\"data_offsets\":[0,4]}}", 4,
          "tensor a: shape is no list of at most 8 sizes");
}

static void test_wrong_places(void **state) {
  (void)state;
  refused("{\"a\":{" F32_OF_2 "[0,9]}}", 9, "tensor a: data_offsets leave 9 bytes for (2) in F32");
  refused("{\"a\":{" F32_OF_2 "[8,0]}}", 8, "tensor a: data_offsets are not where");
  refused("{\"a\":{" F32_OF_2 "[0]}}", 8, "tensor a: data_offsets are not where");
  refused("{\"a\":{" F32_OF_2 "[0,8]},\"b\":{" F32_OF_2 "[4,12]}}", 12,
          "tensors a and b lie on one another");
  refused("{\"b\":{" F32_OF_2 "[4,12]}}", 12, "4 bytes before tensor b are no tensor's");
  refused("{\"b\":{" F32_OF_2 "[0,8]}}", 12, "4 bytes after the last tensor are no tensor's");
}

static void test_truncated_files(void **state) {
  (void)state;
  Error error = {""};
  refused("{\"a\":{" F32_OF_2 "[0,8]}}", 7,
          "cut short: tensor a ends at byte 8 of the data, there are 7");
  const char *path = scratch_path(&scratch, "short.safetensors");
  bytes_write(path, "1234567", 7);
  assert_null(safetensors_open(path, &error));
  assert_non_null(strstr(error.text, "it has 7 bytes, 8 tell the header's length"));
  error.text[0] = 0;
  bytes_write(path, "\x20\0\0\0\0\0\0\0{}", 10);
  assert_null(safetensors_open(path, &error));
  assert_non_null(strstr(error.text, "cut short: its header has 32 bytes, the file 10"));
  error.text[0] = 0;
  bytes_write(path, "PK\3\4\0\0\1\0 a checkpoint of torch.save", 40);
  assert_null(safetensors_open(path, &error));
  assert_non_null(strstr(error.text, "a zip, as torch.save writes (.pth, .pt); its pickle is not"));
  error.text[0] = 0;
  bytes_write(path, "\x93NUMPY\1\0 something else", 24);
  assert_null(safetensors_open(path, &error));
  assert_non_null(
      strstr(error.text, "no safetensors file: its first 8 bytes speak of a header of"));
  error.text[0] = 0;
  assert_null(safetensors_open("/nonexistent/x", &error));
  assert_string_equal(error.text, "/nonexistent/x: cannot read: No such file or directory");
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_what_is_written_is_read),
      cmocka_unit_test(test_halves_are_converted),
      cmocka_unit_test(test_other_types_are_listed_and_not_read),
      cmocka_unit_test(test_broken_headers),
      cmocka_unit_test(test_wrong_places),
      cmocka_unit_test(test_truncated_files),
  };
  scratch = scratch_make();
  int failed = cmocka_run_group_tests(tests, NULL, NULL);
  scratch_free(&scratch);
  return failed;
}
