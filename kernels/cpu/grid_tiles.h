/* What grid_attention.cpu.c works on: a head of a window as a task with its keys side by side,
 * tiles of its queries as rows and as lanes, the two small tables of positions of a tile, and the
 * products between them. */
#ifndef KERNELS_CPU_GRID_TILES_H
#define KERNELS_CPU_GRID_TILES_H

#include "kernels/grid.h"

enum { GRID_LANES = 48, GRID_BLOCK = 128 };

/* A thread's share. Rows are of a head's channels, lanes of a tile's queries; from dk on it is
 * backward's alone. */
typedef struct GridShare {
  float *k, *v;              /* (keys, size), k times the scale */
  float *q, *q_lanes, *y;    /* (queries, size), (size, lanes), (queries, size): context or dq */
  float *bias[2], *turned;   /* (key rows, lanes), (key columns, lanes); (table rows, lanes) */
  float *p;                  /* (block, lanes) */
  float *dk, *dv;            /* (keys, size) */
  float *dy, *dy_lanes, *ds; /* as q, q_lanes, p */
  float *sum[2];             /* as bias: ds summed along key columns, along key rows */
} GridShare;

/* What all threads share: scratch begins with the tables as scores read them, then come the groups'
 * sums, then the threads' shares. */
typedef struct GridWhole {
  GridSizes g;
  int64_t table[2]; /* first floats: (2 side - 1, size) */
  int64_t sums;     /* (groups, floats): gradients of both tables, of pad's k and v */
  int64_t shares, share;
  int64_t tasks, groups, floats;
} GridWhole;

/* A head of a window. */
typedef struct GridTask {
  GridWindow w;
  int head;
  int64_t keys;
} GridTask;

/* Queries [first, first + count) of a window, in `lanes` lanes, of which the last may be empty. */
typedef struct GridTile {
  int count, lanes;
  int place[2][GRID_LANES]; /* y, x in the window */
  int low[2], high[2];      /* of these the least and the largest */
  int64_t token[GRID_LANES];
} GridTile;

/* Sizes, and where what lies in scratch. */
GridWhole grid_whole(const Call *call);
/* The calling thread's. */
GridShare grid_share(const Call *call, const GridWhole *w);

/* A table as scores read it, into scratch; one that is left out is zero. */
void grid_table_read(const Call *call, const GridWhole *w, int axis);
/* The gradient of a table from that of its rows as they are read. */
void grid_table_gradient(const Call *call, const GridWhole *w, int axis, const float *sums);

GridTask grid_task(const GridSizes *g, int64_t at);
void grid_keys_pack(const Call *call, const GridWhole *w, const GridTask *t, const GridShare *s);
/* Gradients of keys and values to where they belong; `pad` (2E): sums of what padding gets, NULL:
 * not wanted. */
void grid_keys_unpack(const Call *call, const GridWhole *w, const GridTask *t, const GridShare *s,
                      float *pad);

int64_t grid_tile_count(const GridTask *t);
/* Tiles are of one size, as near as registers allow. */
GridTile grid_tile(const GridWhole *w, const GridTask *t, int64_t at);
/* Rows of the tile's tokens, `step` floats a token, and the same as lanes, zero where empty. */
void grid_tile_pack(const GridWhole *w, const GridTile *tile, const float *from, int64_t step,
                    float *rows, float *lanes);

/* bias[axis] (key rows or columns, lanes): q . table. */
void grid_positions(const Call *call, const GridWhole *w, const GridTask *t, const GridTile *tile,
                    const GridShare *s, int axis);
/* Adds to dq, and to the table's gradient, from ds as it was summed; `table` NULL: not wanted. */
void grid_positions_back(const Call *call, const GridWhole *w, const GridTask *t,
                         const GridTile *tile, const GridShare *s, int axis, float *table);

/* to (keys, lanes) = rows (keys, size) times the tile's lanes. */
void grid_scores(const GridWhole *w, const GridTile *tile, int64_t keys, const float *rows,
                 const float *lanes, float *to);
/* to (queries, size) = or += weight (count, lanes) turned, times rows (count, size). */
void grid_queries_add(const GridWhole *w, const GridTile *tile, int64_t count, const float *weight,
                      const float *rows, bool add, float *to);
/* to (count, size) = or += weight (count, lanes) times rows (queries, size). */
void grid_keys_add(const GridWhole *w, const GridTile *tile, int64_t count, const float *weight,
                   const float *rows, bool add, float *to);

#endif
