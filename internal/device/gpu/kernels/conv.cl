/* Convolution as one tiled implicit GEMM, C[m][n] = sum over k of A[m][k] B[k][n], with weights [out][in][KH][KW].
   PASS picks what m, n and k stand for:
     0 forward            m = out channel  n = output pixel       k = (in channel, row, column)
     1 gradient by input  m = in channel   n = input pixel        k = (out channel, row, column)
     2 gradient by weights m = out channel n = (in channel, row, column)  k = output pixel
   Pixels count over the whole batch. No index is ever divided by the batch or by a number of channels. The host writes
   the text once for each tile of TM x TN, of which a thread has RM x RN: TILE stands for the tile's name. */
#define AREA_IN (HI * WI)
#define AREA_OUT (HO * WO)
#define TAPS (KH * KW)

/* Offset of A[m][k] in its tensor. */
DEVICE int a_at_TILE(int m, int k, int ci, int co) {
#if PASS == 0
    return m * ci * TAPS + k;
#elif PASS == 1
    return (k / TAPS * ci + m) * TAPS + k % TAPS;
#else
    return (k / AREA_OUT * co + m) * AREA_OUT + k % AREA_OUT;
#endif
}

/* Offset of B[k][n] in its tensor, or -1 for padding. */
DEVICE int b_at_TILE(int k, int n, int ci, int co) {
#if PASS == 1
    int y = n % AREA_IN / WI + PAD - k % TAPS / KW, x = n % WI + PAD - k % KW;
    if (y < 0 || x < 0 || y % STRIDE != 0 || x % STRIDE != 0 || y / STRIDE >= HO || x / STRIDE >= WO) return -1;
    return (n / AREA_IN * co + k / TAPS) * AREA_OUT + y / STRIDE * WO + x / STRIDE;
#else
    int tap = PASS == 0 ? k : n, pixel = PASS == 0 ? n : k;
    int y = pixel % AREA_OUT / WO * STRIDE - PAD + tap % TAPS / KW, x = pixel % WO * STRIDE - PAD + tap % KW;
    if (y < 0 || x < 0 || y >= HI || x >= WI) return -1;
    return (pixel / AREA_OUT * ci + tap / TAPS) * AREA_IN + y * WI + x;
#endif
}

/* GROUP(2) covers a stretch of k of the length span, a multiple of TK, and has an array C of its own. */
KERNEL(THREADS) conv_TILE(GLOBAL const float *restrict a, GLOBAL const float *restrict b, GLOBAL float *restrict c,
                          int batch, int ci, int co, int span) {
    LOCAL float as[TK][TM + 1], bs[TK][TN + 1];
    float sum[RM][RN];
    int ms = PASS == 1 ? ci : co;
    int ns = PASS == 0 ? batch * AREA_OUT : PASS == 1 ? batch * AREA_IN : ci * TAPS;
    int ks = PASS == 0 ? ci * TAPS : PASS == 1 ? co * TAPS : batch * AREA_OUT;
    int m0 = GROUP(1) * TM, n0 = GROUP(0) * TN, tm = THREAD / (TN / RN), tn = THREAD % (TN / RN);
    int k0 = GROUP(2) * span, end = k0 + span < ks ? k0 + span : ks;
    for (int i = 0; i < RM; i++)
        for (int j = 0; j < RN; j++) sum[i][j] = 0.0f;
    for (; k0 < end; k0 += TK) {
        for (int e = THREAD; e < TM * TK; e += THREADS) { /* neighbours read along k */
            int m = e / TK, k = e % TK;
            as[k][m] = m0 + m < ms && k0 + k < end ? a[a_at_TILE(m0 + m, k0 + k, ci, co)] : 0.0f;
        }
        for (int e = THREAD; e < TN * TK; e += THREADS) { /* neighbours read along pixels */
            int n = PASS == 2 ? e / TK : e % TN, k = PASS == 2 ? e % TK : e / TN;
            int at = n0 + n < ns && k0 + k < end ? b_at_TILE(k0 + k, n0 + n, ci, co) : -1;
            bs[k][n] = at >= 0 ? b[at] : 0.0f;
        }
        BARRIER();
        for (int k = 0; k < TK; k++)
            for (int i = 0; i < RM; i++) {
                float v = as[k][tm + i * (TM / RM)];
                for (int j = 0; j < RN; j++) sum[i][j] = FMA(v, bs[k][tn + j * (TN / RN)], sum[i][j]);
            }
        BARRIER();
    }
    for (int i = 0; i < RM; i++)
        for (int j = 0; j < RN; j++) {
            int m = m0 + tm + i * (TM / RM), n = n0 + tn + j * (TN / RN);
            if (m >= ms || n >= ns) continue;
            if (PASS == 0) c[(n / AREA_OUT * co + m) * AREA_OUT + n % AREA_OUT] = sum[i][j];
            if (PASS == 1) c[(n / AREA_IN * ci + m) * AREA_IN + n % AREA_IN] = sum[i][j];
            if (PASS == 2) c[(GROUP(2) * ms + m) * ns + n] = sum[i][j];
        }
}
