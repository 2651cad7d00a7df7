/* Updates of state. */

/* Running statistics [mean, variance][channel]; the variance of the batch counts times `unbias`. */
KERNEL(T) running(GLOBAL float *restrict r, GLOBAL const float *restrict batch, int ch, float momentum, float unbias) {
    int i = ELEMENT;
    if (i < 2 * ch) r[i] += momentum * (batch[i] * (i < ch ? 1.0f : unbias) - r[i]);
}

KERNEL(T) momentum(GLOBAL float *restrict v, GLOBAL const float *restrict w, GLOBAL const float *restrict g, int n,
                   float momentum, float decay) {
    int i = ELEMENT;
    if (i < n) v[i] = FMA(momentum, v[i], FMA(decay, w[i], g[i]));
}

KERNEL(T) descend(GLOBAL float *restrict w, GLOBAL const float *restrict v, GLOBAL const float *restrict rate, int n) {
    int i = ELEMENT;
    if (i < n) w[i] = FMA(-rate[0], v[i], w[i]);
}

/* Whole steps of gradient descent for many parameters. Group p does the piece that row p of the table describes: where
   parameters, velocities and gradients begin in their chunks of memory, in units of 128 since a chunk can have more than
   2^31, and how many there are. */
KERNEL(T) sgd(GLOBAL float *w, GLOBAL float *v, GLOBAL const float *g, GLOBAL const float *rate, GLOBAL const uint *table,
              float momentum, float decay) {
    int p = GROUP(0) * 4;
    w += (size_t)table[p] * 128;
    v += (size_t)table[p + 1] * 128;
    g += (size_t)table[p + 2] * 128;
    for (int i = THREAD; i < (int)table[p + 3]; i += T) {
        float step = FMA(momentum, v[i], FMA(decay, w[i], g[i]));
        v[i] = step;
        w[i] = FMA(-rate[0], step, w[i]);
    }
}
