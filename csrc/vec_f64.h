/*
 * vec_f64.h: for T = float64 the narrow vocabulary is the wide one under its other names. Included by the ISA headers.
 */
#define v_set1 w_set1
#define v_load w_load
#define w_load_narrow w_load
#define v_store w_store
#define v_add w_add
#define v_sub w_sub
#define v_mul w_mul
#define v_div w_div
#define v_sqrt w_sqrt
#define v_fma w_fma
#define v_fms w_fms
#define v_madd w_madd
#define v_nmadd w_nmadd
#define v_max w_max
#define v_min w_min
#define v_neg w_neg
#define v_abs w_abs
#define v_neg_abs w_neg_abs
#define v_signed w_signed
#define v_lt w_lt
#define v_le w_le
#define v_eq w_eq
#define v_select w_select
#define v_any w_any
#define v_count w_count
#define v_select_sign w_select_sign
#define v_pow2 w_pow2
#define V_BIAS W_BIAS

enum { V_PARTS = 1 };
static inline W v_widen(V a, int part)
{
    (void)part;
    return a;
}
static inline V v_narrow(const W part[V_PARTS]) { return part[0]; }
