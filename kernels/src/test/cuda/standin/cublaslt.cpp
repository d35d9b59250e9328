// A stand-in for cublasLt, for tests on machines without a GPU, and the only code there that computes
// products: every element is one chain of fused multiply-adds over ascending k in F32, whatever the
// shape. What the back end may not rely on is refused: split sums, a missing workspace, alignments
// that the chosen algorithm was not promised.
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <functional>
#include <vector>

int standin_run(void* stream, std::function<int()> work);  // of the stand-in for the driver

namespace {

constexpr int SUCCESS = 0;
constexpr int INVALID_VALUE = 7;
constexpr int NOT_SUPPORTED = 15;
constexpr int F32 = 0;
constexpr int F16 = 2;
constexpr int BF16 = 14;
constexpr int COMPUTE_F32 = 68;
constexpr int EPILOGUE_DEFAULT = 1;
constexpr int EPILOGUE_BIAS = 4;
constexpr int EPILOGUE_GELU_AUX_BIAS = 164;
constexpr int EPILOGUE_DGELU = 192;
constexpr size_t WORKSPACE = 4096;
constexpr uint64_t ALGORITHM = 0xca57a11a;

struct Description {
    int compute;
    int scale;
    int transpose_a = 0;
    int transpose_b = 0;
    int epilogue = EPILOGUE_DEFAULT;
    const void* bias = nullptr;
    const void* auxiliary = nullptr;
    int64_t stride = 0;
};

struct Layout {
    int type;
    uint64_t rows;
    uint64_t columns;
    int64_t leading;
    int count = 1;  // matrices
    int64_t offset = 0;
};

struct Preference {
    uint64_t workspace = 0;
    uint32_t reductions = ~0u;
    uint32_t alignment[4] = {256, 256, 256, 256};
};

struct Algorithm {
    uint64_t data[8];
};

struct Heuristic {
    Algorithm algorithm;
    size_t workspace;
    int state;
    float waves;
    int reserved[4];
};

static_assert(sizeof(Heuristic) == 96, "as cublasLt's");

float half(uint16_t bits) {
    _Float16 value;
    memcpy(&value, &bits, 2);
    return float(value);
}

float read(int type, const void* at, int64_t i) {
    if (type == F32) return static_cast<const float*>(at)[i];
    uint16_t bits = static_cast<const uint16_t*>(at)[i];
    if (type == F16) return half(bits);
    uint32_t wide = uint32_t(bits) << 16;
    float value;
    memcpy(&value, &wide, 4);
    return value;
}

void write(int type, void* at, int64_t i, float value) {
    if (type == F32) {
        static_cast<float*>(at)[i] = value;
        return;
    }
    uint16_t bits;
    if (type == F16) {
        _Float16 rounded = _Float16(value);
        memcpy(&bits, &rounded, 2);
    } else {
        uint32_t wide;
        memcpy(&wide, &value, 4);
        bits = std::isnan(value) ? (wide >> 16) | 0x40 : (wide + 0x7fff + ((wide >> 16) & 1)) >> 16;
    }
    static_cast<uint16_t*>(at)[i] = bits;
}

bool aligned(const void* address, uint64_t bytes) { return reinterpret_cast<uintptr_t>(address) % bytes == 0; }

// Whether all matrices are aligned if the first is.
bool apart(const Layout& of, uint64_t bytes) {
    return of.count == 1 || of.offset * (of.type == F32 ? 4 : 2) % bytes == 0;
}

bool fits(const Description& what, const Layout& a, const Layout& b, const Layout& d) {
    uint64_t m = what.transpose_a ? a.columns : a.rows;
    uint64_t k = what.transpose_a ? a.rows : a.columns;
    uint64_t n = what.transpose_b ? b.rows : b.columns;
    uint64_t other = what.transpose_b ? b.columns : b.rows;
    return a.count == d.count && b.count == d.count && k == other && d.rows == m && d.columns == n && a.leading >= int64_t(a.rows)
            && b.leading >= int64_t(b.rows) && d.leading >= int64_t(d.rows);
}

// cublasLt's table of types: the bias has the result's type.
bool supported(const Description& what, const Layout& a, const Layout& b, const Layout& d) {
    return what.compute == COMPUTE_F32 && what.scale == F32 && a.type == b.type
            && (d.type == a.type || d.type == F32)
            && (what.epilogue == EPILOGUE_DEFAULT || what.epilogue == EPILOGUE_BIAS
                    || ((what.epilogue == EPILOGUE_GELU_AUX_BIAS || what.epilogue == EPILOGUE_DGELU)
                            && d.type != F32 && what.auxiliary && what.stride % 8 == 0
                            && what.stride >= int64_t(d.rows)));
}

// GELU's form with tanh, and its slope.
float gelu(float x) {
    double u = 0.7978845608028654 * (x + 0.044715 * x * double(x) * x);
    return float(0.5 * x * (1 + std::tanh(u)));
}

float slope(float x) {
    double u = 0.7978845608028654 * (x + 0.044715 * x * double(x) * x);
    double t = std::tanh(u);
    return float(0.5 * (1 + t) + 0.5 * x * (1 - t * t) * 0.7978845608028654 * (1 + 3 * 0.044715 * x * double(x)));
}

const void* matrix(const void* first, const Layout& of, int i) {
    return static_cast<const char*>(first) + i * of.offset * (of.type == F32 ? 4 : 2);
}

// The product itself, of copies of everything that describes it.
void multiply(const Description& what, const void* a, const Layout& of_a, const void* b, const Layout& of_b,
        float beta, const void* c, const Layout& of_c, void* d, const Layout& of_d, void* workspace) {
    memset(workspace, 0x5a, WORKSPACE);
    int64_t m = of_d.rows;
    int64_t n = of_d.columns;
    int64_t k = what.transpose_a ? of_a.rows : of_a.columns;
    std::vector<float> left(size_t(m) * k);  // (k, m): m moves fastest
    for (int64_t l = 0; l < k; l++) {
        for (int64_t i = 0; i < m; i++) {
            left[l * m + i] = read(of_a.type, a,
                    what.transpose_a ? i * of_a.leading + l : l * of_a.leading + i);
        }
    }
    std::vector<float> sums(m);
    for (int64_t j = 0; j < n; j++) {
        std::fill(sums.begin(), sums.end(), 0.0f);
        for (int64_t l = 0; l < k; l++) {
            float right = read(of_b.type, b,
                    what.transpose_b ? l * of_b.leading + j : j * of_b.leading + l);
            const float* row = &left[l * m];
            for (int64_t i = 0; i < m; i++) sums[i] = std::fma(row[i], right, sums[i]);
        }
        for (int64_t i = 0; i < m; i++) {
            float value = sums[i];
            if (beta != 0) value += beta * read(of_c.type, c, j * of_c.leading + i);
            if (what.epilogue == EPILOGUE_DGELU) {
                value *= slope(read(of_d.type, what.auxiliary, j * what.stride + i));
            }
            if (what.epilogue == EPILOGUE_BIAS || what.epilogue == EPILOGUE_GELU_AUX_BIAS) value += read(of_d.type, what.bias, i);
            if (what.epilogue == EPILOGUE_GELU_AUX_BIAS) {
                write(of_d.type, const_cast<void*>(what.auxiliary), j * what.stride + i, value);
                value = gelu(value);
            }
            write(of_d.type, d, j * of_d.leading + i, value);
        }
    }
}

}  // namespace

extern "C" {

size_t cublasLtGetVersion() { return 130000; }

int cublasLtCreate(void** handle) {
    *handle = new int(1);
    return SUCCESS;
}

int cublasLtDestroy(void* handle) {
    delete static_cast<int*>(handle);
    return SUCCESS;
}

int cublasLtMatmulDescCreate(Description** description, int compute, int scale) {
    *description = new Description{compute, scale};
    return SUCCESS;
}

int cublasLtMatmulDescSetAttribute(Description* description, int attribute, const void* value, size_t bytes) {
    switch (attribute) {
        case 3: return bytes == 4 ? (memcpy(&description->transpose_a, value, 4), SUCCESS) : INVALID_VALUE;
        case 4: return bytes == 4 ? (memcpy(&description->transpose_b, value, 4), SUCCESS) : INVALID_VALUE;
        case 7: return bytes == 4 ? (memcpy(&description->epilogue, value, 4), SUCCESS) : INVALID_VALUE;
        case 8: return bytes == 8 ? (memcpy(&description->bias, value, 8), SUCCESS) : INVALID_VALUE;
        case 11: return bytes == 8 ? (memcpy(&description->auxiliary, value, 8), SUCCESS) : INVALID_VALUE;
        case 12: return bytes == 8 ? (memcpy(&description->stride, value, 8), SUCCESS) : INVALID_VALUE;
        default: return INVALID_VALUE;
    }
}

int cublasLtMatmulDescDestroy(Description* description) {
    delete description;
    return SUCCESS;
}

int cublasLtMatrixLayoutCreate(Layout** layout, int type, uint64_t rows, uint64_t columns, int64_t leading) {
    *layout = new Layout{type, rows, columns, leading, 1, 0};
    return SUCCESS;
}

int cublasLtMatrixLayoutSetAttribute(Layout* layout, int attribute, const void* value, size_t bytes) {
    switch (attribute) {
        case 5: return bytes == 4 ? (memcpy(&layout->count, value, 4), SUCCESS) : INVALID_VALUE;
        case 6: return bytes == 8 ? (memcpy(&layout->offset, value, 8), SUCCESS) : INVALID_VALUE;
        default: return NOT_SUPPORTED;
    }
}

int cublasLtMatrixLayoutDestroy(Layout* layout) {
    delete layout;
    return SUCCESS;
}

int cublasLtMatmulPreferenceCreate(Preference** preference) {
    *preference = new Preference;
    return SUCCESS;
}

int cublasLtMatmulPreferenceSetAttribute(Preference* preference, int attribute, const void* value, size_t bytes) {
    switch (attribute) {
        case 1: return bytes == 8 ? (memcpy(&preference->workspace, value, 8), SUCCESS) : INVALID_VALUE;
        case 3: return bytes == 4 ? (memcpy(&preference->reductions, value, 4), SUCCESS) : INVALID_VALUE;
        case 5: case 6: case 7: case 8:
            return bytes == 4 ? (memcpy(&preference->alignment[attribute - 5], value, 4), SUCCESS) : INVALID_VALUE;
        default: return INVALID_VALUE;
    }
}

int cublasLtMatmulPreferenceDestroy(Preference* preference) {
    delete preference;
    return SUCCESS;
}

int cublasLtMatmulAlgoGetHeuristic(void* handle, Description* what, Layout* a, Layout* b, Layout* c, Layout* d,
        Preference* preference, int wanted, Heuristic* results, int* found) {
    *found = 0;
    if (!handle || wanted < 1 || !fits(*what, *a, *b, *d) || c->rows != d->rows) return INVALID_VALUE;
    if (preference->reductions != 0) return NOT_SUPPORTED;  // sums that are split are not repeatable
    if (!supported(*what, *a, *b, *d) || preference->workspace < WORKSPACE) return NOT_SUPPORTED;
    memset(results, 0, sizeof *results);
    results->algorithm.data[0] = ALGORITHM;
    for (int i = 0; i < 4; i++) results->algorithm.data[1 + i] = preference->alignment[i];
    results->workspace = WORKSPACE;
    *found = 1;
    return SUCCESS;
}

int cublasLtMatmulAlgoCheck(void* handle, Description* what, Layout* a, Layout* b, Layout*, Layout* d,
        const Algorithm* algorithm, Heuristic* result) {
    if (!handle || algorithm->data[0] != ALGORITHM || !fits(*what, *a, *b, *d)) return INVALID_VALUE;
    result->workspace = WORKSPACE;
    result->state = SUCCESS;
    return SUCCESS;
}

int cublasLtMatmul(void* handle, Description* what, const float* alpha, const void* a, Layout* of_a, const void* b,
        Layout* of_b, const float* beta, const void* c, Layout* of_c, void* d, Layout* of_d,
        const Algorithm* algorithm, void* workspace, size_t workspace_bytes, void* stream) {
    if (!handle || !stream || *alpha != 1 || !fits(*what, *of_a, *of_b, *of_d)) return INVALID_VALUE;
    if (!algorithm || algorithm->data[0] != ALGORITHM) return INVALID_VALUE;
    if (!supported(*what, *of_a, *of_b, *of_d)) return NOT_SUPPORTED;
    if (!workspace || !aligned(workspace, 256) || workspace_bytes < WORKSPACE) return INVALID_VALUE;
    if (!aligned(a, algorithm->data[1]) || !aligned(b, algorithm->data[2]) || !aligned(c, algorithm->data[3])
            || !aligned(d, algorithm->data[4]) || !apart(*of_a, algorithm->data[1])
            || !apart(*of_b, algorithm->data[2]) || !apart(*of_d, algorithm->data[4])) {
        return NOT_SUPPORTED;
    }
    return standin_run(stream, [=, what = *what, of_a = *of_a, of_b = *of_b, of_c = *of_c, of_d = *of_d,
            beta = *beta] {
        for (int i = 0; i < of_d.count; i++) {
            multiply(what, matrix(a, of_a, i), of_a, matrix(b, of_b, i), of_b, beta, matrix(c, of_c, i), of_c,
                    const_cast<void*>(matrix(d, of_d, i)), of_d, workspace);
        }
        return SUCCESS;
    });
}

}  // extern "C"
