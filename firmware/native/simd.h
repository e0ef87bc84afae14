/* Which vector code is compiled, for memory.c and binary.c, and which of it this processor runs.
 * -DMTJ_PORTABLE leaves all vector code out, -DMTJ_NO_AVX512 that for AVX-512 and AMX, -DMTJ_NO_AMX
 * that for AMX. */
#ifndef MTJKIT_SIMD_H
#define MTJKIT_SIMD_H

#if defined(__x86_64__) && !defined(MTJ_PORTABLE)
#include <cpuid.h>
#include <immintrin.h>

#define MTJ_AVX2 1
#define AVX2 __attribute__((target("avx2")))
#define AVX2_INLINE static inline __attribute__((always_inline, target("avx2")))

#ifndef MTJ_NO_AVX512
#define MTJ_AVX512 1
#define MTJ_LANES 1
#define AVX512_TARGET target("avx512f,avx512bw,avx512dq,avx512vl,avx512vpopcntdq")
#define AVX512 __attribute__((AVX512_TARGET))
#define AVX512_INLINE static inline __attribute__((always_inline, AVX512_TARGET))

#if defined(__linux__) && !defined(MTJ_NO_AMX) && (defined(__clang__) || __GNUC__ >= 11)
#define MTJ_AMX 1
#define AMX_TARGET target("avx512f,avx512bw,avx512dq,avx512vl,amx-tile,amx-int8")
#define AMX __attribute__((AMX_TARGET))
#define AMX_INLINE static inline __attribute__((always_inline, AMX_TARGET))
#endif
#endif

/* What this processor and its system can do: 3 AMX with bytes and AVX-512 with VPOPCNTDQ, 2 the
 * latter alone, 1 AVX2, 0 none. */
int mtj_level(void);

#ifdef MTJ_LANES
static inline int has_lanes(void) { return mtj_level() >= 2; }
#endif

#elif defined(__aarch64__) && !defined(MTJ_PORTABLE)
#include <arm_neon.h>

#define MTJ_NEON 1 /* every aarch64 processor has it */
#define MTJ_LANES 1

static inline int has_lanes(void) { return 1; }
#elif defined(__ARM_FEATURE_MVE) && !defined(MTJ_PORTABLE)
#define MTJ_MVE 1 /* a module for such processors alone: boards choose it */
#elif defined(__wasm_simd128__) && !defined(MTJ_PORTABLE)
#include <wasm_simd128.h>

#define MTJ_LANES 1

static inline int has_lanes(void) { return 1; }
#endif

#endif
