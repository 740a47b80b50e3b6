# SPDX-License-Identifier: Apache-2.0
"""A stand-in for kvblockd's server, which is not on PyPI: as much of its protocol, in
its client's words, as a test of lmcache-kvblockd needs. kvblockd_server.py PORT"""

import socketserver
import struct
import sys
import threading

import xxhash
from kvblockd import protocol as p

_blocks, _lock = {}, threading.Lock()


class Handler(socketserver.BaseRequestHandler):
    def _read(self, n: int) -> bytes:
        data = bytearray()
        while len(data) < n:
            part = self.request.recv(n - len(data))
            if not part:
                raise EOFError
            data += part
        return bytes(data)

    def _answer(self, request, *parts: bytes) -> None:
        body = b"".join(parts)
        header = p.Header(request.opcode, flags=p.F_RESP, ns=request.ns, request_id=request.request_id, payload_len=len(body))
        self.request.sendall(header.pack() + body)

    def handle(self) -> None:
        incoming = bytearray()
        try:
            while True:
                raw = self._read(p.HEADER_SIZE)
                request = p.Header.parse(raw)
                body = self._read(request.payload_len)
                if request.opcode == p.Op.HELLO:
                    features = p.FEAT_EXISTS_BITMAP
                    self._answer(request, p.pack_preamble(p.Status.OK, 0), p._HELLO_RESP.pack(1, features, 1024, 1 << 20, 1 << 30, 1, 64, 1000, 1000, 1000, 0, 0))
                elif request.opcode == p.Op.PUT_STREAM:
                    self._put(request, body, incoming)
                elif request.opcode == p.Op.STATS:
                    self._answer(request, p.pack_preamble(p.Status.OK, 0))
                else:
                    n, _ = p._KEYLIST.unpack_from(body)
                    keys = [body[8 + 32 * i : 40 + 32 * i] for i in range(n)]
                    {p.Op.BATCH_EXISTS: self._exists, p.Op.BATCH_GET: self._get, p.Op.DELETE: self._delete}[request.opcode](request, keys)
        except (EOFError, ConnectionError):
            pass

    def _put(self, request, body: bytes, incoming: bytearray) -> None:
        step = p.subop(request.flags)
        if step == p.PUT_BEGIN:
            incoming.clear()
        elif step == p.PUT_CHUNK:
            incoming += body
            return
        elif xxhash.xxh3_64_intdigest(bytes(incoming)) != p._PUT_COMMIT.unpack(body)[0]:
            self._answer(request, p.pack_preamble(p.Status.ERR_CHECKSUM, 0))
            return
        else:
            with _lock:
                _blocks[request.key] = bytes(incoming)
        self._answer(request, p.pack_preamble(p.Status.OK, 0))

    def _exists(self, request, keys: list) -> None:
        with _lock:
            there = [key in _blocks for key in keys]
        leading = there.index(False) if False in there else len(there)
        states = bytes(p.Status.OK if t else p.Status.NOT_FOUND for t in there)
        self._answer(request, p.pack_preamble(p.Status.OK, len(keys)), struct.pack("<II", leading, 0), states + bytes(-len(states) % 8))

    def _get(self, request, keys: list) -> None:
        with _lock:
            found = [_blocks.get(key) for key in keys]
        descriptors = [
            p._DESC.pack(p.Status.NOT_FOUND, 0, 0) if data is None else p._DESC.pack(p.Status.OK, len(data), xxhash.xxh3_64_intdigest(data)) for data in found
        ]
        self._answer(request, p.pack_preamble(p.Status.OK, len(keys)), p._GET_IDX.pack(0, len(keys)), *descriptors, *(data for data in found if data is not None))

    def _delete(self, request, keys: list) -> None:
        with _lock:
            states = bytes(p.Status.OK if _blocks.pop(key, None) is not None else p.Status.NOT_FOUND for key in keys)
        self._answer(request, p.pack_preamble(p.Status.OK, len(keys)), states + bytes(-len(states) % 8))


class Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True


if __name__ == "__main__":
    with Server(("127.0.0.1", int(sys.argv[1])), Handler) as server:
        server.serve_forever()
