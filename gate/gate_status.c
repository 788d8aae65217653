#include "gate/inner.h"

#include "base/json.h"

static const char *tls_of(const struct door *d)
{
	return d->implicit ? "implicit" : d->starttls_required ? "required" : d->starttls ? "starttls" : "none";
}

static json_t *listener_of(const struct entrance *e)
{
	json_t *listener = json_object();
	struct buf address;

	buf_init(&address, 256);
	address_print(&address, &e->address, true);
	json_put_text(listener, "name", span_of(e->door->name));
	json_put_text(listener, "protocol", SPAN("smtp"));
	json_put_text(listener, "address", buf_span(&address));
	json_put_text(listener, "tls", span_of(tls_of(e->door)));
	buf_free(&address);
	return listener;
}

void gate_status_put(const struct gate *g, struct buf *out)
{
	json_t *status = json_object(), *listeners = json_array();

	json_put_whole(status, "index", g->index);
	json_put_whole(status, "sessions", (int64_t)g->open);
	json_put_text(status, "intake", span_of(fault_row(g->intake)->name));
	for (const struct entrance *e = g->entrances; e; e = e->next)
		json_array_insert_new(listeners, 0, listener_of(e)); /* they stand in the list with the last one first */
	json_object_set_new(status, "listeners", listeners);
	json_write(out, status);
	json_decref(status);
}
