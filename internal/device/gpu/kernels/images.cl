/* Pixels of hi x wi images to a network's input: padded, cropped, mirrored and scaled as in ops.Images. */

KERNEL(T) images(GLOBAL const uchar *restrict pixels, GLOBAL const uint *restrict moves,
                 GLOBAL const float *restrict scale, GLOBAL float *restrict y, int ch, int hi, int wi, int pad, int n) {
    int i = ELEMENT;
    if (i >= n) return;
    int plane = i / (hi * wi), image = plane / ch, c = plane % ch;
    int column = moves[3 * image + 2] == 1 ? wi - 1 - i % wi : i % wi;
    int h = i % (hi * wi) / wi + (int)moves[3 * image] - pad, v = column + (int)moves[3 * image + 1] - pad;
    float pixel = h >= 0 && v >= 0 && h < hi && v < wi ? (float)pixels[(plane * hi + h) * wi + v] : 0.0f;
    y[i] = FMA(scale[c], pixel, scale[ch + c]);
}
