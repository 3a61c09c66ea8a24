/* Opens a TAP device for the peers written in C. Included once by each; the kernel's side is the caller's to address. */
#ifndef PEERS_TAP_H
#define PEERS_TAP_H

#include <errno.h>
#include <fcntl.h>
#include <linux/if.h>
#include <linux/if_tun.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

/* Prints what failed, with errno where there is one, and ends the program. */
static void fail(const char *format, ...) {
	int error = errno;
	va_list list;
	va_start(list, format);
	vfprintf(stderr, format, list);
	va_end(list);
	fprintf(stderr, error == 0 ? "\n" : ": %s\n", strerror(error));
	exit(1);
}

/* With `offload`, each frame has a virtio-net header, may be up to 64 KiB of TCP long, and checksums are the kernel's. */
static int open_tap(const char *name, int offload) {
	struct ifreq request = {0};
	int fd = open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC);
	if (fd < 0)
		fail("/dev/net/tun");
	strncpy(request.ifr_name, name, sizeof request.ifr_name - 1);
	request.ifr_flags = IFF_TAP | IFF_NO_PI | (offload ? IFF_VNET_HDR : 0);
	if (ioctl(fd, TUNSETIFF, &request) < 0)
		fail("TAP device %s", name);
	if (offload && ioctl(fd, TUNSETOFFLOAD, TUN_F_CSUM | TUN_F_TSO4) < 0)
		fail("offloads of %s", name);
	return fd;
}

#endif
