/**
 * Numbers of Linux that several files here need, on the architectures that kernel devices are used on (libc.ts). Those that one file needs stand there.
 */

/** Address families and kinds of sockets (socket(2)). */
export const AF_UNIX = 1;
export const AF_INET = 2;
export const SOCK_DGRAM = 2;
export const SOCK_RAW = 3;
export const SOCK_CLOEXEC = 0o2000000;
export const SOL_SOCKET = 1;

/** How files are opened (open(2)). */
export const O_RDWR = 2;
export const O_NONBLOCK = 0o4000;
export const O_CLOEXEC = 0o2000000;

/** Of interfaces and netlink (netdevice(7), netlink(7)). */
export const IFF_UP = 1;
export const NETLINK_ROUTE = 0;
export const NLM_F_CREATE = 0x400;
