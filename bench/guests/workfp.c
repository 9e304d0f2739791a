/* SPDX-License-Identifier: MIT */
/* Floating point workloads (SSE2, and the x87 for long double). */
#include "bench.h"

#define DIM 96

static double ma[DIM][DIM], mb[DIM][DIM], mc[DIM][DIM];

static u64 bits(double d)
{
	union { double d; u64 u; } x = { d };
	return x.u;
}

/* Product of two 96x96 matrices of double, n times. */
u64 wl_matmul(u64 n)
{
	double s = 0;

	for (int i = 0; i < DIM; i++)
		for (int j = 0; j < DIM; j++) {
			ma[i][j] = (double)(i * j % 17) / 16;
			mb[i][j] = (double)((i + j) % 13) / 8;
		}
	for (u64 r = 0; r < n; r++) {
		for (int i = 0; i < DIM; i++) {
			for (int j = 0; j < DIM; j++)
				mc[i][j] = 0;
			for (int k = 0; k < DIM; k++) {
				double a = ma[i][k];
				for (int j = 0; j < DIM; j++)
					mc[i][j] += a * mb[k][j];
			}
		}
		s += mc[r % DIM][(r * 7) % DIM];
		ma[r % DIM][0] += 0.5;
	}
	return bits(s);
}

static double sqroot(double x)
{
	__asm__("sqrtsd %0, %0" : "+x"(x));
	return x;
}

/* Five bodies under gravity, n steps. */
u64 wl_nbody(u64 n)
{
	static double p[5][3], v[5][3];
	static const double m[5] = { 39.0, 0.037, 0.011, 0.0017, 0.002 };
	double e = 0;

	for (int i = 0; i < 5; i++)
		for (int k = 0; k < 3; k++) {
			p[i][k] = i * 5.0 + k * 1.25 * (i & 1 ? -1 : 1);
			v[i][k] = (k - 1) * 0.25 * i;
		}
	for (u64 r = 0; r < n; r++) {
		for (int i = 0; i < 5; i++)
			for (int j = i + 1; j < 5; j++) {
				double dx = p[i][0] - p[j][0];
				double dy = p[i][1] - p[j][1];
				double dz = p[i][2] - p[j][2];
				double d2 = dx * dx + dy * dy + dz * dz + 0.01;
				double f = 0.001 / (d2 * sqroot(d2));

				v[i][0] -= dx * m[j] * f;
				v[i][1] -= dy * m[j] * f;
				v[i][2] -= dz * m[j] * f;
				v[j][0] += dx * m[i] * f;
				v[j][1] += dy * m[i] * f;
				v[j][2] += dz * m[i] * f;
			}
		for (int i = 0; i < 5; i++)
			for (int k = 0; k < 3; k++)
				p[i][k] += 0.001 * v[i][k];
	}
	for (int i = 0; i < 5; i++)
		e += p[i][0] + v[i][1] + p[i][2];
	return bits(e);
}

/* Extended precision: a series on the x87 stack, n terms. */
u64 wl_x87(u64 n)
{
	long double s = 0, t = 1;

	for (u64 i = 1; i <= n; i++) {
		t = 1.0L / (long double)(i64)(i * 2 - 1);
		if (i & 1)
			s += t;
		else
			s -= t;
	}
	return bits((double)(s * 4));
}
