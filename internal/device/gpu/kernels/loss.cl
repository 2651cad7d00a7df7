/* The softmax cross entropy of rows of k logits, see ops.CrossEntropy and ops.SoftCrossEntropy. */

/* Group r writes the loss of row r, or with `graded` its gradient, both divided by the number of rows. Element j of the
   row has the probability `target` to be right; these sum up to `total`. */
#define CROSS_ENTROPY(target, total)                                                                                   \
    LOCAL float s[T];                                                                                                  \
    float top = logits[row], sum = 0.0f, loss = 0.0f;                                                                  \
    for (int j = THREAD; j < k; j += T)                                                                                \
        if (logits[row + j] > top) top = logits[row + j];                                                              \
    s[THREAD] = top;                                                                                                   \
    for (int h = T / 2; h > 0; h /= 2) {                                                                               \
        BARRIER();                                                                                                     \
        if (THREAD < h && s[THREAD + h] > s[THREAD]) s[THREAD] = s[THREAD + h];                                        \
    }                                                                                                                  \
    BARRIER();                                                                                                         \
    top = s[0];                                                                                                        \
    BARRIER();                                                                                                         \
    for (int j = THREAD; j < k; j += T) sum += EXP(logits[row + j] - top);                                             \
    s[THREAD] = sum;                                                                                                   \
    ADD_UP(s)                                                                                                          \
    BARRIER();                                                                                                         \
    sum = s[0];                                                                                                        \
    BARRIER();                                                                                                         \
    for (int j = THREAD; j < k; j += T) {                                                                              \
        float wanted = target;                                                                                         \
        float logarithm = logits[row + j] - top - LOG(sum);                                                            \
        if (graded) y[row + j] = (EXP(logarithm) * (total) - wanted) / rows;                                           \
        if (wanted != 0.0f) loss -= wanted * logarithm;                                                                \
    }                                                                                                                  \
    if (graded) return;                                                                                                \
    s[THREAD] = loss;                                                                                                  \
    ADD_UP(s)                                                                                                          \
    if (THREAD == 0) y[GROUP(0)] = s[0] / rows;

KERNEL(T) cross_entropy(GLOBAL const float *restrict logits, GLOBAL const uint *restrict labels, GLOBAL float *restrict y,
                        int k, int graded, float rows, float smoothing) {
    int row = GROUP(0) * k, label = (int)labels[GROUP(0)];
    CROSS_ENTROPY(smoothing / (float)k + (j == label ? 1.0f - smoothing : 0.0f), 1.0f)
}

KERNEL(T) soft_cross_entropy(GLOBAL const float *restrict logits, GLOBAL const float *restrict targets,
                             GLOBAL float *restrict y, int k, int graded, float rows) {
    int row = GROUP(0) * k;
    float all = 0.0f;
    for (int j = 0; j < k; j++) all += targets[row + j];
    CROSS_ENTROPY(targets[row + j], all)
}
