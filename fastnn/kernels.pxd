# What csrc/fastnn.h declares, for Cython: the one place where C signatures are repeated.

from libc.stdint cimport int64_t, uint32_t, uint64_t

cdef extern from "fastnn.h" nogil:
    enum:
        FNN_NO_MEMORY
        FNN_F32, FNN_F64
        FNN_FROM_F32, FNN_FROM_F64, FNN_FROM_U8, FNN_FROM_I8, FNN_FROM_I16, FNN_FROM_U16, FNN_FROM_I32, FNN_FROM_U32
        FNN_FROM_I64, FNN_FROM_U64, FNN_FROM_BOOL
        FNN_ROW_LANES, FNN_MAX_PARAMS, FNN_MAX_TASKS
        FNN_ACTIVATION_COUNT, FNN_identity
        FNN_LOSS_COUNT, FNN_PAIR, FNN_ROW
        FNN_NUMBER_A_ROW, FNN_LABELS, FNN_LABELS_OR_PROBABILITIES
        FNN_OPTIMIZER_COUNT, FNN_MAX_SLOTS, FNN_MAX_HYPER, FNN_MAX_SCALARS
        ANY, NONZERO, NONNEGATIVE, POSITIVE, AT_LEAST_PREVIOUS, FROM_0_TO_1, BELOW_1, BETWEEN_0_AND_1, ABOVE_1, SWITCH
        SWITCH_OF_MOMENTUM, SIGN, ONE_OR_TWO, FROM_0_TO_1_OR_NONE
        FNN_SAVES_X, FNN_SAVES_Y, FNN_SAVES_Y_IF_NONNEGATIVE

    ctypedef struct fnn_matrix:
        const void *data
        int64_t row, col

    ctypedef struct fnn_rectangle:
        int64_t row, column, rows, columns

    ctypedef struct fnn_epilogue:
        const void *bias
        void *z
        int activation
        const double *params

    ctypedef struct fnn_panels:
        void *data
        int64_t panel

    ctypedef struct fnn_target:
        const int64_t *labels
        const void *values
        const void *second
        void *dsecond
        const void *class_weight
        const void *sample_weight
        int64_t ignore_index

    ctypedef void (*fnn_backward_fn)(void *, const void *, const void *, int64_t, const double *) noexcept nogil

    ctypedef struct fnn_derivative:
        fnn_backward_fn loop
        const void *saved
        const double *params

    ctypedef void (*fnn_strip_fn)(void *, void *, int64_t, int64_t) noexcept nogil
    ctypedef void (*fnn_loss_fn)(double *, void *, void *, const void *, const fnn_target *, double, const double *,
                                 int64_t, int64_t) noexcept nogil
    ctypedef void (*fnn_scalars_fn)(double *, const double *, double) noexcept nogil
    ctypedef struct fnn_rows:
        void *data
        int64_t row

    ctypedef void (*fnn_update_fn)(fnn_rows, const fnn_rows *, fnn_rows, int64_t, int64_t, const double *) noexcept nogil
    ctypedef void (*fnn_rows_fn)(void *, const void *, int64_t, int64_t) noexcept nogil
    ctypedef void (*fnn_rows_backward_fn)(void *, const void *, const void *, int64_t, int64_t) noexcept nogil

    ctypedef void (*fnn_norm_fn)(void *, const void *, const void *, const void *, double, int64_t, int64_t) noexcept nogil
    ctypedef void (*fnn_norm_backward_fn)(void *, double *, double *, const void *, const void *, const void *, double, int64_t,
                                          int64_t) noexcept nogil

    ctypedef struct fnn_kernels:
        int64_t per_look
        void (*sum_rows)(void *, const void *, int64_t, int64_t, int64_t) noexcept nogil
        void (*gather_panels)(fnn_panels, const void *, int, int64_t, const int64_t *, int64_t, int64_t, const int64_t *,
                              int64_t) noexcept nogil
        void (*to_panels)(fnn_panels, const void *, int64_t, int64_t, int64_t) noexcept nogil
        void (*from_panels)(void *, int64_t, fnn_panels, int64_t, int64_t) noexcept nogil
        void (*transpose_panels)(fnn_panels, void *, fnn_panels, int64_t, int64_t) noexcept nogil
        int (*forward_panels)(fnn_panels, fnn_panels, const void *, int64_t, int64_t, int64_t, int64_t,
                              const fnn_epilogue *) noexcept nogil
        int (*dx_panels)(fnn_panels, fnn_panels, const void *, int64_t, int64_t, int64_t, int64_t,
                         const fnn_derivative *) noexcept nogil
        int (*dweight_panels)(void *, int64_t, fnn_panels, fnn_panels, int64_t, int64_t, int64_t, int64_t, const void *,
                              fnn_strip_fn, void *) noexcept nogil
        void (*descend_panels)(void *, int64_t, fnn_panels, fnn_panels, int64_t, int64_t, int64_t, int64_t, double) noexcept nogil
        int64_t (*fma_chains)(int64_t) noexcept nogil
        fnn_backward_fn *backward_x
        void (*prelu_forward)(void *, const void *, const void *, int64_t, int64_t, int) noexcept nogil
        void (*prelu_backward)(void *, void *, double *, const void *, const void *, const void *, int64_t, int64_t,
                               int) noexcept nogil
        void (*maxout_forward)(void *, int64_t *, const void *, int64_t, int64_t) noexcept nogil
        void (*maxout_backward)(void *, const void *, const int64_t *, int64_t, int64_t) noexcept nogil
        fnn_rows_fn softmax_forward
        fnn_rows_fn log_softmax_forward
        fnn_rows_backward_fn softmax_backward
        fnn_rows_backward_fn log_softmax_backward
        fnn_norm_fn layer_norm_forward
        fnn_norm_fn rms_norm_forward
        fnn_norm_backward_fn layer_norm_backward
        fnn_norm_backward_fn rms_norm_backward
        void (*batch_moments)(double *, double *, double *, double *, const void *, int64_t, int64_t, int64_t) noexcept nogil
        void (*batch_norm_forward)(void *, const void *, const double *, const double *, const void *, const void *, double,
                                   int64_t, int64_t) noexcept nogil
        void (*batch_norm_sums)(double *, double *, const void *, const void *, const double *, const double *, double,
                                int64_t, int64_t) noexcept nogil
        void (*batch_norm_backward)(void *, const void *, const void *, const double *, const double *, const void *,
                                    const double *, const double *, double, int64_t, int64_t, int64_t) noexcept nogil
        void (*dropout)(void *, const void *, double, uint64_t, uint32_t, uint32_t, int64_t, int64_t) noexcept nogil
        void (*random_words)(uint32_t *, uint64_t, uint32_t, uint32_t, int64_t, int64_t) noexcept nogil
        double (*sum_of_weights)(const fnn_target *, int64_t) noexcept nogil
        int64_t (*first_refused)(const void *, int64_t, int) noexcept nogil
        fnn_loss_fn *losses
        fnn_scalars_fn *scalars
        fnn_update_fn *updates
        void (*sums_of_squares)(double *, const void *, int64_t, int64_t) noexcept nogil
        void (*average)(void *, const void *, double, int64_t) noexcept nogil
        void (*regularise)(void *, const void *, int64_t, double, double, double) noexcept nogil

    ctypedef struct fnn_param:
        const char *name
        double value
        int accepted

    ctypedef struct fnn_activation_row:
        const char *name
        const char *layer
        int saves
        double ulp[4]
        double domain[2]
        double output[2]
        double gain
        fnn_param params[3]

    const fnn_activation_row *fnn_activation_rows

    ctypedef struct fnn_accepts:
        int target, input

    ctypedef struct fnn_second:
        const char *name
        int accepted
        int count
        double values[3]

    ctypedef struct fnn_loss_row:
        const char *name
        int kind
        const char *layer
        const char *function
        int target
        fnn_accepts accepts
        int weighs_values
        const char *tasks[2]
        const char *outputs
        fnn_second second
        fnn_param params[3]

    const fnn_loss_row *fnn_loss_rows

    ctypedef struct fnn_slot:
        const char *name
        const char *needs

    ctypedef struct fnn_optimizer_row:
        const char *name
        const char *layer
        fnn_slot slots[3]
        fnn_param params[7]
        int counts
        const char *counts_if

    const fnn_optimizer_row *fnn_optimizer_rows

    int fnn_isa_count()
    const char *fnn_isa_name(int i)
    int fnn_isa_supported(int i)
    int fnn_isa_active()
    int fnn_isa_use(const char *name)
    const fnn_kernels *fnn_kernels_for(int dtype)

    enum:
        FNN_MAX_THREADS
    void fnn_set_num_threads(int n)
    int fnn_get_num_threads()
    int fnn_set_thread_bound(int n)
    int fnn_force_threads(int on)
    int fnn_threads_of_last_job()
    int fnn_parts_of_last_job()
    int64_t fnn_times_grown()
    void fnn_activation_forward(int, int, void *, const void *, int64_t, const double *) noexcept nogil
    void fnn_activation_backward(int, int, int, void *, const void *, const void *, int64_t,
                                 const double *) noexcept nogil
    int fnn_matmul(int, void *, int64_t, fnn_matrix, fnn_matrix, fnn_rectangle, int64_t,
                   const fnn_epilogue *) noexcept nogil

cdef extern from "plain.h" nogil:
    ctypedef struct fnn_plain:
        void (*move)(void *, const double *, double, double, int64_t) noexcept nogil
        void (*scale_rows)(void *, const void *, const void *, int64_t, int64_t) noexcept nogil
        void (*add_rows)(void *, const void *, const void *, int64_t, int64_t) noexcept nogil
        void (*divide)(void *, double, int64_t) noexcept nogil
        void (*gather)(void *, const void *, int64_t, int64_t, int64_t, double) noexcept nogil
        void (*scale_each)(void *, const void *, const void *, int64_t, int64_t) noexcept nogil
        void (*sum_last)(void *, const void *, const void *, int64_t, int64_t) noexcept nogil
        void (*standardize)(void *, const void *, const double *, const double *, const int64_t *, int64_t, int64_t) noexcept nogil
        void (*sum_of_indices)(void *, double *, const int64_t *, const void *, int64_t, int64_t, int64_t) noexcept nogil
        void (*waves)(void *, const void *, const void *, int64_t, int64_t, int64_t) noexcept nogil
        void (*waves_backward)(void *, const void *, const void *, int64_t, int64_t) noexcept nogil
        void (*bins)(void *, void *, const void *, const double *, int64_t, int64_t, int64_t) noexcept nogil
        void (*sum_products)(void *, double *, const void *, const void *, int64_t, int64_t) noexcept nogil

    const fnn_plain *fnn_plain_for(int)
    void fnn_hold_norms(int, void *, int64_t, int64_t, int64_t, int, double, void *)
    double fnn_penalty(int, const void *, int64_t, double, double)
    void fnn_alpha_dropout(int, void *, const void *, double, uint64_t, uint32_t, uint32_t, int64_t, int64_t, int)

cdef extern from "network.h" nogil:
    enum:
        FNN_OP_COUNT, FNN_REFUSED

    ctypedef struct fnn_value:
        int64_t features, times, y
        int in_panels, wide

    ctypedef struct fnn_op:
        int kind, activation, from_y, differentiates, differentiated, need_dx
        int inputs[2]
        int outputs[2]
        int *many
        int many_count
        int parameters[2]
        double params[3]
        void *buffers[3]
        int64_t number
        uint64_t seed

    ctypedef struct fnn_parameter:
        void *data
        void *slots[3]
        void *sum
        void *average
        int64_t rows, columns, row, gradient
        int k_major, group, is_weight, in_strips

    ctypedef struct fnn_group:
        int optimizer
        double hyper[7]

    ctypedef struct fnn_regularisation:
        double l1, l2, clip_value, clip_norm, max_norm, ema
        int of_sum

    ctypedef struct fnn_waiting:
        int64_t minibatches
        double rows

    ctypedef struct fnn_network:
        int dtype, ops_count, values_count, parameters_count, groups_count, input, wide_input, output, loss, keeps_gradients
        fnn_op *ops
        fnn_value *values
        fnn_parameter *parameters
        fnn_group *groups
        fnn_regularisation regularisation
        double loss_params[3]
        double most
        const void *class_weight
        const void *second
        int64_t ignore_index, capacity, accumulate
        double multiply_adds, elements
        fnn_waiting *waiting
        int64_t *steps
        double *spent

    ctypedef struct fnn_array:
        const void *data
        int from_ "from"
        int64_t row, itemsize

    ctypedef struct fnn_data:
        fnn_array x, target
        const int64_t *labels
        const double *sample_weight
        const int64_t *order

    int fnn_network_reserve(fnn_network *, int64_t)
    void fnn_network_free(fnn_network *)
    int fnn_network_train(fnn_network *, const fnn_data *, const int64_t *, int64_t, const double *, int, const double *, double *,
                          double *, void *, int64_t *)
    void fnn_network_output(const fnn_network *, void *, int64_t)
    void fnn_network_flush(fnn_network *, const double *)
    void fnn_network_prepare(fnn_network *)
    int fnn_network_predict(const fnn_network *, void *, const fnn_array *, int64_t)

cdef extern from "network_ops.h" nogil:
    ctypedef struct fnn_op_row:
        const char *name

    const fnn_op_row *fnn_op_rows
