"""E-mail by SMTP, through the operator's own server. Implements `assistant.tickets.ports.Mailer`."""

import ssl
from email.errors import MessageError
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import formatdate
from typing import Literal

import aiosmtplib
from msgspec import Struct

from tenfold.assistant.tickets.checks import an_address
from tenfold.assistant.tickets.types import Mail
from tenfold.core.errors import InvalidRequest, UpstreamUnavailable

Security = Literal["starttls", "tls", "none"]


class SmtpServer(Struct, frozen=True, kw_only=True):
    """Where mail is handed in. `starttls` and `tls` check the server's certificate; `sender` is one address."""

    host: str
    port: int
    sender: str
    sender_name: str = ""
    username: str | None = None
    password: str | None = None
    security: Security = "starttls"
    timeout_s: float = 20.0

    @property
    def domain(self) -> str:
        return self.sender.rpartition("@")[2]


class SmtpMailer:
    """One connection for each mail: they are few. `tls`: other trust than the system's, for tests."""

    def __init__(self, server: SmtpServer, *, tls: ssl.SSLContext | None = None) -> None:
        self._server = server
        self._tls = tls

    async def send(self, mail: Mail, *, key: str) -> None:
        """See `Mailer.send`."""
        server = self._server
        try:
            message = written(mail, key=key, server=server)
        except (ValueError, MessageError) as error:
            raise InvalidRequest(f"This mail cannot be written: {error}.") from None
        try:
            await aiosmtplib.send(
                message,
                hostname=server.host,
                port=server.port,
                username=server.username,
                password=server.password,
                use_tls=server.security == "tls",
                start_tls=server.security == "starttls",
                tls_context=self._tls,
                timeout=server.timeout_s,
            )
        except aiosmtplib.SMTPRecipientsRefused as error:
            if all(500 <= each.code < 600 for each in error.recipients):
                raise InvalidRequest("The mail server takes nothing for this address.") from None
            raise UpstreamUnavailable("The mail server takes nothing for this address just now.") from None
        except aiosmtplib.SMTPResponseException as error:
            if isinstance(error, aiosmtplib.SMTPDataError) and 500 <= error.code < 600:
                raise InvalidRequest(f"The mail server refuses this mail ({error.code}).") from None
            raise UpstreamUnavailable(f"The mail server refused ({error.code}).") from None
        except (aiosmtplib.SMTPException, OSError) as error:
            raise UpstreamUnavailable(f"The mail server cannot be reached ({type(error).__name__}).") from None


def written(mail: Mail, *, key: str, server: SmtpServer) -> EmailMessage:
    """Headers are made of parsed addresses and lines without breaks: nothing that was written by somebody can become
    one. Raises InvalidRequest, ValueError."""
    message = EmailMessage(policy=SMTP)
    message["From"] = Address(display_name=server.sender_name, addr_spec=server.sender)
    message["To"] = Address(addr_spec=an_address(mail.to) or "")
    message["Subject"] = mail.subject
    message["Date"] = formatdate(localtime=False)
    message["Message-ID"] = f"<{key}@{server.domain}>"
    message["Auto-Submitted"] = "auto-replied"  # RFC 3834: whoever is on holiday does not answer it
    message.set_content(mail.text)
    return message
