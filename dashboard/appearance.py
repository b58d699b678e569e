"""How Streamlit is set up: theme, what it may say to whom, what is protected. Passed in code, so no folder decides it."""

from __future__ import annotations

from typing import Any

from dashboard.settings import Settings

LIGHT = {
    "primaryColor": "#2456c7",
    "backgroundColor": "#fbfcfe",
    "secondaryBackgroundColor": "#eef2f8",
    "textColor": "#14213a",
    "borderColor": "#d5dbe6",
    "linkColor": "#1f4bb0",
}
DARK = {
    "primaryColor": "#6f9dff",
    "backgroundColor": "#0d1422",
    "secondaryBackgroundColor": "#172033",
    "textColor": "#e8edf7",
    "borderColor": "#34405a",
    "linkColor": "#9dbdff",
}
SHAPE = {
    "baseRadius": "8px",
    "headingFontSizes": ["1.75rem", "1.3rem", "1.1rem"],
    "metricValueFontSize": "1.6rem",
    "paddingTop": "1rem",
    "paddingBottom": "2rem",
    "showSidebarBorder": True,
}


def streamlit_config(settings: Settings) -> dict[str, Any]:
    """Options of Streamlit by their dotted names."""
    return {
        **{f"theme.light.{name}": value for name, value in LIGHT.items()},
        **{f"theme.dark.{name}": value for name, value in DARK.items()},
        **{f"theme.{name}": value for name, value in SHAPE.items()},
        "server.address": settings.host,
        "server.port": settings.port,
        "server.headless": True,
        "server.allowedHosts": list(settings.allowed_hosts),
        "server.enableCORS": True,
        "server.enableXsrfProtection": True,
        "server.xsrfCookieSameSite": "strict",
        "server.maxUploadSize": settings.max_upload_mb,
        "server.fileWatcherType": "none",
        "server.enableStaticServing": False,
        "server.enableAgentApi": False,
        "server.disconnectedSessionTTL": 30,
        **_tls(settings),
        "browser.gatherUsageStats": False,
        "client.toolbarMode": "viewer",
        "client.showErrorDetails": "none",
        "client.showErrorLinks": False,
        "runner.magicEnabled": False,
        "runner.postScriptGC": False,  # see `warm`
        "logger.hideWelcomeMessage": True,
    }


def _tls(settings: Settings) -> dict[str, str]:
    if settings.tls_cert_file is None or settings.tls_key_file is None:
        return {}
    return {"server.sslCertFile": str(settings.tls_cert_file), "server.sslKeyFile": str(settings.tls_key_file)}
