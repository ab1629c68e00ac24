/* isa_avx2.c: the kernels for x86-64 with AVX2 and FMA. */
#define FNN_ISA avx2
#include "vec_avx2.h"

/* Tuning: each number with its unit. Measured on Zen 3 (32 KiB L1, 512 KiB L2, 32 MiB L3) with products from 64 x 784 x
 * 128 to 1024 x 1024 x 1024, one row against 256 x 256 to 4096 x 4096, and functions of 65,536 elements. A tile of 6 x
 * 2 vectors has 12 accumulators, which hide the latency of 2 fma units, and takes 15 of 16 registers. */
enum {
    MR = 6,                          /* rows of a tile, at most 8 */
    NV = 2,                          /* vectors of b in a tile */
    MOST_VECTORS = 6,                /* vectors of a tile of fewer rows, at most: of wide_vectors */
    NC = 512 / sizeof(T),            /* columns of b in a block: with 512 k they take 256 KiB of L2 */
    NC_PAYS_ROWS = 2048 / sizeof(T), /* rows from which on NC_MOST columns are packed at once */
    NC_MOST = 2048,                  /* columns of b packed at a time: 4 MiB of L3 */
    MC = 384 / sizeof(T),            /* rows of a in a block, packed: 192 KiB of L2 */
    MC_IN_PLACE = 192 / sizeof(T),   /* rows of a in a block, read where they lie: 96 KiB */
    TRANSPOSED = 512,                /* rows of a transposed block, which waits in scratch */
    PACK_K = 128,                    /* steps of k from which on packing a pays, if there are also */
    PACK_N_STRIDED = 256,            /* as many columns, where the k of a is strided, */
    PACK_N = 1024,                   /* or as many, where it is contiguous */
    PACK_N_WEIGHT = 256,             /* or as many, where a is a weight of a network, k-major */
    FETCHED = (1 << 20) / sizeof(T), /* sums from which on their places are fetched before they are written: 1 MiB */
    THIN = 12,                       /* columns of a thin product, or rows where b is packed, at most */
    FEW_ROWS = 12,                   /* rows against a b of contiguous rows, which is read where it lies, at most */
    THIN_K = 128,                    /* steps of k of a thin product at a time, at most */
    THIN_L1 = 4096,                  /* elements of b that a thin product packs: 16 KiB of L1, or 32 */
    BY_LINES = 0,                    /* rows against a weight (out, in) read by whole lines, at most */
    BLOCKS = 4,                      /* blocks of columns that one row meets side by side */
    BLOCK_STEP = VC,                 /* steps of k of each of them at a time */
    L1_WAYS = 8,                     /* rows of b, or of packed micro-panels, read together: the ways of L1 */
    AHEAD = 8,                       /* rows of b by which it is prefetched */
    A_AHEAD = 8,                     /* steps by which strided rows of a are prefetched; 0: not */
    COPY_AHEAD = 24,                 /* the same, where it is copied */
    FAR_ROWS = 4096,                 /* bytes between rows of b that share few sets of the caches */
    NEAR = (1 << 19) / sizeof(T),    /* elements of b up to which the sums of one row stay in registers: 512 KiB */
    ALIASED_ROWS = 2048,             /* bytes: 32 rows a multiple of it apart share two sets of L1 */
    STRIP = (1 << 17) / sizeof(T),   /* numbers of a strip of a weight's gradient: 128 KiB of L2 */
    TRANSPOSING = 4,                 /* multiply-adds that an element costs to transpose; copied, it costs one */
    STEP = 2,                        /* vectors of a simple elementwise loop, all loaded before one is stored */
    PIECE_STEP = 2,                  /* vectors of a loop on tables in a step, where their rest is long too */
    EXP_TILE = 256,                  /* elements whose exponentials are stored: they stay in L1 */
    EXP_VECTORS = 2,                 /* vectors of a row whose exponentials are computed side by side */
    ALIGNED = 4096,                  /* fewer elements do not pay for aligning the stores */
    PER_LOOK = (1 << 25) / sizeof(T) /* elements between two looks at signals: at most some 0.05 s */
};

/* Vectors of b in a tile of 1 to MR rows, where there are no more: 12 chains for fewer rows than 6. A single row waits
 * for packing anyway where it is not a product of its own. */
static const int wide_vectors[8] = {4, 6, 4, 3, NV, NV};

#include "kernels.inc.h"
