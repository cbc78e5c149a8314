#include "kernels/op_case.h"

const OpCase nearest_labels_cases[] = {{.name = "factors 2, 1, 3",
                                        .options = "factor=2,1,3",
                                        .n_in = 1,
                                        .in = {{4, {2, 4, 5, 9}, FILL_LABELS, 16}}},
                                       {.name = "factors 5, 3, 4",
                                        .options = "factor=5,3,4",
                                        .n_in = 1,
                                        .in = {{4, {3, 5, 6, 12}, FILL_KNOWN, 200}}},
                                       {.name = "quick",
                                        .options = "factor=2,2,2",
                                        .bench = true,
                                        .n_in = 1,
                                        .in = {{4, {2, 32, 32, 32}, FILL_LABELS, 16}}},
                                       {0}};
