#include "engine/arena.h"
#include "base/error.h"

#include <stdarg.h>
#include <string.h>

enum { BLOCK_BYTES = 1 << 16 };

struct ArenaBlock {
  ArenaBlock *next;
  size_t used, size;
  max_align_t data[];
};

void *arena_alloc(Arena *arena, size_t bytes) {
  bytes = (bytes + 15) / 16 * 16;
  ArenaBlock *block = arena->blocks;
  if (!block || block->size - block->used < bytes) {
    size_t size = bytes > BLOCK_BYTES ? bytes : BLOCK_BYTES;
    block = calloc(1, sizeof *block + size);
    CHECK(block, "no memory for %zu bytes of graph", size);
    *block = (ArenaBlock){.next = arena->blocks, .size = size};
    arena->blocks = block;
  }
  void *result = (char *)block->data + block->used;
  block->used += bytes;
  return result;
}

char *arena_text(Arena *arena, const char *format, ...) {
  va_list arguments, again;
  va_start(arguments, format);
  va_copy(again, arguments);
  int length = vsnprintf(NULL, 0, format, arguments);
  char *text = arena_alloc(arena, (size_t)length + 1);
  vsnprintf(text, (size_t)length + 1, format, again);
  va_end(again);
  va_end(arguments);
  return text;
}

void arena_free(Arena *arena) {
  while (arena->blocks) {
    ArenaBlock *next = arena->blocks->next;
    free(arena->blocks);
    arena->blocks = next;
  }
}
