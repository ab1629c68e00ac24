/* isa_portable.c: the kernels in plain C, for every machine; multiply and add instead of fma. */
#define FNN_ISA portable
#include "vec_portable.h"

/* Tuning: each number with its unit. The numbers of AVX2, measured there on Zen 3; a compiler makes of the one-lane
 * loops of a tile what its machine can. */
enum {
    MR = 4,               /* rows of a tile, at most 8; 6 would be 4 % faster, 25 KB larger in the wheel */
    NV = 4,               /* vectors of b in a tile, of one lane */
    MOST_VECTORS = 8,     /* vectors of a tile of fewer rows, at most: of wide_vectors, up to a power of two */
    NC = 512 / sizeof(T), /* columns of b in a block: with 512 k they take 256 KiB of L2 */
    NC_PAYS_ROWS = 2048 / sizeof(T), /* rows from which on NC_MOST columns are packed at once */
    NC_MOST = 2048,                  /* columns of b packed at a time: 4 MiB of L3 */
    MC = 384 / sizeof(T),            /* rows of a in a block, packed: 192 KiB of L2 */
    MC_IN_PLACE = 192 / sizeof(T),   /* rows of a in a block, read where they lie: 96 KiB */
    TRANSPOSED = 512,                /* rows of a transposed block, which waits in scratch */
    PACK_K = 128,                    /* steps of k from which on packing a pays, if there are also */
    PACK_N_STRIDED = 256,            /* as many columns, where the k of a is strided, */
    PACK_N = 1024,                   /* or as many, where it is contiguous */
    PACK_N_WEIGHT = 512,             /* or as many, where a is a weight of a network, k-major */
    FETCHED = (1 << 20) / sizeof(T), /* sums from which on their places are fetched before they are written: 1 MiB */
    THIN = 12,                       /* columns of a thin product, or rows where b is packed, at most */
    FEW_ROWS = MR,                   /* rows against a b of contiguous rows, which is read where it lies, at most */
    THIN_K = 128,                    /* steps of k of a thin product at a time, at most */
    THIN_L1 = 4096,                  /* elements of b that a thin product packs: 16 KiB of L1, or 32 */
    BY_LINES = 0,                    /* rows against a weight (out, in) read by whole lines, at most */
    BLOCKS = 4,                      /* blocks of columns that one row meets side by side */
    BLOCK_STEP = VC,                 /* steps of k of each of them at a time */
    L1_WAYS = 8,                     /* rows of b, or of packed micro-panels, read together: the ways of L1 */
    AHEAD = 8,                       /* rows of b by which it is prefetched */
    A_AHEAD = 0,                     /* steps by which strided rows of a are prefetched; 0: not */
    COPY_AHEAD = 0,                  /* the same, where tiles copy it; 0: none do, which saves code */
    FAR_ROWS = 4096,                 /* bytes between rows of b that share few sets of the caches */
    NEAR = (1 << 19) / sizeof(T),    /* elements of b up to which the sums of one row stay in registers: 512 KiB */
    ALIASED_ROWS = 2048,             /* bytes: 32 rows a multiple of it apart share two sets of L1 */
    STRIP = (1 << 17) / sizeof(T),   /* numbers of a strip of a weight's gradient: 128 KiB of L2 */
    TRANSPOSING = 4,                 /* multiply-adds that an element costs to transpose; copied, it costs one */
    STEP = 2,                        /* vectors of a simple elementwise loop, all loaded before one is stored */
    PIECE_STEP = 2,                  /* vectors of a loop on tables in a step, where their rest is long too */
    EXP_TILE = 256,                  /* elements whose exponentials are stored: they stay in L1 */
    EXP_VECTORS = 1,                 /* vectors of a row whose exponentials are computed side by side */
    ALIGNED = 4096,                  /* fewer elements do not pay for aligning the stores */
    PER_LOOK = (1 << 23) / sizeof(T) /* elements between two looks at signals: at most some 0.05 s */
};

/* Vectors of b in a tile of 1 to MR rows, where there are no more: 12 chains. A single row waits for
 * packing anyway where it is not a product of its own. */
static const int wide_vectors[8] = {4, 6, 4, 3};

#include "kernels.inc.h"
