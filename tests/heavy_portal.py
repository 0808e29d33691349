"""A portal whose answers are too large for a process's memory, over plain HTTP: `HeavyPortal(kind)` serves one kind."""

import asyncio
import json
import threading
import zlib
from collections.abc import Callable, Iterator
from functools import cache
from types import TracebackType
from typing import Self
from urllib.parse import parse_qs, urlsplit

from tests.records import CONTRATACAO, ITEM

MIB = 1 << 20
EMOJI = "\N{GRINNING FACE}"  # it makes Python take four bytes for each character of its text
Body = Iterator[bytes]


def _list_of(count: int, number: int, text: str) -> bytes:
    """So many items from a number on, each with this text."""
    item = json.dumps(ITEM | {"itemCategoriaId": 3, "descricao": text, "numeroItem": 10_000_000}).encode()
    return b"[" + b",".join(item.replace(b"10000000", b"%d" % (number + each)) for each in range(count)) + b"]"


@cache
def itens_of(size: int, text_size: int = 200, *, is_wide: bool = False) -> bytes:
    """A list of about so many bytes that is no multiple of ten, so that nothing more is asked for."""
    text = (EMOJI if is_wide else "") + "x" * text_size
    count = max(size // (len(_list_of(1, 10**6, text)) - 1), 1)
    return _list_of(count if count % 10 else count - 1, 1, text)


@cache
def bomb() -> bytes:
    """A gigabyte of spaces, packed."""
    packer = zlib.compressobj(9, wbits=31)
    part = b" " * MIB
    return b"".join(packer.compress(part) for _ in range(1024)) + packer.flush()


@cache
def flat(entry: bytes, size: int) -> bytes:
    """A list of so many bytes, of one entry over and over."""
    return b"[" + b",".join([entry] * (size // (len(entry) + 1))) + b"]"


LISTS: dict[str, Callable[[int], tuple[Body, str]]] = {
    "lists of 19 MB": lambda _: (iter([itens_of(19 * 10**6)]), ""),
    "lists of 20 MB": lambda _: (iter([itens_of(20 * MIB - 2000)]), ""),
    "lists of 8 MB": lambda _: (iter([itens_of(8 * MIB, 100_000)]), ""),
    "texts of 1 MiB": lambda _: (iter([itens_of(19 * MIB, MIB, is_wide=True)]), ""),
    "wide lists": lambda _: (iter([itens_of(19 * MIB, 200, is_wide=True)]), ""),
    "lists without end": lambda page: (iter([_list_of(500, 1 + page * 500, "x" * 200)]), ""),
    "lists of 20 MB without end": lambda page: (iter([_list_of(14_000, 1 + page * 14_000, "x" * 200)]), ""),
    "bombs": lambda _: (iter([bomb()]), "Content-Encoding: gzip"),
    "zeros": lambda _: (iter([flat(b"0", 20 * MIB - 2)]), ""),
    "objects": lambda _: (iter([flat(b"{}", 20 * MIB - 3)]), ""),
    "one number": lambda _: (iter([flat(b'{"numeroItem":1}', 20 * MIB - 17)]), ""),
    "a million rejected": lambda _: (iter([flat(b'{"numeroItem":"x"}', MIB)]), ""),
    "nests": lambda _: (iter([b"[" + b"[[],[]]," * (20 * MIB // 8 - 4) + b"NaN]"]), ""),
    "bodies of 1 GB": lambda _: (iter([b"["] + [b" " * MIB] * 1024), ""),
}


class HeavyPortal:
    """Lists `records` contratações for each modalidade and day; serves `kind` for their items, or for the listing.

    A context manager, in a thread of its own; `url` is the base that the ingestor is given.
    """

    def __init__(self, kind: str, records: int = 8) -> None:
        self.kind = kind
        self.records = records
        self.requests = 0
        self.url = ""
        self._writers: set[asyncio.StreamWriter] = set()
        self._started = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve()), daemon=True)
        self._stop = asyncio.Event()

    def __enter__(self) -> Self:
        self._thread.start()
        self._started.wait(30)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(30)

    async def _serve(self) -> None:
        self._loop = asyncio.get_running_loop()
        async with await asyncio.start_server(self._connection, "127.0.0.1", 0) as server:
            self.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/api"
            self._started.set()
            await self._stop.wait()
            for writer in self._writers:
                writer.transport.abort()
            await asyncio.sleep(0)  # for the transports to close, before the loop does

    async def _connection(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        try:
            while True:
                request = await reader.readuntil(b"\r\n\r\n")
                self.requests += 1
                body, header = self._answer(request.split()[1].decode())
                lines = ["HTTP/1.1 200 OK", "Transfer-Encoding: chunked", *([header] if header else []), "", ""]
                writer.write("\r\n".join(lines).encode())
                for part in body:
                    writer.write(b"%x\r\n%s\r\n" % (len(part), part))
                    await writer.drain()
                writer.write(b"0\r\n\r\n")
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()
            self._writers.discard(writer)

    def _answer(self, target: str) -> tuple[Body, str]:
        parts = urlsplit(target)
        query = {name: values[0] for name, values in parse_qs(parts.query).items()}
        page = int(query["pagina"])
        if parts.path.endswith("/itens"):
            if self.kind in LISTS:
                return LISTS[self.kind](page)
            return iter([itens_of(10_000)]), ""
        return self._listing(int(query["codigoModalidadeContratacao"]), query["dataInicial"], page)

    def _listing(self, modalidade: int, day: str, page: int) -> tuple[Body, str]:
        match self.kind:
            case "bombs on listings":
                return iter([bomb()]), "Content-Encoding: gzip"
            case "zeros on listings":
                return iter([b'{"data":' + flat(b"0", 19 * MIB) + b',"numeroPagina":1}']), ""
            case "listings of 1 GB":
                return iter([b"["] + [b" " * MIB] * 1024), ""
            case "pages of 19 MB":
                return iter([self._page(modalidade, day, page, pages=3, text=EMOJI + "x" * (19 * 10**6 // 50))]), ""
            case "pages of 19 MB, lists of 19 MB":
                return iter([self._page(modalidade, day, page, pages=1, text="x" * (19 * 10**6 // 50))]), ""
            case _:
                return iter([self._page(modalidade, day, page, pages=1, text="x")]), ""

    def _page(self, modalidade: int, day: str, page: int, *, pages: int, text: str) -> bytes:
        count = 50 if pages > 1 else self.records
        moment = f"{day[:4]}-{day[4:6]}-{day[6:]}T10:00:00"
        records = [
            CONTRATACAO
            | {
                "numeroControlePNCP": f"{modalidade:014d}-1-{page * 1000 + each:06d}/2026",
                "modalidadeId": modalidade,
                "objetoCompra": text,
                "dataPublicacaoPncp": moment,
                "dataAtualizacao": moment,
                "dataAtualizacaoGlobal": moment,
            }
            for each in range(count)
        ]
        envelope = {"data": records, "totalRegistros": count * pages, "totalPaginas": pages, "numeroPagina": page}
        return json.dumps(envelope, ensure_ascii=False).encode()
