"""The page that shows the API, with nothing from elsewhere and a policy that lets nothing else in."""

from fastapi import APIRouter
from fastapi.openapi.docs import get_swagger_ui_html
from fastapi.responses import HTMLResponse

from app.api.security_headers import STATIC, page_policy

LOADED = "; style-src 'self'; img-src 'self' data:; connect-src 'self'"
"""What the page loads beside its scripts: its style with pictures in it, the document, answers to calls."""

router = APIRouter(include_in_schema=False)


@router.get("/docs", response_class=HTMLResponse)
async def show_api() -> HTMLResponse:
    """Show every call, with a form to try it."""
    page = get_swagger_ui_html(
        openapi_url="/openapi.json",
        title="certsync: API",
        swagger_js_url=f"{STATIC}/swagger-ui-bundle.js",
        swagger_css_url=f"{STATIC}/swagger-ui.css",
        swagger_favicon_url=f"{STATIC}/favicon.png",
        swagger_ui_parameters={
            "validatorUrl": None
        },  # its default sends our document's address to a stranger
    )
    page.headers["Content-Security-Policy"] = page_policy(bytes(page.body).decode(), LOADED)
    return page
