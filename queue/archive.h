/* queue/archive.h - a backup as a stream: one line that anybody may read, then sealed parts in a fixed order.
 *
 * Why       A backup leaves the machine: whoever carries it must learn nothing from it, and nothing that was altered, cut or moved may be restored.
 * Promise   Whoever has the key of one section can write and read that section and no other. archive_read() gives parts in the order in which they were
 *           put, each only after its seal held; ARCHIVE_WHOLE comes only behind the last one. The same bytes cut anywhere give the same parts.
 * Owns      Its keys and what waits to be read.
 * Refuses   Another file, or one that was altered or cut: FAULT_BACKUP_DAMAGED. A format of a newer release: FAULT_BACKUP_NEWER.
 * See       docs/decisions/0075-backup.md
 *
 * `postern-backup FORMAT JSON\n`, where JSON says: version, at (wall ms), root (the root key's mark, hexadecimal), key (the archive's own key, sealed
 * under that root key, base64). Then parts: u32 size of the sealed bytes, u32 kind, sealed bytes (base/seal.h), all little-endian. Section, kind and
 * number of a part and the digest of the line are bound to it. The key of a section is made from the archive's key and the section's name. */
#pragma once
#include "base/buf.h"
#include "base/fault.h"
#include "base/seal.h"
#include "queue/record.h"

enum { ARCHIVE_FORMAT = 1, ARCHIVE_LINE_BYTES_MAX = 4096, ARCHIVE_HEAD_BYTES = 8, ARCHIVE_TEXT_BYTES_MAX = RECORD_BYTES_MAX, ARCHIVE_SEALED_KEY_BYTES = SEAL_KEY_BYTES + SEAL_OVER_BYTES };

enum archive_section { ARCHIVE_SPOOL, ARCHIVE_VAULT };

/* MESSAGE and REPORT are payloads of such records; BODY is a piece of the file that belongs to the one before, as it stands on the disk; LOST says that
 * the rest of that file could not be read; SPOOL_END closes the spool: JSON with `messages` and `unreadable`. DATABASE is a piece of the vault's
 * database; END closes everything. */
enum archive_kind {
	ARCHIVE_MESSAGE = 1,
	ARCHIVE_REPORT = 2,
	ARCHIVE_BODY = 3,
	ARCHIVE_LOST = 4,
	ARCHIVE_SPOOL_END = 5,
	ARCHIVE_DATABASE = 6,
	ARCHIVE_END = 7,
};

/* What the line says. */
struct archive_line {
	int64_t at_ms;
	uint64_t root;
	char version[32], sealed_key[ARCHIVE_SEALED_KEY_BYTES];
	unsigned char digest[SEAL_DIGEST_BYTES]; /* of the line itself */
};

/* Writes the line and sets `digest`. False when `out` is full. */
bool archive_line_put(struct buf *out, struct archive_line *);

/* The key of a section. */
struct secret *archive_section_key(struct span archive_key, enum archive_section);

/* Writes the parts of one section. */
struct archive_writer {
	enum archive_section section;
	uint64_t number;
	struct secret *key;
	unsigned char digest[SEAL_DIGEST_BYTES];
};

/* `key` is the section's, copied. */
void archive_writer_init(struct archive_writer *, enum archive_section, struct span key, const unsigned char digest[SEAL_DIGEST_BYTES]);
void archive_writer_fini(struct archive_writer *);

/* Appends a part. False when `out` is full. */
bool archive_put(struct archive_writer *, struct buf *out, enum archive_kind, struct span text);

/* Reads a whole one. */
enum archive_found {
	ARCHIVE_MORE,   /* feed it more */
	ARCHIVE_OPENED, /* the line is in `line`: archive_reader_key() is due */
	ARCHIVE_PART,   /* `kind` and `text` */
	ARCHIVE_WHOLE,  /* that was all */
	ARCHIVE_FAILED, /* `fault` */
};

struct archive_reader {
	struct archive_line line;
	enum archive_kind kind;
	struct span text; /* until the next archive_read() */
	enum fault fault;
	/* its own */
	struct buf waiting, opened;
	struct secret *keys[2];
	enum archive_section section;
	uint64_t number;
	size_t used;
	bool has_line, is_whole;
};

/* Empty; and gives up what it owns. */
void archive_reader_init(struct archive_reader *);
void archive_reader_fini(struct archive_reader *);

/* The archive's key, unsealed. */
void archive_reader_key(struct archive_reader *, struct span archive_key);

/* Takes bytes, at most ARCHIVE_TEXT_BYTES_MAX of them at a time, when archive_read() has said ARCHIVE_MORE. */
void archive_feed(struct archive_reader *, struct span);

/* What comes next. */
enum archive_found archive_read(struct archive_reader *);
