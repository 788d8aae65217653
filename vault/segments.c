#include "vault/inner.h"

#include "base/seal.h"

static void send_key(const struct vault_peer *peer, uint64_t request, enum fault fault, struct span key, struct span wrapped)
{
	link_send(peer->link, &MESSAGE_OF(segment_key, .request = request, .fault = fault, .key = key, .wrapped = wrapped));
}

void segments_key_wanted(struct vault *v, const struct vault_peer *peer, const struct message_segment_key_wanted *w)
{
	struct secret *key = secret_random(SEAL_KEY_BYTES);
	char memory[256];
	struct buf wrapped;

	buf_over(&wrapped, memory, sizeof memory);
	if (keyring_wrap(v->keys, &wrapped, KEYRING_SEGMENT, secret_borrow(key)))
		send_key(peer, w->request, FAULT_OK, secret_borrow(key), buf_span(&wrapped));
	secret_free(&key);
}

/* What comes back is wrapped under the current key, so that post can put it in the old one's place. */
void segments_unwrap(struct vault *v, const struct vault_peer *peer, const struct message_segment_unwrap *u)
{
	char key_memory[SEAL_KEY_BYTES], wrapped_memory[256];
	struct buf key, wrapped;
	enum fault fault;

	buf_over(&key, key_memory, sizeof key_memory);
	buf_over(&wrapped, wrapped_memory, sizeof wrapped_memory);
	fault = keyring_unwrap(v->keys, &key, KEYRING_SEGMENT, u->wrapped);
	if (fault == FAULT_OK && !keyring_wrap(v->keys, &wrapped, KEYRING_SEGMENT, buf_span(&key)))
		fault = FAULT_BUG;
	if (fault == FAULT_OK)
		send_key(peer, u->request, FAULT_OK, buf_span(&key), buf_span(&wrapped));
	else
		send_key(peer, u->request, fault, (struct span){ "", 0 }, (struct span){ "", 0 });
	secret_wipe(key_memory, sizeof key_memory);
}
