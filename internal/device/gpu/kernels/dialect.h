/* One kernel text, two languages: OpenCL C 1.2, and CUDA C++ as NVRTC takes it. What keeps that simple: work groups have
   one dimension; only kernels take pointers, for OpenCL 1.2 wants an address space with each; indices are int, and the
   host refuses larger tensors; nothing depends on the order in which groups run. Feature maps are NCHW. Geometry is
   compiled in as -D constants, and so is the number T of threads in a group; the batch and all numbers of channels are
   arguments. */
#ifdef __OPENCL_C_VERSION__
#define KERNEL(threads) __kernel __attribute__((reqd_work_group_size(threads, 1, 1))) void
#define DEVICE
#define GLOBAL __global
#define LOCAL __local
#define BARRIER() barrier(CLK_LOCAL_MEM_FENCE)
#define THREAD ((int)get_local_id(0))
#define GROUP(d) ((int)get_group_id(d))
#define MULHI(a, b) mul_hi((uint)(a), (uint)(b))
#define FMA(a, b, c) fma(a, b, c)
#define SQRT(a) sqrt(a)
#define EXP(a) exp(a)
#define LOG(a) log(a)
#else
typedef unsigned int uint;
typedef unsigned char uchar;
#define restrict __restrict__
#define KERNEL(threads) extern "C" __global__ void __launch_bounds__(threads)
#define DEVICE static __device__ __forceinline__
#define GLOBAL
#define LOCAL __shared__
#define BARRIER() __syncthreads()
#define THREAD ((int)threadIdx.x)
#define GROUP(d) ((int)((d) == 0 ? blockIdx.x : (d) == 1 ? blockIdx.y : blockIdx.z))
#define MULHI(a, b) __umulhi((uint)(a), (uint)(b))
#define FMA(a, b, c) fmaf(a, b, c)
#define SQRT(a) sqrtf(a)
#define EXP(a) expf(a)
#define LOG(a) logf(a)
#endif

/* The element that a thread of an elementwise kernel with groups of T works on. */
#define ELEMENT (GROUP(0) * T + THREAD)

/* Adds up the local array s of T numbers in s[0], always in the same order. What s[0] is read by must wait. */
#define ADD_UP(s)                                     \
    for (int h_ = T / 2; h_ > 0; h_ /= 2) {           \
        BARRIER();                                    \
        if (THREAD < h_) s[THREAD] += s[THREAD + h_]; \
    }
