/* twin/graph_parts.h - what the files of the simulated Graph say to one another; for them alone.
 *
 * Why       Requests, messages and uploads are several files over one store.
 * Promise   A handler fills the response exactly once.
 * Owns      Nothing.
 * Refuses   Nothing. */
#pragma once
#include "base/json.h"
#include "twin/graph.h"
#include "twin/graph_mime.h"

enum { GRAPH_ID_BYTES = ENTRA_CODE_BYTES, GRAPH_SEGMENTS_MAX = 6, GRAPH_TEXT_BYTES = 1024, GRAPH_WINDOW_MAX = 10000, GRAPH_MAIL_BYTES = 256 * 1024 * 1024 };

enum graph_folder { GRAPH_DRAFTS, GRAPH_INBOX, GRAPH_SENT, GRAPH_DELETED, GRAPH_FOLDER_COUNT };

/* A message in a mailbox that did not come by SMTP. */
struct graph_message {
	char id[GRAPH_ID_BYTES]; /* empty: the place is free */
	struct twin_user *user;
	enum graph_folder folder;
	uint64_t serial;    /* by age */
	bool is_draft, immutable; /* immutable: the id was asked to outlive a move */
	int64_t made_at_ms;
	struct buf bytes;
	struct graph_attachment *attachments;
};

struct graph_upload {
	char token[GRAPH_ID_BYTES], message[GRAPH_ID_BYTES]; /* empty: the place is free */
	uint64_t serial, size;
	struct twin_user *user;
	int64_t until_ms;
	struct graph_attachment *attachment;
};

/* The requests of one mailbox of the last ten minutes. */
struct graph_window {
	struct {
		int64_t at_ms;
		uint64_t bytes;
	} ring[GRAPH_WINDOW_MAX];
	uint64_t made;
};

struct graph {
	struct entra *entra;
	struct exchange_world *world;
	struct graph_message messages[GRAPH_MESSAGES_MAX];
	struct graph_upload uploads[GRAPH_UPLOADS_MAX];
	struct graph_window *windows[TWIN_USERS_MAX];
	uint64_t serial;
};

/* A request that may be answered. */
struct graph_call {
	struct graph *graph;
	const struct twin_request *request;
	struct twin_response *response;
	struct twin_user *user;                      /* whose mailbox */
	struct twin_user *signed_in;                 /* NULL for an application */
	char segments[GRAPH_SEGMENTS_MAX][TWIN_ADDRESS_BYTES]; /* behind the mailbox */
	size_t segment_count;
};

/* A message as JSON or MIME gave it. */
struct graph_letter {
	struct buf bytes;
	struct graph_attachment *attachments;
	bool unsaved;
};

/* An empty one; frees what it holds. */
void graph_letter_init(struct graph_letter *);
void graph_letter_fini(struct graph_letter *);

/* Refuses with a row. */
void graph_call_refuse(struct graph_call *, enum graph_error, struct span name);

/* From JSON of a message (microsoft.graph.message); GRAPH_OK, or the row that refuses it with `bad_out`. */
enum graph_error graph_read_json(struct graph_call *, const json_t *message, struct graph_letter *out, struct span *bad_out);

/* From the body of a request, which is base64 of MIME where it is text/plain, else JSON with the message at `member` (NULL: itself). */
enum graph_error graph_read_body(struct graph_call *, const char *member, struct graph_letter *out, char bad_out[GRAPH_TEXT_BYTES]);

/* A file attachment from JSON, or NULL. */
struct graph_attachment *graph_read_attachment(const json_t *);
void graph_attachments_free(struct graph_attachment **);

/* Sends it, or names what refuses it; `number_out` is its place on the shelf. */
enum graph_error graph_send_letter(struct graph_call *, const struct graph_letter *, uint64_t *number_out);

/* A message of the mailbox by id, or NULL. */
struct graph_message *graph_message_of(struct graph_call *, const char *id);
void graph_message_drop(struct graph_message *);

/* The handlers. */
void graph_send_mail(struct graph_call *);
void graph_create(struct graph_call *);
void graph_list(struct graph_call *);
void graph_show(struct graph_call *);
void graph_value(struct graph_call *);
void graph_delete(struct graph_call *);
void graph_send_draft(struct graph_call *);
void graph_add_attachment(struct graph_call *);
void graph_create_upload(struct graph_call *);

/* PUT, GET, DELETE of an upload session, whose address is its own permission. */
bool graph_is_upload(struct span path);
struct graph_upload *graph_upload_of(struct graph *, const struct twin_request *);
void graph_upload_handle(struct graph *, const struct twin_request *, struct twin_response *);
void graph_upload_drop(struct graph_upload *);

/* Counts a request of so many bytes, or names the limit that it passes. */
enum graph_error graph_admit(struct graph *, const struct twin_user *, uint64_t bytes, int64_t wall_ms);
