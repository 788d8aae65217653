/* desk/page.h - a page being written: markup of ours, everything else escaped.
 *
 * Why       Names, addresses and error texts come from strangers; a page that escapes unless told otherwise cannot forget one.
 * Promise   There is no way to put text in that is not a literal of ours without its being escaped. No script, no inline style, nothing from
 *           elsewhere; the policy that says so goes with every page.
 * Owns      Its text, until page_answer() or page_free().
 * Refuses   More than PAGE_BYTES_MAX: the answer is then 500.
 * See       tables/words.def; docs/decisions/0053-pages-without-script.md */
#pragma once
#include "base/remedy.h"
#include "loop/http_server.h"

enum { PAGE_BYTES_MAX = 128 * 1024 };

enum word {
#define WORD(name, ...) WORD_##name,
#include "tables/words.def"
#undef WORD
	WORD_COUNT
};

/* The state of a page, shown by colour, by sign and in words. */
enum page_mood { PAGE_PLAIN, PAGE_ASKS, PAGE_GREEN, PAGE_RED };

struct page {
	struct buf text;
	enum language language;
	enum page_mood mood;
	struct arena *arena; /* of texts made on the way */
};

/* Begins with the head, and a heading of the same words as the title. */
void page_begin(struct page *, enum language, enum page_mood, enum word title);

/* Appends markup, a literal; each `{}` in it is the next argument, escaped: PAGE(p, "<p>{}</p>", name). */
#define PAGE(page, markup, ...)                                                                        \
	page_put(page, "" markup, (const struct span[]){ { 0 }, ##__VA_ARGS__ } + 1,                     \
		 sizeof((const struct span[]){ { 0 }, ##__VA_ARGS__ }) / sizeof(struct span) - 1)
void page_put(struct page *, const char *markup, const struct span *arguments, size_t count);

/* The words in the language of the page; page_fill() puts `first` where {0} stands. */
struct span page_word(const struct page *, enum word);
struct span page_fill(struct page *, enum word, struct span first);

/* A fault's sentence as one of a page: it begins with a capital and ends with a stop. */
struct span page_sentence(struct page *, const char *text);

/* Escaped text in which what stands between backticks is set as code. */
void page_prose(struct page *, struct span);

/* What to do about a fault, under its heading; nothing where there is nothing to do. Remedies are written for whoever has the command line: where
 * the page has a button for the same as `postern mailbox link`, its words stand in that command's place (empty: none). */
void page_remedy(struct page *, enum fault, const struct remedy_names *, struct span button);

/* A line of a list of names and values: nothing when the value is empty. */
void page_pair(struct page *, enum word label, struct span value);

/* Ends it and answers with it; `headers` besides those of every page. Frees it. */
void page_answer(struct page *, struct http_exchange *, int status, const struct span (*headers)[2], size_t header_count);
void page_free(struct page *);

/* The language to use: what the browser prefers of the two, else `otherwise`. */
enum language page_language(struct span accept_language, enum language otherwise);
