#include "loop/prepare.h"

#include "base/clock.h"
#include "base/panic.h"
#include "base/secret.h"

#include <ares.h>
#include <curl/curl.h>
#include <jansson.h>
#include <malloc.h>
#include <openssl/ssl.h>
#include <sodium.h>
#include <sqlite3.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* Tokens and secrets pass through libcurl's buffers. */
static void wipe_and_free(void *at)
{
	if (at)
		secret_wipe(at, malloc_usable_size(at));
	free(at);
}

static void *wipe_and_move(void *at, size_t size)
{
	size_t before = at ? malloc_usable_size(at) : 0;
	void *moved = malloc(size);

	if (!moved)
		return NULL;
	if (at)
		memcpy(moved, at, before < size ? before : size);
	wipe_and_free(at);
	return moved;
}

/* Both would open /dev/urandom at their first use, and without it take the time of day: names of temporary files and the places of JSON keys in their
 * tables, which a stranger chooses, could be guessed. */
static void seed(void)
{
	unsigned char byte;

	sqlite3_randomness(sizeof byte, &byte);
	json_object_seed(0);
}

/* OpenSSL makes much at its first use; where memory is wanting then, it stays without for good, and no handshake ends well any more. */
static void *ssl_take(size_t size, const char *file, int line)
{
	void *at = malloc(size);

	if (!at && size)
		panic("out of memory");
	return at;
}

static void *ssl_move(void *at, size_t size, const char *file, int line)
{
	void *moved = realloc(at, size);

	if (!moved && size)
		panic("out of memory");
	return moved;
}

static void ssl_free(void *at, const char *file, int line)
{
	free(at);
}

void loop_prepare(void)
{
	if (!CRYPTO_set_mem_functions(ssl_take, ssl_move, ssl_free))
		panic("OpenSSL was used before it was prepared");
	tzset();
	clock_boot();
	if (sodium_init() < 0 || !OPENSSL_init_ssl(OPENSSL_INIT_NO_LOAD_CONFIG | OPENSSL_INIT_LOAD_SSL_STRINGS |
							   OPENSSL_INIT_LOAD_CRYPTO_STRINGS,
						   NULL))
		fatal("the cryptographic libraries do not start");
	if (curl_global_init_mem(CURL_GLOBAL_DEFAULT, malloc, wipe_and_free, wipe_and_move, strdup, calloc) || ares_library_init(ARES_LIB_INIT_ALL))
		fatal("the network libraries do not start");
	if (sqlite3_initialize())
		fatal("SQLite does not start");
	seed();
}
