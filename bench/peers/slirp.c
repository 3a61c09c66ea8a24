/*
 * User-mode networking by libslirp: frames of a TAP device on one side, ordinary kernel sockets on the other.
 *
 *   slirp DEVICE ADDRESS MTU     ADDRESS, in a /24, stands for this machine's 127.0.0.1
 *
 * The program makes its TAP device and prints "ready". A connection from the device to ADDRESS is made again to 127.0.0.1, to
 * the same port: what Millrace's gateway does (programs/gateway.ts). The loop is the one that libslirp.h prescribes: ask for
 * descriptors, poll, hand the answers back, hand over frames.
 */
#include "tap.h"

#include <arpa/inet.h>
#include <libslirp.h>
#include <malloc.h>
#include <poll.h>
#include <stdint.h>
#include <sys/resource.h>
#include <time.h>

enum {
	/* Frames in a row before the sockets are looked at. */
	BURST = 64,
	FRAME_MAX = 65536,
	/* libslirp's buffers, two of 128 KiB per connection, are made and at once made larger: as mappings of their own they need no copy then. */
	OWN_MAPPING = 65536,
	/* Linux allows 65530 (vm.max_map_count); further buffers come from the heap. */
	MAPPINGS = 60000,
	FILES = 1 << 20,
};

static int device;
static struct pollfd *polls;
static int poll_count, poll_room;

static ssize_t send_packet(const void *bytes, size_t length, void *opaque) {
	(void)opaque;
	return write(device, bytes, length);
}

static void guest_error(const char *message, void *opaque) {
	(void)opaque;
	fprintf(stderr, "slirp: %s\n", message);
}

static int64_t clock_now(void *opaque) {
	struct timespec now;
	(void)opaque;
	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * INT64_C(1000000000) + now.tv_nsec;
}

/* libslirp's one timer is for IPv6 router advertisements, which are off. */
static void *timer_new(SlirpTimerCb callback, void *argument, void *opaque) {
	(void)callback, (void)argument, (void)opaque;
	return &device;
}
static void timer_free(void *timer, void *opaque) { (void)timer, (void)opaque; }
static void timer_mod(void *timer, int64_t at, void *opaque) { (void)timer, (void)at, (void)opaque; }
static void poll_fd(int fd, void *opaque) { (void)fd, (void)opaque; }
static void notify(void *opaque) { (void)opaque; }

/* The events of libslirp beside those of poll(2). */
static const struct {
	int slirp;
	short poll;
} events_of[] = {
	{SLIRP_POLL_IN, POLLIN}, {SLIRP_POLL_OUT, POLLOUT}, {SLIRP_POLL_PRI, POLLPRI}, {SLIRP_POLL_ERR, POLLERR}, {SLIRP_POLL_HUP, POLLHUP},
};
enum { EVENTS = sizeof events_of / sizeof *events_of };

static int add_poll(int fd, int events, void *opaque) {
	short wanted = 0;
	(void)opaque;
	if (poll_count == poll_room) {
		poll_room = poll_room == 0 ? 64 : poll_room * 2;
		polls = realloc(polls, poll_room * sizeof *polls);
		if (polls == NULL)
			fail("slirp: no memory for descriptors");
	}
	for (int i = 0; i < EVENTS; i++)
		if (events & events_of[i].slirp)
			wanted |= events_of[i].poll;
	polls[poll_count] = (struct pollfd){.fd = fd, .events = wanted};
	return poll_count++;
}

static int seen(int index, void *opaque) {
	int result = 0;
	(void)opaque;
	for (int i = 0; i < EVENTS; i++)
		if (polls[index].revents & events_of[i].poll)
			result |= events_of[i].slirp;
	return result;
}

int main(int argc, char **argv) {
	static unsigned char frame[FRAME_MAX];
	static const SlirpCb callbacks = {
		.send_packet = send_packet,
		.guest_error = guest_error,
		.clock_get_ns = clock_now,
		.timer_new = timer_new,
		.timer_free = timer_free,
		.timer_mod = timer_mod,
		.register_poll_fd = poll_fd,
		.unregister_poll_fd = poll_fd,
		.notify = notify,
	};
	SlirpConfig config = {.version = 3, .in_enabled = true, .disable_dns = true};
	Slirp *slirp;
	uint32_t network;
	if (argc != 4 || inet_pton(AF_INET, argv[2], &config.vhost) != 1) {
		fprintf(stderr, "slirp DEVICE ADDRESS MTU\n");
		return 2;
	}
	mallopt(M_MMAP_THRESHOLD, OWN_MAPPING);
	mallopt(M_MMAP_MAX, MAPPINGS);
	/* libslirp keeps a connection's descriptor for ten seconds after its end. Not permitted: then with as many as there are. */
	setrlimit(RLIMIT_NOFILE, &(struct rlimit){FILES, FILES});
	device = open_tap(argv[1], 0);
	network = ntohl(config.vhost.s_addr) & 0xffffff00;
	config.vnetwork.s_addr = htonl(network);
	config.vnetmask.s_addr = htonl(0xffffff00);
	config.vnameserver.s_addr = htonl(network + 253);
	config.vdhcp_start.s_addr = htonl(network + 100);
	config.if_mtu = config.if_mru = (size_t)atoi(argv[3]);
	slirp = slirp_new(&config, &callbacks, NULL);
	if (slirp == NULL)
		fail("slirp: slirp_new");
	puts("ready");
	fflush(stdout);
	for (;;) {
		uint32_t timeout = 1000;
		int failed;
		poll_count = 0;
		add_poll(device, SLIRP_POLL_IN, NULL);
		slirp_pollfds_fill(slirp, &timeout, add_poll, NULL);
		failed = poll(polls, poll_count, (int)timeout) < 0;
		slirp_pollfds_poll(slirp, failed, seen, NULL);
		for (int i = 0; i < BURST; i++) {
			ssize_t length = read(device, frame, sizeof frame);
			if (length <= 0)
				break;
			slirp_input(slirp, frame, (int)length);
		}
	}
}
