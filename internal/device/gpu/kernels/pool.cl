/* Pooling over size x size windows every `stride`, of hi x wi pixels with pad around them that count for nothing. A window
   takes the pixels that exist. Gradients gather: a thread for each input pixel goes through the windows that have it.
   Networks pool so rarely that geometry is not compiled in. */

/* The pixels [LO, UP) of an axis that window p has, and the windows [FIRST, LAST] that pixel p is in. */
#define LO(p) ((p) * stride - pad < 0 ? 0 : (p) * stride - pad)
#define UP(p, extent) ((p) * stride - pad + size < (extent) ? (p) * stride - pad + size : (extent))
#define FIRST(p) ((p) + pad < size ? 0 : ((p) + pad - size) / stride + 1)
#define LAST(p, windows) (((p) + pad) / stride < (windows) ? ((p) + pad) / stride : (windows)-1)

KERNEL(T) avg_pool(GLOBAL const float *restrict x, GLOBAL float *restrict y,
                   int hi, int wi, int ho, int wo, int size, int stride, int pad, int n) {
    int i = ELEMENT;
    if (i >= n) return;
    int at = i / (ho * wo) * (hi * wi), r = i % (ho * wo) / wo, q = i % wo;
    float sum = 0.0f;
    for (int h = LO(r); h < UP(r, hi); h++)
        for (int v = LO(q); v < UP(q, wi); v++) sum += x[at + h * wi + v];
    y[i] = sum / (float)((UP(r, hi) - LO(r)) * (UP(q, wi) - LO(q)));
}

KERNEL(T) avg_pool_by_input(GLOBAL const float *restrict dy, GLOBAL float *restrict dx,
                            int hi, int wi, int ho, int wo, int size, int stride, int pad, int n) {
    int i = ELEMENT;
    if (i >= n) return;
    int at = i / (hi * wi) * (ho * wo), h = i % (hi * wi) / wi, v = i % wi;
    float sum = 0.0f;
    for (int r = FIRST(h); r <= LAST(h, ho); r++)
        for (int q = FIRST(v); q <= LAST(v, wo); q++)
            sum += dy[at + r * wo + q] / (float)((UP(r, hi) - LO(r)) * (UP(q, wi) - LO(q)));
    dx[i] = sum;
}

KERNEL(T) max_pool(GLOBAL const float *restrict x, GLOBAL float *restrict y,
                   int hi, int wi, int ho, int wo, int size, int stride, int pad, int n) {
    int i = ELEMENT;
    if (i >= n) return;
    int at = i / (ho * wo) * (hi * wi), r = i % (ho * wo) / wo, q = i % wo;
    float best = x[at + LO(r) * wi + LO(q)];
    for (int h = LO(r); h < UP(r, hi); h++)
        for (int v = LO(q); v < UP(q, wi); v++) {
            float u = x[at + h * wi + v];
            if (u > best || u != u) best = u; /* what is no number stays */
        }
    y[i] = best;
}

/* A window's gradient goes to the first of its pixels that has the maximum. */
KERNEL(T) max_pool_by_input(GLOBAL const float *restrict x, GLOBAL const float *restrict dy, GLOBAL float *restrict dx,
                            int hi, int wi, int ho, int wo, int size, int stride, int pad, int n) {
    int i = ELEMENT;
    if (i >= n) return;
    int at = i / (hi * wi) * (ho * wo), in = i / (hi * wi) * (hi * wi), h = i % (hi * wi) / wi, v = i % wi;
    float sum = 0.0f;
    for (int r = FIRST(h); r <= LAST(h, ho); r++)
        for (int q = FIRST(v); q <= LAST(v, wo); q++) {
            int best = in + LO(r) * wi + LO(q);
            for (int a = LO(r); a < UP(r, hi); a++)
                for (int b = LO(q); b < UP(q, wi); b++)
                    if (x[in + a * wi + b] > x[best]) best = in + a * wi + b;
            if (best == i) sum += dy[at + r * wo + q];
        }
    dx[i] = sum;
}
