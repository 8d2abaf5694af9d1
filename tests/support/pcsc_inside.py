"""Run in a network namespace of its own by pcsc_daemon.py: bring loopback up, leave a doorkeeper, become pcscd.

    pcsc_inside.py DOOR LINK PORT pcscd [argument ...]

DOOR is the number of pcscd's listening socket. For each byte that comes in on LINK the doorkeeper connects to PORT of
this namespace's loopback and hands the connection out (SCM_RIGHTS), until LINK ends.
"""

import fcntl
import os
import socket
import struct
import sys

PCSCD_DOOR = 3  # where a program that systemd starts finds its first socket
SET_FLAGS, UP = 0x8914, 0x1  # SIOCSIFFLAGS, IFF_UP
PATIENCE_S = 60.0


def bring_loopback_up() -> None:
    with socket.socket() as any_socket:
        fcntl.ioctl(any_socket, SET_FLAGS, struct.pack("16sH22x", b"lo", UP))


def keep_the_door(link: socket.socket, port: int) -> None:
    while link.recv(1):
        try:
            with socket.create_connection(("127.0.0.1", port), PATIENCE_S) as connection:
                socket.send_fds(link, [b"+"], [connection.fileno()])
        except OSError:
            link.send(b"-")


def main() -> None:
    door, link, port = map(int, sys.argv[1:4])
    bring_loopback_up()
    if os.fork() == 0:
        os.close(door)
        keep_the_door(socket.socket(fileno=link), port)
        return
    os.close(link)
    os.dup2(door, PCSCD_DOOR)
    os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS="1")
    os.execvp(sys.argv[4], sys.argv[4:])


if __name__ == "__main__":
    main()
