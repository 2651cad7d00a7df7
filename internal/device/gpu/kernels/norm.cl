/* Batch norm and what stands beside it, on planes of HW pixels. A channel's statistics are [mean, variance][channel]. A
   sum over a channel has two stages: group (part, channel) sums a stretch of the length span of the channel's n values,
   then a thread for each channel adds up the parts in their order. */

/* Place of value i of channel c of ch in its tensor. */
#define AT ((i / HW * ch + c) * HW + i % HW)

/* Sums of x - x0 and its square, where x0 is the channel's first value: without that shift a mean that is large beside
   the deviation would leave nothing of the variance. */
KERNEL(T) stats_parts(GLOBAL const float *restrict x, GLOBAL float *restrict parts, int ch, int n, int span,
                      int count) {
    LOCAL float s1[T], s2[T];
    int c = GROUP(1), from = GROUP(0) * span, to = from + span < n ? from + span : n;
    float x0 = x[c * HW], a = 0.0f, q = 0.0f;
    for (int i = from + THREAD; i < to; i += T) {
        float d = x[AT] - x0;
        a += d;
        q = FMA(d, d, q);
    }
    s1[THREAD] = a;
    s2[THREAD] = q;
    ADD_UP(s1)
    ADD_UP(s2)
    if (THREAD == 0) {
        parts[(c * count + GROUP(0)) * 2] = s1[0];
        parts[(c * count + GROUP(0)) * 2 + 1] = s2[0];
    }
}

KERNEL(T) stats(GLOBAL const float *restrict x, GLOBAL const float *restrict parts, GLOBAL float *restrict y, int ch,
                int n, int count) {
    int c = ELEMENT;
    if (c >= ch) return;
    float a = 0.0f, q = 0.0f;
    for (int i = 0; i < count; i++) {
        a += parts[(c * count + i) * 2];
        q += parts[(c * count + i) * 2 + 1];
    }
    float variance = (q - a * (a / (float)n)) / (float)n;
    y[c] = x[c * HW] + a / (float)n;
    y[ch + c] = variance < 0.0f ? 0.0f : variance;
}

/* y = rectify(norm(x) * factor + residual), each part only if it is there. Factors belong to planes: they are there for
   `factored` planes from plane `first` on. x and the residual may have fewer elements than y, nx and nr: behind those,
   y goes on with copies of their first `plain` elements. `top` bounds the rectifier if it is positive. */
KERNEL(T) apply(GLOBAL const float *restrict x, GLOBAL const float *restrict stats, GLOBAL const float *restrict gamma,
                GLOBAL const float *restrict beta, GLOBAL const float *restrict factors,
                GLOBAL const float *restrict residual, GLOBAL float *restrict y, int ch, int n, int nx, int nr,
                int plain, int first, int factored, int normed, int added, int rectified, float epsilon, float top) {
    int i = ELEMENT;
    if (i >= n) return;
    int plane = i / HW, c = plane % ch;
    float v = x[i < nx ? i : i % plain];
    if (normed) v = FMA(v - stats[c], gamma[c] / SQRT(stats[ch + c] + epsilon), beta[c]);
    float factor = plane >= first && plane < first + factored ? factors[plane - first] : 1.0f;
    float more = added ? residual[i < nr ? i : i % plain] : 0.0f;
    v = FMA(v, factor, more);
    if (rectified) {
        v = v <= 0.0f ? 0.0f : v; /* what is no number stays */
        if (top > 0.0f && v > top) v = top;
    }
    y[i] = v;
}

/* The way back into a batch norm: dz = [y is not cut] (dy + more), each part only if it is there, and the sums of dz and
   dz (x - mean). `top` is the other value at which y is cut, 0 if there is none. */
KERNEL(T) sums_parts(GLOBAL const float *restrict x, GLOBAL const float *restrict stats, GLOBAL const float *restrict dy,
                     GLOBAL const float *restrict more, GLOBAL const float *restrict y, GLOBAL float *restrict dz,
                     GLOBAL float *restrict parts, int ch, int n, int span, int count, int centred, int added,
                     int rectified, float top) {
    LOCAL float s1[T], s2[T];
    int c = GROUP(1), from = GROUP(0) * span, to = from + span < n ? from + span : n;
    float mean = centred ? stats[c] : 0.0f, a = 0.0f, q = 0.0f;
    for (int i = from + THREAD; i < to; i += T) {
        int at = AT;
        float d = dy[at];
        if (added) d += more[at];
        if (rectified && (y[at] == 0.0f || y[at] == top)) d = 0.0f;
        if (added || rectified) dz[at] = d;
        a += d;
        if (centred) q = FMA(d, x[at] - mean, q);
    }
    s1[THREAD] = a;
    s2[THREAD] = q;
    ADD_UP(s1)
    ADD_UP(s2)
    if (THREAD == 0) {
        parts[(c * count + GROUP(0)) * 2] = s1[0];
        parts[(c * count + GROUP(0)) * 2 + 1] = s2[0];
    }
}

/* The gradients by gamma, if the sums are centred, and beta. */
KERNEL(T) sums(GLOBAL const float *restrict parts, GLOBAL const float *restrict stats, GLOBAL float *restrict dgamma,
               GLOBAL float *restrict dbeta, int ch, int count, int centred, float epsilon) {
    int c = ELEMENT;
    if (c >= ch) return;
    float a = 0.0f, q = 0.0f;
    for (int i = 0; i < count; i++) {
        a += parts[(c * count + i) * 2];
        q += parts[(c * count + i) * 2 + 1];
    }
    dbeta[c] = a;
    if (centred) dgamma[c] = q / SQRT(stats[ch + c] + epsilon);
}

/* The gradient by the images, of which a channel has m values. */
KERNEL(T) norm_by_input(GLOBAL const float *restrict x, GLOBAL const float *restrict stats,
                        GLOBAL const float *restrict gamma, GLOBAL const float *restrict dgamma,
                        GLOBAL const float *restrict dbeta, GLOBAL const float *restrict dy, GLOBAL float *restrict dx,
                        int ch, int n, int m, int frozen, float epsilon) {
    int i = ELEMENT;
    if (i >= n) return;
    int c = i / HW % ch;
    float inv = 1.0f / SQRT(stats[ch + c] + epsilon), d = dy[i];
    if (!frozen) d -= FMA((x[i] - stats[c]) * inv, dgamma[c], dbeta[c]) / (float)m;
    dx[i] = gamma[c] * inv * d;
}
