/* SPDX-License-Identifier: MIT */
/* Values that are likely to make something happen. */
#include "gen.h"

u64 rnd_int(void)
{
	static const u64 corner[] = {0, 1, 2, ~0ull, 0x7F, 0x80, 0xFF, 0x7FFF, 0x8000, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF,
				     0x7FFFFFFFFFFFFFFF, 0x8000000000000000, 0xFFFFFFFF80000000, 0x8080808080808080, 0x5555555555555555, 0x3F, 0x40};
	u64 r = rnd();
	switch (below(8)) {
	case 0: case 1: case 2: return corner[below(sizeof corner / sizeof *corner)];
	case 3: return r & 0xFF;
	case 4: return 1ull << (r & 63);
	case 5: return (u64)((int64_t)r >> (rnd() & 63));
	default: return r;
	}
}
static uint32_t rnd_f32(void)
{
	static const uint32_t c[] = {0, 0x80000000, 0x3F800000, 0xBF800000, 0x7F800000, 0xFF800000, 0x7FC00000, 0xFFC00000, 0x7F800001, 0x7FBFFFFF,
				     0x00000001, 0x807FFFFF, 0x00800000, 0x7F7FFFFF, 0xFF7FFFFF, 0x3F000000, 0x4EFFFFFF, 0x4F000000, 0xCF000000, 0x5F000000, 0x33800000, 0x3F800001};
	uint32_t r = (uint32_t)rnd();
	switch (below(4)) {
	case 0: return c[below(sizeof c / sizeof *c)];
	case 1: return r;
	default: return (r & 0x807FFFFF) | (uint32_t)(127 - 12 + below(36)) << 23; /* moderate exponents */
	}
}
static u64 rnd_f64(void)
{
	static const u64 c[] = {0, 0x8000000000000000, 0x3FF0000000000000, 0xBFF0000000000000, 0x7FF0000000000000, 0xFFF0000000000000, 0x7FF8000000000000, 0xFFF8000000000000,
				0x7FF0000000000001, 0x7FF7FFFFFFFFFFFF, 1, 0x800FFFFFFFFFFFFF, 0x0010000000000000, 0x7FEFFFFFFFFFFFFF, 0x41DFFFFFFFC00000, 0xC1E0000000000000,
				0x43E0000000000000, 0xC3E0000000000000, 0x3FE0000000000000, 0x47EFFFFFF0000000, 0x3690000000000000, 0x3FF0000000000001};
	u64 r = rnd();
	switch (below(4)) {
	case 0: return c[below(sizeof c / sizeof *c)];
	case 1: return r;
	default: return (r & 0x800FFFFFFFFFFFFF) | (u64)(1023 - 20 + below(70)) << 52;
	}
}
void rnd_f80(u8 *p)
{
	static const struct { uint16_t se; u64 m; } c[] = {
		{0, 0}, {0x8000, 0}, {0x3FFF, 1ull << 63}, {0xBFFF, 1ull << 63}, {0x7FFF, 1ull << 63}, {0xFFFF, 1ull << 63}, {0x7FFF, 3ull << 62}, {0xFFFF, 3ull << 62},
		{0x7FFF, (1ull << 63) | 1}, {0xFFFF, (1ull << 63) | 12345}, {0, 1}, {0x8000, 0x7FFFFFFFFFFFFFFF}, {0, 1ull << 63}, {1, 1ull << 63}, {0x7FFE, ~0ull}, {0xFFFE, ~0ull},
		{0x7FFF, 0}, {0x3FFF, 1}, {0x4000, 0xC90FDAA22168C235}, {0x3FFE, 1ull << 63}, {0x401D, ~0ull}, {0x401E, 1ull << 63}, {0x403E, 1ull << 63}, {0x400E, ~0ull}, {0x403A, 0xDE0B6B3A763FFFF0}};
	uint16_t se;
	u64 m = rnd();
	switch (below(5)) {
	case 0: { int i = (int)below(sizeof c / sizeof *c); se = c[i].se, m = c[i].m; break; }
	case 1: se = (uint16_t)rnd(); if (pct(90)) m |= 1ull << 63; break;
	case 2: { u64 v = rnd_int() >> 1 | 1; int k = __builtin_clzll(v); m = v << k, se = (uint16_t)(0x3FFF + 63 - k) | (rnd() & 0x8000); break; }
	default: m |= 1ull << 63, se = (uint16_t)(0x3FFF - 20 + below(60)) | (rnd() & 0x8000);
	}
	memcpy(p, &m, 8), memcpy(p + 8, &se, 2);
}
void rnd_bytes(u8 *p, int n, ZydisElementType t)
{
	int style = (int)below(4), i = 0;
	while (i < n) {
		u64 v = rnd_int();
		u8 tmp[16];
		int k = 8;
		if (t == ZYDIS_ELEMENT_TYPE_FLOAT32) { uint32_t f = rnd_f32(); memcpy(tmp, &f, k = 4); }
		else if (t == ZYDIS_ELEMENT_TYPE_FLOAT16) { uint16_t f = (uint16_t)rnd(); memcpy(tmp, &f, k = 2); }
		else if (t == ZYDIS_ELEMENT_TYPE_FLOAT64) { v = rnd_f64(); memcpy(tmp, &v, 8); }
		else if (t == ZYDIS_ELEMENT_TYPE_FLOAT80) rnd_f80(tmp), k = 10;
		else if (t == ZYDIS_ELEMENT_TYPE_LONGBCD) { for (k = 0; k < 10; k++) tmp[k] = pct(80) ? (u8)(below(10) | below(10) << 4) : (u8)rnd(); }
		else { if (style == 1) v = rnd(); if (style == 2) v = rnd() & rnd() & rnd(); memcpy(tmp, &v, k = n - i < 8 ? n - i : 8); }
		if (k > n - i) k = n - i;
		memcpy(p + i, tmp, k);
		i += k;
	}
}
