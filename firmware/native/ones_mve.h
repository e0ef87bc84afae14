/* Counting ones on Cortex-M processors with vectors of 128 bits (Helium, MVE), for binary.c and
 * memory.c. Helium has no instruction for that; a table does, sixteen look-ups at a time. */
#ifndef MTJKIT_ONES_MVE_H
#define MTJKIT_ONES_MVE_H

#include <arm_mve.h>

#include <stdint.h>

#define MVE_INLINE static inline __attribute__((always_inline))

extern const uint8_t mtj_ones_of_byte[256]; /* memory.c has it */

/* `total` plus the ones of v. */
MVE_INLINE uint32_t mve_ones(uint32_t total, uint32x4_t v) {
    return vaddvaq_u8(total, vldrbq_gather_offset_u8(mtj_ones_of_byte, vreinterpretq_u8_u32(v)));
}

#endif
