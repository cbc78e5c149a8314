/* The assignment problem: rows to columns one to one at the least total cost, by shortest
 * augmenting paths with potentials (Kuhn-Munkres in the form of Jonker and Volgenant, Computing 38,
 * 1987), O(rows^2 columns). Equal costs: the lowest column wins, so the answer is deterministic. */
#ifndef KERNELS_ASSIGNMENT_H
#define KERNELS_ASSIGNMENT_H

#include <stddef.h>

size_t assignment_scratch(int columns); /* bytes */

/* cost (rows, columns), finite, rows <= columns. Writes the row of each column, -1 for none.
 * scratch: assignment_scratch(columns) bytes, 8-byte aligned, any content. */
void assignment_solve(const double *cost, int rows, int columns, int *row_of_column, void *scratch);

#endif
