"""TLS: servers must prove who they are; the bytes inside are as exact as without."""

import asyncio
import contextlib
import socket
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime
from ipaddress import ip_address
from pathlib import Path

import pytest
import uvloop
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from crawler.download.addresses import AddressGuard
from crawler.download.client import Client
from crawler.download.errors import TransferError
from crawler.download.tls import client_context

Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]

OK = b"HTTP/1.1 200 OK\r\n"
HELLO = OK + b"Content-Length: 5\r\n\r\nhello"
NAMES = {"site.example": ip_address("127.0.0.1"), "other.example": ip_address("127.0.0.1")}
LOOPS = [asyncio.new_event_loop, uvloop.new_event_loop]


class Authority:
    """A throw-away certificate authority in a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Throw-away authority")])
        certificate = self.sign(self.name, self.key, [x509.BasicConstraints(ca=True, path_length=None)])
        self.file = folder / "authority.pem"
        self.file.write_bytes(certificate.public_bytes(Encoding.PEM))

    def sign(
        self, subject: x509.Name, key: ec.EllipticCurvePrivateKey, extensions, until: int = 2100
    ) -> x509.Certificate:
        builder = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self.name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(datetime(2020, 1, 1, tzinfo=UTC))
            .not_valid_after(datetime(until, 1, 1, tzinfo=UTC))
        )
        for extension in extensions:
            builder = builder.add_extension(extension, critical=isinstance(extension, x509.BasicConstraints))
        return builder.sign(self.key, hashes.SHA256())

    def server(self, *names: x509.GeneralName, until: int = 2100) -> ssl.SSLContext:
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "site")])
        certificate = self.sign(subject, key, [x509.SubjectAlternativeName(names)], until)
        file = self.folder / f"server-{certificate.serial_number}.pem"
        private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        file.write_bytes(private + certificate.public_bytes(Encoding.PEM))
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(file)
        return context


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture
def site(authority: Authority) -> ssl.SSLContext:
    return authority.server(x509.DNSName("site.example"), x509.IPAddress(ip_address("127.0.0.1")))


def keeping(*answers: bytes) -> Handler:
    """Answers request after request; then waits for the client to go."""

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for answer in answers:
            await reader.readuntil(b"\r\n\r\n")
            for byte in range(0, len(answer), 9):
                writer.write(answer[byte : byte + 9])
                await asyncio.sleep(0)
        await reader.read()

    return handler


@contextlib.asynccontextmanager
async def serving(handler: Handler, context: ssl.SSLContext | None) -> AsyncIterator[int]:
    tasks = set()

    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        tasks.add(asyncio.current_task())
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            await handler(reader, writer)
        writer.transport.abort()

    listener = await asyncio.start_server(accept, "127.0.0.1", 0, ssl=context)
    yield listener.sockets[0].getsockname()[1]
    listener.close()
    await asyncio.gather(*tasks)


@contextlib.asynccontextmanager
async def client_trusting(extra: Path | None) -> AsyncIterator[Client]:
    client = Client(
        user_agent="KnockfirstBot",
        guard=AddressGuard(allow_private=True, resolve=NAMES),
        tls=client_context(extra),
        clock=lambda: datetime(2026, 11, 22, tzinfo=UTC),
    )
    yield client
    await client.close()


def run(main: Callable[[], Awaitable[None]], new_loop: Callable[[], asyncio.AbstractEventLoop]) -> None:
    with asyncio.Runner(loop_factory=new_loop) as runner:
        runner.run(asyncio.wait_for(main(), 20))


@pytest.mark.parametrize("new_loop", LOOPS)
@pytest.mark.parametrize("host", ["site.example", "site.example.", "127.0.0.1"])
def test_proven_server_gives_exact_bytes_over_one_kept_connection(authority, site, host, new_loop):
    asked = []
    site.sni_callback = lambda _socket, name, _context: asked.append(name)
    chunked = OK + b"Transfer-Encoding: chunked\r\n\r\n", b"5\r\nhello\r\n0\r\nX: y\r\n\r\n"

    async def main() -> None:
        answers = keeping(HELLO, b"".join(chunked), HELLO)
        async with serving(answers, site) as port, client_trusting(authority.file) as client:
            client._guard._resolve = {**NAMES, "site.example.": NAMES["site.example"]}
            for head, block in (HELLO[:-5], b"hello"), chunked, (HELLO[:-5], b"hello"):
                exchange = await client.exchange(f"https://{host}:{port}/")
                body = await exchange.read(100)
                assert (exchange.head_bytes, body.block_bytes, body.content) == (head, block, b"hello")
                assert exchange.tls_version == "TLSv1.3"
                assert exchange.tls_cipher.startswith("TLS_")
            assert asked == [None if host == "127.0.0.1" else "site.example"]

    run(main, new_loop)


@pytest.mark.parametrize("new_loop", LOOPS)
@pytest.mark.parametrize("farewell", ["close", "abort"])
def test_close_delimited_body_ends_with_the_connection(authority, site, farewell, new_loop):
    """With TLS's own farewell, and without, as many servers leave."""

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.0 200 OK\r\n\r\n" + b"x" * 50_000)
        await writer.drain()
        if farewell == "close":
            writer.close()
            await writer.wait_closed()

    async def main() -> None:
        async with serving(handler, site) as port, client_trusting(authority.file) as client:
            exchange = await client.exchange(f"https://site.example:{port}/")
            assert (await exchange.read(100_000)).content == b"x" * 50_000

    run(main, new_loop)


@pytest.mark.parametrize("new_loop", LOOPS)
@pytest.mark.parametrize(("answer", "reason"), [(b"", "reset"), (HELLO[:-1], "incomplete"), (OK, "incomplete")])
def test_answer_that_breaks_off_fails(authority, site, answer, reason, new_loop):
    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(answer)

    async def main() -> None:
        async with serving(handler, site) as port, client_trusting(authority.file) as client:
            with pytest.raises(TransferError) as caught:
                await (await client.exchange(f"https://site.example:{port}/")).read(100)
            assert caught.value.reason == reason

    run(main, new_loop)


@pytest.mark.parametrize("new_loop", LOOPS)
def test_stop_at_the_head_of_an_endless_body_closes(authority, site, new_loop):
    async def endless(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(OK + b"\r\n")
        while True:
            writer.write(b"x" * 10_000)
            await writer.drain()

    async def main() -> None:
        async with serving(endless, site) as port, client_trusting(authority.file) as client:
            exchange = await client.exchange(f"https://site.example:{port}/")
            (connection,) = client._open
            exchange.stop()
            await connection.lost
            assert exchange._message.received <= 1 << 19

    run(main, new_loop)


@pytest.mark.parametrize("new_loop", LOOPS)
@pytest.mark.parametrize("fault", ["unknown authority", "other name", "expired", "no TLS at all"])
def test_server_that_proves_nothing_is_a_tls_failure(authority, site, fault, new_loop):
    contexts = {
        "expired": authority.server(x509.DNSName("site.example"), until=2021),
        "no TLS at all": None,
    }
    host = "other.example" if fault == "other name" else "site.example"
    extra = None if fault == "unknown authority" else authority.file

    async def babble(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(HELLO)
        await reader.read()

    async def main() -> None:
        async with serving(babble, contexts.get(fault, site)) as port, client_trusting(extra) as client:
            with pytest.raises(TransferError) as caught:
                await client.exchange(f"https://{host}:{port}/")
            assert caught.value.reason == "tls"
            assert not client._turns

    run(main, new_loop)


@pytest.mark.parametrize("new_loop", LOOPS)
def test_server_that_wants_our_certificate_fails(authority, site, new_loop):
    """In TLS 1.3 the handshake is over for us before the server says so; not every loop tells why it closed."""
    site.verify_mode = ssl.CERT_REQUIRED
    site.load_verify_locations(authority.file)

    def refuse(listener: socket.socket) -> None:
        with listener.accept()[0] as accepted, contextlib.suppress(OSError):
            site.wrap_socket(accepted, server_side=True)

    async def main() -> None:
        with socket.create_server(("127.0.0.1", 0)) as listener:
            refusing = asyncio.create_task(asyncio.to_thread(refuse, listener))
            async with client_trusting(authority.file) as client:
                with pytest.raises(TransferError) as caught:
                    await client.exchange(f"https://site.example:{listener.getsockname()[1]}/")
                assert caught.value.reason in {"tls", "reset"}
            await refusing

    run(main, new_loop)


def test_context_wants_a_known_authority_the_name_and_tls_1_2(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.setenv("SSLKEYLOGFILE", str(tmp_path / "keys"))
    context = client_context()
    assert context.verify_mode is ssl.CERT_REQUIRED
    assert context.check_hostname
    assert context.minimum_version is ssl.TLSVersion.TLSv1_2
    assert context.keylog_filename is None
    assert len(context.get_ca_certs()) > 50


def test_authority_file_that_cannot_be_read_is_an_error(tmp_path: Path):
    file = tmp_path / "empty.pem"
    with pytest.raises(OSError, match="No such file"):
        client_context(file)
    file.write_text("no certificate")
    with pytest.raises(OSError, match=r"(?i)certificate|PEM"):
        client_context(file)
