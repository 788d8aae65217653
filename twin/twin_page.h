/* twin/twin_page.h - the frame and the words of the twin's pages.
 *
 * Why       A page is a few sentences; what is around them is the same everywhere, in both languages, light and dark, narrow and wide.
 * Promise   Whatever is put as text is escaped. No page has a script, and none needs one.
 * Owns      Nothing.
 * Refuses   Nothing: a page that outgrows its ceiling is cut.
 * See       tables/twin_words.def */
#pragma once
#include "twin/twin_http.h"

enum twin_word {
#define TWIN_WORD(name, en, fr) TWIN_WORD_##name,
#include "tables/twin_words.def"
#undef TWIN_WORD
	TWIN_WORD_COUNT
};

/* A word in a language. */
struct span twin_word(enum twin_word, enum language);

/* A page while it is written. */
struct twin_page {
	struct buf *out;
	enum language language;
};

/* Begins a page: a card in the middle, or the whole width with the links of the overview. */
struct twin_page twin_page_begin(struct twin_response *, enum language, enum twin_word title, bool wide);
void twin_page_end(struct twin_page *);

/* Markup of ours, as it is. */
void twin_page_markup(struct twin_page *, const char *markup);

/* Text of anyone's, escaped; and a word. */
void twin_page_text(struct twin_page *, struct span);
void twin_page_word(struct twin_page *, enum twin_word);

/* Markup with words and texts in it: %w takes an enum twin_word, %s a struct span *, both escaped; %% is a percent sign. */
void twin_page_put(struct twin_page *, const char *format, ...);

/* The style sheet. */
struct span twin_page_style(void);

/* The value of Content-Security-Policy for a response; what `form_action` holds is allowed besides. */
void twin_page_policy(struct buf *out, const struct twin_response *);
