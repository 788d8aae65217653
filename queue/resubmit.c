#include "queue/resubmit.h"

#include "base/panic.h"
#include "base/seal.h"

#include <stdlib.h>
#include <string.h>

enum { SWEEP_MOST = 100 };

void resubmit_init(struct resubmit *r)
{
	*r = (struct resubmit){ 0 };
	map_init(&r->by_key, false);
	map_init(&r->by_id, false);
}

static struct span key_span(const unsigned char *key)
{
	return (struct span){ (const char *)key, MAIL_KEY_BYTES };
}

static struct span id_span(const uint64_t *id)
{
	return (struct span){ (const char *)id, sizeof *id };
}

static void drop(struct resubmit *r, struct resubmit_entry *e)
{
	if (r->changed)
		r->changed(r->self, e, true);
	map_remove(&r->by_key, key_span(e->key));
	map_remove(&r->by_id, id_span(&e->id));
	*(e->older ? &e->older->newer : &r->oldest) = e->newer;
	*(e->newer ? &e->newer->older : &r->newest) = e->older;
	free(e->says);
	free(e);
}

void resubmit_free(struct resubmit *r)
{
	r->changed = NULL;
	while (r->oldest)
		drop(r, r->oldest);
	map_free(&r->by_key);
	map_free(&r->by_id);
}

void resubmit_key(unsigned char key_out[MAIL_KEY_BYTES], const struct resubmit_source *s)
{
	const struct span pieces[] = {
		{ (const char *)&s->client, sizeof s->client }, { (const char *)&s->mailbox, sizeof s->mailbox },
		s->sender, s->recipients, s->message_id, s->digest,
	};

	_Static_assert((int)MAIL_KEY_BYTES == (int)SEAL_MAC_BYTES, "a key is a MAC");
	seal_mac(key_out, SPAN("postern resubmission"), pieces, sizeof pieces / sizeof *pieces);
}

int64_t resubmit_until_ms(int64_t wall_ms, struct span message_id)
{
	return wall_ms + (message_id.size ? RESUBMIT_LONG_MS : RESUBMIT_SHORT_MS);
}

static void changed(struct resubmit *r, struct resubmit_entry *e)
{
	if (r->changed)
		r->changed(r->self, e, false);
}

struct resubmit_entry *resubmit_add(struct resubmit *r, const unsigned char key[MAIL_KEY_BYTES], uint64_t id, int64_t until_ms)
{
	struct resubmit_entry *e = map_get(&r->by_key, key_span(key));

	if (e)
		drop(r, e);
	if (map_count(&r->by_key) >= RESUBMIT_MAX)
		drop(r, r->oldest);
	e = calloc(1, sizeof *e);
	if (!e)
		panic("out of memory");
	memcpy(e->key, key, MAIL_KEY_BYTES);
	e->id = id;
	e->until_ms = until_ms;
	map_put(&r->by_key, key_span(e->key), e);
	map_put(&r->by_id, id_span(&e->id), e);
	e->older = r->newest;
	*(r->newest ? &r->newest->newer : &r->oldest) = e;
	r->newest = e;
	changed(r, e);
	return e;
}

struct resubmit_entry *resubmit_find(struct resubmit *r, const unsigned char key[MAIL_KEY_BYTES], int64_t wall_ms)
{
	struct resubmit_entry *e = map_get(&r->by_key, key_span(key));

	if (e && e->until_ms <= wall_ms) {
		drop(r, e);
		return NULL;
	}
	return e;
}

void resubmit_accepted(struct resubmit *r, uint64_t id, struct span says)
{
	struct resubmit_entry *e = map_get(&r->by_id, id_span(&id));

	if (!e)
		return;
	mail_say(&e->says, says);
	changed(r, e);
}

bool resubmit_forget(struct resubmit *r, uint64_t id)
{
	struct resubmit_entry *e = map_get(&r->by_id, id_span(&id));

	if (e)
		drop(r, e);
	return e != NULL;
}

bool resubmit_has(const struct resubmit *r, uint64_t id)
{
	return map_get(&r->by_id, id_span(&id)) != NULL;
}

void resubmit_sweep(struct resubmit *r, int64_t wall_ms)
{
	for (unsigned i = 0; i < SWEEP_MOST && r->oldest && r->oldest->until_ms <= wall_ms; i++)
		drop(r, r->oldest);
}
