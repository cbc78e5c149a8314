/* The windows of op grid_attention and the rows of its tables: for grid_attention.c and its fast
 * forms. */
#ifndef KERNELS_GRID_H
#define KERNELS_GRID_H

#include "base/host_device.h"
#include "kernels/cells.h"
#include "kernels/options.h"

enum { GRID_QKV, GRID_TABLE_H, GRID_TABLE_W, GRID_PAD }; /* in */
enum { GRID_Y, GRID_LSE };                               /* out */

typedef struct GridSizes {
  int64_t slices;         /* N D */
  int height, width;      /* tokens of a slice */
  int heads, size, embed; /* size: channels of a head; embed: E */
  int side_h, side_w;     /* of a window */
  int down, across;       /* windows of a slice */
  bool padded;            /* tokens beyond the border are keys, as `pad` says */
} GridSizes;

/* A window of a slice: its tokens, which ask, and what they look at. Token (y, x) of the window is
 * row first + y width + x of the token matrix. */
typedef struct GridWindow {
  int64_t first;
  int rows, columns, key_rows, key_columns;
} GridWindow;

static inline bool grid_has_pad(const Call *call) {
  return call->n_in > GRID_PAD && !tensor_absent(&call->in[GRID_PAD]);
}

static inline GridSizes grid_sizes(const Call *call) {
  const GridAttentionOptions *o = (const GridAttentionOptions *)call->options;
  const Tensor *qkv = &call->in[GRID_QKV];
  GridSizes g;
  g.slices = qkv->dim[0] * qkv->dim[1];
  g.height = (int)qkv->dim[2];
  g.width = (int)qkv->dim[3];
  g.heads = o->heads;
  g.embed = (int)(qkv->dim[4] / 3);
  g.size = g.embed / g.heads;
  g.side_h = o->window ? o->window : g.height;
  g.side_w = o->window ? o->window : g.width;
  g.down = (g.height + g.side_h - 1) / g.side_h;
  g.across = (g.width + g.side_w - 1) / g.side_w;
  g.padded = grid_has_pad(call);
  return g;
}

/* Rows that the scores read of a table whose window has this side. */
HOST_DEVICE int grid_table_rows(int side) {
  return 2 * side - 1;
}

/* Window `at` of (slices, down, across), of which there are no more than 32 bits count. */
HOST_DEVICE GridWindow grid_window(const GridSizes *g, int64_t at) {
  unsigned row = (unsigned)at / (unsigned)g->across, slice = row / (unsigned)g->down;
  int x = (int)((unsigned)at % (unsigned)g->across) * g->side_w;
  int y = (int)(row % (unsigned)g->down) * g->side_h;
  GridWindow w;
  w.first = ((int64_t)slice * g->height + y) * g->width + x;
  w.rows = g->height - y < g->side_h ? g->height - y : g->side_h;
  w.columns = g->width - x < g->side_w ? g->width - x : g->side_w;
  w.key_rows = g->padded ? g->side_h : w.rows;
  w.key_columns = g->padded ? g->side_w : w.columns;
  return w;
}

/* Row r of `rows` that are made of a table of `length`: between two of its rows, or one. */
HOST_DEVICE void grid_table_row(int tables, int64_t r, int64_t length, int64_t rows, int64_t at[2],
                                double share[2]) {
  if (tables == GRID_TABLES_STRETCH) {
    linear_source(r, length, rows, at, share);
    return;
  }
  at[0] = at[1] = r + (length - rows) / 2;
  share[0] = 1;
  share[1] = 0;
}

#endif
