/* fuzz/import_check.h - what holds for whatever was found in another program's file.
 *
 * Why       Each of the four readers has a target of its own, and the same promise.
 * Promise   A text that breaks it panics.
 * Owns      Nothing.
 * Refuses   Nothing. */
#pragma once
#include "base/panic.h"
#include "base/text.h"
#include "wire/import.h"
#include "wire/mail_address.h"

/* One clean line of UTF-8. */
static inline void import_check_line(struct span s, size_t most)
{
	ASSERT(s.size <= most && text_is_utf8(s));
	for (size_t i = 0; i < s.size; i++)
		ASSERT((unsigned char)s.at[i] >= ' ' && s.at[i] != 0x7f);
}

static inline void import_check_list(const struct import_list *list)
{
	ASSERT(list->count <= list->room && list->count <= IMPORT_LIST_MAX);
	for (size_t i = 0; i < list->count; i++)
		import_check_line(list->items[i], IMPORT_WORD_BYTES);
}

static inline void import_check_account(const struct import_account *a)
{
	const struct import_registration *r = &a->registration;
	const struct span words[] = { a->address, r->kind, r->tenant, r->client_id, r->issuer, r->host, a->token_file };
	struct mail_address parsed;

	for (size_t i = 0; i < sizeof words / sizeof *words; i++)
		import_check_line(words[i], IMPORT_WORD_BYTES + 8);
	ASSERT(*a->address.at == '@' || mail_address_parse(&parsed, a->address) == FAULT_OK);
	ASSERT(r->port <= UINT16_MAX);
	import_check_line(r->client_secret, IMPORT_SECRET_BYTES);
	import_check_line(a->refresh_token, IMPORT_SECRET_BYTES);
	import_check_line(a->password, IMPORT_SECRET_BYTES);
	import_check_list(&a->aliases);
}

/* All that was found. */
static inline void import_check(const struct import *i)
{
	char memory[IMPORT_WORD_BYTES + 1024];
	struct buf text;

	import_check_line(span_of(i->why), sizeof i->why);
	for (size_t at = 0; at < i->account_count; at++)
		import_check_account(&i->accounts[at]);
	for (size_t at = 0; at < i->client_count; at++) {
		ASSERT(i->clients[at].name.size > 0 && i->clients[at].name.size <= 64);
		import_check_line(i->clients[at].name, 64);
		import_check_list(&i->clients[at].mailboxes);
		import_check_list(&i->clients[at].networks);
	}
	for (size_t at = 0; at < i->remark_count; at++) {
		buf_over(&text, memory, sizeof memory);
		import_put_remark(&text, &i->remarks[at], at % 2 ? LANGUAGE_FR : LANGUAGE_EN);
		ASSERT(text.size && !text.overfull);
		import_check_line(buf_span(&text), sizeof memory);
	}
}
