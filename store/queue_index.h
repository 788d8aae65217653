/* store/queue_index.h - the index of the queue: what the segments say, gathered up to a watermark.
 *
 * Why       Without it every start would read the whole log, and no segment could be used again.
 * Promise   What stands in it is right for every record up to the watermark, which moves in the same transaction. It is derived: it may be
 *           lost, and then the segments tell what they still can.
 * Owns      One database.
 * Threads   One at a time; it blocks.
 * Refuses   As sqlite_open(). Numbers are unsigned in the queue and signed here; none is over 2^63.
 * See       queue/indexing.h, docs/queue.md */
#pragma once
#include "store/sqlite.h"

/* An open message. */
struct queue_index_mail {
	uint64_t id, segment, at, bytes, sequence;
	uint64_t mailbox, client, notice_mailbox, report_of, rung;
	int64_t accepted_at_ms, key_until_ms;
	uint64_t size_bytes, recipients;
	bool has_file;
	struct span key, progress; /* `progress` is empty while nothing became of it */
};

/* A message that may come again. */
struct queue_index_key {
	struct span key, says; /* `says` is empty while the message is open */
	uint64_t id;
	int64_t until_ms;
};

struct queue_index_segment {
	uint64_t number, last_sequence, at;
};

/* Opens, makes or migrates; as sqlite_open(). */
MUST_CHECK enum fault queue_index_open(struct sqlite **out, const char *path, const char *vfs, char *why_out);

/* Changes; between sqlite_begin() and sqlite_end(). The segments are put as a whole. */
MUST_CHECK enum fault queue_index_put_mail(struct sqlite *, const struct queue_index_mail *);
MUST_CHECK enum fault queue_index_remove_mail(struct sqlite *, uint64_t id);
MUST_CHECK enum fault queue_index_put_key(struct sqlite *, const struct queue_index_key *);
MUST_CHECK enum fault queue_index_remove_key(struct sqlite *, struct span key);
MUST_CHECK enum fault queue_index_put_segments(struct sqlite *, const struct queue_index_segment *, size_t count);
MUST_CHECK enum fault queue_index_put_watermark(struct sqlite *, uint64_t sequence);

/* Reads all of it back: segments, keys, then messages; what `each` is given lives during the call. `watermark_out` is 0 when nothing was ever written. */
struct queue_index_reader {
	void (*mail)(void *self, const struct queue_index_mail *);
	void (*key)(void *self, const struct queue_index_key *);
	void (*segment)(void *self, const struct queue_index_segment *);
};
MUST_CHECK enum fault queue_index_read(struct sqlite *, const struct queue_index_reader *, void *self, uint64_t *watermark_out);
