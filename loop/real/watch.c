#include "base/panic.h"
#include "loop/real/inner.h"

#include <stdlib.h>
#include <uv.h>

/* libuv lets go of a handle only a turn later, so handles outlive their watches and are used again. */
struct watch_handle {
	uv_poll_t poll;
	struct watch *watch;
	struct watch_handle *next, **kept;
};

static void on_poll(uv_poll_t *poll, int status, int events)
{
	struct watch_handle *h = poll->data;
	struct watch *w = h->watch;

	if (!w)
		return;
	if (status < 0) /* libuv has stopped it */
		w->wanted = 0;
	if (status < 0 || (events & UV_PRIORITIZED))
		w->ready(w->self, WATCH_FAILED);
	else
		w->ready(w->self, (events & UV_READABLE ? WATCH_READ : 0u) | (events & UV_WRITABLE ? WATCH_WRITE : 0u));
}

static struct watch_handle *take_handle(struct loop *l)
{
	struct watch_handle **kept = loop_watches(l), *h = *kept;

	if (h)
		*kept = h->next;
	else
		h = malloc(sizeof *h);
	if (!h)
		panic("out of memory");
	h->kept = kept;
	return h;
}

static void keep_handle(struct watch_handle *h)
{
	h->next = *h->kept;
	*h->kept = h;
}

static void on_closed(uv_handle_t *handle)
{
	keep_handle(handle->data);
}

bool watch_open(struct watch *w, struct loop *l, int fd, void (*ready)(void *self, unsigned events), void *self)
{
	struct watch_handle *h = take_handle(l);

	*w = (struct watch){ .loop = l, .ready = ready, .self = self };
	if (uv_poll_init(loop_uv(l), &h->poll, fd) < 0) {
		keep_handle(h);
		return false;
	}
	h->poll.data = h;
	h->watch = w;
	w->handle = h;
	return true;
}

bool watch_is_open(const struct watch *w)
{
	return w->handle != NULL;
}

void watch_want(struct watch *w, unsigned events)
{
	unsigned uv = (events & WATCH_READ ? UV_READABLE : 0u) | (events & WATCH_WRITE ? UV_WRITABLE : 0u);

	if (!w->handle || (w->wanted == events && uv_is_active((uv_handle_t *)&w->handle->poll)))
		return;
	w->wanted = events;
	/* Asking for urgent data alone is asking for errors and hang-ups alone. */
	uv_poll_start(&w->handle->poll, (int)(uv ? uv : UV_PRIORITIZED), on_poll);
}

void watch_close(struct watch *w)
{
	struct watch_handle *h = w->handle;

	if (!h)
		return;
	h->watch = NULL;
	w->handle = NULL;
	w->wanted = 0;
	uv_close((uv_handle_t *)&h->poll, on_closed);
}

void watch_forget(struct watch_handle *h)
{
	while (h) {
		struct watch_handle *next = h->next;

		free(h);
		h = next;
	}
}
