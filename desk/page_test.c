#include "desk/page.h"

#include "base/arena.h"
#include "tests/test.h"

static const char *text_of(struct page *p)
{
	buf_put_byte(&p->text, 0);
	p->text.size--;
	return p->text.at;
}

static void page_escapes_every_argument(void **state)
{
	static const char *const hostile[] = {
		"<script>alert(1)</script>", "\"><img src=x onerror=alert(1)>", "' onmouseover='alert(1)", "</title><script>", "&lt;b&gt;",
		"<svg/onload=alert(1)>", "javascript:alert(1)", "{}", "\x80\xff<b>", "<!--", "]]>", ("<\xc0\xbc" "script>"),
	};

	for (size_t i = 0; i < sizeof hostile / sizeof *hostile; i++) {
		struct page p;
		size_t begin;
		const char *at;

		page_begin(&p, LANGUAGE_EN, PAGE_RED, WORD_RED_TITLE);
		begin = p.text.size;
		page_pair(&p, WORD_LABEL_MAILBOX, span_of(hostile[i]));
		page_prose(&p, span_of(hostile[i]));
		PAGE(&p, "<i class=\"{}\">{}</i>", span_of(hostile[i]), page_fill(&p, WORD_LINK_NEXT, span_of(hostile[i])));
		at = text_of(&p) + begin;
		/* What is left of tags is ours alone. */
		for (const char *tag = at; (tag = strchr(tag, '<')); tag++)
			if (strncmp(tag, "<div>", 5) && strncmp(tag, "<dt>", 4) && strncmp(tag, "</dt>", 5) && strncmp(tag, "<dd>", 4) &&
			    strncmp(tag, "<bdi>", 5) && strncmp(tag, "</bdi>", 6) && strncmp(tag, "</dd>", 5) && strncmp(tag, "</div>", 6) &&
			    strncmp(tag, "<i class=\"", 10) && strncmp(tag, "</i>", 4))
				fail_msg("%s became %s", hostile[i], at);
		page_free(&p);
	}
}

static void page_lets_long_addresses_break_where_people_would(void **state)
{
	static const struct { const char *value, *wanted; } cases[] = {
		{ "anne@contoso.example", "<bdi>anne@contoso.example</bdi>" },
		{ "accounts.payable@mail.contoso.example", "<bdi>accounts<wbr>.payable<wbr>@mail<wbr>.contoso<wbr>.example</bdi>" },
		{ ".a@<b>.contoso.example.contoso.example", "<bdi>.a<wbr>@&lt;b&gt;<wbr>.contoso<wbr>.example<wbr>.contoso<wbr>.example</bdi>" },
		{ "André of the accounts of the north", "<bdi>André of the accounts of the north</bdi>" },
	};

	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		struct page p;

		page_begin(&p, LANGUAGE_EN, PAGE_PLAIN, WORD_FRONT_TITLE);
		page_pair(&p, WORD_LABEL_MAILBOX, span_of(cases[i].value));
		if (!strstr(text_of(&p), cases[i].wanted))
			fail_msg("%s became %s", cases[i].value, text_of(&p));
		page_free(&p);
	}
}

/* The words of a button stand in for a command in any sentence: "the link of the button" and "de le bouton" would be nonsense. */
static void remedies_read_well_with_a_button(void **state)
{
	static const char *const before[] = { " of ", " de ", " du ", " à " };

	for (unsigned f = 0; f < FAULT_COUNT; f++)
		for (unsigned l = 0; l < LANGUAGE_COUNT; l++) {
			const char *pattern = fault_row((enum fault)f)->remedy_pattern[l], *at = strstr(pattern, "`postern mailbox link {mailbox}`");

			for (size_t i = 0; at && i < sizeof before / sizeof *before; i++)
				if ((size_t)(at - pattern) >= strlen(before[i]) && !strncmp(at - strlen(before[i]), before[i], strlen(before[i])))
					fail_msg("%s: %s", fault_row((enum fault)f)->name, pattern);
		}
}

static void page_sets_code_between_backticks(void **state)
{
	struct page p;

	page_begin(&p, LANGUAGE_EN, PAGE_PLAIN, WORD_FRONT_TITLE);
	buf_clear(&p.text);
	page_prose(&p, SPAN("run `postern <x>` now, `twice`"));
	assert_string_equal(text_of(&p), "run <code>postern &lt;x&gt;</code> now, <code>twice</code>");
	page_free(&p);
}

static void page_knows_language_title_and_mood(void **state)
{
	struct page p;

	page_begin(&p, LANGUAGE_FR, PAGE_GREEN, WORD_GREEN_TITLE);
	assert_non_null(strstr(text_of(&p), "<html lang=\"fr\">"));
	assert_non_null(strstr(text_of(&p), "<title>Votre boîte est identifiée - Postern</title>"));
	assert_non_null(strstr(text_of(&p), "<body class=\"green\">"));
	assert_non_null(strstr(text_of(&p), "<span>Réussi</span>"));
	assert_null(strstr(text_of(&p), "style="));
	assert_null(strstr(text_of(&p), "<script"));
	page_free(&p);
}

static void page_fills_words(void **state)
{
	struct page p;

	page_begin(&p, LANGUAGE_EN, PAGE_PLAIN, WORD_FRONT_TITLE);
	assert_span(page_fill(&p, WORD_RED_CODE, SPAN("X")), "Code for your administrator: X");
	assert_span(page_word(&p, WORD_RED_AGAIN), "Try again");
	page_free(&p);
}

static void page_makes_sentences(void **state)
{
	static const struct { enum language language; const char *text, *wanted; } cases[] = {
		{ LANGUAGE_EN, "", "" },
		{ LANGUAGE_EN, "not allowed", "Not allowed." },
		{ LANGUAGE_EN, "Do this now.", "Do this now." },
		{ LANGUAGE_EN, "a: b", "A: b." },
		{ LANGUAGE_FR, "échec du \xc3\xa0", "Échec du \xc3\xa0." },
		{ LANGUAGE_FR, "réessayez ; voyez : là !", "Réessayez\xc2\xa0; voyez\xc2\xa0: là\xc2\xa0!" },
		{ LANGUAGE_FR, "fin ", "Fin ." },
	};

	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		struct page p;

		page_begin(&p, cases[i].language, PAGE_PLAIN, WORD_FRONT_TITLE);
		assert_span(page_sentence(&p, cases[i].text), cases[i].wanted);
		page_free(&p);
	}
}

static void page_language_follows_the_browser(void **state)
{
	static const struct {
		const char *accept;
		enum language otherwise, wanted;
	} cases[] = {
		{ "", LANGUAGE_EN, LANGUAGE_EN },
		{ "", LANGUAGE_FR, LANGUAGE_FR },
		{ "fr", LANGUAGE_EN, LANGUAGE_FR },
		{ "FR-ca", LANGUAGE_EN, LANGUAGE_FR },
		{ "fr-FR,fr;q=0.9,en;q=0.8", LANGUAGE_EN, LANGUAGE_FR },
		{ "de, en;q=0.3, fr;q=0.7", LANGUAGE_EN, LANGUAGE_FR },
		{ "en;q=0.9, fr;q=0.9", LANGUAGE_FR, LANGUAGE_EN },
		{ "de", LANGUAGE_FR, LANGUAGE_FR },
		{ "*", LANGUAGE_FR, LANGUAGE_FR },
		{ "fr;q=0", LANGUAGE_EN, LANGUAGE_EN },
		{ "fr;q=banana", LANGUAGE_EN, LANGUAGE_EN },
		{ "frisian, english", LANGUAGE_FR, LANGUAGE_FR },
		{ ",;,;;q=,fr ; q=0.5,,", LANGUAGE_EN, LANGUAGE_FR },
	};

	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
		if (page_language(span_of(cases[i].accept), cases[i].otherwise) != cases[i].wanted)
			fail_msg("%s", cases[i].accept);
}

TESTS(page_escapes_every_argument, page_lets_long_addresses_break_where_people_would, page_sets_code_between_backticks, remedies_read_well_with_a_button, page_knows_language_title_and_mood, page_fills_words, page_makes_sentences,
      page_language_follows_the_browser)
