/* The table of ports: with rights, without, and with a base. */
#include "keeper/ports.h"
#include "tests/test.h"

static void effective_ports(void **state)
{
	static const struct { int64_t wanted, base; bool may_low; int port; } cases[] = {
		{ 25, 0, true, 25 }, { 25, 0, false, 2525 }, { 587, 0, false, 2587 }, { 465, 0, false, 2465 }, { 443, 0, false, 8443 },
		{ 143, 0, false, 10143 }, { 8080, 0, false, 8080 }, { 0, 0, false, 0 }, { 0, 20000, false, 0 }, { 25, 20000, true, 20025 },
		{ 443, 20000, false, 20443 }, { 587, 65000, false, -1 },
	};

	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		uint16_t port;
		bool good = ports_effective(cases[i].wanted, cases[i].base, cases[i].may_low, &port);

		assert_int_equal(good ? (int)port : -1, cases[i].port);
	}
}

TESTS(effective_ports)
