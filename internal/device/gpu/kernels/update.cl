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
   parameters, velocities and gradients begin in their chunks of memory, and how many there are. */
KERNEL(T) sgd(GLOBAL float *w, GLOBAL float *v, GLOBAL const float *g, GLOBAL const float *rate, GLOBAL const uint *table,
              float momentum, float decay) {
    int p = GROUP(0) * 4, to_w = (int)table[p], to_v = (int)table[p + 1], to_g = (int)table[p + 2];
    for (int i = THREAD; i < (int)table[p + 3]; i += T) {
        float step = FMA(momentum, v[to_v + i], FMA(decay, w[to_w + i], g[to_g + i]));
        v[to_v + i] = step;
        w[to_w + i] = FMA(-rate[0], step, w[to_w + i]);
    }
}
