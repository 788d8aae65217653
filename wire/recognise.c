#include "wire/recognise.h"

#include <string.h>

enum { SEEN_MAX = 16, TOKEN_BYTES = 64, PIECE_BYTES = 96, TAG_BYTES = 300 };

struct reply_row {
	enum fault fault;
	int code;
	const char *enhanced, *pattern;
};

struct number_row {
	uint64_t number;
	enum fault fault;
};

struct word_row {
	const char *error, *suberror;
	enum fault fault;
};

static const struct reply_row replies[] = {
#define REPLY(fault, code, enhanced, pattern) { FAULT_##fault, code, enhanced, pattern },
#include "tables/replies.def"
};

static const struct number_row numbers[] = {
#define NUMBER(number, fault) { number, FAULT_##fault },
#include "tables/replies.def"
};

static const struct word_row words[] = {
#define WORD(error, suberror, fault) { error, suberror, FAULT_##fault },
#include "tables/replies.def"
};

enum {
	REPLIES = sizeof replies / sizeof *replies,
	NUMBERS = sizeof numbers / sizeof *numbers,
	WORDS = sizeof words / sizeof *words
};

/* One RFC 3463 code; `class` 0 is none. */
struct enhanced {
	unsigned class, subject, detail;
};

/* What stands in a text: its letters and digits, and the tokens that mean something by themselves. */
struct reading {
	char token[TOKEN_BYTES];
	size_t token_size, token_at; /* its bytes, its place in `folded` */
	bool token_overlong, line_start;
	bool code_before; /* the token before this one was a code, at `code_at` */
	size_t code_at;
	bool number_due; /* nothing stands before, or what announces a number */
	int codes[SEEN_MAX];
	struct enhanced enhanced[SEEN_MAX];
	unsigned code_count, enhanced_count;
	enum fault number; /* of the last known AADSTS number, else FAULT_OK */
	uint64_t error_words, suberror_words;
	size_t size;
	char folded[RECOGNISE_BYTES]; /* last: the only part that need not be cleared */
};

_Static_assert(WORDS <= 64, "a bit for each word");

static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

/* The lower-case letter or the digit, or 0 for anything else. */
static char fold(char c)
{
	if (c >= 'A' && c <= 'Z')
		return (char)(c - 'A' + 'a');
	return (c >= 'a' && c <= 'z') || is_digit(c) ? c : 0;
}

static bool cut_number(struct span *s, unsigned *number_out)
{
	size_t n = 0;

	*number_out = 0;
	for (; n < s->size && n < 3 && is_digit(s->at[n]); n++)
		*number_out = *number_out * 10 + (unsigned)(s->at[n] - '0');
	*s = span_slice(*s, n, s->size);
	return n > 0;
}

static bool cut_dot(struct span *s)
{
	bool dot = s->size > 0 && s->at[0] == '.';

	*s = span_slice(*s, dot, s->size);
	return dot;
}

/* "5.7.139"; what follows stays in `s`. */
static bool cut_enhanced(struct span *s, struct enhanced *out)
{
	return cut_number(s, &out->class) && (out->class == 2 || out->class == 4 || out->class == 5) && cut_dot(s) &&
	       cut_number(s, &out->subject) && cut_dot(s) && cut_number(s, &out->detail);
}

static enum fault number_fault(uint64_t number)
{
	for (unsigned i = 0; i < NUMBERS; i++)
		if (numbers[i].number == number)
			return numbers[i].fault;
	return FAULT_OK;
}

static void see_code(struct reading *r, int code)
{
	if (r->code_count < SEEN_MAX)
		r->codes[r->code_count++] = code;
}

static void see_enhanced(struct reading *r, struct enhanced e)
{
	if (r->enhanced_count < SEEN_MAX)
		r->enhanced[r->enhanced_count++] = e;
}

static void see_number(struct reading *r, struct span digits)
{
	uint64_t number;
	enum fault f = span_number(digits, &number) ? number_fault(number) : FAULT_OK;

	if (f != FAULT_OK)
		r->number = f;
}

static void see_word(struct reading *r, struct span word)
{
	for (unsigned i = 0; i < WORDS; i++) {
		r->error_words |= (uint64_t)span_equal_fold(word, span_of(words[i].error)) << i;
		r->suberror_words |= (uint64_t)span_equal_fold(word, span_of(words[i].suberror)) << i;
	}
}

/* Whether a number after this token is the provider's number of an error. */
static bool announces(struct span token)
{
	static const char *const before[] = { "aadsts", "error_codes", "errorcode", "error_code",
					      "code",   "error",       "erreur" };

	for (size_t i = 0; i < sizeof before / sizeof *before; i++)
		if (span_equal_fold(token, span_of(before[i])))
			return true;
	return false;
}

static bool all_digits(struct span s)
{
	for (size_t i = 0; i < s.size; i++)
		if (!is_digit(s.at[i]))
			return false;
	return s.size > 0;
}

/* Reply codes repeat in front of each line of a reply; taken out, a sentence that was wrapped is whole again. */
static void end_number(struct reading *r, struct span token)
{
	bool code = token.size == 3 && token.at[0] >= '2' && token.at[0] <= '5';

	if (r->number_due)
		see_number(r, token);
	r->code_before = code;
	r->code_at = r->token_at;
	if (code)
		see_code(r, (token.at[0] - '0') * 100 + (token.at[1] - '0') * 10 + (token.at[2] - '0'));
	if (code && r->line_start)
		r->size = r->token_at;
	r->line_start = false;
}

static void end_token(struct reading *r)
{
	struct span token = { r->token, r->token_size }, rest;
	struct enhanced e;

	while (token.size && token.at[token.size - 1] == '.')
		token.size--;
	rest = token;
	r->token_size = 0;
	if (!token.size)
		return;
	if (r->token_overlong) {
		r->token_overlong = r->line_start = r->number_due = r->code_before = false;
		return;
	}
	if (all_digits(token)) {
		end_number(r, token);
		return;
	}
	if (cut_enhanced(&rest, &e) && !rest.size) {
		see_enhanced(r, e);
		r->size = r->code_before ? r->code_at : r->token_at;
	} else {
		r->line_start = false;
		if (span_starts_fold(token, SPAN("aadsts")))
			see_number(r, span_slice(token, 6, token.size));
		see_word(r, token);
	}
	r->number_due = announces(token);
	r->code_before = false;
}

static void put(struct reading *r, char c)
{
	char folded = fold(c);

	if (!folded && c != '.' && c != '_') {
		end_token(r);
		r->line_start = r->line_start || c == '\n' || c == '\r';
		return;
	}
	if (!r->token_size)
		r->token_at = r->size;
	if (r->token_size < TOKEN_BYTES)
		r->token[r->token_size++] = c;
	else
		r->token_overlong = true;
	if (folded)
		r->folded[r->size++] = folded;
}

static int hex(char c)
{
	char folded = fold(c);

	if (is_digit(folded))
		return folded - '0';
	return folded >= 'a' && folded <= 'f' ? folded - 'a' + 10 : -1;
}

/* `digits` hexadecimal digits at `at` as a character; beyond ASCII a blank does. False when they are none. */
static bool hex_at(struct span s, size_t at, size_t digits, char *out)
{
	unsigned value = 0;

	if (at + digits > s.size)
		return false;
	for (size_t i = at; i < at + digits; i++) {
		if (hex(s.at[i]) < 0)
			return false;
		value = value << 4 | (unsigned)hex(s.at[i]);
	}
	*out = value < 128 ? (char)value : ' ';
	return true;
}

/* `\n`, `\u00e9`, `\"` as JSON, C and Python write them. Returns how many bytes it took. */
static size_t backslash(struct span s, char *out)
{
	char next = s.size > 1 ? s.at[1] : ' ';

	if (next == 'u' && hex_at(s, 2, 4, out))
		return 6;
	if (next == 'x' && hex_at(s, 2, 2, out))
		return 4;
	*out = next == 'n' || next == 'r' ? '\n' : ' ';
	return next == 'n' || next == 'r' || next == 't' ? 2 : 1;
}

/* `&#39;`, `&#x27;`, `&nbsp;` */
static size_t entity(struct span s, char *out)
{
	size_t end = span_find_byte(span_slice(s, 0, 10), ';');
	struct span name = span_slice(s, 1, end - 1);
	uint64_t value;

	*out = ' ';
	if (end < 2 || end >= s.size || end == 10)
		return 1;
	for (size_t i = 1; i < end; i++)
		if (!fold(s.at[i]) && s.at[i] != '#')
			return 1;
	if (name.at[0] == '#' && span_number(span_slice(name, 1, name.size), &value) && value < 128)
		*out = (char)value;
	else if (name.size == 4 && fold(name.at[1]) == 'x')
		(void)hex_at(name, 2, 2, out);
	return end + 1;
}

/* The size of a tag of HTML, such as <br>; 1 when there is none, as in addresses between angle brackets. */
static size_t tag(struct span s)
{
	static const char *const names[] = { "a",   "b",    "br",     "code",  "div", "em", "font", "i",  "li", "p",
					     "pre", "span", "strong", "table", "td",  "tr", "u",    "ul", "wbr" };
	size_t at = s.size > 1 && s.at[1] == '/' ? 2 : 1, size = 0;
	struct span name;

	while (at + size < s.size && size < 8 && fold(s.at[at + size]))
		size++;
	name = span_slice(s, at, size);
	if (at + size >= s.size || !strchr(" />", s.at[at + size]) || !s.at[at + size])
		return 1;
	for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
		if (!span_equal_fold(name, span_of(names[i])))
			continue;
		for (size_t end = at + size; end < s.size && end < TAG_BYTES && s.at[end] != '<'; end++)
			if (s.at[end] == '>')
				return end + 1;
	}
	return 1;
}

/* Quoted-printable: a soft line break joins, and the few codes that stand between words. */
static size_t equals(struct span s, char *out)
{
	static const char *const codes[] = { "0A", "0D", "09", "20", "3D", "A0", "C2" };

	*out = ' ';
	if (span_starts(s, SPAN("=\r\n")))
		return 3;
	if (span_starts(s, SPAN("=\n")))
		return 2;
	for (size_t i = 0; i < sizeof codes / sizeof *codes; i++)
		if (span_equal(span_slice(s, 1, 2), span_of(codes[i])))
			return 3;
	return 1;
}

static bool is_soft_break(struct span s)
{
	return span_starts(s, SPAN("=\n")) || span_starts(s, SPAN("=\r\n"));
}

/* Takes one character, however it is written. */
static size_t take(struct reading *r, struct span s)
{
	char c = s.at[0];
	size_t taken = 1;

	if (c == '\\')
		taken = backslash(s, &c);
	else if (c == '&')
		taken = entity(s, &c);
	else if (c == '<')
		taken = tag(s);
	else if (c == '%' && hex_at(s, 1, 2, &c))
		taken = 3;
	else if (c == '=' && is_soft_break(s))
		return equals(s, &c);
	else if (c == '=')
		taken = equals(s, &c);
	put(r, c);
	return taken;
}

static void reading_init(struct reading *r, struct span text)
{
	memset(r, 0, offsetof(struct reading, folded));
	r->line_start = r->number_due = true;
	text = span_slice(text, 0, RECOGNISE_BYTES);
	for (size_t at = 0; at < text.size;)
		at += take(r, span_slice(text, at, text.size));
	end_token(r);
}

static bool has_code(const struct reading *r, int code)
{
	for (unsigned i = 0; i < r->code_count; i++)
		if (r->codes[i] == code)
			return true;
	return code == 0;
}

/* `wanted` is "", "5.7.139" or "5.7.606-649". */
static bool has_enhanced(const struct reading *r, const char *wanted)
{
	struct span s = span_of(wanted);
	struct enhanced e;
	unsigned last;

	if (!cut_enhanced(&s, &e))
		return true;
	last = e.detail;
	if (s.size) {
		s = span_slice(s, 1, s.size);
		(void)cut_number(&s, &last);
	}
	for (unsigned i = 0; i < r->enhanced_count; i++) {
		const struct enhanced *seen = &r->enhanced[i];

		if (seen->class == e.class && seen->subject == e.subject && seen->detail >= e.detail &&
		    seen->detail <= last)
			return true;
	}
	return false;
}

/* Whether the pieces of the pattern follow one another in the folded text. */
static bool has_pattern(const struct reading *r, const char *pattern)
{
	struct span text = { r->folded, r->size }, rest = span_of(pattern), piece;

	while (span_cut(&rest, '*', &piece)) {
		char folded[PIECE_BYTES];
		size_t size = 0, at;

		for (size_t i = 0; i < piece.size && size < PIECE_BYTES; i++) {
			folded[size] = fold(piece.at[i]);
			size += folded[size] != 0;
		}
		at = span_find(text, (struct span){ folded, size });
		if (size && at == text.size)
			return false;
		text = span_slice(text, at + size, text.size);
	}
	return true;
}

static enum fault find_reply(const struct reading *r)
{
	for (unsigned i = 0; i < REPLIES; i++)
		if (has_code(r, replies[i].code) && has_enhanced(r, replies[i].enhanced) &&
		    has_pattern(r, replies[i].pattern))
			return replies[i].fault;
	return FAULT_OK;
}

/* The first row whose words were both seen. */
static enum fault find_word(const struct reading *r)
{
	for (unsigned i = 0; i < WORDS; i++) {
		bool error = !*words[i].error || r->error_words >> i & 1;
		bool suberror = !*words[i].suberror || r->suberror_words >> i & 1;

		if (error && suberror)
			return words[i].fault;
	}
	return FAULT_OK;
}

static bool waits(enum fault f)
{
	return fault_row(f)->class == FAULT_CLASS_RETRY;
}

enum fault recognise_reply(int code, struct span enhanced, struct span text)
{
	struct reading r;
	struct enhanced e;

	reading_init(&r, text);
	r.code_count = 0;
	see_code(&r, code);
	if (cut_enhanced(&enhanced, &e)) {
		r.enhanced_count = 0;
		see_enhanced(&r, e);
	}
	return find_reply(&r);
}

enum fault recognise_token_error(struct span error, struct span suberror, struct span description)
{
	struct reading r;
	enum fault word, reply;

	reading_init(&r, description);
	r.error_words = r.suberror_words = 0;
	for (unsigned i = 0; i < WORDS; i++) {
		r.error_words |= (uint64_t)span_equal(error, span_of(words[i].error)) << i;
		r.suberror_words |= (uint64_t)span_equal(suberror, span_of(words[i].suberror)) << i;
	}
	word = find_word(&r);
	if (waits(word))
		return word;
	if (r.number != FAULT_OK)
		return r.number;
	reply = find_reply(&r);
	return reply != FAULT_OK ? reply : word;
}

enum fault recognise_text(struct span pasted)
{
	struct reading r;
	enum fault word, reply;

	reading_init(&r, pasted);
	word = find_word(&r);
	if (waits(word))
		return word;
	if (r.number != FAULT_OK)
		return r.number;
	reply = find_reply(&r);
	return reply != FAULT_OK ? reply : word;
}
