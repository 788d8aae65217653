/* vault/consent_parts.h - what the files of the consent share.
 *
 * Why       Making a link, pressing its button and coming back from the provider are three stories about one thing.
 * Promise   As vault/consent.h.
 * Owns      Nothing.
 * Refuses   Being included by anything but vault/consent*.c. */
#pragma once
#include "base/seal.h"
#include "vault/inner.h"

enum { CONSENT_TEXT = 43 /* 32 random bytes in base64url */, CONSENT_URL_BYTES = 16 * 1024 };

/* A link, as in the database. */
struct consent {
	uint64_t id, mailbox;
	unsigned char digest[SEAL_DIGEST_BYTES], browser[SEAL_DIGEST_BYTES], state[SEAL_DIGEST_BYTES];
	bool is_bound, is_pressed, is_consumed, is_spent, is_busy; /* is_consumed: the sign-in of `state` came back */
	char nonce[CONSENT_TEXT + 1];
	int64_t expires_at_ms;
	char actor[VAULT_ACTOR_BYTES];
	unsigned wrong; /* how often the wrong account came */
};

struct consents {
	struct map by_id, by_digest, by_state;
};

/* SHA-256 of a text, in `out`; and a digest as a span. */
struct span consent_digest(unsigned char out[SEAL_DIGEST_BYTES], struct span text);
struct span consent_bytes(const unsigned char digest[SEAL_DIGEST_BYTES]);
void consent_copy_digest(unsigned char to[SEAL_DIGEST_BYTES], struct span from);

/* 256 random bits as a text. */
void consent_random_text(char out[CONSENT_TEXT + 1]);

/* The link that the arguments name, or NULL; whether it may be used (NULL: unknown); whether it is bound to this browser. */
struct consent *consent_by_link(struct vault *, const json_t *arguments);
enum fault consent_usable(const struct consent *);
bool consent_is_browser(const struct consent *, struct span browser);

/* Forgets the `state` under way. */
void consent_unpress(struct vault *, struct consent *);

/* What a page shows of a link, good or not (NULL: unknown). */
json_t *consent_describe(const struct vault *, const struct consent *, const struct asker *);

vault_run consent_press, consent_finish;
