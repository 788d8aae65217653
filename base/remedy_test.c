/* Remedies: the names of a case in their commands, whatever the names hold. */
#include "base/remedy.h"
#include "tests/test.h"

#include <string.h>

static void filled(const char *pattern, enum language language, const struct remedy_names *names, const char *wanted)
{
	struct buf b;

	buf_init(&b, 4096);
	remedy_fill(&b, span_of(pattern), language, names);
	assert_span(buf_span(&b), wanted);
	buf_free(&b);
}

static void names_are_put_in(void **state)
{
	const struct remedy_names names = { .mailbox = SPAN("anne@contoso.example"), .client = SPAN("erp"), .sender = SPAN("a+b@c.example"),
					    .message = SPAN("0000000000012") };

	filled("Link it: `x {mailbox}`, `y {client} {sender} {message}`.", LANGUAGE_EN, &names,
	       "Link it: `x anne@contoso.example`, `y erp a+b@c.example 0000000000012`.");
	filled("{mailbox}", LANGUAGE_FR, &names, "anne@contoso.example");
	filled("{}{other}{{client}{", LANGUAGE_EN, &names, "{}{other}{erp{");
	filled("", LANGUAGE_EN, &names, "");
}

static void what_is_not_known_is_shown_as_such(void **state)
{
	filled("`{account}`", LANGUAGE_EN, &(struct remedy_names){ .mailbox = SPAN("a@x"), .account = SPAN("b@x") }, "`b@x`");
	filled("`{account}`", LANGUAGE_FR, NULL, "`<adresse>`");
	filled("`{mailbox} {client} {sender} {message}`", LANGUAGE_EN, NULL, "`<address> <client> <sender> <id>`");
	filled("`{mailbox} {client} {sender} {message}`", LANGUAGE_FR, &(struct remedy_names){ 0 }, "`<adresse> <client> <expéditeur> <id>`");
}

static void names_are_one_word_in_a_shell(void **state)
{
	static const struct {
		const char *name, *wanted;
	} cases[] = {
		{ "a@b", "a@b" },
		{ "a b@c", "'a b@c'" },
		{ "\"a b\"@c", "'\"a b\"@c'" },
		{ "a;reboot@b", "'a;reboot@b'" },
		{ "$(reboot)@b", "'$(reboot)@b'" },
		{ "a|b&c>d@e", "'a|b&c>d@e'" },
		{ "#a@b", "'#a@b'" },
		{ "~a@b", "'~a@b'" },
		{ "@a", "'@a'" },
		{ "{client}@b", "'{client}@b'" },
		{ "andré@b", "'andré@b'" },
		{ "o'brien@b", "\"o'brien@b\"" },
		{ "o'b$rien@b", "<address>" },
		{ "o'b\"rien@b", "<address>" },
		{ "o'b\\rien@b", "<address>" },
		{ "o'b!rien@b", "<address>" },
		{ "a`reboot`@b", "<address>" },
		{ "--all@b", "<address>" },
		{ "a\r\n250 ok@b", "<address>" },
		{ "a\n@b", "<address>" },
		{ "a\x1b[2J@b", "<address>" },
		{ "a\x7f@b", "<address>" },
		{ "a\xff@b", "<address>" },
		{ "a\xe2\x80\x99; reboot@b", "<address>" }, /* a quotation mark to PowerShell */
		{ "a\xe2\x80\x8b@b", "<address>" },          /* a blank without width */
		{ "a\xe2\x80\xae@b", "<address>" },          /* right to left */
		{ "a\xe2\x81\xa6@b", "<address>" },
	};

	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
		filled("{mailbox}", LANGUAGE_EN, &(struct remedy_names){ .mailbox = span_of(cases[i].name) }, cases[i].wanted);
}

static void a_name_beyond_any_address_is_left_out(void **state)
{
	char longest[320], wanted[321] = { 0 };

	memset(longest, 'a', sizeof longest);
	memset(wanted, 'a', sizeof longest);
	filled("{mailbox}", LANGUAGE_EN, &(struct remedy_names){ .mailbox = { longest, sizeof longest } }, wanted);
	filled("{mailbox}", LANGUAGE_EN, &(struct remedy_names){ .mailbox = { wanted, sizeof wanted } }, "<address>");
}

static size_t count(const char *text, const char *what)
{
	size_t found = 0;

	for (const char *at = text; (at = strstr(at, what)); at++)
		found++;
	return found;
}

/* Every row: its holes stand in commands, are known, and are the same in both languages. */
static void rows_have_known_holes_in_commands(void **state)
{
	static const char *const holes[] = { "{mailbox}", "{account}", "{client}", "{sender}", "{message}" };
	struct buf b;

	buf_init(&b, 4096);
	for (unsigned f = 0; f < FAULT_COUNT; f++)
		for (unsigned l = 0; l < LANGUAGE_COUNT; l++) {
			const char *pattern = fault_row((enum fault)f)->remedy_pattern[l];
			bool in_command = false;

			for (const char *at = pattern; *at; at++) {
				in_command ^= *at == '`';
				if (*at == '{' && !in_command)
					fail_msg("%s: a hole outside of a command", fault_row((enum fault)f)->name);
			}
			buf_clear(&b);
			remedy_put(&b, (enum fault)f, (enum language)l, NULL);
			buf_put_byte(&b, 0);
			if (in_command || strpbrk(b.at, "{}") || strstr(b.at, "ADDRESS") || strstr(b.at, "ADRESSE"))
				fail_msg("%s: %s", fault_row((enum fault)f)->name, b.at);
			for (size_t h = 0; h < sizeof holes / sizeof *holes; h++)
				assert_int_equal(count(pattern, holes[h]), count(fault_row((enum fault)f)->remedy_pattern[0], holes[h]));
		}
	buf_free(&b);
}

TESTS(names_are_put_in, what_is_not_known_is_shown_as_such, names_are_one_word_in_a_shell, a_name_beyond_any_address_is_left_out,
      rows_have_known_holes_in_commands)
