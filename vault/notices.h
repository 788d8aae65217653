/* vault/notices.h - tells owners and administrators, by mail, what needs them.
 *
 * Why       Nothing that needs a person may be a surprise; and a thousand things with one cause are one mail.
 * Promise   A notice is written in the transaction that remembers that it was; it is handed to post until post has it, and sent once. It goes
 *           through a mailbox that works: the organisation's for notices, else another of its own; never through what is held.
 * Owns      The notices that post has not taken yet.
 * Refuses   Nothing. Where nobody is named and where no mailbox works, `postern status` is what tells.
 * See       tables/notices.def, post/notice.c */
#pragma once
#include "store/notices.h"
#include "vault/inner.h"

enum notice_kind {
#define NOTICE(symbol, number, ...) NOTICE_##symbol = (number),
#include "tables/notices.def"
#undef NOTICE
};

/* One thing that is told of. */
struct notice_piece {
	uint64_t organisation; /* 0: it is everybody's */
	uint64_t mailbox;      /* whose owner is told besides the administrators; 0: nobody's */
	const void *about;
	void (*put)(const struct vault *, const void *about, enum language, struct buf *out); /* its lines */
};

/* Notices in the making: they live as long as the change whose arena they are in. */
struct notices_draft {
	struct notice_row *rows;
	size_t count, room;
};

/* Words notices of the pieces, for each organisation and owner that they concern. */
void notices_word(struct vault *, struct notices_draft *, struct arena *, enum notice_kind, const struct notice_piece *, size_t count);

/* In the transaction; and once it stands. */
MUST_CHECK enum fault notices_store(struct notices_draft *, struct sqlite *);
void notices_stored(struct vault *, const struct notices_draft *);

/* A labelled line of tables/notice_words.def, for the pieces. */
enum notice_word {
#define NOTICE_WORD(symbol, ...) NOTICE_WORD_##symbol,
#include "tables/notice_words.def"
#undef NOTICE_WORD
};
void notices_put_word(struct buf *out, enum notice_word, enum language, struct span value);

/* Post answered; a minute is over: what waits is tried. A mailbox may work again: those that did not are tried too. */
void notices_taken(struct vault *, const struct message_noticed *);
void notices_send(struct vault *);
void notices_mended(struct vault *);

/* How many wait. */
size_t notices_count(const struct vault *);

/* Begins and ends with the vault. */
MUST_CHECK enum fault notices_start(struct vault *);
void notices_free(struct vault *);
