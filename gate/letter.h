/* gate/letter.h - a message on its way through gate: its header is held, judged and completed, its body passes.
 *
 * Why       Who a message claims to be from decides whether it may leave, and clumsy clients leave out what RFC 6409 section 8 lets us add.
 * Promise   The digest is over the bytes as received. Signed mail leaves as it came but for one Received line.
 * Owns      The header block until it has ended; then nothing.
 * Refuses   From, Sender and Resent-* outside the grant (FAULT_SENDER_NOT_GRANTED) where the client's rule refuses; a rewrite of signed mail; mail that has
 *           gone round (FAULT_MAIL_LOOP); header blocks past the ceiling.
 * See       wire/header.h, gate/envelope.h */
#pragma once
#include "base/seal.h"
#include "gate/envelope.h"
#include "wire/header.h"

struct letter_settings {
	const struct grant *grant;
	const struct envelope_route *route;
	size_t header_bytes_max;
	struct span host, helo, protocol, peer; /* for the Received line; copied */
	uint64_t session, serial;
	void (*send)(void *self, struct span bytes); /* what leaves, in pieces */
	void *self;
};

struct letter {
	bool is_begun, is_past_header;
	struct letter_settings settings;
	char texts[1024];
	struct buf block;
	struct header header;
	struct seal_hash hash;
	char message_id[512], from[MAIL_ADDRESS_BYTES];
	size_t message_id_size, from_size;
};

/* Begins; at the first byte of the message. letter_is_begun() is false before, and after letter_fini(). */
void letter_begin(struct letter *, const struct letter_settings *);
bool letter_is_begun(const struct letter *);

/* Takes bytes as received. A fault is final. */
MUST_CHECK enum fault letter_put(struct letter *, struct span bytes);

/* The message is whole; `digest_out` is SHA-256 of what was put. */
MUST_CHECK enum fault letter_end(struct letter *, unsigned char digest_out[SEAL_DIGEST_BYTES]);

/* The client's Message-ID, empty when it gave none; the address of the From header that was refused, if any. */
struct span letter_message_id(const struct letter *);
struct span letter_from(const struct letter *);

/* Frees; a zeroed letter is fine. */
void letter_fini(struct letter *);
