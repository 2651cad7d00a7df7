/* Depthwise convolution, where every channel has a window of its own, and its gradients. Geometry as in conv.cl. */
#define TAPS (KH * KW)

KERNEL(T) depthwise(GLOBAL const float *restrict x, GLOBAL const float *restrict w, GLOBAL float *restrict y, int ch,
                    int n) {
    int i = ELEMENT;
    if (i >= n) return;
    int plane = i / (HO * WO), y0 = i % (HO * WO) / WO * STRIDE - PAD, x0 = i % WO * STRIDE - PAD;
    float sum = 0.0f;
    for (int r = 0; r < KH; r++)
        for (int q = 0; q < KW; q++) {
            int h = y0 + r, v = x0 + q;
            if (h < 0 || v < 0 || h >= HI || v >= WI) continue;
            sum = FMA(w[plane % ch * TAPS + r * KW + q], x[(plane * HI + h) * WI + v], sum);
        }
    y[i] = sum;
}

KERNEL(T) depthwise_by_input(GLOBAL const float *restrict w, GLOBAL const float *restrict dy, GLOBAL float *restrict dx,
                             int ch, int n) {
    int i = ELEMENT;
    if (i >= n) return;
    int plane = i / (HI * WI), y0 = i % (HI * WI) / WI + PAD, x0 = i % WI + PAD;
    float sum = 0.0f;
    for (int r = 0; r < KH; r++)
        for (int q = 0; q < KW; q++) {
            int h = y0 - r, v = x0 - q;
            if (h < 0 || v < 0 || h % STRIDE != 0 || v % STRIDE != 0 || h / STRIDE >= HO || v / STRIDE >= WO) continue;
            sum = FMA(w[plane % ch * TAPS + r * KW + q], dy[(plane * HO + h / STRIDE) * WO + v / STRIDE], sum);
        }
    dx[i] = sum;
}

/* Group (tap of a channel, part) sums a stretch of the length span of the channel's n output pixels. */
KERNEL(T) depthwise_by_weights(GLOBAL const float *restrict x, GLOBAL const float *restrict dy,
                               GLOBAL float *restrict dw, int ch, int n, int span) {
    LOCAL float s[T];
    int c = GROUP(0) / TAPS, r = GROUP(0) % TAPS / KW, q = GROUP(0) % KW;
    int from = GROUP(1) * span, to = from + span < n ? from + span : n;
    float sum = 0.0f;
    for (int i = from + THREAD; i < to; i += T) {
        int plane = i / (HO * WO) * ch + c, pixel = i % (HO * WO);
        int h = pixel / WO * STRIDE - PAD + r, v = pixel % WO * STRIDE - PAD + q;
        if (h < 0 || v < 0 || h >= HI || v >= WI) continue;
        sum = FMA(x[(plane * HI + h) * WI + v], dy[plane * (HO * WO) + pixel], sum);
    }
    s[THREAD] = sum;
    ADD_UP(s)
    if (THREAD == 0) dw[GROUP(1) * ch * TAPS + GROUP(0)] = s[0];
}
