"""A browser with scripts off: it follows redirects, keeps cookies, and sends the forms that are on the page."""

import re
from html.parser import HTMLParser

import httpx

PASSWORD = "correct horse battery"


class Form:
    def __init__(self, attributes: dict[str, str]) -> None:
        self.action = attributes.get("action", "")
        self.method = attributes.get("method", "get")
        self.fields: dict[str, str] = {}


class Page(HTMLParser):
    """The forms, ids, links and scripts of a page; the text is what a person reads."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.html = html
        self.forms: list[Form] = []
        self.ids: list[str] = []
        self.links: list[str] = []
        self.elements: list[tuple[str, dict[str, str]]] = []
        self._words: list[str] = []
        self.feed(html)
        self.text = re.sub(r"\s+", " ", " ".join(self._words))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        attributes = {name: value or "" for name, value in attrs}
        self.elements.append((tag, attributes))
        if "id" in attributes:
            self.ids.append(attributes["id"])
        if tag == "a":
            self.links.append(attributes.get("href", ""))
        elif tag == "form":
            self.forms.append(Form(attributes))
        elif tag in ("input", "textarea", "select") and self.forms and _is_sent(attributes):
            self.forms[-1].fields[attributes["name"]] = attributes.get("value", "")

    def handle_data(self, data: str) -> None:
        self._words.append(data)

    def form(self, action: str) -> Form:
        return next(form for form in self.forms if form.action == action)


def _is_sent(attributes: dict[str, str]) -> bool:
    return "name" in attributes and (attributes.get("type") != "checkbox" or "checked" in attributes)


class Browser:
    def __init__(self, client: httpx.AsyncClient) -> None:
        self.client = client
        self.response = httpx.Response(204)

    @property
    def page(self) -> Page:
        return Page(self.response.text)

    @property
    def status(self) -> int:
        return self.response.status_code

    async def open(self, path: str) -> Page:
        self.response = await self.client.get(path, follow_redirects=True)
        return self.page

    async def send(self, action: str, **fields: str) -> Page:
        """Fills the form of the page that is open, and sends it as a browser does."""
        form = self.page.form(action)
        self.response = await self.client.post(
            action,
            data=form.fields | fields,
            headers={"origin": str(self.client.base_url).rstrip("/"), "sec-fetch-site": "same-origin"},
            follow_redirects=True,
        )
        return self.page

    async def upload(self, action: str, *files: tuple[str, bytes]) -> Page:
        """Fills the file field of the form of the page that is open, and sends it."""
        form = self.page.form(action)
        self.response = await self.client.post(
            action,
            data=form.fields,
            files=[("file", each) for each in files] or [("file", ("", b""))],
            headers={"origin": str(self.client.base_url).rstrip("/"), "sec-fetch-site": "same-origin"},
            follow_redirects=True,
        )
        return self.page

    async def sign_up(self, login: str = "ann", tenant_name: str = "Acme") -> str:
        """The new tenant's first key."""
        await self.open("/")
        page = await self.send("/signup", tenant_name=tenant_name, login=login, password=PASSWORD)
        assert self.status == 200, page.text
        return key_on(page)


def key_on(page: Page) -> str:
    match = re.search(r'id="new-key">(tf_\w+)<', page.html)
    assert match is not None
    return match[1]
