/* SPDX-License-Identifier: MIT */
/* AES (FIPS 197), carry-less products, GF(2^8), SHA-1 and SHA-256 (FIPS 180-4). */
#include "cpu/vector_verbs.h"

union bytes {
    v128 v;
    u8 b[16];
    u32 d[4];
    u64 q[2];
};

#define BINARY(name, verb)                                                                                  \
    void op_##name(CPU, IN)                                                                                 \
    {                                                                                                       \
        vector_binary(cpu, in, verb, MMX_LOW);                                                              \
    }

/* ---- GF(2^8) modulo x^8 + x^4 + x^3 + x + 1, which AES and GFNI share ---- */

static u8 gf_multiply(u8 a, u8 b)
{
    u8 r = 0;

    for (; b; b >>= 1) {
        r ^= b & 1 ? a : 0;
        a = (u8)(a << 1 ^ (a & 0x80 ? 0x1b : 0));
    }
    return r;
}

/* The inverses; zero's is zero. */
static const u8 gf_inverse[256] = {
    0x00, 0x01, 0x8d, 0xf6, 0xcb, 0x52, 0x7b, 0xd1, 0xe8, 0x4f, 0x29, 0xc0, 0xb0, 0xe1, 0xe5, 0xc7,
    0x74, 0xb4, 0xaa, 0x4b, 0x99, 0x2b, 0x60, 0x5f, 0x58, 0x3f, 0xfd, 0xcc, 0xff, 0x40, 0xee, 0xb2,
    0x3a, 0x6e, 0x5a, 0xf1, 0x55, 0x4d, 0xa8, 0xc9, 0xc1, 0x0a, 0x98, 0x15, 0x30, 0x44, 0xa2, 0xc2,
    0x2c, 0x45, 0x92, 0x6c, 0xf3, 0x39, 0x66, 0x42, 0xf2, 0x35, 0x20, 0x6f, 0x77, 0xbb, 0x59, 0x19,
    0x1d, 0xfe, 0x37, 0x67, 0x2d, 0x31, 0xf5, 0x69, 0xa7, 0x64, 0xab, 0x13, 0x54, 0x25, 0xe9, 0x09,
    0xed, 0x5c, 0x05, 0xca, 0x4c, 0x24, 0x87, 0xbf, 0x18, 0x3e, 0x22, 0xf0, 0x51, 0xec, 0x61, 0x17,
    0x16, 0x5e, 0xaf, 0xd3, 0x49, 0xa6, 0x36, 0x43, 0xf4, 0x47, 0x91, 0xdf, 0x33, 0x93, 0x21, 0x3b,
    0x79, 0xb7, 0x97, 0x85, 0x10, 0xb5, 0xba, 0x3c, 0xb6, 0x70, 0xd0, 0x06, 0xa1, 0xfa, 0x81, 0x82,
    0x83, 0x7e, 0x7f, 0x80, 0x96, 0x73, 0xbe, 0x56, 0x9b, 0x9e, 0x95, 0xd9, 0xf7, 0x02, 0xb9, 0xa4,
    0xde, 0x6a, 0x32, 0x6d, 0xd8, 0x8a, 0x84, 0x72, 0x2a, 0x14, 0x9f, 0x88, 0xf9, 0xdc, 0x89, 0x9a,
    0xfb, 0x7c, 0x2e, 0xc3, 0x8f, 0xb8, 0x65, 0x48, 0x26, 0xc8, 0x12, 0x4a, 0xce, 0xe7, 0xd2, 0x62,
    0x0c, 0xe0, 0x1f, 0xef, 0x11, 0x75, 0x78, 0x71, 0xa5, 0x8e, 0x76, 0x3d, 0xbd, 0xbc, 0x86, 0x57,
    0x0b, 0x28, 0x2f, 0xa3, 0xda, 0xd4, 0xe4, 0x0f, 0xa9, 0x27, 0x53, 0x04, 0x1b, 0xfc, 0xac, 0xe6,
    0x7a, 0x07, 0xae, 0x63, 0xc5, 0xdb, 0xe2, 0xea, 0x94, 0x8b, 0xc4, 0xd5, 0x9d, 0xf8, 0x90, 0x6b,
    0xb1, 0x0d, 0xd6, 0xeb, 0xc6, 0x0e, 0xcf, 0xad, 0x08, 0x4e, 0xd7, 0xe3, 0x5d, 0x50, 0x1e, 0xb3,
    0x5b, 0x23, 0x38, 0x34, 0x68, 0x46, 0x03, 0x8c, 0xdd, 0x9c, 0x7d, 0xa0, 0xcd, 0x1a, 0x41, 0x1c,
};

/* Bit i of the result: the parity of row 7 - i of the matrix, masked by x. */
static u8 gf_affine(u64 matrix, u8 x)
{
    u8 r = 0;

    for (unsigned i = 0; i < 8; i++)
        r |= (u8)(__builtin_parity((u8)(matrix >> 8 * (7 - i)) & x) << i);
    return r;
}

static v128 affine(v128 a, v128 b, unsigned imm, bool inverts)
{
    union bytes x = { a }, m = { b };

    for (unsigned i = 0; i < 16; i++)
        x.b[i] = (u8)(gf_affine(m.q[i / 8], inverts ? gf_inverse[x.b[i]] : x.b[i]) ^ imm);
    return x.v;
}

static v128 multiply_bytes(v128 a, v128 b)
{
    union bytes x = { a }, y = { b };

    for (unsigned i = 0; i < 16; i++)
        x.b[i] = gf_multiply(x.b[i], y.b[i]);
    return x.v;
}

VECTOR_SHUFFLE(gf2p8affineqb, affine(a, b, imm, false))
VECTOR_SHUFFLE(gf2p8affineinvqb, affine(a, b, imm, true))
BINARY(gf2p8mulb, multiply_bytes)

/* ---- AES ---- */

static u8 rotate_left(u8 v, unsigned n)
{
    return (u8)(v << n | v >> (8 - n));
}

static u8 substitute(u8 x)
{
    u8 v = gf_inverse[x];

    return v ^ rotate_left(v, 1) ^ rotate_left(v, 2) ^ rotate_left(v, 3) ^ rotate_left(v, 4) ^ 0x63;
}

static u8 substitute_back(u8 x)
{
    return gf_inverse[(u8)(rotate_left(x, 1) ^ rotate_left(x, 3) ^ rotate_left(x, 6) ^ 0x05)];
}

static u32 substitute_word(u32 v)
{
    u32 r = 0;

    for (unsigned i = 0; i < 32; i += 8)
        r |= (u32)substitute((u8)(v >> i)) << i;
    return r;
}

/* Row r of the state is turned by r columns, to the left or back to the right. */
static v128 rows_and_bytes(v128 state, bool back)
{
    union bytes from = { state }, to;

    for (unsigned i = 0; i < 16; i++) {
        unsigned row = i & 3, column = (back ? i / 4 - row : i / 4 + row) & 3;
        u8 v = from.b[column * 4 + row];

        to.b[i] = back ? substitute_back(v) : substitute(v);
    }
    return to.v;
}

/* Each column times a circulant matrix, of which `c` is the first row. */
static v128 mix_columns(v128 state, const u8 c[4])
{
    union bytes from = { state }, to;

    for (unsigned i = 0; i < 16; i++) {
        to.b[i] = 0;
        for (unsigned j = 0; j < 4; j++)
            to.b[i] ^= gf_multiply(from.b[(i & 12) + ((i + j) & 3)], c[j]);
    }
    return to.v;
}

static const u8 mix[4] = { 2, 3, 1, 1 }, mix_back[4] = { 14, 11, 13, 9 };

static v128 encrypt(v128 a, v128 key)
{
    return mix_columns(rows_and_bytes(a, false), mix) ^ key;
}

static v128 encrypt_last(v128 a, v128 key)
{
    return rows_and_bytes(a, false) ^ key;
}

static v128 decrypt(v128 a, v128 key)
{
    return mix_columns(rows_and_bytes(a, true), mix_back) ^ key;
}

static v128 decrypt_last(v128 a, v128 key)
{
    return rows_and_bytes(a, true) ^ key;
}

static v128 inverse_mix(v128 a, v128 b)
{
    (void)a;
    return mix_columns(b, mix_back);
}

static v128 key_assist(v128 b, unsigned imm)
{
    union bytes v = { b };
    u32 x1 = substitute_word(v.d[1]), x3 = substitute_word(v.d[3]);

    v.d[0] = x1;
    v.d[1] = (x1 >> 8 | x1 << 24) ^ imm;
    v.d[2] = x3;
    v.d[3] = (x3 >> 8 | x3 << 24) ^ imm;
    return v.v;
}

BINARY(aesenc, encrypt)
BINARY(aesenclast, encrypt_last)
BINARY(aesdec, decrypt)
BINARY(aesdeclast, decrypt_last)
BINARY(aesimc, inverse_mix)
VECTOR_SHUFFLE(aeskeygenassist, key_assist(b, imm))

/* ---- PCLMULQDQ: imm says which halves ---- */

static v128 carryless(u64 a, u64 b)
{
    v128 r = { 0, 0 };

    for (unsigned i = 0; i < 64; i++) {
        if (!(b >> i & 1))
            continue;
        r[0] ^= a << i;
        r[1] ^= i ? a >> (64 - i) : 0;
    }
    return r;
}

VECTOR_SHUFFLE(pclmulqdq, carryless(a[imm & 1], b[imm >> 4 & 1]))

/* ---- SHA ---- */

static u32 rol(u32 v, unsigned n)
{
    return v << n | v >> (32 - n);
}

static u32 ror(u32 v, unsigned n)
{
    return v >> n | v << (32 - n);
}

static u32 choose(u32 x, u32 y, u32 z)
{
    return (x & y) ^ (~x & z);
}

static u32 majority(u32 x, u32 y, u32 z)
{
    return (x & y) ^ (x & z) ^ (y & z);
}

/* Element 3 is the oldest: A of the state, W0 of the message. */
static v128 sha1_rounds(v128 state, v128 message, unsigned which)
{
    static const u32 k[4] = { 0x5a827999, 0x6ed9eba1, 0x8f1bbcdc, 0xca62c1d6 };
    union bytes s = { state }, w = { message };
    u32 a = s.d[3], b = s.d[2], c = s.d[1], d = s.d[0], e = 0;

    for (unsigned i = 0; i < 4; i++) {
        u32 f = which == 0 ? choose(b, c, d) : which == 2 ? majority(b, c, d) : b ^ c ^ d;
        u32 newest = rol(a, 5) + f + e + w.d[3 - i] + k[which];

        e = d;
        d = c;
        c = rol(b, 30);
        b = a;
        a = newest;
    }
    s = (union bytes){ .d = { d, c, b, a } };
    return s.v;
}

static v128 sha1_next(v128 a, v128 b)
{
    union bytes x = { a }, y = { b };

    y.d[3] += rol(x.d[3], 30);
    return y.v;
}

static v128 sha1_message1(v128 a, v128 b)
{
    union bytes x = { a }, y = { b };
    union bytes r = { .d = { x.d[0] ^ y.d[2], x.d[1] ^ y.d[3], x.d[2] ^ x.d[0], x.d[3] ^ x.d[1] } };

    return r.v;
}

static v128 sha1_message2(v128 a, v128 b)
{
    union bytes x = { a }, y = { b }, r;

    r.d[3] = rol(x.d[3] ^ y.d[2], 1);
    r.d[2] = rol(x.d[2] ^ y.d[1], 1);
    r.d[1] = rol(x.d[1] ^ y.d[0], 1);
    r.d[0] = rol(x.d[0] ^ r.d[3], 1);
    return r.v;
}

static v128 sha256_message1(v128 a, v128 b)
{
    union bytes x = { a }, y = { b };
    const u32 w[5] = { x.d[0], x.d[1], x.d[2], x.d[3], y.d[0] };

    for (unsigned i = 0; i < 4; i++)
        x.d[i] += ror(w[i + 1], 7) ^ ror(w[i + 1], 18) ^ w[i + 1] >> 3;
    return x.v;
}

static v128 sha256_message2(v128 a, v128 b)
{
    union bytes x = { a }, y = { b };
    u32 w[6] = { y.d[2], y.d[3] };

    for (unsigned i = 0; i < 4; i++) {
        w[i + 2] = x.d[i] + (ror(w[i], 17) ^ ror(w[i], 19) ^ w[i] >> 10);
        x.d[i] = w[i + 2];
    }
    return x.v;
}

/* As seen on a Zen 4, memory needn't be aligned for any of these. */
#define SHA(name, expr)                                                                                     \
    void op_##name(CPU, IN)                                                                                 \
    {                                                                                                       \
        union vector a, b, r;                                                                               \
                                                                                                            \
        vector_source_loose(cpu, in, &b, 16);                                                               \
        vector_get(cpu, in->dst, &a);                                                                       \
        LANE(&r, 0) = expr;                                                                                 \
        vector_put(cpu, in, &r, 16);                                                                        \
    }

SHA(sha1rnds4, sha1_rounds(LANE(&a, 0), LANE(&b, 0), in->imm & 3))
SHA(sha1nexte, sha1_next(LANE(&a, 0), LANE(&b, 0)))
SHA(sha1msg1, sha1_message1(LANE(&a, 0), LANE(&b, 0)))
SHA(sha1msg2, sha1_message2(LANE(&a, 0), LANE(&b, 0)))
SHA(sha256msg2, sha256_message2(LANE(&a, 0), LANE(&b, 0)))
SHA(sha256msg1, sha256_message1(LANE(&a, 0), LANE(&b, 0)))

/* Two rounds; the sums of message and constants are XMM0's. */
void op_sha256rnds2(CPU, IN)
{
    const union vector *wk = xmm(cpu, REG_XMM);
    union vector cdgh, abef, r = { 0 };
    u32 s[8];

    vector_source_loose(cpu, in, &abef, 16);
    vector_get(cpu, in->dst, &cdgh);
    for (unsigned i = 0; i < 2; i++) {
        s[i] = abef.d[3 - i];
        s[i + 2] = cdgh.d[3 - i];
        s[i + 4] = abef.d[1 - i];
        s[i + 6] = cdgh.d[1 - i];
    }
    for (unsigned i = 0; i < 2; i++) {
        u32 t = choose(s[4], s[5], s[6]) + (ror(s[4], 6) ^ ror(s[4], 11) ^ ror(s[4], 25)) + wk->d[i] + s[7];
        u32 a = t + majority(s[0], s[1], s[2]) + (ror(s[0], 2) ^ ror(s[0], 13) ^ ror(s[0], 22));

        t += s[3];
        memmove(s + 1, s, 7 * sizeof s[0]);
        s[0] = a;
        s[4] = t;
    }
    r.d[3] = s[0];
    r.d[2] = s[1];
    r.d[1] = s[4];
    r.d[0] = s[5];
    vector_put(cpu, in, &r, 16);
}
