#include "desk/page.h"

#include "base/arena.h"
#include "base/panic.h"
#include "base/text.h"

#include <string.h>

enum { ARENA_BYTES = 256 * 1024, HEADERS_MAX = 8, FITS_BYTES = 28 };

static const char *const words[WORD_COUNT][LANGUAGE_COUNT] = {
#define WORD(name, english, french) { english, french },
#include "tables/words.def"
#undef WORD
};

/* Chromium holds form-action against every redirect that follows the button, and a sign-in may pass through hosts that nobody can list beforehand. */
static const char policy[] = "default-src 'none'; style-src 'self'; img-src 'self'; form-action 'self' https: "
			     "http://localhost:* http://127.0.0.1:*; base-uri 'none'; frame-ancestors 'none'";

static const char *const mood_names[] = { "plain", "asks", "green", "red" };

/* Drawn so that they differ by shape as well: a tick in a disc, a cross in an octagon, a key in a disc. */
static const char *const signs[] = {
	"",
	"<circle cx=\"32\" cy=\"32\" r=\"30\"/><circle class=\"cut\" cx=\"24\" cy=\"32\" r=\"8\"/><path class=\"cut\" d=\"M32 32h20M44 32v9M51 32v7\"/>",
	"<circle cx=\"32\" cy=\"32\" r=\"30\"/><path class=\"cut\" d=\"M18 33.5l9.5 9.5L46 23\"/>",
	"<path d=\"M20.5 4h23L60 20.5v23L43.5 60h-23L4 43.5v-23z\"/><path class=\"cut\" d=\"M22 22l20 20M42 22L22 42\"/>",
};

static const enum word sign_words[] = { WORD_PRODUCT, WORD_SIGN_BUSY, WORD_SIGN_GREEN, WORD_SIGN_RED };

static void put_escaped(struct buf *out, struct span text)
{
	struct buf plain;

	if (text_is_utf8(text)) {
		text_html(out, text);
		return;
	}
	buf_init(&plain, PAGE_BYTES_MAX);
	text_plain(&plain, text);
	text_html(out, buf_span(&plain));
	buf_free(&plain);
}

void page_put(struct page *p, const char *markup, const struct span *arguments, size_t count)
{
	struct span rest = span_of(markup);
	size_t used = 0;

	while (rest.size) {
		size_t hole = span_find(rest, SPAN("{}"));

		buf_put(&p->text, span_slice(rest, 0, hole));
		if (hole < rest.size) {
			ASSERT(used < count);
			put_escaped(&p->text, arguments[used++]);
		}
		rest = span_slice(rest, hole + 2, rest.size);
	}
	ASSERT(used == count);
}

struct span page_word(const struct page *p, enum word w)
{
	return span_of(words[w][p->language]);
}

struct span page_fill(struct page *p, enum word w, struct span first)
{
	struct span text = page_word(p, w);
	size_t hole = span_find(text, SPAN("{0}"));
	struct span behind = span_slice(text, hole + 3, text.size);

	first = span_slice(first, 0, 1000);
	return arena_print(p->arena, "%.*s%.*s%.*s", (int)hole, text.at, SPAN_ARGS(first), SPAN_ARGS(behind));
}

/* French sets a blank before these, which must not begin a line. */
static struct span french(struct page *p, struct span text)
{
	static const char marks[] = ":;!?";
	char *out = arena_take(p->arena, text.size * 2 + 1);
	size_t size = 0;

	for (size_t i = 0; i < text.size; i++) {
		bool is_before_mark = text.at[i] == ' ' && i + 1 < text.size && text.at[i + 1] && strchr(marks, text.at[i + 1]);

		if (is_before_mark)
			out[size++] = '\xc2';
		out[size++] = is_before_mark ? '\xa0' : text.at[i];
	}
	return (struct span){ out, size };
}

struct span page_sentence(struct page *p, const char *text)
{
	struct span whole = span_of(text);
	unsigned char *first = (unsigned char *)arena_text(p->arena, whole);
	bool is_closed = !whole.size || strchr(".!?", whole.at[whole.size - 1]);

	if (first[0] >= 'a' && first[0] <= 'z')
		first[0] = (unsigned char)(first[0] - 0x20);
	else if (first[0] == 0xc3 && first[1] >= 0xa0 && first[1] != 0xb7) /* U+00E0 to U+00FE, but the division sign */
		first[1] = (unsigned char)(first[1] - 0x20);
	whole = arena_print(p->arena, "%s%s", (char *)first, is_closed ? "" : ".");
	return p->language == LANGUAGE_FR ? french(p, whole) : whole;
}

static void put_sign(struct page *p)
{
	if (!signs[p->mood][0])
		return;
	PAGE(p, "<p class=\"sign\"><svg viewBox=\"0 0 64 64\" aria-hidden=\"true\" focusable=\"false\">");
	buf_put(&p->text, span_of(signs[p->mood]));
	PAGE(p, "</svg><span>{}</span></p>\n", page_word(p, sign_words[p->mood]));
}

void page_begin(struct page *p, enum language language, enum page_mood mood, enum word title)
{
	struct span title_text;

	*p = (struct page){ .language = language, .mood = mood, .arena = arena_new(ARENA_BYTES) };
	buf_init(&p->text, PAGE_BYTES_MAX);
	title_text = page_word(p, title);
	/* Without the referrer rule a browser would hide from us that the button stood on our own page. */
	PAGE(p,
	     "<!DOCTYPE html>\n<html lang=\"{}\">\n<head>\n<meta charset=\"utf-8\">\n<title>{} - {}</title>\n"
	     "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n<meta name=\"robots\" content=\"noindex\">\n"
	     "<meta name=\"referrer\" content=\"same-origin\">\n<meta name=\"color-scheme\" content=\"light dark\">\n"
	     "<link rel=\"icon\" href=\"/icon.svg\" type=\"image/svg+xml\">\n<link rel=\"stylesheet\" href=\"/style.css\">\n</head>\n"
	     "<body class=\"{}\">\n<main>\n",
	     span_of(language_name(language)), title_text, page_word(p, WORD_PRODUCT), span_of(mood_names[mood]));
	put_sign(p);
	PAGE(p, "<h1>{}</h1>\n", title_text);
}

void page_prose(struct page *p, struct span text)
{
	struct span piece;

	for (bool is_code = false; span_cut(&text, '`', &piece); is_code = !is_code) {
		if (is_code)
			PAGE(p, "<code>{}</code>", piece);
		else
			PAGE(p, "{}", piece);
	}
}

/* The command that makes a new link, which a button of the page does as well. */
static struct span with_button(struct page *p, struct span pattern, struct span button)
{
	const struct span command = SPAN("`postern mailbox link {mailbox}`");
	size_t at = span_find(pattern, command);
	struct span behind = span_slice(pattern, at + command.size, pattern.size);

	if (!button.size || at == pattern.size)
		return pattern;
	return arena_print(p->arena, "%.*s%.*s%.*s", (int)at, pattern.at, SPAN_ARGS(button), SPAN_ARGS(behind));
}

void page_remedy(struct page *p, enum fault f, const struct remedy_names *names, struct span button)
{
	struct span pattern = span_of(fault_row(f)->remedy_pattern[p->language]);
	struct buf text;

	if (!pattern.size)
		return;
	buf_init(&text, REMEDY_BYTES_MAX);
	remedy_fill(&text, with_button(p, pattern, button), p->language, names);
	buf_put_byte(&text, 0);
	PAGE(p, "<h2>{}</h2>\n<p>", page_word(p, WORD_LABEL_REMEDY));
	page_prose(p, page_sentence(p, text.at));
	PAGE(p, "</p>\n");
	buf_free(&text);
}

/* A long address may go to the next line where people would break it: before its @ and its dots. */
static void put_breakable(struct page *p, struct span text)
{
	size_t from = 0;

	for (size_t i = 1; text.size > FITS_BYTES && i < text.size; i++)
		if (text.at[i] == '@' || text.at[i] == '.') {
			PAGE(p, "{}<wbr>", span_slice(text, from, i - from));
			from = i;
		}
	PAGE(p, "{}", span_slice(text, from, text.size));
}

void page_pair(struct page *p, enum word label, struct span value)
{
	if (!value.size)
		return;
	PAGE(p, "<div><dt>{}</dt><dd><bdi>", page_word(p, label));
	put_breakable(p, value);
	PAGE(p, "</bdi></dd></div>\n");
}

void page_answer(struct page *p, struct http_exchange *x, int status, const struct span (*headers)[2], size_t header_count)
{
	struct span all[HEADERS_MAX][2] = { { SPAN("Content-Security-Policy"), span_of(policy) }, { SPAN("Vary"), SPAN("Accept-Language") },
					    { SPAN("Content-Language"), span_of(language_name(p->language)) } };
	size_t count = 3;

	ASSERT(header_count <= HEADERS_MAX - count);
	for (size_t i = 0; i < header_count; i++, count++)
		memcpy(all[count], headers[i], sizeof all[count]);
	PAGE(p, "</main>\n<footer><p>{}</p></footer>\n</body>\n</html>\n", page_word(p, WORD_PRODUCT));
	if (p->text.overfull)
		http_answer(x, 500, SPAN("text/plain; charset=utf-8"), NULL, 0, SPAN("the page is too large\n"));
	else
		http_answer(x, status, SPAN("text/html; charset=utf-8"), (const struct span(*)[2])all, count, buf_span(&p->text));
	page_free(p);
}

void page_free(struct page *p)
{
	buf_free(&p->text);
	arena_free(&p->arena);
}

/* --- language */

/* A quality such as `;q=0.8` in thousandths; 1000 where there is none, 0 where it is broken. */
static unsigned quality_of(struct span parameters)
{
	size_t at = span_find_fold(parameters, SPAN("q="));
	struct span value = span_trim(span_slice(parameters, at + 2, parameters.size));
	unsigned quality = 0, unit = 1000;

	if (at == parameters.size)
		return 1000;
	for (size_t i = 0; i < value.size && unit; i++) {
		if (value.at[i] == '.' && i == 1)
			continue;
		if (value.at[i] < '0' || value.at[i] > '9')
			return 0;
		quality += (unsigned)(value.at[i] - '0') * unit;
		unit /= 10;
	}
	return quality <= 1000 ? quality : 0;
}

static bool is_language(struct span tag, struct span wanted)
{
	return span_starts_fold(tag, wanted) && (tag.size == wanted.size || tag.at[wanted.size] == '-');
}

enum language page_language(struct span accept, enum language otherwise)
{
	unsigned best = 0;
	struct span item, tag;

	while (span_cut(&accept, ',', &item)) {
		enum language found = otherwise;
		unsigned quality;

		span_cut(&item, ';', &tag);
		tag = span_trim(tag);
		quality = quality_of(item);
		if (is_language(tag, SPAN("en")))
			found = LANGUAGE_EN;
		else if (is_language(tag, SPAN("fr")))
			found = LANGUAGE_FR;
		else
			continue;
		if (quality > best) {
			best = quality;
			otherwise = found;
		}
	}
	return otherwise;
}
