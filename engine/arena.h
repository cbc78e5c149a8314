/* Memory with stable addresses that is freed all at once: nodes, values, names. */
#ifndef ENGINE_ARENA_H
#define ENGINE_ARENA_H

#include <stddef.h>

typedef struct ArenaBlock ArenaBlock;
typedef struct Arena {
  ArenaBlock *blocks; /* newest first */
} Arena;

void *arena_alloc(Arena *arena, size_t bytes); /* zeroed, 16-byte aligned; aborts without memory */
char *arena_text(Arena *arena, const char *format, ...) __attribute__((format(printf, 2, 3)));
void arena_free(Arena *arena);

#endif
