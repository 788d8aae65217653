/* base/span.h - a borrowed run of bytes.
 *
 * Why       Input is read in place; length and address travel together.
 * Promise   No function here writes, allocates or reads past `size`.
 * Owns      Nothing: a span lives as long as what it points into.
 * Refuses   Nothing. */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct span {
	const char *at;
	size_t size;
};

/* For "%.*s" in printf. */
#define SPAN_ARGS(s) (int)(s).size, (s).at

/* A string literal as a span, without its NUL. */
#define SPAN(literal) ((struct span){ "" literal, sizeof literal - 1 })

/* A C string as a span; NULL gives the empty span. */
static inline struct span span_of(const char *text)
{
	return text ? (struct span){ text, strlen(text) } : (struct span){ "", 0 };
}

/* The bytes from `from`, at most `size` of them; out of range gives less, never an error. */
static inline struct span span_slice(struct span s, size_t from, size_t size)
{
	if (from > s.size)
		from = s.size;
	if (size > s.size - from)
		size = s.size - from;
	return (struct span){ from ? s.at + from : s.at, size }; /* NULL + 0 is undefined */
}

/* The same bytes. Not for secrets: see secret_equal(). */
static inline bool span_equal(struct span a, struct span b)
{
	return a.size == b.size && (!a.size || !memcmp(a.at, b.at, a.size));
}

/* The same bytes, ASCII letters compared without case. */
bool span_equal_fold(struct span, struct span);

/* Whether the first begins (ends) with the second; the `_fold` form ignores ASCII case. */
bool span_starts(struct span, struct span prefix);
bool span_starts_fold(struct span, struct span prefix);
bool span_ends_fold(struct span, struct span suffix);

/* Where `byte` (the bytes of `needle`) first stands, or `size` when it does not. */
static inline size_t span_find_byte(struct span s, char byte)
{
	const char *found = s.size ? (const char *)memchr(s.at, byte, s.size) : NULL;

	return found ? (size_t)(found - s.at) : s.size;
}

/* Where `needle` first stands, or `size`; in any case of ASCII letters with _fold. */
size_t span_find(struct span, struct span needle);
size_t span_find_fold(struct span, struct span needle);

/* Without spaces, tabs, CR and LF at both ends. */
struct span span_trim(struct span);

/* Takes what stands before the next `separator` out of `rest`, which moves behind it.
 * False when `rest` was already used up (its `at` is then NULL). */
bool span_cut(struct span *rest, char separator, struct span *piece_out);

/* Copies it into `to` as a C string. False, with `to` as it was, when `room` bytes do not hold it and its NUL. */
bool span_text(char *to, size_t room, struct span);

/* A decimal number without sign or blanks. False when it is none or does not fit. */
bool span_number(struct span, uint64_t *number_out);
