#include "tests/replay/reduce.h"

#include "tests/replay/scenario.h"

#include <stdio.h>

struct reduction {
	const struct reduce_wish *wish;
	struct arena *arena; /* of all texts of lines that there ever were */
	size_t count;
	struct span lines[SCENARIO_LINES_MAX];
	unsigned tries;
};

static bool has_word(struct span line, struct span wanted)
{
	struct span word;
	bool quoted;

	while (scenario_word(&line, &word, &quoted))
		if (!quoted && span_equal(word, wanted))
			return true;
	return false;
}

static bool is_first(struct span line, struct span wanted)
{
	struct span word;
	bool quoted;

	return scenario_word(&line, &word, &quoted) && span_equal(word, wanted);
}

/* The play must not end sooner, nor be left with what was broken, where something is awaited. */
static bool is_protected(const struct reduction *r, struct span line)
{
	static const char *const healing[] = { "open", "no-more", "resend", "default", "on", "valid", "true", "enabled" };

	if (is_first(line, SPAN("until")))
		return true;
	for (size_t i = 0; r->wish->keeps_healing && i < sizeof healing / sizeof *healing; i++)
		if (has_word(line, span_of(healing[i])))
			return true;
	return false;
}

static void put_lines(const struct span *lines, size_t count, struct buf *out)
{
	for (size_t i = 0; i < count; i++) {
		buf_put(out, lines[i]);
		buf_put_byte(out, '\n');
	}
}

/* Whether these lines fail too; they are then taken for what is left. */
static bool try(struct reduction *r, const struct span *lines, size_t count)
{
	struct buf text;
	bool fails;

	if (r->tries >= r->wish->tries_max)
		return false;
	r->tries++;
	buf_init(&text, SCENARIO_BYTES);
	put_lines(lines, count, &text);
	fails = r->wish->fails(r->wish->self, buf_span(&text));
	buf_free(&text);
	for (size_t i = 0; fails && i < count; i++)
		r->lines[i] = lines[i];
	if (fails)
		r->count = count;
	return fails;
}

/* --- fewer lines */

static bool without(struct reduction *r, size_t from, size_t size)
{
	struct span lines[SCENARIO_LINES_MAX];
	size_t count = 0;

	for (size_t i = 0; i < r->count; i++)
		if (i < from || i >= from + size || is_protected(r, r->lines[i]))
			lines[count++] = r->lines[i];
	return count < r->count && try(r, lines, count);
}

/* Halves, then quarters ... then single lines, until none can go. */
static bool fewer_lines(struct reduction *r)
{
	size_t before = r->count;
	bool again = true;

	for (size_t size = (r->count + 1) / 2; size > 1; size = (size + 1) / 2)
		for (size_t at = 0; at < r->count;)
			if (!without(r, at, size))
				at += size;
	while (again) {
		again = false;
		for (size_t at = 0; at < r->count;)
			if (without(r, at, 1))
				again = true;
			else
				at++;
	}
	return r->count < before;
}

/* --- smaller numbers */

/* The same line with its `which`th number changed; an empty span when it has none such. `number_out` is what it was. */
static struct span with_number(struct reduction *r, struct span line, unsigned which, uint64_t number, uint64_t *number_out)
{
	struct span rest = line, word, changed;
	struct buf text;
	bool quoted, found = false;
	unsigned seen = 0;

	while (!found && scenario_word(&rest, &word, &quoted))
		found = !quoted && span_number(word, number_out) && seen++ == which;
	if (!found)
		return SPAN("");
	buf_init(&text, SCENARIO_BYTES);
	buf_put(&text, (struct span){ line.at, (size_t)(word.at - line.at) });
	buf_print(&text, "%llu", (unsigned long long)number);
	buf_put(&text, (struct span){ word.at + word.size, (size_t)(line.at + line.size - word.at) - word.size });
	changed = arena_copy(r->arena, buf_span(&text));
	buf_free(&text);
	return changed;
}

static bool try_number(struct reduction *r, size_t at, unsigned which, uint64_t number)
{
	struct span lines[SCENARIO_LINES_MAX];
	uint64_t old;

	for (size_t i = 0; i < r->count; i++)
		lines[i] = r->lines[i];
	lines[at] = with_number(r, lines[at], which, number, &old);
	return try(r, lines, r->count);
}

/* 0 if that fails too; else by halving, to a twentieth of what it is. */
static bool smaller_number(struct reduction *r, size_t at, unsigned which, uint64_t fails)
{
	uint64_t holds = 0, first = fails;

	if (!fails)
		return false;
	if (try_number(r, at, which, 0))
		return true;
	while (fails - holds > 1 + fails / 20) {
		uint64_t middle = holds + (fails - holds) / 2;

		if (try_number(r, at, which, middle))
			fails = middle;
		else
			holds = middle;
	}
	return fails < first;
}

static bool smaller_numbers(struct reduction *r)
{
	bool smaller = false;
	uint64_t number;

	for (size_t at = 0; at < r->count; at++) {
		if (is_first(r->lines[at], SPAN("expect")) || is_protected(r, r->lines[at]))
			continue;
		for (unsigned which = 0; with_number(r, r->lines[at], which, 0, &number).size; which++)
			smaller = smaller_number(r, at, which, number) || smaller;
	}
	return smaller;
}

unsigned reduce(const struct reduce_wish *wish, struct span rolled, struct buf *out)
{
	struct reduction r = { .wish = wish, .arena = arena_new(64 * 1024 * 1024) };
	struct span line;
	bool changed = true;

	while (span_cut(&rolled, '\n', &line) && r.count < SCENARIO_LINES_MAX)
		if (span_trim(line).size)
			r.lines[r.count++] = arena_copy(r.arena, span_trim(line));
	while (changed) {
		changed = fewer_lines(&r);
		changed = smaller_numbers(&r) || changed;
	}
	put_lines(r.lines, r.count, out);
	arena_free(&r.arena);
	return r.tries;
}
