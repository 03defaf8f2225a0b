"""With this folder in PYTHONPATH, a Python that would reach another machine, or ask for its
address, ends at once with status 97; its children do, too.
"""

import os
import sys
from ipaddress import ip_address

OUTSIDE = 97


def is_here(host):
    """Whether only this machine is reached; names other than localhost would be asked for."""
    host = host.decode() if isinstance(host, bytes) else host
    try:
        return host in (None, "", "localhost") or ip_address(host).is_loopback
    except ValueError:
        return False


def watch(event, details):
    if event == "socket.getaddrinfo":
        host = details[0]
    elif event in ("socket.connect", "socket.sendto") and isinstance(details[1], tuple):
        host = details[1][0]
    else:  # or a Unix socket
        return
    if not is_here(host):
        os.write(2, f"reached outside: {event} {host!r}\n".encode())
        os._exit(OUTSIDE)


sys.addaudithook(watch)
