/* What a connecting socket is given. What it is for is proved in tests/e2e/test_faults_load.R19, where a reset is lost on its way. */
#include "loop/real/inner.h"
#include "tests/test.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <unistd.h>

static int option(int fd, int level, int name)
{
	int value = -1;
	socklen_t size = sizeof value;

	assert_int_equal(getsockopt(fd, level, name, &value, &size), 0);
	return value;
}

/* A peer that went without a word is noticed in a minute, not in the ten that a reply may take. */
static void a_peer_that_is_gone_is_noticed_within_a_minute(void **state)
{
	struct address a;
	int listener, fd;

	assert_true(address_parse(&a, SPAN("127.0.0.1"), 0));
	listener = listener_bind(&a, 1);
	assert_true(listener >= 0);
	a = listener_address(listener);
	fd = socket_connect(&a, NULL);
	assert_true(fd >= 0);
	assert_int_equal(option(fd, SOL_SOCKET, SO_KEEPALIVE), 1);
	assert_in_range(option(fd, IPPROTO_TCP, TCP_KEEPIDLE) + option(fd, IPPROTO_TCP, TCP_KEEPINTVL) * option(fd, IPPROTO_TCP, TCP_KEEPCNT), 1, 60);
	close(fd);
	close(listener);
}

TESTS(a_peer_that_is_gone_is_noticed_within_a_minute)
