#include "tests/replay/scenario.h"

#include <stdio.h>
#include <string.h>

enum { ARENA_BYTES = 1024 * 1024 };

static const char *const preparations[] = { "boot", "client", "mailbox", "people", "until", "network", "pool", "log" };

static bool read_range(struct span text, uint64_t *low_out, uint64_t *high_out)
{
	size_t dots = span_find(text, SPAN(".."));

	if (!span_number(span_slice(text, 0, dots), low_out))
		return false;
	*high_out = *low_out;
	return dots == text.size || (span_number(span_slice(text, dots + 2, text.size), high_out) && *high_out >= *low_out);
}

bool scenario_within(struct span text, int64_t number)
{
	uint64_t low, high;

	return read_range(text, &low, &high) && number >= (int64_t)low && number <= (int64_t)high;
}

bool scenario_number(struct span text, int64_t *out)
{
	uint64_t number;

	if (!span_number(text, &number) || number > INT64_MAX)
		return false;
	*out = (int64_t)number;
	return true;
}

bool scenario_like(struct span text, struct span pattern)
{
	size_t star = span_find_byte(pattern, '*');
	struct span head = span_slice(pattern, 0, star), rest;

	if (star == pattern.size)
		return span_equal(text, pattern);
	if (!span_starts(text, head))
		return false;
	rest = span_slice(pattern, star + 1, pattern.size);
	for (size_t i = head.size; i <= text.size; i++)
		if (scenario_like(span_slice(text, i, text.size), rest))
			return true;
	return false;
}

struct span scenario_option(const struct scenario_line *line, const char *word)
{
	for (size_t i = 0; i + 1 < line->count; i++)
		if (span_equal(line->words[i], span_of(word)))
			return line->words[i + 1];
	return SPAN("");
}

bool scenario_has(const struct scenario_line *line, const char *word)
{
	for (size_t i = 0; i < line->count; i++)
		if (span_equal(line->words[i], span_of(word)))
			return true;
	return false;
}

bool scenario_word(struct span *rest, struct span *word_out, bool *quoted_out)
{
	size_t end = 0;

	while (rest->size && (rest->at[0] == ' ' || rest->at[0] == '\t'))
		*rest = span_slice(*rest, 1, rest->size);
	if (!rest->size || rest->at[0] == '#')
		return false;
	*quoted_out = rest->at[0] == '"' || rest->at[0] == '\'';
	if (*quoted_out) {
		char quote = rest->at[0];

		*rest = span_slice(*rest, 1, rest->size);
		end = span_find_byte(*rest, quote);
		*word_out = span_slice(*rest, 0, end);
		*rest = span_slice(*rest, end + 1, rest->size);
		return true;
	}
	while (end < rest->size && rest->at[end] != ' ' && rest->at[end] != '\t')
		end++;
	*word_out = span_slice(*rest, 0, end);
	*rest = span_slice(*rest, end, rest->size);
	return true;
}

/* --- ranges become numbers */

/* FNV-1a for the texts, splitmix64 for the mixing. */
static uint64_t roll(uint64_t seed, struct span line, unsigned word, uint64_t low, uint64_t high)
{
	uint64_t z = 0xcbf29ce484222325u;

	for (size_t i = 0; i < line.size; i++)
		z = (z ^ (unsigned char)line.at[i]) * 0x100000001b3u;
	z += (seed + word * 0x10001ull) * 0x9e3779b97f4a7c15u;
	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
	return low + (z ^ (z >> 31)) % (high - low + 1);
}

static void roll_line(struct span line, uint64_t seed, struct buf *out)
{
	struct span rest = line, word;
	bool quoted, is_expected = false;
	uint64_t low, high;

	for (unsigned at = 0; scenario_word(&rest, &word, &quoted); at++) {
		char quote = quoted ? word.at[-1] : 0;

		is_expected = is_expected || (!at && span_equal(word, SPAN("expect")));
		if (at)
			buf_put_byte(out, ' ');
		if (quoted)
			buf_print(out, "%c%.*s%c", quote, SPAN_ARGS(word), quote);
		else if (!is_expected && span_find(word, SPAN("..")) < word.size && read_range(word, &low, &high))
			buf_print(out, "%llu", (unsigned long long)roll(seed, line, at, low, high));
		else
			buf_put(out, word);
	}
	buf_put_byte(out, '\n');
}

void scenario_roll(struct span text, uint64_t seed, struct buf *out)
{
	struct span line;

	while (span_cut(&text, '\n', &line))
		roll_line(line, seed, out);
}

/* --- lines */

static void drop_words(struct scenario_line *line, size_t count)
{
	line->count -= count;
	memmove(line->words, line->words + count, line->count * sizeof *line->words);
}

static bool read_when(struct scenario_line *line)
{
	int64_t number;

	line->kind = SCENARIO_WHEN;
	line->times = 1;
	line->at_ms = -1;
	line->text = line->words[1];
	drop_words(line, 2);
	while (line->count > 2) {
		bool times = span_equal(line->words[0], SPAN("times"));

		if (!times && !span_equal(line->words[0], SPAN("after")))
			break;
		if (!scenario_number(line->words[1], &number))
			return false;
		if (times)
			line->times = (unsigned)number;
		else
			line->at_ms = number;
		drop_words(line, 2);
	}
	return line->count > 0;
}

/* Behind "at MS": "every MS times N". */
static bool read_every(struct scenario_line *line)
{
	int64_t times;

	line->times = 1;
	if (line->count < 5 || !span_equal(line->words[0], SPAN("every")))
		return true;
	if (!scenario_number(line->words[1], &line->every_ms) || !span_equal(line->words[2], SPAN("times")) || !scenario_number(line->words[3], &times) ||
	    times < 1)
		return false;
	line->times = (unsigned)times;
	drop_words(line, 4);
	return true;
}

static bool read_line(struct scenario_line *line)
{
	struct span first = line->words[0];

	if ((span_equal(first, SPAN("at")) || span_equal(first, SPAN("step"))) && line->count > 2) {
		line->kind = span_equal(first, SPAN("at")) ? SCENARIO_AT : SCENARIO_STEP;
		if (!scenario_number(line->words[1], &line->at_ms))
			return false;
		drop_words(line, 2);
		return read_every(line);
	}
	if (span_equal(first, SPAN("when")) && line->count > 2)
		return read_when(line);
	if (span_equal(first, SPAN("expect")) && line->count > 1) {
		line->kind = SCENARIO_EXPECT;
		drop_words(line, 1);
		return true;
	}
	line->kind = SCENARIO_PREPARE;
	for (size_t i = 0; i < sizeof preparations / sizeof *preparations; i++)
		if (span_equal(first, span_of(preparations[i])))
			return line->count > 1;
	return false;
}

bool scenario_read(struct scenario *s, struct span text, char *why_out)
{
	struct span rest, one;
	unsigned number = 0;

	*s = (struct scenario){ .arena = arena_new(ARENA_BYTES) };
	rest = arena_copy(s->arena, text);
	while (span_cut(&rest, '\n', &one)) {
		struct scenario_line *line = &s->lines[s->count];
		struct span word;
		bool quoted;

		*line = (struct scenario_line){ .number = ++number, .source = span_trim(one) };
		while (line->count < SCENARIO_WORDS_MAX && scenario_word(&one, &word, &quoted))
			line->words[line->count++] = word;
		if (!line->count)
			continue;
		if (s->count + 1 == SCENARIO_LINES_MAX || !read_line(line)) {
			snprintf(why_out, 256, "line %u is not understood", number);
			return false;
		}
		s->count++;
	}
	return true;
}

void scenario_free(struct scenario *s)
{
	arena_free(&s->arena);
}
