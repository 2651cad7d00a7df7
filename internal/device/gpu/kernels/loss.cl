/* The softmax cross entropy of rows of k logits, see ops.CrossEntropy. */

/* Group r writes the loss of row r, or with `graded` its gradient, both divided by the number of rows. */
KERNEL(T) cross_entropy(GLOBAL const float *restrict logits, GLOBAL const uint *restrict labels, GLOBAL float *restrict y,
                        int k, int graded, float rows, float smoothing) {
    LOCAL float s[T];
    int row = GROUP(0) * k, label = (int)labels[GROUP(0)];
    float top = logits[row], sum = 0.0f, loss = 0.0f;
    for (int j = THREAD; j < k; j += T)
        if (logits[row + j] > top) top = logits[row + j];
    s[THREAD] = top;
    for (int h = T / 2; h > 0; h /= 2) {
        BARRIER();
        if (THREAD < h && s[THREAD + h] > s[THREAD]) s[THREAD] = s[THREAD + h];
    }
    BARRIER();
    top = s[0];
    BARRIER();
    for (int j = THREAD; j < k; j += T) sum += EXP(logits[row + j] - top);
    s[THREAD] = sum;
    ADD_UP(s)
    BARRIER();
    sum = s[0];
    BARRIER();
    for (int j = THREAD; j < k; j += T) {
        float target = smoothing / (float)k + (j == label ? 1.0f - smoothing : 0.0f);
        float logarithm = logits[row + j] - top - LOG(sum);
        if (graded) y[row + j] = (EXP(logarithm) - target) / rows;
        if (target != 0.0f) loss -= target * logarithm;
    }
    if (graded) return;
    s[THREAD] = loss;
    ADD_UP(s)
    if (THREAD == 0) y[GROUP(0)] = s[0] / rows;
}
