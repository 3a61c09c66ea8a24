/*
 * The peers bench's servers on lwIP: the raw API, callbacks on one thread, a TAP device that is read until it is empty.
 *
 *   lwip MODE DEVICE ADDRESS PORT     ADDRESS is that of the stack, in a /24; MODE: keep-alive, close, source, sink
 *
 * Compiled twice. Against Debian's library, whose options are fixed: no thread of lwIP's is started (tcpip_init is never
 * called), so the raw API and the timers run here, and the library's own tapif with its thread and its copy is not used. And
 * with Debian's sources and lwip/lwipopts.h: then OFFLOAD is 1, checksums are the kernel's and frames of up to 64 KiB come in.
 * Frames come in buffers that the stack uses as they are (custom pbufs) and leave by one writev without a copy.
 */
#define _GNU_SOURCE
#include "tap.h"

#include <arpa/inet.h>
#include <poll.h>
#include <signal.h>
#include <sys/uio.h>
#include <time.h>

/* lwIP has names of its own for these. */
#undef htons
#undef htonl
#undef ntohs
#undef ntohl
#include "lwip/etharp.h"
#include "lwip/init.h"
#include "lwip/netif.h"
#include "lwip/pbuf.h"
#include "lwip/priv/tcp_priv.h"
#include "lwip/tcp.h"
#include "lwip/timeouts.h"
#include "netif/ethernet.h"

#ifndef OFFLOAD
#define OFFLOAD 0
#endif

enum {
	MTU = 1500,
	ETHERNET = 14,
	VNET = OFFLOAD ? 10 : 0,
	/* lwIP counts the bytes of a frame with 16 bits; the kernel's longest TCP frame is some 300 bytes shorter than that. */
	FRAME_MAX = OFFLOAD ? 65535 : 2048,
	/* Frames in a row before timers are looked at. */
	BURST = 64,
	/* Connections in TIME-WAIT that are kept: lwIP looks through all of them for each SYN. */
	TIME_WAIT_KEPT = 64,
	/* Pieces of a frame on its way out. */
	PIECES = 16,
};

/* ---- frames ---- */

/* A received frame: lwIP's view of it and its bytes. Free ones are a stack, so that the same few stay in the cache. */
struct frame {
	struct pbuf_custom pbuf;
	struct frame *next;
	unsigned char bytes[FRAME_MAX];
};

static int device;
static struct frame *free_frames;

static void frame_free(struct pbuf *p) {
	struct frame *frame = (struct frame *)p;
	frame->next = free_frames;
	free_frames = frame;
}

static struct frame *frame_take(void) {
	struct frame *frame = free_frames;
	if (frame == NULL) {
		frame = malloc(sizeof *frame);
		if (frame == NULL)
			fail("lwip: no memory for frames");
		frame->pbuf.custom_free_function = frame_free;
		return frame;
	}
	free_frames = frame->next;
	return frame;
}

#if OFFLOAD
/*
 * Fills the virtio-net header of a TCP segment, so that the kernel takes its checksum as computed on the way (linux/virtio_net.h),
 * and puts the pseudo-header's sum where the kernel would go on from.
 */
static void leave_checksum(unsigned char *vnet, struct pbuf *p) {
	unsigned char *frame = p->payload;
	unsigned ip_length, tcp, tcp_length, sum = 6;
	if (p->len < ETHERNET + 40 || frame[12] != 8 || frame[13] != 0 || frame[ETHERNET + 9] != 6)
		return;
	ip_length = (frame[ETHERNET] & 15) * 4;
	tcp = ETHERNET + ip_length;
	tcp_length = p->tot_len - tcp;
	for (int i = 12; i < 20; i += 2)
		sum += frame[ETHERNET + i] << 8 | frame[ETHERNET + i + 1];
	sum += tcp_length;
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	frame[tcp + 16] = sum >> 8;
	frame[tcp + 17] = sum;
	vnet[0] = 1;
	vnet[6] = tcp;
	vnet[8] = 16;
}
#endif

static err_t output(struct netif *netif, struct pbuf *p) {
	unsigned char vnet[10] = {0};
	struct iovec pieces[PIECES];
	int count = 0;
	(void)netif;
#if OFFLOAD
	leave_checksum(vnet, p);
	pieces[count++] = (struct iovec){vnet, sizeof vnet};
#else
	(void)vnet;
#endif
	for (; p != NULL && count < PIECES; p = p->next)
		pieces[count++] = (struct iovec){p->payload, p->len};
	if (p != NULL)
		return ERR_BUF;
	return writev(device, pieces, count) < 0 ? ERR_IF : ERR_OK;
}

/* Takes in one frame; false when there is none. */
static int input(struct netif *netif) {
	struct frame *frame = frame_take();
	struct pbuf *p;
	ssize_t length = read(device, frame->bytes, FRAME_MAX);
	if (length <= VNET) {
		frame_free(&frame->pbuf.pbuf);
		if (length < 0 && errno != EAGAIN && errno != EINTR && errno != EIO)
			fail("lwip: read");
		return 0;
	}
	length -= VNET;
	p = pbuf_alloced_custom(PBUF_RAW, length, PBUF_REF, &frame->pbuf, frame->bytes + VNET, FRAME_MAX - VNET);
	if (netif->input(p, netif) != ERR_OK)
		pbuf_free(p);
	return 1;
}

static err_t netif_start(struct netif *netif) {
	static const unsigned char mac[6] = {2, 0, 0, 0, 0, 1};
	netif->name[0] = 't';
	netif->name[1] = 'p';
	netif->output = etharp_output;
	netif->linkoutput = output;
	netif->mtu = MTU;
	netif->hwaddr_len = sizeof mac;
	memcpy(netif->hwaddr, mac, sizeof mac);
	netif->flags = NETIF_FLAG_BROADCAST | NETIF_FLAG_ETHARP | NETIF_FLAG_ETHERNET | NETIF_FLAG_LINK_UP;
	return ERR_OK;
}

/* ---- servers ---- */

#define HEAD "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 13\r\n"

static const char answer_open[] = HEAD "\r\nHello, world\n";
static const char answer_close[] = HEAD "Connection: close\r\n\r\nHello, world\n";
static char block[32768];

static err_t finish(struct tcp_pcb *pcb) {
	tcp_recv(pcb, NULL);
	tcp_sent(pcb, NULL);
	if (tcp_close(pcb) == ERR_OK)
		return ERR_OK;
	tcp_abort(pcb);
	return ERR_ABRT;
}

/* Counts a piece of the stream as read, and says whether a request ends in it. */
static int take(struct tcp_pcb *pcb, struct pbuf *p) {
	int complete = memmem(p->payload, p->len, "\r\n\r\n", 4) != NULL;
	tcp_recved(pcb, p->tot_len);
	pbuf_free(p);
	return complete;
}

static err_t request_open(void *arg, struct tcp_pcb *pcb, struct pbuf *p, err_t error) {
	(void)arg, (void)error;
	if (p == NULL)
		return finish(pcb);
	if (take(pcb, p))
		tcp_write(pcb, answer_open, sizeof answer_open - 1, 0);
	return ERR_OK;
}

static err_t request_close(void *arg, struct tcp_pcb *pcb, struct pbuf *p, err_t error) {
	(void)arg, (void)error;
	if (p == NULL)
		return finish(pcb);
	if (!take(pcb, p))
		return ERR_OK;
	tcp_write(pcb, answer_close, sizeof answer_close - 1, 0);
	return finish(pcb);
}

static err_t swallow(void *arg, struct tcp_pcb *pcb, struct pbuf *p, err_t error) {
	(void)arg, (void)error;
	if (p == NULL)
		return finish(pcb);
	take(pcb, p);
	return ERR_OK;
}

static err_t fill(void *arg, struct tcp_pcb *pcb, u16_t acknowledged) {
	(void)arg, (void)acknowledged;
	for (;;) {
		unsigned room = tcp_sndbuf(pcb);
		if (room > sizeof block)
			room = sizeof block;
		if (room == 0 || tcp_write(pcb, block, room, 0) != ERR_OK)
			return ERR_OK;
	}
}

static const char *mode;

static err_t accepted(void *arg, struct tcp_pcb *pcb, err_t error) {
	(void)arg;
	if (error != ERR_OK || pcb == NULL)
		return ERR_VAL;
	tcp_nagle_disable(pcb);
	if (strcmp(mode, "keep-alive") == 0)
		tcp_recv(pcb, request_open);
	else if (strcmp(mode, "close") == 0)
		tcp_recv(pcb, request_close);
	else
		tcp_recv(pcb, swallow);
	if (strcmp(mode, "source") == 0) {
		tcp_sent(pcb, fill);
		fill(NULL, pcb, 0);
	}
	return ERR_OK;
}

/* ---- the loop ---- */

#if NO_SYS
u32_t sys_now(void) {
	struct timespec now;
	clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
	return (u32_t)(now.tv_sec * 1000 + now.tv_nsec / 1000000);
}
#endif

/* Frees all but the newest connections in TIME-WAIT, as lwIP does by itself when its pool of connections is small. */
static void prune_time_wait(void) {
	struct tcp_pcb *pcb = tcp_tw_pcbs;
	for (int kept = 0; pcb != NULL; kept++) {
		struct tcp_pcb *next = pcb->next;
		if (kept >= TIME_WAIT_KEPT)
			tcp_abort(pcb);
		pcb = next;
	}
}

int main(int argc, char **argv) {
	struct netif netif;
	ip4_addr_t address, mask, gateway;
	struct tcp_pcb *pcb;
	if (argc != 5 || !ip4addr_aton(argv[3], &address)) {
		fprintf(stderr, "lwip MODE DEVICE ADDRESS PORT\n");
		return 2;
	}
	mode = argv[1];
	memset(block, 'm', sizeof block);
	device = open_tap(argv[2], OFFLOAD);
	lwip_init();
	IP4_ADDR(&mask, 255, 255, 255, 0);
	ip4_addr_set_zero(&gateway);
	netif_add(&netif, &address, &mask, &gateway, NULL, netif_start, ethernet_input);
	netif_set_default(&netif);
	netif_set_up(&netif);
	pcb = tcp_new_ip_type(IPADDR_TYPE_V4);
	if (pcb == NULL || tcp_bind(pcb, IP4_ADDR_ANY, (u16_t)atoi(argv[4])) != ERR_OK)
		fail("lwip: cannot bind port %s", argv[4]);
	tcp_accept(tcp_listen_with_backlog(pcb, 255), accepted);
	puts("ready");
	fflush(stdout);
	for (;;) {
		int frames = 0;
		while (frames < BURST && input(&netif))
			frames++;
		prune_time_wait();
		sys_check_timeouts();
		if (frames == 0) {
			struct pollfd ready = {.fd = device, .events = POLLIN};
			u32_t sleep = sys_timeouts_sleeptime();
			poll(&ready, 1, sleep > 1000 ? 1000 : (int)sleep);
		}
	}
}
