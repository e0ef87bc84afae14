/* Tiles of AMX, the matrix unit of x86-64 servers: 16 x 16 sums of 64 products of bytes are one
 * instruction. */
#ifndef MTJKIT_AMX_TILES_H
#define MTJKIT_AMX_TILES_H

#include "simd.h"

/* Bytes of a tile's row, and of a tile; its rows. */
enum { DEPTH = 64, TILE_BYTES = 1024, TILE_ROWS = 16 };

static inline int32_t by_depth(int32_t bytes) { return (bytes + DEPTH - 1) & ~(DEPTH - 1); }

typedef struct {
    uint8_t palette, start, reserved[14];
    uint16_t row_bytes[16];
    uint8_t rows[16];
} tile_shapes;

/* Eight whole tiles. */
AMX_INLINE void shape_tiles(void) {
    tile_shapes shapes __attribute__((aligned(64)));
    _mm512_store_si512(&shapes, _mm512_setzero_si512());
    shapes.palette = 1;
    for (int tile = 0; tile < 8; tile++) {
        shapes.row_bytes[tile] = DEPTH;
        shapes.rows[tile] = TILE_ROWS;
    }
    __asm__ volatile("" ::: "memory");
    _tile_loadconfig(&shapes);
}

#endif
