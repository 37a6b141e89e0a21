"""What the machine itself takes for the same thing: the disk without a mail server, and the network with a server that does nothing.

Each method gives seconds for one operation, the median of a few tries. They stand in the table as the physical limit: what no server can be faster than,
unless it does something else.
"""

import contextlib
import ctypes
import os
import shutil
import socket
import statistics
import subprocess
import time

from clients import Imap, at_once, verified_by_nobody

TRIES = 3
LIBC = ctypes.CDLL(None, use_errno=True)


def median_of(tries):
    return statistics.median(tries() for _ in range(TRIES))


def write_file(path, data, flush):
    descriptor = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
    os.write(descriptor, data)
    if flush:
        os.fsync(descriptor)
    os.close(descriptor)


class Limits:
    def __init__(self, directory, load_program, source, certificate):
        self.directory, self.load_program, self.source, self.certificate = f"{directory}/limits", load_program, source, certificate

    @contextlib.contextmanager
    def scratch(self):
        os.mkdir(self.directory)
        try:
            yield self.directory
        finally:
            shutil.rmtree(self.directory)

    def files(self, processes, count):
        """Making a file with a message in it and flushing it, in so many processes."""
        def one(number, directory):
            for n in range(number, count, processes):
                write_file(f"{directory}/{n}", self.source[n % len(self.source)], True)

        def tries():
            with self.scratch() as directory:
                begun = time.monotonic()
                at_once(one, [directory] * processes)
                return (time.monotonic() - begun) / count
        return median_of(tries)

    def files_together(self, count, by):
        """Making files, and flushing all of the file system after each `by` (syncfs)."""
        def tries():
            with self.scratch() as directory:
                descriptor = os.open(directory, os.O_RDONLY)
                begun = time.monotonic()
                for n in range(count):
                    write_file(f"{directory}/{n}", self.source[n % len(self.source)], False)
                    if n % by == by - 1 and LIBC.syncfs(descriptor) != 0:
                        raise OSError("syncfs failed")
                taken = (time.monotonic() - begun) / count
                os.close(descriptor)
                return taken
        return median_of(tries)

    def links(self, paths):
        """Hard links to files of a store, and a flush of their directory."""
        def tries():
            with self.scratch() as directory:
                begun = time.monotonic()
                for number, path in enumerate(paths):
                    os.link(path, f"{directory}/{number}")
                descriptor = os.open(directory, os.O_RDONLY)
                os.fsync(descriptor)
                os.close(descriptor)
                return time.monotonic() - begun
        return median_of(tries)

    def block(self):
        """Writing 8 KiB behind a file and flushing them."""
        def tries():
            with self.scratch() as directory:
                descriptor = os.open(f"{directory}/log", os.O_CREAT | os.O_WRONLY, 0o600)
                begun = time.monotonic()
                for _ in range(50):
                    os.write(descriptor, bytes(8192))
                    os.fdatasync(descriptor)
                taken = (time.monotonic() - begun) / 50
                os.close(descriptor)
                return taken
        return median_of(tries)

    @staticmethod
    def reading(paths):
        """Opening and reading files that are in the page cache."""
        def tries():
            begun = time.monotonic()
            for path in paths:
                descriptor = os.open(path, os.O_RDONLY)
                while os.read(descriptor, 1 << 20):
                    pass
                os.close(descriptor)
            return time.monotonic() - begun
        return median_of(tries)

    @contextlib.contextmanager
    def nothing(self):
        """The port of a server that does nothing."""
        with subprocess.Popen([self.load_program, "nothing"], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as server:
            try:
                yield int(server.stdout.readline())
            finally:
                server.stdin.close()

    def opening(self, port, count, commands, tls=False):
        def tries():
            begun = time.monotonic()
            for _ in range(count):
                client = Imap(port, "user", tls)
                for command in commands:
                    client.ask(command)
                client.close()
            return (time.monotonic() - begun) / count
        return median_of(tries)

    def connections(self, count, commands):
        """A connection, LOGIN and more commands, each answered at once."""
        with self.nothing() as port:
            return self.opening(port, count, commands)

    def connections_with_tls(self, count):
        """The same with a handshake of TLS: OpenSSL on both sides."""
        with socket.create_server(("127.0.0.1", 0)) as listener:
            context = verified_by_nobody(server=True)
            context.load_cert_chain(self.certificate.certificate, self.certificate.key)

            def answer():
                with contextlib.suppress(OSError):
                    while True:
                        connection, _ = listener.accept()
                        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                        with contextlib.suppress(OSError), context.wrap_socket(connection, server_side=True) as stream:
                            stream.sendall(b"* OK\r\n")
                            while line := stream.recv(4096):
                                stream.sendall(line.split(b" ")[0] + b" OK\r\n")
            # A process: threads of this one would wait for each other.
            pid = os.fork()
            if pid == 0:
                try:
                    answer()
                finally:
                    os._exit(0)
            try:
                return self.opening(listener.getsockname()[1], count, [], True)
            finally:
                os.kill(pid, 9)
                os.waitpid(pid, 0)

    def exchange(self, octets=0):
        """A command and an answer of so many octets over loopback."""
        with self.nothing() as port:
            client = Imap(port, "user")

            def tries():
                begun = time.monotonic()
                for _ in range(10):
                    client.ask(f"SEND {octets}" if octets else "NOOP")
                return (time.monotonic() - begun) / 10
            taken = median_of(tries)
            client.close()
            return taken
