#include "src/data/sets/command.h"

#include "src/data/sets/dataset.h"

enum { EXIT_OK = 0, EXIT_UNFIT = 3 };

int data_check_command(const char *dir, bool json) {
  return dataset_check(dir, stdout, json) ? EXIT_UNFIT : EXIT_OK;
}

int data_phantom_command(const char *dir, const PhantomOptions *options) {
  Error error = {0};
  if (!phantom_make(options, dir, &error)) {
    fprintf(stderr, "harness: %s\n", error.text);
    return EXIT_UNFIT;
  }
  fprintf(stderr, "%s: %d cases of %dx%dx%d, %d organs, seed %llu\n", dir, options->cases,
          options->size[0], options->size[1], options->size[2], options->organs,
          (unsigned long long)options->seed);
  return EXIT_OK;
}
