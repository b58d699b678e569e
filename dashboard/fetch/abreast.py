"""Several questions at the same time, each in a thread that knows whose page is running."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence

from streamlit.runtime.scriptrunner import add_script_run_ctx, get_script_run_ctx


def abreast(calls: Sequence[Callable[[], object]]) -> None:
    """Do all of them, and return when the last is done. What a call finds it keeps itself.

    The threads live for this one page run: a token is minted for whoever is signed in on the page that asks.

    Raises:
        Exception: the first of what the calls raised, when all are done.
    """
    if len(calls) == 1:
        calls[0]()
        return
    raised: list[BaseException] = []

    def keeping(call: Callable[[], object]) -> Callable[[], None]:
        def run() -> None:
            try:
                call()
            except BaseException as error:
                raised.append(error)

        return run

    context = get_script_run_ctx()
    threads = [threading.Thread(target=keeping(call), daemon=True) for call in calls]
    for thread in threads:
        add_script_run_ctx(thread, context)
        thread.start()
    for thread in threads:
        thread.join()
    if raised:
        raise raised[0]
