/* What needs no geometry: functions of single elements, dropout masks, and sums of parts. */

KERNEL(T) rectifier_by_input(GLOBAL const float *restrict y, GLOBAL const float *restrict dy, GLOBAL float *restrict dx,
                             int n, float top) {
    int i = ELEMENT;
    if (i < n) dx[i] = y[i] == 0.0f || y[i] == top ? 0.0f : dy[i];
}

KERNEL(T) sigmoid(GLOBAL const float *restrict x, GLOBAL float *restrict y, int n) {
    int i = ELEMENT;
    if (i < n) y[i] = 1.0f / (1.0f + EXP(-x[i]));
}

KERNEL(T) sigmoid_by_input(GLOBAL const float *restrict y, GLOBAL const float *restrict dy, GLOBAL float *restrict dx,
                           int n) {
    int i = ELEMENT;
    if (i < n) dx[i] = y[i] * (1.0f - y[i]) * dy[i];
}

/* Adds one of `columns` numbers to each element of the rows y. */
KERNEL(T) add_bias(GLOBAL const float *restrict bias, GLOBAL float *restrict y, int columns, int n) {
    int i = ELEMENT;
    if (i < n) y[i] += bias[i % columns];
}

/* y is the sum of `count` arrays of n elements, added in their order. */
KERNEL(T) sum_parts(GLOBAL const float *restrict parts, GLOBAL float *restrict y, int n, int count) {
    int i = ELEMENT;
    if (i >= n) return;
    float sum = 0.0f;
    for (int p = 0; p < count; p++) sum += parts[p * n + i];
    y[i] = sum;
}

/* y repeats `period` elements of x, from element `from` on. */
KERNEL(T) repeat_elements(GLOBAL const float *restrict x, GLOBAL float *restrict y, int from, int period, int to, int n) {
    int i = ELEMENT;
    if (i < n) y[to + i] = x[from + i % period];
}

/* Word `which` of Philox4x32-10 for a key and a counter, as in rng.Philox. */
DEVICE uint philox(uint key0, uint key1, uint c0, uint c1, uint c2, uint c3, int which) {
    for (int round = 0; round < 10; round++) {
        uint high0 = MULHI(0xD2511F53u, c0), low0 = 0xD2511F53u * c0;
        uint high1 = MULHI(0xCD9E8D57u, c2), low1 = 0xCD9E8D57u * c2;
        c0 = high1 ^ c1 ^ key0;
        c1 = low1;
        c2 = high0 ^ c3 ^ key1;
        c3 = low0;
        key0 += 0x9E3779B9u;
        key1 += 0xBB67AE85u;
    }
    return which == 0 ? c0 : which == 1 ? c1 : which == 2 ? c2 : c3;
}

/* The factors of channel dropout as in ops.DropMask, for n / ch rows. The rows are repeats of a batch of `plain` images if
   they are swept, else one batch in the repeat that the key has. */
KERNEL(T) drop_mask(GLOBAL const float *restrict rates, GLOBAL const uint *restrict samples,
                    GLOBAL const uint *restrict key, GLOBAL float *restrict factors, int layer, int ch, int plain,
                    int swept, int n) {
    int i = ELEMENT;
    if (i >= n) return;
    int image = i / ch, c = i % ch;
    uint repeat = swept ? (uint)(image / plain) : key[2];
    uint word = philox(key[0], key[1], samples[image % plain], (uint)layer, repeat, (uint)(c / 4), c % 4);
    float rate = rates[layer];
    factors[i] = rate <= 0.0f ? 1.0f : (float)(word >> 8) * (1.0f / 16777216.0f) < rate ? 0.0f : 1.0f / (1.0f - rate);
}
