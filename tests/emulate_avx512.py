"""The avx512 ISA on any x86-64 with AVX2 and FMA: a copy of the tree in which C functions stand for the intrinsics.

`python tests/emulate_avx512.py FOLDER` makes the copy; `make emulate` builds and tests it too. No wheel holds any of this.

Design
A. The copy differs from the tree in two lines: setup.py compiles isa_avx512.c for AVX2 and FMA, with the header of those functions
   before it, and dispatch.c asks for no more of the CPU. Kernels, their names, their flags of arithmetic and the tests are the tree's.
B. An intrinsic is a line of INTRINSICS. Vectors are two halves, on which gcc's vectors of AVX2 compute; masks are integers. A lane that
   a mask leaves out is not touched in memory; one that a cast leaves undefined is NaN, which a kernel that relied on it would spread.
C. An intrinsic in csrc/ that no line defines ends the script with its name.
"""

import re
import shutil
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
COPIED = ["csrc", "fastnn", "tests", "setup.py", "pyproject.toml", "README.md", "LICENSE", "Makefile"]
HEADER = "csrc/emulated_avx512.h"
FLAGS = ["-mavx2", "-mfma", "-O2", "-include", HEADER]
REPLACED = {
    "setup.py": (r'\["-mavx512f".*\]', str(FLAGS).replace("'", '"')),
    "csrc/dispatch.c": (r"CPU_AVX512F \|[^,]*", "CPU_AVX2 | CPU_FMA"),
}

# Words of INTRINSICS for each type of lanes: N lanes of it in a vector VEC and its HALF, a MASK of them.
TYPES = {
    "float": dict(LANE="float", VEC="__m512", N="16", HALF="__m256", MASK="__mmask16", PS="ps", EPI="epi32"),
    "double": dict(LANE="double", VEC="__m512d", N="8", HALF="__m256d", MASK="__mmask8", PS="pd", EPI="epi64"),
    "u32": dict(VEC="__m512i", N="16", HALF="__m256i", MASK="__mmask16", EPI="epi32"),
    "u64": dict(VEC="__m512i", N="8", HALF="__m256i", MASK="__mmask8", EPI="epi64"),
}  # fmt: skip
# What gives each intrinsic. After h: half h of its result, where A, B and C are that half of a, b and c. After =: all of it.
INTRINSICS = {
    ("float", "double"): """
        VEC _mm512_set1_PS(LANE x) h _mm256_set1_PS(x)
        VEC _mm512_loadu_PS(const LANE *p) h _mm256_loadu_PS(p + h * N / 2)
        void _mm512_storeu_PS(LANE *p, VEC a) h _mm256_storeu_PS(p + h * N / 2, A)
        VEC _mm512_mask_loadu_PS(VEC a, MASK m, const LANE *p) h _mm256_blendv_PS(A, _mm256_maskload_PS(p + h * N / 2, emulated_lanes_EPI(m >> h * N / 2)), (HALF)emulated_lanes_EPI(m >> h * N / 2))
        void _mm512_mask_storeu_PS(LANE *p, MASK m, VEC a) h _mm256_maskstore_PS(p + h * N / 2, emulated_lanes_EPI(m >> h * N / 2), A)
        VEC _mm512_add_PS(VEC a, VEC b) h A + B
        VEC _mm512_sub_PS(VEC a, VEC b) h A - B
        VEC _mm512_mul_PS(VEC a, VEC b) h A * B
        VEC _mm512_div_PS(VEC a, VEC b) h A / B
        VEC _mm512_sqrt_PS(VEC a) h _mm256_sqrt_PS(A)
        VEC _mm512_fmadd_PS(VEC a, VEC b, VEC c) h _mm256_fmadd_PS(A, B, C)
        VEC _mm512_fmsub_PS(VEC a, VEC b, VEC c) h _mm256_fmsub_PS(A, B, C)
        VEC _mm512_fnmadd_PS(VEC a, VEC b, VEC c) h _mm256_fnmadd_PS(A, B, C)
        VEC _mm512_max_PS(VEC a, VEC b) h _mm256_max_PS(A, B)
        VEC _mm512_min_PS(VEC a, VEC b) h _mm256_min_PS(A, B)
        VEC _mm512_and_PS(VEC a, VEC b) h _mm256_and_PS(A, B)
        VEC _mm512_andnot_PS(VEC a, VEC b) h _mm256_andnot_PS(A, B)
        VEC _mm512_or_PS(VEC a, VEC b) h _mm256_or_PS(A, B)
        VEC _mm512_xor_PS(VEC a, VEC b) h _mm256_xor_PS(A, B)
        MASK _mm512_cmp_PS_mask(VEC a, VEC b, const int how) h _mm256_movemask_PS(_mm256_cmp_PS(A, B, how))
        VEC _mm512_mask_blend_PS(MASK m, VEC a, VEC b) h _mm256_blendv_PS(A, B, (HALF)emulated_lanes_EPI(m >> h * N / 2))
        VEC _mm512_unpacklo_PS(VEC a, VEC b) h _mm256_unpacklo_PS(A, B)
        VEC _mm512_unpackhi_PS(VEC a, VEC b) h _mm256_unpackhi_PS(A, B)""",
    ("float",): """
        __m512 _mm512_shuffle_ps(__m512 a, __m512 b, int from) h _mm256_shuffle_ps(A, B, from)
        __m512 _mm512_shuffle_f32x4(__m512 a, __m512 b, int from) h _mm256_permute2f128_ps((h ? b : a).half[0], (h ? b : a).half[1], (from >> 4 * h & 3) | (from >> (4 * h + 2) & 3) << 4)
        __m512 _mm512_permutexvar_ps(__m512i a, __m512 b) h _mm256_blendv_ps(_mm256_permutevar8x32_ps(b.half[0], A), _mm256_permutevar8x32_ps(b.half[1], A), (__m256)_mm256_slli_epi32(A, 28))
        __m512 _mm512_castps256_ps512(__m256 a) h h == 0 ? a : _mm256_set1_ps(NAN)
        __m512 _mm512_insertf32x8(__m512 a, __m256 b, int at) h h == at ? b : A
        __m512 _mm512_broadcast_f32x8(__m256 a) h a
        __m256 _mm512_extractf32x8_ps(__m512 a, int at) = a.half[at]
        __m256 _mm512_castps512_ps256(__m512 a) = a.half[0]
        __m512i _mm512_castps_si512(__m512 a) h (__m256i)A
        __m512 _mm512_castsi512_ps(__m512i a) h (__m256)A""",
    ("double",): """
        __m512d _mm512_shuffle_f64x2(__m512d a, __m512d b, int from) h _mm256_permute2f128_pd((h ? b : a).half[0], (h ? b : a).half[1], (from >> 4 * h & 3) | (from >> (4 * h + 2) & 3) << 4)
        __m512d _mm512_castpd256_pd512(__m256d a) h h == 0 ? a : _mm256_set1_pd(NAN)
        __m512d _mm512_insertf64x4(__m512d a, __m256d b, int at) h h == at ? b : A
        __m512d _mm512_cvtps_pd(__m256 a) h _mm256_cvtps_pd(h == 0 ? _mm256_castps256_ps128(a) : _mm256_extractf128_ps(a, 1))
        __m256 _mm512_cvtpd_ps(__m512d a) = _mm256_set_m128(_mm256_cvtpd_ps(a.half[1]), _mm256_cvtpd_ps(a.half[0]))
        __m512i _mm512_castpd_si512(__m512d a) h (__m256i)A
        __m512d _mm512_castsi512_pd(__m512i a) h (__m256d)A""",
    ("u32", "u64"): """
        VEC _mm512_add_EPI(VEC a, VEC b) h _mm256_add_EPI(A, B)
        VEC _mm512_sub_EPI(VEC a, VEC b) h _mm256_sub_EPI(A, B)
        VEC _mm512_slli_EPI(VEC a, int n) h _mm256_slli_EPI(A, n)
        VEC _mm512_srli_EPI(VEC a, int n) h _mm256_srli_EPI(A, n)
        VEC _mm512_mask_blend_EPI(MASK m, VEC a, VEC b) h _mm256_blendv_epi8(A, B, emulated_lanes_EPI(m >> h * N / 2))""",
    ("u32",): """
        __m512i _mm512_set1_epi32(int x) h _mm256_set1_epi32(x)
        __m512i _mm512_loadu_si512(const void *p) h _mm256_loadu_si256((const __m256i *)p + h)
        void _mm512_storeu_si512(void *p, __m512i a) h _mm256_storeu_si256((__m256i *)p + h, A)
        __m512i _mm512_and_si512(__m512i a, __m512i b) h A & B
        __m512i _mm512_or_si512(__m512i a, __m512i b) h A | B
        __m512i _mm512_xor_si512(__m512i a, __m512i b) h A ^ B
        __m512i _mm512_mul_epu32(__m512i a, __m512i b) h _mm256_mul_epu32(A, B)
        __mmask16 _mm512_movepi32_mask(__m512i a) h _mm256_movemask_ps((__m256)A)""",
    ("u64",): """
        __mmask8 _mm512_movepi64_mask(__m512i a) h _mm256_movemask_pd((__m256d)A)""",
}

HEAD = """\
/* Written by tests/emulate_avx512.py: the intrinsics of AVX-512 that fastnn uses, as functions. */
#include <immintrin.h>
#include <math.h>
#include <stdint.h>

typedef struct {
    __m256 half[2];
} emulated_m512;
typedef struct {
    __m256d half[2];
} emulated_m512d;
typedef struct {
    __m256i half[2];
} emulated_m512i;
#define __m512 emulated_m512
#define __m512d emulated_m512d
#define __m512i emulated_m512i
#define EMULATED static inline __attribute__((always_inline))

/* All bits of the lanes whose bit of m is set. */
EMULATED __m256i emulated_lanes_epi32(int m)
{
    const __m256i bits = _mm256_setr_epi32(1, 2, 4, 8, 16, 32, 64, 128);
    return _mm256_cmpeq_epi32(_mm256_and_si256(_mm256_set1_epi32(m), bits), bits);
}
EMULATED __m256i emulated_lanes_epi64(int m)
{
    const __m256i bits = _mm256_setr_epi64x(1, 2, 4, 8);
    return _mm256_cmpeq_epi64(_mm256_and_si256(_mm256_set1_epi64x(m), bits), bits);
}
"""


def function(line, words):
    """Return the name of an intrinsic and its definition, from a line of INTRINSICS and the words of a type of lanes."""
    line = re.sub(rf"(?<![A-Z])({'|'.join(words)})(?![A-Z])", lambda word: words[word[0]], line)
    result, name, parameters, kind, value = re.fullmatch(r"(\w+) (\w+)(\(.*?\)) ([=h]) (.*)", line).groups()
    value = re.sub(r"\b[ABC]\b", lambda half: f"{half[0].lower()}.half[h]", value)
    low, high = (re.sub(r"\bh\b", half, value) for half in "01")
    if kind == "=":
        body = f"return {value};"
    elif result == "void":
        body = f"{low}; {high};"
    elif "mask" in result:
        body = f"return ({result})(({low}) | ({high}) << {words['N']} / 2);"
    else:
        body = f"return ({result}){{{{{low}, {high}}}}};"
    return name, f"EMULATED {result} emulated{name}{parameters} {{ {body} }}"


def header(sources):
    """Return the header that defines the intrinsics; sources, {path: text}, may use no others."""
    defined = {}
    for types, block in INTRINSICS.items():
        for line in block.strip().splitlines():
            defined |= dict(function(line.strip(), TYPES[name]) for name in types)
    for path, text in sources.items():
        for name in re.findall(r"\b(?:_mm512_\w+|_mm\w*_mask\w*|_k\w+_mask\w+)", text):
            if name not in defined:
                sys.exit(f"emulate_avx512: {path} uses {name}, which tests/emulate_avx512.py does not define")
    names = [f"#undef {name}\n#define {name} emulated{name}" for name in defined]
    return "\n".join([HEAD, *defined.values(), "", *names, ""])


def main(folder):
    kernels = [path for path in sorted((ROOT / "csrc").iterdir()) if re.search(r"\.inc\.h$|avx512", path.name)]
    text = header({path.relative_to(ROOT): path.read_text() for path in kernels})
    for name in COPIED:
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("*.so", "__pycache__"))
        else:
            shutil.copy(ROOT / name, folder)
    for name, (pattern, replacement) in REPLACED.items():
        changed, count = re.subn(pattern, replacement, (folder / name).read_text())
        if count != 1:
            sys.exit(f"emulate_avx512: {name} has {count} places like {pattern} but one was expected")
        (folder / name).write_text(changed)
    (folder / HEADER).write_text(text)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
