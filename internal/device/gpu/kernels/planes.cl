/* Planes of `area` pixels as a whole: sums over space, and channels that move. */

/* Group p sums plane p, or its products with that of y, and multiplies the sum by scale. */
KERNEL(T) plane_sum(GLOBAL const float *restrict x, GLOBAL const float *restrict y, GLOBAL float *restrict sums,
                    int area, int product, float scale) {
    LOCAL float s[T];
    int p = GROUP(0);
    float sum = 0.0f;
    for (int i = p * area + THREAD; i < (p + 1) * area; i += T) sum = product ? FMA(x[i], y[i], sum) : sum + x[i];
    s[THREAD] = sum;
    ADD_UP(s)
    if (THREAD == 0) sums[p] = s[0] * scale;
}

KERNEL(T) plane_spread(GLOBAL const float *restrict x, GLOBAL float *restrict y, int area, int n, float scale) {
    int i = ELEMENT;
    if (i < n) y[i] = x[i / area] * scale;
}

/* Channel c of the co of y is channel c + offset of the ci of x, or zero. */
KERNEL(T) window(GLOBAL const float *restrict x, GLOBAL float *restrict y, int ci, int co, int offset, int area, int n) {
    int i = ELEMENT;
    if (i >= n) return;
    int plane = i / area, c = plane % co + offset;
    y[i] = c >= 0 && c < ci ? x[(plane / co * ci + c) * area + i % area] : 0.0f;
}

/* Channel c of the ci of x becomes channel c + offset of the co of y. */
KERNEL(T) place(GLOBAL const float *restrict x, GLOBAL float *restrict y, int ci, int co, int offset, int area, int n) {
    int i = ELEMENT;
    if (i >= n) return;
    int plane = i / area;
    y[(plane / ci * co + plane % ci + offset) * area + i % area] = x[i];
}
