/*
 * Options for lwIP compiled from Debian's sources: one thread, no parts that are not used, checksums left to the kernel by
 * the device (see OFFLOAD in ../lwip.c), windows large enough that nothing waits for them on a local link.
 */
#ifndef PEERS_LWIPOPTS_H
#define PEERS_LWIPOPTS_H

#define NO_SYS 1
#define SYS_LIGHTWEIGHT_PROT 0
#define LWIP_SOCKET 0
#define LWIP_NETCONN 0
#define LWIP_NETIF_API 0
#define LWIP_NOASSERT 1
#define LWIP_STATS 0

#define LWIP_IPV4 1
#define LWIP_IPV6 0
#define LWIP_UDP 0
#define LWIP_DHCP 0
#define LWIP_ACD 0
#define LWIP_IGMP 0
#define LWIP_RAW 0
#define LWIP_DNS 0
#define IP_REASSEMBLY 0
#define IP_FRAG 0
#define LWIP_NETIF_LOOPBACK 0

/* Fixed pools: faster than malloc. What has no fixed size (headers of segments) comes from malloc, faster than lwIP's heap. */
#define MEMP_MEM_MALLOC 0
#define MEM_LIBC_MALLOC 1
#define MEM_ALIGNMENT 8
#define MEMP_NUM_TCP_PCB 8192
#define MEMP_NUM_TCP_PCB_LISTEN 4
#define MEMP_NUM_TCP_SEG 32768
#define MEMP_NUM_PBUF 32768
/* Frames come in buffers of the program's own. */
#define LWIP_SUPPORT_CUSTOM_PBUF 1
#define PBUF_POOL_SIZE 64

#define LWIP_TCP 1
#define TCP_MSS 1460
#define LWIP_WND_SCALE 1
#define TCP_RCV_SCALE 6
#define TCP_WND (2 * 1024 * 1024)
/* More slows lwIP down: it walks its queues from their heads. */
#define TCP_SND_BUF (256 * 1024)
#define TCP_SND_QUEUELEN 1024
#define TCP_SNDLOWAT (4 * TCP_MSS)
/* The check that the window fits lwIP's pool of frames, which is not used. */
#define LWIP_DISABLE_TCP_SANITY_CHECKS 1
#define LWIP_TCP_SACK_OUT 1
#define TCP_LISTEN_BACKLOG 0

#define CHECKSUM_GEN_TCP 0
#define CHECKSUM_GEN_ICMP 1
#define CHECKSUM_CHECK_IP 0
#define CHECKSUM_CHECK_TCP 0
#define LWIP_CHECKSUM_ON_COPY 0

#endif
