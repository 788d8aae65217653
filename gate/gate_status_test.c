#include "gate/inner.h"

#include "tests/test.h"

static struct entrance entrance_at(const char *address, uint16_t port, struct door *door, struct entrance *next)
{
	struct entrance e = { .door = door, .next = next };

	assert_true(address_parse(&e.address, span_of(address), port));
	return e;
}

static void gate_status_names_sessions_and_listeners(void **state)
{
	struct door submission = { .name = "submission", .starttls = true }, submissions = { .name = "submissions", .implicit = true };
	struct door devices = { .name = "devices" }, strict = { .name = "strict", .starttls = true, .starttls_required = true };
	struct entrance first = entrance_at("127.0.0.1", 587, &submission, NULL), second = entrance_at("::1", 465, &submissions, &first);
	struct entrance third = entrance_at("127.0.0.1", 25, &devices, &second), fourth = entrance_at("127.0.0.1", 26, &strict, &third);
	struct gate g = { .index = 3, .open = 7, .intake = FAULT_DISK_FULL, .entrances = &fourth };
	struct buf out;

	buf_init(&out, 4096);
	gate_status_put(&g, &out);
	assert_span(buf_span(&out), "{\"index\":3,\"sessions\":7,\"intake\":\"DISK_FULL\",\"listeners\":["
				    "{\"name\":\"submission\",\"protocol\":\"smtp\",\"address\":\"127.0.0.1:587\",\"tls\":\"starttls\"},"
				    "{\"name\":\"submissions\",\"protocol\":\"smtp\",\"address\":\"[::1]:465\",\"tls\":\"implicit\"},"
				    "{\"name\":\"devices\",\"protocol\":\"smtp\",\"address\":\"127.0.0.1:25\",\"tls\":\"none\"},"
				    "{\"name\":\"strict\",\"protocol\":\"smtp\",\"address\":\"127.0.0.1:26\",\"tls\":\"required\"}]}");
	buf_free(&out);
}

TESTS(gate_status_names_sessions_and_listeners)
