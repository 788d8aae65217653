#include "base/span.h"

#include <string.h>
#include <strings.h>

bool span_equal_fold(struct span a, struct span b)
{
	return a.size == b.size && (!a.size || !strncasecmp(a.at, b.at, a.size));
}

bool span_starts(struct span s, struct span prefix)
{
	return s.size >= prefix.size && span_equal(span_slice(s, 0, prefix.size), prefix);
}

bool span_starts_fold(struct span s, struct span prefix)
{
	return s.size >= prefix.size && span_equal_fold(span_slice(s, 0, prefix.size), prefix);
}

bool span_ends_fold(struct span s, struct span suffix)
{
	return s.size >= suffix.size &&
	       span_equal_fold(span_slice(s, s.size - suffix.size, suffix.size), suffix);
}

size_t span_find(struct span s, struct span needle)
{
	const char *found = s.size ? memmem(s.at, s.size, needle.at, needle.size) : NULL;

	return found ? (size_t)(found - s.at) : s.size;
}

size_t span_find_fold(struct span s, struct span needle)
{
	for (size_t i = 0; i + needle.size <= s.size; i++)
		if (span_equal_fold(span_slice(s, i, needle.size), needle))
			return i;
	return s.size;
}

static bool is_blank(char c)
{
	return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

struct span span_trim(struct span s)
{
	while (s.size && is_blank(s.at[0]))
		s = span_slice(s, 1, s.size);
	while (s.size && is_blank(s.at[s.size - 1]))
		s.size--;
	return s;
}

bool span_cut(struct span *rest, char separator, struct span *piece_out)
{
	size_t end = span_find_byte(*rest, separator);

	if (!rest->at)
		return false;
	*piece_out = span_slice(*rest, 0, end);
	*rest = end < rest->size ? span_slice(*rest, end + 1, rest->size) : (struct span){ 0 };
	return true;
}

bool span_number(struct span s, uint64_t *number_out)
{
	uint64_t number = 0;

	for (size_t i = 0; i < s.size; i++) {
		if (s.at[i] < '0' || s.at[i] > '9')
			return false;
		if (__builtin_mul_overflow(number, 10u, &number) ||
		    __builtin_add_overflow(number, (uint64_t)(s.at[i] - '0'), &number))
			return false;
	}
	*number_out = number;
	return s.size != 0;
}

bool span_text(char *to, size_t room, struct span s)
{
	if (s.size >= room)
		return false;
	if (s.size)
		memcpy(to, s.at, s.size);
	to[s.size] = 0;
	return true;
}
