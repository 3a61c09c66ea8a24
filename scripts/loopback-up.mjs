/** Brings up `lo` in the network namespace this runs in, as `ip link set lo up` does, for machines without iproute2. */
import koffi from "koffi";

const AF_INET = 2;
const SOCK_DGRAM = 2;
const SIOCSIFFLAGS = 0x8914;
const IFF_UP = 1;

const libc = koffi.load("libc.so.6");
const socket = libc.func("int socket(int domain, int type, int protocol)");
const ioctl = libc.func("int ioctl(int fd, unsigned long request, void *argument)");
const close = libc.func("int close(int fd)");

const request = Buffer.alloc(40); // struct ifreq: a name of 16 bytes, then what the request is about
request.write("lo");
request.writeInt16LE(IFF_UP, 16);
const fd = socket(AF_INET, SOCK_DGRAM, 0);
const result = ioctl(fd, SIOCSIFFLAGS, request);
close(fd);
if (result !== 0) throw new Error(`cannot bring up lo: errno ${koffi.errno()}`);
